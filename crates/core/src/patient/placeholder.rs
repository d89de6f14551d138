//! Values that mean "unknown". Practices and their earlier programs put such a value into a required field, and thousands
//! share it: taken for a birthday it makes strangers alike, and a search by it finds half a practice.

use jiff::civil::{Date, date};

use crate::private::Private;

/// Days that are hardly ever a birthday: where computer calendars begin, and what people type to get past the field.
const DATES: [Date; 4] = [date(1900, 1, 1), date(1901, 1, 1), date(1904, 1, 1), date(1970, 1, 1)];
/// Years in which a patient's birthday may be; 0001-01-01, 1753-01-01, 1899-12-30 and 9999-12-31 are placeholders.
const YEARS: std::ops::Range<i16> = 1900..2200;

/// `date` as a birthday; none if it is a placeholder.
pub fn birthday(date: Date) -> Option<Private<Date>> {
    let is_one = YEARS.contains(&date.year()) && !DATES.contains(&date);
    is_one.then(|| Private::new(date))
}

/// Whether a normalised postal code is a placeholder: only zeros, or only nines.
pub(super) fn is_no_postal_code(code: &str) -> bool {
    ["0", "9"].iter().any(|digit| code.len() >= 3 && code.trim_matches(|c| digit.starts_with(c)).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patient::postal_code;

    #[test]
    fn placeholders_are_no_birthdays_and_their_neighbours_are() {
        for day in
            ["0001-01-01", "1753-01-01", "1800-01-01", "1899-12-30", "1900-01-01", "1901-01-01", "1904-01-01"]
        {
            assert_eq!(birthday(day.parse().unwrap()), None, "{day}");
        }
        for day in ["1970-01-01", "2999-12-31", "9999-12-31"] {
            assert_eq!(birthday(day.parse().unwrap()), None, "{day}");
        }
        for day in
            ["1900-01-02", "1901-01-02", "1969-12-31", "1970-01-02", "1970-02-01", "2000-01-01", "2024-02-29"]
        {
            assert!(birthday(day.parse().unwrap()).is_some(), "{day}");
        }
    }

    #[test]
    fn a_postal_code_of_one_digit_says_nothing() {
        for code in ["00000", "0000", "00000-0000", "99999", "99999-9999", "000-000"] {
            assert_eq!(postal_code(code), "", "{code}");
        }
        for code in ["00501", "90000", "99950", "33333", "9", "AA000"] {
            assert_ne!(postal_code(code), "", "{code}");
        }
    }
}

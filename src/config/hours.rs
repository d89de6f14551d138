//! Hours of each day and their zone in one line, like `20-6 America/Chicago`; empty: all day.

use super::limits::time_zone;
use healthflow_core::limits::hours::Hours;

/// What is said of a line that is none.
pub(super) const FORM: &str =
    "must be empty, or two hours and a zone as IANA names it, like 20-6 America/Chicago";

/// The hours that a line names; an empty one names none.
///
/// # Errors
/// The line has another form, an hour is none of the day, or nobody knows the zone.
pub(super) fn read(line: &str) -> Result<Option<Hours>, &'static str> {
    if line.is_empty() {
        return Ok(None);
    }
    let named = || {
        let (hours, zone) = line.split_once(' ')?;
        let (from, until) = hours.split_once('-')?;
        let hour = |text: &str| text.parse().ok().filter(|hour| (0..24).contains(hour));
        Some(Hours { from: hour(from)?, until: hour(until)?, zone: time_zone(zone)? })
    };
    named().map(Some).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_hours_of_a_zone_or_says_that_it_does_not() {
        assert_eq!(read(""), Ok(None));
        let night = read("20-6 America/Chicago").unwrap().unwrap();
        assert_eq!((night.from, night.until, night.zone.iana_name()), (20, 6, Some("America/Chicago")));
        for line in ["20-6", "20-24 UTC", "-1-6 UTC", "20:00-6:00 UTC", "20-6 Chicago", "night", " "] {
            assert_eq!(read(line), Err(FORM), "{line}");
        }
    }
}

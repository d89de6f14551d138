//! What cannot be true of a booking. Such a record is dead-lettered with the field and the rule, so that the producer
//! can be put right; it never reaches HealthFlow and never supersedes a version that could be true.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::booking::Version;
use crate::time::Timestamp;

/// Why a booking cannot be true: the field and the rule it breaks, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The field, as the schema names it (`patient.date_of_birth`).
    pub field: &'static str,
    /// The rule, as a clause (`must not lie in the future`).
    pub rule: &'static str,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.rule)
    }
}

/// The longest identifier, in bytes of UTF-8. Identifiers become parts of keys, headers and URLs.
pub const IDENTIFIER_BYTES_MAX: usize = 200;
/// The longest given or family name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 512;
/// The longest postal code, telephone number and e-mail address, in bytes of UTF-8 (RFC 5321 allows 254 for the last).
pub const SHORT_TEXT_BYTES_MAX: usize = 320;
/// The longest note, in bytes of UTF-8.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;
/// The most procedure codes of one visit.
pub const PROCEDURE_CODES_MAX: usize = 100;
/// The longest procedure code, in bytes of UTF-8.
pub const PROCEDURE_CODE_BYTES_MAX: usize = 32;
/// The longest visit: a day.
pub const DURATION_MINUTES_MAX: i32 = 24 * 60;
/// Instants lie from here, 1900-01-01T00:00:00Z ...
pub const INSTANT_MIN: Timestamp = Timestamp(-2_208_988_800_000);
/// ... to before here, 2200-01-01T00:00:00Z.
pub const INSTANT_END: Timestamp = Timestamp(7_258_118_400_000);
/// The first year in which a patient may have been born.
pub const BIRTH_YEAR_MIN: i16 = 1850;

type Checked<T> = Result<T, Impossible>;

fn rule(holds: bool, field: &'static str, rule: &'static str) -> Checked<()> {
    if holds { Ok(()) } else { Err(Impossible { field, rule }) }
}

/// Which booking it is must be said; without that there is no version to speak of.
pub fn identity(practice_id: &str, booking_id: &str) -> Checked<()> {
    identifier("practice_id", practice_id)?;
    identifier("booking_id", booking_id)
}

/// An identifier of ours or of our neighbours.
pub fn identifier(field: &'static str, text: &str) -> Checked<()> {
    rule(!text.is_empty(), field, "must not be empty")?;
    rule(text.len() <= IDENTIFIER_BYTES_MAX, field, "must not be longer than 200 bytes")
}

/// An id of HealthFlow's, which becomes a part of a path.
pub fn healthflow_id(field: &'static str, text: &str) -> Checked<()> {
    identifier(field, text)?;
    rule(!matches!(text, "." | ".."), field, "must be an id; a dot would change the path it is put into")
}

/// Versions are counted from one.
pub fn version(version: i64) -> Checked<Version> {
    rule(version >= 1, "version", "must be at least 1")?;
    Ok(version.unsigned_abs())
}

/// An instant that a calendar can hold in every time zone.
pub fn instant(field: &'static str, instant: Timestamp) -> Checked<()> {
    let inside = INSTANT_MIN <= instant && instant < INSTANT_END;
    rule(inside, field, "must lie between the years 1900 and 2200")
}

/// A visit ends after it starts, and within a day.
pub fn duration_minutes(minutes: i32) -> Checked<u32> {
    rule(
        minutes >= 1,
        "visit.duration_minutes",
        "must be at least 1, so that the visit ends after it starts",
    )?;
    rule(minutes <= DURATION_MINUTES_MAX, "visit.duration_minutes", "must be at most 1440, which is a day")?;
    Ok(minutes.unsigned_abs())
}

/// A time zone that the bundled database knows.
pub fn time_zone(name: &str) -> Checked<()> {
    rule(jiff::tz::db().get(name).is_ok(), "visit.time_zone", "must be an IANA time zone")
}

/// A given or family name.
pub fn name(field: &'static str, text: &str) -> Checked<()> {
    rule(!text.trim().is_empty(), field, "must not be empty")?;
    rule(text.len() <= NAME_BYTES_MAX, field, "must not be longer than 512 bytes")
}

/// A postal code, telephone number or e-mail address, if there is one.
pub fn short_text(field: &'static str, text: Option<&String>) -> Checked<()> {
    rule(
        text.is_none_or(|text| text.len() <= SHORT_TEXT_BYTES_MAX),
        field,
        "must not be longer than 320 bytes",
    )
}

/// A note, if there is one.
pub fn note(text: Option<&String>) -> Checked<()> {
    rule(
        text.is_none_or(|text| text.len() <= NOTE_BYTES_MAX),
        "visit.note",
        "must not be longer than 16384 bytes",
    )
}

/// Procedure codes.
pub fn procedure_codes(codes: &[String]) -> Checked<()> {
    let field = "visit.procedure_codes";
    rule(codes.len() <= PROCEDURE_CODES_MAX, field, "must not be more than 100")?;
    rule(codes.iter().all(|code| !code.is_empty()), field, "must not be empty")?;
    let short = codes.iter().all(|code| code.len() <= PROCEDURE_CODE_BYTES_MAX);
    rule(short, field, "must not be longer than 32 bytes each")
}

/// A date of birth, `YYYY-MM-DD`, that is not in the future where the visit takes place.
pub fn date_of_birth(text: &str, time_zone: &str, now: Timestamp) -> Checked<Date> {
    let field = "patient.date_of_birth";
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let date = if shape { text.parse::<Date>().ok() } else { None };
    let date = date.ok_or(Impossible { field, rule: "must be a date in the form YYYY-MM-DD" })?;
    rule(date.year() >= BIRTH_YEAR_MIN, field, "must not lie before the year 1850")?;
    rule(date <= today(time_zone, now), field, "must not lie in the future")?;
    Ok(date)
}

/// The date at `now` in `time_zone`; in UTC where the zone is not known, the end of time where `now` is not a date.
fn today(time_zone: &str, now: Timestamp) -> Date {
    let zone = jiff::tz::db().get(time_zone).unwrap_or(TimeZone::UTC);
    jiff::Timestamp::from_millisecond(now.0).map_or(Date::MAX, |now| zone.to_datetime(now).date())
}

//! Which bookings are invalid. Such a record is dead-lettered with the field and the rule, so that its producer can be
//! corrected; it never reaches HealthFlow and never supersedes a valid version.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::booking::texts::{self, PROCEDURE_CODES_MAX};
use crate::booking::{Source, Version};
use crate::time::{DAY_MS, Timestamp};

/// Why a booking is invalid: the field and the rule it breaks, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field, as the schema names it (`patient.date_of_birth`).
    pub field: &'static str,
    /// The rule, as a clause (`must not lie in the future`).
    pub rule: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.rule)
    }
}

/// The longest visit: a day.
pub const DURATION_MINUTES_MAX: i32 = 24 * 60;
/// Instants lie from here, 1900-01-01T00:00:00Z ...
const INSTANT_MIN: Timestamp = Timestamp(-2_208_988_800_000);
/// ... to before here, 2200-01-01T00:00:00Z.
const INSTANT_END: Timestamp = Timestamp(7_258_118_400_000);
/// The first year in which a patient may have been born.
const BIRTH_YEAR_MIN: i16 = 1850;
/// A live visit starts at 2000-01-01T00:00:00Z or later. Seconds taken for milliseconds are in early 1970, whatever century
/// they mean.
const LIVE_START_MIN: Timestamp = Timestamp(946_684_800_000);
/// How long before its request a live visit may start, in days: two years. State would not remember the booking of an older
/// one any more (`worker.keep_days`).
const LIVE_START_BEFORE_REQUEST_DAYS_MAX: i64 = 731;
/// The longest wait since `requested_at` that is measured, in milliseconds: 30 days. A `requested_at` of 1970 is 56 years,
/// more than all other waits together.
const WAIT_MAX_MS: i64 = 30 * DAY_MS;
/// How far ahead of our clock `requested_at` may be and still count as now, in milliseconds: a day.
const AHEAD_MAX_MS: i64 = DAY_MS;
/// Names in the time zone database that mean "unknown zone": each would be read as UTC.
const ZONES_THAT_ARE_NONE: [&str; 2] = ["Etc/Unknown", "Factory"];

type Checked<T> = Result<T, Invalid>;

fn rule(holds: bool, field: &'static str, rule: &'static str) -> Checked<()> {
    if holds { Ok(()) } else { Err(Invalid { field, rule }) }
}

/// A record must name its booking; without that it has no version.
pub fn identity(practice_id: &str, booking_id: &str) -> Checked<()> {
    texts::PRACTICE_ID.check(practice_id)?;
    texts::BOOKING_ID.check(booking_id)
}

/// An id of HealthFlow's, which becomes part of a path.
pub fn healthflow_id(id: &str) -> Checked<()> {
    let text = texts::HEALTHFLOW_PATIENT_ID;
    text.check(id)?;
    rule(!id.trim().is_empty(), text.field, "must not be empty")?;
    rule(!matches!(id, "." | ".."), text.field, "must be an id; a dot would change the path it is put into")
}

/// Versions are counted from one.
pub fn version(version: i64) -> Checked<Version> {
    rule(version >= 1, "version", "must be at least 1")?;
    Ok(version.unsigned_abs())
}

/// An instant that is a date in every time zone.
pub fn instant(field: &'static str, instant: Timestamp) -> Checked<()> {
    let inside = INSTANT_MIN <= instant && instant < INSTANT_END;
    rule(inside, field, "must lie between the years 1900 and 2200")
}

/// Whether `waited_ms` since `requested_at` can have been a wait. If not, it is history, or a producer's mistake in a field
/// that no visit depends on: the visit is booked, and its wait must not spoil the measurements.
pub fn is_a_wait(waited_ms: i64) -> bool {
    (-AHEAD_MAX_MS..=WAIT_MAX_MS).contains(&waited_ms)
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

/// A live visit is not requested years after it took place. History may be of any age.
pub fn start_of(source: Source, start: Timestamp, requested_at: Timestamp) -> Checked<()> {
    if source == Source::Backfill {
        return Ok(());
    }
    let field = "visit.start";
    rule(start >= LIVE_START_MIN, field, "must not lie before the year 2000; it is counted in milliseconds")?;
    let before_ms = requested_at.since_ms(start);
    let is_near = before_ms <= LIVE_START_BEFORE_REQUEST_DAYS_MAX * DAY_MS;
    rule(
        is_near,
        field,
        "must not lie more than 731 days before requested_at; history has the source BACKFILL",
    )
}

/// A real time zone that the bundled database knows.
pub fn time_zone(name: &str) -> Checked<()> {
    texts::TIME_ZONE.check(name)?;
    let is_one = !ZONES_THAT_ARE_NONE.iter().any(|none| none.eq_ignore_ascii_case(name));
    rule(is_one && jiff::tz::db().get(name).is_ok(), texts::TIME_ZONE.field, "must be an IANA time zone")
}

/// Procedure codes.
pub fn procedure_codes(codes: &[String]) -> Checked<()> {
    rule(codes.len() <= PROCEDURE_CODES_MAX, texts::PROCEDURE_CODE.field, "must not be more than 100")?;
    codes.iter().try_for_each(|code| texts::PROCEDURE_CODE.check(code))
}

/// A date of birth, `YYYY-MM-DD`, not in the future at the place of the visit.
pub fn date_of_birth(text: &str, time_zone: &str, now: Timestamp) -> Checked<Date> {
    let field = "patient.date_of_birth";
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let date = if shape { text.parse::<Date>().ok() } else { None };
    let date = date.ok_or(Invalid { field, rule: "must be a date in the form YYYY-MM-DD" })?;
    rule(date.year() >= BIRTH_YEAR_MIN, field, "must not lie before the year 1850")?;
    rule(date <= today(time_zone, now), field, "must not lie in the future")?;
    Ok(date)
}

/// The date at `now` in `time_zone`; in UTC if the zone is unknown, the last date of all if `now` is not a date.
fn today(time_zone: &str, now: Timestamp) -> Date {
    let zone = jiff::tz::db().get(time_zone).unwrap_or(TimeZone::UTC);
    jiff::Timestamp::from_millisecond(now.0).map_or(Date::MAX, |now| zone.to_datetime(now).date())
}

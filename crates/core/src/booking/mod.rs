//! What DentScheduler asked for. A [`Booking`] is one valid version of one booking: [`check`] refuses any other before it
//! gets here. Knows nothing of HealthFlow or Kafka.

pub mod check;
pub mod texts;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::time::Timestamp;

/// A name given by one of the systems around us; cheap to clone, ordered and hashed by its text. `private` ones identify
/// a person: their `Debug` prints dots.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, shown) => {
        $crate::booking::identifier!($(#[$doc])* $name, "{}");
    };
    ($(#[$doc:meta])* $name:ident, private) => {
        $crate::booking::identifier!($(#[$doc])* $name, "•••{:.0}");
    };
    ($(#[$doc:meta])* $name:ident, $debug:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub std::sync::Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text.into())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, $debug, self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use identifier;

identifier! {
    /// A dental practice, as DentScheduler names it; the key of its records on Kafka.
    PracticeId, shown
}
identifier! {
    /// A booking of a practice, as DentScheduler names it; stays the same through all its versions.
    BookingId, shown
}
identifier! {
    /// A patient of a practice, as DentScheduler names it. Identifies a person: never logged.
    PatientId, private
}

/// Which booking: unique over all practices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BookingKey {
    /// The practice the booking belongs to.
    pub practice: PracticeId,
    /// The booking within the practice.
    pub booking: BookingId,
}

impl BookingKey {
    /// This version of the booking.
    pub fn version(&self, version: Version) -> VersionKey {
        VersionKey { booking: self.clone(), version }
    }

    /// From the first version that the booking may have to the last, to look them up in a map by version.
    pub fn versions(&self) -> RangeInclusive<VersionKey> {
        self.version(Version::MIN)..=self.version(Version::MAX)
    }
}

impl fmt::Display for BookingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.practice, self.booking)
    }
}

/// Which patient: patients are people of a practice, not of an account, so the practice is part of the name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PatientKey {
    /// The practice whose patient this is.
    pub practice: PracticeId,
    /// The patient within the practice.
    pub patient: PatientId,
}

impl fmt::Debug for PatientKey {
    /// Prints only the practice: a patient's id identifies a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/•••", self.practice)
    }
}

/// Rises with every change of a booking; the highest one is what the practice wants.
pub type Version = u64;

/// One version of one booking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionKey {
    /// Which booking.
    pub booking: BookingKey,
    /// Which version of it.
    pub version: Version,
}

impl fmt::Display for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.booking, self.version)
    }
}

/// Whether the visit should take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BookingStatus {
    /// The visit should take place.
    Scheduled,
    /// The visit should not take place.
    Cancelled,
}

/// Where a booking event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    /// Somebody has just booked and waits for the confirmation.
    Live,
    /// History of a practice that is new to us.
    Backfill,
}

/// A patient's sex, as far as DentScheduler knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Neither of the two.
    Other,
    /// Not asked, or not given.
    Unknown,
}

/// The patient of a booking: a full snapshot of what DentScheduler knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Patient {
    /// DentScheduler's id of the patient.
    pub id: PatientId,
    /// HealthFlow's id of the patient, if DentScheduler has it already.
    pub healthflow_patient_id: Option<Arc<str>>,
    /// Given name as typed.
    pub given_name: Private<String>,
    /// Family name as typed.
    pub family_name: Private<String>,
    /// Date of birth.
    pub date_of_birth: Private<jiff::civil::Date>,
    /// Postal code as typed.
    pub postal_code: Private<String>,
    /// Telephone number as typed.
    pub phone: Option<Private<String>>,
    /// E-mail address as typed.
    pub email: Option<Private<String>>,
    /// Sex, if known.
    pub sex: Option<Sex>,
}

/// The visit of a booking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Visit {
    /// When it starts: an instant, so it cannot fall into a gap of daylight saving time.
    pub start: Timestamp,
    /// How long it takes, in minutes; at least one, so that it ends after it starts.
    pub duration_minutes: u32,
    /// IANA time zone of the location (`America/Chicago`), known to the bundled database.
    pub time_zone: Arc<str>,
    /// The provider.
    pub provider_id: Arc<str>,
    /// The chair, if one is reserved.
    pub operatory_id: Option<Arc<str>>,
    /// Procedure codes (CDT), may be empty.
    pub procedure_codes: Vec<String>,
    /// Free text for the practice.
    pub note: Option<Private<String>>,
}

/// One version of one booking, checked and valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Booking {
    /// DentScheduler's id of the event that carried this version.
    pub event_id: Arc<str>,
    /// Which booking.
    pub key: BookingKey,
    /// The practice's location.
    pub location_id: Arc<str>,
    /// Which version of it.
    pub version: Version,
    /// Whether the visit should take place.
    pub status: BookingStatus,
    /// When the practice or patient asked for this version.
    pub requested_at: Timestamp,
    /// Live or history.
    pub source: Source,
    /// Who it is for.
    pub patient: Patient,
    /// What is booked.
    pub visit: Visit,
}

impl Booking {
    /// Which version of which booking this is.
    pub fn version_key(&self) -> VersionKey {
        self.key.version(self.version)
    }

    /// The patient's key: practice and patient id.
    pub fn patient_key(&self) -> PatientKey {
        PatientKey { practice: self.key.practice.clone(), patient: self.patient.id.clone() }
    }
}

//! How long a text may be and what may stand in it: one table, taken from HealthFlow's contract
//! (`schemas/healthflow.openapi.yaml`). Without it HealthFlow says so, after a search and an intent; or it does not say so:
//! a character that its database cannot hold is a 500, so a write in doubt.

use crate::booking::check::Impossible;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It must be there.
    Required,
    /// It may be left out.
    Optional,
    /// It may be left out, and may have several lines.
    Lines,
}

/// One text of a booking.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The field, as our schema names it.
    pub field: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The longest one, in characters: Unicode code points, as the contract's `maxLength` counts.
    pub chars_max: usize,
    too_long: &'static str,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $field:literal, $kind:ident, $chars_max:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Text = Text {
                field: $field,
                kind: Kind::$kind,
                chars_max: $chars_max,
                too_long: concat!("must not be longer than ", $chars_max, " characters"),
            };
        )*

        /// Every text of a booking.
        pub const ALL: &[Text] = &[$($name),*];
    };
}

texts! {
    /// The practice.
    PRACTICE_ID = "practice_id", Required, 200;
    /// The booking.
    BOOKING_ID = "booking_id", Required, 200;
    /// The event.
    EVENT_ID = "event_id", Required, 200;
    /// The location.
    LOCATION_ID = "location_id", Required, 200;
    /// DentScheduler's patient.
    PATIENT_ID = "patient.patient_id", Required, 200;
    /// HealthFlow's patient, where it is sent along.
    HEALTHFLOW_PATIENT_ID = "patient.healthflow_patient_id", Optional, 200;
    /// Given name.
    GIVEN_NAME = "patient.given_name", Required, 200;
    /// Family name.
    FAMILY_NAME = "patient.family_name", Required, 200;
    /// Postal code. HealthFlow wants one of whom we create, and a patient who is known needs none.
    POSTAL_CODE = "patient.postal_code", Optional, 200;
    /// Telephone number.
    PHONE = "patient.phone", Optional, 200;
    /// E-mail address.
    EMAIL = "patient.email", Optional, 200;
    /// Time zone; it must also be one.
    TIME_ZONE = "visit.time_zone", Required, 200;
    /// Who treats.
    PROVIDER_ID = "visit.provider_id", Required, 200;
    /// The chair.
    OPERATORY_ID = "visit.operatory_id", Optional, 200;
    /// Each procedure code.
    PROCEDURE_CODE = "visit.procedure_codes", Required, 32;
    /// The note.
    NOTE = "visit.note", Lines, 4000;
}

/// The most procedure codes of one visit.
pub const PROCEDURE_CODES_MAX: usize = 100;

impl Text {
    /// Whether `text` may stand in this field.
    pub fn check(&self, text: &str) -> Result<(), Impossible> {
        if self.kind == Kind::Required && text.trim().is_empty() {
            return Err(self.broken("must not be empty"));
        }
        // No text has more characters than bytes: most are counted by their length alone.
        if text.len() > self.chars_max && text.chars().count() > self.chars_max {
            return Err(self.broken(self.too_long));
        }
        if text.chars().any(|c| c.is_control() && !self.allows(c)) {
            return Err(self.broken("must not contain control characters"));
        }
        Ok(())
    }

    /// The same of a text that may be left out.
    pub fn check_some(&self, text: Option<&String>) -> Result<(), Impossible> {
        text.map_or(Ok(()), |text| self.check(text))
    }

    fn allows(&self, control: char) -> bool {
        self.kind == Kind::Lines && matches!(control, '\n' | '\r' | '\t')
    }

    const fn broken(&self, rule: &'static str) -> Impossible {
        Impossible { field: self.field, rule }
    }
}

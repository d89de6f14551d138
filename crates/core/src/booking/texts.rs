//! How long a text may be and which characters it may contain: one table, taken from HealthFlow's contract
//! (`schemas/healthflow.openapi.yaml`). Without it HealthFlow would refuse the text, after a search and an intent; or worse,
//! answer 500 to a character that its database cannot store, which leaves a write in doubt.

use crate::booking::check::Invalid;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Required.
    Required,
    /// Optional.
    Optional,
    /// Optional, and may have several lines.
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
    /// HealthFlow's patient, if it is sent along.
    HEALTHFLOW_PATIENT_ID = "patient.healthflow_patient_id", Optional, 200;
    /// Given name.
    GIVEN_NAME = "patient.given_name", Required, 200;
    /// Family name.
    FAMILY_NAME = "patient.family_name", Required, 200;
    /// Postal code. HealthFlow requires one to create a patient; a known patient needs none.
    POSTAL_CODE = "patient.postal_code", Optional, 200;
    /// Telephone number.
    PHONE = "patient.phone", Optional, 200;
    /// E-mail address.
    EMAIL = "patient.email", Optional, 200;
    /// Time zone; it must also exist.
    TIME_ZONE = "visit.time_zone", Required, 200;
    /// The provider.
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
    /// Checks that this field may contain `text`.
    pub fn check(&self, text: &str) -> Result<(), Invalid> {
        if self.kind == Kind::Required && text.trim().is_empty() {
            return Err(self.broken("must not be empty"));
        }
        // No text has more characters than bytes, so the length alone settles most.
        if text.len() > self.chars_max && text.chars().count() > self.chars_max {
            return Err(self.broken(self.too_long));
        }
        if text.chars().any(|c| c.is_control() && !self.allows(c)) {
            return Err(self.broken("must not contain control characters"));
        }
        Ok(())
    }

    /// The same rules for another field.
    pub const fn named(self, field: &'static str) -> Text {
        Text { field, ..self }
    }

    /// The same for an optional text.
    pub fn check_some(&self, text: Option<&String>) -> Result<(), Invalid> {
        text.map_or(Ok(()), |text| self.check(text))
    }

    fn allows(&self, control: char) -> bool {
        self.kind == Kind::Lines && matches!(control, '\n' | '\r' | '\t')
    }

    const fn broken(&self, rule: &'static str) -> Invalid {
        Invalid { field: self.field, rule }
    }
}

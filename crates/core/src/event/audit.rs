//! `appointments.audit`: that somebody is about to see patients' data. It is written before they see any, so that nobody can
//! look without a trace; it has ids and codes, never what was seen.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::check::Invalid;
use crate::booking::{BookingId, PracticeId, texts};
use crate::time::Timestamp;

/// The record, field by field as in `schemas/appointments.audit.avsc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The id of this record.
    pub audit_id: Arc<str>,
    /// What was done.
    pub action: AuditAction,
    /// The practice.
    pub practice_id: PracticeId,
    /// The booking.
    pub booking_id: BookingId,
    /// Its version.
    pub version: i64,
    /// Which question about it was open.
    pub generation: i64,
    /// HealthFlow's ids of the patients whose charts were asked for.
    pub healthflow_patient_ids: Vec<String>,
    /// Who.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// What was done with patients' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuditAction {
    /// A booking in review and its candidates' charts were shown.
    Reveal,
    /// An action that a newer schema knows.
    Unknown,
}

impl AuditRecord {
    /// Whether it names who and why.
    ///
    /// # Errors
    /// The field and the rule that it breaks.
    pub fn check(&self) -> Result<(), Invalid> {
        let texts = [("by", &self.by), ("why", &self.why)];
        texts.into_iter().try_for_each(|(field, text)| texts::EVENT_ID.named(field).check(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample::{NOW, decoder, encoder};
    use crate::topics::AUDIT;

    fn record() -> AuditRecord {
        AuditRecord {
            audit_id: "a-1".into(),
            action: AuditAction::Reveal,
            practice_id: "practice-1".into(),
            booking_id: "b-1".into(),
            version: 3,
            generation: 1,
            healthflow_patient_ids: vec!["hf-1".into(), "hf-2".into()],
            by: "frontdesk-2".into(),
            why: "to decide".into(),
            at: NOW,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut value = Vec::new();
        encoder(AUDIT).encode(&record(), &mut value).expect("fits its schema");
        assert_eq!(decoder(AUDIT).decode(&value), Ok(record()));
    }

    #[test]
    fn nobody_looks_without_a_name_and_a_reason() {
        assert_eq!(record().check(), Ok(()));
        let nameless = AuditRecord { by: "".into(), ..record() };
        assert_eq!(nameless.check().map_err(|why| why.field), Err("by"));
        let without_reason = AuditRecord { why: "a\nb".into(), ..record() };
        assert_eq!(without_reason.check().map_err(|why| why.field), Err("why"));
    }
}

//! `appointments.decisions`: what a person decided about a version that waits in `appointments.review`. Any product may write
//! there; it carries ids and codes, never patient data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::check::{self, Invalid};
use crate::booking::{BookingId, BookingKey, PracticeId, Version, texts};
use crate::healthflow::AppointmentId;
use crate::patient::HealthFlowPatientId;
use crate::sync::ReviewReason;
use crate::time::Timestamp;

/// One decision, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The deciding product's id of it.
    pub id: Arc<str>,
    /// The booking.
    pub key: BookingKey,
    /// Its version; 0 with [`Verdict::Unlink`].
    pub version: Version,
    /// Which question was decided: the generation of the review's record (rule K4).
    pub generation: u32,
    /// What was decided.
    pub verdict: Verdict,
    /// Who decided.
    pub by: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// What a person can decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The patient is this patient of HealthFlow.
    Link(HealthFlowPatientId),
    /// HealthFlow has no such patient, or no such appointment, yet.
    Create,
    /// The booking is this appointment of HealthFlow.
    Adopt(AppointmentId),
    /// Try again.
    Retry,
    /// Do not book it.
    Reject,
    /// The link of its patient to this patient of HealthFlow is wrong. About no version.
    Unlink(HealthFlowPatientId),
}

/// The record, field by field as in `schemas/appointments.decisions.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppointmentDecision {
    /// The deciding product's id of this decision.
    pub decision_id: Arc<str>,
    /// The practice.
    pub practice_id: PracticeId,
    /// The booking.
    pub booking_id: BookingId,
    /// Its version.
    pub version: i64,
    /// Which question was decided.
    pub generation: i64,
    /// What was decided.
    pub verdict: VerdictSymbol,
    /// With `LINK`.
    pub healthflow_patient_id: Option<Arc<str>>,
    /// With `ADOPT`.
    pub healthflow_appointment_id: Option<Arc<str>>,
    /// Who decided.
    pub decided_by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// When.
    pub decided_at: Timestamp,
}

/// A verdict as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Verdict", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VerdictSymbol {
    /// See [`Verdict::Link`].
    Link,
    /// See [`Verdict::Create`].
    Create,
    /// See [`Verdict::Adopt`].
    Adopt,
    /// See [`Verdict::Retry`].
    Retry,
    /// See [`Verdict::Reject`].
    Reject,
    /// See [`Verdict::Unlink`].
    Unlink,
    /// A verdict that a newer schema knows.
    Unknown,
}

/// The verdicts that a review with this reason allows: the table in `docs/deciding-reviews.md`.
pub const fn verdicts_of(reason: ReviewReason) -> &'static [VerdictSymbol] {
    use VerdictSymbol::{Adopt, Create, Link, Reject, Retry};
    match reason {
        ReviewReason::AmbiguousPatient
        | ReviewReason::LinkUnknown
        | ReviewReason::LinkMismatch
        | ReviewReason::Unlinked => &[Link, Create, Reject],
        ReviewReason::LinkConflict => &[Link, Reject],
        ReviewReason::AmbiguousAppointment => &[Adopt, Create, Reject],
        ReviewReason::CrashSuspect | ReviewReason::Defect => &[Retry, Reject],
        ReviewReason::BehindReview => &[],
    }
}

impl VerdictSymbol {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            VerdictSymbol::Link => "LINK",
            VerdictSymbol::Create => "CREATE",
            VerdictSymbol::Adopt => "ADOPT",
            VerdictSymbol::Retry => "RETRY",
            VerdictSymbol::Reject => "REJECT",
            VerdictSymbol::Unlink => "UNLINK",
            VerdictSymbol::Unknown => "UNKNOWN",
        }
    }
}

impl Verdict {
    /// As on the wire.
    pub const fn symbol(&self) -> VerdictSymbol {
        match self {
            Verdict::Link(_) => VerdictSymbol::Link,
            Verdict::Create => VerdictSymbol::Create,
            Verdict::Adopt(_) => VerdictSymbol::Adopt,
            Verdict::Retry => VerdictSymbol::Retry,
            Verdict::Reject => VerdictSymbol::Reject,
            Verdict::Unlink(_) => VerdictSymbol::Unlink,
        }
    }
}

fn broken(field: &'static str, rule: &'static str) -> Invalid {
    Invalid { field, rule }
}

impl AppointmentDecision {
    /// The decision, if it is a valid one. Its ids are checked already.
    ///
    /// # Errors
    /// The field and the rule that it breaks.
    pub fn into_decision(self) -> Result<Decision, Invalid> {
        let texts =
            [("decision_id", &self.decision_id), ("decided_by", &self.decided_by), ("why", &self.why)];
        texts.into_iter().try_for_each(|(field, text)| texts::EVENT_ID.named(field).check(text))?;
        check::instant("decided_at", self.decided_at)?;
        let generation = u32::try_from(self.generation)
            .map_err(|_| broken("generation", "must be the generation of a review"))?;
        let verdict = match (self.verdict, self.healthflow_patient_id, self.healthflow_appointment_id) {
            (VerdictSymbol::Link, Some(id), None) => {
                check::healthflow_id(&id)?;
                Verdict::Link(HealthFlowPatientId(id))
            }
            (VerdictSymbol::Adopt, None, Some(id)) => {
                check::healthflow_id(&id)?;
                Verdict::Adopt(AppointmentId(id))
            }
            (VerdictSymbol::Create, None, None) => Verdict::Create,
            (VerdictSymbol::Retry, None, None) => Verdict::Retry,
            (VerdictSymbol::Reject, None, None) => Verdict::Reject,
            (VerdictSymbol::Unlink, Some(id), None) => {
                check::healthflow_id(&id)?;
                Verdict::Unlink(HealthFlowPatientId(id))
            }
            (VerdictSymbol::Unknown, ..) => {
                return Err(broken("verdict", "must be LINK, CREATE, ADOPT, RETRY, REJECT or UNLINK"));
            }
            _ => {
                return Err(broken(
                    "verdict",
                    "must come with healthflow_patient_id if it is LINK or UNLINK, with healthflow_appointment_id if it is ADOPT, \
                     and with neither otherwise",
                ));
            }
        };
        let version = match &verdict {
            Verdict::Unlink(_) if (self.version, generation) == (0, 0) => 0,
            Verdict::Unlink(_) => {
                return Err(broken(
                    "version",
                    "must be 0 with UNLINK, and the generation too: no version is in question",
                ));
            }
            _ => check::version(self.version)?,
        };
        Ok(Decision {
            id: self.decision_id,
            key: BookingKey { practice: self.practice_id, booking: self.booking_id },
            version,
            generation,
            verdict,
            by: self.decided_by,
            at: self.decided_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlink(version: i64, generation: i64, chart: Option<&str>) -> Result<Decision, Invalid> {
        let decision = AppointmentDecision {
            decision_id: "d-1".into(),
            practice_id: "practice-1".into(),
            booking_id: "b-1".into(),
            version,
            generation,
            verdict: VerdictSymbol::Unlink,
            healthflow_patient_id: chart.map(Arc::from),
            healthflow_appointment_id: None,
            decided_by: "frontdesk-2".into(),
            why: "two people".into(),
            decided_at: Timestamp(1_767_600_000_000),
        };
        decision.into_decision()
    }

    #[test]
    fn an_undoing_names_a_chart_and_no_version() {
        let decision = unlink(0, 0, Some("hf-1")).expect("it is one");
        assert_eq!((decision.version, decision.at), (0, Timestamp(1_767_600_000_000)));
        for (version, generation, chart) in
            [(1, 0, Some("hf-1")), (0, 1, Some("hf-1")), (0, 0, None), (0, 0, Some(" ")), (0, 0, Some(".."))]
        {
            assert!(unlink(version, generation, chart).is_err(), "{version} {generation} {chart:?}");
        }
    }
}

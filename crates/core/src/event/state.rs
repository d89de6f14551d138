//! `appointments.state` and `patients.state`: the state, as it is written and read back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::appointment::{Placement, Revision, Slot, Span};
use crate::booking::{BookingId, BookingKey, BookingStatus, PatientId, PatientKey, PracticeId, Version};
use crate::event::fleet::FleetFields;
use crate::event::positions::TaskPositionsRecord;
use crate::event::quota::{self, QuotaCountRecord};
use crate::event::remembered_notices::ToldDelayRecord;
use crate::patient::digests::PersonDigests;
use crate::patient::{Decided, HealthFlowPatientId, Link, LinkOrigin, Rejected, UnverifiedCreation};
use crate::private::Private;
use crate::state::{
    BookingState, Hold, NotRuns, Parked, ParkingPlace, PatientIntent, PatientState, StateRecord, Suspicion,
    TaskPositions, VersionSet, Wish, WriteIntent, WriteOperation,
};
use crate::time::Timestamp;

/// The record, field by field as in `schemas/appointments.state.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "AppointmentState")]
pub struct AppointmentStateRecord {
    practice_id: PracticeId,
    booking_id: BookingId,
    placement: Option<PlacementRecord>,
    incarnation: u32,
    answered_floor: i64,
    answered_above: Vec<i64>,
    #[serde(with = "apache_avro::serde::bytes")]
    answered_runs: Vec<u8>,
    answered_forgotten: i64,
    newest: i64,
    newest_generation: u32,
    intent: Option<WriteIntentRecord>,
    unclean_ends: u32,
    alone: bool,
    parked: Vec<ParkedRecord>,
    lost: Vec<i64>,
    last_day: i32,
    last_decision: Option<Arc<str>>,
    told_delay: Option<ToldDelayRecord>,
    task: Option<TaskPositionsRecord>,
    pub(super) quotas: Vec<QuotaCountRecord>,
    pub(super) fleet: Option<FleetFields>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Placement")]
struct PlacementRecord {
    appointment_id: Arc<str>,
    patient_id: Arc<str>,
    patient: Option<u32>,
    incarnation: u32,
    version: i64,
    status: BookingStatus,
    fingerprint: Option<i64>,
    revision: Option<Revision>,
    spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "WriteIntent")]
struct WriteIntentRecord {
    operation: WriteOperationSymbol,
    incarnation: u32,
    first_version: i64,
    since: Timestamp,
    slot: Option<SlotRecord>,
    if_match: Option<Revision>,
    asked: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Slot")]
struct SlotRecord {
    patient_id: Arc<str>,
    start: Timestamp,
    provider_id: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "WriteOperation", rename_all = "SCREAMING_SNAKE_CASE")]
enum WriteOperationSymbol {
    Create,
    Update,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "ParkedVersion")]
struct ParkedRecord {
    version: i64,
    place: ParkingPlaceSymbol,
    generation: u32,
    wish: Option<Wish>,
    hold: Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "ParkingPlace", rename_all = "SCREAMING_SNAKE_CASE")]
enum ParkingPlaceSymbol {
    Retry,
    Review,
    Failed,
}

/// The record, field by field as in `schemas/patients.state.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "PatientState")]
pub struct PatientStateRecord {
    practice_id: PracticeId,
    patient_id: Private<PatientId>,
    link: Option<LinkRecord>,
    incarnation: u32,
    reference: u32,
    intent: Option<PatientIntentRecord>,
    unclean_ends: u32,
    alone: bool,
    held_by: Option<BookingId>,
    unseen: Option<i64>,
    rejected: Vec<HealthFlowPatientId>,
    rejected_for: Vec<Option<PersonDigests>>,
    is_new: bool,
    is_unlinked: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "PatientLink")]
struct LinkRecord {
    healthflow_patient_id: Arc<str>,
    origin: LinkOrigin,
    digests: Option<PersonDigests>,
    outranks: Option<Private<Arc<str>>>,
    decided_by: Option<Arc<str>>,
    decided_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "PatientIntent")]
struct PatientIntentRecord {
    incarnation: u32,
    reference: u32,
    since: Timestamp,
    person: Option<i64>,
    digests: Option<PersonDigests>,
}

impl AppointmentStateRecord {
    /// The record of a booking.
    pub fn of(key: &BookingKey, state: &BookingState) -> Self {
        // As a list if that is enough, because earlier workers can read it.
        let (above, runs) = match state.answered.above() {
            Some(above) => (above, &[][..]),
            None => (Vec::new(), state.answered.runs()),
        };
        AppointmentStateRecord {
            practice_id: key.practice.clone(),
            booking_id: key.booking.clone(),
            placement: state.placement.as_ref().map(|placement| PlacementRecord {
                appointment_id: placement.appointment_id.clone(),
                patient_id: placement.patient_id.clone(),
                patient: placement.patient,
                incarnation: placement.incarnation,
                version: placement.version.map_or(0, Version::cast_signed),
                status: placement.status,
                fingerprint: placement.fingerprint,
                revision: placement.revision.clone(),
                spans: placement.spans.clone(),
            }),
            incarnation: state.incarnation,
            answered_floor: state.answered.floor().cast_signed(),
            answered_above: above.into_iter().map(Version::cast_signed).collect(),
            answered_runs: runs.to_vec(),
            answered_forgotten: state.answered.forgotten().cast_signed(),
            newest: state.newest.cast_signed(),
            newest_generation: state.newest_generation,
            intent: state.intent.as_ref().map(|intent| WriteIntentRecord {
                operation: match intent.operation {
                    WriteOperation::Create => WriteOperationSymbol::Create,
                    WriteOperation::Update => WriteOperationSymbol::Update,
                },
                incarnation: intent.incarnation,
                first_version: intent.first_version.cast_signed(),
                since: intent.since,
                slot: intent.slot.as_ref().map(SlotRecord::from),
                if_match: intent.if_match.clone(),
                asked: intent.asked.clone(),
            }),
            unclean_ends: state.suspicion.unclean_ends,
            alone: state.suspicion.alone,
            parked: state.parked.iter().map(ParkedRecord::from).collect(),
            lost: state.lost.iter().map(|version| version.cast_signed()).collect(),
            last_day: state.last_day,
            last_decision: state.last_decision.clone(),
            told_delay: state.told_delay.as_deref().copied().map(ToldDelayRecord::from),
            task: None,
            quotas: Vec::new(),
            fleet: None,
        }
    }
}

impl From<&TaskPositions> for AppointmentStateRecord {
    fn from(positions: &TaskPositions) -> Self {
        AppointmentStateRecord { task: Some(positions.into()), ..AppointmentStateRecord::of_no_booking() }
    }
}

impl AppointmentStateRecord {
    /// A record that is of no booking: both ids are empty.
    pub(super) fn of_no_booking() -> Self {
        let nobody = BookingKey { practice: "".into(), booking: "".into() };
        AppointmentStateRecord::of(&nobody, &BookingState::default())
    }
}

impl From<&Slot> for SlotRecord {
    fn from(slot: &Slot) -> Self {
        let Slot { patient_id, start, provider_id } = slot.clone();
        SlotRecord { patient_id, start, provider_id }
    }
}

impl From<SlotRecord> for Slot {
    fn from(record: SlotRecord) -> Self {
        let SlotRecord { patient_id, start, provider_id } = record;
        Slot { patient_id, start, provider_id }
    }
}

impl From<&Parked> for ParkedRecord {
    fn from(parked: &Parked) -> Self {
        ParkedRecord {
            version: parked.version.cast_signed(),
            place: match parked.place {
                ParkingPlace::Retry => ParkingPlaceSymbol::Retry,
                ParkingPlace::Review(_) => ParkingPlaceSymbol::Review,
                ParkingPlace::Failed => ParkingPlaceSymbol::Failed,
            },
            generation: parked.generation,
            wish: parked.wish.as_deref().cloned(),
            hold: match parked.place {
                ParkingPlace::Review(hold) => hold,
                ParkingPlace::Retry | ParkingPlace::Failed => Hold::Question,
            },
        }
    }
}

impl From<ParkedRecord> for Parked {
    fn from(record: ParkedRecord) -> Self {
        Parked {
            version: record.version.cast_unsigned(),
            place: match record.place {
                ParkingPlaceSymbol::Retry => ParkingPlace::Retry,
                ParkingPlaceSymbol::Review => ParkingPlace::Review(record.hold),
                ParkingPlaceSymbol::Failed => ParkingPlace::Failed,
            },
            generation: record.generation,
            wish: record.wish.map(Box::new),
        }
    }
}

impl TryFrom<AppointmentStateRecord> for StateRecord {
    type Error = NotRuns;

    fn try_from(record: AppointmentStateRecord) -> Result<Self, NotRuns> {
        if let Some(task) = record.task {
            return Ok(StateRecord::Task(task.into()));
        }
        if !record.quotas.is_empty() {
            let counts = record.quotas.into_iter().map(Into::into).collect();
            return Ok(StateRecord::Quota(quota::owner(record.practice_id), counts));
        }
        let floor = record.answered_floor.cast_unsigned();
        let answered = if record.answered_runs.is_empty() && record.answered_forgotten == 0 {
            VersionSet::new(floor, record.answered_above.iter().map(|one| one.cast_unsigned()).collect())
        } else {
            VersionSet::restored(floor, &record.answered_runs, record.answered_forgotten.cast_unsigned())?
        };
        let state = BookingState {
            placement: record.placement.map(|placement| Placement {
                appointment_id: placement.appointment_id,
                patient_id: placement.patient_id,
                patient: placement.patient,
                incarnation: placement.incarnation,
                version: Some(placement.version.cast_unsigned()).filter(|version| *version != 0),
                status: placement.status,
                fingerprint: placement.fingerprint,
                revision: placement.revision,
                spans: placement.spans,
            }),
            incarnation: record.incarnation,
            answered,
            newest: record.newest.cast_unsigned(),
            newest_generation: record.newest_generation,
            intent: record.intent.map(|intent| {
                Box::new(WriteIntent {
                    operation: match intent.operation {
                        WriteOperationSymbol::Create => WriteOperation::Create,
                        WriteOperationSymbol::Update => WriteOperation::Update,
                    },
                    incarnation: intent.incarnation,
                    first_version: intent.first_version.cast_unsigned(),
                    since: intent.since,
                    slot: intent.slot.map(Slot::from),
                    if_match: intent.if_match,
                    asked: intent.asked,
                })
            }),
            suspicion: Suspicion { unclean_ends: record.unclean_ends, alone: record.alone },
            parked: record.parked.into_iter().map(Parked::from).collect(),
            lost: record.lost.into_iter().map(i64::cast_unsigned).collect(),
            last_day: record.last_day,
            last_decision: record.last_decision,
            told_delay: record.told_delay.map(|told| Box::new(told.into())),
            last_write_at: None,
        };
        let key = BookingKey { practice: record.practice_id, booking: record.booking_id };
        Ok(StateRecord::Booking(key, state))
    }
}

impl PatientStateRecord {
    /// The record of a patient.
    pub fn of(key: &PatientKey, state: &PatientState) -> Self {
        PatientStateRecord {
            practice_id: key.practice.clone(),
            patient_id: key.patient.clone().into(),
            link: state.link.as_ref().map(|link| LinkRecord {
                healthflow_patient_id: link.healthflow_patient_id.0.clone(),
                origin: link.origin,
                digests: link.digests.clone(),
                outranks: link.outranks.as_ref().map(|id| id.0.clone().into()),
                decided_by: link.decided.as_ref().map(|decided| Arc::clone(&decided.by)),
                decided_at: link.decided.as_ref().map(|decided| decided.at),
            }),
            incarnation: state.incarnation,
            reference: state.reference,
            intent: state.intent.as_ref().map(|intent| PatientIntentRecord {
                incarnation: intent.incarnation,
                reference: intent.reference,
                since: intent.since,
                person: intent.person,
                digests: intent.digests.clone(),
            }),
            unclean_ends: state.suspicion.unclean_ends,
            alone: state.suspicion.alone,
            held_by: state.held_by.clone(),
            unseen: state.unverified_creation.map(UnverifiedCreation::code),
            rejected: state.rejected.iter().map(|rejected| rejected.chart.clone()).collect(),
            rejected_for: state.rejected.iter().map(|rejected| rejected.person.clone()).collect(),
            is_new: state.is_new,
            is_unlinked: state.is_unlinked,
        }
    }
}

impl From<PatientStateRecord> for StateRecord {
    fn from(record: PatientStateRecord) -> Self {
        let state = PatientState {
            link: record.link.map(|link| Link {
                healthflow_patient_id: HealthFlowPatientId(link.healthflow_patient_id),
                origin: link.origin,
                digests: link.digests,
                outranks: link.outranks.map(|id| HealthFlowPatientId(id.reveal().clone())),
                decided: link.decided_by.zip(link.decided_at).map(|(by, at)| Box::new(Decided { by, at })),
            }),
            incarnation: record.incarnation,
            reference: record.reference,
            intent: record.intent.map(|intent| {
                Box::new(PatientIntent {
                    incarnation: intent.incarnation,
                    reference: intent.reference,
                    since: intent.since,
                    person: intent.person,
                    digests: intent.digests,
                })
            }),
            suspicion: Suspicion { unclean_ends: record.unclean_ends, alone: record.alone },
            held_by: record.held_by,
            unverified_creation: record.unseen.map(UnverifiedCreation::of_code),
            rejected: rejected(record.rejected, record.rejected_for),
            is_new: record.is_new,
            is_unlinked: record.is_unlinked,
            last_write_at: None,
        };
        let key = PatientKey { practice: record.practice_id, patient: record.patient_id.reveal().clone() };
        StateRecord::Patient(key, state)
    }
}

/// Each chart with whose it is not. An earlier worker wrote only the charts.
fn rejected(charts: Vec<HealthFlowPatientId>, people: Vec<Option<PersonDigests>>) -> Vec<Rejected> {
    let people = people.into_iter().chain(std::iter::repeat(None));
    charts.into_iter().zip(people).map(|(chart, person)| Rejected { chart, person }).collect()
}

//! One of every fact, for the tests of log and metrics. Their booking belongs to a patient made of canaries.

use std::sync::Arc;

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, Patient, Sex, Source, Version, Visit};
use healthflow_core::event::decision::VerdictSymbol;
use healthflow_core::event::{Control, ControlId, ControlKind, Identity, NoticeKind, Origin, Setting};
use healthflow_core::fact::{DropCause, DuplicateOf, Fact, LinkChange, PauseCause};
use healthflow_core::healthflow::Operation;
use healthflow_core::life::{LaneEnd, Loss, LostPosition};
use healthflow_core::limits::rejection_storm::{StormChange, StormOf};
use healthflow_core::limits::shared_counter::{Change, CounterTrouble};
use healthflow_core::limits::{BreakerCause, QuotaEnd};
use healthflow_core::patient::search::PassKind;
use healthflow_core::sync::{Disposition, FailureReason, ReviewReason, SyncedOutcome};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

/// Values that must never get out: each is in the booking of [`facts`].
pub(super) const CANARIES: [&str; 9] = [
    "canary-patient",
    "canary-healthflow-patient",
    "Canarygiven",
    "Canaryfamily",
    "1987-06-05",
    "54321",
    "canary-phone",
    "canary@example.org",
    "canary-note",
];

pub(super) fn booking() -> Booking {
    Booking {
        event_id: "e-1".into(),
        key: healthflow_core::booking::BookingKey {
            practice: "p-1".into(),
            booking: "b-1\nERROR forged".into(),
        },
        location_id: "l-1".into(),
        version: 3,
        status: BookingStatus::Scheduled,
        requested_at: Timestamp(1_000),
        source: Source::Live,
        patient: Patient {
            id: CANARIES[0].into(),
            healthflow_patient_id: Some(CANARIES[1].into()),
            given_name: CANARIES[2].into(),
            family_name: CANARIES[3].into(),
            date_of_birth: jiff::civil::date(1987, 6, 5).into(),
            postal_code: CANARIES[5].into(),
            phone: Some(CANARIES[6].into()),
            email: Some(CANARIES[7].into()),
            sex: Some(Sex::Female),
        },
        visit: Visit {
            start: Timestamp(2_000_000),
            duration_minutes: 30,
            time_zone: "America/Chicago".into(),
            provider_id: "d-1".into(),
            operatory_id: None,
            procedure_codes: Vec::new(),
            note: Some(CANARIES[8].into()),
        },
    }
}

/// One of every fact there is, some twice.
pub(super) fn facts() -> Vec<Fact> {
    let booking = booking();
    let Identity { key, version, requested_at, .. } = Identity::from(&booking);
    let detail: Arc<str> = healthflow_core::booking::check::Invalid {
        field: "patient.date_of_birth",
        rule: "must not lie in the future",
    }
    .to_string()
    .into();
    let mut facts = vec![
        Fact::TaskAcquired {
            partition: 4,
            incarnation: 1,
            restored_records: 10,
            restore_ms: 1_500,
            open_intents: 2,
        },
        Fact::TaskReleased { partition: 4 },
        Fact::TaskDropped { partition: 4, why: DropCause::CommitLost },
        Fact::TaskDropped {
            partition: 4,
            why: DropCause::LaneEnded { topic: Lane::Retry.topic(), why: LaneEnd::TopicGone },
        },
        Fact::PositionLost {
            partition: 4,
            position: LostPosition { lane: Lane::Retry, why: Loss::TopicRecreated, from: Some(9), to: 0 },
        },
        Fact::BookingSynced {
            key: key.clone(),
            version,
            outcome: SyncedOutcome::Created,
            source: booking.source,
            end_to_end_ms: Timestamp(31_000).since_ms(requested_at),
        },
        Fact::BookingFailed {
            key: Some(key.clone()),
            origin: Some(Origin { lane: Lane::Requested, partition: 4, offset: 77 }),
            reason: FailureReason::Impossible,
            disposition: Disposition::Poison,
            detail,
        },
        Fact::BookingParked {
            key: key.clone(),
            version,
            attempts: 1,
            not_before: Timestamp(5_000),
            last_error: "timeout".into(),
        },
        Fact::BookingReparked { key: key.clone(), version },
        Fact::DuplicateSkipped { key: key.clone(), version, differs: Some(true) },
        Fact::DuplicateSkipped { key: key.clone(), version, differs: Some(false) },
        Fact::AnswerForgotten { key: key.clone(), version },
        Fact::LinkChanged { key: key.clone(), how: LinkChange::Renamed },
        Fact::BookingReopened { key: key.clone(), version },
        Fact::BookingsForgotten { partition: 4, count: 7 },
        Fact::DoubtOpened {
            key: Some(key.clone()),
            operation: Operation::CreateAppointment,
            settles_at: Timestamp(80_000),
        },
        Fact::DoubtSettled { key: Some(key.clone()), found: Some(true) },
        Fact::EditOverwritten { key },
        Fact::TransactionCommitted { partition: 4, records: 12, aborts: 1, elapsed_ms: 8 },
        Fact::DuplicateFound { key: None, what: DuplicateOf::Patient },
    ];
    facts.extend(stray_facts(&booking.key));
    facts.extend(call_facts(&booking.key));
    facts.extend(control_facts());
    facts.extend(slot_facts(&booking.key, version));
    facts.extend(review_facts(&booking.key, version));
    facts
}

fn control_facts() -> Vec<Fact> {
    let control = |kind, setting| {
        let id = ControlId { kind, practice: Some("p-1".into()) };
        let (by, why, at) = ("ops-2".into(), "import\nERROR forged".into(), Timestamp(9_000));
        Fact::ControlChanged { control: Arc::new(Control { id, version: 2, setting, by, why, at }) }
    };
    let limited = Setting::Limited { per_second: Some(2.5), weight: None };
    vec![
        control(ControlKind::Pause, Some(Setting::Paused)),
        control(ControlKind::Pause, None),
        control(ControlKind::Limit, Some(limited)),
    ]
}

fn review_facts(key: &BookingKey, version: Version) -> Vec<Fact> {
    vec![
        Fact::BookingHeld { key: key.clone(), version, reason: ReviewReason::AmbiguousPatient },
        Fact::BookingReleased { key: key.clone(), version },
        Fact::ReviewLookedAt { key: key.clone(), version },
        Fact::ReviewUrgent { key: key.clone(), version },
        Fact::DecisionTaken { key: key.clone(), version, verdict: VerdictSymbol::Link },
    ]
}

/// What records in foreign partitions bring.
fn stray_facts(key: &BookingKey) -> [Fact; 2] {
    let (origin, home) = (Origin { lane: Lane::Requested, partition: 4, offset: 17 }, 3);
    let practice = Some(key.practice.clone());
    [Fact::RecordForwarded { origin, home }, Fact::KeyMisrouted { practice, origin, home, records: 240 }]
}

fn slot_facts(key: &BookingKey, version: Version) -> Vec<Fact> {
    vec![
        Fact::SlotAwaited { key: key.clone(), version },
        Fact::SlotAwaitedInVain { key: key.clone(), version, is_cycle: true },
        Fact::SlotAwaitedInVain { key: key.clone(), version, is_cycle: false },
        Fact::WrittenFirst { key: key.clone(), version },
    ]
}

/// What calls bring.
fn call_facts(key: &BookingKey) -> Vec<Fact> {
    vec![
        Fact::CallSent { operation: Operation::CreateAppointment },
        Fact::CallAnswered { operation: Operation::CreateAppointment, fault: None, elapsed_ms: 40 },
        Fact::ForeignAnswer {
            practice: key.practice.clone(),
            booking: Some(key.booking.clone()),
            operation: Operation::CreateAppointment,
            status: 413,
        },
        Fact::SearchTooWide { key: key.clone(), pass: PassKind::DateOfBirth },
        Fact::CallForbidden {
            practice: key.practice.clone(),
            booking: None,
            operation: Operation::CreateAppointment,
        },
        Fact::CallThrottled {
            practice: key.practice.clone(),
            booking: Some(key.booking.clone()),
            operation: Operation::CreateAppointment,
            until: Timestamp(9_000),
        },
        Fact::ReadsFail { operation: Operation::SearchPatients },
        Fact::ReadsAnswered { operation: Operation::SearchPatients },
        Fact::BreakerOpened { cause: BreakerCause::Timeout, calls: 12, bad: 9 },
        Fact::BreakerProbeFailed,
        Fact::BreakerClosed { open_ms: 90_000 },
        Fact::CounterChanged(Change::Away(CounterTrouble::Unreachable)),
        Fact::CounterChanged(Change::Back { away_ms: 90_000 }),
        Fact::StormChanged(StormChange::Began {
            of: StormOf { practice: None, operation: Operation::CreateAppointment },
            rule: "procedure_codes: unknown".into(),
            calls: 20,
            refused: 19,
        }),
        Fact::StormChanged(StormChange::Over {
            of: StormOf { practice: Some(key.practice.clone()), operation: Operation::CreatePatient },
            lasted_ms: 90_000,
            is_accepted: true,
        }),
        Fact::StormChanged(StormChange::Over {
            of: StormOf { practice: None, operation: Operation::CreateAppointment },
            lasted_ms: 86_400_000,
            is_accepted: false,
        }),
        Fact::NoticeWritten { partition: 3, kind: NoticeKind::OutageBegan },
        Fact::PromiseEnded { late_ms: -4_000 },
        Fact::PromiseEnded { late_ms: 4_000 },
        Fact::LimitUnknown { name: "daily".into(), calls: 1_000, window_s: Some(86_400) },
        Fact::LimitUnknown { name: "x-ratelimit".into(), calls: 100, window_s: None },
        runs_out(Source::Live),
        runs_out(Source::Backfill),
        paused(key, PauseCause::UsedUp),
        paused(key, PauseCause::Unauthorised),
        paused(key, PauseCause::Throttled),
        paused(key, PauseCause::Unavailable),
        paused(key, PauseCause::Forbidden),
    ]
}

fn runs_out(source: Source) -> Fact {
    let (runs_out_at, window_ends_at) = (Timestamp(1_767_600_000_000), Timestamp(1_767_657_600_000));
    Fact::QuotaRunsOut(QuotaEnd { limit: "day".into(), source, left: 1_200, runs_out_at, window_ends_at })
}

fn paused(key: &BookingKey, why: PauseCause) -> Fact {
    let (practice, booking) = (key.practice.clone(), Some(key.booking.clone()));
    Fact::AccountPaused { until: Timestamp(9_000), why, practice, booking }
}

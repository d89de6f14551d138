//! What holds of every decision: it is the same whenever it is made, it changes nothing, and what follows from it ends.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::appointment::{Placement, fingerprint::fingerprint};
use crate::booking::BookingStatus;
use crate::event::Schedule;
use crate::event::sample::{NOW, booking};
use crate::partition::advance::MOVES_MAX;
use crate::partition::job::{AskedToWait, InHand};
use crate::partition::start::{Acquired, Start};
use crate::partition::task::Task;
use crate::partition::turn::Shared;
use crate::patient::digests::PersonDigests;
use crate::patient::search::Search;
use crate::patient::{Candidate, Link, LinkOrigin, Person};
use crate::settings::{GuardMode, Settings};
use crate::state::{
    BookingState, Hold, Parked, ParkingPlace, PatientIntent, PatientState, Suspicion, TaskState, WriteIntent,
};
use crate::topics::Lane;

/// A version at hand.
#[derive(Clone, Copy, Debug)]
struct AtHand {
    version: Version,
    is_cancelled: bool,
    /// For somebody else under the same patient id.
    is_anothers: bool,
    /// Its patient's id in HealthFlow was sent along.
    is_sent_along: bool,
    /// It was tried for as long as may be.
    is_over: bool,
}

/// What is known of the booking and its patient when the task is acquired.
#[derive(Clone, Debug)]
struct Restored {
    intent: Option<(WriteOperation, Version)>,
    creation: bool,
    placed: Option<Version>,
    /// What exists is known, in content and revision, and the open write names that revision.
    is_content_known: bool,
    is_linked: bool,
    newest: Version,
    answered: Vec<Version>,
    parked: Vec<(Version, ParkingPlace)>,
    lost: Vec<Version>,
    is_held_by_another: bool,
    unclean_ends: (u32, u32),
}

/// How far the job has come, and when it is.
#[derive(Clone, Debug)]
struct Stage {
    guard: GuardMode,
    is_quiet: bool,
    /// How long ago the search for the patient began that has ended, and whether it found somebody.
    searched: Option<(i64, bool)>,
    /// Whether the chart that is sent along was read, and whether there is one.
    read: Option<bool>,
    has_patient: bool,
    is_told_to_wait: bool,
    first: Option<Version>,
}

const VERSIONS: std::ops::Range<Version> = 1..5;

fn at_hand() -> impl Strategy<Value = Vec<AtHand>> {
    let one = (VERSIONS, any::<[bool; 3]>(), prop::bool::weighted(0.2)).prop_map(
        |(version, [is_cancelled, is_anothers, is_sent_along], is_over)| AtHand {
            version,
            is_cancelled,
            is_anothers,
            is_sent_along,
            is_over,
        },
    );
    prop::collection::vec(one, 0..4)
}

/// None as a rule, or one.
fn few<S: Strategy>(of: S) -> impl Strategy<Value = Vec<S::Value>> {
    prop::option::weighted(0.25, of).prop_map(|one| one.into_iter().collect())
}

fn restored() -> impl Strategy<Value = Restored> {
    let operation = prop::sample::select(vec![WriteOperation::Create, WriteOperation::Update]);
    let place = prop::sample::select(vec![
        ParkingPlace::Retry,
        ParkingPlace::Review(Hold::Question),
        ParkingPlace::Failed,
    ]);
    let known = (
        prop::option::weighted(0.4, (operation, VERSIONS)),
        prop::bool::weighted(0.3),
        prop::option::of(VERSIONS),
        any::<[bool; 2]>(),
        prop_oneof![2 => Just(0), 1 => VERSIONS],
    );
    let waits = (
        few(VERSIONS),
        few((VERSIONS, place)),
        few(VERSIONS),
        prop::bool::weighted(0.2),
        prop_oneof![4 => Just((0, 0)), 1 => (0_u32..9, 0_u32..9)],
    );
    (known, waits).prop_map(
        |(
            (intent, creation, placed, [is_linked, is_content_known], newest),
            (answered, parked, lost, is_held_by_another, unclean_ends),
        )| Restored {
            intent,
            creation,
            placed,
            is_content_known,
            is_linked,
            newest,
            answered,
            parked,
            lost,
            is_held_by_another,
            unclean_ends,
        },
    )
}

fn stage() -> impl Strategy<Value = Stage> {
    let guards =
        vec![GuardMode::IdempotencyKey, GuardMode::UniqueReference, GuardMode::Reference, GuardMode::Search];
    let searched = prop::option::of((prop::sample::select(vec![1, 600_000]), any::<bool>()));
    let known = (searched, prop::option::of(any::<bool>()), prop::option::weighted(0.2, VERSIONS));
    (prop::sample::select(guards), any::<[bool; 2]>(), prop::bool::weighted(0.1), known).prop_map(
        |(guard, [is_quiet, has_patient], is_told_to_wait, (searched, read, first))| Stage {
            guard,
            is_quiet,
            searched,
            read,
            has_patient,
            is_told_to_wait,
            first,
        },
    )
}

fn in_hand(at_hand: &AtHand, settings: &Settings) -> InHand {
    let mut booking = booking();
    booking.version = at_hand.version;
    if at_hand.is_cancelled {
        booking.status = BookingStatus::Cancelled;
    }
    if at_hand.is_anothers {
        booking.patient.given_name = "Ada".into();
        booking.patient.date_of_birth = jiff::civil::date(1815, 12, 10).into();
    }
    if !at_hand.is_sent_along {
        booking.patient.healthflow_patient_id = None;
    }
    let order = i64::try_from(at_hand.version).expect("small");
    let first_failed_at = at_hand.is_over.then(|| NOW.plus_ms(-settings.retry_max_age_ms));
    let last_failed_at = at_hand.is_over.then_some(NOW);
    let schedule = Schedule { first_failed_at, last_failed_at, ..Schedule::default() };
    InHand {
        booking: Arc::new(booking),
        position: Some(Lane::Requested.at(order)),
        schedule,
        taken_up_at: NOW,
        is_late: false,
        order,
    }
}

fn of_booking(restored: &Restored, settings: &Settings) -> BookingState {
    let mut state =
        BookingState { newest: restored.newest, lost: restored.lost.clone(), ..Default::default() };
    state.intent = restored.intent.map(|(operation, first_version)| {
        Box::new(WriteIntent {
            operation,
            incarnation: 0,
            first_version,
            since: NOW.plus_ms(-10_000),
            slot: None,
            if_match: restored.is_content_known.then(|| "r".into()),
            asked: Vec::new(),
        })
    });
    state.placement = restored.placed.map(|version| Placement {
        appointment_id: "a".into(),
        patient_id: "hf-1".into(),
        patient: None,
        incarnation: 0,
        version: Some(version),
        status: BookingStatus::Scheduled,
        fingerprint: restored.is_content_known.then(|| fingerprint(&booking(), "hf-1")),
        revision: restored.is_content_known.then(|| "r".into()),
        spans: Vec::new(),
    });
    for version in &restored.answered {
        state.answered.insert(*version, settings.answered_bytes_max);
    }
    for (version, place) in &restored.parked {
        state.parked.push(Parked { version: *version, place: *place, generation: 1, wish: None });
    }
    state.suspicion = Suspicion { unclean_ends: restored.unclean_ends.0, alone: false };
    state
}

fn of_patient(restored: &Restored) -> PatientState {
    let (patient, person) = (booking().patient_key(), Person::from(&booking().patient));
    let digests = Some(PersonDigests::of(&patient, &person));
    let creation = || PatientIntent {
        incarnation: 0,
        reference: 0,
        since: NOW.plus_ms(-10_000),
        person: None,
        digests: digests.clone(),
    };
    let link = || Link {
        healthflow_patient_id: "hf-1".into(),
        origin: LinkOrigin::Found,
        digests: digests.clone(),
        outranks: None,
        decided: None,
    };
    PatientState {
        intent: restored.creation.then(|| Box::new(creation())),
        link: restored.is_linked.then(link),
        held_by: restored.is_held_by_another.then(|| "another".into()),
        suspicion: Suspicion { unclean_ends: restored.unclean_ends.1, alone: false },
        ..PatientState::default()
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Goal: what a job is left to do is decided by what is known, and is decided: a job without an end would hang the
    /// worker. Method: a booking in any state, with any versions at hand; each decision is made twice, then carried out.
    #[test]
    fn a_decision_is_always_the_same_changes_nothing_and_leads_to_an_end(
        at_hand in at_hand(),
        restored in restored(),
        stage in stage(),
    ) {
        let settings = Settings { guard: stage.guard, ..Settings::for_tests() };
        let (booking_key, patient) = (booking().key, booking().patient_key());
        let mut state = TaskState::default();
        *state.bookings.entry_mut(&booking_key) = of_booking(&restored, &settings);
        *state.patients.entry_mut(&patient) = of_patient(&restored);
        let ago_ms = if stage.is_quiet { 3_600_000 } else { settings.search_lag_ms + 1 };
        let fenced_at = NOW.plus_ms(-ago_ms);
        let start = Start { next_offsets: vec![Lane::Requested.at(9), Lane::Retry.at(9)], ..Start::default() };
        let acquired = Acquired { fenced_at, start, state, restored_records: 0, restored_at: fenced_at };
        let (shared, mut facts) = (Shared::new(settings.clone()), VecDeque::new());
        let mut turn = shared.turn(&mut facts, NOW);
        let mut task = Task::new(0, 1, acquired, fenced_at, &mut turn);

        let versions: BTreeMap<_, _> =
            at_hand.iter().map(|one| (one.version, in_hand(one, &settings))).collect();
        let key = JobKey::Booking(booking_key);
        let mut job = Job { versions, first: stage.first, ..Job::default() };
        if stage.has_patient && task.jobs.lock_patient(&patient, &key) {
            job.patient = Some(patient);
        }
        let person = || Person::from(&booking().patient);
        let chart = || Candidate { id: Some("hf-1".into()), external_id: None, person: person() };
        job.search = stage.searched.map(|(ago_ms, found)| Search {
            answered: 99,
            candidates: found.then(chart).into_iter().collect(),
            ..Search::start(NOW.plus_ms(-ago_ms))
        });
        job.charts.extend(stage.read.map(|is_there| ("hf-1".into(), is_there.then(chart))));
        let told = AskedToWait { in_pause: 1, until: NOW.plus_ms(5_000), by_itself: false };
        job.asked_to_wait = stage.is_told_to_wait.then_some(told);

        let mut moves = Vec::new();
        loop {
            let before = (hash(&task), hash(&job), turn.facts.len());
            let decided = task.view().decide(&key, &job, &turn);
            prop_assert_eq!(&task.view().decide(&key, &job, &turn), &decided);
            prop_assert_eq!((hash(&task), hash(&job), turn.facts.len()), before);
            moves.push(decided.clone());
            // Half of what ends it in a worker, so that what is added to the moves is noticed here first.
            prop_assert!(moves.len() <= MOVES_MAX / 2, "{:#?}", moves);
            let at_hand = job.versions.len();
            if let ControlFlow::Break(_) = task.apply(decided, &key, &mut job, &mut turn) {
                break;
            }
            if job.versions.len() < at_hand {
                moves.clear();
            }
        }
    }
}

//! The small worlds that are explored: few bookings, few owners, every guard mode, and what may go wrong in each.

use healthflow_core::booking::{Booking, Patient};
use healthflow_core::limits::{BreakerLimits, RejectionStormLimits};
use healthflow_core::patient::digests::PersonDigests;
use healthflow_core::patient::{Link, LinkOrigin, Person};
use healthflow_core::settings::GuardMode::{self, IdempotencyKey, Reference, Search, UniqueReference};
use healthflow_core::settings::Settings;
use healthflow_core::state::{PatientState, StateRecord, TaskState};
use healthflow_core::time::Timestamp;

use crate::bookings::{BEGIN_MS, Who, asking_for, at_hour, booking, cancelled};
use crate::healthflow::{Chart, Nature, chart_id};
use crate::moves::Fault;
use crate::situations::Situation;

/// One small world, and how far it is explored.
pub struct Scenario {
    pub name: &'static str,
    pub settings: Settings,
    pub nature: Nature,
    /// What DentScheduler publishes, in order.
    pub records: Vec<Booking>,
    /// Whether the patient who is sent along was never read: else the link is there from the beginning.
    pub is_unread: bool,
    pub owners: usize,
    /// Faults a path may have.
    pub faults_max: u8,
    pub faults: &'static [Fault],
    /// How many decisions people write; none: what is asked stays so.
    pub decisions_max: usize,
    /// Whether desks took legal steps only: then no slot may be found taken.
    pub is_legal: bool,
    /// What must have been met, or it proves nothing.
    pub must_meet: Vec<Situation>,
}

/// What there is of everything.
pub const ALL: [Fault; 17] = [
    Fault::Crash,
    Fault::Pause,
    Fault::CutOff,
    Fault::Revoke,
    Fault::AcquireFails,
    Fault::Connect,
    Fault::Throttled,
    Fault::Vanish,
    Fault::LostAnswer,
    Fault::Late,
    Fault::Hangs,
    Fault::StaleReplica,
    Fault::SlowCall,
    Fault::CommitLost,
    Fault::CommitGoodUnknown,
    Fault::CommitAborted,
    Fault::CommitSlow,
];

impl Scenario {
    /// What an owner before has committed: that the patient who is sent along was read.
    pub fn committed(&self) -> TaskState {
        let mut state = TaskState::default();
        if !self.is_unread {
            let known = booking("x", 1, Who::Known);
            let key = known.patient_key();
            let link = Link {
                healthflow_patient_id: chart_id(0).as_ref().into(),
                origin: LinkOrigin::Provided,
                digests: Some(PersonDigests::of(&key, &Person::from(&known.patient))),
                outranks: None,
                decided: None,
            };
            let patient = PatientState { link: Some(link), ..PatientState::default() };
            state.apply(StateRecord::Patient(key, patient));
        }
        state
    }

    /// Who stands in HealthFlow before it begins.
    pub fn charts(&self) -> impl Iterator<Item = Chart> {
        let known: Patient = booking("x", 1, Who::Known).patient;
        std::iter::once(Chart {
            external_id: None,
            person: Person::from(&known),
            visible_at: Timestamp(BEGIN_MS),
            is_gone: false,
        })
    }
}

/// R, late, lag and lease in a small world, in milliseconds: so short that few wake-ups lie between them.
const REQUEST_LIFE_MS: i64 = 400;
const LATE_LANDING_MS: i64 = 400;
pub const SEARCH_LAG_MS: i64 = 200;

pub fn settings(guard: GuardMode) -> Settings {
    Settings {
        guard,
        key_retention_ms: 1 << 40,
        request_life_ms: REQUEST_LIFE_MS,
        late_landing_ms: LATE_LANDING_MS,
        search_lag_ms: SEARCH_LAG_MS,
        search_pages_max: 3,
        // Permits and commits never wait: what waits for them waits for nothing.
        requests_per_second: f64::INFINITY,
        transactions_per_second_max: f64::INFINITY,
        commit_interval_ms: 0,
        unauthorised_pause_ms: 300,
        throttled_pause_ms: 300,
        pause_max_ms: 300,
        lease_ms: 1_000,
        lease_margin_ms: 100,
        max_in_flight: 4,
        // What is compared forgets how long calls took.
        in_flight_slow_ratio: 0.0,
        ready_queue_max: 4,
        again_share: 0.5,
        overdue_after_ms: 0,
        promise_ms: 0,
        memory_wait_ms: 2_500,
        release_drain_ms: 300,
        reacquire_pause_ms: 300,
        // Nobody is given up: a person's decision is no part of a small world.
        crash_suspect_after: 2,
        crash_review_after: 100,
        retry_backoff_min_ms: 500,
        retry_backoff_max_ms: 500,
        retry_max_age_ms: 1 << 40,
        retry_visit_grace_ms: 1 << 40,
        slot_wait_max_ms: 1 << 40,
        waiting_room_max: 100,
        // When each call ended would tell apart worlds that are the same.
        breaker: BreakerLimits::off(),
        rejection_storm: RejectionStormLimits::off(),
        ..Settings::for_tests()
    }
}

/// What every world in which everything can go wrong must have met.
const ANYWHERE: [Situation; 7] = [
    Situation::Created,
    Situation::RefusedByLease,
    Situation::ZombieFenced,
    Situation::CommittedAgain,
    Situation::Dropped,
    Situation::GivenBack,
    Situation::LandedLate,
];

/// How a create in doubt comes to its end.
const fn settled_by(guard: GuardMode) -> &'static [Situation] {
    match guard {
        IdempotencyKey => &[Situation::ReplayedUnderItsKey],
        UniqueReference => &[Situation::AlreadyThere],
        Reference | Search => &[Situation::FoundByLookUp, Situation::NotFoundByLookUp],
    }
}

/// The same world, which must have met these too.
fn meets(mut scenario: Scenario, also: &[Situation]) -> Scenario {
    scenario.must_meet.extend_from_slice(also);
    scenario
}

/// The same world with other faults, `faults_max` a path.
fn within(mut scenario: Scenario, faults_max: u8, faults: &'static [Fault]) -> Scenario {
    (scenario.faults_max, scenario.faults) = (faults_max, faults);
    if faults.len() < ALL.len() {
        scenario.must_meet = vec![Situation::Created, Situation::LandedLate];
        scenario.must_meet.extend_from_slice(settled_by(scenario.settings.guard));
    }
    scenario
}

fn scenario(name: &'static str, guard: GuardMode, records: Vec<Booking>) -> Scenario {
    Scenario {
        name,
        settings: settings(guard),
        nature: Nature {
            guard,
            lag_ms: SEARCH_LAG_MS,
            slot_conflicts: false,
            slots_before_keys: false,
            supports_if_match: false,
            replays_for_other_bytes: false,
        },
        records,
        is_unread: false,
        owners: 2,
        decisions_max: 0,
        is_legal: false,
        faults_max: 2,
        faults: &ALL,
        must_meet: [&ANYWHERE[..], settled_by(guard)].concat(),
    }
}

/// Workers that do not know that they lost the task, and what hangs meanwhile.
const ZOMBIES: [Fault; 5] = [Fault::Pause, Fault::CutOff, Fault::Late, Fault::SlowCall, Fault::CommitSlow];
/// Writes of which nobody knows, again and again.
const DOUBTS: [Fault; 5] = [Fault::Crash, Fault::Vanish, Fault::LostAnswer, Fault::Late, Fault::Throttled];
/// What may come between one step and the next.
const STEPS: [Fault; 5] = [Fault::Crash, Fault::Connect, Fault::LostAnswer, Fault::Late, Fault::CommitLost];
/// What may come between a decision and what follows from it.
const REVIEWS: [Fault; 4] = [Fault::Crash, Fault::CommitLost, Fault::CommitGoodUnknown, Fault::LostAnswer];
const DELETIONS: [Fault; 5] =
    [Fault::DeleteAppointment, Fault::Crash, Fault::LostAnswer, Fault::Late, Fault::StaleReplica];
const EDITS: [Fault; 5] = [Fault::Edit, Fault::Crash, Fault::LostAnswer, Fault::Late, Fault::CutOff];
const DELETED_PATIENTS: [Fault; 4] = [Fault::DeletePatient, Fault::Crash, Fault::LostAnswer, Fault::Late];

/// Every small world.
pub fn all() -> Vec<Scenario> {
    [
        single_bookings(),
        versions(),
        people(),
        decisions(),
        oddities(),
        legal_steps(),
        revisions(),
        few_faults_many_times(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One version of one booking of a known patient, and everything that can go wrong.
fn single_bookings() -> Vec<Scenario> {
    let one = || vec![booking("x", 1, Who::Known)];
    vec![
        scenario("one booking, key", IdempotencyKey, one()),
        scenario("one booking, unique", UniqueReference, one()),
        scenario("one booking, reference", Reference, one()),
        scenario("one booking, search", Search, one()),
        within(Scenario { is_unread: true, ..scenario("sent along, key", IdempotencyKey, one()) }, 1, &ALL),
    ]
}

/// Several versions of one booking.
fn versions() -> Vec<Scenario> {
    let two = || vec![booking("x", 1, Who::Known), booking("x", 2, Who::Known)];
    let three = || [two(), vec![booking("x", 3, Who::Known)]].concat();
    let called_off = || vec![booking("x", 1, Who::Known), cancelled(booking("x", 2, Who::Known))];
    let changed =
        |scenario| meets(scenario, &[Situation::Updated, Situation::Superseded, Situation::UpdateSettled]);
    let cancels = |scenario| meets(scenario, &[Situation::Cancelled, Situation::Superseded]);
    let same = vec![booking("x", 1, Who::Known), asking_for(1, "x", 2, Who::Known)];
    vec![
        meets(changed(scenario("two versions, key", IdempotencyKey, two())), &[Situation::KeyReused]),
        changed(scenario("two versions, unique", UniqueReference, two())),
        changed(scenario("two versions, reference", Reference, two())),
        changed(scenario("two versions, search", Search, two())),
        cancels(scenario("called off, key", IdempotencyKey, called_off())),
        cancels(scenario("called off, reference", Reference, called_off())),
        changed(within(scenario("three versions, key", IdempotencyKey, three()), 1, &ALL)),
        changed(within(scenario("three versions, reference", Reference, three()), 1, &ALL)),
        meets(
            scenario("newest first, reference", Reference, two().into_iter().rev().collect()),
            &[Situation::Superseded],
        ),
        meets(
            scenario("the same twice, key", IdempotencyKey, vec![booking("x", 1, Who::Known); 2]),
            &[Situation::CopySkipped],
        ),
        meets(scenario("unchanged, unique", UniqueReference, same), &[Situation::Unchanged]),
    ]
}

/// Patients whom nobody at HealthFlow knows.
fn people() -> Vec<Scenario> {
    let new = || vec![booking("x", 1, Who::Ada)];
    let pair = |who, other| vec![booking("x", 1, who), booking("y", 1, other)];
    let both = |who| pair(Who::Ada, who);
    let doubted = |scenario| meets(scenario, &[Situation::PatientInDoubt]);
    let once = |scenario| doubted(within(scenario, 1, &ALL));
    let twins = |scenario| doubted(within(scenario, 1, &DOUBTS));
    let reviewed = |scenario| meets(twins(scenario), &[Situation::InReview]);
    vec![
        doubted(scenario("new patient, key", IdempotencyKey, new())),
        doubted(scenario("new patient, unique", UniqueReference, new())),
        doubted(scenario("new patient, reference", Reference, new())),
        doubted(scenario("new patient, search", Search, new())),
        once(scenario("two bookings of a new patient, key", IdempotencyKey, both(Who::Ada))),
        once(scenario("two bookings of a new patient, reference", Reference, both(Who::Ada))),
        reviewed(scenario("near twins, key", IdempotencyKey, pair(Who::Taiki, Who::Daiki))),
        reviewed(scenario("near twins, reference", Reference, pair(Who::Taiki, Who::Daiki))),
        reviewed(scenario("brother and sister, key", IdempotencyKey, pair(Who::Sister, Who::Brother))),
        twins(scenario("one person under two ids, key", IdempotencyKey, both(Who::AdaAgain))),
        twins(scenario("one person under two ids, reference", Reference, both(Who::AdaAgain))),
    ]
}

/// What a person is asked, and decides: near twins of whom one is to be created. There may be two decisions about one question, in
/// any order, and one about a question that nobody asks.
fn decisions() -> Vec<Scenario> {
    let twins = || vec![booking("x", 1, Who::Taiki), booking("y", 1, Who::Daiki)];
    let decided = |scenario, decisions_max, faults_max| {
        let mut scenario = within(scenario, faults_max, &REVIEWS);
        scenario.decisions_max = decisions_max;
        scenario.must_meet = vec![Situation::InReview, Situation::Decided, Situation::Created];
        scenario
    };
    vec![
        decided(scenario("decided, key", IdempotencyKey, twins()), 1, 1),
        meets(
            decided(scenario("decided twice, key", IdempotencyKey, twins()), 2, 1),
            &[Situation::DecisionRefused],
        ),
        decided(scenario("decided, reference", Reference, twins()), 1, 1),
    ]
}

/// What HealthFlow, or a person, may do besides.
fn oddities() -> Vec<Scenario> {
    let two = |who| vec![booking("x", 1, who), booking("x", 2, who)];
    let rivals = vec![booking("x", 1, Who::Known), booking("y", 1, Who::Known)];
    let mut refuses = scenario("refuses its own, key", IdempotencyKey, vec![booking("x", 1, Who::Known)]);
    (refuses.nature.slot_conflicts, refuses.nature.slots_before_keys) = (true, true);
    refuses.must_meet = vec![Situation::SlotTaken, Situation::FoundByLookUp];
    let mut replays = scenario("replays for other bytes, key", IdempotencyKey, two(Who::Known));
    replays.nature.replays_for_other_bytes = true;
    let mut taken = within(scenario("one slot for two, reference", Reference, rivals), 1, &ALL);
    taken.nature.slot_conflicts = true;
    vec![
        refuses,
        replays,
        meets(taken, &[Situation::SlotTaken, Situation::Failed]),
        within(scenario("deleted, key", IdempotencyKey, two(Who::Known)), 2, &DELETIONS),
        within(scenario("deleted, reference", Reference, two(Who::Known)), 2, &DELETIONS),
        within(scenario("deleted patient, key", IdempotencyKey, two(Who::Ada)), 2, &DELETED_PATIENTS),
    ]
}

/// Bookings of one provider that take each other's slots, one legal step after the other.
fn legal_steps() -> Vec<Scenario> {
    let at = |hour, id, version| at_hour(booking(id, version, Who::Known), hour);
    let freed = || vec![at(1, "x", 1), cancelled(at(1, "x", 2)), at(1, "y", 1)];
    let exchanged = || vec![at(1, "x", 1), at(2, "y", 1), at(3, "x", 2), at(1, "y", 2), at(2, "x", 3)];
    let legal = |scenario, also: &[Situation]| {
        let mut scenario = within(scenario, 1, &STEPS);
        (scenario.is_legal, scenario.nature.slot_conflicts) = (true, true);
        scenario.must_meet = vec![Situation::Created];
        meets(scenario, also)
    };
    vec![
        legal(scenario("freed and booked anew, key", IdempotencyKey, freed()), &[Situation::SlotAwaited]),
        legal(scenario("freed and booked anew, reference", Reference, freed()), &[Situation::SlotAwaited]),
        legal(
            scenario("exchanged by a third time, key", IdempotencyKey, exchanged()),
            &[Situation::SlotAwaited],
        ),
    ]
}

/// HealthFlow offers versions, and a person edits by hand.
fn revisions() -> Vec<Scenario> {
    let two = || vec![booking("x", 1, Who::Known), booking("x", 2, Who::Known)];
    let offering = |mut scenario: Scenario| {
        (scenario.settings.supports_if_match, scenario.nature.supports_if_match) = (true, true);
        scenario
    };
    vec![
        offering(scenario("two versions, key, revisions", IdempotencyKey, two())),
        offering(scenario("two versions, reference, revisions", Reference, two())),
        offering(within(scenario("edited, reference, revisions", Reference, two()), 2, &EDITS)),
    ]
}

/// Fewer kinds of faults, but more of them.
fn few_faults_many_times() -> Vec<Scenario> {
    let two = || vec![booking("x", 1, Who::Known), booking("x", 2, Who::Known)];
    let zombies = |scenario| {
        let scenario = within(Scenario { owners: 3, ..scenario }, 3, &ZOMBIES);
        meets(scenario, &[Situation::RefusedByLease, Situation::ZombieFenced])
    };
    let doubts = |scenario| within(scenario, 3, &DOUBTS);
    vec![
        zombies(scenario("zombies, key", IdempotencyKey, two())),
        zombies(scenario("zombies, reference", Reference, two())),
        doubts(scenario("doubt upon doubt, key", IdempotencyKey, two())),
        doubts(scenario("doubt upon doubt, reference", Reference, two())),
    ]
}

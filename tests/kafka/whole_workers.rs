//! Whole workers that lose their broker, their partitions or their life in the middle of things, checked by the ledger
//! of HealthFlow and by a `read_committed` consumer of the results.

use healthflow_core::booking::PatientId;
use healthflow_core::event::requested::{AppointmentRequested, RequestedStatus};
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::status::TaskPhase;
use healthflow_core::time::Timestamp;
use rustix::process::Signal;
use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::torn_commits::TXN_OFFSET_COMMIT;
use crate::world::LIMIT;
use healthflow_testkit::processes::kafka_proxy::END_TXN;
use healthflow_testkit::wait::wait_for;

/// A HealthFlow that can only be searched: only our own care prevents duplicates.
const SEARCHED: (&str, &str) = ("healthflow.duplicate_guard", "reference");
const HOUR_MS: i64 = 3_600_000;

/// Bookings of one patient in a practice of each partition.
fn everywhere(rig: &Rig, bookings: &[&str]) -> Vec<AppointmentRequested> {
    let practices = (0..PARTITIONS).map(|partition| rig.practice(partition));
    let of = |practice: String| bookings.iter().map(move |booking| (practice.clone(), *booking));
    practices.flat_map(of).map(|(practice, booking)| rig.event(&practice, booking, 1)).collect()
}

fn moved_to(event: AppointmentRequested, hours: i64) -> AppointmentRequested {
    let mut event = event;
    event.visit.start = Timestamp(event.visit.start.0 + hours * HOUR_MS);
    event
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("waited in vain for {what}"));
}

/// Goal: a broker that dies in the middle of commits loses no result and duplicates none. Method: the ends of the
/// transactions that hold results are on their way when it is killed. It is back before the transactions and the
/// worker's session are over, so that the tasks learn how their commits ended.
#[test]
fn a_killed_broker_in_mid_commit_leaves_each_booking_exactly_one_result() {
    let settings = [
        ("healthflow.duplicate_guard", "idempotency_key"),
        ("kafka.session_timeout_ms", "50000"),
        // A broker that comes back to transactions whose time is over loses some of their markers now and then.
        ("kafka.transaction_timeout_ms", "50000"),
    ];
    let mut rig = Rig::open_with_own_kafka("killed-broker", &settings);
    rig.start_workers_through_proxy();
    rig.wait_live(0, PARTITIONS as usize);
    // Slow, so that the first results are not committed yet when the first appointments exist.
    rig.set_faults(&json!({"latency_ms": 1_500}));
    let events = everywhere(&rig, &["b-1", "b-2", "b-3", "b-4"]);
    rig.publish(&events);
    wait_until("appointments", || rig.existing("appointments").len() >= PARTITIONS as usize);
    rig.proxy().delay(END_TXN);
    wait_until("commits that are delayed", || rig.proxy().delayed() >= 2);
    rig.kill_kafka();
    rig.proxy().calm();
    rig.set_faults(&json!({"latency_ms": 0}));
    let closed = rig.close_after(events.len());
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
    assert_eq!(closed.appointments.len(), events.len());
}

/// Goal: a rebalance in the middle of commits repeats no call and no result. Method: the offsets of results are on
/// their way when a second worker joins, so that they quote a generation that is over; and HealthFlow knows no keys.
#[test]
fn a_rebalance_during_a_commit_repeats_nothing() {
    let mut rig = Rig::open("rebalance", &[SEARCHED]);
    // Slow, so that the first results are not committed yet when the first appointments exist.
    rig.set_faults(&json!({"honours_idempotency_keys": false, "latency_ms": 1_500}));
    rig.start_workers_through_proxy();
    rig.wait_live(0, PARTITIONS as usize);
    let events = everywhere(&rig, &["b-1", "b-2"]);
    rig.publish(&events);
    wait_until("appointments", || rig.existing("appointments").len() >= PARTITIONS as usize);
    rig.proxy().delay(TXN_OFFSET_COMMIT);
    wait_until("commits that are delayed", || rig.proxy().delayed() >= 2);
    rig.set_faults(&json!({"latency_ms": 0}));
    let aborted = |rig: &Rig| rig.counter(0, "healthflow_sync_transactions_aborted_total");
    let before = aborted(&rig);
    rig.start_workers();
    wait_until("tasks that are given back", || rig.in_phase(0, TaskPhase::Draining) > 0);
    rig.proxy().calm();
    wait_until("transactions that are aborted", || aborted(&rig) > before);
    let closed = rig.close_after(events.len());
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
    assert_eq!(closed.carried_out("create_appointment"), events.len());
    assert_eq!(closed.carried_out("create_patient"), PARTITIONS as usize);
}

/// Goal: a worker that takes a partition over while a call of its last owner is under way neither repeats nor loses it.
/// Method: a second worker joins while creates are under way that take longer than the first one may keep the
/// partitions; and HealthFlow knows no keys.
#[test]
fn a_partition_given_away_in_mid_call_is_not_written_twice() {
    let times = [
        SEARCHED,
        ("healthflow.request_life_ms", "9000"),
        ("healthflow.late_landing_ms", "1000"),
        ("worker.release_drain_ms", "1000"),
    ];
    let mut rig = Rig::open("given-away", &times);
    rig.set_faults(&json!({"honours_idempotency_keys": false}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    // The patients are known, so that the next bookings begin with their creates.
    let (known, mid_call) = (everywhere(&rig, &["b-1"]), everywhere(&rig, &["b-2", "b-3"]));
    rig.publish(&known);
    wait_until("patients", || rig.results().len() == known.len());

    rig.proxy().freeze();
    rig.start_workers_through_proxy();
    rig.set_faults(&json!({"latency_ms": 8_000}));
    rig.publish(&mid_call);
    let all = known.len() + mid_call.len();
    wait_until("creates under way", || rig.existing("appointments").len() == all);
    rig.proxy().thaw();
    wait_until("the second worker, in doubt", || rig.doubts(1) > 0);
    rig.set_faults(&json!({"latency_ms": 0}));
    let closed = rig.close_after(all);
    assert_eq!((closed.appointments.len(), closed.carried_out("create_appointment")), (all, all));
}

/// Goal: a second signal ends a worker at once, as documented, and costs no booking anything. Method: two workers have creates under
/// way that take long; each is told to stop, and then once more; a third one goes on.
#[test]
fn a_second_signal_ends_a_worker_at_once_and_nothing_is_lost() {
    let mut rig = Rig::open("second-signal", &[("healthflow.duplicate_guard", "idempotency_key")]);
    (0..2).for_each(|_| rig.start_workers());
    (0..2).for_each(|worker| rig.wait_live(worker, PARTITIONS as usize / 2));
    let (known, mid_call) = (everywhere(&rig, &["b-1"]), everywhere(&rig, &["b-2"]));
    rig.publish(&known);
    wait_until("patients", || rig.results().len() == known.len());
    rig.set_faults(&json!({"latency_ms": 8_000}));
    rig.publish(&mid_call);
    let all = known.len() + mid_call.len();
    wait_until("creates under way", || rig.existing("appointments").len() == all);
    for (worker, second, status) in [(0, Signal::TERM, 143), (1, Signal::INT, 130)] {
        rig.signal(worker, Signal::TERM);
        wait_until("a stop that waits for calls", || rig.in_phase(worker, TaskPhase::Draining) > 0);
        rig.signal(worker, second);
        let ended = wait_for(LIMIT, || rig.workers[worker].ended().unwrap()).expect("it ends");
        assert_eq!(ended.code(), Some(status), "{second:?}");
    }
    rig.set_faults(&json!({"latency_ms": 0}));
    rig.start_workers();
    assert_eq!(rig.close_after(all).appointments.len(), all);
}

/// Goal: two bookings of a new patient create one chart, also if the worker that creates that patient dies, the answer
/// is lost, and the create lands after the next owner has begun. HealthFlow knows no keys, and does not show at once
/// whom it has.
#[test]
fn two_bookings_of_one_new_patient_create_one_patient_even_across_a_takeover() {
    let mut rig = Rig::open("one-patient", &[SEARCHED, ("healthflow.late_landing_ms", "9000")]);
    rig.set_faults(&json!({
        "honours_idempotency_keys": false, "search_lag_ms": 400,
        "faults_strike": "writes", "late_landing": 1.0, "late_landing_ms": 8_000, "hang_ms": 60_000,
    }));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(0);
    let mut second = rig.event(&practice, "b-2", 1);
    second.patient.patient_id = healthflow_core::booking::PatientId::from("p-2").into();
    let second = moved_to(second, 24);
    rig.publish(&[rig.event(&practice, "b-1", 1)]);
    wait_until("a create", || rig.look("audit")["pending"] == 1);
    rig.publish(&[second]);
    rig.workers[0].kill().unwrap();
    rig.set_faults(&json!({"late_landing": 0.0}));
    rig.start_workers();
    let closed = rig.close_after(2);
    assert_eq!(closed.patients.len(), 1, "{:?}", closed.patients);
    let patient = closed.patients[0]["id"].as_str();
    assert!(closed.results.iter().all(|result| result.healthflow_patient_id.as_deref() == patient));
    assert_eq!((closed.appointments.len(), closed.carried_out("create_patient")), (2, 1));
}

/// Goal: of two reschedules the newer one counts in the end, also if the older one's answer is lost and it lands late.
#[test]
fn a_reschedule_that_lands_late_does_not_overwrite_the_newer_one() {
    let mut rig = Rig::open("late-reschedule", &[("healthflow.late_landing_ms", "5000")]);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(1);
    let event = |version: i64| moved_to(rig.event(&practice, "b-1", version), version);
    let events = [event(1), event(2), event(3)];
    rig.publish(&events[..1]);
    wait_until("the appointment", || rig.results().len() == 1);
    rig.set_faults(&json!({"faults_strike": "writes", "late_landing": 1.0, "late_landing_ms": 4_000}));
    rig.publish(&events[1..2]);
    wait_until("the first reschedule", || rig.look("audit")["pending"] == 1);
    rig.set_faults(&json!({"late_landing": 0.0}));
    rig.publish(&events[2..]);
    let closed = rig.close_after(3);
    let start = closed.appointments[0]["start"].as_str().unwrap();
    let start: jiff::Timestamp = start.parse().unwrap();
    assert_eq!(start.as_millisecond(), events[2].visit.start.0, "the newest one counts");
    assert_eq!(closed.carried_out("update_appointment"), 2, "the older one landed");
    let outcome = |version| {
        closed.results.iter().find(|result| result.version == Some(version)).map(|result| result.outcome)
    };
    assert_eq!((outcome(2), outcome(3)), (Some(ResultOutcome::Superseded), Some(ResultOutcome::Updated)));
}

/// Goal: where the brokers assign (KIP-848), a killed worker's partitions go to the others, with everything that it had
/// in hand.
#[test]
fn under_the_consumer_protocol_a_killed_workers_partitions_are_taken_over() {
    let settings = [("healthflow.duplicate_guard", "idempotency_key"), ("kafka.group_protocol", "consumer")];
    // A group that spoke the classic protocol a moment ago still has members.
    let mut rig = Rig::open_with_own_kafka("taken-over", &settings);
    rig.start_workers();
    rig.start_workers();
    wait_until("both", || {
        rig.live(0) > 0 && rig.live(1) > 0 && rig.live(0) + rig.live(1) == PARTITIONS as usize
    });
    rig.set_faults(&json!({"latency_ms": 500}));
    let (before, after) = (everywhere(&rig, &["b-1", "b-2"]), everywhere(&rig, &["b-3"]));
    rig.publish(&before);
    wait_until("appointments", || !rig.existing("appointments").is_empty());
    rig.workers[0].kill().unwrap();
    rig.publish(&after);
    rig.wait_live(1, PARTITIONS as usize);
    let all = before.len() + after.len();
    let closed = rig.close_after(all);
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
    assert_eq!(closed.appointments.len(), all);
}

/// Goal: what failed is tried once more after it was mended, and gets one more result (K10). Method: a booking whose
/// slot another one has; that one is called off, and an operator redrives the dead letter, twice.
#[test]
fn a_dead_letter_is_redriven_once_its_cause_is_gone() {
    let mut rig = Rig::open("redriven", &[("healthflow.duplicate_guard", "idempotency_key")]);
    rig.set_faults(&json!({"slot_conflicts": true}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(2);
    let (first, second) = (rig.event(&practice, "b-1", 1), rig.event(&practice, "b-2", 1));
    let called_off =
        AppointmentRequested { status: RequestedStatus::Cancelled, ..rig.event(&practice, "b-1", 2) };
    for (event, results) in [(first, 1), (second, 2), (called_off, 3)] {
        rig.publish(&[event]);
        wait_until("a result", || rig.results().len() == results);
    }
    let redrive = ["redrive", "--practice", &practice, "--reason", "SLOT_TAKEN"];
    let listed = rig.operate(&[&redrive[..], &["--dry-run"]].concat());
    assert!(listed.contains(&format!("{practice}/b-2 version 1, SLOT_TAKEN at")), "{listed}");
    assert!(listed.ends_with("\n1 would be redriven\n"), "{listed}");
    for _ in 0..2 {
        let done = rig.operate(&redrive);
        assert!(done.ends_with(": redriven\n1 redriven\n"), "{done}");
    }
    let closed = rig.close_after(4);
    let of_second =
        closed.results.iter().filter(|one| one.booking_id.as_ref().is_some_and(|id| id.as_str() == "b-2"));
    let outcomes: Vec<_> = of_second.map(|one| (one.outcome, one.generation)).collect();
    assert_eq!(outcomes.len(), 2);
    for expected in [(ResultOutcome::Failed, 1), (ResultOutcome::Created, 2)] {
        assert!(outcomes.contains(&expected), "{outcomes:?}");
    }
}

/// Goal: legal steps of a front desk lose no visit where HealthFlow keeps slots exclusive (K11), nor does a worker that
/// dies in between. Method: slots that are cancelled and booked again, and pairs of visits that are exchanged by way of
/// a third time, all published at once.
#[test]
fn freed_slots_and_exchanged_visits_lose_nobody_a_visit() {
    const EACH: i64 = 6;
    let mut rig = Rig::open("changed-places", &[("healthflow.duplicate_guard", "idempotency_key")]);
    rig.set_faults(&json!({"slot_conflicts": true, "latency_ms": 100}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let practice = rig.practice(3);
    let kind_of = |kind: &str| "abxy".find(kind).expect("one of four");
    let visit = |kind: &str, number: i64, version: i64, hour: i64| {
        let name = format!("{kind}-{number}");
        let mut event = moved_to(rig.event(&practice, &name, version), hour);
        // Nobody is like anybody else, or a person would have to tell them apart.
        event.patient.patient_id = PatientId::from(&*name).into();
        event.patient.given_name =
            ["Ada", "Boris", "Chidi", "Dolores", "Emil", "Farah"][number as usize].into();
        event.patient.family_name = ["Quist", "Marlowe", "Tanaka", "Obi"][kind_of(kind)].into();
        let (nth, month) = (6 * kind_of(kind) + number as usize, number + 1);
        event.patient.date_of_birth = format!("19{}-0{month}-{:02}", 31 + 2 * nth, 28 - nth).as_str().into();
        event.patient.postal_code = format!("{}", 10_000 + 3_571 * nth).into();
        event
    };
    let stand = |n: i64| [visit("a", n, 1, n), visit("x", n, 1, 10 + n), visit("y", n, 1, 20 + n)];
    let first: Vec<_> = (0..EACH).flat_map(stand).collect();
    let steps = |n: i64| {
        let called_off = AppointmentRequested { status: RequestedStatus::Cancelled, ..visit("a", n, 2, n) };
        let aside = visit("x", n, 2, 30 + n);
        [called_off, visit("b", n, 1, n), aside, visit("y", n, 2, 10 + n), visit("x", n, 3, 20 + n)]
    };
    let then: Vec<_> = (0..EACH).flat_map(steps).collect();
    rig.publish(&first);
    wait_until("the appointments", || rig.results().len() == first.len());
    rig.publish(&then);
    wait_until("some results", || rig.results().len() > first.len());
    rig.workers[0].kill().unwrap();
    rig.start_workers();
    let closed = rig.close_after(first.len() + then.len());
    let lost: Vec<_> =
        closed.results.iter().filter(|result| result.outcome == ResultOutcome::Failed).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let existing = closed.appointments.iter().filter(|one| one["status"] == "scheduled").count();
    assert_eq!(existing, 3 * EACH as usize);
}

//! The auditor's lines and the report's arithmetic: a checker that cannot read, or never finds a violation, checks
//! nothing.

use healthflow_core::booking::BookingKey;
use healthflow_core::event::avro::{Encoder, contract};
use healthflow_core::event::result::{ResultEnvelope, ResultOutcome};
use healthflow_core::event::synced::AppointmentSynced;
use healthflow_core::time::Timestamp;

use super::auditor::{self, Seen};
use super::fault_phases::{self, FaultKind};
use super::faults::Done;
use super::front_desk::Decided;
use super::report::{
    LateLandings, Minimum, Report, Verdict, Violations, doubtful, faulty_percent, late_landings,
};
use crate::audit::{Audit, Reviews};
use crate::healthflow::Write;
use crate::journal::RecordPosition;
use healthflow_proof::random::Random;
use healthflow_testkit::project;

fn read(text: &str) -> anyhow::Result<Seen> {
    auditor::read(text, &auditor::schemas().expect("the schemas are there"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Goal: the auditor's own decoding sees what the processor wrote. Method: a record by the processor's encoder.
#[test]
fn a_result_is_read_without_the_processors_decoder() {
    let result = ResultEnvelope {
        event_id: Some("e-1".into()),
        booking_id: Some("bk-1".into()),
        version: Some(3),
        practice_id: Some("practice-001".into()),
        outcome: ResultOutcome::Updated,
        is_final: true,
        reason: None,
        healthflow_patient_id: None,
        healthflow_appointment_id: None,
        attempts: 2,
        generation: 0,
        requested_at: None,
        finished_at: Timestamp(5),
    };
    let mut value = Vec::new();
    let encoder = Encoder::new(contract("appointments.synced").expect("it is one of ours"), 7);
    encoder.encode(&AppointmentSynced { result }, &mut value).expect("it can be encoded");
    let headers = format!("__dlq.errors.partition={},__dlq.errors.offset={}", hex(b"4"), hex(b"99"));
    let line = format!("record\tappointments.synced\t2\t17\t-\t{}\t{headers}\nend\t1\n", hex(&value));
    let seen = read(&line).expect("it can be read");
    let result = &seen.results[0];
    let booking = BookingKey { practice: "practice-001".into(), booking: "bk-1".into() };
    assert_eq!(
        (&result.version, result.record),
        (&Some((booking, 3)), Some(RecordPosition { partition: 4, offset: 99 }))
    );
    assert_eq!((result.outcome, result.is_final, &result.reason), (ResultOutcome::Updated, true, &None));
}

#[test]
fn a_hanging_transaction_is_seen_and_a_tombstone_is_nothing() {
    let text =
        "hanging\tappointments.synced\t3\t10\t12\nrecord\tappointments.review\t0\t0\t6b\t-\t\nend\t1\n";
    let seen = read(text).expect("it can be read");
    assert_eq!((seen.results.len(), seen.hanging.len()), (0, 1));
}

#[test]
fn a_record_that_two_readings_do_not_agree_about_is_seen() {
    let seen = read("changed\tappointments.synced\t3\t10\tvanished\nend\t0\n").expect("it can be read");
    assert_eq!(seen.changed, ["appointments.synced/3 at 10: vanished"]);
    assert_eq!(Violations::of(&Audit::default(), &seen).changed_results, 1);
}

#[test]
fn an_auditor_that_stopped_half_way_is_not_believed() {
    for text in [
        "",
        "record\tappointments.review\t0\t0\t6b\t-\t\n",
        "nonsense\n",
        "end\t0\nrecord\tx\t0\t0\t-\t00\t\n",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

fn report() -> Report {
    let done = Done { worker_kills: 50, zombies_resumed: 13, broker_kills: 4, ..Done::default() };
    Report {
        minutes: 5.0,
        guard: "idempotency_key".to_owned(),
        seed: 1,
        brokers: 3,
        bookings: 10_000,
        results_asked: 12_000,
        poisoned: 100,
        singled_out: 20,
        reviews: Reviews::default(),
        decided: Decided::default(),
        done,
        doubtful_writes: 250,
        late_landings: LateLandings::default(),
        faulty_writes_percent: 31.0,
        seconds_to_quiet: Some(9.0),
        requests_per_second_peak: 1,
        requests_per_second_allowed: 2,
        violations: Violations::default(),
        duplicate_rate_bound_percent: 1.2,
        broker_trap_lines: 0,
        shortfalls: Vec::new(),
        examples: Vec::new(),
    }
}

const MINIMUM: Minimum = Minimum {
    bookings: 20_000.0,
    worker_kills: 100.0,
    zombies_resumed: 25.0,
    broker_kills: 8.0,
    doubtful_writes: 500.0,
};

#[test]
fn a_run_that_met_its_share_is_good_and_one_that_met_less_is_not() {
    let compared = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        report.compare(&MINIMUM.of(report.minutes));
        report
    };
    assert_eq!(compared(|_| {}).verdict(), Verdict::Kept);
    let changes: [fn(&mut Report); 7] = [
        |report| report.bookings -= 1,
        |report| report.done.worker_kills -= 1,
        |report| report.done.zombies_resumed -= 1,
        |report| report.done.broker_kills -= 1,
        |report| report.doubtful_writes -= 1,
        |report| report.faulty_writes_percent = 29.9,
        |report| report.seconds_to_quiet = None,
    ];
    for change in changes {
        let report = compared(change);
        assert_eq!((report.verdict(), report.shortfalls.len()), (Verdict::ProvesTooLittle, 1), "{report:?}");
        assert!(report.text().contains("too little"));
    }
}

/// Goal: a slow machine does not decide about a short run, and a short run in which nothing broke proves nothing.
#[test]
fn a_short_run_must_meet_one_of_each() {
    let mut report = report();
    report.done = Done { worker_kills: 1, zombies_resumed: 1, broker_kills: 1, ..Done::default() };
    report.minutes = 2.0;
    report.compare(&MINIMUM.of(report.minutes));
    assert_eq!(report.verdict(), Verdict::Kept, "{report:?}");
    report.done = Done::default();
    report.compare(&MINIMUM.of(report.minutes));
    assert_eq!((report.verdict(), report.shortfalls.len()), (Verdict::ProvesTooLittle, 3), "{report:?}");
}

#[test]
fn a_violation_is_never_good_and_kafkas_own_fault_is_named() {
    let mut report = report();
    report.violations.hanging_transactions = 1;
    report.broker_trap_lines = 1;
    report.shortfalls.push("whatever else there is".to_owned());
    assert_eq!(report.verdict(), Verdict::Violated);
    assert!(report.text().contains("VIOLATED") && report.text().contains("Kafka, not the processor"));
}

fn write(answered: Option<u16>, carried_out_at_ms: Option<i64>) -> Write {
    Write {
        operation: "create_appointment".to_owned(),
        arrived_at_ms: 1_000,
        carried_out_at_ms,
        effect: "nothing".to_owned(),
        id: None,
        answered,
    }
}

#[test]
fn doubt_is_no_answer_or_5xx() {
    let answers = [None, Some(500), Some(503), Some(429), Some(201), Some(422)];
    let writes = answers.map(|answered| write(answered, None));
    assert_eq!(doubtful(&writes), 3);
    // Each came at 1,000.
    assert_eq!((faulty_percent(&writes, 1_001).round(), faulty_percent(&writes, 1_000)), (67.0, 0.0));
}

#[test]
fn late_is_what_landed_long_after_it_came() {
    let writes = [None, Some(1_000), Some(1_100), Some(2_000), Some(31_000)].map(|at_ms| write(None, at_ms));
    let late = late_landings(&writes);
    assert_eq!((late.late_landings, late.latest_landing_seconds), (2, 30.0));
}

/// Goal: the faults that are promised are met. Method: the fault phases of ten minutes.
#[test]
fn fault_phases_are_faulty_and_now_and_then_terrible() {
    let mut random = Random::new(1);
    let phases: Vec<_> = (0..120).map(|number| fault_phases::phase(number, &mut random)).collect();
    let count = |kind| phases.iter().filter(|phase| phase.kind == kind).count();
    assert!(
        count(FaultKind::Storm) >= 12 && count(FaultKind::Outage) >= 12 && count(FaultKind::Faulty) >= 80
    );
    for phase in &phases {
        let probability = |knob: &str| phase.knobs[knob].as_f64().expect("a number");
        let good: f64 =
            ["server_error_before", "drop_before", "late_landing", "server_error_after", "drop_after"]
                .iter()
                .map(|knob| 1.0 - probability(knob))
                .product();
        assert!(1.0 - good > 0.3, "{}", phase.knobs);
    }
    let text = std::fs::read_to_string(project("config/torture.toml")).expect("it is there");
    let config: toml::Table = text.parse().expect("it is sound");
    let allowed_ms = config["healthflow"]["late_landing_ms"].as_integer().expect("it is there");
    let late_ms: Vec<i64> =
        phases.iter().filter_map(|phase| phase.knobs["late_landing_ms"].as_i64()).collect();
    let count = |from_ms, until_ms| late_ms.iter().filter(|ms| (from_ms..until_ms).contains(*ms)).count();
    assert!(
        count(1_000, 7_000) > 60 && count(20_000, 30_000) > 3,
        "most soon, some as late as can be: {late_ms:?}"
    );
    assert!(late_ms.iter().all(|ms| ms + 2_000 < allowed_ms), "HealthFlow keeps its word on a busy machine");
}

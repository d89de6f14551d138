//! A person decides, by the real command, about what whole workers hold: the question and who waits behind it outlive the
//! worker, and a decision lets all of them go.

use std::process::{Command, Stdio};

use healthflow_core::booking::BookingId;
use healthflow_core::event::audit::{AuditAction, AuditRecord};
use healthflow_core::event::avro::{Decoder, contract};
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::result::{ResultEnvelope, ResultOutcome};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{AUDIT, DECISIONS};
use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::world::{LIMIT, read_all};
use healthflow_testkit::processes::beside;
use healthflow_testkit::wait::wait_for;

const HOUR_MS: i64 = 3_600_000;

/// A visit of the one patient of this test, at an hour of its own.
fn visit(rig: &Rig, practice: &str, number: i64) -> AppointmentRequested {
    let mut event = rig.event(practice, &format!("b-{number}"), 1);
    event.visit.start = Timestamp(event.visit.start.0 + number * HOUR_MS);
    event
}

fn wait_for_result(rig: &Rig, booking: &str, outcome: ResultOutcome) {
    let booking = BookingId::from(booking);
    let has_come = || {
        let results = rig.results();
        let found =
            results.iter().any(|one| one.booking_id.as_ref() == Some(&booking) && one.outcome == outcome);
        found.then_some(())
    };
    wait_for(LIMIT, has_come).unwrap_or_else(|| panic!("waited in vain for {booking}: {:?}", rig.results()));
}

/// Another chart that could be the patient's; its id.
fn second_chart(rig: &Rig, practice: &str) -> String {
    let chart = json!([{
        "practice_id": practice, "given_name": "Zoë", "family_name": "Lopez", "date_of_birth": "1987-04-21",
        "postal_code": "60601",
    }]);
    let added = rig.control(reqwest::Method::POST, "patients", Some(&chart));
    added["ids"][0].as_str().expect("the id of a chart").to_owned()
}

/// Starts a worker; then b-2 names another chart than the one its patient is linked to, and both could be theirs. Returns the
/// other chart.
fn ask_which_chart(rig: &mut Rig, practice: &str) -> String {
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    rig.publish(&[visit(rig, practice, 1)]);
    wait_for_result(rig, "b-1", ResultOutcome::Created);
    let chart = second_chart(rig, practice);
    let mut conflicting = visit(rig, practice, 2);
    conflicting.patient.healthflow_patient_id = Some(chart.as_str().into());
    rig.publish(&[conflicting]);
    wait_for_result(rig, "b-2", ResultOutcome::Review);
    chart
}

/// Whoever decides sees the booking beside each chart as it is now, and it is on record that they looked, without what they saw.
fn look_at_values(rig: &Rig, practice: &str, chart: &str) {
    let show = ["review", "show", practice, "b-2", "--reveal", "--by", "frontdesk-2", "--why", "to decide"];
    let words: Vec<&str> = show.into_iter().chain(rig.settings.iter().map(String::as_str)).collect();
    let seen = rig.operate(&words);
    let beside = seen.split_once(&format!("\n{chart}:\n")).map_or("", |(_, beside)| beside);
    assert!(beside.contains("  family_name    Lopez       Lopez       EQUAL\n"), "{seen}");
    let records = read_all(&rig.kafka().brokers, &[(AUDIT, 4)], "read_committed");
    let [(_, value)] = &records[..] else { panic!("one look, one record: {}", records.len()) };
    let decoder = Decoder::own(contract(AUDIT).expect("one of ours"));
    let audit: AuditRecord = decoder.decode(value).expect("of our schema");
    assert_eq!((audit.action, audit.practice_id.as_str()), (AuditAction::Reveal, practice));
    assert_eq!(
        (&*audit.by, &*audit.why, audit.version, audit.generation),
        ("frontdesk-2", "to decide", 1, 1)
    );
    assert!(audit.healthflow_patient_ids.iter().any(|id| id == chart), "{audit:?}");
    assert!(!String::from_utf8_lossy(value).contains("Lopez"), "{audit:?}");
    assert!(seen.contains(&*audit.audit_id), "{seen}");
}

/// Goal: a review ends, whoever's worker it is (rules K4 and K14). Method: a booking names another chart than the one its
/// patient is linked to, and both could be theirs; another booking of the patient waits behind it; the worker is killed; and
/// a person links the chart with the command.
#[test]
fn a_decision_lets_a_held_patient_go_whoever_owns_the_task_by_then() {
    let mut rig = Rig::open(
        "decided",
        &[("healthflow.duplicate_guard", "idempotency_key"), ("review.contents_max", "0")],
    );
    let practice = rig.practice(4);
    let chart = ask_which_chart(&mut rig, &practice);
    rig.publish(&[visit(&rig, &practice, 3)]);
    wait_for_result(&rig, "b-3", ResultOutcome::Review);

    rig.workers[0].kill().unwrap();
    rig.start_workers();
    rig.wait_live(1, PARTITIONS as usize);
    let listed = rig.operate(&["review", "list", "--practice", &practice, "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("one question");
    assert_eq!((&listed["booking_id"], &listed["reason"]), (&json!("b-2"), &json!("LINK_CONFLICT")));
    assert_eq!((&listed["behind"], &listed["verdicts"]), (&json!(1), &json!(["LINK", "REJECT"])));
    let shown = rig.operate(&["review", "show", &practice, "b-2"]);
    assert!(shown.contains(&format!("  {chart}: given_name EQUAL")), "{shown}");
    assert!(shown.contains("behind it: b-3 version 1") && !shown.contains("Lopez"), "{shown}");

    look_at_values(&rig, &practice, &chart);

    let decide = |booking: &'static str, verdict: &'static [&'static str]| {
        let by = ["--by", "frontdesk-2", "--why", "asked by phone"];
        [&["review", "decide", &practice, booking], verdict, &by]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let refused =
        |line: Vec<String>| rig.operate_in_vain(&line.iter().map(String::as_str).collect::<Vec<_>>());
    let behind = refused(decide("b-3", &["REJECT"]));
    assert!(behind.contains("b-3 version 1 waits behind the review of b-2; decide that one"), "{behind}");
    let not_allowed = refused(decide("b-2", &["CREATE"]));
    assert!(not_allowed.contains("waits for LINK_CONFLICT, which CREATE does not end"), "{not_allowed}");

    let mut link: Vec<String> = decide("b-2", &["LINK"]);
    link.extend(["--healthflow-patient-id".to_owned(), chart.clone()]);
    let link: Vec<&str> = link.iter().map(String::as_str).collect();
    let done = rig.operate(&link);
    assert!(done.starts_with(&format!("{practice}/b-2 version 1: CREATED, appointment ")), "{done}");
    wait_for_result(&rig, "b-3", ResultOutcome::Created);
    let left = rig.operate(&["review", "list", "--practice", &practice, "--behind"]);
    assert_eq!(left, "nothing waits for a person\n", "every key has its tombstone");
    let again = rig.operate_in_vain(&link);
    assert!(again.contains(&format!("nothing of {practice}/b-2 is in review")), "{again}");

    let closed = rig.close_after(5);
    assert_eq!(closed.carried_out("create_patient"), 1, "nobody is created for a decision to link");
    let of_chart = closed.appointments.iter().filter(|one| one["patient_id"] == chart.as_str());
    assert_eq!(of_chart.count(), 2, "{:?}", closed.appointments);
}

/// Goal: of two decisions about one question the first one counts, and who decided the second one is told. Method: both are
/// written while no worker runs; a third comes while HealthFlow is too slow to answer.
#[test]
fn of_two_decisions_about_one_question_the_first_one_counts() {
    let mut rig = Rig::open("decided-once", &[("healthflow.duplicate_guard", "idempotency_key")]);
    let practice = rig.practice(5);
    let chart = ask_which_chart(&mut rig, &practice);
    rig.workers[0].kill().unwrap();
    let by = ["--by", "frontdesk-2", "--why", "asked by phone"];
    let link = [&["review", "decide", &practice, "b-2", "LINK", "--healthflow-patient-id", &chart], &by[..]]
        .concat();
    let id = rig.operate(&[&link[..], &["--no-wait"]].concat());
    assert_eq!(id.trim().len(), 36, "{id}");
    let reject = [&["review", "decide", &practice, "b-2", "REJECT"], &by[..]].concat();
    let addresses = [
        format!("--set=kafka.brokers={}", rig.kafka().brokers),
        format!("--set=schema_registry.url={}", rig.registry_url()),
    ];
    let mut late = Command::new(beside("healthflow-sync").unwrap());
    late.args(&reject).args(addresses).stdout(Stdio::null()).stderr(Stdio::piped());
    let late = late.spawn().unwrap();
    let written = || read_all(&rig.kafka().brokers, &[(DECISIONS, 5)], "read_committed").len();
    wait_for(LIMIT, || (written() == 2).then_some(())).expect("both are written");

    rig.set_faults(&json!({"latency_ms": 10_000}));
    rig.start_workers();
    let told = late.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("the worker refused decision") && told.contains("DECISION_STALE"), "{told}");
    let third = rig.operate_in_vain(&link);
    assert!(third.contains(&format!("{practice}/b-2 version 1 is decided already")), "{third}");
    rig.set_faults(&json!({"latency_ms": 0}));
    wait_for_result(&rig, "b-2", ResultOutcome::Created);
    let closed = rig.close_after(4);
    let of_version = |one: &&ResultEnvelope| one.version.is_some() && one.is_final;
    assert_eq!(
        closed.results.iter().filter(of_version).count(),
        2,
        "the refused decision is no version's result"
    );
    assert_eq!(closed.appointments.len(), 2);
}

/// Goal: a wrong link is undone, and what is still to come moves to the right chart. Method: a visit that stands, the command, and
/// the decision of the question that follows; then the same command once more.
#[test]
fn an_undone_link_has_its_visits_asked_about_and_moved() {
    let mut rig = Rig::open("unlinked", &[("healthflow.duplicate_guard", "unique_reference")]);
    let practice = rig.practice(3);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    rig.publish(&[visit(&rig, &practice, 1)]);
    wait_for_result(&rig, "b-1", ResultOutcome::Created);
    let chart = rig.results().into_iter().find_map(|one| one.healthflow_patient_id).expect("a chart");
    let second_chart = second_chart(&rig, &practice);
    let by = ["--by", "frontdesk-2", "--why", "two people of one name"];
    let unlink = |chart: &str, rig: &Rig| -> Result<String, String> {
        let what = ["review", "unlink", &practice, "b-1", "--healthflow-patient-id", chart];
        rig.try_to_operate(&[&what[..], &by[..]].concat()).map_err(|why| format!("{why:#}"))
    };
    let other = unlink("hf-nobody", &rig).expect_err("it is in another chart");
    assert!(other.contains(&format!("was written into the chart {chart}, not into that one")), "{other}");
    let done = unlink(&chart, &rig).expect("it is undone");
    assert!(done.contains("appointments written under it: 1"), "{done}");
    assert!(done.contains("is to come; its version is tried again, and a person is asked"), "{done}");
    wait_for_result(&rig, "b-1", ResultOutcome::Review);
    let shown = rig.operate(&["review", "show", &practice, "b-1"]);
    assert!(
        shown.contains(&format!("  {second_chart}: given_name EQUAL")) && !shown.contains(&chart[..]),
        "{shown}"
    );
    let decide = ["review", "decide", &practice, "b-1", "LINK", "--healthflow-patient-id", &second_chart];
    let became = rig.operate(&[&decide[..], &by[..]].concat());
    assert!(became.starts_with(&format!("{practice}/b-1 version 1: UPDATED, appointment ")), "{became}");
    let again = unlink(&chart, &rig).expect_err("it is undone already");
    assert!(again.contains("was written into the chart"), "{again}");

    let closed = rig.close_after(3);
    let [appointment] = &closed.appointments[..] else { panic!("{:?}", closed.appointments) };
    assert_eq!(
        appointment["patient_id"],
        second_chart.as_str(),
        "the appointment is moved, and there is no second one"
    );
}

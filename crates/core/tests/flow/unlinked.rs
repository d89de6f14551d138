//! A person undoes a link (rule K14): nothing leads to that chart any more, what comes next is a question, and what stands there moves
//! with the next version of its booking.

use healthflow_core::booking::{Booking, BookingKey, Patient, Version};
use healthflow_core::event::{Arrival, Decision, RetryEntry, Schedule, Verdict};
use healthflow_core::fact::{Fact, LinkChange};
use healthflow_core::healthflow::fault::Unknown;
use healthflow_core::healthflow::{Fault, Operation, Reply, Request};
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::PatientState;
use healthflow_core::sync::{FailureReason, ReviewReason};
use healthflow_core::topics::Lane;

use crate::desk::*;

fn ada(id: &str) -> Patient {
    a_patient(id, "Ada", "Lovelace")
}

fn version_of(id: &str, version: Version, patient: Patient) -> Booking {
    Booking { version, patient, ..rescheduled(id, version) }
}

fn state_of(desk: &Desk, patient: &str) -> PatientState {
    let key = version_of("any", 1, ada(patient)).patient_key();
    desk.durable.patients.get(&key).map(|state| state.into_owned()).expect("the patient has state")
}

fn decide(desk: &mut Desk, id: &str, key: BookingKey, about: (Version, u32), verdict: Verdict) {
    let (version, generation) = about;
    let decision =
        Decision { id: id.into(), key, version, generation, verdict, by: "desk".into(), at: desk.now };
    desk.arrive_on(Lane::Decisions, Arrival::Decided(Box::new(decision)));
}

fn unlink(desk: &mut Desk, id: &str, booking: &str, chart: &str) {
    let key = a_booking(booking, 1).key;
    decide(desk, id, key, (0, 0), Verdict::Unlink(HealthFlowPatientId(chart.into())));
}

/// Every pass of a search is answered alike.
fn search(desk: &mut Desk, reply: &Reply) {
    desk.pass_ms(200);
    while desk.calls.first().is_some_and(|call| call.request.operation() == Operation::SearchPatients) {
        let call = desk.calls.remove(0);
        desk.answer(&call, reply.clone());
        desk.pass_ms(200);
    }
}

/// A desk at which both `p` and `q`, of one name and birthday, were found to be the chart hf-9, and have a visit each.
fn two_in_one_chart() -> Desk {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    for patient in ["p", "q"] {
        desk.arrive(version_of(&format!("of-{patient}"), 1, ada(patient)));
        search(&mut desk, &chart("hf-9", &ada(patient)));
        desk.expect_and_answer(Operation::CreateAppointment, created(&format!("a-{patient}")));
    }
    desk
}

#[test]
fn an_undone_link_is_asked_about_and_the_appointment_moves_to_the_right_chart() {
    let mut desk = two_in_one_chart();
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    desk.expect_silence();
    let dropped = |fact: &&Fact| matches!(fact, Fact::LinkChanged { how: LinkChange::Dropped, .. });
    assert_eq!(desk.facts.iter().filter(dropped).count(), 1);
    let (p, q) = (state_of(&desk, "p"), state_of(&desk, "q"));
    assert!(p.link.is_some() && p.rejected.is_empty(), "the other patient of that chart keeps the link");
    assert!(
        q.link.is_none() && q.rejected.iter().map(|one| one.chart.as_str()).eq(["hf-9"]) && q.is_unlinked
    );

    // Whoever owns the task by then: the wrong chart is found again, and one that is equal in everything.
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.pass_ms(LAG_MS + 1);
    next.arrive(version_of("of-q", 2, ada("q")));
    let two = ["hf-9", "hf-7"].map(|id| a_candidate(id, &ada("q")));
    let found = healthflow_core::healthflow::Answer::Patients { found: two.to_vec(), next_cursor: None };
    search(&mut next, &Ok(found));
    let case = next.reviews().pop().expect("a person is asked");
    let candidates: Vec<_> =
        case.evidence.iter().filter_map(|one| one.healthflow_patient_id.as_deref()).collect();
    assert_eq!((case.reason, &candidates[..]), (ReviewReason::Unlinked, &["hf-7"][..]));
    let about = (2, case.generation);
    decide(&mut next, "d-2", case.booking.key.clone(), about, Verdict::Link("hf-7".into()));
    match next.expect_and_answer(Operation::UpdateAppointment, updated("a-q")) {
        Request::UpdateAppointment { id, content, .. } => {
            assert_eq!((id.as_str(), content.patient.as_str()), ("a-q", "hf-7"));
        }
        other => panic!("{other:?}"),
    }
    let placement = next.state("of-q").placement.expect("it stands");
    assert_eq!(&*placement.patient_id, "hf-7");
    assert!(!state_of(&next, "q").is_unlinked);
    // Nobody is asked twice.
    next.arrive(version_of("of-q", 3, ada("q")));
    next.expect_and_answer(Operation::UpdateAppointment, updated("a-q"));
}

#[test]
fn who_is_nobody_else_in_healthflow_is_created_once_a_person_says_so() {
    let mut desk = two_in_one_chart();
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    desk.arrive(version_of("of-q", 2, ada("q")));
    search(&mut desk, &chart("hf-9", &ada("q")));
    let case = desk.reviews().pop().expect("a person is asked");
    assert_eq!((case.reason, case.evidence.len()), (ReviewReason::Unlinked, 0));
    decide(&mut desk, "d-2", case.booking.key.clone(), (2, case.generation), Verdict::Create);
    search(&mut desk, &chart("hf-9", &ada("q")));
    desk.expect_and_answer(Operation::CreatePatient, patient_created("hf-10"));
    match desk.expect_and_answer(Operation::UpdateAppointment, updated("a-q")) {
        Request::UpdateAppointment { content, .. } => assert_eq!(content.patient.as_str(), "hf-10"),
        other => panic!("{other:?}"),
    }
}

/// Goal: what stands in the wrong chart and is still to come is asked about, and nothing else. Method: visits of two patients in one
/// chart, one of them over; the records that re-open each.
#[test]
fn a_visit_still_to_come_is_asked_about_once_its_version_is_re_opened() {
    let mut desk = two_in_one_chart();
    let mut over = version_of("over", 1, ada("q"));
    over.visit.start = desk.now.plus_ms(-3_600_000);
    desk.arrive(over.clone());
    desk.expect_and_answer(Operation::CreateAppointment, created("a-over"));
    let reopen = |desk: &mut Desk, booking: Booking, generation: u32| {
        let schedule = Schedule { not_before: desk.now, ..Schedule::default() };
        let entry = RetryEntry { booking: booking.into(), schedule, generation };
        desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    };
    reopen(&mut desk, version_of("of-q", 1, ada("q")), 1);
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    for booking in [over, version_of("of-p", 1, ada("p"))] {
        reopen(&mut desk, booking, 1);
    }
    desk.expect_silence();
    reopen(&mut desk, version_of("of-q", 1, ada("q")), 1);
    search(&mut desk, &chart("hf-7", &ada("q")));
    let case = desk.reviews().pop().expect("a person is asked");
    assert_eq!((case.reason, case.booking.version), (ReviewReason::Unlinked, 1));
    decide(&mut desk, "d-2", case.booking.key.clone(), (1, case.generation), Verdict::Link("hf-7".into()));
    match desk.expect_and_answer(Operation::UpdateAppointment, updated("a-q")) {
        Request::UpdateAppointment { content, .. } => assert_eq!(content.patient.as_str(), "hf-7"),
        other => panic!("{other:?}"),
    }
    assert_eq!(desk.results().last(), Some(&("of-q".into(), 1, "UPDATED")));
}

/// Goal: no result has the number of another one of its version. Method: a version that waited once before it was written, and the
/// records that could re-open it.
#[test]
fn a_version_that_is_asked_about_again_gets_a_result_under_a_higher_generation() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(version_of("of-q", 1, ada("q")));
    desk.expect_and_answer(Operation::SearchPatients, Err(Fault::Unknown(Unknown::ServerError)));
    desk.pass_ms(10_000);
    desk.bring_back();
    search(&mut desk, &chart("hf-9", &ada("q")));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-q"));
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    for (generation, is_re_opened) in [(1, false), (3, false), (2, true)] {
        let schedule = Schedule { not_before: desk.now, ..Schedule::default() };
        let booking = version_of("of-q", 1, ada("q")).into();
        let entry = RetryEntry { booking, schedule, generation };
        desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
        desk.pass_ms(200);
        assert_eq!(!desk.calls.is_empty(), is_re_opened, "{generation}");
    }
    search(&mut desk, &chart("hf-9", &ada("q")));
    let case = desk.reviews().pop().expect("a person is asked");
    assert_eq!(case.generation, 3);
}

#[test]
fn a_cancellation_after_an_undone_link_ends_the_visit_where_it_stands() {
    let mut desk = two_in_one_chart();
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    desk.arrive(cancelled(version_of("of-q", 2, ada("q"))));
    match desk.expect_and_answer(Operation::UpdateAppointment, updated("a-q")) {
        Request::UpdateAppointment { content, .. } => assert_eq!(content.patient.as_str(), "hf-9"),
        other => panic!("{other:?}"),
    }
}

/// Goal: an undoing that comes late, twice or about something else does nothing, and says so.
#[test]
fn an_undoing_that_cannot_be_carried_out_is_answered_as_what_it_is() {
    let mut desk = two_in_one_chart();
    unlink(&mut desk, "d-0", "nobody", "hf-9");
    unlink(&mut desk, "d-1", "of-q", "hf-8");
    unlink(&mut desk, "d-2", "of-q", "hf-9");
    unlink(&mut desk, "d-2", "of-q", "hf-9");
    unlink(&mut desk, "d-3", "of-q", "hf-9");
    let told: Vec<FailureReason> = desk.dead_letters().iter().map(|letter| letter.reason).collect();
    use FailureReason::{DecisionStale, DecisionUnknown};
    assert_eq!(told, [DecisionUnknown, DecisionStale, DecisionStale]);
    let copies = desk.facts.iter().filter(|fact| matches!(fact, Fact::DuplicateSkipped { .. }));
    assert_eq!(copies.count(), 1, "a copy is passed over");
    assert!(state_of(&desk, "p").link.is_some());
}

#[test]
fn what_an_earlier_worker_wrote_does_not_say_for_whom_so_nothing_is_guessed() {
    let desk = two_in_one_chart();
    let mut older = desk.durable.clone();
    for booking in ["of-p", "of-q"] {
        let state = older.bookings.entry_mut(&a_booking(booking, 1).key);
        state.placement.as_mut().expect("it stands").patient = None;
    }
    let mut next = Desk::acquired(GuardMode::IdempotencyKey, older, desk.offsets.clone(), desk.now);
    unlink(&mut next, "d-1", "of-q", "hf-9");
    assert_eq!(next.dead_letters().pop().map(|one| one.reason), Some(FailureReason::DecisionContradicts));
    next.pass_ms(LAG_MS + 1);
    // Once it is written again, state says so.
    next.arrive(version_of("of-q", 2, ada("q")));
    next.expect_and_answer(Operation::UpdateAppointment, updated("a-q"));
    unlink(&mut next, "d-2", "of-q", "hf-9");
    assert!(state_of(&next, "q").is_unlinked && !state_of(&next, "p").is_unlinked);
}

/// Goal: a visit is not confirmed in a chart that was barred while its write was under way. Method: the link is undone between a create
/// and its answer.
#[test]
fn a_write_that_was_under_way_when_a_link_was_undone_is_asked_about() {
    let mut desk = two_in_one_chart();
    desk.arrive(version_of("late", 1, ada("q")));
    let create = desk.expect(Operation::CreateAppointment);
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    desk.answer(&create, created("a-late"));
    search(&mut desk, &chart("hf-7", &ada("q")));
    let asked = desk.reviews().pop().expect("a person is asked");
    assert_eq!((asked.booking.key.booking.as_str(), asked.reason), ("late", ReviewReason::Unlinked));
    assert!(!desk.results().iter().any(|(booking, ..)| booking == "late"), "it is not confirmed there");
}

/// Goal: a copy of an UNLINK that comes late undoes nothing. Method: a person has linked that chart after all since.
#[test]
fn a_late_copy_of_an_undoing_does_not_undo_what_was_decided_since() {
    let mut desk = two_in_one_chart();
    unlink(&mut desk, "d-1", "of-q", "hf-9");
    desk.pass_ms(1_000);
    desk.arrive(version_of("of-q", 2, ada("q")));
    search(&mut desk, &chart("hf-7", &ada("q")));
    let case = desk.reviews().pop().expect("a person is asked");
    let asked = (case.booking.version, case.generation);
    decide(&mut desk, "d-2", case.booking.key.clone(), asked, Verdict::Link("hf-9".into()));
    let copy = Decision {
        id: "d-1".into(),
        key: a_booking("of-q", 1).key,
        version: 0,
        generation: 0,
        verdict: Verdict::Unlink("hf-9".into()),
        by: "frontdesk-2".into(),
        at: desk.now.plus_ms(-1_000),
    };
    desk.arrive_on(Lane::Decisions, Arrival::Decided(Box::new(copy)));
    assert!(state_of(&desk, "q").link.is_some(), "the link stands");
    assert_eq!(desk.dead_letters().last().map(|letter| letter.reason), Some(FailureReason::DecisionStale));
}

//! Bookings that are coupled by a provider's time: what one frees another one takes (rule K11). HealthFlow is the
//! simulator with exclusive slots; it hears of the newest call first, the worst it may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use healthflow_core::booking::{Booking, Version};
use healthflow_core::event::Arrival;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{Fault, Operation, Request, decode, encode};
use healthflow_core::processor::Input;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{Asks, Held, Hold, Parked, ParkingPlace};
use healthflow_core::sync::{FailureReason, ReviewReason};
use healthflow_core::topics::Lane;
use healthflow_simulator::answer::{Faults, PatientBody, Simulator};

use crate::desk::*;
use crate::reading;

/// HealthFlow's office with charts `hfp-1` to `hfp-99`.
fn office() -> Simulator {
    let mut office = Simulator::new(Faults { slot_conflicts: true, ..Faults::default() }, 1);
    let chart = |number: usize| PatientBody {
        practice_id: "practice-1".into(),
        given_name: format!("Given{number}"),
        family_name: format!("Family{number}"),
        date_of_birth: "1990-12-10".into(),
        postal_code: "60601".into(),
        ..PatientBody::default()
    };
    office.seed_patients((1..100).map(chart).collect(), START);
    office
}

/// A version of the booking of patient `number`, in half an hour `slot` of the only provider; cancelled without one.
pub fn visit(id: &str, version: Version, number: usize, slot: Option<i64>) -> Booking {
    let mut patient =
        a_patient(&format!("pt-{number}"), &format!("Given{number}"), &format!("Family{number}"));
    patient.healthflow_patient_id = Some(format!("hfp-{number}").into());
    let mut booking = Booking { patient, ..a_booking(id, version) };
    match slot {
        Some(slot) => booking.visit.start = booking.visit.start.plus_ms(slot * 1_800_000),
        None => booking = cancelled(booking),
    }
    booking
}

/// Records arrive on the requested lane, all of them before anything is decided.
pub fn arrive_together(desk: &mut Desk, bookings: Vec<Booking>) {
    for booking in bookings {
        desk.write_on(Lane::Requested, Arrival::Requested(Arc::new(booking)));
    }
    desk.handle(Input::TimePassed);
}

/// Answers the call that came last, as the office does.
fn answer_newest(desk: &mut Desk, office: &mut Simulator) {
    let call = desk.calls.pop().expect("a call waits");
    let reply = office.answer(&encode(&call.request), desk.now).expect("an answer");
    let reply = decode(&call.request, Ok(reply), desk.now);
    desk.answer(&call, reply);
}

/// Answers whatever is asked, the newest call first, until nothing is.
pub fn serve(desk: &mut Desk, office: &mut Simulator) {
    desk.pass_ms(200);
    while !desk.calls.is_empty() {
        answer_newest(desk, office);
    }
}

/// The final results, by booking and version.
pub fn ends(desk: &Desk) -> BTreeMap<(String, Version), String> {
    let synced = desk.results().into_iter().map(|(id, version, outcome)| ((id, version), outcome.to_owned()));
    let failed = desk.dead_letters().into_iter().filter_map(|letter| {
        let identity = letter.identity?;
        Some(((identity.key.booking.to_string(), identity.version), letter.reason.code().to_owned()))
    });
    synced.chain(failed).collect()
}

fn count(desk: &Desk, is_it: impl Fn(&Fact) -> bool) -> usize {
    desk.facts.iter().filter(|fact| is_it(fact)).count()
}

pub fn one_written() -> (Desk, Simulator) {
    let (mut desk, mut office) = (Desk::new(GuardMode::IdempotencyKey), office());
    desk.arrive_at_once(visit("a", 1, 1, Some(1)));
    serve(&mut desk, &mut office);
    (desk, office)
}

#[test]
fn a_booking_into_a_slot_that_is_being_freed_waits_for_that_without_an_intent() {
    let (mut desk, mut office) = one_written();
    desk.arrive_at_once(visit("a", 2, 1, None));
    desk.arrive_at_once(visit("b", 1, 2, Some(1)));
    desk.pass_ms(200);
    assert_eq!(desk.calls.len(), 1, "only the cancellation is asked: {:?}", desk.calls);
    assert!(
        desk.durable
            .bookings
            .iter()
            .all(|(key, state)| key.booking.as_str() != "b" || state.intent.is_none())
    );
    answer_newest(&mut desk, &mut office);
    desk.expect(Operation::CreateAppointment);
}

/// Goal: legal steps of a desk lose nobody a visit, at the cost of one call more for each step aside. Method: 20 slots
/// that are cancelled and booked anew, and 20 pairs that exchange their visits by way of a third time, all at once.
#[test]
fn twenty_freed_slots_and_twenty_exchanges_leave_no_slot_taken() {
    let (mut desk, mut office) = (Desk::new(GuardMode::IdempotencyKey), office());
    for pair in 0..20 {
        desk.arrive_at_once(visit(&format!("a{pair}"), 1, 1 + pair, Some(pair as i64)));
        desk.arrive_at_once(visit(&format!("x{pair}"), 1, 21 + pair, Some(100 + pair as i64)));
        desk.arrive_at_once(visit(&format!("y{pair}"), 1, 41 + pair, Some(200 + pair as i64)));
    }
    serve(&mut desk, &mut office);
    let steps = |pair: usize| {
        let (at, slot) = (pair as i64, |number: i64| Some(number + pair as i64));
        [
            visit(&format!("a{pair}"), 2, 1 + pair, None),
            visit(&format!("b{pair}"), 1, 61 + pair, Some(at)),
            visit(&format!("x{pair}"), 2, 21 + pair, slot(300)),
            visit(&format!("y{pair}"), 2, 41 + pair, slot(100)),
            visit(&format!("x{pair}"), 3, 21 + pair, slot(200)),
        ]
    };
    arrive_together(&mut desk, (0..20).flat_map(steps).collect());
    serve(&mut desk, &mut office);
    let ends = ends(&desk);
    assert_eq!(ends.len(), 60 + 100);
    let taken: Vec<_> = ends.iter().filter(|(_, end)| *end == FailureReason::SlotTaken.code()).collect();
    assert!(taken.is_empty(), "{taken:?}");
    let updated = ends.values().filter(|end| *end == "UPDATED").count();
    assert_eq!(updated, 60, "each exchange has three writes");
    assert_eq!(count(&desk, |fact| matches!(fact, Fact::WrittenFirst { .. })), 20);
    assert!(desk.retries().is_empty(), "nobody had to be parked");
}

/// Goal: who waits keeps nobody from going first. Method: one patient gives up a visit and takes another booking in its
/// place, while the cancellation waits for its next try.
#[test]
fn who_waits_for_a_slot_does_not_hold_its_patient() {
    let (mut desk, mut office) = one_written();
    desk.arrive(visit("a", 2, 1, None));
    let call = desk.calls.pop().expect("the cancellation is asked");
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    desk.arrive(visit("b", 1, 1, Some(1)));
    desk.expect_silence();
    desk.bring_back();
    desk.pass_ms(10_000);
    serve(&mut desk, &mut office);
    assert_eq!(ends(&desk)[&("b".to_owned(), 1)], "CREATED");
}

#[test]
fn the_wait_ends_with_the_version_that_would_have_freed_the_slot() {
    let (mut desk, mut office) = one_written();
    desk.arrive_at_once(visit("a", 2, 1, None));
    desk.arrive_at_once(visit("b", 1, 2, Some(1)));
    desk.pass_ms(200);
    let call = desk.calls.pop().expect("the cancellation is asked");
    desk.answer(&call, Err(Fault::Refused { status: 422, fields: vec!["status: not_now".into()] }));
    serve(&mut desk, &mut office);
    assert_eq!(ends(&desk)[&("b".to_owned(), 1)], "SLOT_TAKEN");
}

/// Goal: who waits for long lies in the retry topic, and goes on as soon as the slot is free. Method: a cancellation that
/// gets no answer for longer than anybody waits in memory.
#[test]
fn a_long_wait_is_parked_costs_no_attempt_and_ends_at_once_when_the_slot_is_free() {
    let (mut desk, mut office) = one_written();
    desk.arrive_at_once(visit("a", 2, 1, None));
    desk.arrive_at_once(visit("b", 1, 2, Some(1)));
    desk.pass_ms(31_000);
    let parked = desk.retries().pop().expect("it is parked");
    assert_eq!((parked.schedule.attempts, &*parked.schedule.last_error), (0, "awaits_slot"));
    assert!(parked.schedule.slot_since.is_some());
    desk.bring_back();
    assert_eq!(desk.calls.len(), 1, "only the cancellation is asked");
    serve(&mut desk, &mut office);
    assert_eq!(ends(&desk)[&("b".to_owned(), 1)], "CREATED");
}

/// Goal: after a restart what lies in the retry topic is still known to free its slot. Method: the cancellation is parked,
/// then the worker dies.
#[test]
fn what_is_parked_still_frees_its_slot_for_the_next_owner() {
    let (mut desk, mut office) = one_written();
    desk.arrive(visit("a", 2, 1, None));
    let call = desk.calls.pop().expect("the cancellation is asked");
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    let cancellation = desk.retries().pop().expect("it is parked");
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive(visit("b", 1, 2, Some(1)));
    next.expect_silence();
    let back = Arrival::Retry(Box::new(cancellation));
    next.arrive_on(Lane::Retry, back);
    next.pass_ms(10_000);
    serve(&mut next, &mut office);
    assert_eq!(ends(&next)[&("b".to_owned(), 1)], "CREATED");
}

/// Goal: nobody waits for ever. Method: two bookings that want each other's slot, and no third time to go by.
#[test]
fn a_cycle_ends_after_the_longest_wait_and_is_counted() {
    let (mut desk, mut office) = one_written();
    desk.arrive(visit("b", 1, 2, Some(2)));
    serve(&mut desk, &mut office);
    arrive_together(&mut desk, vec![visit("a", 2, 1, Some(2)), visit("b", 2, 2, Some(1))]);
    desk.expect_silence();
    let (longest_ms, mut brought_back) = (settings(GuardMode::IdempotencyKey).slot_wait_max_ms, 0);
    let began_at = desk.now;
    while desk.now.since_ms(began_at) < longest_ms + 60_000 {
        desk.pass_ms(20_000);
        for parked in desk.retries().split_off(brought_back) {
            brought_back += 1;
            let back = Arrival::Retry(Box::new(parked));
            desk.arrive_on(Lane::Retry, back);
        }
        let is_over = desk.now.since_ms(began_at) > longest_ms;
        assert!(is_over || desk.calls.is_empty(), "nobody asks before the wait is over");
    }
    assert!(brought_back < 20, "waiting costs {brought_back} records");
    serve(&mut desk, &mut office);
    let taken: Vec<_> = ends(&desk).into_iter().filter(|(_, end)| end == "SLOT_TAKEN").collect();
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert!(count(&desk, |fact| matches!(fact, Fact::SlotAwaitedInVain { is_cycle: true, .. })) >= 1);
}

/// Goal: what an earlier worker wrote is no reason to lose a visit. Method: state that does not say what is occupied.
#[test]
fn where_nobody_remembers_the_slot_it_is_asked_for_and_then_waited_for() {
    let (desk, mut office) = one_written();
    let mut durable = desk.durable.clone();
    let key = visit("a", 1, 1, None).key;
    durable.bookings.entry_mut(&key).placement.as_mut().expect("it exists").spans.clear();
    let mut next = Desk::acquired(GuardMode::IdempotencyKey, durable, desk.offsets.clone(), desk.now);
    next.arrive_at_once(visit("a", 2, 1, None));
    next.arrive_at_once(visit("b", 1, 2, Some(1)));
    next.pass_ms(200);
    assert_eq!(next.calls.len(), 2, "nobody knows better");
    // The create first.
    answer_newest(&mut next, &mut office);
    next.pass_ms(200);
    assert_eq!(next.calls.len(), 1, "now it waits: {:?}", next.calls);
    serve(&mut next, &mut office);
    assert_eq!(ends(&next)[&("b".to_owned(), 1)], "CREATED");
}

/// Goal: whoever has its time waits for nobody. Method: another booking, about to be cancelled, may stand there too, as far
/// as anybody remembers; only the note changes.
#[test]
fn who_has_its_slot_already_waits_for_nobody() {
    let (mut desk, _) = one_written();
    desk.arrive_at_once(visit("b", 1, 2, Some(2)));
    desk.expect_and_answer(Operation::CreateAppointment, created("hfa-2"));
    desk.pass_ms(200);
    let mut durable = desk.durable.clone();
    let taken = desk.state("a").placement.expect("it exists").spans;
    let state = durable.bookings.entry_mut(&visit("b", 1, 2, None).key);
    state.placement.as_mut().expect("it exists").spans.extend(taken);
    let mut next = Desk::acquired(GuardMode::IdempotencyKey, durable, desk.offsets.clone(), desk.now);
    let mut noted = visit("a", 2, 1, Some(1));
    noted.visit.note = Some("comes by train".into());
    arrive_together(&mut next, vec![visit("b", 2, 2, None), noted]);
    next.pass_ms(200);
    assert_eq!(next.calls.len(), 2, "both are asked: {:?}", next.calls);
}

/// Goal: what an earlier worker wrote is remembered as soon as anybody knows it. Method: a version that changes nothing
/// comes to state that does not say what is occupied.
#[test]
fn a_version_that_changes_nothing_says_where_the_booking_stands() {
    let (desk, _) = one_written();
    let mut durable = desk.durable.clone();
    let placement = |desk: &Desk| desk.state("a").placement.expect("it exists");
    let state = durable.bookings.entry_mut(&visit("a", 1, 1, None).key);
    state.placement.as_mut().expect("it exists").spans.clear();
    let mut next = Desk::acquired(GuardMode::IdempotencyKey, durable, desk.offsets.clone(), desk.now);
    next.arrive(visit("a", 2, 1, Some(1)));
    next.expect_silence();
    assert_eq!(ends(&next)[&("a".to_owned(), 2)], "UNCHANGED");
    assert_eq!((placement(&next).spans.len(), placement(&next).spans), (1, placement(&desk).spans));
}

/// Goal: no older version is written once a newer one was intended (K5), also not for another's sake. Method: the step
/// aside comes back after the newest version went out.
#[test]
fn a_step_aside_is_not_written_once_the_newest_was_intended() {
    let (mut desk, _) = one_written();
    desk.arrive(visit("a", 3, 1, Some(4)));
    let newest = desk.calls.pop().expect("the newest is asked");
    desk.arrive(visit("a", 2, 1, Some(3)));
    desk.arrive(visit("b", 1, 2, Some(1)));
    desk.expect_silence();
    assert!(matches!(&newest.request, Request::UpdateAppointment { .. }));
    desk.answer(&newest, updated("hfa-1"));
    let ends = ends(&desk);
    assert_eq!((ends.get(&("a".to_owned(), 2)).map(String::as_str), ends.len()), (Some("SUPERSEDED"), 3));
    desk.expect(Operation::CreateAppointment);
}

/// Goal: while an older version waits unread that must be written first, nothing between it and the newest is superseded,
/// or it could not be written any more. Method: a step aside is parked when its owner dies; the next owner has three
/// versions more before it reads that record.
#[test]
fn a_step_aside_that_is_unread_is_still_written_first() {
    let (mut desk, mut office) = one_written();
    desk.arrive_at_once(visit("b", 1, 2, Some(2)));
    serve(&mut desk, &mut office);
    desk.arrive(visit("a", 2, 1, Some(3)));
    let call = desk.calls.pop().expect("the step aside is asked");
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    let aside = desk.retries().pop().expect("it is parked");
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    let others = vec![visit("b", 2, 2, Some(1)), visit("a", 3, 1, None), visit("a", 4, 1, Some(2))];
    arrive_together(&mut next, others);
    next.expect_silence();
    next.arrive_on(Lane::Retry, Arrival::Retry(Box::new(aside)));
    next.pass_ms(10_000);
    serve(&mut next, &mut office);
    let ends = ends(&next);
    let end = |id: &str, version| ends.get(&(id.to_owned(), version)).map(String::as_str);
    assert_eq!([end("a", 2), end("b", 2), end("a", 4)], [Some("UPDATED"); 3]);
    assert_eq!(end("a", 3), Some("SUPERSEDED"));
}

/// Goal: an older version that waits for a person keeps nobody waiting: not its own newest, nor who wants its slot.
/// Method: the patient is held by another booking's review, and the newest version cancels.
#[test]
fn a_step_aside_that_is_held_is_not_written_first() {
    let (mut desk, mut office) = one_written();
    desk.arrive_at_once(visit("b", 1, 2, Some(2)));
    serve(&mut desk, &mut office);
    let mut durable = desk.durable.clone();
    durable.patients.entry_mut(&visit("a", 1, 1, None).patient_key()).held_by = Some("other".into());
    let asks = Asks::Person { reason: ReviewReason::LinkConflict, candidates: Vec::new() };
    let other = Arc::new(visit("other", 1, 1, None));
    let parked =
        Parked { version: 1, place: ParkingPlace::Review(Hold::Question), generation: 1, wish: None };
    durable.bookings.entry_mut(&other.key).parked.push(parked);
    durable.apply_held(Held::new(other, 1, 0, desk.now, asks));
    let mut next = Desk::acquired(GuardMode::IdempotencyKey, durable, desk.offsets.clone(), desk.now);
    let steps = vec![visit("a", 2, 1, Some(3)), visit("b", 2, 2, Some(1)), visit("a", 3, 1, None)];
    arrive_together(&mut next, steps);
    serve(&mut next, &mut office);
    let ends = ends(&next);
    let end = |id: &str, version| ends.get(&(id.to_owned(), version)).map(String::as_str);
    assert_eq!([end("a", 2), end("a", 3)], [Some("SUPERSEDED"), Some("CANCELLED")]);
    assert_eq!(end("b", 2), Some("UPDATED"));
}

/// Goal: a slot is not given up while the record that frees it is there unread. Method: the cancellation's schema is not
/// known yet, or it is read with care, when the booking into its slot is refused.
#[test]
fn no_refusal_is_final_while_an_earlier_record_is_unread() {
    for leave_unread in [Desk::delay, reading::hold] {
        let (mut desk, mut office) = one_written();
        leave_unread(&mut desk, Lane::Requested);
        desk.arrive_at_once(visit("b", 1, 2, Some(1)));
        serve(&mut desk, &mut office);
        assert!(!ends(&desk).contains_key(&("b".to_owned(), 1)), "nobody knows what is in that record");
        desk.arrive_late(Lane::Requested, 1, Arrival::Requested(Arc::new(visit("a", 2, 1, None))));
        serve(&mut desk, &mut office);
        serve(&mut desk, &mut office);
        assert_eq!(ends(&desk)[&("b".to_owned(), 1)], "CREATED");
    }
}

/// Goal: where a step aside was left out, nobody is put back to where it was before. Method: the oldest version is parked
/// alone and comes back to the next owner first.
#[test]
fn what_is_older_than_a_replaced_version_is_not_written_any_more() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.reads_wait = true;
    desk.arrive(visit("a", 1, 1, Some(1)));
    let call = desk.calls.pop().expect("its patient is asked for");
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    let oldest = desk.retries().pop().expect("it is parked");
    arrive_together(&mut desk, vec![visit("a", 2, 1, Some(2)), visit("a", 3, 1, Some(3))]);
    desk.pass_ms(100);
    let call = desk.calls.pop().expect("the newest one's patient is asked for");
    desk.answer(&call, Err(Fault::NotSent(NotSent::Connect)));
    let mut next = desk.crash(GuardMode::IdempotencyKey);
    next.arrive_on(Lane::Retry, Arrival::Retry(Box::new(oldest)));
    next.pass_ms(700_000);
    assert!(next.calls.is_empty(), "{:?}", next.calls);
    let ends = ends(&desk).into_iter().chain(ends(&next)).collect::<BTreeMap<_, _>>();
    assert_eq!(ends[&("a".to_owned(), 1)], "SUPERSEDED");
}

//! What an outage leaves behind must not delay bookings that were not tried yet: look-ups that settle doubts, searches
//! that fail, bookings that are tried again. Permits, places and transactions are those of one worker.

use std::collections::BTreeMap;

use healthflow_core::booking::Booking;
use healthflow_core::event::{Arrival, Outgoing};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::{Fault, Operation, Reply, Request};
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use crate::desk::*;

const Q_MS: i64 = 75_000;
const CALL_MS: i64 = 50;
const LIFE_MS: i64 = 10_000;

/// A fresh booking takes two calls and two commits.
const PROMPTLY_MS: i64 = 1_500;

fn worker(guard: GuardMode) -> Worker {
    let settings =
        Settings { requests_per_second: 100.0, max_in_flight: 64, ready_queue_max: 640, ..settings(guard) };
    let mut desk = Desk::within(settings, TaskState::default(), BTreeMap::new(), START);
    desk.pass_ms(LAG_MS + 1);
    Worker { desk, under_way: BTreeMap::new(), calls: Vec::new(), read: 0 }
}

/// A booking of a patient of its own, whose chart is known.
fn of_patient(number: usize) -> Booking {
    let mut booking = a_booking(&format!("b-{number}"), 1);
    booking.patient.id = format!("p-{number}").as_str().into();
    booking.patient.healthflow_patient_id = Some(format!("hf-{number}").as_str().into());
    booking
}

/// What HealthFlow answers, and after how long.
type Answers<'a> = &'a dyn Fn(&Request) -> (Reply, i64);

/// A desk whose calls are answered after a while.
struct Worker {
    desk: Desk,
    under_way: BTreeMap<(Timestamp, usize), (Call, Reply)>,
    calls: Vec<Operation>,
    /// How many of the records it committed it has looked at.
    read: usize,
}

impl Worker {
    /// Lets HealthFlow answer like this for so long.
    fn lives(&mut self, ms: i64, answers: Answers<'_>) {
        let end = self.desk.now.plus_ms(ms);
        while self.desk.now < end {
            for call in std::mem::take(&mut self.desk.calls) {
                let (reply, ms) = answers(&call.request);
                self.calls.push(call.request.operation());
                self.under_way.insert((self.desk.now.plus_ms(ms), self.calls.len()), (call, reply));
            }
            while self.under_way.first_key_value().is_some_and(|((at, _), _)| *at <= self.desk.now) {
                let Some((_, (call, reply))) = self.under_way.pop_first() else { break };
                self.desk.handle(Input::Answered { call: call.id, reply });
            }
            self.reads_its_retries();
            self.desk.pass_ms(10);
        }
    }

    /// What was parked comes back on its lane.
    fn reads_its_retries(&mut self) {
        let retry = |record: &Outgoing| match record {
            Outgoing::Retry(entry) => Some(entry.clone()),
            _ => None,
        };
        let parked: Vec<_> = self.desk.committed[self.read..].iter().filter_map(retry).collect();
        self.read = self.desk.committed.len();
        for entry in parked {
            self.desk.put_on(Lane::Retry, Arrival::Retry(entry));
        }
    }

    fn open_doubts(&self) -> usize {
        self.desk.processor.status(self.desk.now).open_doubts
    }

    /// How long fresh bookings waited, one of which arrives every 50 ms while HealthFlow answers like this: the longest.
    fn longest_wait_of_fresh(&mut self, answers: Answers<'_>) -> i64 {
        let mut asked_at: BTreeMap<String, Timestamp> = BTreeMap::new();
        let mut waits: BTreeMap<String, i64> = BTreeMap::new();
        for number in 1_000..1_260 {
            if number < 1_060 {
                let booking = of_patient(number);
                asked_at.insert(booking.key.booking.to_string(), self.desk.now);
                self.desk.arrive_at_once(booking);
            }
            self.lives(50, answers);
            for (booking, _, _) in self.desk.results() {
                if let Some(at) = asked_at.get(&booking) {
                    waits.entry(booking).or_insert(self.desk.now.since_ms(*at));
                }
            }
        }
        assert_eq!(waits.len(), asked_at.len(), "every fresh booking is confirmed");
        waits.into_values().max().expect("some are")
    }
}

fn all_well(request: &Request) -> (Reply, i64) {
    let reply = match request {
        Request::CreateAppointment { content, .. } => created(&format!("a-{}", content.booking)),
        Request::UpdateAppointment { id, .. } => updated(id.as_str()),
        Request::FindAppointment { .. } => appointments(&[]),
        Request::SearchPatients { .. } => nobody(),
        Request::CreatePatient { content, .. } => patient_created(content.patient.id.as_str()),
        other => panic!("{other:?} is not needed"),
    };
    (reply, CALL_MS)
}

fn broken() -> Reply {
    Err(Fault::Unknown(Unknown::ServerError))
}

/// 300 creates whose answers were lost, a moment before they are quiet.
fn after_an_outage(guard: GuardMode) -> Worker {
    let mut worker = worker(guard);
    (0..300).for_each(|number| worker.desk.arrive_at_once(of_patient(number)));
    worker.lives(20_000, &|request| match request {
        Request::CreateAppointment { .. } => (broken(), CALL_MS),
        other => all_well(other),
    });
    assert_eq!(worker.open_doubts(), 300);
    worker.desk.pass_ms(Q_MS - 20_000);
    worker
}

#[test]
fn look_ups_that_fail_take_nothing_from_fresh_bookings() {
    for (what, answer) in [("fails", (broken(), CALL_MS)), ("hangs", (timeout(), LIFE_MS))] {
        let mut worker = after_an_outage(GuardMode::Reference);
        let answers = |request: &Request| match request {
            Request::FindAppointment { .. } => answer.clone(),
            other => all_well(other),
        };
        let longest_ms = worker.longest_wait_of_fresh(&answers);
        assert!(longest_ms <= PROMPTLY_MS, "{what}: a fresh booking waited for {longest_ms} ms");
        let before = worker.calls.len();
        worker.lives(600_000, &answers);
        let look_ups =
            worker.calls[before..].iter().filter(|one| **one == Operation::FindAppointment).count();
        assert!((5..150).contains(&look_ups), "{what}: {look_ups} look-ups in ten minutes");
        assert!(
            worker.desk.facts.contains(&Fact::ReadsFail { operation: Operation::FindAppointment }),
            "{what}"
        );
        // As soon as one is answered the others are asked about, too.
        assert_eq!(worker.open_doubts(), 300, "{what}");
        worker.lives(120_000, &all_well);
        assert_eq!(worker.open_doubts(), 0, "{what}");
    }
}

#[test]
fn look_ups_that_work_leave_most_permits_to_fresh_bookings() {
    let mut worker = after_an_outage(GuardMode::Reference);
    let longest_ms = worker.longest_wait_of_fresh(&all_well);
    assert!(longest_ms <= PROMPTLY_MS, "a fresh booking waited for {longest_ms} ms");
    worker.lives(20_000, &all_well);
    assert_eq!(worker.open_doubts(), 0, "and all is settled beside them");
}

#[test]
fn searches_that_hang_take_nothing_from_bookings_of_known_patients() {
    let mut worker = worker(GuardMode::IdempotencyKey);
    let answers = |request: &Request| match request {
        Request::SearchPatients { .. } => (timeout(), LIFE_MS),
        other => all_well(other),
    };
    for number in 0..200 {
        let name = format!("New{number}");
        let patient = a_patient(&name, &name, &format!("{name}son"));
        worker.desk.arrive_at_once(a_booking_of(&format!("new-{number}"), patient));
    }
    worker.lives(30_000, &answers);
    let longest_ms = worker.longest_wait_of_fresh(&answers);
    assert!(longest_ms <= PROMPTLY_MS, "a fresh booking waited for {longest_ms} ms");
}

/// Bookings that failed come back while more fresh ones arrive than the limit allows: neither starves.
#[test]
fn what_failed_before_has_its_share_and_no_more() {
    let mut worker = worker(GuardMode::IdempotencyKey);
    (0..400).for_each(|number| worker.desk.arrive_at_once(of_patient(number)));
    worker.lives(15_000, &|_| (Err(Fault::NotSent(NotSent::Connect)), 1));
    assert!(worker.desk.retries().len() >= 400, "all of them failed");
    worker.desk.pass_ms(100_000);
    (2_000..2_600).for_each(|number| worker.desk.arrive_at_once(of_patient(number)));
    worker.lives(3_000, &all_well);
    let results = worker.desk.results().into_iter();
    let (fresh, again): (Vec<_>, Vec<_>) =
        results.partition(|(booking, _, _)| booking.len() == "b-2000".len());
    // A fresh one reads a chart first.
    assert!(fresh.len() >= 100, "{} fresh ones, {} others", fresh.len(), again.len());
    assert!(again.len() >= 50, "{} fresh ones, {} others", fresh.len(), again.len());
}

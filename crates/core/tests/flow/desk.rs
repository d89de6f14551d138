//! One processor with one live task on a desk: the test is Kafka, HealthFlow and the clock. Defaults everywhere, so that
//! whatever a test sets is what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use healthflow_core::booking::{Booking, Version, VersionKey};
use healthflow_core::event::{Arrival, DeadLetter, Outgoing, RetryEntry, ReviewCase};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Operation, Reply, Request};
use healthflow_core::life::Incarnation;
use healthflow_core::limits::Controls;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::start::{Acquired, Start};
use healthflow_core::processor::{CommitEnded, Effect, Input, Processor};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::{StateRecord, TaskState};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::{Begun, Shell};

pub use crate::builders::*;
pub use crate::limits::*;
pub use healthflow_proof::shell::Call;

pub const START: Timestamp = Timestamp(1_800_000_000_000);

pub struct Desk {
    pub processor: Processor,
    shell: Shell<()>,
    pub now: Timestamp,
    /// Calls that were sent and wait for their answers.
    pub calls: Vec<Call>,
    pub commits: Vec<(Incarnation, u64, CommitBatch)>,
    pub committed: Vec<Outgoing>,
    /// What all owners have committed.
    pub durable: TaskState,
    pub offsets: BTreeMap<Lane, i64>,
    pub facts: Vec<Fact>,
    pub others: Vec<Effect>,
    pub hold_commits: bool,
    /// What HealthFlow shows of patients who are sent along; of any other somebody born on the day of everybody.
    pub charts: BTreeMap<String, Reply>,
    /// Whether charts are asked for like anything else.
    pub reads_wait: bool,
    /// The held versions that are to be read.
    pub asked_contents: Vec<Vec<VersionKey>>,
    /// Whether that takes until the test turns it off.
    pub contents_wait: bool,
    pub incarnation: Incarnation,
    pub next: BTreeMap<Lane, i64>,
}

impl Desk {
    /// A task that has been live for longer than the search lag, nothing remembered.
    pub fn new(guard: GuardMode) -> Self {
        let mut desk = Desk::acquired(guard, TaskState::default(), BTreeMap::new(), START);
        desk.pass_ms(LAG_MS + 1);
        desk
    }

    /// A task that was acquired this moment with what an earlier owner committed.
    pub fn acquired(
        guard: GuardMode,
        state: TaskState,
        offsets: BTreeMap<Lane, i64>,
        now: Timestamp,
    ) -> Self {
        Desk::within(settings(guard), state, offsets, now)
    }

    /// The same, within other limits.
    pub fn within(
        settings: Settings,
        state: TaskState,
        offsets: BTreeMap<Lane, i64>,
        now: Timestamp,
    ) -> Self {
        let mut desk = Desk {
            processor: Processor::new(settings, Controls::default(), now),
            shell: Shell::default(),
            now,
            calls: Vec::new(),
            commits: Vec::new(),
            committed: Vec::new(),
            durable: state.clone(),
            offsets: BTreeMap::new(),
            facts: Vec::new(),
            others: Vec::new(),
            hold_commits: false,
            charts: BTreeMap::new(),
            reads_wait: false,
            asked_contents: Vec::new(),
            contents_wait: false,
            incarnation: 0,
            next: Lane::ALL.map(|lane| (lane, 0)).into(),
        };
        desk.next.extend(offsets);
        desk.handle(Input::TaskAssigned { partition: 0 });
        desk.finish_acquisition(state);
        desk
    }

    fn finish_acquisition(&mut self, state: TaskState) {
        self.incarnation = self.shell.task(0).expect("the task is to be acquired").incarnation;
        let acquired = Acquired {
            fenced_at: self.now,
            start: Start {
                next_offsets: self.next.iter().map(|(lane, offset)| lane.at(*offset)).collect(),
                ..Start::default()
            },
            restored_records: state.len() as u64,
            state,
            restored_at: self.now,
        };
        let incarnation = self.incarnation;
        self.handle(Input::TaskAcquired { partition: 0, incarnation, acquired: Box::new(acquired) });
    }

    /// The worker dies; another one acquires the task with exactly what was committed.
    pub fn crash(&self, guard: GuardMode) -> Desk {
        self.crash_within(settings(guard))
    }

    /// The same, the other one within other limits.
    pub fn crash_within(&self, settings: Settings) -> Desk {
        Desk::within(settings, self.durable.clone(), self.offsets.clone(), self.now)
    }

    /// The acquisition that the processor asks for after it dropped the task is done; where to read is as before.
    pub fn acquire_again(&mut self) {
        self.finish_acquisition(self.durable.clone());
    }

    pub fn handle(&mut self, input: Input) {
        self.processor.handle(input, self.now);
        self.turn();
    }

    fn turn(&mut self) {
        loop {
            self.processor.decide(self.now);
            let mut done = Vec::new();
            while let Some(effect) = self.processor.next_effect() {
                if !matches!(effect, Effect::Call { .. } | Effect::Commit { .. }) {
                    self.others.push(effect.clone());
                }
                for begun in self.shell.perform(effect) {
                    self.begins(begun, &mut done);
                }
            }
            self.facts.extend(std::iter::from_fn(|| self.processor.next_fact()));
            let asked = if self.contents_wait { vec![] } else { std::mem::take(&mut self.asked_contents) };
            if done.is_empty() && asked.is_empty() {
                return;
            }
            for commit in done {
                self.good(commit);
            }
            for of in asked {
                let (partition, incarnation) = (0, self.incarnation);
                let found = self.durable.contents_of(&of);
                self.processor.handle(Input::ContentsRead { partition, incarnation, found }, self.now);
            }
        }
    }

    fn begins(&mut self, begun: Begun, done: &mut Vec<(Incarnation, u64, CommitBatch)>) {
        match begun {
            Begun::Call(Call { id, request, .. }) if self.reads(&request) => {
                let reply = self.shown(&request);
                self.processor.handle(Input::Answered { call: id, reply }, self.now);
                self.processor.decide(self.now);
            }
            Begun::Call(call) => self.calls.push(call),
            Begun::Refused(call) => panic!("{call:?} is of a life that was over before it was asked for"),
            Begun::Commit { incarnation, sequence, batch, .. } => {
                self.commits.push((incarnation, sequence, batch));
                if !self.hold_commits {
                    done.push(self.commits.remove(0));
                }
            }
            Begun::Contents { of, .. } => self.asked_contents.push(of),
            // The test is the group and the lanes: it says itself what is assigned, fetched, held and decoded.
            Begun::Acquisition { .. } | Begun::GivenBack(_) | Begun::Dropped(..) | Begun::Stop => {}
            Begun::Reading(_) | Begun::Resumed(_) | Begun::Decoding { .. } | Begun::Unread(..) => {}
            Begun::Asking(_) => {}
        }
    }

    fn reads(&self, request: &Request) -> bool {
        matches!(request, Request::ReadPatient { .. }) && !self.reads_wait
    }

    fn shown(&self, request: &Request) -> Reply {
        let Request::ReadPatient { id, .. } = request else { panic!("a chart is read") };
        self.charts
            .get(id.as_str())
            .cloned()
            .unwrap_or_else(|| a_chart(id.as_str(), &a_patient("", "Any", "Body")))
    }

    fn good(&mut self, (incarnation, sequence, batch): (Incarnation, u64, CommitBatch)) {
        for record in &batch.records {
            match record {
                Outgoing::State(record) => self.durable.apply((**record).clone()),
                Outgoing::Forgotten(key) => self.durable.bookings.remove(key),
                Outgoing::Review(case) => self.durable.apply_held(case.held()),
                Outgoing::Released(of) => self.durable.release_held(of),
                Outgoing::ReleasedOfOld(key) => self.durable.release_old_held(key),
                _ => {}
            }
        }
        self.committed.extend(batch.records);
        self.offsets.extend(batch.offsets.iter().map(|at| (at.lane, at.offset)));
        let ended = CommitEnded::Good { started_at: self.now, aborts: 0 };
        self.processor.handle(Input::CommitEnded { partition: 0, incarnation, sequence, ended }, self.now);
    }

    /// The oldest commit that was held turns out good.
    pub fn commit_is_good(&mut self) {
        let commit = self.commits.remove(0);
        self.good(commit);
        self.turn();
    }

    /// The oldest commit that was held is lost, and nothing of it stands.
    pub fn commit_is_lost(&mut self) {
        let (incarnation, sequence, _) = self.commits.remove(0);
        self.handle(Input::CommitEnded { partition: 0, incarnation, sequence, ended: CommitEnded::TaskLost });
    }

    /// Lets time pass, in steps in which every wake-up is met.
    pub fn pass_ms(&mut self, ms: i64) {
        let end = self.now.plus_ms(ms);
        while self.now < end {
            let wakeup = self.processor.next_wakeup(self.now).unwrap_or(end);
            self.now = wakeup.clamp(self.now.plus_ms(1), end);
            self.handle(Input::TimePassed);
        }
    }

    /// A record arrives on the requested lane.
    pub fn arrive(&mut self, booking: Booking) {
        self.arrive_on(Lane::Requested, Arrival::Requested(Arc::new(booking)));
    }

    /// A record arrives on a lane.
    pub fn arrive_on(&mut self, lane: Lane, arrival: Arrival) {
        self.put_on(lane, arrival);
        self.pass_ms(100);
    }

    /// A record arrives on the requested lane, and no time passes.
    pub fn arrive_at_once(&mut self, booking: Booking) {
        self.put_on(Lane::Requested, Arrival::Requested(Arc::new(booking)));
    }

    pub fn put_on(&mut self, lane: Lane, arrival: Arrival) {
        self.write_on(lane, arrival);
        self.turn();
    }

    /// The same, and nothing is decided yet.
    pub fn write_on(&mut self, lane: Lane, arrival: Arrival) {
        let (offset, incarnation) = (self.next[&lane], self.incarnation);
        self.next.insert(lane, offset + 1);
        let arrived = Input::Arrived { partition: 0, incarnation, lane, offset, size_bytes: 100, arrival };
        self.processor.handle(arrived, self.now);
    }

    /// A record is there on a lane that cannot be read yet.
    pub fn delay(&mut self, lane: Lane) {
        let (offset, incarnation) = (self.next[&lane], self.incarnation);
        self.next.insert(lane, offset + 1);
        let (partition, size_bytes) = (0, 100);
        self.handle(Input::Delayed { partition, incarnation, lane, offset, size_bytes, written_at: None });
    }

    /// The record that was delayed can be read now.
    pub fn arrive_late(&mut self, lane: Lane, offset: i64, arrival: Arrival) {
        let incarnation = self.incarnation;
        self.handle(Input::Arrived { partition: 0, incarnation, lane, offset, size_bytes: 100, arrival });
        self.pass_ms(200);
    }

    /// The retry record that was committed last comes back on its lane.
    pub fn bring_back(&mut self) {
        let entry = self.retries().pop().expect("a booking was parked");
        self.arrive_on(Lane::Retry, Arrival::Retry(Box::new(entry)));
    }

    /// The only call that waits, which must be of this kind; its commits have been waited for.
    pub fn expect(&mut self, operation: Operation) -> Call {
        self.pass_ms(200);
        assert_eq!(self.calls.len(), 1, "one call waits: {:?}", self.calls);
        let call = self.calls.remove(0);
        assert_eq!(call.request.operation(), operation);
        call
    }

    pub fn expect_silence(&mut self) {
        self.pass_ms(300);
        assert!(self.calls.is_empty(), "nothing is asked: {:?}", self.calls);
    }

    pub fn answer(&mut self, call: &Call, reply: Reply) {
        self.handle(Input::Answered { call: call.id, reply });
        self.pass_ms(100);
    }

    /// Expects a call of this kind and answers it; what was asked.
    pub fn expect_and_answer(&mut self, operation: Operation, reply: Reply) -> Request {
        let call = self.expect(operation);
        self.answer(&call, reply);
        call.request
    }

    /// Lets every search pass find nobody.
    pub fn find_nobody(&mut self) {
        for _ in 0..4 {
            self.expect_and_answer(Operation::SearchPatients, nobody());
        }
    }

    /// Every search under way finds these charts, all of Ada; returns how many calls there were.
    pub fn find(&mut self, ids: &[&str]) -> usize {
        let mut count = 0;
        while self.calls.first().is_some_and(|call| call.request.operation() == Operation::SearchPatients) {
            let call = self.calls.remove(0);
            self.answer(&call, adas_charts(ids));
            count += 1;
        }
        count
    }

    /// Every result so far: booking, version, outcome.
    pub fn results(&self) -> Vec<(String, Version, &'static str)> {
        self.committed
            .iter()
            .filter_map(|record| match record {
                Outgoing::Synced(finished) => {
                    let identity = &finished.identity;
                    Some((identity.key.booking.to_string(), identity.version, finished.outcome.code()))
                }
                _ => None,
            })
            .collect()
    }

    /// Every dead letter so far.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let letter = |record: &Outgoing| {
            if let Outgoing::Failed(letter) = record { Some((**letter).clone()) } else { None }
        };
        self.committed.iter().filter_map(letter).collect()
    }

    pub fn retries(&self) -> Vec<RetryEntry> {
        let retry = |record: &Outgoing| match record {
            Outgoing::Retry(entry) => Some((**entry).clone()),
            _ => None,
        };
        self.committed.iter().filter_map(retry).collect()
    }

    /// Every question to a person so far.
    pub fn reviews(&self) -> Vec<ReviewCase> {
        self.held().filter(|case| case.waits_for.is_none()).cloned().collect()
    }

    /// Everything that was held so far, in order.
    pub fn held(&self) -> impl Iterator<Item = &ReviewCase> {
        self.committed.iter().filter_map(|record| match record {
            Outgoing::Review(case) => Some(&**case),
            _ => None,
        })
    }

    /// What waits behind a review: booking, version, whose review.
    pub fn behind(&self) -> Vec<(String, Version, String)> {
        let of = |case: &ReviewCase| {
            let holder = case.waits_for.as_ref()?.to_string();
            Some((case.booking.key.booking.to_string(), case.booking.version, holder))
        };
        self.held().filter_map(of).collect()
    }

    /// The newest committed state of a booking.
    pub fn state(&self, booking: &str) -> healthflow_core::state::BookingState {
        let state = |record: &Outgoing| match record {
            Outgoing::State(state) => match &**state {
                StateRecord::Booking(key, state) if key.booking.as_str() == booking => Some(state.clone()),
                _ => None,
            },
            _ => None,
        };
        self.committed.iter().rev().find_map(state).expect("the booking has state")
    }
}

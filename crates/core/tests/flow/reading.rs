//! Reading with care (rule K6), as far as the rest of a task has to do with it.

use healthflow_core::event::{Arrival, Unusable};
use healthflow_core::healthflow::Operation;
use healthflow_core::life::Incarnation;
use healthflow_core::limits::Controls;
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::partition::start::{Acquired, Start};
use healthflow_core::processor::{CommitEnded, Effect, Input, Processor};
use healthflow_core::settings::GuardMode;
use healthflow_core::state::{ReadMark, ReadingState, TaskPositions, TaskState};
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::{Begun, Shell};

use crate::desk::*;

/// An owner that finds the first record of the retry lane suspected alone: `ended` processes were lost under its mark.
fn after_an_end_under(ended: &[i64]) -> Desk {
    let ended = ended.iter().copied().map(Timestamp).collect();
    let mark = ReadMark { lane: Lane::Retry, from: 0, to: 0, records: 1, alone: true, ended };
    let reading = ReadingState { live_since: Some(Timestamp(1)), marked: Some(mark), suspects: Vec::new() };
    let next_offsets = Lane::ALL.map(|lane| lane.at(0)).to_vec();
    let positions = TaskPositions { partition_count: 1, next_offsets, reading, ..TaskPositions::default() };
    let state = TaskState { positions: Some(positions), ..TaskState::default() };
    let mut desk = Desk::acquired(GuardMode::IdempotencyKey, state, Default::default(), START);
    desk.pass_ms(LAG_MS + 1);
    desk
}

/// The next record of a lane is fetched, and not decoded.
pub fn hold(desk: &mut Desk, lane: Lane) {
    let (offset, incarnation) = (desk.next[&lane], desk.incarnation);
    desk.next.insert(lane, offset + 1);
    desk.handle(Input::Guarded { partition: 0, incarnation, lane, offset, size_bytes: 100 });
    desk.pass_ms(300);
}

/// The record is decoded, and harms nobody.
fn decode(desk: &mut Desk) {
    let (raw_key, raw_value) = (Some(b"pr-0".to_vec()), Some(b"nonsense".to_vec()));
    let (reason, detail) = (FailureReason::Undecodable, "nonsense".into());
    let named = Default::default();
    let unusable = Unusable { raw_key, raw_value, reason, detail, identity: None, named, decision_id: None };
    desk.arrive_late(Lane::Retry, 0, Arrival::Unusable(Box::new(unusable)));
}

fn releases(desk: &Desk) -> Vec<GuardedRange> {
    let release = |effect: &Effect| match effect {
        Effect::Decode { release, .. } => Some(*release),
        _ => None,
    };
    desk.others.iter().filter_map(release).collect()
}

/// Goal: an end while a record is read alone is that record's own. Method: a call is under way when it is fetched, and
/// another booking wants to be sent.
#[test]
fn a_record_is_read_alone_once_no_call_is_under_way() {
    let mut desk = after_an_end_under(&[]);
    desk.arrive(a_booking("a", 1));
    let call = desk.expect(Operation::CreateAppointment);
    hold(&mut desk, Lane::Retry);
    desk.arrive(a_booking_of_another("b"));
    desk.expect_silence();
    assert_eq!(releases(&desk), []);
    desk.answer(&call, created("hfa-1"));
    desk.expect_silence();
    assert_eq!(
        releases(&desk),
        [GuardedRange { lane: Lane::Retry, from: 0, to: 0, dead_lettered_after: None }]
    );
    decode(&mut desk);
    desk.expect(Operation::CreateAppointment);
}

/// Goal: nothing is sent while a record is read alone. Method: a booking arrives under its mark.
#[test]
fn nothing_is_sent_while_a_record_is_read_alone() {
    let mut desk = after_an_end_under(&[]);
    hold(&mut desk, Lane::Retry);
    assert_eq!(releases(&desk).len(), 1);
    desk.arrive(a_booking("a", 1));
    desk.expect_silence();
    decode(&mut desk);
    desk.expect(Operation::CreateAppointment);
}

/// Goal: what is dead-lettered is not read, so nobody waits for it. Method: a record that used up its ends is fetched while a call
/// is under way.
#[test]
fn a_record_that_is_dead_lettered_undecoded_keeps_nobody_waiting() {
    let mut desk = after_an_end_under(&[2, 3]);
    desk.arrive(a_booking("a", 1));
    desk.expect(Operation::CreateAppointment);
    hold(&mut desk, Lane::Retry);
    assert_eq!(
        releases(&desk),
        [GuardedRange { lane: Lane::Retry, from: 0, to: 0, dead_lettered_after: Some(3) }]
    );
    desk.arrive(a_booking_of_another("b"));
    desk.expect(Operation::CreateAppointment);
}

/// A worker with two tasks, each of which finds the first record of `appointments.requested` suspected alone.
struct TwoTasks {
    processor: Processor,
    shell: Shell<()>,
    now: Timestamp,
    /// The tasks whose suspect was handed out to be decoded, in order.
    decoded: Vec<i32>,
    /// Commits that are under way.
    commits: Vec<(i32, Incarnation, u64)>,
}

impl TwoTasks {
    fn begin() -> Self {
        let processor = Processor::new(settings(GuardMode::IdempotencyKey), Controls::default(), START);
        let mut tasks = TwoTasks {
            processor,
            shell: Shell::default(),
            now: START,
            decoded: Vec::new(),
            commits: Vec::new(),
        };
        (0..2).for_each(|partition| tasks.processor.handle(Input::TaskAssigned { partition }, START));
        tasks.turn();
        for partition in 0..2 {
            let incarnation = tasks.shell.task(partition).expect("it is to be acquired").incarnation;
            let mark = ReadMark {
                lane: Lane::Requested,
                from: 0,
                to: 0,
                records: 1,
                alone: true,
                ended: Vec::new(),
            };
            let reading = ReadingState {
                live_since: Some(Timestamp(1)),
                marked: Some(mark),
                ..ReadingState::default()
            };
            let next_offsets = Lane::ALL.map(|lane| lane.at(0)).to_vec();
            let start = Start { next_offsets: next_offsets.clone(), ..Start::default() };
            let positions = TaskPositions { next_offsets, reading, ..TaskPositions::default() };
            let state = TaskState { positions: Some(positions), ..TaskState::default() };
            let acquired =
                Acquired { fenced_at: START, start, restored_records: 0, state, restored_at: START };
            let acquired = Box::new(acquired);
            tasks.processor.handle(Input::TaskAcquired { partition, incarnation, acquired }, START);
        }
        tasks.until_nothing_happens();
        tasks
    }

    /// The suspect of a task is fetched.
    fn fetch(&mut self, partition: i32) {
        let incarnation = self.shell.task(partition).expect("it is live").incarnation;
        let (lane, offset, size_bytes) = (Lane::Requested, 0, 100);
        self.processor.handle(Input::Guarded { partition, incarnation, lane, offset, size_bytes }, self.now);
        self.until_nothing_happens();
    }

    /// Every commit is good, and time passes, as long as the processor asks for that within ten seconds.
    fn until_nothing_happens(&mut self) {
        let end = self.now.plus_ms(10_000);
        loop {
            self.turn();
            if !self.commits.is_empty() {
                self.commits_are_good();
            } else if let Some(at) = self.processor.next_wakeup(self.now).filter(|at| *at < end) {
                self.now = self.now.max(at);
            } else {
                return;
            }
        }
    }

    fn turn(&mut self) {
        self.processor.decide(self.now);
        while let Some(effect) = self.processor.next_effect() {
            for begun in self.shell.perform(effect) {
                match begun {
                    Begun::Commit { partition, incarnation, sequence, .. } => {
                        self.commits.push((partition, incarnation, sequence));
                    }
                    Begun::Decoding { partition, .. } => self.decoded.push(partition),
                    _ => {}
                }
            }
        }
    }

    fn commits_are_good(&mut self) {
        for (partition, incarnation, sequence) in std::mem::take(&mut self.commits) {
            let ended = CommitEnded::Good { started_at: self.now, aborts: 0 };
            self.processor.handle(Input::CommitEnded { partition, incarnation, sequence, ended }, self.now);
        }
    }

    /// The suspect of a task is decoded, and harms nobody.
    fn is_harmless(&mut self, partition: i32) {
        let incarnation = self.shell.task(partition).expect("it is live").incarnation;
        let arrival = crate::bad_input::poison(FailureReason::Undecodable, None);
        let (lane, offset, size_bytes) = (Lane::Requested, 0, 100);
        let arrived = Input::Arrived { partition, incarnation, lane, offset, size_bytes, arrival };
        self.processor.handle(arrived, self.now);
        self.until_nothing_happens();
    }
}

/// Goal: a task that waits for another one to finish reading alone goes on in the turn in which that one's mark is off state:
/// nothing else may ever happen. Method: the later task reads first; the commit that takes its mark off is the last event.
#[test]
fn a_task_that_waits_to_read_alone_goes_on_as_soon_as_the_other_has_read() {
    let mut tasks = TwoTasks::begin();
    tasks.fetch(1);
    tasks.fetch(0);
    assert_eq!(tasks.decoded, [1], "one at a time");
    tasks.is_harmless(1);
    assert_eq!(tasks.decoded, [1, 0]);
}

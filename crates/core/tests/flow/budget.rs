//! The worker's budget of transactions (rule T2): many tasks share it, and each still commits in time for its lease.

use std::collections::BTreeMap;

use healthflow_core::event::Identity;
use healthflow_core::life::Incarnation;
use healthflow_core::limits::Controls;
use healthflow_core::partition::start::{Acquired, Start};
use healthflow_core::processor::{CommitEnded, Input, Processor};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::shell::{Begun, Shell};

use crate::bad_input::poison;
use crate::desk::*;

const STEP_MS: i64 = 10;
const SECONDS: i64 = 20;

/// When each of so many tasks commits, in which a record ends all the time.
fn commits(tasks: i32, settings: Settings) -> BTreeMap<i32, Vec<Timestamp>> {
    let (mut processor, mut shell) =
        (Processor::new(settings, Controls::default(), START), Shell::<()>::default());
    let mut now = START;
    let mut seen: BTreeMap<i32, Vec<Timestamp>> = BTreeMap::new();
    let mut live: BTreeMap<i32, Incarnation> = BTreeMap::new();
    (0..tasks).for_each(|partition| processor.handle(Input::TaskAssigned { partition }, now));
    for step in 0..SECONDS * 1_000 / STEP_MS {
        for (partition, incarnation) in &live {
            let mut booking = a_booking(&format!("b-{partition}-{step}"), 1);
            booking.patient.id = "p".into();
            let arrived = Input::Arrived {
                partition: *partition,
                incarnation: *incarnation,
                lane: Lane::Requested,
                offset: step,
                size_bytes: 100,
                arrival: poison(FailureReason::Impossible, Some(Identity::from(&booking))),
            };
            processor.handle(arrived, now);
        }
        processor.decide(now);
        while let Some(effect) = processor.next_effect() {
            for begun in shell.perform(effect) {
                match begun {
                    Begun::Acquisition { partition, incarnation, .. } => {
                        let acquired = Acquired {
                            fenced_at: now,
                            start: Start {
                                next_offsets: Lane::ALL.map(|lane| lane.at(0)).to_vec(),
                                ..Start::default()
                            },
                            restored_records: 0,
                            state: TaskState::default(),
                            restored_at: now,
                        };
                        let acquired = Box::new(acquired);
                        processor.handle(Input::TaskAcquired { partition, incarnation, acquired }, now);
                        live.insert(partition, incarnation);
                    }
                    Begun::Commit { partition, incarnation, sequence, .. } => {
                        seen.entry(partition).or_default().push(now);
                        let ended = CommitEnded::Good { started_at: now, aborts: 0 };
                        processor.handle(Input::CommitEnded { partition, incarnation, sequence, ended }, now);
                    }
                    _ => {}
                }
            }
        }
        now = now.plus_ms(STEP_MS);
    }
    seen
}

#[test]
fn all_tasks_of_a_worker_share_its_budget_of_transactions() {
    let budget = Settings { transactions_per_second_max: 10.0, ..settings(GuardMode::IdempotencyKey) };
    let seen = commits(8, budget);
    let all = seen.values().map(Vec::len).sum::<usize>() as i64;
    // The first commit of each is its own; a transaction with many records counts as up to two and a half.
    assert!((SECONDS * 10 / 3..=SECONDS * 10 + 8).contains(&all), "{all} transactions in {SECONDS} s");
    assert!(seen.values().all(|of_one| of_one.len() as i64 >= SECONDS / 3), "somebody got none: {seen:?}");
}

/// Goal: a booking does not wait for a beat while there is room. Method: one booking; its intent and then its result are committed in
/// the turn in which they come about.
#[test]
fn what_somebody_waits_for_is_committed_at_once() {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.hold_commits = true;
    desk.arrive_at_once(a_booking("b", 1));
    assert_eq!(desk.commits.len(), 1, "its intent");
    desk.commit_is_good();
    assert_eq!(desk.calls.len(), 1);
    let call = desk.calls.remove(0);
    desk.handle(Input::Answered { call: call.id, reply: created("a") });
    assert_eq!(desk.commits.len(), 1, "its result");
}

/// Goal: a kill leaves no more in doubt than could have been sent. Method: many bookings, and a limit that allows few calls.
#[test]
fn no_more_intents_are_ahead_than_permits_in_sight() {
    let slow = Settings { requests_per_second: 20.0, ..settings(GuardMode::IdempotencyKey) };
    let mut desk = Desk::within(slow, TaskState::default(), BTreeMap::new(), START);
    desk.charts.clear();
    (0..60).for_each(|number| desk.arrive_at_once(a_booking(&format!("b-{number}"), 1)));
    desk.pass_ms(10_000);
    let open = desk.durable.bookings.iter().filter(|(_, state)| state.intent.is_some()).count();
    let (in_flight, burst) = (desk.calls.len(), 2);
    assert!(open <= in_flight + burst + 20 / 5, "{open} intents, {in_flight} calls under way");
}

#[test]
fn however_small_the_budget_each_task_commits_in_time_for_its_lease() {
    let budget = Settings { transactions_per_second_max: 1.0, ..settings(GuardMode::IdempotencyKey) };
    let lease_ms = budget.lease_ms;
    for (partition, of_one) in commits(40, budget) {
        let longest = of_one.windows(2).map(|two| two[1].since_ms(two[0])).max().expect("it commits");
        assert!(longest <= lease_ms / 2 + STEP_MS, "task {partition} waited {longest} ms");
    }
}

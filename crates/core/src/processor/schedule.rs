//! Whose turn it is: jobs to be admitted, requests to be sent, batches to be committed, lanes to be stopped, each within
//! the limits of the whole worker.

use std::collections::BTreeMap;

use crate::life::CallId;
use crate::partition::job::Share;
use crate::partition::lane::Fetching;
use crate::partition::reading::Others;
use crate::partition::{Task, Turn};
use crate::processor::effect::Effect;
use crate::processor::ownership::OwnedTask;
use crate::processor::{Call, Processor};
use crate::time::Timestamp;
use crate::topics::Lane;

/// So many rounds of admitting jobs a turn may have, for all tasks; the next turn goes on, so that not even jobs that wake
/// each other without end keep the answers and commits waiting.
const ROUNDS_MAX: usize = 10_000;

impl Processor {
    /// Decides what is to be done now; called once after the inputs of a turn.
    pub fn decide(&mut self, now: Timestamp) {
        self.wake(now);
        // Before the rest: a task that goes leaves its places to the others.
        self.release_drained(now);
        // Before anything is sent: a record that is read alone is read while nothing is under way.
        self.read_on();
        let mut rounds = 0;
        self.admit(&mut rounds, now);
        self.send(now);
        // A job that at the last moment had nothing to send leaves its place, or its patient, to the next.
        while self.can_admit() && rounds < ROUNDS_MAX {
            self.admit(&mut rounds, now);
            self.send(now);
        }
        self.commit(now);
        self.read_contents();
        self.backpressure();
    }

    /// Reads what is needed of the held versions whose content only the topic has.
    fn read_contents(&mut self) {
        for (partition, slot) in &mut self.tasks {
            let OwnedTask::Live(task) = slot else { continue };
            let of = task.take_wanted_contents();
            if !of.is_empty() {
                let (partition, incarnation) = (*partition, task.incarnation());
                self.effects.push_back(Effect::ReadContents { partition, incarnation, of });
            }
        }
    }

    /// Tasks that read with care go on; only one of them at a time where an end would count (rule K6).
    fn read_on(&mut self) {
        // Of all tasks, before the first one asks whether another one reads: nothing would make it ask again.
        for slot in self.tasks.values_mut() {
            if let OwnedTask::Live(task) = slot {
                task.forget_cleared_mark();
            }
        }
        let mark =
            |slot: &OwnedTask| if let OwnedTask::Live(task) = slot { task.reading_mark() } else { None };
        let mut marks: BTreeMap<i32, bool> =
            self.tasks.iter().filter_map(|(partition, slot)| Some((*partition, mark(slot)?))).collect();
        for (partition, slot) in &mut self.tasks {
            let OwnedTask::Live(task) = slot else { continue };
            marks.remove(partition);
            let others = Others {
                work: !marks.is_empty() || !self.calls.is_empty(),
                one_reads_alone: marks.values().any(|alone| *alone),
            };
            while let Some(release) = task.read_on(others, &self.settings) {
                self.effects.push_back(Effect::Decode { partition: *partition, release });
            }
            marks.extend(task.reading_mark().map(|alone| (*partition, alone)));
        }
    }

    /// When `decide` has something to do even if nothing happens.
    pub fn next_wakeup(&mut self, now: Timestamp) -> Option<Timestamp> {
        let interval_ms = self.commit_interval_ms();
        let mut earliest: Option<Timestamp> = None;
        let mut at_latest = |at: Timestamp| earliest = Some(earliest.map_or(at, |known| known.min(at)));
        let mut ready = false;
        for slot in self.tasks.values() {
            let OwnedTask::Live(task) = slot else { continue };
            task.next_wakeup().into_iter().for_each(&mut at_latest);
            if task.wants_commit() {
                at_latest(task.next_commit_at(interval_ms).unwrap_or(now));
            }
            let may_send = |share: &Share| task.has_ready(*share) && self.has_call_left(*share);
            ready |= Share::ALL.iter().any(may_send);
        }
        if ready && self.calls.len() < self.settings.max_in_flight {
            let permit_at = self.account.next_at(now);
            if permit_at > now {
                at_latest(permit_at);
            }
        }
        earliest
    }

    fn wake(&mut self, now: Timestamp) {
        for slot in self.tasks.values_mut() {
            let OwnedTask::Live(task) = slot else { continue };
            let mut turn = Turn { now, settings: &self.settings, reads: &self.reads, facts: &mut self.facts };
            task.take_due(&turn);
            task.wake(&mut turn);
        }
    }

    /// Admits jobs, one task after the other, while there are places in the ready queue; counts the turn's rounds.
    fn admit(&mut self, rounds: &mut usize, now: Timestamp) {
        for share in Share::ALL {
            let mut places = self.live_places();
            let mut admitted = true;
            while admitted && self.has_place_left(share, places) && *rounds < ROUNDS_MAX {
                (admitted, *rounds) = (false, *rounds + 1);
                for slot in self.tasks.values_mut() {
                    let OwnedTask::Live(task) = slot else { continue };
                    let before = task.places();
                    let mut turn =
                        Turn { now, settings: &self.settings, reads: &self.reads, facts: &mut self.facts };
                    admitted |= !task.is_draining() && task.admit(share, &mut turn);
                    for (all, (before, after)) in places.iter_mut().zip(before.into_iter().zip(task.places()))
                    {
                        *all = *all + after - before;
                    }
                }
            }
        }
    }

    /// Whether a job waits for a place that is free.
    fn can_admit(&self) -> bool {
        let places = self.live_places();
        let waits =
            |slot: &OwnedTask, share| matches!(slot, OwnedTask::Live(task) if task.has_arrivals(share));
        Share::ALL.into_iter().any(|share| {
            self.tasks.values().any(|slot| waits(slot, share)) && self.has_place_left(share, places)
        })
    }

    /// Whether the ready queue has a place for this share; what failed before never takes them all.
    fn has_place_left(&self, share: Share, [first, again]: [usize; 2]) -> bool {
        let most = self.settings.ready_queue_max;
        first + again < most && (share == Share::First || again < self.settings.again_part_of(most))
    }

    /// Whether another call of this share may be under way; what failed before never takes them all, for it may hang.
    fn has_call_left(&self, share: Share) -> bool {
        let most = self.settings.max_in_flight;
        let again = || self.calls.values().filter(|call| call.share == Share::Again).count();
        self.calls.len() < most && (share == Share::First || again() < self.settings.again_part_of(most))
    }

    fn live_places(&self) -> [usize; 2] {
        let mut places = [0; 2];
        for slot in self.tasks.values() {
            let OwnedTask::Live(task) = slot else { continue };
            places.iter_mut().zip(task.places()).for_each(|(all, one)| *all += one);
        }
        places
    }

    /// Sends what is ready, one task after the other, while there are permits: what was not tried before goes first, and of
    /// some calls in a row one is left to what was.
    fn send(&mut self, now: Timestamp) {
        let alone = |slot: &OwnedTask| matches!(slot, OwnedTask::Live(task) if task.wants_to_read_alone(&self.settings));
        if self.tasks.values().any(alone) {
            return;
        }
        let mut partitions: Vec<i32> = self.rotation();
        if let Some(practice) = self.account.on_trial(now).cloned() {
            let puts_another_first = |partition: &i32| match self.tasks.get_mut(partition) {
                Some(OwnedTask::Live(task)) => task.puts_another_first(&practice),
                _ => false,
            };
            let (others, same): (Vec<i32>, Vec<i32>) = partitions.into_iter().partition(puts_another_first);
            partitions = [others, same].concat();
        }
        for share in Share::ALL {
            let mut sent = true;
            while sent {
                sent = false;
                for partition in &partitions {
                    if self.account.next_at(now) > now {
                        return;
                    }
                    let is_their_turn = self.first_in_a_row >= self.settings.firsts_in_a_row();
                    sent |= (is_their_turn && self.send_one(*partition, Share::Again, now))
                        || self.send_one(*partition, share, now);
                }
            }
        }
        // Nobody waits for a turn.
        self.first_in_a_row = 0;
    }

    /// Every live task with something ready, beginning with another one each time, so that none is always last.
    fn rotation(&mut self) -> Vec<i32> {
        let is_ready = |task: &Task| Share::ALL.into_iter().any(|share| task.has_ready(share));
        let ready = |slot: &OwnedTask| matches!(slot, OwnedTask::Live(task) if is_ready(task));
        let mut partitions: Vec<i32> =
            self.tasks.iter().filter(|(_, slot)| ready(slot)).map(|(partition, _)| *partition).collect();
        let first = partitions.iter().position(|partition| *partition >= self.next_turn_of).unwrap_or(0);
        partitions.rotate_left(first);
        self.next_turn_of = partitions.first().map_or(0, |partition| partition + 1);
        partitions
    }

    fn send_one(&mut self, partition: i32, share: Share, now: Timestamp) -> bool {
        if !self.has_call_left(share) || self.account.next_at(now) > now {
            return false;
        }
        let Some(OwnedTask::Live(task)) = self.tasks.get_mut(&partition) else { return false };
        if task.is_draining() {
            return false;
        }
        let mut turn = Turn { now, settings: &self.settings, reads: &self.reads, facts: &mut self.facts };
        let Some(send) = task.send_next(share, &mut turn) else { return false };
        let incarnation = task.incarnation();
        self.account.try_take(now);
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.account.is_sent(call.0);
        self.first_in_a_row = match share {
            Share::First => (self.first_in_a_row + 1).min(self.settings.firsts_in_a_row()),
            Share::Again => 0,
        };
        let operation = send.request.operation();
        self.reads.is_sent(operation, call.0);
        let sent_after = self.account.pauses();
        let job = send.job;
        self.calls
            .insert(call, Call { partition, incarnation, job, operation, sent_at: now, sent_after, share });
        let (lease_until, request) = (send.lease_until, Box::new(send.request));
        self.effects.push_back(Effect::Call { call, partition, incarnation, lease_until, request });
        true
    }

    /// Commits every task that has something to commit and has waited for its interval.
    fn commit(&mut self, now: Timestamp) {
        let interval_ms = self.commit_interval_ms();
        for (partition, slot) in &mut self.tasks {
            let OwnedTask::Live(task) = slot else { continue };
            task.dead_letter_unidentified(now);
            let due = task.next_commit_at(interval_ms).is_none_or(|at| now >= at) || task.is_draining();
            if due && task.wants_commit() {
                let turn = Turn { now, settings: &self.settings, reads: &self.reads, facts: &mut self.facts };
                let (sequence, batch) = task.begin_commit(&turn);
                self.effects.push_back(Effect::Commit {
                    partition: *partition,
                    incarnation: task.incarnation(),
                    sequence,
                    batch: Box::new(batch),
                });
            }
        }
    }

    /// The shortest time between two commits of a task, so that all tasks together stay within the worker's budget of
    /// transactions; but a commit comes in time to renew the lease, however many tasks there are.
    fn commit_interval_ms(&self) -> i64 {
        let budget = self.settings.transactions_per_second_max.max(0.001);
        let shared_ms = (self.tasks.len() as f64 * 1_000.0 / budget).ceil() as i64;
        self.settings.commit_interval_ms.max(shared_ms.min(self.settings.lease_ms / 2))
    }

    /// Stops and restarts the fetching of lanes by what they hold in memory.
    fn backpressure(&mut self) {
        for (partition, slot) in &mut self.tasks {
            let OwnedTask::Live(task) = slot else { continue };
            for lane in Lane::ALL {
                match task.backpressure(lane, &self.settings) {
                    Some(Fetching::Pause) => {
                        self.effects.push_back(Effect::Pause { partition: *partition, lane })
                    }
                    Some(Fetching::Resume) => {
                        self.effects.push_back(Effect::Resume { partition: *partition, lane })
                    }
                    None => {}
                }
            }
        }
    }
}

//! Whose turn it is: jobs to be admitted, requests to be sent, batches to be committed, lanes to be stopped, each within
//! the limits of the whole worker.

use crate::event::topics::Lane;
use crate::partition::Turn;
use crate::processor::effect::{CallId, Effect};
use crate::processor::ownership::Slot;
use crate::processor::{Call, Processor};
use crate::time::Timestamp;

impl Processor {
    /// Decides what is to be done now; called once after the inputs of a turn.
    pub fn decide(&mut self, now: Timestamp) {
        self.wake(now);
        // Before the rest: a task that goes leaves its places to the others.
        self.release_drained(now);
        self.admit(now);
        self.send(now);
        // A job that at the last moment had nothing to send leaves its place, or its patient, to the next.
        while self.can_admit() {
            self.admit(now);
            self.send(now);
        }
        self.commit(now);
        self.hold_back();
    }

    /// When `decide` has something to do even if nothing happens.
    pub fn next_wakeup(&mut self, now: Timestamp) -> Option<Timestamp> {
        let interval_ms = self.commit_interval_ms();
        let mut earliest: Option<Timestamp> = None;
        let mut at_latest = |at: Timestamp| earliest = Some(earliest.map_or(at, |known| known.min(at)));
        let mut ready = false;
        for slot in self.tasks.values() {
            let Slot::Live(task) = slot else { continue };
            task.next_wakeup().into_iter().for_each(&mut at_latest);
            if task.wants_commit() {
                at_latest(task.commit_started_at().plus_ms(interval_ms));
            }
            ready |= task.has_ready();
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
            let Slot::Live(task) = slot else { continue };
            let mut turn = Turn { now, settings: &self.settings, facts: &mut self.facts };
            task.take_due(&turn);
            task.wake(&mut turn);
        }
    }

    /// Admits jobs, one task after the other, while there are places in the ready queue.
    fn admit(&mut self, now: Timestamp) {
        let mut places: usize = self.live_places();
        let mut admitted = true;
        while admitted && places < self.settings.ready_queue_max {
            admitted = false;
            for slot in self.tasks.values_mut() {
                let Slot::Live(task) = slot else { continue };
                let before = task.places();
                let mut turn = Turn { now, settings: &self.settings, facts: &mut self.facts };
                admitted |= !task.is_draining() && task.admit(&mut turn);
                places = places + task.places() - before;
            }
        }
    }

    /// Whether a job waits for a place that is free.
    fn can_admit(&self) -> bool {
        let waits = |slot: &Slot| matches!(slot, Slot::Live(task) if task.has_arrivals());
        self.tasks.values().any(waits) && self.live_places() < self.settings.ready_queue_max
    }

    fn live_places(&self) -> usize {
        self.tasks.values().map(|slot| if let Slot::Live(task) = slot { task.places() } else { 0 }).sum()
    }

    /// Sends what is ready, one task after the other, while there are permits.
    fn send(&mut self, now: Timestamp) {
        let mut partitions: Vec<i32> = self.rotation();
        if let Some(practice) = self.account.on_trial(now).cloned() {
            let puts_another_first = |partition: &i32| match self.tasks.get_mut(partition) {
                Some(Slot::Live(task)) => task.puts_another_first(&practice),
                _ => false,
            };
            let (others, same): (Vec<i32>, Vec<i32>) = partitions.into_iter().partition(puts_another_first);
            partitions = [others, same].concat();
        }
        let mut sent = true;
        while sent {
            sent = false;
            for partition in &partitions {
                if self.calls.len() >= self.settings.max_in_flight || self.account.next_at(now) > now {
                    return;
                }
                sent |= self.send_one(*partition, now);
            }
        }
    }

    /// Every live task with something ready, beginning with another one each time, so that none is always last.
    fn rotation(&mut self) -> Vec<i32> {
        let ready = |slot: &Slot| matches!(slot, Slot::Live(task) if task.has_ready());
        let mut partitions: Vec<i32> =
            self.tasks.iter().filter(|(_, slot)| ready(slot)).map(|(partition, _)| *partition).collect();
        let first = partitions.iter().position(|partition| *partition >= self.next_turn_of).unwrap_or(0);
        partitions.rotate_left(first);
        self.next_turn_of = partitions.first().map_or(0, |partition| partition + 1);
        partitions
    }

    fn send_one(&mut self, partition: i32, now: Timestamp) -> bool {
        let Some(Slot::Live(task)) = self.tasks.get_mut(&partition) else { return false };
        if task.is_draining() {
            return false;
        }
        let mut turn = Turn { now, settings: &self.settings, facts: &mut self.facts };
        let Some(send) = task.send_next(&mut turn) else { return false };
        let incarnation = task.incarnation;
        self.account.try_take(now);
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.account.is_sent(call.0);
        let operation = send.request.operation();
        let sent_after = self.account.pauses();
        let job = send.job;
        self.calls.insert(call, Call { partition, incarnation, job, operation, sent_at: now, sent_after });
        let (lease_until, request) = (send.lease_until, Box::new(send.request));
        self.effects.push_back(Effect::Call { call, partition, incarnation, lease_until, request });
        true
    }

    /// Commits every task that has something to commit and has waited for its interval.
    fn commit(&mut self, now: Timestamp) {
        let interval_ms = self.commit_interval_ms();
        for (partition, slot) in &mut self.tasks {
            let Slot::Live(task) = slot else { continue };
            task.bury_nameless(now);
            let due = now >= task.commit_started_at().plus_ms(interval_ms) || task.is_draining();
            if due && task.wants_commit() {
                let (sequence, batch) = task.begin_commit(now, &self.settings);
                self.effects.push_back(Effect::Commit {
                    partition: *partition,
                    incarnation: task.incarnation,
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
    fn hold_back(&mut self) {
        for (partition, slot) in &mut self.tasks {
            let Slot::Live(task) = slot else { continue };
            for lane in Lane::ALL {
                match task.hold_back(lane, &self.settings) {
                    Some(true) => self.effects.push_back(Effect::Pause { partition: *partition, lane }),
                    Some(false) => self.effects.push_back(Effect::Resume { partition: *partition, lane }),
                    None => {}
                }
            }
        }
    }
}

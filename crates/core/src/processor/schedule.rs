//! Whose turn it is: jobs to be admitted, requests to be sent, batches to be committed, lanes to be stopped, each within
//! the limits of the whole worker.

use std::collections::BTreeMap;

use crate::life::CallId;
use crate::partition::Task;
use crate::partition::advance::ProbeChoice;
use crate::partition::job::{Share, Shares};
use crate::partition::lane::Fetching;
use crate::partition::read_guard::Others;
use crate::processor::effect::Effect;
use crate::processor::in_a_row::InARow;
use crate::processor::ownership::OwnedTask;
use crate::processor::{Call, Processor};
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::topics::Lane;

/// So many rounds of admitting jobs a turn may have, for all tasks; the next turn goes on, so that not even jobs that wake
/// each other without end keep the answers and commits waiting.
const ROUNDS_MAX: usize = 10_000;

impl Processor {
    /// Decides what is to be done now; called once after the inputs of a turn.
    pub fn decide(&mut self, now: Timestamp) {
        self.look_at_counter(now);
        self.stand_down(now);
        self.weather_storms(now);
        self.wake(now);
        // Before the rest: a task that goes leaves its places to the others.
        self.release_drained(now);
        // Before anything is sent: a record that is read alone is read while nothing is under way.
        self.read_on();
        let mut rounds = 0;
        self.admit(&mut rounds, now);
        self.send(now);
        // A job that at the last moment had nothing to send leaves its place, or its patient, to the next.
        while self.can_admit(now) && rounds < ROUNDS_MAX {
            self.admit(&mut rounds, now);
            self.send(now);
        }
        self.ask_permits(now);
        self.make_room(now);
        self.attend_to_quotas(now);
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
            while let Some(release) = task.read_on(others, &self.shared.settings) {
                self.effects.push_back(Effect::Decode { partition: *partition, release });
            }
            marks.extend(task.reading_mark().map(|alone| (*partition, alone)));
        }
    }

    /// When `decide` has something to do even if nothing happens.
    pub fn next_wakeup(&mut self, now: Timestamp) -> Option<Timestamp> {
        let room_at = self.budget.next_at(now);
        let quota_look = self.shared.limits.next_quota_look();
        let others = [
            self.next_by_hand(now),
            self.shared.storms.next_at(),
            self.next_look_at_counter(now),
            quota_look,
        ];
        let mut earliest: Option<Timestamp> = others.into_iter().flatten().min();
        let mut at_latest = |at: Timestamp| earliest = Some(earliest.map_or(at, |known| known.min(at)));
        let mut ready = false;
        for slot in self.tasks.values() {
            let OwnedTask::Live(task) = slot else { continue };
            task.next_wakeup(&self.shared).into_iter().for_each(&mut at_latest);
            if task.wants_commit() {
                at_latest(commit_at(task, room_at, &self.shared.settings).unwrap_or(now));
            }
            let may_send = |share: &Share| task.has_ready(*share) && self.has_call_left(*share, now);
            ready = ready || Share::ALL.iter().any(may_send);
        }
        let waits = |task: &Task| {
            task.places() != Shares::default() || Share::ALL.iter().any(|share| task.has_arrivals(*share))
        };
        if let Some(at) = self.shared.breaker.next_probe_at()
            && at > now
            && self.has_live(waits)
        {
            at_latest(at);
        }
        if ready && self.calls.len() < self.in_flight_max(now) {
            let permit_at = self.next_permit_at(now);
            if permit_at > now {
                at_latest(permit_at);
            }
        }
        earliest
    }

    /// While the breaker is open, nobody is about to ask but for its probe.
    fn stand_down(&mut self, now: Timestamp) {
        if !std::mem::take(&mut self.stands_down) {
            return;
        }
        for slot in self.tasks.values_mut() {
            let OwnedTask::Live(task) = slot else { continue };
            task.stand_down(None, now);
        }
    }

    fn wake(&mut self, now: Timestamp) {
        for slot in self.tasks.values_mut() {
            let OwnedTask::Live(task) = slot else { continue };
            let mut turn = self.shared.turn(&mut self.facts, now);
            task.take_due(&turn);
            task.wake(&mut turn);
        }
    }

    /// Admits jobs, one task after the other, while there are places in the ready queue; counts the turn's rounds.
    fn admit(&mut self, rounds: &mut usize, now: Timestamp) {
        if self.shared.by_hand.stops_all() {
            return;
        }
        if self.shared.breaker.is_open() {
            return self.admit_probe(rounds, now);
        }
        for share in Share::ALL {
            if !self.has_live(|task| task.has_arrivals(share)) {
                continue;
            }
            // Calls go out and end between two rounds of admitting, not within one.
            let room = self.room(share, now);
            let mut places = self.live_places();
            let mut admitted = true;
            while admitted && room.has_place(share, places) && *rounds < ROUNDS_MAX {
                (admitted, *rounds) = (false, *rounds + 1);
                for slot in self.tasks.values_mut() {
                    let OwnedTask::Live(task) = slot else { continue };
                    let before = task.places();
                    let mut turn = self.shared.turn(&mut self.facts, now);
                    admitted |= !task.is_draining() && task.admit(share, &mut turn);
                    for (all, (before, after)) in places.iter_mut().zip(before.into_iter().zip(task.places()))
                    {
                        *all = *all + after - before;
                    }
                }
            }
        }
    }

    /// Admits one job that may ask although the breaker is open: a look-up that is due if there is one, for it changes nothing;
    /// and of another practice than those that failed before, for they may be what fails.
    fn admit_probe(&mut self, rounds: &mut usize, now: Timestamp) {
        let breaker = &self.shared.breaker;
        let mut partitions: Vec<i32> = self.tasks.keys().copied().collect();
        let first = partitions.iter().position(|partition| *partition >= self.next_turn_of).unwrap_or(0);
        partitions.rotate_left(first);
        for choice in ProbeChoice::ALL {
            for partition in &partitions {
                while breaker.is_probe_due(now)
                    && self.live_places() == Shares::default()
                    && *rounds < ROUNDS_MAX
                {
                    let Some(OwnedTask::Live(task)) = self.tasks.get_mut(partition) else { break };
                    *rounds += 1;
                    let mut turn = self.shared.turn(&mut self.facts, now);
                    turn.is_probe = true;
                    if task.is_draining() || !task.admit_probe(choice, &mut turn) {
                        break;
                    }
                    self.next_turn_of = partition + 1;
                }
            }
        }
    }

    /// Whether a job waits for a place that is free.
    fn can_admit(&self, now: Timestamp) -> bool {
        Share::ALL.into_iter().any(|share| {
            self.has_live(|task| task.has_arrivals(share))
                && self.room(share, now).has_place(share, self.live_places())
        })
    }

    /// Sends what is ready, one task after the other, while there are permits: what was not tried before goes first, history last,
    /// and of some calls in a row one is left to each of the others.
    fn send(&mut self, now: Timestamp) {
        if self.has_live(|task| task.wants_to_read_alone(&self.shared.settings)) {
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
            if !partitions.iter().any(|partition| self.has_ready(*partition, share)) {
                continue;
            }
            let mut sent = true;
            while sent {
                sent = false;
                for partition in &partitions {
                    if self.next_permit_at(now) > now {
                        return;
                    }
                    let mut whose_turn = self.in_a_row.whose_turn(&self.shared.settings, now).chain([share]);
                    sent |= whose_turn.any(|share| self.send_one(*partition, share, now));
                }
            }
        }
        // Nobody waits for a turn.
        self.in_a_row = InARow::default();
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

    fn has_ready(&self, partition: i32, share: Share) -> bool {
        matches!(self.tasks.get(&partition), Some(OwnedTask::Live(task)) if task.has_ready(share))
    }

    /// Sends one of this share, if one is ready and may be under way; there is a permit.
    fn send_one(&mut self, partition: i32, share: Share, now: Timestamp) -> bool {
        if !self.has_ready(partition, share) || !self.has_call_left(share, now) {
            return false;
        }
        let Some(OwnedTask::Live(task)) = self.tasks.get_mut(&partition) else { return false };
        let mut turn = self.shared.turn(&mut self.facts, now);
        turn.is_probe = self.shared.breaker.is_open();
        let Some(send) = task.send_next(share, &mut turn) else { return false };
        let incarnation = task.incarnation();
        let permit_until = self.take_permit(partition, &send, now);
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.account.is_sent(call.0);
        self.shared.breaker.is_sent(call.0);
        self.in_a_row.is_sent(share, &self.shared.settings);
        let operation = send.request.operation();
        self.shared.reads.is_sent(operation, call.0);
        self.shared.by_hand.is_sent(send.job.practice(), now);
        self.shared.storms.is_sent(send.job.practice(), operation, now);
        let sent_after = self.account.pauses();
        let job = send.job;
        self.calls
            .insert(call, Call { partition, incarnation, job, operation, sent_at: now, sent_after, share });
        let (lease_until, request) = (send.lease_until, Box::new(send.request));
        let made = Effect::Call { call, partition, incarnation, lease_until, permit_until, request };
        self.effects.push_back(made);
        true
    }

    /// Commits every task that has something to commit and has waited for its interval.
    fn commit(&mut self, now: Timestamp) {
        let mut wanting = Vec::new();
        for (partition, slot) in &mut self.tasks {
            let OwnedTask::Live(task) = slot else { continue };
            task.dead_letter_unidentified(now);
            if task.wants_commit() {
                wanting.push((task.last_commit_at(), *partition));
            }
        }
        // Whose last commit is the longest ago has the first of what room there is.
        wanting.sort_unstable();
        let outlook = self.outlook(now);
        for (_, partition) in wanting {
            let Some(OwnedTask::Live(task)) = self.tasks.get_mut(&partition) else { continue };
            let room_at = self.budget.next_at(now);
            let is_due = commit_at(task, room_at, &self.shared.settings).is_none_or(|at| now >= at);
            if !is_due && !task.is_draining() {
                continue;
            }
            self.write_counts(partition, now);
            let Some(OwnedTask::Live(task)) = self.tasks.get_mut(&partition) else { continue };
            let turn = self.shared.turn(&mut self.facts, now);
            outlook.iter().for_each(|outlook| task.write_notices(outlook, &turn));
            let (sequence, batch) = task.begin_commit(&turn);
            self.budget.spend(batch.records.len(), now);
            let incarnation = task.incarnation();
            self.effects.push_back(Effect::Commit {
                partition,
                incarnation,
                sequence,
                batch: Box::new(batch),
            });
        }
    }

    /// Stops and restarts the fetching of lanes by what they hold in memory.
    fn backpressure(&mut self) {
        for (partition, slot) in &mut self.tasks {
            let OwnedTask::Live(task) = slot else { continue };
            for lane in Lane::ALL {
                match task.backpressure(lane, &self.shared.settings) {
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

/// When a task that wants to commit may; none if it may at once. If somebody waits for that, as soon as the budget has room;
/// otherwise it gathers for a while. However little room there is, a commit comes in time to renew the lease.
fn commit_at(task: &Task, room_at: Timestamp, settings: &Settings) -> Option<Timestamp> {
    let last = task.last_commit_at()?;
    let gathered_at = if task.is_commit_awaited() { last } else { task.gathers_until(last, settings) };
    Some(room_at.max(gathered_at).min(last.plus_ms(settings.lease_ms / 2)))
}

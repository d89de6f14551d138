//! What comes in on a lane: new versions, copies of known ones, parked ones that come back, and records that cannot be
//! used.

use std::sync::Arc;

use crate::appointment::PlacedIds;
use crate::appointment::fingerprint::fingerprint;
use crate::booking::check::is_a_wait;
use crate::booking::{Booking, Version};
use crate::event::failed::DeadContent;
use crate::event::unusable_names;
use crate::event::{Arrival, DeadLetter, Misrouted, Origin, Outgoing, RetryEntry, Schedule, Unusable};
use crate::fact::Fact;
use crate::partition::job::{InHand, JobKey, JobStage};
use crate::partition::lane::Fetching;
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::retry::WaitReason;
use crate::retry::deadline::{believe, taken_up};
use crate::retry::waiting_room::Waiting;
use crate::settings::Settings;
use crate::state::ParkingPlace;
use crate::sync::Disposition;
use crate::time::Timestamp;
use crate::topics::{Lane, Position};

impl Task {
    /// Takes in one record of a lane.
    pub fn arrived(&mut self, position: Position, size_bytes: usize, arrival: Arrival, turn: &mut Turn<'_>) {
        self.progress.arrived(position, size_bytes, asked_at(&arrival, turn.now));
        self.passed(position);
        match arrival {
            Arrival::Requested(booking) => self.requested(booking, position, turn),
            Arrival::Retry(entry) => {
                self.notices.came_back();
                self.came_back(*entry, position, turn);
            }
            Arrival::Decided(decision) => self.decided(*decision, position, turn),
            Arrival::Unusable(unusable) => self.dead_letter(*unusable, position, turn),
            Arrival::Misrouted(record) => self.forward(*record, position, turn),
        }
        if position.lane.brings_requests() {
            self.slots_are_known(turn);
        }
    }

    /// Takes note of a record that cannot be read yet: the committable offset does not pass it, and its age counts.
    pub fn delayed(&mut self, position: Position, size_bytes: usize, written_at: Option<Timestamp>) {
        self.progress.delayed(position, size_bytes, written_at);
        self.passed(position);
    }

    /// What to do about fetching `lane`, by what it holds in memory; none to leave it as it is. It is resumed at half
    /// the limit, so that it does not flutter.
    pub fn backpressure(&mut self, lane: Lane, settings: &Settings) -> Option<Fetching> {
        let waiting = if lane.brings_parked() { self.waiting_room.len() } else { 0 };
        self.progress.backpressure(lane, waiting, settings)
    }

    fn requested(&mut self, booking: Arc<Booking>, position: Position, turn: &mut Turn<'_>) {
        let version = booking.version;
        if let Some(differs) = self.known_already(&booking, turn) {
            turn.facts.push_back(Fact::DuplicateSkipped { key: booking.key.clone(), version, differs });
            self.progress.finished(position);
            return;
        }
        let state = self.ledger.bookings().get(&booking.key);
        let schedule = Schedule { not_before: turn.now, ..Schedule::default() };
        let in_hand = InHand {
            booking,
            position: Some(position),
            schedule,
            taken_up_at: turn.now,
            order: position.offset,
            is_late: false,
        };
        if state.as_deref().is_some_and(|state| state.may_be_forgotten(version)) {
            self.supersede_forgotten(in_hand, turn);
            return;
        }
        let superseded = match state {
            Some(state) if state.leaves_write_to_a_person() => Vec::new(),
            _ => self.waiting_room.take_older(&in_hand.booking.key, version),
        };
        for waiting in superseded {
            self.take_from_waiting_room(waiting, turn);
        }
        let key = in_hand.booking.key.clone();
        self.take_in_hand(in_hand, turn);
        self.note_slots(&key, None, turn);
    }

    /// Whether a version is answered, parked or at hand already (rules K3, K5): then whether its content differs from
    /// the first one's, if state knows that.
    fn known_already(&self, booking: &Booking, turn: &mut Turn<'_>) -> Option<Option<bool>> {
        let version = booking.version;
        if let Some(at_hand) =
            self.jobs.get(&JobKey::Booking(booking.key.clone())).and_then(|job| job.versions.get(&version))
        {
            let Booking { key, location_id, status, patient, visit, .. } = &*at_hand.booking;
            let same = *key == booking.key
                && *location_id == booking.location_id
                && *status == booking.status
                && *patient == booking.patient
                && *visit == booking.visit;
            return Some(Some(!same));
        }
        let state = self.ledger.bookings().get(&booking.key)?;
        let is_parked = state.parked(version).is_some() && !state.lost.contains(&version);
        if !state.answered.contains(version) && !is_parked {
            let forgotten = state.may_be_forgotten(version);
            return rules::counts_as_answered(forgotten, turn.settings).then_some(None);
        }
        let placement = state.placement.as_ref().filter(|placement| placement.version == Some(version));
        Some(placement.and_then(|placement| {
            placement.fingerprint.map(|known| known != fingerprint(booking, &placement.patient_id))
        }))
    }

    fn came_back(&mut self, mut entry: RetryEntry, position: Position, turn: &mut Turn<'_>) {
        // The task skips copies that a newer parking or an answer made worthless (rule K4).
        if !self.is_awaited(&entry, turn) && !self.reopens(&entry, turn) {
            let (key, version) = (entry.booking.key.clone(), entry.booking.version);
            turn.facts.push_back(Fact::DuplicateSkipped { key, version, differs: None });
            self.progress.finished(position);
            return;
        }
        if rules::due_times_are_limited(turn.settings) {
            let longest_ms = turn.settings.longest_wait_ms();
            believe(&mut entry.schedule, turn.now, longest_ms);
        }
        let newer_known = self
            .jobs
            .get(&JobKey::Booking(entry.booking.key.clone()))
            .is_some_and(|job| job.newest().is_some_and(|n| n.booking.version > entry.booking.version));
        let waiting = Waiting { entry, offset: position.offset, since: turn.now };
        let was_held = waiting.reason().is_some_and(WaitReason::is_stopped_by_hand)
            && turn.by_hand.is_free(&waiting.entry.booking.key.practice);
        let is_calm = waiting.reason().is_some_and(WaitReason::is_storm)
            && turn.storms.is_calm(&waiting.entry.booking.key.practice);
        let is_due = waiting.entry.schedule.not_before <= turn.now;
        if newer_known || is_due || was_held || is_calm || self.is_slot_free(&waiting) {
            self.take_back(waiting, turn);
        } else {
            if let Some(copy) = self.waiting_room.enter(waiting) {
                self.progress.finished(Lane::Retry.at(copy.offset));
            }
        }
    }

    /// Whether state names this record as the one that its version waits in.
    pub(super) fn is_awaited(&self, entry: &RetryEntry, turn: &Turn<'_>) -> bool {
        let state = self.ledger.bookings().get_hot(&entry.booking.key);
        state.and_then(|state| state.parked(entry.booking.version)).is_some_and(|parked| {
            parked.place == ParkingPlace::Retry
                && rules::is_of_generation(entry.generation, parked.generation, turn.settings)
        })
    }

    /// Re-opens a version that is dead-lettered, if this record is the redrive of its newest dead letter: it quotes the
    /// generation after that one, under which the version waits from now on (rule K10). Read again after a crash it is
    /// awaited, or answered for.
    fn reopens(&mut self, entry: &RetryEntry, turn: &mut Turn<'_>) -> bool {
        let Booking { key, version, .. } = &*entry.booking;
        let state = self.ledger.bookings().get(key);
        let known = state.as_deref().and_then(|state| state.parked(*version));
        let is_redrive = known.is_some_and(|parked| {
            parked.place == ParkingPlace::Failed
                && rules::redrives(entry.generation, parked.generation, turn.settings)
        });
        if is_redrive {
            let parked =
                self.ledger.change_booking(key).parked.iter_mut().find(|parked| parked.version == *version);
            if let Some(parked) = parked {
                parked.place = ParkingPlace::Retry;
                parked.generation =
                    rules::generation_of_redriven(parked.generation, entry.generation, turn.settings);
            }
            let (key, version) = (key.clone(), *version);
            self.outbox.tell(Fact::BookingReopened { key, version });
        }
        is_redrive
    }

    /// Takes every record that is due out of the waiting room.
    pub fn take_due(&mut self, turn: &Turn<'_>) {
        while let Some(waiting) = self.waiting_room.take_due(turn.now) {
            self.take_from_waiting_room(waiting, turn);
        }
    }

    /// Takes a record in hand that has waited, if it is still the one that its version waits in: another copy of a redrive
    /// may have come due earlier (rule K4).
    pub(super) fn take_from_waiting_room(&mut self, waiting: Waiting, turn: &Turn<'_>) {
        if self.is_awaited(&waiting.entry, turn) {
            self.take_back(waiting, turn);
        } else {
            self.progress.finished(Lane::Retry.at(waiting.offset));
        }
    }

    fn take_back(&mut self, waiting: Waiting, turn: &Turn<'_>) {
        let order = self.order_of(&waiting.entry);
        let mut in_hand = InHand {
            order,
            booking: waiting.entry.booking,
            position: Some(Lane::Retry.at(waiting.offset)),
            schedule: taken_up(waiting.entry.schedule, turn.now),
            taken_up_at: turn.now,
            is_late: false,
        };
        in_hand.is_late = in_hand.comes_back_late(turn.settings);
        let key = in_hand.booking.key.clone();
        self.take_in_hand(in_hand, turn);
        self.note_slots(&key, None, turn);
    }

    /// When a version that waited came first; now, if state does not have its order.
    pub(super) fn order_of(&self, entry: &RetryEntry) -> i64 {
        let state = self.ledger.bookings().get_hot(&entry.booking.key);
        let wish =
            state.and_then(|state| state.parked(entry.booking.version)).and_then(|one| one.wish.as_deref());
        wish.map_or_else(|| self.progress.next_requested(), |wish| wish.order)
    }

    pub(super) fn take_in_hand(&mut self, in_hand: InHand, turn: &Turn<'_>) {
        self.note_promise(&in_hand, turn.settings);
        self.take_older_held(&in_hand.booking.key, in_hand.booking.version, turn);
        self.ledger.unpack(&in_hand.booking.key);
        if !turn.settings.supports_if_match {
            self.ledger.forget_revision(&in_hand.booking.key);
        }
        let key = JobKey::Booking(in_hand.booking.key.clone());
        let version: Version = in_hand.booking.version;
        let known = self.jobs.is_at_hand(&key);
        let job = self.jobs.open(&key);
        let copy = job.versions.insert(version, in_hand);
        job.kept_request = None;
        let awaits = matches!(job.stage, JobStage::AwaitsTime(_) | JobStage::AwaitsPatient(_));
        if let Some(copy) = copy {
            self.progress.finished(copy.position);
        }
        // A job that waits is looked at again: the newer version may not have to wait.
        if !known || awaits {
            self.jobs.look_again(key);
        }
    }

    /// Dead-letters a record that cannot be used. After a restart state shows that this was done for a record with an
    /// identity. One without waits until the same transaction moves the committable offset past it (rule K7).
    fn dead_letter(&mut self, unusable: Unusable, position: Position, turn: &mut Turn<'_>) {
        let Some(identity) = &unusable.identity else {
            if !rules::awaits_its_offset(turn.settings) {
                self.progress.finished(position);
                self.write_dead_letter(unusable, position, 0, PlacedIds::default(), turn.now);
                return;
            }
            self.progress.keep_unidentified(position, unusable);
            return;
        };
        self.progress.finished(position);
        let at_hand = self
            .jobs
            .get(&JobKey::Booking(identity.key.clone()))
            .is_some_and(|job| job.versions.contains_key(&identity.version));
        let state = self.ledger.change_booking(&identity.key);
        // A retry record that cannot be used any more is the parked version itself, not a copy of it.
        let in_review = state.hold(identity.version).is_some();
        let waits_elsewhere = in_review || !position.lane.brings_parked() && state.waits(identity.version);
        if at_hand || state.is_answered(identity.version) || waits_elsewhere {
            turn.facts.push_back(Fact::DuplicateSkipped {
                key: identity.key.clone(),
                version: identity.version,
                differs: None,
            });
            return;
        }
        // Answered, but not `newest`: what is invalid supersedes nothing (rule K5).
        let generation = state.parked(identity.version).map_or(0, |parked| parked.generation + 1);
        self.held.note_ended(&identity.key);
        state.answered.insert(identity.version, turn.settings.answered_bytes_max);
        state.last_day = state.last_day.max(turn.now.day());
        state.parked.retain(|parked| parked.version != identity.version);
        state.take_promise(identity.version);
        let placed_ids = state.placed_ids();
        self.write_dead_letter(unusable, position, generation, placed_ids, turn.now);
    }

    /// Forwards a record to the partition that its key belongs to (rule K8). A record that is read again after a crash is
    /// forwarded again: its owner absorbs that copy like any other.
    fn forward(&mut self, record: Misrouted, position: Position, turn: &mut Turn<'_>) {
        self.progress.finished(position);
        let origin = Origin::of(self.partition, position);
        if let Some(records) = self.misrouted_keys.note(&record.key, turn.now) {
            let practice = unusable_names::practice_of(&record);
            turn.facts.push_back(Fact::KeyMisrouted { practice, origin, home: record.home, records });
        }
        let fact = Fact::RecordForwarded { origin, home: record.home };
        self.outbox.tell(fact);
        self.outbox.write(Outgoing::Forwarded(Box::new(record), origin));
    }

    /// Dead-letters the records without identity that the committable offset has come to.
    pub fn dead_letter_unidentified(&mut self, now: Timestamp) {
        while let Some((position, unusable)) = self.progress.finish_unidentified() {
            self.write_dead_letter(unusable, position, 0, PlacedIds::default(), now);
        }
    }

    fn write_dead_letter(
        &mut self,
        unusable: Unusable,
        position: Position,
        generation: u32,
        placed_ids: PlacedIds,
        now: Timestamp,
    ) {
        self.outbox.dead_letter(DeadLetter {
            identity: unusable.identity.clone(),
            reason: unusable.reason,
            disposition: Disposition::Poison,
            detail: unusable.detail.clone(),
            placed_ids,
            attempts: 1,
            generation,
            origin: Some(Origin::of(self.partition, position)),
            finished_at: now,
            content: DeadContent::Record(Box::new(unusable)),
        });
    }
}

/// When the booking of a record was asked for, if the record holds that; now if it cannot be right, for the lane's lag counts
/// from it.
fn asked_at(arrival: &Arrival, now: Timestamp) -> Option<Timestamp> {
    let asked_at = match arrival {
        Arrival::Requested(booking) => Some(booking.requested_at),
        Arrival::Retry(entry) => Some(entry.booking.requested_at),
        Arrival::Unusable(unusable) => unusable.identity.as_ref().map(|identity| identity.requested_at),
        Arrival::Decided(_) | Arrival::Misrouted(_) => None,
    };
    asked_at.map(|at| if is_a_wait(now.since_ms(at)) { at } else { now })
}

//! Waiting for a slot that another booking will free, and the order in which versions of one booking are written for
//! others' sake (rule K11). What is known of slots is in `slots.rs`.

use std::collections::BTreeSet;

use crate::appointment::{Placement, Span};
use crate::booking::{Booking, BookingKey, BookingStatus, Version};
use crate::fact::Fact;
use crate::healthflow::Request;
use crate::partition::job::{Flight, InHand, Job, JobKey, JobStage};
use crate::partition::rules;
use crate::partition::slots::{Footprint, MadeFrom};
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::retry::deadline::leave_out;
use crate::retry::waiting_room::Waiting;
use crate::state::{BookingState, ParkingPlace};
use crate::sync::FailureReason;
use crate::time::Timestamp;

/// How many spans an appointment may occupy, as far as is remembered: each write in doubt may add one.
const SPANS_MAX: usize = 16;

/// Folds a list of numbers into one, as FNV-1a does.
const FOLD: u64 = 0x0100_0000_01b3;

/// A version waits for its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotWait {
    /// Which.
    pub version: Version,
    /// At this moment it is tried all the same.
    pub until: Timestamp,
    /// The bookings that are about to free it; empty while that is not known.
    pub blockers: BTreeSet<BookingKey>,
    /// Whether it did not wait before.
    pub is_first: bool,
}

impl Task {
    /// Looks again at what a booking takes and wants; who waits for it looks again too.
    pub(super) fn note_slots(&mut self, key: &BookingKey, job: Option<&Job>, turn: &Turn<'_>) {
        let footprint = self.view().footprint(key, job);
        for waiter in self.slots.put(key, footprint) {
            if rules::wakes_slot_waiters(turn.settings) {
                self.look_again(&waiter, turn);
            }
        }
    }

    /// The same for a job that is taken out, unless nothing has changed since it was last noted.
    pub(super) fn note_slots_of(&mut self, key: &BookingKey, job: &mut Job, turn: &Turn<'_>) {
        let made_from = Some(self.made_from(key, job));
        if job.footprint == made_from {
            debug_assert!(
                self.slots.has(key, &self.view().footprint(key, Some(job))),
                "the stamp missed a change"
            );
        } else {
            self.note_slots(key, Some(job), turn);
            job.footprint = made_from;
        }
    }

    fn made_from(&self, key: &BookingKey, job: &Job) -> MadeFrom {
        let versions = job.versions.iter().fold(0_u64, |all, (version, in_hand)| {
            all.wrapping_mul(FOLD).wrapping_add(*version).wrapping_mul(FOLD) ^ in_hand.order.cast_unsigned()
        });
        MadeFrom {
            state: self.ledger.bookings().stamp(key),
            versions,
            may_have_effect: self.intents.may_have_effect(key),
        }
    }

    /// The same for whatever job this is.
    pub(super) fn note_job(&mut self, key: &JobKey, turn: &Turn<'_>) {
        if let JobKey::Booking(booking) = key {
            self.note_slots(booking, None, turn);
        }
    }

    fn look_again(&mut self, waiter: &BookingKey, turn: &Turn<'_>) {
        let key = JobKey::Booking(waiter.clone());
        if self.jobs.get(&key).is_some_and(|job| matches!(job.stage, JobStage::AwaitsTime(_))) {
            self.jobs.look_again(key);
        }
        for waiting in self.waiting_room.take_slot_waiters(waiter) {
            self.take_from_waiting_room(waiting, turn);
        }
    }

    /// Wakes the jobs that waited until everything was read; a job that was not refused, once everything before its newest
    /// version was.
    pub(super) fn slots_are_known(&mut self, turn: &Turn<'_>) {
        if !self.view().is_anything_unread() {
            for waiter in self.slots.take_undecided() {
                self.look_again(&waiter, turn);
            }
            return;
        }
        let may_go = |key: &&BookingKey| {
            let job = self.jobs.get(&JobKey::Booking((*key).clone()));
            job.is_some_and(|job| job.slot_refused.is_none() && !self.view().is_order_unknown(job))
        };
        let waiters: Vec<BookingKey> = self.slots.undecided().filter(may_go).cloned().collect();
        for waiter in waiters {
            self.slots.stop_waiting(&waiter);
            self.look_again(&waiter, turn);
        }
    }

    /// Takes note of what the bookings that an earlier owner left unanswered take and want.
    pub(super) fn inherit_slots(&mut self) {
        let waits = |(key, state): (&BookingKey, &BookingState)| {
            state.parked.iter().any(|parked| parked.place == ParkingPlace::Retry).then(|| key.clone())
        };
        let keys: Vec<BookingKey> = self.ledger.bookings().hot_iter().filter_map(waits).collect();
        for key in keys {
            let footprint = self.view().footprint(&key, None);
            self.slots.put(&key, footprint);
        }
    }

    /// Nothing has to be written for a booking, for what it wants exists: so that is what it occupies.
    pub(super) fn exists_as_wanted(&mut self, key: &BookingKey, booking: &Booking) {
        let wanted: Vec<Span> = Span::wanted(booking).into_iter().collect();
        let state = self.ledger.bookings().get_hot(key);
        let known = state.and_then(|state| state.placement.as_ref());
        let is_news = |placement: &Placement| placement.spans != wanted || placement.status != booking.status;
        if known.is_some_and(is_news)
            && let Some(placement) = &mut self.ledger.change_booking(key).placement
        {
            (placement.spans, placement.status) = (wanted, booking.status);
        }
    }

    /// Reports that an older version is about to be written that would otherwise be superseded unwritten.
    pub(super) fn tell_of_first(&self, key: &BookingKey, job: &Job, booking: &Booking, turn: &mut Turn<'_>) {
        let is_new = self.ledger.bookings().get_hot(key).is_none_or(|state| state.newest < booking.version);
        if is_new && job.first == Some(booking.version) {
            turn.facts.push_back(Fact::WrittenFirst { key: key.clone(), version: booking.version });
        }
    }

    /// From now on a version waits for its slot.
    pub(super) fn begin_slot_wait(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        wait: SlotWait,
        turn: &mut Turn<'_>,
    ) {
        if let Some(in_hand) = job.versions.get_mut(&wait.version) {
            in_hand.schedule.slot_since.get_or_insert(turn.now);
        }
        if wait.is_first {
            turn.facts.push_back(Fact::SlotAwaited { key: key.clone(), version: wait.version });
        }
        self.slots.wait(key, wait.blockers);
    }

    /// Puts a job aside that waits for a slot. It holds nothing up: it holds no intent, no place and no patient, for the
    /// booking that will free the slot may be the same patient's. In memory for a while, then in the retry topic.
    pub(super) fn put_aside_for_slot(
        &mut self,
        key: &JobKey,
        mut job: Job,
        until: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        let now = turn.now;
        let waiting_since = job.waiting_since;
        job.waits_for = WaitReason::AwaitsSlot.into();
        if !rules::gives_patient_back(turn.settings) {
            self.set_stage(key, &mut job, JobStage::AwaitsTime(until.max(now.plus_ms(1))), now);
            self.jobs.put_back(key, job);
            return;
        }
        self.end(key, &mut job, now);
        job.waiting_since = waiting_since;
        let give_up_at =
            turn.after_ms(key.practice(), waiting_since.unwrap_or(now), turn.settings.memory_wait_ms);
        let stays = turn.is_stopped() || self.is_rejected(key, &job);
        let gives_up = now >= give_up_at && !stays;
        if let (true, JobKey::Booking(booking)) = (gives_up, key) {
            for (_, mut in_hand) in std::mem::take(&mut job.versions) {
                leave_out(&mut in_hand.schedule, until.since_ms(now));
                in_hand.schedule.slot_since.get_or_insert(now);
                self.park(booking, in_hand, until, WaitReason::AwaitsSlot, turn);
            }
            self.end(key, &mut job, now);
            return;
        }
        let look_at = if now < give_up_at { until.min(give_up_at) } else { until };
        self.set_stage(key, &mut job, JobStage::AwaitsTime(look_at.max(now.plus_ms(1))), now);
        self.jobs.put_back(key, job);
    }

    /// Whether a record that came back need not wait for a slot any more.
    pub(super) fn is_slot_free(&mut self, waiting: &Waiting) -> bool {
        let entry = &waiting.entry;
        let Some(wanted) = Span::wanted(&entry.booking).filter(|_| waiting.awaits_slot()) else {
            return false;
        };
        let blockers = self.slots.blockers(&entry.booking.key, self.order_of(entry), &wanted, true);
        let is_free = blockers.is_empty() && !self.view().is_anything_unread();
        if !is_free {
            self.slots.wait(&entry.booking.key, blockers);
        }
        is_free
    }

    /// HealthFlow reports that the slot is taken, and not by ourselves: waited for while another booking is about to free it,
    /// else final. A version that the desk has changed meanwhile gives way to the newer one.
    pub(super) fn slot_taken(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        turn: &mut Turn<'_>,
    ) {
        let Some(asked) = flight.version else { return };
        // Also one that is parked: then this one came back alone, and its slot is somebody else's by now.
        let newest =
            self.view().footprint(key, Some(job)).wishes.last_key_value().map_or(0, |(version, _)| *version);
        let is_newest = newest <= asked;
        let Some(in_hand) = job.versions.get_mut(&asked) else { return };
        let (order, wanted) = (in_hand.order, Span::wanted(&in_hand.booking));
        let blockers =
            wanted.map_or_else(Default::default, |wanted| self.slots.blockers(key, order, &wanted, true));
        let since = in_hand.schedule.slot_since;
        let is_over = since.is_some_and(|since| {
            turn.now >= turn.after_ms(&key.practice, since, turn.settings.slot_wait_max_ms)
        });
        // An appointment with an unknown slot may have left it while we asked.
        let asks_once_more = since.is_none() && flight.near_unknown;
        let may_free = !blockers.is_empty() || self.view().is_anything_unread();
        let may_wait = (may_free && !is_over) || asks_once_more;
        if rules::slot_is_awaited(may_wait, turn.settings) {
            in_hand.schedule.slot_since.get_or_insert(turn.now);
            job.slot_refused = Some(asked);
            if since.is_none() {
                turn.facts.push_back(Fact::SlotAwaited { key: key.clone(), version: asked });
            }
            return;
        }
        if !is_newest {
            return self.supersede(key, job, asked, turn);
        }
        if since.is_some() {
            let is_cycle = self.slots.is_in_cycle(key, &blockers);
            let key = key.clone();
            turn.facts.push_back(Fact::SlotAwaitedInVain { key, version: asked, is_cycle });
        }
        self.reject_version(key, job, flight, FailureReason::SlotTaken, &[], turn);
    }
}

impl View<'_> {
    /// Whether records are unread of which some may free a slot or replace who was refused: those that an earlier owner may
    /// have read, and those whose schema is not known yet. Until then no refusal is final.
    fn is_anything_unread(&self) -> bool {
        !self.progress.is_caught_up()
    }

    /// What a booking takes of the book and what its unanswered versions want. Of one that waits for a person
    /// nothing, for that may take any time.
    fn footprint(&self, key: &BookingKey, job: Option<&Job>) -> Footprint {
        let mut footprint = Footprint::default();
        let job = job.or_else(|| self.jobs.get(&JobKey::Booking(key.clone())));
        let state = self.ledger.bookings().get_hot(key);
        if state.is_some_and(|state| state.question().is_some()) {
            return footprint;
        }
        // What is older than the newest that was ever intended is not written any more (rule K5).
        let newest = state.map_or(0, |state| state.newest);
        for parked in state.into_iter().flat_map(|state| &state.parked) {
            if parked.place == ParkingPlace::Retry && parked.version >= newest {
                footprint.wishes.insert(parked.version, parked.wish.as_deref().cloned());
            }
        }
        for (version, in_hand) in job.into_iter().flat_map(|job| job.versions.range(newest..)) {
            footprint.wishes.insert(*version, Some(in_hand.wish()));
        }
        let placement = state.and_then(|state| state.placement.as_ref());
        if let Some(Placement { status, spans, .. }) = placement {
            footprint.somewhere = *status == BookingStatus::Scheduled && spans.is_empty();
            footprint.occupied.extend(spans.iter().cloned());
        }
        if self.intents.may_have_effect(key) {
            let intent = state.and_then(|state| state.intent.as_deref());
            footprint.occupied.extend(intent.into_iter().flat_map(|intent| intent.asked.iter().cloned()));
        }
        footprint
    }

    /// The version at hand that is written before the newest, for another booking waits for what it frees: never once a
    /// newer one was intended (rule K5), nor one that waits for a person. And the oldest that must be written first and is
    /// parked: until it comes back no later one but the newest is answered.
    pub(super) fn choose_version(
        &self,
        key: &BookingKey,
        job: &Job,
        turn: &Turn<'_>,
    ) -> (Option<Version>, Option<Version>) {
        let first = rules::written_first(self.slots, key, turn.settings);
        let may_go = |version: &&Version| {
            job.versions
                .get(version)
                .is_some_and(|in_hand| self.holder_of(&in_hand.booking, turn.settings).is_none())
        };
        let at_hand = first.iter().find(may_go).copied();
        (at_hand, first.into_iter().find(|version| !job.versions.contains_key(version)))
    }

    /// Whether an older version at hand may yet have to be written before the newest: who wants what it frees may lie among
    /// the records before the newest, of which some are unread. Only after a restart: a version came by the retry topic.
    pub(super) fn may_be_first(&self, key: &BookingKey, job: &Job) -> bool {
        if job.versions.len() < 2 || !self.is_order_unknown(job) {
            return false;
        }
        // Who has nothing frees nothing.
        let footprint = self.footprint(key, Some(job));
        footprint.wishes.len() > 1 && !footprint.occupied.is_empty()
    }

    pub(super) fn is_order_unknown(&self, job: &Job) -> bool {
        job.newest().is_some_and(|newest: &InHand| !self.progress.is_caught_up_until(newest.order))
    }

    /// The wait for the slot that `request` would take, if another booking is about to free it: the wait has a limit, after
    /// which the request is tried all the same. What may have been sent already is left to its doubt (rules W4, W5).
    pub(super) fn slot_wait(
        &self,
        key: &BookingKey,
        job: &Job,
        booking: &Booking,
        request: &Request,
        turn: &Turn<'_>,
    ) -> Option<SlotWait> {
        if !matches!(request, Request::CreateAppointment { .. } | Request::UpdateAppointment { .. }) {
            return None;
        }
        let is_sent = self.intents.may_have_effect(key);
        let wanted = Span::wanted(booking).filter(|_| !is_sent)?;
        let state = self.ledger.bookings().get_hot(key);
        if state
            .and_then(|state| state.placement.as_ref())
            .is_some_and(|placed| placed.spans == [wanted.clone()])
        {
            // It has that time already, so no other booking can.
            return None;
        }
        let in_hand = job.versions.get(&booking.version)?;
        let was_refused = job.slot_refused == Some(booking.version);
        let blockers = self.slots.blockers(key, in_hand.order, &wanted, was_refused);
        let is_unclear = self.may_be_first(key, job) || was_refused && self.is_anything_unread();
        if !rules::slot_is_awaited(!blockers.is_empty() || is_unclear, turn.settings) {
            return None;
        }
        let since = in_hand.schedule.slot_since;
        let until = turn.after_ms(&key.practice, since.unwrap_or(turn.now), turn.settings.slot_wait_max_ms);
        if rules::slot_wait_is_over(until, turn.now, turn.settings) {
            return None;
        }
        Some(SlotWait { version: booking.version, until, blockers, is_first: since.is_none() })
    }
}

/// A write that is not known to have failed may have moved what exists (rule K11).
pub(super) fn may_occupy_too(state: &mut BookingState, asked: Vec<Span>) {
    let Some(placement) = &mut state.placement else { return };
    for span in asked {
        if !placement.spans.contains(&span) && placement.spans.len() < SPANS_MAX {
            placement.spans.push(span);
        }
    }
}

//! How a version ends, or is put aside: the record that leaves, the state that changes with it, and the position that
//! the committable offset may pass, all in the same batch.

use std::sync::Arc;

use crate::appointment::PlacedIds;
use crate::booking::{Booking, BookingKey, PatientKey, Version};
use crate::event::failed::DeadContent;
use crate::event::{DeadLetter, Finished, Identity, Origin, Outgoing, RetryEntry};
use crate::fact::Fact;
use crate::partition::job::{InHand, Job};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::retry::WaitReason;
use crate::retry::deadline::{leave_out, wait_for_slot_goes_on};
use crate::retry::schedule::delay_ms;
use crate::state::{Parked, ParkingPlace, Suspicion};
use crate::sync::{Disposition, FailureReason, Outcome, ReviewReason, SyncedOutcome};
use crate::time::Timestamp;

impl Task {
    /// Ends a version at hand with `outcome`.
    pub(super) fn conclude(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        version: Version,
        outcome: Outcome,
        turn: &mut Turn<'_>,
    ) {
        let Some(in_hand) = job.versions.remove(&version) else { return };
        self.progress.finished(in_hand.position);
        // A look at HealthFlow that failed: the question waits on.
        if matches!(outcome, Outcome::Failed { .. }) && self.is_question(key, version) {
            return;
        }
        if !matches!(outcome, Outcome::Review { .. }) {
            self.leave_review(key, version, turn.settings);
        }
        match outcome {
            Outcome::Synced(outcome) => self.synced(key, in_hand, outcome, turn),
            Outcome::Review { reason, evidence } => self.hold(key, in_hand, reason, evidence, turn),
            Outcome::Failed { reason, disposition, detail } => {
                self.fail(key, in_hand, reason, disposition, detail, turn);
            }
        }
        self.held.note_ended(key);
    }

    /// Ends a version that a newer one replaces, once (rule K5).
    pub(super) fn supersede(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        version: Version,
        turn: &mut Turn<'_>,
    ) {
        self.conclude(key, job, version, Outcome::Synced(SyncedOutcome::Superseded), turn);
    }

    /// Supersedes a version that may have been answered and forgotten. Newer ones were answered since, so it may neither be
    /// written over what they left nor wait (rule K5).
    pub(super) fn supersede_forgotten(&mut self, in_hand: InHand, turn: &mut Turn<'_>) {
        let (key, version) = (in_hand.booking.key.clone(), in_hand.booking.version);
        turn.facts.push_back(Fact::AnswerForgotten { key: key.clone(), version });
        self.progress.finished(in_hand.position);
        self.synced(&key, in_hand, SyncedOutcome::Superseded, turn);
    }

    /// Drops a copy of an answered version: only its position is left to finish.
    pub(super) fn drop_version(&mut self, job: &mut Job, version: Version) {
        if let Some(in_hand) = job.versions.remove(&version) {
            self.progress.finished(in_hand.position);
        }
    }

    /// Sends a booking that kills workers to a person, and its doubt with it (rule K6). The intent of its appointment stays in
    /// state until that person decides, so that what it may have made is not taken for another booking's. A creation of its
    /// patient stays a doubt until it is quiet, for other patients wait for that (rule W7).
    pub(super) fn give_up(&mut self, key: &BookingKey, job: &mut Job, version: Version, turn: &mut Turn<'_>) {
        self.intents.forget(key);
        let outcome = Outcome::Review { reason: ReviewReason::CrashSuspect, evidence: Vec::new() };
        self.conclude(key, job, version, outcome, turn);
    }

    fn synced(&mut self, key: &BookingKey, in_hand: InHand, outcome: SyncedOutcome, turn: &Turn<'_>) {
        let booking = &in_hand.booking;
        let known = self.ledger.bookings().get_hot(key);
        let generation =
            known.and_then(|state| state.parked(booking.version)).map_or(0, |one| one.generation);
        self.answer(key, booking, outcome != SyncedOutcome::Superseded, turn);
        let state = self.ledger.change_booking(key);
        if state.newest == booking.version {
            state.newest_generation = generation;
        }
        let PlacedIds { patient_id, appointment_id } = state.placed_ids();
        let linked =
            || self.ledger.patients().get(&booking.patient_key()).and_then(|state| state.link.clone());
        let patient_id = patient_id.or_else(|| linked().map(|link| link.healthflow_patient_id.0));
        self.outbox.write(Outgoing::Synced(Finished {
            identity: Identity::from(&**booking),
            outcome,
            healthflow_patient_id: patient_id,
            healthflow_appointment_id: appointment_id,
            attempts: in_hand.schedule.attempts + 1,
            generation,
            finished_at: turn.now,
        }));
        self.outbox.tell_synced(in_hand.booking, outcome);
    }

    fn fail(
        &mut self,
        key: &BookingKey,
        in_hand: InHand,
        reason: FailureReason,
        disposition: Disposition,
        detail: Arc<str>,
        turn: &Turn<'_>,
    ) {
        let booking = &in_hand.booking;
        let generation = self.repark(key, &in_hand, ParkingPlace::Failed);
        self.answer(key, booking, true, turn);
        let placed_ids = self.ledger.change_booking(key).placed_ids();
        let origin = in_hand.position.map(|position| Origin::of(self.partition, position));
        self.outbox.dead_letter(DeadLetter {
            content: DeadContent::Booking(Arc::clone(booking)),
            identity: Some(Identity::from(&**booking)),
            reason,
            disposition,
            detail,
            placed_ids,
            attempts: in_hand.schedule.attempts + 1,
            generation,
            origin,
            finished_at: turn.now,
        });
    }

    /// Marks a version as answered, and older ones as replaced. Of its own parkings only a dead letter remains, of older ones
    /// not even that: a redrive could only be superseded (rule K10).
    fn answer(&mut self, key: &BookingKey, booking: &Booking, on_its_merits: bool, turn: &Turn<'_>) {
        let version = booking.version;
        let state = self.ledger.change_booking(key);
        let promise = state.take_promise(version).filter(|promise| !promise.at_earliest);
        if let Some(promise) = promise {
            self.outbox.tell(Fact::PromiseEnded { late_ms: turn.now.since_ms(promise.promised_at) });
        }
        state.lost.retain(|lost| *lost != version);
        state.last_day = state.last_day.max(booking.visit.start.day()).max(turn.now.day());
        state.answered.insert(version, turn.settings.answered_bytes_max);
        state.parked.retain(|parked| match parked.place {
            ParkingPlace::Failed => parked.version >= version || !on_its_merits,
            ParkingPlace::Retry | ParkingPlace::Review(_) => parked.version != version,
        });
        // Also of one that a newer one replaced: an even older one may not be written after it, or it would take
        // a slot that another booking got because this version was left out (rules K5, K11).
        state.newest = state.newest.max(version);
        if on_its_merits {
            state.suspicion = Suspicion::default();
        }
    }

    /// Names the one valid place of a version that is put aside; its generation rises every time (rule K4).
    pub(super) fn repark(&mut self, key: &BookingKey, in_hand: &InHand, place: ParkingPlace) -> u32 {
        let version = in_hand.booking.version;
        let wish = (place == ParkingPlace::Retry).then(|| Box::new(in_hand.wish()));
        let state = self.ledger.change_booking(key);
        let generation = state.parked(version).map_or(0, |parked| parked.generation) + 1;
        state.parked.retain(|parked| parked.version != version);
        state.lost.retain(|lost| *lost != version);
        state.parked.push(Parked { version, place, generation, wish });
        generation
    }

    /// Parks every version at hand. That is no attempt, and the wait does not count as part of its age.
    pub(super) fn park_all(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        not_before: Timestamp,
        why: WaitReason,
        turn: &mut Turn<'_>,
    ) {
        let versions = std::mem::take(&mut job.versions);
        for mut in_hand in versions.into_values() {
            leave_out(&mut in_hand.schedule, not_before.since_ms(turn.now));
            self.park(key, in_hand, not_before, why, turn);
        }
    }

    pub(super) fn park(
        &mut self,
        key: &BookingKey,
        in_hand: InHand,
        not_before: Timestamp,
        why: WaitReason,
        turn: &mut Turn<'_>,
    ) {
        self.progress.finished(in_hand.position);
        let version = in_hand.booking.version;
        // The same; it is looked at again at its time.
        if self.is_question(key, version) {
            return;
        }
        self.leave_review(key, version, turn.settings);
        let generation = self.repark(key, &in_hand, ParkingPlace::Retry);
        let mut in_hand = in_hand;
        in_hand.leave_out_outages(turn);
        self.note_parked(&in_hand.booking, why, not_before, turn);
        let mut schedule = in_hand.schedule;
        schedule.not_before = not_before;
        schedule.last_error = Arc::from(why.code());
        wait_for_slot_goes_on(&mut schedule, not_before.since_ms(turn.now));
        turn.facts.push_back(Fact::BookingParked {
            key: key.clone(),
            version,
            attempts: schedule.attempts,
            not_before,
            last_error: schedule.last_error.clone(),
        });
        self.outbox.write(Outgoing::Retry(Box::new(RetryEntry {
            booking: in_hand.booking,
            schedule,
            generation,
        })));
    }

    /// Counts a failed attempt for the newest version at hand, which may succeed later, and parks the booking until its next
    /// attempt. If its time is up, the version fails for good, but never while a write of it is in doubt.
    pub(super) fn try_again_later(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        why: WaitReason,
        not_before: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        // It goes on as if it had not asked, once HealthFlow works.
        if rules::is_outage(why, turn) {
            return;
        }
        self.count_attempt(job, turn);
        // A newer version that arrived meanwhile has not failed: it goes on at once.
        let Some(at_work) = job.at_work().filter(|one| Some(one.booking.version) == job.asked_version) else {
            return;
        };
        let booking = Arc::clone(&at_work.booking);
        // Rejected while HealthFlow was asked about it: it ends at once, and is not parked, for the retry topic does not know of that.
        if self.is_rejected_version(key, booking.version) {
            return;
        }
        if let Some(reason) = self.time_is_up(key, at_work, turn) {
            // Written for another booking's sake only: the newest goes on.
            if job.newest().is_some_and(|newest| newest.booking.version > booking.version) {
                return self.supersede(key, job, booking.version, turn);
            }
            let detail = Arc::from(format!("last error {why}; redrive it once the cause is gone"));
            let outcome = Outcome::Failed { reason, disposition: Disposition::Exhausted, detail };
            self.conclude(key, job, booking.version, outcome, turn);
            return;
        }
        let settings = turn.settings;
        let delay = delay_ms(
            key,
            booking.version,
            at_work.schedule.attempts,
            settings.retry_backoff_min_ms,
            settings.retry_backoff_max_ms,
        );
        let asked = job.asked_to_wait.map_or(turn.now, |asked| asked.until);
        let not_before = not_before.max(turn.now.plus_ms(delay)).max(asked);
        for (version, in_hand) in std::mem::take(&mut job.versions) {
            // Another version of it that a person rejected ends at once as well.
            if self.is_rejected_version(key, version) {
                job.versions.insert(version, in_hand);
                continue;
            }
            self.park(key, in_hand, not_before, why, turn);
        }
    }

    /// Counts a failed attempt for the version that the last call was made for.
    pub(super) fn count_attempt(&mut self, job: &mut Job, turn: &Turn<'_>) {
        let now = turn.now;
        let asked = job.asked_version.and_then(|version| job.versions.get_mut(&version));
        if let Some(asked) = asked {
            asked.leave_out_outages(turn);
            asked.schedule.attempts += 1;
            asked.schedule.first_failed_at.get_or_insert(now);
            asked.schedule.last_failed_at = Some(now);
        }
    }

    fn time_is_up(&self, key: &BookingKey, in_hand: &InHand, turn: &Turn<'_>) -> Option<FailureReason> {
        let booking = &in_hand.booking;
        if self.view().is_in_doubt(key, &booking.patient_key()) {
            return None;
        }
        rules::time_is_up(booking, &in_hand.schedule, turn.now, turn.settings)
    }
}

impl View<'_> {
    /// How the newest version ends if its time was up when its last attempt failed, while a write of it was in doubt. That
    /// doubt is settled now, and another write could only open the next one, without end.
    pub(super) fn late_end(
        &self,
        key: &BookingKey,
        job: &Job,
        turn: &Turn<'_>,
    ) -> Option<(Version, Outcome)> {
        let over = job.newest().filter(|newest| newest.is_over(turn.settings))?;
        if self.is_in_doubt(key, &over.booking.patient_key()) {
            return None;
        }
        let why = &over.schedule.last_error;
        let detail = Arc::from(format!("last error {why}; redrive it once the cause is gone"));
        let (reason, disposition) = (FailureReason::AgeExhausted, Disposition::Exhausted);
        Some((over.booking.version, Outcome::Failed { reason, disposition, detail }))
    }

    fn is_in_doubt(&self, key: &BookingKey, patient: &PatientKey) -> bool {
        self.intents.is_in_doubt(key) || self.intents.is_in_doubt(patient)
    }
}

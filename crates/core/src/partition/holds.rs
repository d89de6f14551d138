//! Holding versions for a person, and letting them go (rule K4): what a person must decide about lies in `appointments.review`,
//! and so does every version that waits behind it. They wait without calls, attempts or offsets, and go on as soon as
//! the question is gone.

use crate::booking::{Booking, BookingKey, BookingStatus, PatientKey, Version, VersionKey};
use crate::event::review::{ReviewCase, asks};
use crate::event::{Outgoing, Schedule};
use crate::fact::Fact;
use crate::partition::job::{InHand, Job, JobKey};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::partition::view::View;
use crate::patient::decide::Evidence;
use crate::settings::Settings;
use crate::state::{HeldByKey, Hold, Parked, ParkingPlace, PatientState};
use crate::sync::ReviewReason;

impl Task {
    /// A person must decide about this version, and until then about nothing that depends on it.
    pub(super) fn hold(
        &mut self,
        key: &BookingKey,
        in_hand: InHand,
        reason: ReviewReason,
        evidence: Vec<Evidence>,
        turn: &Turn<'_>,
    ) {
        let patient = in_hand.booking.patient_key();
        if self.is_asked_already(key, in_hand.booking.version, &asks(reason, &evidence)) {
            return;
        }
        // Which appointment is meant is a question about this booking only.
        if reason != ReviewReason::AmbiguousAppointment && !reason.holds_nobody_else() {
            self.ledger.change_patient(&patient).held_by = Some(key.booking.clone());
            self.stand_down_for(&patient, turn.now);
            self.held.begin_hold(key, patient);
        }
        self.lay(key, in_hand, reason, evidence, None, turn);
    }

    /// Every version at hand waits behind the review of `holder`.
    pub(super) fn hold_behind(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        holder: &BookingKey,
        turn: &Turn<'_>,
    ) {
        for in_hand in std::mem::take(&mut job.versions).into_values() {
            self.progress.finished(in_hand.position);
            self.lay(key, in_hand, ReviewReason::BehindReview, Vec::new(), Some(holder), turn);
        }
    }

    /// Lays a version into `appointments.review`: in question, or behind the review of `holder`.
    fn lay(
        &mut self,
        key: &BookingKey,
        in_hand: InHand,
        reason: ReviewReason,
        evidence: Vec<Evidence>,
        holder: Option<&BookingKey>,
        turn: &Turn<'_>,
    ) {
        let version = in_hand.booking.version;
        let hold = holder.map_or(Hold::Question, |_| Hold::Behind);
        let generation = self.repark(key, &in_hand, ParkingPlace::Review(hold));
        let case = ReviewCase {
            booking: in_hand.booking,
            generation,
            reason,
            evidence,
            waits_for: holder.map(|holder| holder.booking.clone()),
            attempts: in_hand.schedule.attempts + 1,
            order: in_hand.order,
            since: turn.now,
        };
        self.held.lay(case.held(), self.outbox.next_sequence(), turn.now, turn.settings);
        self.outbox.tell(Fact::BookingHeld { key: key.clone(), version, reason });
        self.outbox.write(Outgoing::Review(Box::new(case)));
        self.leave_old_record(key);
    }

    /// What an earlier worker wrote about this booking is done with: the version has its result, or a record of its own.
    pub(super) fn leave_old_record(&mut self, key: &BookingKey) {
        if self.held.take_of_old(key) {
            self.outbox.write(Outgoing::ReleasedOfOld(key.clone()));
        }
    }

    /// The record of a version that is held no more is taken out of `appointments.review`: with its result, or because it
    /// waits elsewhere from now on.
    pub(super) fn leave_review(&mut self, key: &BookingKey, version: Version, settings: &Settings) {
        let lies_there = self.ledger.bookings().get(key).is_some_and(|state| state.hold(version).is_some());
        if lies_there {
            let of = key.version(version);
            self.held.take(&of);
            if rules::leaves_review_topic(settings) {
                self.outbox.write(Outgoing::Released(of));
                self.leave_old_record(key);
            }
        }
    }

    /// What is held of a booking gives way to a newer version: it is taken in hand, and superseded there. Not what a person
    /// must find out about first.
    pub(super) fn take_older_held(&mut self, key: &BookingKey, version: Version, turn: &Turn<'_>) {
        let state = self.ledger.bookings().get(key);
        let is_a_persons = state.is_some_and(|state| state.leaves_write_to_a_person());
        if is_a_persons || !rules::newer_ends_question(turn.settings) {
            return;
        }
        let older: Vec<Version> =
            self.held.of(key).map(|(version, _)| version).filter(|held| *held < version).collect();
        for version in older {
            self.let_go(key.version(version), Hold::Released, turn);
        }
    }

    /// Looks at the bookings of which a version has ended: what is older gives way, and once no version of one is left that
    /// could decide who a patient is, that patient's other bookings go on.
    pub(super) fn end_holds(&mut self, turn: &Turn<'_>) {
        // What the owner before had in hand of a holder, its successor has read by then, unless it is lost.
        if self.progress.is_caught_up() {
            self.held.look_at_doubted();
        }
        while let Some(key) = self.held.take_ended() {
            let at_hand = self.jobs.get(&JobKey::Booking(key.clone())).and_then(Job::newest);
            let newest = self.ledger.bookings().get(&key).map_or(0, |state| state.newest);
            let newest = at_hand.map_or(newest, |one| newest.max(one.booking.version));
            self.take_older_held(&key, newest, turn);
            self.ask_about_unclear(&key, turn);
            self.end_own_hold(&key, turn);
            self.end_holds_of(&key, turn);
        }
    }

    /// The newest held version of `key` goes to a person with the doubt about its write, whatever else it waited for: that review
    /// does not say what became of the write.
    fn ask_about_unclear(&mut self, key: &BookingKey, turn: &Turn<'_>) {
        let newest = self.held.of(key).last().map(|(version, _)| version);
        if let Some(version) = newest.filter(|_| self.intents.is_unclear(key)) {
            self.let_go(key.version(version), Hold::Released, turn);
        }
    }

    /// What is wanted of `key` beside a question about its write goes on once there is no such question.
    fn end_own_hold(&mut self, key: &BookingKey, turn: &Turn<'_>) {
        let state = self.ledger.bookings().get_hot(key);
        if state.is_some_and(|state| state.leaves_write_to_a_person()) {
            return;
        }
        let own = self.held.behind_itself(key).map(|version| (key.version(version), Hold::Released));
        let own = own.collect();
        self.let_all_go(own, turn);
    }

    fn end_holds_of(&mut self, key: &BookingKey, turn: &Turn<'_>) {
        for patient in self.held.held_by(key) {
            if !self.is_still_asked(key, &patient) {
                self.end_hold(key, &patient, turn);
            }
        }
    }

    /// The review of `key` holds nobody any more: bookings that waited for it go on, in the order in which they came.
    pub(super) fn end_hold(&mut self, key: &BookingKey, patient: &PatientKey, turn: &Turn<'_>) {
        let holds = |state: &PatientState| state.held_by.as_ref() == Some(&key.booking);
        if self.ledger.patients().get_hot(patient).is_some_and(holds) {
            self.ledger.change_patient(patient).held_by = None;
        }
        self.held.end_hold(key, patient);
        if !rules::those_behind_go_on(turn.settings) {
            return;
        }
        let is_free = |of: &VersionKey| {
            let held = self.held.get(of);
            held.is_some_and(|held| {
                self.view().holder_for(&of.booking, held.status, &held.patient, turn.settings).is_none()
            })
        };
        let mut free = rules::in_order(self.held.behind(key, patient), turn.settings);
        free.retain(is_free);
        self.let_all_go(free.into_iter().map(|of| (of, Hold::Released)).collect(), turn);
    }

    /// Whether a version of `key` that is not answered may still decide who `patient` is.
    fn is_still_asked(&self, key: &BookingKey, patient: &PatientKey) -> bool {
        let of_patient = |booking: &Booking| booking.patient_key() == *patient;
        let at_hand = self.jobs.get(&JobKey::Booking(key.clone()));
        let is_at_hand = at_hand.is_some_and(|job| job.versions.values().any(|one| of_patient(&one.booking)));
        let state = self.ledger.bookings().get_hot(key);
        // What lies in the retry topic may be of any patient.
        let in_retry = |parked: &Parked| parked.place == ParkingPlace::Retry;
        is_at_hand
            || state.is_some_and(|state| state.parked.iter().any(in_retry))
            || self.held.of(key).any(|(_, held)| held.patient == *patient && !held.waits_behind(key))
    }

    /// A held version goes on, as soon as its content is here: its record stays in `appointments.review` until it is answered.
    pub(super) fn let_go(&mut self, of: VersionKey, hold: Hold, turn: &Turn<'_>) {
        self.let_all_go(vec![(of, hold)], turn);
    }

    /// The same of several, in this order: where one must wait for its content, they all do.
    fn let_all_go(&mut self, mut all: Vec<(VersionKey, Hold)>, turn: &Turn<'_>) {
        all.retain(|(of, _)| self.held.get(of).is_some());
        let at_once = all.iter().all(|(of, _)| self.held.has_content(of));
        for (of, hold) in all {
            if rules::is_noted_as_let_go(turn.settings) {
                self.note_hold(&of.booking, of.version, hold);
            }
            // What was in doubt when it was held is not repeated before a good commit says that nobody holds it (rule K4).
            self.intents.raise(&(&of.booking).into(), self.outbox.next_sequence());
            match at_once {
                true => self.go_on(&of, turn),
                false => self.held.want(of),
            }
        }
    }

    /// State records from now on that a held version waits like this. What a person rejected stays so, whatever else lets it go.
    pub(super) fn note_hold(&mut self, key: &BookingKey, version: Version, hold: Hold) {
        let state = self.ledger.change_booking(key);
        let parked = state.parked.iter_mut().find(|parked| parked.version == version);
        let parked = parked.filter(|of| of.place != ParkingPlace::Review(Hold::Rejected));
        parked.into_iter().for_each(|parked| parked.place = ParkingPlace::Review(hold));
    }

    /// A version that was let go is taken in hand, with its content.
    fn go_on(&mut self, of: &VersionKey, turn: &Turn<'_>) {
        let Some(held) = self.held.take(of) else { return };
        let Some(booking) = held.content else { return };
        self.outbox.tell(Fact::BookingReleased { key: of.booking.clone(), version: of.version });
        let attempts = held.attempts.saturating_sub(1);
        let schedule = Schedule { attempts, not_before: turn.now, ..Schedule::default() };
        let in_hand = InHand::from_review(booking, schedule, held.order, turn.now);
        self.take_in_hand(in_hand, turn);
        self.note_slots(&of.booking, None, turn);
    }

    /// Takes up what the owner before held. What it had let go goes on; what is not in the topic any more is lost.
    pub(super) fn inherit_held(&mut self, mut found: HeldByKey, turn: &Turn<'_>) {
        for (patient, state) in self.ledger.patients().hot_iter() {
            if let Some(booking) = state.held_by.clone() {
                let holder = BookingKey { practice: patient.practice.clone(), booking };
                self.held.begin_hold(&holder, patient.clone());
                self.held.doubt_holder(holder);
            }
        }
        let (mut held, mut lost) = (Vec::new(), Vec::new());
        for (key, state) in self.ledger.bookings().hot_iter() {
            for parked in &state.parked {
                let ParkingPlace::Review(hold) = parked.place else { continue };
                let of = key.version(parked.version);
                match found.remove(&of) {
                    Some(found) => held.push((hold, found)),
                    None => lost.push(of),
                }
            }
        }
        for of in lost {
            self.lose_held(&of);
        }
        // In the order in which they came.
        held.sort_unstable_by(|(_, one), (_, other)| {
            (one.order, &one.key, one.version).cmp(&(other.order, &other.key, other.version))
        });
        let mut let_go = Vec::new();
        for (mut hold, held) in held {
            if held.is_of_old {
                // Asked anew, for its record says less than a decision needs.
                self.held.note_of_old(&held.key);
                hold = if hold == Hold::Rejected { hold } else { Hold::Released };
            }
            if matches!(hold, Hold::Released | Hold::Rejected) {
                let_go.push((held.version_key(), hold));
            }
            if held.waits_behind(&held.key) {
                self.held.doubt_holder(held.key.clone());
            }
            if rules::is_inherited(hold, turn.settings) {
                self.held.inherit(held, turn.now, turn.settings);
            }
        }
        self.let_all_go(let_go, turn);
    }
}

impl View<'_> {
    /// Whose review `booking` must wait for: its own, where a person must find out what became of its write, or that of the
    /// booking that decides who its patient is. A hold is no wider than its question: a cancellation asks for nobody.
    pub(super) fn holder_of(&self, booking: &Booking, settings: &Settings) -> Option<BookingKey> {
        self.holder_for(&booking.key, booking.status, &booking.patient_key(), settings)
    }

    /// The same, of a booking that asks for this, for this patient.
    fn holder_for(
        &self,
        key: &BookingKey,
        status: BookingStatus,
        patient: &PatientKey,
        settings: &Settings,
    ) -> Option<BookingKey> {
        let state = self.ledger.bookings().get_hot(key);
        if state.is_some_and(|state| state.leaves_write_to_a_person()) {
            return Some(key.clone());
        }
        if status == BookingStatus::Cancelled || !rules::waits_for_the_patient(settings) {
            return None;
        }
        let patient = self.ledger.patients().get_hot(patient)?;
        let holder = patient.held_by.clone().filter(|holder| *holder != key.booking)?;
        Some(BookingKey { practice: key.practice.clone(), booking: holder })
    }
}

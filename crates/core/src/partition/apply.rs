//! Carries out what `decide.rs` decides. Nothing is decided here: each arm does what its move says.

use std::ops::ControlFlow;

use crate::booking::BookingKey;
use crate::partition::advance::Next;
use crate::partition::job::{Job, JobKey};
use crate::partition::moves::{Asked, Awaited, IntentFor, Move};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::Person;
use crate::retry::WaitReason;

impl Task {
    /// Carries out `decided`: goes on where it must be decided again, or gives where the job is left.
    pub(super) fn apply(
        &mut self,
        decided: Move,
        key: &JobKey,
        job: &mut Job,
        turn: &mut Turn<'_>,
    ) -> ControlFlow<Next> {
        match (decided, key) {
            (Move::CreationUnverified(patient), _) => self.creation_is_unverified(&patient, turn),
            (Move::HoldBack, _) => return ControlFlow::Break(Next::HeldBack),
            (Move::Wait(at, why), _) => return ControlFlow::Break(Next::Wait(at, why)),
            (Move::AwaitCount, _) => return ControlFlow::Break(Next::AwaitCount),
            (Move::Rest(look_again_at), _) => {
                look_again_at.into_iter().for_each(|at| self.jobs.wake_at(at, key.clone()));
                return ControlFlow::Break(Next::Done);
            }
            (Move::Ask(asked), _) => {
                self.prepare(key, job, &asked, turn);
                self.keep_request(key, job, &asked);
                return ControlFlow::Break(Next::Ask(asked.request, asked.purpose));
            }
            (Move::Await(awaited), _) => {
                return ControlFlow::Break(Next::Await(awaited));
            }
            (decided, JobKey::Booking(booking)) => {
                return self.apply_to_booking(decided, booking, job, turn);
            }
            // Everything else is about a booking.
            (_, JobKey::Patient(_)) => return ControlFlow::Break(Next::Done),
        }
        ControlFlow::Continue(())
    }

    fn apply_to_booking(
        &mut self,
        decided: Move,
        key: &BookingKey,
        job: &mut Job,
        turn: &mut Turn<'_>,
    ) -> ControlFlow<Next> {
        let at_work = job.at_work().map(|at_work| at_work.booking.clone());
        match (decided, at_work) {
            (Move::WriteFirst(first), _) => job.first = first,
            (Move::Drop(version), _) => self.drop_version(job, version),
            (Move::Supersede { version, forgets_search }, _) => {
                if forgets_search {
                    // Whoever was searched for under another description was not searched for.
                    job.forget_search();
                }
                self.supersede(key, job, version, turn);
            }
            (Move::HoldBehind(holder), _) => self.hold_behind(key, job, &holder, turn),
            (Move::LeaveToAPerson, _) => self.leave_to_a_person(key, job, turn),
            (Move::GiveUp(version), _) => self.give_up(key, job, version, turn),
            (Move::EndLate(version, outcome), _) => self.conclude(key, job, version, outcome, turn),
            (Move::WriteAgain, _) => self.write_again(key, turn),
            (Move::Lock(patient), _) => {
                if !self.lock_patient(key, job, &patient, turn) {
                    return ControlFlow::Break(Next::Await(Awaited::Patient(patient)));
                }
            }
            (Move::Remember(link), Some(booking)) => {
                self.end_question(key, job, turn);
                self.remember(&booking, link);
            }
            (Move::ForgetLink, Some(booking)) => self.forget_link(&booking),
            (Move::ForgetContent, _) => drop(self.forget_content(key)),
            (Move::Finish(finish), Some(booking)) => {
                self.note_what_exists(key, &booking, &finish);
                self.conclude(key, job, booking.version, finish.outcome, turn);
            }
            (Move::SearchAnew { outlived }, _) => {
                job.outlived_searches += u32::from(outlived);
                job.forget_search();
            }
            (Move::SearchAnewAt(at), _) => {
                job.forget_search();
                return ControlFlow::Break(Next::Wait(at, WaitReason::RecentCreations));
            }
            (Move::AwaitSlot(wait), _) => {
                let until = wait.until;
                self.begin_slot_wait(key, job, wait, turn);
                return ControlFlow::Break(Next::AwaitSlot(until));
            }
            // Done with, or about a version that is not at hand any more.
            (Move::Remember(_) | Move::ForgetLink | Move::Finish(_), None)
            | (
                Move::CreationUnverified(_)
                | Move::Ask(_)
                | Move::HoldBack
                | Move::Wait(..)
                | Move::AwaitCount
                | Move::Await(_)
                | Move::Rest(_),
                _,
            ) => {
                return ControlFlow::Break(Next::Done);
            }
        }
        ControlFlow::Continue(())
    }

    /// Makes sure of what must be so before a request may go out.
    fn prepare(&mut self, key: &JobKey, job: &Job, asked: &Asked, turn: &mut Turn<'_>) {
        let at_work = job.at_work().map(|at_work| at_work.booking.clone());
        if let (Some(intent), JobKey::Booking(key), Some(booking)) = (&asked.intent, key, at_work) {
            self.end_question(key, job, turn);
            match intent {
                IntentFor::RepeatedCreation(patient) => {
                    let woken = self.recent_creations.begin(patient, Person::from(&booking.patient));
                    self.jobs.look_again_all(woken);
                }
                IntentFor::Creation(patient) => self.cover_creation(patient, &booking, turn),
                IntentFor::Write(write) => {
                    self.slots.stop_waiting(key);
                    self.tell_of_first(key, job, &booking, turn);
                    self.cover_write(key, write, &booking, turn);
                }
            }
        }
        if let Some(suspect) = &asked.suspect {
            rules::run_alone(key, &mut self.alone, turn.settings);
            self.mark(suspect, true);
        }
    }
}

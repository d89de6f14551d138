//! What HealthFlow's answers mean beyond the booking that was asked for: whether all calls wait, or stop. Without it all calls
//! would wait for a limit of one endpoint, or none for a limit of the account.

use crate::booking::{BookingId, PracticeId};
use crate::fact::{Fact, PauseCause};
use crate::healthflow::fault::{NotSent, Unknown};
use crate::healthflow::{Answer, Fault, Reply};
use crate::life::CallId;
use crate::limits::breaker::Change;
use crate::limits::{Asked, CallEnd};
use crate::partition::job::{AskedToWait, JobKey};
use crate::processor::ownership::OwnedTask;
use crate::processor::{Call, Processor};
use crate::retry::WaitReason;
use crate::time::Timestamp;

/// How much later than the others a booking asks again that waits with them, in milliseconds: whether they are
/// served shows whether the wait is its own.
const AFTER_THE_OTHERS_MS: i64 = 1_000;

/// Of whom a call was: the practice, and the booking where it was of one.
type Whose = (PracticeId, Option<BookingId>);

impl Processor {
    /// A call ended. Answers to calls of an earlier life of a task are thrown away: what became of those writes is a
    /// doubt that the restore has found already (rule T3).
    pub(super) fn answered(&mut self, id: CallId, reply: Reply, now: Timestamp) {
        let under_way = self.calls.len();
        let Some(call) = self.calls.remove(&id) else { return };
        let reply = match reply {
            // Not what was asked for: the contract's answer to an update is the appointment.
            Ok(Answer::UpdateUnseen) if !self.shared.settings.updates_without_content => {
                Err(Fault::Unknown(Unknown::Unreadable))
            }
            reply => reply,
        };
        let fault = reply.as_ref().err().map(WaitReason::from);
        let elapsed_ms = now.since_ms(call.sent_at).max(0).unsigned_abs();
        self.facts.push_back(Fact::CallAnswered { operation: call.operation, fault, elapsed_ms });
        self.judge(id, &call, &reply, now);
        self.judge_refusal(&call, &reply, now);
        self.pace.call_ended(now.since_ms(call.sent_at));
        // How long HealthFlow takes only a call that reached it can say.
        if !matches!(reply, Err(Fault::NotSent(_))) {
            let has_timed_out = matches!(reply, Err(Fault::Unknown(Unknown::Timeout)));
            self.concurrency.ended(call.sent_at, has_timed_out, under_way, now);
        }
        self.tell_refusal(&call, &reply);
        if !call.operation.is_write() {
            self.note_read(id, &call, &reply, now);
        }
        let asked_to_wait = self.apply_account_signal(id, &call, &reply, now);
        self.with_task(call.partition, call.incarnation, now, |task, turn| {
            task.answered(&call.job, reply, asked_to_wait, turn);
        });
    }

    /// What follows from a reply about whether HealthFlow works.
    fn judge(&mut self, id: CallId, call: &Call, reply: &Reply, now: Timestamp) {
        let end = match reply {
            Err(Fault::NotSent(NotSent::LeaseOver)) => CallEnd::Unsent,
            Err(fault) => WaitReason::from(fault).no_answer().map_or(CallEnd::Answered, CallEnd::Failed),
            Ok(_) => CallEnd::Answered,
        };
        let (practice, elapsed_ms) = (call.job.practice(), now.since_ms(call.sent_at));
        match self.shared.breaker.ended(id.0, practice, end, elapsed_ms, now) {
            Some(Change::Opened { cause, calls, bad }) => {
                self.stands_down = true;
                self.facts.push_back(Fact::BreakerOpened { cause, calls, bad });
            }
            Some(Change::ProbeFailed) => self.facts.push_back(Fact::BreakerProbeFailed),
            Some(Change::Closed { open_ms }) => self.facts.push_back(Fact::BreakerClosed { open_ms }),
            None => {}
        }
    }

    /// Reports what no other fact does: a refusal that is not believed, or that concerns only this booking.
    fn tell_refusal(&mut self, call: &Call, reply: &Reply) {
        let ((practice, booking), operation) = (whose(&call.job), call.operation);
        match reply {
            Err(Fault::Unknown(Unknown::Foreign { status })) => {
                let status = *status;
                self.facts.push_back(Fact::ForeignAnswer { practice, booking, operation, status });
            }
            Err(Fault::Forbidden) => {
                self.facts.push_back(Fact::CallForbidden { practice, booking, operation });
            }
            _ => {}
        }
    }

    /// Applies what a reply means for the whole account; returns what it asks of the booking, if that is to wait.
    fn apply_account_signal(
        &mut self,
        id: CallId,
        call: &Call,
        reply: &Reply,
        now: Timestamp,
    ) -> Option<AskedToWait> {
        let (practice, _) = whose(&call.job);
        let pause_ms = self.shared.settings.unauthorised_pause_ms;
        match reply {
            Err(Fault::Throttled { retry_after_ms }) => {
                return Some(self.asked_to_wait(id, call, *retry_after_ms, PauseCause::Throttled, now));
            }
            Err(Fault::Unknown(Unknown::Unavailable { retry_after_ms })) => {
                return Some(self.asked_to_wait(
                    id,
                    call,
                    Some(*retry_after_ms),
                    PauseCause::Unavailable,
                    now,
                ));
            }
            Err(Fault::Unauthorised) => {
                self.account.is_unanswered(id.0, true);
                self.pause(pause_ms, PauseCause::Unauthorised, call, now);
            }
            Err(Fault::Forbidden) if self.account.is_forbidden(&practice) => {
                self.account.is_unanswered(id.0, true);
                self.pause(pause_ms, PauseCause::Forbidden, call, now);
            }
            Err(Fault::NotSent(NotSent::Connect | NotSent::LeaseOver)) => {
                self.account.is_unanswered(id.0, false);
            }
            Err(Fault::Forbidden | Fault::Unknown(_)) => self.account.is_unanswered(id.0, true),
            // HealthFlow's own word about the matter: the account may ask.
            _ => self.account.is_served(id.0, call.sent_after),
        }
        None
    }

    /// HealthFlow answered that we should wait (429, or 503 with `Retry-After`): whether all do, and the booking by itself.
    fn asked_to_wait(
        &mut self,
        id: CallId,
        call: &Call,
        retry_after_ms: Option<u64>,
        why: PauseCause,
        now: Timestamp,
    ) -> AskedToWait {
        let (practice, booking) = whose(&call.job);
        let asked_in = match self.tasks.get(&call.partition) {
            Some(OwnedTask::Live(task)) => task.asked_to_wait_in(&call.job),
            _ => None,
        };
        let asked_ms = retry_after_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let unsaid_ms = self.shared.settings.throttled_pause_ms;
        let was_sending = self.account.paused_until(now).is_none();
        let asked = self.account.throttled(id.0, &practice, asked_in, asked_ms, unsaid_ms, now);
        let own_ms = asked_ms.unwrap_or(unsaid_ms);
        let until = now.plus_ms(own_ms.min(self.shared.settings.longest_wait_ms()));
        let in_pause = asked_in.unwrap_or_else(|| self.account.pauses());
        match asked {
            Asked::One => {
                let operation = call.operation;
                self.facts.push_back(Fact::CallThrottled { practice, booking, operation, until });
                AskedToWait { in_pause, until, by_itself: true }
            }
            Asked::All(until_all) => {
                let is_longer = until_all > now.plus_ms(self.shared.settings.pause_max_ms);
                if was_sending || is_longer {
                    self.facts.push_back(Fact::AccountPaused { until: until_all, why, practice, booking });
                }
                let by_itself = own_ms > self.shared.settings.pause_max_ms;
                let until = if by_itself { until } else { until_all.plus_ms(AFTER_THE_OTHERS_MS) };
                AskedToWait { in_pause, until, by_itself }
            }
        }
    }

    /// A read ended: whether one of its kind asks for all from now on, or need not any more.
    fn note_read(&mut self, id: CallId, call: &Call, reply: &Reply, now: Timestamp) {
        let operation = call.operation;
        match reply {
            Err(fault) if fault.spends_no_attempt() || *fault == Fault::Forbidden => {
                self.shared.reads.is_put_off(operation, id.0);
            }
            Err(Fault::NotSent(_) | Fault::Unknown(_)) => {
                let (min_ms, max_ms) =
                    (self.shared.settings.retry_backoff_min_ms, self.shared.settings.pause_max_ms);
                if self.shared.reads.has_failed(operation, id.0, min_ms, max_ms, now) {
                    self.facts.push_back(Fact::ReadsFail { operation });
                }
            }
            _ => {
                if self.shared.reads.is_answered(operation) {
                    self.facts.push_back(Fact::ReadsAnswered { operation });
                }
            }
        }
    }

    /// Sends nothing for a while. Every call under way may bring the same answer, so a pause is reported once.
    fn pause(&mut self, pause_ms: i64, why: PauseCause, call: &Call, now: Timestamp) {
        let is_new = self.account.paused_until(now).is_none();
        let until = self.account.pause(pause_ms, now);
        if is_new {
            let (practice, booking) = whose(&call.job);
            self.facts.push_back(Fact::AccountPaused { until, why, practice, booking });
        }
    }
}

/// Of whom a call was.
pub(super) fn whose(job: &JobKey) -> Whose {
    match job {
        JobKey::Booking(key) => (key.practice.clone(), Some(key.booking.clone())),
        JobKey::Patient(key) => (key.practice.clone(), None),
    }
}

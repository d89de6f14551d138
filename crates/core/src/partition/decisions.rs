//! What a person decided about a held version (rule K14): whether the decision can be carried out, and what follows from it. Every
//! product may write decisions, so one that is late, wrong or written twice is expected; it changes nothing, and a dead letter reports why.

use std::sync::Arc;

use crate::appointment::PlacedIds;
use crate::booking::{BookingKey, PatientKey, Version};
use crate::event::decision::verdicts_of;
use crate::event::failed::DeadContent;
use crate::event::{DeadLetter, Decision, Origin, Verdict};
use crate::fact::Fact;
use crate::healthflow::WrittenAppointment;
use crate::partition::job::{Job, JobKey};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::patient::digests::PersonDigests;
use crate::patient::{Decided, HealthFlowPatientId, Link, LinkOrigin, Rejected};
use crate::settings::Settings;
use crate::state::{Asks, Held, Hold, Suspicion};
use crate::sync::{Disposition, FailureReason, ReviewReason};
use crate::topics::Position;

/// What is to be done with a decision.
#[derive(Debug)]
enum Judgement {
    /// It is carried out about what is held.
    Valid(Box<Held>),
    /// The link of this patient is undone.
    Undone(Box<PatientKey>, HealthFlowPatientId),
    /// It was carried out already.
    Copy,
    /// It cannot be carried out: why, and in words.
    Refused(FailureReason, &'static str),
}

impl Task {
    /// A person decided.
    pub(super) fn decided(&mut self, decision: Decision, position: Position, turn: &mut Turn<'_>) {
        let (key, version) = (decision.key.clone(), decision.version);
        let judgement = self.judge(&decision, turn.settings);
        if let Judgement::Valid(held) = &judgement
            && held.content.is_none()
        {
            return self.held.want_for(decision, position);
        }
        self.progress.finished(position);
        match judgement {
            Judgement::Copy => {
                turn.facts.push_back(Fact::DuplicateSkipped { key, version, differs: None });
            }
            Judgement::Refused(reason, detail) => self.refuse(decision, position, reason, detail, turn),
            Judgement::Valid(_) | Judgement::Undone(..) if !rules::is_carried_out(turn.settings) => {}
            Judgement::Valid(held) => {
                let verdict = decision.verdict.symbol();
                self.outbox.tell(Fact::DecisionTaken { key, version, verdict });
                self.carry_out(decision, &held, turn);
            }
            Judgement::Undone(patient, chart) => {
                let verdict = decision.verdict.symbol();
                self.outbox.tell(Fact::DecisionTaken { key: key.clone(), version, verdict });
                self.unlink(&key, decision.id, &patient, chart, turn);
            }
        }
    }

    fn judge(&self, decision: &Decision, settings: &Settings) -> Judgement {
        use FailureReason::{DecisionContradicts, DecisionStale, DecisionUnknown};
        let Decision { id, key, version, generation, .. } = decision;
        let state = self.ledger.bookings().get(key);
        let Some(state) = state.as_deref() else {
            return Judgement::Refused(DecisionUnknown, "no such booking is in review");
        };
        if state.last_decision.as_ref() == Some(id) && rules::knows_copies(settings) {
            return Judgement::Copy;
        }
        if let Verdict::Unlink(chart) = &decision.verdict {
            return match self.linked_to(key, chart, decision.at) {
                Ok(patient) => Judgement::Undone(Box::new(patient), chart.clone()),
                Err((reason, why)) => Judgement::Refused(reason, why),
            };
        }
        let parked = state.parked(*version).map(|parked| parked.generation);
        let held = self.held.get(&key.version(*version));
        match (state.hold(*version), held) {
            (Some(Hold::Question), Some(held)) if rules::is_of_question(*generation, parked, settings) => {
                self.weigh(decision, held)
            }
            (Some(Hold::Question), _) => {
                Judgement::Refused(DecisionStale, "the question has changed since: read the review again")
            }
            (Some(Hold::Behind), _) => {
                Judgement::Refused(DecisionContradicts, "it waits behind another review: decide that one")
            }
            (Some(Hold::Released | Hold::Rejected), _) => {
                Judgement::Refused(DecisionStale, "the question is decided already")
            }
            (None, _) if state.answered.contains(*version) || parked.is_some() => {
                Judgement::Refused(DecisionStale, "the version is not in review any more")
            }
            (None, _) => Judgement::Refused(DecisionUnknown, "no such version is in review"),
        }
    }

    /// Whether what is held can be decided so.
    fn weigh(&self, decision: &Decision, held: &Held) -> Judgement {
        let refused = |why| Judgement::Refused(FailureReason::DecisionContradicts, why);
        let Asks::Person { reason, .. } = &held.asks else {
            return refused("it waits behind another review: decide that one");
        };
        if !verdicts_of(*reason).contains(&decision.verdict.symbol()) {
            return refused("the reason of the review does not allow this verdict");
        }
        if let Verdict::Adopt(id) = &decision.verdict {
            let of_practice = self.ledger.bookings().of_practice(&decision.key.practice);
            let is_taken = of_practice.filter(|(other, _)| *other != decision.key).any(|(_, state)| {
                state.placement.as_ref().is_some_and(|placement| placement.appointment_id == id.0)
            });
            if is_taken {
                return refused("that appointment is another booking's");
            }
        }
        Judgement::Valid(Box::new(held.clone()))
    }

    /// Dead-letters a decision that cannot be carried out, as what it is: the result of no version.
    fn refuse(
        &mut self,
        decision: Decision,
        position: Position,
        reason: FailureReason,
        detail: &'static str,
        turn: &Turn<'_>,
    ) {
        self.outbox.dead_letter(DeadLetter {
            content: DeadContent::Decision(Box::new(decision)),
            identity: None,
            reason,
            disposition: Disposition::Operator,
            detail: detail.into(),
            placed_ids: PlacedIds::default(),
            attempts: 1,
            generation: 0,
            origin: Some(Origin::of(self.partition, position)),
            finished_at: turn.now,
        });
    }

    /// Notes what was decided, and lets the version go, and everybody who waited for it.
    fn carry_out(&mut self, decision: Decision, held: &Held, turn: &mut Turn<'_>) {
        let Decision { key, version, verdict, id, by, at, .. } = decision;
        let (Asks::Person { reason, candidates }, Some(booking)) = (&held.asks, &held.content) else {
            return;
        };
        let patient = held.patient.clone();
        let sent_along = booking.patient.healthflow_patient_id.clone().map(HealthFlowPatientId);
        self.ledger.change_booking(&key).last_decision = Some(id);
        let hold = if verdict == Verdict::Reject { Hold::Rejected } else { Hold::Released };
        match verdict {
            Verdict::Link(chart) => {
                let others = candidates.iter().filter(|id| **id != chart);
                let digests = PersonDigests::of_booking(booking);
                self.reject_charts(&patient, others.cloned(), Some(&digests));
                // Somebody else under the same id for whom a person rejected it does not get it by that.
                let is_given = |one: &Rejected| one.chart == chart && one.is_of(Some(&digests));
                self.ledger.change_patient(&patient).rejected.retain(|one| !is_given(one));
                let outranks = sent_along.filter(|id| *id != chart);
                let origin = LinkOrigin::Operator;
                let (digests, decided) = (Some(digests), Some(Box::new(Decided { by, at })));
                let link = Link { healthflow_patient_id: chart, origin, digests, outranks, decided };
                self.remember(booking, link);
            }
            Verdict::Create if *reason == ReviewReason::AmbiguousAppointment => {
                self.close(&(&key).into());
                // The answer to the key of the create that was lost may be remembered.
                self.ledger.change_booking(&key).incarnation += 1;
            }
            Verdict::Create => {
                let person = PersonDigests::of_booking(booking);
                self.reject_charts(&patient, candidates.iter().cloned().chain(sent_along), Some(&person));
                if self.set_apart(&key, &patient, Some(&person), turn.settings) {
                    let state = self.ledger.change_patient(&patient);
                    (state.is_new, state.is_unlinked) = (true, false);
                }
            }
            Verdict::Adopt(appointment) => {
                // The chart that it was asked for; a newer version may name another patient by now.
                let state = self.ledger.bookings().get(&key);
                let intent = state.as_deref().and_then(|state| state.intent.as_deref());
                let asked_for = intent.and_then(|intent| Some(intent.slot.as_ref()?.patient_id.clone()));
                let state = self.ledger.patients().get(&patient);
                let link = state.as_deref().and_then(|state| state.link.as_ref());
                let linked = || link.map(|link| link.healthflow_patient_id.0.clone());
                let chart = asked_for.or_else(linked).unwrap_or_else(|| Arc::from(""));
                self.adopt(&key, WrittenAppointment { id: appointment, revision: None }, &chart);
                self.close(&(&key).into());
            }
            Verdict::Reject if *reason == ReviewReason::AmbiguousAppointment => self.close(&(&key).into()),
            Verdict::Retry | Verdict::Reject | Verdict::Unlink(_) => self.inherit_again(held, turn),
        }
        self.let_go(key.version(version), hold, turn);
        self.end_hold(&key, &patient, turn);
    }

    /// Whether a person decided that a version at hand ends. Only state knows that: in the retry topic it would be forgotten.
    pub(super) fn is_rejected(&self, key: &JobKey, job: &Job) -> bool {
        let JobKey::Booking(key) = key else { return false };
        job.versions.keys().any(|version| self.is_rejected_version(key, *version))
    }

    /// Whether a person decided that this version ends.
    pub(super) fn is_rejected_version(&self, key: &BookingKey, version: Version) -> bool {
        let state = self.ledger.bookings().get_hot(key);
        state.is_some_and(|state| state.hold(version) == Some(Hold::Rejected))
    }

    /// What a person took over is the task's own doubt again, and no suspect.
    fn inherit_again(&mut self, held: &Held, turn: &Turn<'_>) {
        let key = &held.key;
        let settles_at = turn.now.plus_ms(turn.settings.settle_ms());
        let state = self.ledger.change_booking(key);
        if rules::is_trusted_again(turn.settings) {
            state.suspicion = Suspicion::default();
        }
        if state.intent.is_some() && !self.intents.is_open(key) {
            self.intents.inherit(key.into(), settles_at);
            self.jobs.wake_at(settles_at, JobKey::Booking(key.clone()));
        }
        self.ledger.change_patient(&held.patient).suspicion = Suspicion::default();
    }
}

//! Rule K14: what a person decides is carried out once, about exactly the question that it names. What follows from it is that
//! person's: the other checkers ask here whether somebody wanted it so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{BookingKey, PatientKey, VersionKey};
use healthflow_core::event::decision::verdicts_of;
use healthflow_core::event::failed::DeadContent;
use healthflow_core::event::{Decision, Identity, Outgoing, ReviewCase, Verdict};
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::state::{BookingState, Hold, StateRecord, TaskState};
use healthflow_core::sync::{ReviewReason, SyncedOutcome};

use crate::deciding::Question;
use crate::healthflow::HealthFlow;
use crate::lives::{Human, Lives};

#[derive(Debug, Default)]
pub struct Orders {
    /// Every decision that was written, by its id.
    written: BTreeMap<Arc<str>, Decision>,
    carried_out: BTreeSet<Arc<str>>,
    /// What people are asked.
    asked: BTreeMap<VersionKey, Question>,
    /// Versions that somebody rejected and that have no result yet.
    rejected: BTreeSet<VersionKey>,
    /// Charts that are somebody else's, by patient and by who is meant: ids are reused.
    not_theirs: BTreeMap<(PatientKey, Option<Human>), BTreeSet<HealthFlowPatientId>>,
    /// Whose a chart is because somebody said so.
    linked: BTreeMap<Arc<str>, BTreeSet<Human>>,
    /// How often somebody wanted another chart for a person.
    charts: BTreeMap<Human, usize>,
    new_patients: BTreeSet<PatientKey>,
    /// Bookings of which somebody did not know the appointment that stands.
    mistaken: BTreeSet<BookingKey>,
}

impl Orders {
    /// A person decides.
    pub fn written(&mut self, decision: &Decision) {
        self.written.insert(decision.id.clone(), decision.clone());
    }

    /// Whether somebody said that this chart is that person's.
    pub fn links(&self, chart: &str, human: Human) -> bool {
        self.linked.get(chart).is_some_and(|humans| humans.contains(&human))
    }

    /// How many more charts than one a person may have.
    pub fn more_charts(&self, human: Human) -> usize {
        self.charts.get(&human).copied().unwrap_or(0)
    }

    /// Whether somebody wanted another chart under the reference of this patient, written as `practice/patient`.
    pub fn is_new_patient(&self, name: &str) -> bool {
        self.new_patients.iter().any(|key| format!("{}/{}", key.practice, key.patient) == name)
    }

    /// Whether somebody did not know which appointment is that of this booking.
    pub fn mistakes(&self, key: &BookingKey) -> bool {
        self.mistaken.contains(key)
    }

    /// Takes in what a transaction made visible; what it breaks.
    pub fn commit(
        &mut self,
        batch: &CommitBatch,
        after: &TaskState,
        lives: &Lives,
        healthflow: &HealthFlow,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        let mut decided = BTreeSet::new();
        for record in &batch.records {
            if let Outgoing::State(record) = record
                && let StateRecord::Booking(key, state) = &**record
            {
                let before = self.carried_out.len();
                broken.extend(self.carries_out(key, state, batch, lives, healthflow));
                decided.extend((self.carried_out.len() > before).then(|| key.clone()));
            }
        }
        for record in &batch.records {
            match record {
                Outgoing::Synced(done) => {
                    let version = done.identity.version_key();
                    if self.rejected.remove(&version) && done.outcome != SyncedOutcome::Superseded {
                        broken.push(format!("{version} was rejected: {:?}", done.outcome));
                    }
                }
                Outgoing::Failed(letter) => {
                    let version = letter.identity.as_ref().map(Identity::version_key);
                    version.map(|version| self.rejected.remove(&version));
                    if let DeadContent::Decision(decision) = &letter.content
                        && after.bookings.get(&decision.key).and_then(|state| state.last_decision.clone())
                            == Some(decision.id.clone())
                    {
                        broken.push(format!("{} is refused and carried out", decision.id));
                    }
                }
                Outgoing::Review(case) => broken.extend(self.asks(case, lives)),
                _ => {}
            }
        }
        for record in &batch.records {
            let Outgoing::State(record) = record else { continue };
            let StateRecord::Booking(key, state) = &**record else { continue };
            let ended = self.ends_questions(key, state);
            for question in ended.iter().filter(|_| decided.contains(key)) {
                self.perhaps_follows(question, lives, healthflow);
            }
        }
        broken
    }

    /// What state does not call a question any more is none.
    fn ends_questions(&mut self, key: &BookingKey, state: &BookingState) -> Vec<Question> {
        let is_over = |question: &Question| {
            let version = question.booking.version;
            let parked = state.parked(version).map(|parked| parked.generation);
            state.hold(version) != Some(Hold::Question) || parked != Some(question.generation)
        };
        let of_booking = self.asked.range(key.versions()).map(|(_, question)| question);
        let ended: Vec<Question> = of_booking.filter(|question| is_over(question)).cloned().collect();
        for question in &ended {
            self.asked.remove(&question.booking.version_key());
        }
        ended
    }

    /// State names one decision, the last: another one about the same booking may have ended another of its questions in the same
    /// transaction.
    fn perhaps_follows(&mut self, question: &Question, lives: &Lives, healthflow: &HealthFlow) {
        let about = |decision: &&Decision| {
            (decision.key.version(decision.version), decision.generation) == question.id()
        };
        let perhaps: Vec<Decision> = self.written.values().filter(about).cloned().collect();
        if perhaps.iter().any(|decision| self.carried_out.contains(&decision.id)) {
            return;
        }
        for decision in perhaps.iter().filter(|decision| decision.verdict != Verdict::Reject) {
            self.follows(question, &decision.verdict, lives, healthflow);
        }
    }

    /// A person is asked.
    fn asks(&mut self, case: &ReviewCase, lives: &Lives) -> Option<String> {
        if case.waits_for.is_some() {
            let version = case.booking.version_key();
            let is_rejected = self.rejected.contains(&version);
            return is_rejected.then(|| format!("{version} was rejected, and waits"));
        }
        let ids = case.evidence.iter().filter_map(|one| one.healthflow_patient_id.as_deref());
        let candidates: Vec<HealthFlowPatientId> = ids.map(|id| HealthFlowPatientId(id.into())).collect();
        let ReviewCase { booking, generation, reason, .. } = case;
        // Only what became of its write may be asked then.
        let is_of_write = matches!(reason, ReviewReason::AmbiguousAppointment | ReviewReason::CrashSuspect);
        if self.rejected.remove(&booking.version_key()) && !is_of_write {
            return Some(format!("{} was rejected, and is asked about: {reason:?}", booking.version_key()));
        }
        let not_theirs = self.not_theirs.get(&(booking.patient_key(), lives.human_of(booking)));
        let again = candidates.iter().find(|id| not_theirs.is_some_and(|charts| charts.contains(id)));
        let again = again.filter(|_| *reason == ReviewReason::AmbiguousPatient);
        let broken = again.map(|id| format!("{id} is proposed again for {}", booking.patient.id));
        let question = Question {
            booking: Arc::clone(booking),
            generation: *generation,
            reason: *reason,
            candidates: candidates.clone(),
        };
        self.asked.insert(booking.version_key(), question);
        broken
    }

    /// What is wrong with the decision that a new state of `key` says was carried out.
    fn carries_out(
        &mut self,
        key: &BookingKey,
        state: &BookingState,
        batch: &CommitBatch,
        lives: &Lives,
        healthflow: &HealthFlow,
    ) -> Option<String> {
        let decision = self.written.get(state.last_decision.as_ref()?)?.clone();
        if !self.carried_out.insert(decision.id.clone()) {
            return None;
        }
        let Decision { id, version, generation, verdict, .. } = &decision;
        let question = self.asked.get(&key.version(*version));
        let Some(question) = question.filter(|asked| asked.generation == *generation).cloned() else {
            return Some(format!(
                "{id} about {key} v{version} g{generation} is carried out, but nobody asks that"
            ));
        };
        if !verdicts_of(question.reason).contains(&verdict.symbol()) {
            return Some(format!("{id} is carried out: {verdict:?} about {:?}", question.reason));
        }
        let patient = question.booking.patient_key();
        let link = batch.records.iter().find_map(|record| match record {
            Outgoing::State(record) => match &**record {
                StateRecord::Patient(of, state) if *of == patient => state.link.as_ref(),
                _ => None,
            },
            _ => None,
        });
        let link = link.map(|link| link.healthflow_patient_id.clone());
        self.follows(&question, verdict, lives, healthflow);
        // Two people may decide about two bookings of one patient at once; who says that it is somebody new ends a link.
        let is_ordered = |link: Option<&HealthFlowPatientId>| {
            let is_that = |verdict: &Verdict| match verdict {
                Verdict::Link(chart) => link == Some(chart),
                verdict => *verdict == Verdict::Create,
            };
            self.written.values().any(|other| {
                let booking = lives.wanted.get(&other.key.version(other.version));
                is_that(&other.verdict) && booking.is_some_and(|booking| booking.patient_key() == patient)
            })
        };
        // An id that another booking brings, and whose chart fits where the linked one does not, replaces a link in the same commit.
        let is_sent_along = |link: &HealthFlowPatientId| {
            let mut bookings = lives.wanted.values().filter(|booking| booking.patient_key() == patient);
            bookings.any(|booking| booking.patient.healthflow_patient_id.as_ref() == Some(&link.0))
        };
        let is_ordered = is_ordered(link.as_ref()) || link.as_ref().is_some_and(is_sent_along);
        match verdict {
            // A chart that is no more is forgotten as soon as HealthFlow says so.
            Verdict::Link(chart) if healthflow.has_chart(chart) && !is_ordered => Some(format!(
                "{id} says that {} is {chart}, and not {:?}",
                patient.patient,
                link.map(|link| link.0)
            )),
            _ => None,
        }
    }

    /// What follows from a decision is that person's.
    fn follows(&mut self, question: &Question, verdict: &Verdict, lives: &Lives, healthflow: &HealthFlow) {
        let booking = &question.booking;
        let (key, patient) = (&booking.key, &booking.patient);
        let human = lives.human_of(booking);
        let stands = healthflow.appointments_of(key);
        let about_appointment = question.reason == ReviewReason::AmbiguousAppointment;
        let not_theirs = self.not_theirs.entry((booking.patient_key(), human)).or_default();
        match verdict {
            Verdict::Link(chart) => {
                not_theirs.extend(question.candidates.iter().filter(|id| *id != chart).cloned());
                not_theirs.remove(chart);
                // Should that chart be gone one day, another one is created beside the one that has the reference.
                let reference = Some(patient.id.as_str());
                if not_theirs.iter().any(|id| healthflow.reference_of(id).as_deref() == reference) {
                    self.new_patients.insert(booking.patient_key());
                }
                self.linked.entry(chart.0.clone()).or_default().extend(human);
            }
            Verdict::Create if !about_appointment => {
                not_theirs.extend(question.candidates.iter().cloned());
                self.new_patients.insert(booking.patient_key());
                // Whoever resembles that person and has the same id is not given those charts either (rule W8).
                for human in lives.humans_of(booking) {
                    *self.charts.entry(human).or_default() += 1;
                }
            }
            Verdict::Adopt(id) => {
                let whose = healthflow.booking_of(id);
                let is_right = whose.as_ref() == Some(key) || (whose.is_none() && stands.is_empty());
                self.mistaken
                    .extend((!is_right).then(|| key.clone()).into_iter().chain(whose.filter(|_| !is_right)));
            }
            Verdict::Create | Verdict::Reject if about_appointment && !stands.is_empty() => {
                self.mistaken.insert(key.clone());
            }
            Verdict::Create | Verdict::Retry | Verdict::Reject | Verdict::Unlink(_) => {}
        }
        if *verdict == Verdict::Reject {
            self.rejected.insert(booking.version_key());
        }
    }
}

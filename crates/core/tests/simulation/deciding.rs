//! How people decide about reviews: mostly rightly and at once, but also wrongly, late, twice, each in another way, or about a
//! question that is no more. Once everything else is well, somebody patient decides whatever is still asked.

use std::sync::Arc;

use healthflow_core::booking::{Booking, BookingKey, VersionKey};
use healthflow_core::event::decision::{VerdictSymbol, verdicts_of};
use healthflow_core::event::{Arrival, Decision, Verdict};
use healthflow_core::healthflow::AppointmentId;
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::state::{Asks, Held, Hold, ParkingPlace};
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::Timestamp;
use healthflow_simulator::answer::AppointmentBody;

use crate::checkers::right_chart;
use crate::coverage::Phase;
use crate::faults::{FaultEvent, FaultKind};
use crate::healthflow::HealthFlow;
use crate::kafka::Partition;
use crate::world::{Event, World};

/// How long a decision takes at most, from the look at the review.
const LATE_MS: i64 = 40_000;

/// After so long somebody patient decides again: the first decision may have been lost with its topic.
const AGAIN_MS: i64 = 30_000;

/// An id that HealthFlow does not know.
const NOBODY: &str = "hfp-99998";

const VERDICTS: [VerdictSymbol; 5] = [
    VerdictSymbol::Link,
    VerdictSymbol::Create,
    VerdictSymbol::Adopt,
    VerdictSymbol::Retry,
    VerdictSymbol::Reject,
];

/// What a person is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub booking: Arc<Booking>,
    pub generation: u32,
    pub reason: ReviewReason,
    pub candidates: Vec<HealthFlowPatientId>,
}

/// Which question: a version of a booking, and the generation of its review.
pub type QuestionId = (VersionKey, u32);

impl Question {
    pub fn id(&self) -> QuestionId {
        (self.booking.version_key(), self.generation)
    }
}

impl World {
    /// People decide about a review of somewhere.
    pub fn somebody_decides(&mut self) {
        let partition = self.random.below(self.partitions.len());
        let questions = self.partitions[partition].questions();
        let Some(question) = questions.get(self.random.below(questions.len())).cloned() else { return };
        self.coverage.strikes(FaultKind::Decide);
        self.coverage.meets(FaultKind::Decide, Phase::Any);
        for _ in 0..if self.random.chance(0.2) { 2 } else { 1 } {
            let mut decision = self.decision(&question, false);
            if self.random.chance(0.1) {
                let other = [question.generation + 1, question.generation.saturating_sub(1)];
                decision.generation = *self.random.pick(&other);
            }
            let late_ms = if self.random.chance(0.4) { self.random.between(0, LATE_MS) } else { 0 };
            self.after(late_ms, Event::Fault(FaultEvent::Decided(partition, Box::new(decision))));
        }
    }

    /// A decision is written, now and then twice.
    pub fn is_decided(&mut self, partition: usize, decision: Decision) {
        let Decision { key, version, generation, verdict, id, .. } = &decision;
        self.story.tell(self.now, || {
            format!("somebody decides {id} about {key} v{version} g{generation}: {verdict:?}")
        });
        self.judges.orders.written(&decision);
        for _ in 0..if self.random.chance(0.2) { 2 } else { 1 } {
            let arrival = Arrival::Decided(Box::new(decision.clone()));
            self.partitions[partition].decisions.append(arrival, &mut self.random);
        }
        self.wake_readers(partition as i32);
    }

    /// Somebody patient decides everything that is asked. What killed workers is mended before.
    pub fn somebody_patient_decides(&mut self) {
        for partition in 0..self.partitions.len() {
            for question in self.partitions[partition].questions() {
                let last = self.judges.every_review_ends.decided_at(&question);
                if last.is_some_and(|at| self.now < at + AGAIN_MS) {
                    continue;
                }
                if question.reason == ReviewReason::CrashSuspect {
                    self.plan.killer = None;
                }
                let decision = self.decision(&question, true);
                self.judges.every_review_ends.decides(&question, self.now);
                self.is_decided(partition, decision);
            }
        }
    }

    fn decision(&mut self, question: &Question, is_careful: bool) -> Decision {
        let allowed = verdicts_of(question.reason);
        let verdicts = if !is_careful && self.random.chance(0.05) { &VERDICTS[..] } else { allowed };
        let verdict = match self.random.pick(verdicts) {
            VerdictSymbol::Link => self.link(question, is_careful),
            VerdictSymbol::Create => Verdict::Create,
            VerdictSymbol::Adopt => self.adopt(question, is_careful),
            VerdictSymbol::Retry => Verdict::Retry,
            VerdictSymbol::Reject | VerdictSymbol::Unlink | VerdictSymbol::Unknown => Verdict::Reject,
        };
        let (VersionKey { booking: key, version }, generation) = question.id();
        let id = format!("d-{}-{}", self.now, self.random.below(1_000_000)).into();
        Decision { id, key, version, generation, verdict, by: "desk".into(), at: Timestamp(self.now) }
    }

    /// Mostly the chart of the person who is meant, or one that the review shows; now and then anybody's or nobody's.
    fn link(&mut self, question: &Question, is_careful: bool) -> Verdict {
        let practice = question.booking.key.practice.as_str();
        let human = self.lives.human_of(&question.booking);
        let ledger = self.healthflow.simulator.ledger();
        let here = ledger.patients.iter().filter(|chart| &*chart.record.body.practice_id == practice);
        let charts: Vec<Arc<str>> = here.map(|chart| chart.record.id.clone()).collect();
        let whose = right_chart::whose_charts(self);
        let is_theirs = |id: &&Arc<str>| human.is_some() && whose.get(&***id) == human.as_ref();
        let theirs: Vec<Arc<str>> = charts.iter().filter(is_theirs).cloned().collect();
        let shown: Vec<Arc<str>> = question.candidates.iter().map(|one| one.0.clone()).collect();
        let from = match self.random.below(20) {
            0..12 => theirs,
            12..17 => shown.clone(),
            17 if !is_careful => Vec::new(),
            _ => charts,
        };
        let from = if from.is_empty() { shown } else { from };
        match from.get(self.random.below(from.len())) {
            Some(id) => Verdict::Link(HealthFlowPatientId(id.clone())),
            None if is_careful => Verdict::Reject,
            None => Verdict::Link(HealthFlowPatientId(NOBODY.into())),
        }
    }

    /// Mostly the appointment that was made for the booking; now and then any other, or none that there is.
    fn adopt(&mut self, question: &Question, is_careful: bool) -> Verdict {
        let BookingKey { practice, booking } = &question.booking.key;
        let ledger = self.healthflow.simulator.ledger();
        let here = ledger.appointments.iter().map(|one| one.record);
        let here: Vec<_> = here.filter(|one| &*one.body.practice_id == practice.as_str()).collect();
        let own = here.iter().find(|one| one.body.external_id.as_deref() == Some(booking.as_str()));
        let any = here.get(self.random.below(here.len()));
        let is_right = is_careful || self.random.chance(0.8);
        let id = if is_right { own } else { any }.map(|one| AppointmentId(one.id.clone()));
        match id {
            Some(id) => Verdict::Adopt(id),
            // Whoever looks in vain says so.
            None if is_right => Verdict::Create,
            None => Verdict::Adopt(AppointmentId("hfa-99998".into())),
        }
    }
}

impl Partition {
    /// What people are asked.
    pub fn questions(&self) -> Vec<Question> {
        let of = |held: &Held| {
            let Asks::Person { reason, candidates } = &held.asks else { return None };
            let state = self.state.bookings.get(&held.key)?;
            let parked = state.parked(held.version)?;
            let is_asked = parked.place == ParkingPlace::Review(Hold::Question);
            is_asked.then(|| Question {
                booking: held.content.clone().expect("it lies in the topic"),
                generation: parked.generation,
                reason: *reason,
                candidates: candidates.clone(),
            })
        };
        self.state.held.values().filter_map(of).collect()
    }
}

impl HealthFlow {
    /// The ids of the appointments that stand for a booking.
    pub fn appointments_of(&self, key: &BookingKey) -> Vec<Arc<str>> {
        let ledger = self.simulator.ledger();
        let of_booking = ledger.appointments.iter().filter(|one| of(&one.record.body).as_ref() == Some(key));
        of_booking.map(|one| one.record.id.clone()).collect()
    }

    /// Under which reference this patient stands.
    pub fn reference_of(&self, id: &HealthFlowPatientId) -> Option<Arc<str>> {
        let ledger = self.simulator.ledger();
        let chart = ledger.patients.iter().find(|chart| chart.record.id == id.0)?;
        chart.record.body.external_id.as_deref().map(Arc::from)
    }

    /// Whether this patient stands.
    pub fn has_chart(&self, id: &HealthFlowPatientId) -> bool {
        self.simulator.ledger().patients.iter().any(|chart| chart.record.id == id.0)
    }

    /// The booking that an appointment was made for.
    pub fn booking_of(&self, id: &AppointmentId) -> Option<BookingKey> {
        let ledger = self.simulator.ledger();
        let one = ledger.appointments.iter().find(|one| *one.record.id == *id.as_str())?;
        of(&one.record.body)
    }
}

fn of(body: &AppointmentBody) -> Option<BookingKey> {
    let booking = body.external_id.as_deref()?.into();
    Some(BookingKey { practice: body.practice_id.as_ref().into(), booking })
}

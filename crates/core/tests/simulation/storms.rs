//! A broken release: HealthFlow refuses what it would accept otherwise, in its own words, for a while. Drawn by themselves, so that
//! lives without storms stay as they are.

use healthflow_core::booking::PracticeId;
use healthflow_core::healthflow::wire::WireReply;
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::limits::RejectionStormLimits;

use crate::checkers::storms::RULES;
use crate::coverage::Phase;
use crate::faults::FaultKind;
use crate::plan::{Faults, Theme};
use crate::world::World;
use healthflow_proof::random::Random;

/// What HealthFlow refuses just now.
#[derive(Debug, Default)]
pub struct Refuses {
    until: i64,
    /// Of whom; none: of everybody.
    practice: Option<PracticeId>,
    /// What; none: every write.
    operation: Option<Operation>,
}

/// When workers of this life believe in a storm: at all in a third of the lives, and then soon. Never on legal days: a step that is
/// refused frees no slot.
pub fn limits(seed: u64, theme: &Theme) -> RejectionStormLimits {
    let mut random = Random::new(seed.wrapping_mul(107) + 13);
    if !random.chance(0.35) || *theme == Theme::Days {
        return RejectionStormLimits::off();
    }
    RejectionStormLimits {
        window_ms: 600_000,
        calls_min: *random.pick(&[2, 3, 4]),
        refused_share: *random.pick(&[0.6, 0.8]),
        practices_min: 2,
        trial_ms: *random.pick(&[1_000, 5_000]),
        believed_after_ms: *random.pick(&[60_000, 120_000]),
    }
}

/// How often releases are broken, in a life with these limits.
pub fn with_storms(faults: Faults, limits: &RejectionStormLimits, level: u32) -> Faults {
    let are_known = limits.calls_min > 0 && level >= 3;
    Faults { storm_every_ms: if are_known { 40_000 } else { 0 }, ..faults }
}

impl World {
    /// A release is broken.
    pub fn somebody_breaks_a_release(&mut self) {
        let ms = self.random.between(2_000, 40_000);
        let practices: Vec<PracticeId> =
            self.lives.wanted.keys().map(|of| of.booking.practice.clone()).collect();
        let some = self.random.chance(0.3) && !practices.is_empty();
        let practice = some.then(|| self.random.pick(&practices).clone());
        let writes = RULES.map(|(operation, _)| operation);
        let operation = self.random.chance(0.5).then(|| *self.random.pick(&writes));
        self.coverage.strikes(FaultKind::RejectionStorm);
        self.story.tell(self.now, || format!("{operation:?} of {practice:?} is refused for {ms} ms"));
        let until = (self.now + ms).min(self.plan.faults_until);
        self.refuses = Refuses { until, practice, operation };
        self.workers.iter_mut().for_each(|worker| worker.storms.another_begins());
    }

    /// What HealthFlow answers instead of carrying a request out, if it refuses that.
    pub fn refusal(&mut self, request: &Request) -> Option<WireReply> {
        if let Some(field) = self.refuses.field_of(request, self.now) {
            self.coverage.meets(FaultKind::RejectionStorm, Phase::of(request.operation()));
            if let Request::CreatePatient { content, .. } = request {
                // Of which booking, HealthFlow does not know.
                let wanted = self.lives.wanted.keys().map(|of| &of.booking);
                let theirs = wanted.filter(|key| key.practice == content.practice).cloned();
                self.healthflow.refused.extend(theirs);
            }
            let body = format!(
                r#"{{"code":"INVALID","message":"a broken release","fields":[{{"field":"{field}","rule":"unknown"}}]}}"#
            );
            return Some(WireReply::bare(422, body.into_bytes()));
        }
        self.refuses_its_own(request).then(|| {
            let body = br#"{"code":"SLOT_TAKEN","message":"by yourself","fields":[]}"#.to_vec();
            WireReply::bare(409, body)
        })
    }
}

impl Refuses {
    fn field_of(&self, request: &Request, now: i64) -> Option<&'static str> {
        let practice = match request {
            Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
                &content.practice
            }
            Request::CreatePatient { content, .. } => &content.practice,
            _ => return None,
        };
        let operation = request.operation();
        let is_meant = now < self.until
            && self.practice.as_ref().is_none_or(|of| of == practice)
            && self.operation.is_none_or(|of| of == operation);
        let of = RULES.into_iter().find(|(of, _)| *of == operation);
        of.filter(|_| is_meant).map(|(_, field)| field)
    }
}

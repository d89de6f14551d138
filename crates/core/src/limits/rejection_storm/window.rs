//! The calls of one operation that a storm is judged by: the last few, and none of them too old.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::RejectionStormLimits;
use crate::booking::PracticeId;
use crate::time::Timestamp;

/// One call that HealthFlow accepted, or refused for good.
#[derive(Clone, Debug, Hash)]
pub(super) struct Sample {
    pub at: Timestamp,
    pub practice: PracticeId,
    /// The rules by which it was refused; none: it was accepted.
    pub rules: Arc<[Arc<str>]>,
}

/// The last calls of one operation, of the account or of one practice.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Window(VecDeque<Sample>);

impl Window {
    /// Takes in one more, and lets go what is too old and what is too many.
    pub fn take_in(&mut self, sample: Sample, limits: &RejectionStormLimits) {
        let now = sample.at;
        self.0.push_back(sample);
        while self.0.front().is_some_and(|oldest| {
            now.since_ms(oldest.at) > limits.window_ms || self.0.len() > limits.calls_min
        }) {
            self.0.pop_front();
        }
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a refusal is among those that are not too old.
    pub fn has_refusals(&self, now: Timestamp, limits: &RejectionStormLimits) -> bool {
        self.0.iter().any(|one| !one.rules.is_empty() && now.since_ms(one.at) <= limits.window_ms)
    }

    /// How many of the calls were refused by `rule`, if that is too many of enough calls.
    pub fn too_many(&self, rule: &Arc<str>, limits: &RejectionStormLimits) -> Option<usize> {
        let refused = self.0.iter().filter(|one| one.rules.contains(rule)).count();
        let is_enough = self.0.len() >= limits.calls_min && limits.calls_min > 0;
        (is_enough && reaches(refused, self.0.len(), limits)).then_some(refused)
    }

    /// Whether several practices are refused by `rule`, and not one far more than the others.
    pub fn is_of_several(&self, rule: &Arc<str>, limits: &RejectionStormLimits) -> bool {
        let mut of_practice: BTreeMap<&PracticeId, (usize, usize)> = BTreeMap::new();
        let mut refused_of: BTreeSet<&PracticeId> = BTreeSet::new();
        for one in &self.0 {
            let (refused, calls) = of_practice.entry(&one.practice).or_default();
            *calls += 1;
            if one.rules.contains(rule) {
                *refused += 1;
                refused_of.insert(&one.practice);
            }
        }
        let refused: usize = of_practice.values().map(|(refused, _)| refused).sum();
        let worst = of_practice.into_values().max().unwrap_or_default();
        let (bad_others, others) = (refused - worst.0, self.0.len() - worst.1);
        refused_of.len() >= limits.practices_min.max(2) && reaches(bad_others, others, limits)
    }
}

fn reaches(refused: usize, calls: usize, limits: &RejectionStormLimits) -> bool {
    refused as f64 >= limits.refused_share * calls as f64
}

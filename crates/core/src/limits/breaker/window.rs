//! The calls that the breaker judges: those of a while, and the last ones only if they are many.

use std::collections::VecDeque;

use crate::booking::PracticeId;
use crate::hash::HashMap;
use crate::time::Timestamp;

/// So many calls are judged at most.
const CALLS_MAX: usize = 500;

/// So many calls of other practices show whether the one that fails most fails alone.
const OTHERS_MIN: usize = 3;

/// One call that ended.
#[derive(Clone, Debug, Hash)]
pub(super) struct Sample {
    pub at: Timestamp,
    pub practice: PracticeId,
    pub has_failed: bool,
    pub is_slow: bool,
}

/// The calls that ended lately.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
}

impl Window {
    /// Takes in one more, and lets go what is older than `window_ms`.
    pub fn take_in(&mut self, sample: Sample, window_ms: i64) {
        let now = sample.at;
        self.samples.push_back(sample);
        while self
            .samples
            .front()
            .is_some_and(|oldest| now.since_ms(oldest.at) > window_ms || self.samples.len() > CALLS_MAX)
        {
            self.samples.pop_front();
        }
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.samples.clear();
    }

    /// How many of the calls are bad, if that is at least `share` of them, there are at least `calls_min`, and not only one
    /// practice is badly off: one whose own data break HealthFlow stops no other.
    pub fn too_many(&self, calls_min: usize, share: f64, is_bad: impl Fn(&Sample) -> bool) -> Option<usize> {
        let reaches = |bad: usize, calls: usize| bad as f64 >= share * calls as f64;
        let (calls, bad) = (self.len(), self.samples.iter().filter(|one| is_bad(one)).count());
        if calls < calls_min || !reaches(bad, calls) {
            return None;
        }
        let mut of_practice: HashMap<&PracticeId, (usize, usize)> = HashMap::default();
        for one in &self.samples {
            let (calls, bad) = of_practice.entry(&one.practice).or_default();
            (*calls, *bad) = (*calls + 1, *bad + usize::from(is_bad(one)));
        }
        let worst = of_practice.into_values().max_by_key(|(calls, bad)| (*bad, *calls)).unwrap_or_default();
        let (others, bad_others) = (calls - worst.0, bad - worst.1);
        (others < OTHERS_MIN || reaches(bad_others, others)).then_some(bad)
    }
}

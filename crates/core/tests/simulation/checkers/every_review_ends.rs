//! Rule K4: every review ends. Once somebody patient has decided everything that is asked, nothing is asked and nothing is held.

use std::collections::BTreeMap;

use crate::deciding::{Question, QuestionId};
use crate::world::World;

/// More questions than any life can ask once all is well: somebody is asked in circles.
const QUESTIONS_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct EveryReviewEnds {
    /// When somebody patient decided last, by question.
    decided: BTreeMap<QuestionId, i64>,
    /// When a question was first decided so.
    newest: i64,
}

impl EveryReviewEnds {
    pub fn decided_at(&self, question: &Question) -> Option<i64> {
        self.decided.get(&question.id()).copied()
    }

    pub fn decides(&mut self, question: &Question, now: i64) {
        if self.decided.insert(question.id(), now).is_none() {
            self.newest = now;
        }
    }

    /// From when on everything must come to rest that began before `at`: what a decision lets go needs its time too.
    pub fn rests_from(&self, at: i64) -> i64 {
        self.newest.max(at)
    }
}

/// What is still asked or held, and whether that will never end.
pub fn open(world: &World) -> Vec<String> {
    let states = world.partitions.iter().map(|partition| &partition.state);
    let held = states.flat_map(|state| state.bookings.iter()).flat_map(|(key, state)| {
        let versions = state.parked.iter().map(|parked| parked.version);
        let held = versions.filter_map(|version| state.hold(version).map(|hold| (version, hold)));
        held.map(|(version, hold)| format!("{key} v{version} is held: {hold:?}")).collect::<Vec<_>>()
    });
    held.collect()
}

pub fn broken(world: &World) -> Option<String> {
    let asked = world.judges.every_review_ends.decided.len();
    (asked > QUESTIONS_MAX).then(|| format!("after {asked} decisions there is still {:?}", open(world)))
}

//! Who is next, practice by practice: deficit round robin (Shreedhar and Varghese, 1995), where a practice pays for each of its
//! jobs with the calls that the job is expected to cost. Without it whoever books ten thousand visits at once is served
//! first, and its neighbours wait behind all of them.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::booking::PracticeId;
use crate::hash::HashMap;

/// What one call costs a practice of the usual weight.
pub const CALL: u32 = 100;

/// What a practice may spend more each time it is its turn: an ordinary booking of an unknown patient.
const QUANTUM: u32 = 4 * CALL;

/// A queue that is fair between practices. `K` names a job.
#[derive(Clone, Debug)]
pub struct FairQueue<K> {
    /// Who goes before all others, in this order.
    first: VecDeque<K>,
    flows: HashMap<PracticeId, Flow<K>>,
    /// The practices with somebody in the queue; the first one's turn is next.
    turns: VecDeque<PracticeId>,
}

/// Those of one practice, lowest rank first and otherwise in the order in which they came.
#[derive(Clone, Debug, Hash)]
struct Flow<K> {
    waiting: VecDeque<(i64, K)>,
    /// What it may spend without another turn.
    deficit: u32,
}

impl<K> Default for FairQueue<K> {
    fn default() -> Self {
        FairQueue { first: VecDeque::new(), flows: HashMap::default(), turns: VecDeque::new() }
    }
}

impl<K: Clone> FairQueue<K> {
    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.turns.is_empty()
    }

    /// Lets somebody in before all others.
    pub fn push_first(&mut self, key: K) {
        self.first.push_front(key);
    }

    /// Lets somebody in behind those of the same practice that have no higher rank.
    pub fn push(&mut self, practice: &PracticeId, rank: i64, key: K) {
        let flow = self.flows.entry(practice.clone()).or_insert_with(|| {
            self.turns.push_back(practice.clone());
            Flow { waiting: VecDeque::new(), deficit: 0 }
        });
        let at = flow.waiting.partition_point(|(known, _)| *known <= rank);
        flow.waiting.insert(at, (rank, key));
    }

    /// Takes out who is next; `cost` is what its practice pays for that, [`CALL`] for each call.
    pub fn pop(&mut self, cost: impl Fn(&K) -> u32) -> Option<K> {
        if let Some(key) = self.first.pop_front() {
            return Some(key);
        }
        loop {
            let practice = self.turns.front()?;
            let flow = self.flows.get_mut(practice)?;
            let (_, next) = flow.waiting.front()?;
            let cost = cost(next).max(1);
            if flow.deficit < cost {
                flow.deficit += QUANTUM;
                self.turns.rotate_left(1);
                continue;
            }
            return self.pop_of_turn(cost);
        }
    }

    /// Takes out the next one of the practice whose turn it is, which pays `cost`.
    fn pop_of_turn(&mut self, cost: u32) -> Option<K> {
        let flow = self.flows.get_mut(self.turns.front()?)?;
        flow.deficit = flow.deficit.saturating_sub(cost);
        let (_, key) = flow.waiting.pop_front()?;
        if flow.waiting.is_empty() {
            let practice = self.turns.pop_front()?;
            self.flows.remove(&practice);
        }
        Some(key)
    }

    /// Takes out who is next of those whom `allows` allows, where each costs one call.
    pub fn pop_where(&mut self, allows: impl Fn(&K) -> bool) -> Option<K> {
        if let Some(index) = self.first.iter().position(&allows) {
            return self.first.remove(index);
        }
        // Whose deficit is used up has another turn within two rounds.
        for _ in 0..2 * self.turns.len() {
            let flow = self.flows.get_mut(self.turns.front()?)?;
            let is_allowed = flow.waiting.front().is_some_and(|(_, key)| allows(key));
            if is_allowed && flow.deficit >= CALL {
                return self.pop_of_turn(CALL);
            }
            if is_allowed {
                flow.deficit += QUANTUM;
            }
            self.turns.rotate_left(1);
        }
        None
    }

    /// Takes out the first whom `allows` allows.
    pub fn take(&mut self, allows: impl Fn(&K) -> bool) -> Option<K> {
        if let Some(index) = self.first.iter().position(&allows) {
            return self.first.remove(index);
        }
        for (turn, practice) in self.turns.iter().enumerate() {
            let flow = self.flows.get_mut(practice)?;
            let Some(index) = flow.waiting.iter().position(|(_, key)| allows(key)) else { continue };
            let (_, key) = flow.waiting.remove(index)?;
            if flow.waiting.is_empty() {
                let practice = self.turns.remove(turn)?;
                self.flows.remove(&practice);
            }
            return Some(key);
        }
        None
    }

    /// Takes everybody out, in the order in which they would be next if each cost one call.
    pub fn drain(&mut self) -> Vec<K> {
        std::iter::from_fn(|| self.pop(|_| CALL)).collect()
    }
}

impl<K: Hash> Hash for FairQueue<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let FairQueue { first, flows, turns } = self;
        (first, turns).hash(hasher);
        turns.iter().for_each(|practice| flows.get(practice).hash(hasher));
    }
}

#[cfg(test)]
mod tests;

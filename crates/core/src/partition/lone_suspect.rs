//! Which suspect runs alone, and which ones wait for that (rule K6). If two ran at a time, an end would count against both.

use std::collections::BTreeSet;

use crate::partition::job::JobKey;

/// The right to run alone.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct LoneSuspect {
    /// The job that has it.
    by: Option<JobKey>,
    /// The jobs to look at again once it is free.
    awaited_by: BTreeSet<JobKey>,
}

impl LoneSuspect {
    /// Whether no other one has it.
    pub fn is_free_for(&self, key: &JobKey) -> bool {
        self.by.as_ref().is_none_or(|by| by == key)
    }

    /// Gives it to `key`, for which it is free.
    pub fn take(&mut self, key: &JobKey) {
        self.by = Some(key.clone());
    }

    /// The job of `key` is looked at again once it is free.
    pub fn await_turn(&mut self, key: &JobKey) {
        self.awaited_by.insert(key.clone());
    }

    /// Takes it back from `key` and returns the jobs that waited for it; none if `key` did not have it.
    pub fn give_back(&mut self, key: &JobKey) -> Option<BTreeSet<JobKey>> {
        self.by.take_if(|by| by == key)?;
        Some(std::mem::take(&mut self.awaited_by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::BookingKey;

    #[test]
    fn one_has_it_at_a_time_and_who_waits_is_named_once_it_is_free() {
        let [a, b, c] = ["a", "b", "c"]
            .map(|id| JobKey::Booking(BookingKey { practice: "p".into(), booking: id.into() }));
        let mut alone = LoneSuspect::default();
        assert!(alone.is_free_for(&a));
        alone.take(&a);
        assert!(alone.is_free_for(&a) && !alone.is_free_for(&b) && !alone.is_free_for(&c));
        [&b, &c, &b].into_iter().for_each(|key| alone.await_turn(key));
        assert_eq!(alone.give_back(&b), None, "it is another one's");
        assert_eq!(alone.give_back(&a), Some(BTreeSet::from([b.clone(), c.clone()])));
        alone.take(&c);
        assert_eq!(alone.give_back(&c), Some(BTreeSet::new()));
    }
}

//! Which suspect runs alone, and which wait for that (rule K6). Two at a time, and an end would count against both.

use std::collections::BTreeSet;

use crate::partition::job::JobKey;

/// The right to run alone.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Alone {
    /// Who has it.
    by: Option<JobKey>,
    /// Who looks again once it is free.
    awaited_by: BTreeSet<JobKey>,
}

impl Alone {
    /// Gives it to `key`; false while another one has it, and `key` waits for that.
    pub fn take(&mut self, key: &JobKey) -> bool {
        if self.by.as_ref().is_some_and(|other| other != key) {
            self.awaited_by.insert(key.clone());
            return false;
        }
        self.by = Some(key.clone());
        true
    }

    /// Takes it back from `key`: who waited for it; none if `key` did not have it.
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
        let mut alone = Alone::default();
        assert!(alone.take(&a) && alone.take(&a));
        assert!(!alone.take(&b) && !alone.take(&c) && !alone.take(&b));
        assert_eq!(alone.give_back(&b), None, "it is another one's");
        assert_eq!(alone.give_back(&a), Some(BTreeSet::from([b.clone(), c.clone()])));
        assert!(alone.take(&c));
        assert_eq!(alone.give_back(&c), Some(BTreeSet::new()));
    }
}

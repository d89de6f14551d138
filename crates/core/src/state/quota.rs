//! What a task remembers of limits whose windows are longer than a minute: how many calls of each it may have made. Without it a
//! restart or a take-over would begin to count at zero in the middle of a window, and the account would be over its limit.

use std::sync::Arc;

use crate::booking::PracticeId;
use crate::time::Timestamp;

/// Whose part of a limit is counted: a practice's own, or the task's part of the account's.
pub type QuotaOwner = Option<PracticeId>;

/// The counts of one owner in two places: whatever was counted in either counts.
pub fn join_counts(mut here: Vec<QuotaCount>, there: Vec<QuotaCount>) -> Vec<QuotaCount> {
    for count in there {
        let same = here.iter_mut().find(|one| one.limit == count.limit && one.begin == count.begin);
        match same {
            Some(known) => known.calls = known.calls.saturating_add(count.calls),
            None => here.push(count),
        }
    }
    here
}

/// The calls of one limit that were made, or may have been, in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaCount {
    /// The limit's name.
    pub limit: Arc<str>,
    /// When the stretch begins: the window itself, or a part of a rolling one.
    pub begin: Timestamp,
    /// How many calls may have been made in it. Never fewer than were.
    pub calls: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_two_places_add_up() {
        let count = |begin, calls| QuotaCount { limit: "day".into(), begin: Timestamp(begin), calls };
        let joined = join_counts(vec![count(1, 4), count(2, 1)], vec![count(1, 3), count(3, 2)]);
        assert_eq!(joined, [count(1, 7), count(2, 1), count(3, 2)]);
    }
}

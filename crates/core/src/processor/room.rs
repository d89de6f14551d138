//! How many more bookings of a share may be admitted: asked in every round, so what does not change in between is counted once.

use crate::partition::job::Share;

/// What room the ready queue has for one share, in places.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// For both shares together.
    pub most: usize,
    /// For this share.
    pub of_share: usize,
    /// For this share ahead of its calls under way.
    pub ahead: usize,
    /// The calls of this share that are under way.
    pub under_way: usize,
}

impl Room {
    /// Whether there is one more place if so many are taken, by share.
    pub fn has_place(self, share: Share, places: [usize; 2]) -> bool {
        let taken = places[share.index()];
        places.iter().sum::<usize>() < self.most
            && taken < self.of_share
            && taken.saturating_sub(self.under_way) < self.ahead
    }
}

//! Whose turn a call is while several shares want it: of some calls in a row one is left to what goes behind them.

use crate::partition::job::Share;
use crate::settings::Settings;
use crate::time::Timestamp;

/// How many calls went out in a row.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct InARow {
    /// For bookings never tried before, since one for those whose visit begins soon: one of two calls is theirs.
    not_soon: u32,
    /// For either of these, since one for those that failed before.
    not_again: u32,
    /// For anybody who waits, since one for history.
    not_history: u32,
}

impl InARow {
    /// Who has the next call before those who go first; whom that is, if nobody of that share wants one, comes after it.
    pub fn whose_turn(self, settings: &Settings, now: Timestamp) -> impl Iterator<Item = Share> + use<> {
        let is_historys = self.not_history >= settings.others_before_history();
        let history = (is_historys && settings.history_share_at(now) > 0.0).then_some(Share::History);
        let again = (self.not_again >= settings.firsts_in_a_row()).then_some(Share::Again);
        let soon = (self.not_soon > 0).then_some(Share::Soon);
        [history, again, soon].into_iter().flatten()
    }

    /// A call of this share went out. No number grows past what it is compared with, so that processors which will do the same are
    /// equal.
    pub fn is_sent(&mut self, share: Share, settings: &Settings) {
        let not_again = (self.not_again + 1).min(settings.firsts_in_a_row());
        let not_history = (self.not_history + 1).min(settings.others_before_history());
        *self = match share {
            Share::First => InARow { not_soon: 1, not_again, not_history },
            Share::Soon => InARow { not_soon: 0, not_again, not_history },
            Share::Again => InARow { not_again: 0, not_history, ..*self },
            Share::History => InARow { not_history: 0, ..*self },
        };
    }
}

//! What this owner knows of an intent beyond state: whether it is durable yet, what was sent under it, and
//! whether its outcome is in doubt. Lives in memory only; a new owner starts with a doubt for every open intent.

use crate::time::Timestamp;

/// The memory that goes with one open intent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenWrite {
    /// The commit that carries the newest form of the intent; nothing is sent under it before that is good (rule W1).
    pub(super) sequence: u64,
    /// Requests sent under it that may have been carried out, the one in flight included.
    pub(super) sends: u32,
    /// Whether a request or the look-up that settles it is under way.
    pub(super) in_flight: bool,
    /// Set when the outcome is not known (rule W4).
    pub(super) doubt: Option<Doubt>,
}

/// It is not known whether a write was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Doubt {
    /// Since when.
    pub since: Timestamp,
    /// Nothing is asked about it before this: first the moment from which on it can no longer land unseen, so that a
    /// look-up may be believed; after a failed look-up, the moment of the next one.
    pub settles_at: Timestamp,
    /// Set once HealthFlow refused a repeat: then only a look-up settles it (rule W5).
    pub repeat_refused: bool,
    /// Set once HealthFlow refused the key itself: if the look-up finds nothing, the next creation needs another one
    /// (rule W6).
    pub key_refused: bool,
    /// The look-up was inconclusive: the doubt waits for a record that can go to review.
    pub unclear: bool,
    /// How many look-ups failed.
    pub look_ups: u32,
}

impl OpenWrite {
    /// An intent found in state at acquisition (rule K1).
    pub fn inherited(fenced_at: Timestamp, settles_at: Timestamp) -> Self {
        OpenWrite {
            sequence: 0,
            sends: 1,
            in_flight: false,
            doubt: Some(Doubt {
                since: fenced_at,
                settles_at,
                repeat_refused: false,
                key_refused: false,
                unclear: false,
                look_ups: 0,
            }),
        }
    }

    /// Whether nothing that was sent under it can still have an effect: then it may be withdrawn or replaced.
    pub fn is_unsent(&self) -> bool {
        self.sends == 0 && self.doubt.is_none()
    }

    /// A request ended without effect (throttled, refused, never sent).
    pub fn had_no_effect(&mut self) {
        self.in_flight = false;
        self.sends = self.sends.saturating_sub(1);
    }

    /// The outcome of a request is not known.
    pub fn doubted(&mut self, now: Timestamp, settles_at: Timestamp) {
        self.in_flight = false;
        let previous = self.doubt;
        self.doubt = Some(Doubt {
            since: previous.map_or(now, |doubt| doubt.since),
            settles_at: previous.map_or(settles_at, |doubt| doubt.settles_at.max(settles_at)),
            repeat_refused: previous.is_some_and(|doubt| doubt.repeat_refused),
            key_refused: previous.is_some_and(|doubt| doubt.key_refused),
            unclear: false,
            look_ups: 0,
        });
    }
}

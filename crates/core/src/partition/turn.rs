//! What a step of a task is given from outside: the moment, the limits, and what is known of HealthFlow as a whole. A part may
//! use this without knowing `Task`.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::booking::PracticeId;
use crate::fact::Fact;
use crate::limits::stops::stopped_ms;
use crate::limits::{Book, Breaker, ByHand, RejectionStorms};
use crate::partition::rules;
use crate::retry::Reads;
use crate::settings::Settings;
use crate::time::Timestamp;

/// What all tasks of a worker share: the limits, and what is known of HealthFlow as a whole.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The limits.
    pub settings: Settings,
    /// Reads that fail.
    pub reads: Reads,
    /// Whether HealthFlow works, and since when it does not.
    pub breaker: Breaker,
    /// Whether HealthFlow refuses nearly everything.
    pub storms: RejectionStorms,
    /// What operators set by hand.
    pub by_hand: ByHand,
    /// The limits that HealthFlow has, and what is left of them.
    pub limits: Book,
}

impl Shared {
    /// Nothing is known of HealthFlow yet.
    pub fn new(settings: Settings) -> Self {
        let breaker = Breaker::new(settings.breaker);
        let storms = RejectionStorms::new(settings.rejection_storm);
        let limits = Book::new(settings.limits.as_slice().into()).keeping_for_live(settings.reserve_for_live);
        Shared { settings, reads: Reads::default(), breaker, storms, by_hand: ByHand::default(), limits }
    }

    /// What a step of a task is given at this moment; it reports to `facts`.
    pub fn turn<'a>(&'a self, facts: &'a mut VecDeque<Fact>, now: Timestamp) -> Turn<'a> {
        let Shared { settings, reads, breaker, storms, by_hand, limits } = self;
        Turn { now, settings, reads, breaker, storms, by_hand, is_probe: false, limits, facts }
    }
}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Shared { settings: _, reads, breaker, storms, by_hand, limits } = self;
        (reads, breaker, storms, by_hand, limits).hash(hasher);
    }
}

/// What every step of a task is given: the moment, the limits, and where to report what happened.
#[derive(Debug)]
pub struct Turn<'a> {
    /// This moment.
    pub now: Timestamp,
    /// The limits.
    pub settings: &'a Settings,
    /// Reads that fail.
    pub reads: &'a Reads,
    /// Whether HealthFlow works, and since when it does not.
    pub breaker: &'a Breaker,
    /// Whether HealthFlow refuses nearly everything.
    pub storms: &'a RejectionStorms,
    /// What operators set by hand.
    pub by_hand: &'a ByHand,
    /// Whether this is the one call that may go out although the breaker is open.
    pub is_probe: bool,
    /// The limits that HealthFlow has, and what is left of them.
    pub limits: &'a Book,
    /// Facts, in order.
    pub facts: &'a mut VecDeque<Fact>,
}

impl Turn<'_> {
    /// Whether nothing may be asked now, for any booking: what would ask is held back, and nothing is opened or counted for
    /// it.
    pub fn holds_back(&self) -> bool {
        self.is_stopped() && !(self.is_probe && self.breaker.is_open() && !self.by_hand.stops_all())
    }

    /// Whether nothing goes on, for HealthFlow does not work, or an operator stopped everything. Nothing is put aside in Kafka
    /// then: it would only lie elsewhere.
    pub fn is_stopped(&self) -> bool {
        self.breaker.is_open() || self.by_hand.stops_all()
    }

    /// The moment `ms` after `since`; time in which a practice could not be served does not count.
    pub fn after_ms(&self, practice: &PracticeId, since: Timestamp, ms: i64) -> Timestamp {
        since.plus_ms(ms.saturating_add(self.stopped_ms_since(practice, since)))
    }

    /// For how long of the time since `since` a practice could not be served, in milliseconds, for HealthFlow did not work or
    /// an operator had paused it: that counts for no deadline.
    pub fn stopped_ms_since(&self, practice: &PracticeId, since: Timestamp) -> i64 {
        let open = self.breaker.open_until(self.now);
        let paused = self.by_hand.stops_of(practice, self.now);
        let paused = paused.filter(|_| rules::pauses_stop_deadlines(self.settings));
        stopped_ms(open.chain(paused), since)
    }
}

//! One HealthFlow account as this worker may use it: its share of the rate, and the pauses HealthFlow asks for.

use std::hash::{Hash, Hasher};

use crate::booking::PracticeId;
use crate::limits::TokenBucket;
use crate::time::Timestamp;

/// The longest pause that is believed: a `Retry-After` beyond it is a mistake of the server.
pub const PAUSE_MAX_MS: i64 = 3_600_000;

/// So many practices that are forbidden (403) one after the other, while nobody is served, are no longer matters of
/// theirs: the account has lost its rights.
pub const FORBIDDEN_PRACTICES_MAX: usize = 3;

/// Whether a call may go out now.
#[derive(Clone, Debug)]
pub struct Account {
    requests_per_second: f64,
    usual_pause_ms: i64,
    bucket: TokenBucket,
    paused_until: Timestamp,
    /// Practices that were forbidden since anybody was served.
    forbidden: Vec<PracticeId>,
    /// How often everybody was asked to wait.
    pauses: u32,
    /// After how many of these the call went out that was served; none before any was.
    served_after: Option<u32>,
    /// A long wait that one more has to hear of.
    trial: Option<Trial>,
    /// Until then a long wait is known to be a booking's own.
    own_until: Timestamp,
}

/// HealthFlow asks one booking to wait for longer than usual. That may be the account's limit or that of an endpoint,
/// so another one asks before everybody waits for so long.
#[derive(Clone, Debug, Hash)]
struct Trial {
    practice: PracticeId,
    ends_at: Timestamp,
    /// The call that asks, once it is under way.
    call: Option<u64>,
}

/// Whom a wait that HealthFlow asks for concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Everybody, until then.
    All(Timestamp),
    /// Only whoever was asked: others are served meanwhile.
    One,
}

impl Hash for Account {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Account {
            requests_per_second,
            usual_pause_ms,
            bucket,
            paused_until,
            forbidden,
            pauses,
            served_after,
            trial,
            own_until,
        } = self;
        (requests_per_second.to_bits(), usual_pause_ms, bucket, paused_until, forbidden).hash(hasher);
        (pauses, served_after, trial, own_until).hash(hasher);
    }
}

impl Account {
    /// An account with the fleet's limit of `requests_per_second`, none of which is ours yet, whose calls wait for
    /// `usual_pause_ms` at most when HealthFlow asks one of them to.
    pub fn new(requests_per_second: f64, usual_pause_ms: i64, now: Timestamp) -> Self {
        Account {
            requests_per_second,
            usual_pause_ms,
            bucket: TokenBucket::new(0.0, now),
            paused_until: Timestamp(0),
            forbidden: Vec::new(),
            pauses: 0,
            served_after: None,
            trial: None,
            own_until: Timestamp(0),
        }
    }

    /// Sets this worker's share: owned partitions out of all.
    pub fn set_share(&mut self, owned: usize, all: u32, now: Timestamp) {
        let share = owned as f64 / f64::from(all.max(1));
        self.bucket.set_rate(self.requests_per_second * share, now);
    }

    /// Sends nothing before `now + pause_ms`; a pause is never shortened. Returns its end.
    pub fn pause(&mut self, pause_ms: i64, now: Timestamp) -> Timestamp {
        self.paused_until = self.paused_until.max(now.plus_ms(pause_ms.clamp(0, PAUSE_MAX_MS)));
        self.pauses = self.pauses.saturating_add(1);
        self.paused_until
    }

    /// How often everybody was asked to wait so far.
    pub fn pauses(&self) -> u32 {
        self.pauses
    }

    /// HealthFlow answers `call` of `practice` that it should wait, and for how long where it says so; `told` is the pause
    /// in which it said so to the same booking before. Everybody waits, for the usual pause at most. Where it asks for more,
    /// the next call goes out alone: only if that is to wait too does everybody wait for so long. Where somebody else was
    /// served since that booking was told, the wait is its own.
    pub fn throttled(
        &mut self,
        call: u64,
        (practice, told): (&PracticeId, Option<u32>),
        (asked_ms, unsaid_ms): (Option<i64>, i64),
        now: Timestamp,
    ) -> Asked {
        if let Some(trial) = self.trial.take_if(|trial| trial.call == Some(call)) {
            self.own_until = Timestamp(0);
            let left_ms = trial.ends_at.since_ms(now);
            return Asked::All(self.pause(asked_ms.unwrap_or(left_ms), now));
        }
        let wait_ms = asked_ms.unwrap_or(unsaid_ms);
        let is_long = wait_ms > self.usual_pause_ms;
        let known_in = told.or((is_long && now < self.own_until).then_some(self.pauses));
        if known_in.zip(self.served_after).is_some_and(|(told, served)| served >= told) {
            return Asked::One;
        }
        if is_long {
            let ends_at = now.plus_ms(wait_ms.min(PAUSE_MAX_MS));
            let trial = Trial { practice: practice.clone(), ends_at, call: None };
            self.trial.get_or_insert(trial);
        }
        Asked::All(self.pause(wait_ms.min(self.usual_pause_ms), now))
    }

    /// A call goes out; where a long wait is on trial, it is the one that asks.
    pub fn is_sent(&mut self, call: u64) {
        if let Some(trial) = &mut self.trial {
            trial.call.get_or_insert(call);
        }
    }

    /// The practice that was asked for a long wait, if the next call is the one that finds out whom it concerns: a call of
    /// another practice says more.
    pub fn on_trial(&self, now: Timestamp) -> Option<&PracticeId> {
        let trial = self.trial.as_ref().filter(|trial| now < trial.ends_at && trial.call.is_none());
        trial.map(|trial| &trial.practice)
    }

    /// A call ended with nothing that HealthFlow said about it. Where it never left, another one asks in its place.
    pub fn is_unanswered(&mut self, call: u64, was_sent: bool) {
        let Some(mut trial) = self.trial.take_if(|trial| trial.call == Some(call)) else { return };
        if !was_sent {
            trial.call = None;
            self.trial = Some(trial);
        }
    }

    /// A call for `practice` was forbidden: whether that is the account's by now, not the practice's.
    pub fn is_forbidden(&mut self, practice: &PracticeId) -> bool {
        if self.forbidden.len() < FORBIDDEN_PRACTICES_MAX && !self.forbidden.contains(practice) {
            self.forbidden.push(practice.clone());
        }
        self.forbidden.len() >= FORBIDDEN_PRACTICES_MAX
    }

    /// HealthFlow looked at what a call asked for that went out after so many pauses: the account has its rights.
    pub fn is_served(&mut self, call: u64, sent_after: u32) {
        self.forbidden.clear();
        self.served_after = self.served_after.max(Some(sent_after));
        if let Some(trial) = self.trial.take_if(|trial| trial.call == Some(call)) {
            self.own_until = trial.ends_at;
        }
    }

    /// The end of the pause under way, if there is one.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        (self.paused_until > now).then_some(self.paused_until)
    }

    /// Takes the permit for one call, if there is one.
    pub fn try_take(&mut self, now: Timestamp) -> bool {
        self.stopped_until(now).is_none() && self.bucket.try_take(now)
    }

    /// When the next permit is there.
    pub fn next_at(&mut self, now: Timestamp) -> Timestamp {
        self.stopped_until(now).unwrap_or_else(|| self.bucket.next_at(now))
    }

    /// Until when nothing goes out: a pause, or the one call that asks whether to wait.
    fn stopped_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.trial.take_if(|trial| trial.ends_at <= now);
        let asks = self.trial.as_ref().filter(|trial| trial.call.is_some()).map(|trial| trial.ends_at);
        self.paused_until(now).or(asks)
    }
}

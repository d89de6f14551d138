//! One HealthFlow account as this worker may use it: its share of the rate, and the pauses HealthFlow asks for.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use crate::booking::PracticeId;
use crate::healthflow::PolicyTold;
use crate::limits::TokenBucket;
use crate::limits::pace::Paces;
use crate::time::Timestamp;

/// The longest pause: a `Retry-After` beyond it is a mistake of the server.
pub const PAUSE_MAX_MS: i64 = 3_600_000;

/// If this many practices get 403 in a row and none is served in between, the account has lost its rights, not the
/// practices.
pub const FORBIDDEN_PRACTICES_MAX: usize = 3;

/// Limits that are reported because nobody configured them: a HealthFlow that names each anew must not fill memory and log.
const REPORTED_MAX: usize = 16;

/// Whether a call may go out now.
#[derive(Clone, Debug)]
pub struct Account {
    requests_per_second: f64,
    /// What an operator allows the fleet at most; none where that is not set.
    by_hand: Option<f64>,
    usual_pause_ms: i64,
    /// This worker's part of what the account allows: that of its partitions.
    share: f64,
    /// How much of that part it takes; less than all while the shared counter is away.
    part: f64,
    /// Its part of the rate, as it is now.
    rate: f64,
    bucket: TokenBucket,
    /// How fast HealthFlow lets us go where it tells that little is left.
    paces: Paces,
    /// Names of limits that HealthFlow told and that were reported.
    reported: BTreeSet<Box<str>>,
    /// The end of the last pause; none before the first.
    paused_until: Option<Timestamp>,
    /// Practices that got 403 since the last one was served.
    forbidden: Vec<PracticeId>,
    /// How often all calls were paused.
    pauses: u32,
    /// After how many of these pauses the last call that was served went out; none if none was served yet.
    served_after: Option<u32>,
    /// A long wait that one more booking must confirm.
    trial: Option<Trial>,
    /// Until then a long wait counts as a booking's own.
    own_until: Option<Timestamp>,
}

/// HealthFlow asks one booking to wait for longer than usual. The limit may be the account's or an endpoint's, so another
/// booking asks before all calls wait that long.
#[derive(Clone, Debug, Hash)]
struct Trial {
    practice: PracticeId,
    ends_at: Timestamp,
    /// The call that asks, once it is under way.
    call: Option<u64>,
}

/// Who waits when HealthFlow asks for a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All calls, until then.
    All(Timestamp),
    /// Only the booking that got the answer: others are served meanwhile.
    One,
}

impl Hash for Account {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Account {
            requests_per_second,
            by_hand,
            usual_pause_ms,
            share,
            part,
            rate,
            bucket,
            paces,
            reported,
            paused_until,
            forbidden,
            pauses,
            served_after,
            trial,
            own_until,
        } = self;
        let numbers = [Some(*requests_per_second), *by_hand, Some(*share), Some(*part), Some(*rate)];
        numbers.map(|number| number.map(f64::to_bits)).hash(hasher);
        (usual_pause_ms, bucket, paces, reported, paused_until, forbidden).hash(hasher);
        (pauses, served_after, trial, own_until).hash(hasher);
    }
}

impl Account {
    /// An account with the fleet's limit of `requests_per_second`, none of which is ours yet, whose calls wait for
    /// `usual_pause_ms` at most when HealthFlow asks one of them to.
    pub fn new(requests_per_second: f64, usual_pause_ms: i64, now: Timestamp) -> Self {
        Account {
            requests_per_second,
            by_hand: None,
            usual_pause_ms,
            share: 0.0,
            part: 1.0,
            rate: 0.0,
            bucket: TokenBucket::new(0.0, now),
            paces: Paces::default(),
            reported: BTreeSet::new(),
            paused_until: None,
            forbidden: Vec::new(),
            pauses: 0,
            served_after: None,
            trial: None,
            own_until: None,
        }
    }

    /// Sets this worker's share: owned partitions out of all.
    pub fn set_share(&mut self, owned: usize, all: u32, now: Timestamp) {
        self.share = owned as f64 / f64::from(all.max(1));
        self.keep_pace(now);
    }

    /// Takes this part of its share from now on, and begins with nothing: what others used a moment ago is not known.
    pub fn begin_share(&mut self, part: f64, now: Timestamp) {
        self.part = part;
        self.rate = 0.0;
        self.bucket = TokenBucket::new(0.0, now);
        self.keep_pace(now);
    }

    /// Sets what an operator allows the whole fleet at most; none: what is configured. The tighter one counts.
    pub fn limit_by_hand(&mut self, per_second: Option<f64>, now: Timestamp) {
        self.by_hand = per_second;
        self.keep_pace(now);
    }

    /// HealthFlow tells what is left of a limit: if that is little, calls go out more slowly until there is more.
    pub fn told(&mut self, policy: &PolicyTold, now: Timestamp) {
        self.paces.told(policy, now);
        self.keep_pace(now);
    }

    /// Whether HealthFlow tells this limit for the first time, and we do not keep it already.
    pub fn is_news(&mut self, name: &str, calls: u64, window_s: Option<u64>) -> bool {
        let is_kept =
            window_s.is_some_and(|window_s| calls as f64 >= self.requests_per_second * window_s as f64);
        let has_room = self.reported.len() < REPORTED_MAX;
        !is_kept && has_room && self.reported.insert(name.into())
    }

    /// Goes as fast as all limits let this worker go now.
    fn keep_pace(&mut self, now: Timestamp) {
        self.paces.end(now);
        let rate = self.told_pace().unwrap_or(f64::INFINITY).min(self.whole_rate()) * self.share * self.part;
        if rate.to_bits() != self.rate.to_bits() {
            self.rate = rate;
            self.bucket.set_rate(rate, now);
        }
    }

    /// Calls a second of the whole fleet, as configured and as set by hand.
    pub fn whole_rate(&self) -> f64 {
        self.by_hand.unwrap_or(f64::INFINITY).min(self.requests_per_second)
    }

    /// Calls a second at which what HealthFlow told to be left lasts; none while enough is left.
    pub fn told_pace(&self) -> Option<f64> {
        self.paces.slowest()
    }

    /// When a call may go out as far as pauses go.
    pub fn free_at(&mut self, now: Timestamp) -> Timestamp {
        self.keep_pace(now);
        self.stopped_until(now).unwrap_or(now)
    }

    /// Calls a second that this worker may start, as it was last set.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Sends nothing before `now + pause_ms`; a pause is never shortened. Returns its end.
    pub fn pause(&mut self, pause_ms: i64, now: Timestamp) -> Timestamp {
        let asked = now.plus_ms(pause_ms.clamp(0, PAUSE_MAX_MS));
        let until = self.paused_until.map_or(asked, |known| known.max(asked));
        self.paused_until = Some(until);
        self.pauses = self.pauses.saturating_add(1);
        until
    }

    /// How often all calls were paused so far.
    pub fn pauses(&self) -> u32 {
        self.pauses
    }

    /// HealthFlow asks `call` of `practice` to wait, perhaps with a time; `asked_in` is the pause in which it asked the same
    /// booking before. All calls wait, for the usual pause at most. If it asks for more, the next call goes out alone: all
    /// wait that long only if that one is asked to wait too. If another booking was served since this one was asked before,
    /// the wait is its own.
    pub fn throttled(
        &mut self,
        call: u64,
        practice: &PracticeId,
        asked_in: Option<u32>,
        asked_ms: Option<i64>,
        unsaid_ms: i64,
        now: Timestamp,
    ) -> Asked {
        if let Some(trial) = self.trial.take_if(|trial| trial.call == Some(call)) {
            self.own_until = None;
            let left_ms = trial.ends_at.since_ms(now);
            return Asked::All(self.pause(asked_ms.unwrap_or(left_ms), now));
        }
        let wait_ms = asked_ms.unwrap_or(unsaid_ms);
        let is_long = wait_ms > self.usual_pause_ms;
        let known_in =
            asked_in.or((is_long && self.own_until.is_some_and(|until| now < until)).then_some(self.pauses));
        if known_in.zip(self.served_after).is_some_and(|(asked, served)| served >= asked) {
            return Asked::One;
        }
        if is_long {
            let ends_at = now.plus_ms(wait_ms.min(PAUSE_MAX_MS));
            let trial = Trial { practice: practice.clone(), ends_at, call: None };
            self.trial.get_or_insert(trial);
        }
        Asked::All(self.pause(wait_ms.min(self.usual_pause_ms), now))
    }

    /// A call goes out; if a long wait is to be confirmed, it is the one that asks.
    pub fn is_sent(&mut self, call: u64) {
        if let Some(trial) = &mut self.trial {
            trial.call.get_or_insert(call);
        }
    }

    /// The practice that was asked for a long wait, if the next call is to confirm it: a call of another practice shows
    /// more.
    pub fn on_trial(&self, now: Timestamp) -> Option<&PracticeId> {
        let trial = self.trial.as_ref().filter(|trial| now < trial.ends_at && trial.call.is_none());
        trial.map(|trial| &trial.practice)
    }

    /// A call ended without an answer of HealthFlow. If it was never sent, another one asks in its place.
    pub fn is_unanswered(&mut self, call: u64, was_sent: bool) {
        let Some(mut trial) = self.trial.take_if(|trial| trial.call == Some(call)) else { return };
        if !was_sent {
            trial.call = None;
            self.trial = Some(trial);
        }
    }

    /// A call for `practice` got 403; returns whether the account has lost its rights by now.
    pub fn is_forbidden(&mut self, practice: &PracticeId) -> bool {
        if self.forbidden.len() < FORBIDDEN_PRACTICES_MAX && !self.forbidden.contains(practice) {
            self.forbidden.push(practice.clone());
        }
        self.forbidden.len() >= FORBIDDEN_PRACTICES_MAX
    }

    /// HealthFlow served a call that went out after so many pauses: the account has its rights.
    pub fn is_served(&mut self, call: u64, sent_after: u32) {
        self.forbidden.clear();
        self.served_after = self.served_after.max(Some(sent_after));
        if let Some(trial) = self.trial.take_if(|trial| trial.call == Some(call)) {
            self.own_until = Some(trial.ends_at);
        }
    }

    /// The end of the pause under way, if there is one.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Takes the permit for one call, if there is one.
    pub fn try_take(&mut self, now: Timestamp) -> bool {
        self.keep_pace(now);
        self.stopped_until(now).is_none() && self.bucket.try_take(now)
    }

    /// Calls a second that this worker may send now.
    pub fn per_second(&self) -> f64 {
        self.rate
    }

    /// How many permits there will be within `ms`.
    pub fn permits_within(&self, ms: i64, now: Timestamp) -> f64 {
        let paused_ms = self.paused_until(now).map_or(0, |until| until.since_ms(now));
        self.bucket.granted_within((ms - paused_ms).max(0), now)
    }

    /// When the next permit is there, or may be.
    pub fn next_at(&mut self, now: Timestamp) -> Timestamp {
        self.keep_pace(now);
        if let Some(until) = self.stopped_until(now) {
            return until;
        }
        let at = self.bucket.next_at(now);
        // The end of a pace is a reason to look again.
        self.paces.first_end().map_or(at, |end| at.min(end))
    }

    /// Until when nothing goes out: because of a pause, or of the one call that confirms a long wait.
    fn stopped_until(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.trial.take_if(|trial| trial.ends_at <= now);
        let asks = self.trial.as_ref().filter(|trial| trial.call.is_some()).map(|trial| trial.ends_at);
        self.paused_until(now).or(asks)
    }
}

//! What operators set by hand, as a worker obeys it: who is stopped and since when, and what a limited practice may still
//! send. A practice lives in one partition, so its limit is exact without asking anybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::booking::PracticeId;
use crate::limits::controls::Controls;
use crate::limits::stops::Stops;
use crate::limits::token_bucket::TokenBucket;
use crate::time::Timestamp;

/// So many seconds' worth of bookings of a limited practice are about to ask: enough that none waits for a commit, and few
/// enough that they leave the places to others.
const PLACES_SECONDS: f64 = 0.5;

/// What is obeyed.
#[derive(Clone, Debug, Default, Hash)]
pub struct ByHand {
    controls: Controls,
    account: Stops,
    practices: BTreeMap<PracticeId, Stops>,
    limited: BTreeMap<PracticeId, Limited>,
}

/// A practice with a limit of its own.
#[derive(Clone, Debug, Hash)]
struct Limited {
    bucket: TokenBucket,
    places: usize,
}

/// What is different once other controls are obeyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obeyed {
    /// Whether everything is stopped that was not.
    pub stops_all: bool,
    /// Practices that are stopped and were not.
    pub stopped: Vec<PracticeId>,
    /// Practices that were stopped or limited, and are less so or not at all.
    pub let_go: Vec<PracticeId>,
}

impl ByHand {
    /// What was in force when the worker began.
    pub fn new(controls: Controls, now: Timestamp) -> Self {
        let mut by_hand = ByHand::default();
        by_hand.obey(controls, now);
        by_hand
    }

    /// How much of the rate a practice gets beside others that wait; the usual is 1.
    pub fn weight(&self, practice: &PracticeId) -> u32 {
        self.controls.weight(practice)
    }

    /// Obeys `controls` from now on.
    pub fn obey(&mut self, controls: Controls, now: Timestamp) -> Obeyed {
        let before = std::mem::replace(&mut self.controls, controls);
        let is_paused = |controls: &Controls, practice: &PracticeId| controls.is_practice_paused(practice);
        let newly = |practice: &&PracticeId| !is_paused(&before, practice);
        let stopped: Vec<PracticeId> = self.controls.paused_practices().filter(newly).cloned().collect();
        let resumed = before.paused_practices().filter(|practice| !is_paused(&self.controls, practice));
        let loosened = before.limited_practices().filter(|practice| {
            let (was, is) = (before.per_second(Some(practice)), self.controls.per_second(Some(practice)));
            is.is_none_or(|is| was.is_some_and(|was| is > was))
        });
        let let_go: BTreeSet<PracticeId> = resumed.cloned().chain(loosened.cloned()).collect();
        for practice in &stopped {
            self.practices.entry(practice.clone()).or_default().begin(now);
        }
        for (practice, stops) in &mut self.practices {
            if !self.controls.is_practice_paused(practice) {
                stops.end(now);
            }
        }
        self.limit(now);
        let stops_all = self.controls.is_account_paused() && !before.is_account_paused();
        if self.controls.is_account_paused() {
            self.account.begin(now)
        } else {
            self.account.end(now)
        }
        Obeyed { stops_all, stopped, let_go: let_go.into_iter().collect() }
    }

    fn limit(&mut self, now: Timestamp) {
        let mut before = std::mem::take(&mut self.limited);
        for practice in self.controls.limited_practices() {
            let Some(per_second) = self.controls.per_second(Some(practice)) else { continue };
            let bucket = before.remove(practice).map(|limited| limited.bucket);
            let mut bucket = bucket.unwrap_or_else(|| TokenBucket::new(per_second, now));
            bucket.set_rate(per_second, now);
            let places = ((per_second * PLACES_SECONDS).ceil() as usize).max(1);
            self.limited.insert(practice.clone(), Limited { bucket, places });
        }
    }

    /// What is obeyed, with who and why.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Whether nothing of anybody may be sent.
    pub fn stops_all(&self) -> bool {
        self.controls.is_account_paused()
    }

    /// Whether nothing of this practice may be sent, though others are served.
    pub fn stops(&self, practice: &PracticeId) -> bool {
        self.controls.is_practice_paused(practice)
    }

    /// Whether neither a pause nor a limit holds this practice by itself.
    pub fn is_free(&self, practice: &PracticeId) -> bool {
        !self.stops(practice) && self.places(practice).is_none()
    }

    /// How many bookings of a practice may be about to ask; none if it is not limited.
    pub fn places(&self, practice: &PracticeId) -> Option<usize> {
        if self.limited.is_empty() { None } else { self.limited.get(practice).map(|limited| limited.places) }
    }

    /// Whether a practice must wait for its next permit.
    pub fn has_no_permit(&self, practice: &PracticeId, now: Timestamp) -> bool {
        !self.limited.is_empty() && self.next_at(practice, now).is_some_and(|at| at > now)
    }

    /// When a practice gets its next permit; none if it is not limited.
    pub fn next_at(&self, practice: &PracticeId, now: Timestamp) -> Option<Timestamp> {
        self.limited.get(practice).map(|limited| limited.bucket.clone().next_at(now))
    }

    /// The practices that are limited.
    pub fn limited(&self) -> impl Iterator<Item = &PracticeId> {
        self.limited.keys()
    }

    /// A call of a practice goes out.
    pub fn is_sent(&mut self, practice: &PracticeId, now: Timestamp) {
        if let Some(limited) = self.limited.get_mut(practice) {
            limited.bucket.try_take(now);
        }
    }

    /// When a practice could not be served because of a pause, its own or everybody's.
    pub fn stops_of(
        &self,
        practice: &PracticeId,
        now: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let own = self.practices.get(practice).into_iter().flat_map(move |stops| stops.until(now));
        self.account.until(now).chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::controls::{Change, Signed};

    fn after(controls: &Controls, practice: Option<&str>, change: Change) -> Controls {
        let signed = Signed { by: "ops-2".into(), why: "to see".into(), at: Timestamp(7) };
        let mut next = controls.clone();
        let practice = practice.map(PracticeId::from);
        controls.next(practice, change, signed).into_iter().for_each(|control| assert!(next.take(control)));
        next
    }

    #[test]
    fn what_changes_is_said_once() {
        let (none, p) = (Controls::default(), PracticeId::from("p"));
        let paused = after(&none, Some("p"), Change::Pause);
        let mut by_hand = ByHand::new(none, Timestamp(0));
        assert_eq!(by_hand.obey(paused.clone(), Timestamp(10)).stopped, std::slice::from_ref(&p));
        let all = after(&paused, None, Change::Pause);
        let expected = Obeyed { stops_all: true, ..Obeyed::default() };
        assert_eq!(by_hand.obey(all.clone(), Timestamp(20)), expected);
        assert_eq!(by_hand.obey(all.clone(), Timestamp(25)), Obeyed::default());
        let resumed = after(&all, Some("p"), Change::Resume);
        assert_eq!(by_hand.obey(resumed.clone(), Timestamp(30)).let_go, std::slice::from_ref(&p));
        assert!(by_hand.stops_all() && !by_hand.stops(&p));
        by_hand.obey(after(&resumed, None, Change::Resume), Timestamp(40));
        let stops: Vec<_> = by_hand.stops_of(&p, Timestamp(100)).map(|(from, to)| (from.0, to.0)).collect();
        assert_eq!(stops, [(20, 40), (10, 30)]);
    }

    /// Goal: a practice gets its limit and no more, and a limit that is raised counts at once. Method: greedy takes.
    #[test]
    fn a_limited_practice_gets_its_permits() {
        let p = PracticeId::from("p");
        let set = |per_second| Change::SetLimit { per_second: Some(per_second), weight: None };
        let slow = after(&Controls::default(), Some("p"), set(2.0));
        let mut by_hand = ByHand::new(slow.clone(), Timestamp(0));
        let taken = |by_hand: &mut ByHand, from_ms: i64| {
            let mut taken = 0;
            for ms in from_ms..from_ms + 10_000 {
                while !by_hand.has_no_permit(&p, Timestamp(ms)) {
                    by_hand.is_sent(&p, Timestamp(ms));
                    taken += 1;
                }
            }
            taken
        };
        assert_eq!(taken(&mut by_hand, 0), 19, "it begins without a burst");
        assert_eq!(by_hand.places(&p), Some(1));
        let faster = after(&slow, Some("p"), set(20.0));
        assert_eq!(by_hand.obey(faster.clone(), Timestamp(10_000)).let_go, std::slice::from_ref(&p));
        assert!((199..=202).contains(&taken(&mut by_hand, 10_000)));
        assert_eq!(by_hand.places(&p), Some(10));
        let free = after(&faster, Some("p"), Change::ClearLimit);
        assert_eq!(by_hand.obey(free, Timestamp(20_000)).let_go, std::slice::from_ref(&p));
        assert_eq!((by_hand.places(&p), by_hand.has_no_permit(&p, Timestamp(20_000))), (None, false));
    }
}

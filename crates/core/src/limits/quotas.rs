//! Limits whose windows are longer than a minute. What was used of them survives restarts and take-overs: a partition counts in its
//! state, and a call is spent only once a good commit has counted it (`quota_count.rs`). Of the account's limits each partition has
//! a part; a worker spends what any of its partitions has left. A reserve of each part is for live bookings.

mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::limits::book::{Asking, part_of};
use crate::limits::forecast::Forecasts;
use crate::limits::policy::{Policy, Scope};
use crate::limits::quota_count::{Count, Frame, stretch};
use crate::limits::window::Window;
use crate::state::{QuotaCount, QuotaOwner};
use crate::time::Timestamp;

/// So long before a window or a stretch of one ends, the first portion of the next one is committed, in milliseconds.
const AHEAD_MS: i64 = 5_000;

/// Where calls are counted: a partition, and the practice whose limit it is; none for the account.
type Place = (i32, QuotaOwner);

/// What is left of one limit for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Calls that the worker may make in the window.
    pub quota: u32,
    /// Of those, how many this call may be one of.
    pub usable: u32,
    /// How many of these are left.
    pub calls: u32,
    /// Whether one of these is counted by a good commit.
    pub is_granted: bool,
    /// Whether the next commit of the asking partition will count more.
    pub may_be_granted: bool,
    /// When more comes back.
    pub more_at: Timestamp,
}

/// The long limits of a worker.
#[derive(Clone, Debug)]
pub(super) struct Quotas {
    policies: Arc<[Policy]>,
    /// The part that only live bookings may use.
    reserve: f64,
    owned: BTreeSet<i32>,
    all: u32,
    counts: BTreeMap<Place, BTreeMap<usize, Count>>,
    /// Whose count the next commit of its partition carries.
    wanted: BTreeSet<Place>,
    /// Partitions that are given back: nothing is spent from them any more.
    given_back: BTreeSet<i32>,
    /// When the stretches that follow are looked at.
    look_at: Timestamp,
    forecasts: Forecasts,
}

impl Hash for Quotas {
    /// Forecasts decide nothing.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Quotas { policies: _, reserve: _, owned, all, counts, wanted, given_back, look_at, forecasts: _ } =
            self;
        (owned, all, counts, wanted, given_back, look_at).hash(hasher);
    }
}

impl Quotas {
    /// Those of the limits whose windows are long.
    pub fn new(policies: Arc<[Policy]>) -> Self {
        Quotas {
            policies,
            reserve: 0.0,
            owned: BTreeSet::new(),
            all: 1,
            counts: BTreeMap::new(),
            wanted: BTreeSet::new(),
            given_back: BTreeSet::new(),
            look_at: Timestamp(0),
            forecasts: Forecasts::default(),
        }
    }

    /// Keeps this part of each window for live bookings.
    pub fn keep_for_live(&mut self, part: f64) {
        self.reserve = part.clamp(0.0, 1.0);
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.long().next().is_none()
    }

    fn long(&self) -> impl Iterator<Item = (usize, &Policy)> {
        self.policies.iter().enumerate().filter(|(_, policy)| policy.is_long())
    }

    /// The worker owns these of all partitions from now on. What is counted for others is theirs.
    pub fn set_owned(&mut self, owned: &BTreeSet<i32>, all: u32) {
        if self.is_empty() {
            return;
        }
        (self.owned, self.all) = (owned.clone(), all.max(1));
        self.counts.retain(|(partition, _), _| owned.contains(partition));
        self.wanted.retain(|(partition, _)| owned.contains(partition));
        self.given_back.retain(|partition| owned.contains(partition));
        for partition in owned {
            let place = (*partition, None);
            if !self.counts.contains_key(&place) {
                self.counts.insert(place.clone(), BTreeMap::new());
                self.wanted.insert(place);
            }
        }
    }

    /// A partition that was acquired begins with what its last owner had counted.
    pub fn restore(&mut self, partition: i32, found: &BTreeMap<QuotaOwner, Vec<QuotaCount>>) {
        for (owner, counts) in found {
            let scope = if owner.is_some() { Scope::Practice } else { Scope::Account };
            for QuotaCount { limit, begin, calls } in counts {
                let is_it = |(_, policy): &(usize, &Policy)| policy.scope == scope && *policy.name == **limit;
                // A limit that is not configured any more is forgotten.
                let Some((index, _)) = self.long().find(is_it) else { continue };
                let place = self.counts.entry((partition, owner.clone())).or_default();
                place.entry(index).or_default().restore(*begin, *calls);
            }
        }
    }

    /// What is left of a limit for such a call.
    pub fn left(&self, index: usize, asking: Asking<'_>, is_live: bool, now: Timestamp) -> Left {
        let policy = &self.policies[index];
        let current = stretch(&policy.window, now);
        let own = place_of(policy, asking);
        let mut left = Left {
            quota: 0,
            usable: 0,
            calls: 0,
            is_granted: false,
            may_be_granted: false,
            more_at: Timestamp::NEVER,
        };
        let nothing = Count::default();
        for place in self.places(policy, &own) {
            let count = self.counts.get(&place).and_then(|counts| counts.get(&index)).unwrap_or(&nothing);
            let frame = self.frame(policy, &place, current.0, current.0);
            let most = self.usable(frame.most, is_live);
            left.quota = left.quota.saturating_add(frame.most);
            left.usable = left.usable.saturating_add(most);
            left.calls = left.calls.saturating_add(count.left(most, frame));
            left.is_granted |= count.spendable(most, frame) > 0;
            left.more_at = left.more_at.min(count.more_at(&policy.window, current));
            let is_coming = count.is_granting(frame.begin) || count.to_grant(frame).is_some();
            left.may_be_granted |= place == own && is_coming;
        }
        left
    }

    /// Where calls of a limit may be counted: for the account wherever the worker has a part.
    fn places<'a>(&'a self, policy: &Policy, own: &Place) -> impl Iterator<Item = Place> + use<'a> {
        let is_of_account = policy.scope == Scope::Account;
        let all = self.owned.iter().filter(move |_| is_of_account).map(|partition| (*partition, None));
        let here = (!is_of_account).then(|| own.clone());
        all.chain(here).filter(|(partition, _)| !self.given_back.contains(partition))
    }

    fn frame<'a>(
        &self,
        policy: &'a Policy,
        place: &Place,
        current: Timestamp,
        begin: Timestamp,
    ) -> Frame<'a> {
        let most = match (&policy.scope, &policy.window) {
            (Scope::Practice, _) => policy.calls,
            (Scope::Account, Window::Fixed(_)) => part_of(policy.calls, place.0, self.all, begin),
            // The parts of a rolling window do not change, for it has no end.
            (Scope::Account, Window::Rolling { .. }) => {
                part_of(policy.calls, place.0, self.all, Timestamp(0))
            }
        };
        Frame { window: &policy.window, current, begin, most }
    }

    /// How many of a part's calls may be used: all by live bookings, all but the reserve by others.
    fn usable(&self, part: u32, is_live: bool) -> u32 {
        // Rounded up, but for what the arithmetic adds.
        let reserve = (f64::from(part) * self.reserve - 1e-6).ceil().max(0.0) as u32;
        if is_live { part } else { part.saturating_sub(reserve) }
    }

    /// A call goes out: it is counted where the most is left.
    pub fn spend(&mut self, asking: Asking<'_>, is_live: bool, now: Timestamp) {
        let counting: Vec<usize> = self
            .long()
            .filter(|(_, one)| one.operations.has(asking.operation))
            .map(|(index, _)| index)
            .collect();
        let policies = Arc::clone(&self.policies);
        for index in counting {
            let policy = &policies[index];
            let (current, _) = stretch(&policy.window, now);
            let own = place_of(policy, asking);
            let nothing = Count::default();
            let spendable = |place: &Place| {
                let count = self.counts.get(place).and_then(|counts| counts.get(&index)).unwrap_or(&nothing);
                let frame = self.frame(policy, place, current, current);
                [is_live, true].map(|is_live| count.spendable(self.usable(frame.most, is_live), frame))
            };
            let place = self.places(policy, &own).max_by_key(spendable).unwrap_or_else(|| own.clone());
            let frame = self.frame(policy, &place, current, current);
            let count = self.counts.entry(place.clone()).or_default().entry(index).or_default();
            count.spend(frame);
            if count.to_grant(frame).is_some() {
                self.wanted.insert(place);
            }
            self.forecasts.spent(
                (index, own.1.map(|practice| (own.0, practice))),
                is_live,
                &policy.window,
                now,
            );
        }
    }

    /// The next commit of a partition is to count more for a practice, or for the account.
    pub fn want(&mut self, partition: i32, owner: QuotaOwner) {
        self.wanted.insert((partition, owner));
    }

    /// The partitions whose next commit should come soon, for the sake of calls that are about to be spent.
    pub fn wanting(&mut self, now: Timestamp) -> Vec<i32> {
        if now >= self.look_at && !self.is_empty() {
            self.look_ahead(now);
        }
        let mut partitions: Vec<i32> = self.wanted.iter().map(|(partition, _)| *partition).collect();
        partitions.dedup();
        partitions
    }

    /// When the next stretches must be looked at; none if nothing is counted.
    pub fn next_look(&self) -> Option<Timestamp> {
        (!self.counts.is_empty()).then_some(self.look_at)
    }

    /// Where a window is about to end that calls go out in, some of the next one are committed.
    fn look_ahead(&mut self, now: Timestamp) {
        let mut look_at = Timestamp::NEVER;
        for (index, policy) in self.policies.iter().enumerate().filter(|(_, policy)| policy.is_long()) {
            let (current, end) = stretch(&policy.window, now);
            let ahead_at = end.plus_ms(-AHEAD_MS);
            if now < ahead_at {
                look_at = look_at.min(ahead_at);
                continue;
            }
            look_at = look_at.min(end);
            let is_used = |counts: &BTreeMap<usize, Count>| {
                counts.get(&index).is_some_and(|one| one.is_in_use(current))
            };
            let used =
                self.counts.iter().filter(|(_, counts)| is_used(counts)).map(|(place, _)| place.clone());
            self.wanted.extend(used);
        }
        self.look_at = look_at;
        let mut counts = std::mem::take(&mut self.counts);
        counts.retain(|(_, owner), counts| {
            let matters = |(index, count): (&usize, &Count)| {
                let window = &self.policies[*index].window;
                count.matters(window, stretch(window, now).0)
            };
            owner.is_none() || counts.iter().any(matters)
        });
        self.counts = counts;
        let counts = &self.counts;
        self.forecasts
            .retain(|(partition, practice)| counts.contains_key(&(*partition, Some(practice.clone()))));
    }

    /// What the next commit of a partition says of its counts. One that is given back says what was really spent.
    pub fn records(
        &mut self,
        partition: i32,
        is_given_back: bool,
        now: Timestamp,
    ) -> Vec<(QuotaOwner, Vec<QuotaCount>)> {
        let of_partition = |place: &Place| place.0 == partition;
        let wanted: Vec<Place> = match is_given_back {
            true => self.counts.keys().filter(|place| of_partition(place)).cloned().collect(),
            false => self.wanted.iter().filter(|place| of_partition(place)).cloned().collect(),
        };
        self.wanted.retain(|place| !of_partition(place));
        if is_given_back && !wanted.is_empty() {
            self.given_back.insert(partition);
        }
        wanted.into_iter().filter_map(|place| self.record(place, is_given_back, now)).collect()
    }

    fn record(
        &mut self,
        place: Place,
        is_given_back: bool,
        now: Timestamp,
    ) -> Option<(QuotaOwner, Vec<QuotaCount>)> {
        let scope = if place.1.is_some() { Scope::Practice } else { Scope::Account };
        let policies = self.policies.clone();
        let mut counts = self.counts.remove(&place).unwrap_or_default();
        let (mut said, mut is_news) = (Vec::new(), false);
        for (index, policy) in
            policies.iter().enumerate().filter(|(_, one)| one.is_long() && one.scope == scope)
        {
            let count = counts.entry(index).or_default();
            let (current, end) = stretch(&policy.window, now);
            if is_given_back {
                is_news |= count.give_back(current);
            } else {
                is_news |= count.grant(self.frame(policy, &place, current, current));
                if now >= end.plus_ms(-AHEAD_MS) && count.is_in_use(current) {
                    is_news |= count.grant(self.frame(policy, &place, current, end));
                }
            }
            said.extend(count.record(&policy.name.as_ref().into(), &policy.window, current));
        }
        let owner = place.1.clone();
        self.counts.insert(place, counts);
        (is_news && !said.is_empty()).then_some((owner, said))
    }

    /// The commit of a partition is good: what it counts may be spent.
    pub fn committed(&mut self, partition: i32, now: Timestamp) {
        let long = self.policies.clone();
        let mut low = Vec::new();
        let of_partition = self.counts.range((partition, None)..).take_while(|((of, _), _)| *of == partition);
        let places: Vec<Place> = of_partition.map(|(place, _)| place.clone()).collect();
        for place in places {
            let Some(mut counts) = self.counts.remove(&place) else { continue };
            for (index, count) in &mut counts {
                count.committed();
                let policy = &long[*index];
                let (current, _) = stretch(&policy.window, now);
                if count.is_in_use(current)
                    && count.to_grant(self.frame(policy, &place, current, current)).is_some()
                {
                    low.push(place.clone());
                }
            }
            self.counts.insert(place, counts);
        }
        self.wanted.extend(low);
    }
}

fn place_of(policy: &Policy, asking: Asking<'_>) -> Place {
    match policy.scope {
        Scope::Account => (asking.partition, None),
        Scope::Practice => (asking.partition, Some(asking.practice.clone())),
    }
}

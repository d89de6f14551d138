//! One promise, one file: the checkers that all share (`healthflow-proof`), asked of what a life shows, and those that only a life
//! can ask. Some are held to at every step, some when everything has come to rest.

pub mod by_hand;
pub mod committed_offsets;
pub mod every_review_ends;
pub mod honest_tries;
pub mod held_first;
pub mod intent_first;
pub mod lease;
pub mod limits;
pub mod newest_version_wins;
pub mod none_lost;
pub mod notices;
pub mod no_duplicate;
pub mod no_innocent;
pub mod no_orphan;
pub mod no_step_back;
pub mod one_result;
pub mod orders;
pub mod outages;
pub mod own_word;
pub mod rate_limit;
pub mod released_in_order;
pub mod retry_grows;
pub mod review_topic;
pub mod right_chart;
pub mod shared_counter;
pub mod slots;
pub mod storms;

use std::collections::BTreeMap;

use healthflow_core::booking::{Version, VersionKey};
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::Request;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;
use healthflow_proof::promises::sending::{self, Same};

use crate::lives::Lives;
use crate::plan::Plan;
use crate::worker::Outbound;
use crate::world::{Event, World};

/// How often the world is asked whether it has come to rest, in milliseconds.
const LOOK_EVERY_MS: i64 = 500;

impl Lives {
    /// The versions of a booking that ask for exactly what `request` writes.
    pub fn same_as(&self, request: &Request) -> Same {
        let (Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. }) =
            request
        else {
            return None;
        };
        let key = sending::booking_of(content);
        let versions = self.wanted.range(key.versions());
        let asks = versions
            .filter(|(_, booking)| booking.visit == content.visit && booking.status == content.status);
        sending::same(asks.map(|(of, _)| of.version))
    }
}

#[derive(Default)]
pub struct Judges {
    pub one_result: one_result::OneResult,
    pub rate_limit: rate_limit::RateLimit,
    pub limits: limits::Limits,
    pub notices: notices::Notices,
    pub retry_grows: retry_grows::RetryGrows,
    pub no_step_back: no_step_back::NoStepBack,
    pub honest_tries: honest_tries::HonestTries,
    pub orders: orders::Orders,
    pub released_in_order: released_in_order::ReleasedInOrder,
    pub steps_aside: slots::StepsAside,
    pub every_review_ends: every_review_ends::EveryReviewEnds,
}

impl Judges {
    pub fn of(plan: &Plan) -> Self {
        let mut judges = Judges::default();
        judges.one_result.forgetful = plan.settings.answered_bytes_max < 4_096;
        judges
    }
}

impl World {
    /// A transaction stands.
    pub fn judge_commit(
        &mut self,
        (partition, epoch): (i32, u64),
        batch: &CommitBatch,
        before: &BTreeMap<Lane, i64>,
    ) {
        self.judge_results(batch);
        let known = (&self.plan, &self.lives, &self.judges.one_result);
        let broken = self.judges.notices.commit(partition, batch, known);
        self.violate_all("notices", broken);
        let broken = committed_offsets::broken(&self.partitions[partition as usize], epoch, before);
        self.violate_all("committed offsets", broken);
        let broken = review_topic::broken(&self.partitions[partition as usize]);
        self.violate_all("review topic", broken);
        self.judges.released_in_order.commit(batch);
        let broken = self.judges.retry_grows.commit(batch);
        self.violate_all("retry grows", broken);
        let broken = self.judges.orders.commit(
            batch,
            &self.partitions[partition as usize].state,
            &self.lives,
            &self.healthflow,
        );
        self.violate_all("as decided", broken);
    }

    /// Results are visible.
    pub fn judge_results(&mut self, batch: &CommitBatch) {
        let broken = self.judges.one_result.commit(batch, self.now);
        self.violate_all("one result", broken);
        let published = (&self.lives, &self.published_at);
        let broken =
            self.judges.honest_tries.commit(batch, published, (&self.plan, &self.operators), self.now);
        self.violate_all("honest tries", broken);
    }

    fn violate_all(&mut self, promise: &str, broken: impl IntoIterator<Item = String>) {
        for what in broken {
            self.violate(promise, what);
        }
    }

    /// A worker reports what happened.
    pub fn judge_facts(&mut self, worker: usize, facts: &[Fact]) {
        let broken = outages::broken(&mut self.workers[worker].breaker, facts);
        self.violate_all("outages", broken);
        let clock = self.workers[worker].clock(self.now).0;
        let limits = self.plan.settings.rejection_storm;
        let broken = self.workers[worker].storms.broken(facts, &limits, clock);
        self.violate_all("storms", broken);
        let is_replaced = |of: &VersionKey| {
            let newer = of.booking.version(of.version + 1)..=of.booking.version(Version::MAX);
            self.published_at.range(newer).next().is_some()
        };
        let broken = self.judges.released_in_order.broken(facts, is_replaced);
        facts.iter().for_each(|fact| self.judges.steps_aside.notes(fact));
        self.violate_all("released in order", broken);
    }

    /// A worker lets a call go, under a permit of the shared counter or without it.
    pub fn judge_alone(&mut self, worker: usize, permit_until: Option<Timestamp>) {
        if self.plan.settings.shared_counter.is_none() {
            return;
        }
        let one = &mut self.workers[worker];
        if permit_until.is_some() {
            return one.alone.has_counter();
        }
        let owned = one.processor.status(one.clock(self.now)).tasks.len();
        if let Some(what) = one.alone.calls(owned, &self.plan, self.now) {
            self.violate("shared counter", format!("w{worker} {what}"));
        }
    }

    /// A call's bytes go out.
    pub fn judge_send(&mut self, worker: usize, outbound: &Outbound) {
        let guard = self.plan.settings.guard;
        let call = &outbound.call;
        let state = &self.partitions[call.partition as usize].state;
        let of_owner = outbound.epoch == self.partitions[call.partition as usize].epoch;
        let unintended = intent_first::broken(state, &call.request, guard, &self.lives);
        let held = of_owner.then(|| held_first::broken(state, &call.request, &self.lives)).flatten();
        for (promise, broken) in [("intent first", unintended), ("held first", held)] {
            if let Some(what) = broken {
                self.violate(promise, format!("w{worker} {what}"));
            }
        }
        let epoch = call.request.operation().is_write().then_some(outbound.epoch);
        let partition = &self.partitions[call.partition as usize];
        let lease_ms = self.plan.settings.lease_ms;
        let late = epoch.and_then(|epoch| lease::broken(partition, epoch, lease_ms, self.now));
        let unproven = epoch.and_then(|epoch| lease::unproven(partition, epoch));
        if let Some(what) = late.or(unproven) {
            self.violate("lease", format!("w{worker} {what}"));
        }
        let clock = self.workers[worker].clock(self.now);
        if let Some(what) = call.lease_until.and_then(|until| lease::outlived(until, clock)) {
            self.violate("lease", format!("w{worker} {what}"));
        }
        let late = shared_counter::late(outbound, &self.plan, self.now);
        self.violate_all("shared counter", late);
        self.judges.honest_tries.sent(&call.request, self.now);
        let broken = self.judges.no_step_back.sent(&call.request, &self.lives, guard);
        self.violate_all("no step back", broken);
    }

    /// Whether everything has come to rest; then every promise is checked, and too late it must not be.
    pub fn look(&mut self) {
        let open = none_lost::open(self);
        self.somebody_patient_decides();
        self.violate_all("every review ends", every_review_ends::broken(self));
        let rests_from = self.judges.every_review_ends.rests_from(self.plan.faults_until);
        let untold = notices::open(self);
        if open.is_empty() && untold.is_empty() && self.healthflow.under_way == 0 {
            self.quiet_after_ms = Some(self.now - self.plan.faults_until);
            self.violate_all("no duplicate", no_duplicate::broken(self));
            self.violate_all("no innocent", no_innocent::broken(self));
            self.violate_all("own word", own_word::broken(self));
            self.violate_all("no orphan", no_orphan::broken(self));
            self.violate_all("newest version wins", newest_version_wins::broken(self));
            self.violate_all("slots", slots::broken(self));
            self.violate_all("right chart", right_chart::broken(self));
            self.violate_all("rate limit", self.judges.rate_limit.broken(&self.plan));
            self.violate_all("limits", self.judges.limits.broken(&self.plan));
            self.violate_all("shared counter", self.judges.limits.overfull(&self.plan));
            self.violate_all("shared counter", shared_counter::alone(self));
        } else if self.now > rests_from + self.plan.rest_within_ms() {
            self.violate_all("every review ends", every_review_ends::open(self));
            self.violate_all("none lost", open);
            self.violate_all("notices", untold);
        } else {
            self.after(LOOK_EVERY_MS, Event::Look);
        }
    }
}

//! What long limits say of a call (`quotas.rs`), beside what is kept for bookings that have begun and what HealthFlow told.

use std::collections::BTreeMap;

use crate::booking::PracticeId;
use crate::limits::forecast::QuotaView;
use crate::limits::policy::Policy;
use crate::state::{QuotaCount, QuotaOwner};
use crate::time::Timestamp;

use super::{Asking, Book, LOOK_AGAIN_MS, QUOTA_PARTS, key_of, need_of};

/// How soon a call looks again that waits for another partition's commit, in milliseconds.
const GRANT_MS: i64 = 200;

/// Whether a call may use what only live bookings may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It may: it is for a live booking, or settles a doubt.
    Live,
    /// It may not, for it is for history.
    Backfill,
}

/// What a call waits for that a long limit does not let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaWait {
    /// For the next commit of its task, which counts it before it goes out.
    Commit,
    /// For this moment.
    Until(Timestamp),
}

impl Book {
    /// Keeps this part of every long window for live bookings.
    #[must_use]
    pub fn keeping_for_live(mut self, part: f64) -> Self {
        self.quotas.keep_for_live(part);
        self
    }

    /// What such a call waits for because of long limits; none if it may go out.
    pub fn quota_wait(
        &self,
        asking: Asking<'_>,
        is_begun: bool,
        claim: Claim,
        now: Timestamp,
    ) -> Option<QuotaWait> {
        let is_reserved = asking.booking.is_none_or(|booking| self.reserved.has(booking));
        // What has begun need not leave anything to others, but for history, which leaves live bookings their reserve.
        let is_live = claim == Claim::Live || is_reserved;
        let is_kept = is_reserved || (is_begun && claim == Claim::Live);
        let long = self.policies.iter().enumerate().filter(|(_, policy)| policy.is_long());
        let waits = long.filter_map(|(index, policy)| {
            let key = key_of(index, policy, asking)?;
            if let Some(until) = self.closed.get(&key).filter(|until| **until > now) {
                return Some(QuotaWait::Until(*until));
            }
            let left = self.quotas.left(index, asking, is_live, now);
            let need = if is_kept || is_begun { 1 } else { need_of(policy) };
            // Few calls a window are not left unused for the sake of a whole booking.
            let need = need.min(left.quota / QUOTA_PARTS).min(left.usable).max(1);
            let kept = if is_kept { 0 } else { self.reserved.of(&key, now) };
            match () {
                () if left.calls < need => Some(QuotaWait::Until(left.more_at)),
                () if left.calls.saturating_sub(kept) < need => {
                    Some(QuotaWait::Until(left.more_at.min(now.plus_ms(LOOK_AGAIN_MS))))
                }
                () if left.is_granted => None,
                () if left.may_be_granted => Some(QuotaWait::Commit),
                () => Some(QuotaWait::Until(now.plus_ms(GRANT_MS))),
            }
        });
        // A commit does not help who waits for a moment too.
        waits.max_by_key(|wait| if let QuotaWait::Until(at) = wait { Some(*at) } else { None })
    }

    /// A call goes out and counts in the long limits.
    pub fn spend(&mut self, asking: Asking<'_>, claim: Claim, now: Timestamp) {
        self.quotas.spend(asking, claim == Claim::Live, now);
    }

    /// Whether there is any long limit.
    pub fn counts_long(&self) -> bool {
        !self.quotas.is_empty()
    }

    /// A partition that was acquired begins with what its last owner had counted.
    pub fn restore(&mut self, partition: i32, found: &BTreeMap<QuotaOwner, Vec<QuotaCount>>) {
        self.quotas.restore(partition, found);
    }

    /// A call of a practice waits for the next commit of its partition, which is to count it.
    pub fn want_count(&mut self, partition: i32, practice: &PracticeId) {
        let policies = self.policies.clone();
        let of_practice = |policy: &&Policy| policy.is_long() && policy.scope == super::Scope::Practice;
        if policies.iter().any(|policy| of_practice(&policy)) {
            self.quotas.want(partition, Some(practice.clone()));
        }
        self.quotas.want(partition, None);
    }

    /// The partitions whose next commit should come soon, for it counts calls that are about to go out.
    pub fn wanting_commit(&mut self, now: Timestamp) -> Vec<i32> {
        self.quotas.wanting(now)
    }

    /// When that is to be asked without an event.
    pub fn next_quota_look(&self) -> Option<Timestamp> {
        self.quotas.next_look()
    }

    /// What the next commit of a partition says of its counts, whose it is; what a partition that is given back has not used is
    /// left to the next owner.
    pub fn counts_to_commit(
        &mut self,
        partition: i32,
        is_given_back: bool,
        now: Timestamp,
    ) -> Vec<(QuotaOwner, Vec<QuotaCount>)> {
        self.quotas.records(partition, is_given_back, now)
    }

    /// The commit of a partition is good.
    pub fn counts_committed(&mut self, partition: i32, now: Timestamp) {
        self.quotas.committed(partition, now);
    }

    /// The long limits at this moment.
    pub fn quota_views(&self, now: Timestamp) -> Vec<QuotaView> {
        self.quotas.views(now)
    }

    /// The long limits of which it is news that they will be used up before their window ends; with whether that is for live bookings.
    pub fn quota_forecast(&mut self, now: Timestamp) -> Vec<(QuotaView, bool)> {
        self.quotas.forecast(now)
    }
}

#[cfg(test)]
mod tests;

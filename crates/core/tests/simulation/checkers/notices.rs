//! Whoever waits is told once: a version of its delay, and again only if it takes half as long again as was said; each task of
//! the begin and of the end of an outage, in turns and under one id, whoever owns it by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{Source, VersionKey};
use healthflow_core::event::notice::{About, Delay, Outage};
use healthflow_core::event::{Notice, Outgoing};
use healthflow_core::limits::BreakerLimits;
use healthflow_core::partition::commit_batch::CommitBatch;

use crate::checkers::one_result::OneResult;
use crate::lives::Lives;
use crate::plan::Plan;
use crate::world::World;

#[derive(Debug, Default)]
pub struct Notices {
    /// How long after its request each version was told to expect its result, the last time, in milliseconds.
    told_ms: BTreeMap<VersionKey, i64>,
    /// The outage of each partition that was told of and has not ended.
    open: BTreeMap<i32, Arc<str>>,
    /// Every outage that was told of.
    known: BTreeSet<Arc<str>>,
}

impl Notices {
    /// Takes in what a transaction made visible; what it breaks.
    pub fn commit(
        &mut self,
        partition: i32,
        batch: &CommitBatch,
        (plan, lives, results): (&Plan, &Lives, &OneResult),
    ) -> Vec<String> {
        let mut broken = Vec::new();
        let notices = batch.records.iter().filter_map(|record| match record {
            Outgoing::Notice(notice) => Some(&**notice),
            _ => None,
        });
        let mut count = 0;
        for notice in notices {
            count += usize::from(matches!(notice.about, About::Delayed(_)));
            let what = match &notice.about {
                About::Delayed(delay) => self.delayed(notice, delay, plan, lives, results),
                About::OutageBegan(outage) => self.began(notice, outage, &plan.settings.breaker),
                About::OutageEnded(outage) => self.ended(outage),
            };
            broken.extend(what);
            if let About::OutageBegan(outage) | About::OutageEnded(outage) = &notice.about
                && outage.partition != partition
            {
                broken.push(format!("p{partition} tells of an outage of p{}", outage.partition));
            }
        }
        if count > plan.settings.notices_max {
            broken.push(format!("p{partition} tells of {count} delays in one commit"));
        }
        broken
    }

    fn delayed(
        &mut self,
        notice: &Notice,
        delay: &Delay,
        plan: &Plan,
        lives: &Lives,
        results: &OneResult,
    ) -> Option<String> {
        let Delay { identity, promised_at, .. } = delay;
        let version = identity.version_key();
        let told_ms = promised_at.since_ms(identity.requested_at);
        let before = self.told_ms.insert(version.clone(), told_ms);
        let least_ms = before.map(|before| before.max(plan.settings.promise_ms)).map(|ms| ms + ms / 2);
        if least_ms.is_some_and(|least_ms| told_ms <= least_ms) {
            return Some(format!("{version} was told {before:?} ms and is told {told_ms} ms"));
        }
        if *promised_at <= notice.at {
            return Some(format!("{version} is promised what is over"));
        }
        if results.verdict(&identity.key, identity.version).is_some() {
            return Some(format!("{version} is told of a delay after its result"));
        }
        let is_live = lives.wanted.get(&version).is_some_and(|booking| booking.source == Source::Live);
        (!is_live).then(|| format!("{version} was promised nothing and is told of a delay"))
    }

    fn began(&mut self, notice: &Notice, outage: &Outage, limits: &BreakerLimits) -> Option<String> {
        let (partition, id) = (outage.partition, &outage.outage.id);
        let lasted_ms = notice.at.since_ms(outage.outage.began_at);
        if !self.known.insert(id.clone()) {
            return Some(format!("p{partition} tells twice that {id} began"));
        }
        if let Some(open) = self.open.insert(partition, id.clone()) {
            return Some(format!("p{partition} tells that {id} began while {open} lasts"));
        }
        let is_early = limits.notice_after_ms == 0 || lasted_ms < limits.notice_after_ms;
        is_early.then(|| format!("p{partition} tells of {id} after {lasted_ms} ms"))
    }

    fn ended(&mut self, outage: &Outage) -> Option<String> {
        let (partition, id) = (outage.partition, &outage.outage.id);
        let open = self.open.remove(&partition);
        (open.as_ref() != Some(id)).then(|| format!("p{partition} tells that {id} ended, and {open:?} lasts"))
    }
}

/// Outages of which nobody has told the end. A worker that has nothing to ask does not learn that HealthFlow works.
pub fn open(world: &World) -> Vec<String> {
    if world.workers.iter().any(|worker| worker.breaker.is_open()) {
        return Vec::new();
    }
    let open = world.judges.notices.open.iter();
    open.map(|(partition, id)| format!("p{partition} has not told the end of {id}")).collect()
}

//! One promise, one file. Some are held to at every step, some when everything has come to rest.

pub mod intent_first;
pub mod newest_version_wins;
pub mod none_lost;
pub mod no_duplicate;
pub mod no_orphan;
pub mod one_result;
pub mod rate_limit;
pub mod right_chart;
pub mod watermark;

use std::collections::BTreeMap;

use healthflow_sync::event::topics::Lane;
use healthflow_sync::partition::commit_batch::CommitBatch;

use crate::worker::Outbound;
use crate::world::{Event, World};

/// How often the world is asked whether it has come to rest, in milliseconds.
const LOOK_EVERY_MS: i64 = 500;

#[derive(Default)]
pub struct Judges {
    pub one_result: one_result::OneResult,
    pub rate_limit: rate_limit::RateLimit,
}

impl World {
    /// A transaction stands.
    pub fn judge_commit(&mut self, partition: i32, batch: &CommitBatch, before: &BTreeMap<Lane, i64>) {
        let mut broken = self.judges.one_result.commit(batch, self.now);
        broken.extend(watermark::broken(&self.partitions[partition as usize], before));
        for what in broken {
            self.violate("commit", what);
        }
    }

    /// A call's bytes go out.
    pub fn judge_send(&mut self, worker: usize, outbound: &Outbound) {
        let state = &self.partitions[outbound.partition as usize].state;
        if let Some(what) = intent_first::broken(state, &outbound.request, self.plan.settings.guard) {
            self.violate("intent first", format!("w{worker} {what}"));
        }
    }

    /// Whether everything has come to rest; then every promise is checked, and too late it must not be.
    pub fn look(&mut self) {
        let open = none_lost::open(self);
        if open.is_empty() && self.healthflow.under_way == 0 {
            self.quiet_after_ms = Some(self.now - self.plan.faults_until);
            let mut broken = no_duplicate::broken(self);
            broken.extend(no_orphan::broken(self));
            broken.extend(newest_version_wins::broken(self));
            broken.extend(right_chart::broken(self));
            broken.extend(self.judges.rate_limit.broken(&self.plan));
            for what in broken {
                self.violate("at rest", what);
            }
        } else if self.now > self.plan.faults_until + self.plan.rest_within_ms() {
            for what in open {
                self.violate("quiescence", what);
            }
        } else {
            self.after(LOOK_EVERY_MS, Event::Look);
        }
    }
}

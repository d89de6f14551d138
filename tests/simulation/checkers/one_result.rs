//! Promise 4: every (booking, version) gets exactly one final result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_sync::booking::{BookingKey, Version};
use healthflow_sync::event::Outgoing;
use healthflow_sync::partition::commit_batch::CommitBatch;
use healthflow_sync::sync::{Reason, SyncedOutcome};

/// A final result as subscribers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Result<SyncedOutcome, Reason>,
    /// The appointment it speaks of.
    pub appointment_id: Option<Arc<str>>,
    pub committed_at: i64,
}

#[derive(Debug, Default)]
pub struct OneResult {
    pub verdicts: BTreeMap<BookingKey, BTreeMap<Version, Verdict>>,
    /// Dead letters of records without identity: (partition, offset).
    pub nameless: BTreeSet<(i32, i64)>,
}

impl OneResult {
    /// Takes in what a transaction made visible; what it breaks.
    pub fn commit(&mut self, batch: &CommitBatch, now: i64) -> Vec<String> {
        let mut broken = Vec::new();
        for record in &batch.records {
            let (identity, outcome, appointment_id) = match record {
                Outgoing::Synced(done) => {
                    (Some(&done.identity), Ok(done.outcome), done.healthflow_appointment_id.clone())
                }
                Outgoing::Failed(letter) => (letter.identity.as_ref(), Err(letter.reason), None),
                _ => continue,
            };
            let verdict = Verdict { outcome, appointment_id, committed_at: now };
            if let Some(identity) = identity {
                let versions = self.verdicts.entry(identity.key.clone()).or_default();
                if let Some(first) = versions.insert(identity.version, verdict.clone()) {
                    let (key, version) = (&identity.key, identity.version);
                    broken.push(format!(
                        "{key} v{version} got {:?} after {:?}",
                        verdict.outcome, first.outcome
                    ));
                }
            } else if let Outgoing::Failed(letter) = record {
                let origin = letter.origin.map_or((-1, -1), |origin| (origin.partition, origin.offset));
                if !self.nameless.insert(origin) {
                    broken.push(format!("the record at {origin:?} was dead-lettered twice"));
                }
            }
        }
        broken
    }

    pub fn verdict(&self, key: &BookingKey, version: Version) -> Option<&Verdict> {
        self.verdicts.get(key)?.get(&version)
    }
}

//! Promise 4: every (booking, version) gets exactly one final result; a dead letter that is redriven is followed by one more,
//! under a higher generation (rule K10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{BookingKey, Version, VersionKey};
use healthflow_core::event::Outgoing;
use healthflow_core::event::failed::DeadContent;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::sync::{FailureReason, SyncedOutcome};
use healthflow_proof::promises::results::{self, Outcome};

/// A final result as subscribers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// The appointment it speaks of.
    pub appointment_id: Option<Arc<str>>,
    pub committed_at: i64,
    pub generation: u32,
}

#[derive(Debug, Default)]
pub struct OneResult {
    pub verdicts: BTreeMap<BookingKey, BTreeMap<Version, Verdict>>,
    /// Dead letters of records without identity: (partition, offset).
    pub unidentified: BTreeSet<(i32, i64)>,
    /// The generations under which somebody redrove a version.
    pub redriven: BTreeSet<(VersionKey, u32)>,
    /// Workers remember so little of each booking that a copy of an old version may get a second result.
    pub forgetful: bool,
}

impl OneResult {
    /// Takes in what a transaction made visible; what it breaks.
    pub fn commit(&mut self, batch: &CommitBatch, now: i64) -> Vec<String> {
        let mut broken = Vec::new();
        for record in &batch.records {
            let (identity, outcome, appointment_id, generation) = match record {
                Outgoing::Synced(done) => {
                    let appointment_id = done.healthflow_appointment_id.clone();
                    (Some(&done.identity), Ok(done.outcome), appointment_id, done.generation)
                }
                Outgoing::Failed(letter) => {
                    (letter.identity.as_ref(), Err(letter.reason), None, letter.generation)
                }
                _ => continue,
            };
            let verdict = Verdict { outcome, appointment_id, committed_at: now, generation };
            if let Some(identity) = identity {
                let versions = self.verdicts.entry(identity.key.clone()).or_default();
                let version = identity.version;
                let is_repeated =
                    matches!(outcome, Ok(SyncedOutcome::Superseded) | Err(FailureReason::Impossible));
                if self.forgetful && is_repeated && versions.contains_key(&version) {
                    continue;
                }
                let redriven = &self.redriven;
                let second = results::one_result(versions, version, verdict, |first, second| {
                    is_redriven(redriven, identity.version_key(), first, second)
                });
                broken.extend(second.map(|what| format!("{} {what}", identity.version_key())));
            } else if let Outgoing::Failed(letter) = record {
                let origin = letter.origin.map_or((-1, -1), |origin| (origin.partition, origin.offset));
                // A decision that is read again after its offset was lost is refused again: it is no version's result.
                let is_decision = matches!(letter.content, DeadContent::Decision(_));
                if !is_decision && !self.unidentified.insert(origin) {
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

/// Whether a redrive of the dead letter `first` accounts for `second`.
fn is_redriven(
    redriven: &BTreeSet<(VersionKey, u32)>,
    of: VersionKey,
    first: &Verdict,
    second: &Verdict,
) -> bool {
    let quotes = first.generation + 1;
    first.outcome.is_err() && second.generation >= quotes && redriven.contains(&(of, quotes))
}

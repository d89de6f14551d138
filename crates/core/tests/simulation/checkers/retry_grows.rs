//! Rule K4: only the newest record of a parked version is taken; whoever takes an older one forgets attempts.

use std::collections::BTreeMap;

use healthflow_core::booking::{Booking, VersionKey};
use healthflow_core::event::Outgoing;
use healthflow_core::partition::commit_batch::CommitBatch;

#[derive(Debug, Default)]
pub struct RetryGrows(BTreeMap<VersionKey, u32>);

impl RetryGrows {
    /// The record of a version was deleted: should it be published again, it begins anew.
    pub fn forget(&mut self, booking: &Booking) {
        self.0.remove(&booking.version_key());
    }

    /// Takes in what a transaction parks; what it breaks.
    pub fn commit(&mut self, batch: &CommitBatch) -> Vec<String> {
        let mut broken = Vec::new();
        for record in &batch.records {
            if let Outgoing::Failed(letter) = record
                && let Some(identity) = &letter.identity
            {
                // Redriven, it begins anew.
                self.0.remove(&identity.version_key());
            }
            let Outgoing::Retry(entry) = record else { continue };
            let version = entry.booking.version_key();
            let attempts = self.0.entry(version.clone()).or_default();
            if entry.schedule.attempts < *attempts {
                broken.push(format!("{version} had {attempts} attempts, now {}", entry.schedule.attempts));
            }
            *attempts = entry.schedule.attempts;
        }
        broken
    }
}

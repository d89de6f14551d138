//! Rule K4: those that waited behind one review go on in the order in which they came.

use std::collections::BTreeMap;

use healthflow_core::booking::{PatientKey, VersionKey};
use healthflow_core::event::Outgoing;
use healthflow_core::fact::Fact;
use healthflow_core::partition::commit_batch::CommitBatch;

#[derive(Debug, Default)]
pub struct ReleasedInOrder {
    /// Whose bookings wait behind a review, and when each came.
    behind: BTreeMap<VersionKey, (PatientKey, i64)>,
}

impl ReleasedInOrder {
    /// Takes in what a transaction holds.
    pub fn commit(&mut self, batch: &CommitBatch) {
        for record in &batch.records {
            let Outgoing::Review(case) = record else { continue };
            let version = case.booking.version_key();
            self.behind.remove(&version);
            if case.waits_for.is_some() {
                self.behind.insert(version, (case.booking.patient_key(), case.order));
            }
        }
    }

    /// What is wrong with the order in which a worker says that it let versions go. One that a newer one replaces is let go for
    /// that, whenever it came.
    pub fn broken(&self, facts: &[Fact], is_replaced: impl Fn(&VersionKey) -> bool) -> Option<String> {
        let mut released: BTreeMap<&PatientKey, Vec<i64>> = BTreeMap::new();
        for fact in facts {
            if matches!(fact, Fact::DecisionTaken { .. }) {
                released.clear();
            }
            let Fact::BookingReleased { key, version } = fact else { continue };
            let let_go = key.version(*version);
            let Some((patient, order)) = self.behind.get(&let_go) else { continue };
            // What was asked about goes first.
            let is_asked = facts.iter().any(|fact| matches!(fact, Fact::DecisionTaken { key: of, version: one, .. } if (of, one) == (key, version)));
            if is_asked || is_replaced(&let_go) {
                continue;
            }
            let before = released.entry(patient).or_default();
            if before.contains(order) {
                // The next review let it go once more.
                before.clear();
            }
            if before.last().is_some_and(|last| order < last) {
                return Some(format!("{let_go} goes on after one that came later"));
            }
            before.push(*order);
        }
        None
    }
}

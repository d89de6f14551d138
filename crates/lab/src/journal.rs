//! DentScheduler's journal: what it asked for, and which results it saw. The screen counts from it, the audit checks
//! it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use healthflow_core::booking::BookingKey;
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::time::Timestamp;

use crate::workload::Expected;

/// Where a record of a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordPosition {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What a result is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A version of a booking.
    Version(BookingKey, i64),
    /// A record that cannot be used.
    Record(RecordPosition),
    /// A decision, by its id.
    Decision(String),
    /// A result that names nothing.
    Nothing,
}

/// One thing that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What.
    pub name: Name,
    /// What must come of it.
    pub expected: Expected,
    /// When it was published.
    pub at: Timestamp,
}

/// One result, as it was seen.
#[derive(Clone, Debug)]
pub struct SeenResult {
    /// The version it names.
    pub version: Option<(BookingKey, i64)>,
    /// The record it names, in `appointments.requested`.
    pub record: Option<RecordPosition>,
    /// How it ended.
    pub outcome: ResultOutcome,
    /// Whether no other result follows.
    pub is_final: bool,
    /// The reason given.
    pub reason: Option<String>,
    /// Which question it is, if it is a review.
    pub generation: u32,
    /// Attempts, the last one included.
    pub attempts: u32,
    /// The decision that could not be carried out, if it is about one.
    pub decision: Option<String>,
    /// When it was seen.
    pub at: Timestamp,
}

/// The journal. Locked for moments only.
#[derive(Default)]
pub struct Journal {
    notes: Mutex<Notes>,
}

/// Its entries.
#[derive(Default)]
pub struct Notes {
    /// What was asked for.
    pub asked: Vec<Asked>,
    /// Every result that was seen, in order.
    pub results: Vec<SeenResult>,
    /// Records published, upstream duplicates included.
    pub published: usize,
    /// What went wrong with the journal itself: a record that Kafka did not take, a result that cannot be read.
    pub faults: Vec<String>,
}

/// How many of the versions that were asked for have which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Asked for.
    pub asked: usize,
    /// Ended well.
    pub synced: usize,
    /// Waiting for a person.
    pub review: usize,
    /// Ended badly.
    pub failed: usize,
}

impl Journal {
    /// The notes, for a moment.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// Without any result.
    pub fn waiting(&self) -> usize {
        self.asked.saturating_sub(self.synced + self.review + self.failed)
    }
}

/// The result of a version that counts, whatever the order in which they were seen.
pub fn that_counts<'a>(results: &[&'a SeenResult]) -> Option<&'a SeenResult> {
    results.iter().find(|result| result.is_final).or(results.last()).copied()
}

impl Notes {
    /// What each result is about, in order. A dead letter of a record that was poisoned on purpose is about the record.
    pub fn result_names(&self) -> Vec<Name> {
        let records: HashSet<RecordPosition> = self
            .asked
            .iter()
            .filter_map(|asked| if let Name::Record(position) = asked.name { Some(position) } else { None })
            .collect();
        let name = |result: &SeenResult| match (&result.record, &result.version) {
            // Its record is one of another topic.
            _ if result.decision.is_some() => Name::Decision(result.decision.clone().unwrap_or_default()),
            (Some(record), _) if records.contains(record) => Name::Record(*record),
            (_, Some((booking, version))) => Name::Version(booking.clone(), *version),
            _ => Name::Nothing,
        };
        self.results.iter().map(name).collect()
    }

    /// Per name, its results in the order in which they were seen.
    pub fn results_by_name(&self) -> HashMap<Name, Vec<&SeenResult>> {
        let mut by_name: HashMap<Name, Vec<&SeenResult>> = HashMap::new();
        for (name, result) in self.result_names().into_iter().zip(&self.results) {
            by_name.entry(name).or_default().push(result);
        }
        by_name
    }

    /// Counts the outcomes: of each version its final result, else its last one.
    pub fn count(&self) -> Count {
        let by_name = self.results_by_name();
        let mut count = Count { asked: self.asked.len(), ..Count::default() };
        for asked in &self.asked {
            let result = by_name.get(&asked.name).and_then(|results| that_counts(results));
            match result.map(|result| result.outcome) {
                None => {}
                Some(ResultOutcome::Review) => count.review += 1,
                Some(ResultOutcome::Failed | ResultOutcome::Unknown) => count.failed += 1,
                Some(_) => count.synced += 1,
            }
        }
        count
    }
}

//! Schema ids that the registry has not resolved yet. A follower of the registry may learn a new schema seconds after
//! its leader, so a denial counts late and is forgotten soon; and an id that never resolves must not be requested for
//! ever, nor fill memory. Without this the first bookings of a newly deployed producer would become dead letters.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::registry::{RegistryFault, RetryPolicy, SchemaState};
use healthflow_core::status::{SchemaStatus, SchemaTrouble};
use healthflow_core::time::Timestamp;

/// Ids that are requested at a time; records of further ones wait until there is room.
const IDS_MAX: usize = 1_000;
/// Requests for schemas under way at a time.
const REQUESTS_MAX: usize = 8;

/// The ids that are being requested.
pub(super) struct UnresolvedIds {
    questions: Mutex<HashMap<u32, Question>>,
    turns: Semaphore,
}

struct Question {
    /// When a record last needed it.
    wanted_at: Instant,
    /// When an answer last came, or a request timed out.
    answered_at: Option<Instant>,
    /// Since when the registry has denied it.
    denied_since: Option<Instant>,
    /// When it last denied it.
    denied_at: Option<Instant>,
    /// For how long, not counting time without an answer.
    denied_for: Duration,
}

impl Default for UnresolvedIds {
    fn default() -> Self {
        UnresolvedIds { questions: Mutex::default(), turns: Semaphore::new(REQUESTS_MAX) }
    }
}

impl UnresolvedIds {
    /// The state of `id`, and whether the caller must begin to request it.
    pub(super) fn schema_state(&self, id: u32, unknown_wait: Duration) -> (SchemaState, bool) {
        let mut questions = self.lock();
        let room = questions.len() < IDS_MAX;
        match questions.entry(id) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().wanted_at = Instant::now();
                (entry.get().schema_state(unknown_wait), false)
            }
            Entry::Vacant(place) if room => {
                place.insert(Question {
                    wanted_at: Instant::now(),
                    answered_at: None,
                    denied_since: None,
                    denied_at: None,
                    denied_for: Duration::ZERO,
                });
                (SchemaState::Asked, true)
            }
            Entry::Vacant(_) => (SchemaState::Asked, false),
        }
    }

    /// A permit for one request.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// The schema of `id` has arrived.
    pub(super) fn answered(&self, id: u32) {
        let question = self.lock().remove(&id);
        if question.is_some_and(|question| question.denied_at.is_some()) {
            tracing::info!(id, "the schema registry knows this schema id now");
        }
    }

    /// The registry did not return the schema of `id`. False if no record needs it any more.
    pub(super) fn not_given(&self, id: u32, fault: &RegistryFault, policy: &RetryPolicy) -> bool {
        let mut questions = self.lock();
        let Some(question) = questions.get_mut(&id) else { return false };
        if question.wanted_at.elapsed() > policy.unwanted_after {
            questions.remove(&id);
            return false;
        }
        let before = question.schema_state(policy.unknown_wait);
        question.record_answer(matches!(fault, RegistryFault::NotFound { .. }));
        let now = question.schema_state(policy.unknown_wait);
        log_change(id, fault, question, policy, &before, &now);
        true
    }

    /// The ids that the registry denies.
    pub(super) fn denied(&self, now: Timestamp) -> Vec<SchemaStatus> {
        let questions = self.lock();
        let mut denied: Vec<_> = questions
            .iter()
            .filter_map(|(id, question)| {
                let since = super::ago(now, question.denied_since?);
                Some(SchemaStatus { id: *id, trouble: SchemaTrouble::Unknown, since, what: None })
            })
            .collect();
        denied.sort_unstable_by_key(|schema| schema.id);
        denied
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    fn schema_state(&self, unknown_wait: Duration) -> SchemaState {
        match self.denied_at {
            Some(at) if self.denied_for >= unknown_wait => SchemaState::Denied { at },
            _ => SchemaState::Asked,
        }
    }

    fn record_answer(&mut self, denies: bool) {
        let now = Instant::now();
        if denies {
            // Between two denials the id was unknown all the time; after a silence only since the last try.
            let since_last = self.answered_at.filter(|_| self.denied_at.is_some());
            self.denied_for += since_last.map_or(Duration::ZERO, |last| now.duration_since(last));
            self.denied_since.get_or_insert(now);
            self.denied_at = Some(now);
        }
        self.answered_at = Some(now);
    }
}

/// Logs a line at the first denial, when the denial counts, and at every silence.
fn log_change(
    id: u32,
    fault: &RegistryFault,
    question: &Question,
    policy: &RetryPolicy,
    before: &SchemaState,
    now: &SchemaState,
) {
    match (before, now) {
        (SchemaState::Asked, SchemaState::Denied { .. }) => tracing::error!(
            id,
            "the schema registry has not known this schema id for {:?}: records with it become dead letters; have the \
             schema registered, then run `healthflow-sync redrive --reason UNDECODABLE`",
            policy.unknown_wait
        ),
        _ if !matches!(fault, RegistryFault::NotFound { .. }) => {
            tracing::warn!(id, "{fault}; records with this schema wait, trying again");
        }
        _ if question.denied_for.is_zero() => tracing::warn!(
            id,
            "the schema registry does not know this schema id; records with it wait up to {:?} for it",
            policy.unknown_wait
        ),
        _ => {}
    }
}

//! Producers' schemas that ours cannot read completely: logs each once, with the differences, when it is first seen.
//! Otherwise a wrong schema would first show in dead letters.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use healthflow_core::event::avro::{Contract, Decoder};
use healthflow_core::status::{SchemaStatus, SchemaTrouble};
use healthflow_core::time::Timestamp;

/// How many reported schemas are remembered.
const REPORTED_MAX: usize = 1_000;
/// How long the status shows one after it was last seen.
const SHOWN: Duration = Duration::from_secs(600);

/// The schemas that were reported, by id and topic.
#[derive(Default)]
pub(super) struct Differing(Mutex<BTreeMap<(u32, &'static str), Reported>>);

struct Reported {
    since: Instant,
    met_at: Instant,
    what: String,
}

impl Differing {
    /// Notes a schema with the decoder that reads it as `ours`; logs the differences the first time.
    pub(super) fn met(&self, id: u32, ours: &'static Contract, decoder: &Decoder) {
        if decoder.reads_all() {
            return;
        }
        let (mut reported, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let key = (id, ours.topic);
        if let Some(before) = reported.get_mut(&key) {
            before.met_at = now;
        } else if reported.len() < REPORTED_MAX {
            let what = decoder.differences().join("; ");
            tracing::error!(
                id,
                topic = ours.topic,
                "{what}; records that differ in this become dead letters: have the producer write with a schema that \
                 means the same as ours"
            );
            reported.insert(key, Reported { since: now, met_at: now, what });
        }
    }

    /// Those that were seen recently.
    pub(super) fn shown(&self, now: Timestamp) -> Vec<SchemaStatus> {
        let reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = reported.iter().filter(|(_, reported)| reported.met_at.elapsed() < SHOWN);
        let status = |((id, _), reported): (&(u32, _), &Reported)| SchemaStatus {
            id: *id,
            trouble: SchemaTrouble::Unreadable,
            since: super::ago(now, reported.since),
            what: Some(reported.what.clone()),
        };
        recent.map(status).collect()
    }
}

//! Schemas that we cannot read, or not all of: told once each, with what differs, when they are met first. Otherwise the first
//! to notice that a producer's schema says something else are those who look at dead letters.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use healthflow_core::event::avro::{Contract, Decoder};
use healthflow_core::status::{SchemaStatus, SchemaTrouble};
use healthflow_core::time::Timestamp;

/// Schemas that are remembered as told.
const REPORTED_MAX: usize = 1_000;
/// How long one is shown after it was met last.
const SHOWN: Duration = Duration::from_secs(600);

/// The schemas that were told, by id and topic.
#[derive(Default)]
pub(super) struct Differing(Mutex<BTreeMap<(u32, &'static str), Reported>>);

struct Reported {
    since: Instant,
    met_at: Instant,
    what: String,
}

impl Differing {
    /// A schema was met, with the decoder that reads it as `ours`; tells what differs if that was not told yet.
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
                "{what}; records that differ so become dead letters: have the producer write with a schema that means \
                 the same as ours"
            );
            reported.insert(key, Reported { since: now, met_at: now, what });
        }
    }

    /// Those that were met not long ago.
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

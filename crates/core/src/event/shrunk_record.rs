//! What is written instead if a topic refuses a record for its size although it was admitted, because somebody lowered the
//! topic's limit. Without it the commit would fail in every life of its task.

use std::sync::Arc;

use crate::appointment::PlacedIds;
use crate::event::failed::DeadContent;
use crate::event::size::{PART_BYTES_MAX, part, sizes};
use crate::event::unusable_names::Named;
use crate::event::{DeadLetter, Misrouted, Origin, Outgoing, Unusable};
use crate::sync::{Disposition, FailureReason};
use crate::time::Timestamp;

impl Outgoing {
    /// A smaller record with the same meaning: first with the beginning of the bytes that arrived, then (`without_bytes`) with
    /// none of them. None if the record holds no bytes of others: any topic with the required limit has room for it.
    pub fn smaller(&self, without_bytes: bool, now: Timestamp) -> Option<Outgoing> {
        let bytes_max = if without_bytes { 0 } else { PART_BYTES_MAX };
        let letter = match self {
            Outgoing::Failed(letter) => cut(letter, bytes_max)?,
            Outgoing::Forwarded(record, origin) => {
                let letter = not_forwarded(record, *origin, now);
                cut(&letter, bytes_max).unwrap_or(letter)
            }
            _ => return None,
        };
        Some(Outgoing::Failed(Box::new(letter)))
    }
}

/// The letter with at most `bytes_max` bytes of the record that failed; none if it has no more anyway.
fn cut(letter: &DeadLetter, bytes_max: usize) -> Option<DeadLetter> {
    let DeadContent::Record(record) = &letter.content else { return None };
    let Unusable { raw_key, raw_value, .. } = &**record;
    let bytes = raw_key.as_ref().map_or(0, Vec::len) + raw_value.as_ref().map_or(0, Vec::len);
    if bytes <= bytes_max {
        return None;
    }
    let half = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| bytes[..bytes.len().min(bytes_max / 2)].to_vec())
    };
    let reason = FailureReason::TooLarge;
    let detail: Arc<str> =
        format!("appointments.failed refused its {bytes} bytes; {}: {}", letter.reason.code(), letter.detail)
            .into();
    let record = Unusable {
        raw_key: half(raw_key),
        raw_value: half(raw_value),
        reason,
        detail: detail.clone(),
        identity: record.identity.clone(),
        named: record.named.clone(),
        decision_id: record.decision_id.clone(),
    };
    Some(DeadLetter { content: DeadContent::Record(Box::new(record)), reason, detail, ..letter.clone() })
}

/// The dead letter of a misrouted record that its own partition does not take.
fn not_forwarded(record: &Misrouted, origin: Origin, now: Timestamp) -> DeadLetter {
    let Misrouted { key, value, .. } = record;
    let reason = FailureReason::TooLarge;
    let sizes = sizes(key.len(), value.len());
    let detail: Arc<str> = format!("{} refused it for its size; {sizes}", origin.lane.topic()).into();
    let record = Unusable {
        raw_key: part(Some(key)),
        raw_value: part(Some(value)),
        reason,
        detail: detail.clone(),
        identity: None,
        named: Named::default(),
        decision_id: None,
    };
    DeadLetter {
        content: DeadContent::Record(Box::new(record)),
        identity: None,
        reason,
        disposition: Disposition::Poison,
        detail,
        placed_ids: PlacedIds::default(),
        attempts: 1,
        generation: 0,
        origin: Some(origin),
        finished_at: now,
    }
}

//! What state remembers of notices, field by field as in `schemas/appointments.state.avsc`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::state::{OpenOutage, ToldDelay};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "ToldDelay")]
pub(super) struct ToldDelayRecord {
    version: i64,
    promised_at: Timestamp,
    at_earliest: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "OpenOutage")]
pub(super) struct OpenOutageRecord {
    id: Arc<str>,
    began_at: Timestamp,
    cause: Arc<str>,
}

impl From<ToldDelay> for ToldDelayRecord {
    fn from(ToldDelay { version, promised_at, at_earliest }: ToldDelay) -> Self {
        ToldDelayRecord { version: version.cast_signed(), promised_at, at_earliest }
    }
}

impl From<ToldDelayRecord> for ToldDelay {
    fn from(ToldDelayRecord { version, promised_at, at_earliest }: ToldDelayRecord) -> Self {
        ToldDelay { version: version.cast_unsigned(), promised_at, at_earliest }
    }
}

impl From<OpenOutage> for OpenOutageRecord {
    fn from(OpenOutage { id, began_at, cause }: OpenOutage) -> Self {
        OpenOutageRecord { id, began_at, cause }
    }
}

impl From<OpenOutageRecord> for OpenOutage {
    fn from(OpenOutageRecord { id, began_at, cause }: OpenOutageRecord) -> Self {
        OpenOutage { id, began_at, cause }
    }
}

//! How a commit ends (rule T3), and why it is aborted or lost. librdkafka's errors are not enough: this module decides,
//! once for all calls of a transaction, whether a batch may be committed again or its task must be dropped with its
//! memory.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use healthflow_core::event::avro::Unencodable;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

/// How a commit ended (rule T3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Known good, over connections that stayed whole.
    Good {
        /// When `begin` was called, by the worker's clock: the lease runs from here.
        started_at: Timestamp,
        /// How often the batch was aborted first.
        aborts: u32,
    },
    /// Its outcome is unknown; the task must be dropped with its memory.
    Lost(CommitLoss),
}

/// Why the outcome of a commit is unknown, or why it cannot become good; one line, no record content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitLoss {
    /// The broker would accept offsets from a non-member, unfenced.
    #[error("this worker is not a member of the group")]
    NoMembership,
    /// The worker was a member when this commit began.
    #[error("this worker is no longer a member of the group")]
    MembershipLost,
    /// Another member has our place in the group and keeps it, however often we ask.
    #[error("{call}: another worker has our group_instance_id: {error}")]
    PlaceTaken {
        /// What was called.
        call: &'static str,
        /// The answer.
        error: KafkaError,
    },
    /// A newer producer has the transactional id, or ours is broken for good.
    #[error("{call}: fenced or lost: {error}")]
    Fenced {
        /// What was called.
        call: &'static str,
        /// The answer.
        error: KafkaError,
    },
    /// The call failed, and its outcome is unknown.
    #[error("{call}: outcome unknown: {error}")]
    Unknown {
        /// What was called.
        call: &'static str,
        /// The answer.
        error: KafkaError,
    },
    /// librdkafka may have ended the transaction twice.
    #[error("outcome unknown: a connection broke during the commit")]
    ConnectionBroke,
    /// The same during the abort: a second `EndTxn` that is still on its way could end the next transaction.
    #[error("a connection broke during the abort")]
    ConnectionBrokeAborting,
    /// librdkafka asks to abort the abort itself.
    #[error("cannot be aborted: {0}")]
    NotAborted(AbortCause),
    /// Committing again does not help.
    #[error("aborted {aborts} times, the last time: {last}")]
    AbortedTooOften {
        /// How often.
        aborts: u32,
        /// Why the last time.
        last: AbortCause,
    },
    /// A record does not fit its schema: a defect of ours.
    #[error(transparent)]
    Unencodable(#[from] Unencodable),
    /// An invalid offset: a defect of ours.
    #[error("offset {offset} is not valid for lane {lane:?}: {error}")]
    InvalidOffset {
        /// The lane.
        lane: Lane,
        /// The offset.
        offset: i64,
        /// What librdkafka reports.
        error: KafkaError,
    },
}

/// Why a transaction is aborted, to be committed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbortCause {
    /// The broker requires it.
    #[error("{call}: {error}")]
    Asked {
        /// What was called.
        call: &'static str,
        /// The answer.
        error: KafkaError,
    },
    /// The records' time ran out.
    #[error("records were not acknowledged in time")]
    NotAcknowledged,
    /// librdkafka refused a record.
    #[error("librdkafka refused a record for {topic}: {error}")]
    NotTaken {
        /// Its topic.
        topic: &'static str,
        /// Why.
        error: KafkaError,
    },
    /// The queue had no room within the limit.
    #[error("the producer's queue stayed full")]
    QueueFull,
}

/// What to do about an error.
pub(super) enum Verdict {
    Abort(AbortCause),
    Lost(CommitLoss),
}

impl Verdict {
    /// What `error` of this call means for its transaction.
    pub(super) fn of(call: &'static str, error: KafkaError) -> Verdict {
        match &error {
            // librdkafka calls it abortable.
            KafkaError::Transaction(inner) if inner.code() == RDKafkaErrorCode::FencedInstanceId => {
                Verdict::Lost(CommitLoss::PlaceTaken { call, error })
            }
            KafkaError::Transaction(inner) if inner.is_fatal() => {
                Verdict::Lost(CommitLoss::Fenced { call, error })
            }
            KafkaError::Transaction(inner) if inner.txn_requires_abort() => {
                Verdict::Abort(AbortCause::Asked { call, error })
            }
            _ => Verdict::Lost(CommitLoss::Unknown { call, error }),
        }
    }
}

impl From<CommitLoss> for Verdict {
    fn from(loss: CommitLoss) -> Verdict {
        Verdict::Lost(loss)
    }
}

impl From<AbortCause> for Verdict {
    fn from(cause: AbortCause) -> Verdict {
        Verdict::Abort(cause)
    }
}

//! How a commit ends (rule T3), and why it is aborted or lost. librdkafka's own words are not enough: whether a batch
//! may be committed again, or its task must go with its memory, is decided here, once for all calls of a transaction.

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
    /// It may be committed or not; the task must be dropped with its memory.
    Lost(CommitLoss),
}

/// Why nobody knows whether a commit is good, or why it cannot become good; one line, no record content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitLoss {
    /// The broker would accept offsets from who is no member, unfenced.
    #[error("this worker is no member of the group now")]
    NoMembership,
    /// It was one when this commit began.
    #[error("this worker is no member of the group any more")]
    MembershipLost,
    /// Who has our place in the group keeps it, however often we ask.
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
    /// The call failed without saying what came of it.
    #[error("{call}: outcome unknown: {error}")]
    Unknown {
        /// What was called.
        call: &'static str,
        /// The answer.
        error: KafkaError,
    },
    /// librdkafka may have ended the transaction twice.
    #[error("committed or not, but over a connection that broke")]
    ConnectionBroke,
    /// The same while it was aborted: a second end that is still on its way could end the next transaction.
    #[error("aborted, but over a connection that broke")]
    ConnectionBrokeAborting,
    /// The abort itself must be aborted: there is no way on.
    #[error("cannot be aborted: {0}")]
    NotAborted(AbortCause),
    /// Repeating it does not help.
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
    /// An offset that no lane can have: a defect of ours.
    #[error("offset {offset} is not valid for lane {lane:?}: {error}")]
    InvalidOffset {
        /// The lane.
        lane: Lane,
        /// The offset.
        offset: i64,
        /// What librdkafka says.
        error: KafkaError,
    },
}

/// Why a transaction is aborted, to be committed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbortCause {
    /// The broker wants it so.
    #[error("{call}: {error}")]
    Asked {
        /// What was called.
        call: &'static str,
        /// The answer.
        error: KafkaError,
    },
    /// Time ran out.
    #[error("records were not acknowledged in time")]
    NotAcknowledged,
    /// librdkafka refuses a record at once.
    #[error("a record for {topic} was not taken: {error}")]
    NotTaken {
        /// Its topic.
        topic: &'static str,
        /// Why.
        error: KafkaError,
    },
    /// No room came free.
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

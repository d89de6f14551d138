//! Why topics could not be created or checked: a variant for each remedy.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::wanted::Difference;
use crate::registry::RegistryFault;

/// Why topics could not be created or checked; one line.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TopicFault {
    /// Kafka did not answer, or refused.
    #[error("Kafka did not {what}: {error}; check kafka.brokers, that the brokers run, and our rights there")]
    Kafka {
        /// What it was asked to do.
        what: String,
        /// Its answer.
        error: KafkaError,
    },
    /// No broker lets us in, and waiting does not help.
    #[error("{0}")]
    NoEntry(String),
    /// Our Kafka user lacks a right.
    #[error(
        "the Kafka user lacks {right} on {resource}; grant it (docs/security.md lists the rights that are needed)"
    )]
    NoRight {
        /// The right.
        right: &'static str,
        /// On what.
        resource: String,
    },
    /// The registry did not answer, or refused.
    #[error(transparent)]
    Registry(#[from] RegistryFault),
    /// None of our topics exists.
    #[error("nothing is set up yet: none of our topics exists; run 'healthflow-sync topics'")]
    NothingYet,
    /// What only an operator can correct.
    #[error("{0}")]
    Different(Difference),
}

impl TopicFault {
    /// What the brokers' `code` means, when they were asked to do `what`, for which `right` on the topic `topic` is needed.
    pub(super) fn of(what: String, right: &'static str, topic: &str, code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                TopicFault::NoRight { right, resource: format!("topic {topic}") }
            }
            _ => TopicFault::Kafka { what, error: KafkaError::AdminOp(code) },
        }
    }
}

//! The id of the cluster: two lists of brokers may name the same one, and the same names may be used on two.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::{KafkaFault, KafkaSettings};

/// How long a broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The name of the group as the brokers know it.
pub fn group_on_cluster(settings: &KafkaSettings) -> String {
    settings.reader().get("group.id").unwrap_or_default().to_owned()
}

/// The id that the brokers of `settings` gave their cluster. Blocks for at most [`ANSWER_LIMIT`].
///
/// # Errors
/// The settings are refused, or no broker answers.
pub fn cluster_id(settings: &KafkaSettings) -> Result<String, KafkaFault> {
    let client = "the consumer that fetches the cluster's id";
    let consumer: BaseConsumer = settings.reader().create().map_err(KafkaFault::settings(client))?;
    consumer.client().fetch_cluster_id(ANSWER_LIMIT).ok_or_else(|| KafkaFault::Unreachable {
        what: "cannot fetch the cluster's id".into(),
        error: KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut),
    })
}

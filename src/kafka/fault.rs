//! Why a request to Kafka failed: a variant for each remedy. As text alone, brokers that are down, missing rights and
//! unreadable state would look the same to the engineer on call.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::fleet::NotAdmitted;
use healthflow_core::event::avro::Unencodable;
use healthflow_core::event::key::FLEET;
use healthflow_core::partition;

/// Why a request to Kafka failed; one line, no record content.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFault {
    /// librdkafka refuses our settings: trying again does not help.
    #[error("cannot create {client}: {error}; correct `kafka` in the configuration, or its properties file")]
    Settings {
        /// Which client.
        client: String,
        /// What it refuses.
        error: KafkaError,
    },
    /// The system refuses a thread.
    #[error("cannot start a thread {purpose}: {error}; allow this process more threads")]
    NoThread {
        /// What for.
        purpose: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// No broker answered in time: ask again later.
    #[error("{what}: {error}; check kafka.brokers and that the brokers run")]
    Unreachable {
        /// What could not be done.
        what: String,
        /// librdkafka's error.
        error: KafkaError,
    },
    /// A topic does not exist.
    #[error("{what}: {error}; run `healthflow-sync topics`")]
    TopicMissing {
        /// What could not be done.
        what: String,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// Our Kafka user has no right to do this.
    #[error("{what}: {error}; grant our Kafka user {} (docs/security.md)", lacking(error))]
    Forbidden {
        /// What could not be done.
        what: String,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// Our Kafka user has no right to do this, by name.
    #[error(
        "the Kafka user lacks {right} on {resource}; grant it (docs/security.md lists the rights that are needed)"
    )]
    NoRight {
        /// The right.
        right: &'static str,
        /// The topic or the group, by its name on the cluster.
        resource: String,
    },
    /// A newer producer with our transactional id has fenced us.
    #[error("{what}: {error}; another worker or command has taken over")]
    Fenced {
        /// What could not be done.
        what: String,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// Any other answer.
    #[error("{what}: {error}")]
    Refused {
        /// What could not be done.
        what: String,
        /// The answer.
        error: KafkaError,
    },
    /// A transaction of a command failed.
    #[error("{meaning}: {error}")]
    NotCommitted {
        /// What did not happen, and what to do.
        meaning: &'static str,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// The coordinator keeps answering that offsets are pending: a transaction may hang.
    #[error(
        "cannot read the committed offsets of task {partition}: {error}; if this lasts, a transaction on \
         __consumer_offsets hangs: run kafka-transactions.sh find-hanging"
    )]
    OffsetsPending {
        /// The task.
        partition: i32,
        /// The time-out.
        error: KafkaError,
    },
    /// A transaction that stays open hides the records after it.
    #[error(
        "a transaction at offset {offset} of {topic}/{partition} stays open; run kafka-transactions.sh find-hanging"
    )]
    TransactionOpen {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Where it is open.
        offset: i64,
    },
    /// The partition has records, and none arrives.
    #[error("the restore of {topic}/{partition} makes no progress; check the brokers")]
    NoProgress {
        /// The topic.
        topic: &'static str,
        /// Its partition.
        partition: i32,
    },
    /// A record that no worker wrote, or a newer version did. It is never skipped: what it intends may have been sent.
    #[error("{record} {flaw}; if a newer version wrote it, run that version here too")]
    Unreadable {
        /// Which.
        record: RecordName,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The same in a state topic, from which an operator may remove it.
    #[error(
        "{record} {flaw}; if a newer version wrote it, run that version here too; if no worker wrote it, run \
         `healthflow-sync drop-record --topic {} --partition {} --offset {}`",
        .record.topic, .record.partition, .record.offset
    )]
    Stray {
        /// Which.
        record: RecordName,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A record of ours does not fit its schema.
    #[error(transparent)]
    Unencodable(#[from] Unencodable),
    /// The state is laid out for another number of partitions (rule K8).
    #[error(
        "the state of task {partition} was written with {written} partitions a topic, and now there are {count}; stop \
         all workers and run `healthflow-sync repartition`"
    )]
    PartitionCount {
        /// The task.
        partition: i32,
        /// The count in its state.
        written: u32,
        /// The count of the topics.
        count: u32,
    },
    /// The fleet's record keeps the task from going live.
    #[error("{0}")]
    NotAdmitted(NotAdmitted),
    /// The task's positions do not fit its topics.
    #[error(transparent)]
    NoStart(#[from] partition::start::Refusal),
    /// The caller cancelled the request.
    #[error("this worker no longer owns the task")]
    Cancelled,
}

/// Why a record cannot be used; the end of a sentence, without any value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Its bytes cannot be decoded.
    #[error("cannot be read ({0})")]
    Undecodable(String),
    /// It would hide the state of its key, or come back when that is forgotten.
    #[error("is under a key that is not its own")]
    ForeignKey,
    /// It has the fleet's key.
    #[error("has the key {FLEET} and describes no fleet")]
    NoFleet,
}

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordName {
    /// The topic.
    pub topic: &'static str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordName { topic, partition, offset } = self;
        write!(f, "record {offset} of {topic}/{partition}")
    }
}

impl KafkaFault {
    /// Classifies the brokers' `error` by its remedy; `what` could not be done.
    pub(crate) fn of(what: impl Into<String>, error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let what = what.into();
        match code(&error) {
            Some(
                Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress,
            ) => KafkaFault::Unreachable { what, error },
            Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition) => {
                KafkaFault::TopicMissing { what, error }
            }
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed,
            ) => KafkaFault::Forbidden { what, error },
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                KafkaFault::Fenced { what, error }
            }
            _ => KafkaFault::Refused { what, error },
        }
    }

    /// The same where only `right` on `topic`, by its name on the cluster, can be missing.
    pub(crate) fn on_topic(
        what: impl Into<String>,
        right: &'static str,
        topic: &str,
        error: KafkaError,
    ) -> Self {
        match code(&error) {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                KafkaFault::NoRight { right, resource: format!("topic {topic}") }
            }
            _ => KafkaFault::of(what, error),
        }
    }

    /// The same fault, but for a transaction that failed because Write on `topic`, by its name on the cluster, is missing.
    pub(crate) fn of_writing_to(self, topic: &str) -> Self {
        match self {
            KafkaFault::NotCommitted { meaning, error } => match code(&error) {
                Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                    KafkaFault::NoRight { right: "Write", resource: format!("topic {topic}") }
                }
                _ => KafkaFault::NotCommitted { meaning, error },
            },
            other => other,
        }
    }

    /// The settings do not allow this client.
    pub(crate) fn settings(client: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let client = client.into();
        move |error| KafkaFault::Settings { client, error }
    }

    /// The system refuses a thread for this purpose, as in "to watch the group".
    pub(super) fn no_thread(purpose: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let purpose = purpose.into();
        move |error| KafkaFault::NoThread { purpose, error }
    }
}

/// The brokers' code in an error.
fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    }
}

/// The right that an answer of the brokers denies.
fn lacking(error: &KafkaError) -> &'static str {
    match code(error) {
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "Read on that group",
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => "Write on that transactional id",
        Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => "that right on the cluster",
        _ => "that right on the topic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the line of each fault names its remedy. Method: each kind of answer, as the brokers' code for it.
    #[test]
    fn each_answer_of_the_brokers_names_its_remedy() {
        let line = |code| KafkaFault::of("no ends", KafkaError::MetadataFetch(code)).to_string();
        assert!(line(RDKafkaErrorCode::AllBrokersDown).ends_with("that the brokers run"));
        assert!(line(RDKafkaErrorCode::UnknownTopicOrPartition).ends_with("run `healthflow-sync topics`"));
        assert!(
            line(RDKafkaErrorCode::TopicAuthorizationFailed)
                .ends_with("that right on the topic (docs/security.md)")
        );
        let fenced = KafkaFault::of("no ends", KafkaError::AdminOp(RDKafkaErrorCode::ProducerFenced));
        assert!(matches!(fenced, KafkaFault::Fenced { .. }), "{fenced:?}");
    }

    #[test]
    fn the_line_of_a_stray_record_is_the_command_that_removes_it() {
        let record = RecordName { topic: "patients.state", partition: 3, offset: 17 };
        let line = KafkaFault::Stray { record, flaw: Flaw::ForeignKey }.to_string();
        assert!(
            line.starts_with("record 17 of patients.state/3 is under a key that is not its own;"),
            "{line}"
        );
        assert!(line.contains("drop-record --topic patients.state --partition 3 --offset 17`"), "{line}");
    }
}

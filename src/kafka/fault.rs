//! Why something that was asked of Kafka did not work: a variant for each thing that somebody can do about it. As text
//! alone, brokers that are away, rights that are missing and state that nobody can read would look the same to whoever
//! has to mend it.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use healthflow_core::event::avro::Unencodable;
use healthflow_core::event::key::FLEET;
use healthflow_core::{partition, state};

/// Why something that was asked of Kafka did not work; one line, no record content.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFault {
    /// librdkafka refuses our settings: asking again does not help.
    #[error("{client} cannot be made: {error}; correct `kafka` in the configuration, or its properties file")]
    Settings {
        /// Which client.
        client: String,
        /// What it refuses.
        error: KafkaError,
    },
    /// The system gives no thread.
    #[error("no thread {purpose}: {error}; allow this process more threads")]
    NoThread {
        /// What for.
        purpose: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// No broker answered in time: ask again later.
    #[error("{what}: {error}; check kafka.brokers and that the brokers run")]
    Unreachable {
        /// What could not be done.
        what: String,
        /// How they were silent.
        error: KafkaError,
    },
    /// A topic is not there.
    #[error("{what}: {error}; run `healthflow-sync topics`")]
    TopicMissing {
        /// What could not be done.
        what: String,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// Whom we are there as may not do this.
    #[error("{what}: {error}; give us that right")]
    Forbidden {
        /// What could not be done.
        what: String,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// Somebody has fenced us: a newer producer has the transactional id.
    #[error("{what}: {error}; another worker or command has begun meanwhile")]
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
    /// A transaction of a command did not come about.
    #[error("{meaning}: {error}")]
    NotCommitted {
        /// What that means, and what to do.
        meaning: &'static str,
        /// The brokers' answer.
        error: KafkaError,
    },
    /// The coordinator keeps saying "not yet": what a transaction that hangs looks like from here.
    #[error(
        "the committed offsets of task {partition} cannot be read: {error}; if this lasts, a transaction on \
         __consumer_offsets hangs: kafka-transactions.sh find-hanging"
    )]
    OffsetsPending {
        /// The task.
        partition: i32,
        /// The time-out.
        error: KafkaError,
    },
    /// A transaction that nobody ends hides what is behind it.
    #[error(
        "a transaction at offset {offset} of {topic}/{partition} stays open; see kafka-transactions.sh find-hanging"
    )]
    TransactionOpen {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Where it is open.
        offset: i64,
    },
    /// Records are there, and none comes.
    #[error("the restore of {topic}/{partition} makes no progress; check the brokers")]
    NoProgress {
        /// The topic.
        topic: &'static str,
        /// Its partition.
        partition: i32,
    },
    /// A record that no worker wrote, or a newer one: it is never passed over, for what it says may have been sent.
    #[error("{record} {flaw}; was it written by a newer worker? Then run that one here too")]
    Unreadable {
        /// Which.
        record: RecordName,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The same in a state topic, where a person who knows better may remove it.
    #[error(
        "{record} {flaw}; if a newer worker wrote it, run that one here too; if no worker did, `healthflow-sync \
         drop-record --topic {} --partition {} --offset {}` removes it",
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
        /// How many its state counts.
        written: u32,
        /// How many there are.
        count: u32,
    },
    /// The fleet's record keeps the task from going live.
    #[error("{0}")]
    NotAdmitted(state::Refusal),
    /// The task's positions and topics do not fit together.
    #[error(transparent)]
    NoStart(#[from] partition::start::Refusal),
    /// Whoever asked does not want it any more.
    #[error("the task is not ours any more")]
    Cancelled,
}

/// What is wrong with a record that cannot be used; the end of a sentence, without any value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Its bytes say nothing that we understand.
    #[error("cannot be read ({0})")]
    Undecodable(String),
    /// It would hide what its key speaks of, or come back when that is forgotten.
    #[error("lies under a key that is not its own")]
    ForeignKey,
    /// It has the fleet's key.
    #[error("has the key {FLEET} and says nothing of a fleet")]
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
    /// The brokers' answer to something, by what can be done about it; `what` could not be done.
    pub(crate) fn of(what: impl Into<String>, error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let what = what.into();
        let code = match error {
            KafkaError::AdminOp(code) => Some(code),
            _ => error.rdkafka_error_code(),
        };
        match code {
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

    /// No client of this name, by the settings.
    pub(crate) fn settings(client: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let client = client.into();
        move |error| KafkaFault::Settings { client, error }
    }

    /// No thread for this purpose, as in "to watch the group".
    pub(super) fn no_thread(purpose: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let purpose = purpose.into();
        move |error| KafkaFault::NoThread { purpose, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: who mends something finds out what it is. Method: each kind of answer, as the brokers' code for it.
    #[test]
    fn each_answer_of_the_brokers_names_its_remedy() {
        let line = |code| KafkaFault::of("no ends", KafkaError::MetadataFetch(code)).to_string();
        assert!(line(RDKafkaErrorCode::AllBrokersDown).ends_with("that the brokers run"));
        assert!(line(RDKafkaErrorCode::UnknownTopicOrPartition).ends_with("run `healthflow-sync topics`"));
        assert!(line(RDKafkaErrorCode::TopicAuthorizationFailed).ends_with("give us that right"));
        let fenced = KafkaFault::of("no ends", KafkaError::AdminOp(RDKafkaErrorCode::ProducerFenced));
        assert!(matches!(fenced, KafkaFault::Fenced { .. }), "{fenced:?}");
    }

    #[test]
    fn the_line_of_a_stray_record_is_the_command_that_removes_it() {
        let record = RecordName { topic: "patients.state", partition: 3, offset: 17 };
        let line = KafkaFault::Stray { record, flaw: Flaw::ForeignKey }.to_string();
        assert!(
            line.starts_with("record 17 of patients.state/3 lies under a key that is not its own;"),
            "{line}"
        );
        assert!(line.contains("drop-record --topic patients.state --partition 3 --offset 17`"), "{line}");
    }
}

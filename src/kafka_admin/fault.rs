//! Why a command of the operators did not do what it was told to: a variant for each thing that whoever typed it can do
//! now. Apart from [`KafkaFault`], for no worker can meet one of these.

use healthflow_core::state::{Owner, Refusal};

use crate::kafka::{Flaw, KafkaFault, RecordName};
use crate::kafka_admin::dead_letters::{LETTERS_MAX, RECORD_BYTES_KEPT_MAX};

/// Hears of each step of a command, a line each.
pub type Report<'a> = dyn FnMut(String) -> std::io::Result<()> + 'a;

/// Why a command did not do what it was told to, in one line.
#[derive(Debug, thiserror::Error)]
pub enum CommandFault {
    /// Kafka did not do its part.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    /// The group has members: they would go on writing where nobody will look.
    #[error(
        "group {group} has {members} members; stop every worker, wait until they are gone, and try again"
    )]
    WorkersRun {
        /// The group.
        group: String,
        /// How many.
        members: usize,
    },
    /// The state is another fleet's, by its record.
    #[error("{0}")]
    NotOurs(Refusal),
    /// Kafka cannot take partitions away.
    #[error(
        "the state is laid out for {has} partitions, and cannot be for {wished}; were the topics made anew?"
    )]
    TooFewPartitions {
        /// How many it has.
        has: u32,
        /// How many were asked for.
        wished: u32,
    },
    /// Two commands at a time.
    #[error("another command has changed the fleet's record meanwhile; try again")]
    ChangedMeanwhile,
    /// Nobody has ever run here.
    #[error("no fleet is on record; start a worker")]
    NoFleet,
    /// Only who has the state can hand it over.
    #[error("the state belongs to {owner}, not to {from}")]
    OwnedByAnother {
        /// Who has it.
        owner: Owner,
        /// Who was said to have it.
        from: Owner,
    },
    /// There is nothing to hand over.
    #[error("the state belongs to {0} already")]
    OwnedAlready(Owner),
    /// Another hand-over is not finished.
    #[error("the state is being handed over to {other}; finish that, or let {from} take it back first")]
    HandedOverToAnother {
        /// Who is about to get it.
        other: Owner,
        /// Who has it.
        from: Owner,
    },
    /// A topic is not there.
    #[error("{0} does not exist; run `healthflow-sync topics` first")]
    TopicMissing(&'static str),
    /// Without ids one topic cannot be told from another of its name.
    #[error(
        "the brokers do not tell the ids of our topics, so there is nothing to accept; give this command the right to \
         describe them"
    )]
    NoTopicIds,
    /// The record that was named does not stop its task.
    #[error("{record} {why}")]
    NoStray {
        /// Which.
        record: RecordName,
        /// What it is instead.
        why: NoStray,
    },
    /// Two records of one key cannot be joined, for one of them is not what its key says.
    #[error(
        "{key} of {topic} is not what its key says; see which worker wrote it, and remove it with `drop-record`"
    )]
    OtherKind {
        /// The topic.
        topic: &'static str,
        /// The key, which is made of ids.
        key: String,
    },
    /// Two records of one key cannot be joined, for one of them cannot be used.
    #[error("{key} of {topic} {flaw}; was it written by a newer worker? Then run that one here too")]
    Unreadable {
        /// The topic.
        topic: &'static str,
        /// The key, which is made of ids.
        key: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// They would not fit into memory.
    #[error(
        "more than {LETTERS_MAX} dead letters match, or {RECORD_BYTES_KEPT_MAX} bytes of them; ask for fewer, with \
         --practice or --since"
    )]
    TooManyLetters,
    /// A defect of ours.
    #[error("a thread that fences a task panicked; report this as a bug")]
    Panicked,
    /// Nobody hears of the steps any more.
    #[error("cannot write to the output: {0}")]
    Output(std::io::Error),
}

/// What a record is that does not stop its task; the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStray {
    /// There is none of this offset.
    #[error("is not there; was it compacted away? Take the offset from the worker's newest line")]
    Missing,
    /// A tombstone.
    #[error("has no value: it forgets its key, and stops nobody")]
    Tombstone,
    /// State.
    #[error("can be used: a worker wrote it, and its task does not stop for it")]
    Usable,
    /// History.
    #[error("is replaced by record {by} of the same key, and stops nobody")]
    Replaced {
        /// The newer one's offset.
        by: i64,
    },
}

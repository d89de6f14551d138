//! Why an operator's command failed: a variant for each remedy. Apart from [`KafkaFault`], because no worker can meet
//! one of these.

use healthflow_core::state::{Owner, Refusal};

use crate::kafka::{Flaw, KafkaFault, RecordName};
use crate::kafka_admin::dead_letters::{LETTERS_MAX, RECORD_BYTES_KEPT_MAX};
use crate::kafka_admin::reviews::REVIEWS_MAX;

/// Takes a line for each step of a command.
pub type Report<'a> = dyn FnMut(String) -> std::io::Result<()> + 'a;

/// Why a command failed, in one line.
#[derive(Debug, thiserror::Error)]
pub enum CommandFault {
    /// Kafka failed.
    #[error(transparent)]
    Kafka(#[from] KafkaFault),
    /// The group has members: they would keep writing where no worker will read.
    #[error(
        "group {group} has {members} members; stop every worker, wait until they are gone, and try again"
    )]
    WorkersRun {
        /// The group.
        group: String,
        /// How many.
        members: usize,
    },
    /// The state belongs to another fleet, by its record.
    #[error("{0}")]
    NotOurs(Refusal),
    /// Kafka cannot take partitions away.
    #[error(
        "the state is laid out for {has} partitions and cannot be moved to {wished}; ask for {has} or more, or find out \
         whether the topics were recreated"
    )]
    TooFewPartitions {
        /// How many it has.
        has: u32,
        /// How many were asked for.
        wished: u32,
    },
    /// Two commands ran at the same time.
    #[error("another command changed the fleet's record meanwhile; try again")]
    ChangedMeanwhile,
    /// No worker has ever run here.
    #[error("no fleet is on record; start a worker")]
    NoFleet,
    /// Only the owner's state can be handed over.
    #[error(
        "the state belongs to {owner}, not to {from}; name its owner with --from-application and --from-group"
    )]
    OwnedByAnother {
        /// Its owner.
        owner: Owner,
        /// The named one.
        from: Owner,
    },
    /// There is nothing to hand over.
    #[error("the state already belongs to {0}; start its workers")]
    OwnedAlready(Owner),
    /// Another hand-over is not finished.
    #[error("the state is being handed over to {other}; finish that, or let {from} take it back first")]
    HandedOverToAnother {
        /// The fleet that is about to get it.
        other: Owner,
        /// Its owner.
        from: Owner,
    },
    /// A topic does not exist.
    #[error("{0} does not exist; run `healthflow-sync topics` first")]
    TopicMissing(&'static str),
    /// Without ids a topic cannot be distinguished from another one of its name.
    #[error(
        "cannot read the ids of our topics, so there is nothing to accept; grant this command the right to describe \
         them"
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
    /// Two records of one key cannot be joined: one of them is not of the kind of its key.
    #[error(
        "{key} of {topic} has records of different kinds; find out which worker wrote them, and remove the wrong one \
         with `healthflow-sync drop-record`"
    )]
    OtherKind {
        /// The topic.
        topic: &'static str,
        /// The key, which is made of ids.
        key: String,
    },
    /// Two records of one key cannot be joined: one of them cannot be used.
    #[error("{key} of {topic} {flaw}; if a newer version wrote it, run that version of this command")]
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
    /// They would not fit into memory.
    #[error("more than {REVIEWS_MAX} versions are in review; ask for one practice, with --practice")]
    TooManyReviews,
    /// A defect of ours.
    #[error("a thread that fences a task panicked; report this as a bug")]
    Panicked,
    /// The output is closed.
    #[error(transparent)]
    Output(std::io::Error),
}

/// Why a record does not stop its task; the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStray {
    /// There is no record at this offset.
    #[error(
        "does not exist, perhaps because it was compacted; take the offset from the worker's newest log line"
    )]
    Missing,
    /// A tombstone.
    #[error("is a tombstone and stops no task")]
    Tombstone,
    /// State.
    #[error("can be used and stops no task")]
    Usable,
    /// History.
    #[error("is replaced by record {by} of the same key and stops no task")]
    Replaced {
        /// The newer one's offset.
        by: i64,
    },
}

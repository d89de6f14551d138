//! Partitions without an owner (rule K13). A cooperative rebalance (KIP-429) first takes a partition from one member,
//! and assigns it to another one in a second round, which the first member requests once it has given the partition
//! back. A static member (KIP-345) that is killed in between returns under its name without any rebalance, and does not
//! know that it owes the group that round: the partition stays unowned until something else triggers a rebalance.
//!
//! So a static member that starts checks the group until it has seen an owner of every partition. If some stay unowned,
//! a member that reads nothing joins the group and leaves it again: both trigger a rebalance, and no worker loses a
//! partition by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::KafkaFault;
use crate::kafka::context::{self, QuietContext};
use crate::kafka::group_members::{self, Assignment};
use crate::kafka::settings::KafkaSettings;
use healthflow_core::topics::{APPOINTMENT_STATE, REQUESTED};

/// How long to sleep between two checks of the group.
const ROUND: Duration = Duration::from_secs(1);
/// In how many checks in a row a partition must be unowned, beyond those during which its last owner may be draining.
const LOOKS_MORE: u32 = 4;
/// How long the member that reads nothing waits to join.
const TRIGGER_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// What to do after a check.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Move {
    /// Check again.
    Wait,
    /// Trigger a rebalance: these stay unowned.
    TriggerRebalance(Vec<i32>),
    /// Every partition has an owner, and no round is owed.
    End,
}

/// What the checks so far have shown.
#[derive(Debug)]
struct Looks {
    /// How many partitions the group assigns.
    partition_count: u32,
    /// In how many checks in a row a partition must be unowned.
    needed: u32,
    unowned: Vec<i32>,
    in_a_row: u32,
}

impl Looks {
    fn new(settings: &KafkaSettings) -> Self {
        let draining = settings.release_drain_ms.div_ceil(ROUND.as_millis() as u64);
        let needed = LOOKS_MORE.saturating_add(u32::try_from(draining).unwrap_or(u32::MAX));
        Looks { partition_count: settings.partition_count, needed, unowned: Vec::new(), in_a_row: 0 }
    }

    fn after(&mut self, seen: &Assignment) -> Move {
        if !seen.is_stable {
            self.unowned.clear();
            return Move::Wait;
        }
        let unowned: Vec<i32> = (0..self.partition_count.cast_signed())
            .filter(|partition| !seen.owned.contains(partition))
            .collect();
        if unowned.is_empty() {
            return Move::End;
        }
        if self.unowned != unowned {
            (self.unowned, self.in_a_row) = (unowned, 0);
        }
        self.in_a_row += 1;
        if self.in_a_row < self.needed {
            return Move::Wait;
        }
        Move::TriggerRebalance(std::mem::take(&mut self.unowned))
    }
}

/// Starts to check, if that may be needed, from `joined` on until every partition has an owner or `stop` is set. The
/// thread need not be joined: it holds nothing of the group's.
///
/// # Errors
/// The settings are refused, or no thread could be started.
pub(super) fn start(
    settings: &KafkaSettings,
    joined: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> Result<(), KafkaFault> {
    // Under the consumer protocol (KIP-848) the brokers assign, and no member owes a round.
    if settings.group_instance_id.is_none() || settings.consumer_protocol {
        return Ok(());
    }
    let client = settings.uncommitted().create_with_context(QuietContext("group watch"));
    let client = client.map_err(KafkaFault::settings("the client that watches the group"))?;
    let settings = settings.clone();
    let builder = std::thread::Builder::new().name("group watch".into());
    builder
        .spawn(move || watch(&settings, &client, &joined, &stop))
        .map_err(KafkaFault::no_thread("to watch the group"))?;
    Ok(())
}

fn watch(
    settings: &KafkaSettings,
    client: &BaseConsumer<QuietContext>,
    joined: &AtomicBool,
    stop: &AtomicBool,
) {
    let mut looks = Looks::new(settings);
    let (group, topic) = (settings.on_cluster(&settings.group_id), settings.on_cluster(REQUESTED));
    while !stop.load(Ordering::SeqCst) {
        if joined.load(Ordering::SeqCst) {
            let next = match group_members::assignment(client, &group, &topic) {
                Ok(seen) => looks.after(&seen),
                Err(error) => {
                    tracing::debug!("cannot read the group's assignment: {error}");
                    Move::Wait
                }
            };
            match next {
                Move::End => return,
                Move::Wait => {}
                Move::TriggerRebalance(partitions) => {
                    tracing::warn!(
                        ?partitions,
                        "these partitions have no owner, probably because a worker was killed while it gave them back; \
                         triggering a rebalance"
                    );
                    if let Err(error) = trigger_rebalance(settings, stop) {
                        tracing::warn!("cannot trigger a rebalance, trying again: {error}");
                    }
                }
            }
        }
        std::thread::sleep(ROUND);
    }
}

/// Joins the group with a member whose only purpose is the rebalance. It subscribes to a topic that no worker
/// subscribes to, so that it is assigned no partition of theirs.
fn trigger_rebalance(settings: &KafkaSettings, stop: &AtomicBool) -> KafkaResult<()> {
    let mut config = settings.group();
    // With an instance id, even one from `kafka.properties_file`, it would fence a worker or stay in the group.
    config.remove("group.instance.id");
    let member: BaseConsumer<Trigger> = config.create_with_context(Trigger::default())?;
    member.subscribe(&[&settings.on_cluster(APPOINTMENT_STATE)])?;
    let until = Instant::now() + TRIGGER_LIMIT;
    while !member.context().has_joined.load(Ordering::SeqCst)
        && Instant::now() < until
        && !stop.load(Ordering::SeqCst)
    {
        if let Some(Err(error)) = member.poll(POLL) {
            tracing::debug!(client = "rebalance trigger", "{error}");
        }
    }
    Ok(())
}

#[derive(Default)]
struct Trigger {
    has_joined: AtomicBool,
}

impl ClientContext for Trigger {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log("rebalance trigger", level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = "rebalance trigger", "{error}: {reason}");
    }
}

impl ConsumerContext for Trigger {
    fn rebalance(
        &self,
        member: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let answered = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.has_joined.store(true, Ordering::SeqCst);
                partitions
                    .set_all_offsets(Offset::End)
                    .and_then(|()| member.incremental_assign(partitions))
                    .and_then(|()| member.pause(partitions))
            }
            _ => member.incremental_unassign(partitions),
        };
        if let Err(error) = answered {
            tracing::debug!(client = "rebalance trigger", "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(is_stable: bool, owned: &[i32]) -> Assignment {
        Assignment { is_stable, owned: owned.iter().copied().collect() }
    }

    fn looks() -> Looks {
        Looks::new(&KafkaSettings { partition_count: 3, ..KafkaSettings::default() })
    }

    #[test]
    fn a_partition_that_stays_unowned_triggers_a_rebalance() {
        let mut looks = looks();
        for _ in 1..looks.needed {
            assert_eq!(looks.after(&seen(true, &[0, 2])), Move::Wait);
        }
        assert_eq!(looks.after(&seen(true, &[0, 2])), Move::TriggerRebalance(vec![1]));
        assert_eq!(looks.after(&seen(true, &[0, 2])), Move::Wait, "the group needs its time");
    }

    #[test]
    fn a_rebalance_and_another_partition_restart_the_count() {
        for between in [seen(false, &[0, 2]), seen(true, &[0, 1])] {
            let mut looks = looks();
            for _ in 1..looks.needed {
                assert_eq!(looks.after(&seen(true, &[0, 2])), Move::Wait);
            }
            assert_eq!(looks.after(&between), Move::Wait);
            assert_eq!(looks.after(&seen(true, &[0, 2])), Move::Wait);
        }
    }

    #[test]
    fn the_checks_end_once_every_partition_has_an_owner() {
        assert_eq!(looks().after(&seen(true, &[0, 1, 2])), Move::End);
        assert_eq!(looks().after(&seen(false, &[0, 1, 2])), Move::Wait);
    }

    #[test]
    fn a_member_that_may_still_be_draining_is_not_disturbed() {
        let slow = KafkaSettings { release_drain_ms: 20_000, ..KafkaSettings::default() };
        assert!(Looks::new(&slow).needed > 20);
    }
}

//! Our membership of the consumer group: which tasks this worker owns. The member reads nothing itself: its partitions
//! are assigned and stay paused, and the lanes' reader reads them from start positions of our own. So a pending
//! revocation, during which librdkafka pauses every assigned partition, does not stop the other tasks.
//!
//! The poll thread only polls. The callback records a revocation, and [`Group::release`] carries it out once the task
//! is drained and committed (rule K2): librdkafka waits for that call and keeps sending heartbeats.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::settings::KafkaSettings;
use crate::kafka::{KafkaFault, context, unowned};
use healthflow_core::processor::{Inbox, Input};
use healthflow_core::topics::REQUESTED;

const POLL: Duration = Duration::from_millis(100);

/// A live member of the group. Dropping it leaves the group.
pub struct Group {
    consumer: Arc<BaseConsumer<GroupContext>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What tasks need of the membership: its proof, for their transactions.
#[derive(Clone)]
pub struct Membership(Weak<BaseConsumer<GroupContext>>);

struct GroupContext {
    inbox: Arc<dyn Inbox>,
    /// The revocation that is not carried out yet.
    revocation: Mutex<Option<Revocation>>,
    closing: AtomicBool,
    joined: Arc<AtomicBool>,
}

/// One revocation: librdkafka expects one answer for all its partitions.
struct Revocation {
    partitions: Vec<i32>,
    outstanding: Vec<i32>,
}

impl Group {
    /// Joins the group. Posts every assigned, revoked or lost task to `inbox`.
    ///
    /// # Errors
    /// The settings are refused, or no thread could be started.
    pub fn join(settings: &KafkaSettings, inbox: Arc<dyn Inbox>) -> Result<Self, KafkaFault> {
        let topic = settings.on_cluster(REQUESTED).into_owned();
        let joined = Arc::new(AtomicBool::new(false));
        let context = GroupContext {
            inbox: inbox.clone(),
            revocation: Mutex::default(),
            closing: AtomicBool::new(false),
            joined: joined.clone(),
        };
        let consumer: BaseConsumer<GroupContext> = settings
            .group()
            .create_with_context(context)
            .map_err(KafkaFault::settings("the group's consumer"))?;
        consumer
            .subscribe(&[&topic])
            .map_err(|error| KafkaFault::of(format!("{topic} cannot be subscribed to"), error))?;
        let consumer = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (consumer, stop) = (consumer.clone(), stop.clone());
            std::thread::Builder::new()
                .name("group".into())
                .spawn(move || poll(&consumer, &stop))
                .map_err(KafkaFault::no_thread("for the group's consumer"))?
        };
        let group = Group { consumer, stop, thread: Some(thread) };
        unowned::start(settings, joined, group.stop.clone())?;
        Ok(group)
    }

    /// The proof of membership.
    pub fn membership(&self) -> Membership {
        Membership(Arc::downgrade(&self.consumer))
    }

    /// Whether this worker has joined the group; it may own no partition.
    pub fn has_joined(&self) -> bool {
        self.consumer.context().joined.load(Ordering::SeqCst)
    }

    /// Gives back a task that is drained and committed. Does nothing if the group has not revoked it.
    pub fn release(&self, partition: i32) {
        let context = self.consumer.context();
        let mut revocation = context.revocation.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pending) = revocation.as_mut() else { return };
        pending.outstanding.retain(|outstanding| *outstanding != partition);
        if pending.outstanding.is_empty() {
            give_back(&self.consumer, &pending.partitions);
            *revocation = None;
        }
    }
}

impl Drop for Group {
    /// Leaves the group; a static member keeps its place until the session times out. Takes some 100 ms.
    fn drop(&mut self) {
        let context = self.consumer.context();
        context.closing.store(true, Ordering::SeqCst);
        if let Some(pending) = context.revocation.lock().unwrap_or_else(PoisonError::into_inner).take() {
            give_back(&self.consumer, &pending.partitions);
        }
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Membership {
    /// The group's view of this member, which a transaction must carry; none while it is not a member (generation −1):
    /// the broker would accept offsets with that, unfenced.
    pub(super) fn proof(&self) -> Option<ConsumerGroupMetadata> {
        // The generation is not part of rdkafka's safe interface. It only rises, so metadata read between two equal
        // readings belong to it.
        let consumer = self.0.upgrade()?;
        let before = generation(&consumer)?;
        let proof = consumer.group_metadata()?;
        (generation(&consumer) == Some(before)).then_some(proof)
    }
}

/// The generation of the group that this member belongs to; none while it is not a member.
#[allow(unsafe_code, reason = "rdkafka wraps the group metadata without a way to ask for their generation")]
fn generation(consumer: &BaseConsumer<GroupContext>) -> Option<i32> {
    use rdkafka::bindings;
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives as long as `consumer`; the metadata are ours until destroyed, and may be null.
    unsafe {
        let metadata = bindings::rd_kafka_consumer_group_metadata(client);
        if metadata.is_null() {
            return None;
        }
        let generation = bindings::rd_kafka_consumer_group_metadata_generation_id(metadata);
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata);
        // librdkafka's −1 is the generation of a non-member.
        (generation >= 0).then_some(generation)
    }
}

fn poll(consumer: &BaseConsumer<GroupContext>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        match consumer.poll(POLL) {
            // A record slipped through before the pause: the lanes' reader brings it.
            Some(Ok(_)) | None => {}
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                consumer.context().inbox.fail(format!(
                    "the group no longer accepts this worker ({code}); make sure that no other worker has the same \
                     group_instance_id, then start it again"
                ));
                return;
            }
            Some(Err(error)) => tracing::debug!(client = "group", "{error}"),
        }
        if consumer.assignment_lost() {
            consumer.context().lose(consumer);
        }
    }
}

fn list(partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        // Nothing is read from there; the end saves a look-up of a committed offset.
        let _ = list.add_partition_offset(REQUESTED, *partition, Offset::End);
    }
    list
}

fn give_back(consumer: &BaseConsumer<GroupContext>, partitions: &[i32]) {
    if let Err(error) = consumer.incremental_unassign(&list(partitions)) {
        tracing::warn!(?partitions, "cannot give these partitions back to the group: {error}");
    }
}

impl GroupContext {
    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        self.joined.store(true, Ordering::SeqCst);
        let list = list(partitions);
        if let Err(error) = consumer.incremental_assign(&list).and_then(|()| consumer.pause(&list)) {
            self.inbox.fail(format!(
                "cannot take partitions {partitions:?} of {REQUESTED}: {error}; start the worker again"
            ));
            return;
        }
        for &partition in partitions {
            self.inbox.post(Input::TaskAssigned { partition });
        }
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: Vec<i32>) {
        if partitions.is_empty() || self.closing.load(Ordering::SeqCst) {
            give_back(consumer, &partitions);
        } else if consumer.assignment_lost() {
            give_back(consumer, &partitions);
            self.lost(&partitions);
        } else {
            let outstanding = partitions.clone();
            *self.revocation.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Revocation { partitions, outstanding: outstanding.clone() });
            for partition in outstanding {
                self.inbox.post(Input::TaskRevoked { partition });
            }
        }
    }

    /// The membership was lost while a revocation was pending: draining is useless now.
    fn lose(&self, consumer: &BaseConsumer<Self>) {
        let pending = self.revocation.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pending) = pending {
            give_back(consumer, &pending.partitions);
            self.lost(&pending.outstanding);
        }
    }

    fn lost(&self, partitions: &[i32]) {
        for &partition in partitions {
            self.inbox.post(Input::TaskLost { partition });
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log("group", level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(client = "group", "{error}: {reason}");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let partitions: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, &partitions),
            _ => self.revoked(consumer, partitions),
        }
    }
}

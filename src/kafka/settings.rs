//! How each of our Kafka clients is set up, in one place: a wrong isolation level or an automatic commit in any of them
//! would break the promise silently.

use std::borrow::Cow;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::kafka::fetching::STATISTICS_MS;
use healthflow_core::event::size::RECORD_BYTES_MAX;
use healthflow_core::state::Owner;
use healthflow_core::topics::NamePrefix;

/// How many tasks are acquired at the same time: each needs connections, and memory for its restore.
pub(crate) const ACQUIRE_PARALLEL: usize = 8;
/// How long a lane's reader waits at the broker for new records; also how late a resumed lane may start.
const FETCH_WAIT_MS: u64 = 100;
/// Bytes that one fetch brings for one partition, if a record is not longer than that.
const FETCH_PARTITION_BYTES: u64 = 256 * 1024;
/// Kilobytes that a lane's reader queues for one partition: two fetches.
const QUEUE_KILOBYTES: u64 = FETCH_PARTITION_BYTES / 512;

/// What the Kafka clients need to know: most of it from section `kafka` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Host and port of some brokers, comma-separated.
    pub brokers: String,
    /// What precedes all our names on the cluster.
    pub prefix: NamePrefix,
    /// The consumer group, without the prefix.
    pub group_id: String,
    /// A name of this worker that survives its restart (static membership); none: a new member at each start.
    pub group_instance_id: Option<String>,
    /// First part of every `transactional.id` (rule T1), without the prefix.
    pub application: String,
    /// Whether the group speaks the `consumer` protocol (KIP-848); the brokers then set the session time-out.
    pub consumer_protocol: bool,
    /// How long the group waits for a silent worker before others take its tasks.
    pub session_timeout_ms: u64,
    /// How often a worker sends a heartbeat; a third of the session time-out or less.
    pub heartbeat_interval_ms: u64,
    /// How long a task that is given back may drain (`worker.release_drain_ms`).
    pub release_drain_ms: u64,
    /// How long the broker keeps an open transaction whose owner is silent (rule T4: 10–15 s).
    pub transaction_timeout_ms: u64,
    /// The largest record that is written, uncompressed, in bytes.
    pub record_bytes_max: usize,
    /// How long a record may wait for its acknowledgement; below the transaction time-out.
    pub message_timeout_ms: u64,
    /// How long a restore may read nothing, beyond the transaction time-out, before it fails.
    pub restore_no_progress_ms: u64,
    /// Bookings that wait for people and are restored with their content (per task).
    pub held_contents_max: usize,
    /// Partitions of every topic: a record in another partition than that of its key is misrouted (rule K8).
    pub partition_count: u32,
    /// Whether a group without offsets begins at the end of `appointments.requested` instead of its beginning.
    pub begins_at_end: bool,
    /// More librdkafka properties (TLS, SASL), given to every client after ours and before those that the promise
    /// rests on.
    pub properties: Vec<(String, String)>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        KafkaSettings {
            brokers: "127.0.0.1:9092".into(),
            prefix: NamePrefix::default(),
            group_id: "healthflow-sync".into(),
            group_instance_id: None,
            application: "healthflow-sync".into(),
            consumer_protocol: false,
            session_timeout_ms: 10_000,
            heartbeat_interval_ms: 3_000,
            release_drain_ms: 5_000,
            transaction_timeout_ms: 12_000,
            record_bytes_max: RECORD_BYTES_MAX,
            message_timeout_ms: 10_000,
            restore_no_progress_ms: 30_000,
            held_contents_max: 10_000,
            partition_count: 1,
            begins_at_end: false,
            properties: Vec::new(),
        }
    }
}

impl KafkaSettings {
    /// What the cluster calls one of our names: a topic, a group, a transactional id.
    pub fn on_cluster<'name>(&self, name: &'name str) -> Cow<'name, str> {
        self.prefix.on_cluster(name)
    }

    /// The transactional id of a task (rule T1), without the prefix.
    fn transactional_id(&self, partition: i32) -> String {
        format!("{}-{partition}", self.application)
    }

    /// Who owns the state under these settings (rule K12).
    pub fn owner(&self) -> Owner {
        Owner { application: self.application.as_str().into(), group_id: self.group_id.as_str().into() }
    }

    /// What all clients share.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers).set("client.id", self.on_cluster(&self.application));
        config
    }

    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.on_cluster(&self.group_id))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // Only a leader knows its end: a nearer follower (KIP-392) may lag behind.
            .set("client.rack", "")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// The member of the group. It reads nothing: its partitions stay paused, the lanes' reader reads them.
    pub(super) fn group(&self) -> ClientConfig {
        let mut config = self.reader();
        if self.consumer_protocol {
            config.set("group.protocol", "consumer");
        } else {
            config
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", self.session_timeout_ms.to_string())
                .set("heartbeat.interval.ms", self.heartbeat_interval_ms.to_string());
        }
        if let Some(instance) = &self.group_instance_id {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// The reader of all lanes of a worker, assigned by hand. Its queues are small: the processor decides how much is
    /// in memory.
    pub(super) fn lanes(&self) -> ClientConfig {
        let mut config = self.reader();
        config
            .set("fetch.wait.max.ms", FETCH_WAIT_MS.to_string())
            .set("fetch.message.max.bytes", FETCH_PARTITION_BYTES.to_string())
            .set("queued.max.messages.kbytes", QUEUE_KILOBYTES.to_string())
            .set("queued.min.messages", "1000")
            .set("fetch.queue.backoff.ms", "10")
            .set("statistics.interval.ms", STATISTICS_MS.to_string());
        config
    }

    /// The reader of a state topic's partition, to its end.
    pub(super) fn restore(&self) -> ClientConfig {
        let mut config = self.reader();
        config
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "4096");
        config
    }

    /// A handle for queries only, which sees uncommitted records too: the high watermark (rule K1).
    pub(crate) fn uncommitted(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("isolation.level", "read_uncommitted").set("allow.auto.create.topics", "false");
        config
    }

    /// The transactional producer of a task.
    ///
    /// `debug=broker` is no debugging aid: librdkafka does not log a break that repeats the last one's words within 30
    /// s, and rule T3 needs each. The context drops the lines themselves. `message.max.bytes`: a dead letter holds its
    /// whole record; what may arrive derives from it
    /// ([`input_bytes_max`](healthflow_core::event::size::input_bytes_max)).
    pub(crate) fn producer(&self, partition: i32) -> ClientConfig {
        self.producer_named(&self.transactional_id(partition))
    }

    /// The same under another transactional id, which is given without the prefix.
    pub(crate) fn producer_named(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("transactional.id", self.on_cluster(transactional_id))
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("message.max.bytes", self.record_bytes_max.to_string())
            .set("retry.backoff.ms", "10")
            .set("transaction.timeout.ms", self.transaction_timeout_ms.to_string())
            .set("message.timeout.ms", self.message_timeout_ms.to_string())
            .set("debug", "broker")
            .set_log_level(RDKafkaLogLevel::Debug);
        config
    }
}

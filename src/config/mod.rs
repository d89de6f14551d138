//! What the operator sets. [`Config`] has one field per key of `config/default.toml`, and is read from four layers: the
//! compiled defaults, a file, the environment, flags. A typing error in a key or a value must stop the program with one
//! line: a setting that is silently ignored shows itself months later, as a duplicate or a lost hour.

mod breaker;
mod check;
mod connecting;
mod hours;
mod layers;
mod limits;
mod listing;
mod nearest;
mod origin;
mod optional;
mod rejection_storm;
pub mod secret;
mod settings;
mod shared_counter;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::metrics::log::Format;

pub use breaker::Breaker;
pub use layers::Layers;
pub use limits::{Limit, LimitScope, WindowKind};
pub use listing::Entry;
pub use optional::Optional;
pub use origin::Origin;
pub use rejection_storm::RejectionStorm;
pub use shared_counter::{LimitShare, Limits};

/// The compiled lowest layer.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Everything that can be set, checked. The meaning of each field is the comment of its key in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[kafka]`
    pub kafka: Kafka,
    /// `[schema_registry]`
    pub schema_registry: SchemaRegistry,
    /// `[healthflow]`
    pub healthflow: HealthFlow,
    /// `[limits]`
    pub limits: Limits,
    /// `[breaker]`
    pub breaker: Breaker,
    /// `[rejection_storm]`
    pub rejection_storm: RejectionStorm,
    /// `[worker]`
    pub worker: Worker,
    /// `[retry]`
    pub retry: Retry,
    /// `[review]`
    pub review: Review,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
}

/// The value of `kafka.group_instance_id` that stands for the name of the machine.
pub const HOSTNAME: &str = "hostname";

/// The section `[kafka]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to start from.
    pub brokers: String,
    /// What precedes all our names on the cluster; may be empty.
    pub name_prefix: String,
    /// Consumer group.
    pub group_id: String,
    /// Name of this worker within the group (static membership), unique among its workers; [`HOSTNAME`]: that of its
    /// machine.
    pub group_instance_id: Optional<String>,
    /// Prefix of each partition's transactional.id.
    pub application: String,
    /// Which protocol the group speaks.
    pub group_protocol: GroupProtocol,
    /// How long the group waits for a silent worker (milliseconds).
    pub session_timeout_ms: u64,
    /// How often a worker sends a heartbeat to the group (milliseconds).
    pub heartbeat_interval_ms: u64,
    /// How long the broker keeps a transaction that is not ended (milliseconds).
    pub transaction_timeout_ms: u64,
    /// The largest record that is written, uncompressed (bytes).
    pub record_bytes_max: u32,
    /// How long a restore may make no progress before it is begun again (milliseconds).
    pub restore_no_progress_ms: u64,
    /// Where a group without committed offsets begins.
    pub first_start: FirstStart,
    /// File with more properties for librdkafka (TLS, SASL), one `name=value` a line.
    pub properties_file: Optional<PathBuf>,
}

/// Which protocol the group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// The classic one, with the assignor cooperative-sticky.
    Classic,
    /// The one of KIP-848: the brokers assign.
    Consumer,
}

/// Where a group without committed offsets begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstStart {
    /// With the oldest record there is.
    Earliest,
    /// With what is published from now on.
    Latest,
}

/// The section `[schema_registry]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistry {
    /// Base URL of the Confluent API of the registry (with Apicurio it ends in /apis/ccompat/v7).
    pub url: String,
    /// User of the registry (basic authentication).
    pub user: Optional<String>,
    /// File that holds that user's password, on one line.
    pub password_file: Optional<PathBuf>,
    /// File that holds a bearer token for the registry, on one line.
    pub token_file: Optional<PathBuf>,
    /// File with the only authorities (PEM) whose certificates the registry may show.
    pub ca_file: Optional<PathBuf>,
    /// URL of the proxy before the registry.
    pub proxy: Optional<String>,
    /// Longest wait for one answer of the registry (milliseconds).
    pub timeout_ms: u64,
    /// How long records wait for a schema that the registry says it does not know (milliseconds).
    pub unknown_schema_wait_ms: u64,
}

/// The section `[healthflow]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthFlow {
    /// Base URL of the account's API, without a slash at its end.
    pub base_url: String,
    /// File that holds the account's bearer token, on one line.
    pub token_file: Optional<PathBuf>,
    /// File with the only authorities (PEM) whose certificates HealthFlow may show.
    pub ca_file: Optional<PathBuf>,
    /// File with our certificate and its chain (PEM), for a HealthFlow that asks for one.
    pub client_certificate_file: Optional<PathBuf>,
    /// File with the key of that certificate (PEM, PKCS #8).
    pub client_key_file: Optional<PathBuf>,
    /// URL of the proxy before HealthFlow.
    pub proxy: Optional<String>,
    /// What HealthFlow offers against duplicates.
    pub duplicate_guard: DuplicateGuard,
    /// Whether HealthFlow answers appointments with a version and honours `If-Match`.
    pub supports_if_match: bool,
    /// Whether HealthFlow answers a PUT that it carried out with 204 and no content.
    pub updates_without_content: bool,
    /// How long HealthFlow remembers an idempotency key (milliseconds).
    pub key_retention_ms: u64,
    /// Longest wait for a connection (milliseconds).
    pub connect_timeout_ms: u64,
    /// How long a connection may be idle and still be used (milliseconds).
    pub idle_connection_ms: u64,
    /// Longest life of a request: connect, send and answer (milliseconds).
    pub request_life_ms: u64,
    /// How long after that HealthFlow may still carry out the request if its answer was lost (milliseconds).
    pub late_landing_ms: u64,
    /// How long after that a search may still miss what was written (milliseconds).
    pub search_lag_ms: u64,
    /// Pages that one pass of a search for a patient may have (pages).
    pub search_pages_max: u32,
    /// What the account allows, for all workers together (requests a second).
    pub requests_per_second: f64,
    /// What it allows beyond that: of the account or of each practice, in other windows, for some operations.
    pub limits: Vec<Limit>,
    /// How long nothing is sent after HealthFlow refused our credentials (milliseconds).
    pub unauthorised_pause_ms: u64,
    /// How long nothing is sent after a 429 that does not say how long to wait (milliseconds).
    pub throttled_pause_ms: u64,
    /// Longest pause of all calls after one 429 or 503 (milliseconds).
    pub pause_max_ms: u64,
}

/// What HealthFlow offers against duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateGuard {
    /// It honours `Idempotency-Key`.
    IdempotencyKey,
    /// Its `external_id` is unique in a practice.
    UniqueReference,
    /// It can be searched by `external_id`.
    Reference,
    /// None of these.
    Search,
}

impl DuplicateGuard {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            DuplicateGuard::IdempotencyKey => "idempotency_key",
            DuplicateGuard::UniqueReference => "unique_reference",
            DuplicateGuard::Reference => "reference",
            DuplicateGuard::Search => "search",
        }
    }
}

/// The section `[worker]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// How long a task may write to HealthFlow after the start of its last good commit (milliseconds).
    pub lease_ms: u64,
    /// How much of the lease must be left when a write goes out (milliseconds).
    pub lease_margin_ms: u64,
    /// Calls to HealthFlow at the same time (calls, per worker).
    pub max_in_flight: u32,
    /// How many times the usual latency lets fewer calls be under way (1.5 to 100; 0: none does).
    pub in_flight_slow_ratio: f64,
    /// Bookings that are ready with their intent written ahead (bookings, per worker).
    pub ready_queue_max: u32,
    /// Part of calls, permits and places for what failed before (0 to 1).
    pub again_share: f64,
    /// Part of permits and places ahead for history while anybody waits (0 to 1).
    pub history_share: f64,
    /// Hours of the day in which history has that part, and their zone; empty: all day.
    pub history_hours: String,
    /// Shortest time between two commits of a task (milliseconds).
    pub commit_interval_ms: u64,
    /// Commits of all tasks of a worker together (transactions a second).
    pub transactions_per_second_max: f64,
    /// What a task keeps in memory of one input topic (bytes).
    pub read_ahead_bytes: u32,
    /// After how long without its first try a live booking goes behind fresh ones (milliseconds); 0: never.
    pub overdue_after_ms: u64,
    /// Within how long a live booking is confirmed; otherwise a notice says so (milliseconds); 0: none does.
    pub promise_ms: u64,
    /// Notices that one commit carries (notices).
    pub notices_max: u32,
    /// How long a booking waits in memory for another one before it is parked in the retry topic (milliseconds).
    pub memory_wait_ms: u64,
    /// How long calls under way may take when a task is given back, before it is dropped (milliseconds).
    pub release_drain_ms: u64,
    /// How long after a lost commit a task that is still assigned is acquired again (milliseconds).
    pub reacquire_pause_ms: u64,
    /// How far a worker's clock may be from the brokers' when it starts (milliseconds); 0: not compared.
    pub clock_skew_max_ms: u64,
    /// Unclean ends of workers after which a booking with an open write runs alone.
    pub crash_suspect_after: u32,
    /// Unclean ends while it ran alone after which it goes to a person.
    pub crash_review_after: u32,
    /// How long a booking is remembered after its last visit and answer (days); 0: for ever.
    pub keep_days: u32,
}

/// The section `[retry]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// First wait after a failed attempt (milliseconds, full jitter).
    pub backoff_min_ms: u64,
    /// Longest wait between two attempts (milliseconds).
    pub backoff_max_ms: u64,
    /// How long a booking that fails is tried (milliseconds).
    pub max_age_ms: u64,
    /// How long after its visit began a live booking that failed before is still tried (milliseconds).
    pub visit_grace_ms: u64,
    /// How long a booking waits for a slot that another one will free (milliseconds).
    pub slot_wait_max_ms: u64,
    /// How long one of them keeps its lane from moving (milliseconds).
    pub repark_after_ms: u64,
    /// Retry records of a task in memory that wait for their time (records).
    pub waiting_room_max: u32,
}

/// The section `[review]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Bookings that wait for people and are kept in memory with their content (bookings per task).
    pub contents_max: u32,
    /// How often HealthFlow is asked whether a question has answered itself (milliseconds).
    pub look_again_ms: u64,
    /// So long before its visit a question is reported as urgent (milliseconds).
    pub urgent_before_ms: u64,
}

/// The section `[admin]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port for metrics, health and status.
    pub listen: SocketAddr,
    /// Maximum age of the worker's status before /health/live returns 503 (milliseconds).
    pub status_age_max_ms: u64,
}

/// The section `[log]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// "human" for people, "json" for machines.
    pub format: Format,
    /// The level, or a list of levels per module.
    pub level: String,
}

/// What is wrong with the configuration, in one line: what, in which key, from where, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub(crate) String);

impl Config {
    /// Reads all layers of this process: defaults, `file` (`--config`), the environment, and `flags`
    /// (`--set section.key=value`). Stops at the first unknown key, wrong value or contradiction.
    pub fn load(file: Option<&Path>, flags: &[String]) -> Result<Config, ConfigError> {
        Layers::read(file, flags)?.into_config()
    }

    /// The defaults of `config/default.toml`.
    #[cfg(test)]
    pub(crate) fn of_defaults() -> Config {
        Layers::new().and_then(Layers::into_config).expect("the defaults are valid")
    }
}

/// Instants are signed, so durations that are added to them are too. `check` keeps every duration far from the maximum.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

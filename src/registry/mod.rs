//! The schema registry: schemas by id, and the look-up of ours. A registry that is down, slow, broken or late delays
//! only the records whose schema is not known yet. The converter crate sends the requests; its cache is not used,
//! because it keeps an answer like 500 for ever.

mod access;
mod unresolved_ids;
mod differing;
mod our_schemas;
mod schema_references;
mod translator;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use schema_registry_converter::async_impl::schema_registry::{get_schema_by_id, get_schema_by_subject};
use schema_registry_converter::schema_registry_common::SubjectNameStrategy;

use crate::registry::access::Access;
use crate::registry::differing::Differing;
use crate::registry::unresolved_ids::UnresolvedIds;
use healthflow_core::event::avro::{Contract, Decoder, WriterSchema, contract};
use healthflow_core::status::Status;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, NamePrefix};

pub use access::RegistrySettings;
pub use translator::{DecodeFault, RawRecord, Translator, Wait};

/// The registry does not know the subject, version or schema (Confluent's error codes).
const NOT_FOUND: [u32; 3] = [40401, 40402, 40403];
/// Statuses of a missing right.
const FORBIDDEN: [u32; 2] = [401, 403];
/// The compatibility of every subject of ours: other teams read our topics, and workers of two versions run side by
/// side.
pub const COMPATIBILITY: &str = "FULL_TRANSITIVE";
/// How often the newest schemas are checked.
const LOOK_AHEAD: Duration = Duration::from_secs(60);
/// How often a command that waits for a schema checks whether it has arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How requests to the registry are retried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Pause after the first failure; doubles with each further one.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// For how long the registry itself must deny an id before the denial counts. Time without an answer does not
    /// count.
    pub unknown_wait: Duration,
    /// How long a record waits at least, even if the registry has denied its id for so long already: the id may have
    /// been registered a moment ago.
    pub unknown_wait_min: Duration,
    /// After how long without a record that needs it an id is no longer requested, and its denials are forgotten.
    pub unwanted_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            request_timeout: Duration::from_secs(5),
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
            unknown_wait: Duration::from_secs(180),
            unknown_wait_min: Duration::from_secs(10),
            unwanted_after: Duration::from_secs(30),
        }
    }
}

/// Why a request to the registry failed; one line, no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// It gave no answer, or an unusable one: try again later.
    #[error(
        "the schema registry gave no usable answer about {about}: {what}; check that it runs, and \
         `schema_registry.url`"
    )]
    Unavailable {
        /// What was asked about.
        about: String,
        /// What came back.
        what: String,
    },
    /// It refused: trying again does not help.
    #[error("the schema registry refuses {about}: {what}")]
    Refused {
        /// What was asked about.
        about: String,
        /// Its message.
        what: String,
    },
    /// Our user has no right to do this. A running worker tries again; a start fails.
    #[error("the schema registry does not let us {right} (status {status}); {}, and start again", remedy(*.status))]
    Forbidden {
        /// The right that is missing, as the end of "does not let us".
        right: String,
        /// 401 or 403.
        status: u32,
    },
    /// The settings of its client cannot be used.
    #[error("the schema registry cannot be asked: {what}")]
    Unusable {
        /// What is wrong, and what to do.
        what: String,
    },
    /// It is not who it must be. A running worker tries again; a start fails.
    #[error("the schema registry is not trusted: {why}")]
    Distrusted {
        /// Why, and what to do.
        why: String,
    },
    /// One of our schemas is not registered, and only `topics` registers.
    #[error(
        "this version's schema of {topic} is not registered; run `healthflow-sync topics` with the right to register it"
    )]
    NotRegistered {
        /// The topic.
        topic: String,
    },
    /// It does not know the subject, version or schema.
    #[error("the schema registry does not know {about}")]
    NotFound {
        /// What was asked about.
        about: String,
    },
}

impl RegistryFault {
    /// Whether trying again may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, RegistryFault::Unavailable { .. })
    }
}

/// A client of a registry with Confluent's API, and the schemas that it has returned. Shared by all threads of a
/// worker.
pub struct SchemaRegistry {
    access: Access,
    policy: RetryPolicy,
    known: RwLock<HashMap<u32, Arc<WriterSchema>>>,
    asked: UnresolvedIds,
    differing: Differing,
}

/// What is known of the schema of an id.
#[derive(Clone)]
pub enum SchemaState {
    /// It has arrived.
    Known(Arc<WriterSchema>),
    /// It is being requested.
    Asked,
    /// The registry has denied it for [`RetryPolicy::unknown_wait`]. It is still requested for as long as a record
    /// needs it.
    Denied {
        /// When the registry last denied it.
        at: Instant,
    },
}

impl SchemaRegistry {
    /// For the registry of `settings`. Does not connect yet.
    ///
    /// # Errors
    /// A file that the settings name cannot be used.
    pub fn new(settings: RegistrySettings, policy: RetryPolicy) -> Result<SchemaRegistry, RegistryFault> {
        Ok(SchemaRegistry {
            access: Access::new(settings, policy.request_timeout)?,
            policy,
            known: RwLock::default(),
            asked: UnresolvedIds::default(),
            differing: Differing::default(),
        })
    }

    /// What precedes all our names on the cluster.
    pub fn prefix(&self) -> &NamePrefix {
        &self.access.prefix
    }

    /// The name of the contract's topic on the cluster.
    fn on_cluster(&self, contract: &Contract) -> String {
        self.access.prefix.on_cluster(contract.topic).into_owned()
    }

    /// The schema with `id`, if it is known already. Never waits for the network.
    fn cached(&self, id: u32) -> Option<Arc<WriterSchema>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The state of the schema with `id`, at once. If it is not known, it is requested from now on, on `runtime`, until
    /// it arrives or no record has needed it for [`RetryPolicy::unwanted_after`].
    fn schema_state(self: &Arc<Self>, runtime: &tokio::runtime::Handle, id: u32) -> SchemaState {
        if let Some(schema) = self.cached(id) {
            return SchemaState::Known(schema);
        }
        let (state, is_new) = self.asked.schema_state(id, self.policy.unknown_wait);
        if is_new {
            let registry = self.clone();
            runtime.spawn(async move { registry.ask_for(id).await });
        }
        state
    }

    /// The schema with `id`, or one whose decoders refuse with `UnknownSchema` if the registry denies it for long
    /// enough. Waits while the registry is unavailable.
    pub async fn schema(self: &Arc<Self>, id: u32) -> Arc<WriterSchema> {
        loop {
            match self.schema_state(&tokio::runtime::Handle::current(), id) {
                SchemaState::Known(schema) => return schema,
                SchemaState::Denied { .. } => return Arc::new(WriterSchema::unknown(id)),
                SchemaState::Asked => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Fills in which ids the registry denies, and which schemas differ from ours.
    pub fn fill(&self, status: &mut Status) {
        status.schemas = self.asked.denied(status.taken_at);
        status.schemas.extend(self.differing.shown(status.taken_at));
    }

    /// The decoder that reads values of `schema` with `ours`; logs the differences, once.
    fn decoder<'schema>(&self, schema: &'schema WriterSchema, ours: &'static Contract) -> &'schema Decoder {
        let decoder = schema.decoder(ours);
        self.differing.met(schema.id(), ours, decoder);
        decoder
    }

    /// Fetches the newest schemas of our input topics every minute, for as long as the process lives. So one that we
    /// cannot read is logged before its first record comes, and one that we can read is known by then.
    pub async fn look_ahead(self: Arc<Self>) {
        loop {
            for lane in Lane::ALL {
                if let Some(contract) = contract(lane.topic())
                    && let Err(fault) = self.look_at_latest(contract).await
                {
                    tracing::debug!("{fault}");
                }
            }
            tokio::time::sleep(LOOK_AHEAD).await;
        }
    }

    /// Fetches the newest schema of the topic's subject, and logs how it differs from ours.
    async fn look_at_latest(&self, contract: &'static Contract) -> Result<(), RegistryFault> {
        let about = format!("the newest schema of {}", contract.topic);
        let strategy = SubjectNameStrategy::TopicNameStrategy(self.on_cluster(contract), false);
        let converter = self.access.clients().converter;
        let found = get_schema_by_subject(&converter, &strategy).await;
        let found = found.map_err(|error| self.access.fault(about, &error))?;
        let id = found.id;
        if self.cached(id).is_none() {
            let references = schema_references::schemas(&found, &self.access).await?;
            self.remember(id, WriterSchema::new(id, found.schema, references));
        }
        if let Some(schema) = self.cached(id) {
            self.decoder(&schema, contract);
        }
        Ok(())
    }

    async fn ask_for(&self, id: u32) {
        let mut pause = self.policy.pause_min;
        loop {
            match self.get(id).await {
                Ok(schema) => {
                    self.remember(id, schema);
                    self.asked.answered(id);
                    return;
                }
                Err(fault) => {
                    if !self.asked.not_given(id, &fault, &self.policy) {
                        return;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.policy.pause_max);
        }
    }

    async fn get(&self, id: u32) -> Result<WriterSchema, RegistryFault> {
        let _turn = self.asked.turn().await;
        let found = get_schema_by_id(id, &self.access.clients().converter).await;
        let found = found.map_err(|error| self.access.fault(format!("schema {id}"), &error))?;
        let references = schema_references::schemas(&found, &self.access).await?;
        Ok(WriterSchema::new(id, found.schema, references))
    }

    fn remember(&self, id: u32, schema: WriterSchema) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(schema));
    }
}

/// `since` on the clock whose present time is `now`.
fn ago(now: Timestamp, since: Instant) -> Timestamp {
    now.plus_ms(-i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
}

/// What to do about a status of [`FORBIDDEN`].
const fn remedy(status: u32) -> &'static str {
    match status {
        401 => {
            "correct `schema_registry.user` and the password in `schema_registry.password_file`, or the token in \
             `schema_registry.token_file`"
        }
        _ => "grant that right to the user of `schema_registry`",
    }
}

fn fault_of_code(about: String, right: String, code: u32, message: &str) -> RegistryFault {
    // Codes are a status, or a status with two more digits.
    let status = if code >= 1_000 { code / 100 } else { code };
    if NOT_FOUND.contains(&code) {
        RegistryFault::NotFound { about }
    } else if FORBIDDEN.contains(&status) {
        RegistryFault::Forbidden { right, status }
    } else if matches!(status, 409 | 422) {
        RegistryFault::Refused { about, what: message.lines().next().unwrap_or_default().to_owned() }
    } else {
        RegistryFault::Unavailable { about, what: format!("error {code}") }
    }
}

#[cfg(test)]
mod tests;

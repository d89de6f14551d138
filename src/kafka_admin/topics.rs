//! Creates our topics, registers their schemas, and checks both. A worker on topics with different partition counts
//! would write a booking's state where its next owner does not look; so it checks before it starts.

mod fault;
mod wanted;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::refusal;
use crate::kafka::rights::may_alter_configs;
use crate::registry::{COMPATIBILITY, SchemaRegistry};
use healthflow_core::event::avro::contracts;
use healthflow_core::topics;

pub use fault::TopicFault;
use wanted::{Actual, PARTITIONS_DEFAULT, differences};

pub use wanted::{
    Bound, DECISIONS_RETENTION_MS, Difference, FAILED_RETENTION_MS, RETENTION_MS, Remedy, Setting, TopicSpec,
    settings,
};

/// Longest wait for the brokers' answer to one question.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How often to check for a new topic, and how long to wait in between, before its creation counts as failed.
const APPEAR_LOOKS: u32 = 150;
const APPEAR_PAUSE: Duration = Duration::from_millis(100);
/// Replicas of a new topic: this many, or as many as there are brokers.
const REPLICATION_DEFAULT: usize = 3;

/// Our topics on a cluster, and their schemas in a registry, whose subjects follow the topics' names.
pub struct Topics {
    admin: Arc<AdminClient<DefaultClientContext>>,
    kafka: ClientConfig,
    registry: Arc<SchemaRegistry>,
}

/// From how many partitions to how many.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// How many `appointments.state` has.
    pub state_has: u32,
    /// How many every topic is to have.
    pub to: u32,
}

/// The cluster's topics, and how many brokers it has.
struct Cluster {
    topics: BTreeMap<String, Actual>,
    brokers: usize,
}

impl Topics {
    /// With the connection settings of `kafka`. Does not connect yet.
    pub fn new(kafka: &ClientConfig, registry: Arc<SchemaRegistry>) -> Result<Topics, TopicFault> {
        let admin = kafka
            .create()
            .map_err(|error| TopicFault::Kafka { what: "accept our settings".into(), error })?;
        Ok(Topics { admin: Arc::new(admin), kafka: kafka.clone(), registry })
    }

    /// Every difference of topics and schemas from what is required; empty if a worker may start.
    pub async fn check(&self, spec: TopicSpec) -> Result<Vec<Difference>, TopicFault> {
        let actual = self.describe_cluster().await?.topics;
        if actual.is_empty() {
            return Err(TopicFault::NothingYet);
        }
        let mut found = differences(&actual, spec);
        found.extend(self.check_schemas().await?);
        Ok(found)
    }

    /// The part of [`check`](Self::check) that asks Kafka only, also where nothing is set up yet.
    async fn check_topics(&self, spec: TopicSpec) -> Result<Vec<Difference>, TopicFault> {
        Ok(differences(&self.describe_cluster().await?.topics, spec))
    }

    /// The part of [`check`](Self::check) that asks the registry only.
    async fn check_schemas(&self) -> Result<Vec<Difference>, TopicFault> {
        let mut found = Vec::new();
        for contract in contracts() {
            let mut report =
                |what| found.push(Difference { topic: contract.topic, what, remedy: Remedy::Apply });
            if self.registry.look_up(contract).await?.is_none() {
                report("this version's schema is not registered".to_owned());
            }
            match self.registry.compatibility(contract).await? {
                Some(level) if level == COMPATIBILITY => {}
                Some(level) => report(format!("schema compatibility is {level}, must be {COMPATIBILITY}")),
                None => report(format!("schema compatibility is not set, must be {COMPATIBILITY}")),
            }
        }
        Ok(found)
    }

    /// How many tasks there are: the partitions of `appointments.requested`; none if it does not exist.
    pub async fn partition_count(&self) -> Result<Option<i32>, TopicFault> {
        let actual = self.describe_cluster().await?.topics;
        if actual.is_empty() {
            return Err(TopicFault::NothingYet);
        }
        Ok(actual.get(topics::REQUESTED).map(|topic| topic.partitions))
    }

    /// What [`grow`](Self::grow) would do: as many partitions as requested, or as many as the largest topic has.
    ///
    /// # Errors
    /// A topic is missing or would have to shrink, or Kafka does not answer.
    pub async fn before_growth(&self, wished: Option<i32>) -> Result<Growth, TopicFault> {
        let actual = self.describe_cluster().await?.topics;
        if actual.is_empty() {
            return Err(TopicFault::NothingYet);
        }
        let largest = actual.values().map(|topic| topic.partitions).max();
        let to = wished.or(largest).unwrap_or(PARTITIONS_DEFAULT);
        let count = |topic| {
            let difference =
                |what: String, remedy| Err(TopicFault::Different(Difference { topic, what, remedy }));
            match actual.get(topic).map(|topic| topic.partitions) {
                None => difference("does not exist".to_owned(), Remedy::Apply),
                Some(has) if has > to => {
                    let what = format!("has {has} partitions, and Kafka cannot make them {to}");
                    difference(what, Remedy::Recreate(has))
                }
                Some(has) => Ok(has.unsigned_abs()),
            }
        };
        for topic in topics::of_tasks() {
            count(topic)?;
        }
        Ok(Growth { state_has: count(topics::APPOINTMENT_STATE)?, to: to.unsigned_abs() })
    }

    /// Gives every topic `to` partitions; a line for each topic that grew.
    ///
    /// # Errors
    /// Kafka does not answer, or refuses.
    pub async fn grow(&self, to: u32) -> Result<Vec<String>, TopicFault> {
        let actual = self.describe_cluster().await?.topics;
        let small: Vec<_> =
            topics::of_tasks().filter_map(|topic| Some((topic, actual.get(topic)?.partitions))).collect();
        let small: Vec<_> = small.into_iter().filter(|(_, has)| has.unsigned_abs() < to).collect();
        if small.is_empty() {
            return Ok(Vec::new());
        }
        let count = usize::try_from(to).unwrap_or(usize::MAX);
        let names: Vec<_> = small.iter().map(|(topic, _)| self.on_cluster(topic)).collect();
        let wanted: Vec<_> = names.iter().map(|name| NewPartitions::new(name, count)).collect();
        let what = || "add partitions".to_owned();
        let added = self.admin.create_partitions(&wanted, &options()).await;
        let added = added.map_err(|error| TopicFault::Kafka { what: what(), error })?;
        if let Some((topic, code)) = added.into_iter().find_map(Result::err) {
            return Err(TopicFault::of(what(), "Alter", &topic, code));
        }
        let grown =
            TopicSpec { partitions: Some(to.cast_signed()), record_bytes_max: 0, ..TopicSpec::default() };
        self.wait_for_topics(grown).await?;
        Ok(small.into_iter().map(|(topic, has)| format!("{topic}: {has} partitions, now {to}")).collect())
    }

    /// Creates missing topics, corrects settings, registers schemas; returns a line for each change. A second run
    /// changes nothing.
    pub async fn create(&self, spec: TopicSpec) -> Result<Vec<String>, TopicFault> {
        let cluster = self.describe_cluster().await?;
        let found = differences(&cluster.topics, spec);
        if let Some(hopeless) = found.iter().find(|difference| difference.remedy != Remedy::Apply) {
            return Err(TopicFault::Different(hopeless.clone()));
        }
        let mut done = self.create_missing(&cluster, spec).await?;
        for topic in wanted::ALL {
            let wrong = cluster.topics.contains_key(topic)
                && found.iter().any(|difference| difference.topic == topic);
            if wrong {
                done.extend(self.set_settings(topic, &cluster.topics[topic], spec).await?);
            }
        }
        self.wait_for_topics(spec).await?;
        for contract in contracts() {
            if self.registry.compatibility(contract).await?.as_deref() != Some(COMPATIBILITY) {
                self.registry.set_compatibility(contract).await?;
                done.push(format!("{}: schema compatibility set to {COMPATIBILITY}", contract.topic));
            }
            if self.registry.look_up(contract).await?.is_none() {
                let id = self.registry.register(contract).await?;
                done.push(format!("{}: schema registered with id {id}", contract.topic));
            }
        }
        Ok(done)
    }

    async fn create_missing(&self, cluster: &Cluster, spec: TopicSpec) -> Result<Vec<String>, TopicFault> {
        let partitions = wanted::partitions(&cluster.topics, spec);
        let usual = i32::try_from(cluster.brokers.clamp(1, REPLICATION_DEFAULT)).unwrap_or(1);
        let replication = spec.replication.unwrap_or(usual);
        let missing: Vec<_> = wanted::ALL
            .into_iter()
            .filter(|topic| !cluster.topics.contains_key(*topic))
            .map(|topic| (topic, self.on_cluster(topic), settings(topic, replication, spec.record_bytes_max)))
            .collect();
        let new_topics = missing.iter().map(|(topic, name, settings)| {
            let new = NewTopic::new(
                name,
                wanted::partitions_of(topic, partitions),
                TopicReplication::Fixed(replication),
            );
            settings.iter().fold(new, |new, setting| new.set(setting.name, &setting.value))
        });
        let new_topics: Vec<_> = new_topics.collect();
        if new_topics.is_empty() {
            return Ok(Vec::new());
        }
        let results = self.admin.create_topics(&new_topics, &options()).await;
        for result in results.map_err(|error| TopicFault::Kafka { what: "create topics".into(), error })? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(TopicFault::of(format!("create topic {topic}"), "Create", &topic, code));
                }
            }
        }
        let line = |(topic, _, _): &(&str, _, _)| {
            let partitions = wanted::partitions_of(topic, partitions);
            format!("{topic}: created, {partitions} partitions, {replication} replicas")
        };
        Ok(missing.iter().map(line).collect())
    }

    /// Corrects settings, and repeats the other settings of the topic: the request replaces all of them.
    async fn set_settings(
        &self,
        topic: &'static str,
        actual: &Actual,
        spec: TopicSpec,
    ) -> Result<Vec<String>, TopicFault> {
        let wrong: Vec<_> = settings(topic, actual.replication, spec.record_bytes_max)
            .into_iter()
            .filter(|setting| !setting.allows(actual.settings.get(setting.name).map_or("", String::as_str)))
            .collect();
        let described = self.describe(&[topic]).await?;
        let kept = described.iter().flat_map(|resource| &resource.entries);
        let kept = kept.filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let name = self.on_cluster(topic);
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(&name));
        for entry in kept {
            if let Some(value) = &entry.value {
                change = change.set(&entry.name, value);
            }
        }
        for setting in &wrong {
            change = change.set(setting.name, &setting.value);
        }
        let what = format!("change the settings of {name}");
        let (kafka, asked) = (self.kafka.clone(), name.to_string());
        let may =
            tokio::task::spawn_blocking(move || may_alter_configs(&kafka, &asked)).await.unwrap_or(true);
        if !may {
            return Err(TopicFault::NoRight { right: "AlterConfigs", resource: format!("topic {name}") });
        }
        let results = self.admin.alter_configs([&change], &options()).await;
        let results = results.map_err(|error| TopicFault::Kafka { what: what.clone(), error })?;
        if let Some((_, code)) = results.into_iter().find_map(Result::err) {
            return Err(TopicFault::of(what, "AlterConfigs", &name, code));
        }
        Ok(wrong
            .iter()
            .map(|setting| format!("{topic}: {} set to {}", setting.name, setting.value))
            .collect())
    }

    /// Waits until the brokers' metadata show a change: they acknowledge a create or alter before that.
    async fn wait_for_topics(&self, spec: TopicSpec) -> Result<(), TopicFault> {
        for _ in 1..APPEAR_LOOKS {
            if self.check_topics(spec).await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(APPEAR_PAUSE).await;
        }
        match self.check_topics(spec).await?.into_iter().next() {
            None => Ok(()),
            Some(difference) => Err(TopicFault::Different(difference)),
        }
    }

    async fn describe_cluster(&self) -> Result<Cluster, TopicFault> {
        let metadata = self.metadata(None).await?;
        let prefix = self.registry.prefix();
        let named = metadata.topics().iter().filter_map(|topic| Some((prefix.ours(topic.name())?, topic)));
        let mut found: BTreeMap<String, Actual> = named
            .filter(|(name, topic)| wanted::ALL.contains(name) && !topic.partitions().is_empty())
            .map(|(name, topic)| {
                let replicas = topic.partitions().iter().map(|partition| partition.replicas().len());
                let actual = Actual {
                    partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                    replication: i32::try_from(replicas.min().unwrap_or(0)).unwrap_or(i32::MAX),
                    settings: BTreeMap::new(),
                };
                (name.to_owned(), actual)
            })
            .collect();
        for topic in wanted::ALL {
            if !found.contains_key(topic) {
                self.check_may_describe(topic).await?;
            }
        }
        let names: Vec<&str> = wanted::ALL.into_iter().filter(|topic| found.contains_key(*topic)).collect();
        for resource in self.describe(&names).await? {
            if let OwnedResourceSpecifier::Topic(name) = &resource.specifier
                && let Some(actual) = prefix.ours(name).and_then(|name| found.get_mut(name))
            {
                let entries = resource.entries.into_iter();
                actual.settings = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
            }
        }
        Ok(Cluster { topics: found, brokers: metadata.brokers().len() })
    }

    /// Refuses a topic that exists and that we may not describe: the brokers leave it out of their list.
    async fn check_may_describe(&self, topic: &str) -> Result<(), TopicFault> {
        use RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as REFUSED;
        let name = self.on_cluster(topic).into_owned();
        let metadata = self.metadata(Some(name.clone())).await?;
        let is_refused = metadata.topics().iter().any(|topic| topic.error() == Some(REFUSED));
        if is_refused {
            return Err(TopicFault::NoRight { right: "Describe", resource: format!("topic {name}") });
        }
        Ok(())
    }

    /// The metadata of one topic, or of all.
    async fn metadata(&self, topic: Option<String>) -> Result<Metadata, TopicFault> {
        let admin = self.admin.clone();
        let fetch = move || admin.inner().fetch_metadata(topic.as_deref(), ANSWER_LIMIT);
        let metadata = tokio::task::spawn_blocking(fetch).await.unwrap_or(Err(KafkaError::Canceled));
        match metadata {
            Ok(metadata) => Ok(metadata),
            Err(error) => match refusal::explain(&self.kafka).await {
                Some(why) => Err(TopicFault::NoEntry(why)),
                None => Err(TopicFault::Kafka { what: "list its topics".into(), error }),
            },
        }
    }

    /// What the cluster calls one of our topics.
    fn on_cluster<'name>(&self, topic: &'name str) -> Cow<'name, str> {
        self.registry.prefix().on_cluster(topic)
    }

    async fn describe(&self, names: &[&str]) -> Result<Vec<ConfigResource>, TopicFault> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let what = || "return the settings of our topics".to_owned();
        let names: Vec<_> = names.iter().map(|name| self.on_cluster(name)).collect();
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = self.admin.describe_configs(&asked, &options()).await;
        let described = described.map_err(|error| TopicFault::Kafka { what: what(), error })?;
        let refused = |name: &str, code| TopicFault::of(what(), "DescribeConfigs", name, code);
        let with_name = described.into_iter().zip(&names);
        with_name.map(|(result, name)| result.map_err(|code| refused(name, code))).collect()
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_LIMIT)).operation_timeout(Some(ANSWER_LIMIT))
}

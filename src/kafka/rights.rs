//! What a worker's Kafka user must be allowed, asked of the brokers before the worker does anything (KIP-430). Without it a
//! right that is missing shows itself hours later, in the first record of its kind. `docs/security.md` lists the same rights,
//! and a test compares.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::bindings as c;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::KafkaFault;
use crate::kafka::context::QuietContext;
use crate::kafka::native::{self, Asking, Owned};
use crate::kafka::settings::KafkaSettings;
use healthflow_core::topics::{
    APPOINTMENT_STATE, AUDIT, BACKFILL, CLOCK, CONTROLS, DECISIONS, FAILED, NOTICES, PATIENT_STATE,
    REQUESTED, RETRY, REVIEW, SYNCED,
};

/// A right, as Kafka's tools call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    Read,
    Write,
    Describe,
    DescribeConfigs,
    AlterConfigs,
}

use Right::{AlterConfigs, Describe, DescribeConfigs, Read, Write};

/// The rights on topics. Read and Write imply Describe.
const ON_TOPICS: [(&str, &[Right]); 13] = [
    (REQUESTED, &[Read, Write, DescribeConfigs]),
    (BACKFILL, &[Describe, DescribeConfigs]),
    (RETRY, &[Read, Write, DescribeConfigs]),
    (SYNCED, &[Write, DescribeConfigs]),
    (REVIEW, &[Read, Write, DescribeConfigs]),
    (AUDIT, &[Describe, DescribeConfigs]),
    (DECISIONS, &[Read, Write, DescribeConfigs]),
    (FAILED, &[Write, DescribeConfigs]),
    (NOTICES, &[Write, DescribeConfigs]),
    (PATIENT_STATE, &[Read, Write, DescribeConfigs]),
    (APPOINTMENT_STATE, &[Read, Write, DescribeConfigs]),
    (CONTROLS, &[Read, DescribeConfigs]),
    (CLOCK, &[Write, DescribeConfigs]),
];
/// The right on the group, which implies Describe.
const ON_GROUP: Right = Read;

/// A right that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    right: Right,
    resource: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {}", self.right, self.resource)
    }
}

/// Asks the brokers what our Kafka user may do.
pub struct Rights {
    client: BaseConsumer<QuietContext>,
    settings: KafkaSettings,
}

/// What the brokers allow; none if they do not say.
type Allowed = Option<BTreeSet<Right>>;

impl Rights {
    /// Creates the client; does not connect yet.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaFault> {
        let client = settings.uncommitted().create_with_context(QuietContext("rights"));
        let client = client.map_err(KafkaFault::settings("the client that asks for our rights"))?;
        Ok(Rights { client, settings: settings.clone() })
    }

    /// The rights that a worker lacks, on topics that exist. Blocks.
    ///
    /// # Errors
    /// No broker answers.
    pub fn missing(&self) -> Result<Vec<Missing>, KafkaFault> {
        let failed = |error| KafkaFault::of("cannot ask the brokers what our Kafka user may do", error);
        let mut missing = Vec::new();
        let names: Vec<CString> = ON_TOPICS
            .iter()
            .filter_map(|(topic, _)| CString::new(&*self.settings.on_cluster(topic)).ok())
            .collect();
        let allowed = on_topics(&self.client, &names).map_err(failed)?;
        for ((topic, needed), allowed) in ON_TOPICS.iter().zip(allowed) {
            let Some(allowed) = allowed else { continue };
            let resource = format!("topic {}", self.settings.on_cluster(topic));
            let lacks = needed.iter().filter(|right| !allowed.contains(right));
            missing.extend(lacks.map(|right| Missing { right: *right, resource: resource.clone() }));
        }
        let group = self.settings.on_cluster(&self.settings.group_id);
        let allowed =
            CString::new(&*group).map_err(KafkaError::Nul).and_then(|name| on_group(&self.client, &name));
        if allowed.map_err(failed)?.is_some_and(|allowed| !allowed.contains(&ON_GROUP)) {
            missing.push(Missing { right: ON_GROUP, resource: format!("group {group}") });
        }
        Ok(missing)
    }
}

/// Whether a client with these settings may change the settings of `topic`, by its name on the cluster; true if the brokers do
/// not say. rdkafka's `alter_configs` passes a refusal over in silence. Blocks.
pub(crate) fn may_alter_configs(kafka: &ClientConfig, topic: &str) -> bool {
    let client = kafka.create_with_context(QuietContext("rights")).ok();
    let name = CString::new(topic).ok();
    let allowed = client.zip(name).and_then(|(client, name)| on_topics(&client, &[name]).ok());
    let allowed = allowed.and_then(|all| all.into_iter().next().flatten());
    allowed.is_none_or(|allowed| allowed.contains(&AlterConfigs))
}

/// What is allowed on each topic, in their order.
#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
fn on_topics(client: &BaseConsumer<QuietContext>, names: &[CString]) -> Result<Vec<Allowed>, KafkaError> {
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: librdkafka copies the names; the collection is ours and destroyed once; what is read belongs to the event.
    unsafe {
        let event = native::answer(client, operation, |asking| {
            let asked = c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let asked = Owned::new(asked, c::rd_kafka_TopicCollection_destroy)?;
            with_rights(&asking);
            c::rd_kafka_DescribeTopics(asking.client, asked.ptr(), asking.options, asking.queue);
            Ok(())
        })?;
        let result = c::rd_kafka_event_DescribeTopics_result(event.ptr());
        let mut count = 0;
        let descriptions = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut found = Vec::with_capacity(count);
        for index in 0..count {
            let one = *descriptions.add(index);
            let name = CStr::from_ptr(c::rd_kafka_TopicDescription_name(one)).to_owned();
            let mut count = 0;
            let operations = c::rd_kafka_TopicDescription_authorized_operations(one, &raw mut count);
            found.push((name, allowed(c::rd_kafka_TopicDescription_error(one), operations, count)));
        }
        let of = |name: &CString| {
            found.iter().find(|(one, _)| one == name).and_then(|(_, allowed)| allowed.clone())
        };
        Ok(names.iter().map(of).collect())
    }
}

#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeConsumerGroups")]
fn on_group(client: &BaseConsumer<QuietContext>, name: &CStr) -> Result<Allowed, KafkaError> {
    let mut pointers = [name.as_ptr()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: librdkafka copies the name; what is read belongs to the event.
    unsafe {
        let event = native::answer(client, operation, |asking| {
            with_rights(&asking);
            let (names, count) = (pointers.as_mut_ptr(), pointers.len());
            c::rd_kafka_DescribeConsumerGroups(asking.client, names, count, asking.options, asking.queue);
            Ok(())
        })?;
        let result = c::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        let mut count = 0;
        let groups = c::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if groups.is_null() || count == 0 {
            return Ok(None);
        }
        let group = *groups;
        let mut count = 0;
        let operations = c::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut count);
        Ok(allowed(c::rd_kafka_ConsumerGroupDescription_error(group), operations, count))
    }
}

/// Has the answer say what we may do.
///
/// # Safety
/// The options are live.
#[allow(unsafe_code, reason = "as above")]
unsafe fn with_rights(asking: &Asking) {
    // SAFETY: as demanded; the error is ours, and may be null.
    unsafe {
        let error = c::rd_kafka_AdminOptions_set_include_authorized_operations(asking.options, 1);
        if !error.is_null() {
            c::rd_kafka_error_destroy(error);
        }
    }
}

/// What one description allows; nothing if we may not even describe it, none if it does not exist or does not say.
///
/// # Safety
/// `error` is null or live, and `operations` has `count` elements or is null.
#[allow(unsafe_code, reason = "as above")]
unsafe fn allowed(
    error: *const c::rd_kafka_error_t,
    operations: *const c::rd_kafka_AclOperation_t,
    count: usize,
) -> Allowed {
    use c::rd_kafka_AclOperation_t as Operation;
    // SAFETY: as demanded.
    unsafe {
        if !error.is_null() {
            let code: RDKafkaErrorCode = c::rd_kafka_error_code(error).into();
            let is_refused = matches!(
                code,
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed
            );
            return is_refused.then(BTreeSet::new);
        }
        if operations.is_null() {
            return None;
        }
        let right = |operation: &Operation| match *operation {
            Operation::RD_KAFKA_ACL_OPERATION_READ => Some(Read),
            Operation::RD_KAFKA_ACL_OPERATION_WRITE => Some(Write),
            Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some(Describe),
            Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(DescribeConfigs),
            Operation::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS => Some(AlterConfigs),
            _ => None,
        };
        Some(std::slice::from_raw_parts(operations, count).iter().filter_map(right).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whoever grants what the page lists has a worker that starts. Method: its rows about topics and the group, as pairs.
    #[test]
    fn the_page_lists_the_rights_that_a_worker_asks_for() {
        let page = include_str!("../../docs/security.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| worker | "));
        let cells =
            |row: &str| row.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect::<Vec<_>>();
        let mut listed = BTreeSet::new();
        for row in rows {
            let [kind, name, rights, ..] = &cells(row)[..] else { panic!("{row}") };
            if kind != "TransactionalId" {
                listed.extend(
                    rights.split(", ").map(|right| format!("{right} on {} {name}", kind.to_lowercase())),
                );
            }
        }
        let on_topic = |(topic, rights): &(&str, &[Right])| {
            rights.iter().map(|right| format!("{right:?} on topic {topic}")).collect::<Vec<_>>()
        };
        let mut asked: BTreeSet<String> = ON_TOPICS.iter().flat_map(on_topic).collect();
        asked.insert(format!("{ON_GROUP:?} on group healthflow-sync"));
        assert_eq!(listed, asked);
    }
}

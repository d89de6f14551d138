//! Which member of the group owns which partition, by the coordinator.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};

use rdkafka::bindings as c;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::native::{self, Owned};

/// The group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Whether no rebalance is under way.
    pub(super) is_stable: bool,
    /// The partitions of the topic that have an owner.
    pub(super) owned: BTreeSet<i32>,
}

/// Which partitions of `topic` the members of `group` own.
///
/// # Errors
/// The coordinator did not answer, or denies us the right.
#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeConsumerGroups")]
pub(super) fn assignment<C: ClientContext + ConsumerContext>(
    client: &BaseConsumer<C>,
    group: &str,
    topic: &str,
) -> Result<Assignment, KafkaError> {
    let group = CString::new(group).map_err(KafkaError::Nul)?;
    let mut groups: [*const c_char; 1] = [group.as_ptr()];
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: librdkafka copies the name.
    unsafe {
        let event = native::answer(client, operation, |asking| {
            let (groups, count) = (groups.as_mut_ptr(), groups.len());
            c::rd_kafka_DescribeConsumerGroups(asking.client, groups, count, asking.options, asking.queue);
            Ok(())
        })?;
        described(&event, topic)
    }
}

/// # Safety
/// Called with a live event only; everything that is read belongs to it and is copied.
#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeConsumerGroups")]
unsafe fn described(event: &Owned<c::rd_kafka_event_t>, topic: &str) -> Result<Assignment, KafkaError> {
    // SAFETY: the event is live; librdkafka checks what kind it is and answers null where it is another.
    unsafe {
        let result = c::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail));
        }
        let mut count = 0;
        let groups = c::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if groups.is_null() || count == 0 {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail));
        }
        let group = *groups;
        let error = c::rd_kafka_ConsumerGroupDescription_error(group);
        if !error.is_null() {
            return Err(KafkaError::AdminOp(c::rd_kafka_error_code(error).into()));
        }
        let state = c::rd_kafka_ConsumerGroupDescription_state(group);
        let is_stable = state == c::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE;
        let mut owned = BTreeSet::new();
        for index in 0..c::rd_kafka_ConsumerGroupDescription_member_count(group) {
            let member = c::rd_kafka_ConsumerGroupDescription_member(group, index);
            let assignment = c::rd_kafka_MemberDescription_assignment(member);
            let list = c::rd_kafka_MemberAssignment_partitions(assignment);
            if list.is_null() {
                continue;
            }
            for index in 0..usize::try_from((*list).cnt).unwrap_or_default() {
                let element = &*(*list).elems.add(index);
                if CStr::from_ptr(element.topic).to_bytes() == topic.as_bytes() {
                    owned.insert(element.partition);
                }
            }
        }
        Ok(Assignment { is_stable, owned })
    }
}

//! Whether a task may start at all; without a broker, so that it can be tested. Where its lanes go on is decided in
//! [`healthflow_core::partition::start`].

use crate::kafka::KafkaFault;
use healthflow_core::state::TaskState;

/// Whether the state was written with as many partitions as there are now (rule K8).
///
/// # Errors
/// It was not: a practice that moved to another partition would have no state there.
pub(super) fn check_partition_count(partition: i32, state: &TaskState, count: u32) -> Result<(), KafkaFault> {
    match state.positions.as_ref().map(|positions| positions.partition_count) {
        Some(written) if written != count => Err(KafkaFault::PartitionCount { partition, written, count }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use healthflow_core::state::{StateRecord, TaskPositions, TopicIds};

    fn remembers() -> TaskState {
        let mut state = TaskState::default();
        let topic_ids = TopicIds::default();
        state.apply(StateRecord::Task(TaskPositions {
            partition_count: 12,
            next_offsets: Vec::new(),
            topic_ids,
            ..TaskPositions::default()
        }));
        state
    }

    #[test]
    fn state_of_another_partition_count_is_refused() {
        check_partition_count(3, &TaskState::default(), 24).expect("it remembers nothing");
        check_partition_count(3, &remembers(), 12).expect("the same count");
        let refused = check_partition_count(3, &remembers(), 24).expect_err("another count");
        assert!(
            refused.to_string().contains("written with 12 partitions a topic, and now there are 24"),
            "{refused}"
        );
    }
}

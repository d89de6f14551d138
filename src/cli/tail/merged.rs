//! The records of all partitions of a topic, the oldest first. Kafka brings one partition after the other, so without this
//! a reader sees the cancellation of a morning before the bookings of that morning.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};

/// How long to wait for a record before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The partitions of a topic, read at once.
pub(super) struct Merged {
    consumer: Arc<BaseConsumer>,
    partitions: Vec<Partition>,
}

/// One partition.
struct Partition {
    id: i32,
    queue: PartitionQueue<DefaultConsumerContext>,
    waiting: Waiting<OwnedMessage>,
}

/// What is read of a partition and not printed yet.
struct Waiting<M> {
    records: VecDeque<M>,
    /// Whether there was nothing more to read when it was last asked.
    is_at_end: bool,
}

impl Merged {
    /// Reads `partitions` of `topic` from `start` on; `consumer` must report the ends of partitions.
    ///
    /// # Errors
    /// librdkafka refuses the assignment.
    pub(super) fn start(
        consumer: Arc<BaseConsumer>,
        topic: &str,
        partitions: &[i32],
        start: Offset,
    ) -> KafkaResult<Merged> {
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            assignment.add_partition_offset(topic, *partition, start)?;
        }
        consumer.assign(&assignment)?;
        let split = |id: &i32| {
            let queue = consumer.split_partition_queue(topic, *id);
            let queue = queue.ok_or(KafkaError::Subscription(topic.to_owned()))?;
            let waiting = Waiting { records: VecDeque::new(), is_at_end: false };
            Ok(Partition { id: *id, queue, waiting })
        };
        let partitions: KafkaResult<_> = partitions.iter().map(split).collect();
        Ok(Merged { partitions: partitions?, consumer })
    }

    /// The next record; none if the brokers do not answer at the moment. Blocks until there is one.
    ///
    /// # Errors
    /// Reading failed for good.
    pub(super) fn next(&mut self) -> KafkaResult<Option<OwnedMessage>> {
        loop {
            for partition in &mut self.partitions {
                partition.fill()?;
            }
            if let Some(index) = oldest(self.partitions.iter().map(|partition| &partition.waiting)) {
                return Ok(self.partitions[index].waiting.records.pop_front());
            }
            match self.consumer.poll(LOOK_AGAIN) {
                None => {}
                // Fetched before its partition had a queue of its own.
                Some(Ok(message)) => {
                    let of = self.partitions.iter_mut().find(|partition| partition.id == message.partition());
                    of.into_iter()
                        .for_each(|partition| partition.waiting.records.push_back(message.detach()));
                }
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    let of = self.partitions.iter_mut().find(|partition| partition.id == id);
                    of.into_iter().for_each(|partition| partition.waiting.is_at_end = true);
                }
                Some(Err(error)) => return silent(error),
            }
        }
    }
}

impl Partition {
    /// Reads one record, unless one waits.
    fn fill(&mut self) -> KafkaResult<()> {
        if !self.waiting.records.is_empty() {
            return Ok(());
        }
        match self.queue.poll(Duration::ZERO) {
            None => Ok(()),
            Some(Ok(message)) => {
                self.waiting.records.push_back(message.detach());
                self.waiting.is_at_end = false;
                Ok(())
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                self.waiting.is_at_end = true;
                Ok(())
            }
            Some(Err(error)) => silent(error).map(drop),
        }
    }
}

/// Whose record is the oldest; none while a partition has not said which is its next.
fn oldest<'a, M: Stamped + 'a>(partitions: impl Iterator<Item = &'a Waiting<M>>) -> Option<usize> {
    let mut oldest: Option<(i64, usize)> = None;
    for (index, Waiting { records, is_at_end }) in partitions.enumerate() {
        match records.front() {
            Some(record) => {
                let this = (record.stamp_ms(), index);
                oldest = Some(oldest.map_or(this, |other| other.min(this)));
            }
            None if *is_at_end => {}
            None => return None,
        }
    }
    oldest.map(|(_, index)| index)
}

/// Something with a moment (milliseconds since 1970).
trait Stamped {
    fn stamp_ms(&self) -> i64;
}

impl Stamped for OwnedMessage {
    fn stamp_ms(&self) -> i64 {
        self.timestamp().to_millis().unwrap_or(0)
    }
}

/// Brokers restart; librdkafka connects again by itself.
fn silent(error: KafkaError) -> KafkaResult<Option<OwnedMessage>> {
    match error {
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::OperationTimedOut,
        ) => Ok(None),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Stamped for i64 {
        fn stamp_ms(&self) -> i64 {
            *self
        }
    }

    fn waiting(records: &[i64], is_at_end: bool) -> Waiting<i64> {
        Waiting { records: records.iter().copied().collect(), is_at_end }
    }

    #[test]
    fn the_oldest_comes_first_once_every_partition_has_said_which_is_its_next() {
        let next = |partitions: &[Waiting<i64>]| oldest(partitions.iter());
        assert_eq!(next(&[waiting(&[7], false), waiting(&[5, 9], false), waiting(&[], true)]), Some(1));
        assert_eq!(next(&[waiting(&[7], false), waiting(&[], false)]), None, "an older one may come");
        assert_eq!(next(&[waiting(&[5], false), waiting(&[5], true)]), Some(0));
        assert_eq!(next(&[waiting(&[], true), waiting(&[], true)]), None);
    }
}

//! Transactions of the commands that change a fleet's state, and of every writer of the fleet's record: one after the
//! other, on the caller's thread, each known good before the next.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::util::Timeout;

use crate::kafka::KafkaFault;
use crate::kafka::context::ProducerWatch;

/// Longest wait for an answer of the brokers.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A producer that has fenced the earlier ones of its transactional id.
pub(crate) struct Fenced(BaseProducer<ProducerWatch>);

type Sent = Result<(), KafkaFault>;

/// Ends the transaction that the last producer with this transactional id left open, and fences that producer.
pub(crate) fn fence(config: &ClientConfig, what: &str) -> Result<Fenced, KafkaFault> {
    let id = config.get("transactional.id").unwrap_or_default();
    let failed = |error| KafkaFault::of(format!("cannot fence {what}, transactional id {id}"), error);
    let producer: BaseProducer<_> = config
        .create_with_context(ProducerWatch::default())
        .map_err(KafkaFault::settings(format!("the producer that fences {what}")))?;
    producer.init_transactions(ANSWER_LIMIT).map_err(failed)?;
    Ok(Fenced(producer))
}

/// Commits one transaction with what `write` sends; `meaning` is what its failure means, and what to do then.
pub(crate) fn transact<'record>(
    Fenced(producer): &Fenced,
    meaning: &'static str,
    write: impl FnOnce(&mut dyn FnMut(BaseRecord<'record, Vec<u8>, [u8]>) -> Sent) -> Sent,
) -> Result<(), KafkaFault> {
    let failed = |error| KafkaFault::NotCommitted { meaning, error };
    producer.begin_transaction().map_err(failed)?;
    write(&mut |record| {
        let BaseRecord { topic, partition, payload, key, timestamp, headers, .. } = record;
        let record = BaseRecord { topic, partition, payload, key, timestamp, headers, delivery_opaque: 0 };
        producer.send(record).map_err(|(error, _)| failed(error))
    })?;
    producer.flush(ANSWER_LIMIT).map_err(failed)?;
    producer.commit_transaction(Timeout::After(ANSWER_LIMIT)).map_err(failed)
}

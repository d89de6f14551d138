//! Transactions of the commands that change what a fleet remembers, and of whoever writes the fleet's record: one after
//! the other, on the caller's thread, each known good before the next.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::util::Timeout;

use crate::kafka::KafkaFault;
use crate::kafka::context::ProducerWatch;

/// Longest wait for an answer of the brokers.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A producer that nobody has fenced.
pub(crate) struct Fenced(BaseProducer<ProducerWatch>);

type Sent = Result<(), KafkaFault>;

/// Ends whatever transaction the last one with this transactional id left open, and keeps it from committing any more.
pub(crate) fn fence(config: &ClientConfig, what: &str) -> Result<Fenced, KafkaFault> {
    let failed = |error| KafkaFault::of(format!("{what} cannot be fenced"), error);
    let producer: BaseProducer<_> = config
        .create_with_context(ProducerWatch::default())
        .map_err(KafkaFault::settings(format!("the producer that fences {what}")))?;
    producer.init_transactions(ANSWER_LIMIT).map_err(failed)?;
    Ok(Fenced(producer))
}

/// One transaction with what `write` sends; `meaning` says what it means, and what to do, if it fails.
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

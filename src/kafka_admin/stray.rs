//! A record in a state topic that no worker can use: another program wrote it, or it is under a key that is not its
//! own. It stops its task, because a newer version might have written it; an operator who knows better removes it with
//! this.

use std::sync::atomic::AtomicBool;

use rdkafka::Message;
use rdkafka::producer::BaseRecord;

use crate::kafka::restore::{Readers, try_decode, usable};
use crate::kafka::settings::KafkaSettings;
use crate::kafka::transaction::{fence, transact};
use crate::kafka::{Flaw, KafkaFault, RecordName};
use crate::kafka_admin::{CommandFault, NoStray};
use crate::registry::Translator;

/// Bytes of the value that are shown: the framing byte and the schema's id, no content.
const HEAD_BYTES: usize = 5;

/// A record that no worker can use.
pub struct Stray {
    /// Why it cannot be used.
    pub why: Flaw,
    /// The length of its key.
    pub key_bytes: usize,
    /// The length of its value.
    pub value_bytes: usize,
    /// The first bytes of its value, in hexadecimal digits.
    pub head: String,
    /// The offset of the newest usable record under the same key, which takes its place again.
    pub before: Option<i64>,
    key: Vec<u8>,
    value_before: Option<Vec<u8>>,
}

/// Finds a record, and refuses any that does not stop the restore.
///
/// # Errors
/// It does not exist, a worker can use it, a newer one of its key has replaced it, or a broker does not answer.
pub fn find(
    settings: &KafkaSettings,
    translator: &Translator,
    record: RecordName,
) -> Result<Stray, CommandFault> {
    let RecordName { topic, partition, offset } = record;
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let refused = |why| Err(CommandFault::NoStray { record, why });
    let mut found = None;
    readers.each_record(topic, partition, &cancelled, |message| {
        if message.offset() == offset {
            let key = message.key().unwrap_or_default().to_vec();
            found = Some((key, message.payload().map(<[u8]>::to_vec)));
        }
        Ok(())
    })?;
    let Some((key, value)) = found else {
        return refused(NoStray::Missing);
    };
    let Some(value) = value else { return refused(NoStray::Tombstone) };
    let is_usable = |key: &[u8], value: &[u8]| -> Result<Result<(), Flaw>, KafkaFault> {
        let record = try_decode(translator, &cancelled, || translator.state(topic, value))?;
        Ok(record.and_then(|record| usable(key, record)).map(drop))
    };
    let Err(why) = is_usable(&key, &value)? else {
        return refused(NoStray::Usable);
    };
    let (mut before, mut newer) = (None, None);
    readers.each_record(topic, partition, &cancelled, |message| {
        if message.key().unwrap_or_default() != key {
            return Ok(());
        }
        match (message.offset(), message.payload()) {
            (at, _) if at > offset => newer = Some(at),
            (at, Some(value)) if at < offset && is_usable(&key, value)?.is_ok() => {
                before = Some((at, value.to_vec()));
            }
            (at, None) if at < offset => before = None,
            _ => {}
        }
        Ok(())
    })?;
    if let Some(newer) = newer {
        return refused(NoStray::Replaced { by: newer });
    }
    Ok(Stray {
        why,
        key_bytes: key.len(),
        value_bytes: value.len(),
        head: value.iter().take(HEAD_BYTES).map(|byte| format!("{byte:02x}")).collect(),
        before: before.as_ref().map(|(at, _)| *at),
        key,
        value_before: before.map(|(_, value)| value),
    })
}

/// Removes a record that no worker can use: writes the earlier record of its key again, or a tombstone. Fences the
/// task's owner first, so that it cannot write in between; other tasks go on.
///
/// # Errors
/// As [`find`]; or the owner fenced us in turn: try again.
pub fn remove(
    settings: &KafkaSettings,
    translator: &Translator,
    record: RecordName,
) -> Result<Stray, CommandFault> {
    let producer = fence(&settings.producer(record.partition), &format!("task {}", record.partition))?;
    let stray = find(settings, translator, record)?;
    let meaning = "nothing was removed, because the task's worker fenced this command; try again";
    let topic = settings.on_cluster(record.topic);
    transact(&producer, meaning, |send| {
        let remedy = BaseRecord::to(&topic).partition(record.partition).key(&stray.key);
        send(match &stray.value_before {
            Some(value) => remedy.payload(&value[..]),
            None => remedy,
        })
    })?;
    Ok(stray)
}

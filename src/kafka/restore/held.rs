//! Reads what waits for people from `appointments.review` (rule K4): all of it when a task is acquired, of which only so much is
//! kept with its content, and later the contents of those that go on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdkafka::Message;

use crate::kafka::fault::KafkaFault;
use crate::kafka::restore::records::{try_decode, under_its_key};
use crate::kafka::restore::{Raw, Readers};
use crate::registry::Translator;
use healthflow_core::booking::{Booking, VersionKey};
use healthflow_core::event::key;
use healthflow_core::state::{Held, TaskState};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::REVIEW;

impl Readers {
    /// Restores what is held, the content of so many versions with it. Returns how many records it read. Each is decoded as it comes, for
    /// their bytes together may be more than a worker has room for.
    pub(super) fn read_held(
        &self,
        partition: i32,
        translator: &Translator,
        cancelled: &AtomicBool,
        now: Timestamp,
        state: &mut TaskState,
    ) -> Result<u64, KafkaFault> {
        let (mut newest, mut contents): (HashMap<Box<[u8]>, Held>, usize) = (HashMap::new(), 0);
        let records = self.each_record(REVIEW, partition, cancelled, |message| {
            let key = message.key().unwrap_or_default();
            let before = newest.remove(key);
            contents -= usize::from(before.is_some_and(|held| held.content.is_some()));
            let Some(value) = message.payload() else { return Ok(()) };
            let held = try_decode(translator, cancelled, || translator.held(value, now))?;
            match held.and_then(|held| under_its_key(key, held)) {
                Ok(mut held) => {
                    held.content.take_if(|_| contents >= self.held_contents_max);
                    contents += usize::from(held.content.is_some());
                    newest.insert(key.into(), held);
                }
                // Its version gets a dead letter: it is no reason for the others to wait.
                Err(flaw) => {
                    let offset = message.offset();
                    tracing::warn!(
                        topic = REVIEW,
                        partition,
                        offset,
                        "a held booking cannot be read: {flaw}"
                    );
                }
            }
            Ok(())
        })?;
        newest.into_values().for_each(|held| state.apply_held(held));
        Ok(records)
    }

    /// The contents of these held versions, as far as they lie in the topic.
    pub(in crate::kafka) fn read_contents(
        &self,
        partition: i32,
        of: &[VersionKey],
        translator: &Translator,
        cancelled: &AtomicBool,
        now: Timestamp,
    ) -> Result<Vec<Arc<Booking>>, KafkaFault> {
        let keys = |VersionKey { booking, version }: &VersionKey| {
            [key::review(booking, *version).into_bytes(), key::booking(booking).into_bytes()]
        };
        let keys: HashSet<Vec<u8>> = of.iter().flat_map(keys).collect();
        let newest = self.newest(REVIEW, partition, cancelled, |key| keys.contains(key))?;
        let mut found = Vec::new();
        for Raw { value, .. } in newest.by_key.into_values() {
            let held = try_decode(translator, cancelled, || translator.held(&value, now))?;
            found.extend(held.ok().and_then(|held| held.content));
        }
        Ok(found)
    }
}

//! Keys with a record in two partitions (rule K8): a task that had no state of a practice wrote its own. Moving the old
//! record over the new one would forget what the new task did in HealthFlow. So this module joins the two, and reports
//! what is left over.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::AtomicBool;

use rdkafka::Message;

use crate::kafka::KafkaFault;
use crate::kafka::restore::{Readers, try_decode};
use crate::kafka_admin::{CommandFault, Report};
use crate::registry::Translator;
use healthflow_core::event::{Outgoing, home_partition, key};
use healthflow_core::state::{LeftOver, StateRecord, join_counts};
use healthflow_core::topics::REVIEW;

/// A topic and a key in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct TopicKey {
    topic: &'static str,
    key: Vec<u8>,
}

/// A record on its way from one partition to another.
pub(super) struct Misplaced {
    /// Its topic.
    pub(super) topic: &'static str,
    /// Its partition now.
    pub(super) from: i32,
    /// The partition of its key.
    pub(super) home: i32,
    /// Its key.
    pub(super) key: Vec<u8>,
    /// Its value; what is written to its home.
    pub(super) value: Vec<u8>,
}

/// The keys that have a record in more than one partition.
pub(super) struct DuplicateKeys<'a> {
    translator: &'a Translator,
    /// The records at home of keys that are elsewhere too.
    at_home: HashMap<TopicKey, Vec<u8>>,
    /// Hashes of the keys that are elsewhere twice, whether they have a record at home or not.
    elsewhere_twice: HashSet<u64>,
}

impl<'a> DuplicateKeys<'a> {
    /// Reads all partitions; call it when every task is fenced.
    pub(super) fn find(
        readers: &Readers,
        translator: &'a Translator,
        topics: &[&'static str],
        count: u32,
    ) -> Result<DuplicateKeys<'a>, CommandFault> {
        let (mut elsewhere, mut elsewhere_twice) = (HashSet::new(), HashSet::new());
        let mut at_home = HashMap::new();
        for partition in 0..count.cast_signed() {
            for topic in topics {
                // The keys only, since there are many.
                for key in live(readers, topic, partition, |_, _| Some(Vec::new()))?.into_keys() {
                    let hash = hash(topic, &key);
                    if home_of(&key, count).is_some_and(|home| home != partition) && !elsewhere.insert(hash) {
                        elsewhere_twice.insert(hash);
                    }
                }
            }
        }
        let partitions = if elsewhere.is_empty() { 0 } else { count.cast_signed() };
        for partition in 0..partitions {
            for topic in topics {
                let keep = |key: &[u8], value: &[u8]| {
                    let is_asked =
                        elsewhere.contains(&hash(topic, key)) && home_of(key, count) == Some(partition);
                    is_asked.then(|| value.to_vec())
                };
                let found = live(readers, topic, partition, keep)?;
                at_home.extend(found.into_iter().map(|(key, value)| (TopicKey { topic, key }, value)));
            }
        }
        Ok(DuplicateKeys { translator, at_home, elsewhere_twice })
    }

    /// Joins `record` with the record at its home, so that it can be written there. Reports what is left over.
    pub(super) fn resolve(
        &mut self,
        record: &mut Misplaced,
        report: &mut Report<'_>,
    ) -> Result<(), CommandFault> {
        let Misplaced { topic, from, home, ref key, ref mut value } = *record;
        let is_again = self.elsewhere_twice.contains(&hash(topic, key));
        let place = TopicKey { topic, key: key.clone() };
        let Some(here) = self.at_home.remove(&place) else {
            if is_again {
                self.at_home.insert(place, value.clone());
            }
            return Ok(());
        };
        let name = String::from_utf8_lossy(&place.key).into_owned();
        let read = |value: &[u8]| {
            let state = || self.translator.state(topic, value);
            let record = try_decode(self.translator, &AtomicBool::new(false), state)?;
            record.map_err(|flaw| CommandFault::Unreadable { topic, key: name.clone(), flaw })
        };
        let (joined, what) = if topic == REVIEW {
            (here, "the review in the second one is kept, the other one is dropped; let DentScheduler publish it again".into())
        } else {
            let (record, left_over) = match (read(&here)?, read(value)?) {
                (StateRecord::Booking(key, here), StateRecord::Booking(_, there)) => {
                    let (joined, left_over) = here.join(there);
                    (StateRecord::Booking(key, joined), left_over)
                }
                (StateRecord::Patient(key, here), StateRecord::Patient(_, there)) => {
                    let (joined, left_over) = here.join(there);
                    (StateRecord::Patient(key, joined), left_over)
                }
                (StateRecord::Quota(owner, here), StateRecord::Quota(_, there)) => {
                    (StateRecord::Quota(owner, join_counts(here, there)), LeftOver::default())
                }
                _ => return Err(CommandFault::OtherKind { topic, key: name }),
            };
            let mut buffer = Vec::new();
            let encoded = self.translator.encode(&Outgoing::State(Box::new(record)), &mut buffer);
            let encoded = encoded.map_err(KafkaFault::from)?;
            (encoded.value.unwrap_or_default().to_vec(), to_do(&left_over))
        };
        if is_again {
            self.at_home.insert(place, joined.clone());
        }
        report(format!("{name} has records in partitions {from} and {home}, which were joined; {what}"))
            .map_err(CommandFault::Output)?;
        *value = joined;
        Ok(())
    }
}

/// What an operator has to do about it.
fn to_do(left_over: &LeftOver) -> String {
    let mut todo = Vec::new();
    if let Some(id) = &left_over.appointment_id {
        todo.push(format!(
            "appointment {id} is left over in HealthFlow: cancel it there if it is a duplicate"
        ));
    }
    if left_over.write_in_doubt {
        todo.push("another write may have been sent for it: look in HealthFlow for a duplicate".to_owned());
    }
    if left_over.chart {
        todo.push("its patient has two charts in HealthFlow: have them merged".to_owned());
    }
    if todo.is_empty() { "nothing is left over".to_owned() } else { todo.join("; ") }
}

fn home_of(key: &[u8], count: u32) -> Option<i32> {
    key::practice(key).map(|practice| home_partition::partition_of(practice.as_bytes(), count))
}

fn hash(topic: &str, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, key).hash(&mut hasher);
    hasher.finish()
}

/// Of the live records of a partition, what `keep` returns.
fn live(
    readers: &Readers,
    topic: &'static str,
    partition: i32,
    keep: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>,
) -> Result<HashMap<Vec<u8>, Vec<u8>>, KafkaFault> {
    let mut newest = HashMap::new();
    readers.each_record(topic, partition, &AtomicBool::new(false), |message| {
        let key = message.key().unwrap_or_default();
        match message.payload() {
            Some(value) => {
                if let Some(kept) = keep(key, value) {
                    newest.insert(key.to_vec(), kept);
                }
            }
            None => drop(newest.remove(key)),
        }
        Ok(())
    })?;
    Ok(newest)
}

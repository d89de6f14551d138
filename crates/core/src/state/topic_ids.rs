//! Which topic is meant, beyond its name. Kafka gives every topic an id when it is created (KIP-516); a topic that is deleted
//! and recreated shares only the name with the old one. A position belongs to one of them only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::topics::IDENTIFIED;

/// Kafka's id of a topic, as `kafka-topics --describe` prints it. Only ever compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub Arc<str>);

/// The ids of our topics, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicIds(BTreeMap<&'static str, TopicId>);

impl TopicIds {
    /// The id of `topic`, if known.
    pub fn of(&self, topic: &str) -> Option<&TopicId> {
        self.0.get(topic)
    }

    /// Records the id of one of our topics; ignores any other topic.
    pub fn note(&mut self, topic: &str, id: TopicId) {
        if let Some(ours) = IDENTIFIED.into_iter().find(|ours| *ours == topic) {
            self.0.insert(ours, id);
        }
    }

    /// Every topic whose id is known.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &TopicId)> {
        self.0.iter().map(|(topic, id)| (*topic, id))
    }

    /// These, completed from what was remembered: an id that cannot be asked for must not be forgotten.
    pub fn or(mut self, remembered: &TopicIds) -> TopicIds {
        for (topic, id) in remembered.iter() {
            self.0.entry(topic).or_insert_with(|| id.clone());
        }
        self
    }

    /// Whether `topic` is another one than when `remembered` was written. An unknown id is no difference.
    pub fn differs(&self, topic: &str, remembered: &TopicIds) -> bool {
        matches!((self.of(topic), remembered.of(topic)), (Some(now), Some(then)) if now != then)
    }

    /// The first of our topics that is another one than in `remembered`.
    pub fn recreated(&self, remembered: &TopicIds) -> Option<&'static str> {
        IDENTIFIED.into_iter().find(|topic| self.differs(topic, remembered))
    }
}

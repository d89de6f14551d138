//! Which topic is meant, beyond its name: Kafka gives every topic an id when it is made (KIP-516), and a topic that is
//! deleted and made anew has the name of the old one and nothing else of it. A position is a position in one of them only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::topics::IDENTIFIED;

/// Kafka's id of a topic, as `kafka-topics --describe` prints it. Only ever compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub Arc<str>);

/// The ids of our topics, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicIds(BTreeMap<&'static str, TopicId>);

impl TopicIds {
    /// The id of `topic`, where it is known.
    pub fn of(&self, topic: &str) -> Option<&TopicId> {
        self.0.get(topic)
    }

    /// Notes the id of a topic of ours; that of any other is left out.
    pub fn note(&mut self, topic: &str, id: TopicId) {
        if let Some(ours) = IDENTIFIED.into_iter().find(|ours| *ours == topic) {
            self.0.insert(ours, id);
        }
    }

    /// Every topic whose id is known.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &TopicId)> {
        self.0.iter().map(|(topic, id)| (*topic, id))
    }

    /// These, and where one is not known, what was remembered: an id that cannot be asked for must not be forgotten.
    pub fn or(mut self, remembered: &TopicIds) -> TopicIds {
        for (topic, id) in remembered.iter() {
            self.0.entry(topic).or_insert_with(|| id.clone());
        }
        self
    }

    /// Whether `topic` is another one than when `remembered` was written. Unknown is no difference.
    pub fn differs(&self, topic: &str, remembered: &TopicIds) -> bool {
        matches!((self.of(topic), remembered.of(topic)), (Some(now), Some(then)) if now != then)
    }

    /// The first of our topics that is another one than in `remembered`.
    pub fn made_anew(&self, remembered: &TopicIds) -> Option<&'static str> {
        IDENTIFIED.into_iter().find(|topic| self.differs(topic, remembered))
    }
}

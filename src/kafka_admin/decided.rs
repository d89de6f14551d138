//! What became of a decision: a person who decided must learn whether the visit exists, or that the worker refused. It shows
//! in three topics of the task's partition, so this module watches them from before the decision is written.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::KafkaFault;
use crate::kafka::restore::{Raw, Readers, try_decode};
use crate::kafka::settings::KafkaSettings;
use crate::kafka_admin::CommandFault;
use crate::kafka_admin::reviews::Waiting;
use crate::registry::Translator;
use healthflow_core::booking::PracticeId;
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::key;
use healthflow_core::event::result::{ResultEnvelope, ResultOutcome};
use healthflow_core::event::review::AppointmentReview;
use healthflow_core::event::synced::AppointmentSynced;
use healthflow_core::state::{Hold, StateRecord};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{APPOINTMENT_STATE, FAILED, NamePrefix, REVIEW, SYNCED};

/// Where the end of a review shows.
const WATCHED: [&str; 3] = [REVIEW, SYNCED, FAILED];
const POLL: Duration = Duration::from_millis(100);
/// How long a better answer may be behind one that says little: the records of one transaction come from three partitions.
const BETTER_ANSWER_MS: i64 = 2_000;

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// The version has its final result.
    Ended {
        /// Which.
        outcome: ResultOutcome,
        /// The code of why, if it failed.
        reason: Option<Arc<str>>,
        /// HealthFlow's id of the appointment, if there is one.
        appointment_id: Option<Arc<str>>,
    },
    /// The worker refused the decision.
    Refused {
        /// The code of why.
        reason: Arc<str>,
        /// In words.
        detail: Arc<str>,
    },
    /// A person must decide about it again.
    AskedAgain {
        /// The new question.
        generation: u32,
        /// The code of why.
        reason: Arc<str>,
    },
    /// It has left review, and its result is still to come.
    GoesOn,
}

/// Watches what becomes of one task's reviews.
pub struct Watch<'a> {
    consumer: BaseConsumer,
    prefix: NamePrefix,
    translator: &'a Translator,
}

/// A record as far as it says what became of a question.
enum Seen {
    Review(Option<(u32, Arc<str>)>),
    Result(ResultEnvelope),
    Refusal { reason: Arc<str>, detail: Arc<str> },
}

/// Weighs the records about one decision.
struct Weighed {
    generation: u32,
    /// An answer after which a better one may come, and when it came.
    meanwhile: Option<(Became, Timestamp)>,
}

impl<'a> Watch<'a> {
    /// Watches what is written to a partition from now on.
    ///
    /// # Errors
    /// A broker does not answer.
    pub fn begin(
        settings: &KafkaSettings,
        translator: &'a Translator,
        partition: i32,
    ) -> Result<Watch<'a>, CommandFault> {
        let mut config = settings.uncommitted();
        // librdkafka requires a group name, although this joins no group and commits nothing.
        config.set("group.id", settings.on_cluster(&settings.group_id)).set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer =
            config.create().map_err(KafkaFault::settings("the consumer that watches reviews"))?;
        let readers = Readers::new(settings)?;
        let failed =
            |error| KafkaFault::of(format!("cannot watch what becomes of partition {partition}"), error);
        let mut list = TopicPartitionList::new();
        for topic in WATCHED {
            let end = Offset::Offset(readers.bounds(topic, partition)?.high);
            list.add_partition_offset(&settings.on_cluster(topic), partition, end).map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        Ok(Watch { consumer, prefix: settings.prefix.clone(), translator })
    }

    /// Waits until it shows what became of a decision about `question`; none if nothing shows within
    /// `limit_ms`.
    ///
    /// # Errors
    /// The registry does not answer.
    pub fn wait(
        &self,
        question: &Waiting,
        decision_id: &str,
        limit_ms: i64,
        now: impl Fn() -> Timestamp,
    ) -> Result<Option<Became>, CommandFault> {
        let mut weighed = Weighed { generation: question.generation, meanwhile: None };
        let until = now().plus_ms(limit_ms);
        while now() < until {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    if let Some(seen) = self.see(&message, question, decision_id)?
                        && let Some(became) = weighed.take(seen, now())
                    {
                        return Ok(Some(became));
                    }
                }
                // Brokers restart; librdkafka connects again by itself.
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => tracing::debug!("watching reviews: {error}"),
            }
            if let Some((became, since)) = &weighed.meanwhile
                && now() >= since.plus_ms(BETTER_ANSWER_MS)
            {
                return Ok(Some(became.clone()));
            }
        }
        Ok(weighed.meanwhile.map(|(became, _)| became))
    }

    /// The refusal of a decision, if one shows within `limit_ms`.
    ///
    /// # Errors
    /// The registry does not answer.
    pub fn refusal(
        &self,
        practice: &PracticeId,
        decision_id: &str,
        limit_ms: i64,
        now: impl Fn() -> Timestamp,
    ) -> Result<Option<Became>, CommandFault> {
        let until = now().plus_ms(limit_ms);
        while now() < until {
            let Some(Ok(message)) = self.consumer.poll(POLL) else { continue };
            let topic = self.prefix.ours(message.topic());
            let is_ours = topic == Some(FAILED) && message.key() == Some(practice.as_str().as_bytes());
            let Some(value) = message.payload().filter(|_| is_ours) else { continue };
            let letter = self.decode::<AppointmentFailed>(FAILED, value)?;
            if let Some(letter) = letter.filter(|letter| letter.decision_id.as_deref() == Some(decision_id)) {
                let reason = letter.result.reason.unwrap_or_default();
                return Ok(Some(Became::Refused { reason, detail: letter.detail }));
            }
        }
        Ok(None)
    }

    /// None if the record is about something else.
    fn see(
        &self,
        message: &BorrowedMessage<'_>,
        question: &Waiting,
        decision_id: &str,
    ) -> Result<Option<Seen>, CommandFault> {
        let (key, value) = (message.key().unwrap_or_default(), message.payload());
        let is_about = |result: &ResultEnvelope| {
            result.practice_id.as_ref() == Some(&question.key.practice)
                && result.booking_id.as_ref() == Some(&question.key.booking)
                && result.version == Some(question.version)
        };
        match (self.prefix.ours(message.topic()).unwrap_or_default(), value) {
            (REVIEW, value) if key == question.record_key().as_bytes() => {
                let Some(value) = value else { return Ok(Some(Seen::Review(None))) };
                let review = self.decode::<AppointmentReview>(REVIEW, value)?;
                Ok(review.map(|review| {
                    Seen::Review(Some((review.result.generation, review.result.reason.unwrap_or_default())))
                }))
            }
            (SYNCED, Some(value)) if key == question.key.practice.as_str().as_bytes() => {
                let result = self.decode::<AppointmentSynced>(SYNCED, value)?.map(|record| record.result);
                Ok(result.filter(is_about).map(Seen::Result))
            }
            (FAILED, Some(value)) if key == question.key.practice.as_str().as_bytes() => {
                let Some(letter) = self.decode::<AppointmentFailed>(FAILED, value)? else { return Ok(None) };
                if letter.decision_id.as_deref() == Some(decision_id) {
                    let reason = letter.result.reason.unwrap_or_default();
                    return Ok(Some(Seen::Refusal { reason, detail: letter.detail }));
                }
                Ok(Some(letter.result).filter(is_about).map(Seen::Result))
            }
            _ => Ok(None),
        }
    }

    fn decode<R: serde::de::DeserializeOwned>(
        &self,
        topic: &'static str,
        value: &[u8],
    ) -> Result<Option<R>, KafkaFault> {
        let cancelled = AtomicBool::new(false);
        Ok(try_decode(self.translator, &cancelled, || self.translator.value::<R>(topic, value))?.ok())
    }
}

impl Weighed {
    /// What became of the decision, if this record says it for good.
    fn take(&mut self, seen: Seen, now: Timestamp) -> Option<Became> {
        let meanwhile = match seen {
            Seen::Refusal { reason, detail } => return Some(Became::Refused { reason, detail }),
            Seen::Result(ResultEnvelope { outcome, reason, healthflow_appointment_id, .. }) => {
                return Some(Became::Ended { outcome, reason, appointment_id: healthflow_appointment_id });
            }
            Seen::Review(Some((generation, reason))) if generation > self.generation => {
                Became::AskedAgain { generation, reason }
            }
            Seen::Review(Some(_)) => return None,
            Seen::Review(None) => Became::GoesOn,
        };
        self.meanwhile = Some((meanwhile, now));
        None
    }
}

/// Whether a version whose record still lies in review is decided already, by the state of its booking.
///
/// # Errors
/// A broker or the registry does not answer.
pub fn is_decided(
    settings: &KafkaSettings,
    translator: &Translator,
    partition: i32,
    question: &Waiting,
) -> Result<bool, CommandFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let own = key::booking(&question.key);
    let newest = readers.newest(APPOINTMENT_STATE, partition, &cancelled, |key| key == own.as_bytes())?;
    let Some(Raw { value, .. }) = newest.by_key.into_values().next() else { return Ok(false) };
    let read = try_decode(translator, &cancelled, || translator.state(APPOINTMENT_STATE, &value))?;
    let Ok(StateRecord::Booking(_, state)) = read else { return Ok(false) };
    let hold = state.hold(question.version.cast_unsigned());
    Ok(matches!(hold, Some(Hold::Released | Hold::Rejected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_counts_at_once_and_a_tombstone_only_if_none_comes() {
        let now = Timestamp(7);
        let mut weighed = Weighed { generation: 2, meanwhile: None };
        assert_eq!(
            weighed.take(Seen::Review(Some((2, "LINK_CONFLICT".into()))), now),
            None,
            "the old question"
        );
        assert_eq!(weighed.meanwhile, None);
        assert_eq!(weighed.take(Seen::Review(Some((3, "LINK_CONFLICT".into()))), now), None);
        let again = Became::AskedAgain { generation: 3, reason: "LINK_CONFLICT".into() };
        assert_eq!(weighed.meanwhile, Some((again, now)));
        assert_eq!(weighed.take(Seen::Review(None), now), None);
        assert_eq!(weighed.meanwhile, Some((Became::GoesOn, now)));
        let result = ResultEnvelope::new(None, ResultOutcome::Created, None, Timestamp(0));
        let created = Became::Ended { outcome: ResultOutcome::Created, reason: None, appointment_id: None };
        assert_eq!(weighed.take(Seen::Result(result), now), Some(created));
        let refusal = Seen::Refusal { reason: "DECISION_STALE".into(), detail: "too late".into() };
        let refused = Became::Refused { reason: "DECISION_STALE".into(), detail: "too late".into() };
        assert_eq!(weighed.take(refusal, now), Some(refused));
    }
}

//! Which topics exist now, by Kafka's ids (KIP-516). rdkafka does not wrap `DescribeTopics`, so this file calls
//! librdkafka itself. A missing id (brokers before 2.8, no right to describe) stops nothing: positions are then
//! compared by their numbers alone.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::bindings as c;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::KafkaFault;
use crate::kafka::context::QuietContext;
use crate::kafka::native::{self, Owned};
use crate::kafka::settings::KafkaSettings;
use healthflow_core::state::{TopicId, TopicIds};
use healthflow_core::topics::{IDENTIFIED, NamePrefix};

/// Which of our topics exist now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// The ids of those that exist and have one.
    pub(crate) ids: TopicIds,
    /// Those that do not exist.
    pub(crate) gone: Vec<&'static str>,
}

/// Asks for the ids of our topics.
pub(crate) struct TopicIdentities {
    client: BaseConsumer<QuietContext>,
    prefix: NamePrefix,
}

impl TopicIdentities {
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Self, KafkaFault> {
        let client = settings.uncommitted().create_with_context(QuietContext("topic ids"));
        let refused = KafkaFault::settings("the client that asks for topic ids");
        Ok(TopicIdentities { client: client.map_err(refused)?, prefix: settings.prefix.clone() })
    }

    /// Which of our topics exist now; an error only if no broker answers.
    pub(crate) fn describe(&self) -> Result<Described, KafkaFault> {
        let mut described = Described::default();
        let answers =
            describe(&self.client, IDENTIFIED.map(|topic| self.prefix.on_cluster(topic)).as_slice())
                .map_err(|error| KafkaFault::of("cannot read the ids of our topics", error))?;
        for (topic, answer) in answers {
            let ours = self.prefix.ours(&topic).unwrap_or(&topic);
            match answer {
                Ok(Some(id)) => described.ids.note(ours, id),
                Ok(None) => warn_once("the brokers are older than 2.8"),
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    described.gone.extend(IDENTIFIED.into_iter().find(|one| *one == ours));
                }
                Err(code) => {
                    warn_once(&format!("{topic}: {code}; give this worker the right to describe it"))
                }
            }
        }
        Ok(described)
    }

    /// The ids that are available now.
    pub(super) fn ids(&self) -> TopicIds {
        match self.describe() {
            Ok(described) => described.ids,
            Err(fault) => {
                warn_once(&fault.to_string());
                TopicIds::default()
            }
        }
    }
}

/// A worker without ids works; the operator should know what it does not notice.
fn warn_once(why: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::SeqCst) {
        tracing::warn!("no topic ids ({why}): this worker notices a recreated topic only by its offsets");
    }
}

type Answer = (String, Result<Option<TopicId>, RDKafkaErrorCode>);

/// Sends `DescribeTopics` for these topics; returns the answer about each.
#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
fn describe<C: ClientContext + ConsumerContext>(
    client: &BaseConsumer<C>,
    topics: &[Cow<'_, str>],
) -> Result<Vec<Answer>, KafkaError> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(&**topic).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: librdkafka copies the names; the collection is ours and destroyed once.
    unsafe {
        let event = native::answer(client, operation, |asking| {
            let asked = c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let asked = Owned::new(asked, c::rd_kafka_TopicCollection_destroy)?;
            c::rd_kafka_DescribeTopics(asking.client, asked.ptr(), asking.options, asking.queue);
            Ok(())
        })?;
        answers(&event)
    }
}

/// The answer about each topic in the event of a `DescribeTopics`.
///
/// # Safety
/// Called with a live event only; everything that is read belongs to it and is copied.
#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
unsafe fn answers(event: &Owned<c::rd_kafka_event_t>) -> Result<Vec<Answer>, KafkaError> {
    // SAFETY: the event is live; librdkafka checks what kind it is and answers null where it is another.
    unsafe {
        let result = c::rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail));
        }
        let mut count = 0;
        let descriptions = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut answers = Vec::with_capacity(count);
        for index in 0..count {
            let description = *descriptions.add(index);
            let name = c::rd_kafka_TopicDescription_name(description);
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let error = c::rd_kafka_TopicDescription_error(description);
            let code = if error.is_null() {
                c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            } else {
                c::rd_kafka_error_code(error)
            };
            let answer = if code == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                Ok(id(c::rd_kafka_TopicDescription_topic_id(description)))
            } else {
                Err(code.into())
            };
            answers.push((name, answer));
        }
        Ok(answers)
    }
}

/// The id as Kafka's own tools print it; none if the brokers have no ids, which is zero on the wire.
///
/// # Safety
/// `uuid` is null, or lives while this is called.
#[allow(unsafe_code, reason = "rdkafka does not wrap DescribeTopics")]
unsafe fn id(uuid: *const c::rd_kafka_Uuid_t) -> Option<TopicId> {
    if uuid.is_null() {
        return None;
    }
    // SAFETY: as demanded; the text belongs to the id and is copied.
    unsafe {
        let bits =
            (c::rd_kafka_Uuid_most_significant_bits(uuid), c::rd_kafka_Uuid_least_significant_bits(uuid));
        if bits == (0, 0) {
            return None;
        }
        let text = c::rd_kafka_Uuid_base64str(uuid);
        (!text.is_null()).then(|| TopicId(CStr::from_ptr(text).to_string_lossy().into()))
    }
}

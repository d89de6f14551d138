//! Requests of librdkafka's Admin API that rdkafka does not wrap: how to send one, and how to own the objects that
//! librdkafka returns.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How long the brokers may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How much longer librdkafka may take to report that they did not.
const GRACE: Duration = Duration::from_secs(2);

/// An object of librdkafka's that we must destroy.
pub(super) struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

#[allow(unsafe_code, reason = "rdkafka does not wrap the objects that these requests take")]
impl<T> Owned<T> {
    /// # Safety
    /// `object` must be ours, and `destroy` what librdkafka wants called with it, once.
    ///
    /// # Errors
    /// librdkafka returned none.
    pub(super) unsafe fn new(
        object: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, KafkaError> {
        let object = NonNull::new(object).map(|object| Owned(object, destroy));
        object.ok_or_else(|| KafkaError::AdminOpCreation("librdkafka returned no object".into()))
    }

    pub(super) fn ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

#[allow(unsafe_code, reason = "as above")]
impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: as `new` demands.
        unsafe { (self.1)(self.0.as_ptr()) }
    }
}

/// Where and how to ask.
pub(super) struct Asking {
    /// The client.
    pub(super) client: *mut c::rd_kafka_t,
    /// Options with our limit.
    pub(super) options: *mut c::rd_kafka_AdminOptions_t,
    /// Where the answer must go.
    pub(super) queue: *mut c::rd_kafka_queue_t,
}

/// Sends the request `operation` and returns the event that answers it.
///
/// # Safety
/// `ask` must send exactly this request with its argument, and keep none of it.
///
/// # Errors
/// The request or its answer failed, or no answer came in time.
#[allow(unsafe_code, reason = "as above")]
pub(super) unsafe fn answer<C: ClientContext + ConsumerContext>(
    client: &BaseConsumer<C>,
    operation: c::rd_kafka_admin_op_t,
    ask: impl FnOnce(Asking) -> Result<(), KafkaError>,
) -> Result<Owned<c::rd_kafka_event_t>, KafkaError> {
    let native = client.client().native_ptr();
    // SAFETY: `native` lives as long as `client`, which outlives every object here; each object is ours and destroyed
    // once. An event holds what it needs of its queue.
    unsafe {
        let queue = Owned::new(c::rd_kafka_queue_new(native), c::rd_kafka_queue_destroy)?;
        let options =
            Owned::new(c::rd_kafka_AdminOptions_new(native, operation), c::rd_kafka_AdminOptions_destroy)?;
        let limit_ms = c_int::try_from(ANSWER_LIMIT.as_millis()).unwrap_or(c_int::MAX);
        let mut text = [0; 128];
        c::rd_kafka_AdminOptions_set_request_timeout(options.ptr(), limit_ms, text.as_mut_ptr(), text.len());
        ask(Asking { client: native, options: options.ptr(), queue: queue.ptr() })?;
        let wait_ms = c_int::try_from((ANSWER_LIMIT + GRACE).as_millis()).unwrap_or(c_int::MAX);
        let event = Owned::new(c::rd_kafka_queue_poll(queue.ptr(), wait_ms), c::rd_kafka_event_destroy);
        let event = event.map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
        let error = c::rd_kafka_event_error(event.ptr());
        if error == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(event)
        } else {
            Err(KafkaError::AdminOp(error.into()))
        }
    }
}

//! What Kafka's threads need to know of Avro: bytes in, values out, and back. The registry stands behind it; a schema
//! that is not known yet is fetched beside the threads that read, so that it delays only the records that need it.

use crate::event::{Arrival, Outgoing};
use crate::event::topics::Lane;
use crate::state::TaskState;

/// A record as it came.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Why a record was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeFault {
    /// Its writer's schema is not known yet: ask for it with [`Codec::fetch_schema`] and try again.
    UnknownSchema(u32),
    /// It never will be; what is wrong, without any value.
    Unreadable(String),
}

/// A record as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Where to.
    pub topic: &'static str,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// Avro with its schemas. Called from several threads at once.
pub trait Codec: Send + Sync + 'static {
    /// Decodes and checks a record of a lane. A record that never will be readable is an [`Arrival::Unusable`].
    ///
    /// # Errors
    /// The id of the schema that is not known yet.
    fn arrival(&self, lane: Lane, record: RawRecord<'_>) -> Result<Arrival, u32>;

    /// Takes a record of a state topic into `state`; a tombstone removes its key.
    ///
    /// # Errors
    /// See [`DecodeFault`].
    fn restore(&self, topic: &'static str, record: RawRecord<'_>, state: &mut TaskState) -> Result<(), DecodeFault>;

    /// Encodes one record of a commit.
    ///
    /// # Errors
    /// A value that its schema does not allow: a defect of ours, not of the data.
    fn encode(&self, outgoing: &Outgoing) -> Result<Encoded, String>;

    /// Starts fetching a schema unless that is under way; returns at once.
    fn fetch_schema(&self, id: u32);
}

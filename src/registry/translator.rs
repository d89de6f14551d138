//! Translates bytes into values and back, for the threads that read and write, by the schemas of the registry. It
//! fetches a schema that is not known yet beside those threads, so that only the records that need it are delayed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::registry::{RegistryFault, SchemaRegistry, SchemaState};
use healthflow_core::defects::die_of;
use healthflow_core::event::avro::{
    Contract, Decoder, Undecodable, Unencodable, contract, contracts, schema_id,
};
use healthflow_core::event::codec::{Codec, Encoded};
use healthflow_core::event::size::TooLarge;
use healthflow_core::event::{Arrival, Control, Outgoing, arrival, codec};
use healthflow_core::state::{FleetRecord, Held, StateRecord};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, NamePrefix, REVIEW};

/// A record as it came.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// How a record waits for its schema.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// Since when.
    pub since: Instant,
    /// Whether it keeps its lane paused, so that other records wait for its memory.
    pub blocks_others: bool,
}

/// Why a record was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeFault {
    /// Its writer's schema is not known yet: ask [`Translator::schema_state`] for it and try again.
    UnknownSchema(u32),
    /// It can never be decoded; what is wrong, without any value.
    Unreadable(String),
}

/// Turns bytes into values and back by their schemas, and fetches those that are missing. All threads of a worker share
/// one.
pub struct Translator {
    codec: Codec,
    registry: Arc<SchemaRegistry>,
    runtime: tokio::runtime::Handle,
}

impl Translator {
    /// Looks up the schemas that we write, waiting while the registry is unavailable, and remembers their ids.
    /// Registers nothing. Dead letters name `group`, given without the prefix, as their consumer group.
    ///
    /// # Errors
    /// One of our schemas is not registered, or we may not look.
    pub async fn connect(registry: Arc<SchemaRegistry>, group: &str) -> Result<Arc<Self>, RegistryFault> {
        let mut ids: Vec<(&'static str, u32)> = Vec::new();
        for contract in contracts() {
            ids.push((contract.topic, registry.look_up_patiently(contract).await?));
        }
        let id = |wanted: &'static Contract| {
            let id = ids.iter().find(|(topic, _)| *topic == wanted.topic).map(|(_, id)| *id);
            id.expect("every contract was looked up just now")
        };
        let runtime = tokio::runtime::Handle::current();
        let prefix = registry.prefix().clone();
        let codec = Codec::new(&prefix.on_cluster(group), id).under(prefix);
        Ok(Arc::new(Translator { codec, registry, runtime }))
    }

    /// What precedes all our names on the cluster.
    pub fn prefix(&self) -> &NamePrefix {
        self.registry.prefix()
    }

    /// Decodes and checks a record of a lane; one that can never be decoded, or has more than `bytes_max`, is an
    /// [`Arrival::Unusable`].
    ///
    /// # Errors
    /// The id of the schema that is not known yet.
    pub fn arrival(
        &self,
        lane: Lane,
        record: RawRecord<'_>,
        bytes_max: usize,
        now: Timestamp,
    ) -> Result<Arrival, u32> {
        let read = |decoder| read(lane, record, decoder, bytes_max, now);
        let (Some(Ok(id)), Some(contract)) = (record.value.map(schema_id), contract(lane.topic())) else {
            return Ok(read(None));
        };
        let schema = self.registry.cached(id).ok_or(id)?;
        die_of(record.value);
        Ok(read(Some(self.registry.decoder(&schema, contract))))
    }

    /// Decodes the value of a record of a state topic.
    ///
    /// # Errors
    /// See [`DecodeFault`].
    pub fn state(&self, topic: &'static str, value: &[u8]) -> Result<StateRecord, DecodeFault> {
        self.decode(topic, value, |decoder| codec::restore(topic, value, decoder))
    }

    /// Decodes the value of a record of `appointments.review`.
    ///
    /// # Errors
    /// See [`DecodeFault`].
    pub fn held(&self, value: &[u8], now: Timestamp) -> Result<Held, DecodeFault> {
        self.decode(REVIEW, value, |decoder| codec::restore_held(value, decoder, now))
    }

    /// Decodes the value of a record of any of our topics.
    ///
    /// # Errors
    /// See [`DecodeFault`].
    pub fn value<R: DeserializeOwned>(&self, topic: &'static str, value: &[u8]) -> Result<R, DecodeFault> {
        self.decode(topic, value, |decoder| decoder.decode(value))
    }

    fn decode<R>(
        &self,
        topic: &'static str,
        value: &[u8],
        read: impl FnOnce(&Decoder) -> Result<R, Undecodable>,
    ) -> Result<R, DecodeFault> {
        let unreadable = |why: &dyn std::fmt::Display| DecodeFault::Unreadable(why.to_string());
        let id = schema_id(value).map_err(|why| unreadable(&why))?;
        let contract = contract(topic).ok_or_else(|| unreadable(&"not a topic of ours"))?;
        let schema = self.registry.cached(id).ok_or(DecodeFault::UnknownSchema(id))?;
        read(self.registry.decoder(&schema, contract)).map_err(|why| unreadable(&why))
    }

    /// Encodes one record of a commit into `buffer`, replacing its content.
    ///
    /// # Errors
    /// A value that its schema does not allow: a defect of ours, not of the data.
    pub fn encode<'buffer>(
        &self,
        outgoing: &Outgoing,
        buffer: &'buffer mut Vec<u8>,
    ) -> Result<Encoded<'buffer>, Unencodable> {
        self.codec.encode(outgoing, buffer)
    }

    /// The state of the schema with `id`, at once; if it is not known, it is requested from now on.
    pub fn schema_state(&self, id: u32) -> SchemaState {
        self.registry.schema_state(&self.runtime, id)
    }

    /// The arrival of a record that waits for its schema, which is in `state`: the record itself once the schema is
    /// known, an unusable one once it has waited long enough, none before.
    pub fn late_arrival(
        &self,
        lane: Lane,
        record: RawRecord<'_>,
        wait: Wait,
        state: &SchemaState,
        bytes_max: usize,
        now: Timestamp,
    ) -> Option<Arrival> {
        match *state {
            SchemaState::Known(_) => self.arrival(lane, record, bytes_max, now).ok(),
            SchemaState::Asked => None,
            SchemaState::Denied { at } => {
                let wait_min = self.registry.policy.unknown_wait_min;
                let least = if wait.blocks_others { Duration::ZERO } else { wait_min };
                let has_waited = at >= wait.since + least;
                has_waited.then(|| read(lane, record, None, bytes_max, now))
            }
        }
    }

    /// Encodes the fleet's record into `buffer`, replacing its content.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_fleet<'buffer>(
        &self,
        record: &FleetRecord,
        buffer: &'buffer mut Vec<u8>,
    ) -> Result<Encoded<'buffer>, Unencodable> {
        self.codec.encode_fleet(record, buffer)
    }

    /// The same of a control.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_control<'buffer>(
        &self,
        control: &Control,
        buffer: &'buffer mut Vec<u8>,
    ) -> Result<Encoded<'buffer>, Unencodable> {
        self.codec.encode_control(control, buffer)
    }
}

/// Checks the size first: a record that is too large is not decoded.
fn read(
    lane: Lane,
    RawRecord { key, value }: RawRecord<'_>,
    decoder: Option<&Decoder>,
    bytes_max: usize,
    now: Timestamp,
) -> Arrival {
    match TooLarge::check(key, value, bytes_max) {
        Some(sizes) => arrival::too_large(lane, key, value, decoder, sizes),
        None => arrival::read(lane, key, value, decoder, now),
    }
}

//! Avro in Confluent's framing: a zero byte, the schema's id in four bytes, the datum. A schema goes in, bytes become
//! values and back; where the schema comes from is not known here. Without reader-schema resolution a producer one
//! version ahead of us would turn every booking into a dead letter.

use std::sync::{LazyLock, OnceLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::topics;

/// The largest record that any of our topics takes; also the most that a length inside a datum may claim. A hostile
/// length of gigabytes is refused before memory is taken for it.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes before the datum: a zero and the schema's id.
pub const FRAME_BYTES: usize = 5;

/// What a topic promises: its value schema as in `schemas/`.
#[derive(Debug)]
pub struct Contract {
    /// The topic.
    pub topic: &'static str,
    /// The schema as text, to be registered.
    pub json: &'static str,
    index: usize,
    schema: Schema,
    canonical: String,
}

const SCHEMAS: [&str; topics::ALL.len()] = [
    include_str!("../../schemas/appointments.requested.avsc"),
    include_str!("../../schemas/appointments.backfill.avsc"),
    include_str!("../../schemas/appointments.retry.avsc"),
    include_str!("../../schemas/appointments.synced.avsc"),
    include_str!("../../schemas/appointments.review.avsc"),
    include_str!("../../schemas/appointments.failed.avsc"),
    include_str!("../../schemas/patients.state.avsc"),
    include_str!("../../schemas/appointments.state.avsc"),
];

static CONTRACTS: LazyLock<[Contract; topics::ALL.len()]> = LazyLock::new(|| {
    apache_avro::util::max_allocation_bytes(RECORD_BYTES_MAX);
    std::array::from_fn(|index| {
        let json = SCHEMAS[index];
        let schema =
            Schema::parse_str(json).expect("the schemas are part of the program, and a test parses them");
        Contract { topic: topics::ALL[index], json, index, canonical: schema.canonical_form(), schema }
    })
});

/// The contracts of all topics, in the order of [`topics::ALL`].
pub fn contracts() -> &'static [Contract] {
    CONTRACTS.as_slice()
}

/// The contract of a topic; none if it is not one of ours.
pub fn contract(topic: &str) -> Option<&'static Contract> {
    CONTRACTS.iter().find(|contract| contract.topic == topic)
}

/// Why a value cannot be decoded. Its text never holds a part of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not framed as the schema registry's clients do.
    #[error("the value does not begin with a zero byte and a schema id")]
    NotFramed,
    /// The registry does not know the id.
    #[error("schema id {0} is not known to the schema registry")]
    UnknownSchema(u32),
    /// The schema behind the id cannot be read with ours.
    #[error("the schema with id {0} cannot be read with the schema of {1}")]
    ForeignSchema(u32, &'static str),
    /// The bytes are not a datum of the schema.
    #[error("the value is not a datum of its schema")]
    Malformed,
    /// There is something after the datum.
    #[error("{0} bytes follow the datum")]
    TrailingBytes(usize),
}

/// A record could not be put into its schema: a mistake in this program. Its text never holds a part of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record for {topic} does not fit its schema; report this as a bug")]
pub struct Unencodable {
    /// The topic.
    pub topic: &'static str,
}

/// The schema id in the frame of `value`.
pub fn schema_id(value: &[u8]) -> Result<u32, Undecodable> {
    match value {
        [0, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(Undecodable::NotFramed),
    }
}

/// Turns framed values of one writer's schema into records of ours.
pub struct Decoder {
    plan: Plan,
}

enum Plan {
    /// The writer's schema is ours: straight into the record.
    Same(GenericDatumReader<'static>),
    /// Another one that ours can read: resolved by Avro's rules.
    Resolve { writer: GenericDatumReader<'static>, both: GenericDatumReader<'static> },
    /// None that ours can read.
    Refuse(Undecodable),
}

impl Decoder {
    /// For values of the schema `writer_json`, which the registry gave for `id`, to be read with `ours`. A schema that
    /// ours cannot read gives a decoder that refuses every value.
    ///
    /// The parsed writer's schema stays in memory for the life of the process, as its decoder does: there are as many
    /// as versions of our topics' schemas.
    pub fn new(ours: &'static Contract, id: u32, writer_json: &str) -> Decoder {
        let foreign = Undecodable::ForeignSchema(id, ours.topic);
        let Ok(writer) = Schema::parse_str(writer_json) else {
            return Decoder { plan: Plan::Refuse(foreign) };
        };
        if writer.canonical_form() == ours.canonical {
            return Decoder::own(ours);
        }
        if SchemaCompatibility::can_read(&writer, &ours.schema).is_err()
            || nests_itself(&writer, &mut Vec::new())
        {
            return Decoder { plan: Plan::Refuse(foreign) };
        }
        let writer: &'static Schema = Box::leak(Box::new(writer));
        let both = GenericDatumReader::builder(writer).reader_schema(&ours.schema).build();
        match (GenericDatumReader::builder(writer).build(), both) {
            (Ok(writer), Ok(both)) => Decoder { plan: Plan::Resolve { writer, both } },
            _ => Decoder { plan: Plan::Refuse(foreign) },
        }
    }

    /// For values written with our own schema.
    pub fn own(ours: &'static Contract) -> Decoder {
        let reader = GenericDatumReader::builder(&ours.schema).build();
        Decoder {
            plan: Plan::Same(
                reader.expect("a contract names no schema outside itself, and a test builds all"),
            ),
        }
    }

    /// For an id that the registry does not know: refuses every value.
    pub fn unknown(id: u32) -> Decoder {
        Decoder { plan: Plan::Refuse(Undecodable::UnknownSchema(id)) }
    }

    /// The record in the framed `value`; all of it, to the last byte.
    pub fn decode<R: DeserializeOwned>(&self, value: &[u8]) -> Result<R, Undecodable> {
        let mut datum = datum(value)?;
        let record = match &self.plan {
            Plan::Same(reader) => reader.read_deser(&mut datum),
            Plan::Resolve { both, .. } => {
                both.read_value(&mut datum).and_then(|value| apache_avro::from_value(&value))
            }
            Plan::Refuse(why) => return Err(why.clone()),
        };
        let record = record.map_err(|_| Undecodable::Malformed)?;
        all_read(datum).map(|()| record)
    }

    /// The framed `value` as its writer wrote it, with every field of the writer's schema.
    pub fn decode_value(&self, value: &[u8]) -> Result<Value, Undecodable> {
        let mut datum = datum(value)?;
        let read = match &self.plan {
            Plan::Same(reader) | Plan::Resolve { writer: reader, .. } => reader.read_value(&mut datum),
            Plan::Refuse(why) => return Err(why.clone()),
        };
        let read = read.map_err(|_| Undecodable::Malformed)?;
        all_read(datum).map(|()| read)
    }

    /// [`decode_value`](Self::decode_value) as JSON, for people.
    pub fn decode_json(&self, value: &[u8]) -> Result<serde_json::Value, Undecodable> {
        serde_json::Value::try_from(self.decode_value(value)?).map_err(|_| Undecodable::Malformed)
    }

    /// Whether it refuses every value.
    pub fn refuses(&self) -> bool {
        matches!(self.plan, Plan::Refuse(_))
    }
}

fn datum(value: &[u8]) -> Result<&[u8], Undecodable> {
    schema_id(value).map(|_| &value[FRAME_BYTES..])
}

fn all_read(rest: &[u8]) -> Result<(), Undecodable> {
    if rest.is_empty() { Ok(()) } else { Err(Undecodable::TrailingBytes(rest.len())) }
}

/// Whether a record contains itself. Decoding such a schema recurses as deep as the data say: a stack overflow.
fn nests_itself(schema: &Schema, open: &mut Vec<apache_avro::schema::Name>) -> bool {
    match schema {
        Schema::Record(record) => {
            open.push(record.name.clone());
            let found = record.fields.iter().any(|field| nests_itself(&field.schema, open));
            open.pop();
            found
        }
        Schema::Ref { name } => open.contains(name),
        Schema::Array(array) => nests_itself(&array.items, open),
        Schema::Map(map) => nests_itself(&map.types, open),
        Schema::Union(union) => union.variants().iter().any(|variant| nests_itself(variant, open)),
        _ => false,
    }
}

/// The schema behind an id, with a decoder for each of our topics that has met it. Requested and backfill share a
/// schema, hence an id.
pub struct WriterSchema {
    id: u32,
    json: Option<String>,
    decoders: [OnceLock<Decoder>; topics::ALL.len()],
}

impl WriterSchema {
    /// What the registry gave for `id`.
    pub fn new(id: u32, json: String) -> WriterSchema {
        WriterSchema { id, json: Some(json), decoders: Default::default() }
    }

    /// The registry does not know `id`: its decoders refuse every value.
    pub fn unknown(id: u32) -> WriterSchema {
        WriterSchema { id, json: None, decoders: Default::default() }
    }

    /// The decoder that reads values of this schema with `ours`; made once.
    pub fn decoder(&self, ours: &'static Contract) -> &Decoder {
        self.decoders[ours.index].get_or_init(|| match &self.json {
            Some(json) => Decoder::new(ours, self.id, json),
            None => Decoder::unknown(self.id),
        })
    }
}

/// Turns records of one topic into framed values.
pub struct Encoder {
    topic: &'static str,
    frame: [u8; FRAME_BYTES],
    writer: GenericDatumWriter<'static>,
}

impl Encoder {
    /// For the topic of `ours`, whose schema the registry knows as `id`.
    pub fn new(ours: &'static Contract, id: u32) -> Encoder {
        let [a, b, c, d] = id.to_be_bytes();
        let writer = GenericDatumWriter::builder(&ours.schema).build();
        let writer = writer.expect("a contract names no schema outside itself, and a test builds all");
        Encoder { topic: ours.topic, frame: [0, a, b, c, d], writer }
    }

    /// Writes the framed `record` into `buffer`, over whatever it held.
    pub fn encode<R: Serialize>(&self, record: &R, buffer: &mut Vec<u8>) -> Result<(), Unencodable> {
        buffer.clear();
        buffer.extend_from_slice(&self.frame);
        match self.writer.write_ser(buffer, record) {
            Ok(_) => Ok(()),
            Err(_) => Err(Unencodable { topic: self.topic }),
        }
    }
}

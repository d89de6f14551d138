//! Avro in Confluent's framing: a zero byte, the schema's id in four bytes, the datum. Given a schema, it turns bytes into
//! values and back; it does not know where the schema comes from. Without reader-schema resolution a producer one version
//! ahead of us would turn every booking into a dead letter.

mod datum;
mod resolve;
mod schema;

use std::sync::{Arc, LazyLock, OnceLock};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::avro::datum::{Datum, Misfit};
use crate::event::avro::resolve::{Step, Way};
use crate::event::avro::schema::Schema;
use crate::event::readable_bytes;
use crate::event::size::RECORD_BYTES_RANGE;
use crate::topics;

/// The longest description of how a schema differs.
const DIFFERS_CHARS_MAX: usize = 300;

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
    schema: apache_avro::Schema,
    shape: Schema,
}

const SCHEMAS: [&str; topics::ALL.len()] = [
    include_str!("../../../../schemas/appointments.requested.avsc"),
    include_str!("../../../../schemas/appointments.backfill.avsc"),
    include_str!("../../../../schemas/appointments.retry.avsc"),
    include_str!("../../../../schemas/appointments.synced.avsc"),
    include_str!("../../../../schemas/appointments.review.avsc"),
    include_str!("../../../../schemas/appointments.audit.avsc"),
    include_str!("../../../../schemas/appointments.decisions.avsc"),
    include_str!("../../../../schemas/appointments.failed.avsc"),
    include_str!("../../../../schemas/appointments.notices.avsc"),
    include_str!("../../../../schemas/patients.state.avsc"),
    include_str!("../../../../schemas/appointments.state.avsc"),
    include_str!("../../../../schemas/healthflow.controls.avsc"),
];

static CONTRACTS: LazyLock<[Contract; topics::ALL.len()]> = LazyLock::new(|| {
    // A hostile length of gigabytes is refused before memory is allocated for it.
    apache_avro::util::max_allocation_bytes(*RECORD_BYTES_RANGE.end());
    std::array::from_fn(|index| {
        let json = SCHEMAS[index];
        let schema = apache_avro::Schema::parse_str(json)
            .expect("the schemas are part of the program, and a test parses them");
        let shape = Schema::parse(json, &[]).expect("as above");
        Contract { topic: topics::ALL[index], json, index, schema, shape }
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

/// Why a value cannot be decoded. Its text never contains a part of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not framed as the schema registry's clients do.
    #[error("the value does not begin with a zero byte and a schema id")]
    NotFramed,
    /// The registry does not know the id.
    #[error("schema id {0} is not known to the schema registry")]
    UnknownSchema(u32),
    /// The schema behind the id, or a value that it allows, cannot be read with ours; what differs.
    #[error("the schema with id {0} cannot be read with the schema of {1}: {2}")]
    ForeignSchema(u32, &'static str, Arc<str>),
    /// The bytes are not a datum of the schema.
    #[error("the value is not a datum of its schema")]
    Malformed,
    /// It unfolds to more values than any booking has.
    #[error("the value unfolds to more than {} values, or to too deep or too large ones", datum::ITEMS_MAX)]
    TooMany,
    /// There is something after the datum.
    #[error("{0} bytes follow the datum")]
    TrailingBytes(usize),
}

/// A record does not fit its schema: a mistake in this program. Its text never contains a part of the value.
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
    id: u32,
    ours: &'static Contract,
    /// The writer's schema; none if it is none.
    writer: Option<Schema>,
    plan: Result<Plan, Undecodable>,
}

/// How a writer's schema is read with ours.
struct Plan {
    /// The writer's schema is ours: straight into the record.
    own: Option<GenericDatumReader<'static>>,
    /// Otherwise by way of a value.
    step: Step,
    /// How some of its values differ, so that ours cannot read those.
    partly: Vec<String>,
    /// The fields of which some symbols are read as our default, because ours has not got them.
    replaced: Vec<String>,
}

impl Decoder {
    /// For values of the schema `writer_json`, which the registry gave for `id`, to be read with `ours`. If ours cannot read
    /// the schema, the decoder refuses every value.
    pub fn new(ours: &'static Contract, id: u32, writer_json: &str) -> Decoder {
        Decoder::with_references(ours, id, writer_json, &[])
    }

    /// The same for a schema that names types of `references`, each of which may name types of those before it.
    pub fn with_references(
        ours: &'static Contract,
        id: u32,
        writer_json: &str,
        references: &[String],
    ) -> Decoder {
        let parsed = Schema::parse(writer_json, references).map_err(|why| format!("it {why}"));
        let plan = parsed.as_ref().map_err(String::clone).and_then(|writer| {
            let Way { step, is_own, partly, replaced } = resolve::resolve(writer, &ours.shape)?;
            Ok(Plan { own: is_own.then(|| own_reader(ours)), step, partly, replaced })
        });
        let plan = plan.map_err(|differs| foreign(id, ours, &differs));
        Decoder { id, ours, writer: parsed.ok(), plan }
    }

    /// For values written with our own schema.
    pub fn own(ours: &'static Contract) -> Decoder {
        Decoder::new(ours, 0, ours.json)
    }

    /// For an id that the registry does not know: refuses every value.
    pub fn unknown(ours: &'static Contract, id: u32) -> Decoder {
        Decoder { id, ours, writer: None, plan: Err(Undecodable::UnknownSchema(id)) }
    }

    /// The record in the framed `value`; all of it, to the last byte.
    pub fn decode<R: DeserializeOwned>(&self, value: &[u8]) -> Result<R, Undecodable> {
        let mut datum = datum(value)?;
        let (plan, writer) = self.plan()?;
        let record = match &plan.own {
            Some(reader) => {
                // This reader has no budget.
                Datum::measure(datum, writer).map_err(|misfit| self.misfit(misfit))?;
                reader.read_deser(&mut datum).map_err(|_| Undecodable::Malformed)?
            }
            None => {
                let mut read = Datum::new(datum);
                let value = read.value(&plan.step, writer).map_err(|misfit| self.misfit(misfit))?;
                datum = read.rest;
                apache_avro::from_value(&value).map_err(|_| Undecodable::Malformed)?
            }
        };
        all_read(datum).map(|()| record)
    }

    /// The framed `value` as its writer wrote it, with every field of the writer's schema.
    pub fn decode_value(&self, value: &[u8]) -> Result<Value, Undecodable> {
        let datum = datum(value)?;
        let (_, writer) = self.plan()?;
        self.all_written(datum, writer)
    }

    /// The same, whether or not ours can read the schema; none if the value is none of the schema.
    pub(super) fn written(&self, value: &[u8]) -> Option<Value> {
        self.all_written(datum(value).ok()?, self.writer.as_ref()?).ok()
    }

    /// The symbol in the field `field` of the framed `value`, if ours has not got it and reads our default instead.
    pub(super) fn replaced_symbol(&self, value: &[u8], field: &str) -> Option<String> {
        let (plan, _) = self.plan().ok()?;
        if !plan.replaced.iter().any(|replaced| replaced == field) {
            return None;
        }
        let Value::Record(written) = self.written(value)? else { return None };
        let symbol = match written.into_iter().find(|(name, _)| name == field)? {
            (_, Value::Enum(_, symbol)) => symbol,
            (_, Value::Union(_, branch)) => match *branch {
                Value::Enum(_, symbol) => symbol,
                _ => return None,
            },
            _ => return None,
        };
        let is_ours = self.ours.shape.symbols(field).contains(&symbol);
        (!is_ours).then_some(symbol)
    }

    fn plan(&self) -> Result<(&Plan, &Schema), Undecodable> {
        let plan = self.plan.as_ref().map_err(Undecodable::clone)?;
        let writer = self.writer.as_ref().ok_or(Undecodable::UnknownSchema(self.id))?;
        Ok((plan, writer))
    }

    fn all_written(&self, datum: &[u8], writer: &Schema) -> Result<Value, Undecodable> {
        let mut datum = Datum::new(datum);
        let read = datum.written(writer, writer.root(), true);
        let read = read.map_err(|misfit| self.misfit(misfit))?;
        all_read(datum.rest).map(|()| read)
    }

    /// The part of the framed `value` that `reader_json`, a schema with some of ours' fields, asks for; nothing else of it is
    /// built, however large it is.
    pub fn decode_part<R: DeserializeOwned>(
        &self,
        value: &[u8],
        reader_json: &str,
    ) -> Result<R, Undecodable> {
        let mut datum = Datum::new(datum(value)?);
        let (_, writer) = self.plan()?;
        let differs = |what: String| foreign(self.id, self.ours, &what);
        let reader = Schema::parse(reader_json, &[]).map_err(differs)?;
        let way = resolve::resolve(writer, &reader).map_err(differs)?;
        let part = datum.value(&way.step, writer).map_err(|misfit| self.misfit(misfit))?;
        apache_avro::from_value(&part).map_err(|_| Undecodable::Malformed)
    }

    /// [`decode_value`](Self::decode_value) as JSON, for people; bytes as [`readable_bytes::bytes`].
    pub fn decode_json(&self, value: &[u8]) -> Result<serde_json::Value, Undecodable> {
        let value = readable_bytes::in_texts(self.decode_value(value)?);
        serde_json::Value::try_from(value).map_err(|_| Undecodable::Malformed)
    }

    /// Why it refuses every value, if so.
    pub fn refusal(&self) -> Option<&Undecodable> {
        self.plan.as_ref().err()
    }

    /// Whether it reads every value that its schema allows.
    pub fn reads_all(&self) -> bool {
        self.plan.as_ref().is_ok_and(|plan| plan.partly.is_empty())
    }

    /// How the schema differs, so that ours cannot read some or all of its values: in words, for people.
    pub fn differences(&self) -> Vec<String> {
        match &self.plan {
            Ok(plan) => {
                plan.partly.iter().map(|what| foreign(self.id, self.ours, what).to_string()).collect()
            }
            Err(why) => vec![why.to_string()],
        }
    }

    fn misfit(&self, misfit: Misfit) -> Undecodable {
        match misfit {
            Misfit::Malformed => Undecodable::Malformed,
            Misfit::TooMany => Undecodable::TooMany,
            Misfit::Differs(differs) => foreign(self.id, self.ours, &differs),
        }
    }
}

/// Names in a schema may be of any length.
fn foreign(id: u32, ours: &Contract, differs: &str) -> Undecodable {
    let short: String = differs.chars().take(DIFFERS_CHARS_MAX).collect();
    Undecodable::ForeignSchema(id, ours.topic, short.into())
}

fn own_reader(ours: &'static Contract) -> GenericDatumReader<'static> {
    let reader = GenericDatumReader::builder(&ours.schema).build();
    reader.expect("a contract names no schema outside itself, and a test builds all")
}

fn datum(value: &[u8]) -> Result<&[u8], Undecodable> {
    schema_id(value).map(|_| &value[FRAME_BYTES..])
}

fn all_read(rest: &[u8]) -> Result<(), Undecodable> {
    if rest.is_empty() { Ok(()) } else { Err(Undecodable::TrailingBytes(rest.len())) }
}

/// The schema behind an id, with a decoder for each of our topics that has met it. Requested and backfill share a
/// schema, hence an id.
pub struct WriterSchema {
    id: u32,
    json: Option<String>,
    references: Vec<String>,
    decoders: [OnceLock<Decoder>; topics::ALL.len()],
}

impl WriterSchema {
    /// The schema that the registry gave for `id`, and those that it refers to: each may refer to those before it.
    pub fn new(id: u32, json: String, references: Vec<String>) -> WriterSchema {
        WriterSchema { id, json: Some(json), references, decoders: Default::default() }
    }

    /// The registry does not know `id`: its decoders refuse every value.
    pub fn unknown(id: u32) -> WriterSchema {
        WriterSchema { id, json: None, references: Vec::new(), decoders: Default::default() }
    }

    /// Its id in the registry.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The decoder that reads values of this schema with `ours`; made once.
    pub fn decoder(&self, ours: &'static Contract) -> &Decoder {
        self.decoders[ours.index].get_or_init(|| match &self.json {
            Some(json) => Decoder::with_references(ours, self.id, json, &self.references),
            None => Decoder::unknown(ours, self.id),
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

    /// Writes the framed `record` into `buffer`, replacing its content.
    pub fn encode<R: Serialize>(&self, record: &R, buffer: &mut Vec<u8>) -> Result<(), Unencodable> {
        buffer.clear();
        buffer.extend_from_slice(&self.frame);
        match self.writer.write_ser(buffer, record) {
            Ok(_) => Ok(()),
            Err(_) => Err(Unencodable { topic: self.topic }),
        }
    }
}

//! How a writer's schema is read with ours, decided once: a way to read each field, or why there is none. Every schema that
//! the registry calls compatible can be read, whatever its logical types, except for two things that the registry does not
//! check: units of time are converted if both sides name one, and only an instant is read as an instant.

use apache_avro::types::Value;
use serde_json::Value as Json;

use super::schema::{Field, Kind, Node, Schema, short};

/// How a writer's schema differs, so that ours cannot read it: the field, and what. Names of the schema, never a value.
pub(super) type Differs = String;

/// How a value is read.
#[derive(Debug)]
pub(super) enum Step {
    Null,
    Boolean,
    /// A number: how it is written, and what ours is.
    Number {
        written: Number,
        ours: Number,
    },
    /// A whole number to be divided, rounding down: an instant in a finer unit.
    Instant {
        divisor: i64,
    },
    /// Bytes with their length before them, or of a fixed length.
    Blob {
        size: Option<usize>,
        is_text: bool,
    },
    /// Each symbol of the writer's, as one of ours.
    Enum(Vec<Result<(u32, String), Differs>>),
    Array(Box<Step>),
    Map(Box<Step>),
    /// Each branch of the writer's.
    Union(Vec<Result<Step, Differs>>),
    /// The value is that branch of ours.
    Branch(u32, Box<Step>),
    Record(Fields),
}

/// How a record is read.
#[derive(Debug)]
pub(super) struct Fields {
    /// In the writer's order: which of ours and how, or the writer's type to be skipped.
    pub(super) steps: Vec<(Option<usize>, Result<Step, usize>)>,
    /// Ours: name and default.
    pub(super) ours: Vec<(String, Option<Value>)>,
}

/// A numeric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Int,
    Long,
    Float,
    Double,
}

/// A way to read a writer's schema.
pub(super) struct Way {
    pub(super) step: Step,
    /// Whether it is that of our own schema: then there is a faster one.
    pub(super) is_own: bool,
    /// How only some values differ: a branch or a symbol that ours cannot read.
    pub(super) partly: Vec<Differs>,
    /// The fields of which some symbols are read as our default, because ours has not got them.
    pub(super) replaced: Vec<String>,
}

/// How `writer` is read as `ours`.
pub(super) fn resolve(writer: &Schema, ours: &Schema) -> Result<Way, Differs> {
    let (at, partly, replaced) = (Vec::new(), Vec::new(), Vec::new());
    let mut resolver = Resolver { writer, ours, at, is_own: true, partly, replaced };
    let step = resolver.step(writer.root(), ours.root())?;
    Ok(Way { step, is_own: resolver.is_own, partly: resolver.partly, replaced: resolver.replaced })
}

struct Resolver<'a> {
    writer: &'a Schema,
    ours: &'a Schema,
    /// The field, by its names from the outermost record on.
    at: Vec<&'a str>,
    is_own: bool,
    partly: Vec<Differs>,
    replaced: Vec<String>,
}

impl<'a> Resolver<'a> {
    fn step(&mut self, written: usize, wanted: usize) -> Result<Step, Differs> {
        let (written_node, wanted_node) = (self.writer.node(written), self.ours.node(wanted));
        match (&written_node.kind, &wanted_node.kind) {
            (Kind::Union(branches), wanted_kind) => {
                // Its branches may be in another order, and one of them may match none of ours.
                let same_count = matches!(wanted_kind, Kind::Union(ours) if ours.len() == branches.len());
                let mut steps = Vec::new();
                for (index, branch) in branches.iter().enumerate() {
                    let step = self.step(*branch, wanted);
                    let in_place = matches!(&step, Ok(Step::Branch(ours, _)) if *ours as usize == index);
                    self.is_own &= same_count && in_place;
                    steps.push(step);
                }
                let differ = steps.iter().filter_map(|step| step.as_ref().err()).cloned();
                if differ.clone().count() == steps.len() {
                    return Err(differ.into_iter().next().unwrap_or_else(|| self.differs("has no type")));
                }
                self.partly.extend(differ);
                Ok(Step::Union(steps))
            }
            (_, Kind::Union(branches)) => self.branch_of_ours(written, branches),
            (Kind::Record { fields: written_fields, name }, Kind::Record { fields, name: our_name }) => {
                same_name(name, our_name).map_err(|what| self.differs(&what))?;
                self.record(written_fields, fields)
            }
            (Kind::Array(items), Kind::Array(our_items)) => {
                Ok(Step::Array(Box::new(self.step(*items, *our_items)?)))
            }
            (Kind::Map(values), Kind::Map(our_values)) => {
                Ok(Step::Map(Box::new(self.step(*values, *our_values)?)))
            }
            (
                Kind::Enum { name, symbols, .. },
                Kind::Enum { name: our_name, symbols: our_symbols, default },
            ) => {
                same_name(name, our_name).map_err(|what| self.differs(&what))?;
                self.is_own &= symbols == our_symbols;
                let ours = |symbol: &String| {
                    same_symbol(symbol, our_symbols, default.as_ref())
                        .ok_or_else(|| self.differs(&format!("has the symbol {symbol}, which ours has not")))
                };
                let steps: Vec<_> = symbols.iter().map(ours).collect();
                self.partly.extend(steps.iter().filter_map(|step| step.as_ref().err()).cloned());
                if symbols.iter().any(|symbol| !our_symbols.contains(symbol)) {
                    self.replaced.push(self.at.join("."));
                }
                Ok(Step::Enum(steps))
            }
            _ => {
                let (step, is_own) = leaf(written_node, wanted_node).map_err(|what| self.differs(&what))?;
                self.is_own &= is_own;
                Ok(step)
            }
        }
    }

    /// The first branch of ours that is the same type, else the first that can be read.
    fn branch_of_ours(&mut self, written: usize, branches: &[usize]) -> Result<Step, Differs> {
        let (was_own, partly) = (self.is_own, self.partly.len());
        let kind = &self.writer.node(written).kind;
        let is_same = |branch: &usize| {
            std::mem::discriminant(&self.ours.node(*branch).kind) == std::mem::discriminant(kind)
        };
        let (same, others): (Vec<_>, Vec<_>) =
            branches.iter().enumerate().partition(|(_, branch)| is_same(branch));
        let mut differs = None;
        for (index, branch) in same.into_iter().chain(others) {
            self.is_own = was_own;
            self.partly.truncate(partly);
            match self.step(written, *branch) {
                Ok(step) => return Ok(Step::Branch(u32::try_from(index).unwrap_or(0), Box::new(step))),
                // Why null does not match is no help.
                Err(why) if self.ours.node(*branch).kind != Kind::Null => differs = differs.or(Some(why)),
                Err(_) => {}
            }
        }
        Err(differs
            .unwrap_or_else(|| self.differs(&format!("is {}, where ours is null", article(kind.name())))))
    }

    fn record(&mut self, written: &'a [Field], wanted: &[Field]) -> Result<Step, Differs> {
        let mut steps = Vec::new();
        for (index, field) in written.iter().enumerate() {
            let place = wanted.iter().position(|ours| ours.name == field.name);
            self.is_own &= place == Some(index);
            steps.push(match place {
                Some(place) => {
                    self.at.push(&field.name);
                    let step = self.step(field.node, wanted[place].node);
                    self.at.pop();
                    (Some(place), Ok(step?))
                }
                None => (None, Err(field.node)),
            });
        }
        self.is_own &= written.len() == wanted.len();
        let mut ours = Vec::new();
        for (place, field) in wanted.iter().enumerate() {
            let default = field.default.as_ref().and_then(|json| default(self.ours, field.node, json));
            if default.is_none() && !steps.iter().any(|(of, _)| *of == Some(place)) {
                return Err(self.differs(&format!("has no field {}, which has no default", field.name)));
            }
            ours.push((field.name.clone(), default));
        }
        Ok(Step::Record(Fields { steps, ours }))
    }

    fn differs(&self, what: &str) -> Differs {
        if self.at.is_empty() { format!("it {what}") } else { format!("{} {what}", self.at.join(".")) }
    }
}

/// The way of a type that holds no other, and whether it is the same as ours.
fn leaf(written: &Node, wanted: &Node) -> Result<(Step, bool), String> {
    let logical = written.logical.as_deref();
    match (&written.kind, &wanted.kind) {
        (Kind::Null, Kind::Null) => Ok((Step::Null, true)),
        (Kind::Boolean, Kind::Boolean) => Ok((Step::Boolean, true)),
        (Kind::String, Kind::String | Kind::Bytes) | (Kind::Bytes, Kind::Bytes) => {
            let is_text = wanted.kind == Kind::String;
            Ok((Step::Blob { size: None, is_text }, written.kind == wanted.kind))
        }
        (Kind::Bytes, Kind::String) => match logical {
            None => Ok((Step::Blob { size: None, is_text: true }, false)),
            Some(logical) => Err(format!("is bytes of the logical type {logical}, which is no text")),
        },
        (Kind::Fixed { name, size }, Kind::Fixed { name: our_name, size: our_size }) if size == our_size => {
            same_name(name, our_name)?;
            Ok((Step::Blob { size: Some(*size), is_text: false }, true))
        }
        (Kind::Long, Kind::Long) if wanted.logical.as_deref() == Some("timestamp-millis") => {
            let divisor = match logical {
                // Without a unit it is in ours: that is what our schema's text asks for.
                None | Some("timestamp-millis") => 1,
                Some("timestamp-micros") => 1_000,
                Some("timestamp-nanos") => 1_000_000,
                Some(other) => {
                    return Err(format!("is a long of the logical type {other}, which is no instant"));
                }
            };
            Ok((Step::Instant { divisor }, divisor == 1))
        }
        (written_kind, wanted_kind) => {
            let (Some(written_number), Some(ours)) = (number(written_kind), number(wanted_kind)) else {
                return Err(other_type(written_kind, wanted_kind));
            };
            if !widens(written_number, ours) {
                return Err(other_type(written_kind, wanted_kind));
            }
            same_meaning(written_kind, logical, wanted.logical.as_deref())?;
            Ok((Step::Number { written: written_number, ours }, written_number == ours))
        }
    }
}

/// Whether a number with this logical type may be read as one with ours.
fn same_meaning(written: &Kind, logical: Option<&str>, ours: Option<&str>) -> Result<(), String> {
    let is = |what: String| Err(format!("is {} {what}", article(written.name())));
    match (logical, ours) {
        (None, Some("timestamp-millis")) => is("which is too short for milliseconds since 1970".into()),
        (None, _) => Ok(()),
        (Some(logical), Some(ours)) if logical != ours => {
            is(format!("of the logical type {logical}, where ours is {ours}"))
        }
        // A version may be taken from a clock. A time of day or a local time is not a number that we know.
        (Some(logical), None)
            if logical == "date"
                || logical.starts_with("time-")
                || logical.starts_with("local-timestamp-") =>
        {
            is(format!("of the logical type {logical}, where ours is a plain number"))
        }
        (Some(_), _) => Ok(()),
    }
}

fn number(kind: &Kind) -> Option<Number> {
    Some(match kind {
        Kind::Int => Number::Int,
        Kind::Long => Number::Long,
        Kind::Float => Number::Float,
        Kind::Double => Number::Double,
        _ => return None,
    })
}

fn widens(written: Number, ours: Number) -> bool {
    use Number::{Double, Float, Int, Long};
    matches!(
        (written, ours),
        (Int, _) | (Long, Long | Float | Double) | (Float, Float | Double) | (Double, Double)
    )
}

fn other_type(written: &Kind, ours: &Kind) -> String {
    format!("is {}, where ours is {}", article(written.name()), article(ours.name()))
}

fn article(name: &str) -> String {
    match name {
        "null" | "bytes" => name.to_owned(),
        _ if name.starts_with(['a', 'e', 'i']) => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

fn same_name(written: &str, ours: &str) -> Result<(), String> {
    if short(written) == short(ours) {
        return Ok(());
    }
    Err(format!("is called {}, where ours is {}", short(written), short(ours)))
}

/// The symbol of ours for a writer's: the same, or the default for those that we do not know.
fn same_symbol(symbol: &str, ours: &[String], default: Option<&String>) -> Option<(u32, String)> {
    let place = |wanted: &str| ours.iter().position(|ours| ours == wanted);
    let found = place(symbol).or_else(|| place(default?))?;
    Some((u32::try_from(found).ok()?, ours[found].clone()))
}

/// The value of a field of ours that the writer lacks.
fn default(schema: &Schema, place: usize, json: &Json) -> Option<Value> {
    Some(match (&schema.node(place).kind, json) {
        (Kind::Null, Json::Null) => Value::Null,
        (Kind::Boolean, Json::Bool(value)) => Value::Boolean(*value),
        (Kind::Int, _) => Value::Int(i32::try_from(json.as_i64()?).ok()?),
        (Kind::Long, _) => Value::Long(json.as_i64()?),
        (Kind::Float | Kind::Double, _) => Value::Double(json.as_f64()?),
        (Kind::String, Json::String(text)) => Value::String(text.clone()),
        // In JSON each character of bytes is one byte.
        (Kind::Bytes, Json::String(text)) => {
            Value::Bytes(text.chars().map(|byte| u8::try_from(u32::from(byte)).ok()).collect::<Option<_>>()?)
        }
        (Kind::Enum { symbols, .. }, Json::String(symbol)) => {
            let (place, symbol) = same_symbol(symbol, symbols, None)?;
            Value::Enum(place, symbol)
        }
        (Kind::Array(items), Json::Array(values)) => {
            Value::Array(values.iter().map(|value| default(schema, *items, value)).collect::<Option<_>>()?)
        }
        (Kind::Map(kind), Json::Object(values)) => {
            let pair = |(key, value): (&String, &Json)| Some((key.clone(), default(schema, *kind, value)?));
            Value::Map(values.iter().map(pair).collect::<Option<_>>()?)
        }
        (Kind::Union(branches), _) => branches.iter().enumerate().find_map(|(index, branch)| {
            let value = default(schema, *branch, json)?;
            Some(Value::Union(u32::try_from(index).ok()?, Box::new(value)))
        })?,
        (Kind::Record { fields, .. }, Json::Object(values)) => {
            let value = |field: &Field| {
                let json = values.get(&field.name).or(field.default.as_ref())?;
                Some((field.name.clone(), default(schema, field.node, json)?))
            };
            Value::Record(fields.iter().map(value).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

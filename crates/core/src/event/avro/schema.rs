//! A schema as in its JSON, with the logical types beside the types they annotate: the type decides the bytes, both decide
//! the meaning. A parser that merges the two refuses what the registry calls compatible, or confuses milliseconds with
//! microseconds.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

/// Types in one schema, its references included; the largest of ours has about a hundred.
const NODES_MAX: usize = 10_000;

/// A parsed schema: its types, each named by its place.
#[derive(Debug, PartialEq)]
pub(super) struct Schema {
    nodes: Vec<Node>,
    root: usize,
}

/// One type.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The logical type, or the name that Kafka Connect gives instead; known or not.
    pub(super) logical: Option<String>,
}

/// What the bytes are. Types within types are named by their places.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed { name: String, size: usize },
    Enum { name: String, symbols: Vec<String>, default: Option<String> },
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record { name: String, fields: Vec<Field> },
}

/// A field of a record.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) node: usize,
    pub(super) default: Option<Json>,
}

impl Schema {
    /// The schema in `json`, which may name types of `references`; each of those may name types of those before it. The
    /// error says what is wrong with it.
    pub(super) fn parse(json: &str, references: &[String]) -> Result<Schema, String> {
        let mut parser = Parser::default();
        for reference in references {
            parser.text(reference).map_err(|why| format!("a schema that it refers to {why}"))?;
        }
        let root = parser.text(json)?;
        Ok(Schema { nodes: parser.nodes, root })
    }

    /// The place of the schema itself.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// The symbols of a field of the outermost record; none if it is no enum.
    pub(super) fn symbols(&self, field: &str) -> &[String] {
        let Kind::Record { fields, .. } = &self.node(self.root).kind else { return &[] };
        let found = fields.iter().find(|of| of.name == field).map(|of| &self.node(of.node).kind);
        match found {
            Some(Kind::Enum { symbols, .. }) => symbols,
            _ => &[],
        }
    }

    /// The type at a place.
    pub(super) fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }
}

impl Kind {
    /// Its name for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
            Kind::Fixed { .. } => "fixed",
            Kind::Enum { .. } => "enum",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record { .. } => "record",
        }
    }
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    names: HashMap<String, usize>,
}

impl Parser {
    fn text(&mut self, json: &str) -> Result<usize, String> {
        let json: Json = serde_json::from_str(json).map_err(|_| "is not Avro's JSON".to_owned())?;
        self.read(&json, "")
    }

    fn read(&mut self, json: &Json, space: &str) -> Result<usize, String> {
        match json {
            Json::String(name) => self.named(name, space),
            Json::Array(branches) => {
                let branches: Result<Vec<usize>, String> =
                    branches.iter().map(|branch| self.read(branch, space)).collect();
                self.add(Kind::Union(branches?), None)
            }
            Json::Object(object) => self.object(object, space),
            _ => Err("has a type that is neither a name, a list nor an object".to_owned()),
        }
    }

    /// A primitive type, or one that was defined before.
    fn named(&mut self, name: &str, space: &str) -> Result<usize, String> {
        if let Some(kind) = primitive(name) {
            return self.add(kind, None);
        }
        let known = self.names.get(&full_name(name, space)).or_else(|| self.names.get(name));
        known.copied().ok_or_else(|| format!("names the type {name}, which it does not define"))
    }

    fn object(&mut self, object: &Map<String, Json>, space: &str) -> Result<usize, String> {
        let text = |key: &str| object.get(key).and_then(Json::as_str);
        let logical = text("logicalType").or_else(|| text("connect.name")).map(str::to_owned);
        let kind = match object.get("type") {
            Some(Json::String(kind)) => kind.as_str(),
            // {"type": {"type": …}} is the type inside.
            Some(inner @ (Json::Object(_) | Json::Array(_))) => return self.read(inner, space),
            _ => return Err("has an object without a type".to_owned()),
        };
        let part = |key: &str| object.get(key).ok_or_else(|| format!("has an {kind} without {key}"));
        match kind {
            "array" => {
                let items = self.read(part("items")?, space)?;
                self.add(Kind::Array(items), logical)
            }
            "map" => {
                let values = self.read(part("values")?, space)?;
                self.add(Kind::Map(values), logical)
            }
            "record" | "error" | "enum" | "fixed" => {
                let name = text("name").ok_or_else(|| format!("has a {kind} without a name"))?;
                let name = full_name(name, text("namespace").unwrap_or(space));
                self.definition(kind, name, object, logical)
            }
            name => match primitive(name) {
                Some(kind) => self.add(kind, logical),
                None => self.named(name, space),
            },
        }
    }

    fn definition(
        &mut self,
        kind: &str,
        name: String,
        object: &Map<String, Json>,
        logical: Option<String>,
    ) -> Result<usize, String> {
        let lacks = |what: &str| format!("has the {kind} {name} without {what}");
        let list = |key: &str| object.get(key).and_then(Json::as_array).ok_or_else(|| lacks(key));
        if self.names.contains_key(&name) {
            return Err(format!("defines {name} twice"));
        }
        let made = match kind {
            "enum" => {
                let symbols = list("symbols")?.iter().filter_map(Json::as_str).map(str::to_owned).collect();
                let default = object.get("default").and_then(Json::as_str).map(str::to_owned);
                Kind::Enum { name: name.clone(), symbols, default }
            }
            "fixed" => {
                let size =
                    object.get("size").and_then(Json::as_u64).and_then(|size| usize::try_from(size).ok());
                Kind::Fixed { name: name.clone(), size: size.ok_or_else(|| lacks("size"))? }
            }
            _ => Kind::Record { name: name.clone(), fields: Vec::new() },
        };
        let place = self.add(made, logical)?;
        self.names.insert(name.clone(), place);
        if matches!(kind, "record" | "error") {
            let space = name.rsplit_once('.').map_or("", |(space, _)| space);
            let mut read = Vec::new();
            for field in list("fields")? {
                let (Some(field_name), Some(kind)) = (field["name"].as_str(), field.get("type")) else {
                    return Err(lacks("a name or type of a field"));
                };
                let node = self.read(kind, space)?;
                read.push(Field {
                    name: field_name.to_owned(),
                    node,
                    default: field.get("default").cloned(),
                });
            }
            self.nodes[place].kind = Kind::Record { name, fields: read };
        }
        Ok(place)
    }

    fn add(&mut self, kind: Kind, logical: Option<String>) -> Result<usize, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("has more than {NODES_MAX} types"));
        }
        self.nodes.push(Node { kind, logical });
        Ok(self.nodes.len() - 1)
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

/// A name without its namespace: what the registry compares.
pub(super) fn short(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, short)| short)
}

//! Reads the bytes of a datum. Whatever they are, it takes no more memory than their length times a constant: a length is
//! believed only if that many bytes follow; values that take no bytes, like a million nulls, have a budget, and so has what
//! is built of them, because the names in a schema may be of any length.

use apache_avro::types::Value;

use super::resolve::{Differs, Fields, Number, Step};
use super::schema::{Kind, Schema};

/// Values in one datum, those that are skipped included: some take no byte.
pub(super) const ITEMS_MAX: usize = 200_000;
/// How deep values may be nested.
const DEPTH_MAX: usize = 64;
/// Most bytes that are built from one datum, beside twice its own length.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a value takes beside its text, roughly.
const VALUE_BYTES: usize = 64;

/// Why a datum cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The bytes are not what the schema says.
    Malformed,
    /// There are more values than [`ITEMS_MAX`], deeper ones than [`DEPTH_MAX`], or larger ones than [`BYTES_MAX`].
    TooMany,
    /// A value that the writer's schema allows and ours does not.
    Differs(Differs),
}

type Read<T> = Result<T, Misfit>;

/// A datum that is being read.
pub(super) struct Datum<'a> {
    /// What is not read yet.
    pub(super) rest: &'a [u8],
    items_left: usize,
    bytes_left: usize,
    depth: usize,
}

impl<'a> Datum<'a> {
    /// From its first byte on.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let bytes_left = BYTES_MAX + 2 * bytes.len();
        Datum { rest: bytes, items_left: ITEMS_MAX, bytes_left, depth: 0 }
    }

    /// Goes through the whole datum and builds nothing, so that another reader stays within the budget.
    pub(super) fn measure(bytes: &[u8], writer: &Schema) -> Read<()> {
        Datum::new(bytes).written(writer, writer.root(), false).map(drop)
    }

    /// The next value, as ours; `writer` is the schema that the places in `step` belong to.
    pub(super) fn value(&mut self, step: &Step, writer: &Schema) -> Read<Value> {
        self.item()?;
        self.builds(VALUE_BYTES)?;
        Ok(match step {
            Step::Null => Value::Null,
            Step::Boolean => Value::Boolean(self.boolean()?),
            Step::Number { written, ours } => self.number(*written, *ours)?,
            Step::Instant { divisor } => Value::Long(self.long()?.div_euclid(*divisor)),
            Step::Blob { size, is_text } => {
                let bytes = self.blob(*size)?;
                self.builds(bytes.len())?;
                if *is_text { Value::String(text(bytes)?) } else { Value::Bytes(bytes.to_vec()) }
            }
            Step::Enum(symbols) => {
                let symbol = symbols.get(self.index()?).ok_or(Misfit::Malformed)?;
                let (place, symbol) = symbol.as_ref().map_err(|why| Misfit::Differs(why.clone()))?;
                self.builds(symbol.len())?;
                Value::Enum(*place, symbol.clone())
            }
            Step::Array(items) => {
                let mut values = Vec::new();
                self.blocks(|datum| datum.value(items, writer).map(|value| values.push(value)))?;
                Value::Array(values)
            }
            Step::Map(of) => {
                let mut values = std::collections::HashMap::new();
                self.blocks(|datum| {
                    let key = datum.blob(None)?;
                    datum.builds(key.len())?;
                    let key = text(key)?;
                    datum.value(of, writer).map(|value| drop(values.insert(key, value)))
                })?;
                Value::Map(values)
            }
            Step::Union(branches) => {
                let branch = branches.get(self.index()?).ok_or(Misfit::Malformed)?;
                let step = branch.as_ref().map_err(|why| Misfit::Differs(why.clone()))?;
                self.deeper(|datum| datum.value(step, writer))?
            }
            Step::Branch(index, step) => Value::Union(*index, Box::new(self.value(step, writer)?)),
            Step::Record(fields) => self.deeper(|datum| datum.record(fields, writer))?,
        })
    }

    fn record(&mut self, fields: &Fields, writer: &Schema) -> Read<Value> {
        // Its names, and values that the writer does not have: those have no bytes, so they count like others.
        for (name, _) in &fields.ours {
            self.item()?;
            self.builds(VALUE_BYTES + name.len())?;
        }
        let mut values: Vec<Option<Value>> = vec![None; fields.ours.len()];
        for (place, step) in &fields.steps {
            match step {
                Err(node) => drop(self.written(writer, *node, false)?),
                Ok(step) => {
                    let value = self.value(step, writer)?;
                    if let Some(place) = place {
                        values[*place] = Some(value);
                    }
                }
            }
        }
        let value = |(value, (name, default)): (Option<Value>, &(String, Option<Value>))| {
            value.or_else(|| default.clone()).map(|value| (name.clone(), value))
        };
        let values: Option<_> = values.into_iter().zip(&fields.ours).map(value).collect();
        Ok(Value::Record(values.ok_or(Misfit::Malformed)?))
    }

    /// The next value as its writer wrote it; one that is only skipped is `Null`, and nothing is built.
    pub(super) fn written(&mut self, writer: &Schema, place: usize, builds: bool) -> Read<Value> {
        self.item()?;
        if builds {
            self.builds(VALUE_BYTES)?;
        }
        Ok(match &writer.node(place).kind {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::Boolean(self.boolean()?),
            Kind::Int => Value::Int(self.int()?),
            Kind::Long => Value::Long(self.long()?),
            Kind::Float => self.number(Number::Float, Number::Float)?,
            Kind::Double => self.number(Number::Double, Number::Double)?,
            Kind::String | Kind::Bytes | Kind::Fixed { .. } if !builds => {
                let size =
                    if let Kind::Fixed { size, .. } = &writer.node(place).kind { Some(*size) } else { None };
                self.blob(size)?;
                Value::Null
            }
            Kind::String => Value::String(text(self.built_blob(None)?)?),
            Kind::Bytes => Value::Bytes(self.built_blob(None)?.to_vec()),
            Kind::Fixed { size, .. } => Value::Fixed(*size, self.built_blob(Some(*size))?.to_vec()),
            Kind::Enum { symbols, .. } => {
                let index = self.index()?;
                let symbol = symbols.get(index).ok_or(Misfit::Malformed)?;
                if builds {
                    self.builds(symbol.len())?;
                    Value::Enum(u32::try_from(index).unwrap_or(0), symbol.clone())
                } else {
                    Value::Null
                }
            }
            kind => self.written_holder(writer, kind, builds)?,
        })
    }

    /// The same for a type that contains others.
    fn written_holder(&mut self, writer: &Schema, kind: &Kind, builds: bool) -> Read<Value> {
        let made = |value: Value| if builds { value } else { Value::Null };
        Ok(match kind {
            Kind::Array(items) => {
                let mut values = Vec::new();
                self.blocks(|datum| {
                    let value = datum.written(writer, *items, builds)?;
                    if builds {
                        values.push(value);
                    }
                    Ok(())
                })?;
                made(Value::Array(values))
            }
            Kind::Map(of) => {
                let mut values = std::collections::HashMap::new();
                self.blocks(|datum| {
                    let key = datum.blob(None)?;
                    let value = datum.written(writer, *of, builds)?;
                    if builds {
                        datum.builds(key.len())?;
                        values.insert(text(key)?, value);
                    }
                    Ok(())
                })?;
                made(Value::Map(values))
            }
            Kind::Union(branches) => {
                let index = self.index()?;
                let branch = *branches.get(index).ok_or(Misfit::Malformed)?;
                let value = self.deeper(|datum| datum.written(writer, branch, builds))?;
                if builds {
                    Value::Union(u32::try_from(index).unwrap_or(0), Box::new(value))
                } else {
                    Value::Null
                }
            }
            Kind::Record { fields, .. } => {
                let mut values = Vec::new();
                self.deeper(|datum| {
                    for field in fields {
                        let value = datum.written(writer, field.node, builds)?;
                        if builds {
                            datum.builds(field.name.len())?;
                            values.push((field.name.clone(), value));
                        }
                    }
                    Ok(())
                })?;
                made(Value::Record(values))
            }
            _ => return Err(Misfit::Malformed),
        })
    }

    fn item(&mut self) -> Read<()> {
        self.items_left = self.items_left.checked_sub(1).ok_or(Misfit::TooMany)?;
        Ok(())
    }

    /// Counts bytes that are about to be allocated.
    fn builds(&mut self, bytes: usize) -> Read<()> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Misfit::TooMany)?;
        Ok(())
    }

    fn built_blob(&mut self, size: Option<usize>) -> Read<&'a [u8]> {
        let bytes = self.blob(size)?;
        self.builds(bytes.len()).map(|()| bytes)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH_MAX {
            return Err(Misfit::TooMany);
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// The blocks of an array or a map, each item of which `read` takes.
    fn blocks(&mut self, mut read: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.deeper(|datum| {
            loop {
                let count = datum.long()?;
                if count == 0 {
                    return Ok(());
                }
                if count < 0 {
                    // The size of the block, for those who skip it whole; it may be wrong.
                    datum.long()?;
                }
                for _ in 0..count.unsigned_abs() {
                    read(datum)?;
                }
            }
        })
    }

    fn number(&mut self, written: Number, ours: Number) -> Read<Value> {
        #[allow(clippy::cast_precision_loss, reason = "Avro's own promotion of whole numbers")]
        Ok(match (written, ours) {
            (Number::Int, Number::Int) => Value::Int(self.int()?),
            (Number::Int | Number::Long, _) => {
                let whole = if written == Number::Int { self.int()?.into() } else { self.long()? };
                if matches!(ours, Number::Float | Number::Double) {
                    Value::Double(whole as f64)
                } else {
                    Value::Long(whole)
                }
            }
            (Number::Float, _) => Value::Float(f32::from_le_bytes(self.array()?)),
            (Number::Double, _) => Value::Double(f64::from_le_bytes(self.array()?)),
        })
    }

    fn boolean(&mut self) -> Read<bool> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Misfit::Malformed),
        }
    }

    fn int(&mut self) -> Read<i32> {
        i32::try_from(self.long()?).map_err(|_| Misfit::Malformed)
    }

    fn index(&mut self) -> Read<usize> {
        usize::try_from(self.long()?).map_err(|_| Misfit::Malformed)
    }

    /// A whole number: seven bits a byte, the lowest first, the sign in the lowest of all.
    fn long(&mut self) -> Read<i64> {
        let (mut bits, mut shift) = (0_u64, 0);
        loop {
            let [byte] = self.array()?;
            let low = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift > 63 || (shift == 63 && low > 1) {
                return Err(Misfit::Malformed);
            }
            bits |= low << shift;
            if byte & 0x80 == 0 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
            shift += 7;
        }
    }

    fn blob(&mut self, size: Option<usize>) -> Read<&'a [u8]> {
        let size = match size {
            Some(size) => size,
            None => self.index()?,
        };
        let (blob, rest) = self.rest.split_at_checked(size).ok_or(Misfit::Malformed)?;
        self.rest = rest;
        Ok(blob)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(Misfit::Malformed)?;
        self.rest = rest;
        Ok(*array)
    }
}

fn text(bytes: &[u8]) -> Read<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Misfit::Malformed)
}

#[cfg(test)]
mod tests;

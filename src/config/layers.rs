//! The four layers. Every value keeps its origin, so that an error can name it. The compiled defaults name all keys; every
//! other layer may use only these keys, with values of the same kind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::{Table, Value};

use super::{Config, ConfigError, DEFAULT_TOML, check};

/// Variables of the environment that begin with this are ours: `HEALTHFLOW_SYNC__WORKER__LEASE_MS`.
const ENVIRONMENT_PREFIX: &str = "HEALTHFLOW_SYNC__";

/// What was read so far: by full key (`worker.lease_ms`) the value and its origin.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<String, (Value, String)>,
}

impl Layers {
    /// The compiled defaults alone.
    pub fn new() -> Result<Self, ConfigError> {
        let values = flatten(from_toml(DEFAULT_TOML, "the defaults")?);
        let with_origin = |(key, value)| (key, (value, "the defaults".to_owned()));
        Ok(Layers { values: values.into_iter().map(with_origin).collect() })
    }

    /// Adds the TOML file at `path`, if there is one.
    pub fn with_file(self, path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(self) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!(
                "cannot read {} ({}); name another file with --config",
                path.display(),
                error.kind()
            ))
        })?;
        self.with_toml(text.trim_start_matches('\u{feff}'), &path.display().to_string())
    }

    /// Adds the layer `text`; `origin` is its name in errors.
    pub fn with_toml(mut self, text: &str, origin: &str) -> Result<Self, ConfigError> {
        for (key, value) in flatten(from_toml(text, origin)?) {
            if is_empty_table(&value) && self.is_section(&key) {
                continue;
            }
            let value = match (self.default_of(&key, origin)?, value) {
                (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
                (default, value) if default.same_type(&value) => value,
                (default, _) => return Err(not_a(&default, &key, origin)),
            };
            self.values.insert(key, (value, origin.to_owned()));
        }
        Ok(self)
    }

    /// Adds the variables that begin with [`ENVIRONMENT_PREFIX`].
    pub fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let origin = format!("the environment ({name})");
            let key = rest.to_lowercase().replace("__", ".");
            let Some(value) = value.to_str() else {
                return Err(ConfigError(format!("`{key}` from {origin} is not UTF-8 text; correct it")));
            };
            self.set_text(&key, value, &origin)?;
        }
        Ok(self)
    }

    /// Adds `section.key=value` flags; of two for one key the last counts.
    pub fn with_flags(mut self, flags: &[String]) -> Result<Self, ConfigError> {
        for flag in flags {
            let Some((key, value)) = flag.split_once('=') else {
                return Err(ConfigError(format!(
                    "`--set {flag}` names no value; write --set section.key=value"
                )));
            };
            self.set_text(key.trim(), value.trim(), "--set")?;
        }
        Ok(self)
    }

    /// The configuration, checked as a whole.
    pub fn into_config(self) -> Result<Config, ConfigError> {
        let mut sections: BTreeMap<&str, Table> = BTreeMap::new();
        for (key, (value, _)) in &self.values {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            sections.entry(section).or_default().insert(name.to_owned(), value.clone());
        }
        let sections: Table =
            sections.into_iter().map(|(name, keys)| (name.to_owned(), keys.into())).collect();
        let config: Config =
            serde_path_to_error::deserialize(sections).map_err(|error| self.explain(&error))?;
        check::check(&config).map_err(|fault| {
            let origin = self.values.get(fault.key).map_or("", |(_, origin)| origin);
            ConfigError(format!("`{}` from {origin} {}", fault.key, fault.rule))
        })?;
        Ok(config)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn set_text(&mut self, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
        let default = self.default_of(key, origin)?;
        let value = match &default {
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            Value::Array(_) => list(text),
            _ => Some(Value::String(text.to_owned())),
        };
        let value = value.ok_or_else(|| not_a(&default, key, origin))?;
        self.values.insert(key.to_owned(), (value, origin.to_owned()));
        Ok(())
    }

    /// The present value of `key`; its kind is the same in every layer.
    fn default_of(&self, key: &str, origin: &str) -> Result<Value, ConfigError> {
        let known = self.values.get(key).map(|(value, _)| value.clone());
        known.ok_or_else(|| {
            ConfigError(format!(
                "unknown key `{key}` from {origin}; config/default.toml lists all keys{}",
                self.near(key)
            ))
        })
    }

    fn near(&self, key: &str) -> String {
        let last = key.rsplit('.').next().unwrap_or(key);
        let is_near = |known: &&str| {
            let name = known.rsplit('.').next().unwrap_or(known);
            !last.is_empty() && (name.starts_with(last) || last.starts_with(name))
        };
        let nearest = self.keys().filter(is_near).min_by_key(|known| known.len());
        nearest.map(|known| format!(" (did you mean `{known}`?)")).unwrap_or_default()
    }

    fn is_section(&self, key: &str) -> bool {
        self.keys().any(|known| known.split_once('.').is_some_and(|(section, _)| section == key))
    }

    /// A value of the right kind that its field does not take, with the key's origin and without the value.
    fn explain(&self, error: &serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
        let path = error.path().to_string();
        // Of an entry of a list the list is the key.
        let key = path.split('[').next().unwrap_or(&path).to_owned();
        let Some((value, origin)) = self.values.get(&key) else {
            return ConfigError(one_line(&error.to_string()));
        };
        let what = match value {
            Value::Integer(..0) => "must not be negative",
            Value::Integer(_) => "is too large",
            _ => "is not accepted; its comment in config/default.toml says what is",
        };
        ConfigError(format!("`{key}` from {origin} {what}"))
    }
}

fn not_a(default: &Value, key: &str, origin: &str) -> ConfigError {
    let kind = match default {
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list as TOML writes it",
        _ => "a text in quotes",
    };
    ConfigError(format!("`{key}` from {origin} must be {kind}"))
}

/// A list in one line, as TOML writes it.
fn list(text: &str) -> Option<Value> {
    let table: Table = format!("list = {text}").parse().ok()?;
    table.get("list").filter(|value| value.is_array() && table.len() == 1).cloned()
}

fn from_toml(text: &str, origin: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        ConfigError(format!("{origin} is not readable as TOML: {}", one_line(&error.to_string())))
    })
}

/// The leaves of nested tables by their full key. An empty table is one: it may stand where a value belongs.
fn flatten(tables: Table) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    for (name, value) in tables {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                let with_prefix = |(key, leaf)| (format!("{name}.{key}"), leaf);
                leaves.extend(flatten(inner).into_iter().map(with_prefix));
            }
            leaf => drop(leaves.insert(name, leaf)),
        }
    }
    leaves
}

fn is_empty_table(value: &Value) -> bool {
    value.as_table().is_some_and(Table::is_empty)
}

/// A TOML error has several lines; the first says where, the last says what.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first, .., last] => format!("{first}: {last}"),
    }
}

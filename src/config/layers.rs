//! The four layers. Every value keeps its origin, so that an error can name it. The compiled defaults name all keys; every
//! other layer may use only these keys, with values of the same kind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::{Table, Value};

use super::nearest::{meant_by, nearest, variable_of};
use super::origin::Origin;
use super::{Config, ConfigError, DEFAULT_TOML, check};

/// Variables of the environment that begin with this are ours: `HEALTHFLOW_SYNC__WORKER__LEASE_MS`.
pub(super) const ENVIRONMENT_PREFIX: &str = "HEALTHFLOW_SYNC__";

/// What was read so far: by full key (`worker.lease_ms`) the value and its origin.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    /// The compiled defaults alone.
    pub fn new() -> Result<Self, ConfigError> {
        let values = flatten(from_toml(DEFAULT_TOML, &Origin::Defaults)?);
        let with_origin = |(key, value)| (key, (value, Origin::Defaults));
        Ok(Layers { values: values.into_iter().map(with_origin).collect() })
    }

    /// All layers of this process: the defaults, `file` (`--config`), the environment, and `flags` (`--set`).
    pub fn read(file: Option<&Path>, flags: &[String]) -> Result<Self, ConfigError> {
        Layers::new()?.with_file(file)?.with_environment(std::env::vars_os())?.with_flags(flags)
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

    /// Adds the layer `text`; `file` is its name in errors.
    pub fn with_toml(mut self, text: &str, file: &str) -> Result<Self, ConfigError> {
        let origin = Origin::File(file.to_owned());
        for (key, value) in flatten(from_toml(text, &origin)?) {
            if is_empty_table(&value) && self.is_section(&key) {
                continue;
            }
            let value = match (self.default_of(&key, &origin)?, value) {
                (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
                (default, value) if default.same_type(&value) => value,
                (default, _) => return Err(not_a(&default, &key, &origin)),
            };
            self.values.insert(key, (value, origin.clone()));
        }
        Ok(self)
    }

    /// Adds the variables that begin with [`ENVIRONMENT_PREFIX`]. One that is meant for us and spelled otherwise is an
    /// error: it would be ignored.
    pub fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if let Some(key) = meant_by(&name, self.keys()) {
                let right = variable_of(key);
                return Err(ConfigError(format!(
                    "the variable {name} of the environment sets nothing; `{key}` is {right}, correct or remove it"
                )));
            }
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let origin = Origin::Environment(name.to_string());
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
            self.set_text(key.trim(), value.trim(), &Origin::CommandLine)?;
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
            let origin = self.value(fault.key).map_or(&Origin::Defaults, |(_, origin)| origin);
            ConfigError(format!("`{}` from {origin} {}", fault.key, fault.rule))
        })?;
        Ok(config)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The present value of `key`, and who set it.
    pub(super) fn value(&self, key: &str) -> Option<&(Value, Origin)> {
        self.values.get(key)
    }

    fn set_text(&mut self, key: &str, text: &str, origin: &Origin) -> Result<(), ConfigError> {
        let default = self.default_of(key, origin)?;
        let value = match &default {
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            Value::Array(_) => list(text),
            _ => Some(Value::String(text.to_owned())),
        };
        let value = value.ok_or_else(|| not_a(&default, key, origin))?;
        self.values.insert(key.to_owned(), (value, origin.clone()));
        Ok(())
    }

    /// The present value of `key`; its kind is the same in every layer.
    fn default_of(&self, key: &str, origin: &Origin) -> Result<Value, ConfigError> {
        let known = self.values.get(key).map(|(value, _)| value.clone());
        known.ok_or_else(|| {
            let near = nearest(key, self.keys().chain(self.sections()));
            let spelled = |near: &str| match origin {
                Origin::Environment(_) => variable_of(near),
                _ => near.to_owned(),
            };
            let near = near.map(|near| format!(" (did you mean `{}`?)", spelled(near))).unwrap_or_default();
            ConfigError(format!(
                "unknown key `{key}` from {origin}{near}; `healthflow-sync config show --defaults` lists all keys"
            ))
        })
    }

    fn is_section(&self, key: &str) -> bool {
        self.sections().any(|section| section == key)
    }

    /// The section of each key.
    fn sections(&self) -> impl Iterator<Item = &str> {
        self.keys().filter_map(|key| key.split_once('.')).map(|(section, _)| section)
    }

    /// A value of the right kind that its field does not take, with the key's origin and what it takes, without the value.
    fn explain(&self, error: &serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
        let path = error.path().to_string();
        // Of an entry of a list the list is the key.
        let key = path.split('[').next().unwrap_or(&path).to_owned();
        let Some((value, origin)) = self.values.get(&key) else {
            return ConfigError(one_line(&error.to_string()));
        };
        let what = match value {
            Value::Integer(..0) => "must not be negative".to_owned(),
            Value::Integer(_) => "is too large".to_owned(),
            _ => not_accepted(&key, error.inner().message()),
        };
        ConfigError(format!("`{key}` from {origin} {what}"))
    }
}

/// What a text must be. serde lists the variants of an enum last; what it says before that quotes the value.
fn not_accepted(key: &str, message: &str) -> String {
    match message.rsplit_once("expected ") {
        Some((_, allowed)) => format!("must be {}", allowed.replace('`', "\"")),
        None => {
            let example =
                Layers::new().ok().and_then(|layers| layers.value(key).map(|(value, _)| value.to_string()));
            format!("is not accepted; write it as in its default, {}", example.unwrap_or_default())
        }
    }
}

fn not_a(default: &Value, key: &str, origin: &Origin) -> ConfigError {
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

fn from_toml(text: &str, origin: &Origin) -> Result<Table, ConfigError> {
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

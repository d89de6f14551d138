//! The four layers. Every value keeps its origin, so that an error can name it. The compiled defaults name all keys; every
//! other layer may use only these keys, with values of the same kind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use config::{FileFormat, Map, Source, Value, ValueKind};

use super::{Config, ConfigError, DEFAULT_TOML, check};

/// Variables of the environment that begin with this are ours: `HEALTHFLOW_SYNC__WORKER__LEASE_MS`.
pub const ENVIRONMENT_PREFIX: &str = "HEALTHFLOW_SYNC__";

/// What was read so far: by full key (`worker.lease_ms`) the value and its origin.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<String, (ValueKind, String)>,
}

impl Layers {
    /// The compiled defaults alone.
    pub fn new() -> Result<Self, ConfigError> {
        let values = flatten(&from_toml(DEFAULT_TOML, "the defaults")?);
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
        for (key, value) in flatten(&from_toml(text, origin)?) {
            let default = self.default_of(&key, origin)?;
            let fits = match (&default, &value) {
                (ValueKind::Float(_), ValueKind::I64(_)) => true,
                (default, value) => std::mem::discriminant(default) == std::mem::discriminant(value),
            };
            if !fits {
                return Err(not_a(&default, &key, origin));
            }
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
        let mut builder = config::Config::builder();
        for (key, (value, origin)) in &self.values {
            let value = Value::new(Some(origin), value.clone());
            builder = builder.set_override(key, value).map_err(|error| self.explain(&error))?;
        }
        let built = builder.build().map_err(|error| self.explain(&error))?;
        let config: Config = built.try_deserialize().map_err(|error| self.explain(&error))?;
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
            ValueKind::I64(_) => text.parse().ok().map(ValueKind::I64),
            ValueKind::Float(_) => text.parse().ok().map(ValueKind::Float),
            ValueKind::Boolean(_) => text.parse().ok().map(ValueKind::Boolean),
            _ => Some(ValueKind::String(text.to_owned())),
        };
        let value = value.ok_or_else(|| not_a(&default, key, origin))?;
        self.values.insert(key.to_owned(), (value, origin.to_owned()));
        Ok(())
    }

    /// The present value of `key`; its kind is the same in every layer.
    fn default_of(&self, key: &str, origin: &str) -> Result<ValueKind, ConfigError> {
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

    /// The error of the crate `config`, with the key's origin and without the value.
    fn explain(&self, error: &config::ConfigError) -> ConfigError {
        use config::ConfigError::{At, Type};
        let (key, what) = match error {
            Type { key, expected, .. } => (key, format!("must be {expected}")),
            At { key, .. } => {
                (key, "is not accepted; its comment in config/default.toml says what is".to_owned())
            }
            other => return ConfigError(one_line(&other.to_string())),
        };
        let key = key.as_deref().unwrap_or("?");
        let origin = self.values.get(key).map_or("?", |(_, origin)| origin);
        ConfigError(format!("`{key}` from {origin} {what}"))
    }
}

fn not_a(default: &ValueKind, key: &str, origin: &str) -> ConfigError {
    let kind = match default {
        ValueKind::I64(_) => "a whole number",
        ValueKind::Float(_) => "a number",
        ValueKind::Boolean(_) => "true or false",
        _ => "a text in quotes",
    };
    ConfigError(format!("`{key}` from {origin} must be {kind}"))
}

fn from_toml(text: &str, origin: &str) -> Result<Map<String, Value>, ConfigError> {
    let file = config::File::from_str(text, FileFormat::Toml);
    file.collect().map_err(|error| {
        ConfigError(format!("{origin} is not readable as TOML: {}", one_line(&error.to_string())))
    })
}

/// The leaves of nested tables by their full key.
fn flatten(tables: &Map<String, Value>) -> BTreeMap<String, ValueKind> {
    let mut leaves = BTreeMap::new();
    for (name, value) in tables {
        match &value.kind {
            ValueKind::Table(inner) => {
                let with_prefix = |(key, leaf)| (format!("{name}.{key}"), leaf);
                leaves.extend(flatten(inner).into_iter().map(with_prefix));
            }
            leaf => {
                leaves.insert(name.clone(), leaf.clone());
            }
        }
    }
    leaves
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

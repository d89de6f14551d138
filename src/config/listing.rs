//! Every key with its value, its origin and its comment, for `config show`: what a worker would run with, and why.

use toml::Value;

use super::origin::Origin;
use super::{DEFAULT_TOML, Layers};

/// What stands for a secret.
const MASK: &str = "***";
/// A key whose name holds one of these holds a secret, unless it names the file that does.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "credential"];

/// A key as `config show` prints it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// In full: `worker.lease_ms`.
    pub key: String,
    /// What it is set to; a secret is masked.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
    /// Its comment in `config/default.toml`, one line after the other.
    pub comment: String,
}

impl Layers {
    /// Every key, in the order of `config/default.toml`.
    pub fn entries(&self) -> Vec<Entry> {
        let (mut entries, mut section, mut comment) = (Vec::new(), "", Vec::new());
        for line in DEFAULT_TOML.lines() {
            if let Some(text) = line.strip_prefix('#') {
                comment.push(text.trim());
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
            } else if let Some((name, _)) = line.split_once(" = ")
                && let Some((value, origin)) = self.value(&format!("{section}.{name}"))
            {
                let key = format!("{section}.{name}");
                let value = shown(name, value);
                entries.push(Entry { key, value, origin: origin.clone(), comment: comment.join("\n") });
            }
            comment.clear();
        }
        entries
    }
}

/// `value` of the key `name` without what must not be printed.
fn shown(name: &str, value: &Value) -> Value {
    let Value::String(text) = value else { return value.clone() };
    let is_secret =
        !name.ends_with("_file") && SECRET_WORDS.iter().any(|word| name.contains(word)) && !text.is_empty();
    if is_secret { MASK.into() } else { without_user(text).into() }
}

/// An address without the user and password that a person may have put into it.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_files_are_named() {
        let text = |name: &str, value: &str| shown(name, &value.into()).as_str().map(str::to_owned);
        assert_eq!(text("password", "hunter2").as_deref(), Some(MASK));
        assert_eq!(text("bearer_token", "").as_deref(), Some(""));
        assert_eq!(text("token_file", "/run/token").as_deref(), Some("/run/token"));
        assert_eq!(
            text("proxy", "http://me:hunter2@proxy:3128/x").as_deref(),
            Some("http://***@proxy:3128/x")
        );
        assert_eq!(text("url", "http://registry:8081/a@b").as_deref(), Some("http://registry:8081/a@b"));
    }

    /// Goal: what is shown is what there is. Method: each key once, with its comment; the layers that set some say so.
    #[test]
    fn every_key_is_listed_with_its_origin_and_comment() {
        let layers = Layers::new().unwrap().with_toml("[worker]\nlease_ms = 6000", "/etc/sync.toml").unwrap();
        let layers = layers.with_flags(&["kafka.brokers=b:9092".into()]).unwrap();
        let entries = layers.entries();
        assert_eq!(entries.len(), layers.keys().count());
        let entry = |key: &str| entries.iter().find(|entry| entry.key == key).unwrap();
        assert!(entries.iter().all(|entry| entry.comment.len() > 40));
        assert!(entry("worker.lease_ms").comment.starts_with("How long a task may write"));
        assert_eq!(entry("worker.lease_ms").origin, Origin::File("/etc/sync.toml".into()));
        assert_eq!(entry("worker.lease_ms").value, Value::Integer(6000));
        assert_eq!(entry("kafka.brokers").origin, Origin::CommandLine);
        assert_eq!(entry("kafka.group_id").origin, Origin::Defaults);
        assert_eq!(entries[0].key, "kafka.brokers", "in the order of the file");
    }
}

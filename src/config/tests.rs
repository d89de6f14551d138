//! The keys, their comments, and what a wrong one says.

use std::ffi::OsString;

use healthflow_core::limits::Policy;

use super::*;

fn refused(layers: Result<Layers, ConfigError>) -> String {
    let error = layers.and_then(Layers::into_config).expect_err("must be refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

fn defaults() -> Layers {
    Layers::new().expect("the defaults are readable")
}

/// Whether the defaults with these flags are a configuration; the error's line if not.
pub(super) fn load(flags: &[&str]) -> Result<(), String> {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let config = defaults().with_flags(&flags).and_then(Layers::into_config);
    config.map(drop).map_err(|error| error.to_string())
}

/// The environment with one variable of ours and one of another program.
fn environment(name: &str, value: &str) -> [(OsString, OsString); 2] {
    [(name.into(), value.into()), ("HEALTHFLOW_OTHER".into(), "1".into())]
}

/// Goal: fields and keys are the same set. Method: no field has a default in code and unknown keys are refused, so
/// loading the file proves both directions.
#[test]
fn every_key_is_a_field_and_every_field_is_a_key() {
    defaults().into_config().expect("the defaults are valid");
}

/// Goal: the defaults of tests are those of a worker.
#[test]
fn what_tests_assume_is_the_default() {
    let settings = Config::of_defaults().processor_settings(1);
    assert_eq!(settings, healthflow_core::settings::Settings::for_tests());
}

/// Goal: the file that the README tells a new user to write starts a worker.
#[test]
fn the_file_in_the_readme_is_a_configuration() {
    let readme = include_str!("../../README.md");
    let file = readme.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).expect("a file");
    let config = defaults().with_toml(file.0, "README.md").and_then(Layers::into_config).expect("valid");
    assert_ne!(config.kafka.brokers, Config::of_defaults().kafka.brokers, "it is read");
}

#[test]
fn every_key_has_a_comment_with_its_meaning_its_unit_and_the_worst_cases() {
    let mut comment = String::new();
    let mut keys = 0;
    for line in DEFAULT_TOML.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
            continue;
        }
        if let Some((key, value)) = line.split_once(" = ") {
            keys += 1;
            assert!(comment.len() > 40, "{key} has no comment");
            if value.starts_with(|c: char| c.is_ascii_digit()) {
                assert!(comment.contains('(') && comment.contains(')'), "{key} names no unit in parentheses");
                assert!(comment.contains("High") && comment.contains("Low"), "{key} names no worst cases");
                assert!(
                    !key.ends_with("_ms") || comment.contains("(milliseconds"),
                    "{key} is in milliseconds"
                );
            }
        }
        comment.clear();
    }
    assert_eq!(keys, defaults().keys().count());
}

#[test]
fn the_demo_is_valid_and_quick() {
    let demo = include_str!("../../config/demo.toml");
    let config = defaults().with_toml(demo, "demo").and_then(Layers::into_config).expect("valid");
    let settings = config.processor_settings(12);
    assert!(settings.settle_ms() + settings.lease_ms < 10_000);
    assert_eq!(settings.retry_backoff_min_ms, 200);
}

#[test]
fn later_layers_win() {
    let layers = defaults().with_toml("[worker]\nlease_ms = 6000\nmax_in_flight = 7", "a file").unwrap();
    let layers = layers.with_environment(environment("HEALTHFLOW_SYNC__WORKER__LEASE_MS", "7000")).unwrap();
    let layers = layers.with_flags(&["worker.lease_ms=8000".into(), "kafka.group_id = blue".into()]).unwrap();
    let config = layers.into_config().unwrap();
    assert_eq!((config.worker.lease_ms, config.worker.max_in_flight), (8000, 7));
    assert_eq!(config.kafka.group_id, "blue");
    assert_eq!(config.kafka.group_instance_id, Optional(Some("hostname".into())));
}

/// Goal: an unknown key stops in every layer and is named with its origin.
#[test]
fn an_unknown_key_names_itself_and_its_layer() {
    let file = refused(defaults().with_toml("[worker]\nlease = 1", "/etc/sync.toml"));
    assert!(file.contains("`worker.lease` from /etc/sync.toml"), "{file}");
    assert!(file.contains("did you mean `worker.lease_ms`?"), "{file}");
    for (mistyped, meant) in [
        ("worker.lese_ms", "worker.lease_ms"),
        ("wroker.lease_ms", "worker.lease_ms"),
        ("lease_ms", "worker.lease_ms"),
        ("kafka.broker", "kafka.brokers"),
        ("kafka.group", "kafka.group_id"),
        ("healthflow.rate", "`healthflow_"),
    ] {
        let flag = refused(defaults().with_flags(&[format!("{mistyped}=1")]));
        let is_near = flag.contains(&format!("did you mean `{meant}`?"));
        assert_eq!(is_near, !meant.starts_with('`'), "{flag}");
    }
    assert!(refused(defaults().with_toml("[wroker]", "f")).contains("did you mean `worker`?"));
    let variable = refused(defaults().with_environment(environment("HEALTHFLOW_SYNC__WORKER__LEASE", "1")));
    assert!(
        variable.contains("`worker.lease` from the environment (HEALTHFLOW_SYNC__WORKER__LEASE)"),
        "{variable}"
    );
    assert!(variable.contains("did you mean `HEALTHFLOW_SYNC__WORKER__LEASE_MS`?"), "{variable}");
    let flag = refused(defaults().with_flags(&["worker.lease=1".into()]));
    assert!(flag.contains("`worker.lease` from --set"), "{flag}");
    assert!(refused(defaults().with_flags(&["worker=1".into()])).contains("unknown key `worker`"));
    assert!(refused(defaults().with_flags(&["worker.lease_ms".into()])).contains("names no value"));
    assert!(refused(defaults().with_toml("worker = 1", "f")).contains("unknown key `worker` from f"));
    assert!(
        refused(defaults().with_toml("[worker.lease_ms]\na = 1", "f"))
            .contains("unknown key `worker.lease_ms.a`")
    );
}

/// Goal: a variable that is meant for us and not spelled as ours is refused, not ignored; others' are none of our
/// business. Method: usual misspellings, and what Kubernetes sets for a service of our name.
#[test]
fn a_variable_that_looks_like_ours_is_refused_with_the_right_name() {
    for name in [
        "HEALTHFLOW_SYNC_KAFKA_BROKERS",
        "HEALTHFLOW_SYNC_KAFKA__BROKERS",
        "HEALTHFLOWSYNC__KAFKA__BROKERS",
        "healthflow_sync__kafka__brokers",
        "HEALTHFLOW-SYNC__KAFKA__BROKERS",
        "HEALTHFLOW_SYNC_KAFKA_BROKER",
    ] {
        let error = refused(defaults().with_environment(environment(name, "b:9092")));
        assert!(error.contains(&format!("the variable {name} of the environment sets nothing")), "{error}");
        assert!(error.contains("`kafka.brokers` is HEALTHFLOW_SYNC__KAFKA__BROKERS"), "{error}");
    }
    for (name, right) in [
        ("HEALTHFLOW_SYNC_BROKERS", "HEALTHFLOW_SYNC__KAFKA__BROKERS"),
        ("HEALTHFLOW_SYNC_BASE_URL", "HEALTHFLOW_SYNC__HEALTHFLOW__BASE_URL"),
        ("HEALTHFLOW_SYNC_REGISTRY_URL", "HEALTHFLOW_SYNC__SCHEMA_REGISTRY__URL"),
        ("HEALTHFLOW_SYNC_MAX_IN_FLIGHT", "HEALTHFLOW_SYNC__WORKER__MAX_IN_FLIGHT"),
        ("HEALTHFLOW_SYNC_TOKEN_FILE", "TOKEN_FILE"),
        ("healthflow_sync_lease_ms", "HEALTHFLOW_SYNC__WORKER__LEASE_MS"),
    ] {
        let error = refused(defaults().with_environment(environment(name, "x")));
        assert!(error.contains(right), "{error}");
    }
    for name in [
        "HEALTHFLOW_SYNC_SERVICE_HOST",
        "HEALTHFLOW_SYNC_SCHEMA_REGISTRY_PORT",
        "HEALTHFLOW_SYNC_SCHEMA_REGISTRY_PORT_8081_TCP",
        "HEALTHFLOW_SYNC_SERVICE_PORT_METRICS",
        "HEALTHFLOW_SYNC_PORT",
        "HEALTHFLOW_SYNC_PORT_9464_TCP_ADDR",
        "HEALTHFLOW_STACK_CACHE",
        "KAFKA_BROKERS",
    ] {
        let layers = defaults().with_environment(environment(name, "x")).expect(name);
        assert_eq!(layers.entries(), defaults().entries(), "{name}");
    }
}

/// Goal: whoever reads the error of a wrong value needs no other document. Method: each key with a list of values.
#[test]
fn a_value_that_is_not_accepted_is_told_what_is() {
    for (flag, expected) in [
        (
            "healthflow.duplicate_guard=hope",
            "must be one of \"idempotency_key\", \"unique_reference\", \"reference\", \"search\"",
        ),
        ("kafka.group_protocol=expected hunter2", "must be \"classic\" or \"consumer\""),
        ("kafka.first_start=", "must be \"earliest\" or \"latest\""),
        ("log.format=xml", "must be \"human\" or \"json\""),
        ("admin.listen=9464", "is not accepted; write it as in its default, \"127.0.0.1:9464\""),
        ("healthflow.supports_if_match=yes", "must be true or false"),
    ] {
        let error = refused(defaults().with_flags(&[flag.into()]));
        assert!(error.ends_with(expected) && !error.contains("hunter2"), "{flag}: {error}");
    }
}

/// Goal: a wrong value stops in every layer, names its key and origin, and is never rounded or guessed.
#[test]
fn a_wrong_value_names_its_key_and_its_layer() {
    for value in ["\"5000\"", "5.7", "true", "[1]"] {
        let error = refused(defaults().with_toml(&format!("[worker]\nlease_ms = {value}"), "/etc/sync.toml"));
        assert!(error.contains("`worker.lease_ms` from /etc/sync.toml must be a whole number"), "{error}");
    }
    for (flag, expected) in [
        ("worker.lease_ms=soon", "`worker.lease_ms` from --set must be a whole number"),
        ("worker.lease_ms=-1", "`worker.lease_ms` from --set"),
        ("worker.max_in_flight=99999999999", "`worker.max_in_flight` from --set"),
        ("healthflow.requests_per_second=NaN", "must be more than 0"),
        ("healthflow.duplicate_guard=hope", "`healthflow.duplicate_guard` from --set"),
        ("log.level=nonsense", "`log.level` from --set"),
        ("kafka.first_start=", "`kafka.first_start` from --set"),
        ("admin.listen=localhost", "`admin.listen` from --set"),
        ("log.level=loud=very", "`log.level` from --set"),
        ("healthflow.base_url=ftp://x", "must begin with http://"),
        ("healthflow.base_url=http://a:b@x", "secrets come from files"),
        ("kafka.brokers=", "must not be empty"),
    ] {
        let error = refused(defaults().with_flags(&[flag.into()]));
        assert!(error.contains(expected), "{flag}: {error}");
    }
    assert!(
        refused(defaults().with_toml("[worker\nlease_ms = 1", "f.toml"))
            .contains("f.toml is not readable as TOML")
    );
    let missing = refused(defaults().with_file(Some(Path::new("/nowhere/sync.toml"))));
    assert!(missing.contains("cannot read /nowhere/sync.toml"), "{missing}");
}

/// Goal: a list of limits reads the same from a file and from one line, and a wrong one is refused with its place.
#[test]
fn limits_are_a_list() {
    let file = "[[healthflow.limits]]\nname = \"minute\"\ncalls = 60\nwindow_seconds = 60\n[[healthflow.limits]]\nname = \"w\"\n\
                scope = \"practice\"\noperations = [\"writes\"]\ncalls = 5\nwindow_seconds = 10\nwindow = \"fixed\"";
    let line = r#"[{ name = "minute", calls = 60, window_seconds = 60 }, { name = "w", scope = "practice", operations = ["writes"], calls = 5, window_seconds = 10, window = "fixed" }]"#;
    let limits = |layers: Layers| layers.into_config().unwrap().healthflow.limits;
    let from_file = limits(defaults().with_toml(file, "f").unwrap());
    let variable = environment("HEALTHFLOW_SYNC__HEALTHFLOW__LIMITS", line);
    assert_eq!(from_file, limits(defaults().with_environment(variable).unwrap()));
    let flag = format!("healthflow.limits={line}");
    assert_eq!(from_file, limits(defaults().with_flags(&[flag]).unwrap()));
    assert_eq!(from_file.len(), 2);
    let long = r#"[{ name = "day", calls = 9, window_seconds = 86400, window = "fixed", reset_hour = 6, zone = "America/Chicago" }, { name = "month", calls = 9, window = "month" }, { name = "last-day", calls = 9, window_seconds = 86400 }]"#;
    let long = defaults().with_flags(&[format!("healthflow.limits={long}")]).unwrap().into_config().unwrap();
    assert!(long.processor_settings(1).limits.iter().all(Policy::is_long));
    for (list, expected) in [
        ("soon", "must be a list"),
        ("[]\nmore = 1", "must be a list"),
        (r#"[{ name = "a", calls = 1 }]"#, "window_seconds from 1"),
        (r#"[{ name = "a", calls = 0, window_seconds = 1 }]"#, "at least 1 call (limit 1"),
        (r#"[{ name = "a", window_seconds = 1 }]"#, "is not accepted"),
        (r#"[{ name = "a", calls = 1, window_seconds = 2678401 }]"#, "31 days"),
        (
            r#"[{ name = "a", calls = 1, window_seconds = 60, window = "month" }]"#,
            "none if the window is a month",
        ),
        (r#"[{ name = "a", calls = 1, window_seconds = 61, burst = 1 }]"#, "longer than a minute"),
        (r#"[{ name = "a", calls = 1, window_seconds = 5400, window = "fixed" }]"#, "whole hours"),
        (r#"[{ name = "a", calls = 1, window = "month", reset_hour = 24 }]"#, "0 to 23"),
        (r#"[{ name = "a", calls = 1, window = "month", zone = "Chicago" }]"#, "as IANA does"),
        (r#"[{ name = "a", calls = 1, window_seconds = 7, window = "fixed" }]"#, "divides an hour"),
        (r#"[{ name = "a", calls = 1, window_seconds = 6, window = "fixed", burst = 1 }]"#, "no burst"),
        (r#"[{ name = "a", operations = ["delete"], calls = 1, window_seconds = 1 }]"#, "operations by name"),
        (r#"[{ name = "a", operations = [], calls = 1, window_seconds = 1 }]"#, "operations by name"),
        (r#"[{ name = "a\"b", calls = 1, window_seconds = 1 }]"#, "must be named"),
        (
            r#"[{ name = "a", calls = 1, window_seconds = 1 }, { name = "a", calls = 2, window_seconds = 1 }]"#,
            "(limit 2",
        ),
    ] {
        let error = refused(defaults().with_flags(&[format!("healthflow.limits={list}")]));
        assert!(
            error.contains("`healthflow.limits` from --set") && error.contains(expected),
            "{list}: {error}"
        );
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (flag, key) in [
        ("worker.lease_margin_ms=5000", "worker.lease_margin_ms"),
        ("worker.commit_interval_ms=4500", "worker.commit_interval_ms"),
        ("worker.ready_queue_max=63", "worker.ready_queue_max"),
        ("worker.reacquire_pause_ms=5999", "worker.reacquire_pause_ms"),
        ("retry.backoff_min_ms=600001", "retry.backoff_min_ms"),
        ("retry.max_age_ms=1", "retry.backoff_max_ms"),
        ("retry.slot_wait_max_ms=1000", "retry.slot_wait_max_ms"),
        ("worker.keep_days=90", "worker.keep_days"),
        ("kafka.transaction_timeout_ms=4999", "kafka.transaction_timeout_ms"),
        ("kafka.transaction_timeout_ms=60001", "kafka.transaction_timeout_ms"),
        ("retry.max_age_ms=1209600000", "retry.max_age_ms"),
        ("healthflow.connect_timeout_ms=10000", "healthflow.connect_timeout_ms"),
        ("healthflow.key_retention_ms=70000", "healthflow.key_retention_ms"),
        ("kafka.session_timeout_ms=8999", "kafka.session_timeout_ms"),
        ("worker.lease_ms=0", "worker.lease_ms"),
    ] {
        let error = refused(defaults().with_flags(&[flag.into()]));
        assert!(error.contains(&format!("`{key}` from")), "{flag}: {error}");
    }
}

#[test]
fn properties_are_read_from_their_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kafka.properties");
    std::fs::write(&path, "# TLS\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n").unwrap();
    let expected = [("security.protocol", "SASL_SSL"), ("sasl.password", "a=b")];
    let read = secret::properties(&path).unwrap();
    assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    std::fs::write(&path, "security.protocol=SSL\nhunter2\n").unwrap();
    let error = secret::properties(&path).unwrap_err().to_string();
    assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    assert!(secret::properties(&folder.path().join("none")).is_err());
    std::fs::write(&path, "# nothing yet\n").unwrap();
    let error = secret::properties(&path).unwrap_err().to_string();
    assert!(error.contains("holds no property"), "{error}");
}

/// Goal: nothing that was written is ignored or taken for something else, and what is out of range says on which side.
#[test]
fn a_value_counts_as_it_is_written_or_is_refused() {
    for (text, expected) in [
        ("[worker]\nlease_ms = {}", "`worker.lease_ms` from f must be a whole number"),
        ("[worker.lease_ms]", "`worker.lease_ms` from f must be a whole number"),
        ("[wroker]", "unknown key `wroker` from f"),
        ("[log]\nlevel = 1999-01-01", "`log.level` from f must be a text in quotes"),
        ("[worker]\nlease_ms = -3", "`worker.lease_ms` from f must not be negative"),
        ("[worker]\nmax_in_flight = 4294967296", "`worker.max_in_flight` from f is too large"),
    ] {
        let error = refused(defaults().with_toml(text, "f"));
        assert!(error.contains(expected), "{text}: {error}");
    }
    defaults().with_toml("[worker]", "a section without keys").and_then(Layers::into_config).expect("valid");
    let whole = defaults().with_toml("[healthflow]\nrequests_per_second = 7", "f").unwrap();
    let rate = |layers: Layers| layers.into_config().unwrap().healthflow.requests_per_second;
    assert_eq!(rate(whole.clone()), 7.0);
    assert_eq!(rate(whole.with_flags(&["healthflow.requests_per_second=2.5".into()]).unwrap()), 2.5);
}

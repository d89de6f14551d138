//! docker-compose.yml against the project: no Docker engine runs it here, so a test holds what it says to the
//! configuration's keys, the local stack's versions and settings, the binaries' commands, and Prometheus' targets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use clap::Parser;
use healthflow_simulator::flags::Flags;
use healthflow_sync::cli::Cli;
use healthflow_sync::config::Layers;

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a file of the project")
}

/// Every `NAME: value` of docker-compose.yml, without quotes.
fn settings(prefix: &str) -> BTreeMap<String, String> {
    let compose = file("docker-compose.yml");
    let lines = compose.lines().filter_map(|line| line.trim().split_once(": "));
    lines
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.to_owned(), value.trim().trim_matches('"').to_owned()))
        .collect()
}

fn version(pom: &str, property: &str) -> String {
    let (_, rest) = pom.split_once(&format!("<{property}>")).expect("the version is a property of the pom");
    rest.split_once('<').expect("it ends").0.to_owned()
}

#[test]
fn compose_itself_accepts_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml");
    let output = Command::new("docker-compose").args(["-f", path, "config", "-q"]).output();
    let output = output.expect("docker-compose is installed; run stack/setup.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_setting_is_a_key_of_the_configuration() {
    let ours = settings("HEALTHFLOW_SYNC__");
    assert!(ours.len() >= 5, "{ours:?}");
    let variables = ours.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let layers = Layers::new().expect("the defaults are sound").with_environment(variables);
    let config = layers.and_then(Layers::into_config).expect("compose sets what there is");
    assert_eq!(config.kafka.brokers, "kafka:9092");
    assert_eq!(config.schema_registry.url, "http://registry:8080/apis/ccompat/v7");
}

#[test]
fn versions_and_broker_settings_are_those_of_the_local_stack() {
    let (compose, pom, stack) = (file("docker-compose.yml"), file("stack/pom.xml"), file("stack/brokers.sh"));
    let kafka = version(&pom, "kafka.version");
    assert!(compose.contains(&format!("image: apache/kafka:{kafka}\n")), "Kafka {kafka}");
    let registry = version(&pom, "apicurio.version");
    assert!(
        compose.contains(&format!("image: apicurio/apicurio-registry:{registry}\n")),
        "Apicurio {registry}"
    );
    // Where the two must differ: who listens where, and memory.
    let own = ["NODE_ID", "PROCESS_ROLES", "LISTENER", "CONTROLLER", "HEAP"];
    for (name, value) in settings("KAFKA_") {
        let name = name.trim_start_matches("KAFKA_");
        if own.iter().any(|word| name.contains(word)) {
            continue;
        }
        let property = format!("{}={value}", name.to_lowercase().replace('_', "."));
        assert!(stack.lines().any(|line| line == property), "stack/brokers.sh does not say {property}");
    }
}

#[test]
fn every_command_is_one_of_the_binaries() {
    let compose = file("docker-compose.yml");
    let commands: Vec<Vec<String>> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("command: ["))
        .map(|list| {
            list.trim_end_matches(']').split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
        })
        .collect();
    assert_eq!(commands.len(), 3, "worker, simulator and topics: {commands:?}");
    for command in commands {
        match command[0].as_str() {
            "healthflow-sync" => {
                Cli::try_parse_from(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
            }
            "healthflow-simulator" => {
                Flags::try_parse_from(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
            }
            other => panic!("{other} is none of our binaries"),
        }
    }
}

#[test]
fn prometheus_and_the_health_checks_look_where_somebody_answers() {
    let (compose, prometheus) = (file("docker-compose.yml"), file("stack/prometheus.yml"));
    let listen = &settings("HEALTHFLOW_SYNC__ADMIN__LISTEN")["HEALTHFLOW_SYNC__ADMIN__LISTEN"];
    let port = listen.rsplit_once(':').expect("address and port").1;
    for worker in ["worker-1", "worker-2"] {
        assert!(compose.contains(&format!("\n  {worker}:\n")), "{worker} is a service");
        assert!(prometheus.contains(&format!("\"{worker}:{port}\"")), "{worker}:{port} is read");
    }
    assert!(compose.contains(&format!("127.0.0.1:{port}/health/ready")), "a route of src/admin");
    assert!(file("src/admin/mod.rs").contains("\"/health/ready\""));
    assert!(compose.contains("127.0.0.1:8080/control/health"), "a route of the simulator");
    assert!(file("crates/simulator/src/server/control.rs").contains("\"/health\""));
}

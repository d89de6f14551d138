//! What a person is told when something is missing, and the forms in which commands print.

use healthflow_testkit::project;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use crate::{LIMIT, Person, booking, lines};

/// Goal: whoever begins gets one line that says how, whatever they begin with. Method: a cluster without our topics.
pub fn nothing_is_set_up_yet(person: &Person<'_>) {
    let nothing = "nothing is set up yet: none of our topics exists; run 'healthflow-sync topics'";
    for line in [
        &["topics", "--check"][..],
        &["run", "--set=admin.listen=127.0.0.1:0", "--set=log.level=error"],
        &["redrive", "--practice", "p"],
        &["repartition"],
        &["review", "list"],
        &["takeover", "--from-application", "a", "--from-group", "b"],
    ] {
        assert_eq!(person.is_refused(line), [format!("healthflow-sync: {nothing}")], "{line:?}");
    }
    let file = project("docs/examples/booking.json");
    for line in [
        &["tail", "appointments.synced"][..],
        &["send", file.to_str().expect("UTF-8")],
        &["pause", "--why", "a test"],
        &["resume", "--why", "a test"],
        &["limit", "list"],
        &["limit", "set", "--per-second", "5", "--why", "a test"],
        &["accept-topics"],
        &["drop-record", "--topic", "appointments.state", "--partition", "0", "--offset", "0"],
        &["review", "decide", "p", "b", "reject", "--by", "me", "--why", "a test"],
    ] {
        let told = person.is_refused(line);
        assert!(told.len() == 1 && told[0].contains("healthflow-sync topics"), "{line:?}: {told:?}");
    }
}

/// Goal: a command whose server is away ends, and says which address it is. Method: a port on which nobody listens.
pub fn an_address_that_does_not_answer_is_named(person: &Person<'_>) {
    let file = person.0.data.join("away.json");
    std::fs::write(&file, booking("practice-17", "Maria").to_string()).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let registry = "http://127.0.0.1:1/apis/ccompat/v7";
    for line in [&["send", file][..], &["topics"], &["redrive", "--practice", "p"], &["review", "list"]] {
        let told = person.is_refused_at(&person.0.brokers, registry, line);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("the schema registry") && told[0].contains(registry), "{told:?}");
    }
    let told = person.is_refused_at("127.0.0.1:1", &person.0.registry_url, &["send", file]);
    let last = told.last().expect("a line");
    assert!(last.contains("check that 127.0.0.1:1 is there (kafka.brokers)"), "{told:?}");
}

/// Goal: a reader sees what came first first. Method: bookings of practices in several partitions, sent in turn.
pub fn partitions_are_tailed_in_the_order_of_time(person: &Person<'_>) {
    let practices = ["practice-a", "practice-b", "practice-c", "practice-d"];
    for practice in practices {
        person.sends(&booking(practice, "Ada"));
    }
    let records = person.tails("appointments.requested", 2 + practices.len());
    let partitions: std::collections::BTreeSet<i64> =
        records.iter().filter_map(|record| record["partition"].as_i64()).collect();
    assert!(partitions.len() > 1, "they are in several partitions: {partitions:?}");
    let keys: Vec<&str> = records.iter().filter_map(|record| record["key"].as_str()).collect();
    assert_eq!(keys[2..], practices);
}

/// Goal: nobody is shown what a transaction took back.
pub fn only_committed_records_are_tailed(person: &Person<'_>) {
    let producer: ThreadedProducer<DefaultProducerContext> =
        person.kafka().set("transactional.id", "test").create().expect("a producer");
    producer.init_transactions(LIMIT).expect("Kafka answers");
    let send = |value: &str| {
        producer.begin_transaction().expect("begins");
        let record = BaseRecord::to("appointments.review").key("k").payload(value).partition(0);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    };
    send("aborted");
    producer.flush(LIMIT).expect("delivered");
    producer.abort_transaction(LIMIT).expect("aborts");
    send("committed");
    producer.commit_transaction(LIMIT).expect("commits");
    let record = &person.tails("appointments.review", 1)[0];
    assert_eq!(record["undecodable"], "the value does not begin with a zero byte and a schema id");
    assert_eq!(record["offset"], 2, "after the aborted record and its marker");
}

/// Goal: a person reads what a dead letter holds. Method: letters with text and with bytes that are none.
pub fn dead_bytes_are_readable(person: &Person<'_>) {
    let letters = person.tails("appointments.failed", 4);
    let value = |index: usize| letters[index]["value"]["raw_value"].as_str().expect("a text");
    assert_eq!(value(3), "not Avro");
    assert!(value(0).starts_with("base64:AAAA"), "{}", value(0));
    assert_eq!(letters[3]["value"]["raw_key"], "practice-17");
    let line = ["redrive", "--since", "2026-01-05", "--dry-run", "--output", "json"];
    let printed = person.sees(&line);
    let objects: Vec<Value> = printed.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = objects.last().expect("the totals");
    assert_eq!((&last["dry_run"], &last["redriven"]), (&json!(true), &json!(1)), "{printed:?}");
    assert_eq!(objects[0]["partition"], json!(2));
    let checked: Value =
        serde_json::from_str(&person.sees(&["topics", "--check", "--output", "json"])[0]).expect("JSON");
    assert_eq!(checked["message"], "topics and schemas are as required");
}

impl Person<'_> {
    /// The lines of a command that must fail, with other servers.
    fn is_refused_at(&self, brokers: &str, registry_url: &str, line: &[&str]) -> Vec<String> {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_healthflow-sync"))
            .args(line)
            .arg(format!("--set=kafka.brokers={brokers}"))
            .arg(format!("--set=schema_registry.url={registry_url}"))
            .output()
            .expect("the program starts");
        assert!(!output.status.success(), "{line:?} succeeds");
        lines(&output.stderr)
    }
}

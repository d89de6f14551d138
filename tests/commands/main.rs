//! `topics`, `send`, `tail`, `review` and `repartition` as a person types them, on a real Kafka and a real schema registry. One
//! test, because all of them share the names of our topics.

mod examples;
mod told;

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use healthflow_core::event::avro::{Encoder, contract};
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::home::partition_of;
use healthflow_core::event::result::{ResultEnvelope, ResultOutcome};
use healthflow_core::event::review::AppointmentReview;
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;
use healthflow_sync::registry::{RegistrySettings, RetryPolicy, SchemaRegistry};
use healthflow_testkit::stack::Stack;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

struct Person<'stack>(&'stack Stack);

impl Person<'_> {
    fn types(&self, line: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_healthflow-sync"))
            .args(line)
            .arg(format!("--set=kafka.brokers={}", self.0.brokers))
            .arg(format!("--set=schema_registry.url={}", self.0.registry_url))
            .output()
            .expect("the program starts")
    }

    /// The lines printed by a command that must succeed.
    fn sees(&self, line: &[&str]) -> Vec<String> {
        let output = self.types(line);
        assert!(output.status.success(), "{line:?} fails: {}", String::from_utf8_lossy(&output.stderr));
        lines(&output.stdout)
    }

    /// The lines printed by a command that must fail.
    fn is_refused(&self, line: &[&str]) -> Vec<String> {
        let output = self.types(line);
        assert!(!output.status.success(), "{line:?} succeeds");
        [lines(&output.stdout), lines(&output.stderr)].concat()
    }

    fn tails(&self, topic: &str, limit: usize) -> Vec<Value> {
        let lines = self.sees(&["tail", topic, "--from-beginning", "--limit", &limit.to_string()]);
        lines.iter().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    fn sends(&self, event: &Value) -> Vec<String> {
        let file = self.0.data.join("booking.json");
        fs::write(&file, event.to_string()).expect("a file");
        self.sees(&["send", file.to_str().expect("UTF-8")])
    }

    /// The registry's id of our schema of a topic.
    fn schema_id(&self, topic: &str) -> u32 {
        let settings = RegistrySettings::at(&self.0.registry_url);
        let registry = SchemaRegistry::new(settings, RetryPolicy::default()).expect("a client");
        let register = registry.register(contract(topic).expect("one of ours"));
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(register)).expect("its id")
    }

    fn kafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.0.brokers);
        config
    }

    /// Changes a setting of a topic behind our back.
    async fn sets(&self, topic: &str, settings: [(&str, &str); 2]) {
        let admin: AdminClient<DefaultClientContext> = self.kafka().create().expect("a client");
        let change =
            AlterConfig { specifier: ResourceSpecifier::Topic(topic), entries: HashMap::from(settings) };
        let results = admin.alter_configs([&change], &AdminOptions::new()).await.expect("Kafka answers");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

fn booking(practice: &str, given_name: &str) -> Value {
    json!({
        "event_id": "event-1", "booking_id": "b-1", "practice_id": practice, "location_id": "loc-1", "version": 1,
        "status": "SCHEDULED", "requested_at": 1_767_600_000_000_i64,
        "patient": {"patient_id": "p-1", "given_name": given_name, "family_name": "Lopez",
                    "date_of_birth": "1987-04-21", "postal_code": "60614"},
        "visit": {"start": "2026-03-02T09:30:00-06:00", "time_zone": "America/Chicago", "duration_minutes": 30,
                  "provider_id": "dr-1"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_do_what_a_person_types() {
    let stack = Stack::start();
    let person = Person(&stack);
    topics_are_created_checked_and_mended(&person).await;
    what_is_sent_is_tailed(&person);
    told::an_address_that_does_not_answer_is_named(&person);
    told::partitions_are_tailed_in_the_order_of_time(&person);
    told::only_committed_records_are_tailed(&person);
    a_review_is_listed_and_decided(&person);
    nothing_is_revealed_off_the_record(&person).await;
    records_that_were_not_understood_are_redriven_once_they_are(&person);
    examples::what_the_examples_publish_and_read_is_as_documented(&person);
    examples::the_reader_of_results_handles_what_is_rare(&person);
    what_is_remembered_moves_along_when_partitions_are_added(&person);
}

async fn topics_are_created_checked_and_mended(person: &Person<'_>) {
    told::nothing_is_set_up_yet(person);
    let created = person.sees(&["topics", "--partitions", "6"]);
    assert_eq!(created.len(), 12 * 3 + 1, "topic, compatibility, schema each, and the clock: {created:?}");
    assert_eq!(person.sees(&["topics"]), ["nothing to do, topics and schemas are as required"]);
    assert_eq!(person.sees(&["topics", "--check"]), ["topics and schemas are as required"]);
    let more = person.is_refused(&["topics", "--partitions", "12"]);
    let expected = "appointments.requested: has 6 partitions, must have 12 as was asked for; stop all workers and run \
                    'healthflow-sync repartition --partitions 12'";
    assert!(more[0].contains(expected), "{more:?}");

    // Somebody makes the dead letters short-lived, and has a wish of their own beside it.
    person.sets("appointments.failed", [("retention.ms", "60000"), ("compression.type", "zstd")]).await;
    let wrong = "appointments.failed: retention.ms is 60000, must be at least 7776000000; run 'healthflow-sync topics'";
    let found = person.is_refused(&["topics", "--check"]);
    assert!(found.contains(&wrong.to_owned()), "{found:?}");
    let mended = person.sees(&["topics"]);
    assert!(mended.contains(&"appointments.failed: retention.ms set to 7776000000".to_owned()), "{mended:?}");
    assert_eq!(person.sees(&["topics", "--check"]).len(), 1);
    let admin: AdminClient<DefaultClientContext> = person.kafka().create().expect("a client");
    let topic = [ResourceSpecifier::Topic("appointments.failed")];
    let described = admin.describe_configs(&topic, &AdminOptions::new()).await.expect("Kafka answers");
    let entry = described[0]
        .as_ref()
        .expect("is there")
        .get("compression.type")
        .and_then(|entry| entry.value.clone());
    assert_eq!(entry.as_deref(), Some("zstd"), "what others have set is kept");
}

fn what_is_sent_is_tailed(person: &Person<'_>) {
    let partition = partition_of(b"practice-17", 6);
    let published = person.sends(&booking("practice-17", "Maria"));
    assert_eq!(published, [format!("published to appointments.requested, partition {partition}, offset 0")]);
    let mut impossible = booking("practice-17", &"x".repeat(1024 * 1024));
    impossible["version"] = json!(2);
    let published = person.sends(&impossible);
    assert!(
        published[1].contains("patient.given_name must not be longer than 200 characters"),
        "a 1 MiB name goes through"
    );

    let records = person.tails("appointments.requested", 2);
    assert_eq!((&records[0]["key"], &records[0]["partition"]), (&json!("practice-17"), &json!(partition)));
    assert_eq!(records[0]["value"]["patient"]["given_name"], "Maria");
    assert_eq!(records[0]["value"]["source"], "LIVE");
    assert_eq!(records[1]["value"]["version"], 2);
}

/// Goal: a decision is written where the practice's task reads it, and only one that can be carried out. Method: a review as a
/// worker writes it, beside a record that nobody can read.
fn a_review_is_listed_and_decided(person: &Person<'_>) {
    let mut event = booking("practice-17", "Maria");
    event["visit"]["start"] = json!(1_772_465_400_000_i64);
    let review = json!({
        "result": {
            "event_id": "event-1", "booking_id": "b-1", "version": 1, "practice_id": "practice-17", "outcome": "REVIEW",
            "final": false, "reason": "AMBIGUOUS_PATIENT", "healthflow_patient_id": null,
            "healthflow_appointment_id": null, "attempts": 1, "generation": 1, "requested_at": null,
            "finished_at": 1_767_600_000_000_i64,
        },
        "event": event, "evidence": [], "waits_for": null, "order": 0,
    });
    let review: AppointmentReview = serde_json::from_value(review).expect("a review of the schema");
    let contract = contract("appointments.review").expect("one of ours");
    let mut value = Vec::new();
    let encoder = Encoder::new(contract, person.schema_id("appointments.review"));
    encoder.encode(&review, &mut value).expect("fits");
    let partition = partition_of(b"practice-17", 6);
    let producer: ThreadedProducer<DefaultProducerContext> = person.kafka().create().expect("a producer");
    let record = BaseRecord::to("appointments.review").key("practice-17/b-1/1").payload(&value);
    producer.send(record.partition(partition)).map_err(|(error, _)| error).expect("queued");
    producer.flush(LIMIT).expect("delivered");

    let listed = person.sees(&["review", "list"]);
    assert!(
        listed[1].starts_with("practice-17  b-1      1        1           AMBIGUOUS_PATIENT"),
        "{listed:?}"
    );
    assert!(listed[2].starts_with("1 records of appointments.review cannot be read"), "{listed:?}");
    assert!(!listed.concat().contains("Lopez"));
    let decide =
        ["review", "decide", "practice-17", "b-1", "CREATE", "--by", "me", "--why", "new here", "--no-wait"];
    let ids = person.sees(&decide);
    let decided = &person.tails("appointments.decisions", 1)[0];
    assert_eq!((&decided["key"], &decided["partition"]), (&json!("practice-17"), &json!(partition)));
    assert_eq!(decided["value"]["decision_id"], ids[0]);
    assert_eq!(
        (&decided["value"]["generation"], &decided["value"]["verdict"]),
        (&json!(1), &json!("CREATE"))
    );
    let unknown = person.is_refused(&["review", "show", "practice-17", "b-2"]);
    assert!(unknown[0].contains("nothing of practice-17/b-2 is in review"), "{unknown:?}");
}

/// Goal: nobody sees a patient's data unless that is on record. Method: the audit topic refuses every record, and then takes them.
async fn nothing_is_revealed_off_the_record(person: &Person<'_>) {
    let look = "review show practice-17 b-1 --reveal --by frontdesk-2 --why to-decide";
    let look: Vec<&str> = look.split(' ').collect();
    person.sets("appointments.audit", [("max.message.bytes", "20"), ("compression.type", "zstd")]).await;
    let refused = person.is_refused(&look).concat();
    assert!(refused.contains("nothing is revealed, for the look at it is not on record"), "{refused}");
    assert!(!refused.contains("Lopez"), "{refused}");
    person.sees(&["topics"]);
    let seen = person.sees(&look);
    assert!(seen.contains(&"  family_name    Lopez".to_owned()), "{seen:?}");
    let audit = &person.tails("appointments.audit", 1)[0];
    assert_eq!((&audit["key"], &audit["value"]["by"]), (&json!("practice-17"), &json!("frontdesk-2")));
    assert!(!audit.to_string().contains("Lopez"), "{audit}");
}

/// Goal: a dead letter with an undecodable record is published again as it was, once it can be decoded and not before,
/// and each record once. Method: letters of a record of an unknown schema, of a booking twice, and of text.
fn records_that_were_not_understood_are_redriven_once_they_are(person: &Person<'_>) {
    person.sends(&booking("practice-17", "Ada"));
    let raw = |partition: i32, offset: i64| {
        let (_, value) = record_at(person, "appointments.requested", partition, offset);
        value
    };
    let partition = partition_of(b"practice-17", 6);
    let good = raw(partition, 2);
    let mut unknown = good.clone();
    unknown[1..5].copy_from_slice(&[0, 0x7f, 0, 0]);
    let (contract, mut letters) = (contract("appointments.failed").expect("one of ours"), Vec::new());
    let id = person.schema_id("appointments.failed");
    let encoder = Encoder::new(contract, id);
    for raw_value in [&good, &unknown, &good, &b"not Avro".to_vec()] {
        let letter = AppointmentFailed {
            result: ResultEnvelope::new(
                None,
                ResultOutcome::Failed,
                Some(FailureReason::Undecodable.code()),
                Timestamp(1_767_600_000_000),
            ),
            event: None,
            raw_key: Some(b"practice-17".to_vec()),
            raw_value: Some(raw_value.clone()),
            disposition: "POISON".into(),
            detail: "whatever".into(),
            decision_id: None,
        };
        let mut value = Vec::new();
        encoder.encode(&letter, &mut value).expect("fits");
        letters.push(value);
    }
    let producer: ThreadedProducer<DefaultProducerContext> = person.kafka().create().expect("a producer");
    for letter in &letters {
        let topic = Header { key: "__dlq.errors.topic", value: Some("appointments.requested") };
        let headers = OwnedHeaders::new().insert(topic);
        let record = BaseRecord::to("appointments.failed").key("practice-17").payload(letter).partition(2);
        producer.send(record.headers(headers)).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(LIMIT).expect("delivered");

    let line = ["redrive", "--practice", "practice-17", "--reason", "UNDECODABLE"];
    let at = "UNDECODABLE at 2026-01-05T08:00:00Z";
    let expected = [
        format!("letter 0 of partition 2, {at}: redriven as practice-17/b-1 version 1"),
        format!(
            "letter 1 of partition 2, {at}: cannot be redriven yet, schema id 8323072 is not known to the schema registry"
        ),
        format!(
            "letter 3 of partition 2, {at}: cannot be redriven yet, the value does not begin with a zero byte and a schema id"
        ),
        "1 redriven".to_owned(),
    ];
    let dry = person.sees(&[&line[..], &["--dry-run"]].concat());
    assert_eq!(dry[0], expected[0].replace("redriven", "would be redriven"));
    assert_eq!(person.sees(&line), expected);
    assert_eq!(record_at(person, "appointments.requested", partition, 3), (b"practice-17".to_vec(), good));
    told::dead_bytes_are_readable(person);
    let other = person.sees(&["redrive", "--practice", "practice-18", "--reason", "UNDECODABLE"]);
    assert_eq!(other, ["0 redriven"]);
    let another = [&line[..], &["--booking", "b-2"]].concat();
    assert_eq!(person.sees(&another), ["0 redriven"]);
}

/// Key and value of one record, as they are in the topic.
fn record_at(person: &Person<'_>, topic: &str, partition: i32, offset: i64) -> (Vec<u8>, Vec<u8>) {
    let consumer: BaseConsumer = person.kafka().set("group.id", "looks").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
    consumer.assign(&list).expect("assigned");
    let record = consumer.poll(LIMIT).expect("within the limit").expect("a record");
    (record.key().expect("a key").to_vec(), record.payload().expect("a value").to_vec())
}

/// A record of a state topic: partition, key, and whether it has a value.
fn state_of(person: &Person<'_>, partitions: i32) -> Vec<(i32, String, bool)> {
    let consumer: BaseConsumer = person
        .kafka()
        .set("group.id", "looks")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_range("appointments.state", 0, partitions - 1);
    list.set_all_offsets(Offset::Beginning).expect("offsets");
    consumer.assign(&list).expect("assigned");
    let (mut found, mut ends) = (HashMap::new(), 0);
    while ends < partitions {
        match consumer.poll(LIMIT).expect("within the limit") {
            Ok(record) => {
                let key = String::from_utf8(record.key().expect("a key").to_vec()).expect("UTF-8");
                found.insert((record.partition(), key), record.payload().is_some());
            }
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let mut found: Vec<_> =
        found.into_iter().map(|((partition, key), is_there)| (partition, key, is_there)).collect();
    found.sort_unstable();
    found
}

/// Goal: after `repartition` every record of state is where its practice's bookings go, each once, and the tasks know
/// their new number. Method: two practices that move, one that stays, and offsets as of a worker that has run.
fn what_is_remembered_moves_along_when_partitions_are_added(person: &Person<'_>) {
    let home = |practice: &str, count| partition_of(practice.as_bytes(), count);
    let practices: Vec<String> = (0..40).map(|number| format!("practice-{number}")).collect();
    let moves = practices.iter().filter(|practice| home(practice, 6) != home(practice, 12)).take(2);
    let stays = practices.iter().find(|practice| home(practice, 6) == home(practice, 12));
    let three: Vec<&String> = moves.chain(stays).collect();
    let producer: ThreadedProducer<DefaultProducerContext> = person.kafka().create().expect("a producer");
    for practice in &three {
        let key = format!("{practice}/b-1");
        let record =
            BaseRecord::to("appointments.state").key(&key).payload("as it is").partition(home(practice, 6));
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(LIMIT).expect("delivered");
    let member: BaseConsumer =
        person.kafka().set("group.id", "healthflow-sync").create().expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    for topic in ["appointments.requested", "appointments.retry"] {
        for partition in 0..6 {
            offsets.add_partition_offset(topic, partition, Offset::Offset(0)).expect("an offset");
        }
    }
    member.commit(&offsets, CommitMode::Sync).expect("committed");

    let lines = person.sees(&["repartition", "--partitions", "12"]);
    assert!(lines.contains(&"appointments.requested: 6 partitions, now 12".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("2 records of state moved; start the workers"));
    let state = state_of(person, 12);
    let there: Vec<_> =
        state.iter().filter(|(_, key, is_there)| *is_there && !key.starts_with('/')).collect();
    assert_eq!(there.len(), 3, "{state:?}");
    for (partition, key, _) in there {
        assert_eq!(*partition, home(key.trim_end_matches("/b-1"), 12), "{key}");
    }
    let tasks = state.iter().filter(|(_, key, is_there)| *is_there && key == "/").count();
    assert_eq!(tasks, 12, "every task knows how many there are");
    let again = person.sees(&["repartition"]);
    assert_eq!(again.last().map(String::as_str), Some("0 records of state moved; start the workers"));
    let fleet = state.iter().filter(|(partition, key, _)| *partition == 0 && key == "/fleet").count();
    assert_eq!(fleet, 1, "whose state it is stays where workers look for it");
    assert!(person.is_refused(&["repartition", "--partitions", "6"])[0].contains("Kafka cannot make them 6"));
}

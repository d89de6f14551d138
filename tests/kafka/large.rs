//! Records that are small on the wire and too large to be written again: a broker limits what a producer compressed,
//! our own producer what it writes. Each is one dead letter, and its partition goes on.

use healthflow_core::event::avro::{Decoder, Encoder, contract};
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::event::home_partition::partition_of;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::topics::{FAILED, REQUESTED};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use crate::rig::{PARTITIONS, Rig};
use crate::world::{LIMIT, read_all, world};
use healthflow_testkit::wait::wait_for;

/// What the finder used: more than the producer's 4 MiB with what comes on top, a few hundred bytes under zstd.
const NOTE_BYTES: usize = 4_194_000;

/// Publishes a record compressed, to a partition that the publisher chose.
pub fn publish_compressed(rig: &Rig, partition: i32, key: &[u8], value: &[u8]) {
    let producer: ThreadedProducer<DefaultProducerContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", rig.kafka().brokers)
        .set("compression.type", "zstd")
        .set("message.max.bytes", "50000000")
        .create()
        .unwrap();
    producer.send(BaseRecord::to(REQUESTED).partition(partition).key(key).payload(value)).unwrap();
    producer.flush(LIMIT).unwrap();
    assert_eq!(producer.in_flight_count(), 0, "the broker took it");
}

fn encoded(rig: &Rig, event: &AppointmentRequested) -> Vec<u8> {
    let contract = contract(REQUESTED).unwrap();
    let id = world().runtime.block_on(rig.connection().registry.register(contract)).unwrap();
    let mut value = Vec::new();
    Encoder::new(contract, id).encode(event, &mut value).unwrap();
    value
}

fn letters(rig: &Rig, practice: &str) -> Vec<AppointmentFailed> {
    let partitions: Vec<(&str, i32)> = (0..PARTITIONS).map(|partition| (FAILED, partition)).collect();
    let decoder = Decoder::own(contract(FAILED).unwrap());
    let found = read_all(&rig.kafka().brokers, &partitions, "read_committed");
    let letters = found.iter().map(|(_, value)| decoder.decode::<AppointmentFailed>(value).unwrap());
    letters.filter(|letter| letter.raw_key.as_deref() == Some(practice.as_bytes())).collect()
}

/// A booking of a newer schema, 12 kB that unfold to three thousand million nulls.
fn unfolding(rig: &Rig, event: &AppointmentRequested) -> Vec<u8> {
    let nulls = json!({"type": "array", "items": {"type": "array", "items": "null"}});
    let mut schema: Value = serde_json::from_str(contract(REQUESTED).unwrap().json).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": "padding", "type": nulls, "default": []}));
    let id = registered(rig, &schema.to_string());
    let padding = [&[0xf0, 0x2e][..], &[0x80, 0x89, 0x7a, 0].repeat(3_000), &[0]].concat();
    [&[0][..], &id.to_be_bytes(), &encoded(rig, event)[5..], &padding].concat()
}

fn registered(rig: &Rig, schema: &str) -> u32 {
    let url = rig.settings.iter().find_map(|setting| setting.strip_prefix("schema_registry.url=")).unwrap();
    let url = format!("{url}/subjects/{REQUESTED}-value/versions");
    let body = json!({"schema": schema}).to_string();
    let answer = world().runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request =
            client.post(url).header("content-type", "application/vnd.schemaregistry.v1+json").body(body);
        request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap()
    });
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    u32::try_from(answer["id"].as_u64().unwrap()).unwrap()
}

/// Goal: a booking with a note of 4.19 MB in one letter, one like it in a wrong partition, one that is no Avro, and 12
/// kB that unfold to gigabytes cost no other booking anything. Method: they come between ordinary bookings of two
/// partitions; no transaction is aborted for them, and each has one dead letter.
#[test]
fn what_is_too_large_or_unfolds_is_a_dead_letter_and_its_partition_goes_on() {
    let mut rig = Rig::open("too-large", &[("healthflow.duplicate_guard", "idempotency_key")]);
    let (practice, neighbour) = (rig.practice(0), rig.practice(1));
    let mut large = rig.event(&practice, "b-large", 1);
    large.visit.note = Some("n".repeat(NOTE_BYTES).into());
    let misrouted = AppointmentRequested { booking_id: "b-stray".into(), ..large.clone() };
    let key = practice.as_bytes();
    assert_eq!(partition_of(key, PARTITIONS.cast_unsigned()), 0);

    rig.publish(&[rig.event(&practice, "b-1", 1), rig.event(&neighbour, "b-1", 1)]);
    publish_compressed(&rig, 0, key, &encoded(&rig, &large));
    publish_compressed(&rig, 0, key, &vec![b'x'; NOTE_BYTES]);
    publish_compressed(&rig, 1, key, &encoded(&rig, &misrouted));
    publish_compressed(&rig, 0, key, &unfolding(&rig, &rig.event(&practice, "b-unfolds", 1)));
    rig.publish(&[rig.event(&practice, "b-2", 1), rig.event(&neighbour, "b-2", 1)]);
    rig.start_workers();
    let confirmed = || (rig.results().len() == 5).then_some(());
    wait_for(LIMIT, confirmed).unwrap_or_else(|| panic!("{:?}; {}", rig.results(), rig.log(0)));
    let letters = wait_for(LIMIT, || Some(letters(&rig, &practice)).filter(|letters| letters.len() == 4));
    let letters = letters.expect("each has its dead letter");

    assert_eq!(rig.counter(0, "healthflow_sync_transactions_aborted_total"), 0.0);
    let (large, unfolded): (Vec<_>, Vec<_>) =
        letters.iter().partition(|letter| letter.result.reason.as_deref() == Some("TOO_LARGE"));
    assert_eq!(unfolded.len(), 1);
    assert_eq!(unfolded[0].result.reason.as_deref(), Some("UNDECODABLE"));
    assert!(unfolded[0].detail.contains("unfolds to more than 200000 values"), "{}", unfolded[0].detail);
    for letter in large {
        assert!(letter.detail.contains(" bytes"), "{}", letter.detail);
        assert!(letter.raw_value.as_ref().is_some_and(|value| value.len() < 100_000));
    }
    let named: Vec<_> = letters.iter().filter_map(|letter| letter.result.booking_id.as_ref()).collect();
    assert_eq!(named.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["b-large"]);
    let closed = rig.close_after(5);
    let count = |wanted| closed.results.iter().filter(|result| result.outcome == wanted).count();
    assert_eq!((count(ResultOutcome::Created), count(ResultOutcome::Failed)), (4, 1));
}

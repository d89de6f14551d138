//! Reading: in order, from where the task says, only while it wants to, and only for the life that asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use healthflow_core::event::avro::{Encoder, contract};
use healthflow_core::event::home_partition::partition_of;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::{Arrival, avro};
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::Input;
use healthflow_core::sync::FailureReason;
use healthflow_core::topics::{self, Lane};
use healthflow_sync::kafka::Lanes;
use healthflow_sync::registry::{RegistrySettings, RetryPolicy, SchemaRegistry};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use crate::world::{Kept, LIMIT, PARTITIONS, requested, settings, world};
use healthflow_testkit::stack::Stack;

/// A practice whose records belong to this partition.
pub fn practice(partition: i32) -> String {
    let at_home = |name: &String| partition_of(name.as_bytes(), PARTITIONS.cast_unsigned()) == partition;
    (0..).map(|number| format!("practice-{number}")).find(at_home).unwrap()
}

pub fn publish(partition: i32, values: impl Iterator<Item = Vec<u8>>) {
    publish_for(&practice(partition), partition, values);
}

fn publish_for(practice: &str, partition: i32, values: impl Iterator<Item = Vec<u8>>) {
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world().brokers).create().unwrap();
    for value in values {
        producer
            .send(BaseRecord::to(topics::REQUESTED).partition(partition).key(practice).payload(&value))
            .unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

fn encoder() -> Encoder {
    let registry =
        SchemaRegistry::new(RegistrySettings::at(&Stack::shared().registry_url), RetryPolicy::default())
            .unwrap();
    let contract: &'static avro::Contract = contract(topics::REQUESTED).unwrap();
    let id = world().runtime.block_on(registry.register(contract)).unwrap();
    Encoder::new(contract, id)
}

pub fn encoded(encoder: &Encoder, partition: i32, booking: &str) -> Vec<u8> {
    let mut buffer = Vec::new();
    let event =
        AppointmentRequested { practice_id: practice(partition).as_str().into(), ..requested(booking, 1) };
    encoder.encode(&event, &mut buffer).unwrap();
    buffer
}

pub fn offsets(inputs: &[Input], life: u64) -> Vec<i64> {
    let of_life = |input: &Input| match input {
        Input::Arrived { offset, incarnation, .. } if *incarnation == life => Some(*offset),
        _ => None,
    };
    inputs.iter().filter_map(of_life).collect()
}

fn start(name: &str) -> (Lanes, Arc<Kept>) {
    let inbox = Arc::new(Kept::default());
    let lanes = Lanes::start(&settings(name), world().translator.clone(), inbox.clone(), world().now.clone())
        .unwrap();
    (lanes, inbox)
}

/// Goal: stopping and going on loses nothing, repeats nothing and keeps the order. Method: many pauses while 5,000
/// records flow.
#[test]
fn pauses_lose_nothing_and_repeat_nothing() {
    let partition = 7;
    let encoder = encoder();
    publish(partition, (0..5_000).map(|number| encoded(&encoder, partition, &format!("b-{number}"))));
    let (lanes, inbox) = start("pauses");
    lanes.read(partition, 1, vec![Lane::Requested.at(100), Lane::Retry.at(0)]);
    let (mut seen, until) = (0, Instant::now() + LIMIT);
    while seen < 4_900 {
        lanes.pause(partition, Lane::Requested);
        lanes.resume(partition, Lane::Requested);
        assert!(Instant::now() < until, "{seen} records seen");
        let before = seen;
        seen = inbox.wait("records", |inputs| {
            let now = offsets(inputs, 1).len();
            (now > before).then_some(now)
        });
    }
    inbox.wait("all", |inputs| {
        assert_eq!(offsets(inputs, 1), (100..5_000).collect::<Vec<i64>>());
        let decoded = |input: &Input| matches!(input, Input::Arrived { arrival: Arrival::Requested(_), .. });
        assert!(inputs.iter().all(decoded));
        Some(())
    });
}

/// Goal: a paused lane brings nothing while another one flows, and a new life begins where it says.
#[test]
fn a_paused_lane_is_silent_and_a_new_life_begins_anew() {
    let (paused, flowing) = (8, 9);
    let encoder = encoder();
    let (lanes, inbox) = start("paused");
    lanes.read(paused, 1, vec![Lane::Requested.at(0)]);
    lanes.pause(paused, Lane::Requested);
    lanes.read(flowing, 2, vec![Lane::Requested.at(0)]);
    for partition in [paused, flowing] {
        publish(partition, (0..10).map(|number| encoded(&encoder, partition, &format!("b-{number}"))));
    }
    inbox.wait("the flowing lane", |inputs| (offsets(inputs, 2).len() == 10).then_some(()));
    inbox.wait("nothing", |inputs| {
        assert_eq!(offsets(inputs, 1), Vec::<i64>::new());
        Some(())
    });
    lanes.stop(flowing);
    lanes.read(flowing, 3, vec![Lane::Requested.at(4)]);
    lanes.resume(paused, Lane::Requested);
    inbox.wait("both", |inputs| {
        let (first, third) = (offsets(inputs, 1), offsets(inputs, 3));
        (first == (0..10).collect::<Vec<_>>() && third == (4..10).collect::<Vec<_>>()).then_some(())
    });
}

/// Goal: a lane that was paused when the previous life ended is read by the next one. Method: a life that pauses its
/// lane ends, and the next one of the same process reads it. librdkafka remembers the pause of a partition that is not
/// assigned any more.
#[test]
fn a_lane_that_was_paused_by_the_life_before_is_read_by_the_next() {
    let partition = 47;
    let encoder = encoder();
    publish(partition, (0..10).map(|number| encoded(&encoder, partition, &format!("b-{number}"))));
    let (lanes, inbox) = start("paused-before");
    lanes.read(partition, 1, vec![Lane::Requested.at(0)]);
    inbox.wait("the first life", |inputs| (offsets(inputs, 1).len() == 10).then_some(()));
    lanes.pause(partition, Lane::Requested);
    lanes.stop(partition);
    lanes.read(partition, 2, vec![Lane::Requested.at(4)]);
    inbox.wait("the second life", |inputs| (offsets(inputs, 2) == (4..10).collect::<Vec<_>>()).then_some(()));
}

/// Goal: an unknown schema delays only the record that has it, which is reported at once, so that the committable offset
/// waits, and ends as one that cannot be used.
#[test]
fn an_unknown_schema_delays_only_its_record_and_the_committable_offset_waits() {
    let (strange, usual) = (10, 11);
    let encoder = encoder();
    let (lanes, inbox) = start("strange");
    publish(strange, [vec![0, 0x7f, 0, 0, 1, 2, 3], encoded(&encoder, strange, "behind")].into_iter());
    publish(usual, [encoded(&encoder, usual, "beside")].into_iter());
    lanes.read(strange, 1, vec![Lane::Requested.at(0)]);
    lanes.read(usual, 2, vec![Lane::Requested.at(0)]);
    let arrived = inbox.wait("all four", |inputs| (inputs.len() == 4).then(|| std::mem::take(inputs)));
    let reported: Vec<(u64, i64, &str)> = arrived
        .iter()
        .map(|input| match input {
            Input::Delayed { incarnation, offset, .. } => (*incarnation, *offset, "delayed"),
            Input::Arrived { incarnation, offset, arrival: Arrival::Unusable(_), .. } => {
                (*incarnation, *offset, "unusable")
            }
            Input::Arrived { incarnation, offset, .. } => (*incarnation, *offset, "arrived"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reported.last(), Some(&(1, 0, "unusable")), "{reported:?}");
    for early in [(1, 0, "delayed"), (1, 1, "arrived"), (2, 0, "arrived")] {
        assert!(reported[..3].contains(&early), "{reported:?}");
    }
}

/// Goal: a record in another partition than that of its key is reported with its bytes, for its task to forward; its
/// neighbours are read as ever.
#[test]
fn a_misrouted_record_is_seen_and_its_neighbours_are_read() {
    let (here, elsewhere) = (34, 35);
    let encoder = encoder();
    let (lanes, inbox) = start("misrouted");
    let stray = encoded(&encoder, elsewhere, "stray");
    publish_for(&practice(elsewhere), here, [stray.clone()].into_iter());
    publish(here, [encoded(&encoder, here, "neighbour")].into_iter());
    lanes.read(here, 1, vec![Lane::Requested.at(0)]);
    let arrived = inbox.wait("both", |inputs| (inputs.len() == 2).then(|| std::mem::take(inputs)));
    let Input::Arrived { arrival: Arrival::Misrouted(misrouted), .. } = &arrived[0] else {
        panic!("{:?}", arrived[0])
    };
    assert_eq!(
        (misrouted.home, &misrouted.key, &misrouted.value),
        (elsewhere, &practice(elsewhere).into_bytes(), &stray)
    );
    assert!(matches!(&arrived[1], Input::Arrived { arrival: Arrival::Requested(_), .. }), "{:?}", arrived[1]);
}

/// Goal: after an unclean end nothing is decoded before it is said, in whatever order that is, and what is buried is
/// not decoded at all (K6). Method: the first five of eight records are read with care; what lies behind them waits
/// too.
#[test]
fn what_is_read_with_care_is_decoded_when_it_is_said_and_dead_lettered_undecoded() {
    let partition = 36;
    let encoder = encoder();
    publish(partition, (0..8).map(|number| encoded(&encoder, partition, &format!("b-{number}"))));
    let (lanes, inbox) = start("with-care");
    lanes.read_with_care(partition, 1, vec![Lane::Requested.at(0)], vec![Lane::Requested.at(5)]);
    let held = |inputs: &mut Vec<Input>| {
        inputs.iter().filter(|input| matches!(input, Input::Guarded { .. })).count()
    };
    inbox.wait("all are held", |inputs| (held(inputs) == 8).then_some(()));
    inbox.wait("nothing is decoded", |inputs| offsets(inputs, 1).is_empty().then_some(()));
    let release =
        |from, to, dead_lettered_after| GuardedRange { lane: Lane::Requested, from, to, dead_lettered_after };
    lanes.release(partition, release(0, 2, None));
    inbox.wait("three are decoded", |inputs| (offsets(inputs, 1) == [0, 1, 2]).then_some(()));
    lanes.release(partition, release(3, 3, Some(3)));
    lanes.release(partition, release(4, 7, None));
    inbox.wait("all", |inputs| (offsets(inputs, 1) == (0..8).collect::<Vec<i64>>()).then_some(()));
    let buried = inbox.wait("one is buried", |inputs| {
        inputs.iter().find_map(|input| match input {
            Input::Arrived { offset: 3, arrival: Arrival::Unusable(unusable), .. } => Some(unusable.clone()),
            _ => None,
        })
    });
    assert_eq!((buried.reason, buried.identity), (FailureReason::CrashSuspect, None));
    assert!(buried.raw_value.is_some_and(|value| !value.is_empty()), "with its bytes");
    // What comes later is read as ever.
    publish(partition, [encoded(&encoder, partition, "b-8")].into_iter());
    inbox.wait("the newest", |inputs| (offsets(inputs, 1).last() == Some(&8)).then_some(()));
}

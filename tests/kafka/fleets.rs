//! Facts of a whole fleet: for how many partitions its state is laid out (rule K8) and whose it is (rule K12). Each
//! test has a Kafka of its own, because it changes the topics.

use std::io::{Error, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use healthflow_core::appointment::Placement;
use healthflow_core::booking::{BookingKey, BookingStatus};
use healthflow_core::event::Outgoing;
use healthflow_core::event::home_partition::partition_of;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::processor::Input;
use healthflow_core::state::{BookingState, StateRecord, VersionSet};
use healthflow_core::status::TaskPhase;
use healthflow_core::time::Timestamp;
use healthflow_core::topics;
use healthflow_sync::cli::output::{Format, Printer};
use healthflow_sync::cli::{repartition, takeover};
use healthflow_sync::kafka::{Fleet, KafkaSettings, NotEntered, TaskSpawner, restore};
use healthflow_sync::kafka_admin::repartition::check_no_worker_runs;
use healthflow_sync::registry::Translator;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::rig::{PARTITIONS, Rig};
use crate::world::{Kept, LIMIT, Member, settings, watchdog, world};
use healthflow_testkit::wait::wait_for;

const BOOKINGS: usize = 40;
/// As the commands' clock has it.
const NOW: Timestamp = Timestamp(1_767_614_400_000);
const GROWN: i32 = PARTITIONS + 2;

/// The same version of forty bookings, each of a practice of its own.
fn forty(rig: &Rig, name: &str, version: i64) -> Vec<AppointmentRequested> {
    (0..BOOKINGS).map(|number| rig.event(&format!("{name}-{number}"), "b-1", version)).collect()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("waited in vain for {what}"));
}

/// Adds partitions as Kafka's own tools do.
fn grow(rig: &Rig, topics: &[&str], count: i32) {
    let admin: AdminClient<DefaultClientContext> = rig.kafka().client().create().unwrap();
    let count = usize::try_from(count).unwrap();
    let new: Vec<_> = topics.iter().map(|topic| NewPartitions::new(topic, count)).collect();
    let grown = world().runtime.block_on(admin.create_partitions(&new, &AdminOptions::new())).unwrap();
    assert!(grown.iter().all(Result::is_ok), "{grown:?}");
}

/// An output that interrupts its command at a line.
struct BreaksAt {
    line: usize,
    written: Vec<u8>,
}

impl BreaksAt {
    /// Whether the command was interrupted before it had done everything, which its last line reports.
    fn broke(&self, error: Option<anyhow::Error>) -> bool {
        if let Some(error) = error {
            assert!(format!("{error:#}").contains("broken off"), "at line {}: {error:#}", self.line);
        }
        let last = ["start the workers", "start its workers"];
        let written = String::from_utf8_lossy(&self.written);
        !last.iter().any(|line| written.contains(line))
    }
}

impl Write for BreaksAt {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.written.extend_from_slice(bytes);
        let lines = self.written.iter().filter(|byte| **byte == b'\n').count();
        if lines < self.line { Ok(bytes.len()) } else { Err(Error::other("broken off")) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Runs `repartition` and interrupts it at its line `line`; false if it had done everything by then.
fn repartition_breaks_at(rig: &Rig, partitions: Option<i32>, line: usize, said: &mut String) -> bool {
    let mut out = BreaksAt { line, written: Vec::new() };
    let (arguments, connection) = (repartition::Arguments { partitions }, rig.connection());
    let mut printer = Printer::new(&mut out, Format::Text);
    let run = repartition::run(&connection, rig.kafka(), arguments, NOW, &mut printer);
    let ended = world().runtime.block_on(run);
    said.push_str(&String::from_utf8_lossy(&out.written));
    out.broke(ended.err())
}

/// The same of `takeover`, from the rig's fleet to another one.
fn takeover_breaks_at(rig: &Rig, to: &KafkaSettings, line: usize) -> bool {
    let mut out = BreaksAt { line, written: Vec::new() };
    let (from, connection) = (rig.kafka(), rig.connection());
    let arguments = takeover::Arguments { from_application: from.application, from_group: from.group_id };
    let mut printer = Printer::new(&mut out, Format::Text);
    let run = takeover::run(&connection, to.clone(), &arguments, NOW, &mut printer);
    let ended = world().runtime.block_on(run);
    out.broke(ended.err())
}

/// Workers that come back with each of these settings: none may enter, and none of their tasks goes
/// live.
fn no_task_goes_live(translator: &Arc<Translator>, outsider: &Member, workers: &[KafkaSettings]) {
    for kafka in workers {
        let entered = Fleet::new(kafka.owner()).enter(kafka, translator, Timestamp(0));
        assert!(matches!(entered, Err(NotEntered::Refused(_))), "{entered:?}");
        let (inbox, fleet) = (Arc::new(Kept::default()), Fleet::new(kafka.owner()));
        let (membership, now) = (outsider.group.membership(), world().now.clone());
        let spawner = TaskSpawner::new(
            kafka.clone(),
            fleet,
            translator.clone(),
            membership,
            inbox.clone(),
            watchdog(),
            now,
        )
        .unwrap();
        let last = kafka.partition_count.cast_signed() - 1;
        let tasks = [0, last].map(|partition| spawner.acquire(partition, 1, Timestamp(0)).unwrap());
        inbox.wait("both to be refused", |inputs| {
            let live = inputs.iter().any(|input| matches!(input, Input::TaskAcquired { .. }));
            assert!(!live, "a task went live");
            let failed = inputs.iter().filter(|input| matches!(input, Input::AcquireFailed { .. })).count();
            (failed == tasks.len()).then_some(())
        });
    }
}

/// Workers of the rig's fleet that count so many partitions.
fn counting(rig: &Rig, counts: [i32; 2]) -> [KafkaSettings; 2] {
    counts.map(|count| KafkaSettings { partition_count: count.cast_unsigned(), ..rig.kafka() })
}

/// A booking of which a task without state wrote version 2 again, as it was before the fleet was on record; and where
/// it is at home.
fn known_twice(rig: &Rig, translator: &Translator) -> (BookingKey, i32) {
    let homes = |name: &str| [PARTITIONS, GROWN].map(|count| partition_of(name.as_bytes(), count as u32));
    let moves = |name: &String| homes(name)[1] >= PARTITIONS;
    let practice = (0..).map(|number| format!("twice-{number}")).find(moves).unwrap();
    let key = BookingKey { practice: practice.as_str().into(), booking: "b-1".into() };
    let producer: ThreadedProducer<DefaultProducerContext> = rig.kafka().client().create().unwrap();
    for (partition, version) in homes(&practice).into_iter().zip(1..) {
        let placement = Placement {
            appointment_id: format!("hf-{version}").as_str().into(),
            patient_id: "hf-p".into(),
            patient: None,
            incarnation: 0,
            version: Some(version),
            status: BookingStatus::Scheduled,
            fingerprint: None,
            revision: None,
            spans: Vec::new(),
        };
        let state = BookingState {
            placement: Some(placement),
            answered: VersionSet::new(0, vec![version]),
            newest: version,
            ..BookingState::default()
        };
        let (mut buffer, record) = (Vec::new(), StateRecord::Booking(key.clone(), state));
        let encoded = translator.encode(&Outgoing::State(Box::new(record)), &mut buffer).unwrap();
        let (key, value) = (encoded.key.unwrap(), encoded.value.unwrap());
        producer.send(BaseRecord::to(encoded.topic).partition(partition).key(&key).payload(value)).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    (key, homes(&practice)[1])
}

/// Goal: partitions added with Kafka's own tools duplicate nothing: not while workers run, not when they are
/// started again, and not when `repartition` is broken off at any step with workers coming back in between; and nothing
/// is forgotten. Method: version 1 of 40 bookings exists; 6 partitions become 8; version 2 is published where the
/// partitioner now puts it.
#[test]
fn partitions_grown_by_other_means_double_nothing_until_repartition_is_through() {
    let mut rig = Rig::open_with_own_kafka("grown", &[("healthflow.duplicate_guard", "idempotency_key")]);
    // A HealthFlow that does not protect itself: who creates again, doubles.
    rig.set_faults(&serde_json::json!({"honours_idempotency_keys": false}));
    let properties = rig.file("quick.properties", "topic.metadata.refresh.interval.ms=500\n");
    rig.start_workers_with(&[("kafka.properties_file", &properties)]);
    rig.wait_live(0, PARTITIONS as usize);
    rig.publish(&forty(&rig, "grown", 1));
    wait_until("version 1", || rig.results().len() == BOOKINGS);

    // While a worker runs: its tasks go on, the new ones wait, and it says so once.
    grow(&rig, &topics::of_tasks().collect::<Vec<_>>(), GROWN);
    rig.partitions = GROWN;
    wait_until("the new tasks to wait", || {
        rig.in_phase(0, TaskPhase::Acquiring) == (GROWN - PARTITIONS) as usize
    });
    assert_eq!(rig.live(0), PARTITIONS as usize);
    rig.publish(&forty(&rig, "grown", 2));
    let reported =
        |log: &str| log.matches("partitions were added to appointments.requested beside the 6").count();
    wait_until("a word about it", || reported(&rig.log(0)) > 0);
    rig.workers.clear();

    // Started again, it refuses by one line that names the remedy.
    rig.start_workers();
    let why = rig.wait_refused(0);
    assert!(why.contains("laid out for 6 partitions, and appointments.requested has 8"), "{why}");
    assert!(why.contains("run `healthflow-sync repartition`"), "{why}");
    assert_eq!(reported(&rig.log(0)), 1, "it is reported once, not every few seconds");
    rig.workers.clear();

    let outsider = Member::join(&settings("outsider"));
    let translator = rig.translator();
    wait_until("no members", || check_no_worker_runs(&rig.kafka()).is_ok());
    let (twice, home) = known_twice(&rig, &translator);
    let (mut steps, mut said) = (0, String::new());
    while repartition_breaks_at(&rig, None, steps + 1, &mut said) {
        steps += 1;
        no_task_goes_live(&translator, &outsider, &counting(&rig, [PARTITIONS, GROWN]));
    }
    assert!(steps >= GROWN as usize, "broken off at {steps} steps only");

    assert!(said.contains("appointment hf-1 is left over in HealthFlow"), "{said}");
    let restored = restore(&rig.kafka(), home, &translator, &AtomicBool::new(false), NOW).unwrap().state;
    let joined = restored.bookings.get(&twice).expect("it is at home").into_owned();
    assert_eq!(joined.placed_ids().appointment_id.as_deref(), Some("hf-2"));
    assert!(joined.answered.contains(1) && joined.answered.contains(2));

    // The same with topics that the command itself grows, broken off before and after that.
    for step in [1, 2] {
        assert!(repartition_breaks_at(&rig, Some(GROWN + 1), step, &mut said));
        no_task_goes_live(&translator, &outsider, &counting(&rig, [GROWN, GROWN + 1]));
    }
    assert!(!repartition_breaks_at(&rig, Some(GROWN + 1), usize::MAX, &mut said));
    rig.partitions = GROWN + 1;
    rig.start_workers();
    rig.wait_live(0, rig.partitions as usize);
    let closed = rig.close_after(2 * BOOKINGS);
    assert_eq!((closed.appointments.len(), closed.carried_out("create_appointment")), (BOOKINGS, BOOKINGS));
}

/// Goal: a second fleet on the same topics doubles nothing, and gets the state only on purpose; then nothing of the old
/// one, a zombie that wakes included, writes any more. Method: a careful copy of the configuration, and each half of it
/// alone; a worker that is stopped in its tracks while its fleet's state is handed over, broken off at every step.
#[test]
fn another_fleet_is_refused_by_name_until_the_state_is_handed_over() {
    let mut rig = Rig::open_with_own_kafka("staging", &[("healthflow.duplicate_guard", "idempotency_key")]);
    rig.set_faults(&serde_json::json!({"honours_idempotency_keys": false}));
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    rig.publish(&forty(&rig, "staging", 1));
    wait_until("version 1", || rig.results().len() == BOOKINGS);

    let (application, group) = (("kafka.application", "copy"), ("kafka.group_id", "copy"));
    for settings in [&[application, group][..], &[application], &[group]] {
        rig.start_workers_with(settings);
        let why = rig.wait_refused(1);
        let name = |which: (&str, &str)| if settings.contains(&which) { "copy" } else { "healthflow-sync" };
        let (its, copy) =
            ("application healthflow-sync, group healthflow-sync", (name(application), name(group)));
        assert!(why.contains(&format!("the state of these topics belongs to {its} (since ")), "{why}");
        assert!(why.contains(&format!("this is application {}, group {};", copy.0, copy.1)), "{why}");
        assert!(
            why.contains("`healthflow-sync takeover --from-application healthflow-sync --from-group"),
            "{why}"
        );
        rig.workers.truncate(1);
    }
    let copy = KafkaSettings { application: "copy".into(), group_id: "copy".into(), ..rig.kafka() };
    let takeover = ["takeover", "--from-application", "healthflow-sync", "--from-group", "healthflow-sync"];
    let refused = rig.operate_in_vain(&[&takeover[..], &["--set", "kafka.application=copy"]].concat());
    assert!(refused.contains("group healthflow-sync has 1 members; stop every worker"), "{refused}");

    rig.freeze(0);
    rig.publish(&forty(&rig, "staging", 2));
    wait_until("no members", || check_no_worker_runs(&rig.kafka()).is_ok());
    let (translator, outsider, mut steps) = (rig.translator(), Member::join(&settings("outsider-too")), 0);
    while takeover_breaks_at(&rig, &copy, steps + 1) {
        steps += 1;
        no_task_goes_live(&translator, &outsider, &[rig.kafka(), copy.clone()]);
    }
    assert_eq!(steps, 3, "one for each line but the last");
    rig.start_workers_with(&[application, group]);
    rig.wait_live(1, PARTITIONS as usize);
    rig.thaw(0);
    let why = rig.wait_refused(0);
    assert!(why.contains("belongs to application copy, group copy"), "{why}");
    let closed = rig.close_after(2 * BOOKINGS);
    assert_eq!((closed.appointments.len(), closed.carried_out("create_appointment")), (BOOKINGS, BOOKINGS));
}

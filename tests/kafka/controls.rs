//! What operators set by hand: how it is written, that no older word is the last, and that workers obey.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use healthflow_core::booking::PracticeId;
use healthflow_core::event::{Control, ControlId, ControlKind};
use healthflow_core::limits::Controls;
use healthflow_core::limits::controls::{Change, Signed};
use healthflow_core::time::Timestamp;
use healthflow_sync::kafka::{CONTROLS_TRANSACTIONAL_ID, ControlsLog, ControlsWatch, KafkaSettings};
use healthflow_sync::kafka_admin::controls;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::rig::{PARTITIONS, Rig};
use crate::world::{Kept, LIMIT, world};
use healthflow_core::event::result::ResultOutcome;
use healthflow_core::processor::Input;
use healthflow_core::status::Status;
use healthflow_core::topics::Lane;
use healthflow_testkit::wait::wait_for;

fn settings() -> KafkaSettings {
    KafkaSettings { brokers: world().brokers.clone(), ..KafkaSettings::default() }
}

/// All writers share one transactional id, so the tests write one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(practice: &str, change: Change) -> Option<Control> {
    let signed = Signed { by: "ops-2".into(), why: "a test".into(), at: Timestamp(1_767_600_000_000) };
    let practice = Some(PracticeId::from(practice));
    controls::change(&settings(), &world().translator, practice, change, signed).unwrap()
}

/// Goal: of two writers at once the one that read first writes nothing, so that no older setting is the last; and what hangs
/// in an open transaction is neither obeyed nor in the way. Method: a writer that has begun its transaction when another one
/// comes.
#[test]
fn a_writer_that_was_overtaken_writes_nothing() {
    let (_alone, practice) = (alone(), "overtaken/1");
    assert_eq!(set(practice, Change::Resume), None, "nothing is set");
    let first = set(practice, Change::Pause).expect("a record");
    let mut config = settings().client();
    config.set("transactional.id", CONTROLS_TRANSACTIONAL_ID);
    let slow: BaseProducer = config.create().unwrap();
    slow.init_transactions(LIMIT).unwrap();
    slow.begin_transaction().unwrap();
    let mut buffer = Vec::new();
    let older = Control { version: 2, ..first.clone() };
    let encoded = world().translator.encode_control(&older, &mut buffer).unwrap();
    let (key, value) = (encoded.key.unwrap(), encoded.value.unwrap());
    slow.send(BaseRecord::to(encoded.topic).partition(0).key(&key).payload(value))
        .map_err(|(error, _)| error)
        .unwrap();
    slow.flush(LIMIT).unwrap();

    let second = set(practice, Change::Resume).expect("a record");
    assert!(slow.commit_transaction(LIMIT).is_err(), "it was fenced");
    assert_eq!((first.version, second.version, second.setting), (1, 2, None));
    let read = controls::read(&settings(), &world().translator).unwrap();
    assert_eq!(read.newest(&second.id), Some(&second));
    assert!(read.in_force().all(|control| control.id != second.id));
}

/// Goal: a worker learns of each change, also of one that it was away for. Method: a log that is read to its end, then
/// followed.
#[test]
fn what_is_set_is_read_to_the_end_and_then_followed() {
    let _alone = alone();
    let (practice, inbox) = ("followed", Arc::new(Kept::default()));
    set(practice, Change::Pause);
    let mut log = ControlsLog::new(&settings(), world().translator.clone()).unwrap();
    log.read(&AtomicBool::new(false)).unwrap();
    let id = |kind| ControlId { kind, practice: Some(practice.into()) };
    assert!(log.controls().is_practice_paused(&practice.into()));
    let watch = ControlsWatch::start(log, inbox.clone(), world().now.clone()).unwrap();
    let limit = Change::SetLimit { per_second: Some(2.5), weight: Some(3) };
    let limited = set(practice, limit).expect("a record");
    let wait = |what: &str, is_so: &dyn Fn(&Controls) -> bool| {
        inbox.wait(what, |inputs| {
            let newest = |input: &Input| matches!(input, Input::ControlsRead { controls } if is_so(controls));
            inputs.iter().any(newest).then_some(())
        });
    };
    wait("a limit", &|controls| controls.newest(&id(ControlKind::Limit)) == Some(&limited));
    set(practice, Change::Resume);
    wait("the end of the pause", &|controls| !controls.is_practice_paused(&practice.into()));
    drop(watch);
}

/// A worker as its status page shows it.
fn status(rig: &Rig, worker: usize) -> Status {
    let page = world().runtime.block_on(rig.workers[worker].status());
    page.map(|page| page.status).unwrap_or_default()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("waited in vain for {what}"));
}

/// Records of DentScheduler's that these workers have read and not answered or parked.
fn in_memory(rig: &Rig, workers: &[usize]) -> usize {
    let lanes = workers.iter().flat_map(|worker| status(rig, *worker).tasks).flat_map(|task| task.lanes);
    lanes.filter(|lane| lane.lane == Lane::Requested).map(|lane| lane.read_ahead_records).sum()
}

/// Goal: what an operator pauses is sent by no worker, by one that starts later neither; a practice that is paused holds up
/// nobody; and once all is resumed everything is confirmed. Method: two workers, of which one dies during the pause.
#[test]
fn a_pause_is_obeyed_by_every_worker_and_across_a_restart() {
    let mut rig = Rig::open("paused", &[("healthflow.duplicate_guard", "idempotency_key")]);
    rig.start_workers();
    rig.start_workers();
    let all = PARTITIONS as usize;
    wait_until("both", || rig.live(0) > 0 && rig.live(1) > 0 && rig.live(0) + rig.live(1) == all);
    let signed = ["--by", "ops-2", "--why", "HealthFlow moves house"];
    let says = |words: &[&str]| rig.operate(&[words, &signed].concat());
    assert!(says(&["pause"]).starts_with("pause/account is set, version "));
    let is_paused = |worker: usize| {
        let controls = status(&rig, worker).controls;
        controls.iter().any(|one| one.kind == ControlKind::Pause && &*one.by == "ops-2")
    };
    wait_until("both to obey", || is_paused(0) && is_paused(1));
    let practices: Vec<String> = (0..PARTITIONS).map(|partition| rig.practice(partition)).collect();
    let events: Vec<_> = practices
        .iter()
        .flat_map(|practice| ["b-1", "b-2"].map(|booking| rig.event(practice, booking, 1)))
        .collect();
    rig.publish(&events);
    wait_until("every record in memory", || in_memory(&rig, &[0, 1]) == events.len());

    rig.workers[0].kill().unwrap();
    rig.start_workers();
    wait_until("the other ones", || rig.live(2) > 0 && rig.live(1) + rig.live(2) == all);
    wait_until("every record in memory", || in_memory(&rig, &[1, 2]) == events.len());
    assert!(rig.existing("patients").is_empty() && rig.results().is_empty());
    assert!(rig.log(2).contains("paused by hand"), "it says so at its start: {}", rig.log(2));

    let says = |words: &[&str]| rig.operate(&[words, &signed].concat());
    says(&["pause", "--practice", &practices[0]]);
    says(&["resume"]);
    let results_of = |practice: &str| {
        let results = rig.results();
        results
            .iter()
            .filter(|one| one.practice_id.as_ref().is_some_and(|id| id.as_str() == practice))
            .count()
    };
    wait_until("the other practices", || rig.results().len() == events.len() - 2);
    assert_eq!(results_of(&practices[0]), 0);
    let listed = rig.operate(&["limit", "list"]);
    let line = format!("pause/practice/{}: nothing is sent; by ops-2 at ", practices[0]);
    assert!(listed.lines().count() == 1 && listed.starts_with(&line), "{listed}");
    says(&["resume", "--practice", &practices[0]]);
    let refused = rig.operate_in_vain(&[&["resume"][..], &signed].concat());
    assert!(refused.contains("there is nothing to take back"), "{refused}");
    let closed = rig.close_after(events.len());
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
}

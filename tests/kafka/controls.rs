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

use crate::world::{Kept, LIMIT, world};
use healthflow_core::processor::Input;

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

//! Reads `healthflow.controls`: what operators set by hand. A start reads it to its end before there is a processor, so that
//! no call goes out that somebody had stopped; then a thread reads on. What cannot be read changes nothing: the worker obeys
//! what it read last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::Message;

use crate::kafka::Now;
use crate::kafka::fault::{Flaw, KafkaFault, RecordName};
use crate::kafka::recent_lines::RecentLines;
use crate::kafka::restore::{LogBounds, Readers, try_decode};
use crate::kafka::settings::KafkaSettings;
use crate::registry::Translator;
use healthflow_core::event::control::ControlRecord;
use healthflow_core::event::key;
use healthflow_core::limits::Controls;
use healthflow_core::processor::{Inbox, Input};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::CONTROLS;

/// The transactional id of every writer, so that of two at once one is fenced. It is fixed, as the names of the topics are.
pub const CONTROLS_TRANSACTIONAL_ID: &str = "healthflow-sync.controls";

/// The topic has one.
const PARTITION: i32 = 0;
/// How long the thread sleeps between two looks at the end. All workers obey within 2 s: this, and the time to read.
const ROUND: Duration = Duration::from_millis(500);
/// How long a broker may take to say where the topic ends.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The topic, as far as it was read.
pub struct ControlsLog {
    readers: Readers,
    translator: Arc<Translator>,
    next: i64,
    controls: Controls,
}

/// A record of the topic.
struct Raw {
    offset: i64,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl ControlsLog {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn new(settings: &KafkaSettings, translator: Arc<Translator>) -> Result<Self, KafkaFault> {
        let readers = Readers::new(settings)?;
        Ok(ControlsLog { readers, translator, next: 0, controls: Controls::default() })
    }

    /// Reads on to the present end, which no open transaction hides; returns the controls as they are then.
    ///
    /// # Errors
    /// A broker or the registry does not answer, or `cancelled` became true: nothing has changed.
    pub fn read(&mut self, cancelled: &AtomicBool) -> Result<&Controls, KafkaFault> {
        let LogBounds { low, high } = self.readers.bounds_within(CONTROLS, PARTITION, ANSWER_LIMIT)?;
        if self.next > high {
            tracing::warn!("{CONTROLS} ends before what was read of it: it was recreated, and is read anew");
            (self.next, self.controls) = (0, Controls::default());
        }
        let mut unseen = Vec::new();
        let bounds = LogBounds { low: self.next.max(low), high };
        self.readers.each_record_between::<KafkaFault>(
            CONTROLS,
            PARTITION,
            bounds,
            cancelled,
            |message| {
                let key = message.key().unwrap_or_default().to_vec();
                unseen.push(Raw {
                    offset: message.offset(),
                    key,
                    value: message.payload().map(<[u8]>::to_vec),
                });
                Ok(())
            },
        )?;
        let mut controls = self.controls.clone();
        for raw in unseen {
            take(&mut controls, raw, &self.translator, cancelled)?;
        }
        (self.next, self.controls) = (high, controls);
        Ok(&self.controls)
    }

    /// The controls as they were read last.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }
}

/// Takes one record in. One that cannot be obeyed is said and passed over: what was set before it stays in force.
fn take(
    controls: &mut Controls,
    Raw { offset, key, value }: Raw,
    translator: &Translator,
    cancelled: &AtomicBool,
) -> Result<(), KafkaFault> {
    let at = RecordName { topic: CONTROLS, partition: PARTITION, offset };
    // Our commands write none; somebody who removes a key with Kafka's own tools means what that says.
    let Some(value) = value else {
        controls.forget(&key);
        return Ok(());
    };
    let read = try_decode(translator, cancelled, || translator.value::<ControlRecord>(CONTROLS, &value))?;
    let control = read.and_then(|record| {
        record.into_control().map_err(|broken| Flaw::Undecodable(broken.to_string())).and_then(|control| {
            if key::control(&control.id).as_bytes() == key { Ok(control) } else { Err(Flaw::ForeignKey) }
        })
    });
    match control {
        Err(flaw) => tracing::error!(
            "{at} {flaw} and is not obeyed; if a newer version wrote it, run that version here too, else set the control again"
        ),
        Ok(control) => {
            let known = controls.newest(&control.id) == Some(&control);
            let (id, version) = (key::control(&control.id), control.version);
            if !controls.take(control) && !known {
                tracing::error!(
                    "{at} is version {version} of {id}, which is not its newest, and is not obeyed; set it again"
                );
            }
        }
    }
    Ok(())
}

/// The thread that reads on. Dropping it ends the thread.
pub struct ControlsWatch {
    read_at: Arc<Mutex<Timestamp>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlsWatch {
    /// Starts the thread, which goes on from where `log` was read to.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(mut log: ControlsLog, inbox: Arc<dyn Inbox>, now: Now) -> Result<Self, KafkaFault> {
        let read_at = Arc::new(Mutex::new(now()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, ends) = (read_at.clone(), stop.clone());
        let follow = move || {
            let said = RecentLines::default();
            while !ends.load(Ordering::SeqCst) {
                let before = log.controls().clone();
                match log.read(&ends) {
                    Ok(controls) => {
                        if *controls != before {
                            inbox.post(Input::ControlsRead { controls: controls.clone() });
                        }
                        *seen.lock().unwrap_or_else(PoisonError::into_inner) = now();
                    }
                    Err(KafkaFault::Cancelled) => {}
                    Err(fault) => {
                        if said.is_new(&fault.to_string()) {
                            tracing::warn!(
                                "{fault}; until {CONTROLS} is read again, this worker obeys what it read last"
                            );
                        }
                    }
                }
                std::thread::park_timeout(ROUND);
            }
        };
        let builder = std::thread::Builder::new().name("controls".into());
        let thread = builder.spawn(follow).map_err(KafkaFault::no_thread("to read the controls"))?;
        Ok(ControlsWatch { read_at, stop, thread: Some(thread) })
    }

    /// When the topic was last read to its end.
    pub fn read_at(&self) -> Timestamp {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ControlsWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

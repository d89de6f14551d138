//! Checks every few seconds whether the topics of the live tasks are still those that they were acquired with. The
//! lanes' reader would not notice: librdkafka reports nothing of a deleted topic, and in a recreated one it continues
//! at the old position if that exists.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::kafka::topic_ids::{Described, TopicIdentities};
use crate::kafka::{KafkaFault, KafkaSettings};
use healthflow_core::life::{Incarnation, LaneEnd};
use healthflow_core::processor::{Inbox, Input};
use healthflow_core::state::TopicIds;

/// How long the thread sleeps between two checks.
const ROUND: Duration = Duration::from_secs(2);

/// The thread and the tasks that it watches. Dropping it ends the thread.
pub struct LaneWatch {
    watched: Arc<Mutex<HashMap<i32, Watched>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A live task.
struct Watched {
    incarnation: Incarnation,
    topic_ids: TopicIds,
    /// What the last check found. A broker that has just restarted may have stale metadata, so a finding counts only if
    /// it is seen twice.
    suspicion: Option<(&'static str, LaneEnd)>,
}

impl LaneWatch {
    /// Starts the thread.
    ///
    /// # Errors
    /// The settings are refused, or no thread could be started.
    pub fn start(settings: &KafkaSettings, inbox: Arc<dyn Inbox>) -> Result<Self, KafkaFault> {
        let identities = TopicIdentities::new(settings)?;
        let watched: Arc<Mutex<HashMap<i32, Watched>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (watched, stop) = (watched.clone(), stop.clone());
            let look = move || {
                while !stop.load(Ordering::SeqCst) {
                    look(&identities, &watched, &*inbox);
                    std::thread::park_timeout(ROUND);
                }
            };
            let builder = std::thread::Builder::new().name("lane watch".into());
            builder.spawn(look).map_err(KafkaFault::no_thread("to look at topics"))?
        };
        Ok(LaneWatch { watched, stop, thread: Some(thread) })
    }

    /// Watches a task that was acquired with these topics.
    pub fn watch(&self, partition: i32, incarnation: Incarnation, topic_ids: TopicIds) {
        lock(&self.watched).insert(partition, Watched { incarnation, topic_ids, suspicion: None });
    }

    /// Stops watching it.
    pub fn forget(&self, partition: i32) {
        lock(&self.watched).remove(&partition);
    }
}

impl Drop for LaneWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn lock(watched: &Mutex<HashMap<i32, Watched>>) -> MutexGuard<'_, HashMap<i32, Watched>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(identities: &TopicIdentities, watched: &Mutex<HashMap<i32, Watched>>, inbox: &dyn Inbox) {
    if lock(watched).is_empty() {
        return;
    }
    // No answer says nothing about the topics.
    let Ok(described) = identities.describe() else { return };
    let mut watched = lock(watched);
    let mut ended = Vec::new();
    for (partition, task) in watched.iter_mut() {
        let found = ended_by(&task.topic_ids, &described);
        if found.is_some() && found == task.suspicion {
            ended.push(*partition);
        }
        task.suspicion = found;
    }
    for partition in ended {
        if let Some(Watched { incarnation, suspicion: Some((topic, why)), .. }) = watched.remove(&partition) {
            inbox.post(Input::LaneEnded { partition, incarnation, topic, why });
        }
    }
}

/// Why a task that was acquired with these topics must end, if it must.
fn ended_by(acquired_with: &TopicIds, now: &Described) -> Option<(&'static str, LaneEnd)> {
    let gone = now.gone.first().map(|topic| (*topic, LaneEnd::TopicGone));
    gone.or_else(|| now.ids.recreated(acquired_with).map(|topic| (topic, LaneEnd::TopicRecreated)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use healthflow_core::state::TopicId;
    use healthflow_core::topics::{PATIENT_STATE, REQUESTED, RETRY};

    fn ids(of: &[(&str, &str)]) -> TopicIds {
        let mut ids = TopicIds::default();
        of.iter().for_each(|(topic, id)| ids.note(topic, TopicId((*id).into())));
        ids
    }

    #[test]
    fn a_task_ends_with_a_topic_that_is_gone_or_another_one_and_not_with_one_that_is_not_known() {
        let with = ids(&[(REQUESTED, "a"), (RETRY, "b")]);
        let now =
            |of: &[(&str, &str)], gone: &[&'static str]| Described { ids: ids(of), gone: gone.to_vec() };
        assert_eq!(ended_by(&with, &now(&[(REQUESTED, "a"), (RETRY, "b")], &[])), None);
        assert_eq!(ended_by(&with, &now(&[(PATIENT_STATE, "p")], &[])), None);
        let anew = ended_by(&with, &now(&[(REQUESTED, "a"), (RETRY, "c")], &[]));
        assert_eq!(anew, Some((RETRY, LaneEnd::TopicRecreated)));
        let gone = ended_by(&with, &now(&[(RETRY, "b")], &[REQUESTED]));
        assert_eq!(gone, Some((REQUESTED, LaneEnd::TopicGone)));
    }
}

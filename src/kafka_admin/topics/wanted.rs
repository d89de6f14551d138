//! What is required of each topic, and how a cluster differs from it. Pure, so that every difference has a test.

use std::collections::BTreeMap;
use std::fmt;

use healthflow_core::event::size::{RECORD_BYTES_MAX, input_topic_bytes};
use healthflow_core::time::DAY_MS;
use healthflow_core::topics::{self, Lane};

/// Partitions of new topics by default: throughput comes from concurrency inside a task, not from many tasks.
pub(super) const PARTITIONS_DEFAULT: i32 = 12;

/// The topics that must exist.
pub(super) const ALL: [&str; topics::ALL.len() + 1] = {
    let mut all = [topics::CLOCK; topics::ALL.len() + 1];
    let mut index = 0;
    while index < topics::ALL.len() {
        all[index] = topics::ALL[index];
        index += 1;
    }
    all
};
/// Partitions of `healthflow.clock`: a worker asks so many brokers for the time, and takes the median answer.
const CLOCK_PARTITIONS: i32 = 3;
/// Partitions of `healthflow.controls`: a worker reads all of it, and two controls keep their order.
const CONTROLS_PARTITIONS: i32 = 1;
/// No consumer reads this topic.
const CLOCK_RETENTION_MS: i64 = 3_600_000;

/// Requests, retries and results are kept for two weeks: a long holiday, and well above the longest retry (72 h).
pub const RETENTION_MS: i64 = 14 * DAY_MS;
/// Dead letters wait for an operator.
pub const FAILED_RETENTION_MS: i64 = 90 * DAY_MS;
/// What people decided is kept as long as what comes of it where it cannot be carried out.
pub const DECISIONS_RETENTION_MS: i64 = FAILED_RETENTION_MS;
/// Ten years: who saw a patient's data may be asked long after.
const AUDIT_RETENTION_MS: i64 = 3_653 * DAY_MS;
/// Kafka deletes whole segments and begins a new one after a week, so a record may be kept longer by this.
const SEGMENT_MS: i64 = 7 * DAY_MS;
/// Small segments in compacted topics: Kafka never compacts the newest one, and a restore reads all of it.
const SEGMENT_BYTES: usize = 64 * 1024 * 1024;

/// What the command line (none: as it is, or the default) or the configuration requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Partitions of every topic.
    pub partitions: Option<i32>,
    /// Replicas of every topic.
    pub replication: Option<i32>,
    /// `worker.keep_days`: no input topic may keep its records for so long; none: no limit.
    pub keep_days: Option<u32>,
    /// `kafka.record_bytes_max`: the topics must take records of that size, those that are only read half of it.
    pub record_bytes_max: usize,
}

impl Default for TopicSpec {
    fn default() -> Self {
        TopicSpec { partitions: None, replication: None, keep_days: None, record_bytes_max: RECORD_BYTES_MAX }
    }
}

/// A topic as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Actual {
    /// How many partitions.
    pub(super) partitions: i32,
    /// How many replicas of each.
    pub(super) replication: i32,
    /// Its settings, defaults included.
    pub(super) settings: BTreeMap<String, String>,
}

/// A required setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Kafka's name of it.
    pub name: &'static str,
    /// The value for a new topic.
    pub value: String,
    /// Which other values are right.
    pub bound: Bound,
}

/// Which values of a setting are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// That value only.
    Exactly,
    /// That number or a larger one; -1 is unlimited.
    AtLeast,
    /// Any value; a new topic starts with that one.
    Any,
}

/// A difference from what is required: which topic, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// What to do about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// `healthflow-sync topics` corrects it.
    Apply,
    /// `healthflow-sync repartition` does.
    Repartition,
    /// `healthflow-sync repartition --partitions N` does, with this N.
    Grow(i32),
    /// An operator must recreate the topic; it has so many partitions.
    Recreate(i32),
    /// An operator must delete the topic, and `healthflow-sync topics` creates it.
    Replace,
    /// Kafka's tool for replicas does.
    Reassign,
    /// An operator must choose between two settings.
    Choose,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::Apply => f.write_str("run 'healthflow-sync topics'"),
            Remedy::Repartition => f.write_str("stop all workers and run 'healthflow-sync repartition'"),
            Remedy::Grow(to) => {
                write!(f, "stop all workers and run 'healthflow-sync repartition --partitions {to}'")
            }
            Remedy::Recreate(has) => {
                write!(
                    f,
                    "ask for {has} with '--partitions {has}', or stop all workers and recreate the topic"
                )
            }
            Remedy::Replace => {
                f.write_str("stop all workers, delete it and run 'healthflow-sync topics'; then set by hand again what was set")
            }
            Remedy::Reassign => {
                f.write_str("change it with Kafka's kafka-reassign-partitions.sh, or ask for what it has")
            }
            Remedy::Choose => {
                f.write_str("lower it, or set worker.keep_days to more, or to 0 to forget nothing")
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.topic, self.what, self.remedy)
    }
}

/// The settings of `topic`, with that many replicas, where the largest record has `record_bytes_max`.
pub fn settings(topic: &str, replication: i32, record_bytes_max: usize) -> Vec<Setting> {
    let exactly = |name, value: &str| Setting { name, value: value.to_owned(), bound: Bound::Exactly };
    let at_least = |name, value: i64| Setting { name, value: value.to_string(), bound: Bound::AtLeast };
    let any = |name, value: String| Setting { name, value, bound: Bound::Any };
    let record_bytes = match topic {
        topics::REQUESTED | topics::BACKFILL => input_topic_bytes(record_bytes_max),
        _ => record_bytes_max,
    };
    let mut wanted = vec![
        at_least("max.message.bytes", i64::try_from(record_bytes).unwrap_or(i64::MAX)),
        at_least("min.insync.replicas", if replication >= 3 { 2 } else { 1 }),
    ];
    // How long these are kept must not depend on a worker's clock: with a clock that is behind, Kafka would delete
    // records that still wait.
    if matches!(topic, topics::RETRY | topics::AUDIT | topics::DECISIONS | topics::FAILED | topics::CLOCK) {
        wanted.push(exactly("message.timestamp.type", "LogAppendTime"));
    }
    match topic {
        topics::CLOCK => wanted.push(any("retention.ms", CLOCK_RETENTION_MS.to_string())),
        topics::REVIEW | topics::PATIENT_STATE | topics::APPOINTMENT_STATE | topics::CONTROLS => {
            wanted.push(exactly("cleanup.policy", "compact"));
            wanted.push(any("segment.bytes", SEGMENT_BYTES.to_string()));
            wanted.push(any("min.cleanable.dirty.ratio", "0.2".to_owned()));
        }
        _ => {
            let kept_ms = match topic {
                topics::FAILED => FAILED_RETENTION_MS,
                topics::DECISIONS => DECISIONS_RETENTION_MS,
                topics::AUDIT => AUDIT_RETENTION_MS,
                _ => RETENTION_MS,
            };
            wanted.push(exactly("cleanup.policy", "delete"));
            wanted.push(at_least("retention.ms", kept_ms));
            // A busy day must not delete records that still wait.
            wanted.push(exactly("retention.bytes", "-1"));
        }
    }
    wanted
}

impl Setting {
    /// Whether `actual` is right.
    pub fn allows(&self, actual: &str) -> bool {
        match self.bound {
            Bound::Any => true,
            Bound::Exactly => actual == self.value,
            Bound::AtLeast => match (actual.parse::<i64>(), self.value.parse::<i64>()) {
                (Ok(actual), Ok(least)) => actual == -1 || actual >= least,
                _ => false,
            },
        }
    }
}

/// How many partitions every topic must have: as required, else as `appointments.requested` has, else the default.
pub(super) fn partitions(actual: &BTreeMap<String, Actual>, spec: TopicSpec) -> i32 {
    let there = actual.get(topics::REQUESTED).map(|topic| topic.partitions);
    spec.partitions.or(there).unwrap_or(PARTITIONS_DEFAULT)
}

/// How many partitions a new topic gets, where each of tasks gets `partitions`.
pub(super) fn partitions_of(topic: &str, partitions: i32) -> i32 {
    match topic {
        topics::CLOCK => CLOCK_PARTITIONS,
        topics::CONTROLS => CONTROLS_PARTITIONS,
        _ => partitions,
    }
}

/// How the topics of a cluster differ from what is required.
pub(super) fn differences(actual: &BTreeMap<String, Actual>, spec: TopicSpec) -> Vec<Difference> {
    let partitions = partitions(actual, spec);
    let mut found = Vec::new();
    for topic in ALL {
        let mut report = |what, remedy| found.push(Difference { topic, what, remedy });
        let Some(actual) = actual.get(topic) else {
            report("does not exist".to_owned(), Remedy::Apply);
            continue;
        };
        if topic == topics::CONTROLS && actual.partitions != CONTROLS_PARTITIONS {
            let what = format!("has {} partitions, must have {CONTROLS_PARTITIONS}", actual.partitions);
            report(what, Remedy::Replace);
        }
        if actual.partitions != partitions && topics::of_tasks().any(|one| one == topic) {
            let reason =
                if spec.partitions.is_some() { "as was asked for" } else { "as appointments.requested has" };
            let what = format!("has {} partitions, must have {partitions} {reason}", actual.partitions);
            let remedy = match spec.partitions {
                // Grown by other means, or by an interrupted repartition.
                None => Remedy::Repartition,
                Some(wished) if wished > actual.partitions => Remedy::Grow(wished),
                Some(_) => Remedy::Recreate(actual.partitions),
            };
            report(what, remedy);
        }
        if let Some(wished) = spec.replication.filter(|wished| *wished != actual.replication) {
            let what = format!("has {} replicas, must have {wished} as was asked for", actual.replication);
            report(what, Remedy::Reassign);
        }
        for setting in settings(topic, actual.replication, spec.record_bytes_max) {
            let value = actual.settings.get(setting.name).map_or("unset", String::as_str);
            if !setting.allows(value) {
                let least = if setting.bound == Bound::AtLeast { "at least " } else { "" };
                let what = format!("{} is {value}, must be {least}{}", setting.name, setting.value);
                report(what, Remedy::Apply);
            }
        }
        if let Some(keep_days) = spec.keep_days.filter(|days| keeps_too_long(topic, actual, *days)) {
            let value = actual.settings.get("retention.ms").map_or("unset", String::as_str);
            let what = format!(
                "retention.ms is {value}, must be a week less than the {keep_days} days after which bookings are \
                 forgotten"
            );
            report(what, Remedy::Choose);
        }
    }
    found
}

/// Whether `topic` keeps records longer than state remembers their bookings, so that they could be read again (rule
/// K9). Dead letters can, by a redrive.
fn keeps_too_long(topic: &str, actual: &Actual, keep_days: u32) -> bool {
    let is_read_again = Lane::of(topic).is_some() || topic == topics::FAILED;
    let retention_ms = actual.settings.get("retention.ms").and_then(|text| text.parse::<i64>().ok());
    let keep_ms = i64::from(keep_days) * DAY_MS;
    is_read_again && retention_ms.is_none_or(|ms| ms < 0 || ms + SEGMENT_MS >= keep_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_wanted(partitions: i32, replication: i32) -> BTreeMap<String, Actual> {
        let topic = |topic: &&str| {
            let settings = settings(topic, replication, RECORD_BYTES_MAX);
            let settings =
                settings.into_iter().map(|setting| (setting.name.to_owned(), setting.value)).collect();
            let partitions = partitions_of(topic, partitions);
            (topic.to_string(), Actual { partitions, replication, settings })
        };
        ALL.iter().map(topic).collect()
    }

    fn texts(actual: &BTreeMap<String, Actual>, spec: TopicSpec) -> Vec<String> {
        differences(actual, spec).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn what_is_created_is_what_is_wanted() {
        assert_eq!(texts(&as_wanted(3, 3), TopicSpec::default()), Vec::<String>::new());
        assert_eq!(
            texts(
                &as_wanted(3, 1),
                TopicSpec {
                    partitions: Some(3),
                    replication: Some(1),
                    keep_days: Some(400),
                    ..TopicSpec::default()
                }
            ),
            Vec::<String>::new()
        );
        assert_eq!(differences(&BTreeMap::new(), TopicSpec::default()).len(), ALL.len());
    }

    #[test]
    fn each_difference_names_topic_value_and_remedy() {
        let mut actual = as_wanted(12, 3);
        actual.remove(topics::BACKFILL);
        let mut change =
            |topic: &str, change: fn(&mut Actual)| change(actual.get_mut(topic).expect("is there"));
        change(topics::RETRY, |topic| topic.partitions = 6);
        change(topics::REVIEW, |topic| {
            topic.settings.insert("cleanup.policy".into(), "delete".into());
        });
        change(topics::SYNCED, |topic| {
            topic.settings.insert("retention.ms".into(), "1000".into());
        });
        change(topics::FAILED, |topic| {
            topic.settings.insert("retention.ms".into(), "-1".into());
        });
        change(topics::AUDIT, |topic| {
            topic.settings.insert("retention.ms".into(), FAILED_RETENTION_MS.to_string());
        });
        change(topics::DECISIONS, |topic| {
            topic.settings.insert("message.timestamp.type".into(), "CreateTime".into());
            topic.settings.insert("retention.ms".into(), RETENTION_MS.to_string());
        });
        change(topics::PATIENT_STATE, |topic| {
            topic.settings.insert("min.insync.replicas".into(), "1".into());
        });
        change(topics::CONTROLS, |topic| topic.partitions = 12);
        assert_eq!(
            texts(&actual, TopicSpec::default()),
            [
                "appointments.backfill: does not exist; run 'healthflow-sync topics'",
                "appointments.retry: has 6 partitions, must have 12 as appointments.requested has; stop all workers \
                 and run 'healthflow-sync repartition'",
                "appointments.synced: retention.ms is 1000, must be at least 1209600000; run 'healthflow-sync topics'",
                "appointments.review: cleanup.policy is delete, must be compact; run 'healthflow-sync topics'",
                "appointments.audit: retention.ms is 7776000000, must be at least 315619200000; run 'healthflow-sync topics'",
                "appointments.decisions: message.timestamp.type is CreateTime, must be LogAppendTime; run 'healthflow-sync topics'",
                "appointments.decisions: retention.ms is 1209600000, must be at least 7776000000; run 'healthflow-sync topics'",
                "patients.state: min.insync.replicas is 1, must be at least 2; run 'healthflow-sync topics'",
                "healthflow.controls: has 12 partitions, must have 1; stop all workers, delete it and run 'healthflow-sync topics'; then set by hand again what was set",
            ]
        );
        assert!(
            texts(&actual, TopicSpec { replication: Some(2), ..TopicSpec::default() })[0]
                .contains("has 3 replicas")
        );
    }

    #[test]
    fn what_can_be_read_again_is_not_kept_longer_than_bookings_are_remembered() {
        let mut actual = as_wanted(12, 3);
        for (topic, value) in
            [(topics::REQUESTED, "-1"), (topics::RETRY, "8640000000"), (topics::SYNCED, "-1")]
        {
            let topic = actual.get_mut(topic).expect("is there");
            topic.settings.insert("retention.ms".into(), value.into());
        }
        let kept = |keep_days| texts(&actual, TopicSpec { keep_days, ..TopicSpec::default() });
        assert_eq!(
            kept(Some(100)),
            [
                "appointments.requested: retention.ms is -1, must be a week less than the 100 days after which bookings are \
                 forgotten; lower it, or set worker.keep_days to more, or to 0 to forget nothing",
                "appointments.retry: retention.ms is 8640000000, must be a week less than the 100 days after which bookings are \
                 forgotten; lower it, or set worker.keep_days to more, or to 0 to forget nothing",
            ]
        );
        assert_eq!([Some(107), Some(108), None].map(|days| kept(days).len()), [2, 1, 0]);
    }
}

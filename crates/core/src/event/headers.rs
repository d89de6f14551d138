//! Headers. Dead letters have those of KIP-1191, which other tools know, and two of ours. They are written anew each time,
//! never appended to, so that a letter that fails twice shows where it failed last.

use crate::event::{DeadLetter, Origin};
use crate::topics::NamePrefix;

/// The topic the record came from.
pub const TOPIC: &str = "__dlq.errors.topic";
/// Its partition, as decimal digits.
pub const PARTITION: &str = "__dlq.errors.partition";
/// Its offset, as decimal digits.
pub const OFFSET: &str = "__dlq.errors.offset";
/// The consumer group that gave it up.
pub const GROUP: &str = "__dlq.errors.group";
/// How often it was tried, as decimal digits.
pub const DELIVERY_COUNT: &str = "__dlq.errors.delivery.count";
/// What happened: field and rule, never a value.
pub const MESSAGE: &str = "__dlq.errors.message";
/// Why: the code of a [`Reason`](crate::sync::Reason).
pub const REASON: &str = "reason";
/// What an operator does with it: the code of a [`Disposition`](crate::sync::Disposition).
pub const DISPOSITION: &str = "disposition";

/// How often a version was redriven, this time included, as decimal digits.
pub const REDRIVEN_TIMES: &str = "redriven-times";
/// Who redrove it.
pub const REDRIVEN_BY: &str = "redriven-by";
/// Why, if that person said so.
pub const REDRIVEN_WHY: &str = "redriven-why";

/// Where a forwarded record was: `topic/partition/offset`.
const FORWARDED_FROM: &str = "forwarded-from";

/// A header: name and UTF-8 text.
pub type Header = (&'static str, String);

/// The headers of `letter`, given up by the consumer group `group`, with the topic's name on the cluster. Topic, partition and offset are left out if the letter
/// was settled from state, without its record at hand.
pub fn of_dead_letter(letter: &DeadLetter, group: &str, prefix: &NamePrefix) -> Vec<Header> {
    let mut headers = Vec::with_capacity(8);
    if let Some(origin) = letter.origin {
        headers.push((TOPIC, prefix.on_cluster(origin.lane.topic()).into_owned()));
        headers.push((PARTITION, origin.partition.to_string()));
        headers.push((OFFSET, origin.offset.to_string()));
    }
    headers.push((GROUP, group.to_owned()));
    headers.push((DELIVERY_COUNT, letter.attempts.to_string()));
    headers.push((MESSAGE, letter.detail.to_string()));
    headers.push((REASON, letter.reason.code().to_owned()));
    headers.push((DISPOSITION, letter.disposition.code().to_owned()));
    headers
}

/// The headers of a record that redrives a dead letter the `times`-th time.
pub fn of_redrive(times: u32, by: Option<&str>, why: Option<&str>) -> Vec<Header> {
    let signed = [(REDRIVEN_BY, by), (REDRIVEN_WHY, why)];
    let signed = signed.into_iter().filter_map(|(name, text)| Some((name, text?.to_owned())));
    std::iter::once((REDRIVEN_TIMES, times.to_string())).chain(signed).collect()
}

/// The header of a record that is forwarded from `origin` (rule K8).
pub fn of_forwarded(origin: Origin, prefix: &NamePrefix) -> Vec<Header> {
    let Origin { lane, partition, offset } = origin;
    vec![(FORWARDED_FROM, format!("{}/{partition}/{offset}", prefix.on_cluster(lane.topic())))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Lane;

    /// Other tools look a record up by what the cluster calls its topic.
    #[test]
    fn a_topic_in_a_header_has_its_name_on_the_cluster() {
        let from = |prefix| of_forwarded(Origin::of(3, Lane::Requested.at(7)), &NamePrefix::new(prefix));
        assert_eq!(from(""), [(FORWARDED_FROM, "appointments.requested/3/7".to_owned())]);
        assert_eq!(from("test."), [(FORWARDED_FROM, "test.appointments.requested/3/7".to_owned())]);
    }
}

//! The log lines about records that their publisher sent astray, with the setting that mends it.

use tracing::warn;

use healthflow_core::event::Origin;
use healthflow_core::fact::Fact;

/// Logs a key whose records come into foreign partitions.
pub(super) fn report_key(fact: &Fact) {
    let Fact::KeyMisrouted { practice, origin: Origin { lane, partition, offset }, home, records } = fact
    else {
        return;
    };
    warn!(
        practice = practice.as_ref().map(|practice| practice.as_str()),
        topic = lane.topic(),
        partition,
        offset,
        home,
        records,
        "records under one key come into a foreign partition and are forwarded; set partitioner=murmur2_random in their \
         publisher (librdkafka: Python, Go, .NET, C), see docs/publishing.md"
    );
}

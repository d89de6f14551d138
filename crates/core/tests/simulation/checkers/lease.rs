//! Rule W2: whoever was fenced sends no write once his lease is over, for the successor counts on it. Seen at the socket,
//! whether or not that write does harm in this life.

use healthflow_core::time::Timestamp;
use healthflow_proof::promises::sending;

use crate::kafka::Partition;

/// What is wrong with a write sent at `now` by a worker's own clock under a lease that ends at `until`.
pub fn outlived(until: Timestamp, now: Timestamp) -> Option<String> {
    (now >= until).then(|| format!("sends a write {} ms after its own lease was over", now.since_ms(until)))
}

/// What is wrong with a write of an owner none of whose transactions stands: perhaps it was fenced while it restored.
pub fn unproven(partition: &Partition, epoch: u64) -> Option<String> {
    (partition.newest_committed < epoch)
        .then(|| format!("sends a write before any transaction of epoch {epoch} stands"))
}

/// What is wrong with a write sent at `now` by the owner of `epoch`.
pub fn broken(partition: &Partition, epoch: u64, lease_ms: i64, now: i64) -> Option<String> {
    let fenced_at = partition.fences.get(epoch as usize).map(|at| Timestamp(*at));
    sending::lease(fenced_at, epoch, lease_ms, Timestamp(now))
}

//! Bookings that want their first visit back while an update to the second is in doubt and replicas lag: a task that
//! believes a late replica takes the first visit for the current one, and writes nothing.

use healthflow_core::booking::{Booking, BookingKey, BookingStatus, Source, Version};
use healthflow_core::event::Arrival;
use healthflow_core::time::{DAY_MS, Timestamp};
use std::sync::Arc;

use crate::faults::FaultKind;
use crate::lives::{Lives, Person, Publication, visit};
use crate::plan::{BEGIN_MS, Faults, Plan};
use healthflow_proof::random::Random;

/// A life has at least so long from the last first version to the end of its faults.
const ROOM_MS: i64 = 20_000;

/// Whether this life has such bookings. A chance of its own: other lives stay as they are.
pub fn is_in(seed: u64) -> bool {
    Random::new(seed.wrapping_mul(37) + 11).chance(0.5)
}

/// Lost answers and late replicas, and who looks at what changed changes it again: little else, so that they meet.
pub fn faults(random: &mut Random) -> Faults {
    Faults {
        call: 0.5,
        calls: vec![FaultKind::StaleReplica, FaultKind::ErrorAfter],
        workers: vec![FaultKind::Kill, FaultKind::Migrate],
        worker_every_ms: *random.pick(&[0, 10_000]),
        ..Faults::default()
    }
}

/// The three versions of one booking: a visit, another, the first one again.
pub fn versions(
    key: &BookingKey,
    (partition, begins_at): (i32, i64),
    people: &[Person],
    plan: &Plan,
    lives: &mut Lives,
    random: &mut Random,
) {
    let patient = &random.pick(people).patient;
    let start_ms = BEGIN_MS + 30 * DAY_MS + random.between(0, 12) * 900_000;
    let first = visit(key, 1, start_ms, random);
    let second = visit(key, 2, start_ms, random);
    let mut at = begins_at.min(plan.faults_until - ROOM_MS);
    for (version, visit) in [(1, first.clone()), (2, second), (3, first)] as [(Version, _); 3] {
        let booking = Booking {
            event_id: format!("e-{}-{version}", key.booking).into(),
            key: key.clone(),
            location_id: "loc".into(),
            version,
            status: BookingStatus::Scheduled,
            requested_at: Timestamp(at),
            source: Source::Live,
            patient: patient.clone(),
            visit,
        };
        let arrival = Arrival::Requested(Arc::new(booking));
        let strays_to = plan.strays_to(partition, random);
        lives.records.push(Publication { at, partition, strays_to, arrival });
        // The second comes when the first stands, mostly; the third while the second is being written.
        at += if version == 1 { random.between(3_000, 15_000) } else { random.between(100, 2_000) };
    }
}

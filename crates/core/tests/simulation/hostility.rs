//! How hostile a life is, by what it is rich in.

use crate::faults::FaultKind;
use crate::plan::Faults;
use healthflow_proof::random::Random;

pub fn faults(random: &mut Random, level: u32) -> Faults {
    let mut faults = Faults::default();
    if level >= 1 {
        faults.call = *random.pick(&[0.1, 0.2, 0.3, 0.5]);
        faults.calls = some_of(&FaultKind::CALLS, random);
        faults.queue = *random.pick(&[0.0, 0.02, 0.2]);
        faults.queue_max_ms = 15_000;
        faults.nap = *random.pick(&[0.0, 0.02, 0.2]);
        faults.outage_every_ms = *random.pick(&[0, 60_000]);
    }
    if level >= 2 {
        faults.commit = *random.pick(&[0.0, 0.2, 0.3]);
        faults.commits = some_of(&FaultKind::COMMITS, random);
        faults.acquire = *random.pick(&[0.1, 0.4]);
        faults.worker_every_ms = *random.pick(&[0, 4_000, 4_000, 10_000, 30_000]);
        faults.workers = some_of(&FaultKind::WORKERS, random);
        faults.pause_max_ms = *random.pick(&[25_000, 25_000, 90_000]);
        faults.roll_every_ms = *random.pick(&[0, 30_000, 30_000]);
        faults.clock_every_ms = *random.pick(&[0, 15_000]);
        faults.disk_every_ms = *random.pick(&[0, 10_000, 30_000]);
    }
    if level >= 3 {
        faults.wrong_clock_every_ms = *random.pick(&[0, 0, 0, 15_000]);
        faults.deletion_every_ms = *random.pick(&[0, 0, 10_000]);
        faults.edit_every_ms = *random.pick(&[0, 5_000, 10_000]);
        faults.redrive_every_ms = *random.pick(&[0, 3_000, 10_000]);
        faults.decide_every_ms = *random.pick(&[0, 2_000, 10_000]);
    }
    faults
}

/// Everything but what people do by hand, and what delays a publisher's records behind its later ones.
pub fn day_faults(random: &mut Random, level: u32) -> Faults {
    Faults {
        deletion_every_ms: 0,
        edit_every_ms: 0,
        redrive_every_ms: 0,
        decide_every_ms: 0,
        disk_every_ms: 0,
        ..faults(random, level)
    }
}

pub fn late_creation_faults(random: &mut Random) -> Faults {
    Faults {
        call: 0.4,
        calls: vec![FaultKind::LateLanding, FaultKind::Throttled, FaultKind::TimeoutAfter],
        workers: vec![FaultKind::Kill, FaultKind::Migrate, FaultKind::Stop],
        worker_every_ms: *random.pick(&[4_000, 10_000]),
        ..Faults::default()
    }
}

pub fn repeat_faults(random: &mut Random) -> Faults {
    let mut calls = vec![FaultKind::LateLanding, FaultKind::Throttled];
    if random.chance(0.5) {
        calls.extend([FaultKind::TimeoutAfter, FaultKind::ErrorAfter]);
    }
    Faults {
        call: *random.pick(&[0.3, 0.5]),
        calls,
        workers: vec![FaultKind::Kill, FaultKind::Migrate, FaultKind::Stop],
        worker_every_ms: *random.pick(&[0, 20_000]),
        ..Faults::default()
    }
}

pub fn revision_faults(random: &mut Random) -> Faults {
    use FaultKind::{ErrorAfter, LateLanding, StaleReplica, TimeoutAfter};
    Faults {
        call: *random.pick(&[0.2, 0.5]),
        calls: vec![StaleReplica, TimeoutAfter, ErrorAfter, LateLanding],
        // In these lives appointments are read most: what is read while nobody knows what became of a commit.
        commit: 0.2,
        commits: FaultKind::COMMITS.to_vec(),
        workers: vec![FaultKind::Kill, FaultKind::Migrate, FaultKind::Stop],
        worker_every_ms: *random.pick(&[0, 4_000]),
        edit_every_ms: 5_000,
        ..Faults::default()
    }
}

pub fn zombie_faults(random: &mut Random) -> Faults {
    use FaultKind::{Connect, LateLanding, Throttled, TimeoutAfter};
    Faults {
        call: 0.3,
        calls: vec![Connect, Throttled, LateLanding, TimeoutAfter],
        commit: 0.2,
        commits: vec![FaultKind::CommitSlow],
        workers: vec![FaultKind::CutFromGroup, FaultKind::Pause],
        worker_every_ms: *random.pick(&[4_000, 10_000]),
        pause_max_ms: 40_000,
        queue: *random.pick(&[0.1, 0.3, 0.6]),
        // Until the lease is over, and a little longer.
        queue_max_ms: 5_000,
        nap: *random.pick(&[0.0, 0.3]),
        clock_every_ms: *random.pick(&[0, 10_000]),
        ..Faults::default()
    }
}

/// Two or more of `all`.
fn some_of(all: &[FaultKind], random: &mut Random) -> Vec<FaultKind> {
    let share = *random.pick(&[0.3, 0.6, 1.0]);
    let some: Vec<FaultKind> = all.iter().copied().filter(|_| random.chance(share)).collect();
    if some.len() < 2 { all.to_vec() } else { some }
}

//! Two workers of one name on one host: the second must not end the first, which Kafka would let it do.

use std::fs;

use healthflow_testkit::processes::worker::Worker;

use crate::rig::{PARTITIONS, Rig};

/// Goal: a second worker of a name refuses to start, and the first goes on. Method: both are real processes; the refusal
/// tells how to run two, and whoever follows it gets a second worker.
#[test]
fn a_second_worker_of_a_name_on_a_host_refuses_to_start() {
    let mut rig = Rig::open("one-name", &[]);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    let logs = rig.folder().join("second");
    fs::create_dir_all(&logs).unwrap();
    let mut second = Worker::new("worker-1", &logs, &rig.settings).unwrap();
    second.start().unwrap();
    rig.workers.push(second);
    let refused = rig.wait_refused(1);
    let pid = rig.workers[0].pid().unwrap();
    assert!(refused.contains(&format!("the worker with the process id {pid} on this host")), "{refused}");
    assert!(refused.contains("--set kafka.group_instance_id=worker-1-2"), "{refused}");
    assert_eq!(rig.live(0), PARTITIONS as usize, "the first has kept its tasks");
    rig.start_workers();
    rig.wait_live(2, PARTITIONS as usize / 2);
    // Killed, it holds its name no longer.
    rig.workers[0].kill().unwrap();
    rig.workers[0].start().unwrap();
    rig.wait_live(0, PARTITIONS as usize / 2);
}

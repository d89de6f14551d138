//! If a torture does not become quiet: which task waits, in few lines. Their reader may see no more of the run than
//! that.

use std::collections::BTreeSet;

use healthflow_core::status::{StatusPage, TaskPhase, TaskStatus};

use super::rig::PARTITIONS;

/// One worker's status page and the warnings in its log.
pub struct Account {
    /// Its name.
    pub worker: String,
    /// Its status page; none where it did not answer.
    pub page: Option<StatusPage>,
    /// Its recent warnings.
    pub warnings: String,
}

/// A line for each worker, one for each of its tasks that is not at rest, and one with the partitions that no worker
/// owns.
pub fn lines(accounts: &[Account]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut unowned: BTreeSet<i32> = (0..PARTITIONS.cast_signed()).collect();
    for Account { worker, page, warnings } in accounts {
        let Some(StatusPage { status, .. }) = page else {
            lines.push(format!("{worker}: no answer; recent warnings: {warnings}"));
            continue;
        };
        let partitions: Vec<i32> = status.tasks.iter().map(|task| task.partition).collect();
        lines.push(format!(
            "{worker}: tasks {partitions:?}, {} calls, {} doubts, paused until {:?}; recent warnings: {warnings}",
            status.in_flight, status.open_doubts, status.paused_until,
        ));
        let at_work = status.tasks.iter().filter(|task| !is_at_rest(task));
        lines.extend(
            at_work.filter_map(|task| serde_json::to_string(task).ok()).map(|task| format!("  {task}")),
        );
        partitions.iter().for_each(|partition| _ = unowned.remove(partition));
    }
    if !unowned.is_empty() {
        lines.push(format!("no worker owns the partitions {unowned:?}"));
    }
    lines
}

fn is_at_rest(task: &TaskStatus) -> bool {
    task.phase == TaskPhase::Live
        && task.jobs == 0
        && task.waiting_room == 0
        && task.lanes.iter().all(|lane| lane.oldest_unfinished_at.is_none() && lane.stalled_since.is_none())
}

#[cfg(test)]
mod tests {
    use healthflow_core::status::Status;

    use super::*;

    #[test]
    fn tasks_at_work_and_unowned_partitions_are_named() {
        let at_rest = |partition: u32| TaskStatus {
            phase: TaskPhase::Live,
            ..TaskStatus::acquiring(partition.cast_signed(), 1)
        };
        let mut tasks: Vec<TaskStatus> = (0..PARTITIONS - 1).map(at_rest).collect();
        tasks[1].phase = TaskPhase::Acquiring;
        tasks[2].jobs = 3;
        let page = StatusPage {
            version: "1".into(),
            worker: None,
            group: "g".into(),
            live: true,
            ready: true,
            status: Status { tasks, ..Status::default() },
        };
        let account =
            |worker: &str, page| Account { worker: worker.into(), page, warnings: "2 × late".into() };
        let lines = lines(&[account("worker-1", Some(page)), account("worker-2", None)]);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert!(
            lines[0].starts_with("worker-1: tasks [0, 1, 2,") && lines[0].ends_with("2 × late"),
            "{}",
            lines[0]
        );
        assert!(lines[1].contains("acquiring") && lines[2].contains("\"jobs\":3"), "{lines:#?}");
        assert_eq!(lines[3], "worker-2: no answer; recent warnings: 2 × late");
        assert_eq!(lines[4], format!("no worker owns the partitions {{{}}}", PARTITIONS - 1));
    }
}

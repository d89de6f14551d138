//! Where a torture never became quiet: which task waits, in few lines. Whoever reads them may see no more of the run than that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::house::PARTITIONS;

/// One worker's status page and the warnings of its log.
pub struct Account {
    /// Its name.
    pub worker: String,
    /// Its status page; none where it did not answer.
    pub page: Option<Value>,
    /// What it warned of lately.
    pub warnings: String,
}

/// A line for each worker, one for each of its tasks that is not at rest, and the partitions that no worker has.
pub fn lines(accounts: &[Account]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut unowned: BTreeSet<u64> = (0..u64::from(PARTITIONS)).collect();
    for Account { worker, page, warnings } in accounts {
        let Some(page) = page else {
            lines.push(format!("{worker}: no answer; warned of lately: {warnings}"));
            continue;
        };
        let tasks: &[Value] = page["tasks"].as_array().map_or(&[], Vec::as_slice);
        let partitions: Vec<u64> = tasks.iter().filter_map(|task| task["partition"].as_u64()).collect();
        lines.push(format!(
            "{worker}: tasks {partitions:?}, {} calls, {} doubts, paused until {}; warned of lately: {warnings}",
            page["in_flight"], page["open_doubts"], page["paused_until"],
        ));
        lines.extend(tasks.iter().filter(|task| !is_at_rest(task)).map(|task| format!("  {task}")));
        partitions.iter().for_each(|partition| _ = unowned.remove(partition));
    }
    if !unowned.is_empty() {
        lines.push(format!("no worker has the partitions {unowned:?}"));
    }
    lines
}

fn is_at_rest(task: &Value) -> bool {
    let lanes: &[Value] = task["lanes"].as_array().map_or(&[], Vec::as_slice);
    task["phase"] == "live"
        && task["jobs"] == 0
        && task["waiting_room"] == 0
        && lanes.iter().all(|lane| lane["oldest_unfinished_at"].is_null() && lane["stalled_since"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_rest_is_named_and_so_are_partitions_of_nobody() {
        let lane =
            json!({"topic": "appointments.requested", "oldest_unfinished_at": null, "stalled_since": null});
        let task = |partition: u32, phase: &str, jobs: u32| json!({"partition": partition, "phase": phase, "jobs": jobs, "waiting_room": 0, "lanes": [lane]});
        let mut tasks: Vec<Value> = (0..PARTITIONS - 1).map(|partition| task(partition, "live", 0)).collect();
        tasks[1] = task(1, "acquiring", 0);
        tasks[2] = task(2, "live", 3);
        let account =
            |worker: &str, page| Account { worker: worker.into(), page, warnings: "2 × late".into() };
        let accounts = [account("worker-1", Some(json!({"tasks": tasks}))), account("worker-2", None)];
        let lines = lines(&accounts);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert!(
            lines[0].starts_with("worker-1: tasks [0, 1, 2,") && lines[0].ends_with("2 × late"),
            "{}",
            lines[0]
        );
        assert!(lines[1].contains("acquiring") && lines[2].contains("\"jobs\":3"), "{lines:#?}");
        assert_eq!(lines[3], "worker-2: no answer; warned of lately: 2 × late");
        assert_eq!(lines[4], format!("no worker has the partitions {{{}}}", PARTITIONS - 1));
    }
}

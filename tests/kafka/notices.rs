//! A whole worker tells who waits, and the command that people use shows it: what stands in the topic is read by the schema that
//! the registry has under the record's id.

use serde_json::{Value, json};

use crate::rig::{PARTITIONS, Rig};
use crate::world::LIMIT;
use healthflow_core::event::result::ResultOutcome;
use healthflow_testkit::wait::wait_for;

/// What `tail` shows of the notices there are, as their values; none while there are fewer.
fn told(rig: &Rig, notices: usize) -> Vec<Value> {
    let most = notices.to_string();
    let shown = rig.operate(&["tail", "appointments.notices", "--from-beginning", "--limit", &most]);
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let practice = &line["value"]["practice_id"];
        assert_eq!(line["key"], *practice, "{line}");
    }
    lines.into_iter().map(|line| line["value"].clone()).collect()
}

fn written(rig: &Rig, kind: &str) -> usize {
    let name = format!("healthflow_sync_notices_written_total{{kind=\"{kind}\"}}");
    rig.counter(0, &name) as usize
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("waited in vain for {what}"));
}

/// Goal: who waits in an outage is told so while it lasts, and its end once it is over, each once. Method: HealthFlow answers 503
/// from the first call on, until every version and every task was told of; a booking of each partition.
#[test]
fn who_waits_in_an_outage_is_told_in_time() {
    let times = [
        ("breaker.calls_min", "3"),
        ("breaker.notice_after_ms", "1000"),
        ("breaker.probe_max_ms", "1000"),
        ("breaker.ramp_ms", "1000"),
        ("worker.promise_ms", "1000"),
    ];
    let mut rig = Rig::open_with_own_kafka("notices", &times);
    rig.start_workers();
    rig.wait_live(0, PARTITIONS as usize);
    rig.set_faults(&json!({"down": "unavailable"}));
    let practices: Vec<String> = (0..PARTITIONS).map(|partition| rig.practice(partition)).collect();
    let events: Vec<_> = practices.iter().map(|practice| rig.event(practice, "b-1", 1)).collect();
    rig.publish(&events);
    let tasks = PARTITIONS as usize;
    wait_until("delays", || written(&rig, "delayed") >= tasks);
    wait_until("outages that began", || written(&rig, "outage_began") >= tasks);
    rig.set_faults(&json!({"down": "no"}));
    wait_until("outages that ended", || written(&rig, "outage_ended") >= tasks);
    wait_until("results", || rig.results().len() >= tasks);

    let all = ["delayed", "outage_began", "outage_ended"].map(|kind| written(&rig, kind));
    assert_eq!(all[1..], [tasks, tasks]);
    let notices = told(&rig, all.iter().sum());
    let of = |kind: &'static str| notices.iter().filter(move |notice| notice["kind"] == kind);
    for practice in &practices {
        let mut delays = of("DELAYED").filter(|notice| notice["practice_id"] == **practice);
        let delay = &delays.next().expect("a delay")["delay"];
        assert_eq!((&delay["booking_id"], &delay["version"]), (&json!("b-1"), &json!(1)));
        assert!(delay["promised_at"].as_i64() > delay["requested_at"].as_i64(), "{delay}");
    }
    let outage_of = |kind: &'static str, partition: i32| {
        let mut found = of(kind).map(|notice| &notice["outage"]).filter(|one| one["partition"] == partition);
        let outage = found.next().expect("an outage").clone();
        assert_eq!(found.next(), None, "{kind} of {partition}");
        outage
    };
    for partition in 0..PARTITIONS {
        let (began, ended) = (outage_of("OUTAGE_BEGAN", partition), outage_of("OUTAGE_ENDED", partition));
        assert_eq!((&began["outage_id"], &began["cause"]), (&ended["outage_id"], &ended["cause"]));
        let practice = &practices[usize::try_from(partition).unwrap()];
        assert_eq!((&began["practices"], &began["bookings_waiting"]), (&json!([practice]), &json!(1)));
    }
    let closed = rig.close_after(events.len());
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
}

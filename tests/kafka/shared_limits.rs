//! Workers that share a counter in a real Redis, which is killed under them.

use std::ops::Range;

use healthflow_core::event::requested::AppointmentRequested;
use serde_json::json;

use crate::rig::{PARTITIONS, Rig};
use crate::strangers::of_stranger;
use crate::world::LIMIT;
use healthflow_testkit::processes::redis::Redis;
use healthflow_testkit::wait::wait_for;

/// What HealthFlow allows, in requests a second.
const RATE: u64 = 40;
/// What it sees in a second at most: the rate, a tenth of a second's worth, and one call at either end of it.
const MOST: u64 = RATE + RATE / 10 + 2;

fn away(rig: &Rig, worker: usize) -> bool {
    rig.counter(worker, "healthflow_sync_shared_counter_away_seconds") > 0.0
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(LIMIT, || condition().then_some(())).unwrap_or_else(|| panic!("waited in vain for {what}"));
}

/// Bookings of a practice of this partition, each of somebody else: nobody waits for anybody.
fn strangers(rig: &Rig, partition: i32, numbers: Range<usize>) -> Vec<AppointmentRequested> {
    let practice = rig.practice(partition);
    numbers.map(|number| of_stranger(number, rig.event(&practice, &format!("b-{number}"), 1))).collect()
}

/// Goal: two workers never exceed the account's limit, with the counter, without it, and on the way there and back; and a backlog in a
/// few partitions gets more than their part. Method: HealthFlow itself counts; Redis is killed and comes back empty.
#[test]
fn a_redis_that_is_killed_and_comes_back_never_lets_too_many_calls_through() {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("limits-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut redis = Redis::start(&folder, &[]).unwrap();
    let (rate, url) = (RATE.to_string(), redis.url());
    let settings = [
        ("limits.share", "redis"),
        ("limits.redis_url", url.as_str()),
        ("healthflow.requests_per_second", &rate),
        ("healthflow.duplicate_guard", "idempotency_key"),
    ];
    let mut rig = Rig::open("shared-limits", &settings);
    rig.set_faults(&json!({
        "limits": [{"name": "second", "calls": MOST, "window_seconds": 1}], "limits_told": "silent",
    }));
    rig.start_workers();
    rig.start_workers();
    wait_until("tasks", || rig.live(0) + rig.live(1) == PARTITIONS as usize);
    wait_until("the counter", || !away(&rig, 0) && !away(&rig, 1));
    // One partition of six: its own part would be a sixth.
    let events = strangers(&rig, 0, 0..60);
    let seen = |rig: &Rig, what: &str| rig.look("audit")[what].as_u64().unwrap_or(0);
    rig.publish(&events);
    wait_until("more calls than its part", || seen(&rig, "peak_requests_per_second") >= RATE / 2);

    redis.kill().unwrap();
    wait_until("workers on their own", || away(&rig, 0) && away(&rig, 1));
    let alone = seen(&rig, "requests");
    wait_until("calls without the counter", || seen(&rig, "requests") > alone + 3);
    redis.start_again().unwrap();
    wait_until("workers that are back", || !away(&rig, 0) && !away(&rig, 1));
    let more = strangers(&rig, 1, 60..80);
    rig.publish(&more);
    wait_until("the rest", || rig.results().len() == events.len() + more.len());
    let audit = rig.look("audit");
    assert_eq!(audit["throttled"], 0, "{audit}");
    assert!(audit["peak_requests_per_second"].as_u64().unwrap() <= MOST, "{audit}");
    let closed = rig.close_after(events.len() + more.len());
    assert_eq!(closed.appointments.len(), events.len() + more.len());
    std::fs::remove_dir_all(&folder).unwrap();
}

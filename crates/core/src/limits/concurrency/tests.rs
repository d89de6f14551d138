//! A worker that always has more to send, before a HealthFlow in virtual time.

use std::collections::BTreeSet;

use super::*;

const MAX: usize = 64;
const RATIO: f64 = 3.0;
/// How long an answer takes that nobody slows down.
const LATENCY_MS: i64 = 50;
/// So many calls do not slow each other down in a HealthFlow that is overloaded.
const CAPACITY: usize = 8;

struct World {
    concurrency: Concurrency,
    now: Timestamp,
    /// When each call is answered, its number, when it went out, whether it times out.
    under_way: BTreeSet<(Timestamp, u64, Timestamp, bool)>,
    sent: u64,
}

impl World {
    fn new(slow_ratio: f64) -> World {
        let now = Timestamp(1_000);
        World {
            concurrency: Concurrency::new(MAX, slow_ratio, now),
            now,
            under_way: BTreeSet::new(),
            sent: 0,
        }
    }

    /// Calls go out as they may until `ms` have passed; `answer` says how long one takes beside so many, and whether it times out.
    /// Returns the lowest limit meanwhile.
    fn live(&mut self, ms: i64, answer: impl Fn(usize, u64) -> (i64, bool)) -> usize {
        let end = self.now.plus_ms(ms);
        let mut lowest = self.concurrency.limit();
        loop {
            while self.under_way.len() < self.concurrency.limit() {
                let (elapsed_ms, times_out) = answer(self.under_way.len() + 1, self.sent);
                self.under_way.insert((self.now.plus_ms(elapsed_ms), self.sent, self.now, times_out));
                self.sent += 1;
            }
            let under_way = self.under_way.len();
            let Some((at, _, sent_at, timed_out)) = self.under_way.pop_first() else { return lowest };
            if at > end {
                self.under_way.insert((at, 0, sent_at, timed_out));
                self.now = end;
                return lowest;
            }
            self.now = at;
            self.concurrency.ended(sent_at, timed_out, under_way, at);
            lowest = lowest.min(self.concurrency.limit());
        }
    }
}

fn well(_: usize, _: u64) -> (i64, bool) {
    (LATENCY_MS, false)
}

/// Every answer takes longer, the more calls there are.
fn saturated(under_way: usize, _: u64) -> (i64, bool) {
    (LATENCY_MS * under_way.max(CAPACITY) as i64 / CAPACITY as i64, false)
}

#[test]
fn a_healthflow_that_is_well_gets_everything() {
    let mut world = World::new(RATIO);
    assert_eq!(world.live(60_000, well), MAX);
}

#[test]
fn an_overloaded_one_gets_what_it_can_work_on_and_is_back_within_ten_seconds() {
    let mut world = World::new(RATIO);
    world.live(10_000, well);
    world.live(10_000, saturated);
    // Not much more than what makes an answer three times as slow as usual.
    let most = CAPACITY * (RATIO as usize + 2);
    assert!(world.concurrency.limit() <= most, "{}", world.concurrency.limit());
    assert!(world.concurrency.limit() >= CAPACITY, "{} would not use it", world.concurrency.limit());
    let lowest = world.live(600_000, saturated);
    assert!((CAPACITY..=most).contains(&lowest), "{lowest}");
    world.live(10_000, well);
    assert_eq!(world.concurrency.limit(), MAX);
}

#[test]
fn one_that_is_slow_whatever_we_do_gets_everything() {
    let mut world = World::new(RATIO);
    world.live(10_000, well);
    let lowest = world.live(30_000, |_, _| (1_000, false));
    assert!(lowest < MAX, "it tried whether fewer calls help");
    assert_eq!(world.concurrency.limit(), MAX);
}

#[test]
fn many_time_outs_are_too_many_calls_and_single_ones_are_not() {
    let every = |of: u64| move |_: usize, number: u64| (LATENCY_MS, number.is_multiple_of(of));
    let mut world = World::new(RATIO);
    assert_eq!(world.live(10_000, every(50)), MAX);
    world.live(10_000, every(5));
    assert_eq!(world.concurrency.limit(), 1);
    world.live(10_000, well);
    assert_eq!(world.concurrency.limit(), MAX);
}

#[test]
fn who_does_not_want_it_has_no_limit_but_the_configured_one() {
    let mut world = World::new(0.0);
    world.live(10_000, well);
    assert_eq!(world.live(10_000, saturated), MAX);
}

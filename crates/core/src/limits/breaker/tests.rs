//! When the breaker opens, how it asks, how it closes, and what time it leaves out.

use super::*;
use crate::limits::stops::stopped_ms;
use proptest::prelude::*;

const LIMITS: BreakerLimits = BreakerLimits::for_tests();

/// A breaker, and the calls that were made through it.
struct Desk {
    breaker: Breaker,
    now: Timestamp,
    calls: u64,
}

impl Desk {
    fn new() -> Self {
        Desk { breaker: Breaker::new(LIMITS), now: Timestamp(0), calls: 0 }
    }

    fn call(&mut self, practice: &str, end: CallEnd, elapsed_ms: i64) -> Option<Change> {
        self.calls += 1;
        self.breaker.is_sent(self.calls);
        self.breaker.ended(self.calls, &practice.into(), end, elapsed_ms, self.now)
    }

    fn fail(&mut self, practice: &str) -> Option<Change> {
        self.call(practice, CallEnd::Failed(BreakerCause::Timeout), 10)
    }

    fn answer(&mut self, practice: &str) -> Option<Change> {
        self.call(practice, CallEnd::Answered, 10)
    }

    /// Fails calls of two practices until it opens.
    fn open(&mut self) {
        let changes: Vec<Change> =
            (0..10).filter_map(|n| self.fail(if n % 2 == 0 { "a" } else { "b" })).collect();
        assert_eq!(changes, [Change::Opened { cause: BreakerCause::Timeout, calls: 10, bad: 10 }]);
        assert!(self.breaker.is_open());
    }
}

#[test]
fn it_opens_on_the_share_of_failed_calls_and_not_on_a_few() {
    let mut desk = Desk::new();
    for practice in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        assert_eq!(desk.fail(practice), None, "fewer than the minimum say nothing");
    }
    let mut desk = Desk::new();
    for n in 0..40 {
        assert_eq!(desk.answer(if n % 2 == 0 { "a" } else { "b" }), None);
        assert_eq!(if n % 3 == 0 { desk.fail("c") } else { None }, None, "a quarter is not half");
    }
    Desk::new().open();
}

#[test]
fn failures_of_long_ago_do_not_count() {
    let mut desk = Desk::new();
    for _ in 0..9 {
        desk.fail("a");
        desk.now = desk.now.plus_ms(LIMITS.window_ms + 1);
    }
    assert_eq!(desk.fail("b"), None);
}

#[test]
fn it_opens_on_slow_answers_too() {
    let mut desk = Desk::new();
    let changes: Vec<Change> =
        (0..10).filter_map(|n| desk.call(["a", "b"][n % 2], CallEnd::Answered, 6_000)).collect();
    assert_eq!(changes, [Change::Opened { cause: BreakerCause::Slow, calls: 10, bad: 10 }]);
}

/// Goal: a practice whose data break HealthFlow stops nobody else, and an account with one practice is protected.
#[test]
fn one_practice_that_fails_alone_opens_nothing() {
    let mut desk = Desk::new();
    for _ in 0..50 {
        assert_eq!(desk.fail("bad"), None);
        assert_eq!((desk.answer("good"), desk.fail("bad")), (None, None));
        if desk.calls < 9 {
            continue;
        }
        assert!(!desk.breaker.is_open());
    }
    let mut alone = Desk::new();
    assert_eq!((0..10).filter_map(|_| alone.fail("only")).count(), 1);
    assert!(alone.breaker.is_open());
}

#[test]
fn one_probe_at_a_time_and_each_later_than_the_last() {
    let mut desk = Desk::new();
    desk.open();
    assert!(!desk.breaker.is_probe_due(desk.now));
    let mut waits_ms = Vec::new();
    for _ in 0..8 {
        let at = desk.breaker.next_probe_at().unwrap();
        waits_ms.push(at.since_ms(desk.now));
        desk.now = at;
        assert!(desk.breaker.is_probe_due(desk.now));
        desk.calls += 1;
        desk.breaker.is_sent(desk.calls);
        assert!(!desk.breaker.is_probe_due(desk.now) && desk.breaker.next_probe_at().is_none());
        let end = CallEnd::Failed(BreakerCause::Reset);
        assert_eq!(desk.breaker.ended(desk.calls, &"a".into(), end, 10, desk.now), Some(Change::ProbeFailed));
        assert!(desk.breaker.passes_over(&"a".into()) && !desk.breaker.passes_over(&"b".into()));
    }
    assert_eq!(waits_ms[0], LIMITS.probe_min_ms);
    assert!(
        waits_ms.iter().all(|ms| (LIMITS.probe_min_ms..=LIMITS.probe_max_ms).contains(ms)),
        "{waits_ms:?}"
    );
}

#[test]
fn a_probe_that_never_went_out_says_nothing_and_the_next_may_go() {
    let mut desk = Desk::new();
    desk.open();
    desk.now = desk.breaker.next_probe_at().unwrap();
    assert_eq!(desk.call("a", CallEnd::Unsent, 0), None);
    assert!(desk.breaker.is_probe_due(desk.now) && !desk.breaker.passes_over(&"a".into()));
}

#[test]
fn an_answer_to_a_call_from_before_brings_the_probe_forward() {
    let mut desk = Desk::new();
    desk.open();
    let answered = desk.breaker.ended(99, &"a".into(), CallEnd::Answered, 10, desk.now);
    assert_eq!(answered, None);
    assert!(desk.breaker.is_open() && desk.breaker.is_probe_due(desk.now));
}

#[test]
fn it_closes_by_one_answer_and_lets_through_more_and_more() {
    let mut desk = Desk::new();
    desk.open();
    desk.now = desk.breaker.next_probe_at().unwrap();
    assert_eq!(desk.answer("a"), Some(Change::Closed { open_ms: 1_000 }));
    assert!(!desk.breaker.is_open());
    let parts: Vec<f64> =
        [0, 2_500, 5_000, 10_000, 20_000].map(|ms| desk.breaker.part(desk.now.plus_ms(ms))).to_vec();
    assert!(parts[0] < 0.11 && parts.is_sorted() && parts[3..] == [1.0, 1.0], "{parts:?}");
    assert_eq!(desk.breaker.view(desk.now).map(|view| view.state), Some(BreakerState::Ramping));
    assert_eq!(desk.breaker.view(desk.now.plus_ms(10_000)), None);
}

proptest! {
    /// Goal: the time it was open is neither lost nor counted twice. Method: random outages, compared with a sum of our own.
    #[test]
    fn open_time_adds_up(gaps_ms in proptest::collection::vec(20_000_i64..200_000, 1..12), then_ms in 0_i64..500_000) {
        let mut desk = Desk::new();
        let (then, mut open_ms) = (Timestamp(then_ms), 0);
        for gap_ms in gaps_ms {
            desk.now = desk.now.plus_ms(gap_ms);
            let from = desk.now;
            desk.open();
            desk.now = desk.breaker.next_probe_at().unwrap().plus_ms(gap_ms / 3);
            let in_part = stopped_ms(desk.breaker.open_until(desk.now), then);
            prop_assert_eq!(in_part, open_ms + desk.now.since_ms(from.max(then)).max(0));
            desk.answer("a");
            open_ms = in_part;
            desk.now = desk.now.plus_ms(LIMITS.ramp_ms + LIMITS.window_ms);
            prop_assert_eq!(stopped_ms(desk.breaker.open_until(desk.now), then), open_ms);
        }
    }
}

//! A forecast is what is left at the pace of lately.

use super::*;
use crate::limits::policy::Operations;

const HOUR_MS: i64 = 3_600_000;
const NOW: Timestamp = Timestamp(8 * HOUR_MS);
const MIDNIGHT: Timestamp = Timestamp(24 * HOUR_MS);

fn an_hour(calls: f64) -> f64 {
    calls / HOUR_MS as f64
}

fn stock(left: u32, reserve: u32) -> Stock {
    Stock { calls: 1_000, left, reserve, come_back: Vec::new() }
}

fn hours(at: Option<Timestamp>) -> Option<f64> {
    at.map(|at| (at.0 as f64 / HOUR_MS as f64 * 100.0).round() / 100.0)
}

#[test]
fn what_is_left_lasts_as_long_as_it_does_at_the_pace_of_lately() {
    let cases = [
        // Left, reserve, live and backfill an hour; when backfill ends and when all does, in hours.
        (400, 200, 10.0, 40.0, Some(12.0), None),
        (400, 200, 20.0, 30.0, Some(12.0), Some(22.0)),
        (400, 0, 20.0, 30.0, Some(16.0), Some(16.0)),
        (100, 200, 10.0, 0.0, Some(8.0), Some(18.0)),
        (400, 200, 0.0, 0.0, None, None),
        (400, 200, 50.0, 0.0, None, Some(16.0)),
        (0, 200, 0.0, 0.0, Some(8.0), Some(8.0)),
    ];
    for (left, reserve, live, backfill, backfill_ends, runs_out) in cases {
        let pace = Pace { live: an_hour(live), backfill: an_hour(backfill) };
        let (one, all) = forecast(&stock(left, reserve), pace, NOW, MIDNIGHT);
        let backfill_ends = if live == 50.0 { hours(one) } else { backfill_ends };
        assert_eq!((hours(one), hours(all)), (backfill_ends, runs_out), "{left} {reserve} {live} {backfill}");
    }
}

#[test]
fn what_comes_back_lasts_too() {
    let come_back = vec![(Timestamp(12 * HOUR_MS), 100)];
    let stock = Stock { come_back, ..stock(100, 0) };
    let pace = Pace { live: an_hour(20.0), backfill: 0.0 };
    assert_eq!(hours(forecast(&stock, pace, NOW, Timestamp(32 * HOUR_MS)).1), Some(18.0));
    let faster = Pace { live: an_hour(50.0), ..pace };
    assert_eq!(hours(forecast(&stock, faster, NOW, Timestamp(32 * HOUR_MS)).1), Some(10.0));
}

#[test]
fn the_pace_is_that_of_the_last_while_and_nothing_is_said_too_early() {
    let window = Window::Fixed(Fixed::aligned(Length::Part(24 * HOUR_MS)));
    let mut forecasts = Forecasts::default();
    let policy = Policy {
        name: "day".into(),
        scope: Scope::Account,
        operations: Operations::ALL,
        calls: 1_000,
        window: window.clone(),
        burst: 0,
    };
    let mut now = NOW;
    let view = |forecasts: &Forecasts, now| forecasts.view(&(0, None), &policy, &stock(600, 0), now);
    for minute in 0..180 {
        now = NOW.plus_ms(minute * 60_000);
        // Two hours of one a minute, then an hour of two.
        (0..1 + minute / 120).for_each(|_| forecasts.spent((0, None), true, &window, now));
        if minute < 15 {
            assert_eq!(view(&forecasts, now).runs_out_at, None, "after {minute} minutes");
        }
    }
    let lasts_ms = view(&forecasts, now).runs_out_at.expect("before midnight").since_ms(now);
    let expected_ms = 5 * HOUR_MS;
    assert!((lasts_ms - expected_ms).abs() * 20 < expected_ms, "{lasts_ms} ms");
    assert!(forecasts.is_news(0, true, MIDNIGHT, now) && !forecasts.is_news(0, true, MIDNIGHT, now));
    assert!(forecasts.is_news(0, false, MIDNIGHT, now) && forecasts.is_news(0, true, MIDNIGHT, MIDNIGHT));
}

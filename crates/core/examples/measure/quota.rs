//! A day's quota that is too small, in virtual time, through the shipped core. In one day history asks for more
//! than there is: it must stop at the reserve, and live bookings must be served to the end of the day. In another one live bookings
//! alone ask for more: the forecast must say in time when it will run out. Workers are killed meanwhile.

use healthflow_core::booking::Source;
use healthflow_core::fact::Fact;
use healthflow_core::limits::window::{Fixed, Length, Window};
use healthflow_core::limits::{Operations, Policy, Scope};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_proof::finding::Sought::{AtLeast, AtMost};
use healthflow_proof::finding::{Finding, Report};
use healthflow_simulator::answer::{Faults, Limit, Simulator};
use serde_json::json;

use crate::load::{BEGIN, HOUR_MS, MINUTE_MS, publish};
use crate::world::{CALL_MS, CONFIRMED_MS, Ended, World};

/// The day's quota.
const CALLS: u32 = 6_000;
const PARTITIONS: u32 = 6;
/// When history begins to be published. In the first half an hour it costs twice as many calls: charts are read before they are
/// believed. So forecasts count an hour and a half later.
const HISTORY_FROM: i64 = BEGIN + 3 * HOUR_MS;

/// When it was asked; when history, and when everything, was forecast to come to its end.
type Forecast = (i64, Option<i64>, Option<i64>);

/// What one day showed.
struct Day {
    world: World,
    forecasts: Vec<Forecast>,
}

fn settings() -> Settings {
    let window = Window::Fixed(Fixed::aligned(Length::Part(DAY_MS)));
    let (scope, operations) = (Scope::Account, Operations::ALL);
    let day = Policy { name: "day".into(), scope, operations, calls: CALLS, window, burst: 0 };
    Settings {
        partition_count: PARTITIONS,
        guard: GuardMode::IdempotencyKey,
        limits: vec![day],
        requests_per_second: 20.0,
        ..Settings::for_tests()
    }
}

/// Lives a day with so many bookings of each kind; a worker is killed every four hours.
fn live(live_bookings: usize, history: usize) -> Day {
    let limit = Limit {
        name: "day".into(),
        calls: u64::from(CALLS),
        window_seconds: 86_400,
        fixed: true,
        ..Limit::default()
    };
    let simulator =
        Simulator::new(Faults { latency_ms: CALL_MS, limits: vec![limit], ..Faults::default() }, 1);
    let mut world = World::new(settings(), simulator, BEGIN - MINUTE_MS);
    publish(&mut world, "new", Source::Live, live_bookings, (BEGIN, BEGIN + DAY_MS));
    publish(&mut world, "old", Source::Backfill, history, (HISTORY_FROM, HISTORY_FROM + 14 * HOUR_MS));
    for number in 1..6 {
        world.kill(number as usize % 2, BEGIN + number * 4 * HOUR_MS);
    }
    let mut forecasts = Vec::new();
    let mut at = BEGIN;
    while at < BEGIN + DAY_MS {
        at += 2 * MINUTE_MS;
        world.live_until(at.min(BEGIN + DAY_MS - 1));
        let quotas = world.quotas();
        let latest = |of: fn(&healthflow_core::status::QuotaStatus) -> Option<Timestamp>| {
            quotas.iter().map(of).collect::<Option<Vec<_>>>()?.into_iter().max().map(|at| at.0)
        };
        forecasts.push((world.now, latest(|one| one.backfill_ends_at), latest(|one| one.runs_out_at)));
    }
    world.live_until(BEGIN + DAY_MS + MINUTE_MS);
    Day { world, forecasts }
}

impl Day {
    /// Calls of the day, by time; of history only, or all.
    fn calls(&self, is_history: bool) -> Vec<i64> {
        let of_day = |at: i64| (BEGIN..BEGIN + DAY_MS).contains(&at);
        let sent = self.world.sent.iter().filter(|sent| of_day(sent.at) && (sent.is_history || !is_history));
        sent.map(|sent| sent.at).collect()
    }

    /// The part of the live bookings that were confirmed within 30 seconds.
    fn in_time(&self, asked: usize) -> f64 {
        let is_in_time = |ended: &&Ended| ended.source == Source::Live && ended.waited_ms() <= CONFIRMED_MS;
        self.world.ended.iter().filter(is_in_time).count() as f64 / asked as f64
    }

    /// When every worker had only the reserve left.
    fn history_end(&self) -> i64 {
        let come = self.forecasts.iter().find(|(now, history, _)| history.is_some_and(|at| at <= *now));
        come.map_or(BEGIN, |(now, ..)| *now)
    }

    /// The worst error of the forecasts from `from` on until an hour before what they are about, as a part of the time until then.
    fn worst_error(&self, from: i64, actual: i64, of: fn(&Forecast) -> Option<i64>) -> f64 {
        let asked = self.forecasts.iter().filter(|(at, ..)| (from..actual - HOUR_MS).contains(at));
        let error =
            |forecast: &Forecast| Some((of(forecast)? - actual).abs() as f64 / (actual - forecast.0) as f64);
        asked.filter_map(error).fold(f64::NAN, f64::max)
    }

    fn told(&self, of: Source) -> usize {
        let is_one = |(_, fact): &&(i64, Fact)| matches!(fact, Fact::QuotaRunsOut(end) if end.source == of);
        self.world.facts.iter().filter(is_one).count()
    }
}

fn findings(mixed: &Day, live_bookings: usize, stingy: &Day) -> Vec<Finding> {
    let history = mixed.calls(true);
    let (history_end, all_end) = (mixed.history_end(), stingy.calls(false).last().copied().unwrap_or(BEGIN));
    let throttled = mixed.world.healthflow.audit().throttled + stingy.world.healthflow.audit().throttled;
    let of_history = mixed.worst_error(HISTORY_FROM + 3 * HOUR_MS / 2, history_end, |one| one.1);
    let of_all = stingy.worst_error(BEGIN + 2 * HOUR_MS, all_end, |one| one.2);
    let for_history = f64::from(CALLS) * (1.0 - settings().reserve_for_live);
    vec![
        Finding::new(
            "live bookings confirmed within 30 s, history beside them",
            AtLeast(0.999),
            mixed.in_time(live_bookings),
        ),
        Finding::new(
            "calls of the day, history beside",
            AtMost(f64::from(CALLS)),
            mixed.calls(false).len() as f64,
        ),
        Finding::new("calls of history: all but the reserve", AtMost(for_history), history.len() as f64),
        Finding::new(
            "of these used, beside live bookings",
            AtLeast(0.85),
            history.len() as f64 / for_history,
        ),
        Finding::new("error of the forecast for history, at worst", AtMost(0.1), of_history),
        Finding::new(
            "calls of the day, live bookings alone",
            AtMost(f64::from(CALLS)),
            stingy.calls(false).len() as f64,
        ),
        Finding::new(
            "of them used although workers were killed",
            AtLeast(0.98),
            stingy.calls(false).len() as f64 / f64::from(CALLS),
        ),
        Finding::new("error of the forecast for live bookings, at worst", AtMost(0.1), of_all),
        Finding::new(
            "times it was told that live bookings will wait",
            AtLeast(1.0),
            stingy.told(Source::Live) as f64,
        ),
        Finding::new("requests that HealthFlow answered with 429", AtMost(0.0), throttled as f64),
    ]
}

/// Goal: of a day's quota that is too small live bookings are served, and people know in time when it is used up.
pub fn measure() -> Report {
    let (live_bookings, history, stingy_bookings) = (700, 9_000, 8_000);
    let mixed = live(live_bookings, history);
    let stingy = live(stingy_bookings, 0);
    let load = json!({
        "calls_a_day": CALLS, "reserve_for_live": settings().reserve_for_live, "workers": 2, "partitions": PARTITIONS,
        "live_bookings": live_bookings, "history": history, "live_bookings_alone": stingy_bookings,
    });
    Report::new("quota", load, findings(&mixed, live_bookings, &stingy))
}

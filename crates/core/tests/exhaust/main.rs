//! Exhaustive small worlds: the shipped processor in worlds so small that everything that can happen is tried, in every
//! order and with every fault at every place, up to so many faults a path. What the simulation meets by chance, this
//! meets by right.
//!
//! `STATES` says how many states of each world are looked at at most (default: so few that it takes seconds), `WORLD` is
//! a part of the names of the worlds to be explored. A broken promise prints the way there, step by step.

mod bookings;
#[cfg(feature = "planted-defects")]
mod defect_hunt;
mod hasher;
mod healthflow;
mod judge;
mod kafka;
mod landing;
mod moves;
mod owner;
mod scenario;
mod search;
mod situations;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::scenario::Scenario;
use crate::search::{Order, Report, explore, story};
use crate::situations::Situation;

/// States of each world in a whole search, and of all worlds together at the least.
const STATES_WHOLE: usize = 1_000_000;
const STATES_LEAST: usize = 5_000_000;

/// States of each world in a plain `cargo test`; what a world must meet is asked only of larger searches.
const STATES_DEFAULT: usize = 1_000;

/// Goal: in every small world every promise holds in every state, and a good end can be reached from each. Method: all
/// that can be reached, each state once; then backwards from the good ends.
#[test]
fn every_small_world_keeps_every_promise() {
    let states_max = std::env::var("STATES").map(|text| text.parse().expect("STATES is a number"));
    let is_small = states_max.is_err();
    let states_max = states_max.unwrap_or(STATES_DEFAULT);
    let only = std::env::var("WORLD").unwrap_or_default();
    let count = scenario::all().len();
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(index) = Some(next.fetch_add(1, Relaxed)).filter(|index| *index < count) {
                    let world = scenario::all().swap_remove(index);
                    if world.name.contains(&only) {
                        let report = explore(&world, states_max, Order::DeepestFirst);
                        println!("{}", row(&world, &report));
                        reports.lock().expect("nobody panicked").push((index, report));
                    }
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("nobody panicked");
    reports.sort_by_key(|(index, _)| *index);
    let worlds = scenario::all();
    println!(
        "| world | states | steps | deepest | faults a path | seconds | |\n|---|---|---|---|---|---|---|"
    );
    reports.iter().for_each(|(index, report)| println!("{}", row(&worlds[*index], report)));
    let states = reports.iter().map(|(_, report)| report.states).sum::<usize>();
    println!("{states} states");
    if only.is_empty() {
        assert!(is_small || states_max < STATES_WHOLE || states >= STATES_LEAST, "only {states} states");
        let met = |one: &Situation| reports.iter().any(|(_, report)| report.met[*one as usize] > 0);
        let never: Vec<Situation> = Situation::ALL.into_iter().filter(|one| !met(one)).collect();
        assert!(never.is_empty() || reports.iter().any(|(_, report)| report.broken.is_some()), "{never:?}");
    }
    for (index, report) in &reports {
        println!("{}: {}", worlds[*index].name, met(report));
        judge(&worlds[*index], report, is_small);
    }
}

fn row(world: &Scenario, report: &Report) -> String {
    let end = if report.is_complete { "complete" } else { "cut" };
    format!(
        "| {} | {} | {} | {} | {} | {:.1} | {end} |",
        world.name, report.states, report.transitions, report.deepest, world.faults_max, report.seconds
    )
}

/// What a world met, and how often.
fn met(report: &Report) -> String {
    let met = Situation::ALL.into_iter().filter(|one| report.met[*one as usize] > 0);
    met.map(|one| format!("{one:?} {}", report.met[one as usize])).collect::<Vec<_>>().join(", ")
}

fn judge(world: &Scenario, report: &Report, is_small: bool) {
    if let Some(broken) = &report.broken {
        // The nearest way to a broken promise is the easiest to read.
        let nearest = explore(world, report.states, Order::NearestFirst).broken;
        let (what, way) = nearest.as_ref().unwrap_or(broken);
        panic!("{}:\n{}\n{what}", world.name, story(world, way));
    }
    let never: Vec<_> = world.must_meet.iter().filter(|one| report.met[**one as usize] == 0).collect();
    assert!(is_small || never.is_empty(), "{}: never met {never:?}", world.name);
}

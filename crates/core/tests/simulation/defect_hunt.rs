//! Is the simulation any good? Every planted defect must be noticed; the table says by which checker and how soon.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use healthflow_core::defects;

use crate::defects::Defect;
use crate::plan::Plan;
use crate::world::World;

/// A defect that is not noticed within so many lives is not noticed.
const SEEDS_MAX: u64 = 2_000;

#[derive(Clone, Copy, Debug)]
enum Planted {
    InProcessor(defects::Defect),
    AroundIt(Defect),
}

/// The first life in which a defect is noticed, and what was said.
fn hunt(planted: Planted) -> Option<(u64, String)> {
    (1..=SEEDS_MAX).find_map(|seed| {
        let mut plan = Plan::draw(seed, 3);
        match planted {
            Planted::InProcessor(defect) => plan.settings.defect = Some(defect),
            Planted::AroundIt(defect) => plan.defect = Some(defect),
        }
        let mut world = World::new(plan, false);
        world.live();
        world.violations.first().map(|what| (seed, what.clone()))
    })
}

/// Goal: whoever breaks a rule of the protocol is told so. Method: break each on purpose, live until somebody notices.
#[test]
fn every_planted_defect_is_noticed() {
    let all: Vec<Planted> = (defects::Defect::ALL.map(Planted::InProcessor).into_iter())
        .chain(Defect::ALL.map(Planted::AroundIt))
        .collect();
    let parts = std::env::var("DEFECT").unwrap_or_default();
    let is_meant = |planted: &Planted| parts.split(',').any(|part| format!("{planted:?}").contains(part));
    let all: Vec<Planted> = all.into_iter().filter(is_meant).collect();
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(planted) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt(*planted);
                    rows.lock().unwrap().push((*planted, found));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(planted, _)| format!("{planted:?}"));
    println!("| defect | noticed by | in life |\n|---|---|---|");
    for (planted, found) in &rows {
        let name = match planted {
            Planted::InProcessor(defect) => format!("{defect:?}"),
            Planted::AroundIt(defect) => format!("{defect:?}"),
        };
        match found {
            Some((seed, what)) => {
                let checker = what.split_once(':').map_or(what.as_str(), |(checker, _)| checker);
                println!("| `{name}` | {checker} | {seed} |");
            }
            None => println!("| `{name}` | nobody | - |"),
        }
    }
    let missed: Vec<_> =
        rows.iter().filter(|(_, found)| found.is_none()).map(|(planted, _)| planted).collect();
    assert!(missed.is_empty(), "not noticed within {SEEDS_MAX} lives: {missed:?}");
}

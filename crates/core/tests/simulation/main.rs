//! The shipped processor, in virtual time, against a hostile world: Kafka, group, HealthFlow and worker processes are
//! values, every chance comes from one seed, and one checker a promise judges what happens.
//!
//! `SEEDS` says how many lives are lived (default: 3,000), `SEED` which is the first,
//! `LEVEL` how hostile the world is (0 no faults … 3 everything). A life that breaks a promise prints its story; the
//! whole of it goes to `target/simulation/`.

mod broken_shell;
mod by_hand;
mod checkers;
mod commits;
mod counter;
mod coverage;
#[cfg(feature = "planted-defects")]
mod defect_hunt;
mod deadly;
mod deciding;
mod defects;
mod desk;
mod effects;
mod faults;
mod group;
mod healthflow;
mod hostility;
mod kafka;
mod limits;
mod lives;
mod notices;
mod operators;
mod placeholders;
mod plan;
mod returns;
mod schemas;
mod storms;
mod story;
mod topics;
mod words;
mod worker;
mod world;
mod wrong_clocks;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::world::World;

/// Lives in a plain `cargo test`.
const SEEDS_DEFAULT: u64 = 3_000;

/// So many lives meet every possible pair of fault and phase.
const SEEDS_FULL: u64 = 3_000;

/// How much of a broken life is printed, in lines.
const STORY_LINES: usize = 120;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => default,
    }
}

#[derive(Default)]
struct Sum {
    coverage: Coverage,
    broken: Vec<(u64, String)>,
    slowest: (i64, u64),
    /// Faults of every life.
    faults: Vec<u64>,
}

/// Lives one seed; every hundredth twice, to see that chance comes from the seed alone.
fn live(seed: u64, level: u32, sum: &Mutex<Sum>) {
    let twice = seed.is_multiple_of(100);
    let mut world = World::new(Plan::draw(seed, level), twice);
    world.live();
    if twice {
        let mut again = World::new(Plan::draw(seed, level), true);
        again.live();
        if again.story.lines != world.story.lines {
            let at = again.story.lines.iter().zip(&world.story.lines).position(|(a, b)| a != b);
            world.violations.push(format!("the same seed lived another life from line {at:?} on"));
        }
    }
    let mut sum = sum.lock().expect("no life panicked");
    sum.coverage.add(&world.coverage);
    sum.faults.push(world.coverage.faults());
    sum.slowest = sum.slowest.max((world.quiet_after_ms.unwrap_or(0), seed));
    if let Some(first) = world.violations.first() {
        sum.broken.push((seed, first.clone()));
    }
}

fn print_story(seed: u64, level: u32) {
    let mut world = World::new(Plan::draw(seed, level), true);
    world.live();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/simulation");
    let path = format!("{folder}/seed-{seed}.txt");
    let text =
        format!("{:#?}\n{}\n{}", world.plan, world.story.lines.join("\n"), world.violations.join("\n"));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
    let lines = &world.story.lines[world.story.lines.len().saturating_sub(STORY_LINES)..];
    println!("seed {seed}, the last {} lines ({path} {written:?}):\n{}", lines.len(), lines.join("\n"));
    println!("{}", world.violations.join("\n"));
}

/// Goal: every promise of `docs/guarantees.md` holds in every life. Method: seeded lives, a checker a promise.
#[test]
fn every_promise_holds_in_every_life() {
    let (seeds, first) = (number("SEEDS", SEEDS_DEFAULT), number("SEED", 1));
    let level = number("LEVEL", 3) as u32;
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || sum.lock().unwrap().broken.len() >= 20 {
                        return;
                    }
                    live(seed, level, &sum);
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap();
    println!("{}", sum.coverage.table());
    println!(
        "{seeds} seeds from {first} in {:.1} s; the slowest came to rest after {} s (seed {})",
        began.elapsed().as_secs_f64(),
        sum.slowest.0 / 1_000,
        sum.slowest.1,
    );
    sum.faults.sort_unstable();
    let at = |share: usize| sum.faults.get(sum.faults.len() * share / 100).copied().unwrap_or(0);
    println!(
        "{} faults, each counted once; a life has {:.0}, the median {}, one in ten fewer than {}; {} meetings of a \
         fault and a phase",
        sum.coverage.faults(),
        sum.coverage.faults() as f64 / sum.faults.len().max(1) as f64,
        at(50),
        at(10),
        sum.coverage.meetings(),
    );
    let [awaited, first, in_vain] = sum.coverage.slots;
    println!("{awaited} slots awaited, {in_vain} of them in vain; {first} older versions written first");
    let verdicts: Vec<String> =
        sum.coverage.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    println!("decisions carried out: {}", verdicts.join(", "));
    sum.broken.sort();
    if let Some((seed, _)) = sum.broken.first() {
        print_story(*seed, level);
        let all: Vec<String> = sum.broken.iter().map(|(seed, what)| format!("SEED={seed} {what}")).collect();
        panic!("promises were broken; again: make simulate SEEDS=1 SEED={seed}\n{}", all.join("\n"));
    }
    if seeds >= SEEDS_FULL && level >= 3 {
        let never = sum.coverage.never_met();
        assert!(never.is_empty(), "never met: {never:?}");
        assert!(awaited > 0 && first > 0, "no booking waited for another one's slot");
    }
}

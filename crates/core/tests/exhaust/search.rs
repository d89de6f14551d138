//! The search: every world that can be reached, each once. Then backwards: from each a good end must be reachable
//! without a further fault.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use crate::moves::Move;
use crate::scenario::Scenario;
use crate::situations;
use crate::world::{Log, World};

/// Every how many turns a search that looks at the deepest first looks at any other world.
const ANY_OTHER_EVERY: u64 = 64;

/// A fingerprint is a good hash already.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// In which order worlds are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first, which needs little memory; now and then any other, so that a search that is cut has been
    /// everywhere.
    DeepestFirst,
    /// The oldest first: the shortest way to whatever is found.
    NearestFirst,
}

/// What a search found.
pub struct Report {
    pub states: usize,
    pub transitions: u64,
    pub deepest: u32,
    pub is_complete: bool,
    pub seconds: f64,
    pub met: situations::Count,
    /// The promise that was broken first, and the way there.
    pub broken: Option<(String, Vec<Move>)>,
}

struct Search<'a> {
    scenario: &'a Scenario,
    known: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    /// How each world was reached first.
    parents: Vec<(u32, Move)>,
    /// Steps without a fault.
    steps: Vec<(u32, u32)>,
    good: Vec<bool>,
    open: VecDeque<(World, u32, u32)>,
    log: Log,
    turns: u64,
    transitions: u64,
    deepest: u32,
    broken: Option<(String, Vec<Move>)>,
}

/// Explores `scenario` until everything is seen, or `states_max` worlds are.
pub fn explore(scenario: &Scenario, states_max: usize, order: Order) -> Report {
    let began = Instant::now();
    let mut search = Search {
        scenario,
        known: HashMap::default(),
        parents: Vec::new(),
        steps: Vec::new(),
        good: Vec::new(),
        open: VecDeque::new(),
        log: Log::default(),
        turns: 0,
        transitions: 0,
        deepest: 0,
        broken: None,
    };
    let first = World::new(scenario);
    search.enter(first, (0, Move::Publish), 0);
    while search.broken.is_none() && search.known.len() < states_max {
        let Some((world, number, depth)) = search.next(order) else { break };
        search.expand(&world, number, depth);
    }
    let is_complete = search.open.is_empty();
    search.finish_open();
    search.look_for_dead_ends();
    Report {
        states: search.known.len(),
        transitions: search.transitions,
        deepest: search.deepest,
        is_complete,
        seconds: began.elapsed().as_secs_f64(),
        met: search.log.met,
        broken: search.broken,
    }
}

impl Search<'_> {
    /// The world to be looked at next.
    fn next(&mut self, order: Order) -> Option<(World, u32, u32)> {
        self.turns += 1;
        if order == Order::NearestFirst {
            return self.open.pop_front();
        }
        if !self.turns.is_multiple_of(ANY_OTHER_EVERY) {
            return self.open.pop_back();
        }
        // A multiplier with all bits mixed: as good as chance, and always the same.
        let any = self.turns.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.open.swap_remove_back(any as usize % self.open.len().max(1))
    }

    /// Takes note of a world; its number.
    fn enter(&mut self, world: World, from: (u32, Move), depth: u32) -> u32 {
        let next = self.parents.len() as u32;
        let number = *self.known.entry(world.fingerprint()).or_insert(next);
        if number == next {
            self.parents.push(from);
            self.good.push(world.is_done(self.scenario));
            self.deepest = self.deepest.max(depth);
            self.open.push_back((world, number, depth));
        }
        number
    }

    fn expand(&mut self, world: &World, number: u32, depth: u32) {
        for one in world.moves(self.scenario) {
            let mut next = world.clone();
            next.apply(one, self.scenario, &mut self.log);
            self.transitions += 1;
            if let Some(what) = self.log.broken.take() {
                let mut way = self.way_to(number);
                way.push(one);
                self.broken = Some((what, way));
                return;
            }
            let to = self.enter(next, (number, one), depth + 1);
            if !one.is_fault() {
                self.steps.push((number, to));
            }
        }
    }

    fn way_to(&self, number: u32) -> Vec<Move> {
        let mut way = Vec::new();
        let mut at = number;
        while at != 0 {
            let (from, one) = self.parents[at as usize];
            way.push(one);
            at = from;
        }
        way.reverse();
        way
    }

    /// Worlds that were reached but not explored are lived on, without a fault, until they end well or come into one that
    /// was looked at, so that the way back from the good ends finds them.
    fn finish_open(&mut self) {
        let open = std::mem::take(&mut self.open);
        let mut is_open = vec![false; self.good.len()];
        open.iter().for_each(|(_, number, _)| is_open[*number as usize] = true);
        for (world, number, _) in open {
            if self.broken.is_none() {
                self.live_on(world, number, &is_open);
                is_open[number as usize] = false;
            }
        }
    }

    fn live_on(&mut self, mut world: World, number: u32, is_open: &[bool]) {
        for _ in 0..STRAIGHT_STEPS_MAX {
            if world.is_done(self.scenario) {
                self.good[number as usize] = true;
                return;
            }
            let next = world.moves(self.scenario).into_iter().find(|one| !one.is_fault());
            let Some(one) = next else { return };
            world.apply(one, self.scenario, &mut self.log);
            if let Some(what) = self.log.broken.take() {
                let what = format!("{what} (on the straight way from there)");
                self.broken = Some((what, self.way_to(number)));
                return;
            }
            let known = self.known.get(&world.fingerprint()).filter(|known| !is_open[**known as usize]);
            if let Some(known) = known {
                self.steps.push((number, *known));
                return;
            }
        }
    }

    /// Goes back from every good end; what is not met on the way has none.
    fn look_for_dead_ends(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let count = self.good.len();
        let mut begins = vec![0_u32; count + 1];
        for (_, to) in &self.steps {
            begins[*to as usize + 1] += 1;
        }
        for index in 0..count {
            begins[index + 1] += begins[index];
        }
        let mut filled = begins.clone();
        let mut before = vec![0_u32; self.steps.len()];
        for (from, to) in &self.steps {
            before[filled[*to as usize] as usize] = *from;
            filled[*to as usize] += 1;
        }
        let mut queue: Vec<u32> = (0..count as u32).filter(|number| self.good[*number as usize]).collect();
        while let Some(number) = queue.pop() {
            for from in &before[begins[number as usize] as usize..begins[number as usize + 1] as usize] {
                if !std::mem::replace(&mut self.good[*from as usize], true) {
                    queue.push(*from);
                }
            }
        }
        if let Some(number) = self.good.iter().position(|good| !good) {
            let hopeless = self.good.iter().filter(|good| !**good).count();
            let what =
                format!("none lost: no good end from here without a further fault ({hopeless} such states)");
            self.broken = Some((what, self.way_to(number as u32)));
        }
    }
}

/// More steps than any straight way to the end has.
const STRAIGHT_STEPS_MAX: usize = 5_000;

/// A way told step by step.
pub fn story(scenario: &Scenario, way: &[Move]) -> String {
    let mut log = Log { story: Some(Vec::new()), ..Log::default() };
    let mut world = World::new(scenario);
    for one in way {
        world.apply(*one, scenario, &mut log);
    }
    log.story.unwrap_or_default().join("\n")
}

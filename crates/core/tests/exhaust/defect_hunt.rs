//! Planted defects in the small worlds: a defect that breaks a rule must break a promise here too, and the shortest path to
//! it shows how.

use healthflow_core::defects::Defect;

use crate::scenario;
use crate::search::{Order, explore, story};

/// States of each world in which a defect is looked for.
const STATES_MAX: usize = 50_000;

/// States of one world in which the shortest way is looked for, once there is one.
const NEAREST_MAX: usize = 20_000;

/// What no small world can show: nothing in them is without identity, nobody counts attempts, nobody redrives.
const BEYOND: [Defect; 4] = [
    Defect::UnidentifiedDeadLetteredAtOnce,
    Defect::NoGeneration,
    Defect::RedriveOfAnyGeneration,
    Defect::RedriveKeepsGeneration,
];

/// Goal: the search finds what is there to be found. Method: break the shipped processor, rule by rule.
#[test]
fn planted_defects_have_a_counterexample() {
    let only = std::env::var("DEFECT").unwrap_or_default();
    let mut table =
        String::from("| defect | in the world | states | steps | what broke |\n|---|---|---|---|---|\n");
    let mut unseen = Vec::new();
    for defect in Defect::ALL.into_iter().filter(|defect| format!("{defect:?}").contains(&only)) {
        let found = scenario::all().into_iter().find_map(|mut world| {
            world.settings.defect = Some(defect);
            let report = explore(&world, STATES_MAX, Order::DeepestFirst);
            report.broken.map(|broken| (world, broken, report.states))
        });
        match found {
            Some((world, broken, states)) => {
                let nearest = explore(&world, NEAREST_MAX, Order::NearestFirst).broken;
                let (what, way) = nearest.unwrap_or(broken);
                println!("{defect:?} in {}:\n{}\n{what}\n", world.name, story(&world, &way));
                let row = format!("| `{defect:?}` | {} | {states} | {} | {what} |\n", world.name, way.len());
                table.push_str(&row);
            }
            None => unseen.push(defect),
        }
    }
    println!("{table}");
    unseen.retain(|defect| !BEYOND.contains(defect));
    assert!(unseen.is_empty(), "not noticed: {unseen:?}");
}

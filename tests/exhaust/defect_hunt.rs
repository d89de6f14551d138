//! Planted defects in the small worlds: what breaks a rule must break a promise here too, and the shortest way there
//! tells how.

use healthflow_sync::processor::defects::Defect;

use crate::scenario;
use crate::search::{Order, explore, story};

/// States of a world that are looked at for one defect.
const STATES_MAX: usize = 200_000;

/// Goal: the search can find something. Method: break the shipped processor, rule by rule, and look for the nearest
/// state that breaks a promise.
#[test]
fn planted_defects_have_a_counterexample() {
    let only = std::env::var("DEFECT").unwrap_or_default();
    let mut unseen = Vec::new();
    for defect in Defect::ALL.into_iter().filter(|defect| format!("{defect:?}").contains(&only)) {
        let found = scenario::all().into_iter().find_map(|mut world| {
            world.settings.defect = Some(defect);
            let report = explore(&world, STATES_MAX, Order::NearestFirst);
            report.broken.map(|(what, way)| (world, what, way, report.states))
        });
        match found {
            Some((world, what, way, states)) => {
                println!("{}\n", story(&world, &way));
                println!("| `{defect:?}` | {} | {} | {states} | {} |", world.name, what, way.len());
            }
            None => unseen.push(defect),
        }
    }
    println!("not noticed: {unseen:?}");
}

//! Every appointment is in the chart of the person it was booked for, or in one that a person called theirs. A cancelled one
//! stays in the chart it was in, whichever patient the cancellation names.

use std::collections::BTreeMap;

use healthflow_proof::promises::newest;

use crate::by_hand;
use crate::lives::{Human, tag};
use crate::world::World;

/// Whose each chart is, as far as that is known.
pub fn whose_charts(world: &World) -> BTreeMap<String, Human> {
    let mut charts: BTreeMap<String, Human> = BTreeMap::new();
    for (index, (_, human)) in world.lives.seeded.iter().enumerate() {
        charts.insert(format!("hfp-{}", index + 1), *human);
    }
    for chart in &world.healthflow.simulator.ledger().patients {
        let body = &chart.record.body;
        // What comes behind the patient id is for HealthFlow (rule W8).
        let patient = |reference: &str| reference.split('~').next().unwrap_or_default().to_owned();
        let human =
            |reference: &str| world.lives.human(&body.practice_id, &patient(reference), &body.family_name);
        if let Some(human) = body.external_id.as_deref().and_then(human) {
            charts.insert(chart.record.id.to_string(), human);
        }
    }
    charts
}

pub fn broken(world: &World) -> Vec<String> {
    let ledger = world.healthflow.simulator.ledger();
    let charts = whose_charts(world);
    let mut broken = Vec::new();
    for appointment in ledger.appointments.iter().filter(|one| &*one.record.body.status == "scheduled") {
        let body = &appointment.record.body;
        let Some(human) = charts.get(&*body.patient_id) else { continue };
        let text = body.note.as_deref().unwrap_or_default();
        let booked =
            world.lives.wanted.values().filter(|booking| {
                booking.key.practice.as_str() == &*body.practice_id && tag(booking) == text
            });
        let booked_for = booked.filter_map(|booking| world.lives.human_of(booking));
        let booked_for: Vec<Human> = booked_for.collect();
        let wanted_so = booked_for.iter().any(|human| world.judges.orders.links(&body.patient_id, *human));
        let fits = wanted_so || newest::right_chart(human, booked_for.into_iter());
        if !fits && text != by_hand::NOTE {
            broken.push(format!("{text} stands in the chart {} of somebody else", body.patient_id));
        }
    }
    broken
}

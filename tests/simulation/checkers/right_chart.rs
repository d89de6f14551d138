//! Every appointment stands in the chart of the person it was booked for. A cancelled one stays in the chart it was in,
//! whomever the cancellation names.

use std::collections::BTreeMap;

use healthflow_sync::booking::PatientId;

use crate::by_hand;
use crate::lives::{Human, tag};
use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    let ledger = world.healthflow.simulator.ledger();
    let mut charts: BTreeMap<String, Human> = BTreeMap::new();
    for (index, (_, human)) in world.lives.seeded.iter().enumerate() {
        charts.insert(format!("hfp-{}", index + 1), *human);
    }
    for chart in &ledger.patients {
        let body = &chart.record.body;
        if let Some(reference) = body.external_id.as_deref() {
            let patient = ((&*body.practice_id).into(), PatientId::from(reference));
            if let Some(human) = world.lives.humans.get(&patient) {
                charts.insert(chart.record.id.to_string(), *human);
            }
        }
    }
    let mut broken = Vec::new();
    for appointment in ledger.appointments.iter().filter(|one| &*one.record.body.status == "scheduled") {
        let body = &appointment.record.body;
        let Some(human) = charts.get(&*body.patient_id) else { continue };
        let text = body.note.as_deref().unwrap_or_default();
        let mut booked =
            world.lives.wanted.values().filter(|booking| {
                booking.key.practice.as_str() == &*body.practice_id && tag(booking) == text
            });
        let fits = booked.any(|booking| {
            let patient = (booking.key.practice.clone(), booking.patient.id.clone());
            world.lives.humans.get(&patient) == Some(human)
        });
        if !fits && text != by_hand::NOTE {
            broken.push(format!("{text} stands in the chart {} of somebody else", body.patient_id));
        }
    }
    broken
}

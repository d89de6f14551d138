//! What people do by hand, beside us: in HealthFlow they delete what we created, and they change it; they redrive dead
//! letters. How they decide about reviews is in `deciding.rs`.

use std::sync::Arc;

use healthflow_core::event::Arrival;
use healthflow_core::event::failed::AppointmentFailed;
use healthflow_core::healthflow::AppointmentId;
use healthflow_core::healthflow::wire::{Method, WireRequest};
use healthflow_core::settings::GuardMode;
use healthflow_core::time::Timestamp;
use healthflow_simulator::answer::{AppointmentBody, PatientBody};
use serde::Serialize;

use crate::coverage::Phase;
use crate::faults::FaultKind;
use crate::healthflow::HealthFlow;
use crate::world::World;
use healthflow_proof::random::Random;

/// The note of an appointment that somebody changed by hand: until our next write of it nobody can say what should stand.
pub const NOTE: &str = "changed by hand";

impl World {
    pub fn somebody_deletes(&mut self) {
        // A unique reference is free again once its record is deleted: a create that was repeated and then lands late
        // makes a second one. Nothing protects against that; README and guarantees say so.
        let settings = &self.plan.settings;
        let is_freed = settings.guard == GuardMode::UniqueReference;
        let before = if is_freed { self.now - settings.settle_ms() } else { self.now };
        if let Some(id) = self.healthflow.delete_one(before, self.now, &mut self.random) {
            self.coverage.strikes(FaultKind::Delete);
            self.coverage.meets(FaultKind::Delete, Phase::Any);
            self.story.tell(self.now, || format!("somebody deletes {id}"));
        }
    }

    pub fn somebody_edits(&mut self, id: Option<&AppointmentId>) {
        if let Some(id) = self.healthflow.edit_one(id, self.now, &mut self.random) {
            self.coverage.strikes(FaultKind::EditByHand);
            self.coverage.meets(FaultKind::EditByHand, Phase::Any);
            self.story.tell(self.now, || format!("somebody changes {id}"));
        }
    }
}

impl World {
    /// An operator redrives a dead letter of somewhere: mostly the newest, now and then an old one, or twice.
    pub fn somebody_redrives(&mut self) {
        let partition = self.random.below(self.partitions.len());
        let count = self.partitions[partition].letters.len();
        let which = if self.random.chance(0.6) { count.saturating_sub(1) } else { self.random.below(count) };
        let Some(letter) = self.partitions[partition].letters.get(which).cloned() else { return };
        let Ok(entry) = AppointmentFailed::from(&letter).into_redrive(Timestamp(self.now)) else { return };
        self.coverage.strikes(FaultKind::Redrive);
        self.coverage.meets(FaultKind::Redrive, Phase::Any);
        let (version, generation) = (entry.booking.version_key(), entry.generation);
        self.story.tell(self.now, || format!("somebody redrives {version} g{generation}"));
        self.judges.one_result.redriven.insert((version, generation));
        for _ in 0..if self.random.chance(0.3) { 2 } else { 1 } {
            let arrival = Arrival::Retry(Box::new(entry.clone()));
            let kafka = &mut self.partitions[partition];
            let offset = kafka.retry.append(arrival, &mut self.random);
            kafka.redrives.push(offset);
        }
        self.wake_readers(partition as i32);
    }
}

impl HealthFlow {
    /// A person deletes something that was created before `before`; its id.
    fn delete_one(&mut self, before: i64, now: i64, random: &mut Random) -> Option<Arc<str>> {
        let mut ledger = self.simulator.ledger();
        ledger.appointments.retain(|one| one.created_at_ms.0 < before);
        ledger.patients.retain(|one| one.created_at_ms.0 < before);
        if random.chance(0.6) {
            let one = ledger.appointments.get(random.below(ledger.appointments.len()))?;
            let id = one.record.id.clone();
            self.simulator.delete_appointment(&id);
            self.deleted.insert(id.clone(), now);
            return Some(id);
        }
        let id = ledger.patients.get(random.below(ledger.patients.len()))?.record.id.clone();
        self.simulator.delete_patient(&id);
        self.deleted.insert(id.clone(), now);
        Some(id)
    }

    /// A person changes this appointment or any, or puts a name right; its id.
    fn edit_one(&mut self, which: Option<&AppointmentId>, now: i64, random: &mut Random) -> Option<Arc<str>> {
        let ledger = self.simulator.ledger();
        if which.is_some() || random.chance(0.8) {
            let one = match which {
                Some(id) => ledger.appointments.iter().find(|one| &*one.record.id == id.as_str())?,
                None => ledger.appointments.get(random.below(ledger.appointments.len()))?,
            };
            let mut body: AppointmentBody = one.record.body.clone();
            body.note = Some(NOTE.to_owned());
            body.duration_minutes = 45;
            if random.chance(0.3) {
                body.status = if &*body.status == "cancelled" { "scheduled" } else { "cancelled" }.into();
            }
            let id = one.record.id.clone();
            let path = format!("/appointments/{id}");
            self.note_before(&path, now);
            self.put(path, &body, now)?;
            self.edited.insert(id.clone(), now);
            return Some(id);
        }
        let one = ledger.patients.get(random.below(ledger.patients.len()))?;
        let mut body: PatientBody = one.record.body.clone();
        body.given_name = format!("{} Maria", body.given_name);
        let id = one.record.id.clone();
        self.put(format!("/patients/{id}"), &body, now)?;
        Some(id)
    }

    fn put(&mut self, path_and_query: String, body: &impl Serialize, now: i64) -> Option<()> {
        let body = serde_json::to_vec(body).ok();
        let put =
            WireRequest { method: Method::Put, path_and_query, idempotency_key: None, if_match: None, body };
        let reply = self.simulator.answer(&put, Timestamp(now))?;
        (reply.status == 200).then_some(())
    }
}

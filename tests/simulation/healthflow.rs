//! HealthFlow in virtual time: the simulator's pure core carries requests out, this file says when they arrive and what
//! the caller hears of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use healthflow_sync::healthflow::fault::{NotSent, Unknown};
use healthflow_sync::healthflow::wire::{TransportFault, WireReply, WireRequest};
use healthflow_sync::healthflow::{Request, decode, encode};
use healthflow_sync::processor::{CallId, GuardMode, Input};
use healthflow_sync::simulator::answer::{Ending, Moods, Simulator};
use healthflow_sync::time::Timestamp;

use crate::faults::FaultKind;
use crate::lives::Lives;
use crate::plan::{BEGIN_MS, Plan};
use crate::random::Random;
use crate::worker::{Deed, Outbound};
use crate::world::{Event, World};

pub struct HealthFlow {
    pub simulator: Simulator,
    moods: Moods,
    /// Appointments and patients that a person deleted, and when.
    pub deleted: BTreeMap<Arc<str>, i64>,
    pub outage_until: i64,
    /// Requests that were sent and have not arrived.
    pub under_way: usize,
}

/// A request on the wire.
#[derive(Debug)]
pub struct Arrival {
    wire: WireRequest,
    request: Request,
    worker: usize,
    life: u64,
    call: CallId,
    /// Whether the caller hears the real answer; else it was told something already.
    heard: bool,
    latency_ms: i64,
}

impl HealthFlow {
    pub fn new(plan: &Plan, lives: &Lives) -> Self {
        let moods = Moods {
            honours_idempotency_keys: plan.settings.guard == GuardMode::IdempotencyKey,
            unique_external_id: plan.settings.guard == GuardMode::UniqueReference,
            idempotency_key_retention_ms: plan.settings.key_retention_ms as u64,
            replays_for_other_bytes: plan.replays_for_other_bytes,
            slot_conflicts: plan.slot_conflicts,
            page_size: plan.page_size,
            ..Moods::default()
        };
        let mut simulator = Simulator::new(moods.clone(), plan.seed);
        let charts = lives.seeded.iter().map(|(body, _)| body.clone()).collect();
        simulator.seed_patients(charts, Timestamp(BEGIN_MS));
        HealthFlow { simulator, moods, deleted: BTreeMap::new(), outage_until: 0, under_way: 0 }
    }

    /// Carries a request out now; what it creates may be seen by searches only after a lag.
    fn carry_out(&mut self, wire: &WireRequest, lag_ms: i64, now: i64) -> Option<WireReply> {
        self.simulator.set_moods(Moods { search_lag_ms: lag_ms as u64, ..self.moods.clone() });
        match self.simulator.handle(wire, Timestamp(now)).ending {
            Ending::Reply(reply) => Some(reply),
            Ending::Dropped | Ending::Refused => None,
        }
    }

    /// A person deletes something that was created before `before`; its id.
    pub fn delete_one(&mut self, before: i64, now: i64, random: &mut Random) -> Option<Arc<str>> {
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
}

/// What becomes of one call.
struct Fate {
    /// When it is carried out, if ever.
    arrives_ms: Option<i64>,
    /// What the caller hears instead of the answer, and when.
    told: Option<(i64, Result<WireReply, TransportFault>)>,
}

impl World {
    /// The bytes go out.
    pub fn send(&mut self, worker: usize, outbound: Outbound) {
        let kind = self.call_fault(&outbound.request);
        let fate = self.fate(kind);
        let Outbound { call, mut request, .. } = outbound;
        if let Some(defect) = self.plan.defect {
            defect.rekey(&mut request);
        }
        let wire = encode(&request);
        self.story.tell(self.now, || {
            let fault = kind.map_or(String::new(), |kind| format!(" {kind:?} {:?}", fate.arrives_ms));
            format!("w{worker} sends {} {} {}{fault}", call.0, wire.path_and_query, body_text(&wire))
        });
        let life = self.workers[worker].life;
        let heard = fate.told.is_none();
        if let Some((ms, told)) = fate.told {
            let clock = self.workers[worker].clock(self.now + ms);
            let reply = decode(&request, told, clock);
            self.worker_learns(worker, ms, Input::Answered { call, reply });
        }
        if let Some(ms) = fate.arrives_ms {
            self.healthflow.under_way += 1;
            let latency_ms = self.random.between(1, 200);
            let arrival = Arrival { wire, request, worker, life, call, heard, latency_ms };
            self.after(ms, Event::CallArrives(Box::new(arrival)));
        }
    }

    pub fn call_arrives(&mut self, arrival: Arrival) {
        let Arrival { wire, request, worker, life, call, heard, latency_ms } = arrival;
        self.healthflow.under_way -= 1;
        let most_ms = self.plan.settings.search_lag_ms;
        let lag_ms = if self.random.chance(0.3) { most_ms } else { self.random.between(0, most_ms) };
        let reply = if self.refuses_its_own(&request) {
            let body = br#"{"code":"SLOT_TAKEN","message":"by yourself"}"#.to_vec();
            Some(WireReply { status: 409, retry_after: None, body })
        } else {
            self.healthflow.carry_out(&wire, lag_ms, self.now)
        };
        self.story.tell(self.now, || {
            let answer = reply.as_ref().map_or(String::new(), |reply| {
                format!(
                    "{} {}",
                    reply.status,
                    String::from_utf8_lossy(&reply.body[..reply.body.len().min(110)])
                )
            });
            format!("HealthFlow carries out w{worker} {}: {answer}", call.0)
        });
        if heard {
            let received = reply.ok_or(TransportFault::Unknown(Unknown::Reset));
            let clock = self.workers[worker].clock(self.now + latency_ms);
            let reply = decode(&request, received, clock);
            let deed = Deed::Learn(Input::Answered { call, reply });
            self.after(latency_ms, Event::ForWorker { worker, life, deed: Box::new(deed) });
        }
    }

    fn call_fault(&mut self, request: &Request) -> Option<FaultKind> {
        let operation = request.operation();
        if self.now < self.healthflow.outage_until {
            let kind = *self.random.pick(&[FaultKind::Connect, FaultKind::ErrorBefore]);
            self.meet_call(operation, kind);
            return Some(kind);
        }
        if !self.strikes(self.plan.faults.call) {
            return None;
        }
        let mut kind = *self.random.pick(&self.plan.faults.calls);
        if self.plan.faults.calls.contains(&FaultKind::StaleReplica) && self.is_fresh(request) {
            kind = FaultKind::StaleReplica;
        }
        if kind == FaultKind::StaleReplica && !self.is_fresh(request) {
            return None;
        }
        self.meet_call(operation, kind);
        Some(kind)
    }

    /// Whether a replica that lags may not know yet what `request` is about.
    fn is_fresh(&self, request: &Request) -> bool {
        let Request::UpdateAppointment { id, .. } = request else { return false };
        let ledger = self.healthflow.simulator.ledger();
        let mut of = ledger.appointments.iter().filter(|one| &*one.record.id == id.as_str());
        of.any(|one| self.now - one.created_at_ms.0 < self.plan.settings.search_lag_ms)
    }

    /// Whether HealthFlow refuses to create what stands there already, because it takes its own slot.
    fn refuses_its_own(&self, request: &Request) -> bool {
        let Request::CreateAppointment { content, .. } = request else { return false };
        let ledger = self.healthflow.simulator.ledger();
        self.plan.slot_conflicts
            && self.plan.slots_before_keys
            && ledger.appointments.iter().map(|one| &one.record.body).any(|body| {
                &*body.practice_id == content.practice.as_str()
                    && body.external_id.as_deref() == Some(content.booking.as_str())
                    && &*body.status == "scheduled"
            })
    }

    fn fate(&mut self, kind: Option<FaultKind>) -> Fate {
        let life_ms = self.plan.settings.request_life_ms;
        let late_ms = self.plan.settings.late_landing_ms;
        let soon_ms = self.random.between(1, 20);
        let later_ms = soon_ms + self.random.between(1, 500);
        let reply = |status: u16| Ok(WireReply { status, retry_after: None, body: b"{}".to_vec() });
        let unknown = |why: Unknown| Err(TransportFault::Unknown(why));
        let (arrives_ms, told) = match kind {
            None => (Some(soon_ms), None),
            Some(FaultKind::Connect) => {
                (None, Some((soon_ms, Err(TransportFault::NotSent(NotSent::Connect)))))
            }
            Some(FaultKind::Throttled) => {
                let retry_after = self.random.chance(0.7).then(|| self.random.between(1, 8).to_string());
                let reply = WireReply { status: 429, retry_after, body: b"{}".to_vec() };
                (None, Some((soon_ms, Ok(reply))))
            }
            Some(FaultKind::StaleReplica) => {
                let body = br#"{"code":"APPOINTMENT_NOT_FOUND","message":"a replica that lags"}"#.to_vec();
                (None, Some((soon_ms, Ok(WireReply { status: 404, retry_after: None, body }))))
            }
            Some(FaultKind::Unauthorised) => (None, Some((soon_ms, reply(401)))),
            Some(FaultKind::ErrorBefore) => (None, Some((soon_ms, reply(500)))),
            Some(FaultKind::ErrorAfter) => (Some(soon_ms), Some((later_ms, reply(503)))),
            Some(FaultKind::ResetBefore) => (None, Some((soon_ms, unknown(Unknown::Reset)))),
            Some(FaultKind::ResetAfter) => (Some(soon_ms), Some((later_ms, unknown(Unknown::Reset)))),
            Some(FaultKind::Unreadable) => (Some(soon_ms), Some((later_ms, reply(200)))),
            Some(FaultKind::TimeoutBefore) => (None, Some((life_ms, unknown(Unknown::Timeout)))),
            Some(FaultKind::TimeoutAfter) => (Some(soon_ms), Some((life_ms, unknown(Unknown::Timeout)))),
            Some(_) => {
                // The latest moment that is allowed is the most telling one.
                let least_ms = if self.random.chance(0.4) { life_ms + late_ms } else { 1 };
                let lands_ms = self.random.between(least_ms, life_ms + late_ms);
                let why = *self.random.pick(&[Unknown::Reset, Unknown::Timeout]);
                let told_ms = if why == Unknown::Timeout { life_ms } else { later_ms };
                (Some(lands_ms), Some((told_ms, unknown(why))))
            }
        };
        Fate { arrives_ms, told }
    }
}

fn body_text(wire: &WireRequest) -> String {
    let body = wire.body.as_deref().unwrap_or_default();
    String::from_utf8_lossy(&body[..body.len().min(150)]).into_owned()
}

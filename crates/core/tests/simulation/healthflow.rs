//! HealthFlow in virtual time: the simulator's pure core carries requests out, this file says when they arrive and what
//! the caller hears of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{BookingKey, PracticeId};
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::wire::{Method, TransportFault, WireReply, WireRequest};
use healthflow_core::healthflow::{Operation, Request, encode};
use healthflow_core::life::CallId;
use healthflow_core::settings::GuardMode;
use healthflow_core::time::Timestamp;
use healthflow_proof::shell::Call;
use healthflow_simulator::answer::{Ending, Faults, Simulator};

use crate::coverage::Phase;
use crate::faults::{FaultEvent, FaultKind};
use crate::lives::Lives;
use crate::plan::{BEGIN_MS, Plan};
use crate::words::learned;
use crate::worker::{Deed, Outbound};
use crate::world::{Event, World};
use healthflow_proof::random::Random;

pub struct HealthFlow {
    pub simulator: Simulator,
    faults: Faults,
    hidden: Vec<Hidden>,
    /// What stood before each change of each appointment, and when that came: what a replica that lags may show.
    before: BTreeMap<String, Vec<(i64, WireReply)>>,
    /// Appointments and patients that a person deleted, and when.
    pub deleted: BTreeMap<Arc<str>, i64>,
    /// Appointments that a person changed, and when last.
    pub edited: BTreeMap<Arc<str>, i64>,
    /// Appointments of which an update was answered that something else stands (412), and when last.
    pub told: BTreeMap<Arc<str>, i64>,
    /// Bookings of which HealthFlow itself refused something.
    pub refused: BTreeSet<BookingKey>,
    pub outage_until: i64,
    /// What nobody answers then; none: everything.
    pub outage_of: Option<Operation>,
    /// Requests that were sent and have not arrived.
    pub under_way: usize,
}

/// Something that stands, and that searches do not show yet.
#[derive(Debug)]
struct Hidden {
    practice: PracticeId,
    until: i64,
    is_counted: bool,
}

/// A request on the wire.
#[derive(Debug)]
pub struct Carried {
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
        let faults = Faults {
            honours_idempotency_keys: plan.settings.guard == GuardMode::IdempotencyKey,
            unique_external_id: plan.settings.guard == GuardMode::UniqueReference,
            keeps_external_id: plan.settings.guard.has_references(),
            // Workers are told less, by how far their clocks may differ (rule W5).
            idempotency_key_retention_ms: (plan.settings.key_retention_ms + 2 * plan.skew_max_ms) as u64,
            supports_if_match: plan.settings.supports_if_match,
            updates_without_content: plan.settings.updates_without_content,
            replays_for_other_bytes: plan.replays_for_other_bytes,
            slot_conflicts: plan.slot_conflicts,
            page_size: plan.page_size,
            ..crate::limits::healthflow(plan.seed, &plan.settings)
        };
        let mut simulator = Simulator::new(faults.clone(), plan.seed);
        let charts = lives.seeded.iter().map(|(body, _)| body.clone()).collect();
        simulator.seed_patients(charts, Timestamp(BEGIN_MS));
        HealthFlow {
            simulator,
            faults,
            hidden: Vec::new(),
            before: BTreeMap::new(),
            deleted: BTreeMap::new(),
            edited: BTreeMap::new(),
            told: BTreeMap::new(),
            refused: BTreeSet::new(),
            outage_until: 0,
            outage_of: None,
            under_way: 0,
        }
    }

    /// Remembers what stands at `path`, which is about to change.
    pub fn note_before(&mut self, path: &str, now: i64) {
        let get = WireRequest {
            method: Method::Get,
            path_and_query: path.to_owned(),
            idempotency_key: None,
            if_match: None,
            body: None,
        };
        self.simulator.set_faults(Faults { limits: Vec::new(), ..self.faults.clone() });
        if let Some(reply) = self.simulator.answer(&get, Timestamp(now)).filter(|reply| reply.status == 200) {
            self.before.entry(path.to_owned()).or_default().push((now, reply));
        }
    }

    /// What a replica that lags answers: what stood there before, or that nothing does.
    fn shown_before(&self, request: &Request, since: i64, random: &mut Random) -> WireReply {
        let path = match request {
            Request::ReadAppointment { id } => format!("/appointments/{}", id.as_str()),
            _ => String::new(),
        };
        let all = self.before.get(&path).map_or(&[][..], Vec::as_slice);
        let within = &all[all.partition_point(|(at, _)| *at <= since)..];
        // The oldest are the most telling ones.
        let before = within.get(random.below(within.len()).min(random.below(within.len())));
        let body = br#"{"code":"APPOINTMENT_NOT_FOUND","message":"a replica that lags","fields":[]}"#;
        let nothing = WireReply::bare(404, body.to_vec());
        before.map_or(nothing, |(_, reply)| reply.clone())
    }

    /// Carries a request out now; what it creates may be seen by searches only after a lag.
    fn carry_out(
        &mut self,
        (wire, request): (&WireRequest, &Request),
        lag_ms: i64,
        now: i64,
    ) -> Option<WireReply> {
        if matches!(request, Request::UpdateAppointment { .. }) {
            self.note_before(&wire.path_and_query, now);
        }
        self.simulator.set_faults(Faults { search_lag_ms: lag_ms as u64, ..self.faults.clone() });
        let ending = self.simulator.handle(wire, Timestamp(now)).ending;
        let created = self.simulator.writes().last().is_some_and(|write| write.effect == "created");
        if let (true, true, Some(practice)) = (created, lag_ms > 0, created_in(request)) {
            self.hidden.push(Hidden { practice: practice.clone(), until: now + lag_ms, is_counted: false });
        }
        match ending {
            Ending::Reply(reply) => Some(reply),
            Ending::Dropped | Ending::Refused => None,
        }
    }
}

/// What becomes of one call.
struct Delivery {
    /// When it is carried out, if ever.
    arrives_ms: Option<i64>,
    /// What the caller hears instead of the answer, and when.
    told: Option<(i64, Result<WireReply, TransportFault>)>,
}

impl World {
    /// The bytes go out.
    pub fn send(&mut self, worker: usize, outbound: Outbound) {
        let kind = self.call_fault(&outbound.call.request);
        let delivery = self.delivery(kind, &outbound.call.request);
        let Call { id: call, mut request, .. } = outbound.call;
        if let Some(defect) = self.plan.defect {
            defect.rekey(&mut request);
        }
        self.remember_write(&request);
        let wire = encode(&request);
        self.story.tell(self.now, || {
            let fault = kind.map_or(String::new(), |kind| format!(" {kind:?} {:?}", delivery.arrives_ms));
            format!("w{worker} sends {} {} {}{fault}", call.0, wire.path_and_query, body_text(&wire))
        });
        let life = self.workers[worker].life;
        let heard = delivery.told.is_none();
        if let Some((ms, told)) = delivery.told {
            let clock = self.workers[worker].clock(self.now + ms);
            for input in learned(call, &request, told, clock) {
                self.worker_learns(worker, ms, input);
            }
        }
        if let Some(ms) = delivery.arrives_ms {
            self.healthflow.under_way += 1;
            let latency_ms = self.random.between(1, 200);
            let carried = Carried { wire, request, worker, life, call, heard, latency_ms };
            self.after(ms, Event::CallArrives(Box::new(carried)));
        }
    }

    /// A request goes out that the processor knows nothing of: only where that defect is planted.
    pub fn repeats_unasked(&mut self, worker: usize, request: Request) {
        let life = self.workers[worker].life;
        let (wire, call) = (encode(&request), CallId(0));
        self.healthflow.under_way += 1;
        let carried = Carried { wire, request, worker, life, call, heard: false, latency_ms: 0 };
        self.after(1, Event::CallArrives(Box::new(carried)));
    }

    pub fn call_arrives(&mut self, carried: Carried) {
        let Carried { wire, request, worker, life, call, heard, latency_ms } = carried;
        self.healthflow.under_way -= 1;
        let most_ms = self.plan.settings.search_lag_ms;
        let lag_ms = if self.random.chance(0.3) { most_ms } else { self.random.between(0, most_ms) };
        let reply = if let Some(refusal) = self.refusal(&request) {
            Some(refusal)
        } else {
            self.note_search_lag(&request);
            self.somebody_looks_at_it(&request);
            self.healthflow.carry_out((&wire, &request), lag_ms, self.now)
        };
        if reply.as_ref().is_some_and(|reply| (400..500).contains(&reply.status)) {
            self.healthflow.refused.extend(whose(&request));
        }
        if let (Some(412), Request::UpdateAppointment { id, .. }) =
            (reply.as_ref().map(|it| it.status), &request)
        {
            self.healthflow.told.insert(Arc::from(id.as_str()), self.now);
        }
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
            for deed in learned(call, &request, received, clock).map(Deed::Learn).map(Box::new) {
                self.after(latency_ms, Event::ForWorker { worker, life, deed });
            }
        }
    }

    /// Where bookings waver, so do people: who sees a change changes it again.
    fn somebody_looks_at_it(&mut self, request: &Request) {
        if let Request::UpdateAppointment { id, .. } = request
            && self.plan.wavering
            && self.strikes(0.4)
        {
            let ms = self.random.between(5, 500);
            self.after(ms, Event::Fault(FaultEvent::Edit(Some(id.clone()))));
        }
    }

    /// A read of a practice in which something stands that is not shown yet.
    fn note_search_lag(&mut self, request: &Request) {
        let (Request::SearchPatients { practice, .. } | Request::FindAppointment { practice, .. }) = request
        else {
            return;
        };
        self.healthflow.hidden.retain(|hidden| hidden.until > self.now);
        let mut meets = false;
        for hidden in self.healthflow.hidden.iter_mut().filter(|hidden| hidden.practice == *practice) {
            meets = true;
            if !std::mem::replace(&mut hidden.is_counted, true) {
                self.coverage.strikes(FaultKind::SearchLag);
            }
        }
        if meets {
            self.coverage.meets(FaultKind::SearchLag, Phase::of(request.operation()));
        }
    }

    fn call_fault(&mut self, request: &Request) -> Option<FaultKind> {
        let operation = request.operation();
        let is_down = self.healthflow.outage_of.is_none_or(|down| down == operation);
        if self.now < self.healthflow.outage_until && is_down {
            // What answers others is reached.
            let all = [FaultKind::ErrorBefore, FaultKind::TimeoutBefore, FaultKind::Connect];
            let some = if self.healthflow.outage_of.is_some() { &all[..2] } else { &all };
            let kind = *self.random.pick(some);
            self.coverage.meets(FaultKind::Outage, Phase::of(operation));
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
        self.strike_call(operation, kind);
        Some(kind)
    }

    /// Whether a replica that lags may not know yet what `request` is about.
    fn is_fresh(&self, request: &Request) -> bool {
        let id = match request {
            // Where bookings waver, replicas lag behind changes, not behind creations.
            Request::UpdateAppointment { id, .. } if !self.plan.wavering => id,
            Request::ReadAppointment { id } => {
                let before = self.healthflow.before.get(&format!("/appointments/{}", id.as_str()));
                let newest = before.and_then(|before| before.last());
                return newest.is_some_and(|(at, _)| self.now - at < self.plan.settings.search_lag_ms);
            }
            _ => return false,
        };
        let ledger = self.healthflow.simulator.ledger();
        let mut of = ledger.appointments.iter().filter(|one| &*one.record.id == id.as_str());
        of.any(|one| self.now - one.created_at_ms.0 < self.plan.settings.search_lag_ms)
    }

    /// Whether HealthFlow refuses to create what stands there already, because it takes its own slot.
    pub fn refuses_its_own(&self, request: &Request) -> bool {
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

    fn delivery(&mut self, kind: Option<FaultKind>, request: &Request) -> Delivery {
        let life_ms = self.plan.settings.request_life_ms;
        let late_ms = self.plan.settings.late_landing_ms;
        let soon_ms = self.random.between(1, 20);
        let later_ms = soon_ms + self.random.between(1, 500);
        let reply = |status: u16| Ok(WireReply::bare(status, b"{}".to_vec()));
        let unknown = |why: Unknown| Err(TransportFault::Unknown(why));
        let (arrives_ms, told) = match kind {
            None => (Some(soon_ms), None),
            Some(FaultKind::Connect) => {
                (None, Some((soon_ms, Err(TransportFault::NotSent(NotSent::Connect)))))
            }
            Some(FaultKind::Throttled) => {
                let retry_after = self.retry_after();
                let reply = WireReply { retry_after, ..WireReply::bare(429, b"{}".to_vec()) };
                (None, Some((soon_ms, Ok(reply))))
            }
            Some(FaultKind::StaleReplica) => {
                let since = self.now - self.plan.settings.search_lag_ms;
                let reply = self.healthflow.shown_before(request, since, &mut self.random);
                (None, Some((soon_ms, Ok(reply))))
            }
            Some(FaultKind::Unauthorised) => (None, Some((soon_ms, reply(401)))),
            Some(FaultKind::ErrorBefore) => (None, Some((soon_ms, reply(500)))),
            Some(FaultKind::ErrorAfter) => (Some(soon_ms), Some((later_ms, reply(500)))),
            Some(FaultKind::UnavailableBefore) => (None, Some((soon_ms, Ok(self.unavailable())))),
            Some(FaultKind::UnavailableAfter) => (Some(soon_ms), Some((later_ms, Ok(self.unavailable())))),
            Some(FaultKind::ResetBefore) => (None, Some((soon_ms, unknown(Unknown::Reset)))),
            Some(FaultKind::ResetAfter) => (Some(soon_ms), Some((later_ms, unknown(Unknown::Reset)))),
            Some(FaultKind::Unreadable) => (Some(soon_ms), Some((later_ms, reply(200)))),
            Some(FaultKind::ProxyBefore) => (None, Some((soon_ms, Ok(self.of_a_proxy())))),
            Some(FaultKind::ProxyAfter) => (Some(soon_ms), Some((later_ms, Ok(self.of_a_proxy())))),
            Some(FaultKind::Forbidden) => {
                let body = br#"{"code":"FORBIDDEN","message":"not yours","fields":[]}"#.to_vec();
                (None, Some((soon_ms, Ok(WireReply::bare(403, body)))))
            }
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
        Delivery { arrives_ms, told }
    }
}

/// The booking that a write of an appointment is of.
fn whose(request: &Request) -> Option<BookingKey> {
    match request {
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            Some(BookingKey { practice: content.practice.clone(), booking: content.booking.clone() })
        }
        _ => None,
    }
}

/// The practice in which a create makes something.
fn created_in(request: &Request) -> Option<&PracticeId> {
    match request {
        Request::CreatePatient { content, .. } => Some(&content.practice),
        Request::CreateAppointment { content, .. } => Some(&content.practice),
        _ => None,
    }
}

fn body_text(wire: &WireRequest) -> String {
    let body = wire.body.as_deref().unwrap_or_default();
    String::from_utf8_lossy(&body[..body.len().min(150)]).into_owned()
}

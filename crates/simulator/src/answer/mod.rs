//! The pretend HealthFlow as a value: a [`Simulator`] takes a request and the time, and returns what is answered and
//! when. Time is an argument, so that a test of a late write runs the same way every time.

mod busy;
mod store;
mod endpoints;
mod ledger;
mod faults;
mod person;
mod route;
mod shapes;
mod show;
mod singled_out;
mod tell;
mod throttle;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use self::busy::Busy;
use self::endpoints::{Effect, Endpoints, error};
use self::route::{NoRoute, Route};
use self::throttle::{Counted, Throttle};
use healthflow_core::healthflow::wire::{WireReply, WireRequest};
use healthflow_core::time::Timestamp;
use healthflow_proof::promises::standing::Standing;
use healthflow_proof::random::Random;

pub use faults::{Down, Faults, Strikes};
pub use ledger::{Audit, Ledger, LedgerRecord, WriteEntry};
pub use shapes::{AppointmentBody, AppointmentRecord, PatientBody, PatientRecord};
pub use tell::Dialect;
pub use throttle::Limit;

/// How one request is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    /// When the caller learns of `ending`.
    pub reply_at: Timestamp,
    /// How the exchange ends for the caller.
    pub ending: Ending,
    /// When a write that got no answer is carried out all the same; none if it already was, or never will be.
    pub lands_at: Option<Timestamp>,
}

/// How an exchange ends for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this answer.
    Reply(WireReply),
    /// The connection closes without one.
    Dropped,
    /// The request was not taken.
    Refused,
}

/// A write that was taken, got no answer, and is carried out later.
#[derive(Clone, Debug)]
struct Pending {
    route: Result<Route, NoRoute>,
    request: WireRequest,
    write: Option<usize>,
}

/// The pretend HealthFlow.
#[derive(Clone, Debug)]
pub struct Simulator {
    endpoints: Endpoints,
    faults: Faults,
    throttle: Throttle,
    busy: Busy,
    random: Random,
    pending: BTreeMap<(Timestamp, u64), Pending>,
    writes: Vec<WriteEntry>,
    requests: u64,
    throttled: u64,
    second: i64,
    in_second: u64,
    peak_in_second: u64,
}

impl Simulator {
    /// An empty HealthFlow with these faults. The same seed and the same calls give the same answers.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Simulator {
            endpoints: Endpoints::default(),
            faults,
            throttle: Throttle::default(),
            busy: Busy::default(),
            random: Random::new(seed),
            pending: BTreeMap::new(),
            writes: Vec::new(),
            requests: 0,
            throttled: 0,
            second: 0,
            in_second: 0,
            peak_in_second: 0,
        }
    }

    /// The answer to `request` without its latency; none if it gets no answer.
    pub fn answer(&mut self, request: &WireRequest, now: Timestamp) -> Option<WireReply> {
        match self.handle(request, now).ending {
            Ending::Reply(reply) => Some(reply),
            Ending::Dropped | Ending::Refused => None,
        }
    }

    /// Takes `request` at `now`. An effect that is not late has happened when this returns.
    pub fn handle(&mut self, request: &WireRequest, now: Timestamp) -> Handling {
        self.advance(now);
        self.count(now);
        let route = Route::find(request);
        let write = self.note_write(&route, now);
        let jitter_ms = self.random.between(0, self.faults.latency_jitter_ms.cast_signed()).unsigned_abs();
        let saturates_at = self.faults.saturates_at;
        let latency_ms = self.busy.latency_ms(self.faults.latency_ms + jitter_ms, saturates_at, now);
        let singled_out = singled_out::ending(&self.faults, &route, request);
        let hang_ms = singled_out.as_ref().map_or(self.faults.hang_ms, |one| one.after_ms);
        let practice = self.endpoints.practice_of(&route, request);
        let of = Counted {
            practice: practice.as_deref(),
            is_write: route.as_ref().is_ok_and(Route::is_write),
            is_appointment_create: route == Ok(Route::CreateAppointment),
        };
        let (mut ending, lands_at) = match self.turned_away(of, now).or(singled_out.map(|one| one.ending)) {
            Some(ending) => (ending, None),
            None => self.carry_out_with_faults(route, request, write, now),
        };
        let wait_ms = match ending {
            Ending::Reply(_) => latency_ms,
            Ending::Dropped => latency_ms.max(hang_ms),
            Ending::Refused => 0,
        };
        if let Ending::Reply(reply) = &mut ending {
            let told = self.throttle.told(&self.faults, of, now);
            *reply.limits = tell::headers(&told, self.faults.limits_told, now);
            write.into_iter().for_each(|write| self.writes[write].answered = Some(reply.status));
        }
        let reply_at = now.plus_ms(wait_ms as i64);
        self.busy.until(reply_at, saturates_at);
        Handling { reply_at, ending, lands_at }
    }

    fn carry_out_with_faults(
        &mut self,
        route: Result<Route, NoRoute>,
        request: &WireRequest,
        write: Option<usize>,
        now: Timestamp,
    ) -> (Ending, Option<Timestamp>) {
        let is_struck = self.is_struck(&route);
        // No chance is taken where something happens always or never.
        let mut strikes = |probability: f64| {
            is_struck && probability > 0.0 && (probability >= 1.0 || self.random.chance(probability))
        };
        if strikes(self.faults.server_error_before) {
            return (Ending::Reply(error(500, "INTERNAL")), None);
        }
        if strikes(self.faults.proxy_before) {
            return (Ending::Reply(self.proxy_reply()), None);
        }
        if strikes(self.faults.drop_before) {
            return (Ending::Dropped, None);
        }
        if strikes(self.faults.late_landing) {
            let lands_at = now.plus_ms(self.faults.late_landing_ms as i64);
            let turn = self.requests;
            self.pending.insert((lands_at, turn), Pending { route, request: request.clone(), write });
            return (Ending::Dropped, Some(lands_at));
        }
        let error_after = strikes(self.faults.server_error_after);
        let drop_after = strikes(self.faults.drop_after);
        let unreadable_after = strikes(self.faults.unreadable_after);
        let proxy_after = strikes(self.faults.proxy_after);
        let reply = self.carry_out(&route, request, write, now);
        let ending = if error_after {
            Ending::Reply(error(500, "INTERNAL"))
        } else if drop_after {
            Ending::Dropped
        } else if unreadable_after {
            Ending::Reply(WireReply::bare(200, b"<html>".to_vec()))
        } else if proxy_after {
            Ending::Reply(self.proxy_reply())
        } else {
            Ending::Reply(reply)
        };
        (ending, None)
    }

    /// What nginx would answer.
    fn proxy_reply(&self) -> WireReply {
        let status = self.faults.proxy_status;
        let body = format!("<html><center><h1>{status}</h1></center><hr><center>nginx</center></html>");
        WireReply::bare(status, body.into_bytes())
    }

    /// The answer to every caller, whatever the request: an outage, a bad token, the rate limit.
    fn turned_away(&mut self, of: Counted<'_>, now: Timestamp) -> Option<Ending> {
        match self.faults.down {
            Down::Refused => return Some(Ending::Refused),
            Down::Unavailable => return Some(Ending::Reply(error(503, "UNAVAILABLE"))),
            Down::No => {}
        }
        if self.faults.unauthorised {
            return Some(Ending::Reply(error(401, "UNAUTHORISED")));
        }
        let wait_s = self.throttle.take(&self.faults, of, now).err()?;
        self.throttled += 1;
        Some(Ending::Reply(WireReply {
            retry_after: Some(wait_s.to_string()),
            ..error(429, "TOO_MANY_REQUESTS")
        }))
    }

    fn is_struck(&self, route: &Result<Route, NoRoute>) -> bool {
        let Ok(route) = route else { return false };
        match self.faults.faults_strike {
            Strikes::All => true,
            Strikes::Writes => route.is_write(),
            Strikes::AppointmentCreates => *route == Route::CreateAppointment,
            Strikes::Reads => !route.is_write(),
        }
    }

    fn carry_out(
        &mut self,
        route: &Result<Route, NoRoute>,
        request: &WireRequest,
        write: Option<usize>,
        now: Timestamp,
    ) -> WireReply {
        let (reply, effect) = self.endpoints.carry_out(route, request, &self.faults, now);
        if let Some(entry) = write.and_then(|write| self.writes.get_mut(write)) {
            entry.carried_out_at_ms = Some(now);
            (entry.effect, entry.id) = match effect {
                Effect::Nothing => ("nothing", None),
                Effect::Created(id) => ("created", Some(id)),
                Effect::Replayed(id) => ("replayed", Some(id)),
                Effect::Updated(id) => ("updated", Some(id)),
            };
        }
        reply
    }

    /// Carries out every late write that is due by `now`, in order, each at its own time.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.pending.first_entry() {
            let (lands_at, _) = *entry.key();
            if lands_at > now {
                break;
            }
            let pending = entry.remove();
            self.carry_out(&pending.route, &pending.request, pending.write, lands_at);
        }
    }

    /// When the next late write lands; none if none is pending.
    pub fn next_landing(&self) -> Option<Timestamp> {
        self.pending.first_key_value().map(|((lands_at, _), _)| *lands_at)
    }

    fn count(&mut self, now: Timestamp) {
        self.requests += 1;
        let second = now.0.div_euclid(1_000);
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second += 1;
        self.peak_in_second = self.peak_in_second.max(self.in_second);
    }

    fn note_write(&mut self, route: &Result<Route, NoRoute>, now: Timestamp) -> Option<usize> {
        let route = route.as_ref().ok().filter(|route| route.is_write())?;
        self.writes.push(WriteEntry {
            number: self.writes.len() as u64 + 1,
            operation: route.name(),
            arrived_at_ms: now,
            carried_out_at_ms: None,
            effect: "nothing",
            id: None,
            answered: None,
        });
        Some(self.writes.len() - 1)
    }

    /// The knobs as they are now.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Sets all knobs.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Changes the knobs that `patch`, a JSON object, names. If a knob is unknown or a value invalid, nothing changes
    /// and the error names it.
    pub fn patch_faults(&mut self, patch: &Value) -> Result<&Faults, String> {
        self.faults = self.faults.patched(patch)?;
        Ok(&self.faults)
    }

    /// Adds patients as an operator would, without faults or limits; returns their ids in order.
    pub fn seed_patients(&mut self, patients: Vec<PatientBody>, now: Timestamp) -> Vec<Arc<str>> {
        patients.into_iter().map(|body| self.endpoints.store.add_patient(body, true, now, 0)).collect()
    }

    /// Deletes a patient by hand, as a practice might; false if there is none.
    pub fn delete_patient(&mut self, id: &str) -> bool {
        self.endpoints.store.patients.delete(id)
    }

    /// Deletes an appointment by hand, as a practice might; false if there is none.
    pub fn delete_appointment(&mut self, id: &str) -> bool {
        self.endpoints.store.appointments.delete(id)
    }

    /// Changes an appointment by hand, as a practice might; false if there is none.
    pub fn edit_appointment(&mut self, id: &str, change: impl FnOnce(&mut AppointmentBody)) -> bool {
        self.endpoints.store.edit_appointment(id, change)
    }

    /// Every record that exists.
    pub fn ledger(&self) -> Ledger<'_> {
        ledger::ledger(&self.endpoints.store)
    }

    /// What exists, as the promises see it.
    pub fn standing(&self) -> Standing<'_, &str, String> {
        ledger::standing(&self.endpoints.store)
    }

    /// Every write that ever arrived.
    pub fn writes(&self) -> &[WriteEntry] {
        &self.writes
    }

    /// Totals, and what is wrong.
    pub fn audit(&self) -> Audit {
        Audit {
            requests: self.requests,
            throttled: self.throttled,
            peak_requests_per_second: self.peak_in_second,
            writes: self.writes.len() as u64,
            writes_unanswered: self.writes.iter().filter(|write| write.answered.is_none()).count() as u64,
            replayed: self.writes.iter().filter(|write| write.effect == "replayed").count() as u64,
            pending: self.pending.len() as u64,
            ..ledger::audit(&self.endpoints.store)
        }
    }
}

#[cfg(test)]
mod tests;

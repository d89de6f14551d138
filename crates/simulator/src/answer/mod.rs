//! The pretend HealthFlow as a value: a [`Simulator`] is handed a request and the time, and says what is answered, when,
//! and what it does to the book. Without the clock outside, no late-landing write could be tested twice alike.

mod book;
mod endpoints;
mod ledger;
mod moods;
mod person;
mod route;
mod shapes;
mod show;
mod singled_out;
mod throttle;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use self::endpoints::{Effect, Endpoints, error};
use self::route::{NoRoute, Route};
use self::throttle::Throttle;
use healthflow_core::healthflow::wire::{WireReply, WireRequest};
use healthflow_core::time::Timestamp;
use healthflow_proof::promises::standing::Standing;
use healthflow_proof::random::Random;

pub use ledger::{Audit, Ledger, LedgerRecord, WriteEntry};
pub use moods::{Down, Moods, Strikes};
pub use shapes::{AppointmentBody, AppointmentRecord, PatientBody, PatientRecord};
pub use throttle::RateLimit;

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handling {
    /// When the caller learns of `ending`.
    pub reply_at: Timestamp,
    /// How the exchange ends for the caller.
    pub ending: Ending,
    /// When a write that got no answer is carried out all the same; none where it already was, or never will be.
    pub lands_at: Option<Timestamp>,
    /// For the `RateLimit` headers; none where there is no limit.
    pub rate_limit: Option<RateLimit>,
}

/// How an exchange ends for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this answer.
    Reply(WireReply),
    /// The connection closes without one.
    Dropped,
    /// No request was taken.
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
    moods: Moods,
    throttle: Throttle,
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
    /// An empty HealthFlow in this mood. The same seed and the same calls give the same answers.
    pub fn new(moods: Moods, seed: u64) -> Self {
        Simulator {
            endpoints: Endpoints::default(),
            moods,
            throttle: Throttle::default(),
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

    /// The answer to `request` where nobody cares for time: no latency, a request without an answer is none.
    pub fn answer(&mut self, request: &WireRequest, now: Timestamp) -> Option<WireReply> {
        match self.handle(request, now).ending {
            Ending::Reply(reply) => Some(reply),
            Ending::Dropped | Ending::Refused => None,
        }
    }

    /// Takes in `request` at `now`. Its effect, if it has one at once, has happened when this returns.
    pub fn handle(&mut self, request: &WireRequest, now: Timestamp) -> Handling {
        self.advance(now);
        self.count(now);
        let route = Route::find(request);
        let write = self.note_write(&route, now);
        let jitter_ms = self.random.between(0, self.moods.latency_jitter_ms.cast_signed()).unsigned_abs();
        let latency_ms = self.moods.latency_ms + jitter_ms;
        let singled_out = singled_out::ending(&self.moods, &route, request);
        let hang_ms = singled_out.as_ref().map_or(self.moods.hang_ms, |(_, after_ms)| *after_ms);
        let (ending, lands_at) = match self.turned_away(now).or(singled_out.map(|(ending, _)| ending)) {
            Some(ending) => (ending, None),
            None => self.fate(route, request, write, now),
        };
        let wait_ms = match ending {
            Ending::Reply(_) => latency_ms,
            Ending::Dropped => latency_ms.max(hang_ms),
            Ending::Refused => 0,
        };
        if let (Some(write), Ending::Reply(reply)) = (write, &ending) {
            self.writes[write].answered = Some(reply.status);
        }
        let reply_at = now.plus_ms(wait_ms as i64);
        Handling { reply_at, ending, lands_at, rate_limit: self.throttle.state(&self.moods) }
    }

    fn fate(
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
        if strikes(self.moods.server_error_before) {
            return (Ending::Reply(error(500, "INTERNAL")), None);
        }
        if strikes(self.moods.proxy_before) {
            return (Ending::Reply(self.of_a_proxy()), None);
        }
        if strikes(self.moods.drop_before) {
            return (Ending::Dropped, None);
        }
        if strikes(self.moods.late_landing) {
            let lands_at = now.plus_ms(self.moods.late_landing_ms as i64);
            let turn = self.requests;
            self.pending.insert((lands_at, turn), Pending { route, request: request.clone(), write });
            return (Ending::Dropped, Some(lands_at));
        }
        let error_after = strikes(self.moods.server_error_after);
        let drop_after = strikes(self.moods.drop_after);
        let unreadable_after = strikes(self.moods.unreadable_after);
        let proxy_after = strikes(self.moods.proxy_after);
        let reply = self.carry_out(&route, request, write, now);
        let ending = if error_after {
            Ending::Reply(error(500, "INTERNAL"))
        } else if drop_after {
            Ending::Dropped
        } else if unreadable_after {
            Ending::Reply(WireReply { status: 200, retry_after: None, body: b"<html>".to_vec() })
        } else if proxy_after {
            Ending::Reply(self.of_a_proxy())
        } else {
            Ending::Reply(reply)
        };
        (ending, None)
    }

    /// What nginx would say.
    fn of_a_proxy(&self) -> WireReply {
        let status = self.moods.proxy_status;
        let body = format!("<html><center><h1>{status}</h1></center><hr><center>nginx</center></html>");
        WireReply { status, retry_after: None, body: body.into_bytes() }
    }

    /// What happens to everybody, whatever they ask.
    fn turned_away(&mut self, now: Timestamp) -> Option<Ending> {
        match self.moods.down {
            Down::Refused => return Some(Ending::Refused),
            Down::Unavailable => return Some(Ending::Reply(error(503, "UNAVAILABLE"))),
            Down::No => {}
        }
        if self.moods.unauthorised {
            return Some(Ending::Reply(error(401, "UNAUTHORISED")));
        }
        let wait_s = self.throttle.take(&self.moods, now).err()?;
        self.throttled += 1;
        Some(Ending::Reply(WireReply {
            retry_after: Some(wait_s.to_string()),
            ..error(429, "TOO_MANY_REQUESTS")
        }))
    }

    fn is_struck(&self, route: &Result<Route, NoRoute>) -> bool {
        let Ok(route) = route else { return false };
        match self.moods.faults_strike {
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
        let (reply, effect) = self.endpoints.carry_out(route, request, &self.moods, now);
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

    /// When the next late write lands; none where none is under way.
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

    /// The knobs as they stand.
    pub fn moods(&self) -> &Moods {
        &self.moods
    }

    /// Sets all knobs.
    pub fn set_moods(&mut self, moods: Moods) {
        self.moods = moods;
    }

    /// Turns the knobs that `patch`, a JSON object, names. On an unknown knob or a value that cannot be, nothing
    /// changes and the error says which.
    pub fn patch_moods(&mut self, patch: &Value) -> Result<&Moods, String> {
        self.moods = self.moods.patched(patch)?;
        Ok(&self.moods)
    }

    /// Puts patients there as an operator would, past all faults and limits; their ids in order.
    pub fn seed_patients(&mut self, patients: Vec<PatientBody>, now: Timestamp) -> Vec<Arc<str>> {
        patients.into_iter().map(|body| self.endpoints.book.add_patient(body, true, now, 0)).collect()
    }

    /// Deletes a patient by hand, as a practice might; false where there is none.
    pub fn delete_patient(&mut self, id: &str) -> bool {
        self.endpoints.book.patients.delete(id)
    }

    /// Deletes an appointment by hand, as a practice might; false where there is none.
    pub fn delete_appointment(&mut self, id: &str) -> bool {
        self.endpoints.book.appointments.delete(id)
    }

    /// Changes an appointment by hand, as an office might; false where there is none.
    pub fn edit_appointment(&mut self, id: &str, change: impl FnOnce(&mut AppointmentBody)) -> bool {
        self.endpoints.book.edit_appointment(id, change)
    }

    /// Everything that stands.
    pub fn ledger(&self) -> Ledger<'_> {
        ledger::ledger(&self.endpoints.book)
    }

    /// What stands, as the promises see it.
    pub fn standing(&self) -> Standing<'_, &str, String> {
        ledger::standing(&self.endpoints.book)
    }

    /// Every write that ever came.
    pub fn writes(&self) -> &[WriteEntry] {
        &self.writes
    }

    /// What stands and what is wrong with it.
    pub fn audit(&self) -> Audit {
        Audit {
            requests: self.requests,
            throttled: self.throttled,
            peak_requests_per_second: self.peak_in_second,
            writes: self.writes.len() as u64,
            writes_unanswered: self.writes.iter().filter(|write| write.answered.is_none()).count() as u64,
            replayed: self.writes.iter().filter(|write| write.effect == "replayed").count() as u64,
            pending: self.pending.len() as u64,
            ..ledger::audit(&self.endpoints.book)
        }
    }
}

#[cfg(test)]
mod tests;

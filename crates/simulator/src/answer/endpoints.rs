//! What each endpoint does to the store, and what it answers. Called when a request takes effect, which may be long after
//! it arrived.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::faults::Faults;
use super::route::{NoRoute, Query, Route};
use super::shapes::{
    AppointmentBody, AppointmentPage, AppointmentRecord, ErrorBody, FieldError, PatientBody, PatientPage,
    SearchBody,
};
use super::store::{Store, Stored, key, overlap, slot_keys};
use super::{show, validate};
use healthflow_core::healthflow::wire::{WireReply, WireRequest};
use healthflow_core::time::Timestamp;

/// What a request did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Created(Arc<str>),
    Replayed(Arc<str>),
    Updated(Arc<str>),
}

/// The endpoints and what they remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    pub store: Store,
    keys: HashMap<Box<str>, UsedKey>,
}

/// An idempotency key that created something.
#[derive(Clone, Debug)]
struct UsedKey {
    used_at: Timestamp,
    bytes_hash: u64,
    id: Arc<str>,
}

type Done = Result<(WireReply, Effect), WireReply>;

impl Endpoints {
    /// The practice that a request is about; none if it names none that is known.
    pub(super) fn practice_of(
        &self,
        route: &Result<Route, NoRoute>,
        request: &WireRequest,
    ) -> Option<Arc<str>> {
        match route.as_ref().ok()? {
            Route::ListAppointments(query) | Route::ListPatients(query) => {
                query.get("practice_id").map(Arc::from)
            }
            Route::GetAppointment(id) => {
                self.store.appointments.get(id).map(|one| one.record.body.practice_id.clone())
            }
            Route::GetPatient(id) => {
                self.store.patients.get(id).map(|one| one.record.body.practice_id.clone())
            }
            _ => {
                let body: serde_json::Value = serde_json::from_slice(request.body.as_deref()?).ok()?;
                body["practice_id"].as_str().map(Arc::from)
            }
        }
    }

    /// Carries `request` out.
    pub(super) fn carry_out(
        &mut self,
        route: &Result<Route, NoRoute>,
        request: &WireRequest,
        faults: &Faults,
        now: Timestamp,
    ) -> (WireReply, Effect) {
        let read =
            |reply: Result<WireReply, WireReply>| (reply.unwrap_or_else(|refusal| refusal), Effect::Nothing);
        if validate::holds_a_nul(request) {
            return (error(500, "INTERNAL"), Effect::Nothing);
        }
        let done = match route {
            Err(NoRoute::Path) => Err(error(404, "NO_SUCH_PATH")),
            Err(NoRoute::Method) => Err(error(405, "METHOD_NOT_ALLOWED")),
            Ok(Route::CreatePatient) => self.create_patient(request, faults, now),
            Ok(Route::PutPatient(id)) => self.put_patient(id, request, faults, now),
            Ok(Route::CreateAppointment) => self.create_appointment(request, faults, now),
            Ok(Route::PutAppointment(id)) => self.put_appointment(id, request, faults, now),
            Ok(Route::GetPatient(id)) => return read(self.get_patient(id, faults, now)),
            Ok(Route::GetAppointment(id)) => return read(self.get_appointment(id, faults, now)),
            Ok(Route::SearchPatients) => return read(self.search_patients(request, faults, now)),
            Ok(Route::ListPatients(query)) => return read(self.list_patients(query, faults, now)),
            Ok(Route::ListAppointments(query)) => return read(self.list_appointments(query, faults, now)),
        };
        done.unwrap_or_else(|refusal| (refusal, Effect::Nothing))
    }

    fn create_patient(&mut self, request: &WireRequest, faults: &Faults, now: Timestamp) -> Done {
        if let Some(id) = self.replayed("patient", request, faults, now)? {
            let stored = self.store.patients.get_even_gone(&id);
            return Ok((json(201, &stored.map(|one| show::patient(one, faults))), Effect::Replayed(id)));
        }
        let body: PatientBody = body(request)?;
        refuse_broken(validate::patient(&body, now))?;
        if faults.unique_external_id
            && let Some(reference) = &body.external_id
        {
            let key = key("reference", &body.practice_id, reference);
            refuse_existing(self.store.patients.under(&key).next().map(|stored| &stored.record.id))?;
        }
        let id = self.store.add_patient(body, false, now, faults.search_lag_ms as i64);
        self.remember("patient", request, &id, now);
        let stored = self.store.patients.get(&id).map(|one| show::patient(one, faults));
        Ok((json(201, &stored), Effect::Created(id)))
    }

    fn put_patient(&mut self, id: &str, request: &WireRequest, faults: &Faults, now: Timestamp) -> Done {
        let body: PatientBody = body(request)?;
        refuse_broken(validate::patient(&body, now))?;
        let current = self.store.patients.get(id).ok_or_else(|| error(404, "PATIENT_NOT_FOUND"))?;
        refuse_moved(&current.record.body.practice_id, &body.practice_id)?;
        self.store.replace_patient(id, body, now);
        let stored = self.store.patients.get(id).map(|one| show::patient(one, faults));
        Ok((json(200, &stored), Effect::Updated(id.into())))
    }

    fn create_appointment(&mut self, request: &WireRequest, faults: &Faults, now: Timestamp) -> Done {
        if let Some(id) = self.replayed("appointment", request, faults, now)? {
            let stored = self.store.appointments.get_even_gone(&id);
            return Ok((json(201, &stored.map(|one| show::appointment(one, faults))), Effect::Replayed(id)));
        }
        let body: AppointmentBody = body(request)?;
        refuse_broken(validate::appointment(&body))?;
        self.refuse_unknown_patient(&body)?;
        if faults.unique_external_id
            && let Some(reference) = &body.external_id
        {
            let key = key("reference", &body.practice_id, reference);
            refuse_existing(self.store.appointments.under(&key).next().map(|stored| &stored.record.id))?;
        }
        self.refuse_taken_slot(&body, None, faults)?;
        let id = self.store.add_appointment(body, now, faults.search_lag_ms as i64);
        self.remember("appointment", request, &id, now);
        let stored = self.store.appointments.get(&id).map(|one| show::appointment(one, faults));
        Ok((json(201, &stored), Effect::Created(id)))
    }

    fn put_appointment(&mut self, id: &str, request: &WireRequest, faults: &Faults, now: Timestamp) -> Done {
        let body: AppointmentBody = body(request)?;
        refuse_broken(validate::appointment(&body))?;
        let current = self.store.appointments.get(id).ok_or_else(|| error(404, "APPOINTMENT_NOT_FOUND"))?;
        refuse_moved(&current.record.body.practice_id, &body.practice_id)?;
        if faults.supports_if_match {
            refuse_changed(request.if_match.as_deref(), current.version)?;
        }
        self.refuse_unknown_patient(&body)?;
        self.refuse_taken_slot(&body, Some(id), faults)?;
        self.store.replace_appointment(id, body, now);
        if faults.updates_without_content {
            let reply = WireReply::bare(204, Vec::new());
            return Ok((reply, Effect::Updated(id.into())));
        }
        let stored = self.store.appointments.get(id).map(|one| show::appointment(one, faults));
        Ok((json(200, &stored), Effect::Updated(id.into())))
    }

    fn refuse_unknown_patient(&self, body: &AppointmentBody) -> Result<(), WireReply> {
        let patient = self.store.patients.get(&body.patient_id);
        let is_known = patient.is_some_and(|stored| stored.record.body.practice_id == body.practice_id);
        if is_known { Ok(()) } else { Err(error(404, "PATIENT_NOT_FOUND")) }
    }

    fn refuse_taken_slot(
        &self,
        body: &AppointmentBody,
        own: Option<&str>,
        faults: &Faults,
    ) -> Result<(), WireReply> {
        if !faults.slot_conflicts || &*body.status != "scheduled" {
            return Ok(());
        }
        let is_taken = slot_keys(body).any(|day| {
            let mut others = self.store.appointments.under(&day).map(|stored| &stored.record);
            others.any(|other| {
                &*other.body.status == "scheduled" && Some(&*other.id) != own && overlap(&other.body, body)
            })
        });
        if is_taken { Err(error(409, "SLOT_TAKEN")) } else { Ok(()) }
    }

    fn get_patient(&self, id: &str, faults: &Faults, now: Timestamp) -> Result<WireReply, WireReply> {
        let found = self.store.patients.get(id).filter(|stored| stored.is_visible(now));
        found.map(|one| json(200, &show::patient(one, faults))).ok_or_else(|| error(404, "PATIENT_NOT_FOUND"))
    }

    fn get_appointment(&self, id: &str, faults: &Faults, now: Timestamp) -> Result<WireReply, WireReply> {
        let found = self.store.appointments.get(id).filter(|stored| stored.is_visible(now));
        found
            .map(|one| json(200, &show::appointment(one, faults)))
            .ok_or_else(|| error(404, "APPOINTMENT_NOT_FOUND"))
    }

    fn search_patients(
        &self,
        request: &WireRequest,
        faults: &Faults,
        now: Timestamp,
    ) -> Result<WireReply, WireReply> {
        let body: SearchBody = body(request)?;
        self.found_patients(&body, faults, now)
    }

    fn list_patients(&self, query: &Query, faults: &Faults, now: Timestamp) -> Result<WireReply, WireReply> {
        let text = |name: &str| query.get(name).map(str::to_owned);
        let body = SearchBody {
            practice_id: text("practice_id").unwrap_or_default(),
            external_id: text("external_id"),
            cursor: text("cursor"),
            ..SearchBody::default()
        };
        self.found_patients(&body, faults, now)
    }

    fn found_patients(
        &self,
        body: &SearchBody,
        faults: &Faults,
        now: Timestamp,
    ) -> Result<WireReply, WireReply> {
        require("practice_id", &body.practice_id)?;
        if body.date_of_birth.as_deref().is_some_and(|date| validate::date(date).is_none()) {
            return Err(fields(422, vec![FieldError { field: "date_of_birth", rule: "format" }]));
        }
        let body = SearchBody {
            external_id: body.external_id.clone().filter(|_| faults.keeps_external_id),
            ..body.clone()
        };
        let (found, next_cursor) = page(self.store.search(&body, now), body.cursor.as_deref(), faults)?;
        let patients = found.into_iter().map(|one| show::patient(one, faults)).collect();
        Ok(json(200, &PatientPage { patients, next_cursor }))
    }

    fn list_appointments(
        &self,
        query: &Query,
        faults: &Faults,
        now: Timestamp,
    ) -> Result<WireReply, WireReply> {
        let practice = query.get("practice_id").unwrap_or_default();
        require("practice_id", practice)?;
        let reference = query.get("external_id").filter(|_| faults.keeps_external_id);
        let patient = query.get("patient_id");
        let start = query.get("start").map(validate::instant);
        if start == Some(None) {
            return Err(fields(422, vec![FieldError { field: "start", rule: "format" }]));
        }
        let key = match (reference, patient) {
            (Some(reference), _) => key("reference", practice, reference),
            (None, Some(patient)) => key("patient", practice, patient),
            (None, None) => key("practice", practice, ""),
        };
        let agrees = |stored: &&Stored<AppointmentRecord>| {
            let body = &stored.record.body;
            reference.is_none_or(|wanted| body.external_id.as_deref() == Some(wanted))
                && patient.is_none_or(|wanted| &*body.patient_id == wanted)
                && start.is_none_or(|wanted| validate::instant(&body.start) == wanted)
        };
        let visible = self.store.appointments.under(&key).filter(|stored| stored.is_visible(now));
        let (found, next_cursor) = page(visible.filter(agrees).collect(), query.get("cursor"), faults)?;
        let appointments = found.into_iter().map(|one| show::appointment(one, faults)).collect();
        Ok(json(200, &AppointmentPage { appointments, next_cursor }))
    }

    /// What this key created before; refuses a key that was used with another body.
    fn replayed(
        &self,
        kind: &str,
        request: &WireRequest,
        faults: &Faults,
        now: Timestamp,
    ) -> Result<Option<Arc<str>>, WireReply> {
        let Some(used) =
            request.idempotency_key.as_ref().and_then(|text| self.keys.get(&*key(kind, text, "")))
        else {
            return Ok(None);
        };
        let is_forgotten = now.since_ms(used.used_at).unsigned_abs() >= faults.idempotency_key_retention_ms;
        if !faults.honours_idempotency_keys || is_forgotten {
            return Ok(None);
        }
        if used.bytes_hash != bytes_hash(request) && !faults.replays_for_other_bytes {
            return Err(error(409, "KEY_REUSED"));
        }
        Ok(Some(used.id.clone()))
    }

    fn remember(&mut self, kind: &str, request: &WireRequest, id: &Arc<str>, now: Timestamp) {
        if let Some(text) = &request.idempotency_key {
            let used = UsedKey { used_at: now, bytes_hash: bytes_hash(request), id: id.clone() };
            self.keys.insert(key(kind, text, "").into(), used);
        }
    }
}

fn bytes_hash(request: &WireRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.body.hash(&mut hasher);
    hasher.finish()
}

fn body<T: DeserializeOwned>(request: &WireRequest) -> Result<T, WireReply> {
    let bytes = request.body.as_deref().unwrap_or_default();
    serde_json::from_slice(bytes).map_err(|_| error(400, "MALFORMED"))
}

fn require(field: &'static str, text: &str) -> Result<(), WireReply> {
    let missing = || fields(422, vec![FieldError { field, rule: "required" }]);
    if text.is_empty() { Err(missing()) } else { Ok(()) }
}

fn refuse_broken(broken: Vec<FieldError>) -> Result<(), WireReply> {
    if broken.is_empty() { Ok(()) } else { Err(fields(422, broken)) }
}

fn refuse_existing(existing: Option<&Arc<str>>) -> Result<(), WireReply> {
    let Some(id) = existing else { return Ok(()) };
    let existing_id = Some(id.clone());
    Err(json(
        409,
        &ErrorBody { code: "ALREADY_EXISTS", message: "it exists", existing_id, fields: Vec::new() },
    ))
}

/// Refuses an update that names another version than the current one; one that names none is never refused.
fn refuse_changed(if_match: Option<&str>, version: u32) -> Result<(), WireReply> {
    let current = format!("\"{version}\"");
    if if_match.is_none_or(|wanted| wanted == current) { Ok(()) } else { Err(error(412, "CHANGED")) }
}

fn refuse_moved(current: &str, wanted: &str) -> Result<(), WireReply> {
    let moved = || fields(422, vec![FieldError { field: "practice_id", rule: "immutable" }]);
    if current == wanted { Ok(()) } else { Err(moved()) }
}

/// One page of `found`, after the last record of the previous page. A record that exists throughout is on exactly one page,
/// whatever is added or deleted between two of them.
fn page<'a, T>(
    mut found: Vec<&'a Stored<T>>,
    cursor: Option<&str>,
    faults: &Faults,
) -> Result<(Vec<&'a Stored<T>>, Option<String>), WireReply> {
    let bad_cursor = || fields(400, vec![FieldError { field: "cursor", rule: "format" }]);
    if let Some(text) = cursor {
        let after: u32 =
            text.strip_prefix("after-").and_then(|number| number.parse().ok()).ok_or_else(bad_cursor)?;
        found.retain(|stored| stored.number > after);
    }
    let size = faults.page_size.max(1);
    let is_last = found.len() <= size;
    found.truncate(size);
    let next_cursor = found.last().filter(|_| !is_last).map(|stored| format!("after-{}", stored.number));
    Ok((found, next_cursor))
}

fn fields(status: u16, fields: Vec<FieldError>) -> WireReply {
    let body = ErrorBody { code: "INVALID", message: "a field breaks a rule", existing_id: None, fields };
    json(status, &body)
}

/// An error answer without fields.
pub(super) fn error(status: u16, code: &'static str) -> WireReply {
    json(status, &ErrorBody { code, message: "see the contract", ..ErrorBody::default() })
}

fn json(status: u16, body: &impl Serialize) -> WireReply {
    let body = serde_json::to_vec(body).expect("structs of text and numbers always become JSON");
    WireReply::bare(status, body)
}

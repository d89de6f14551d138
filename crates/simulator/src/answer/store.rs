//! What HealthFlow stores, and how it finds it again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::person::{folded, folded_code};
use super::shapes::{AppointmentBody, AppointmentRecord, PatientBody, PatientRecord, SearchBody};
use super::validate::instant;
use healthflow_core::time::{DAY_MS, Timestamp};

/// A record with its history.
#[derive(Clone, Debug)]
pub(super) struct Stored<T> {
    pub record: T,
    /// Its index in the table: older records have lower ones.
    pub number: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When searches, lists and reads show it.
    pub visible_at: Timestamp,
    /// Its version: 1 after its create, one more after every change, an edit by hand included.
    pub version: u32,
    /// How many writes changed it: 1 after its create.
    pub writes: u32,
    /// Added by an operator, not through the API.
    pub is_seeded: bool,
    /// Deleted by hand: no request finds it any more.
    pub is_gone: bool,
}

impl<T> Stored<T> {
    pub(super) fn is_visible(&self, now: Timestamp) -> bool {
        !self.is_gone && self.visible_at <= now
    }
}

/// All records by number, with an index by key.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    prefix: &'static str,
    pub records: Vec<Stored<T>>,
    index: HashMap<Box<str>, Vec<u32>>,
}

impl<T> Table<T> {
    fn new(prefix: &'static str) -> Self {
        Table { prefix, records: Vec::new(), index: HashMap::new() }
    }

    fn next_id(&self) -> Arc<str> {
        format!("{}{}", self.prefix, self.records.len() + 1).into()
    }

    fn number(&self, id: &str) -> Option<usize> {
        id.strip_prefix(self.prefix)?.parse::<usize>().ok()?.checked_sub(1)
    }

    /// The record `id`, unless it is gone.
    pub(super) fn get(&self, id: &str) -> Option<&Stored<T>> {
        self.records.get(self.number(id)?).filter(|stored| !stored.is_gone)
    }

    /// The record `id`, even if it is gone.
    pub(super) fn get_even_gone(&self, id: &str) -> Option<&Stored<T>> {
        self.records.get(self.number(id)?)
    }

    /// The records under `key` that are not gone, oldest first.
    pub(super) fn under(&self, key: &str) -> impl Iterator<Item = &Stored<T>> {
        let numbers = self.index.get(key).map_or(&[][..], Vec::as_slice);
        numbers
            .iter()
            .filter_map(|number| self.records.get(*number as usize))
            .filter(|stored| !stored.is_gone)
    }

    fn insert(&mut self, stored: Stored<T>, keys: impl IntoIterator<Item = String>) {
        let number = self.records.len() as u32;
        self.records.push(Stored { number, ..stored });
        self.add_keys(number, keys);
    }

    fn add_keys(&mut self, number: u32, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            let numbers = self.index.entry(key.into()).or_default();
            numbers.insert(numbers.partition_point(|known| *known < number), number);
        }
    }

    fn remove_keys(&mut self, number: u32, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            if let Some(numbers) = self.index.get_mut(&*key) {
                numbers.retain(|known| *known != number);
            }
        }
    }

    /// Deletes the record `id` by hand; false if there is none.
    pub(super) fn delete(&mut self, id: &str) -> bool {
        let stored = self.number(id).and_then(|number| self.records.get_mut(number));
        stored.is_some_and(|stored| !std::mem::replace(&mut stored.is_gone, true))
    }
}

/// Patients and appointments of all practices.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub patients: Table<PatientRecord>,
    pub appointments: Table<AppointmentRecord>,
}

impl Default for Store {
    fn default() -> Self {
        Store { patients: Table::new("hfp-"), appointments: Table::new("hfa-") }
    }
}

impl Store {
    pub(super) fn add_patient(
        &mut self,
        body: PatientBody,
        is_seeded: bool,
        now: Timestamp,
        lag_ms: i64,
    ) -> Arc<str> {
        let id = self.patients.next_id();
        let keys = patient_keys(&body);
        let record = PatientRecord { id: id.clone(), body };
        self.patients.insert(stored(record, is_seeded, now, lag_ms), keys);
        id
    }

    pub(super) fn add_appointment(&mut self, body: AppointmentBody, now: Timestamp, lag_ms: i64) -> Arc<str> {
        let id = self.appointments.next_id();
        let keys = appointment_keys(&body);
        let record = AppointmentRecord { id: id.clone(), body };
        self.appointments.insert(stored(record, false, now, lag_ms), keys);
        id
    }

    /// Replaces the patient `id`; false if there is none.
    pub(super) fn replace_patient(&mut self, id: &str, body: PatientBody, now: Timestamp) -> bool {
        let (Some(number), true) = (self.patients.number(id), self.patients.get(id).is_some()) else {
            return false;
        };
        let new_keys = patient_keys(&body);
        let old = touch(&mut self.patients.records[number], now, |record| {
            std::mem::replace(&mut record.body, body)
        });
        self.patients.remove_keys(number as u32, patient_keys(&old));
        self.patients.add_keys(number as u32, new_keys);
        true
    }

    /// Replaces the appointment `id`; false if there is none.
    pub(super) fn replace_appointment(&mut self, id: &str, body: AppointmentBody, now: Timestamp) -> bool {
        let (Some(number), true) = (self.appointments.number(id), self.appointments.get(id).is_some()) else {
            return false;
        };
        let new_keys = appointment_keys(&body);
        let stored = &mut self.appointments.records[number];
        let old = touch(stored, now, |record| std::mem::replace(&mut record.body, body));
        self.appointments.remove_keys(number as u32, appointment_keys(&old));
        self.appointments.add_keys(number as u32, new_keys);
        true
    }

    /// Changes the appointment `id` by hand; false if there is none.
    pub(super) fn edit_appointment(&mut self, id: &str, change: impl FnOnce(&mut AppointmentBody)) -> bool {
        let (Some(number), Some(stored)) = (self.appointments.number(id), self.appointments.get(id)) else {
            return false;
        };
        let old = stored.record.body.clone();
        let stored = &mut self.appointments.records[number];
        change(&mut stored.record.body);
        stored.version += 1;
        let new_keys = appointment_keys(&stored.record.body);
        self.appointments.remove_keys(number as u32, appointment_keys(&old));
        self.appointments.add_keys(number as u32, new_keys);
        true
    }

    /// The charts that agree in every field of the search, oldest first.
    pub(super) fn search(&self, body: &SearchBody, now: Timestamp) -> Vec<&Stored<PatientRecord>> {
        let practice = body.practice_id.as_str();
        let family = body.family_name.as_deref().map(folded);
        let given = body.given_name.as_deref().map(folded);
        let code = body.postal_code.as_deref().map(folded_code);
        let key = match (&body.external_id, &body.date_of_birth, &family, &given, &code) {
            (Some(reference), ..) => key("reference", practice, reference),
            (_, Some(date), ..) => key("born", practice, date),
            (_, _, Some(family), _, Some(code)) => key("family", practice, &format!("{family}\0{code}")),
            (_, _, _, Some(given), Some(code)) => key("given", practice, &format!("{given}\0{code}")),
            _ => key("practice", practice, ""),
        };
        let agrees = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        self.patients
            .under(&key)
            .filter(|stored| stored.is_visible(now))
            .filter(|stored| {
                let is = &stored.record.body;
                agrees(&body.external_id, is.external_id.as_deref().unwrap_or_default())
                    && agrees(&body.date_of_birth, &is.date_of_birth)
                    && (family.is_none() || agrees(&family, &folded(&is.family_name)))
                    && (given.is_none() || agrees(&given, &folded(&is.given_name)))
                    && (code.is_none() || agrees(&code, &folded_code(&is.postal_code)))
            })
            .collect()
    }
}

fn stored<T>(record: T, is_seeded: bool, now: Timestamp, lag_ms: i64) -> Stored<T> {
    let visible_at = if is_seeded { now } else { now.plus_ms(lag_ms) };
    Stored {
        record,
        number: 0,
        version: 1,
        created_at: now,
        updated_at: now,
        visible_at,
        writes: 1,
        is_seeded,
        is_gone: false,
    }
}

fn touch<T, Old>(stored: &mut Stored<T>, now: Timestamp, change: impl FnOnce(&mut T) -> Old) -> Old {
    stored.updated_at = now;
    stored.writes += 1;
    stored.version += 1;
    change(&mut stored.record)
}

/// An index key.
pub(super) fn key(kind: &str, practice: &str, rest: &str) -> String {
    let mut key = String::with_capacity(kind.len() + practice.len() + rest.len() + 2);
    for part in [kind, "\0", practice, "\0", rest] {
        key.push_str(part);
    }
    key
}

/// From when to when an appointment occupies its provider, in milliseconds.
fn taken_ms(body: &AppointmentBody) -> Range<i64> {
    let start_ms = instant(&body.start).map_or(0, |start| start.0);
    start_ms..start_ms + i64::from(body.duration_minutes) * 60_000
}

/// The index keys of the days, in UTC, on which an appointment occupies its provider: two that overlap share one.
pub(super) fn slot_keys(body: &AppointmentBody) -> impl Iterator<Item = String> + '_ {
    let taken = taken_ms(body);
    let days = taken.start.div_euclid(DAY_MS)..=(taken.end - 1).div_euclid(DAY_MS);
    days.map(|day| key("slot", &body.practice_id, &format!("{}\0{day}", body.provider_id)))
}

/// Whether two appointments of one provider overlap.
pub(super) fn overlap(one: &AppointmentBody, other: &AppointmentBody) -> bool {
    let (one, other) = (taken_ms(one), taken_ms(other));
    one.start < other.end && other.start < one.end
}

fn patient_keys(body: &PatientBody) -> Vec<String> {
    let practice = &*body.practice_id;
    let code = folded_code(&body.postal_code);
    let mut keys = vec![
        key("practice", practice, ""),
        key("born", practice, &body.date_of_birth),
        key("family", practice, &format!("{}\0{code}", folded(&body.family_name))),
        key("given", practice, &format!("{}\0{code}", folded(&body.given_name))),
    ];
    keys.extend(body.external_id.as_deref().map(|reference| key("reference", practice, reference)));
    keys
}

fn appointment_keys(body: &AppointmentBody) -> Vec<String> {
    let practice = &*body.practice_id;
    let mut keys = vec![key("practice", practice, ""), key("patient", practice, &body.patient_id)];
    keys.extend(slot_keys(body));
    keys.extend(body.external_id.as_deref().map(|reference| key("reference", practice, reference)));
    keys
}

//! A small HealthFlow: its appointments and patients, the keys it remembers, and the requests that are still on
//! their way to it. It is as strict as the contract lets it be: a search shows a new patient only after the longest lag.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use healthflow_core::appointment::Revision;
use healthflow_core::appointment::fingerprint::fingerprint_of;
use healthflow_core::booking::{BookingKey, BookingStatus, PatientId, Version};
use healthflow_core::healthflow::fault::Missing;
use healthflow_core::healthflow::{
    Answer, AppointmentContent, AppointmentFound, AppointmentId, AppointmentRead, Fault, PatientContent,
    Reply, Request, Sought, WrittenAppointment,
};
use healthflow_core::patient::search::Pass;
use healthflow_core::patient::{Candidate, Name, Person, postal_code};
use healthflow_core::settings::GuardMode;
use healthflow_core::time::Timestamp;

/// What nobody at DentScheduler asks for.
const EDITED_MINUTES: u32 = 5;

/// How HealthFlow behaves in a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    pub guard: GuardMode,
    /// How long searches and lists do not show what was created.
    pub lag_ms: i64,
    /// Refuses an appointment whose provider has another one at that time.
    pub slot_conflicts: bool,
    /// Looks at the slot before it looks at the key: our own creation refuses its repeat.
    pub slots_before_keys: bool,
    /// Offers versions: a change that names an older one is refused.
    pub supports_if_match: bool,
    /// Replays the first answer to a key, whatever the bytes.
    pub replays_for_other_bytes: bool,
}

#[derive(Clone, Debug, Hash)]
pub struct Chart {
    pub external_id: Option<PatientId>,
    pub person: Person,
    pub visible_at: Timestamp,
    pub is_gone: bool,
}

#[derive(Clone, Debug, Hash)]
pub struct Entry {
    pub content: AppointmentContent,
    /// HealthFlow's own version: another one after every change.
    pub revision: u32,
    pub visible_at: Timestamp,
    pub is_gone: bool,
}

/// A request that was sent, got no answer, and is carried out at any time until `lands_by`.
#[derive(Clone, Debug, Hash)]
pub struct Late {
    pub request: Request,
    pub lands_by: Timestamp,
}

#[derive(Clone, Debug, Default, Hash)]
pub struct HealthFlow {
    pub charts: Vec<Chart>,
    pub entries: Vec<Entry>,
    keys: BTreeMap<String, (u64, Arc<str>)>,
    pub late: Vec<Late>,
    /// The newest version of each booking that was sent under no key: what may not be followed by an older one.
    pub newest_sent: BTreeMap<BookingKey, Version>,
    /// Whether a person deleted or changed something by hand.
    pub somebody_intervened: bool,
}

/// What a request met, for the story and the situations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Nothing,
    Replayed,
    KeyReused,
    AlreadyThere,
    SlotTaken,
}

pub fn chart_id(index: usize) -> Arc<str> {
    format!("hfp-{}", index + 1).into()
}

fn number(id: &str) -> Option<usize> {
    id[4..].parse::<usize>().ok()?.checked_sub(1)
}

impl HealthFlow {
    /// Carries a write out now.
    pub fn carry_out(&mut self, request: &Request, nature: &Nature, now: i64) -> (Reply, Met) {
        match request {
            Request::CreatePatient { content, idempotency_key } => {
                self.create_patient(content, idempotency_key, nature, now)
            }
            Request::CreateAppointment { content, idempotency_key } => {
                self.create_appointment(content, idempotency_key, nature, now)
            }
            Request::UpdateAppointment { id, content, if_match } => {
                (self.update(id, content, if_match.as_ref(), nature), Met::Nothing)
            }
            read => (self.look(read, nature, now), Met::Nothing),
        }
    }

    /// Answers a read now.
    pub fn look(&self, request: &Request, nature: &Nature, now: i64) -> Reply {
        match request {
            Request::SearchPatients { pass, .. } => Ok(self.search(pass, nature, now)),
            Request::FindAppointment { sought, .. } => {
                let is_sought = |entry: &Entry| match sought {
                    Sought::Reference(booking) => entry.content.booking == *booking,
                    Sought::Slot(slot) => entry.content.slot() == *slot,
                };
                let visible = |entry: &Entry| !entry.is_gone && entry.visible_at <= Timestamp(now);
                let found = self.entries.iter().enumerate();
                let found = found.filter(|(_, entry)| visible(entry) && is_sought(entry));
                let found = found.map(|(index, entry)| AppointmentFound {
                    id: entry_id(index),
                    patient: entry.content.patient.clone(),
                    revision: Some(entry.revision.to_string().into()),
                });
                Ok(Answer::Appointments { found: found.collect(), next_cursor: None })
            }
            Request::ReadAppointment { id } => {
                let entry = self.entry(id).ok_or(Fault::NotFound(Missing::Appointment))?;
                let AppointmentContent { patient, location_id, status, visit, .. } = &entry.content;
                let fingerprint = Some(fingerprint_of(patient.as_str(), location_id, *status, visit));
                let revision = Some(entry.revision.to_string().into());
                Ok(Answer::AppointmentRead(AppointmentRead { revision, fingerprint }))
            }
            Request::ReadPatient { id, .. } => {
                let chart = number(id.as_str()).and_then(|number| self.charts.get(number));
                let chart = chart.filter(|chart| !chart.is_gone && chart.visible_at <= Timestamp(now));
                let chart = chart.ok_or(Fault::NotFound(Missing::Patient))?;
                let (id, person) = (Some(id.clone()), chart.person.clone());
                Ok(Answer::PatientRead(Some(Candidate { id, external_id: None, person })))
            }
            write => unreachable!("{write:?} is no read"),
        }
    }

    fn search(&self, pass: &Pass, nature: &Nature, now: i64) -> Answer {
        let agrees = |chart: &Chart| match pass {
            Pass::Reference(id) => chart.external_id.as_ref() == Some(id),
            Pass::DateOfBirth(date) => chart.person.date_of_birth.as_ref() == Some(date),
            Pass::Names(given, family) => {
                chart.person.given_name.plain() == Name::new(given.reveal()).plain()
                    && chart.person.family_name.plain() == Name::new(family.reveal()).plain()
            }
            Pass::FamilyNameAndPostalCode(family, code) => {
                chart.person.family_name.plain() == Name::new(family.reveal()).plain()
                    && chart.person.postal_code.reveal() == &postal_code(code.reveal())
            }
            Pass::GivenNameAndPostalCode(given, code) => {
                chart.person.given_name.plain() == Name::new(given.reveal()).plain()
                    && chart.person.postal_code.reveal() == &postal_code(code.reveal())
            }
        };
        let visible = |chart: &Chart| !chart.is_gone && chart.visible_at <= Timestamp(now);
        let found = self.charts.iter().enumerate().filter(|(_, chart)| visible(chart) && agrees(chart));
        let candidate = |(index, chart): (usize, &Chart)| Candidate {
            id: Some(chart_id(index).as_ref().into()),
            external_id: chart
                .external_id
                .as_ref()
                .filter(|_| nature.guard.has_references())
                .map(|id| id.0.clone()),
            person: chart.person.clone(),
        };
        Answer::Patients { found: found.map(candidate).collect(), next_cursor: None }
    }

    fn create_patient(
        &mut self,
        content: &PatientContent,
        key: &str,
        nature: &Nature,
        now: i64,
    ) -> (Reply, Met) {
        if let Some((reply, met)) = self.known_key(key, content, nature) {
            return (reply.map(|id| Answer::PatientCreated(id.as_ref().into())), met);
        }
        let same = |chart: &Chart| !chart.is_gone && chart.external_id.as_ref() == Some(&content.patient.id);
        let existing =
            self.charts.iter().position(same).filter(|_| nature.guard == GuardMode::UniqueReference);
        if let Some(index) = existing {
            return (
                Err(Fault::AlreadyThere { existing_id: Some(chart_id(index).to_string()) }),
                Met::AlreadyThere,
            );
        }
        let id = chart_id(self.charts.len());
        self.charts.push(Chart {
            external_id: Some(content.patient.id.clone()),
            person: Person::from(&content.patient),
            visible_at: Timestamp(now + nature.lag_ms),
            is_gone: false,
        });
        self.remember(key, content, &id, nature);
        (Ok(Answer::PatientCreated(id.as_ref().into())), Met::Nothing)
    }

    fn create_appointment(
        &mut self,
        content: &AppointmentContent,
        key: &str,
        nature: &Nature,
        now: i64,
    ) -> (Reply, Met) {
        if nature.slots_before_keys && self.is_taken(content, None, nature) {
            return (Err(Fault::SlotTaken), Met::SlotTaken);
        }
        if let Some((reply, met)) = self.known_key(key, content, nature) {
            return (reply.map(|id| Answer::AppointmentCreated(self.told(&AppointmentId(id)))), met);
        }
        if !self.stands(content.patient.as_str()) {
            return (Err(Fault::NotFound(Missing::Patient)), Met::Nothing);
        }
        let same = |entry: &Entry| !entry.is_gone && entry.content.booking == content.booking;
        let existing =
            self.entries.iter().position(same).filter(|_| nature.guard == GuardMode::UniqueReference);
        if let Some(index) = existing {
            let existing_id = Some(entry_id(index).to_string());
            return (Err(Fault::AlreadyThere { existing_id }), Met::AlreadyThere);
        }
        if self.is_taken(content, None, nature) {
            return (Err(Fault::SlotTaken), Met::SlotTaken);
        }
        let id = entry_id(self.entries.len());
        let visible_at = Timestamp(now + nature.lag_ms);
        self.entries.push(Entry { content: content.clone(), revision: 1, visible_at, is_gone: false });
        self.remember(key, content, &id.0, nature);
        (Ok(Answer::AppointmentCreated(self.told(&id))), Met::Nothing)
    }

    fn update(
        &mut self,
        id: &AppointmentId,
        content: &AppointmentContent,
        if_match: Option<&Revision>,
        nature: &Nature,
    ) -> Reply {
        let Some(entry) = self.entry(id) else { return Err(Fault::NotFound(Missing::Appointment)) };
        let is_current = if_match.is_none_or(|revision| revision.as_str() == entry.revision.to_string());
        if nature.supports_if_match && !is_current {
            return Err(Fault::Changed);
        }
        if !self.stands(content.patient.as_str()) {
            return Err(Fault::NotFound(Missing::Patient));
        }
        let index = number(id.as_str()).unwrap_or_default();
        if self.is_taken(content, Some(index), nature) {
            return Err(Fault::SlotTaken);
        }
        self.entries[index].content = content.clone();
        self.entries[index].revision += 1;
        Ok(Answer::AppointmentUpdated(self.told(id)))
    }

    /// A person changes an appointment by hand.
    pub fn edit(&mut self) {
        self.somebody_intervened = true;
        if let Some(entry) = self.entries.iter_mut().find(|entry| !entry.is_gone) {
            entry.content.visit.duration_minutes = EDITED_MINUTES;
            entry.revision += 1;
        }
    }

    fn told(&self, id: &AppointmentId) -> WrittenAppointment {
        let entry = number(id.as_str()).and_then(|number| self.entries.get(number));
        WrittenAppointment { id: id.clone(), revision: entry.map(|entry| entry.revision.to_string().into()) }
    }

    /// The appointment of this id, unless it is gone.
    pub fn entry(&self, id: &AppointmentId) -> Option<&Entry> {
        self.entries.get(number(id.as_str())?).filter(|entry| !entry.is_gone)
    }

    /// The chart of this id, even if it is gone.
    pub fn chart(&self, id: &str) -> Option<&Chart> {
        self.charts.get(number(id)?)
    }

    /// Its place among all charts.
    pub fn chart_number(&self, id: &str) -> Option<usize> {
        number(id).filter(|number| *number < self.charts.len())
    }

    /// Whether a patient of this id stands.
    pub fn stands(&self, id: &str) -> bool {
        self.chart(id).is_some_and(|chart| !chart.is_gone)
    }

    fn is_taken(&self, content: &AppointmentContent, own: Option<usize>, nature: &Nature) -> bool {
        let minutes = |one: &AppointmentContent| {
            let start = one.visit.start.0 / 60_000;
            start..start + i64::from(one.visit.duration_minutes)
        };
        let wanted = minutes(content);
        let takes = |(index, entry): (usize, &Entry)| {
            let taken = minutes(&entry.content);
            !entry.is_gone
                && Some(index) != own
                && entry.content.status == BookingStatus::Scheduled
                && entry.content.visit.provider_id == content.visit.provider_id
                && taken.start < wanted.end
                && wanted.start < taken.end
        };
        nature.slot_conflicts
            && content.status == BookingStatus::Scheduled
            && self.entries.iter().enumerate().any(takes)
    }

    /// What a key created before, or that it was used for other bytes.
    fn known_key(
        &self,
        key: &str,
        content: &impl Hash,
        nature: &Nature,
    ) -> Option<(Result<Arc<str>, Fault>, Met)> {
        let (first, id) = self.keys.get(key)?;
        if *first != bytes(content) && !nature.replays_for_other_bytes {
            return Some((Err(Fault::KeyReused), Met::KeyReused));
        }
        Some((Ok(id.clone()), Met::Replayed))
    }

    fn remember(&mut self, key: &str, content: &impl Hash, id: &Arc<str>, nature: &Nature) {
        if nature.guard == GuardMode::IdempotencyKey {
            self.keys.insert(key.to_owned(), (bytes(content), id.clone()));
        }
    }
}

fn bytes(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

fn entry_id(index: usize) -> AppointmentId {
    AppointmentId(format!("hfa-{}", index + 1).into())
}

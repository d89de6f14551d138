//! Random legal days of a practice: its desk keeps the book and takes one step after the other, none of which gives a
//! provider two visits at the same time. What bookings do to each other's slots is here only; whoever skips or reorders
//! their steps loses somebody a visit.

use healthflow_core::booking::{
    Booking, BookingKey, BookingStatus, Patient, PracticeId, Source, Version, Visit,
};
use healthflow_core::event::Arrival;
use healthflow_core::time::{DAY_MS, Timestamp};
use std::sync::Arc;

use crate::lives::{Lives, Publication};
use crate::plan::{BEGIN_MS, Plan};
use healthflow_proof::random::Random;

/// Quarters of an hour in which a provider works.
const QUARTERS: i64 = 12;

/// Where a visit is in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    provider: i64,
    start: i64,
    quarters: i64,
}

impl Place {
    fn overlaps(self, other: Place) -> bool {
        self.provider == other.provider
            && self.start < other.start + other.quarters
            && other.start < self.start + self.quarters
    }
}

/// The desk of one practice: each booking's place, none of what is cancelled.
struct Desk {
    providers: i64,
    book: Vec<Option<Place>>,
}

/// One step: which booking gets which place.
type Step = (usize, Option<Place>);

impl Desk {
    fn is_free(&self, place: Place, but_for: usize) -> bool {
        let mut others = self.book.iter().enumerate().filter(|(index, _)| *index != but_for);
        place.start + place.quarters <= QUARTERS
            && others.all(|(_, other)| other.is_none_or(|other| !other.overlaps(place)))
    }

    /// Somewhere free, if a few looks find it.
    fn free(&self, but_for: usize, random: &mut Random) -> Option<Place> {
        let place = |random: &mut Random| Place {
            provider: random.between(0, self.providers - 1),
            start: random.between(0, QUARTERS - 1),
            quarters: random.between(1, 3),
        };
        (0..8).map(|_| place(random)).find(|place| self.is_free(*place, but_for))
    }

    /// What the desk does next: nothing where a wish cannot be met.
    fn next_steps(&self, random: &mut Random) -> Vec<Step> {
        let fresh = self.book.len();
        let one = random.below(fresh);
        let at = self.book.get(one).copied().flatten();
        let moved = |place: Option<Place>| place.map(|place| (one, Some(place))).into_iter().collect();
        match (random.below(10), at) {
            (0 | 1, _) | (_, None) if fresh < 12 => {
                self.free(fresh, random).map(|place| (fresh, Some(place))).into_iter().collect()
            }
            (_, None) => moved(self.free(one, random)),
            (2, Some(_)) => vec![(one, None)],
            (3 | 4, Some(place)) if fresh < 12 => vec![(one, None), (fresh, Some(place))],
            (5, Some(place)) => {
                let changed = Place { quarters: random.between(1, 3), ..place };
                moved(Some(changed).filter(|changed| self.is_free(*changed, one)))
            }
            (6..=8, Some(place)) => self.exchange((one, place), random),
            (_, Some(_)) => moved(self.free(one, random)),
        }
    }

    /// Two bookings exchange their places by way of a third one.
    fn exchange(&self, (one, place): (usize, Place), random: &mut Random) -> Vec<Step> {
        let other = random.below(self.book.len());
        let Some(others) = self.book[other].filter(|_| other != one) else { return Vec::new() };
        let Some(aside) = self.free(one, random) else { return Vec::new() };
        // The third place may be in its own way.
        if aside.overlaps(place) {
            return Vec::new();
        }
        vec![(one, Some(aside)), (other, Some(place)), (one, Some(others))]
    }

    fn take(&mut self, (index, place): Step) {
        if index == self.book.len() {
            self.book.push(None);
        }
        assert!(place.is_none_or(|place| self.is_free(place, index)), "the desk takes legal steps only");
        self.book[index] = place;
    }
}

/// Publishes the days of one practice, each step as the next version of its booking.
pub fn publish_days(
    practice: &PracticeId,
    partition: i32,
    plan: &Plan,
    lives: &mut Lives,
    random: &mut Random,
) {
    let mut desk = Desk { providers: random.between(1, 2), book: Vec::new() };
    let mut bookings: Vec<(Version, Patient, Option<Place>)> = Vec::new();
    let mut at = random.between(BEGIN_MS, BEGIN_MS + 20_000);
    let gap_ms = *random.pick(plan.gaps_ms);
    let mut last_index = 0;
    for _ in 0..random.between(5, 40) {
        for step in desk.next_steps(random) {
            desk.take(step);
            let (index, place) = step;
            if index == bookings.len() {
                // Often whoever gave up a visit a moment ago.
                let known = bookings.get(last_index).filter(|_| random.chance(0.4));
                let patient = known.map(|(_, patient, _)| patient.clone());
                bookings.push((0, patient.unwrap_or_else(|| self::patient(practice, index, lives)), None));
            }
            last_index = index;
            let (version, patient, last) = &mut bookings[index];
            *version += 1;
            *last = place.or(*last);
            let key =
                BookingKey { practice: practice.clone(), booking: format!("b{partition}-{index}").into() };
            let status = if place.is_some() { BookingStatus::Scheduled } else { BookingStatus::Cancelled };
            let booking = Booking {
                event_id: format!("e-{}-{version}", key.booking).into(),
                location_id: "loc".into(),
                version: *version,
                status,
                requested_at: Timestamp(at),
                source: Source::Live,
                patient: patient.clone(),
                visit: visit(&key, *version, last.expect("whatever is cancelled had a place")),
                key,
            };
            let arrival = Arrival::Requested(Arc::new(booking));
            lives.records.push(Publication { at, partition, strays_to: None, arrival });
            at = (at + random.between(1, gap_ms)).min(plan.faults_until - 1);
        }
    }
}

fn patient(practice: &PracticeId, number: usize, lives: &mut Lives) -> Patient {
    let patient = Patient {
        id: format!("{practice}-pt{number}").into(),
        healthflow_patient_id: None,
        given_name: format!("Given{}", letters(number)).into(),
        family_name: format!("Family{}", letters(number)).into(),
        date_of_birth: jiff::civil::date(1950 + 3 * number as i16, 1 + number as i8 % 12, 7).into(),
        postal_code: (10_000 + number).to_string().into(),
        phone: None,
        email: None,
        sex: None,
    };
    lives.introduce(practice, &patient.id, patient.family_name.reveal());
    patient
}

/// Nobody's name is like another's.
fn letters(number: usize) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    letter.to_string().repeat(4)
}

fn visit(key: &BookingKey, version: Version, place: Place) -> Visit {
    Visit {
        start: Timestamp(BEGIN_MS + 30 * DAY_MS + place.start * 900_000),
        duration_minutes: 15 * place.quarters as u32,
        time_zone: "America/Chicago".into(),
        provider_id: format!("dr-{}", place.provider).into(),
        operatory_id: None,
        procedure_codes: Vec::new(),
        note: Some(format!("{} v{version}", key.booking).into()),
    }
}

//! The workload, a Monday morning of bookings: everything that DentScheduler publishes, and when, planned from a seed.
//! Pure, so that the audit knows the expected result of each record before it is sent.

pub mod desk;
pub mod people;
pub mod poison;
pub mod spoiled;
pub mod zipf;

use healthflow_core::booking::{BookingId, BookingKey, PracticeId, Source};
use healthflow_core::event::requested::{AppointmentRequested, RequestedStatus, RequestedVisit};
use healthflow_core::time::Timestamp;
use healthflow_proof::random::Random;

use desk::{Desk, Ending};
use people::{Chart, Doubt, Scenario};
use poison::Poison;
use spoiled::{Spoiled, SpoiledAt};
use zipf::Zipf;

const ZONES: [&str; 4] = ["America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"];
const QUARTER_MS: i64 = 15 * 60_000;
/// So many let a review end in each way.
const REVIEWS_MIN: usize = 5;
const DESK_SEED: u64 = 0xde5c;

/// What kind of workload.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Practices; the bookings are spread over them by Zipf's law.
    pub practices: usize,
    /// Bookings, each of one to three versions.
    pub bookings: usize,
    /// From the first booking to the last one, in milliseconds.
    pub duration_ms: i64,
    /// Visits begin after this.
    pub first_visit_at: Timestamp,
    /// Who decides what is in review.
    pub desk: Desk,
    /// Seed of all chance.
    pub seed: u64,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Workload {
    /// Who is in HealthFlow already.
    pub charts: Vec<Chart>,
    /// What is published, in order of time.
    pub publications: Vec<Publication>,
    /// Newer versions of bookings in review, each published once the front desk has seen the review that it ends.
    pub newer: Vec<Publication>,
}

impl Workload {
    /// All that may be published.
    pub fn all(&self) -> Vec<Publication> {
        self.publications.iter().chain(&self.newer).cloned().collect()
    }
}

/// One record to be published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// When, in milliseconds after the first.
    pub at_ms: i64,
    /// The record's key.
    pub key: String,
    /// The event; its `requested_at` counts from the first publication, like `at_ms`.
    pub event: AppointmentRequested,
    /// Whether HealthFlow knows its patient, and how.
    pub scenario: Scenario,
    /// Its expected result.
    pub expected: Expected,
}

/// The expected result of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One good result.
    Synced,
    /// A review, and what must come of it.
    Review(Ending),
    /// None: the same event was published before.
    Nothing,
    /// One dead letter.
    Poisoned(Poison),
    /// Of a decision that cannot be carried out: one dead letter with this reason.
    Refused(&'static str),
}

impl Publication {
    /// Which booking.
    pub fn booking(&self) -> BookingKey {
        BookingKey { practice: self.event.practice_id.clone(), booking: self.event.booking_id.clone() }
    }
}

/// The versions of a booking, in the order in which they are published.
struct VersionSequence {
    versions: &'static [(i64, RequestedStatus)],
    is_sent_again: bool,
}

use RequestedStatus::{Cancelled, Scheduled};
/// Of a thousand bookings, how many have which versions, and whether one is published twice.
const SEQUENCES: [(usize, VersionSequence); 8] = [
    (780, VersionSequence { versions: &[(1, Scheduled)], is_sent_again: false }),
    (80, VersionSequence { versions: &[(1, Scheduled), (2, Scheduled)], is_sent_again: false }),
    (
        20,
        VersionSequence { versions: &[(1, Scheduled), (2, Scheduled), (3, Scheduled)], is_sent_again: false },
    ),
    (40, VersionSequence { versions: &[(1, Scheduled), (2, Cancelled)], is_sent_again: false }),
    (10, VersionSequence { versions: &[(1, Cancelled)], is_sent_again: false }),
    (15, VersionSequence { versions: &[(2, Cancelled), (1, Scheduled)], is_sent_again: false }),
    (25, VersionSequence { versions: &[(2, Scheduled), (1, Scheduled)], is_sent_again: false }),
    (30, VersionSequence { versions: &[(1, Scheduled)], is_sent_again: true }),
];

fn version_sequence(random: &mut Random) -> &'static VersionSequence {
    let mut point = random.below(1_000);
    for (share, sequence) in &SEQUENCES {
        if point < *share {
            return sequence;
        }
        point -= share;
    }
    &SEQUENCES[0].1
}

/// Plans the workload, with these spoiled records.
pub fn plan(settings: &Settings, spoiled: &[SpoiledAt]) -> Workload {
    let mut planner = Planner {
        settings,
        random: Random::new(settings.seed),
        // Numbers of its own: whoever decides, the same morning is planned.
        desk_random: Random::new(settings.seed.wrapping_add(DESK_SEED)),
        reviews: 0,
        workload: Workload::default(),
        patients: vec![Vec::new(); settings.practices.max(1)],
    };
    let zipf = Zipf::new(settings.practices);
    let ambiguous = (settings.bookings / 500).max(REVIEWS_MIN);
    for number in 0..settings.bookings {
        let practice = zipf.draw(&mut planner.random);
        // Bookings for review are spread over the run.
        let is_ambiguous = number % (settings.bookings / ambiguous).max(1) == 1;
        planner.add_booking(number, practice, is_ambiguous);
    }
    for (nth, spoiled) in spoiled.iter().enumerate() {
        planner.add_spoiled(nth, *spoiled);
    }
    let mut workload = planner.workload;
    // A stable sort: the versions of one booking keep their order.
    workload.publications.sort_by_key(|publication| publication.at_ms);
    workload
}

struct Planner<'a> {
    settings: &'a Settings,
    random: Random,
    desk_random: Random,
    /// Reviews so far.
    reviews: usize,
    workload: Workload,
    /// Per practice, its patients so far.
    patients: Vec<Vec<Scenario>>,
}

impl Planner<'_> {
    fn add_booking(&mut self, number: usize, practice: usize, is_ambiguous: bool) {
        let (patient, scenario) =
            if is_ambiguous { self.new_patient(practice, true) } else { self.some_patient(practice) };
        let sequence = if is_ambiguous { &SEQUENCES[0].1 } else { version_sequence(&mut self.random) };
        let first = self.publication(number, practice, patient, scenario);
        let mut at_ms = first.at_ms;
        let mut visit_start = first.event.visit.start;
        for (nth, (version, status)) in sequence.versions.iter().enumerate() {
            let mut publication = first.clone();
            if nth > 0 {
                at_ms += self.random.between(300, 8_000.min(self.settings.duration_ms / 3).max(300));
                visit_start = visit_start.plus_ms(self.random.between(1, 39) * QUARTER_MS);
            }
            publication.at_ms = at_ms;
            publication.event.requested_at = Timestamp(at_ms);
            publication.event.version = *version;
            publication.event.status = *status;
            publication.event.event_id = format!("ev-{number:06}-{version}").into();
            publication.event.visit.start = visit_start;
            self.workload.publications.push(publication);
        }
        if is_ambiguous {
            self.plan_ending();
        }
        if sequence.is_sent_again
            && let Some(last) = self.workload.publications.last().cloned()
        {
            let at_ms = last.at_ms + self.random.between(50, 2_999);
            self.workload.publications.push(Publication { at_ms, expected: Expected::Nothing, ..last });
        }
    }

    /// Plans how the review of the last publication ends.
    fn plan_ending(&mut self) {
        let first = self.workload.charts.len() - Doubt::of(self.reviews).charts();
        let ending = Ending::plan(self.settings.desk, self.reviews, first, &mut self.desk_random);
        self.reviews += 1;
        if let Some(asked) = self.workload.publications.last_mut() {
            asked.expected = Expected::Review(ending);
            self.workload.newer.extend(ending.newer(asked));
        }
    }

    /// A third of the bookings is for somebody who has one already.
    fn some_patient(&mut self, practice: usize) -> (usize, Scenario) {
        let known = self.patients[practice].len();
        if known > 0 && self.random.fraction() < 0.35 {
            let patient = self.random.below(known);
            let scenario = self.patients[practice][patient];
            if scenario != Scenario::Ambiguous {
                return (patient, scenario);
            }
        }
        self.new_patient(practice, false)
    }

    fn new_patient(&mut self, practice: usize, is_ambiguous: bool) -> (usize, Scenario) {
        let number = self.patients[practice].len();
        let (practice_id, patient) = (practice_id(practice), people::patient(practice, number));
        let charts = &mut self.workload.charts;
        let scenario = match self.random.below(10) {
            _ if is_ambiguous => Scenario::Ambiguous,
            0..6 => Scenario::Known(charts.len()),
            6..8 => Scenario::Found(charts.len()),
            _ => Scenario::New,
        };
        charts.extend(match scenario {
            Scenario::Known(_) | Scenario::Found(_) => vec![people::chart(&practice_id, &patient)],
            Scenario::New => Vec::new(),
            Scenario::Ambiguous => Doubt::of(self.reviews).charts_of(people::chart(&practice_id, &patient)),
        });
        self.patients[practice].push(scenario);
        (number, scenario)
    }

    fn publication(
        &mut self,
        number: usize,
        practice: usize,
        patient: usize,
        scenario: Scenario,
    ) -> Publication {
        let settings = self.settings;
        let spread = settings.duration_ms * number as i64 / settings.bookings.max(1) as i64;
        let visit = RequestedVisit {
            start: settings.first_visit_at.plus_ms(self.random.between(0, 3_999) * QUARTER_MS),
            time_zone: ZONES[practice % ZONES.len()].into(),
            duration_minutes: [20, 30, 45, 60][self.random.below(4)],
            provider_id: format!("dr-{practice:03}-{}", self.random.below(4)).into(),
            operatory_id: None,
            procedure_codes: vec![["D0120", "D1110", "D2391", "D2740"][self.random.below(4)].to_owned()],
            note: None,
        };
        Publication {
            at_ms: spread,
            key: practice_id(practice),
            event: AppointmentRequested {
                event_id: "".into(),
                booking_id: BookingId::from(format!("bk-{number:06}")),
                practice_id: PracticeId::from(practice_id(practice)),
                location_id: format!("loc-{practice:03}").into(),
                version: 1,
                status: Scheduled,
                requested_at: Timestamp(spread),
                source: Source::Live,
                patient: people::patient(practice, patient),
                visit,
            },
            scenario,
            expected: Expected::Synced,
        }
    }

    /// A record that is spoiled, of a patient of its own.
    fn add_spoiled(&mut self, nth: usize, SpoiledAt { at_ms, spoiled }: SpoiledAt) {
        let practice = nth % self.settings.practices.max(1);
        let number = self.settings.bookings + nth;
        let patient = self.patients[practice].len() + nth;
        let mut publication = self.publication(number, practice, patient, Scenario::New);
        publication.at_ms = at_ms;
        publication.event.requested_at = Timestamp(at_ms);
        publication.event.event_id = format!("ev-{number:06}-1").into();
        match spoiled {
            Spoiled::Poison(poison) => {
                publication.expected = Expected::Poisoned(poison);
                if poison == Poison::ForeignKey {
                    publication.key = "practice-of-somebody-else".to_owned();
                }
            }
            Spoiled::SingledOut(singled_out) => singled_out.mark(&mut publication.event, nth),
        }
        self.workload.publications.push(publication);
    }
}

/// The id of a practice by its number.
pub fn practice_id(practice: usize) -> String {
    format!("practice-{practice:03}")
}

#[cfg(test)]
mod tests;

//! The audit must see what is wrong: each defect is planted into a perfect run and must be counted, and nothing
//! else with it.

mod reviews;

use std::collections::BTreeMap;

use healthflow_core::booking::BookingKey;
use healthflow_core::event::requested::RequestedStatus;

use super::*;
use crate::healthflow::{Appointment, Patient};
use crate::journal::RecordPosition;
use crate::workload::desk::{Desk, Ending};
use crate::workload::people::Scenario;
use crate::workload::spoiled::spread;
use crate::workload::{self, Workload};

/// A run in which everything went well.
struct Perfect {
    workload: Workload,
    chart_ids: Vec<String>,
    notes: Notes,
    ledger: Ledger,
    chaos: Vec<Span>,
}

impl Perfect {
    fn new() -> Perfect {
        let settings = workload::Settings {
            practices: 5,
            bookings: 120,
            duration_ms: 12_000,
            first_visit_at: Timestamp(1_767_614_400_000),
            desk: Desk::Orderly,
            seed: 1,
        };
        let workload = workload::plan(&settings, &spread(4, 0, settings.duration_ms));
        let chart_ids: Vec<String> =
            (0..workload.charts.len()).map(|number| format!("hf-{number}")).collect();
        let mut perfect = Perfect {
            workload,
            chart_ids,
            notes: Notes::default(),
            ledger: Ledger::default(),
            chaos: Vec::new(),
        };
        perfect.ask_and_tell();
        perfect.fill_books();
        perfect
    }

    fn ask_and_tell(&mut self) {
        for (offset, one) in (0..).zip(self.workload.all()) {
            let record = RecordPosition { partition: 0, offset };
            let version = (one.booking(), one.event.version);
            let name = match one.expected {
                Expected::Poisoned(_) => Name::Record(record),
                _ => Name::Version(version.0.clone(), version.1),
            };
            let told: &[(ResultOutcome, Option<&str>)] = match one.expected {
                Expected::Nothing | Expected::Refused(_) => continue,
                Expected::Synced => &[(ResultOutcome::Updated, None)],
                Expected::Poisoned(poison) => &[(ResultOutcome::Failed, Some(poison.reason()))],
                Expected::Review(ending) => &[(ResultOutcome::Review, None), end_of(ending)],
            };
            self.notes.asked.push(Asked { name, expected: one.expected, at: Timestamp(one.at_ms) });
            for (outcome, reason) in told {
                self.notes.results.push(SeenResult {
                    version: Some(version.clone()),
                    record: (*outcome == ResultOutcome::Failed).then_some(record),
                    outcome: *outcome,
                    is_final: *outcome != ResultOutcome::Review,
                    reason: reason.map(str::to_owned),
                    generation: 0,
                    attempts: 1,
                    decision: None,
                    at: Timestamp(one.at_ms + 100),
                });
            }
        }
    }

    fn fill_books(&mut self) {
        for (id, chart) in self.chart_ids.iter().zip(&self.workload.charts) {
            let (practice_id, date_of_birth) = (chart.practice_id.clone(), chart.date_of_birth.clone());
            let patient =
                Patient { id: id.clone(), practice_id, external_id: None, date_of_birth, seeded: true };
            self.ledger.patients.push(patient);
        }
        let mut newest: BTreeMap<BookingKey, &Publication> = BTreeMap::new();
        let all = self.workload.all();
        let booked = |one: &&Publication| {
            matches!(one.expected, Expected::Synced | Expected::Review(Ending::Linked(_) | Ending::New))
        };
        for one in all.iter().filter(booked) {
            let known = newest.entry(one.booking()).or_insert(one);
            if known.event.version < one.event.version {
                *known = one;
            }
        }
        for (booking, one) in newest {
            let is_cancelled = one.event.status == RequestedStatus::Cancelled;
            // Nothing was ever created for who is still in review.
            if is_cancelled && one.scenario == Scenario::Ambiguous {
                continue;
            }
            let reference = one.event.patient.patient_id.reveal().as_str();
            let practice_id = booking.practice.to_string();
            let patient_id = match (one.expected, one.scenario) {
                (Expected::Review(Ending::Linked(chart)), _)
                | (_, Scenario::Known(chart) | Scenario::Found(chart)) => self.chart_ids[chart].clone(),
                _ => format!("new-{practice_id}-{reference}"),
            };
            if !self.ledger.patients.iter().any(|patient| patient.id == patient_id) {
                self.ledger.patients.push(Patient {
                    id: patient_id.clone(),
                    practice_id: practice_id.clone(),
                    external_id: Some(reference.to_owned()),
                    date_of_birth: one.event.patient.date_of_birth.reveal().clone(),
                    seeded: false,
                });
            }
            self.ledger.appointments.push(Appointment {
                id: format!("apt-{booking}"),
                practice_id,
                external_id: Some(booking.booking.to_string()),
                patient_id,
                status: if is_cancelled { "cancelled" } else { "scheduled" }.to_owned(),
                start: one.event.visit.start.to_string(),
                duration_minutes: one.event.visit.duration_minutes,
                provider_id: one.event.visit.provider_id.to_string(),
            });
        }
    }

    fn audit(&self) -> Audit {
        audit(&Evidence {
            publications: &self.workload.all(),
            chart_ids: &self.chart_ids,
            notes: &self.notes,
            ledger: &self.ledger,
            totals: &Totals::default(),
            chaos: &self.chaos,
        })
    }

    /// The position of an appointment that is scheduled.
    fn scheduled(&self) -> usize {
        self.ledger.appointments.iter().position(|one| one.status == "scheduled").expect("there are some")
    }

    /// What the first thing with this expected is called.
    fn name_of(&self, expected: impl Fn(&Expected) -> bool) -> Name {
        let asked = self.notes.asked.iter().find(|asked| expected(&asked.expected));
        asked.expect("there is one").name.clone()
    }

    /// The position of the last result about it.
    fn result_of(&self, expected: impl Fn(&Expected) -> bool) -> usize {
        let name = self.name_of(expected);
        self.notes.result_names().iter().rposition(|one| *one == name).expect("it has one")
    }
}

/// The last result of a version whose review ends so.
fn end_of(ending: Ending) -> (ResultOutcome, Option<&'static str>) {
    match ending {
        Ending::Linked(_) | Ending::New => (ResultOutcome::Created, None),
        Ending::Rejected => (ResultOutcome::Failed, Some("REJECTED_IN_REVIEW")),
        Ending::Named(_) | Ending::Cancelled => (ResultOutcome::Superseded, None),
        Ending::Open => (ResultOutcome::Review, None),
    }
}

/// Plants a defect into a perfect run and audits it.
fn audit_with(defect: impl FnOnce(&mut Perfect)) -> Audit {
    let mut perfect = Perfect::new();
    defect(&mut perfect);
    perfect.audit()
}

#[test]
fn a_perfect_morning_is_clean_and_adds_up() {
    let audit = Perfect::new().audit();
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.asked, audit.synced + audit.review + audit.failed);
    assert!(audit.review == 0 && audit.failed == 5 && audit.published_again > 0, "{audit:?}");
    let reviews = Reviews { asked: 5, linked: 1, new: 1, rejected: 1, by_newer_version: 2 };
    assert_eq!(audit.reviews, reviews);
    assert!(report::text(&audit).contains("5   1 linked, 1 new, 1 rejected, 2 ended by a newer version"));
    assert_eq!((audit.confirm_seconds_p50, audit.confirm_seconds_p99), (0.1, 0.1));
}

#[test]
fn a_second_appointment_is_seen() {
    let audit = audit_with(|perfect| {
        let copy = Appointment { id: "apt-copy".into(), ..perfect.ledger.appointments[0].clone() };
        perfect.ledger.appointments.push(copy);
    });
    assert_eq!(audit.wrong, Wrong { duplicate_appointments: 1, ..Wrong::default() });
}

#[test]
fn a_second_chart_of_one_person_is_seen_with_and_without_our_reference() {
    for is_of_a_seeded_one in [true, false] {
        let audit = audit_with(|perfect| {
            let original = perfect.ledger.patients.iter().find(|one| one.seeded == is_of_a_seeded_one);
            let original = original.expect("there are both").clone();
            perfect.ledger.patients.push(Patient { id: "p-copy".into(), seeded: false, ..original });
        });
        assert_eq!(audit.wrong, Wrong { duplicate_patients: 1, ..Wrong::default() });
    }
}

#[test]
fn an_appointment_without_its_patient_is_seen() {
    let audit = audit_with(|perfect| perfect.ledger.appointments[0].patient_id = "nobody".into());
    assert_eq!((audit.wrong.orphans, audit.wrong.missing), (1, 0));
    let audit = audit_with(|perfect| {
        let id = perfect.ledger.appointments[0].patient_id.clone();
        let patient = perfect.ledger.patients.iter_mut().find(|patient| patient.id == id);
        patient.expect("it exists").practice_id = "practice-elsewhere".into();
    });
    assert!(audit.wrong.orphans > 0);
}

#[test]
fn a_missing_booking_is_seen_and_a_cancelled_one_may_be_absent() {
    let audit = audit_with(|perfect| drop(perfect.ledger.appointments.remove(perfect.scheduled())));
    assert_eq!(audit.wrong, Wrong { missing: 1, ..Wrong::default() });
    let audit = audit_with(|perfect| perfect.ledger.appointments.retain(|one| one.status == "scheduled"));
    assert!(audit.is_clean(), "{audit:?}");
}

#[test]
fn a_version_that_is_answered_twice_is_seen() {
    for outcome in [ResultOutcome::Updated, ResultOutcome::Review, ResultOutcome::Created] {
        let audit = audit_with(|perfect| {
            let again = perfect.notes.results.iter().find(|one| one.outcome == outcome).cloned();
            perfect.notes.results.push(again.expect("there is one"));
        });
        assert_eq!(audit.wrong, Wrong { duplicate_results: 1, ..Wrong::default() });
    }
}

#[test]
fn a_version_without_result_waits() {
    let audit = audit_with(|perfect| drop(perfect.notes.results.remove(3)));
    assert_eq!((audit.waiting, audit.is_clean()), (1, false));
}

#[test]
fn an_appointment_whose_newest_version_waits_is_counted_as_waiting_only() {
    let audit = audit_with(|perfect| {
        let position = perfect.scheduled();
        let appointment = &mut perfect.ledger.appointments[position];
        appointment.provider_id = "dr-of-the-version-before".into();
        let booking = appointment.external_id.clone();
        perfect.notes.results.retain(|result| {
            result
                .version
                .as_ref()
                .is_none_or(|(named, _)| Some(named.booking.as_str()) != booking.as_deref())
        });
    });
    assert_eq!(audit.wrong, Wrong::default());
    assert!(audit.waiting > 0 && !audit.is_clean());
}

#[test]
fn an_appointment_that_does_not_show_the_newest_version_is_seen() {
    type Change = fn(&mut Appointment);
    let changes: [Change; 4] = [
        |one| one.start = "2026-01-01T09:00:00-06:00".into(),
        |one| one.status = "cancelled".into(),
        |one| one.provider_id = "dr-else".into(),
        |one| one.start = "nonsense".into(),
    ];
    for change in changes {
        let audit = audit_with(|perfect| {
            let position = perfect.scheduled();
            change(&mut perfect.ledger.appointments[position]);
        });
        assert_eq!(audit.wrong, Wrong { wrong_content: 1, ..Wrong::default() });
    }
}

#[test]
fn an_appointment_of_somebody_else_or_for_nobody_is_seen() {
    let audit = audit_with(|perfect| {
        let practice = perfect.ledger.appointments[0].practice_id.clone();
        let own = perfect.ledger.appointments[0].patient_id.clone();
        let other = perfect.ledger.patients.iter().find(|one| one.practice_id == practice && one.id != own);
        perfect.ledger.appointments[0].patient_id = other.expect("practices have several").id.clone();
    });
    assert_eq!(audit.wrong, Wrong { wrong_content: 1, ..Wrong::default() });
    let audit = audit_with(|perfect| {
        let invented = Appointment {
            external_id: Some("bk-nobody-asked".into()),
            ..perfect.ledger.appointments[0].clone()
        };
        perfect.ledger.appointments.push(invented);
    });
    assert_eq!(audit.wrong, Wrong { wrong_content: 1, ..Wrong::default() });
}

#[test]
fn another_result_than_had_to_come_is_seen() {
    let newest_superseded = audit_with(|perfect| {
        // Every booking's last version says superseded.
        let name = perfect.name_of(|one| *one == Expected::Synced);
        let Name::Version(booking, _) = name else { panic!("a version") };
        for result in perfect.notes.results.iter_mut() {
            if result.version.as_ref().is_some_and(|(named, _)| *named == booking) {
                result.outcome = ResultOutcome::Superseded;
            }
        }
    });
    assert_eq!(newest_superseded.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() });
    let other_reason = audit_with(|perfect| {
        let at = perfect.result_of(|one| matches!(one, Expected::Poisoned(_)));
        perfect.notes.results[at].reason = Some("REJECTED".into());
    });
    assert_eq!(other_reason.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() });
    let nobody_asked = audit_with(|perfect| {
        let mut result = perfect.notes.results[0].clone();
        result.version = Some((BookingKey { practice: "p".into(), booking: "b".into() }, 1));
        result.record = None;
        perfect.notes.results.push(result);
    });
    assert_eq!(nobody_asked.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() });
}

#[test]
fn calm_is_who_saw_no_chaos() {
    let span = |from, until| Span { from: Timestamp(from), until: Timestamp(until) };
    let audit = audit_with(|perfect| perfect.chaos.push(span(i64::MIN, Timestamp::NEVER.0)));
    assert_eq!((audit.calm, audit.confirm_seconds_p99_calm, audit.confirm_seconds_p99), (0, 0.0, 0.1));
    let audit = audit_with(|perfect| perfect.chaos.push(span(3_000, 5_000)));
    assert!(audit.calm > 0 && audit.calm < audit.synced);
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let mut waits_ms: Vec<i64> = (1..=100).rev().map(|number| number * 1_000).collect();
    assert_eq!((seconds(&mut waits_ms, 0.5), seconds(&mut waits_ms, 0.99)), (50.0, 99.0));
    assert_eq!((seconds(&mut [], 0.5), seconds(&mut [7_000], 0.99)), (0.0, 7.0));
}

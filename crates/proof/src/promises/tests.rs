//! Each checker finds a violation of its promise, and no other. The planted defects show that the checkers notice what
//! a broken processor does.

use std::collections::BTreeMap;

use healthflow_core::booking::BookingStatus::{Cancelled, Scheduled};
use healthflow_core::booking::PatientKey;
use healthflow_core::event::sample;
use healthflow_core::healthflow::AppointmentContent;
use healthflow_core::state::TaskState;
use healthflow_core::sync::{FailureReason, SyncedOutcome};
use healthflow_core::time::Timestamp;
use healthflow_core::topics::Lane;

use super::committed_offsets::{committed_offsets, left_behind};
use super::existing::{Appointment, Existing, Patient};
use super::newest::{Found, is_what_exists, newest_version_wins, right_chart};
use super::results::{Outcome, lost, one_result, slots_lost};
use super::sending::{held_first, lease, same};

fn appointment(booking: Option<&'static str>) -> Appointment<'static, &'static str> {
    Appointment { practice: "pr", booking, patient: "p1" }
}

fn patient(
    id: &'static str,
    reference: Option<&'static str>,
    was_there: bool,
) -> Patient<'static, &'static str, u8> {
    Patient { practice: "pr", id, reference, person: 1, was_there }
}

#[test]
fn nothing_is_written_for_a_patient_whom_another_review_holds() {
    let patient = || PatientKey { practice: "pr".into(), patient: "p1".into() };
    let mut state = TaskState::default();
    let written = |id: &str, status| {
        let content = AppointmentContent::wanted(&sample::booking(), "hf-1".into());
        AppointmentContent { practice: "pr".into(), booking: id.into(), status, ..content }
    };
    assert_eq!(held_first(&state, &written("b", Scheduled), [patient()]), None);
    state.patients.entry_mut(&patient()).held_by = Some("other".into());
    assert!(held_first(&state, &written("b", Scheduled), [patient()]).is_some());
    assert_eq!(held_first(&state, &written("other", Scheduled), [patient()]), None, "its own review");
    assert_eq!(
        held_first(&state, &written("b", Cancelled), [patient()]),
        None,
        "a cancellation asks for nobody"
    );
}

#[test]
fn no_appointment_exists_twice() {
    let once = vec![appointment(Some("b1")), appointment(Some("b2")), appointment(None)];
    let mut twice = once.clone();
    twice.extend([appointment(Some("b2")), appointment(None)]);
    let of = |appointments| Existing::<_, u8> { appointments, patients: Vec::new() }.duplicate_appointments();
    assert_eq!(of(once), [""; 0]);
    assert_eq!(of(twice), ["pr/b2"]);
}

#[test]
fn nobody_exists_twice() {
    let of = |patients| Existing { appointments: Vec::new(), patients };
    let created = of(vec![patient("p1", Some("x"), false)]);
    assert!(created.duplicate_people().is_empty() && created.duplicate_references().is_empty());
    let there = of(vec![patient("p1", None, true), patient("p2", None, true)]);
    assert!(there.duplicate_people().is_empty(), "what was there is not ours");
    let beside = of(vec![patient("p1", None, true), patient("p2", Some("x"), false)]);
    assert_eq!(beside.duplicate_people(), ["p2"]);
    let twice = of(vec![patient("p1", Some("x"), false), patient("p2", Some("x"), false)]);
    assert_eq!(
        (twice.duplicate_people(), twice.duplicate_references()),
        (vec!["p2"], vec!["pr/x".to_owned()])
    );
}

#[test]
fn nothing_exists_without_its_patient() {
    let with = |patients| Existing { appointments: vec![appointment(None)], patients };
    assert_eq!(with(vec![patient("p1", None, false)]).orphans().count(), 0);
    assert_eq!(with(Vec::new()).orphans().count(), 1);
    let elsewhere = Patient { practice: "other", ..patient("p1", None, false) };
    assert_eq!(with(vec![elsewhere]).orphans().count(), 1);
}

#[test]
fn what_has_no_result_is_lost_unless_it_waits_for_a_person() {
    let lost: Vec<u8> = lost([1, 2, 3].into_iter(), |one| *one == 1, |one| *one == 2).collect();
    assert_eq!(lost, [3]);
}

#[test]
fn a_second_result_needs_a_redrive() {
    let mut seen = BTreeMap::new();
    assert_eq!(one_result(&mut seen, 1, "failed", |_, _| false), None);
    assert_eq!(one_result(&mut seen, 1, "created", |_, _| true), None);
    assert!(one_result(&mut seen, 1, "updated", |_, _| false).is_some());
    let results = [
        (1, Ok(SyncedOutcome::Created)),
        (2, Err(FailureReason::SlotTaken)),
        (3, Err(FailureReason::Rejected)),
    ];
    assert_eq!(slots_lost(results.into_iter()).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_newest_version_that_ended_well_is_the_one_that_exists() {
    let (well, rejected): (Outcome, Outcome) = (Ok(SyncedOutcome::Updated), Err(FailureReason::Rejected));
    let superseded = Ok(SyncedOutcome::Superseded);
    let wins = |versions: &[(u64, Outcome)], stands| {
        newest_version_wins(versions.iter().copied(), stands == 0, |version| version == stands)
    };
    assert!(wins(&[(1, superseded), (2, well)], 2));
    assert!(!wins(&[(1, superseded), (2, well)], 1));
    assert!(!wins(&[(1, superseded), (2, well)], 0));
    assert!(wins(&[(1, well), (2, rejected)], 2), "it may have been carried out");
    assert!(!wins(&[(1, well), (2, Err(FailureReason::Impossible))], 2), "it was never tried");
    assert!(wins(&[(1, rejected)], 0));
}

#[test]
fn what_exists_is_as_it_is_wanted() {
    let one = |is_cancelled, is_as_wanted| Found { is_cancelled, is_as_wanted };
    assert!(is_what_exists(Scheduled, &[one(false, true)]));
    for wrong in [vec![], vec![one(true, true)], vec![one(false, false)], vec![one(false, true); 2]] {
        assert!(!is_what_exists(Scheduled, &wrong), "{wrong:?}");
    }
    assert!(is_what_exists(Cancelled, &[]) && is_what_exists(Cancelled, &[one(true, false)]));
    assert!(!is_what_exists(Cancelled, &[one(false, true)]));
    assert!(right_chart(&1, [2, 1].into_iter()) && !right_chart(&1, [2].into_iter()));
}

#[test]
fn a_lease_ends_and_versions_that_ask_for_the_same_are_one() {
    let at = Timestamp;
    assert_eq!(lease(Some(at(100)), 1, 50, at(150)), None);
    assert!(lease(Some(at(100)), 1, 50, at(151)).is_some());
    assert_eq!(lease(None, 1, 50, at(9_000)), None);
    assert_eq!(same([4, 2, 7].into_iter()), Some((2, 7)));
    assert_eq!(same([].into_iter()), None);
}

#[test]
fn a_committed_offset_leaves_nothing_behind_and_never_goes_back() {
    let passed = |what: Option<&str>| [(5, what.map(str::to_owned))].into_iter();
    assert!(committed_offsets(Lane::Requested, (5, 6), passed(None)).is_empty());
    assert_eq!(committed_offsets(Lane::Requested, (5, 6), passed(Some("is unknown"))).len(), 1);
    assert_eq!(committed_offsets(Lane::Requested, (6, 5), passed(None)).len(), 1);
    let key = healthflow_core::booking::BookingKey { practice: "pr".into(), booking: "b".into() };
    assert!(left_behind(&TaskState::default(), &key.version(1), None).is_some());
}

#[test]
fn a_window_that_sees_too_many_calls_is_found() {
    use crate::promises::limits::overfull;
    let calls = [900, 1_000, 1_100, 1_899, 2_500];
    let (rolling, fixed) = ((1_000, false), (1_000, true));
    assert_eq!(overfull(&calls, rolling, 3, |_, _| false), Some((900, 4)));
    assert_eq!(overfull(&calls, rolling, 4, |_, _| false), None);
    assert_eq!(overfull(&calls, rolling, 2, |begin, _| begin < 1_000), Some((1_000, 3)));
    assert_eq!(overfull(&calls, fixed, 2, |_, _| false), Some((1_000, 3)));
    assert_eq!(overfull(&calls, fixed, 3, |_, _| false), None);
}

//! Who waits for what, from the jobs of one task alone.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::booking::{Booking, BookingKey, Source};
use crate::event::Schedule;
use crate::event::sample::booking;
use crate::healthflow::Operation;
use crate::partition::job::{Flight, InHand};
use crate::topics::Lane;

const NOW: Timestamp = Timestamp(1_000);

fn key(number: usize) -> JobKey {
    let practice = if number.is_multiple_of(2) { "even" } else { "odd" };
    JobKey::Booking(BookingKey { practice: practice.into(), booking: number.to_string().as_str().into() })
}

fn patient() -> PatientKey {
    PatientKey { practice: "even".into(), patient: "someone".into() }
}

/// Jobs of which each of these stands so.
fn jobs(stage: &[(usize, JobStage)]) -> Jobs {
    let mut jobs = Jobs::default();
    for (number, stage) in stage {
        move_to(&mut jobs, *number, stage.clone());
    }
    jobs
}

fn move_to(jobs: &mut Jobs, number: usize, stage: JobStage) {
    jobs.open(&key(number));
    let mut job = jobs.take(&key(number)).unwrap_or_default();
    jobs.set_stage(&key(number), &mut job, stage, NOW);
    jobs.put_back(&key(number), job);
}

/// A job without a version at hand settles a doubt, so it is of this share.
const SHARE: Share = Share::Again;

fn arrivals(jobs: &mut Jobs) -> Vec<JobKey> {
    std::iter::from_fn(|| jobs.next_arrival(SHARE, |_, _| 100)).collect()
}

#[test]
fn a_patient_is_one_jobs_and_then_goes_to_whoever_waits_for_it_longest() {
    let mut jobs = jobs(&[
        (2, JobStage::AwaitsPatient(patient())),
        (3, JobStage::Ready),
        (4, JobStage::AwaitsPatient(patient())),
    ]);
    assert!(jobs.lock_patient(&patient(), &key(1)));
    assert!(!jobs.lock_patient(&patient(), &key(2)));
    // The second of them was parked meanwhile, the third has something else to do.
    for number in [5, 3, 2, 4, 2] {
        jobs.await_patient(patient(), &key(number));
    }
    jobs.unlock_patient(&patient());
    assert_eq!(arrivals(&mut jobs), [key(2)]);
    assert!(jobs.lock_patient(&patient(), &key(2)));
    jobs.unlock_patient(&patient());
    assert_eq!(arrivals(&mut jobs), [key(4)], "each waits once");
    assert!(jobs.lock_patient(&patient(), &key(4)));
    jobs.unlock_patient(&patient());
    assert_eq!(arrivals(&mut jobs), []);
}

/// Goal: a fresh booking does not stand behind all that an outage left of its patient. Method: it comes last; the others have no
/// version at hand, as a doubt has none.
#[test]
fn a_patient_goes_to_a_fresh_booking_before_all_that_was_tried() {
    let waits = || JobStage::AwaitsPatient(patient());
    let mut jobs = jobs(&[(2, waits()), (4, waits()), (6, waits())]);
    jobs.open(&key(6)).versions.insert(1, in_hand(86_400_000, false));
    assert!(jobs.lock_patient(&patient(), &key(8)));
    for number in [2, 4, 6] {
        jobs.await_patient(patient(), &key(number));
    }
    jobs.unlock_patient(&patient());
    assert_eq!(jobs.next_arrival(Share::First, |_, _| 100), Some(key(6)));
    jobs.unlock_patient(&patient());
    assert_eq!(arrivals(&mut jobs), [key(2)]);
}

fn in_hand(visit_in_ms: i64, is_late: bool) -> InHand {
    let mut booking = Booking { source: Source::Live, ..booking() };
    booking.visit.start = NOW.plus_ms(visit_in_ms);
    InHand {
        booking: Arc::new(booking),
        position: Some(Lane::Requested.at(7)),
        schedule: Schedule::default(),
        taken_up_at: NOW,
        order: 7,
        is_late,
    }
}

/// Goal: of what is behind fresh ones, whoever has asked already goes first, for its patient and its slot wait with it; then the nearest
/// visit.
#[test]
fn who_has_begun_goes_before_the_nearest_visit() {
    let mut jobs = Jobs::default();
    for (number, days, asked_version) in [(2, 3, None), (4, 2, None), (6, 9, Some(1))] {
        let job = jobs.open(&key(number));
        job.versions.insert(1, in_hand(days * 86_400_000, true));
        job.asked_version = asked_version;
        jobs.look_again(key(number));
    }
    assert_eq!(arrivals(&mut jobs), [key(6), key(4), key(2)]);
}

/// Goal: what became late while it waited is not served as fresh, though it takes several commits until it is moved aside.
#[test]
fn who_has_become_late_waits_with_those_that_are() {
    let mut jobs = Jobs::default();
    for number in [2, 4] {
        jobs.open(&key(number)).versions.insert(1, in_hand(86_400_000, false));
        jobs.look_again(key(number));
    }
    jobs.is_late(NOW, &key(2));
    let next = |jobs: &mut Jobs| jobs.next_arrival(Share::First, |_, _| 100);
    assert_eq!((next(&mut jobs), next(&mut jobs)), (Some(key(4)), None));
    assert_eq!(arrivals(&mut jobs), [key(2)]);
    assert_eq!((jobs.next_late(), jobs.take_late(), jobs.take_late()), (Some(NOW), Some(key(2)), None));
}

#[test]
fn what_is_learnt_of_a_patient_wakes_whoever_has_it_before_all_others() {
    let mut jobs = jobs(&[(1, JobStage::Arrived), (2, JobStage::Arrived)]);
    jobs.wake_holder(&patient(), true);
    assert!(!jobs.has_arrivals(SHARE), "nobody has it");
    jobs.look_again(key(2));
    assert!(jobs.lock_patient(&patient(), &key(1)));
    for (was_too_early, is_kept) in [(false, true), (true, false)] {
        jobs.open(&key(1)).search = Some(crate::patient::search::Search::start(NOW));
        jobs.wake_holder(&patient(), was_too_early);
        assert_eq!(jobs.get(&key(1)).is_some_and(|job| job.search.is_some()), is_kept);
    }
    assert_eq!(arrivals(&mut jobs), [key(1), key(1), key(2)]);
}

#[test]
fn who_may_be_sent_comes_in_order_but_what_was_begun_first() {
    let mut jobs = Jobs::default();
    for (number, asked_version) in [(1, None), (3, None), (4, Some(7))] {
        jobs.open(&key(number)).asked_version = asked_version;
        jobs.open(&key(number)).share = SHARE;
        move_to(&mut jobs, number, JobStage::Ready);
    }
    let (first, job) = jobs.take_ready(SHARE, |_| true).expect("three are ready");
    assert_eq!(first, key(4));
    jobs.put_back_ready(SHARE, &first, job);
    assert!(jobs.puts_another_first(key(4).practice()));
    move_to(&mut jobs, 3, JobStage::AwaitsTime(NOW));
    let rest: Vec<_> = std::iter::from_fn(|| jobs.take_ready(SHARE, |_| true)).map(|(key, _)| key).collect();
    assert_eq!(rest, [key(1), key(4)], "one has moved on");
    assert!(!jobs.has_ready(SHARE) && !jobs.puts_another_first(key(4).practice()));
}

#[test]
fn who_is_due_comes_in_the_order_of_time() {
    let mut jobs = jobs(&[(1, JobStage::AwaitsTime(NOW.plus_ms(2)))]);
    jobs.wake_at(NOW.plus_ms(1), key(2));
    jobs.wake_at(NOW.plus_ms(3), key(3));
    assert_eq!((jobs.next_due(), jobs.take_due(NOW)), (Some(NOW.plus_ms(1)), None));
    let due: Vec<_> = std::iter::from_fn(|| jobs.take_due(NOW.plus_ms(2))).collect();
    assert_eq!((due, jobs.next_due()), (vec![key(2), key(1)], Some(NOW.plus_ms(3))));
}

#[test]
fn a_job_waits_since_it_began_to_and_not_since_it_looked_again() {
    let (mut jobs, mut job) = (Jobs::default(), Job::default());
    let mut since = |stage, at| {
        jobs.set_stage(&key(1), &mut job, stage, at);
        job.waiting_since
    };
    assert_eq!(since(JobStage::AwaitsPatient(patient()), NOW), Some(NOW));
    assert_eq!(since(JobStage::AwaitsTime(NOW), NOW.plus_ms(1)), Some(NOW));
    assert_eq!(since(JobStage::Ready, NOW.plus_ms(2)), None);
}

fn flight() -> Flight {
    Flight {
        operation: Operation::SearchPatients,
        purpose: Purpose::Flow,
        version: Some(1),
        patient_id: None,
        if_match: None,
        near_unknown: false,
    }
}

/// Goal: the backlog of an outage costs nothing while nothing goes on. Method: a job is overdue meanwhile; it is not looked at again, be
/// it an hour later, until something goes on for its practice.
#[test]
fn who_is_overdue_while_nothing_goes_on_is_looked_at_once_something_does() {
    let mut jobs = jobs(&[(0, JobStage::Arrived)]);
    jobs.note_stopped(key(0));
    let later = NOW.plus_ms(3_600_000);
    jobs.go_on(later, |_| true);
    assert_eq!((jobs.next_overdue(), jobs.take_overdue(later)), (None, None));
    jobs.go_on(later, |_| false);
    assert_eq!((jobs.next_overdue(), jobs.take_overdue(later)), (Some(later), Some(key(0))));
    jobs.go_on(later, |_| false);
    assert_eq!(jobs.take_overdue(later), None);
}

proptest! {
    /// Goal: places are taken by exactly those that stand before the calls, whatever moves where. Method: any moves of
    /// a few jobs of both shares.
    #[test]
    fn the_places_taken_are_those_of_the_jobs_that_take_one(
        moves in prop::collection::vec((0_usize..6, 0_u8..6), 0..80),
    ) {
        let mut jobs = Jobs::default();
        for (number, stage) in moves {
            let stage = match stage {
                0 => JobStage::Arrived,
                1 => JobStage::AwaitsCommit,
                2 => JobStage::Ready,
                3 => JobStage::InFlight(Box::new(flight())),
                4 => JobStage::AwaitsPatient(patient()),
                _ => JobStage::AwaitsTime(NOW),
            };
            jobs.open(&key(number)).share = Share::ALL[number % Share::ALL.len()];
            move_to(&mut jobs, number, stage);
            let taken = Share::ALL.map(|share| {
                jobs.iter().filter(|job| job.share == share && job.stage.takes_place()).count()
            });
            prop_assert_eq!(jobs.places(), taken);
        }
    }
}

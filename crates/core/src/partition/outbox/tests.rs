//! What a commit carries and what follows from it, from the outbox alone.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::booking::BookingKey;
use crate::event::sample;
use crate::topics::Lane;

fn booking(number: usize) -> BookingKey {
    BookingKey { practice: "p".into(), booking: number.to_string().as_str().into() }
}

/// A record that is told apart by its number.
fn record(number: usize) -> Outgoing {
    Outgoing::Forgotten(booking(number))
}

fn begin(outbox: &mut Outbox) -> (u64, CommitBatch) {
    outbox.begin(Timestamp(5), Vec::new(), false, [])
}

/// An outbox whose first commit is good.
fn settled() -> Outbox {
    let mut outbox = Outbox::new();
    let (sequence, _) = begin(&mut outbox);
    assert!(outbox.take_good(sequence, Timestamp(6)).is_some());
    outbox
}

#[test]
fn a_new_owner_commits_at_once_and_then_only_what_is_new() {
    assert!(Outbox::new().wants_commit(false));
    let idle = settled();
    assert!(!idle.wants_commit(false) && idle.wants_commit(true));
    type Change = fn(&mut Outbox);
    let changes: [(&str, Change); 3] = [
        ("a record", |outbox| outbox.write(record(1))),
        ("a renewal", Outbox::renew),
        ("a day", |outbox| outbox.renew_if_old(Timestamp(5 + OFFSETS_AGAIN_MS))),
    ];
    for (what, change) in changes {
        let mut outbox = idle.clone();
        change(&mut outbox);
        assert!(outbox.wants_commit(false), "{what}");
        begin(&mut outbox);
        assert!(!outbox.wants_commit(true), "{what}: one at a time");
    }
    let mut outbox = idle;
    outbox.renew_if_old(Timestamp(4 + OFFSETS_AGAIN_MS));
    assert!(!outbox.wants_commit(false));
}

#[test]
fn a_batch_is_records_then_states() {
    let mut outbox = settled();
    outbox.write(record(2));
    outbox.write(record(1));
    let offsets = vec![Lane::Requested.at(17)];
    let (_, batch) = outbox.begin(Timestamp(9), offsets.clone(), true, [8, 9].map(record));
    assert_eq!(batch, CommitBatch { records: [2, 1, 8, 9].map(record).into(), offsets });
}

#[test]
fn how_long_a_good_end_took_counts_until_its_commit_is_good() {
    let mut outbox = settled();
    let booking = Arc::new(sample::booking());
    outbox.tell_synced(Arc::clone(&booking), SyncedOutcome::Created);
    let (sequence, _) = begin(&mut outbox);
    let good = outbox.take_good(sequence, booking.requested_at.plus_ms(321)).unwrap_or_default();
    let told = Fact::BookingSynced {
        key: booking.key.clone(),
        version: booking.version,
        outcome: SyncedOutcome::Created,
        source: booking.source,
        end_to_end_ms: 321,
    };
    assert_eq!(good.facts, [told]);
}

/// Where the model keeps what came about for one commit.
#[derive(Default)]
struct Gathered {
    records: Vec<Outgoing>,
    facts: Vec<Fact>,
    jobs: Vec<JobKey>,
    stamps: Vec<u64>,
}

/// Goal: what comes about is written, told and woken for exactly once, in order, and is good exactly from when the
/// commit that carries it is. Method: any order of gathering, beginning and hearing of a commit, the right one or another.
fn lives_as_its_model(steps: &[u8]) -> Result<(), TestCaseError> {
    let mut outbox = Outbox::new();
    let (mut gathered, mut under_way) = (Gathered::default(), VecDeque::<(u64, Gathered)>::new());
    let (mut good, mut open): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        match step {
            0 => {
                outbox.write(record(number));
                gathered.records.push(record(number));
            }
            1 => {
                let fact = Fact::BookingsForgotten { partition: 0, count: number as u64 };
                outbox.tell(fact.clone());
                gathered.facts.push(fact);
            }
            2 => {
                outbox.await_commit(JobKey::Booking(booking(number)), Timestamp(1));
                gathered.jobs.push(JobKey::Booking(booking(number)));
                gathered.stamps.push(outbox.next_sequence());
                open.push(outbox.next_sequence());
            }
            3 if outbox.wants_commit(true) => {
                let (sequence, batch) = begin(&mut outbox);
                prop_assert_eq!(&batch.records, &gathered.records);
                under_way.push_back((sequence, std::mem::take(&mut gathered)));
            }
            4 => {
                let Some((sequence, carried)) = under_way.pop_front() else { continue };
                let found = outbox.take_good(sequence, Timestamp(7)).unwrap_or_default();
                prop_assert_eq!(found.records, carried.records.len() as u64);
                prop_assert_eq!((found.facts, found.awaited_by), (carried.facts, carried.jobs));
                open.retain(|stamp| !carried.stamps.contains(stamp));
                good.extend(carried.stamps);
            }
            _ => {
                let another = outbox.next_sequence() + u64::from(*step);
                prop_assert!(outbox.take_good(another, Timestamp(7)).is_none());
            }
        }
        prop_assert!(good.iter().all(|stamp| outbox.is_good(*stamp)));
        prop_assert!(!open.iter().any(|stamp| outbox.is_good(*stamp)));
        prop_assert_eq!(outbox.is_committing(), !under_way.is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_comes_about_is_durable_exactly_when_its_commit_is(steps in prop::collection::vec(0_u8..7, 1..80)) {
        lives_as_its_model(&steps)?;
    }
}

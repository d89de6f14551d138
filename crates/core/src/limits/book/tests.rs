//! No window of any limit sees more than it allows, whoever owns which partition, however greedy; and what a limit allows is used.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::limits::window::{Fixed as FixedWindow, Length};

const ALL: u32 = 4;

fn policy(scope: Scope, operations: &str, calls: u32, window: Window, burst: u32) -> Policy {
    let operations = Operations::NONE.with_named(operations).unwrap();
    Policy { name: "limit".into(), scope, operations, calls, window, burst }
}

fn fixed(ms: i64) -> Window {
    Window::Fixed(FixedWindow { length: Length::Part(ms), reset_hour: 0, zone: TimeZone::UTC })
}

fn book(policy: Policy, owned: &[i32], now: Timestamp) -> Book {
    let mut book = Book::new(Arc::from([policy]));
    book.set_owned(&owned.iter().copied().collect(), ALL, now);
    book
}

/// Takes, if the limits let it.
fn try_take(book: &mut Book, asking: Asking<'_>, now: Timestamp) -> bool {
    let may = book.next_at(now) <= now && book.wait_until(asking, true, now).is_none();
    if may {
        book.take(asking, now);
    }
    may
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Move { partition: i32, to: usize },
    Take { partition: i32, operation: Operation },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let operation = prop::sample::select(Operation::ALL.to_vec());
    let step = prop_oneof![
        4 => (0_i64..400).prop_map(Step::Pass),
        1 => (0..ALL as i32, 0_usize..3).prop_map(|(partition, to)| Step::Move { partition, to }),
        9 => (0..ALL as i32, operation).prop_map(|(partition, operation)| Step::Take { partition, operation }),
    ];
    proptest::collection::vec(step, 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Goal: over all workers no window sees more than it allows. Method: three workers among which partitions move; each call
    /// that may go out does. A worker's part of a rolling window may be rounded up by one call.
    #[test]
    fn no_window_sees_more_than_it_allows(
        steps in steps(),
        is_of_practice in any::<bool>(),
        operations in prop::sample::select(vec!["all", "reads", "writes", "create_patient"]),
        calls in 1_u32..30,
        (is_fixed, window_ms) in (any::<bool>(), prop::sample::select(vec![1_000_i64, 5_000, 60_000])),
        burst in 0_u32..5,
        begin in 0_i64..100_000,
    ) {
        let scope = if is_of_practice { Scope::Practice } else { Scope::Account };
        let window = if is_fixed { fixed(window_ms) } else { Window::Rolling { ms: window_ms } };
        let policy = policy(scope, operations, calls, window, burst);
        let mut owners = [0_usize; ALL as usize];
        let start = Timestamp(begin);
        let mut books = [book(policy.clone(), &[0, 1, 2, 3], start), book(policy.clone(), &[], start), book(policy.clone(), &[], start)];
        let practices: Vec<PracticeId> = (0..ALL).map(|number| format!("practice-{number}").as_str().into()).collect();
        let mut now = start;
        let mut taken: Vec<(i64, i32)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => now = now.plus_ms(ms),
                Step::Move { partition, to } => {
                    owners[partition as usize] = to;
                    for (worker, book) in books.iter_mut().enumerate() {
                        let owned = (0..ALL as i32).filter(|one| owners[*one as usize] == worker).collect();
                        book.set_owned(&owned, ALL, now);
                    }
                }
                Step::Take { partition, operation } => {
                    let practice = &practices[partition as usize];
                    let asking = Asking { partition, practice, booking: None, operation };
                    let worker = owners[partition as usize];
                    if try_take(&mut books[worker], asking, now) && policy.operations.has(operation) {
                        taken.push((now.0, partition));
                    }
                }
            }
        }
        let slack = if is_of_practice || is_fixed { 0 } else { 2 };
        let most = calls as usize + slack + if is_fixed { 0 } else { burst as usize };
        let same = |one: i32, other: i32| !is_of_practice || one == other;
        for (index, (from, partition)) in taken.iter().enumerate() {
            let begin = if is_fixed { from.div_euclid(window_ms) * window_ms } else { *from };
            let within = taken[index..].iter().filter(|(at, of)| *at < begin + window_ms && same(*of, *partition)).count();
            prop_assert!(within <= most, "{within} of {most} from {from}");
        }
    }
}

#[test]
fn a_limit_is_used_up_and_comes_back() {
    let practice = PracticeId::from("p");
    let asking =
        Asking { partition: 1, practice: &practice, booking: None, operation: Operation::CreatePatient };
    for (window, from_ms) in [(fixed(60_000), 60_000), (Window::Rolling { ms: 60_000 }, 12_000)] {
        let mut book = book(policy(Scope::Practice, "writes", 5, window, 0), &[0, 1], Timestamp(0));
        let mut taken = 0;
        for ms in 0..600 {
            let now = Timestamp(ms * 1_000);
            while try_take(&mut book, asking, now) {
                assert!(now.0 >= from_ms, "what somebody else used before is unknown");
                taken += 1;
            }
        }
        assert!((45..=50).contains(&taken), "{taken}");
        let read = Asking { operation: Operation::ReadPatient, ..asking };
        assert!(try_take(&mut book, read, Timestamp(600_000)), "no write");
    }
}

#[test]
fn the_parts_of_a_fixed_window_are_the_whole() {
    for (calls, begin) in [(1, 0), (10, 3_600_000), (30_000, 86_400_000), (u32::MAX, 7)] {
        for all in [1, 3, 12, 100] {
            let parts =
                (0..all).map(|partition| u64::from(part_of(calls, partition, all as u32, Timestamp(begin))));
            assert_eq!(parts.sum::<u64>(), u64::from(calls), "{calls} in {all}");
        }
    }
}

#[test]
fn what_a_booking_will_need_is_kept_for_it() {
    let practice = PracticeId::from("p");
    let booking = |name: &str| BookingKey { practice: practice.clone(), booking: name.into() };
    let (one, other) = (booking("one"), booking("other"));
    let asking =
        |booking, operation| Asking { partition: 0, practice: &practice, booking: Some(booking), operation };
    let mut book = book(policy(Scope::Practice, "all", 16, fixed(60_000), 0), &[0], Timestamp(0));
    let now = Timestamp(60_000);
    for _ in 0..10 {
        book.take(Asking { booking: None, ..asking(&one, Operation::ReadPatient) }, now);
    }
    assert_eq!(book.wait_until(asking(&one, Operation::SearchPatients), false, now), None);
    book.take(asking(&one, Operation::SearchPatients), now);
    let waits = book.wait_until(asking(&other, Operation::SearchPatients), false, now);
    assert_eq!(waits, Some(now.plus_ms(LOOK_AGAIN_MS)), "five are left, three of them are kept");
    for operation in [Operation::SearchPatients, Operation::CreatePatient, Operation::CreateAppointment] {
        assert_eq!(book.wait_until(asking(&one, operation), true, now), None, "{operation:?}");
        book.take(asking(&one, operation), now);
    }
    let waits = book.wait_until(asking(&other, Operation::SearchPatients), false, now);
    assert_eq!(waits, Some(Timestamp(120_000)), "two are left, which are not enough");
    assert_eq!(book.wait_until(asking(&other, Operation::CreateAppointment), true, now), None);
}

#[test]
fn what_healthflow_tells_is_used_up_closes_that_limit_only() {
    let (practice, next) = (PracticeId::from("p"), PracticeId::from("q"));
    let asking = |practice, operation| Asking { partition: 0, practice, booking: None, operation };
    let write = asking(&practice, Operation::CreatePatient);
    let window = Window::Rolling { ms: 1_000 };
    let mut book = book(policy(Scope::Practice, "writes", 5, window, 4), &[0], Timestamp(0));
    let now = Timestamp(60_000);
    let told = PolicyTold {
        name: "limit".into(),
        remaining: Some(0),
        reset_ms: Some(9_000),
        ..PolicyTold::default()
    };
    assert!(book.told(&told, write, now) && book.is_known(&told));
    assert_eq!(book.wait_until(write, true, now), Some(Timestamp(69_000)));
    assert_eq!(book.wait_until(asking(&practice, Operation::ReadPatient), true, now), None);
    assert_eq!(book.wait_until(asking(&next, Operation::CreatePatient), true, now), None);
    assert!(book.told(&PolicyTold { remaining: Some(3), ..told }, write, now));
    assert_eq!(book.wait_until(write, true, now), None);
    let other =
        PolicyTold { name: "other".into(), calls: Some(7), window_s: Some(1), ..PolicyTold::default() };
    assert!(!book.told(&other, write, now) && !book.is_known(&other));
    assert!(book.is_known(&PolicyTold { calls: Some(5), ..other }));
}

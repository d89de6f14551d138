//! What a worker makes of answers that come, come late, and do not come.

use super::*;
use proptest::prelude::*;

const START: Timestamp = Timestamp(1_000_000);

fn counter() -> SharedCounter {
    SharedCounter::new(20, USE_WITHIN_MS, START)
}

/// An answer that gives permits so many milliseconds after its moment.
fn gives(ahead_ms: &[i64]) -> Result<Answer, CounterTrouble> {
    let now_us = 5_000_000_000;
    let slots_us = ahead_ms.iter().map(|ms| now_us + ms * 1_000).collect();
    Ok(Answer { now_us, again_us: 0, ends_us: None, slots_us })
}

#[test]
fn a_permit_counts_from_its_moment_for_a_tenth_of_a_second() {
    let mut counter = counter();
    let ask = counter.ask(3, START).expect("permits are needed");
    assert_eq!((ask.want, ask.answered_us), (3, 0));
    // The counter's clock stood at its answer's moment somewhere between the ask and what it brought.
    let answered_at = START.plus_ms(10);
    assert_eq!(counter.answered(ask.number, gives(&[0, 5, 150]), answered_at), None);
    assert_eq!(counter.next_at(answered_at), answered_at);
    assert!(counter.take(answered_at) && !counter.take(answered_at));
    assert_eq!(counter.next_at(answered_at), answered_at.plus_ms(5));
    assert!(!counter.take(START.plus_ms(105)), "it was over a tenth of a second after the ask");
    assert!(counter.take(START.plus_ms(170)));
}

#[test]
fn what_is_not_used_goes_back_with_the_next_ask() {
    let mut counter = counter();
    let ask = counter.ask(3, START).expect("permits are needed");
    counter.answered(ask.number, gives(&[0, 10, 20]), START);
    assert!(counter.take(START));
    let later = START.plus_ms(HEARTBEAT_MS);
    assert_eq!(counter.look(later), None);
    let back = counter.ask(0, later).expect("a sign of life").back;
    assert_eq!((back.newest, back.newest_us, back.all), (2, 5_000_000_000, 2));
}

#[test]
fn what_was_passed_over_before_a_used_one_is_not_given_anew() {
    let mut counter = counter();
    let ask = counter.ask(2, START).expect("permits are needed");
    counter.answered(ask.number, gives(&[0, 90]), START);
    let later = START.plus_ms(150);
    counter.look(later);
    assert!(counter.take(later));
    let back = counter.ask(1, later).expect("one is needed").back;
    assert_eq!((back.newest, back.all), (0, 1));
}

#[test]
fn a_worker_goes_on_alone_within_a_second_says_so_once_and_comes_back() {
    let mut counter = counter();
    let ask = counter.ask(1, START).expect("one is needed");
    counter.answered(ask.number, gives(&[0]), START);
    let mut now = START;
    let away = loop {
        now = now.plus_ms(1);
        if let Some(change) = counter.look(now) {
            break change;
        }
        counter.ask(1, now);
    };
    assert_eq!(away, Change::Away(CounterTrouble::NoAnswer));
    assert!(now.since_ms(START) <= 1_000 && !counter.take(now), "{now}");
    assert_eq!((counter.look(now.plus_ms(60_000)), counter.free_from()), (None, Some(now)));
    now = now.plus_ms(60_000);
    let ask = counter.ask(1, now).expect("it asks on");
    let back = counter.answered(ask.number, gives(&[0]), now.plus_ms(1));
    assert_eq!(back, Some(Change::Back { away_ms: 60_001 }));
    assert!(counter.take(now.plus_ms(1)));
}

#[test]
fn who_gets_partitions_while_alone_waits_until_their_part_was_taken_off() {
    let mut counter = counter();
    counter.set_partitions(2, START);
    let alone_at = START.plus_ms(FALL_BACK_MS);
    assert!(counter.look(alone_at).is_some());
    counter.set_partitions(1, alone_at.plus_ms(5));
    assert_eq!(counter.free_from(), Some(alone_at));
    counter.set_partitions(2, alone_at.plus_ms(10));
    assert_eq!(counter.free_from(), Some(alone_at.plus_ms(10 + FALL_BACK_MS)));
}

proptest! {
    /// Goal: whoever needs permits gets some once the counter answers again, whatever became of the asks before. Method: answers that
    /// are lost, late, failed or empty, and a loop that wakes only when it is told to.
    #[test]
    fn a_need_is_asked_for_until_it_is_met(
        fates in proptest::collection::vec((0_u8..5, 0_i64..400), 0..40),
        permits_max in 1_usize..30,
    ) {
        let mut counter = SharedCounter::new(permits_max, USE_WITHIN_MS, START);
        let (mut now, mut asks, mut late) = (START, 0, Vec::new());
        let took = loop {
            prop_assert!(now.since_ms(START) < 60_000, "nobody asks any more");
            counter.look(now);
            if counter.take(now) && asks > fates.len() {
                break true;
            }
            if let Some(ask) = counter.ask(1, now) {
                let (fate, ms) = fates.get(asks).copied().unwrap_or((0, 1));
                asks += 1;
                match fate {
                    0 => late.push((now.plus_ms(1), ask.number, gives(&[0]))),
                    1 => late.push((now.plus_ms(ms), ask.number, gives(&[0]))),
                    2 => late.push((now.plus_ms(1), ask.number, Err(CounterTrouble::Unreachable))),
                    3 => late.push((now.plus_ms(1), ask.number, gives(&[]))),
                    _ => {}
                }
            }
            let next = late.iter().map(|(at, ..)| *at).chain([counter.next_at(now), counter.next_look(now)]).min();
            now = next.unwrap_or(now).max(now.plus_ms(1));
            let (due, rest) = late.into_iter().partition(|(at, ..)| *at <= now);
            late = rest;
            for (_, number, answer) in due {
                counter.answered(number, answer, now);
            }
        };
        prop_assert!(took);
    }
}

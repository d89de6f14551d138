//! What the script gives.

use healthflow_core::limits::shared_counter::{Answer, PermitAsk};
use healthflow_testkit::processes::redis::Redis;
use healthflow_testkit::wait::wait_for;

use crate::{Asker, LIMIT, an_ask, at, folder};

/// Asks until something is given: a new counter gives nothing for a moment.
fn first(asker: &mut Asker, ask: &PermitAsk) -> Answer {
    wait_for(LIMIT, || Some(asker.ask(ask)).filter(|answer| !answer.slots_us.is_empty())).expect("permits")
}

/// The same ask by a worker that got this answer.
fn after(answer: &Answer, ask: PermitAsk) -> PermitAsk {
    PermitAsk { answered_us: answer.now_us, ..ask }
}

/// Goal: however many ask at once, the moments of all permits lie the interval apart, and hardly any is left out.
#[test]
fn several_clients_share_one_rate_and_use_all_of_it() {
    const PER_SECOND: f64 = 400.0;
    let redis = Redis::start(&folder("several"), &[]).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut asker = Asker::new(at(&redis, "several"));
            std::thread::spawn(move || {
                let mut answer = first(&mut asker, &an_ask(1, PER_SECOND));
                let (mut slots, ends_us) = (Vec::new(), answer.now_us + 1_500_000);
                while answer.now_us < ends_us {
                    answer = asker.ask(&after(&answer, an_ask(10, PER_SECOND)));
                    slots.extend(&answer.slots_us);
                }
                slots
            })
        })
        .collect();
    let mut slots: Vec<i64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    slots.sort_unstable();
    let gaps: Vec<i64> = slots.windows(2).map(|two| two[1] - two[0]).collect();
    // Moments are whole microseconds; the first ones may lie farther apart, until the worker was heard.
    assert!(gaps.iter().all(|gap| *gap >= 2_499), "{:?}", gaps.iter().min());
    // A machine that has much to do lets moments pass now and then.
    let tight = gaps.iter().filter(|gap| **gap <= 2_501).count();
    assert!(tight * 10 > gaps.len() * 9, "{tight} of {} gaps", gaps.len());
}

/// Goal: a Redis that forgot everything gives no moment that may have been given before.
#[test]
fn an_emptied_redis_begins_without_a_burst() {
    let redis = Redis::start(&folder("emptied"), &[]).unwrap();
    let mut asker = Asker::new(at(&redis, "emptied"));
    let mut answer = first(&mut asker, &an_ask(20, 100.0));
    let mut last_us = 0;
    for _ in 0..20 {
        answer = asker.ask(&after(&answer, an_ask(20, 100.0)));
        last_us = answer.slots_us.iter().fold(last_us, |last, slot| last.max(*slot));
    }
    let client = redis::Client::open(redis.url()).unwrap();
    redis::cmd("FLUSHALL").exec(&mut client.get_connection().unwrap()).unwrap();
    let given = first(&mut asker, &after(&answer, an_ask(20, 100.0)));
    assert!(given.slots_us[0] >= last_us, "{} comes before {last_us}", given.slots_us[0]);
}

/// Goal: what a worker takes that goes on alone is taken off what others get; first it must not be heard for half a second.
#[test]
fn a_partition_that_is_not_heard_leaves_less_to_others() {
    let redis = Redis::start(&folder("silent"), &[]).unwrap();
    let (mut one, mut other) = (Asker::new(at(&redis, "silent")), Asker::new(at(&redis, "silent")));
    let of = |partition| PermitAsk { partitions: vec![partition], all: 2, ..an_ask(20, 100.0) };
    let gap = |answer: &Answer| answer.slots_us.last().unwrap() - answer.slots_us[answer.slots_us.len() - 2];
    let mut heard = [first(&mut one, &of(0)), first(&mut other, &of(1))];
    // The answer of which the counter knows that it reached the other one.
    let mut acknowledged_us = 0;
    let mut silent_us = |heard: &mut [Answer; 2], both: bool, until: i64| {
        let seen = wait_for(LIMIT, || {
            heard[0] = one.ask(&after(&heard[0], of(0)));
            if both {
                acknowledged_us = heard[1].now_us;
                heard[1] = other.ask(&after(&heard[1], PermitAsk { want: 0, ..of(1) }));
            }
            let gap = if heard[0].slots_us.len() > 1 { gap(&heard[0]) } else { 0 };
            ((gap - until).abs() <= 1).then_some(heard[0].now_us - acknowledged_us)
        });
        seen.unwrap_or_else(|| panic!("one call each {until} us is not given"))
    };
    // Both are heard: one call each 10 ms. Then one is not: 0.8 of its half is taken off.
    silent_us(&mut heard, true, 10_000);
    let silent_us = silent_us(&mut heard, false, 16_666);
    assert!(silent_us >= 500_000, "after {silent_us} us");
}

/// Goal: where HealthFlow asked one worker to wait, nobody else gets a permit.
#[test]
fn whoever_is_asked_to_wait_holds_all() {
    let redis = Redis::start(&folder("hold"), &[]).unwrap();
    let (mut one, mut other) = (Asker::new(at(&redis, "hold")), Asker::new(at(&redis, "hold")));
    let asked = one.ask(&PermitAsk { hold_us: 700_000, ..an_ask(0, 100.0) });
    let given = first(&mut other, &an_ask(1, 100.0));
    assert!(given.slots_us[0] >= asked.now_us + 700_000, "{given:?} after {asked:?}");
}

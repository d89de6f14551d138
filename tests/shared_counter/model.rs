//! The script and its model.

use std::time::Duration;

use healthflow_core::limits::shared_counter::{Answer, Back, PermitAsk, RateTold, WindowTold};
use healthflow_proof::counter::Counter;
use healthflow_proof::random::Random;
use healthflow_testkit::processes::redis::Redis;

use crate::{Asker, an_ask, at, folder, time_passes};

fn any_ask(random: &mut Random, answered: &[Answer]) -> PermitAsk {
    let last = answered.last();
    let partitions = (0..4).filter(|_| random.chance(0.5)).collect();
    let burst = RateTold {
        name: "limit:burst".to_owned(),
        interval_us: 7_001.0 / 3.0,
        burst: random.between(0, 9) as u32,
        paced_us: if random.chance(0.1) { 30_000.0 } else { 0.0 },
    };
    let window = |name: &str, calls, length_us| WindowTold { name: name.to_owned(), calls, length_us };
    let given_us = last.map_or(0, |answer| answer.now_us);
    let oldest_us = random.pick(answered.get(answered.len().saturating_sub(4)..).unwrap_or(&[])).now_us;
    let newest = if random.chance(0.3) { random.between(0, 5) as u32 } else { 0 };
    let mut ask = PermitAsk {
        partitions,
        all: 4,
        answered_us: if random.chance(0.9) { given_us } else { 0 },
        hold_us: if random.chance(0.05) { random.between(1, 30_000) } else { 0 },
        back: Back { newest, newest_us: given_us, all: newest + random.between(0, 2) as u32, oldest_us },
        windows: vec![window("limit:short", 40, 150_000), window("limit:long", 300, 1_000_000)],
        ..an_ask(random.between(0, 20) as usize, 700.0)
    };
    ask.rates.push(burst);
    ask
}

/// Goal: what the simulation lives through is what Redis runs. Method: the same asks to both, whatever they are; the model is told what
/// time it was in Redis.
#[test]
fn the_script_and_its_model_give_the_same() {
    let redis = Redis::start(&folder("model"), &[]).unwrap();
    let mut asker = Asker::new(at(&redis, "model"));
    let mut random = Random::new(7);
    let mut model = Counter::default();
    let mut answered = vec![Answer::default()];
    let (mut given, mut refused) = (0, 0);
    for number in 0..600 {
        // So that windows end and intervals pass.
        time_passes(Duration::from_micros(random.between(0, 6_000).cast_unsigned()));
        let ask = any_ask(&mut random, &answered);
        let answer = asker.ask(&ask);
        assert_eq!(answer, model.ask(&ask, answer.now_us, None), "ask {number}: {ask:?}");
        (given, refused) = (given + answer.slots_us.len(), refused + usize::from(answer.again_us > 0));
        answered.push(answer);
    }
    assert!(given > 100 && refused > 100, "{given} given, {refused} refused");
}

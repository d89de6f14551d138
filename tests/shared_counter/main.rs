//! The shared counter against a real Redis: what the script gives, several clients at once, and a Redis that is emptied, killed, locked
//! and behind TLS. The simulation lives through a model of the script; the first test says that the model is right.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it should do")]

mod counter;
mod model;
mod redis_away;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use healthflow_core::limits::shared_counter::{Answer, CounterTrouble, PermitAsk, RateTold};
use healthflow_core::processor::{Inbox, Input};
use healthflow_sync::shared_counter::{CounterClient, CounterSettings};
use healthflow_testkit::processes::redis::Redis;

/// Any answer comes sooner, on a machine that has much to do.
const LIMIT: Duration = Duration::from_secs(30);

/// Where a client's answers arrive.
struct Answers(Mutex<Sender<(u64, Result<Answer, CounterTrouble>)>>);

impl Inbox for Answers {
    fn post(&self, input: Input) {
        if let Input::PermitsAnswered { number, answer } = input {
            drop(self.0.lock().unwrap().send((number, answer)));
        }
    }

    fn post_records(&self, _: &mut Vec<Input>) {}

    fn fail(&self, reason: String) {
        panic!("{reason}");
    }
}

/// One worker, or another program, that asks.
pub struct Asker {
    client: CounterClient,
    answers: Receiver<(u64, Result<Answer, CounterTrouble>)>,
    number: u64,
}

impl Asker {
    /// One with settings of its own.
    pub fn new(settings: CounterSettings) -> Asker {
        let (sender, answers) = channel();
        let inbox: Arc<dyn Inbox> = Arc::new(Answers(Mutex::new(sender)));
        Asker { client: CounterClient::start(settings, runtime(), inbox).unwrap(), answers, number: 0 }
    }

    /// What an ask comes to.
    pub fn try_ask(&mut self, ask: &PermitAsk) -> Result<Answer, CounterTrouble> {
        self.number += 1;
        self.client.ask(PermitAsk { number: self.number, ..ask.clone() });
        let (number, answer) = self.answers.recv_timeout(LIMIT).expect("every ask comes to something");
        assert_eq!(number, self.number);
        answer
    }

    /// The answer to an ask that must have one.
    pub fn ask(&mut self, ask: &PermitAsk) -> Answer {
        self.try_ask(ask).unwrap()
    }
}

fn runtime() -> &'static tokio::runtime::Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap()).handle()
}

/// Time is what these tests wait for: windows end and intervals pass.
pub fn time_passes(time: Duration) {
    runtime().block_on(async { tokio::time::sleep(time).await });
}

/// A folder of this test.
pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("shared-counter-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// How Redis without TLS and password is reached.
pub fn at(redis: &Redis, key_prefix: &str) -> CounterSettings {
    CounterSettings {
        url: redis.url(),
        user: None,
        password_file: None,
        ca_file: None,
        key_prefix: key_prefix.to_owned(),
    }
}

/// An ask for so many permits at so many a second, by the worker of all partitions.
pub fn an_ask(want: usize, per_second: f64) -> PermitAsk {
    let rate = RateTold {
        name: "requests_per_second".to_owned(),
        interval_us: 1_000_000.0 / per_second,
        burst: 0,
        paced_us: 0.0,
    };
    PermitAsk {
        want,
        partitions: vec![0],
        all: 1,
        fallback_share: 0.8,
        ahead_us: 200_000,
        silent_us: 500_000,
        rates: vec![rate],
        ..PermitAsk::default()
    }
}

//! The worker beside its model, by which simulation, small worlds and flow tests perform effects (`healthflow-proof`).
//! Both must send the calls of the same lives, or those tests prove something about another worker.

use std::convert::Infallible;
use std::time::Duration;

use healthflow_core::booking::VersionKey;
use healthflow_core::healthflow::fault::NotSent;
use healthflow_core::healthflow::{AppointmentId, Fault, Request};
use healthflow_core::life::{CallId, TaskLife};
use healthflow_core::limits::shared_counter::PermitAsk;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::read_guard::GuardedRange;
use healthflow_core::processor::perform::{Parts, Until, perform};
use healthflow_core::processor::{Effect, Input};
use healthflow_core::state::TopicIds;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::{Lane, Position};
use healthflow_proof::shell::{Begun, Shell};

use super::calls::Calls;
use super::{Clock, Mailbox};
use crate::http::{ClientSettings, Transport, TransportSettings};

/// A connection to a closed port is refused sooner than this.
const LIMIT: Duration = Duration::from_secs(30);

/// The worker's calls; they do not depend on its other parts.
struct OnlyCalls(Calls);

impl Parts for OnlyCalls {
    type Fault = Infallible;

    fn begin_calls(&mut self, of: TaskLife) {
        self.0.begin(of);
    }

    fn end_calls(&mut self, partition: i32) {
        self.0.end(partition);
    }

    fn call(&mut self, id: CallId, of: TaskLife, until: Until, request: Request) {
        self.0.start(id, of, until, request);
    }

    fn ask_permits(&mut self, _: PermitAsk) {}

    fn acquire(&mut self, _: TaskLife, _: Timestamp) -> Result<(), Infallible> {
        Ok(())
    }

    fn commit(&mut self, _: i32, _: u64, _: Box<CommitBatch>) {}
    fn drop_task(&mut self, _: i32) {}
    fn watch(&mut self, _: TaskLife, _: TopicIds) {}
    fn unwatch(&mut self, _: i32) {}
    fn read(&mut self, _: TaskLife, _: Vec<Position>, _: Vec<Position>) {}
    fn decode(&mut self, _: i32, _: GuardedRange) {}
    fn read_contents(&mut self, _: TaskLife, _: Vec<VersionKey>) {}
    fn pause(&mut self, _: i32, _: Lane) {}
    fn resume(&mut self, _: i32, _: Lane) {}
    fn stop_reading(&mut self, _: i32) {}
    fn give_back(&mut self, _: i32) {}
}

fn effects() -> Vec<Effect> {
    let (partition, not_before) = (0, Timestamp(0));
    let request = || Box::new(Request::ReadAppointment { id: AppointmentId::from("a") });
    let call = |incarnation| {
        let (call, lease_until, permit_until) = (CallId(incarnation), None, None);
        Effect::Call { call, partition, incarnation, lease_until, permit_until, request: request() }
    };
    vec![
        Effect::Acquire { partition, incarnation: 1, not_before },
        Effect::Acquire { partition, incarnation: 2, not_before },
        Effect::Drop { partition, incarnation: 1 },
        Effect::Release { partition },
        call(1),
        call(2),
    ]
}

/// Whether each call of `effects` goes out, in order.
fn in_the_model(effects: &[Effect]) -> Vec<bool> {
    let mut shell = Shell::<()>::default();
    let begun = effects.iter().flat_map(|effect| shell.perform(effect.clone()));
    begun
        .filter_map(|begun| match begun {
            Begun::Call(_) => Some(true),
            Begun::Refused(_) => Some(false),
            _ => None,
        })
        .collect()
}

fn in_the_worker(effects: &[Effect], parts: &mut OnlyCalls, mailbox: &Mailbox) -> Vec<bool> {
    let mut went_out = Vec::new();
    for effect in effects {
        let is_call = matches!(effect, Effect::Call { .. });
        let Ok(_) = perform(effect.clone(), parts);
        if is_call {
            went_out.push(is_sent(mailbox));
        }
    }
    parts.0.end(0);
    went_out
}

/// Whether the call whose answer comes next tried to connect, to a closed port.
fn is_sent(mailbox: &Mailbox) -> bool {
    let mut inputs = Vec::new();
    mailbox.take(&mut inputs, LIMIT).expect("nothing fails");
    match inputs.as_slice() {
        [Input::Answered { reply: Err(Fault::NotSent(NotSent::Connect)), .. }] => true,
        [Input::Answered { reply: Err(Fault::NotSent(NotSent::LeaseOver)), .. }] => false,
        other => panic!("one answer, and no other than these: {other:?}"),
    }
}

/// Goal: what is proved of the model holds for the worker. Method: every order of four effects, by both.
#[test]
fn calls_go_out_of_the_same_lives_in_worker_and_model() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
    let settings = TransportSettings {
        base_url: format!("http://{}", closed_port.expect("a port that is free again")),
        client: ClientSettings::default(),
        token_file: None,
        connect_timeout_ms: 1_000,
        request_life_ms: 5_000,
        idle_connections_max: 1,
        idle_connection_ms: 1_000,
        body_bytes_max: 1_000,
    };
    let mailbox = std::sync::Arc::new(Mailbox::default());
    let transport = Transport::new(&settings).expect("a transport");
    let calls = Calls::new(runtime.handle().clone(), transport, mailbox.clone(), Clock::start(), 0);
    let (mut parts, all) = (OnlyCalls(calls), effects());
    let orders = (0..all.len().pow(4)).map(|order| {
        let nth = |place| all[order / all.len().pow(place) % all.len()].clone();
        (0..4).map(nth).collect::<Vec<_>>()
    });
    let mut met = [0, 0];
    for order in orders {
        let went_out = in_the_worker(&order, &mut parts, &mailbox);
        went_out.iter().for_each(|went_out| met[usize::from(*went_out)] += 1);
        assert_eq!(went_out, in_the_model(&order), "{order:#?}");
    }
    assert!(met.iter().all(|count| *count > 100), "both occur: {met:?}");
}

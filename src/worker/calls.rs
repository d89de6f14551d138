//! Calls to HealthFlow, each in its own async task. Its outcome is always reported: a call that vanished would be a
//! write in doubt that is never settled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http::trouble::{shown, unexpected};
use crate::http::{Transport, Troubles};
use crate::worker::clock::Clock;
use crate::worker::mailbox::Mailbox;
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::{Fault, LimitsTold, Reply, Request, decode, encode};
use healthflow_core::life::{CallId, Incarnation, TaskLife};
use healthflow_core::panic_guard::caught;
use healthflow_core::processor::perform::Until;
use healthflow_core::processor::{Inbox, Input};
use healthflow_core::status::HealthFlowTrouble;

/// What every call needs beside its request.
pub(super) struct Calls {
    runtime: tokio::runtime::Handle,
    transport: Arc<Transport>,
    troubles: Arc<Troubles>,
    mailbox: Arc<Mailbox>,
    clock: Clock,
    lease_margin_ms: i64,
    lives: HashMap<i32, Life>,
}

/// One life of a task, as its calls see it.
struct Life {
    incarnation: Incarnation,
    is_over: Arc<AtomicBool>,
}

impl Calls {
    pub(super) fn new(
        runtime: tokio::runtime::Handle,
        transport: Arc<Transport>,
        mailbox: Arc<Mailbox>,
        clock: Clock,
        lease_margin_ms: i64,
    ) -> Self {
        let (troubles, lives) = (Arc::default(), HashMap::new());
        Calls { runtime, transport, troubles, mailbox, clock, lease_margin_ms, lives }
    }

    /// Whether the token file holds no token any more, and the last good one is used.
    pub(super) fn have_stale_token(&self) -> bool {
        self.transport.has_stale_token()
    }

    /// What goes wrong with calls now.
    pub(super) fn trouble(&self) -> Option<HealthFlowTrouble> {
        self.troubles.current()
    }

    /// A life of a task begins; queued calls of an earlier one are no longer sent.
    pub(super) fn begin(&mut self, of: TaskLife) {
        self.end(of.partition);
        self.lives.insert(of.partition, Life { incarnation: of.incarnation, is_over: Arc::default() });
    }

    /// A life of a task is over: its queued calls are no longer sent (rule T3).
    pub(super) fn end(&mut self, partition: i32) {
        if let Some(life) = self.lives.remove(&partition) {
            life.is_over.store(true, Ordering::SeqCst);
        }
    }

    /// Starts one call of this life of a task.
    pub(super) fn start(&self, call: CallId, of: TaskLife, until: Until, request: Request) {
        let mut answer = Answer { call, mailbox: self.mailbox.clone(), is_posted: false };
        let life = self.lives.get(&of.partition).filter(|life| life.incarnation == of.incarnation);
        let Some(is_over) = life.map(|life| life.is_over.clone()) else {
            return answer.post(Err(Fault::NotSent(NotSent::LeaseOver)));
        };
        let (transport, clock, margin_ms) = (self.transport.clone(), self.clock, self.lease_margin_ms);
        let troubles = self.troubles.clone();
        let may_send = move || until.allows(clock.now(), margin_ms) && !is_over.load(Ordering::SeqCst);
        self.runtime.spawn(async move {
            // A request without a body is not asked again at its connection.
            if !may_send() {
                return answer.post(Err(Fault::NotSent(NotSent::LeaseOver)));
            }
            let wire = encode(&request);
            let asked = shown(&wire);
            let received = transport.send(wire, may_send).await;
            let now = clock.now();
            let (status, mut cause) = match &received {
                Ok(reply) => (Some(reply.status), None),
                Err(failed) => (None, failed.cause.clone()),
            };
            let received = received.map_err(|failed| failed.fault);
            let told = received.as_ref().ok().and_then(|reply| caught(|| LimitsTold::by(reply, now))?);
            answer.tell(told);
            // If our own code fails on an answer, the answer counts as unreadable.
            let reply = caught(|| decode(&request, received, now));
            let reply = reply.unwrap_or(Err(Fault::Unknown(Unknown::Unreadable)));
            cause = cause.or_else(|| unexpected(status?, &reply, &asked));
            match cause {
                Some(cause) => troubles.note(asked, cause, now),
                None if status.is_some() => troubles.is_answered(&asked, now),
                None => {}
            }
            answer.post(reply);
        });
    }
}

/// Posts exactly one answer to a call, even if the code that makes it panics or the runtime shuts down.
struct Answer {
    call: CallId,
    mailbox: Arc<Mailbox>,
    is_posted: bool,
}

impl Answer {
    /// Posts what the answer reports of limits; before the answer itself, which ends the call.
    fn tell(&self, told: Option<LimitsTold>) {
        let call = self.call;
        told.into_iter().for_each(|told| self.mailbox.post(Input::LimitsTold { call, told }));
    }

    fn post(&mut self, reply: Reply) {
        self.is_posted = true;
        self.mailbox.post(Input::Answered { call: self.call, reply });
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_posted {
            self.post(Err(Fault::Unknown(Unknown::Reset)));
        }
    }
}

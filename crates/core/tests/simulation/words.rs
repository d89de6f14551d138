//! What HealthFlow, or something before it, says instead of doing what it is asked for.

use std::time::{Duration, UNIX_EPOCH};

use healthflow_core::healthflow::wire::{TransportFault, WireReply};
use healthflow_core::healthflow::{LimitsTold, Request, decode};
use healthflow_core::life::CallId;
use healthflow_core::processor::Input;
use healthflow_core::time::Timestamp;

use crate::world::World;

/// What a worker learns of what came back: the limits that it tells, then the answer.
pub fn learned(
    call: CallId,
    request: &Request,
    received: Result<WireReply, TransportFault>,
    clock: Timestamp,
) -> impl Iterator<Item = Input> + use<> {
    let told = received.as_ref().ok().and_then(|reply| LimitsTold::by(reply, clock));
    let told = told.map(|told| Input::LimitsTold { call, told });
    let reply = decode(request, received, clock);
    told.into_iter().chain([Input::Answered { call, reply }])
}

impl World {
    /// Seconds, a date by HealthFlow's clock, or nothing; now and then for longer than everybody waits.
    pub fn retry_after(&mut self) -> Option<String> {
        let seconds = if self.random.chance(0.1) { 60 } else { self.random.between(1, 8) };
        let at = UNIX_EPOCH + Duration::from_millis((self.now + seconds * 1_000).unsigned_abs());
        match self.random.below(20) {
            0 => Some(httpdate::fmt_http_date(at)),
            1..14 => Some(seconds.to_string()),
            _ => None,
        }
    }

    /// 503, mostly with the time at which to come again.
    pub fn unavailable(&mut self) -> WireReply {
        let retry_after = self.retry_after();
        WireReply { retry_after, ..WireReply::bare(503, b"{}".to_vec()) }
    }

    /// What something between answers with.
    pub fn of_a_proxy(&mut self) -> WireReply {
        let status = *self.random.pick(&[200, 302, 400, 403, 404, 405, 409, 410, 412, 413, 422, 502]);
        let words: [&[u8]; 4] =
            [b"", b"<html><h1>nginx</h1>", br#"{"message":"Forbidden"}"#, br#"{"code":"INVALID"}"#];
        WireReply::bare(status, self.random.pick(&words).to_vec())
    }
}

//! What HealthFlow, or something before it, says instead of doing what it is asked for.

use std::time::{Duration, UNIX_EPOCH};

use healthflow_core::healthflow::wire::WireReply;

use crate::world::World;

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
        WireReply { status: 503, retry_after: self.retry_after(), body: b"{}".to_vec() }
    }

    /// What something between answers with.
    pub fn of_a_proxy(&mut self) -> WireReply {
        let status = *self.random.pick(&[200, 302, 400, 403, 404, 405, 409, 410, 412, 413, 422, 502]);
        let words: [&[u8]; 4] =
            [b"", b"<html><h1>nginx</h1>", br#"{"message":"Forbidden"}"#, br#"{"code":"INVALID"}"#];
        WireReply { status, retry_after: None, body: self.random.pick(&words).to_vec() }
    }
}

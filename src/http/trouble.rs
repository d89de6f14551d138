//! Why HealthFlow is not reached, or answers what nobody expects. Each cause is logged when it comes up, and then once a minute
//! with how often it came up meanwhile: an outage fills no disk, and a cause that lasts does not scroll away.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::http::client::{ClientSettings, causes};
use healthflow_core::healthflow::fault::Unknown;
use healthflow_core::healthflow::wire::WireRequest;
use healthflow_core::healthflow::{Fault, Reply};
use healthflow_core::repeats::Repeats;
use healthflow_core::status::HealthFlowTrouble;
use healthflow_core::time::Timestamp;

/// Causes that are told apart; beyond that the log may repeat one earlier.
const CAUSES_MAX: usize = 64;

/// A trouble that did not come up for so long is over once anything is answered, in milliseconds.
const OVER_AFTER_MS: i64 = 60_000;

/// What went wrong last, and what was logged.
#[derive(Default)]
pub struct Troubles(Mutex<Known>);

#[derive(Default)]
struct Known {
    current: Option<HealthFlowTrouble>,
    /// The requests that failed and have not been answered since, as they are shown.
    failing: BTreeSet<String>,
    logged: HashMap<String, Repeats>,
}

impl Troubles {
    /// A call that `asked` for this failed, or was answered in a way that nobody expects.
    pub fn note(&self, asked: String, cause: String, at: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = known.is_logged(&cause, at) {
            tracing::warn!(times, "HealthFlow does not answer as it should: {cause}");
        }
        known.failing.insert(asked);
        let (since, times) = known.current.as_ref().map_or((at, 0), |known| (known.since, known.times));
        known.current = Some(HealthFlowTrouble { cause, since, last_at: at, times: times + 1 });
    }

    /// A call that `asked` for this was answered as the contract says. That ends the trouble unless something else still fails: a
    /// HealthFlow that answers every search and no booking is in trouble all the time.
    pub fn is_answered(&self, asked: &str, at: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = &known.current else { return };
        let is_old = at.since_ms(current.last_at) >= OVER_AFTER_MS;
        known.failing.remove(asked);
        if is_old || known.failing.is_empty() {
            known.failing.clear();
            known.current = None;
        }
    }

    /// What goes wrong now.
    pub fn current(&self) -> Option<HealthFlowTrouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).current.clone()
    }
}

impl Known {
    /// How often the cause came up since it was logged last, if it is to be logged now.
    fn is_logged(&mut self, cause: &str, at: Timestamp) -> Option<u64> {
        if let Some(logged) = self.logged.get_mut(cause) {
            return logged.again(at);
        }
        if self.logged.len() >= CAUSES_MAX {
            self.logged.clear();
        }
        self.logged.insert(cause.to_owned(), Repeats::first(at));
        Some(1)
    }
}

/// Why an exchange failed, without the URL: refused, name unknown, which rule of the certificate, no answer in time.
pub(super) fn cause_of(client: &ClientSettings, error: &reqwest::Error, asked: &str) -> String {
    if let Some(why) = client.distrust(error) {
        return why;
    }
    let io_kind = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_unresolved = causes(error).any(|cause| cause.to_string().contains("dns error"));
    match io_kind {
        _ if is_unresolved => {
            "its name is unknown; check healthflow.base_url and the name service".to_owned()
        }
        _ if error.is_timeout() && error.is_connect() => "no connection in time".to_owned(),
        _ if error.is_timeout() => format!("no answer in time to {asked}"),
        Some(io::ErrorKind::ConnectionRefused) => "the connection is refused".to_owned(),
        _ if error.is_connect() => format!("no connection ({})", client.cause(error)),
        _ => format!("the connection broke during {asked} ({})", client.cause(error)),
    }
}

/// What of an answer with this status the contract does not expect, where `reply` is what it was understood as; none if all is
/// as it should be.
pub fn unexpected(status: u16, reply: &Reply, asked: &str) -> Option<String> {
    let is_expected = matches!(status, 200..=299 | 400 | 403 | 404 | 409 | 412 | 422 | 429);
    match reply {
        Err(Fault::Unknown(Unknown::Unreadable)) => {
            Some(format!("status {status} to {asked} with content that cannot be read"))
        }
        Err(Fault::Unknown(Unknown::Foreign { .. })) if is_expected => {
            Some(format!("status {status} to {asked}, not in HealthFlow's words"))
        }
        _ => (!is_expected).then(|| format!("status {status} to {asked}")),
    }
}

/// A request as it may be shown: its method and the template of its path.
pub fn shown(request: &WireRequest) -> String {
    format!("{} {}", request.method.name(), request.path_template())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_logged_first_and_then_once_a_minute_with_its_count() {
        let mut known = Known::default();
        let mut logged = |cause: &str, at| known.is_logged(cause, Timestamp(at));
        assert_eq!(logged("refused", 0), Some(1));
        assert_eq!((1..60).filter_map(|at| logged("refused", at * 1_000)).count(), 0);
        assert_eq!(logged("status 503", 30_000), Some(1), "another cause is news");
        assert_eq!(logged("refused", 60_000), Some(60));
        assert_eq!(logged("refused", 61_000), None);
        (0..1_000).for_each(|number| _ = logged(&format!("status {number}"), 62_000));
        assert!(known.logged.len() <= CAUSES_MAX);
    }

    #[test]
    fn what_goes_wrong_is_shown_until_the_same_is_answered_as_it_should_be() {
        let troubles = Troubles::default();
        let (search, create) = ("GET /patients", "POST /appointments");
        (0..3).for_each(|at| troubles.note(create.into(), "the connection is refused".into(), Timestamp(at)));
        let current = troubles.current().unwrap();
        assert_eq!((current.since, current.last_at, current.times), (Timestamp(0), Timestamp(2), 3));
        troubles.note(create.into(), "status 503 to POST /appointments".into(), Timestamp(9));
        troubles.is_answered(search, Timestamp(10));
        let current = troubles.current().unwrap();
        assert_eq!((current.since, current.times), (Timestamp(0), 4), "searches work, bookings do not");
        troubles.is_answered(create, Timestamp(11));
        assert_eq!(troubles.current(), None);
    }

    #[test]
    fn a_trouble_that_never_came_up_again_is_over() {
        let troubles = Troubles::default();
        troubles.note("PUT /appointments/{id}".into(), "no connection in time".into(), Timestamp(0));
        troubles.is_answered("GET /patients", Timestamp(OVER_AFTER_MS - 1));
        assert!(troubles.current().is_some());
        troubles.is_answered("GET /patients", Timestamp(OVER_AFTER_MS));
        assert_eq!(troubles.current(), None);
    }

    #[test]
    fn only_what_the_contract_does_not_describe_is_unexpected() {
        let refused = Err(Fault::Forbidden);
        for status in [200, 201, 204, 400, 403, 404, 409, 412, 422, 429] {
            assert_eq!(unexpected(status, &refused, "GET /patients"), None, "{status}");
        }
        for status in [101, 301, 401, 405, 413, 418, 500, 502, 503, 504] {
            let foreign = Err(Fault::Unknown(Unknown::Foreign { status }));
            let said = unexpected(status, &foreign, "GET /patients").unwrap();
            assert_eq!(said, format!("status {status} to GET /patients"));
        }
        let foreign = Err(Fault::Unknown(Unknown::Foreign { status: 403 }));
        let said = unexpected(403, &foreign, "GET /patients");
        assert_eq!(said.as_deref(), Some("status 403 to GET /patients, not in HealthFlow's words"));
        let said = unexpected(200, &Err(Fault::Unknown(Unknown::Unreadable)), "GET /patients");
        assert_eq!(said.as_deref(), Some("status 200 to GET /patients with content that cannot be read"));
    }
}

//! Why HealthFlow is not reached, or answers what nobody expects. Each cause is logged when it comes up, and then once a minute
//! with how often it came up meanwhile: an outage fills no disk, and a cause that lasts does not scroll away.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::http::client::{ClientSettings, causes};
use healthflow_core::healthflow::wire::WireRequest;
use healthflow_core::repeats::Repeats;
use healthflow_core::status::HealthFlowTrouble;
use healthflow_core::time::Timestamp;

/// Causes that are told apart; beyond that the log may repeat one earlier.
const CAUSES_MAX: usize = 64;

/// What went wrong last, and what was logged.
#[derive(Default)]
pub struct Troubles(Mutex<Known>);

#[derive(Default)]
struct Known {
    current: Option<HealthFlowTrouble>,
    logged: HashMap<String, Repeats>,
}

impl Troubles {
    /// A call failed, or was answered in a way that nobody expects.
    pub fn note(&self, cause: String, at: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = known.is_logged(&cause, at) {
            tracing::warn!(times, "HealthFlow does not answer as it should: {cause}");
        }
        match &mut known.current {
            Some(current) if current.cause == cause => {
                current.times += 1;
                current.last_at = at;
            }
            current => *current = Some(HealthFlowTrouble { cause, since: at, last_at: at, times: 1 }),
        }
    }

    /// A call was answered as the contract says.
    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).current = None;
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

/// What an answer with this status says that the contract does not expect; none if it does.
pub fn unexpected(status: u16, asked: &str) -> Option<String> {
    let is_expected = matches!(status, 200..=299 | 400 | 403 | 404 | 409 | 412 | 422 | 429);
    (!is_expected).then(|| format!("status {status} to {asked}"))
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
    fn what_goes_wrong_is_shown_until_an_answer_is_as_it_should_be() {
        let troubles = Troubles::default();
        (0..3).for_each(|at| troubles.note("the connection is refused".into(), Timestamp(at)));
        let current = troubles.current().unwrap();
        assert_eq!((current.since, current.last_at, current.times), (Timestamp(0), Timestamp(2), 3));
        troubles.note("status 503 to POST /appointments".into(), Timestamp(9));
        assert_eq!(troubles.current().unwrap().since, Timestamp(9));
        troubles.end();
        assert_eq!(troubles.current(), None);
    }

    #[test]
    fn only_what_the_contract_does_not_describe_is_unexpected() {
        for status in [200, 201, 204, 400, 403, 404, 409, 412, 422, 429] {
            assert_eq!(unexpected(status, "GET /patients"), None, "{status}");
        }
        for status in [101, 301, 401, 405, 413, 418, 500, 502, 503, 504] {
            let said = unexpected(status, "GET /patients").unwrap();
            assert_eq!(said, format!("status {status} to GET /patients"));
        }
    }
}

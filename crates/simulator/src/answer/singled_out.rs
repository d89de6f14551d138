//! Faults that hit single requests while all others succeed: a word that a firewall dislikes, a chart whose look-up
//! never ends. One such booking must cost the others nothing.

use super::endpoints::error;
use super::faults::Faults;
use super::route::{NoRoute, Route};
use super::{Ending, WireRequest};

/// How long (milliseconds) an unanswered look-up stays open: longer than any caller waits.
const NEVER_MS: u64 = 600_000;

/// How the exchange ends for a request that is singled out.
#[derive(Debug, PartialEq)]
pub(super) struct SingledOut {
    pub(super) ending: Ending,
    /// After how long at least.
    pub(super) after_ms: u64,
}

/// How the exchange ends for `request`, if it is singled out.
pub(super) fn ending(
    faults: &Faults,
    route: &Result<Route, NoRoute>,
    request: &WireRequest,
) -> Option<SingledOut> {
    let is_read = route.as_ref().is_ok_and(|route| !route.is_write());
    if is_read && holds(request, &faults.unanswered_text) {
        Some(SingledOut { ending: Ending::Dropped, after_ms: NEVER_MS })
    } else if holds(request, &faults.forbidden_text) {
        Some(SingledOut { ending: Ending::Reply(error(403, "FORBIDDEN")), after_ms: 0 })
    } else {
        None
    }
}

fn holds(request: &WireRequest, text: &str) -> bool {
    let within =
        |bytes: &[u8]| !text.is_empty() && bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    within(request.path_and_query.as_bytes()) || request.body.as_deref().is_some_and(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use healthflow_core::healthflow::wire::Method;

    fn asked(method: Method, path: &str, body: Option<&str>) -> Option<SingledOut> {
        let faults = Faults {
            forbidden_text: "b-forbidden".into(),
            unanswered_text: "b-unanswered".into(),
            ..Faults::default()
        };
        let request = WireRequest {
            method,
            path_and_query: path.into(),
            idempotency_key: None,
            if_match: None,
            body: body.map(|body| body.as_bytes().to_vec()),
        };
        ending(&faults, &Route::find(&request), &request)
    }

    /// Goal: a fault against one booking leaves all others alone. Method: writes and look-ups with either text and
    /// without; only the forbidden write and the one look-up do not end as usual.
    #[test]
    fn one_request_is_singled_out_and_no_other() {
        let look_up = |booking: &str| format!("/appointments?practice_id=p&external_id={booking}");
        let (post, get) = (Method::Post, Method::Get);
        let forbidden = asked(post, "/appointments", Some(r#"{"external_id":"b-forbidden"}"#));
        let Some(SingledOut { ending: Ending::Reply(reply), after_ms: 0 }) = forbidden else {
            panic!("it is answered: {forbidden:?}")
        };
        assert_eq!(reply.status, 403);
        let dropped = SingledOut { ending: Ending::Dropped, after_ms: NEVER_MS };
        assert_eq!(asked(get, &look_up("b-unanswered"), None), Some(dropped));
        assert_eq!(asked(post, "/appointments", Some(r#"{"external_id":"b-unanswered"}"#)), None);
        assert_eq!(asked(post, "/appointments", Some(r#"{"external_id":"b-other"}"#)), None);
        assert_eq!(asked(get, &look_up("b-other"), None), None);
    }
}

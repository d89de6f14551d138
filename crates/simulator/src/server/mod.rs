//! The pretend HealthFlow on a port: bearer token, real latency, connections that really close without an answer.
//! Benchmarks call it, so a request costs one short lock and nothing is logged.

mod control;
mod connection;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method as HttpMethod, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

use self::connection::{Cut, CuttableListener};
use super::answer::{Ending, Handling, Simulator};
use healthflow_core::healthflow::wire::{Method, WireReply, WireRequest};
use healthflow_core::time::Timestamp;

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Timers fire on the next whole millisecond, half a millisecond late on average: a benchmark would show that.
const TIMER_LATE: Duration = Duration::from_micros(500);

/// The simulator that a server answers from.
pub struct Host {
    simulator: Mutex<Simulator>,
    authorization: Option<String>,
}

impl Host {
    /// A server for `simulator` that requires the bearer `token`; without one it accepts any caller.
    pub fn new(simulator: Simulator, token: Option<&str>) -> Self {
        let authorization = token.map(|token| format!("Bearer {token}"));
        Host { simulator: Mutex::new(simulator), authorization }
    }

    /// The simulator, locked for one short read or change, after every late write that is due has landed.
    pub fn simulator(&self) -> MutexGuard<'_, Simulator> {
        // A poisoned lock means that a request panicked; its state is still the best we have.
        let mut simulator = self.simulator.lock().unwrap_or_else(PoisonError::into_inner);
        simulator.advance(now());
        simulator
    }
}

/// Serves the API and, under `/control`, its knobs, until the future is dropped.
pub async fn serve(listener: TcpListener, host: Arc<Host>) -> std::io::Result<()> {
    let router = Router::new().nest("/control", control::router()).fallback(api).with_state(host);
    axum::serve(CuttableListener(listener), router.into_make_service_with_connect_info::<Cut>()).await
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

async fn api(
    State(host): State<Arc<Host>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    if host.authorization.is_some() && authorization != host.authorization.as_deref().map(str::as_bytes) {
        return plain(StatusCode::UNAUTHORIZED, r#"{"code":"UNAUTHORISED","fields":[]}"#);
    }
    let request = match wire_request(request).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let now = now();
    let Handling { reply_at, ending, .. } = host.simulator().handle(&request, now);
    let wait_ms = u64::try_from(reply_at.since_ms(now)).unwrap_or(0);
    if wait_ms > 0 {
        sleep_until(arrived + Duration::from_millis(wait_ms) - TIMER_LATE).await;
    }
    match ending {
        Ending::Reply(reply) => response(reply),
        Ending::Dropped | Ending::Refused => {
            cut.cut();
            Response::new(Body::empty())
        }
    }
}

async fn wire_request(request: Request) -> Result<WireRequest, Response> {
    let (parts, body) = request.into_parts();
    let method = match parts.method {
        HttpMethod::GET => Method::Get,
        HttpMethod::POST => Method::Post,
        HttpMethod::PUT => Method::Put,
        _ => {
            return Err(plain(
                StatusCode::METHOD_NOT_ALLOWED,
                r#"{"code":"METHOD_NOT_ALLOWED","fields":[]}"#,
            ));
        }
    };
    let too_large = |_| plain(StatusCode::PAYLOAD_TOO_LARGE, r#"{"code":"INVALID","fields":[]}"#);
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(too_large)?;
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(WireRequest {
        method,
        path_and_query,
        idempotency_key: text("idempotency-key"),
        if_match: text("if-match"),
        body: (!bytes.is_empty()).then(|| bytes.into()),
    })
}

fn response(reply: WireReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = plain(status, reply.body);
    let mut set = |name: &'static str, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, value);
        }
    };
    let fields = [
        ("retry-after", reply.retry_after),
        ("ratelimit-policy", reply.limits.policy),
        ("ratelimit", reply.limits.state),
        ("x-ratelimit-limit", reply.limits.limit),
        ("x-ratelimit-remaining", reply.limits.remaining),
        ("x-ratelimit-reset", reply.limits.reset),
    ];
    for (name, text) in fields {
        text.into_iter().for_each(|text| set(name, text));
    }
    response
}

fn plain(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;

//! Metrics, health and status over HTTP. Without them a worker that hangs would look like one that has nothing to do. The
//! server reads what the worker publishes and never touches the work.
//!
//! | route | answer |
//! |---|---|
//! | `GET /metrics` | every metric, in Prometheus' text format |
//! | `GET /health/live` | 200 while the worker keeps publishing its status; 503 once it stops: restart it |
//! | `GET /health/ready` | 200 while it is live, a member of the group, and every assigned task works; else 503; and why |
//! | `GET /status` | the worker's last status as JSON: tasks, input topics, lag, in flight |
//!
//! No answer identifies a patient, a booking or a practice, and no request changes anything.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::{Catalogue, exposition};
use healthflow_core::status::{Status, StatusPage};
use healthflow_core::time::Timestamp;

/// What the server reads.
#[derive(Clone)]
pub struct Seen {
    /// The worker's status; it publishes one at least every second.
    pub status: watch::Receiver<Arc<Status>>,
    /// All metrics.
    pub catalogue: Arc<Catalogue>,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// `admin.status_age_max_ms`.
    pub status_age_max_ms: u64,
    /// `kafka.group_instance_id`.
    pub worker: Option<String>,
    /// `kafka.group_id`.
    pub group: String,
}

/// Listens on `listen` (port 0: any). Fails if the port is taken.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(listen).await;
    bound.with_context(|| {
        format!(
            "cannot listen on {listen}; set another `admin.listen`: every worker on a host needs its own, and a \
             `kafka.group_instance_id` of its own"
        )
    })
}

/// Answers on `listener` until `stop` is over.
pub async fn serve(
    listener: TcpListener,
    seen: Seen,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    axum::serve(listener, router(seen)).with_graceful_shutdown(stop).await.context("the admin server ended")
}

/// The routes.
pub fn router(seen: Seen) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/status", get(status))
        .with_state(seen)
}

async fn metrics(State(seen): State<Seen>) -> Response {
    match seen.catalogue.page(&seen.current(), (seen.clock)()) {
        Ok(page) => ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], page).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n").into_response(),
    }
}

async fn live(State(seen): State<Seen>) -> (StatusCode, &'static str) {
    if seen.is_live(&seen.current()) {
        (StatusCode::OK, "live\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no status for too long; restart this worker\n")
    }
}

async fn ready(State(seen): State<Seen>) -> (StatusCode, String) {
    let status = seen.current();
    let trouble = status.healthflow_trouble.iter().map(|trouble| {
        let for_s = (seen.clock)().since_ms(trouble.since).max(0) / 1_000;
        format!("HealthFlow does not answer as it should for {for_s} s: {}\n", trouble.cause)
    });
    let mut lines: Vec<String> = trouble.collect();
    if seen.is_live(&status) && status.is_ready() {
        lines.insert(0, "ready\n".to_owned());
        return (StatusCode::OK, lines.concat());
    }
    let mut reasons = status.not_ready_because();
    if !seen.is_live(&status) {
        reasons.push("no status for too long; restart this worker".to_owned());
    }
    lines.insert(0, format!("not ready: {}\n", reasons.join("; ")));
    (StatusCode::SERVICE_UNAVAILABLE, lines.concat())
}

async fn status(State(seen): State<Seen>) -> Response {
    let status = seen.current();
    let live = seen.is_live(&status);
    let page = StatusPage {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        worker: seen.worker.clone(),
        group: seen.group.clone(),
        live,
        ready: live && status.is_ready(),
        status: Status::clone(&status),
    };
    Json(page).into_response()
}

impl Seen {
    fn current(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    fn is_live(&self, status: &Status) -> bool {
        let age_ms = (self.clock)().since_ms(status.taken_at).max(0);
        age_ms.unsigned_abs() <= self.status_age_max_ms
    }
}

#[cfg(test)]
mod tests;

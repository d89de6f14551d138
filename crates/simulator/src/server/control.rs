//! The knobs, the ledger and the audit over HTTP, for demos, tests and people with `curl`. It needs no token: the simulator
//! holds no real data.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::answer::PatientBody;
use super::{Host, now, plain};

/// The largest body, in bytes: enough for a hundred thousand patients.
const SEED_BYTES_MAX: usize = 64 << 20;

pub(super) fn router() -> Router<Arc<Host>> {
    Router::new()
        .route("/health", get(async || answer(StatusCode::OK, &json!({"status": "ok"}))))
        .route("/faults", get(faults).put(change_faults))
        .route(
            "/ledger",
            get(async |State(host): SharedHost| answer(StatusCode::OK, &host.simulator().ledger())),
        )
        .route(
            "/writes",
            get(async |State(host): SharedHost| answer(StatusCode::OK, &host.simulator().writes())),
        )
        .route(
            "/audit",
            get(async |State(host): SharedHost| answer(StatusCode::OK, &host.simulator().audit())),
        )
        .route("/patients", post(seed_patients))
        .route("/patients/{id}", delete(delete_patient))
        .route("/appointments/{id}", delete(delete_appointment))
        .layer(DefaultBodyLimit::max(SEED_BYTES_MAX))
}

type SharedHost = State<Arc<Host>>;

async fn faults(State(host): SharedHost) -> Response {
    answer(StatusCode::OK, host.simulator().faults())
}

async fn change_faults(State(host): SharedHost, body: Bytes) -> Response {
    let Ok(patch) = serde_json::from_slice::<Value>(&body) else {
        return refusal("faults must be a JSON object of knobs");
    };
    match host.simulator().patch_faults(&patch) {
        Ok(faults) => answer(StatusCode::OK, faults),
        Err(message) => refusal(&message),
    }
}

async fn seed_patients(State(host): SharedHost, body: Bytes) -> Response {
    match serde_json::from_slice::<Vec<PatientBody>>(&body) {
        Ok(patients) => {
            let ids = host.simulator().seed_patients(patients, now());
            answer(StatusCode::OK, &json!({ "ids": ids }))
        }
        Err(error) => refusal(&format!("patients must be a JSON array of patients: {error}")),
    }
}

async fn delete_patient(State(host): SharedHost, Path(id): Path<String>) -> Response {
    deleted(host.simulator().delete_patient(&id))
}

async fn delete_appointment(State(host): SharedHost, Path(id): Path<String>) -> Response {
    deleted(host.simulator().delete_appointment(&id))
}

fn deleted(was_there: bool) -> Response {
    let status = if was_there { StatusCode::OK } else { StatusCode::NOT_FOUND };
    answer(status, &json!({ "deleted": was_there }))
}

fn refusal(message: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, &json!({ "message": message }))
}

fn answer(status: StatusCode, body: &(impl Serialize + ?Sized)) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => plain(status, bytes),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

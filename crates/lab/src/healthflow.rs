//! The simulator's control API: who is in HealthFlow before the run begins, its faults, and what exists in the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::workload::people::Chart;

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The simulator at a URL.
pub struct HealthFlow {
    url: String,
    client: Client,
}

/// What exists.
#[derive(Debug, Default, Deserialize)]
pub struct Ledger {
    /// Appointments by age.
    pub appointments: Vec<Appointment>,
    /// Patients by age.
    pub patients: Vec<Patient>,
}

/// An appointment that exists.
#[derive(Clone, Debug, Deserialize)]
pub struct Appointment {
    /// HealthFlow's id.
    pub id: String,
    /// Which practice's.
    pub practice_id: String,
    /// DentScheduler's booking.
    pub external_id: Option<String>,
    /// HealthFlow's id of the patient.
    pub patient_id: String,
    /// `scheduled` or `cancelled`.
    pub status: String,
    /// RFC 3339.
    pub start: String,
    /// Minutes.
    pub duration_minutes: i32,
    /// The provider.
    pub provider_id: String,
}

/// A patient that exists.
#[derive(Clone, Debug, Deserialize)]
pub struct Patient {
    /// HealthFlow's id.
    pub id: String,
    /// Whose patient.
    pub practice_id: String,
    /// DentScheduler's patient, if DentScheduler's booking created it.
    pub external_id: Option<String>,
    /// Date of birth.
    pub date_of_birth: String,
    /// Whether it was there before.
    pub seeded: bool,
}

impl Patient {
    /// DentScheduler's patient: what stands behind its id in the reference is ours (rule W8), and no id of the workload has a `~`.
    pub fn of(&self) -> Option<&str> {
        self.external_id.as_deref().and_then(|reference| reference.split('~').next())
    }
}

/// What the simulator counted itself.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Totals {
    /// Requests that arrived.
    pub requests: u64,
    /// Of these, answered 429.
    pub throttled: u64,
    /// The most requests in one second.
    pub peak_requests_per_second: u64,
    /// Writes that got no answer.
    pub writes_unanswered: u64,
    /// Creates that were repeated under a known key and did nothing.
    pub replayed: u64,
    /// Writes that have not landed yet.
    pub pending: u64,
}

/// One write that arrived.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Write {
    /// `create_appointment` and so on.
    pub operation: String,
    /// When it arrived (milliseconds).
    pub arrived_at_ms: i64,
    /// When it was carried out.
    pub carried_out_at_ms: Option<i64>,
    /// `nothing`, `created`, `replayed` or `updated`.
    pub effect: String,
    /// What it created, replayed or updated.
    pub id: Option<String>,
    /// The answer's status.
    pub answered: Option<u16>,
}

impl HealthFlow {
    /// The one at `url`.
    pub fn new(url: &str) -> Result<HealthFlow> {
        let client = Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(HealthFlow { url: url.to_owned(), client })
    }

    /// Puts patients there; their ids in order.
    pub async fn seed(&self, charts: &[Chart]) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Seeded {
            ids: Vec<String>,
        }
        let body = serde_json::to_vec(charts)?;
        let seeded: Seeded = self.ask(Method::POST, "patients", Some(body)).await?;
        ensure!(seeded.ids.len() == charts.len(), "the simulator seeded another number of patients");
        Ok(seeded.ids)
    }

    /// Sets knobs.
    pub async fn set_faults(&self, knobs: &Value) -> Result<()> {
        let _: Value = self.ask(Method::PUT, "faults", Some(serde_json::to_vec(knobs)?)).await?;
        Ok(())
    }

    /// What exists.
    pub async fn ledger(&self) -> Result<Ledger> {
        self.ask(Method::GET, "ledger", None).await
    }

    /// Its own count.
    pub async fn totals(&self) -> Result<Totals> {
        self.ask(Method::GET, "audit", None).await
    }

    /// Every write that arrived.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        self.ask(Method::GET, "writes", None).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, what: &str, body: Option<Vec<u8>>) -> Result<T> {
        let url = format!("{}/control/{what}", self.url);
        let request = self.client.request(method, url).body(body.unwrap_or_default());
        let asked = async {
            let response = request.send().await?.error_for_status()?;
            response.bytes().await
        };
        let bytes = asked.await.with_context(|| format!("the simulator gave no {what}"))?;
        serde_json::from_slice(&bytes).with_context(|| format!("the simulator's {what} cannot be read"))
    }
}

/// The knobs of a HealthFlow in good health whose every answer takes about `latency_ms`.
pub fn good_health(latency_ms: u64, requests_per_second: f64) -> Value {
    json!({
        "latency_ms": latency_ms, "latency_jitter_ms": latency_ms / 2, "requests_per_second": requests_per_second,
        "down": "no", "server_error_before": 0.0, "server_error_after": 0.0, "drop_before": 0.0, "drop_after": 0.0,
        "late_landing": 0.0,
    })
}

//! Our own schemas in the registry. Workers and commands only look them up, for which a registry in read-only mode and
//! a user without the right to write are enough; only `healthflow-sync topics` registers. Registering a registered
//! schema again is still a write: if workers did it, such a registry would refuse and no worker would start.

use serde_json::{Value, json};

use super::{COMPATIBILITY, FORBIDDEN, RegistryFault, SchemaRegistry, fault_of_code};
use healthflow_core::event::avro::{Contract, WriterSchema};

/// One request about a subject of ours.
struct Question {
    method: reqwest::Method,
    path: String,
    about: String,
    /// The right that it needs, as the end of "does not let us".
    right: String,
    body: Option<Value>,
}

impl SchemaRegistry {
    /// The id of exactly the contract's schema under its topic's subject; none if it is not registered. Writes nothing.
    pub async fn look_up(&self, contract: &'static Contract) -> Result<Option<u32>, RegistryFault> {
        let subject = self.subject(contract);
        let asked = self.ask(Question {
            method: reqwest::Method::POST,
            path: format!("subjects/{subject}"),
            about: format!("the schema of {}", self.on_cluster(contract)),
            right: format!("read subject {subject}"),
            body: Some(json!({ "schema": contract.json })),
        });
        match asked.await {
            Ok(answer) => self.remember_ours(contract, &answer).map(Some),
            Err(RegistryFault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The same; waits while the registry is unavailable.
    ///
    /// # Errors
    /// It is not registered, or we may not look.
    pub async fn look_up_patiently(&self, contract: &'static Contract) -> Result<u32, RegistryFault> {
        let mut pause = self.policy.pause_min;
        loop {
            match self.look_up(contract).await {
                Ok(Some(id)) => return Ok(id),
                Ok(None) => return Err(RegistryFault::NotRegistered { topic: self.on_cluster(contract) }),
                Err(fault) if fault.is_transient() => {
                    tracing::warn!("{fault}; the next try is in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.policy.pause_max);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Registers the contract's schema under its topic's subject and returns its id; the same one if it is registered
    /// already.
    pub async fn register(&self, contract: &'static Contract) -> Result<u32, RegistryFault> {
        let subject = self.subject(contract);
        let answer = self.ask(Question {
            method: reqwest::Method::POST,
            path: format!("subjects/{subject}/versions"),
            about: format!("the schema of {}", self.on_cluster(contract)),
            right: format!("register schemas under subject {subject}"),
            body: Some(json!({ "schema": contract.json })),
        });
        self.remember_ours(contract, &answer.await?)
    }

    /// The compatibility level of the topic's subject; none if it has none of its own.
    pub async fn compatibility(&self, contract: &'static Contract) -> Result<Option<String>, RegistryFault> {
        let subject = self.subject(contract);
        let asked = self.ask(Question {
            method: reqwest::Method::GET,
            path: format!("config/{subject}"),
            about: format!("the compatibility of {subject}"),
            right: format!("read the compatibility of subject {subject}"),
            body: None,
        });
        match asked.await {
            Ok(answer) => Ok(answer["compatibilityLevel"].as_str().map(str::to_owned)),
            Err(RegistryFault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Sets the compatibility of the topic's subject to [`COMPATIBILITY`].
    pub async fn set_compatibility(&self, contract: &'static Contract) -> Result<(), RegistryFault> {
        let subject = self.subject(contract);
        let asked = self.ask(Question {
            method: reqwest::Method::PUT,
            path: format!("config/{subject}"),
            about: format!("the compatibility of {subject}"),
            right: format!("set the compatibility of subject {subject}"),
            body: Some(json!({ "compatibility": COMPATIBILITY })),
        });
        asked.await.map(|_| ())
    }

    /// The id in an answer about a schema of ours, which is known from now on.
    fn remember_ours(&self, contract: &'static Contract, answer: &Value) -> Result<u32, RegistryFault> {
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| RegistryFault::Unavailable {
            about: format!("the schema of {}", self.on_cluster(contract)),
            what: "an answer without an id".to_owned(),
        })?;
        self.remember(id, WriterSchema::new(id, contract.json.to_owned(), Vec::new()));
        Ok(id)
    }

    /// Sends one request; the converter crate has no function for most of them, and hides the status of an error.
    async fn ask(&self, question: Question) -> Result<Value, RegistryFault> {
        let Question { method, path, about, right, body } = question;
        let away = |error: reqwest::Error| self.access.broken(about.clone(), &error);
        let mut request = self.access.clients().http.request(method, self.access.url(&path));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/vnd.schemaregistry.v1+json")
                .body(body.to_string());
        }
        let reply = request.send().await.map_err(away)?;
        let status = reply.status();
        let code = u32::from(status.as_u16());
        // A proxy before the registry may answer in its own words.
        if FORBIDDEN.contains(&code) {
            return Err(RegistryFault::Forbidden { right, status: code });
        }
        let text = reply.text().await.map_err(away)?;
        let answer = serde_json::from_str::<Value>(&text).ok();
        if let Some(answer) = &answer
            && !status.is_success()
            && let Some(code) = answer["error_code"].as_u64().and_then(|code| u32::try_from(code).ok())
        {
            return Err(fault_of_code(about, right, code, answer["message"].as_str().unwrap_or_default()));
        }
        let answer = answer.filter(|_| status.is_success());
        answer.ok_or_else(|| RegistryFault::Unavailable { about, what: format!("status {status}") })
    }

    /// The subject of a topic's values (Confluent's TopicNameStrategy).
    fn subject(&self, contract: &Contract) -> String {
        format!("{}-value", self.on_cluster(contract))
    }
}

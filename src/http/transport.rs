//! One exchange with HealthFlow. Nothing here retries, follows a redirect or obeys proxy variables: a request that goes
//! out twice without the task knowing is a second appointment (rule W6).

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER,
};
use reqwest::{Client, Response, Url};

use crate::http::client::{ClientFault, ClientSettings};
use crate::http::credentials::{Credentials, CredentialsFault, Scheme};
use crate::http::gate::{Gate, GatedBody, Passage};
use crate::http::trouble::{cause_of, shown};
use healthflow_core::healthflow::fault::{NotSent, Unknown};
use healthflow_core::healthflow::wire::{LimitHeaders, Method, TransportFault, WireReply, WireRequest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The longest field that tells limits, in bytes; a longer one is not read.
const LIMIT_HEADER_BYTES_MAX: usize = 2_048;

/// Where HealthFlow is, and the limits of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// Paths are appended to it; no slash at its end.
    pub base_url: String,
    /// How connections are made.
    pub client: ClientSettings,
    /// The file with the bearer token; none sends no `Authorization`.
    pub token_file: Option<PathBuf>,
    /// How long connecting may take.
    pub connect_timeout_ms: u64,
    /// R: how long connecting, sending and the whole answer may take together.
    pub request_life_ms: u64,
    /// Idle connections that are kept open; at least as many as there can be calls at once.
    pub idle_connections_max: usize,
    /// How long a connection may be idle and still be used; less than HealthFlow, or a proxy before it, keeps it.
    pub idle_connection_ms: u64,
    /// The longest body that is read; a longer one is unreadable.
    pub body_bytes_max: usize,
}

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The base URL is not one.
    #[error("HealthFlow cannot be called: healthflow.base_url is not a valid URL: {0}")]
    BaseUrl(<Url as FromStr>::Err),
    /// The token file holds no token.
    #[error("HealthFlow cannot be called: {0}")]
    Token(#[from] CredentialsFault),
    /// The HTTP client could not be created.
    #[error("HealthFlow cannot be called: {0}")]
    Client(#[from] ClientFault),
}

/// A connection pool to HealthFlow. Shared by all calls.
pub struct Transport {
    settings: TransportSettings,
    pool: RwLock<Pool>,
    base_url: String,
    token: Option<Credentials>,
}

/// How a request ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What that means.
    pub fault: TransportFault,
    /// Why, in words for an operator; none if it was not sent for a reason of our own.
    pub cause: Option<String>,
}

/// The connections, and how long they may be idle.
struct Pool {
    client: Client,
    idle_connection_ms: u64,
}

impl Transport {
    /// Creates the pool; does not connect yet.
    ///
    /// # Errors
    /// The base URL is not valid, or the token file holds no token.
    pub fn new(settings: &TransportSettings) -> Result<Arc<Self>, Unusable> {
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        Url::parse(&base_url).map_err(Unusable::BaseUrl)?;
        let token =
            settings.token_file.as_deref().map(|file| Credentials::open(file, Scheme::Bearer)).transpose()?;
        let pool = Pool::new(settings, settings.idle_connection_ms)?;
        Ok(Arc::new(Transport { settings: settings.clone(), pool: RwLock::new(pool), base_url, token }))
    }

    /// Whether the token file holds no token any more, and the last good one is used.
    pub fn has_stale_token(&self) -> bool {
        self.token.as_ref().is_some_and(Credentials::is_stale)
    }

    /// Sends `request`, once. A request with a body goes out only if `may_send` returns true right before its bytes do,
    /// once the connection exists; else it ends as `NotSent(LeaseOver)` (rule W2). Drive it to its end: a dropped
    /// future is a doubt that is never recorded.
    ///
    /// # Errors
    /// See [`TransportFault`]; with the cause.
    pub async fn send(
        &self,
        request: WireRequest,
        may_send: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<WireReply, Failed> {
        let asked = shown(&request);
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let client = self.pool.read().unwrap_or_else(PoisonError::into_inner).client.clone();
        let mut builder = client
            .request(method, format!("{}{}", self.base_url, request.path_and_query))
            .header(ACCEPT, JSON);
        if let Some(token) = &self.token {
            builder = builder.header(AUTHORIZATION, token.header());
        }
        if let Some(key) = request.idempotency_key {
            builder = builder.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(entity_tag) = request.if_match {
            builder = builder.header(IF_MATCH, entity_tag);
        }
        let gate = request.body.is_some().then(|| Gate::new(may_send));
        if let (Some(body), Some(gate)) = (request.body, &gate) {
            let body = GatedBody::new(body, gate.clone());
            builder = builder.header(CONTENT_TYPE, JSON).body(reqwest::Body::wrap(body));
        }
        let exchanged = self.exchange(builder).await;
        let passage = gate.map(|gate| gate.close());
        exchanged.map_err(|broken| {
            let cause = match &broken {
                Broken::TooLong => format!("too long an answer to {asked}"),
                Broken::Client(error) => cause_of(&self.settings.client, error, &asked),
            };
            let fault = broken.fault(passage);
            let is_ours = fault == TransportFault::NotSent(NotSent::LeaseOver);
            Failed { fault, cause: (!is_ours).then_some(cause) }
        })
    }

    async fn exchange(&self, builder: reqwest::RequestBuilder) -> Result<WireReply, Broken> {
        let response = builder.send().await?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let limits = Box::new(limit_headers(response.headers()));
        let kept_alive = response.headers().get(KEEP_ALIVE).and_then(|value| value.to_str().ok());
        kept_alive.and_then(kept_alive_ms).into_iter().for_each(|ms| self.keep_no_longer_than(ms));
        let body = self.read(response).await?;
        Ok(WireReply { status, retry_after, limits, body })
    }

    /// The server closes idle connections after `ms`. A write that meets that moment is in doubt, so from now on we
    /// close ours well before it.
    fn keep_no_longer_than(&self, ms: u64) {
        let wanted_ms = ms / 5 * 4;
        let is_longer = |pool: &Pool| pool.idle_connection_ms > wanted_ms;
        if !is_longer(&self.pool.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut pool = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        if !is_longer(&pool) {
            return;
        }
        match Pool::new(&self.settings, wanted_ms) {
            Ok(shorter) => {
                tracing::info!(
                    "HealthFlow closes connections that are idle for {ms} ms; ours close after {wanted_ms} ms"
                );
                *pool = shorter;
            }
            Err(error) => tracing::warn!("{error}; idle connections are kept as long as before"),
        }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > self.settings.body_bytes_max {
                return Err(Broken::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Pool {
    fn new(settings: &TransportSettings, idle_connection_ms: u64) -> Result<Self, Unusable> {
        let builder = settings
            .client
            .builder()?
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true)
            .user_agent(concat!("healthflow-sync/", env!("CARGO_PKG_VERSION")))
            // The client takes the connection that was used last.
            .pool_max_idle_per_host(settings.idle_connections_max)
            .pool_idle_timeout(Duration::from_millis(idle_connection_ms))
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .timeout(Duration::from_millis(settings.request_life_ms));
        Ok(Pool { client: settings.client.build(builder)?, idle_connection_ms })
    }
}

/// The fields that tell limits, each under the first of its names that the answer has.
fn limit_headers(headers: &HeaderMap) -> LimitHeaders {
    let first = |names: [&str; 3]| names.into_iter().find_map(|name| joined(headers, name));
    LimitHeaders {
        date: joined(headers, "date"),
        policy: joined(headers, "ratelimit-policy"),
        state: joined(headers, "ratelimit"),
        limit: first(["x-ratelimit-limit", "x-rate-limit-limit", "ratelimit-limit"]),
        remaining: first(["x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining"]),
        reset: first(["x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"]),
    }
}

/// All lines of a field, joined with commas (RFC 9110, 5.3); none if it is missing, too long or not text.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    let text = lines.ok()?.join(", ");
    (!text.is_empty() && text.len() <= LIMIT_HEADER_BYTES_MAX).then_some(text)
}

/// How long the server keeps an idle connection, in milliseconds, by `Keep-Alive: timeout=5, max=100` (RFC 2068,
/// 19.7.1).
fn kept_alive_ms(header: &str) -> Option<u64> {
    let seconds = header.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    seconds.trim().parse::<u64>().ok()?.checked_mul(1_000)
}

/// How an exchange ended without a reply.
enum Broken {
    TooLong,
    Client(reqwest::Error),
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Broken::Client(error)
    }
}

impl Broken {
    fn fault(self, passage: Option<Passage>) -> TransportFault {
        match (self, passage) {
            (_, Some(Passage::Refused)) => TransportFault::NotSent(NotSent::LeaseOver),
            (_, Some(Passage::NeverAsked)) => TransportFault::NotSent(NotSent::Connect),
            (Broken::TooLong, _) => TransportFault::Unknown(Unknown::Unreadable),
            (Broken::Client(error), None) if error.is_connect() || error.is_builder() => {
                TransportFault::NotSent(NotSent::Connect)
            }
            (Broken::Client(error), _) if error.is_timeout() => TransportFault::Unknown(Unknown::Timeout),
            (Broken::Client(_), _) => TransportFault::Unknown(Unknown::Reset),
        }
    }
}

#[cfg(test)]
mod tests;

//! HTTP as plain values, without sockets: what `http` sends and what the simulator answers.

/// An HTTP request as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRequest {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// Path and query, percent-encoded, from the base URL on (`/appointments?external_id=b-1`).
    pub path_and_query: String,
    /// `Idempotency-Key`, on creates.
    pub idempotency_key: Option<String>,
    /// `If-Match`, on updates if HealthFlow offers versions: an entity tag, with its quotes.
    pub if_match: Option<String>,
    /// JSON body; none on GET.
    pub body: Option<Vec<u8>>,
}

impl WireRequest {
    /// Its path without the query and with a placeholder for each id, so that it may be shown: an id may be a patient's.
    pub fn path_template(&self) -> String {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        let is_known =
            |segment: &str| ["", "patients", "patient", "appointments", "search"].contains(&segment);
        let segments = path.split('/').map(|segment| if is_known(segment) { segment } else { "{id}" });
        segments.collect::<Vec<_>>().join("/")
    }
}

/// The HTTP methods of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates and searches.
    Post,
    /// Replaces.
    Put,
}

impl Method {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }
}

/// An HTTP reply as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireReply {
    /// Status code.
    pub status: u16,
    /// `Retry-After` as received: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// What it tells of its limits.
    pub limits: Box<LimitHeaders>,
    /// Body as received, up to the client's limit.
    pub body: Vec<u8>,
}

impl WireReply {
    /// A reply with none of these header fields.
    pub fn bare(status: u16, body: Vec<u8>) -> Self {
        WireReply { status, retry_after: None, limits: Box::default(), body }
    }
}

/// The header fields that tell limits, as received. Several lines of one field are joined with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitHeaders {
    /// `RateLimit-Policy`: the limits, as a structured field (draft-ietf-httpapi-ratelimit-headers).
    pub policy: Option<String>,
    /// `RateLimit`: what is left of them, likewise.
    pub state: Option<String>,
    /// `X-RateLimit-Limit`, or another spelling of it: how many calls.
    pub limit: Option<String>,
    /// `X-RateLimit-Remaining`: how many are left.
    pub remaining: Option<String>,
    /// `Date`: when HealthFlow answered, by its own clock.
    pub date: Option<String>,
    /// `X-RateLimit-Reset`: when it begins anew, in seconds from now, as an epoch time or as an ISO time.
    pub reset: Option<String>,
}

/// How an exchange ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// Nothing was sent.
    NotSent(super::fault::NotSent),
    /// It was or may have been sent; no complete reply came.
    Unknown(super::fault::Unknown),
}

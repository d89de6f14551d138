//! HTTP as plain values: what `http` sends and what the simulator answers, without a socket in sight.

/// An HTTP request as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRequest {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// Path and query, percent-encoded, from the base URL on (`/appointments?external_id=b-1`).
    pub path_and_query: String,
    /// `Idempotency-Key`, on creates.
    pub idempotency_key: Option<String>,
    /// `If-Match`, on updates where HealthFlow offers versions: an entity tag, with its quotes.
    pub if_match: Option<String>,
    /// JSON body; none on GET.
    pub body: Option<Vec<u8>>,
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

/// An HTTP reply as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireReply {
    /// Status code.
    pub status: u16,
    /// `Retry-After` as received: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// Body as received, up to the client's limit.
    pub body: Vec<u8>,
}

/// How the exchange ended when there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// Nothing was sent.
    NotSent(super::fault::NotSent),
    /// Sent, or perhaps sent; no complete reply.
    Unknown(super::fault::Unknown),
}

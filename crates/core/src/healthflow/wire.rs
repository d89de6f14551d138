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

/// How an exchange ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// Nothing was sent.
    NotSent(super::fault::NotSent),
    /// It was or may have been sent; no complete reply came.
    Unknown(super::fault::Unknown),
}

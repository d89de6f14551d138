//! What can go wrong with a call: one variant per decision, not per status code.

/// Why a call brought no good answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing was sent: the connection was refused, or the lease had run out (rule W2). Safe to send again.
    NotSent(NotSent),
    /// HealthFlow may or may not have carried it out. A write is now in doubt (rule W4); a read is just repeated.
    Unknown(Unknown),
    /// HealthFlow is over its limit: it did nothing; wait, and spend no attempt.
    Throttled {
        /// `Retry-After`, in milliseconds from the answer; none if HealthFlow gave none.
        retry_after_ms: Option<u64>,
    },
    /// 401: the credentials are refused: stop the account and alert; spend no attempt.
    Unauthorised,
    /// 403 in the contract's words: HealthFlow did nothing and will not, for this booking. It is tried again until its
    /// time is up; it is the account's only where several practices hear it in a row.
    Forbidden,
    /// HealthFlow answers in the contract's words that it will never accept this: final.
    Refused {
        /// The status it came under.
        status: u16,
        /// The fields it names, with its rule codes; never values.
        fields: Vec<String>,
    },
    /// What the request names does not exist (404, 410): the link or the placement may be gone (rule W6).
    NotFound(Missing),
    /// 409: what was asked for exists already.
    AlreadyThere {
        /// Its id, if HealthFlow names it.
        existing_id: Option<String>,
    },
    /// 409: another appointment has that slot. Final for a first request; says nothing about an earlier one of ours.
    SlotTaken,
    /// 412: the request names another revision than the current one: nothing was done.
    Changed,
    /// The idempotency key was used with another body: an earlier request of ours arrived (rule W5).
    KeyReused,
}

impl Fault {
    /// Whether the call failed for what the whole account or the worker itself lacked: the booking has no part in it, spends no
    /// attempt, and is asked for again as soon as that may be.
    pub const fn spends_no_attempt(&self) -> bool {
        matches!(self, Fault::NotSent(NotSent::LeaseOver) | Fault::Throttled { .. } | Fault::Unauthorised)
    }
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotSent {
    /// No connection: refused, unreachable, name not resolved, TLS failed, or no connection in time.
    Connect,
    /// The lease of the task, or the permit of the call, had run out right before the socket (rule W2).
    LeaseOver,
}

/// What HealthFlow answers does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The patient that the appointment is for.
    Patient,
    /// The appointment itself.
    Appointment,
}

/// How a call ended so that its effect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// No answer in time.
    Timeout,
    /// The connection broke after sending.
    Reset,
    /// A 5xx answer: the effect may have happened before the error.
    ServerError,
    /// 503 with `Retry-After`: as a 5xx, and all calls wait.
    Unavailable {
        /// `Retry-After`, in milliseconds from the answer.
        retry_after_ms: u64,
    },
    /// A good answer that cannot be read: not JSON, no id in it.
    Unreadable,
    /// An answer that is neither good nor in the contract's words: from a proxy, or something else at that address. It says
    /// nothing about what HealthFlow did.
    Foreign {
        /// The status it came under.
        status: u16,
    },
}

//! Why the shared counter does not answer.

use crate::coded::coded;

coded! {
    /// Why an ask came to nothing; the code is the metric label, and has its row in `docs/runbook.md`.
    pub enum CounterTrouble {
        /// No answer came in time.
        NoAnswer = "no_answer",
        /// There is no connection.
        Unreachable = "unreachable",
        /// Its certificate is not trusted, or it speaks no TLS.
        Tls = "tls",
        /// It refuses user or password.
        WrongPassword = "wrong_password",
        /// A file of ours that is needed cannot be read, or holds nothing usable.
        UnreadableFile = "unreadable_file",
        /// The user lacks a right.
        NoPermission = "no_permission",
        /// It takes no writes: a replica.
        ReadOnly = "read_only",
        /// It is loading its data.
        Starting = "starting",
        /// It refuses the ask for another reason.
        Refused = "refused",
    }
}

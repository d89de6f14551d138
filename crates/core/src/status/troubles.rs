//! What a worker waits for before it works, and what goes wrong with HealthFlow: causes in words, without patients.

use serde::{Deserialize, Serialize};

use crate::coded::coded;
use crate::time::Timestamp;

coded! {
    /// A step of a start that may have to wait; the code is the name on the status page and the metric label.
    pub enum StartStep {
        /// For a broker that answers.
        Brokers = "brokers",
        /// To see what our Kafka user may do.
        Rights = "rights",
        /// To see that topics and schemas are as they must be.
        Topics = "topics",
        /// To compare the clocks.
        Clock = "clock",
        /// For the cluster's name, which goes with the worker's.
        Name = "name",
        /// To see that the state belongs to this fleet.
        Fleet = "fleet",
        /// To read what operators set by hand.
        Controls = "controls",
    }
}

/// What a start waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartWait {
    /// At which step.
    pub step: StartStep,
    /// Why, in one line.
    pub why: String,
    /// Since when it waits at this step.
    pub since: Timestamp,
}

/// Calls of HealthFlow that fail, or are answered in a way that nobody expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthFlowTrouble {
    /// The latest cause, in one line: refused, name unknown, the certificate's rule, no answer, or a status and the template of the path.
    pub cause: String,
    /// Since when calls go wrong, whatever the cause.
    pub since: Timestamp,
    /// When one did last.
    pub last_at: Timestamp,
    /// How many did.
    pub times: u64,
}

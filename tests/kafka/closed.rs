//! What a rig leaves behind at the end of its test.

use healthflow_core::event::result::ResultEnvelope;
use serde_json::{Value, json};

/// What this test's rig has left once all its processes have ended.
pub struct Closed {
    pub results: Vec<ResultEnvelope>,
    pub appointments: Vec<Value>,
    pub patients: Vec<Value>,
    pub writes: Vec<Value>,
}

impl Closed {
    /// How many writes of this kind HealthFlow carried out.
    pub fn carried_out(&self, operation: &str) -> usize {
        let done = |write: &&Value| write["operation"] == operation && write["effect"] != json!("nothing");
        self.writes.iter().filter(done).count()
    }
}

//! The record that no process survives which decodes it: what reading with care is for (rule K6).

use healthflow_core::event::{Arrival, Unusable};
use healthflow_core::sync::FailureReason;

use crate::lives::Publication;
use crate::plan::Plan;
use healthflow_proof::random::Random;

/// What ends a process that decodes it.
pub const VALUE: [u8; 2] = [0xde, 0xad];

/// Whether this life has such a record. A chance of its own: other lives stay as they are.
pub fn is_in(seed: u64) -> bool {
    Random::new(seed.wrapping_mul(31) + 7).chance(0.03)
}

/// The record.
pub fn record(plan: &Plan) -> Publication {
    let at = plan.any_moment(&mut Random::new(plan.seed.wrapping_mul(17) + 3));
    let (raw_key, raw_value) = (Some(b"pr-0".to_vec()), Some(VALUE.to_vec()));
    let (reason, detail) = (FailureReason::Undecodable, "nobody lives to say".into());
    let named = Default::default();
    let unusable = Unusable { raw_key, raw_value, reason, detail, identity: None, named, decision_id: None };
    Publication { at, partition: 0, strays_to: None, arrival: Arrival::Unusable(Box::new(unusable)) }
}

/// Whether a process ends that decodes this.
pub fn kills(arrival: &Arrival) -> bool {
    let Arrival::Unusable(unusable) = arrival else { return false };
    unusable.raw_value.as_deref() == Some(&VALUE[..]) && unusable.reason != FailureReason::CrashSuspect
}

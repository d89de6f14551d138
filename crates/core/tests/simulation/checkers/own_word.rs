//! Rule W3: a booking is rejected only in HealthFlow's own words. What something between says is not one of them.

use healthflow_core::sync::FailureReason;

use crate::world::World;

pub fn broken(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    for (key, versions) in &world.judges.one_result.verdicts {
        let rejected = versions.iter().find(|(_, verdict)| {
            matches!(verdict.outcome, Err(FailureReason::Rejected | FailureReason::SlotTaken))
        });
        if let Some((version, verdict)) = rejected
            && !world.healthflow.refused.contains(key)
        {
            broken.push(format!(
                "{key} v{version} got {:?}, and HealthFlow refused nothing of it",
                verdict.outcome
            ));
        }
    }
    broken
}

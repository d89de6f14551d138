//! How the front desk ends each review, planned like everything else, so that the audit knows what each decision must lead to.

use healthflow_core::event::requested::RequestedStatus;
use healthflow_core::time::Timestamp;
use healthflow_proof::random::Random;

use super::people::{ChartNumber, Doubt, Scenario};
use super::{Expected, Publication};

/// Who decides the reviews of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    /// Nobody: they stay open.
    Absent,
    /// Somebody who does each thing that can be done once, and leaves the rest to newer versions.
    Orderly,
    /// Chance: whatever the reason allows, each in its turn.
    Random,
}

/// How a review ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not at all.
    Open,
    /// A person decides that the patient is this one.
    Linked(ChartNumber),
    /// A person decides that HealthFlow does not have the patient yet.
    New,
    /// A person decides not to book it.
    Rejected,
    /// A newer version of the booking names the chart.
    Named(ChartNumber),
    /// A newer version of the booking cancels it.
    Cancelled,
}

impl Ending {
    /// How `desk` ends the review number `nth`, whose candidates begin at `first`.
    pub(super) fn plan(desk: Desk, nth: usize, first: ChartNumber, random: &mut Random) -> Ending {
        let doubt = Doubt::of(nth);
        match desk {
            Desk::Absent => Ending::Open,
            // The first three are one of each kind of doubt, and each is decided rightly.
            Desk::Orderly => match (nth, doubt) {
                (0, _) => Ending::Linked(first),
                (1, _) => Ending::New,
                (2, _) => Ending::Rejected,
                (_, Doubt::Twice) => Ending::Named(first),
                _ => Ending::Cancelled,
            },
            // In turn, so that even a short run has each; the three doubts come in another turn.
            Desk::Random => match (nth % 5, doubt) {
                (0, _) => Ending::Linked(first + random.below(doubt.charts())),
                (1, _) => Ending::New,
                (2, _) => Ending::Rejected,
                // Only of such a chart the worker believes a bare id.
                (3, Doubt::Twice) => Ending::Named(first),
                _ => Ending::Cancelled,
            },
        }
    }

    /// The newer version of `asked` that ends its review so, if one does.
    pub(super) fn newer(self, asked: &Publication) -> Option<Publication> {
        let (scenario, status) = match self {
            Ending::Named(chart) => (Scenario::Known(chart), asked.event.status),
            Ending::Cancelled => (asked.scenario, RequestedStatus::Cancelled),
            Ending::Open | Ending::Linked(_) | Ending::New | Ending::Rejected => return None,
        };
        let mut newer = Publication { at_ms: 0, scenario, expected: Expected::Synced, ..asked.clone() };
        newer.event.version += 1;
        newer.event.status = status;
        newer.event.requested_at = Timestamp(0);
        newer.event.event_id = format!("{}-newer", asked.event.event_id).into();
        Some(newer)
    }
}

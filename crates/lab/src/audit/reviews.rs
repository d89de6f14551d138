//! Whether reviews ended, and each as it was decided.

use healthflow_core::event::result::ResultOutcome;

use super::Audit;
use crate::journal::{Asked, SeenResult, that_counts};
use crate::workload::Expected;
use crate::workload::desk::Ending;

/// Counts how the review of a version ended, or that it did not.
pub(super) fn audit_review(asked: &Asked, results: &[&SeenResult], audit: &mut Audit) {
    let is_open = that_counts(results).is_some_and(|result| result.outcome == ResultOutcome::Review);
    if is_open && asked.expected != Expected::Review(Ending::Open) {
        audit.wrong.open_reviews += 1;
        audit.example(format!("{:?} is still in review", asked.name));
    }
    let Expected::Review(ending) = asked.expected else { return };
    audit.reviews.asked += 1;
    if is_open {
        return;
    }
    match ending {
        Ending::Open => {}
        Ending::Linked(_) => audit.reviews.linked += 1,
        Ending::New => audit.reviews.new += 1,
        Ending::Rejected => audit.reviews.rejected += 1,
        Ending::Named(_) | Ending::Cancelled => audit.reviews.by_newer_version += 1,
    }
}

/// Whether a person was asked, and the version ended as was decided, if it ended.
pub(super) fn is_right(ending: Ending, results: &[&SeenResult]) -> bool {
    let was_asked = results.iter().any(|result| result.outcome == ResultOutcome::Review);
    let ended = results.iter().find(|result| result.is_final);
    was_asked
        && ended.is_none_or(|result| match ending {
            Ending::Open => false,
            Ending::Linked(_) | Ending::New => result.outcome == ResultOutcome::Created,
            Ending::Rejected => {
                result.outcome == ResultOutcome::Failed
                    && result.reason.as_deref() == Some("REJECTED_IN_REVIEW")
            }
            Ending::Named(_) | Ending::Cancelled => result.outcome == ResultOutcome::Superseded,
        })
}

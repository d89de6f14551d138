//! What must hold of results: promises 1 and 4, and rule K11.

use std::collections::BTreeMap;
use std::fmt::Debug;

use healthflow_core::sync::{FailureReason, SyncedOutcome};

/// How a version ended, as subscribers see it.
pub type Outcome = Result<SyncedOutcome, FailureReason>;

/// Promise 1: every version has a result once all is at rest, or waits for a person. Returns those that are lost.
pub fn lost<N>(
    asked: impl Iterator<Item = N>,
    has_result: impl Fn(&N) -> bool,
    waits_for_a_person: impl Fn(&N) -> bool,
) -> impl Iterator<Item = N> {
    asked.filter(move |one| !has_result(one) && !waits_for_a_person(one))
}

/// Promise 4: every subject gets exactly one final result, unless a redrive accounts for another one (rule K10). Adds
/// `result` of `subject` to `results`; returns what it violates.
pub fn one_result<S: Ord, R: Debug>(
    results: &mut BTreeMap<S, R>,
    subject: S,
    result: R,
    is_redriven: impl FnOnce(&R, &R) -> bool,
) -> Option<String> {
    let broken = results
        .get(&subject)
        .filter(|first| !is_redriven(first, &result))
        .map(|first| format!("got {result:?} after {first:?}"));
    results.insert(subject, result);
    broken
}

/// Rule K11: if a front desk takes only legal steps, no visit is lost because of a slot that another booking of ours
/// was to free. Returns the versions that are lost so.
pub fn slots_lost<N>(results: impl Iterator<Item = (N, Outcome)>) -> impl Iterator<Item = N> {
    results.filter(|(_, outcome)| *outcome == Err(FailureReason::SlotTaken)).map(|(name, _)| name)
}

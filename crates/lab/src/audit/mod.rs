//! The audit: compares what exists in HealthFlow, and the results that DentScheduler saw, with what was asked, by the
//! promises that all proofs share (`healthflow-proof`). Pure arithmetic that shares nothing with the processor it
//! checks.

mod records;
pub mod report;
mod reviews;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use healthflow_core::event::result::ResultOutcome;
use healthflow_core::time::Timestamp;
use healthflow_proof::promises::results::{lost, one_result};
use serde::Serialize;

use crate::healthflow::{Ledger, Totals};
use crate::journal::{Asked, Name, Notes, SeenResult, that_counts};
use crate::workload::{Expected, Publication};

/// Examples of what is wrong that are kept, to look into.
const EXAMPLES_MAX: usize = 20;

/// What the audit found. Everything in `Wrong` must be zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Audit {
    /// Versions of bookings and poisoned records that were published; each asks for one result.
    pub asked: usize,
    /// Of these, ended well.
    pub synced: usize,
    /// Waiting for a person's decision, in question or behind.
    pub review: usize,
    /// What became of the versions that a person was asked about.
    pub reviews: Reviews,
    /// Dead letters.
    pub failed: usize,
    /// Without any result.
    pub waiting: usize,
    /// What must be zero.
    #[serde(flatten)]
    pub wrong: Wrong,
    /// Results of versions that ended well, from published to seen by DentScheduler (seconds): half are faster.
    pub confirm_seconds_p50: f64,
    /// 99 of 100 are faster.
    pub confirm_seconds_p99: f64,
    /// Of those whose whole wait saw no chaos.
    pub confirm_seconds_p50_calm: f64,
    /// See `confirm_seconds_p50_calm`.
    pub confirm_seconds_p99_calm: f64,
    /// How many those are.
    pub calm: usize,
    /// Records published more than once upstream; no result must come of them.
    pub published_again: usize,
    /// Appointments that exist.
    pub appointments: usize,
    /// Patients that exist.
    pub patients: usize,
    /// Of these, created by the workload's bookings.
    pub patients_created: usize,
    /// Requests that reached HealthFlow.
    pub requests: u64,
    /// The most in one second.
    pub requests_per_second_peak: u64,
    /// Of all, answered 429.
    pub requests_throttled: u64,
    /// Writes that got no answer.
    pub writes_unanswered: u64,
    /// Creates that HealthFlow recognised as repeated and did not carry out again.
    pub creates_replayed: u64,
    /// What is wrong, in words.
    pub examples: Vec<String>,
}

/// What became of the versions that a person was asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reviews {
    /// How many there were.
    pub asked: usize,
    /// Booked in the chart that a person named.
    pub linked: usize,
    /// Booked for a patient who was created.
    pub new: usize,
    /// Not booked, as a person decided.
    pub rejected: usize,
    /// Ended by a newer version of their booking.
    pub by_newer_version: usize,
}

/// What must be zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// Reviews that had to end and did not; versions that wait behind one.
    pub open_reviews: usize,
    /// Appointments too many: of one booking, all but the first.
    pub duplicate_appointments: usize,
    /// Patients too many: of one person, all but the first.
    pub duplicate_patients: usize,
    /// Appointments whose patient does not exist in their practice.
    pub orphans: usize,
    /// Bookings that should exist in HealthFlow and do not.
    pub missing: usize,
    /// Results too many: of one version, all but the first.
    pub duplicate_results: usize,
    /// Appointments that do not show the newest version, or are of another patient.
    pub wrong_content: usize,
    /// Versions with another result than the expected one; results of versions that were not asked for.
    pub wrong_outcome: usize,
}

/// When something was broken on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
}

/// What the audit looks at.
pub struct Evidence<'a> {
    /// The plan.
    pub publications: &'a [Publication],
    /// HealthFlow's ids of the charts that were there before, in their order.
    pub chart_ids: &'a [String],
    /// What was asked, and which results were seen.
    pub notes: &'a Notes,
    /// What exists in HealthFlow.
    pub ledger: &'a Ledger,
    /// What the simulator counted.
    pub totals: &'a Totals,
    /// When something was broken on purpose.
    pub chaos: &'a [Span],
}

impl Audit {
    /// Whether nothing is wrong and nothing is left over.
    pub fn is_clean(&self) -> bool {
        self.wrong == Wrong::default() && self.waiting == 0
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }
}

/// Audits.
pub fn audit(evidence: &Evidence) -> Audit {
    let mut audit = Audit {
        requests: evidence.totals.requests,
        requests_per_second_peak: evidence.totals.peak_requests_per_second,
        requests_throttled: evidence.totals.throttled,
        writes_unanswered: evidence.totals.writes_unanswered,
        creates_replayed: evidence.totals.replayed,
        appointments: evidence.ledger.appointments.len(),
        patients: evidence.ledger.patients.len(),
        patients_created: evidence.ledger.patients.iter().filter(|patient| !patient.seeded).count(),
        published_again: evidence.publications.iter().filter(|one| one.expected == Expected::Nothing).count(),
        ..Audit::default()
    };
    audit_results(evidence.notes, &mut audit);
    audit_confirmations(evidence, &mut audit);
    records::audit_records(evidence, &mut audit);
    audit
}

fn audit_results(notes: &Notes, audit: &mut Audit) {
    let by_name = notes.results_by_name();
    let asked: BTreeSet<&Name> = notes.asked.iter().map(|asked| &asked.name).collect();
    let count = notes.count();
    (audit.asked, audit.synced, audit.review, audit.failed) =
        (count.asked, count.synced, count.review, count.failed);
    // A version that waits for a person has a result that says so.
    let lost = lost(notes.asked.iter(), |asked| by_name.contains_key(&asked.name), |_| false);
    for asked in lost {
        audit.waiting += 1;
        audit.example(format!("{:?} waits", asked.name));
    }
    for (name, results) in &by_name {
        if !asked.contains(name) {
            audit.wrong.wrong_outcome += results.len();
            audit.example(format!("a result about {name:?}, which was not asked for"));
            continue;
        }
        let mut first = BTreeMap::new();
        // The end of a review follows it, wherever it is read. No run redrives anything.
        let (open, ended): (Vec<&SeenResult>, Vec<&SeenResult>) =
            results.iter().partition(|one| !one.is_final);
        let follows = |before: &ResultOutcome, after: &ResultOutcome| {
            *before == ResultOutcome::Review && *after != ResultOutcome::Review
        };
        let more = open
            .into_iter()
            .chain(ended)
            .filter_map(|result| one_result(&mut first, name, result.outcome, follows));
        for what in more {
            audit.wrong.duplicate_results += 1;
            audit.example(format!("{name:?} {what}"));
        }
    }
    let newest = newest_versions(&notes.asked);
    for asked in &notes.asked {
        let Some(results) = by_name.get(&asked.name) else { continue };
        reviews::audit_review(asked, results, audit);
        if !is_right(asked, results, &newest) {
            audit.wrong.wrong_outcome += 1;
            let ends: Vec<_> = results.iter().map(|one| (one.outcome, one.reason.as_deref())).collect();
            audit.example(format!("{:?} ended {ends:?}", asked.name));
        }
    }
}

/// Of each booking, the newest version that is valid.
fn newest_versions(asked: &[Asked]) -> HashMap<&healthflow_core::booking::BookingKey, i64> {
    let mut newest = HashMap::new();
    for asked in asked {
        if let Name::Version(booking, version) = &asked.name {
            let known = newest.entry(booking).or_insert(*version);
            *known = (*known).max(*version);
        }
    }
    newest
}

fn is_right(
    asked: &Asked,
    results: &[&SeenResult],
    newest: &HashMap<&healthflow_core::booking::BookingKey, i64>,
) -> bool {
    let is_newest = match &asked.name {
        Name::Version(booking, version) => newest.get(booking) == Some(version),
        Name::Record(..) | Name::Decision(_) | Name::Nothing => true,
    };
    let Some(result) = that_counts(results) else { return true };
    let failed_with =
        |reason: &str| result.outcome == ResultOutcome::Failed && result.reason.as_deref() == Some(reason);
    match asked.expected {
        Expected::Review(ending) => reviews::is_right(ending, results),
        Expected::Poisoned(poison) => failed_with(poison.reason()),
        Expected::Refused(reason) => failed_with(reason),
        Expected::Nothing => false,
        Expected::Synced => match result.outcome {
            ResultOutcome::Superseded => !is_newest,
            ResultOutcome::Created
            | ResultOutcome::Updated
            | ResultOutcome::Cancelled
            | ResultOutcome::Unchanged => results.iter().all(|result| result.is_final),
            ResultOutcome::Review | ResultOutcome::Failed | ResultOutcome::Unknown => false,
        },
    }
}

fn audit_confirmations(evidence: &Evidence, audit: &mut Audit) {
    let by_name = evidence.notes.results_by_name();
    let (mut all, mut calm) = (Vec::new(), Vec::new());
    for asked in evidence.notes.asked.iter().filter(|asked| asked.expected == Expected::Synced) {
        let Some(result) = by_name.get(&asked.name).and_then(|results| results.first()) else { continue };
        let wait_ms = result.at.since_ms(asked.at);
        all.push(wait_ms);
        if evidence.chaos.iter().all(|span| result.at < span.from || asked.at > span.until) {
            calm.push(wait_ms);
        }
    }
    audit.calm = calm.len();
    (audit.confirm_seconds_p50, audit.confirm_seconds_p99) =
        (seconds(&mut all, 0.5), seconds(&mut all, 0.99));
    (audit.confirm_seconds_p50_calm, audit.confirm_seconds_p99_calm) =
        (seconds(&mut calm, 0.5), seconds(&mut calm, 0.99));
}

/// The value below which a `share` of `waits_ms` lies, in seconds; 0 if there are none.
pub fn seconds(waits_ms: &mut [i64], share: f64) -> f64 {
    waits_ms.sort_unstable();
    let rank = (waits_ms.len() as f64 * share).ceil() as usize;
    waits_ms.get(rank.max(1) - 1).map_or(0.0, |wait_ms| *wait_ms as f64 / 1_000.0)
}

#[cfg(test)]
mod tests;

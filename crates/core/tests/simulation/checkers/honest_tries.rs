//! No version is given up for its age or its visit unless it was tried for so long: a deadline is no reason to end at the
//! first hiccup what came late. Judged by what went out on the wire, not by what a worker says of it.

use std::collections::BTreeMap;

use healthflow_core::booking::{
    Booking, BookingId, BookingKey, BookingStatus, PracticeId, Source, VersionKey,
};
use healthflow_core::event::{Outgoing, RetryEntry};
use healthflow_core::healthflow::{AppointmentId, Request, Sought};
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::retry::WaitReason;
use healthflow_core::sync::FailureReason;
use healthflow_core::time::Timestamp;

use crate::lives::Lives;
use crate::operators::Operators;
use crate::plan::Plan;

#[derive(Debug, Default)]
pub struct HonestTries {
    /// When requests went out, by whom they were for; none: somebody of that practice.
    sent: BTreeMap<(PracticeId, Option<BookingId>), Vec<i64>>,
    /// Whose appointment each is that was updated: a look at how it stands is for the same booking.
    owners: BTreeMap<AppointmentId, BookingKey>,
    /// When each version got its last dead letter: a redrive is tried anew.
    ended: BTreeMap<VersionKey, i64>,
    /// With how many attempts each version was parked last, and when.
    parked: BTreeMap<VersionKey, (u32, i64)>,
    /// From when to when each version waited for its next try: that is part of its age, be its practice paused meanwhile or not.
    waits: BTreeMap<VersionKey, Vec<(Timestamp, Timestamp)>>,
}

impl HonestTries {
    /// A request goes out.
    pub fn sent(&mut self, request: &Request, now: i64) {
        if let Request::UpdateAppointment { id, content, .. } = request {
            let (practice, booking) = (content.practice.clone(), content.booking.clone());
            self.owners.insert(id.clone(), BookingKey { practice, booking });
        }
        let whose = match request {
            Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
                (content.practice.clone(), Some(content.booking.clone()))
            }
            Request::FindAppointment { practice, sought: Sought::Reference(booking), .. } => {
                (practice.clone(), Some(booking.clone()))
            }
            Request::FindAppointment { practice, .. }
            | Request::SearchPatients { practice, .. }
            | Request::ReadPatient { practice, .. } => (practice.clone(), None),
            Request::CreatePatient { content, .. } => (content.practice.clone(), None),
            Request::ReadAppointment { id } => {
                let Some(BookingKey { practice, booking }) = self.owners.get(id).cloned() else { return };
                (practice, Some(booking))
            }
        };
        self.sent.entry(whose).or_default().push(now);
    }

    /// Takes in what a transaction made visible; what it breaks.
    pub fn commit(
        &mut self,
        batch: &CommitBatch,
        (lives, published_at): (&Lives, &BTreeMap<VersionKey, i64>),
        (plan, operators): (&Plan, &Operators),
        now: i64,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        for record in &batch.records {
            if let Outgoing::Retry(entry) = record {
                broken.extend(self.parked(entry, now));
            }
            let Outgoing::Failed(letter) = record else { continue };
            let Some(identity) = &letter.identity else { continue };
            let version = identity.version_key();
            let Some(booking) = lives.wanted.get(&version) else { continue };
            let published_at = published_at.get(&version).copied().unwrap_or(now);
            let tried_since = self.tried_since(booking, published_at);
            let what = match letter.reason {
                FailureReason::AgeExhausted => {
                    let waits = self.waits.get(&version).map_or(&[][..], Vec::as_slice);
                    let practice = &booking.key.practice;
                    let paused_ms =
                        tried_since.map_or(0, |since| operators.paused_ms(practice, waits, since, now));
                    too_young(tried_since, paused_ms, plan, now)
                }
                FailureReason::VisitBegun => too_soon(booking, tried_since, plan, now),
                _ => None,
            };
            broken.extend(what.map(|what| format!("{version} is given up {what}")));
            self.ended.insert(version, now);
        }
        broken
    }

    /// A version is parked. For a pause it has no attempt more than before if nothing of its practice was sent since.
    fn parked(&mut self, entry: &RetryEntry, now: i64) -> Option<String> {
        let (version, attempts) = (entry.booking.version_key(), entry.schedule.attempts);
        let practice = &version.booking.practice;
        let wait = (Timestamp(now), entry.schedule.not_before);
        self.waits.entry(version.clone()).or_default().push(wait);
        let (before, at) = self.parked.insert(version.clone(), (attempts, now))?;
        let of_practice = self.sent.range((practice.clone(), None)..);
        let of_practice = of_practice.take_while(|((of, _), _)| of == practice);
        let is_idle = of_practice.flat_map(|(_, times)| times.last()).all(|sent| *sent < at);
        let is_paused = &*entry.schedule.last_error == WaitReason::Paused.code();
        (is_paused && is_idle && attempts > before)
            .then(|| format!("{version} had {before} attempts and has {attempts} for a pause"))
    }

    /// When the first request went out that may have been for this version, since it was last given up.
    fn tried_since(&self, booking: &Booking, published_at: i64) -> Option<i64> {
        let from = self.ended.get(&booking.version_key()).copied().unwrap_or(0);
        let BookingKey { practice, booking: id } = &booking.key;
        let of = |whose: Option<BookingId>| self.sent.get(&(practice.clone(), whose));
        let times = of(Some(id.clone())).into_iter().chain(of(None)).flatten();
        times.copied().filter(|at| *at >= from.max(published_at)).min()
    }
}

/// One worker's clock says when an attempt failed first, another's that it is too late. One that is days ahead takes a record
/// up before its time, and the wait that it cut short counts in full.
fn tolerance_ms(plan: &Plan) -> i64 {
    let cut_short_ms =
        if plan.faults.wrong_clock_every_ms > 0 { plan.settings.retry_backoff_max_ms } else { 0 };
    2 * plan.skew_max_ms + cut_short_ms
}

fn too_young(tried_since: Option<i64>, paused_ms: i64, plan: &Plan, now: i64) -> Option<String> {
    let age_ms = tried_since.map_or(0, |since| now - since - paused_ms);
    let least_ms = plan.settings.retry_max_age_ms - tolerance_ms(plan);
    (age_ms < least_ms).then(|| format!("for its age after {age_ms} ms"))
}

fn too_soon(booking: &Booking, tried_since: Option<i64>, plan: &Plan, now: i64) -> Option<String> {
    let start = booking.visit.start.0;
    let tolerance_ms = tolerance_ms(plan);
    if booking.source != Source::Live || booking.status != BookingStatus::Scheduled {
        Some("for its visit, which it is not about".to_owned())
    } else if booking.requested_at.0 >= start {
        Some("for its visit, which had begun when it was asked for".to_owned())
    } else if now < start + plan.settings.retry_visit_grace_ms - tolerance_ms {
        Some("before the grace after its visit began is over".to_owned())
    } else if tried_since.is_none_or(|since| since > start + tolerance_ms) {
        Some("for its visit, before which it was not tried".to_owned())
    } else {
        None
    }
}

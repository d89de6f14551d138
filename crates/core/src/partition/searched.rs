//! What a search for a patient finds, page by page. Without the limits here a search that finds too much, or fails again and
//! again, would keep its booking for ever.

use crate::booking::BookingKey;
use crate::fact::Fact;
use crate::healthflow::pages::Endless;
use crate::healthflow::{Answer, Fault, Reply};
use crate::partition::job::{Flight, Job};
use crate::partition::rules;
use crate::partition::task::Task;
use crate::partition::turn::Turn;
use crate::retry::WaitReason;
use crate::sync::FailureReason;

impl Task {
    /// Takes in a page of a search for a patient, or its failure.
    pub(super) fn searched(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        flight: &Flight,
        reply: Reply,
        turn: &mut Turn<'_>,
    ) {
        match reply {
            Ok(Answer::Patients { found, next_cursor }) => {
                match job.pages.take_in(found, next_cursor, turn.settings.search_pages_max) {
                    Ok(None) => {}
                    Ok(Some(found)) => {
                        if let Some(search) = &mut job.search {
                            search.learn(found);
                        }
                    }
                    Err(Endless) => self.too_wide(key, job, flight, turn),
                }
            }
            Err(fault) if fault.spends_no_attempt() => {}
            Err(Fault::Refused { fields, .. }) => {
                self.reject_version(key, job, flight, FailureReason::Rejected, &fields, turn);
            }
            Ok(_) => self.read_failed(key, job, WaitReason::Unreadable, turn),
            Err(fault) => self.read_failed(key, job, WaitReason::from(&fault), turn),
        }
    }

    /// A pass finds more than is read. Asking for it again would find as many.
    fn too_wide(&mut self, key: &BookingKey, job: &mut Job, flight: &Flight, turn: &mut Turn<'_>) {
        if !rules::is_narrowed(turn.settings) {
            return self.read_failed(key, job, WaitReason::Unreadable, turn);
        }
        let has_references = turn.settings.guard.has_references();
        let patient =
            flight.version.and_then(|version| job.versions.get(&version)).map(|asked| &asked.booking.patient);
        let (Some(patient), Some(search)) = (patient, &mut job.search) else { return };
        let Some(pass) = search.next_pass(patient, has_references) else { return };
        turn.facts.push_back(Fact::SearchTooWide { key: key.clone(), pass: pass.kind() });
        search.too_wide(&pass);
    }

    /// A read of the flow failed in a way that may pass: the search begins anew at the next attempt.
    pub(super) fn read_failed(
        &mut self,
        key: &BookingKey,
        job: &mut Job,
        why: WaitReason,
        turn: &mut Turn<'_>,
    ) {
        job.forget_search();
        self.try_again_later(key, job, why, turn.now, turn);
    }
}

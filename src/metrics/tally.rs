//! Counts facts: one exhaustive match, so that a new fact cannot be forgotten here.

use crate::metrics::Catalogue;
use healthflow_core::booking::Source;
use healthflow_core::booking::check::is_a_wait;
use healthflow_core::fact::{DropCause, Fact};
use healthflow_core::life::Loss;
use healthflow_core::limits::rejection_storm::StormChange;
use healthflow_core::limits::shared_counter::Change;
use healthflow_core::retry::WaitReason;
use healthflow_core::status::ControlScope;

impl Catalogue {
    /// Counts `fact`.
    pub fn count(&self, fact: &Fact) {
        match fact {
            Fact::TaskAcquired { .. }
            | Fact::TaskReleased { .. }
            | Fact::TaskDropped { .. }
            | Fact::TransactionCommitted { .. }
            | Fact::PositionLost { .. } => self.count_task(fact),
            Fact::BookingSynced { outcome, source, end_to_end_ms, .. } => {
                self.bookings.synced.with_label_values(&[outcome.code().to_lowercase()]).inc();
                self.measure_confirmation(source_name(*source), *end_to_end_ms);
            }
            Fact::BookingFailed { reason, disposition, .. } => {
                self.bookings.failed.with_label_values(&[reason.code(), disposition.code()]).inc();
            }
            Fact::BookingHeld { .. }
            | Fact::DecisionTaken { .. }
            | Fact::BookingReleased { .. }
            | Fact::ReviewLookedAt { .. }
            | Fact::ReviewUrgent { .. } => self.count_review(fact),
            Fact::BookingParked { .. }
            | Fact::BookingReparked { .. }
            | Fact::SlotAwaited { .. }
            | Fact::SlotAwaitedInVain { .. }
            | Fact::NoticeWritten { .. }
            | Fact::PromiseEnded { .. }
            | Fact::WrittenFirst { .. } => self.count_wait(fact),
            Fact::DuplicateSkipped { .. } | Fact::AnswerForgotten { .. } => self.count_copy(fact),
            Fact::RecordForwarded { origin, .. } => {
                self.inputs.forwarded.with_label_values(&[origin.lane.topic()]).inc();
            }
            Fact::LinkChanged { how, .. } => {
                self.bookings.links_changed.with_label_values(&[how.code()]).inc()
            }
            Fact::BookingReopened { .. } => self.bookings.reopened.inc(),
            Fact::BookingsForgotten { count, .. } => self.bookings.forgotten.inc_by(*count),
            Fact::CallSent { .. }
            | Fact::CallAnswered { .. }
            | Fact::ForeignAnswer { .. }
            | Fact::SearchTooWide { .. } => self.count_call(fact),
            // Counted by its class already.
            Fact::CallForbidden { .. }
            | Fact::CallThrottled { .. }
            | Fact::LimitUnknown { .. }
            | Fact::QuotaRunsOut(_)
            | Fact::ReadsFail { .. }
            | Fact::ReadsAnswered { .. }
            | Fact::KeyMisrouted { .. } => {}
            Fact::DoubtOpened { .. } | Fact::DoubtSettled { .. } | Fact::DuplicateFound { .. } => {
                self.count_doubt(fact);
            }
            Fact::EditOverwritten { .. } => self.calls.edits.inc(),
            Fact::BreakerOpened { .. }
            | Fact::BreakerProbeFailed
            | Fact::BreakerClosed { .. }
            | Fact::StormChanged(_)
            | Fact::ControlChanged { .. }
            | Fact::CounterChanged(_)
            | Fact::AccountPaused { .. } => self.count_outage(fact),
        }
    }

    fn count_call(&self, fact: &Fact) {
        match fact {
            Fact::CallSent { operation } => self.calls.sent.with_label_values(&[operation.code()]).inc(),
            Fact::CallAnswered { operation, fault, elapsed_ms } => {
                self.calls.answered.with_label_values(&[operation.code(), call_class(*fault)]).inc();
                self.calls.seconds.with_label_values(&[operation.code()]).observe(seconds(*elapsed_ms));
            }
            Fact::ForeignAnswer { status, .. } => {
                self.calls.foreign.with_label_values(&[status_class(*status)]).inc();
            }
            Fact::SearchTooWide { pass, .. } => {
                self.calls.searches_too_wide.with_label_values(&[pass.code()]).inc()
            }
            _ => {}
        }
    }

    fn count_doubt(&self, fact: &Fact) {
        match fact {
            Fact::DoubtOpened { operation, .. } => {
                self.doubts.opened.with_label_values(&[operation.code()]).inc();
            }
            Fact::DoubtSettled { found, .. } => {
                self.doubts.settled.with_label_values(&[found_name(*found)]).inc();
            }
            Fact::DuplicateFound { what, .. } => {
                self.doubts.duplicates.with_label_values(&[what.code()]).inc()
            }
            _ => {}
        }
    }

    fn count_outage(&self, fact: &Fact) {
        match fact {
            Fact::BreakerOpened { cause, .. } => self.breaker.opened.with_label_values(&[cause.code()]).inc(),
            Fact::BreakerProbeFailed => self.breaker.failed_probes.inc(),
            Fact::StormChanged(StormChange::Began { of, .. }) => {
                let scope =
                    if of.practice.is_some() { ControlScope::Practice } else { ControlScope::Account };
                self.rejection_storm.begun.with_label_values(&[scope.code(), of.operation.code()]).inc();
            }
            Fact::CounterChanged(Change::Away(why)) => {
                self.shared_counter.lost.with_label_values(&[why.code()]).inc();
            }
            Fact::AccountPaused { why, .. } => self.calls.pauses.with_label_values(&[why.code()]).inc(),
            Fact::ControlChanged { control } => {
                self.controls.changed.with_label_values(&[control.id.kind.code()]).inc();
            }
            _ => {}
        }
    }

    fn count_task(&self, fact: &Fact) {
        match fact {
            Fact::TaskAcquired { restored_records, restore_ms, open_intents, .. } => {
                self.tasks.acquired.inc();
                self.doubts.inherited.inc_by(*open_intents);
                self.tasks.restored_records.inc_by(*restored_records);
                self.tasks.restore_seconds.observe(seconds(*restore_ms));
            }
            Fact::TaskReleased { .. } => self.tasks.released.inc(),
            Fact::TransactionCommitted { records, aborts, elapsed_ms, .. } => {
                self.transactions.committed.inc();
                self.transactions.aborted.inc_by(u64::from(*aborts));
                self.transactions.records.inc_by(*records);
                self.transactions.seconds.observe(seconds(*elapsed_ms));
            }
            Fact::TaskDropped { why, .. } => self.tasks.dropped.with_label_values(&[drop_cause(*why)]).inc(),
            Fact::PositionLost { position, .. } => {
                let labels = [position.lane.topic(), loss(position.why)];
                self.inputs.positions_lost.with_label_values(&labels).inc();
            }
            _ => {}
        }
    }

    fn count_copy(&self, fact: &Fact) {
        match fact {
            Fact::DuplicateSkipped { differs, .. } => {
                self.bookings.duplicates.with_label_values(&[content(*differs)]).inc();
            }
            Fact::AnswerForgotten { .. } => self.bookings.answers_forgotten.inc(),
            _ => {}
        }
    }

    fn count_wait(&self, fact: &Fact) {
        match fact {
            Fact::BookingParked { .. } => self.bookings.waits.parked.inc(),
            Fact::BookingReparked { .. } => self.bookings.waits.reparked.inc(),
            Fact::SlotAwaited { .. } => self.bookings.waits.slots_awaited.inc(),
            Fact::SlotAwaitedInVain { is_cycle, .. } => self.bookings.waits.awaited_in_vain(*is_cycle),
            Fact::WrittenFirst { .. } => self.bookings.waits.written_first.inc(),
            Fact::NoticeWritten { kind, .. } => self.notices.is_written(*kind),
            Fact::PromiseEnded { late_ms } => self.notices.promise_ended(*late_ms),
            _ => {}
        }
    }

    fn count_review(&self, fact: &Fact) {
        match fact {
            Fact::BookingHeld { reason, .. } => self.bookings.held.with_label_values(&[reason.code()]).inc(),
            Fact::DecisionTaken { verdict, .. } => self.count_decision(verdict.code()),
            Fact::BookingReleased { .. } => self.bookings.released.inc(),
            Fact::ReviewLookedAt { .. } => self.reviews.looked_at.inc(),
            Fact::ReviewUrgent { .. } => self.reviews.became_urgent.inc(),
            _ => {}
        }
    }

    fn count_decision(&self, verdict: &str) {
        self.bookings.decisions.with_label_values(&[verdict]).inc();
    }

    fn measure_confirmation(&self, source: &str, waited_ms: i64) {
        if is_a_wait(waited_ms) {
            let waited_ms = waited_ms.max(0).unsigned_abs();
            self.bookings.confirmation.with_label_values(&[source]).observe(seconds(waited_ms));
        } else {
            self.bookings.unmeasured.with_label_values(&[source]).inc();
        }
    }
}

/// The label of a cause, in metrics and logs.
pub(super) const fn drop_cause(why: DropCause) -> &'static str {
    match why {
        DropCause::CommitLost => "commit_lost",
        DropCause::PartitionLost => "partition_lost",
        DropCause::LaneEnded { .. } => "lane_ended",
    }
}

/// The label of how a position was lost.
pub(super) const fn loss(why: Loss) -> &'static str {
    match why {
        Loss::OffsetForgotten => "offset_forgotten",
        Loss::RecordsDeleted => "records_deleted",
        Loss::TopicRecreated => "topic_made_anew",
    }
}

/// The label of how a repeated version compares with the first one.
pub(super) const fn content(differs: Option<bool>) -> &'static str {
    match differs {
        Some(true) => "differs",
        Some(false) => "same",
        None => "unknown",
    }
}

/// The label of how a call ended.
pub(super) fn call_class(fault: Option<WaitReason>) -> &'static str {
    fault.map_or("ok", WaitReason::code)
}

/// The label of what settling a doubt found.
pub(super) const fn found_name(found: Option<bool>) -> &'static str {
    match found {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unasked",
    }
}

/// The label of a status: its first digit, because the number of possible statuses has no bound.
const fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        3 => "3xx",
        4 => "4xx",
        _ => "other",
    }
}

const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Live => "live",
        Source::Backfill => "backfill",
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

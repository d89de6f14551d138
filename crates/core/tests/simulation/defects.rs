//! Defects planted between the processor and the world: what a worker would do that loses a part of a commit, asks the
//! broker in the wrong order, or does not look at its lease. Those inside the processor are in `crates/core/src/defects.rs`.

use healthflow_core::event::Outgoing;
use healthflow_core::healthflow::Request;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::settings::Settings;
use healthflow_core::state::{BookingState, StateRecord, Suspicion, VersionSet};
use healthflow_core::topics::Lane;

/// A defect of the shell around the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted-defects"), expect(dead_code, reason = "planted by `make defects` only"))]
pub enum Defect {
    /// Intents are not written (W1).
    NoIntent,
    /// State names one parked version a booking (K4).
    OneParkingSlot,
    /// State does not say which version was intended (K5).
    NewestForgotten,
    /// Answered versions are one number (K5).
    AnsweredAsOneNumber,
    /// Records of the retry topic are lost.
    RetryRecordLost,
    /// A transaction that was aborted is begun again without its retry records (T3).
    RetryRecordLostOnAbort,
    /// The offset is one record ahead (K3).
    OffsetTooEarly,
    /// Results go out in a transaction of their own (T2).
    ResultsApart,
    /// The lease is checked before the permit and the queue only, not last (W2).
    LeaseCheckedEarly,
    /// The margin is left out of the last check (W2).
    MarginNotKept,
    /// The lease is measured by a clock that somebody can set (W2).
    LeaseByWallClock,
    /// A commit without records asks nobody (W2).
    EmptyRenewal,
    /// State is restored before the old owner is fenced (K1).
    RestoreBeforeFence,
    /// A commit with an unknown end is taken for good (T3).
    UnknownTakenForGood,
    /// A commit with an unknown end is taken for failed, and made again (T3).
    UnknownTakenForFailed,
    /// A commit that is good over a broken connection is taken for good (T3).
    BrokenConnectionTakenForGood,
    /// A lost task is initialised anew and goes on with its memory (T3).
    MemorySurvivesInit,
    /// An aborted transaction is begun again with the calls that its results tell of (T3).
    RecommitCallsAgain,
    /// The doubt about a write stands in the retry record, not in the state of its booking (W5).
    DoubtInRecord,
    /// A record that belongs to another partition is worked on where it lies (K8).
    MisroutedTakenHere,
    /// A record that belongs to another partition is passed over (K8).
    MisroutedPassedOver,
    /// How often a booking was near when a worker died is forgotten (K6).
    SuspicionForgotten,
    /// A position is believed whatever the topic (K9).
    PositionOfAnyTopic,
    /// Versions whose retry record is gone are waited for (K9).
    LostRecordsPassedOver,
    /// A record that waits for its schema is not told of (K3).
    DelayUntold,
    /// A lane that ends under a task at work is not told (K9).
    EndedLaneUnnoticed,
    /// A lane that was paused when its task ended stays so for the next life in the same process (K2).
    PauseOutlivesTask,
    /// The idempotency key depends on what is sent (W6).
    ContentInKey,
    /// Updates name no revision, though it is counted on (W5).
    IfMatchLeftOut,
    /// A shared counter that forgot everything gives permits at once.
    CounterBeginsWithBurst,
    /// The shared counter gives others the share of a worker that may be on its own.
    SilentShareKept,
    /// Doubts are settled at once (W4).
    NoQuietTime,
    /// The search's lag is left out of the quiet time (W4).
    QuietTimeWithoutLag,
    /// A request is thought to land within its life (W4).
    QuietTimeWithoutLateLanding,
}

impl Defect {
    #[cfg(feature = "planted-defects")]
    pub const ALL: [Defect; 34] = [
        Defect::NoIntent,
        Defect::OneParkingSlot,
        Defect::NewestForgotten,
        Defect::AnsweredAsOneNumber,
        Defect::RetryRecordLost,
        Defect::RetryRecordLostOnAbort,
        Defect::OffsetTooEarly,
        Defect::ResultsApart,
        Defect::LeaseCheckedEarly,
        Defect::MarginNotKept,
        Defect::LeaseByWallClock,
        Defect::EmptyRenewal,
        Defect::RestoreBeforeFence,
        Defect::UnknownTakenForGood,
        Defect::UnknownTakenForFailed,
        Defect::BrokenConnectionTakenForGood,
        Defect::MemorySurvivesInit,
        Defect::RecommitCallsAgain,
        Defect::DoubtInRecord,
        Defect::MisroutedTakenHere,
        Defect::MisroutedPassedOver,
        Defect::SuspicionForgotten,
        Defect::PositionOfAnyTopic,
        Defect::LostRecordsPassedOver,
        Defect::DelayUntold,
        Defect::EndedLaneUnnoticed,
        Defect::PauseOutlivesTask,
        Defect::ContentInKey,
        Defect::IfMatchLeftOut,
        Defect::CounterBeginsWithBurst,
        Defect::SilentShareKept,
        Defect::NoQuietTime,
        Defect::QuietTimeWithoutLag,
        Defect::QuietTimeWithoutLateLanding,
    ];

    /// What the processor is told of its surroundings.
    pub fn mislead(self, settings: &mut Settings) {
        match self {
            Defect::NoQuietTime => {
                (settings.request_life_ms, settings.late_landing_ms, settings.search_lag_ms) = (0, 0, 0);
            }
            Defect::QuietTimeWithoutLag => settings.search_lag_ms = 0,
            Defect::QuietTimeWithoutLateLanding => settings.late_landing_ms = 0,
            _ => {}
        }
    }

    /// What becomes of a batch on its way.
    pub fn spoil(self, batch: &mut CommitBatch) {
        match self {
            Defect::MisroutedPassedOver => {
                batch.records.retain(|record| !matches!(record, Outgoing::Forwarded(..)));
            }
            Defect::RetryRecordLost => batch.records.retain(|record| !matches!(record, Outgoing::Retry(_))),
            Defect::OffsetTooEarly => {
                for at in batch.offsets.iter_mut().filter(|at| at.lane == Lane::Requested) {
                    at.offset += 1;
                }
            }
            _ => {}
        }
        for record in &mut batch.records {
            let Outgoing::State(record) = record else { continue };
            match (self, &mut **record) {
                (Defect::NoIntent, StateRecord::Booking(_, state)) => state.intent = None,
                (Defect::NoIntent, StateRecord::Patient(_, state)) => state.intent = None,
                (_, StateRecord::Booking(_, state)) => self.spoil_booking(state),
                _ => {}
            }
        }
    }

    fn spoil_booking(self, state: &mut BookingState) {
        match self {
            Defect::OneParkingSlot => {
                state.parked.sort_by_key(|parked| parked.version);
                state.parked = state.parked.pop().into_iter().collect();
            }
            Defect::NewestForgotten => state.newest = 0,
            Defect::SuspicionForgotten => state.suspicion = Suspicion::default(),
            Defect::AnsweredAsOneNumber => {
                let above = state.answered.above().and_then(|above| above.last().copied());
                state.answered = VersionSet::new(above.unwrap_or(state.answered.floor()), Vec::new());
            }
            _ => {}
        }
    }

    /// What becomes of a batch that was aborted before it is sent again.
    pub fn spoil_again(self, batch: &mut CommitBatch) {
        if self == Defect::RetryRecordLostOnAbort {
            batch.records.retain(|record| !matches!(record, Outgoing::Retry(_)));
        }
    }

    /// The key that goes out with a create, and the revision that goes out with an update.
    pub fn rekey(self, request: &mut Request) {
        match (self, request) {
            (Defect::ContentInKey, Request::CreateAppointment { content, idempotency_key }) => {
                let text = content.visit.note.as_ref().map_or("", |note| note.reveal());
                idempotency_key.push_str(text);
            }
            (Defect::IfMatchLeftOut, Request::UpdateAppointment { if_match, .. }) => *if_match = None,
            _ => {}
        }
    }
}

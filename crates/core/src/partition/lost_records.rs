//! Versions that waited in the retry topic and whose record is gone from there: state knows that each is owed a result, and
//! nothing will bring it back. Each gets its dead letter, once, in the transaction that takes it off the state.

use crate::booking::{BookingKey, Version};
use crate::event::failed::DeadContent;
use crate::event::{DeadLetter, Identity, Outgoing};
use crate::partition::job::JobKey;
use crate::partition::subject::Subject;
use crate::partition::task::Task;
use crate::settings::Settings;
use crate::state::ParkingPlace;
use crate::sync::{Disposition, FailureReason};
use crate::time::Timestamp;

const DETAIL: &str =
    "the record that it waited in was deleted; publish the booking again under a higher version";

impl Task {
    /// Notes what the acquisition found lost. It is written again with the first commit: the next owner will not find it
    /// by looking, for the positions that show it are good by then.
    pub(super) fn inherit_lost(&mut self) {
        let Task { ledger, lost, .. } = self;
        ledger.change_hot_bookings(|key, state| {
            let is_owed = !state.lost.is_empty();
            if is_owed {
                lost.owe(key.clone());
            }
            is_owed
        });
    }

    /// Dead-letters what is lost, unless a write of its booking may yet turn out to exist (rule W4), or the version has come
    /// again and is at hand. A doubt that only a person could settle, with the record that is gone, is not waited for.
    pub(super) fn dead_letter_lost(&mut self, now: Timestamp, settings: &Settings) {
        for key in self.lost.take_all() {
            let settles = self.intents.is_open(&key)
                && !self.intents.is_unclear(&key)
                && !self.view().is_given_up(&Subject::Booking(key.clone()), settings);
            if settles || self.has_at_hand(&key) {
                self.lost.owe(key);
                continue;
            }
            let versions =
                self.ledger.bookings().get_hot(&key).map_or_else(Vec::new, |state| state.lost.clone());
            for version in versions {
                self.dead_letter_lost_version(&key, version, now, settings.answered_bytes_max);
            }
        }
    }

    fn has_at_hand(&self, key: &BookingKey) -> bool {
        self.jobs.get(&JobKey::Booking(key.clone())).is_some_and(|job| !job.versions.is_empty())
    }

    fn dead_letter_lost_version(
        &mut self,
        key: &BookingKey,
        version: Version,
        now: Timestamp,
        bytes_max: usize,
    ) {
        let state = self.ledger.change_booking(key);
        state.lost.retain(|lost| *lost != version);
        let waits = state.parked(version).filter(|parked| parked.place != ParkingPlace::Failed);
        let lay_in_review = state.hold(version).is_some();
        let Some(generation) = waits.map(|parked| parked.generation + 1) else { return };
        state.parked.retain(|parked| parked.version != version);
        state.answered.insert(version, bytes_max);
        state.last_day = state.last_day.max(now.day());
        let placed_ids = state.placed_ids();
        if lay_in_review {
            self.outbox.write(Outgoing::Released(key.version(version)));
            self.leave_old_record(key);
        }
        self.held.note_ended(key);
        self.outbox.dead_letter(DeadLetter {
            content: DeadContent::Lost,
            identity: Some(Identity::of_lost(key.clone(), version)),
            reason: FailureReason::RecordLost,
            disposition: Disposition::Operator,
            detail: DETAIL.into(),
            placed_ids,
            attempts: 1,
            generation,
            origin: None,
            finished_at: now,
        });
    }
}

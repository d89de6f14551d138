//! How many calls may be under way and how many bookings ahead of them, share by share.

use crate::partition::Task;
use crate::partition::job::{Share, Shares};
use crate::processor::Processor;
use crate::processor::ownership::OwnedTask;
use crate::time::Timestamp;

/// What room the ready queue has for one share, in places: asked in every round of admitting, so what does not change in between is
/// counted once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// For all shares together.
    pub most: usize,
    /// For this share.
    pub of_share: usize,
    /// For this share ahead of its calls under way.
    pub ahead: usize,
    /// The calls of this share that are under way.
    pub under_way: usize,
}

impl Room {
    /// Whether there is one more place if so many are taken, by share.
    pub fn has_place(self, share: Share, places: Shares) -> bool {
        let taken = places[share.index()];
        places.iter().sum::<usize>() < self.most
            && taken < self.of_share
            && taken.saturating_sub(self.under_way) < self.ahead
    }
}

impl Processor {
    /// What room the ready queue has for this share; what failed before never takes all of it. Each share has its own ahead of its
    /// calls under way, so that neither waits for the other's calls to end.
    pub(super) fn room(&self, share: Share, now: Timestamp) -> Room {
        if self.shared.by_hand.stops_all() {
            return Room::default();
        }
        if self.shared.breaker.is_open() {
            let most = usize::from(self.shared.breaker.is_probe_due(now));
            return Room { most, of_share: most, ahead: most, under_way: 0 };
        }
        let settings = &self.shared.settings;
        let most = self.most(settings.ready_queue_max, now);
        let ahead = self.most(self.ahead(now), now);
        let under_way = self.calls.values().filter(|call| call.share == share).count();
        match share {
            Share::First => Room { most, of_share: most, ahead, under_way },
            Share::Soon => {
                let ahead = if self.does_share_wait(Share::First) { (ahead / 2).max(1) } else { ahead };
                Room { most, of_share: most, ahead, under_way }
            }
            Share::Again => {
                let of_again = |most| settings.again_part_of(most);
                Room { most, of_share: of_again(most), ahead: of_again(ahead), under_way }
            }
            Share::History => {
                let others = [Share::First, Share::Soon, Share::Again];
                let does_anybody_wait = others.into_iter().any(|share| self.does_share_wait(share));
                let part = if does_anybody_wait { settings.history_share_at(now) } else { 1.0 };
                let ahead = if part > 0.0 { ((ahead as f64 * part) as usize).max(1) } else { 0 };
                Room { most, of_share: settings.history_most(most), ahead, under_way }
            }
        }
    }

    /// Whether another call of this share may be under way; what failed before never takes them all, for it may hang.
    pub(super) fn has_call_left(&self, share: Share, now: Timestamp) -> bool {
        if self.shared.by_hand.stops_all() {
            return false;
        }
        if self.shared.breaker.is_open() {
            return self.shared.breaker.is_probe_due(now);
        }
        let most = self.in_flight_max(now);
        let of_share = || self.calls.values().filter(|call| call.share == share).count();
        let settings = &self.shared.settings;
        self.calls.len() < most
            && match share {
                Share::First | Share::Soon => true,
                Share::Again => of_share() < settings.again_part_of(most),
                Share::History => of_share() < settings.history_most(most),
            }
    }

    /// Whether somebody of this share waits for a place or a permit.
    fn does_share_wait(&self, share: Share) -> bool {
        self.has_live(|task| task.has_arrivals(share) || task.has_ready(share))
    }

    /// Whether there is such a task among those that work.
    pub(super) fn has_live(&self, is_such: impl Fn(&Task) -> bool) -> bool {
        self.tasks.values().any(|slot| matches!(slot, OwnedTask::Live(task) if is_such(task)))
    }

    /// How many bookings should be ahead of the calls under way.
    fn ahead(&self, now: Timestamp) -> usize {
        let permits = self.permits_within(self.pace.commit_ms(), now);
        self.pace.ahead(self.concurrency.limit(), permits)
    }

    /// How many calls may be under way now.
    pub(super) fn in_flight_max(&self, now: Timestamp) -> usize {
        self.most(self.shared.settings.max_in_flight, now).min(self.concurrency.limit())
    }

    /// How many of `most` calls or places may be used now: few while HealthFlow has just come back.
    pub(super) fn most(&self, most: usize, now: Timestamp) -> usize {
        ((most as f64 * self.shared.breaker.part(now)) as usize).max(1)
    }

    pub(super) fn live_places(&self) -> Shares {
        let mut places = Shares::default();
        for slot in self.tasks.values() {
            let OwnedTask::Live(task) = slot else { continue };
            places.iter_mut().zip(task.places()).for_each(|(all, one)| *all += one);
        }
        places
    }
}

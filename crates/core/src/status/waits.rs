//! What waits for its result, wherever it waits: unread in Kafka, in memory, parked, in doubt or in review. An outage shows here
//! from its first moment, whatever the worker does with the bookings meanwhile.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::coded::coded;
use crate::time::Timestamp;

/// A practice learns within this what became of a live booking, in milliseconds.
pub const PROMISED_MS: i64 = 30_000;

coded! {
    /// Where a version waits; the code is the name on the status page and the metric label.
    pub enum WaitPlace {
        /// In Kafka: no worker has read its record yet.
        Unread = "unread",
        /// In memory.
        Memory = "memory",
        /// In `appointments.retry`, for its time.
        Parked = "parked",
        /// In memory or in `appointments.retry`, and a write for it is in doubt.
        Doubt = "doubt",
        /// In `appointments.review`, for a person.
        Review = "review",
    }
}

coded! {
    /// What a version in memory waits for that is not set aside; the code is the name on the status page and the metric label.
    pub enum NextStep {
        /// A schema that can read its record.
        Schema = "schema",
        /// A place among those that are worked on.
        Turn = "turn",
        /// HealthFlow, which does not work.
        Outage = "outage",
        /// The commit of its intent.
        Commit = "commit",
        /// Leave to call: the rate and the number of calls at once are limited.
        Permit = "permit",
        /// HealthFlow's answer.
        Answer = "answer",
    }
}

/// What waits at one place for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Where.
    pub place: WaitPlace,
    /// Why: a code of `WaitReason` or [`NextStep`], of a review, or the topic of what is unread.
    pub why: Cow<'static, str>,
    /// How many versions; of what is unread, how many records.
    pub count: usize,
    /// When the oldest live one was asked for. Of what is unread, when its record was there at the latest; of what is in
    /// review, since when it is.
    pub oldest_at: Option<Timestamp>,
    /// Live versions without any result that were asked for more than [`PROMISED_MS`] ago. What is in review has one.
    pub late: usize,
}

/// What of one class is in memory and has no call under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassWaits {
    /// The class: fresh, soon, again or history, in the order in which they are served.
    pub class: Cow<'static, str>,
    /// How many bookings.
    pub count: usize,
    /// When the one that was read first was read.
    pub oldest_at: Option<Timestamp>,
}

/// Counts what waits.
#[derive(Clone, Debug)]
pub struct WaitCounts {
    now: Timestamp,
    counts: BTreeMap<(WaitPlace, &'static str), Waits>,
}

impl WaitCounts {
    /// Nothing waits, as far as is known at `now`.
    pub fn new(now: Timestamp) -> Self {
        WaitCounts { now, counts: BTreeMap::new() }
    }

    /// One version waits; `live_since` is when it was asked for, if it is a live one.
    pub fn add(&mut self, place: WaitPlace, why: &'static str, live_since: Option<Timestamp>) {
        let waits = self.counts.entry((place, why)).or_insert_with(|| Waits {
            place,
            why: why.into(),
            count: 0,
            oldest_at: None,
            late: 0,
        });
        waits.count += 1;
        let Some(since) = live_since else { return };
        waits.oldest_at = Some(waits.oldest_at.map_or(since, |oldest| oldest.min(since)));
        let has_no_result = place != WaitPlace::Review;
        waits.late += usize::from(has_no_result && self.now.since_ms(since) > PROMISED_MS);
    }

    /// Everything counted, by place and reason.
    pub fn into_waits(self) -> Vec<Waits> {
        self.counts.into_values().collect()
    }
}

//! `appointments.notices`: what somebody who waits should know before there is a result. Nothing follows from a notice: the
//! result is the only answer to a version.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::{BookingId, PracticeId};
use crate::coded::coded;
use crate::event::Identity;
use crate::state::OpenOutage;
use crate::time::Timestamp;

coded! {
    /// What a notice is about; the code is the symbol on the wire and the label of metrics.
    pub enum NoticeKind {
        /// A version will not be confirmed in time.
        Delayed = "DELAYED",
        /// HealthFlow has not worked for a while.
        OutageBegan = "OUTAGE_BEGAN",
        /// HealthFlow works again.
        OutageEnded = "OUTAGE_ENDED",
        /// A symbol of a newer schema.
        Unknown = "UNKNOWN",
    }
}

/// A notice, and when it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// What it contains.
    pub about: About,
}

/// What a notice contains.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// A version will not be confirmed in time.
    Delayed(Delay),
    /// HealthFlow has not worked for a while.
    OutageBegan(Outage),
    /// HealthFlow works again.
    OutageEnded(Outage),
}

/// A version that will not be confirmed in time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delay {
    /// Which.
    pub identity: Identity,
    /// What holds it: a code of `docs/waits.md`, or of the next step of what waits in memory.
    pub reason: &'static str,
    /// When it will be confirmed.
    pub promised_at: Timestamp,
    /// Whether that is the earliest moment only.
    pub at_earliest: bool,
}

/// An outage, as one task sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outage {
    /// The task.
    pub partition: i32,
    /// Which outage.
    pub outage: OpenOutage,
    /// Who waits in the task.
    pub waiting: WaitingPractices,
    /// How long what waits takes once HealthFlow works, in milliseconds.
    pub catch_up_ms: i64,
}

/// Whose bookings wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WaitingPractices {
    /// Those with most of them, as many as are named.
    pub named: Vec<PracticeId>,
    /// How many practices.
    pub practices: usize,
    /// How many bookings.
    pub bookings: usize,
}

impl Notice {
    /// Its kind.
    pub const fn kind(&self) -> NoticeKind {
        match self.about {
            About::Delayed(_) => NoticeKind::Delayed,
            About::OutageBegan(_) => NoticeKind::OutageBegan,
            About::OutageEnded(_) => NoticeKind::OutageEnded,
        }
    }

    /// Whose it is; none of an outage.
    pub const fn practice(&self) -> Option<&PracticeId> {
        match &self.about {
            About::Delayed(delay) => Some(&delay.identity.key.practice),
            About::OutageBegan(_) | About::OutageEnded(_) => None,
        }
    }
}

/// The record, field by field as in `schemas/appointments.notices.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Notice")]
pub struct NoticeRecord {
    /// What it is about.
    pub kind: NoticeKind,
    /// The practice.
    pub practice_id: Option<PracticeId>,
    /// When it was decided.
    pub at: Timestamp,
    /// Of `DELAYED`.
    delay: Option<DelayRecord>,
    /// Of the others.
    outage: Option<OutageRecord>,
}

/// A version that will not be confirmed in time, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Delay")]
struct DelayRecord {
    /// DentScheduler's id of the event.
    pub event_id: Arc<str>,
    /// The booking.
    pub booking_id: BookingId,
    /// Its version.
    pub version: i64,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What holds it: a code of `docs/waits.md`, or of the next step of what waits in memory.
    pub reason: Arc<str>,
    /// When it will be confirmed.
    pub promised_at: Timestamp,
    /// Whether that is the earliest moment only.
    pub at_earliest: bool,
}

/// An outage, as on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Outage")]
struct OutageRecord {
    /// The same in both notices of one outage.
    pub outage_id: Arc<str>,
    /// The task.
    pub partition: i32,
    /// Since when HealthFlow did not work.
    pub began_at: Timestamp,
    /// The class of the fault, or `slow`.
    pub cause: Arc<str>,
    /// Some of the practices that wait.
    pub practices: Vec<PracticeId>,
    /// How many practices wait.
    pub practices_waiting: i64,
    /// How many bookings wait.
    pub bookings_waiting: i64,
    /// How long what waits takes once HealthFlow works, in milliseconds.
    pub catch_up_ms: i64,
}

impl From<&Notice> for NoticeRecord {
    fn from(notice: &Notice) -> Self {
        let (delay, outage) = match &notice.about {
            About::Delayed(delay) => (Some(DelayRecord::from(delay)), None),
            About::OutageBegan(outage) | About::OutageEnded(outage) => {
                (None, Some(OutageRecord::from(outage)))
            }
        };
        let (kind, practice_id) = (notice.kind(), notice.practice().cloned());
        NoticeRecord { kind, practice_id, at: notice.at, delay, outage }
    }
}

impl From<&Delay> for DelayRecord {
    fn from(Delay { identity, reason, promised_at, at_earliest }: &Delay) -> Self {
        DelayRecord {
            event_id: identity.event_id.clone(),
            booking_id: identity.key.booking.clone(),
            version: identity.version.cast_signed(),
            requested_at: identity.requested_at,
            reason: (*reason).into(),
            promised_at: *promised_at,
            at_earliest: *at_earliest,
        }
    }
}

impl From<&Outage> for OutageRecord {
    fn from(Outage { partition, outage, waiting, catch_up_ms }: &Outage) -> Self {
        OutageRecord {
            outage_id: outage.id.clone(),
            partition: *partition,
            began_at: outage.began_at,
            cause: outage.cause.clone(),
            practices: waiting.named.clone(),
            practices_waiting: i64::try_from(waiting.practices).unwrap_or(i64::MAX),
            bookings_waiting: i64::try_from(waiting.bookings).unwrap_or(i64::MAX),
            catch_up_ms: *catch_up_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outgoing;
    use crate::event::avro::contract;
    use crate::event::codec::Codec;
    use crate::event::sample::{ID, NOW, booking, decoder};
    use crate::topics::NOTICES;

    fn read(about: About) -> (Option<Vec<u8>>, NoticeRecord) {
        let notice = Outgoing::Notice(Box::new(Notice { at: NOW, about }));
        let mut buffer = Vec::new();
        let codec = Codec::new("healthflow-sync", |_| ID);
        let encoded = codec.encode(&notice, &mut buffer).expect("fits its schema");
        assert_eq!((encoded.topic, encoded.partition), (NOTICES, None));
        let record = decoder(NOTICES).decode(encoded.value.expect("a value")).expect("decodes");
        (encoded.key, record)
    }

    #[test]
    fn a_delay_names_the_version_and_is_its_practices() {
        let identity = Identity::from(&booking());
        let promised_at = NOW.plus_ms(90_000);
        let delay = Delay { identity, reason: "overdue", promised_at, at_earliest: true };
        let (key, record) = read(About::Delayed(delay.clone()));
        assert_eq!(key.as_deref(), Some(&b"practice-1"[..]));
        assert_eq!((record.kind, record.practice_id), (NoticeKind::Delayed, Some("practice-1".into())));
        assert_eq!((record.delay, record.outage), (Some(DelayRecord::from(&delay)), None));
    }

    #[test]
    fn an_outage_is_nobodys_and_says_who_waits() {
        let outage = OpenOutage { id: "7-1".into(), began_at: NOW, cause: "timeout".into() };
        let waiting = WaitingPractices { named: vec!["practice-1".into()], practices: 60, bookings: 4_210 };
        let outage = Outage { partition: 7, outage, waiting, catch_up_ms: 84_000 };
        let kinds = [About::OutageBegan(outage.clone()), About::OutageEnded(outage.clone())].map(|about| {
            let (key, record) = read(about);
            assert_eq!((key, record.practice_id, record.delay), (None, None, None));
            assert_eq!(record.outage, Some(OutageRecord::from(&outage)));
            record.kind
        });
        assert_eq!(kinds, [NoticeKind::OutageBegan, NoticeKind::OutageEnded]);
    }

    /// Goal: a reader's schema knows each kind that is written. Method: the symbols of the schema, in the order of the codes.
    #[test]
    fn the_schema_has_each_kind() {
        let json: serde_json::Value =
            serde_json::from_str(contract(NOTICES).expect("one of ours").json).expect("JSON");
        let symbols = &json["fields"][0]["type"]["symbols"];
        assert_eq!(*symbols, serde_json::json!(NoticeKind::ALL.map(NoticeKind::code)));
    }
}

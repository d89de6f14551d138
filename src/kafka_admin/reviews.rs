//! What lies in `appointments.review`, for the commands that list and decide it: who waits, since when and for what, never
//! anything about a patient. Without it a person would have to read Avro to find out what to decide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdkafka::Message;

use crate::kafka::KafkaFault;
use crate::kafka::restore::{Raw, Readers, try_decode};
use crate::kafka::settings::KafkaSettings;
use crate::kafka_admin::CommandFault;
use crate::registry::Translator;
use healthflow_core::booking::{BookingId, BookingKey};
use healthflow_core::event::decision::{self, VerdictSymbol};
use healthflow_core::event::key;
use healthflow_core::event::review::{AppointmentReview, CandidateEvidence};
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::Timestamp;
use healthflow_core::topics::REVIEW;

/// Versions in review that are kept in memory at most.
pub(super) const REVIEWS_MAX: usize = 200_000;

/// A version that waits for a person, without anything about its patient.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The booking.
    pub key: BookingKey,
    /// Its version.
    pub version: i64,
    /// Which question it is; a decision quotes it.
    pub generation: u32,
    /// The code of why a person must decide.
    pub reason: Arc<str>,
    /// Since when it waits.
    pub since: Timestamp,
    /// When the visit begins.
    pub visit_start: Timestamp,
    /// The booking whose review must be decided first; none where this version is in question.
    pub waits_for: Option<BookingId>,
    /// How the candidates compare.
    pub candidates: Vec<CandidateEvidence>,
}

/// Everything that waits in some partitions.
#[derive(Debug, Default)]
pub struct Reviews {
    /// In the order of bookings and versions.
    pub waiting: Vec<Waiting>,
    /// How many records cannot be read.
    pub unreadable: u64,
}

/// Why nothing can be decided; one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpen {
    /// Nothing of the booking is in review.
    #[error("nothing of {0} is in review; `healthflow-sync review list` shows what is")]
    NoReview(BookingKey),
    /// Another version of the booking is.
    #[error("{0} version {1} is not in review; `healthflow-sync review show` names the version that is")]
    OtherVersion(BookingKey, i64),
    /// Another booking must be decided first.
    #[error("{0} version {1} waits behind the review of {2}; decide that one")]
    Behind(BookingKey, i64, BookingId),
}

/// Which verdicts end a review with this reason, as in `docs/deciding-reviews.md`; none if the reason is unknown here.
pub fn verdicts_of(reason: &str) -> &'static [VerdictSymbol] {
    let known = ReviewReason::ALL.into_iter().find(|known| known.code() == reason);
    known.map_or(&[], decision::verdicts_of)
}

/// Reads what is in review in these partitions, up to their present ends.
///
/// # Errors
/// A broker or the registry does not answer, or too much is in review.
pub fn read(
    settings: &KafkaSettings,
    translator: &Translator,
    partitions: impl Iterator<Item = i32>,
) -> Result<Reviews, CommandFault> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let mut newest: BTreeMap<Vec<u8>, Option<Waiting>> = BTreeMap::new();
    for partition in partitions {
        readers.try_each_record(REVIEW, partition, &cancelled, |message| {
            let key = message.key().unwrap_or_default();
            let Some(value) = message.payload() else {
                newest.remove(key);
                return Ok(());
            };
            newest.insert(key.to_vec(), read_one(translator, &cancelled, key, value)?);
            if newest.len() > REVIEWS_MAX { Err(CommandFault::TooManyReviews) } else { Ok(()) }
        })?;
    }
    let unreadable = newest.values().filter(|waiting| waiting.is_none()).count() as u64;
    Ok(Reviews::new(newest.into_values().flatten().collect(), unreadable))
}

/// The whole record of a version that waits, patient data included: for the one who decides, and for nobody else.
///
/// # Errors
/// A broker or the registry does not answer, or the version has left review meanwhile.
pub fn content(
    settings: &KafkaSettings,
    translator: &Translator,
    partition: i32,
    of: &Waiting,
) -> anyhow::Result<AppointmentReview> {
    let (readers, cancelled) = (Readers::new(settings)?, AtomicBool::new(false));
    let own = of.record_key();
    let newest = readers.newest(REVIEW, partition, &cancelled, |key| key == own.as_bytes())?;
    let gone = || NotOpen::OtherVersion(of.key.clone(), of.version);
    let Raw { value, .. } = newest.by_key.into_values().next().ok_or_else(gone)?;
    let read = try_decode(translator, &cancelled, || translator.value::<AppointmentReview>(REVIEW, &value))?;
    Ok(read.ok().filter(|read| read.result.generation == of.generation).ok_or_else(gone)?)
}

/// None if it cannot be read, or lies under another key than its own.
fn read_one(
    translator: &Translator,
    cancelled: &AtomicBool,
    key: &[u8],
    value: &[u8],
) -> Result<Option<Waiting>, KafkaFault> {
    let read = try_decode(translator, cancelled, || translator.value::<AppointmentReview>(REVIEW, value))?;
    let waiting = read.ok().and_then(Waiting::of);
    Ok(waiting.filter(|waiting| waiting.record_key().as_bytes() == key))
}

impl Waiting {
    /// None if the record does not say which version it is.
    pub fn of(record: AppointmentReview) -> Option<Waiting> {
        let result = record.result;
        Some(Waiting {
            key: BookingKey { practice: result.practice_id?, booking: result.booking_id? },
            version: result.version?,
            generation: result.generation,
            reason: result.reason.unwrap_or_default(),
            since: result.finished_at,
            visit_start: record.event.visit.start,
            waits_for: record.waits_for,
            candidates: record.evidence,
        })
    }

    /// The key of its record.
    pub(super) fn record_key(&self) -> String {
        key::review(&self.key, self.version.cast_unsigned())
    }
}

impl Reviews {
    fn new(mut waiting: Vec<Waiting>, unreadable: u64) -> Reviews {
        waiting.sort_by(|one, other| (&one.key, one.version).cmp(&(&other.key, other.version)));
        Reviews { waiting, unreadable }
    }

    /// Who waits behind the review of a booking.
    pub fn behind<'all>(&'all self, holder: &'all BookingKey) -> impl Iterator<Item = &'all Waiting> {
        self.waiting.iter().filter(|one| {
            one.key.practice == holder.practice && one.waits_for.as_ref() == Some(&holder.booking)
        })
    }

    /// The version of a booking that is in review: the named one, else the newest one that is in question, else the newest.
    ///
    /// # Errors
    /// There is none.
    pub fn of(&self, key: &BookingKey, version: Option<i64>) -> Result<&Waiting, NotOpen> {
        let of_booking = || self.waiting.iter().filter(|one| one.key == *key);
        match version {
            Some(version) => of_booking().find(|one| one.version == version).ok_or_else(|| {
                if of_booking().next().is_none() {
                    NotOpen::NoReview(key.clone())
                } else {
                    NotOpen::OtherVersion(key.clone(), version)
                }
            }),
            None => of_booking()
                .max_by_key(|one| (one.waits_for.is_none(), one.version))
                .ok_or_else(|| NotOpen::NoReview(key.clone())),
        }
    }

    /// The same, if a person can decide about it.
    ///
    /// # Errors
    /// There is none, or it waits behind another booking's review.
    pub fn question(&self, key: &BookingKey, version: Option<i64>) -> Result<&Waiting, NotOpen> {
        let waiting = self.of(key, version)?;
        match &waiting.waits_for {
            Some(holder) => Err(NotOpen::Behind(key.clone(), waiting.version, holder.clone())),
            None => Ok(waiting),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A version in question, or behind the review of `holder`.
    pub(crate) fn waiting(booking: &str, version: i64, holder: Option<&str>) -> Waiting {
        Waiting {
            key: BookingKey { practice: "practice-1".into(), booking: booking.into() },
            version,
            generation: 1,
            reason: if holder.is_some() { "BEHIND_REVIEW" } else { "AMBIGUOUS_PATIENT" }.into(),
            since: Timestamp(1_767_600_000_000),
            visit_start: Timestamp(1_767_700_000_000 + version),
            waits_for: holder.map(BookingId::from),
            candidates: Vec::new(),
        }
    }

    pub(crate) fn reviews(waiting: Vec<Waiting>) -> Reviews {
        Reviews::new(waiting, 0)
    }

    fn key(booking: &str) -> BookingKey {
        waiting(booking, 1, None).key
    }

    #[test]
    fn the_version_in_question_is_found_and_what_is_behind_is_not_decided() {
        let all = reviews(vec![
            waiting("b-2", 1, Some("b-1")),
            waiting("b-1", 3, Some("b-1")),
            waiting("b-1", 2, None),
        ]);
        assert_eq!(all.question(&key("b-1"), None).map(|one| one.version), Ok(2));
        assert_eq!(
            all.question(&key("b-1"), Some(3)),
            Err(NotOpen::Behind(key("b-1"), 3, "b-1".into())),
            "a later version waits for the earlier one"
        );
        assert_eq!(all.question(&key("b-1"), Some(9)), Err(NotOpen::OtherVersion(key("b-1"), 9)));
        assert_eq!(all.question(&key("b-9"), Some(1)), Err(NotOpen::NoReview(key("b-9"))));
        let behind: Vec<_> =
            all.behind(&all.waiting[0].key).map(|one| (one.key.booking.as_str(), one.version)).collect();
        assert_eq!(behind, [("b-1", 3), ("b-2", 1)]);
    }

    /// Goal: people read the table that the commands go by. Method: the rows of the page, reason by reason.
    #[test]
    fn the_documented_verdicts_are_those_that_are_allowed() {
        let page = include_str!("../../docs/deciding-reviews.md");
        for reason in ReviewReason::ALL {
            let codes: Vec<String> =
                verdicts_of(reason.code()).iter().map(|verdict| format!("`{}`", verdict.code())).collect();
            let codes = if codes.is_empty() { "none".to_owned() } else { codes.join(", ") };
            let row = format!("| `{}` | {codes} |", reason.code());
            assert!(page.contains(&row), "docs/deciding-reviews.md should have the row {row}");
        }
        assert!(verdicts_of("FROM_THE_FUTURE").is_empty());
    }
}

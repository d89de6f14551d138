//! The log: one line per fact that matters. A warning or an error is for a person to look at, info is about tasks,
//! debug about single bookings that end well. Texts from outside are quoted, so that no identifier can forge a line. No
//! line carries patient data; it may carry a booking's practice and id.

mod control_log;

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;
use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::log_input::report_key;
use crate::metrics::log_limits::report_limit;
use crate::metrics::log_outages::{report_notice, report_outage};
use crate::metrics::log_writer::LogWriter;
use crate::metrics::tally::{call_class, content, drop_cause, found_name};
use healthflow_core::booking::{BookingId, BookingKey};
use healthflow_core::event::Origin;
use healthflow_core::fact::{DropCause, Fact};
use healthflow_core::life::{LaneEnd, Loss, LostPosition};

/// Who reads the log (`log.format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// People.
    Human,
    /// Machines: one JSON object a line.
    Json,
}

/// How long a process that ends waits for its last lines to be written.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(1);

/// The way to standard error, once logging has begun.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts logging to standard error for the whole process. Call it once, before anything is logged. `level` is a level
/// or a list like `info,librdkafka=warn`; fails if it is neither.
pub fn start(format: Format, level: &str) -> anyhow::Result<()> {
    let writer = LogWriter::start(std::io::stderr())?;
    let dispatch = dispatch(format, level, writer.clone(), std::io::stderr().is_terminal())?;
    tracing::dispatcher::set_global_default(dispatch)?;
    WRITER.get_or_init(|| writer);
    Ok(())
}

/// Log lines that could not be written: the reader was too slow, or gone.
pub fn lines_lost() -> u64 {
    WRITER.get().map_or(0, LogWriter::lines_lost)
}

/// Waits a moment until the queued lines are written: the process is about to end.
pub fn flush() {
    WRITER.get().into_iter().for_each(|writer| writer.flush(LAST_LINES_LIMIT));
}

/// Prints `line` on standard error, after everything logged so far: why the program ends.
pub fn say(line: &str) {
    match WRITER.get() {
        Some(writer) => {
            writer.put(format!("{line}\n").into_bytes());
            flush();
        }
        // It does not matter if the reader is gone.
        None => drop(writeln!(std::io::stderr(), "{line}")),
    }
}

/// Whether `level` can be given to [`start`].
pub fn is_level(level: &str) -> bool {
    EnvFilter::builder().parse(directives(level)).is_ok()
}

/// A bare level applies only to our own lines: at `debug` the HTTP client could log private data.
fn directives(level: &str) -> String {
    let bare = level.chars().all(char::is_alphabetic);
    if bare { format!("warn,healthflow_sync={level}") } else { level.to_owned() }
}

/// A subscriber that writes to `writer`.
pub(super) fn dispatch<W>(
    format: Format,
    level: &str,
    writer: W,
    colours: bool,
) -> anyhow::Result<tracing::Dispatch>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(directives(level))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    Ok(match format {
        Format::Human => lines.with_ansi(colours).into(),
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).into()
        }
    })
}

/// Logs `fact`.
pub fn report(fact: &Fact) {
    match fact {
        Fact::TaskAcquired { .. }
        | Fact::TaskReleased { .. }
        | Fact::TaskDropped { .. }
        | Fact::PositionLost { .. } => report_task(fact),
        Fact::BookingSynced { .. }
        | Fact::BookingFailed { .. }
        | Fact::BookingParked { .. }
        | Fact::BookingReopened { .. }
        | Fact::BookingReparked { .. }
        | Fact::AnswerForgotten { .. }
        | Fact::LinkChanged { .. }
        | Fact::DuplicateSkipped { .. } => report_booking(fact),
        Fact::BookingHeld { .. }
        | Fact::BookingReleased { .. }
        | Fact::ReviewLookedAt { .. }
        | Fact::ReviewUrgent { .. }
        | Fact::DecisionTaken { .. } => report_review(fact),
        Fact::SlotAwaited { .. } | Fact::SlotAwaitedInVain { .. } | Fact::WrittenFirst { .. } => {
            report_slot(fact)
        }
        Fact::RecordForwarded { origin: Origin { lane, partition, offset }, home } => {
            debug!(
                topic = lane.topic(),
                partition, offset, home, "record forwarded to the partition of its key"
            );
        }
        Fact::KeyMisrouted { .. } => report_key(fact),
        Fact::BookingsForgotten { partition, count } => info!(partition, count, "old bookings forgotten"),
        Fact::CallSent { operation } => trace!(operation = operation.code(), "call sent"),
        Fact::CallAnswered { operation, fault, elapsed_ms } => {
            debug!(operation = operation.code(), class = call_class(*fault), elapsed_ms, "call answered");
        }
        Fact::ForeignAnswer { .. } | Fact::CallForbidden { .. } | Fact::CallThrottled { .. } => {
            report_refusal(fact)
        }
        Fact::SearchTooWide { key, pass } => {
            let booking = named(Some(key));
            warn!(
                booking,
                pass = pass.code(),
                "a search found too many patients and was abandoned; check which value so many share"
            );
        }
        Fact::ReadsFail { operation } => {
            warn!(
                operation = operation.code(),
                "HealthFlow does not answer this kind of read; one booking asks, the others wait"
            );
        }
        Fact::ReadsAnswered { operation } => {
            info!(operation = operation.code(), "HealthFlow answers this kind of read again");
        }
        Fact::DoubtOpened { .. }
        | Fact::DoubtSettled { .. }
        | Fact::DuplicateFound { .. }
        | Fact::EditOverwritten { .. } => report_write(fact),
        Fact::AccountPaused { .. }
        | Fact::BreakerOpened { .. }
        | Fact::BreakerProbeFailed
        | Fact::StormChanged(_)
        | Fact::CounterChanged(_)
        | Fact::BreakerClosed { .. } => report_outage(fact),
        Fact::NoticeWritten { .. } | Fact::PromiseEnded { .. } => report_notice(fact),
        Fact::ControlChanged { control } => control_log::report(control),
        Fact::LimitUnknown { .. } | Fact::QuotaRunsOut(_) => report_limit(fact),
        Fact::TransactionCommitted { partition, records, aborts, elapsed_ms } => {
            trace!(partition, records, aborts, elapsed_ms, "transaction committed");
        }
    }
}

fn report_write(fact: &Fact) {
    match fact {
        Fact::DoubtOpened { key, operation, settles_at } => {
            let booking = named(key.as_ref());
            warn!(booking, operation = operation.code(), quiet_at = %settles_at, "answer lost, write in doubt");
        }
        Fact::DoubtSettled { key, found } => {
            info!(booking = named(key.as_ref()), found = found_name(*found), "doubt settled");
        }
        Fact::DuplicateFound { key, what } => {
            let booking = named(key.as_ref());
            error!(
                booking,
                what = what.code(),
                "HealthFlow has more than one; remove the duplicate there, and check its audit log for the cause"
            );
        }
        Fact::EditOverwritten { key } => {
            warn!(
                booking = key.to_string(),
                "somebody changed the appointment in HealthFlow; the booking's newer version overwrites it"
            );
        }
        _ => {}
    }
}

fn report_slot(fact: &Fact) {
    match fact {
        Fact::SlotAwaited { key, version } => {
            info!(
                booking = key.to_string(),
                version, "booking waits for its slot, which another booking is about to free"
            );
        }
        Fact::SlotAwaitedInVain { key, version, is_cycle } => {
            warn!(booking = key.to_string(), version, is_cycle, "booking waited for its slot in vain");
        }
        Fact::WrittenFirst { key, version } => info!(
            booking = key.to_string(),
            version, "older version is written first, another booking waits for the slot that it frees"
        ),
        _ => {}
    }
}

fn report_refusal(fact: &Fact) {
    let name = |booking: &Option<BookingId>| booking.as_ref().map(BookingId::to_string);
    match fact {
        Fact::ForeignAnswer { practice, booking, operation, status } => warn!(
            practice = practice.as_str(),
            booking = name(booking),
            operation = operation.code(),
            status,
            "error not in HealthFlow's words, not believed; check the proxies in between, and healthflow.base_url",
        ),
        Fact::CallForbidden { practice, booking, operation } => warn!(
            practice = practice.as_str(),
            booking = name(booking),
            operation = operation.code(),
            "HealthFlow forbids it (403), tried again later; check that the account may still serve the practice",
        ),
        Fact::CallThrottled { practice, booking, operation, until } => warn!(
            practice = practice.as_str(),
            booking = name(booking),
            operation = operation.code(),
            %until,
            "HealthFlow asks this booking to wait and serves others, which go on; check the limit of this operation",
        ),
        _ => {}
    }
}

fn report_task(fact: &Fact) {
    match fact {
        Fact::TaskAcquired { partition, incarnation, restored_records, restore_ms, open_intents } => {
            info!(partition, incarnation, restored_records, restore_ms, open_intents, "task acquired");
        }
        Fact::TaskReleased { partition } => info!(partition, "task released"),
        Fact::TaskDropped { partition, why: why @ DropCause::LaneEnded { topic, why: end } } => {
            let end = lane_end(*end);
            error!(partition, why = drop_cause(*why), topic, "{end}; the task is acquired again");
        }
        Fact::PositionLost { partition, position } => report_loss(*partition, *position),
        Fact::TaskDropped { partition, why } => warn!(partition, why = drop_cause(*why), "task dropped"),
        _ => {}
    }
}

const fn lane_end(why: LaneEnd) -> &'static str {
    match why {
        LaneEnd::ReadingEnded => {
            "reading the topic has ended: its records were deleted, or the position is out of range"
        }
        LaneEnd::TopicGone => "the topic does not exist any more",
        LaneEnd::TopicRecreated => "the topic was recreated",
    }
}

fn report_loss(partition: i32, LostPosition { lane, why, from, to }: LostPosition) {
    let topic = lane.topic();
    match why {
        Loss::OffsetForgotten => {
            error!(
                topic,
                partition, to, "the brokers lost the group's offset; the task goes on from the copy in state"
            );
        }
        Loss::RecordsDeleted => error!(
            topic,
            partition,
            from,
            to,
            "records were deleted before they were read; compare the topic's retention with the lag, and see \"An offset got \
             lost\" in the runbook"
        ),
        Loss::TopicRecreated => error!(
            topic,
            partition,
            from,
            to,
            "the topic was recreated, its records are gone; the task reads the new one from its beginning; see \"An offset \
             got lost\" in the runbook"
        ),
    }
}

fn report_review(fact: &Fact) {
    match fact {
        Fact::BookingHeld { key, version, reason } => {
            let booking = key.to_string();
            warn!(booking, version, reason = reason.code(), "booking held for a person's decision");
        }
        Fact::DecisionTaken { key, version, verdict } => {
            let booking = key.to_string();
            info!(booking, version, verdict = verdict.code(), "a person's decision is carried out");
        }
        Fact::BookingReleased { key, version } => {
            let booking = key.to_string();
            info!(booking, version, "booking waits for no person any more");
        }
        Fact::ReviewLookedAt { key, version } => {
            let booking = key.to_string();
            info!(
                booking,
                version, "asks HealthFlow whether the question about a held booking has answered itself"
            );
        }
        Fact::ReviewUrgent { key, version } => warn!(
            booking = key.to_string(),
            version,
            "the visit of a booking that waits for a person draws near: decide it, `healthflow-sync review show` has the question"
        ),
        _ => {}
    }
}

fn report_booking(fact: &Fact) {
    match fact {
        Fact::BookingSynced { key, version, outcome, end_to_end_ms, .. } => {
            let booking = key.to_string();
            debug!(booking, version, outcome = outcome.code(), end_to_end_ms, "booking synced");
        }
        Fact::BookingFailed { key, origin, reason, disposition, detail } => warn!(
            booking = named(key.as_ref()),
            topic = origin.map(|origin| origin.lane.topic()),
            partition = origin.map(|origin| origin.partition),
            offset = origin.map(|origin| origin.offset),
            reason = reason.code(),
            disposition = disposition.code(),
            detail = &**detail,
            "booking failed",
        ),
        Fact::BookingParked { key, version, attempts, not_before, last_error } => {
            let (booking, last_error) = (key.to_string(), &**last_error);
            info!(booking, version, attempts, %not_before, last_error, "booking parked");
        }
        Fact::LinkChanged { key, how } => {
            let booking = key.to_string();
            info!(booking, how = how.code(), "link to HealthFlow's patient changed");
        }
        Fact::BookingReparked { key, version } => {
            debug!(
                booking = key.to_string(),
                version, "its record kept the retry lane from moving, written again"
            );
        }
        Fact::BookingReopened { key, version } => {
            let booking = key.to_string();
            info!(booking, version, "dead letter redriven");
        }
        Fact::AnswerForgotten { key, version } => {
            let booking = key.to_string();
            warn!(
                booking,
                version,
                "the booking has too many versions to remember; this one gets a result, perhaps its second"
            );
        }
        Fact::DuplicateSkipped { key, version, differs: differs @ Some(true) } => {
            let booking = key.to_string();
            warn!(
                booking,
                version,
                content = content(*differs),
                "version came again with other content, the first one counts"
            );
        }
        Fact::DuplicateSkipped { key, version, differs } => {
            let booking = key.to_string();
            debug!(booking, version, content = content(*differs), "version came again, skipped");
        }
        _ => {}
    }
}

fn named(key: Option<&BookingKey>) -> Option<String> {
    key.map(BookingKey::to_string)
}

//! The trace of one booking that a fault hit, composed from what DentScheduler saw, what the workers logged and what
//! HealthFlow recorded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use healthflow_core::event::result::ResultOutcome;
use healthflow_core::time::Timestamp;
use serde::Deserialize;

use crate::audit::Span;
use crate::healthflow::{Ledger, Write};
use crate::journal::{Name, Notes};

/// A doubt that opens so long (milliseconds) after the kill was found in the state: a live worker gives up on an answer
/// sooner (`healthflow.request_life_ms` in `config/demo.toml`), and the killed one is back only later.
const DEAD_MS: i64 = 2_500;

/// What the trace is composed from.
pub struct Sources<'a> {
    /// Name and log of each worker.
    pub logs: Vec<(String, PathBuf)>,
    /// DentScheduler's journal.
    pub notes: &'a Notes,
    /// What exists in HealthFlow.
    pub ledger: &'a Ledger,
    /// What HealthFlow recorded of every write.
    pub writes: &'a [Write],
    /// When a worker was killed, and back.
    pub killed: Option<Span>,
}

/// A line of a worker's log about a doubt.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    message: String,
    booking: Option<String>,
    found: Option<String>,
    last_error: Option<String>,
}

/// What the logs report of one booking's doubts, in order.
#[derive(Default)]
struct Doubts {
    opened: Vec<(Timestamp, String)>,
    settled: Vec<(Timestamp, String, String)>,
}

/// Something that happened, and when.
type Event = (Timestamp, String);

struct Trace {
    events: Vec<Event>,
    was_killed: bool,
    was_found: bool,
}

/// The trace, one line per event; none if no booking was hit.
pub fn compose(sources: &Sources) -> Option<Vec<String>> {
    let doubts = read_logs(sources);
    let traces = doubts.iter().filter_map(|(booking, doubts)| trace(booking, doubts, sources));
    let mut best = traces.max_by_key(rank)?;
    best.events.sort_by_key(|(at, _)| *at);
    let start = best.events.first().map(|(at, _)| *at)?;
    let seconds = |at: Timestamp| at.since_ms(start) as f64 / 1_000.0;
    Some(best.events.iter().map(|(at, what)| format!("  {:>+6.2} s  {what}", seconds(*at))).collect())
}

/// Which trace shows the most: first one of a write that was carried out and whose worker was killed before it saw the
/// answer, then one of a write that a look-up found. Short ones are easier to follow.
fn rank(trace: &Trace) -> (bool, bool, std::cmp::Reverse<usize>) {
    (trace.was_killed, trace.was_found, std::cmp::Reverse(trace.events.len()))
}

fn read_logs(sources: &Sources) -> BTreeMap<String, Doubts> {
    let mut doubts: BTreeMap<String, Doubts> = BTreeMap::new();
    for (worker, log) in &sources.logs {
        let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            let Some(booking) = line.booking else { continue };
            let Ok(instant) = line.timestamp.parse::<jiff::Timestamp>() else { continue };
            let at = Timestamp(instant.as_millisecond());
            let doubts = doubts.entry(booking).or_default();
            match &*line.message {
                "answer lost, write in doubt" => doubts.opened.push((at, worker.clone())),
                // A doubt that a crash left behind: no worker lost an answer, its successor found it in the state.
                "booking parked"
                    if doubts.opened.is_empty() && line.last_error.as_deref() == Some("in_doubt") =>
                {
                    doubts.opened.push((at, worker.clone()));
                }
                "doubt settled" => {
                    doubts.settled.push((at, worker.clone(), line.found.unwrap_or_default()));
                }
                _ => {}
            }
        }
    }
    doubts
}

/// The trace of `booking`, if it was in doubt exactly once: a trace of two doubts is hard to follow.
fn trace(booking: &str, doubts: &Doubts, sources: &Sources) -> Option<Trace> {
    let ([(opened_at, opened_by)], [(settled_at, settled_by, found)]) = (&*doubts.opened, &*doubts.settled)
    else {
        return None;
    };
    let (practice, id) = booking.split_once('/')?;
    let mut existing = sources
        .ledger
        .appointments
        .iter()
        .filter(|one| one.practice_id == practice && one.external_id.as_deref() == Some(id));
    let appointment = existing.next()?;
    let count = 1 + existing.count();

    let (mut events, seen_at) = journal_events(booking, sources.notes);
    let writes = sources.writes.iter().filter(|write| write.id.as_ref() == Some(&appointment.id));
    let mut written_at = Vec::new();
    for write in writes {
        let at = Timestamp(write.carried_out_at_ms.unwrap_or(write.arrived_at_ms));
        written_at.push(at);
        events.push((at, format!("HealthFlow, on {}: {}, {}", write.operation, write.effect, answer(write))));
    }
    let never = Span { from: Timestamp::NEVER, until: Timestamp::NEVER };
    let Span { from: killed, until: back } = sources.killed.unwrap_or(never);
    // Carried out, then killed, and no result was seen in between.
    let is_unheard =
        |at: &Timestamp| *at < killed && !seen_at.iter().any(|result| at < result && *result < killed);
    let was_killed = opened_at.since_ms(killed) > DEAD_MS
        && written_at.iter().rfind(|at| **at < killed).is_some_and(is_unheard);
    if was_killed {
        events.push((killed, "worker-1 is killed before it can report the result".to_owned()));
        events.push((back, "worker-1 is back at work".to_owned()));
        let what = "finds in its state an intent without an answer: the write is in doubt";
        events.push((*opened_at, format!("{opened_by} {what}")));
    } else {
        events
            .push((*opened_at, format!("{opened_by} gets no answer it can rely on: the write is in doubt")));
    }
    let finding = match &**found {
        "yes" => "it exists in HealthFlow and is adopted",
        "no" => "it does not exist in HealthFlow and is written",
        _ => "the wanted version is written over it",
    };
    events.push((*settled_at, format!("{settled_by} settles the doubt: {finding}")));
    let last = events.iter().map(|(at, _)| *at).max()?;
    let s = if count == 1 { "" } else { "s" };
    events.push((last, format!("HealthFlow has {count} appointment{s} of {booking}")));
    Some(Trace { events, was_killed, was_found: found == "yes" })
}

/// What DentScheduler saw of `booking`, and when it saw each result.
fn journal_events(booking: &str, notes: &Notes) -> (Vec<Event>, Vec<Timestamp>) {
    let version = |name: &Name| match name {
        Name::Version(key, version) if key.to_string() == booking => Some(*version),
        _ => None,
    };
    let asked = notes.asked.iter().filter_map(|asked| {
        let version = version(&asked.name)?;
        Some((asked.at, format!("DentScheduler asks for {booking}, version {version}")))
    });
    let names = notes.result_names();
    let result = names.iter().zip(&notes.results).filter_map(|(name, result)| {
        let version = version(name)?;
        Some((result.at, format!("DentScheduler reads: version {version} {}", outcome(result.outcome))))
    });
    let result: Vec<Event> = result.collect();
    let seen_at = result.iter().map(|(at, _)| *at).collect();
    (asked.chain(result).collect(), seen_at)
}

fn answer(write: &Write) -> String {
    write.answered.map_or("no answer sent".to_owned(), |status| format!("answer {status} sent"))
}

fn outcome(outcome: ResultOutcome) -> &'static str {
    match outcome {
        ResultOutcome::Created => "is created",
        ResultOutcome::Updated => "is updated",
        ResultOutcome::Cancelled => "is cancelled",
        ResultOutcome::Unchanged => "was there already",
        ResultOutcome::Superseded => "is superseded by a newer version",
        ResultOutcome::Review => "waits for a person",
        ResultOutcome::Failed => "failed",
        ResultOutcome::Unknown => "ended with an outcome unknown here",
    }
}

//! The story of one booking that was hit, put together from what DentScheduler saw, what the workers logged and what
//! HealthFlow wrote down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use healthflow_sync::event::result::ResultOutcome;
use healthflow_sync::time::Timestamp;
use serde::Deserialize;

use crate::audit::Span;
use crate::desk::{Name, Notes};
use crate::healthflow::{Ledger, Write};

/// What the story is made from.
pub struct Sources<'a> {
    /// Name and log of each worker.
    pub logs: Vec<(String, PathBuf)>,
    /// DentScheduler's desk.
    pub notes: &'a Notes,
    /// What stands.
    pub ledger: &'a Ledger,
    /// What was written.
    pub writes: &'a [Write],
    /// When a worker was killed, and back.
    pub killed: Option<Span>,
}

/// A line of a worker's log that tells of a doubt.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    message: String,
    booking: Option<String>,
    found: Option<String>,
}

/// What the logs say of one booking's doubts.
#[derive(Default)]
struct Doubt {
    opened: Option<(Timestamp, String)>,
    settled: Option<(Timestamp, String, String)>,
}

/// The story, one line per event; none if nothing was hit.
pub fn tell(sources: &Sources) -> Option<Vec<String>> {
    let doubts = doubts(sources);
    let best =
        doubts.iter().filter_map(|(booking, doubt)| scenes(booking, doubt, sources)).max_by_key(rank)?;
    let start = best.scenes.iter().map(|(at, _)| *at).min()?;
    let mut scenes = best.scenes;
    scenes.sort_by_key(|(at, _)| *at);
    let told =
        scenes.iter().map(|(at, what)| format!("{:>+8.2} s  {what}", at.since_ms(start) as f64 / 1_000.0));
    Some(told.collect())
}

struct Story {
    scenes: Vec<(Timestamp, String)>,
    was_killed: bool,
    was_found: bool,
}

/// Which story tells the most: a write that was carried out, whose worker was killed, and that was found again.
fn rank(story: &Story) -> (bool, bool, usize) {
    (story.was_killed, story.was_found, story.scenes.len())
}

fn doubts(sources: &Sources) -> BTreeMap<String, Doubt> {
    let mut doubts: BTreeMap<String, Doubt> = BTreeMap::new();
    for (worker, log) in &sources.logs {
        let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            let Some(booking) = line.booking else { continue };
            let Ok(instant) = line.timestamp.parse::<jiff::Timestamp>() else { continue };
            let at = Timestamp(instant.as_millisecond());
            let doubt = doubts.entry(booking).or_default();
            match &*line.message {
                "answer lost, write in doubt" if doubt.opened.is_none() => {
                    doubt.opened = Some((at, worker.clone()));
                }
                "doubt settled" => {
                    doubt.settled = Some((at, worker.clone(), line.found.unwrap_or_default()));
                }
                _ => {}
            }
        }
    }
    doubts
}

fn scenes(booking: &str, doubt: &Doubt, sources: &Sources) -> Option<Story> {
    let (opened_at, opened_by) = doubt.opened.clone()?;
    let (settled_at, settled_by, found) = doubt.settled.clone()?;
    let (practice, id) = booking.split_once('/')?;
    let is_it = |name: &Name| match name {
        Name::Version(key, _) => key.practice.as_str() == practice && key.booking.as_str() == id,
        Name::Record(..) | Name::Nothing => false,
    };
    let mut scenes = Vec::new();
    for asked in sources.notes.asked.iter().filter(|asked| is_it(&asked.name)) {
        if let Name::Version(_, version) = asked.name {
            scenes.push((asked.at, format!("DentScheduler asks for {booking}, version {version}")));
        }
    }
    for (name, told) in sources.notes.names_told().iter().zip(&sources.notes.told) {
        if let Name::Version(_, version) = name
            && is_it(name)
        {
            let outcome = outcome(told.outcome);
            scenes.push((told.at, format!("DentScheduler reads: version {version} {outcome}")));
        }
    }
    let standing: Vec<_> = sources
        .ledger
        .appointments
        .iter()
        .filter(|one| one.practice_id == practice && one.external_id.as_deref() == Some(id))
        .collect();
    let appointment = standing.first()?;
    let mut was_carried_out_before_kill = false;
    for write in sources.writes.iter().filter(|write| write.id.as_ref() == Some(&appointment.id)) {
        let at = Timestamp(write.carried_out_at_ms.unwrap_or(write.arrived_at_ms));
        let killed_before_answer =
            sources.killed.is_some_and(|(killed, _)| at < killed && killed < opened_at);
        was_carried_out_before_kill |= killed_before_answer && write.effect == "created";
        scenes.push((at, format!("HealthFlow, on {}: {}, {}", write.operation, write.effect, answer(write))));
    }
    let (killed, back) = sources.killed.unwrap_or((Timestamp::NEVER, Timestamp::NEVER));
    let was_killed = was_carried_out_before_kill && opened_by == "worker-1" && opened_at > killed;
    if was_killed {
        scenes.push((killed, "worker-1 is killed before it could tell anybody".to_owned()));
        scenes.push((back, "worker-1 is back at work".to_owned()));
    }
    let how = if was_killed { "in its state, an intent without an answer" } else { "no answer" };
    scenes.push((opened_at, format!("{opened_by} finds {how}: the write is in doubt")));
    let finding = match &*found {
        "yes" => "it stands in HealthFlow and is adopted",
        "no" => "it does not stand in HealthFlow and is written",
        _ => "it is repeated under its idempotency key, which cannot double it",
    };
    scenes.push((settled_at, format!("{settled_by} settles the doubt: {finding}")));
    let last = scenes.iter().map(|(at, _)| *at).max()?;
    scenes.push((last, format!("in HealthFlow stands: {} appointment of {booking}", standing.len())));
    Some(Story { scenes, was_killed, was_found: found == "yes" })
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
        ResultOutcome::Unknown => "ended in a way not known here",
    }
}

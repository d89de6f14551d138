//! How fast the others were confirmed, turn by turn.

use std::collections::HashMap;

use healthflow_core::time::Timestamp;
use serde::Serialize;

use crate::audit::seconds;
use crate::journal::{Name, Notes};
use crate::workload::spoiled::Spoiled;

/// The turn that the others are compared with.
pub const NOTHING: &str = "nothing";

/// A worker that ended by itself.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// Which.
    pub worker: String,
    /// When it was seen.
    pub at: Timestamp,
}

/// Everything, as it is written to `poison.json`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In their order.
    pub turns: Vec<Turn>,
    /// Workers that a record ended.
    pub worker_ends: usize,
    /// From the last such end to the last confirmation of a booking that was asked for before it, in seconds; none
    /// where no worker ended.
    pub seconds_after_last_end: Option<f64>,
}

/// The bookings of one turn that nothing was wrong with.
#[derive(Debug, Serialize)]
pub struct Turn {
    /// What was bad in it.
    pub bad: &'static str,
    /// Versions asked for.
    pub asked: usize,
    /// Of these, those that have a result.
    pub confirmed: usize,
    /// Seconds from published to seen, half of them at most.
    pub seconds_p50: f64,
    /// Seconds from published to seen, 99 of 100 at most.
    pub seconds_p99: f64,
}

impl Report {
    /// Of what was asked and the results; `turn_of` names the versions that count, and their turn.
    pub fn of(
        turns: &[(&'static str, Option<Spoiled>)],
        turn_of: &HashMap<Name, usize>,
        notes: &Notes,
        ends: &[End],
    ) -> Report {
        let by_name = notes.results_by_name();
        let last_end = ends.iter().map(|end| end.at).max();
        let mut waits_ms = vec![Vec::new(); turns.len()];
        let (mut asked_in, mut last_result) = (vec![0; turns.len()], None);
        for asked in &notes.asked {
            let Some(turn) = turn_of.get(&asked.name) else { continue };
            asked_in[*turn] += 1;
            let Some(result) = by_name.get(&asked.name).and_then(|results| results.first()) else { continue };
            waits_ms[*turn].push(result.at.since_ms(asked.at));
            if last_end.is_some_and(|end| asked.at <= end) {
                last_result = last_result.max(Some(result.at));
            }
        }
        let turns = turns.iter().zip(asked_in).zip(&mut waits_ms).map(|(((bad, _), asked), waits_ms)| Turn {
            bad,
            asked,
            confirmed: waits_ms.len(),
            seconds_p50: seconds(waits_ms, 0.5),
            seconds_p99: seconds(waits_ms, 0.99),
        });
        let after_ms = last_end.zip(last_result).map(|(end, result)| result.since_ms(end).max(0));
        Report {
            turns: turns.collect(),
            worker_ends: ends.len(),
            seconds_after_last_end: after_ms.map(|ms| ms as f64 / 1_000.0),
        }
    }

    /// As a table; each turn beside [`NOTHING`].
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "  {:<16}{:>8}{:>11}{:>9}{:>9}{:>10}{:>10}",
            "bad", "others", "confirmed", "p50 s", "p99 s", "p50 rel.", "p99 rel."
        )];
        let nothing = self.turns.iter().find(|turn| turn.bad == NOTHING);
        let beside = |value: f64, of: Option<f64>| value / of.unwrap_or(value).max(0.001);
        for turn in &self.turns {
            lines.push(format!(
                "  {:<16}{:>8}{:>11}{:>9.3}{:>9.3}{:>10.2}{:>10.2}",
                turn.bad,
                turn.asked,
                turn.confirmed,
                turn.seconds_p50,
                turn.seconds_p99,
                beside(turn.seconds_p50, nothing.map(|turn| turn.seconds_p50)),
                beside(turn.seconds_p99, nothing.map(|turn| turn.seconds_p99)),
            ));
        }
        if let Some(seconds) = self.seconds_after_last_end {
            lines.push(format!(
                "  {} workers ended; {seconds:.1} s after the last end everything asked for before was confirmed",
                self.worker_ends
            ));
        }
        lines.join("\n")
    }
}

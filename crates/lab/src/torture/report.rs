//! What the torture found: violations by promise, the faults that were injected, and whether these were enough to prove
//! anything.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::auditor::Seen;
use super::faults::Done;
use super::front_desk::Decided;
use crate::audit::{Audit, Reviews};
use crate::healthflow::Write;

/// Everything, as it is written to `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How long bookings came and faults struck.
    pub minutes: f64,
    /// `healthflow.duplicate_guard`.
    pub guard: String,
    /// Of all chance.
    pub seed: u64,
    /// Kafka's brokers; with three, every record has three replicas.
    pub brokers: usize,
    /// Bookings that were published, each in one or more versions.
    pub bookings: usize,
    /// Versions and poisoned records; each asks for one result.
    pub results_asked: usize,
    /// Records that no worker could use.
    pub poisoned: usize,
    /// Bookings that HealthFlow forbade or never answered until the faults stopped.
    pub singled_out: usize,
    /// How the reviews ended.
    pub reviews: Reviews,
    /// What the front desk did.
    #[serde(flatten)]
    pub decided: Decided,
    /// What was broken.
    #[serde(flatten)]
    pub done: Done,
    /// Writes whose caller could not know their outcome: no answer, or a 5xx.
    pub doubtful_writes: usize,
    /// Of these, those that HealthFlow carried out after it had closed the connection.
    #[serde(flatten)]
    pub late_landings: LateLandings,
    /// Of the writes that came while HealthFlow had its faults, those that went wrong: doubtful or 429 (percent).
    pub faulty_writes_percent: f64,
    /// Seconds from the last fault until every result was there and HealthFlow had nothing left to carry out; none
    /// where that did not happen within the limit.
    pub seconds_to_quiet: Option<f64>,
    /// Requests in HealthFlow's busiest second.
    pub requests_per_second_peak: u64,
    /// What may come in one.
    pub requests_per_second_allowed: u64,
    /// Must all be zero.
    pub violations: Violations,
    /// With zero violations among so many doubtful writes, the rate is below this with 95 % confidence (percent).
    pub duplicate_rate_bound_percent: f64,
    /// Transactions that Kafka itself lost after a kill; see [`BROKER_TRAP`].
    pub broker_trap_lines: usize,
    /// Why the run proves too little.
    pub shortfalls: Vec<String>,
    /// What is wrong, in words.
    pub examples: Vec<String>,
}

/// What is wrong, by promise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Violations {
    /// Versions without any result, reviews that did not end, and bookings that should exist in HealthFlow and do not.
    pub lost: usize,
    /// Results too many.
    pub duplicate_results: usize,
    /// Appointments too many.
    pub duplicate_appointments: usize,
    /// Patients too many.
    pub duplicate_patients: usize,
    /// Appointments without their patient.
    pub orphans: usize,
    /// Appointments that do not show the newest version or are of another patient; results with the wrong outcome.
    pub wrong_content: usize,
    /// Requests too many in the busiest second.
    pub limit_exceeded: u64,
    /// Partitions with a transaction that stays open.
    pub hanging_transactions: usize,
    /// Records of results that a second reading did not return, or returned otherwise.
    pub changed_results: usize,
    /// Workers that panicked.
    pub panics: u64,
}

/// Writes that were carried out long after they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LateLandings {
    /// How many.
    pub late_landings: usize,
    /// The latest, in seconds after it came.
    pub latest_landing_seconds: f64,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every promise was kept, and enough was broken to prove it.
    Kept,
    /// A promise was broken.
    Violated,
    /// No promise was broken, but too little else was.
    ProvesTooLittle,
}

/// Shorter runs (minutes) are tests of the code, perhaps on a slow machine, and prove little anyway.
const SHARE_FROM_MINUTES: f64 = 5.0;

/// What a run must meet at least.
#[derive(Clone, Copy, Debug)]
pub struct Minimum {
    /// Bookings.
    pub bookings: f64,
    /// Workers killed.
    pub worker_kills: f64,
    /// Zombies resumed.
    pub zombies_resumed: f64,
    /// Brokers killed.
    pub broker_kills: f64,
    /// Doubtful writes.
    pub doubtful_writes: f64,
}

impl Minimum {
    /// Of this minimum for ten minutes, what a run of `minutes` must meet: its share, and below
    /// [`SHARE_FROM_MINUTES`] one of each.
    pub fn of(self, minutes: f64) -> Minimum {
        let share = minutes / 10.0;
        let part = |minimum: f64, least: f64| {
            if minutes < SHARE_FROM_MINUTES { least } else { minimum * share }
        };
        Minimum {
            bookings: self.bookings * share,
            worker_kills: part(self.worker_kills, 1.0),
            zombies_resumed: part(self.zombies_resumed, 1.0),
            broker_kills: part(self.broker_kills, 1.0),
            doubtful_writes: part(self.doubtful_writes, 20.0),
        }
    }
}

/// What Kafka (4.3.1, KAFKA-20734) logs when it takes a partition that has no leader for deleted and never writes its
/// commit marker. A single node that was killed has no leaders for a moment, while its coordinator finishes open
/// transactions. Of three nodes one can always lead.
pub const BROKER_TRAP: &str = "likely deleted already and hence can be skipped";

impl Violations {
    /// Of an audit and the auditor's findings.
    pub fn of(audit: &Audit, seen: &Seen) -> Self {
        let wrong = &audit.wrong;
        Violations {
            lost: audit.waiting + wrong.open_reviews + wrong.missing,
            duplicate_results: wrong.duplicate_results,
            duplicate_appointments: wrong.duplicate_appointments,
            duplicate_patients: wrong.duplicate_patients,
            orphans: wrong.orphans,
            wrong_content: wrong.wrong_content + wrong.wrong_outcome,
            hanging_transactions: seen.hanging.len(),
            changed_results: seen.changed.len(),
            ..Violations::default()
        }
    }

    fn rows(&self) -> [(&'static str, u64); 10] {
        [
            ("lost bookings", self.lost as u64),
            ("duplicate results", self.duplicate_results as u64),
            ("duplicate appointments", self.duplicate_appointments as u64),
            ("duplicate patients", self.duplicate_patients as u64),
            ("orphans", self.orphans as u64),
            ("wrong content", self.wrong_content as u64),
            ("limit exceeded", self.limit_exceeded),
            ("hanging transactions", self.hanging_transactions as u64),
            ("changed results", self.changed_results as u64),
            ("panics", self.panics),
        ]
    }
}

impl Report {
    /// How it ends.
    pub fn verdict(&self) -> Verdict {
        if self.violations != Violations::default() {
            Verdict::Violated
        } else if self.shortfalls.is_empty() {
            Verdict::Kept
        } else {
            Verdict::ProvesTooLittle
        }
    }

    /// Notes where the run met less than `minimum`.
    pub fn compare(&mut self, minimum: &Minimum) {
        for (what, met, least) in [
            ("bookings", self.bookings as f64, minimum.bookings),
            ("worker kills", self.done.worker_kills as f64, minimum.worker_kills),
            ("zombies resumed", self.done.zombies_resumed as f64, minimum.zombies_resumed),
            ("broker kills", self.done.broker_kills as f64, minimum.broker_kills),
            ("doubtful writes", self.doubtful_writes as f64, minimum.doubtful_writes),
        ] {
            if met < least {
                self.shortfalls.push(format!("{met} {what}, at least {least:.1} are needed"));
            }
        }
        if self.faulty_writes_percent < FAULTY_PERCENT_MIN {
            self.shortfalls
                .push(format!("only {:.1} % of the writes went wrong", self.faulty_writes_percent));
        }
        if self.seconds_to_quiet.is_none() {
            self.shortfalls.push("the run did not become quiet within the limit".to_owned());
        }
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut lines =
            vec![format!("The torture: {} minutes, guard {}, seed {}", self.minutes, self.guard, self.seed)];
        let mut row = |name: &str, value: String, note: &str| {
            lines.push(format!("  {name:<24}{value:>9}   {note}").trim_end().to_owned());
        };
        row("bookings", self.bookings.to_string(), &format!("{} results asked for", self.results_asked));
        row("poisoned records", self.poisoned.to_string(), "");
        row(
            "singled out",
            self.singled_out.to_string(),
            "forbidden or never answered, until the faults stopped",
        );
        let decided = &self.decided;
        row("reviews", self.reviews.asked.to_string(), &self.reviews.text());
        let also = format!(
            "{} copied, {} that must be refused",
            decided.copied_decisions, decided.refused_decisions
        );
        row("decisions", decided.decisions.to_string(), &also);
        row("worker kills", self.done.worker_kills.to_string(), "SIGKILL");
        row("zombies resumed", self.done.zombies_resumed.to_string(), "asleep longer than lease and session");
        let replicas = if self.brokers == 1 { "SIGKILL of the only one" } else { "SIGKILL of one of three" };
        row("broker kills", self.done.broker_kills.to_string(), replicas);
        row("registry kills", self.done.registry_kills.to_string(), "SIGKILL");
        row("log reader kills", self.done.log_reader_kills.to_string(), "SIGKILL");
        let done = &self.done;
        let cut = format!("and {} times frozen", done.connections_held);
        row("connections cut", done.connections_cut.to_string(), &cut);
        let unanswered = format!("and {} carried out and not answered", done.transaction_ends_unanswered);
        row(
            "ends of transactions",
            done.transaction_ends_held.to_string(),
            &format!("delayed; {unanswered}"),
        );
        row(
            "workers that ended",
            self.done.worker_exits.to_string(),
            "by themselves, and were started again",
        );
        let phases = format!("{} outages, {} storms of 429", self.done.outages, self.done.storms);
        row("faulty writes", format!("{:.1} %", self.faulty_writes_percent), &phases);
        row("doubtful writes", self.doubtful_writes.to_string(), "no answer, or a 5xx");
        let latest = format!("the latest after {:.1} s", self.late_landings.latest_landing_seconds);
        row("late landings", self.late_landings.late_landings.to_string(), &latest);
        let quiet = self.seconds_to_quiet.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s"));
        row("quiet after", quiet, "the last fault");
        let allowed = format!("in the busiest second, at most {}", self.requests_per_second_allowed);
        row("requests", self.requests_per_second_peak.to_string(), &allowed);
        for (name, count) in self.violations.rows() {
            row(name, count.to_string(), if count == 0 { "" } else { "← must be 0" });
        }
        let bound = format!("{:.3} %", self.duplicate_rate_bound_percent);
        row("bound", bound, "3/n of the doubtful writes, where nothing was violated");
        lines.extend(self.examples.iter().map(|example| format!("  ! {example}")));
        if self.broker_trap_lines > 0 {
            lines.push(format!(
                "  ! Kafka, not the processor: after a kill it skipped the commit markers of {} transactions (\"... \
                 {BROKER_TRAP}\" in kafka.log); they hang for ever",
                self.broker_trap_lines
            ));
        }
        lines.extend(self.shortfalls.iter().map(|shortfall| format!("  ! too little: {shortfall}")));
        lines.push(match self.verdict() {
            Verdict::Kept => "  Nothing was violated.".to_owned(),
            Verdict::Violated => "  VIOLATED".to_owned(),
            Verdict::ProvesTooLittle => {
                "  Nothing was violated, but too little was broken to prove anything.".to_owned()
            }
        });
        lines.join("\n")
    }
}

/// Of HealthFlow's writes so many must go wrong (percent).
const FAULTY_PERCENT_MIN: f64 = 30.0;

/// A write that is carried out longer (milliseconds) after it came than any answer takes.
const LATE_MS: i64 = 500;

/// Which of `writes` landed late.
pub fn late_landings(writes: &[Write]) -> LateLandings {
    let waits_ms = writes.iter().filter_map(|write| Some(write.carried_out_at_ms? - write.arrived_at_ms));
    let late_ms: Vec<i64> = waits_ms.filter(|wait_ms| *wait_ms >= LATE_MS).collect();
    let latest_ms = late_ms.iter().max().copied().unwrap_or_default();
    LateLandings { late_landings: late_ms.len(), latest_landing_seconds: latest_ms as f64 / 1_000.0 }
}

/// How often Kafka, by its `logs`, lost a transaction itself.
pub fn broker_trap_lines(logs: &Path) -> Result<usize> {
    let mut count = 0;
    for log in std::fs::read_dir(logs).context("Kafka's logs are gone")? {
        let text = std::fs::read(log?.path()).context("Kafka's log cannot be read")?;
        count += String::from_utf8_lossy(&text).matches(BROKER_TRAP).count();
    }
    Ok(count)
}

/// How many of `writes` left their caller in doubt.
pub fn doubtful(writes: &[Write]) -> usize {
    writes.iter().filter(|write| is_doubtful(write)).count()
}

/// How many of those of `writes` that came before HealthFlow was well, at `well_at_ms`, went wrong (percent).
pub fn faulty_percent(writes: &[Write], well_at_ms: i64) -> f64 {
    let spoiled: Vec<_> = writes.iter().filter(|write| write.arrived_at_ms < well_at_ms).collect();
    let is_faulty = |write: &Write| is_doubtful(write) || write.answered == Some(429);
    let faulty = spoiled.iter().filter(|write| is_faulty(write)).count();
    100.0 * faulty as f64 / spoiled.len().max(1) as f64
}

fn is_doubtful(write: &Write) -> bool {
    write.answered.is_none_or(|status| status >= 500)
}

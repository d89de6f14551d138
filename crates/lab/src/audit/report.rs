//! The audit on a screen.

use super::{Audit, Reviews};

/// The audit as text.
pub fn text(audit: &Audit) -> String {
    let wrong = &audit.wrong;
    let mut lines =
        vec!["The audit: what was asked, which results came, what exists in HealthFlow".to_owned()];
    let mut row = |name: &str, value: String, note: &str| {
        lines.push(format!("  {name:<24}{value:>9}   {note}").trim_end().to_owned());
    };
    row("asked", audit.asked.to_string(), "versions of bookings, and poisoned records");
    row("synced", audit.synced.to_string(), "");
    row("failed", audit.failed.to_string(), "dead letters: poisoned records, and what a person rejected");
    row("reviews", audit.reviews.asked.to_string(), &audit.reviews.text());
    for (name, count, note) in [
        ("waiting", audit.waiting, "without any result"),
        ("reviews still open", wrong.open_reviews, "and what waits behind them"),
        ("duplicate appointments", wrong.duplicate_appointments, ""),
        ("duplicate patients", wrong.duplicate_patients, ""),
        ("orphans", wrong.orphans, "appointments without their patient"),
        ("missing", wrong.missing, "bookings that should exist and do not"),
        ("duplicate results", wrong.duplicate_results, ""),
        ("wrong content", wrong.wrong_content, "not the newest version, or not its patient"),
        ("wrong outcome", wrong.wrong_outcome, "another result than the expected one"),
    ] {
        row(name, count.to_string(), if count == 0 { note } else { "← must be 0" });
    }
    let confirmed = format!("{:.2} s", audit.confirm_seconds_p50);
    row("confirmed, p50", confirmed, &format!("{:.2} s without chaos", audit.confirm_seconds_p50_calm));
    let confirmed = format!("{:.2} s", audit.confirm_seconds_p99);
    let calm = format!("{:.2} s without chaos ({} versions)", audit.confirm_seconds_p99_calm, audit.calm);
    row("confirmed, p99", confirmed, &calm);
    row("requests to HealthFlow", audit.requests.to_string(), &throttle(audit));
    row("writes without answer", audit.writes_unanswered.to_string(), &replays(audit));
    row("published again", audit.published_again.to_string(), "upstream duplicates, absorbed");
    for example in &audit.examples {
        lines.push(format!("  ! {example}"));
    }
    lines.join("\n")
}

impl Reviews {
    /// How they ended.
    pub fn text(&self) -> String {
        let Reviews { linked, new, rejected, by_newer_version, .. } = self;
        format!(
            "{linked} linked, {new} new, {rejected} rejected, {by_newer_version} ended by a newer version"
        )
    }
}

fn throttle(audit: &Audit) -> String {
    format!(
        "{} in the busiest second, {} answered 429",
        audit.requests_per_second_peak, audit.requests_throttled
    )
}

fn replays(audit: &Audit) -> String {
    format!("{} creates were recognised as repeated", audit.creates_replayed)
}

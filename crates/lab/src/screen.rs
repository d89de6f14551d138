//! The progress of a demo run: bars on a terminal, a plain line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stdout};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::journal::{Count, Journal};
use crate::planned_faults::FaultLog;
use healthflow_testkit::processes::worker;

const FRAME: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_WIDTH: usize = 40;

/// What the screen shows.
pub struct Screen {
    /// DentScheduler's journal.
    pub journal: Arc<Journal>,
    /// The planned faults.
    pub fault_log: Arc<FaultLog>,
    /// The workers' admin servers.
    pub admin_urls: Vec<String>,
    /// How many records will be published.
    pub total: usize,
    /// How many of them ask for a result.
    pub total_asked: usize,
}

/// One frame.
struct Frame {
    elapsed: Duration,
    published: usize,
    count: Count,
    retry: usize,
    doubts: usize,
    fault: Option<&'static str>,
}

impl Screen {
    /// Shows until the future is dropped.
    pub async fn show(&self) {
        let client = reqwest::Client::builder().no_proxy().timeout(FRAME).build().unwrap_or_default();
        let start = Instant::now();
        let mut next_line = start;
        let mut drawn = 0;
        loop {
            let frame = self.frame(&client, start.elapsed()).await;
            if stdout().is_terminal() {
                drawn = draw(&self.bars(&frame), drawn);
            } else if Instant::now() >= next_line {
                println!("{}", self.line(&frame));
                next_line = Instant::now() + LINE_EVERY;
            }
            sleep(FRAME).await;
        }
    }

    async fn frame(&self, client: &reqwest::Client, elapsed: Duration) -> Frame {
        let (mut retry, mut doubts) = (0, 0);
        for url in &self.admin_urls {
            let status = worker::status(client, url).await.map(|page| page.status).unwrap_or_default();
            retry += status.tasks.iter().map(|task| task.waiting_room).sum::<usize>();
            doubts += status.open_doubts;
        }
        let (published, count) = {
            let notes = self.journal.notes();
            (notes.published, notes.count())
        };
        Frame { elapsed, published, count, retry, doubts, fault: self.fault_log.history().current }
    }

    fn bars(&self, frame: &Frame) -> Vec<String> {
        let Count { synced, review, failed, .. } = frame.count;
        let (total, lag) = (self.total, lag(frame));
        let row = |name: &str, value: usize, of: usize, colour: u8| {
            let filled = (value * BAR_WIDTH).div_ceil(of.max(1)).min(BAR_WIDTH);
            let (full, empty) = ("█".repeat(filled), "░".repeat(BAR_WIDTH - filled));
            format!("  {name:<10} \x1b[{colour}m{full}\x1b[90m{empty}\x1b[0m {value:>6}")
        };
        vec![
            format!("  {:>5.1} s after the first booking", frame.elapsed.as_secs_f64()),
            format!("{} of {total}", row("published", frame.published, total, 36)),
            row("synced", synced, self.total_asked, 32),
            format!("{} in doubt: {}", row("retry", frame.retry, total, 33), frame.doubts),
            row("review", review, total, 35),
            row("failed", failed, total, 31),
            row("lag", lag, total, 34),
            match frame.fault {
                Some(fault) => format!("  \x1b[1;31m⚡ {fault}\x1b[0m"),
                None => "  no fault active".to_owned(),
            },
        ]
    }

    fn line(&self, frame: &Frame) -> String {
        let Count { synced, review, failed, .. } = frame.count;
        let mut line = format!(
            "{:>5.1} s  published {} of {}, synced {synced}, retry {}, in doubt {}, review {review}, failed {failed}, lag {}",
            frame.elapsed.as_secs_f64(),
            frame.published,
            self.total,
            frame.retry,
            frame.doubts,
            lag(frame),
        );
        if let Some(fault) = frame.fault {
            line.push_str("  [");
            line.push_str(fault);
            line.push(']');
        }
        line
    }
}

/// Versions that have no result and are not parked for a retry.
fn lag(frame: &Frame) -> usize {
    frame.count.waiting().saturating_sub(frame.retry)
}

/// Draws `lines` over the `drawn` lines of the last frame; returns how many lines there are now.
fn draw(lines: &[String], drawn: usize) -> usize {
    let mut text = String::new();
    if drawn > 0 {
        let _ = write!(text, "\x1b[{drawn}A");
    }
    for line in lines {
        let _ = writeln!(text, "\x1b[2K{line}");
    }
    // A terminal that went away is no reason to stop.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
    lines.len()
}

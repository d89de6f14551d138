//! What happened, one line each with the world's time: printed where a seed fails, compared where a seed is run twice.

use crate::plan::BEGIN_MS;

#[derive(Debug, Default)]
pub struct Story {
    recording: bool,
    pub lines: Vec<String>,
}

impl Story {
    pub fn new(recording: bool) -> Self {
        Story { recording, lines: Vec::new() }
    }

    pub fn tell(&mut self, now: i64, line: impl FnOnce() -> String) {
        if self.recording {
            self.lines.push(format!("{:>9.3} {}", (now - BEGIN_MS) as f64 / 1_000.0, line()));
        }
    }
}

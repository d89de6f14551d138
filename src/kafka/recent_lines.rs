//! Which lines were logged recently. A task that waits for a person tries again every few seconds and would log the
//! same reason each time, which would bury the lines before it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the same line is not repeated.
const QUIET: Duration = Duration::from_secs(300);

/// Lines, and when each was last logged.
#[derive(Default)]
pub(super) struct RecentLines(Mutex<HashMap<String, Instant>>);

impl RecentLines {
    /// Whether `line` was not logged recently; it counts as logged now.
    pub(super) fn is_new(&self, line: &str) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.retain(|_, at| at.elapsed() < QUIET);
        reported.insert(line.to_owned(), Instant::now()).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_is_new_once_and_another_one_at_once() {
        let reported = RecentLines::default();
        let news = ["a", "a", "b", "a", "b"].map(|line| reported.is_new(line));
        assert_eq!(news, [true, false, true, false, false]);
    }
}

//! The limit of open files. Each task has its own connections to the brokers, so a worker with many tasks and the usual
//! limit of 1,024 would acquire some of them and fail with the others for ever.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files of a worker that has no task yet and makes no calls.
const FILES_BASE: u64 = 128;
/// Open files of a task, at most: pipes and connections of its producer. With one broker, 200 tasks had 1,638 open.
const FILES_PER_TASK: u64 = 10;

/// Raises the limit of open files to the hard limit; returns the new limit, none if there is none.
pub fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // The old limit may be enough.
        Err(_) => current,
    }
}

/// Checks that `limit` is enough for a worker that may own all `partitions` and makes `calls` calls at once.
///
/// # Errors
/// It is too low; the line says what to raise.
pub fn check_limit(limit: Option<u64>, partitions: u32, calls: u64) -> anyhow::Result<()> {
    let needed = FILES_BASE + FILES_PER_TASK * u64::from(partitions) + calls;
    match limit {
        Some(limit) if limit < needed => bail!(
            "this worker may open {limit} files and needs {needed} if it owns all {partitions} partitions; raise the hard \
             limit (ulimit -Hn, LimitNOFILE= of a systemd unit, ulimits of a container)"
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_refused_with_what_is_needed() {
        let refused = check_limit(Some(1_024), 200, 64).unwrap_err().to_string();
        assert!(refused.contains("may open 1024 files") && refused.contains("needs 2192"), "{refused}");
        assert!(check_limit(Some(1_024), 12, 64).is_ok() && check_limit(None, 10_000, 64).is_ok());
    }
}

//! Whole workers whose log cannot be written: reporting must never stop the work.

use std::fs::File;
use std::path::{Path, PathBuf};

use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::result::ResultOutcome;
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use crate::rig::{PARTITIONS, Rig};
use crate::world::LIMIT;
use healthflow_testkit::wait::wait_for;

/// Some pages of log lines at the level `trace`.
const BOOKINGS: usize = 30;

fn events(rig: &Rig) -> Vec<AppointmentRequested> {
    let practice = rig.practice(0);
    (0..BOOKINGS).map(|number| rig.event(&practice, &format!("b-{number}"), 1)).collect()
}

/// A pipe that holds one page, and the end of it that a reader of the log has.
fn pipe(rig: &Rig) -> (PathBuf, File) {
    let path = rig.folder().join("log.pipe");
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let reader = open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
    rustix::pipe::fcntl_setpipe_size(&reader, 4_096).unwrap();
    (path, reader.into())
}

fn lines_lost(rig: &Rig) -> f64 {
    rig.counter(0, "healthflow_sync_worker_log_lines_lost_total")
}

fn works(rig: Rig) {
    let events = events(&rig);
    rig.publish(&events);
    let closed = rig.close_after(events.len());
    assert!(closed.results.iter().all(|result| result.outcome == ResultOutcome::Created));
}

/// Goal: a worker starts and works though the disk of its log is full, and counts the lines.
#[test]
fn a_full_log_disk_stops_nobody() {
    let mut rig = Rig::open("full-log-disk", &[]);
    rig.hire_logging_to(Path::new("/dev/full"));
    rig.wait_live(0, PARTITIONS as usize);
    wait_for(LIMIT, || (lines_lost(&rig) > 0.0).then_some(())).expect("lost lines are counted");
    works(rig);
}

/// Goal: a worker goes on when the reader of its log has gone.
#[test]
fn a_reader_of_the_log_that_goes_away_stops_nobody() {
    let mut rig = Rig::open("log-reader-gone", &[]);
    let (path, reader) = pipe(&rig);
    rig.hire_logging_to(&path);
    drop(reader);
    rig.wait_live(0, PARTITIONS as usize);
    wait_for(LIMIT, || (lines_lost(&rig) > 0.0).then_some(())).expect("lost lines are counted");
    works(rig);
}

/// Goal: a worker works on while its log is full and has no reader, and ends in good order. Method: the pipe holds less
/// than the start of a worker has to say.
#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let mut rig = Rig::open("log-unread", &[]);
    let (path, _reader) = pipe(&rig);
    rig.hire_logging_to(&path);
    rig.wait_live(0, PARTITIONS as usize);
    works(rig);
}

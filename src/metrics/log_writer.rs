//! Writes log lines to standard error. Reporting must never stop the work: a reader that goes away, a full disk or a
//! pipe without a reader costs lines, which are counted, and nothing else. So a thread of its own writes; logging only
//! puts a line into a bounded queue.
//!
//! `tracing-appender` does the same, but prints to standard output if its queue is full at the end, which panics on the
//! same broken pipe, and does not count what it could not write.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written; further ones are lost.
const LINES_QUEUED_MAX: usize = 8_192;

/// Puts lines into the queue. Cheap to clone; all clones share one queue and one thread.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    queued: Condvar,
    written: Condvar,
    lines_lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    is_writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes to `out`, line by line. It lives as long as the process.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = shared.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || writing.write_all_to(out))?;
        Ok(LogWriter(shared))
    }

    /// Queues `line`, which ends with a line feed, or drops and counts it if the queue is full. Never waits for the
    /// reader of the log.
    pub fn put(&self, line: Vec<u8>) {
        let mut queue = self.0.lock();
        if queue.lines.len() >= LINES_QUEUED_MAX {
            self.0.lines_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.lines.push_back(line);
        self.0.queued.notify_one();
    }

    /// Lines that were lost so far: the queue was full, or the write failed.
    pub fn lines_lost(&self) -> u64 {
        self.0.lines_lost.load(Ordering::Relaxed)
    }

    /// Waits until every queued line is written, for `limit` at most.
    pub fn flush(&self, limit: Duration) {
        let queue = self.0.lock();
        let is_busy = |queue: &mut Queue| queue.is_writing || !queue.lines.is_empty();
        // Lines that are not written within the limit are lost with the process.
        let _ = self.0.written.wait_timeout_while(queue, limit, is_busy);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut out: impl Write) {
        loop {
            let mut queue = self.lock();
            queue.is_writing = false;
            self.written.notify_all();
            let mut queue = self
                .queued
                .wait_while(queue, |queue| queue.lines.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            let Some(line) = queue.lines.pop_front() else { continue };
            queue.is_writing = true;
            drop(queue);
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                self.lines_lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

impl Write for LogWriter {
    /// Takes one whole line: `tracing-subscriber` writes an event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A reader that takes a line only when allowed to.
    struct Slow {
        may_read: Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.may_read.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.read.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (LogWriter, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (allow, may_read) = channel();
        let read = Arc::new(Mutex::new(Vec::new()));
        let writer = LogWriter::start(Slow { may_read, read: read.clone() }).unwrap();
        (writer, allow, read)
    }

    /// Goal: a log without a reader delays nothing, and its lost lines are counted; queued lines are read later.
    #[test]
    fn a_log_without_a_reader_loses_lines_and_counts_them() {
        let (writer, allow, read) = slow();
        for _ in 0..LINES_QUEUED_MAX + 10 {
            writer.put(b"x\n".to_vec());
        }
        // The thread may hold one line that is not in the queue any more.
        let lost = usize::try_from(writer.lines_lost()).unwrap();
        assert!((9..=10).contains(&lost), "{lost} lines lost");
        for _ in 0..LINES_QUEUED_MAX + 10 {
            allow.send(()).unwrap();
        }
        writer.flush(LIMIT);
        assert_eq!(read.lock().unwrap().len(), 2 * (LINES_QUEUED_MAX + 10 - lost));
    }

    /// Goal: a reader that has gone ends nothing. Method: every write fails.
    #[test]
    fn a_reader_that_has_gone_costs_lines_only() {
        let (writer, allow, _) = slow();
        drop(allow);
        writer.put(b"no one reads this\n".to_vec());
        writer.put(b"nor this\n".to_vec());
        writer.flush(LIMIT);
        assert_eq!(writer.lines_lost(), 2);
    }

    /// Goal: the end of a process does not wait for ever for the reader of its log.
    #[test]
    fn a_flush_has_an_end() {
        let (writer, _allow, _) = slow();
        writer.put(b"never read\n".to_vec());
        writer.flush(Duration::from_millis(1));
    }
}

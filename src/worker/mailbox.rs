//! The queue of inputs for the loop. It takes one lock for a whole batch instead of one wake-up for each input: at
//! thousands of bookings a second, waking a thread is most of what a channel costs.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use healthflow_core::processor::{Inbox, Input};

/// Records that may wait; beyond that their reader blocks. Other inputs never block.
const RECORDS_MAX: usize = 1024;

/// The loop's mailbox. Any number of threads post, one thread takes.
#[derive(Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    posted: Condvar,
    taken: Condvar,
}

#[derive(Default)]
struct Waiting {
    inputs: Vec<Input>,
    records: usize,
    failure: Option<String>,
    is_closed: bool,
    is_taker_asleep: bool,
}

impl Mailbox {
    /// Moves all inputs into `inputs`, which must be empty; waits for up to `limit` if there are none.
    ///
    /// # Errors
    /// The failure that was reported to [`Inbox::fail`]: the process must end.
    pub fn take(&self, inputs: &mut Vec<Input>, limit: Duration) -> Result<(), String> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.inputs.is_empty() && waiting.failure.is_none() && !limit.is_zero() {
            waiting.is_taker_asleep = true;
            let nothing = |waiting: &mut Waiting| waiting.inputs.is_empty() && waiting.failure.is_none();
            waiting = match self.posted.wait_timeout_while(waiting, limit, nothing) {
                Ok((waiting, _)) => waiting,
                Err(poisoned) => poisoned.into_inner().0,
            };
            waiting.is_taker_asleep = false;
        }
        if let Some(reason) = waiting.failure.take() {
            return Err(reason);
        }
        std::mem::swap(&mut waiting.inputs, inputs);
        if waiting.records > 0 {
            waiting.records = 0;
            self.taken.notify_all();
        }
        Ok(())
    }

    /// Stops taking inputs: threads that wait for room continue.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_closed = true;
        waiting.inputs.clear();
        self.taken.notify_all();
    }
}

impl Inbox for Mailbox {
    fn post(&self, input: Input) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_closed {
            return;
        }
        waiting.inputs.push(input);
        if waiting.is_taker_asleep {
            self.posted.notify_one();
        }
    }

    fn post_records(&self, records: &mut Vec<Input>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |waiting: &mut Waiting| waiting.records >= RECORDS_MAX && !waiting.is_closed;
        let mut waiting = self.taken.wait_while(waiting, full).unwrap_or_else(PoisonError::into_inner);
        if waiting.is_closed {
            records.clear();
            return;
        }
        waiting.records += records.len();
        waiting.inputs.append(records);
        if waiting.is_taker_asleep {
            self.posted.notify_one();
        }
    }

    fn fail(&self, reason: String) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.failure.get_or_insert(reason);
        self.posted.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Goal: a reader waits while the mailbox is full, and continues once it is emptied; nothing else waits.
    #[test]
    fn records_wait_for_room_and_everything_else_does_not() {
        let mailbox = Arc::new(Mailbox::default());
        let full = (0..RECORDS_MAX).map(|_| Input::TimePassed);
        mailbox.post_records(&mut full.collect());
        mailbox.post(Input::StopRequested);
        let reader = {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || mailbox.post_records(&mut vec![Input::TaskAssigned { partition: 7 }]))
        };
        let mut inputs = Vec::new();
        mailbox.take(&mut inputs, Duration::ZERO).unwrap();
        assert!(matches!(inputs[RECORDS_MAX..], [Input::StopRequested]));
        inputs.clear();
        mailbox.take(&mut inputs, Duration::from_secs(30)).unwrap();
        assert!(matches!(inputs[..], [Input::TaskAssigned { partition: 7 }]));
        reader.join().unwrap();
    }

    /// Goal: the loop learns of a failure, even when asleep, and only once.
    #[test]
    fn a_failure_wakes_the_loop() {
        let mailbox = Mailbox::default();
        mailbox.fail("first".into());
        mailbox.fail("second".into());
        assert_eq!(mailbox.take(&mut Vec::new(), Duration::from_secs(30)), Err("first".into()));
        assert_eq!(mailbox.take(&mut Vec::new(), Duration::ZERO), Ok(()));
    }
}

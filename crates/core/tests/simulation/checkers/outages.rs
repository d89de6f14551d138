//! An outage costs no booking anything: while a worker's breaker is open, nothing is put aside for what HealthFlow did not
//! answer, so nothing spends an attempt on it, and one call at a time goes out.

use healthflow_core::fact::Fact;

/// The classes of faults that say only that HealthFlow does not work.
const NO_ANSWER: [&str; 6] = ["connect", "timeout", "reset", "server_error", "unreadable", "foreign"];

/// What a worker has reported of its breaker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported {
    is_open: bool,
    /// Calls that went out since it opened, or since one came back.
    sent: u32,
}

impl Reported {
    /// Whether its breaker is open.
    pub fn is_open(self) -> bool {
        self.is_open
    }
}

/// Takes in what a worker reports, in order; what it breaks.
pub fn broken(reported: &mut Reported, facts: &[Fact]) -> Vec<String> {
    let mut broken = Vec::new();
    for fact in facts {
        match fact {
            Fact::BreakerOpened { .. } => *reported = Reported { is_open: true, sent: 0 },
            Fact::BreakerClosed { .. } => reported.is_open = false,
            Fact::CallAnswered { .. } => reported.sent = 0,
            Fact::CallSent { operation } if reported.is_open => {
                reported.sent += 1;
                if reported.sent > 1 {
                    broken.push(format!("{operation:?} goes out beside another probe"));
                }
            }
            Fact::BookingParked { key, version, attempts, last_error, .. }
                if reported.is_open && NO_ANSWER.contains(&&**last_error) =>
            {
                broken
                    .push(format!("{key} v{version} is put aside for {last_error} with {attempts} attempts"));
            }
            _ => {}
        }
    }
    broken
}

//! The log's lines about times in which HealthFlow does not work or wants no calls, and about who was notified of them.

use tracing::{debug, error, info, warn};

use healthflow_core::booking::{BookingId, PracticeId};
use healthflow_core::fact::{Fact, PauseCause};
use healthflow_core::limits::rejection_storm::StormChange;
use healthflow_core::limits::shared_counter::Change;
use healthflow_core::time::Timestamp;

/// Logs what is about all calls.
pub(super) fn report_outage(fact: &Fact) {
    match fact {
        Fact::BreakerOpened { cause, calls, bad } => error!(
            cause = cause.code(),
            calls,
            bad,
            "HealthFlow does not work, nothing is sent but a probe now and then; bookings wait and spend no attempt"
        ),
        Fact::BreakerProbeFailed => debug!("probe failed, HealthFlow does not work yet"),
        Fact::BreakerClosed { open_ms } => {
            info!(open_ms, "HealthFlow works again, more is sent by the second");
        }
        Fact::AccountPaused { until, why, practice, booking } => {
            report_pause(*until, *why, practice, booking.as_ref());
        }
        Fact::CounterChanged(Change::Away(why)) => warn!(
            why = why.code(),
            "the shared counter of calls does not answer; this worker keeps to a part of its share until it does, look at Redis"
        ),
        Fact::CounterChanged(Change::Back { away_ms }) => {
            info!(away_ms, "the shared counter of calls answers again")
        }
        Fact::StormChanged(change) => report_storm(change),
        _ => {}
    }
}

/// Logs what became of notices.
pub(super) fn report_notice(fact: &Fact) {
    match fact {
        Fact::NoticeWritten { partition, kind } => {
            debug!(partition, kind = kind.code(), "notice written to appointments.notices");
        }
        Fact::PromiseEnded { late_ms } => debug!(late_ms, "result of a version that was told of its delay"),
        _ => {}
    }
}

fn report_storm(change: &StormChange) {
    match change {
        StormChange::Began { of, rule, calls, refused } => error!(
            practice = of.practice.as_ref().map(PracticeId::as_str),
            operation = of.operation.code(),
            rule = &**rule,
            calls,
            refused,
            "HealthFlow refuses nearly everything, what it refuses waits and one booking a minute is tried; look for a broken release"
        ),
        StormChange::Over { of, lasted_ms, is_accepted: true } => info!(
            practice = of.practice.as_ref().map(PracticeId::as_str),
            operation = of.operation.code(),
            lasted_ms,
            "HealthFlow accepts bookings again, what waited comes back"
        ),
        StormChange::Over { of, lasted_ms, is_accepted: false } => error!(
            practice = of.practice.as_ref().map(PracticeId::as_str),
            operation = of.operation.code(),
            lasted_ms,
            "HealthFlow refused nearly everything for so long that refusals are final again; redrive the dead letters once the cause is gone"
        ),
    }
}

fn report_pause(until: Timestamp, why: PauseCause, practice: &PracticeId, booking: Option<&BookingId>) {
    let (practice, booking) = (practice.as_str(), booking.map(BookingId::to_string));
    let cause = why.code();
    match why {
        PauseCause::Unauthorised => error!(
            %until, why = cause, practice, booking,
            "HealthFlow refuses our credentials, nothing is sent; renew the token file"
        ),
        PauseCause::Forbidden => error!(
            %until, why = cause, practice, booking,
            "HealthFlow refuses several practices (403), nothing is sent; check the account's rights"
        ),
        PauseCause::UsedUp => {
            warn!(%until, why = cause, practice, booking, "HealthFlow reports that nothing is left of a limit, nothing is sent");
        }
        PauseCause::Throttled | PauseCause::Unavailable => {
            warn!(%until, why = cause, practice, booking, "HealthFlow asks us to wait, nothing is sent")
        }
    }
}

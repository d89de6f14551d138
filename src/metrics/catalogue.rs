//! Every metric, in one place: name, labels, meaning. `docs/metrics.md` has the same table, and a test compares the
//! two: a metric that cannot be looked up is a number without a meaning.
//!
//! Names are `healthflow_sync_<area>_<what>_<unit>[_total]`. No label ever carries a practice, a booking or a patient:
//! the first two would be without bound, the last is forbidden. Counters begin at zero where their labels are known:
//! one that first appears with its first event hides that event from `rate()`.

mod breaker;
mod controls;
mod rejection_storm;
mod notices;
mod quotas;
mod reviews;
mod shared_counter;
mod tasks;
mod waiting;
mod worker;

use std::sync::Mutex;

use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use crate::metrics::builder::{Described, Made, MetricsBuilder};
use crate::metrics::catalogue::breaker::Breaker;
use crate::metrics::catalogue::controls::Controls;
use crate::metrics::catalogue::notices::Notices;
use crate::metrics::catalogue::quotas::Quotas;
use crate::metrics::catalogue::rejection_storm::RejectionStorm;
use crate::metrics::catalogue::reviews::Reviews;
use crate::metrics::catalogue::shared_counter::SharedCounter;
use crate::metrics::catalogue::tasks::{Tasks, Transactions};
use crate::metrics::catalogue::waiting::Waiting;
use crate::metrics::catalogue::worker::WorkerState;
use healthflow_core::fact::{DuplicateOf, LinkChange, PauseCause};
use healthflow_core::healthflow::Operation;
use healthflow_core::life::Loss;
use healthflow_core::patient::search::PassKind;
use healthflow_core::sync::{FailureReason, ReviewReason, SyncedOutcome};
use healthflow_core::topics::Lane;

/// Edges for a practice's wait, in seconds. We promise 30 s, so that is an edge.
const CONFIRMATION_EDGES: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21600.0,
    86400.0,
];
/// Edges for one call of HealthFlow, in seconds.
const CALL_EDGES: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0];

/// The labels of an input topic's metrics.
const LANE: &[&str] = &["topic", "partition"];

/// All metrics of a worker, registered, with their handles.
pub struct Catalogue {
    registry: Registry,
    described: Vec<Described>,
    pub(super) scrape: Mutex<()>,
    pub(super) bookings: Bookings,
    pub(super) waiting: Waiting,
    pub(super) reviews: Reviews,
    pub(super) calls: Calls,
    pub(super) breaker: Breaker,
    pub(super) shared_counter: SharedCounter,
    pub(super) rejection_storm: RejectionStorm,
    pub(super) controls: Controls,
    pub(super) notices: Notices,
    pub(super) quotas: Quotas,
    pub(super) doubts: Doubts,
    pub(super) inputs: Inputs,
    pub(super) transactions: Transactions,
    pub(super) tasks: Tasks,
    pub(super) worker: WorkerState,
}

impl Catalogue {
    /// Registers everything; `version` is the program's. Fails only if two metrics have one name.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let mut builder = MetricsBuilder::default();
        let info =
            builder.gauges("healthflow_sync_build_info", &["version"], "Always 1; the version that runs.")?;
        info.with_label_values(&[version]).set(1);
        Ok(Catalogue {
            bookings: Bookings::register(&mut builder)?,
            waiting: Waiting::register(&mut builder)?,
            reviews: Reviews::register(&mut builder)?,
            calls: Calls::register(&mut builder)?,
            breaker: Breaker::register(&mut builder)?,
            shared_counter: SharedCounter::register(&mut builder)?,
            rejection_storm: RejectionStorm::register(&mut builder)?,
            controls: Controls::register(&mut builder)?,
            notices: Notices::register(&mut builder)?,
            quotas: Quotas::register(&mut builder)?,
            doubts: Doubts::register(&mut builder)?,
            inputs: Inputs::register(&mut builder)?,
            transactions: Transactions::register(&mut builder)?,
            tasks: Tasks::register(&mut builder)?,
            worker: WorkerState::register(&mut builder)?,
            scrape: Mutex::new(()),
            registry: builder.registry,
            described: builder.described,
        })
    }

    /// The table of all metrics, in the order of `docs/metrics.md`.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// All metrics in Prometheus' text format, as they are now.
    pub(super) fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Results of bookings.
pub(super) struct Bookings {
    pub(super) synced: IntCounterVec,
    pub(super) failed: IntCounterVec,
    pub(super) held: IntCounterVec,
    pub(super) released: IntCounter,
    pub(super) decisions: IntCounterVec,
    pub(super) waits: crate::metrics::waits::Waits,
    pub(super) reopened: IntCounter,
    pub(super) forgotten: IntCounter,
    pub(super) duplicates: IntCounterVec,
    pub(super) answers_forgotten: IntCounter,
    pub(super) links_changed: IntCounterVec,
    pub(super) confirmation: HistogramVec,
    pub(super) unmeasured: IntCounterVec,
    pub(super) in_work: IntGauge,
}

impl Bookings {
    fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let bookings = Bookings {
            synced: builder.counters("healthflow_sync_bookings_synced_total", &["outcome"], "Versions of bookings that ended well, by outcome, once their transaction is good.")?,
            failed: builder.counters("healthflow_sync_bookings_failed_total", &["reason", "disposition"], "Versions and records that were dead-lettered, by reason code and disposition.")?,
            held: builder.counters("healthflow_sync_bookings_held_total", &["reason"], "Versions that went to review, by reason code.")?,
            decisions: builder.counters("healthflow_sync_decisions_total", &["verdict"], "Decisions of people that were carried out, by verdict.")?,
            released: builder.counter("healthflow_sync_bookings_released_total", "Versions that left review, to go on.")?,
            waits: crate::metrics::waits::Waits::register(builder)?,
            reopened: builder.counter("healthflow_sync_bookings_reopened_total", "Dead letters that a redrive reopened.")?,
            forgotten: builder.counter("healthflow_sync_bookings_forgotten_total", "Old bookings that were removed from state (worker.keep_days).")?,
            duplicates: builder.counters("healthflow_sync_bookings_duplicates_total", &["content"], "Versions that came again and were skipped; content is same, differs or unknown.")?,
            answers_forgotten: builder.counter("healthflow_sync_bookings_answers_forgotten_total", "Old versions that may have been answered before: their booking has had too many versions to remember, and each gets a result, perhaps its second.")?,
            links_changed: builder.counters("healthflow_sync_links_changed_total", &["how"], "Links to HealthFlow's patients about which something new was learnt; how is renamed (another name with the same birthday), replaced (by an id that was sent along), kept (the id that was sent along was wrong) or dropped (it was never confirmed).")?,
            confirmation: builder.histogram("healthflow_sync_bookings_confirmation_seconds", &["source"], "Time from the request to the good transaction with its result, of versions that ended well; source is live or backfill.", CONFIRMATION_EDGES)?,
            unmeasured: builder.counters("healthflow_sync_bookings_unmeasured_total", &["source"], "Versions that ended well and are not in the histogram: requested_at lies more than 30 days back, or a day ahead.")?,
            in_work: builder.level("healthflow_sync_bookings_in_work_records", "Bookings in memory that are worked on or ready.")?,
        };
        for outcome in SyncedOutcome::ALL {
            bookings.synced.with_label_values(&[outcome.code().to_lowercase()]);
        }
        for reason in FailureReason::ALL {
            bookings.failed.with_label_values(&[reason.code(), reason.disposition().code()]);
        }
        for differs in [None, Some(false), Some(true)] {
            bookings.duplicates.with_label_values(&[super::tally::content(differs)]);
        }
        for reason in ReviewReason::ALL {
            bookings.held.with_label_values(&[reason.code()]);
        }
        for how in LinkChange::ALL {
            bookings.links_changed.with_label_values(&[how.code()]);
        }
        for source in ["live", "backfill"] {
            bookings.confirmation.with_label_values(&[source]);
            bookings.unmeasured.with_label_values(&[source]);
        }
        Ok(bookings)
    }
}

/// How HealthFlow answers.
pub(super) struct Calls {
    pub(super) sent: IntCounterVec,
    pub(super) answered: IntCounterVec,
    pub(super) seconds: HistogramVec,
    pub(super) in_flight: IntGauge,
    pub(super) in_flight_limit: IntGauge,
    pub(super) foreign: IntCounterVec,
    pub(super) searches_too_wide: IntCounterVec,
    pub(super) edits: IntCounter,
    pub(super) pauses: IntCounterVec,
    pub(super) allowed: Gauge,
    pub(super) paused_seconds: Gauge,
    pub(super) stale_token: IntGauge,
}

impl Calls {
    fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let calls = Calls {
            sent: builder.counters(
                "healthflow_sync_healthflow_calls_sent_total",
                &["operation"],
                "Calls of HealthFlow that were started.",
            )?,
            answered: builder.counters(
                "healthflow_sync_healthflow_calls_answered_total",
                &["operation", "class"],
                "Calls of HealthFlow that ended; class is ok or the name of the fault.",
            )?,
            seconds: builder.histogram(
                "healthflow_sync_healthflow_call_seconds",
                &["operation"],
                "Duration of calls, whatever their end.",
                CALL_EDGES,
            )?,
            in_flight: builder
                .level("healthflow_sync_healthflow_in_flight_calls", "Calls of HealthFlow under way.")?,
            in_flight_limit: builder.level(
                "healthflow_sync_healthflow_in_flight_limit_calls",
                "How many calls of HealthFlow may be under way: at most worker.max_in_flight, fewer while HealthFlow is slow or has just come back.",
            )?,
            foreign: builder.counters(
                "healthflow_sync_healthflow_foreign_answers_total",
                &["status"],
                "Errors in other words than the contract's, which are not believed; status is 1xx, 3xx, 4xx or other.",
            )?,
            searches_too_wide: builder.counters(
                "healthflow_sync_healthflow_searches_too_wide_total",
                &["pass"],
                "Searches for a patient that found more than healthflow.search_pages_max pages; pass is what was searched by.",
            )?,
            edits: builder.counter(
                "healthflow_sync_healthflow_edits_overwritten_total",
                "Appointments that somebody had changed in HealthFlow and that a newer version of the booking overwrote.",
            )?,
            pauses: builder.counters(
                "healthflow_sync_healthflow_pauses_total",
                &["why"],
                "Times that sending was paused; why is throttled, unavailable, used_up, unauthorised or forbidden.",
            )?,
            allowed: builder.seconds(
                "healthflow_sync_healthflow_allowed_calls_per_second",
                "Calls a second that this worker may start now: its share of the tightest of what is configured, set by hand and told by HealthFlow; 0 while nothing may be sent.",
            )?,
            paused_seconds: builder.seconds(
                "healthflow_sync_healthflow_paused_seconds",
                "Time until sending goes on; 0 if it is not paused.",
            )?,
            stale_token: builder.level(
                "healthflow_sync_healthflow_stale_tokens",
                "1 while the token file holds no token and the last good one is used; else 0.",
            )?,
        };
        for operation in Operation::ALL {
            calls.sent.with_label_values(&[operation.code()]);
            calls.answered.with_label_values(&[operation.code(), "ok"]);
            calls.seconds.with_label_values(&[operation.code()]);
        }
        for status in ["1xx", "3xx", "4xx", "other"] {
            calls.foreign.with_label_values(&[status]);
        }
        for pass in PassKind::ALL {
            calls.searches_too_wide.with_label_values(&[pass.code()]);
        }
        for why in PauseCause::ALL {
            calls.pauses.with_label_values(&[why.code()]);
        }
        Ok(calls)
    }
}

/// Writes whose outcome is unknown.
pub(super) struct Doubts {
    pub(super) opened: IntCounterVec,
    pub(super) inherited: IntCounter,
    pub(super) settled: IntCounterVec,
    pub(super) duplicates: IntCounterVec,
    pub(super) open: IntGauge,
    pub(super) oldest: Gauge,
}

impl Doubts {
    fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let doubts = Doubts {
            opened: builder.counters(
                "healthflow_sync_doubts_opened_total",
                &["operation"],
                "Requests to write whose answer was lost.",
            )?,
            inherited: builder.counter(
                "healthflow_sync_doubts_inherited_total",
                "Intents that were found open when a task was acquired: an earlier owner may have sent their writes.",
            )?,
            settled: builder.counters(
                "healthflow_sync_doubts_settled_total",
                &["found"],
                "Doubts that were settled; found is what the look-up found: yes, no, or unasked if there was none.",
            )?,
            duplicates: builder.counters(
                "healthflow_sync_doubts_duplicates_total",
                &["what"],
                "Records that HealthFlow has more than once although we created them once; what is patient or appointment.",
            )?,
            open: builder.level("healthflow_sync_doubts_open_writes", "Writes in doubt now.")?,
            oldest: builder.seconds(
                "healthflow_sync_doubts_oldest_seconds",
                "Age of the oldest write in doubt; 0 if there is none.",
            )?,
        };
        for operation in Operation::ALL.into_iter().filter(|operation| operation.is_write()) {
            doubts.opened.with_label_values(&[operation.code()]);
        }
        for what in DuplicateOf::ALL {
            doubts.duplicates.with_label_values(&[what.code()]);
        }
        for found in ["yes", "no", "unasked"] {
            doubts.settled.with_label_values(&[found]);
        }
        Ok(doubts)
    }
}

/// How far the input topics are behind, and what waits.
pub(super) struct Inputs {
    pub(super) lag_records: IntGaugeVec,
    pub(super) lag_seconds: GaugeVec,
    pub(super) read_ahead_records: IntGaugeVec,
    pub(super) read_ahead_bytes: IntGaugeVec,
    pub(super) retry_waiting: IntGauge,
    pub(super) retry_overdue: Gauge,
    pub(super) schemas: GaugeVec,
    pub(super) forwarded: IntCounterVec,
    pub(super) positions_lost: IntCounterVec,
}

impl Inputs {
    fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let inputs = Inputs {
            lag_records: builder.gauges(
                "healthflow_sync_input_lag_records",
                LANE,
                "Records of an input topic that are neither answered nor parked, read or not; what waits in the retry topic for its time is not late and does not count.",
            )?,
            lag_seconds: builder.ages(
                "healthflow_sync_input_lag_seconds",
                LANE,
                "Age of the oldest record in memory that is neither answered nor parked, or how long a lane with records to read has not moved; 0 if there is neither.",
            )?,
            read_ahead_records: builder.gauges(
                "healthflow_sync_input_read_ahead_records",
                LANE,
                "Records of an input topic in memory.",
            )?,
            read_ahead_bytes: builder.gauges(
                "healthflow_sync_input_read_ahead_bytes",
                LANE,
                "Their size.",
            )?,
            retry_waiting: builder.level(
                "healthflow_sync_retry_waiting_records",
                "Retry records in memory that wait for their time: work that is put off by intention.",
            )?,
            retry_overdue: builder.seconds(
                "healthflow_sync_retry_oldest_due_seconds",
                "How long the earliest of them has been due; 0 if none is.",
            )?,
            schemas: builder.ages(
                "healthflow_sync_input_schema_trouble_seconds",
                &["id", "trouble"],
                "How long records with this schema id have been unreadable; trouble is unknown (the registry does not know the id) or unreadable (our schema cannot read all of them).",
            )?,
            forwarded: builder.counters(
                "healthflow_sync_input_forwarded_total",
                &["topic"],
                "Records that were in the wrong partition for their key and were forwarded to the right one.",
            )?,
            positions_lost: builder.counters(
                "healthflow_sync_input_positions_lost_total",
                &["topic", "why"],
                "Times a lane could not go on from where it was; why is offset_forgotten, records_deleted or topic_made_anew.",
            )?,
        };
        for lane in Lane::ALL {
            for why in [Loss::OffsetForgotten, Loss::RecordsDeleted, Loss::TopicRecreated] {
                inputs.positions_lost.with_label_values(&[lane.topic(), super::tally::loss(why)]);
            }
            inputs.forwarded.with_label_values(&[lane.topic()]);
        }
        Ok(inputs)
    }
}

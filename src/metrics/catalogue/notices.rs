//! The metrics of notices: what those who wait were told, and how good that was.

use prometheus::{Histogram, IntCounterVec};

use crate::metrics::builder::{Made, MetricsBuilder};
use healthflow_core::event::NoticeKind;

/// Edges for how far a promise was off, in seconds.
const ERROR_EDGES: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0];

/// What was told to those who wait.
pub(in crate::metrics) struct Notices {
    written: IntCounterVec,
    promises: IntCounterVec,
    error: Histogram,
}

impl Notices {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let notices = Notices {
            written: builder.counters(
                "healthflow_sync_notices_written_total",
                &["kind"],
                "Notices that were written; kind is delayed, outage_began or outage_ended.",
            )?,
            promises: builder.counters(
                "healthflow_sync_notices_promises_total",
                &["kept"],
                "Versions with a result that a notice had said when to expect; kept says whether it came by then. Those of which only the earliest moment was known do not count.",
            )?,
            error: builder.one_histogram(
                "healthflow_sync_notices_promise_error_seconds",
                "How far such a result was from the moment that was said, earlier or later.",
                ERROR_EDGES,
            )?,
        };
        for kind in NoticeKind::ALL.into_iter().filter(|kind| *kind != NoticeKind::Unknown) {
            notices.of_kind(kind);
        }
        for is_kept in [true, false] {
            notices.promises.with_label_values(&[yes_or_no(is_kept)]);
        }
        Ok(notices)
    }

    fn of_kind(&self, kind: NoticeKind) -> prometheus::IntCounter {
        self.written.with_label_values(&[kind.code().to_lowercase()])
    }

    pub(in crate::metrics) fn is_written(&self, kind: NoticeKind) {
        self.of_kind(kind).inc();
    }

    pub(in crate::metrics) fn promise_ended(&self, late_ms: i64) {
        self.promises.with_label_values(&[yes_or_no(late_ms <= 0)]).inc();
        self.error.observe(late_ms.unsigned_abs() as f64 / 1_000.0);
    }
}

const fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

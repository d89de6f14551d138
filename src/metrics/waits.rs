//! Counts bookings that wait, and how the waits end.

use prometheus::{IntCounter, IntCounterVec};

use crate::metrics::builder::{Made, MetricsBuilder};

/// Counters of parked versions, and of those that wait for another booking's slot.
pub(super) struct Waits {
    pub(super) parked: IntCounter,
    pub(super) reparked: IntCounter,
    pub(super) slots_awaited: IntCounter,
    pub(super) slots_in_vain: IntCounterVec,
    pub(super) written_first: IntCounter,
}

impl Waits {
    pub(super) fn register(builder: &mut MetricsBuilder) -> Made<Self> {
        let waits = Waits {
            parked: builder.counter("healthflow_sync_bookings_parked_total", "Times a version was parked in the retry topic.")?,
            reparked: builder.counter("healthflow_sync_bookings_reparked_total", "Times a parked version was written again at the end of the retry topic, for its record kept the committed offset from moving.")?,
            slots_awaited: builder.counter("healthflow_sync_slots_awaited_total", "Versions that waited for a slot that another booking of the practice was about to free.")?,
            slots_in_vain: builder.counters("healthflow_sync_slots_awaited_in_vain_total", &["cycle"], "Of those, versions whose slot was still taken at the end; cycle says whether two or more waited for each other.")?,
            written_first: builder.counter("healthflow_sync_versions_written_first_total", "Older versions that were written before a newer one at hand, because another booking waited for the slot that they freed; each costs one more call.")?,
        };
        for is_cycle in [true, false] {
            waits.slots_in_vain.with_label_values(&[yes_or_no(is_cycle)]);
        }
        Ok(waits)
    }

    pub(super) fn awaited_in_vain(&self, is_cycle: bool) {
        self.slots_in_vain.with_label_values(&[yes_or_no(is_cycle)]).inc();
    }
}

const fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

//! Bookings that wait for a slot (rule K11) while a limit with a long window holds them back between two tries.

use healthflow_core::event::Arrival;
use healthflow_core::fact::Fact;
use healthflow_core::limits::Scope;
use healthflow_core::topics::Lane;

use crate::quotas::in_an_hour;
use crate::slots::{arrive_together, ends, one_written, serve, visit};

const MINUTE_MS: i64 = 60_000;

/// Goal: two bookings that want each other's slot come to an end. Method: an hour allows two moves, which another booking makes
/// first; the wait for a slot is half as long.
#[test]
fn a_limit_between_two_tries_does_not_begin_the_wait_anew() {
    let (mut desk, mut office) = one_written();
    for other in [visit("b", 1, 2, Some(2)), visit("c", 1, 3, Some(5))] {
        desk.arrive(other);
        serve(&mut desk, &mut office);
    }
    let settings = in_an_hour("update_appointment", Scope::Account, 2);
    assert!(settings.slot_wait_max_ms < 60 * MINUTE_MS);
    let mut desk = desk.crash_within(settings);
    arrive_together(&mut desk, vec![visit("a", 2, 1, Some(2)), visit("b", 2, 2, Some(1))]);
    let (mut brought_back, mut version) = (0, 1);
    for ten_minutes in 0..24 * 6 {
        desk.pass_ms(10 * MINUTE_MS);
        for parked in desk.retries().split_off(brought_back) {
            brought_back += 1;
            desk.arrive_on(Lane::Retry, Arrival::Retry(Box::new(parked)));
        }
        serve(&mut desk, &mut office);
        for slot in [6, 5].into_iter().filter(|_| ten_minutes % 6 == 0) {
            version += 1;
            desk.arrive_at_once(visit("c", version, 3, Some(slot)));
            serve(&mut desk, &mut office);
        }
    }
    let taken: Vec<_> = ends(&desk).into_iter().filter(|(_, end)| end == "SLOT_TAKEN").collect();
    assert_eq!(taken.len(), 2, "{taken:?}");
    let waits = desk.facts.iter().filter(|fact| matches!(fact, Fact::SlotAwaited { .. })).count();
    assert_eq!(waits, 2, "each waits once");
}

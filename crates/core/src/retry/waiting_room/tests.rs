//! The waiting room against the simplest thing that does the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::Schedule;
use crate::event::sample::{NOW, booking};

/// What happens to it.
#[derive(Clone, Debug)]
enum Event {
    Enter { booking: usize, version: Version, due_ms: i64, waits_for_slot: bool },
    TakeDue { now_ms: i64 },
    TakeOlder { booking: usize, version: Version },
    TakeSlotWaiters { booking: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let of = || (0_usize..3, 1_u64..5);
    prop_oneof![
        6 => (of(), 0_i64..8, prop::bool::weighted(0.3)).prop_map(
            |((booking, version), due_ms, waits_for_slot)| {
                Event::Enter { booking, version, due_ms, waits_for_slot }
            }
        ),
        2 => (0_i64..8).prop_map(|now_ms| Event::TakeDue { now_ms }),
        1 => of().prop_map(|(booking, version)| Event::TakeOlder { booking, version }),
        1 => of().prop_map(|(booking, _)| Event::TakeSlotWaiters { booking }),
    ]
}

fn key(number: usize) -> BookingKey {
    BookingKey { practice: "p".into(), booking: number.to_string().as_str().into() }
}

fn waiting(number: usize, version: Version, schedule: Schedule, offset: i64) -> Waiting {
    let mut booking = booking();
    (booking.key, booking.version) = (key(number), version);
    Waiting { entry: RetryEntry { booking: Arc::new(booking), schedule, generation: 1 }, offset, since: NOW }
}

/// Records by booking and version; nothing is kept beside them.
#[derive(Default)]
struct Model(BTreeMap<VersionKey, Waiting>);

impl Model {
    fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<i64> {
        let taken = self.0.values().filter(|waiting| wanted(waiting)).map(|waiting| waiting.offset).collect();
        self.0.retain(|_, waiting| !wanted(waiting));
        taken
    }

    fn first_due(&self) -> Option<(Timestamp, i64)> {
        self.0.values().map(|waiting| (waiting.entry.schedule.not_before, waiting.offset)).min()
    }
}

fn offsets(waiting: impl IntoIterator<Item = Waiting>) -> Vec<i64> {
    waiting.into_iter().map(|waiting| waiting.offset).collect()
}

proptest! {
    /// Goal: a record leaves when it is due or is taken, once, and is counted for as long as it waits: one that stays behind
    /// waits for ever and holds up the committable offset. Method: any events, against a plain map.
    #[test]
    fn whoever_enters_leaves_once_and_in_the_order_of_their_time(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let (mut room, mut model) = (WaitingRoom::default(), Model::default());
        for (offset, event) in (0_i64..).zip(events) {
            match event {
                Event::Enter { booking, version, due_ms, waits_for_slot } => {
                    let schedule = Schedule {
                        not_before: NOW.plus_ms(due_ms),
                        last_error: if waits_for_slot { "awaits_slot" } else { "timeout" }.into(),
                        ..Schedule::default()
                    };
                    let waiting = waiting(booking, version, schedule, offset);
                    let copy = model.0.insert(key(booking).version(version), waiting.clone());
                    prop_assert_eq!(offsets(room.enter(waiting)), offsets(copy));
                }
                Event::TakeDue { now_ms } => {
                    let now = NOW.plus_ms(now_ms);
                    let expected = model.first_due().filter(|(due, _)| *due <= now).map(|(_, offset)| offset);
                    model.take(|waiting| Some(waiting.offset) == expected);
                    prop_assert_eq!(room.take_due(now).map(|waiting| waiting.offset), expected);
                }
                Event::TakeOlder { booking, version } => {
                    let is_older = |waiting: &Waiting| {
                        let of = &waiting.entry.booking;
                        of.key == key(booking) && of.version < version
                    };
                    prop_assert_eq!(offsets(room.take_older(&key(booking), version)), model.take(is_older));
                }
                Event::TakeSlotWaiters { booking } => {
                    let waits = |waiting: &Waiting| {
                        waiting.entry.booking.key == key(booking) && waiting.awaits_slot()
                    };
                    prop_assert_eq!(offsets(room.take_slot_waiters(&key(booking))), model.take(waits));
                }
            }
            prop_assert_eq!((room.len(), room.is_empty()), (model.0.len(), model.0.is_empty()));
            prop_assert_eq!(room.next_due(), model.first_due().map(|(due, _)| due));
        }
    }
}

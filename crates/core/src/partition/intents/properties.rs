//! What holds of a doubt whatever happens to it.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::booking::BookingKey;
use crate::healthflow::fault::{NotSent, Unknown};
use crate::partition::turn::Shared;

/// What happens to an open intent.
#[derive(Clone, Debug)]
enum Event {
    /// A write under it ended so.
    Ended(Fault),
    /// The look-up that would settle it failed, and is repeated after a pause.
    LookUpFailed { pause_ms: i64 },
    /// It did not tell.
    LeftUnclear,
}

fn event() -> impl Strategy<Value = Event> {
    let faults = vec![
        Fault::NotSent(NotSent::Connect),
        Fault::Throttled { retry_after_ms: None },
        Fault::Refused { status: 422, fields: Vec::new() },
        Fault::KeyReused,
        Fault::AlreadyThere { existing_id: None },
        Fault::Unknown(Unknown::Timeout),
    ];
    prop_oneof![
        4 => prop::sample::select(faults).prop_map(Event::Ended),
        2 => (0_i64..200_000).prop_map(|pause_ms| Event::LookUpFailed { pause_ms }),
        1 => Just(Event::LeftUnclear),
    ]
}

proptest! {
    /// Goal: nothing makes a doubt quiet sooner than was said: what was sent could land after it was looked for. Method: any
    /// faults and look-ups in turn, each look-up only while the doubt is quiet, as a task asks.
    #[test]
    fn a_doubt_is_never_quiet_sooner_than_was_said(
        inherited_ms in prop::option::of(0_i64..200_000),
        events in prop::collection::vec((event(), 0_i64..50_000), 1..24),
    ) {
        let settings = Settings::for_tests();
        let fenced_at = Timestamp(1_000_000);
        let subject = Subject::Booking(BookingKey { practice: "p".into(), booking: "b".into() });
        let mut intents = Intents::new(fenced_at);
        match inherited_ms {
            Some(quiet_ms) => intents.inherit(subject.clone(), fenced_at.plus_ms(quiet_ms)),
            None => intents.open(&subject, 1),
        }
        let (shared, mut facts) = (Shared::new(settings.clone()), VecDeque::new());
        let mut now = fenced_at;
        for (event, pause_ms) in events {
            now = now.plus_ms(pause_ms);
            let before = intents.doubt(&subject);
            match event {
                Event::Ended(fault) => {
                    let turn = shared.turn(&mut facts, now);
                    intents.sent(&subject, true);
                    intents.apply_fault(&subject, &fault, now.plus_ms(settings.settle_ms()), &turn);
                }
                Event::LookUpFailed { pause_ms } if before.is_some_and(|doubt| doubt.settles_at <= now) => {
                    intents.look_up_failed(&subject, false);
                    intents.ask_again_at(&subject, now.plus_ms(pause_ms));
                }
                Event::LookUpFailed { .. } => {}
                Event::LeftUnclear => intents.leave_unclear(&subject),
            }
            let after = intents.doubt(&subject);
            let Some(before) = before else { continue };
            prop_assert!(after.is_some(), "a doubt goes only with its intent");
            let after = after.unwrap_or(before);
            prop_assert_eq!(after.since, before.since);
            prop_assert!(after.settles_at >= before.settles_at, "{:?} after {:?}", after, before);
            prop_assert!(after.repeat_refused >= before.repeat_refused);
            prop_assert!(after.key_refused >= before.key_refused);
        }
    }
}

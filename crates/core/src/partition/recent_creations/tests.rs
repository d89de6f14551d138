//! How long one creation stands in another's way, from this part alone.

use proptest::prelude::*;

use super::*;
use crate::event::sample::{NOW, booking};

const LAG_MS: i64 = 50;
/// Who is created, and who asks.
const PEOPLE: usize = 6;

fn patient(number: usize) -> PatientKey {
    PatientKey { practice: "p".into(), patient: number.to_string().as_str().into() }
}

/// Every other one is the same person under another id.
fn person(number: usize) -> Person {
    let mut patient = booking().patient;
    if !number.is_multiple_of(2) {
        (patient.given_name, patient.family_name) = ("Ada".into(), "King".into());
        patient.date_of_birth = jiff::civil::date(1815, 12, 10).into();
        patient.postal_code = "10001".into();
    }
    Person::from(&patient)
}

/// What is learnt of a creation.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begun,
    Answered,
    Unverified,
    NeverHappened,
}

fn tell(creations: &mut RecentCreations, (event, who): (Event, usize), now: Timestamp) {
    let patient = patient(who);
    let woken = match event {
        Event::Begun => creations.begin(&patient, person(who)),
        Event::Answered => creations.answered(&patient, &"hf".into(), now),
        Event::Unverified => creations.unverified(&patient, now, LAG_MS),
        Event::NeverHappened => creations.never_happened(&patient),
    };
    assert!(woken.is_empty(), "nobody waits");
}

fn event() -> impl Strategy<Value = (Event, usize)> {
    let kind = prop_oneof![
        3 => Just(Event::Begun),
        2 => Just(Event::Answered),
        1 => Just(Event::Unverified),
        1 => Just(Event::NeverHappened),
    ];
    (kind, 0..PEOPLE)
}

proptest! {
    /// Goal: an obstacle is gone when it says, not before, and does not come back by itself: or a booking would be woken in
    /// vain, or its patient created twice. Method: any creations; then searches that begin ever later, while whatever they
    /// all have seen is forgotten.
    #[test]
    fn a_wait_for_others_creations_ends_when_it_says_and_stays_over(
        events in prop::collection::vec((event(), 0_i64..20), 0..32),
        pauses in prop::collection::vec(0_i64..60, 1..8),
        forgets in any::<bool>(),
    ) {
        let (mut creations, mut now) = (RecentCreations::default(), NOW);
        for (event, pause_ms) in events {
            tell(&mut creations, event, now);
            now = now.plus_ms(pause_ms);
        }
        let all = |creations: &RecentCreations, at| {
            let of = |who| creations.obstacle(&patient(who), &person(who), at, LAG_MS);
            (0..PEOPLE).map(of).collect::<Vec<_>>()
        };
        let mut before = all(&creations, now);
        for pause_ms in pauses {
            now = now.plus_ms(pause_ms);
            if forgets {
                creations.prune(now, LAG_MS, || Some(now));
            }
            let after = all(&creations, now);
            for (before, after) in before.iter().zip(&after) {
                let expected = match before {
                    Some(Obstacle::SearchAgainAt(at)) if *at <= now => None,
                    as_it_was => *as_it_was,
                };
                prop_assert_eq!(*after, expected);
            }
            before = after;
        }
    }
}

/// Goal: nobody is created twice because the id they were created under was given to somebody else a moment later. Method: the
/// other one is begun, and then never happens.
#[test]
fn who_is_created_under_a_reused_id_hides_nobody() {
    let mut creations = RecentCreations::default();
    tell(&mut creations, (Event::Begun, 0), NOW);
    tell(&mut creations, (Event::Answered, 0), NOW);
    let obstacle = |creations: &RecentCreations| creations.obstacle(&patient(2), &person(2), NOW, LAG_MS);
    let expected = Some(Obstacle::SearchAgainAt(NOW.plus_ms(LAG_MS + 1)));
    assert_eq!(obstacle(&creations), expected);
    assert!(creations.begin(&patient(0), person(1)).is_empty());
    assert_eq!(obstacle(&creations), expected);
    assert!(creations.never_happened(&patient(0)).is_empty());
    assert_eq!(obstacle(&creations), expected);
}

//! Who waits for whom, from what is taken and what is wanted alone.

use super::*;
use crate::time::Timestamp;

fn key(booking: &str) -> BookingKey {
    BookingKey { practice: "p".into(), booking: booking.into() }
}

/// Half an hour of the day, of the only provider.
fn slot(number: i64) -> Span {
    Span { provider_id: "dr".into(), start: Timestamp(number * 1_800_000), minutes: 30 }
}

fn wish(order: i64, number: Option<i64>) -> Option<Wish> {
    Some(Wish { order, span: number.map(slot) })
}

/// A booking whose visit is at slot `at` and whose versions 2, 3, ... want these.
fn occupies(at: i64, wishes: &[(i64, Option<i64>)]) -> Footprint {
    let wishes = (2..).zip(wishes.iter().map(|(order, number)| wish(*order, *number))).collect();
    Footprint { occupied: vec![slot(at)], somewhere: false, wishes }
}

fn slots(of: &[(&str, Footprint)]) -> Slots {
    let mut slots = Slots::default();
    for (booking, footprint) in of {
        slots.put(&key(booking), footprint.clone());
    }
    slots
}

fn blockers(slots: &Slots, booking: &str, number: i64) -> Vec<String> {
    let found = slots.blockers(&key(booking), 99, &slot(number), false);
    found.into_iter().map(|key| key.booking.to_string()).collect()
}

#[test]
fn only_whoever_has_the_slot_and_leaves_it_is_waited_for() {
    let slots = slots(&[
        ("leaves", occupies(1, &[(10, None)])),
        ("moves", occupies(2, &[(11, Some(5))])),
        ("stays", occupies(3, &[(12, Some(3))])),
        (
            "shortens",
            Footprint { occupied: vec![Span { minutes: 60, ..slot(7) }], ..occupies(7, &[(13, Some(7))]) },
        ),
    ]);
    assert_eq!(blockers(&slots, "x", 1), ["leaves"]);
    assert_eq!(blockers(&slots, "x", 2), ["moves"]);
    assert_eq!(blockers(&slots, "x", 3), [""; 0]);
    assert_eq!(blockers(&slots, "x", 5), [""; 0], "what another one wants is not what it has");
    assert_eq!(blockers(&slots, "x", 8), ["shortens"]);
    assert_eq!(blockers(&slots, "leaves", 1), [""; 0], "nobody waits for itself");
    let elsewhere = BookingKey { practice: "q".into(), ..key("x") };
    assert!(slots.blockers(&elsewhere, 99, &slot(1), false).is_empty());
}

/// Goal: an exchange by way of a third time is possible. Method: its three steps, and the booking that wants the third
/// time afterwards.
#[test]
fn the_step_aside_is_written_first_and_who_wants_that_place_waits() {
    let mut slots =
        slots(&[("x", occupies(1, &[(10, Some(3)), (12, Some(2))])), ("y", occupies(2, &[(11, Some(1))]))]);
    assert_eq!(slots.first_of(&key("x")), [2]);
    assert_eq!(slots.first_of(&key("y")), [0; 0]);
    assert_eq!(blockers(&slots, "y", 1), ["x"]);
    assert_eq!(blockers(&slots, "z", 3), ["x"]);
    let earlier = slots.blockers(&key("z"), 9, &slot(3), false);
    assert!(earlier.is_empty(), "whoever wanted it before the step aside does not wait for that");
    // Stepped aside; then the other one has moved.
    slots.put(&key("x"), Footprint { occupied: vec![slot(3)], ..occupies(3, &[(12, Some(2))]) });
    assert_eq!((blockers(&slots, "x", 2), blockers(&slots, "y", 1)), (vec!["y".to_owned()], vec![]));
    slots.put(&key("y"), Footprint::default());
    assert_eq!((blockers(&slots, "x", 2), slots.first_of(&key("x"))), (vec![], vec![]));
}

/// Goal: whoever wants a slot gets it although an older version that would have freed it was left out. Method: what is left of
/// the versions came after that wish, and only the older one of them is in time for it.
#[test]
fn a_step_aside_takes_the_place_of_an_older_one_that_was_left_out() {
    let wants = Footprint { wishes: BTreeMap::from([(1, wish(9, Some(1)))]), ..Footprint::default() };
    let aside = slots(&[("x", occupies(1, &[(10, Some(3)), (12, Some(2))])), ("y", wants)]);
    assert_eq!(aside.first_of(&key("x")), [2]);
    let onto_its_place =
        slots(&[("x", occupies(1, &[(10, Some(2)), (12, Some(3))])), ("y", occupies(2, &[(5, Some(1))]))]);
    assert!(onto_its_place.first_of(&key("x")).is_empty(), "each would wait for the other");
}

#[test]
fn a_version_that_nobody_needs_is_not_written_first() {
    let wants =
        |order| Footprint { wishes: BTreeMap::from([(1, wish(order, Some(1)))]), ..Footprint::default() };
    let moves = || occupies(1, &[(10, Some(3)), (12, Some(4))]);
    assert_eq!(slots(&[("x", moves())]).first_of(&key("x")), [0; 0]);
    assert_eq!(
        slots(&[("x", moves()), ("y", wants(13))]).first_of(&key("x")),
        [0; 0],
        "the newest frees it too"
    );
    assert_eq!(slots(&[("x", moves()), ("y", wants(11))]).first_of(&key("x")), [2]);
}

#[test]
fn what_stands_nobody_knows_where_counts_only_once_the_slot_was_refused() {
    let unknown = Footprint { occupied: Vec::new(), somewhere: true, ..occupies(0, &[(10, None)]) };
    let slots = slots(&[("x", unknown)]);
    assert!(slots.blockers(&key("y"), 99, &slot(1), false).is_empty());
    assert_eq!(slots.blockers(&key("y"), 99, &slot(1), true).len(), 1);
}

#[test]
fn whoever_waits_is_woken_by_any_change_of_whom_it_waits_for_and_leaves_nothing_behind() {
    let mut slots = slots(&[("x", occupies(1, &[(10, None)])), ("y", occupies(2, &[(11, Some(1))]))]);
    slots.wait(&key("y"), BTreeSet::from([key("x")]));
    assert!(slots.put(&key("x"), occupies(1, &[(10, None)])).is_empty(), "nothing has changed");
    assert_eq!(slots.put(&key("x"), Footprint::default()), BTreeSet::from([key("y")]));
    slots.put(&key("y"), Footprint::default());
    let Slots { known, by_day, somewhere, waits_for, awaited_by, undecided } = slots;
    assert!(known.is_empty() && by_day.is_empty() && somewhere.is_empty());
    assert!(waits_for.is_empty() && awaited_by.is_empty() && undecided.is_empty());
}

#[test]
fn a_cycle_is_told_from_a_queue() {
    let queue = slots(&[("x", occupies(1, &[(10, Some(2))])), ("y", occupies(2, &[(11, Some(3))]))]);
    let cycle = slots(&[("x", occupies(1, &[(10, Some(2))])), ("y", occupies(2, &[(11, Some(1))]))]);
    for (slots, is_cycle) in [(queue, false), (cycle, true)] {
        let blockers = slots.blockers(&key("x"), 99, &slot(2), false);
        assert_eq!((blockers.len(), slots.is_in_cycle(&key("x"), &blockers)), (1, is_cycle));
    }
}

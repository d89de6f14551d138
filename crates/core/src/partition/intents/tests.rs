//! What is known of an open intent, and how long its owner may write, from this part alone.

use std::collections::VecDeque;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::booking::{BookingKey, PatientKey};
use crate::healthflow::fault::{Missing, NotSent, Unknown};
use crate::partition::turn::Shared;

const FENCED: Timestamp = Timestamp(1_000_000);
const NOW: Timestamp = Timestamp(1_500_000);
const QUIET: Timestamp = Timestamp(1_600_000);
static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::for_tests);

fn key() -> BookingKey {
    BookingKey { practice: "p".into(), booking: "b".into() }
}

/// A booking and a patient whose ids are the same.
fn subjects() -> [Subject; 2] {
    [Subject::Booking(key()), Subject::Patient(PatientKey { practice: "p".into(), patient: "b".into() })]
}

fn intents() -> Intents {
    Intents::new(FENCED)
}

fn apply(
    intents: &mut Intents,
    subject: &Subject,
    fault: &Fault,
    settles_at: Timestamp,
) -> Option<FaultOutcome> {
    let (shared, mut facts) = (Shared::new(SETTINGS.clone()), VecDeque::new());
    let turn = shared.turn(&mut facts, NOW);
    intents.apply_fault(subject, fault, settles_at, &turn)
}

fn refused() -> Fault {
    Fault::Refused { status: 422, fields: Vec::new() }
}

#[test]
fn before_a_good_commit_there_is_no_lease_and_a_late_word_of_an_early_one_does_not_shorten_it() {
    let (mut intents, settings) = (intents(), &*SETTINGS);
    assert!(intents.lease_until(settings).is_none());
    let until = NOW.plus_ms(settings.lease_ms);
    for started_at in [NOW, NOW.plus_ms(-1)] {
        intents.renew_lease(started_at);
        assert_eq!(intents.lease_until(settings), Some(until));
    }
    assert_eq!(
        intents.inherited_settles_at(settings),
        FENCED.plus_ms(settings.lease_ms + settings.settle_ms())
    );
}

#[test]
fn an_intent_is_durable_once_the_commit_that_carries_its_newest_form_is_good() {
    let (mut intents, mut outbox) = (intents(), Outbox::new());
    let [subject, other] = subjects();
    let commit = |outbox: &mut Outbox| {
        let (sequence, _) = outbox.begin(NOW, Vec::new(), false, []);
        outbox.take_good(sequence, NOW);
    };
    intents.open(&subject, outbox.next_sequence());
    assert!(!intents.is_durable(&subject, &outbox));
    commit(&mut outbox);
    assert!(intents.is_durable(&subject, &outbox) && !intents.is_durable(&other, &outbox));
    intents.open(&subject, outbox.next_sequence());
    assert!(!intents.is_durable(&subject, &outbox), "raised");
    commit(&mut outbox);
    intents.raise(&subject, outbox.next_sequence());
    assert!(!intents.is_durable(&subject, &outbox), "marked");
    intents.raise(&other, outbox.next_sequence());
    assert!(!intents.is_open(&other), "what is not open has nothing to raise");
}

#[test]
fn a_booking_and_a_patient_of_the_same_id_are_two() {
    for [one, other] in [subjects(), {
        let [a, b] = subjects();
        [b, a]
    }] {
        let mut intents = intents();
        intents.inherit(one.clone(), QUIET);
        assert!(intents.is_open(&one) && !intents.is_open(&other));
        intents.open(&other, 1);
        assert_eq!(intents.all_unsent(), [other]);
        let doubt = intents.forget(&one);
        assert_eq!(doubt.map(|doubt| (doubt.since, doubt.settles_at)), Some((FENCED, QUIET)));
        assert_eq!((intents.len(), intents.doubts().count()), (1, 0));
    }
}

/// What a fault means for the only request under an intent, which may be withdrawn if that had no effect, and for the
/// repeat of a doubtful one, which may not.
#[test]
fn each_fault_has_its_outcome_for_the_only_request_and_for_a_repeat_of_a_doubtful_one() {
    use FaultOutcome::{Exists, InDoubt, Outdated, Refused, SendAgain};
    let again = |counts| SendAgain { counts };
    let there = |id: Option<&str>| Fault::AlreadyThere { existing_id: id.map(str::to_owned) };
    let table = [
        (Fault::NotSent(NotSent::Connect), again(true), again(true)),
        (Fault::NotSent(NotSent::LeaseOver), again(false), again(false)),
        (Fault::Forbidden, again(true), again(true)),
        (Fault::Throttled { retry_after_ms: None }, again(false), again(false)),
        (Fault::Unauthorised, again(false), again(false)),
        (refused(), Refused, InDoubt),
        (Fault::SlotTaken, Refused, InDoubt),
        (Fault::NotFound(Missing::Patient), Refused, InDoubt),
        (Fault::NotFound(Missing::Appointment), Refused, InDoubt),
        (there(Some("a")), Exists("a".into()), Exists("a".into())),
        (there(None), InDoubt, InDoubt),
        (Fault::Changed, Outdated, Outdated),
        (Fault::KeyReused, InDoubt, InDoubt),
        (Fault::Unknown(Unknown::Timeout), InDoubt, InDoubt),
        (Fault::Unknown(Unknown::ServerError), InDoubt, InDoubt),
        (Fault::Unknown(Unknown::Unavailable { retry_after_ms: 1 }), InDoubt, InDoubt),
    ];
    for subject in subjects() {
        for (fault, of_only_one, of_repeat) in &table {
            let mut only = intents();
            only.open(&subject, 1);
            only.sent(&subject, true);
            assert_eq!(apply(&mut only, &subject, fault, QUIET).as_ref(), Some(of_only_one), "{fault:?}");
            let may_withdraw = matches!(of_only_one, SendAgain { .. } | Refused);
            assert_eq!(only.is_unsent(&subject), may_withdraw, "{fault:?}");

            let mut repeat = intents();
            repeat.inherit(subject.clone(), QUIET);
            repeat.sent(&subject, true);
            assert_eq!(apply(&mut repeat, &subject, fault, QUIET).as_ref(), Some(of_repeat), "{fault:?}");
            assert!(repeat.is_in_doubt(&subject) && repeat.may_have_effect(&subject), "{fault:?}");
        }
    }
    assert_eq!(apply(&mut intents(), &subjects()[0], &refused(), QUIET), None);
}

#[test]
fn a_refused_repeat_is_remembered_until_the_doubt_is_over() {
    let [subject, _] = subjects();
    for (fault, repeat_refused, key_refused) in [
        (Fault::Unknown(Unknown::Timeout), false, false),
        (refused(), true, false),
        (Fault::AlreadyThere { existing_id: None }, true, false),
        (Fault::KeyReused, true, true),
    ] {
        let mut intents = intents();
        intents.inherit(subject.clone(), QUIET);
        for fault in [fault, Fault::Unknown(Unknown::Reset)] {
            intents.sent(&subject, true);
            apply(&mut intents, &subject, &fault, QUIET.plus_ms(-1));
        }
        let doubt =
            intents.doubt(&subject).map(|doubt| (doubt.repeat_refused, doubt.key_refused, doubt.settles_at));
        assert_eq!(doubt, Some((repeat_refused, key_refused, QUIET)), "and it is quiet no earlier");
    }
}

#[test]
fn look_ups_that_fail_are_counted_until_all_of_them_do() {
    let [subject, other] = subjects();
    let mut intents = intents();
    intents.inherit(subject.clone(), QUIET);
    let counts: Vec<_> =
        [false, false, true, false].map(|do_all| intents.look_up_failed(&subject, do_all)).into();
    assert_eq!(counts, [Some(1), Some(2), Some(1), Some(2)]);
    for _ in 0..=LOOK_UPS_MAX {
        intents.look_up_failed(&subject, false);
    }
    assert_eq!(intents.look_up_failed(&subject, false), Some(LOOK_UPS_MAX));
    assert_eq!(intents.look_up_failed(&other, false), None);
    intents.ask_again_at(&subject, NOW);
    assert_eq!(intents.doubt(&subject).map(|doubt| doubt.settles_at), Some(NOW));
    assert!(!intents.is_unclear(&subject));
    intents.leave_unclear(&subject);
    assert!(intents.is_unclear(&subject) && !intents.is_unclear(&other));
}

proptest! {
    /// Goal: an intent may be withdrawn exactly while no request under it can have had an effect. Method: any requests,
    /// one after the other, that end without effect or nobody knows how.
    #[test]
    fn an_intent_is_unsent_exactly_while_nothing_under_it_can_have_had_an_effect(
        ends in prop::collection::vec(0_u8..3, 0..20),
    ) {
        for subject in subjects() {
            let mut intents = intents();
            intents.open(&subject, 1);
            let mut may_have_effect = false;
            for end in &ends {
                intents.sent(&subject, true);
                prop_assert!(intents.may_have_effect(&subject) && intents.is_in_flight(&subject));
                let fault = if *end == 0 { Fault::Unknown(Unknown::Timeout) } else { Fault::Unauthorised };
                apply(&mut intents, &subject, &fault, QUIET);
                may_have_effect |= *end == 0;
                prop_assert!(!intents.is_in_flight(&subject));
                prop_assert_eq!(intents.is_unsent(&subject), !may_have_effect);
                prop_assert_eq!(intents.may_have_effect(&subject), may_have_effect);
                prop_assert_eq!(intents.is_in_doubt(&subject), may_have_effect);
            }
        }
    }
}

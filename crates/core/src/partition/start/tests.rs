//! Every way to have lost a position, a row each.

use super::*;
use crate::state::{BookingState, Hold, Parked, StateRecord, TaskPositions, TopicId};
use crate::topics::{REQUESTED, RETRY};

/// The ids of our topics, one letter each: requested, retry, patients' state, appointments' state. A dash is not known.
fn ids(letters: &str) -> TopicIds {
    let mut ids = TopicIds::default();
    for (topic, letter) in
        [REQUESTED, RETRY, PATIENT_STATE, APPOINTMENT_STATE].into_iter().zip(letters.chars())
    {
        if letter != '-' {
            ids.note(topic, TopicId(letter.to_string().into()));
        }
    }
    ids
}

/// State that remembers these positions, in these topics.
fn remembers(next_offsets: &[Position], letters: &str) -> TaskState {
    let mut state = TaskState::default();
    let (next_offsets, topic_ids) = (next_offsets.to_vec(), ids(letters));
    state.apply(StateRecord::Task(TaskPositions {
        partition_count: 12,
        next_offsets,
        topic_ids,
        ..TaskPositions::default()
    }));
    state
}

/// What Kafka says: these topics, offsets 10 to 90 in both lanes, and what the group has committed.
fn known(letters: &str, requested: Option<i64>, retry: Option<i64>) -> Known {
    let lane = |lane, committed| KnownLane { lane, committed, low: 10, high: 90 };
    Known {
        partition: 3,
        topic_ids: ids(letters),
        lanes: vec![lane(Lane::Requested, requested), lane(Lane::Retry, retry)],
        begins_at_end: false,
    }
}

fn offsets(start: &Start) -> [i64; 2] {
    [start.next_offsets[0].offset, start.next_offsets[1].offset]
}

fn loss(lane: Lane, why: Loss, from: Option<i64>, to: i64) -> LostPosition {
    LostPosition { lane, why, from, to }
}

const BOTH: [Position; 2] = [Lane::Requested.at(40), Lane::Retry.at(50)];

#[test]
fn only_a_first_start_begins_at_an_end_of_the_topic() {
    let empty = TaskState::default();
    let first = Start::decide(&known("rtpa", None, None), &empty).expect("a first start");
    assert_eq!((offsets(&first), &first.topic_ids, first.is_retry_cut), ([10, 10], &ids("rtpa"), false));
    let at_end = Known { begins_at_end: true, ..known("rtpa", None, None) };
    assert_eq!(offsets(&Start::decide(&at_end, &empty).expect("a first start")), [90, 10]);
    assert_eq!(first.requested_end, 90, "an earlier owner may have read that far");
    let later = Start::decide(
        &Known { begins_at_end: true, ..known("rtpa", Some(60), Some(70)) },
        &remembers(&BOTH, "rtpa"),
    );
    assert_eq!(offsets(&later.expect("no first start")), [60, 70]);
}

#[test]
fn a_group_that_lost_its_offsets_goes_on_from_the_copy_in_state() {
    let state = remembers(&BOTH, "rtpa");
    let start = Start::decide(&known("rtpa", None, Some(60)), &state).expect("the copy is as good");
    assert_eq!(offsets(&start), [40, 60]);
    assert_eq!(start.lost, [loss(Lane::Requested, Loss::OffsetForgotten, None, 40)]);
    let refused = Start::decide(&known("rtpa", None, None), &remembers(&[], "rtpa"));
    let refused = refused.expect_err("nobody knows").to_string();
    assert!(refused.contains("no committed offset for appointments.requested/3"), "{refused}");
}

#[test]
fn a_lane_that_no_owner_has_read_yet_begins_at_its_low_end() {
    let older = remembers(&BOTH[..1], "rtpa");
    for begins_at_end in [false, true] {
        for committed in [None, Some(60)] {
            let known = Known { begins_at_end, ..known("rtpa", committed, None) };
            let start = Start::decide(&known, &older).expect("the other lane says that it is new");
            assert_eq!((offsets(&start), start.is_retry_cut), ([committed.unwrap_or(40), 10], false));
            assert!(start.lost.iter().all(|lost| lost.lane == Lane::Requested), "{:?}", start.lost);
        }
    }
    let newer = Start::decide(&known("rtpa", None, Some(60)), &older).expect("the group knows more");
    assert_eq!(offsets(&newer), [40, 60]);
}

#[test]
fn a_position_in_a_topic_that_was_recreated_is_not_believed_whoever_remembers_it() {
    let state = remembers(&BOTH, "rtpa");
    for committed in [None, Some(40), Some(60), Some(1_000)] {
        let start = Start::decide(&known("Rtpa", committed, Some(60)), &state).expect("it begins anew");
        assert_eq!((offsets(&start), start.is_retry_cut), ([10, 60], false));
        let told = loss(Lane::Requested, Loss::TopicRecreated, committed.or(Some(40)), 10);
        assert_eq!((&start.lost[..], &start.topic_ids), (&[told][..], &ids("Rtpa")));
    }
    let start = Start::decide(&known("rTpa", Some(60), Some(70)), &state).expect("it begins anew");
    assert_eq!((offsets(&start), start.is_retry_cut), ([60, 10], true));
}

#[test]
fn where_an_id_is_not_known_positions_are_compared_and_the_remembered_id_is_kept() {
    for (now, then, kept) in [("----", "rtpa", "rtpa"), ("rtpa", "----", "rtpa"), ("-tpa", "rtp-", "rtpa")] {
        let start = Start::decide(&known(now, Some(60), Some(70)), &remembers(&BOTH, then)).expect("as ever");
        assert_eq!((offsets(&start), &start.topic_ids), ([60, 70], &ids(kept)), "{now} after {then}");
        assert_eq!((start.lost, start.is_retry_cut), (Vec::new(), false));
    }
}

#[test]
fn what_was_deleted_is_passed_and_what_cannot_be_is_refused() {
    let state = remembers(&BOTH, "rtpa");
    let start = Start::decide(&known("rtpa", Some(4), Some(5)), &state).expect("it goes on");
    assert_eq!((offsets(&start), start.is_retry_cut), ([10, 10], true));
    let deleted = |lane, from| loss(lane, Loss::RecordsDeleted, Some(from), 10);
    assert_eq!(start.lost, [deleted(Lane::Requested, 4), deleted(Lane::Retry, 5)]);
    let refused =
        Start::decide(&known("rtpa", Some(91), Some(5)), &state).expect_err("past the end").to_string();
    assert!(refused.contains("91 of appointments.requested/3 is past the end of its log (90)"), "{refused}");
}

#[test]
fn a_state_topic_that_was_recreated_is_refused_with_its_remedy() {
    for (now, topic) in [("rtPa", "patients.state"), ("rtpA", "appointments.state")] {
        let refused = Start::decide(&known(now, Some(60), Some(70)), &remembers(&BOTH, "rtpa"));
        let refused = refused.expect_err("another state topic").to_string();
        assert!(refused.starts_with(&format!("{topic} was recreated")), "{refused}");
        assert!(refused.contains("healthflow-sync accept-topics"), "{refused}");
    }
    // Nothing in it tells what it is; but the group was here before. A booking or two that a worker wrote before it noticed
    // do not make it the old one.
    let mut nearly_empty = TaskState::default();
    let booking = crate::booking::BookingKey { practice: "p".into(), booking: "b".into() };
    nearly_empty.apply(StateRecord::Booking(booking, BookingState::default()));
    for state in [TaskState::default(), nearly_empty] {
        let refused =
            Start::decide(&known("rtpa", None, Some(70)), &state).expect_err("no state").to_string();
        assert!(refused.contains("holds nothing of task 3"), "{refused}");
        assert!(refused.contains("offset 70 of appointments.retry/3"), "{refused}");
    }
}

#[test]
fn a_version_is_lost_whose_own_record_is_not_in_the_retry_topic() {
    let key = |booking: &str| crate::booking::BookingKey { practice: "p".into(), booking: booking.into() };
    let parked = |version, place, generation| Parked { version, place, generation, wish: None };
    let mut state = TaskState::default();
    let waiting = vec![
        parked(1, ParkingPlace::Failed, 1),
        parked(2, ParkingPlace::Retry, 3),
        parked(3, ParkingPlace::Retry, 1),
        parked(4, ParkingPlace::Review(Hold::Question), 1),
    ];
    state.apply(StateRecord::Booking(key("a"), BookingState { parked: waiting, ..BookingState::default() }));
    let waiting = vec![parked(2, ParkingPlace::Retry, 2)];
    state.apply(StateRecord::Booking(key("b"), BookingState { parked: waiting, ..BookingState::default() }));
    // Of the second version an older record is there, of the third its own.
    let found = HashSet::from([(key("a").version(2), 2), (key("a").version(3), 1)]);
    assert_eq!(mark_lost(&mut state, &found), 2);
    let lost = |booking| state.bookings.get(&key(booking)).map(|state| state.lost.clone());
    assert_eq!((lost("a"), lost("b")), (Some(vec![2]), Some(vec![2])));
}

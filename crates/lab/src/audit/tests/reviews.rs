//! Reviews that did not end, or not as was decided, and decisions that were not refused as they had to be.

use super::*;

fn is_to(wanted: fn(&Ending) -> bool) -> impl Fn(&Expected) -> bool {
    move |one| matches!(one, Expected::Review(ending) if wanted(ending))
}

fn is_linked(ending: &Ending) -> bool {
    matches!(ending, Ending::Linked(_))
}

/// The appointment of the booking whose review ends so.
fn booked(perfect: &mut Perfect, wanted: fn(&Ending) -> bool) -> &mut Appointment {
    let Name::Version(booking, _) = perfect.name_of(is_to(wanted)) else { panic!("a version") };
    let id = format!("apt-{booking}");
    perfect.ledger.appointments.iter_mut().find(|one| one.id == id).expect("it is booked")
}

#[test]
fn a_review_that_does_not_end_is_seen_unless_nobody_decides() {
    let without_end = |wanted: fn(&Ending) -> bool| {
        move |perfect: &mut Perfect| drop(perfect.notes.results.remove(perfect.result_of(is_to(wanted))))
    };
    let wanted: [fn(&Ending) -> bool; 3] =
        [is_linked, |one| *one == Ending::Rejected, |one| *one == Ending::Cancelled];
    for wanted in wanted {
        let audit = audit_with(without_end(wanted));
        assert_eq!(audit.wrong, Wrong { open_reviews: 1, ..Wrong::default() });
        assert_eq!((audit.review, audit.is_clean()), (1, false));
    }
    let audit = audit_with(|perfect| {
        without_end(|one| *one == Ending::Rejected)(perfect);
        for asked in &mut perfect.notes.asked {
            if asked.expected == Expected::Review(Ending::Rejected) {
                asked.expected = Expected::Review(Ending::Open);
            }
        }
    });
    assert!(audit.is_clean() && audit.review == 1, "{audit:?}");
}

#[test]
fn a_review_that_ends_otherwise_than_was_decided_is_seen() {
    let rejected = |one: &Ending| *one == Ending::Rejected;
    let audit = audit_with(|perfect| {
        let end = perfect.result_of(is_to(rejected));
        perfect.notes.results[end].reason = Some("REJECTED".into());
    });
    assert_eq!(audit.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() });
    let nobody_asked = audit_with(|perfect| {
        let end = perfect.result_of(is_to(is_linked));
        perfect.notes.results.remove(end - 1);
    });
    assert_eq!(nobody_asked.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() });
}

#[test]
fn a_visit_in_another_chart_than_was_decided_is_seen() {
    let audit = audit_with(|perfect| {
        let other = perfect.chart_ids[0].clone();
        booked(perfect, is_linked).patient_id = other;
    });
    assert!(audit.wrong.wrong_content == 1, "{audit:?}");
    let twins = audit_with(|perfect| {
        let Name::Version(booking, _) = perfect.name_of(is_to(|one| *one == Ending::New)) else {
            panic!("a version")
        };
        let new = booked(perfect, |one| *one == Ending::New).patient_id.clone();
        let of = |one: &Patient| one.practice_id == *booking.practice.as_str();
        let born =
            perfect.ledger.patients.iter().find(|one| one.id == new).map(|one| one.date_of_birth.clone());
        let twin = perfect
            .ledger
            .patients
            .iter()
            .find(|one| of(one) && one.seeded && Some(&one.date_of_birth) == born.as_ref());
        let twin = twin.expect("HealthFlow has a twin").id.clone();
        booked(perfect, |one| *one == Ending::New).patient_id = twin;
    });
    assert_eq!(twins.wrong, Wrong { wrong_content: 1, ..Wrong::default() });
    let rejected = audit_with(|perfect| {
        let Name::Version(booking, _) = perfect.name_of(is_to(|one| *one == Ending::Rejected)) else {
            panic!("a version")
        };
        let visit = booked(perfect, is_linked).clone();
        perfect.ledger.appointments.push(Appointment {
            id: "apt-rejected".into(),
            practice_id: booking.practice.to_string(),
            external_id: Some(booking.booking.to_string()),
            patient_id: perfect
                .ledger
                .patients
                .iter()
                .find(|one| one.practice_id == booking.practice.as_str())
                .expect("there is one")
                .id
                .clone(),
            ..visit
        });
    });
    assert_eq!(rejected.wrong, Wrong { wrong_content: 1, ..Wrong::default() });
}

/// Goal: a chart too many is seen although a twin may be created. Method: the new patient is created twice, and somebody whose
/// chart was decided is created.
#[test]
fn a_patient_who_is_created_once_too_often_is_seen_although_a_person_decided() {
    for wanted in [is_linked, |one: &Ending| *one == Ending::New] {
        let audit = audit_with(|perfect| {
            let id = booked(perfect, wanted).patient_id.clone();
            let of = perfect.ledger.patients.iter().find(|one| one.id == id).expect("it exists").clone();
            perfect.ledger.patients.push(Patient { id: "p-copy".into(), seeded: false, ..of });
        });
        assert_eq!(audit.wrong, Wrong { duplicate_patients: 1, ..Wrong::default() });
    }
}

/// A decision that must be refused as stale, and its dead letter.
fn refuse(perfect: &mut Perfect, reason: Option<&str>) {
    let name = Name::Decision("d-1".into());
    let expected = Expected::Refused("DECISION_STALE");
    perfect.notes.asked.push(Asked { name, expected, at: Timestamp(7) });
    // It lies where a poisoned record lies in another topic.
    let record = perfect.notes.results.iter().find_map(|one| one.record);
    perfect.notes.results.extend(reason.map(|reason| SeenResult {
        version: None,
        record,
        outcome: ResultOutcome::Failed,
        is_final: true,
        reason: Some(reason.to_owned()),
        generation: 0,
        attempts: 1,
        decision: Some("d-1".into()),
        at: Timestamp(8),
    }));
}

#[test]
fn a_decision_that_is_not_refused_as_it_must_be_is_seen() {
    let audit = audit_with(|perfect| refuse(perfect, Some("DECISION_STALE")));
    assert!(audit.is_clean() && audit.failed == 6, "{audit:?}");
    assert_eq!(audit_with(|perfect| refuse(perfect, None)).waiting, 1);
    let otherwise = audit_with(|perfect| refuse(perfect, Some("DECISION_UNKNOWN")));
    assert_eq!(otherwise.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() });
    let valid = audit_with(|perfect| {
        refuse(perfect, Some("DECISION_STALE"));
        perfect.notes.asked.pop();
    });
    assert_eq!(valid.wrong, Wrong { wrong_outcome: 1, ..Wrong::default() }, "it had to be carried out");
}

//! Near twins: one birthday, one family name, one postal code, and given names that only a mark tells apart, or none
//! but the sex. The second one never lands in the chart of the first.

use healthflow_core::booking::{Patient, Sex};
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::patient::decide::{Agreement, Evidence};
use healthflow_core::settings::GuardMode;
use healthflow_core::sync::ReviewReason;

use crate::desk::*;

/// HealthFlow has the chart of one; the other one is booked. What is said of the chart.
fn reviewed(in_healthflow: &Patient, booked: Patient) -> Evidence {
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", booked));
    while desk.reviews().is_empty() {
        desk.expect_and_answer(Operation::SearchPatients, chart("hf-9", in_healthflow));
    }
    desk.expect_silence();
    assert!(desk.state("b").question().is_some());
    assert!(desk.results().is_empty(), "neither created nor failed");
    let [case] = &desk.reviews()[..] else { panic!("one review") };
    assert_eq!(case.reason, ReviewReason::AmbiguousPatient);
    let [evidence] = &case.evidence[..] else { panic!("one candidate") };
    assert_eq!(evidence.healthflow_patient_id.as_deref(), Some("hf-9"));
    evidence.clone()
}

#[test]
fn twins_whose_names_only_a_mark_tells_apart_are_for_a_person() {
    for (one, other, family) in
        [("たいき", "だいき", "山田"), ("राम", "रोमा", "शर्मा"), ("Anh", "Ánh", "Nguyễn")]
    {
        for (one, other) in [(one, other), (other, one)] {
            let evidence = reviewed(&a_patient("p-1", one, family), a_patient("p-2", other, family));
            assert_eq!(evidence.given_name, Agreement::Differs, "{one} {other}");
            assert_eq!(evidence.given_name_without_marks, Agreement::Equal);
            assert_eq!(evidence.family_name, Agreement::Equal);
            assert_eq!((evidence.date_of_birth, evidence.postal_code), (Agreement::Equal, Agreement::Equal));
        }
    }
}

#[test]
fn brother_and_sister_of_one_name_are_for_a_person() {
    let of = |id: &str, sex| Patient { sex: Some(sex), ..a_patient(id, "Kim", "Lovelace") };
    let evidence = reviewed(&of("p-1", Sex::Female), of("p-2", Sex::Male));
    assert_eq!((evidence.given_name, evidence.family_name), (Agreement::Equal, Agreement::Equal));
    assert_eq!(evidence.sex, Agreement::Differs);
}

#[test]
fn a_chart_without_a_sex_or_in_another_spelling_is_found() {
    let booked = Patient { sex: Some(Sex::Female), ..a_patient("p-2", "José", "O’Brien") };
    for sex in [None, Some(Sex::Unknown), Some(Sex::Female)] {
        let mut desk = Desk::new(GuardMode::IdempotencyKey);
        desk.arrive(a_booking_of("b", booked.clone()));
        let stands = Patient { sex, ..a_patient("p-1", "JOSE", "OBRIEN") };
        desk.expect_and_answer(Operation::SearchPatients, nobody());
        for _ in 0..3 {
            desk.expect_and_answer(Operation::SearchPatients, chart("hf-9", &stands));
        }
        let request = desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
        let Request::CreateAppointment { content, .. } = request else { unreachable!() };
        assert_eq!(content.patient, "hf-9".into());
    }
}

/// Rule W7: who could be the same waits for the first one's creation, then meets it in the search.
#[test]
fn a_near_twin_of_somebody_new_waits_and_goes_to_a_person() {
    let daiki = a_patient("p-2", "だいき", "山田");
    let taiki = a_patient("p-1", "たいき", "山田");
    let mut desk = Desk::new(GuardMode::IdempotencyKey);
    desk.arrive(a_booking_of("b", taiki.clone()));
    desk.find_nobody();
    let creating = desk.expect(Operation::CreatePatient);
    desk.arrive(a_booking_of("c", daiki));
    desk.find_nobody();
    desk.pass_ms(1_000);
    assert!(desk.calls.is_empty(), "nobody is created beside a creation under way");
    desk.answer(&creating, patient_created("hf-9"));
    desk.expect_and_answer(Operation::CreateAppointment, created("a-1"));
    desk.pass_ms(LAG_MS + 1_000);
    while desk.reviews().is_empty() {
        desk.expect_and_answer(Operation::SearchPatients, chart("hf-9", &taiki));
    }
    desk.expect_silence();
    assert_eq!(desk.results(), [("b".into(), 1, "CREATED")]);
}

//! Our reference of a patient in HealthFlow (`external_id`). It is DentScheduler's id until a person rejects a chart: where
//! references are unique HealthFlow would return that very chart for every further creation under the same one (rule W8).

use std::borrow::Cow;

use crate::booking::{Patient, PatientId, PatientKey, PracticeId};
use crate::patient::digests::digest;

/// How much of an id a reference with a number keeps, in characters: number and digest must fit into the 200 of HealthFlow's contract.
const ID_CHARS_MAX: usize = 170;

/// Our reference of `patient`: the id itself, or with the number of its incarnation. Any text can be the id of another patient, `p~2`
/// too; the digest keeps this one from being anybody's. Stored in HealthFlow: it never changes.
pub fn reference(patient: &PatientKey, number: u32) -> PatientId {
    if number == 0 {
        return patient.patient.clone();
    }
    let digest = digest("reference", patient, &number.to_string());
    let id: String = patient.patient.as_str().chars().take(ID_CHARS_MAX).collect();
    PatientId::from(format!("{id}~{number}~{digest:08x}"))
}

/// `patient` of `practice` as HealthFlow knows it: under our reference.
pub fn under_reference<'a>(practice: &PracticeId, patient: &'a Patient, number: u32) -> Cow<'a, Patient> {
    if number == 0 {
        return Cow::Borrowed(patient);
    }
    let key = PatientKey { practice: practice.clone(), patient: patient.id.clone() };
    Cow::Owned(Patient { id: reference(&key, number), ..patient.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::texts;

    fn of(practice: &str, patient: &str, number: u32) -> String {
        let key = PatientKey { practice: practice.into(), patient: patient.into() };
        reference(&key, number).as_str().to_owned()
    }

    #[test]
    fn a_reference_is_the_id_until_it_has_a_number_and_then_nobody_elses() {
        assert_eq!(of("practice-1", "p-20931", 0), "p-20931");
        assert_eq!(of("practice-1", "p-20931", 2), "p-20931~2~4de7af20");
        let long = "p".repeat(texts::PATIENT_ID.chars_max);
        let all = [
            of("practice-1", "p", 2),
            of("practice-1", "p", 3),
            of("practice-1", "p~2", 2),
            of("practice-2", "p", 2),
            of("practice-1", &long, 2),
            of("practice-1", &format!("{}q", &long[1..]), 2),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one), "{one}");
        }
        texts::PATIENT_ID.check(&of("p", &long, u32::MAX)).expect("HealthFlow takes it");
    }
}

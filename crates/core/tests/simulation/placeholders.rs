//! People whose birthday is a placeholder: the usual one that every program knows, and one of a practice's own.

use healthflow_core::booking::{Patient, PracticeId};

use crate::lives::{Lives, Person, chart};
use healthflow_proof::random::Random;

/// Father and son of one name at one address, and nobody knows when either was born: where a placeholder counts as a
/// birthday, they are one person. The father has a chart.
pub fn namesakes(practice: &PracticeId, people: &mut Vec<Person>, lives: &mut Lives) {
    for has_chart in [true, false] {
        lives.next_human += 1;
        let human = lives.next_human;
        let patient = Patient {
            id: format!("{practice}-pt{}", people.len()).into(),
            healthflow_patient_id: None,
            given_name: "Quentin".into(),
            family_name: "Quade".into(),
            date_of_birth: jiff::civil::date(1900, 1, 1).into(),
            postal_code: "30000".into(),
            phone: None,
            email: None,
            sex: None,
        };
        if has_chart {
            lives.seeded.push((chart(practice, &patient), human));
        }
        people.push(Person { practice: practice.clone(), patient, human });
    }
}

/// Strangers who share a birthday, which is a placeholder of that practice's own, and somebody new who has it too: a search
/// by it finds more pages than anybody reads, where pages are small.
pub fn crowd(practice: &PracticeId, people: &mut Vec<Person>, lives: &mut Lives, random: &mut Random) {
    for number in 0..=random.between(7, 12) {
        lives.next_human += 1;
        let human = lives.next_human;
        let patient = Patient {
            id: format!("{practice}-pt{}", people.len()).into(),
            healthflow_patient_id: None,
            given_name: format!("Given{number}").into(),
            family_name: format!("Family{number}").into(),
            date_of_birth: jiff::civil::date(1955, 5, 5).into(),
            postal_code: (40_000 + number).to_string().into(),
            phone: None,
            email: None,
            sex: None,
        };
        match number {
            0 => people.push(Person { practice: practice.clone(), patient, human }),
            _ => lives.seeded.push((chart(practice, &patient), human)),
        }
    }
}

//! The patients of the workload. Two people of one practice never share a date of birth or a postal code, so that none
//! resembles another by accident: who is ambiguous is so on purpose.

use healthflow_core::booking::Sex;
use healthflow_core::event::requested::RequestedPatient;
use jiff::ToSpan;
use jiff::civil::date;
use serde::Serialize;

const GIVEN: [&str; 24] = [
    "Ana", "Ben", "Chloe", "Daniel", "Elena", "Frank", "Grace", "Hugo", "Irene", "James", "Katya", "Liam",
    "Mei", "Noah", "Olivia", "Pedro", "Quinn", "Rosa", "Samuel", "Tara", "Umar", "Vera", "William", "Zoë",
];
const FAMILY: [&str; 24] = [
    "Anderson",
    "Baker",
    "Castillo",
    "Dubois",
    "Edwards",
    "Fischer",
    "García",
    "Hughes",
    "Ivanov",
    "Jones",
    "Kim",
    "Lopez",
    "Müller",
    "Nguyen",
    "O'Brien",
    "Patel",
    "Quist",
    "Rossi",
    "Smith-Jones",
    "Tanaka",
    "Usman",
    "Vargas",
    "Wright",
    "Young",
];
/// Days over which births are spread, and a step prime to it: no date comes twice before all came once.
const BIRTH_DAYS: usize = 27_000;
const BIRTH_STEP: usize = 37;

/// A mark that makes another letter of whatever is before it.
const TILDE: char = '\u{303}';

/// What HealthFlow knows of a patient before the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// In HealthFlow, and DentScheduler knows the id: it is sent along.
    Known(ChartNumber),
    /// In HealthFlow, to be found by search.
    Found(ChartNumber),
    /// Not in HealthFlow.
    New,
    /// In HealthFlow twice, or HealthFlow has only somebody who differs by a diacritic or by sex: a person must decide.
    Ambiguous,
}

/// Index into the charts of the workload.
pub type ChartNumber = usize;

/// A patient who is in HealthFlow already, as its body in HealthFlow's API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// Whose patient.
    pub practice_id: String,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Date of birth, `YYYY-MM-DD`.
    pub date_of_birth: String,
    /// Postal code.
    pub postal_code: String,
    /// Sex, in HealthFlow's words.
    pub sex: &'static str,
}

/// Patient number `number` (from 0) of a practice, as DentScheduler knows it.
pub fn patient(practice: usize, number: usize) -> RequestedPatient {
    let days = (number * BIRTH_STEP + practice) % BIRTH_DAYS;
    let born = date(1935, 1, 1).saturating_add((days as i64).days());
    let mix = number + 7 * practice;
    RequestedPatient {
        patient_id: healthflow_core::booking::PatientId::from(format!("pat-{practice:03}-{number:05}"))
            .into(),
        healthflow_patient_id: None,
        given_name: GIVEN[mix % GIVEN.len()].into(),
        family_name: FAMILY[(mix / GIVEN.len() + mix) % FAMILY.len()].into(),
        date_of_birth: born.to_string().into(),
        postal_code: format!("{:05}", 10_000 + (number * 7) % 89_999).into(),
        phone: None,
        email: None,
        sex: Some(if mix.is_multiple_of(2) { Sex::Female } else { Sex::Male }),
    }
}

/// The chart of `patient`, spelled as the practice spelled it long ago: search must see through that.
pub fn chart(practice_id: &str, patient: &RequestedPatient) -> Chart {
    Chart {
        practice_id: practice_id.to_owned(),
        given_name: patient.given_name.reveal().to_uppercase(),
        family_name: patient.family_name.reveal().replace('\'', "’").to_uppercase(),
        date_of_birth: patient.date_of_birth.reveal().clone(),
        postal_code: format!("{}-0042", patient.postal_code.reveal()),
        sex: sex(patient.sex == Some(Sex::Female)),
    }
}

/// Why a person must decide who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// HealthFlow has the same person twice.
    Twice,
    /// HealthFlow has a twin whose name differs only by a diacritic.
    Twin,
    /// HealthFlow has a brother or sister of the same name.
    Sibling,
}

impl Doubt {
    /// That of the review number `nth`.
    pub fn of(nth: usize) -> Doubt {
        [Doubt::Twice, Doubt::Twin, Doubt::Sibling][nth % 3]
    }

    /// How many charts there are to decide among.
    pub fn charts(self) -> usize {
        if self == Doubt::Twice { 2 } else { 1 }
    }

    /// These charts, made of the one that would be the right one.
    pub fn charts_of(self, chart: Chart) -> Vec<Chart> {
        match self {
            Doubt::Twice => vec![chart.clone(), chart],
            Doubt::Twin => vec![Chart { given_name: format!("{}{TILDE}", chart.given_name), ..chart }],
            Doubt::Sibling => vec![Chart { sex: sex(chart.sex != sex(true)), ..chart }],
        }
    }
}

fn sex(is_female: bool) -> &'static str {
    if is_female { "female" } else { "male" }
}

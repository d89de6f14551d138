//! The passes in which HealthFlow is searched for a patient. One pass by one identifier finds only a third of the
//! patients that are there; these four together find nearly all, with about one candidate a query. A value that is only a
//! placeholder is nothing to search by, and a pass that finds too many is given up: see [`Search::too_wide`].

use crate::booking::{Patient, PatientId};
use crate::patient::{Candidate, Person, placeholder, postal_code};
use crate::private::Private;
use crate::time::Timestamp;

/// One query of the search. HealthFlow compares exactly; names and codes are normalised by both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Patients created through us for this patient: our reference.
    Reference(PatientId),
    /// Everybody born that day.
    DateOfBirth(Private<jiff::civil::Date>),
    /// Given and family name, where the birthday or the postal code says nothing.
    Names(Private<String>, Private<String>),
    /// Family name and postal code.
    FamilyNameAndPostalCode(Private<String>, Private<String>),
    /// Given name and postal code.
    GivenNameAndPostalCode(Private<String>, Private<String>),
}

impl Pass {
    /// Every name of a pass.
    pub const NAMES: [&str; 5] =
        ["reference", "date_of_birth", "names", "family_name_and_postal_code", "given_name_and_postal_code"];

    /// The name used as a metric label and in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Pass::Reference(_) => Pass::NAMES[0],
            Pass::DateOfBirth(_) => Pass::NAMES[1],
            Pass::Names(..) => Pass::NAMES[2],
            Pass::FamilyNameAndPostalCode(..) => Pass::NAMES[3],
            Pass::GivenNameAndPostalCode(..) => Pass::NAMES[4],
        }
    }
}

/// The passes for `patient`, in order, that must all have answered before "nobody" may be believed. `is_crowded` says that
/// too many share the birthday.
pub fn passes(patient: &Patient, is_crowded: bool) -> Vec<Pass> {
    let (given_name, family_name) = (&patient.given_name, &patient.family_name);
    let names = || Pass::Names(given_name.clone(), family_name.clone());
    let born = placeholder::birthday(*patient.date_of_birth.reveal()).filter(|_| !is_crowded);
    let has_birthday = born.is_some();
    let mut passes = vec![Pass::Reference(patient.id.clone()), born.map_or_else(names, Pass::DateOfBirth)];
    if postal_code(patient.postal_code.reveal()).is_empty() {
        passes.extend(has_birthday.then(names));
    } else {
        let code = &patient.postal_code;
        passes.push(Pass::FamilyNameAndPostalCode(family_name.clone(), code.clone()));
        passes.push(Pass::GivenNameAndPostalCode(given_name.clone(), code.clone()));
    }
    passes
}

/// A search under way: which passes have answered completely, and whom they returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    /// When the first pass was sent: what we created after that it may not have seen (rule W7).
    pub started_at: Timestamp,
    /// How many passes have answered, every page of them, or were given up.
    pub answered: usize,
    /// Whom they returned, each person once.
    pub candidates: Vec<Candidate>,
    /// Whether more share the patient's birthday than can be read: it is a placeholder of that practice, and counts as
    /// missing.
    pub is_crowded: bool,
    /// Whether a pass was given up: who was not found may stand there nevertheless.
    pub is_incomplete: bool,
}

impl Search {
    /// A search whose first pass goes out now.
    pub fn start(now: Timestamp) -> Self {
        Search {
            started_at: now,
            answered: 0,
            candidates: Vec::new(),
            is_crowded: false,
            is_incomplete: false,
        }
    }

    /// The pass for `patient` that comes next; none when all have answered. Without references the first one would find
    /// nobody, or everybody.
    pub fn next_pass(&self, patient: &Patient, has_references: bool) -> Option<Pass> {
        let done = self.answered + usize::from(!has_references);
        passes(patient, self.is_crowded).into_iter().nth(done)
    }

    /// Takes in the complete answer of the next pass.
    pub fn learn(&mut self, found: Vec<Candidate>) {
        self.answered += 1;
        for candidate in found {
            if !self.candidates.iter().any(|known| known.id == candidate.id) {
                self.candidates.push(candidate);
            }
        }
    }

    /// The next pass, `pass`, finds more than can be read. A birthday that so many share says nothing: the names are asked
    /// for in its place. Any other pass is left to those that remain, and "nobody" is not believed any more.
    pub fn too_wide(&mut self, pass: &Pass) {
        if matches!(pass, Pass::DateOfBirth(_)) {
            self.is_crowded = true;
        } else {
            self.answered += 1;
            self.is_incomplete = true;
        }
    }

    /// `patient` as far as it can be told from others.
    pub fn person(&self, patient: &Patient) -> Person {
        let mut person = Person::from(patient);
        person.date_of_birth.take_if(|_| self.is_crowded);
        person
    }
}

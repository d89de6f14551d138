//! The passes of the search for a patient in HealthFlow. One pass by one identifier finds only a third of the patients that
//! exist; these four together find nearly all, with about one candidate a query. A placeholder is not searched by, and a
//! pass that finds too many is abandoned: see [`Search::too_wide`].

use crate::booking::{Patient, PatientId};
use crate::coded::coded;
use crate::patient::{Candidate, Person, placeholder, postal_code};
use crate::private::Private;
use crate::time::Timestamp;

/// One query of the search. HealthFlow compares exactly; names and codes are normalised by both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Patients created through us for this patient: our reference.
    Reference(PatientId),
    /// All patients born on that day.
    DateOfBirth(Private<jiff::civil::Date>),
    /// Given and family name, if the birthday or the postal code is missing.
    Names(Private<String>, Private<String>),
    /// Family name and postal code.
    FamilyNameAndPostalCode(Private<String>, Private<String>),
    /// Given name and postal code.
    GivenNameAndPostalCode(Private<String>, Private<String>),
}

coded! {
    /// A kind of pass; the code is the name used as a metric label and in logs.
    pub enum PassKind {
        /// See [`Pass::Reference`].
        Reference = "reference",
        /// See [`Pass::DateOfBirth`].
        DateOfBirth = "date_of_birth",
        /// See [`Pass::Names`].
        Names = "names",
        /// See [`Pass::FamilyNameAndPostalCode`].
        FamilyNameAndPostalCode = "family_name_and_postal_code",
        /// See [`Pass::GivenNameAndPostalCode`].
        GivenNameAndPostalCode = "given_name_and_postal_code",
    }
}

impl Pass {
    /// Its kind.
    pub const fn kind(&self) -> PassKind {
        match self {
            Pass::Reference(_) => PassKind::Reference,
            Pass::DateOfBirth(_) => PassKind::DateOfBirth,
            Pass::Names(..) => PassKind::Names,
            Pass::FamilyNameAndPostalCode(..) => PassKind::FamilyNameAndPostalCode,
            Pass::GivenNameAndPostalCode(..) => PassKind::GivenNameAndPostalCode,
        }
    }

    /// The name used as a metric label and in logs.
    pub const fn name(&self) -> &'static str {
        self.kind().code()
    }
}

/// The passes for `patient`, in order; all must have answered before "nobody" can be trusted. `is_crowded`: too many share
/// the birthday.
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

/// The pass that a search begins with. Without references the first one would find nobody, or everybody.
pub fn first_pass(patient: &Patient, has_references: bool) -> Pass {
    // There are two passes at least: the reference, and the birthday or the names.
    passes(patient, false).swap_remove(usize::from(!has_references))
}

/// A search under way: which passes have answered completely, and whom they returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    /// When the first pass was sent: the search may have missed what we created after that (rule W7).
    pub started_at: Timestamp,
    /// How many passes have answered completely or were abandoned.
    pub answered: usize,
    /// Whom they returned, each person once.
    pub candidates: Vec<Candidate>,
    /// Whether more patients share the birthday than can be read: it is a placeholder of that practice and counts as
    /// missing.
    pub is_crowded: bool,
    /// Whether a pass was abandoned: a patient who was not found may exist all the same.
    pub is_incomplete: bool,
}

impl Search {
    /// A search whose first pass is sent now.
    pub fn start(now: Timestamp) -> Self {
        Search {
            started_at: now,
            answered: 0,
            candidates: Vec::new(),
            is_crowded: false,
            is_incomplete: false,
        }
    }

    /// The next pass for `patient`; none once all have answered. Without references the first one would find nobody, or
    /// everybody.
    pub fn next_pass(&self, patient: &Patient, has_references: bool) -> Option<Pass> {
        let done = self.answered + usize::from(!has_references);
        passes(patient, self.is_crowded).into_iter().nth(done)
    }

    /// Adds the complete answer of the next pass.
    pub fn learn(&mut self, found: Vec<Candidate>) {
        self.answered += 1;
        for candidate in found {
            if !self.candidates.iter().any(|known| known.id == candidate.id) {
                self.candidates.push(candidate);
            }
        }
    }

    /// The next pass, `pass`, finds more than can be read. A birthday that so many share is no evidence: the names are
    /// searched by instead. After any other pass the remaining ones decide, and "nobody" is not trusted any more.
    pub fn too_wide(&mut self, pass: &Pass) {
        if matches!(pass, Pass::DateOfBirth(_)) {
            self.is_crowded = true;
        } else {
            self.answered += 1;
            self.is_incomplete = true;
        }
    }

    /// The features of `patient` that distinguish people.
    pub fn person(&self, patient: &Patient) -> Person {
        let mut person = Person::from(patient);
        person.date_of_birth.take_if(|_| self.is_crowded);
        person
    }
}

//! The passes in which HealthFlow is searched for a patient. One pass by one identifier finds only a third of the
//! patients that are there; these four together find nearly all, with about one candidate a query.

use crate::booking::{Patient, PatientId};
use crate::patient::Candidate;
use crate::private::Private;
use crate::time::Timestamp;

/// One query of the search. HealthFlow compares exactly; names and codes are normalised by both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Patients created through us for this patient: our reference.
    Reference(PatientId),
    /// Everybody born that day.
    DateOfBirth(Private<jiff::civil::Date>),
    /// Family name and postal code.
    FamilyNameAndPostalCode(Private<String>, Private<String>),
    /// Given name and postal code.
    GivenNameAndPostalCode(Private<String>, Private<String>),
}

/// How many passes there are before "nobody" may be believed.
pub const PASSES: usize = 4;

/// The pass number `index` (from 0) for `patient`; none when all are done.
pub fn pass(patient: &Patient, index: usize) -> Option<Pass> {
    let postal_code = || patient.postal_code.clone();
    match index {
        0 => Some(Pass::Reference(patient.id.clone())),
        1 => Some(Pass::DateOfBirth(patient.date_of_birth.clone())),
        2 => Some(Pass::FamilyNameAndPostalCode(patient.family_name.clone(), postal_code())),
        3 => Some(Pass::GivenNameAndPostalCode(patient.given_name.clone(), postal_code())),
        _ => None,
    }
}

/// A search under way: which passes have answered completely, and whom they returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    /// When the first pass was sent: what we created after that it may not have seen (rule W7).
    pub started_at: Timestamp,
    /// How many passes have answered, every page of them.
    pub answered: usize,
    /// Whom they returned, each person once.
    pub candidates: Vec<Candidate>,
}

impl Search {
    /// A search whose first pass goes out now.
    pub fn start(now: Timestamp) -> Self {
        Search { started_at: now, answered: 0, candidates: Vec::new() }
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
}

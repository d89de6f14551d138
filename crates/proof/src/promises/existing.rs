//! Promises 2 and 3: HealthFlow has no patient and no appointment twice, and no appointment without its patient.

use std::collections::HashMap;
use std::hash::Hash;

/// What exists in HealthFlow; `I` is its name of a patient, `P` what two charts of one person have in common.
#[derive(Clone, Debug)]
pub struct Existing<'a, I, P> {
    /// Appointments by age.
    pub appointments: Vec<Appointment<'a, I>>,
    /// Patients by age.
    pub patients: Vec<Patient<'a, I, P>>,
}

/// An appointment that exists.
#[derive(Clone, Copy, Debug)]
pub struct Appointment<'a, I> {
    /// Which practice's.
    pub practice: &'a str,
    /// The booking that it was made for, if HealthFlow knows.
    pub booking: Option<&'a str>,
    /// HealthFlow's name of its patient.
    pub patient: I,
}

/// A patient that exists.
#[derive(Clone, Copy, Debug)]
pub struct Patient<'a, I, P> {
    /// Which practice's.
    pub practice: &'a str,
    /// HealthFlow's name of it.
    pub id: I,
    /// DentScheduler's patient that it was created for, if HealthFlow knows.
    pub reference: Option<&'a str>,
    /// Who it is.
    pub person: P,
    /// Whether it was there before anything was asked for.
    pub was_there: bool,
}

impl<'a, I: Copy + Eq + Ord + Hash, P: Eq + Hash> Existing<'a, I, P> {
    /// Promise 2: duplicate appointments: of one booking, all but the first.
    pub fn duplicate_appointments(&self) -> Vec<String> {
        surplus(self.appointments.iter().map(|one| (one.practice, one.booking)))
    }

    /// Promise 2: duplicate patients by their references: of each, all but the first.
    pub fn duplicate_references(&self) -> Vec<String> {
        surplus(self.patients.iter().map(|one| (one.practice, one.reference)))
    }

    /// Promise 2: duplicate charts of one person: more than one created, or one created beside one that was there.
    /// Returns their names.
    pub fn duplicate_people(&self) -> Vec<I> {
        let mut people: HashMap<(&str, &P), (bool, Vec<I>)> = HashMap::new();
        for patient in &self.patients {
            let (was_there, created) = people.entry((patient.practice, &patient.person)).or_default();
            *was_there |= patient.was_there;
            created.extend((!patient.was_there).then_some(patient.id));
        }
        let created = people.into_values();
        let surplus = created.flat_map(|(was_there, ids)| ids.into_iter().skip(usize::from(!was_there)));
        let mut surplus: Vec<I> = surplus.collect();
        surplus.sort_unstable();
        surplus
    }

    /// Promise 3: appointments whose patient does not exist in the same practice.
    pub fn orphans(&self) -> impl Iterator<Item = &Appointment<'a, I>> {
        let practices: HashMap<I, &str> = self.patients.iter().map(|one| (one.id, one.practice)).collect();
        self.appointments.iter().filter(move |one| practices.get(&one.patient) != Some(&one.practice))
    }
}

/// `practice/name` of each but the first of its name.
fn surplus<'a>(all: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Vec<String> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let named = all.filter_map(|(practice, name)| Some((practice, name?)));
    named
        .filter(|name| {
            let copies = seen.entry(*name).or_default();
            *copies += 1;
            *copies > 1
        })
        .map(|(practice, name)| format!("{practice}/{name}"))
        .collect()
}

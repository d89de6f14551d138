//! Match, new or review. The rule is plain: everything equal is a match, nobody similar is new, and anything in between goes
//! to review. A guess would put one person's treatment into another person's chart.
//!
//! Names are *equal* if they are spelled alike except for case, width, apostrophes, hyphens and the marks that a spelling
//! may lack ([`Name::is_same`]); *similar* compares them without any mark ([`Name::plain`]). So names that are equal only
//! without marks (たいき and だいき) are similar, never equal. A sex *differs* if both sides give one (female, male or other;
//! "unknown" gives none) and the two are not the same.
//!
//! | what the candidates say | decision |
//! |---|---|
//! | exactly one carries our reference (`external_id` is our patient id), and date of birth or a name agrees | match: we created it |
//! | exactly one carries our reference, but it has another date of birth and no name in common | review: the id was used again, or mistyped |
//! | several carry our reference | review |
//! | exactly one agrees in all four fields, each field has a value, and no sex differs | match |
//! | exactly one agrees in all four fields, but its sex differs | review |
//! | several agree in all four fields | review |
//! | the one that matches is a creation of ours still under way, so it has no id | review |
//! | at least one is similar | review |
//! | none is similar | new |
//!
//! A date of birth or a postal code that is only a placeholder ([`placeholder`](super::placeholder)) is missing, on either side.
//!
//! A chart under our reference may differ in a name, postal code or sex: the practice corrected it, or the person
//! married or moved.
//!
//! A candidate is *similar* if one of these rows holds, all names without marks, whatever the sex (a *slip* of a date:
//! two of year, month and day are equal, or day and month are swapped):
//!
//! | | date of birth | names | postal code | thinks of |
//! |---|---|---|---|---|
//! | 1 | equal | a word of two letters or more in common, also crosswise | any | twins, marriage, double and swapped names |
//! | 2 | equal | first letters agree or a name is missing | equal or missing | a typing error in both names |
//! | 3 | any, unless the postal code differs too | both equal, or swapped | any, unless the date differs too | parent and child of one name, somebody who moved |
//! | 4 | a slip | one of the two equal | equal | a typing error in the date |
//! | 5 | missing on one side | family name equal, first letters of the given names agree | equal | charts without a date of birth |
//!
//! So a spouse, brother or sister at one address with another birthday is not similar: new. Twins are similar: review.

use std::collections::HashSet;

use jiff::civil::Date;

use crate::booking::PatientId;
use crate::patient::{Candidate, HealthFlowPatientId, Name, Person};

/// Who the patient is, judged by the candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Exactly one candidate is certainly this person.
    Match(HealthFlowPatientId),
    /// No candidate is similar.
    New,
    /// A person must decide; the evidence per candidate.
    Review(Vec<Evidence>),
}

/// How one candidate compares, field by field; levels, never values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// HealthFlow's id of the candidate; none for a creation of ours under way.
    pub healthflow_patient_id: Option<String>,
    /// Given name.
    pub given_name: Agreement,
    /// Family name.
    pub family_name: Agreement,
    /// Date of birth.
    pub date_of_birth: Agreement,
    /// Postal code.
    pub postal_code: Agreement,
    /// Given name without any mark: if it is `equal` and the given name `differs`, only marks differ.
    pub given_name_without_marks: Agreement,
    /// Family name without any mark.
    pub family_name_without_marks: Agreement,
    /// Sex.
    pub sex: Agreement,
}

/// Whether a field agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agreement {
    /// Equal after normalisation.
    Equal,
    /// Different after normalisation.
    Differs,
    /// One side has no value.
    Missing,
}

/// Which of `candidates` is `person`, by the tables above. `own_reference` is DentScheduler's id of the patient. Trust
/// [`Decision::New`] only if every search pass has answered completely. The order of the candidates does not matter.
pub fn decide(person: &Person, candidates: &[Candidate], own_reference: &PatientId) -> Decision {
    let is_ours = |candidate: &&Candidate| candidate.external_id.as_deref() == Some(own_reference.as_str());
    let ours: Vec<&Candidate> = candidates.iter().filter(is_ours).collect();
    if !ours.is_empty() {
        return the_only_one(person, &ours, |one| !is_somebody_else(person, &one.person));
    }
    let equal: Vec<&Candidate> =
        candidates.iter().filter(|candidate| evidence(person, candidate).is_all_equal()).collect();
    if !equal.is_empty() {
        return the_only_one(person, &equal, |one| sex(person, &one.person) != Agreement::Differs);
    }
    let similar: Vec<&Candidate> =
        candidates.iter().filter(|candidate| is_similar(person, &candidate.person)).collect();
    if similar.is_empty() { Decision::New } else { review(person, &similar) }
}

/// Whether `other` is so near to `person` that only a human may decide that they are two people: a row of the second table
/// of this file holds, or all four fields are equal. Symmetric; also decides which new people wait for each other (rule W7).
pub fn is_similar(person: &Person, other: &Person) -> bool {
    let given = plain(&person.given_name, &other.given_name);
    let family = plain(&person.family_name, &other.family_name);
    let postal_code = text(person.postal_code.reveal(), other.postal_code.reveal());
    let born = date_of_birth(person, other);
    let both_names =
        (given == Agreement::Equal && family == Agreement::Equal) || names_are_swapped(person, other);
    let one_name = given == Agreement::Equal || family == Agreement::Equal;
    let initial = |ours: &Name, theirs: &Name| {
        ours.is_missing()
            || theirs.is_missing()
            || ours.plain().chars().next() == theirs.plain().chars().next()
    };
    let given_initial = initial(&person.given_name, &other.given_name);
    let family_initial = initial(&person.family_name, &other.family_name);

    let row_1 = born == Agreement::Equal && has_word_in_common(person, other);
    let row_2 =
        born == Agreement::Equal && given_initial && family_initial && postal_code != Agreement::Differs;
    let row_3 = both_names && !(born == Agreement::Differs && postal_code == Agreement::Differs);
    let row_4 = is_slip(person, other) && one_name && postal_code == Agreement::Equal;
    let row_5 = born == Agreement::Missing
        && family == Agreement::Equal
        && given_initial
        && postal_code == Agreement::Equal;
    row_1 || row_2 || row_3 || row_4 || row_5
}

/// Whether `other` agrees with `person` in something that distinguishes people: the birthday, or a word of the name. If not,
/// the chart is somebody else's, whatever reference or id leads to it.
pub fn agrees_in_something(person: &Person, other: &Person) -> bool {
    date_of_birth(person, other) == Agreement::Equal || has_word_in_common(person, other)
}

/// Whether the chart of `other` may be that of `person`, given that DentScheduler or HealthFlow claims it: the birthday is
/// equal, or the two are similar.
pub fn may_be_chart_of(person: &Person, other: &Person) -> bool {
    date_of_birth(person, other) == Agreement::Equal || is_similar(person, other)
}

/// How `candidate` compares with `person`.
pub fn evidence(person: &Person, candidate: &Candidate) -> Evidence {
    let other = &candidate.person;
    Evidence {
        healthflow_patient_id: candidate.id.as_ref().map(|id| id.as_str().to_owned()),
        given_name: name(&person.given_name, &other.given_name),
        family_name: name(&person.family_name, &other.family_name),
        date_of_birth: date_of_birth(person, other),
        postal_code: text(person.postal_code.reveal(), other.postal_code.reveal()),
        given_name_without_marks: plain(&person.given_name, &other.given_name),
        family_name_without_marks: plain(&person.family_name, &other.family_name),
        sex: sex(person, other),
    }
}

impl Evidence {
    /// Whether every field of the search has a value on both sides and agrees.
    pub fn is_all_equal(&self) -> bool {
        [self.given_name, self.family_name, self.date_of_birth, self.postal_code]
            .iter()
            .all(|agreement| *agreement == Agreement::Equal)
    }

    /// An order that does not depend on the order in which HealthFlow returned the candidates.
    fn sort_key(&self) -> (Option<&str>, [u8; 7]) {
        let fields = [
            self.given_name,
            self.family_name,
            self.date_of_birth,
            self.postal_code,
            self.given_name_without_marks,
            self.family_name_without_marks,
            self.sex,
        ];
        (self.healthflow_patient_id.as_deref(), fields.map(|agreement| agreement as u8))
    }
}

/// A match if there is one, it has an id and `is_certain`; else review.
fn the_only_one(person: &Person, found: &[&Candidate], is_certain: impl Fn(&Candidate) -> bool) -> Decision {
    match found {
        [one @ Candidate { id: Some(id), .. }] if is_certain(one) => Decision::Match(id.clone()),
        _ => review(person, found),
    }
}

/// Whether the two share nothing that stays with a person: neither date of birth nor any word of a name. A field that is
/// missing on one side does not count.
fn is_somebody_else(person: &Person, other: &Person) -> bool {
    let has_name = |one: &Person| !(one.given_name.is_missing() && one.family_name.is_missing());
    date_of_birth(person, other) == Agreement::Differs
        && has_name(person)
        && has_name(other)
        && words(person).is_disjoint(&words(other))
}

fn review(person: &Person, candidates: &[&Candidate]) -> Decision {
    let mut compared: Vec<Evidence> =
        candidates.iter().map(|candidate| evidence(person, candidate)).collect();
    compared.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    Decision::Review(compared)
}

fn name(ours: &Name, theirs: &Name) -> Agreement {
    match plain(ours, theirs) {
        Agreement::Equal if !ours.is_same(theirs) => Agreement::Differs,
        agreement => agreement,
    }
}

fn plain(ours: &Name, theirs: &Name) -> Agreement {
    text(ours.plain(), theirs.plain())
}

fn sex(ours: &Person, theirs: &Person) -> Agreement {
    match (&ours.sex, &theirs.sex) {
        (Some(ours), Some(theirs)) if ours == theirs => Agreement::Equal,
        (Some(_), Some(_)) => Agreement::Differs,
        _ => Agreement::Missing,
    }
}

fn text(ours: &str, theirs: &str) -> Agreement {
    if ours.is_empty() || theirs.is_empty() {
        Agreement::Missing
    } else if ours == theirs {
        Agreement::Equal
    } else {
        Agreement::Differs
    }
}

fn dates(ours: &Person, theirs: &Person) -> Option<(Date, Date)> {
    Some((*ours.date_of_birth.as_ref()?.reveal(), *theirs.date_of_birth.as_ref()?.reveal()))
}

fn date_of_birth(ours: &Person, theirs: &Person) -> Agreement {
    match dates(ours, theirs) {
        None => Agreement::Missing,
        Some((a, b)) if a == b => Agreement::Equal,
        Some(_) => Agreement::Differs,
    }
}

fn is_slip(ours: &Person, theirs: &Person) -> bool {
    let Some((a, b)) = dates(ours, theirs) else { return false };
    let equal_parts = [a.year() == b.year(), a.month() == b.month(), a.day() == b.day()]
        .iter()
        .filter(|equal| **equal)
        .count();
    let is_swapped = a.year() == b.year() && a.month() == b.day() && a.day() == b.month();
    a != b && (equal_parts == 2 || is_swapped)
}

fn names_are_swapped(ours: &Person, theirs: &Person) -> bool {
    plain(&ours.given_name, &theirs.family_name) == Agreement::Equal
        && plain(&ours.family_name, &theirs.given_name) == Agreement::Equal
}

fn words(person: &Person) -> HashSet<&str> {
    let names = [person.given_name.plain(), person.family_name.plain()];
    names.into_iter().flat_map(|name| name.split(' ')).filter(|word| !word.is_empty()).collect()
}

/// Single letters are initials and say too little.
fn has_word_in_common(ours: &Person, theirs: &Person) -> bool {
    words(ours).intersection(&words(theirs)).any(|word| word.chars().count() > 1)
}

#[cfg(test)]
mod tests;

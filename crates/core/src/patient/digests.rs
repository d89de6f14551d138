//! Whom a link was made for, as digests: of the birthday, and of each word of the name. DentScheduler reuses, merges and
//! mistypes ids; without this the next person under an id is written into the chart of the last one.
//!
//! They are personal data. Each is salted with practice and patient id, so the same name has another digest for each
//! patient; but names and birthdays are few, so anyone who has a digest with its ids can find them by trying.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::booking::{Booking, PatientKey};
use crate::patient::Person;

/// How many words of a name are remembered.
const NAME_WORDS_MAX: usize = 16;

/// One person's birthday and words of the name, as digests of 32 bits: two different words of one patient look alike once
/// in four thousand million.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PersonDigests {
    /// Of the date of birth; none if it was missing or a placeholder.
    pub born: Option<u32>,
    /// Of each word of given and family name, in ascending order, each once.
    pub name_words: Vec<u32>,
}

/// How somebody compares with the person a link was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Birthday and every word agree.
    Same,
    /// The birthday agrees, the name has changed: the link learns the new name.
    Renamed,
    /// The birthday differs, or there is none to compare; at least one word of the name agrees. The link learns nothing: while
    /// it keeps the first birthday, or else the first name, no chain of small changes leads from one person to another.
    OtherBirthday,
    /// Neither the birthday nor any word of the name agrees: somebody else.
    Stranger,
}

impl PersonDigests {
    /// The digests of `person`, who is known as `patient`.
    pub fn of(patient: &PatientKey, person: &Person) -> Self {
        let born = person.date_of_birth.as_ref().map(|date| date.reveal().to_string());
        let words = [person.given_name.plain(), person.family_name.plain()];
        let words = words.into_iter().flat_map(|name| name.split(' ')).filter(|word| counts(word));
        let mut name_words: Vec<u32> =
            words.take(NAME_WORDS_MAX).map(|word| digest("name", patient, word)).collect();
        name_words.sort_unstable();
        name_words.dedup();
        PersonDigests { born: born.map(|born| digest("born", patient, &born)), name_words }
    }

    /// The digests of whom `booking` is for.
    pub fn of_booking(booking: &Booking) -> Self {
        PersonDigests::of(&booking.patient_key(), &Person::from(&booking.patient))
    }

    /// How `other`, who comes under the same patient id, compares with the person of these digests.
    pub fn compare(&self, other: &PersonDigests) -> Likeness {
        let has_word_in_common = self.name_words.iter().any(|word| other.name_words.contains(word));
        match (self.born, other.born) {
            (Some(one), Some(another)) if one == another && self.name_words == other.name_words => {
                Likeness::Same
            }
            (Some(one), Some(another)) if one == another => Likeness::Renamed,
            (None, None) if self.name_words == other.name_words => Likeness::Same,
            // There was no birthday yet: this is the first one.
            (None, Some(_)) if has_word_in_common => Likeness::Renamed,
            _ if has_word_in_common => Likeness::OtherBirthday,
            _ => Likeness::Stranger,
        }
    }
}

/// 32 bits that tell one patient of a practice from another: enough to know again for whom something was written.
pub fn patient_digest(patient: &PatientKey) -> u32 {
    digest("patient", patient, "")
}

/// Whether `word` identifies somebody: an initial does not. In scripts without case, one letter may be a whole name.
fn counts(word: &str) -> bool {
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (None, _) => false,
        (Some(letter), None) => !letter.is_lowercase() && !letter.is_numeric(),
        _ => true,
    }
}

/// 32 bits of SHA-256 over the length-prefixed parts. Stored: it never changes.
pub(super) fn digest(kind: &str, patient: &PatientKey, text: &str) -> u32 {
    let mut hasher = Sha256::new();
    for part in [kind, patient.practice.as_str(), patient.patient.as_str(), text] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    u32::from_be_bytes(std::array::from_fn(|index| digest[index]))
}

#[cfg(test)]
mod tests;

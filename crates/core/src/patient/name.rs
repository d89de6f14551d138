//! A name has two keys. The *plain* key drops every mark: it finds and groups people who could be the same. The *exact* key
//! keeps the marks that make another letter: only it decides that two names are the same.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

use crate::patient::marks::{Letter, could_be_vietnamese};
use crate::private::Private;

/// Unicode's combining class of what takes the vowel from a consonant, in the scripts of India.
const VIRAMA: u8 = 9;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// A name as it is compared. In both keys: NFKC, case folding, apostrophes dropped, words of letters and digits joined
/// by one space, so that `O'BRIEN ` and `O’Brien` are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    plain: Private<String>,
    exact: Private<String>,
    /// Marks that the exact key leaves out, each with the number of its letter.
    left_out: Private<Vec<(u32, char)>>,
}

impl Name {
    /// The keys of `text`.
    pub fn new(text: &str) -> Self {
        if text.is_ascii() { Name::of_ascii(text) } else { Name::of_any(text) }
    }

    /// What [`Name::of_any`] gives for text without marks and rare letters, for a fraction of the work: names are read at every
    /// look at a booking, and most are plain.
    fn of_ascii(text: &str) -> Self {
        let said = text.chars().filter(|c| !is_apostrophe(*c)).map(|c| c.to_ascii_lowercase());
        let mut key = String::with_capacity(text.len());
        let mut is_parted = false;
        for c in said {
            if !c.is_ascii_alphanumeric() {
                is_parted = true;
                continue;
            }
            if std::mem::take(&mut is_parted) && !key.is_empty() {
                key.push(' ');
            }
            key.push(c);
        }
        Name { plain: key.clone().into(), exact: key.into(), left_out: Vec::new().into() }
    }

    fn of_any(text: &str) -> Self {
        let (mut plain, mut exact, mut left_out) = (Vec::new(), String::new(), Vec::new());
        let mut number = 0;
        for word in words(text) {
            let could_be_vietnamese = could_be_vietnamese(&word);
            if !exact.is_empty() {
                exact.push(' ');
            }
            for letter in &word {
                exact.extend(letter.base);
                for mark in &letter.marks {
                    match letter.may_lack(*mark, could_be_vietnamese) {
                        true => left_out.push((number, *mark)),
                        false => exact.push(*mark),
                    }
                }
                number += 1;
            }
            plain.push(
                word.iter().filter_map(|letter| letter.base).flat_map(plain_letters).collect::<String>(),
            );
        }
        plain.retain(|word| !word.is_empty());
        let exact: String = exact.nfc().collect();
        Name { plain: plain.join(" ").into(), exact: exact.into(), left_out: left_out.into() }
    }

    /// The key to search and group by: without any mark, and with letters that a keyboard may lack as people type them
    /// without it (`ø` as `o`). Empty if the name has no letter: then it is missing.
    pub fn plain(&self) -> &str {
        self.plain.reveal()
    }

    /// The key that equal names share: without marks that a spelling may lack.
    pub fn exact(&self) -> &str {
        self.exact.reveal()
    }

    /// Whether the name has no letter.
    pub fn is_missing(&self) -> bool {
        self.plain().is_empty()
    }

    /// Whether the two are one name: the exact keys are equal, and no letter carries conflicting marks. Symmetric; false if
    /// one is missing.
    pub fn is_same(&self, other: &Name) -> bool {
        !self.is_missing() && self.exact == other.exact && !self.is_marked_otherwise(other)
    }

    /// Whether some letter carries marks on both sides, and neither has all that the other has.
    fn is_marked_otherwise(&self, other: &Name) -> bool {
        let (ours, theirs) = (self.left_out.reveal(), other.left_out.reveal());
        let lacks = |some: &[(u32, char)], number: u32, all: &[(u32, char)]| {
            all.iter().any(|mark| mark.0 == number && !some.contains(mark))
        };
        ours.iter().any(|(number, _)| lacks(ours, *number, theirs) && lacks(theirs, *number, ours))
    }
}

/// Letters with their marks, word by word.
fn words(text: &str) -> Vec<Vec<Letter>> {
    let is_said = |c: &char| !is_apostrophe(*c);
    let folded = text.nfc().filter(is_said).nfkc().filter(is_said).flat_map(fold);
    let mut words = vec![Vec::new()];
    for c in folded.nfkd() {
        let word: &mut Vec<Letter> = words.last_mut().expect("there is always one");
        let last_mark = word.last().and_then(|letter| letter.marks.last());
        let after_virama = last_mark.is_some_and(|mark| canonical_combining_class(*mark) == VIRAMA);
        // After a virama it chooses between forms that may be different letters; elsewhere it parts words.
        let is_joiner = matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER) && after_virama;
        if is_combining_mark(c) || is_joiner {
            if word.is_empty() {
                word.push(Letter::default());
            }
            word.last_mut().expect("not empty").marks.push(c);
        } else if c.is_alphanumeric() {
            word.push(Letter { base: Some(c), marks: Vec::new() });
        } else if !word.is_empty() {
            words.push(Vec::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Full case folding, as in Unicode's CaseFolding.txt (statuses C and F). The dotless `ı` is a letter of its own.
fn fold(c: char) -> impl Iterator<Item = char> {
    let is_kept = c == 'ı';
    let folded = c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    is_kept.then_some(c).into_iter().chain(folded.filter(move |_| !is_kept))
}

/// A letter as people type it if their keyboard lacks it; nothing for letters that look like apostrophes.
fn plain_letters(c: char) -> impl Iterator<Item = char> {
    let typed = match c {
        'æ' => ['a', 'e'],
        'œ' => ['o', 'e'],
        'þ' => ['t', 'h'],
        'ø' => ['o', ' '],
        'ł' => ['l', ' '],
        'đ' | 'ð' => ['d', ' '],
        'ı' => ['i', ' '],
        'ʻ' | 'ʾ' | 'ʿ' => [' ', ' '],
        _ => [c, ' '],
    };
    typed.into_iter().filter(|c| *c != ' ')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘' | '‛' | '`' | '´' | 'ʼ' | '′' | '՚')
}

#[cfg(test)]
mod tests;

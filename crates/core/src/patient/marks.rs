//! Which marks a name may lack and still be the same name. Leaving out one mark too many puts one twin's treatment into
//! the other's chart; keeping one too many asks a person. So a mark may be left out only if it makes another letter in no
//! alphabet, and none may in a script that is not named here.
//!
//! | script | may be left out | never | why |
//! |---|---|---|---|
//! | Latin | acute and grave on a, e, i, o, u; diaeresis on e, i | every other mark: ñ, ç, å, ä, ö, ü, č, ł ... | in names as the USA writes them these show stress (José, Nicolò) or a vowel said apart (Zoë, Anaïs), and forms and machine-readable documents leave them out (ICAO 9303, part 3, table A: Á is A, but Ä is AE, Å AA, Ö OE). The others make letters that alphabets list and dictionaries sort apart (CLDR's collations) |
//! | Latin, a word that could be Vietnamese | diaeresis on e, i | acute, grave | there they are tones, and Anh and Ánh are two names. Such a word has one group of vowels and ends in one or in c, g, h, m, n, p, t |
//! | Greek | accents, breathings, diaeresis | all others | capitals are written without (Νίκος, ΝΙΚΟΣ), and the spelling of 1982 dropped breathings |
//! | Cyrillic | acute and grave on a vowel | й, ё, ї, ў, ѓ, ќ and all others | they show stress, in dictionaries only; the others are letters of the alphabet |
//! | Hebrew | points and accents | | vocalisation, which everyday writing leaves out |
//! | Arabic | fatha, damma, kasra, their doubled forms, shadda, sukun, superscript alef | hamza, madda and all others | vocalisation, which everyday writing leaves out; hamza and madda make other letters (أ, آ) |
//! | kana | | dakuten, handakuten | か is ka, が is ga: たいき and だいき are two people |
//! | Devanagari, Bengali, Tamil and their kin, Thai, Lao, Khmer, Burmese, Tibetan | | vowel signs, viramas, nuktas, tone marks | a vowel sign is the vowel: राम is Ram, रोमा is Roma |
//! | Hangul | | | its letters compose to syllables (NFC) and carry no marks |
//! | every other script | | all marks | not examined yet |
//!
//! A mark is left out by one side. Two names whose same letter carries *different* such marks are different: אוֹרִי (Ori) and
//! אוּרִי (Uri), both pointed. Unpointed they are both אורי and cannot be distinguished.
//!
//! The price of the Latin row: in Icelandic and Faroese á, é, í, ó and ú are letters of the alphabet, in Polish ó is, and
//! in Albanian ë. A name does not tell its language. Two people with one birthday, family name and postal code whose names
//! differ only in such a letter, with one side written without it, would be taken for one.
//!
//! No crate for scripts: Unicode gives Hebrew's and Arabic's vocalisation combining classes of their own, and the letters
//! of the other scripts are few enough to be named.

use unicode_normalization::char::canonical_combining_class;

const GRAVE: char = '\u{300}';
const ACUTE: char = '\u{301}';
const DIAERESIS: char = '\u{308}';
const PSILI: char = '\u{313}';
const DASIA: char = '\u{314}';
const PERISPOMENI: char = '\u{342}';

/// A letter with its marks, decomposed and in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    /// The letter or digit; none where marks follow nothing.
    pub base: Option<char>,
    /// Its marks, in Unicode's canonical order.
    pub marks: Vec<char>,
}

impl Letter {
    /// Whether another spelling of the name may lack `mark` on this letter, by the table of this file.
    pub(super) fn may_lack(&self, mark: char, could_be_vietnamese: bool) -> bool {
        let is_accent = matches!(mark, ACUTE | GRAVE);
        match self.base {
            // Together with another mark it is not stress: ế, ǘ.
            Some('a' | 'e' | 'i' | 'o' | 'u') if self.marks.len() > 1 => false,
            Some('e' | 'i') if mark == DIAERESIS => true,
            Some('a' | 'e' | 'i' | 'o' | 'u') => is_accent && !could_be_vietnamese,
            Some('α'..='ω') => is_accent || matches!(mark, DIAERESIS | PSILI | DASIA | PERISPOMENI),
            Some('а' | 'е' | 'и' | 'о' | 'у' | 'ы' | 'э' | 'ю' | 'я' | 'і' | 'є') => is_accent,
            // 10 to 26 are the points of Hebrew, 27 to 35 those of Arabic.
            Some(_) => matches!(canonical_combining_class(mark), 10..=35),
            None => false,
        }
    }
}

/// Whether a word in Latin letters could be a syllable of Vietnamese, whose words have one each.
pub(super) fn could_be_vietnamese(word: &[Letter]) -> bool {
    let is_vowel = |letter: &Letter| matches!(letter.base, Some('a' | 'e' | 'i' | 'o' | 'u' | 'y'));
    let groups =
        word.chunk_by(|one, next| is_vowel(one) == is_vowel(next)).filter(|group| is_vowel(&group[0]));
    let ends_so = word.last().is_some_and(|last| {
        is_vowel(last) || matches!(last.base, Some('c' | 'g' | 'h' | 'm' | 'n' | 'p' | 't'))
    });
    ends_so && groups.count() == 1
}

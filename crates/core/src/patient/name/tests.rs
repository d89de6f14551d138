//! Names in many scripts: what is one name, what is two, and what must hold for all text.

use proptest::prelude::*;

use super::*;

fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (Name::new(one), Name::new(other));
    assert_eq!(one.is_same(&other), other.is_same(&one), "symmetric");
    one.is_same(&other)
}

#[test]
fn spellings_of_one_name_are_one() {
    let same = [
        ["O'Brien", "O’BRIEN ", "OBrien"],
        ["O´Brien", "O＇Brien", "O`brien"],
        ["Smith-Jones", "smith jones", "Smith – Jones"],
        ["St. John", "st john", " St.John"],
        ["José María", "JOSE  MARIA", "Jose\u{301} Mari\u{301}a"],
        ["Raúl", "RAUL", "raul"],
        ["Zoë", "Zoe", "ZOË"],
        ["Nicolò", "Nicolo", "NICOLÒ"],
        ["Strauß", "STRAUSS", "STRAUẞ"],
        ["Núñez", "NÚÑEZ", "Nu\u{301}n\u{303}ez"],
        ["Ｍｅｉ", "mei", "ＭＥＩ"],
        ["Νίκος", "ΝΙΚΟΣ", "νικοσ"],
        ["Ἑλένη", "Ελενη", "ΈΛΕΝΗ"],
        ["Ива́н", "Иван", "ИВАН"],
        ["Фёдор", "ФЁДОР", "Фе\u{308}дор"],
        ["מֹשֶׁה", "משה", "מֹשה"],
        ["مُحَمَّد", "محمد", "محمّد"],
        ["ガブリエル", "ｶﾞﾌﾞﾘｴﾙ", "カ\u{3099}フ\u{3099}リエル"],
        ["민준", "민준", "\u{1106}\u{1175}\u{11ab}\u{110c}\u{116e}\u{11ab}"],
        ["प्रिया", "प\u{94d}र\u{93f}य\u{93e}", " प्रिया "],
    ];
    for spellings in same {
        for (one, other) in spellings.iter().zip(spellings.iter().skip(1)) {
            assert!(is_same(one, other), "{one} {other}");
            assert_eq!(Name::new(one).plain(), Name::new(other).plain());
        }
    }
}

/// Goal: no letter is taken for another one. Method: pairs that differ only in a mark, script by script.
#[test]
fn names_that_a_mark_tells_apart_are_two_names_with_one_plain_key() {
    let pairs = [
        ("たいき", "だいき"),
        ("ハナ", "バナ"),
        ("ハナ", "パナ"),
        ("राम", "रोमा"),
        ("राम", "रमा"),
        ("रमेश", "रमेश्"),
        ("ढ", "ढ़"),
        ("রাম", "রমা"),
        ("ராம", "ரமா"),
        ("มา", "ม้า"),
        ("ปิยะ", "ปียะ"),
        ("Андрей", "Андреи"),
        ("Фёдор", "Федор"),
        ("Їван", "Іван"),
        ("Ánh", "Anh"),
        ("Hà", "Hạ"),
        ("Dũng", "Dung"),
        ("Thúy", "Thùy"),
        ("Tân", "Tan"),
        ("Peña", "Pena"),
        ("Müller", "Muller"),
        ("Mårten", "Marten"),
        ("Ayşe", "Ayse"),
        ("Zażółć", "Zazolc"),
        ("Işık", "Isik"),
        ("Søren", "Soren"),
        ("Łukasz", "Lukasz"),
        ("Đức", "Duc"),
        ("Thora", "Þora"),
        ("أحمد", "احمد"),
        ("آدم", "ادم"),
        ("سَلِيم", "سُلَيم"),
        ("אוֹרִי", "אוּרִי"),
        ("Kaʻi", "Kai"),
    ];
    for (one, other) in pairs {
        assert!(!is_same(one, other), "{one} {other}");
        assert_eq!(Name::new(one).plain(), Name::new(other).plain(), "{one} {other}");
        assert!(is_same(one, one));
    }
}

#[test]
fn other_names_are_other_in_both_keys() {
    for (one, other) in
        [("Anna", "Anne"), ("Smith Jones", "Smithjones"), ("王小明", "王小朋"), ("しょう", "しよう")]
    {
        assert!(!is_same(one, other), "{one} {other}");
        assert_ne!(Name::new(one).plain(), Name::new(other).plain());
    }
    assert_eq!(Name::new("Smith-Jones").plain(), "smith jones");
    assert_eq!(Name::new("王小明").exact(), "王小明");
}

#[test]
fn a_name_without_a_letter_is_missing_and_is_nobodys() {
    for nothing in ["", " -' ", "\u{301}", "\u{93e}", "゛"] {
        assert!(Name::new(nothing).is_missing(), "{nothing:?}");
        assert!(!is_same(nothing, nothing), "{nothing:?}");
    }
}

/// Letters of many scripts, marks that make letters and marks that a spelling may lack, and word separators.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-ZÀ-žΑ-ωА-яёЁÉéáíóúñ]",
        2 => "[ぁ-んァ-ヶ가-힣\u{1100}-\u{11ff}ｦ-ﾟ一-丿]",
        2 => "[\u{5d0}-\u{5ea}\u{621}-\u{64a}ا-ي\u{900}-\u{97f}\u{980}-\u{9fe}\u{b80}-\u{bff}\u{e01}-\u{e4e}]",
        3 => "[\u{300}\u{301}\u{302}\u{303}\u{308}\u{30a}\u{323}\u{327}\u{342}\u{3099}\u{309a}\u{64b}-\u{655}\u{5b0}-\u{5bd}]",
        1 => "[ '’\\-.·\u{200c}\u{200d}]",
        1 => "\\PC",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Letters with a mark that a spelling may lack.
const OPTIONAL: [(&str, char); 7] = [
    ("o", '\u{301}'),
    ("e", '\u{308}'),
    ("α", '\u{301}'),
    ("и", '\u{301}'),
    ("ש", '\u{5b8}'),
    ("م", '\u{64e}'),
    ("ل", '\u{651}'),
];

/// Letters with a mark that makes another letter.
const LETTER_MAKING: [(&str, char); 12] = [
    ("n", '\u{303}'),
    ("a", '\u{308}'),
    ("a", '\u{30a}'),
    ("c", '\u{327}'),
    ("e", '\u{323}'),
    ("и", '\u{306}'),
    ("е", '\u{308}'),
    ("か", '\u{3099}'),
    ("は", '\u{309a}'),
    ("र", '\u{93e}'),
    ("क", '\u{93c}'),
    ("ا", '\u{654}'),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn normalising_twice_changes_nothing(text in text()) {
        let name = Name::new(&text);
        let (exact, plain) = (Name::new(name.exact()), Name::new(name.plain()));
        prop_assert_eq!(exact.exact(), name.exact());
        prop_assert_eq!(plain.plain(), name.plain());
        prop_assert_eq!(exact.plain(), name.plain(), "what is equal is similar");
    }

    #[test]
    fn plain_text_has_the_keys_that_any_text_has(text in "[ -~]{0,24}") {
        prop_assert_eq!(Name::of_ascii(&text), Name::of_any(&text));
    }

    #[test]
    fn being_the_same_is_symmetric_and_never_without_equal_keys(a in text(), b in text()) {
        let (a, b) = (Name::new(&a), Name::new(&b));
        prop_assert_eq!(a.is_same(&b), b.is_same(&a));
        prop_assert_eq!(a.is_same(&a), !a.is_missing());
        if a.is_same(&b) {
            prop_assert_eq!(a.exact(), b.exact());
        }
        if a.exact() == b.exact() {
            prop_assert_eq!(a.plain(), b.plain());
        }
    }

    #[test]
    fn case_and_composition_do_not_matter(
        text in text().prop_filter("has capitals", |text| !text.contains(CASELESS)),
    ) {
        let name = Name::new(&text);
        for other in [
            text.to_uppercase(),
            text.to_lowercase(),
            text.nfd().collect(),
            text.nfc().collect(),
        ] {
            let spelled = Name::new(&other);
            prop_assert_eq!(spelled.exact(), name.exact(), "{}", other);
            prop_assert!(name.is_missing() || spelled.is_same(&name));
        }
    }

    #[test]
    fn width_does_not_matter(text in "[!-~ァ-ヶ]{1,12}") {
        let wide: String = text.chars().map(|c| match c {
            '!'..='~' => char::from_u32(c as u32 + 0xfee0).expect("a full-width form"),
            _ => c,
        }).collect();
        prop_assert_eq!(Name::new(&wide), Name::new(&text));
    }

    #[test]
    fn a_mark_that_a_spelling_may_lack_does_not_matter(
        (before, after) in ("[bdklnrs]{1,3}[aiou][bdklnrs]{1,3}", "[bdfklrs]{1,4}"),
        (letter, mark) in proptest::sample::select(&OPTIONAL[..]),
    ) {
        let without = format!("{before}{letter}{after}");
        let with = format!("{before}{letter}{mark}{after}");
        prop_assert!(is_same(&with, &without), "{} {}", with, without);
        prop_assert!(is_same(&with, &with));
    }

    #[test]
    fn a_mark_that_makes_a_letter_always_matters(
        (before, after) in (text(), "[a-zか-こर-ह]{0,4}"),
        (letter, mark) in proptest::sample::select(&LETTER_MAKING[..]),
    ) {
        let without = format!("{before} {letter}{after}");
        let with = format!("{before} {letter}{mark}{after}");
        prop_assert!(!is_same(&with, &without), "{} {}", with, without);
        let (with, without) = (Name::new(&with), Name::new(&without));
        prop_assert_eq!(with.plain(), without.plain());
    }

    #[test]
    fn whoever_has_a_letter_is_not_missing(text in text(), letter in "[a-zа-яか-んא-ת가-힣一-丿अ-ह]") {
        let name = Name::new(&format!("{text}{letter}"));
        prop_assert!(!name.is_missing());
    }
}

/// What has no capital of its own: `ı` is a letter beside `i`, and the iota below, alone, is a mark that becomes a letter.
const CASELESS: [char; 2] = ['ı', '\u{345}'];

/// Goal: no character breaks a key. Method: all of the first plane with marks, but for
/// the many that carry none.
#[test]
fn every_character_keeps_the_rules() {
    let carries_none =
        |c: &char| matches!(c, '㐀'..='䶿' | '一'..='鿿' | '가'..='힣' | '\u{e000}'..='\u{f8ff}');
    for c in (0..=0xffff_u32).filter_map(char::from_u32).filter(|c| !carries_none(c)) {
        for text in [format!("a{c}\u{301}b"), format!("{c}\u{3099}")] {
            let name = Name::new(&text);
            let again = Name::new(name.exact());
            assert_eq!(again.exact(), name.exact(), "{c:?} in {text:?}");
            assert_eq!(again.plain(), name.plain(), "{c:?} in {text:?}");
            if !CASELESS.contains(&c) {
                assert_eq!(Name::new(&text.to_uppercase()).exact(), name.exact(), "{c:?} in {text:?}");
            }
        }
        let is_letter =
            |c: char| c.is_alphanumeric() && !is_combining_mark(c) && !matches!(c, 'ʼ' | 'ʻ' | 'ʾ' | 'ʿ');
        let has_letter = c.to_string().nfkd().any(|c| is_letter(c) || c == '\u{345}');
        assert_eq!(Name::new(&c.to_string()).is_missing(), !has_letter, "{c:?}");
    }
}

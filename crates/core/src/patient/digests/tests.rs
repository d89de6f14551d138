//! For whom a link is believed, and that no chain of small changes leads to somebody else.

use proptest::prelude::*;

use super::*;
use crate::patient::Name;

fn key(patient: &str) -> PatientKey {
    PatientKey { practice: "practice-17".into(), patient: patient.into() }
}

fn person(given: &str, family: &str, born: Option<(i16, i8, i8)>) -> Person {
    Person {
        given_name: Name::new(given),
        family_name: Name::new(family),
        date_of_birth: born.map(|(year, month, day)| jiff::civil::date(year, month, day).into()),
        postal_code: "60601".into(),
        sex: None,
    }
}

fn of(given: &str, family: &str, year: i16) -> PersonDigests {
    PersonDigests::of(&key("p-20931"), &person(given, family, Some((year, 12, 10))))
}

/// Goal: what an earlier release stored still compares. Method: the digests of one person, written down.
#[test]
fn the_digests_of_a_person_never_change() {
    let digests = of("Ada Augusta", "Lovelace", 1961);
    assert_eq!(
        digests,
        PersonDigests {
            born: Some(1_169_742_442),
            name_words: vec![241_802_798, 2_199_333_179, 3_343_666_478]
        }
    );
}

#[test]
fn a_link_is_compared_by_birthday_and_words_of_the_name() {
    let ada = of("Ada Augusta", "Lovelace", 1961);
    for (given, family, year, likeness) in [
        ("ADA", "Lovelace Augusta", 1961, Likeness::Same),
        ("Ada", "Byron", 1961, Likeness::Renamed),
        ("Augusta", "King", 1961, Likeness::Renamed),
        ("Boris", "Tschaikowski", 1961, Likeness::Renamed),
        ("Ada", "Byron", 1916, Likeness::OtherBirthday),
        ("Boris", "Tschaikowski", 1999, Likeness::Stranger),
        ("A", "L", 1999, Likeness::Stranger),
    ] {
        assert_eq!(ada.compare(&of(given, family, year)), likeness, "{given} {family} {year}");
    }
}

#[test]
fn an_initial_says_nothing_but_a_name_of_one_letter_without_case_does() {
    let born = |year| Some((year, 1, 1));
    let initials = [person("J", "B 3", born(1961)), person("J", "B 3", born(1999))];
    let [one, other] = initials.map(|person| PersonDigests::of(&key("p"), &person));
    assert_eq!(one.compare(&other), Likeness::Stranger);
    let names = [person("明", "王", born(1961)), person("芳", "王", born(1999))];
    let [one, other] = names.map(|person| PersonDigests::of(&key("p"), &person));
    assert_eq!(one.compare(&other), Likeness::OtherBirthday);
}

#[test]
fn where_there_was_no_birthday_the_first_one_is_learnt() {
    let without = PersonDigests::of(&key("p-20931"), &person("Ada", "Lovelace", None));
    assert_eq!(without.compare(&of("Ada", "Byron", 1961)), Likeness::Renamed);
    assert_eq!(without.compare(&of("Boris", "Byron", 1961)), Likeness::Stranger);
}

/// If a birthday is missing on either side, only the first name prevents a chain of small changes to somebody else.
#[test]
fn where_nobody_ever_knew_a_birthday_the_first_name_is_kept() {
    let without = |given, family| PersonDigests::of(&key("p-20931"), &person(given, family, None));
    let ada = without("Ada", "Lovelace");
    assert_eq!(ada.compare(&without("Ada", "Lovelace")), Likeness::Same);
    assert_eq!(ada.compare(&without("Ada", "King")), Likeness::OtherBirthday);
    assert_eq!(ada.compare(&without("Boris", "King")), Likeness::Stranger);
    // A placeholder that an earlier release stored as a birthday agrees with nothing.
    assert_eq!(of("Ada", "Lovelace", 1900).compare(&without("Ada", "King")), Likeness::OtherBirthday);
    assert_eq!(of("Ada", "Lovelace", 1900).compare(&without("Boris", "King")), Likeness::Stranger);
}

#[test]
fn the_same_person_has_other_digests_under_another_id() {
    let ada = person("Ada", "Lovelace", Some((1961, 12, 10)));
    let (one, other) = (PersonDigests::of(&key("p-1"), &ada), PersonDigests::of(&key("p-2"), &ada));
    assert_eq!(one.compare(&other), Likeness::Stranger);
}

/// Names in several scripts, with marks, hyphens and initials.
const NAME: &str = "[A-Za-zÀ-ÿĀ-žА-я\u{5d0}-\u{5ea}\u{3041}-\u{3096}\u{4e00}-\u{4e20}' -]{1,24}";

proptest! {
    #[test]
    fn everybody_is_the_same_as_themselves_in_any_order_of_names(given in NAME, family in NAME, year in 1900i16..2020) {
        prop_assume!(!Name::new(&given).is_missing() || !Name::new(&family).is_missing());
        let one = of(&given, &family, year);
        prop_assert_eq!(one.compare(&of(&given, &family, year)), Likeness::Same);
        prop_assert_eq!(one.compare(&of(&family, &given, year)), Likeness::Same);
    }

    #[test]
    fn nobody_is_a_stranger_whose_birthday_or_one_word_agrees(
        given in NAME, family in NAME, other in NAME, year in 1900i16..2020, later in 1900i16..2020
    ) {
        let one = of(&given, &family, year);
        prop_assert_ne!(one.compare(&of(&other, &other, year)), Likeness::Stranger);
        let shares = Name::new(&given).plain().split(' ').any(counts);
        if shares {
            prop_assert_ne!(one.compare(&of(&given, &other, later)), Likeness::Stranger);
        }
    }

    #[test]
    fn whoever_shares_neither_is_a_stranger(given in "[a-m]{2,9}", other in "[n-z]{2,9}", year in 1900i16..1960) {
        prop_assert_eq!(of(&given, &given, year).compare(&of(&other, &other, year + 1)), Likeness::Stranger);
    }

    /// However names change, step by step, under the first birthday: somebody of another birthday without a word of the
    /// last name is a stranger.
    #[test]
    fn no_chain_of_changes_leads_to_another_birthday(names in proptest::collection::vec("[a-z]{2,6}", 2..8)) {
        let mut kept = of(&names[0], &names[0], 1961);
        for pair in names.windows(2) {
            let next = of(&pair[0], &pair[1], 1961);
            prop_assert!(matches!(kept.compare(&next), Likeness::Same | Likeness::Renamed));
            kept = next;
            prop_assert_eq!(kept.born, of("a", "b", 1961).born);
        }
        prop_assert_eq!(kept.compare(&of("0000", "1111", 1999)), Likeness::Stranger);
    }
}

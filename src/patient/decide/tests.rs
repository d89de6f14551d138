//! The tables of `decide`, row by row, and what must hold for all people.

use proptest::prelude::*;

use super::*;
use crate::patient::normalise;

const OURS: &str = "dent-1";

/// A person from `Given Family|1990-04-01|60601`; any part may be empty.
fn person(text: &str) -> Person {
    let mut parts = text.split('|');
    let names = parts.next().unwrap_or_default();
    let (given, family) = names.split_once(',').unwrap_or((names, ""));
    let born = parts.next().unwrap_or_default();
    Person {
        given_name: normalise::name(given).into(),
        family_name: normalise::name(family).into(),
        date_of_birth: (!born.is_empty()).then(|| born.parse::<Date>().expect("a date").into()),
        postal_code: normalise::postal_code(parts.next().unwrap_or_default()).into(),
    }
}

fn candidate(id: &str, who: &str) -> Candidate {
    Candidate { id: Some(id.into()), external_id: None, person: person(who) }
}

fn decided(who: &str, candidates: &[Candidate]) -> Decision {
    decide(&person(who), candidates, &OURS.into())
}

/// What one candidate leads to: `match`, `new` or `review`.
fn against(who: &str, other: &str) -> &'static str {
    match decided(who, &[candidate("hf-1", other)]) {
        Decision::Match(_) => "match",
        Decision::New => "new",
        Decision::Review(_) => "review",
    }
}

const ANNA: &str = "Anna,O'Brien|1990-04-12|60601";

/// Goal: every situation named in the tables ends as they say. Method: Anna against one candidate each.
#[test]
fn each_row_of_the_tables_holds() {
    let rows = [
        ("equal after normalisation", "ANNA,O’Brien |1990-04-12|60601-1234", "match"),
        ("row 1: twin", "Ben,O'Brien|1990-04-12|60601", "review"),
        ("row 1: married and moved", "Anna,Smith|1990-04-12|10001", "review"),
        ("row 1: double name", "Anna,O'Brien-Smith|1990-04-12|60601", "review"),
        ("row 1: swapped names", "O'Brien,Anna|1990-04-12|10001", "review"),
        ("row 2: both names mistyped", "Amna,O'Brian|1990-04-12|60601", "review"),
        ("row 2: no names", "|1990-04-12|60601", "review"),
        ("row 3: mother of the same name", "Anna,O'Brien|1961-09-30|60601", "review"),
        ("row 3: moved, no date of birth", "Anna,O'Brien||10001", "review"),
        ("row 3 not: another person of that name", "Anna,O'Brien|1961-09-30|10001", "new"),
        ("row 4: other year, nickname", "Nan,O'Brien|1991-04-12|60601", "review"),
        ("row 4: day and month swapped", "Anna,Smith|1990-12-04|60601", "review"),
        ("row 5: initial, no date of birth", "A,O'Brien||60601", "review"),
        ("row 5 not: other initial, no date", "Ben,O'Brien||60601", "new"),
        ("brother with another birthday", "Ben,O'Brien|1992-07-01|60601", "new"),
        ("sister of the same initial", "Amy,O'Brien|1992-07-01|60601", "new"),
        ("spouse", "Karl,O'Brien|1988-01-31|60601", "new"),
        ("same birthday only", "Karl,Smith|1990-04-12|60601", "new"),
        ("same given name at one address", "Anna,Smith|1956-01-31|60601", "new"),
        ("nothing", "||", "new"),
    ];
    for (what, other, expected) in rows {
        assert_eq!(against(ANNA, other), expected, "{what}");
    }
}

/// Goal: emptiness is never taken for agreement. Method: both sides lack the same field.
#[test]
fn fields_missing_on_both_sides_do_not_match() {
    for who in [
        "Anna,|1990-04-12|60601",
        ",O'Brien|1990-04-12|60601",
        "Anna,O'Brien||60601",
        "Anna,O'Brien|1990-04-12|",
    ] {
        assert_eq!(against(who, who), "review", "{who}");
    }
}

#[test]
fn several_equal_candidates_are_for_a_person() {
    let decision = decided(ANNA, &[candidate("hf-2", ANNA), candidate("hf-1", ANNA)]);
    let Decision::Review(evidence) = decision else { panic!("expected a review") };
    let ids: Vec<&str> = evidence.iter().map(|one| one.healthflow_patient_id.as_str()).collect();
    assert_eq!(ids, ["hf-1", "hf-2"]);
}

#[test]
fn one_equal_candidate_beside_a_similar_one_matches() {
    let decision =
        decided(ANNA, &[candidate("hf-2", "Ben,O'Brien|1990-04-12|60601"), candidate("hf-1", ANNA)]);
    assert_eq!(decision, Decision::Match("hf-1".into()));
}

/// Goal: our own reference decides, and only alone. Method: a chart that was renamed since we created it.
#[test]
fn our_reference_decides_unless_several_carry_it() {
    let ours =
        |id: &str| Candidate { external_id: Some(OURS.into()), ..candidate(id, "Anne,Smith|1990-01-01|1") };
    assert_eq!(decided(ANNA, &[candidate("hf-1", ANNA), ours("hf-2")]), Decision::Match("hf-2".into()));
    assert!(matches!(decided(ANNA, &[ours("hf-2"), ours("hf-3")]), Decision::Review(e) if e.len() == 2));
    let other = Candidate { external_id: Some("dent-2".into()), ..ours("hf-2") };
    assert_eq!(decided(ANNA, &[other]), Decision::New);
}

#[test]
fn a_creation_under_way_is_never_matched() {
    let under_way = Candidate { id: None, ..candidate("", ANNA) };
    let Decision::Review(evidence) = decided(ANNA, &[under_way]) else { panic!("expected a review") };
    assert_eq!(evidence[0].healthflow_patient_id, "");
    assert!(evidence[0].is_all_equal());
}

fn any_person() -> impl Strategy<Value = Person> {
    let name = prop_oneof!["", "anna", "ann", "ben", "smith", "o brien", "smith jones"];
    let born = proptest::option::of((1990_i16..1992, 1_i8..4, 1_i8..4));
    (name.clone(), name, born, prop_oneof!["", "60601", "10001"]).prop_map(|(given, family, born, code)| {
        Person {
            given_name: given.into(),
            family_name: family.into(),
            date_of_birth: born.map(|(year, month, day)| jiff::civil::date(year, month, day).into()),
            postal_code: code.into(),
        }
    })
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let reference = prop_oneof![4 => Just(None), 1 => Just(Some(OURS)), 1 => Just(Some("dent-2"))];
    let one = (any_person(), reference, proptest::bool::weighted(0.9));
    proptest::collection::vec(one, 0..5).prop_map(|people| {
        let candidate =
            |(index, (person, reference, has_id)): (usize, (Person, Option<&str>, bool))| Candidate {
                id: has_id.then(|| HealthFlowPatientId::from(format!("hf-{index}"))),
                external_id: reference.map(Into::into),
                person,
            };
        people.into_iter().enumerate().map(candidate).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_candidates_does_not_matter(
        who in any_person(),
        (candidates, shuffled) in any_candidates().prop_flat_map(|c| (Just(c.clone()), Just(c).prop_shuffle())),
    ) {
        prop_assert_eq!(decide(&who, &candidates, &OURS.into()), decide(&who, &shuffled, &OURS.into()));
    }

    #[test]
    fn a_match_agrees_in_everything_or_carries_our_reference(who in any_person(), candidates in any_candidates()) {
        if let Decision::Match(id) = decide(&who, &candidates, &OURS.into()) {
            let matched = candidates.iter().find(|one| one.id.as_ref() == Some(&id)).expect("one of them");
            let is_ours = matched.external_id.as_deref() == Some(OURS);
            prop_assert!(is_ours || matched.person == who);
            prop_assert!(is_ours || !who.given_name.reveal().is_empty() && who.date_of_birth.is_some());
        }
    }

    #[test]
    fn similarity_is_symmetric(a in any_person(), b in any_person()) {
        prop_assert_eq!(is_similar(&a, &b), is_similar(&b, &a));
    }

    #[test]
    fn equal_people_are_similar(who in any_person()) {
        let candidate = Candidate { id: None, external_id: None, person: who.clone() };
        prop_assert!(!evidence(&who, &candidate).is_all_equal() || is_similar(&who, &who));
    }
}

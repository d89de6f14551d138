//! The tables of `decide`, row by row, and what must hold for all people.

use proptest::prelude::*;

use super::*;
use crate::booking::Sex;
use crate::patient::postal_code;

const OURS: &str = "dent-1";

/// A person from `Given,Family|1990-04-01|60601|f`; any part may be empty, those at the end may be left out.
fn person(text: &str) -> Person {
    let mut parts = text.split('|');
    let names = parts.next().unwrap_or_default();
    let (given, family) = names.split_once(',').unwrap_or((names, ""));
    let born = parts.next().unwrap_or_default();
    Person {
        given_name: Name::new(given),
        family_name: Name::new(family),
        date_of_birth: (!born.is_empty()).then(|| born.parse::<Date>().expect("a date").into()),
        postal_code: postal_code(parts.next().unwrap_or_default()).into(),
        sex: match parts.next().unwrap_or_default() {
            "f" => Some(Sex::Female.into()),
            "m" => Some(Sex::Male.into()),
            "o" => Some(Sex::Other.into()),
            _ => None,
        },
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

/// Goal: letters are never dropped before people are compared. Method: twins whose names only a mark tells apart, and
/// one person in two spellings.
#[test]
fn equal_only_without_marks_is_for_a_person() {
    let rows = [
        ("たいき,山田|2015-05-05|60601", "だいき,山田|2015-05-05|60601", "review"),
        ("राम,शर्मा|2015-05-05|60601", "रोमा,शर्मा|2015-05-05|60601", "review"),
        ("Ánh,Nguyễn|2015-05-05|60601", "Anh,Nguyễn|2015-05-05|60601", "review"),
        ("Андрей,Попов|2015-05-05|60601", "Андреи,Попов|2015-05-05|60601", "review"),
        ("José,Núñez|2015-05-05|60601", "JOSE,NUNEZ|2015-05-05|60601", "review"),
        ("José,Núñez|2015-05-05|60601", "JOSE,NÚÑEZ|2015-05-05|60601", "match"),
        ("ガブリエル,山田|2015-05-05|60601", "ｶﾞﾌﾞﾘｴﾙ,山田|2015-05-05|60601", "match"),
        ("אוֹרִי,כהן|2015-05-05|60601", "אורי,כהן|2015-05-05|60601", "match"),
        ("אוֹרִי,כהן|2015-05-05|60601", "אוּרִי,כהן|2015-05-05|60601", "review"),
        ("は,王|2015-05-05|60601", "ば,王|2015-05-05|60601", "review"),
    ];
    for (who, other, expected) in rows {
        assert_eq!(against(who, other), expected, "{who} {other}");
        assert_eq!(against(other, who), expected, "{other} {who}");
    }
    let Decision::Review(evidence) = decided(rows[0].0, &[candidate("hf-1", rows[0].1)]) else {
        unreachable!()
    };
    assert_eq!(evidence[0].given_name, Agreement::Differs);
    assert_eq!(evidence[0].given_name_without_marks, Agreement::Equal);
    assert_eq!(evidence[0].family_name, Agreement::Equal);
}

/// Goal: a brother is never put into his sister's chart. Method: Anna's chart under every sex, and a stranger's.
#[test]
fn a_sex_that_differs_is_for_a_person_and_never_somebody_new_by_itself() {
    let anna = |sex: &str| format!("{ANNA}|{sex}");
    let rows = [("f", "f", "match"), ("f", "", "match"), ("", "m", "match"), ("", "", "match")];
    let differ = [("f", "m", "review"), ("m", "f", "review"), ("o", "f", "review"), ("m", "o", "review")];
    for (ours, theirs, expected) in rows.into_iter().chain(differ) {
        assert_eq!(against(&anna(ours), &anna(theirs)), expected, "{ours} {theirs}");
    }
    let Decision::Review(evidence) = decided(&anna("f"), &[candidate("hf-1", &anna("m"))]) else {
        unreachable!()
    };
    assert!(evidence[0].is_all_equal());
    assert_eq!(evidence[0].sex, Agreement::Differs);
    assert_eq!(
        against(&anna("f"), "Karl,O'Brien|1988-01-31|60601|m"),
        "new",
        "not similar stays not similar"
    );
    assert_eq!(against(&anna("f"), "Karl,O'Brien|1988-01-31|60601|f"), "new");
    let both = [candidate("hf-1", &anna("m")), candidate("hf-2", &anna("f"))];
    assert!(matches!(decided(&anna("f"), &both), Decision::Review(evidence) if evidence.len() == 2));
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
    let ids: Vec<&str> = evidence.iter().filter_map(|one| one.healthflow_patient_id.as_deref()).collect();
    assert_eq!(ids, ["hf-1", "hf-2"]);
}

#[test]
fn one_equal_candidate_beside_a_similar_one_matches() {
    let decision =
        decided(ANNA, &[candidate("hf-2", "Ben,O'Brien|1990-04-12|60601"), candidate("hf-1", ANNA)]);
    assert_eq!(decision, Decision::Match("hf-1".into()));
}

fn under(reference: &str, id: &str, who: &str) -> Candidate {
    Candidate { external_id: Some(reference.into()), ..candidate(id, who) }
}

/// Goal: our own reference decides, and only alone. Method: a chart that was corrected since we created it.
#[test]
fn our_reference_decides_unless_several_carry_it() {
    let ours = |id: &str| under(OURS, id, "Anne,Smith|1990-04-12|1|m");
    assert_eq!(decided(ANNA, &[candidate("hf-1", ANNA), ours("hf-2")]), Decision::Match("hf-2".into()));
    assert!(matches!(decided(ANNA, &[ours("hf-2"), ours("hf-3")]), Decision::Review(e) if e.len() == 2));
    let other = under("dent-2", "hf-2", "Anne,Smith|1990-01-01|1");
    assert_eq!(decided(ANNA, &[other]), Decision::New);
}

/// Goal: an id that DentScheduler reuses opens nobody else's chart. Method: what a chart under our reference may lack.
#[test]
fn our_reference_on_somebody_elses_chart_is_for_a_person() {
    let rows = [
        ("Boris,Petrov|1961-01-01|10001|m", false),
        ("Boris,Petrov|1990-04-12|10001|m", true),
        ("Anna,Petrov|1961-01-01|10001", true),
        ("Boris,O'Brien-Smith|1961-01-01|10001", true),
        ("Boris,Petrov||10001", true),
        (",|1961-01-01|10001", true),
    ];
    for (chart, is_match) in rows {
        let decision = decided(ANNA, &[under(OURS, "hf-1", chart)]);
        assert_eq!(matches!(decision, Decision::Match(_)), is_match, "{chart}");
        assert_eq!(matches!(decision, Decision::Review(_)), !is_match, "{chart}");
    }
    assert_eq!(
        decided("Ánh,Đặng|1990-04-12|1", &[under(OURS, "hf-1", "Anh,Dang|1990-04-13|1")]),
        Decision::Match("hf-1".into())
    );
}

#[test]
fn a_creation_under_way_is_never_matched() {
    let under_way = Candidate { id: None, ..candidate("", ANNA) };
    let Decision::Review(evidence) = decided(ANNA, &[under_way]) else { panic!("expected a review") };
    assert_eq!(evidence[0].healthflow_patient_id, None);
    assert!(evidence[0].is_all_equal());
}

/// Few, so that people resemble each other.
const NAMES: [&str; 16] = [
    "",
    "Anna",
    "Ann",
    "Ben",
    "O’Brien",
    "Smith-Jones",
    "José",
    "Jose",
    "Ánh",
    "Anh",
    "たいき",
    "だいき",
    "राम",
    "रोमा",
    "אוֹרִי",
    "אוּרִי",
];

fn any_person() -> impl Strategy<Value = Person> {
    let name = proptest::sample::select(&NAMES[..]);
    let born = proptest::option::of((1990_i16..1992, 1_i8..4, 1_i8..4));
    let code = prop_oneof![Just(""), Just("60601"), Just("10001")];
    let sex = proptest::sample::select(&[None, Some(Sex::Female), Some(Sex::Male), Some(Sex::Other)][..]);
    (name.clone(), name, born, code, sex).prop_map(|(given, family, born, code, sex)| Person {
        given_name: Name::new(given),
        family_name: Name::new(family),
        date_of_birth: born.map(|(year, month, day)| jiff::civil::date(year, month, day).into()),
        postal_code: code.to_owned().into(),
        sex: sex.map(Into::into),
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
            prop_assert!(is_ours || matched.person.given_name.exact() == who.given_name.exact());
            prop_assert!(is_ours || matched.person.family_name.exact() == who.family_name.exact());
            prop_assert!(is_ours || matched.person.date_of_birth == who.date_of_birth);
            prop_assert!(is_ours || matched.person.postal_code == who.postal_code);
            prop_assert!(is_ours || who.sex.is_none() || matched.person.sex.is_none() || matched.person.sex == who.sex);
            prop_assert!(is_ours || !who.given_name.is_missing() && who.date_of_birth.is_some());
        }
    }

    #[test]
    fn similarity_is_symmetric(a in any_person(), b in any_person()) {
        prop_assert_eq!(is_similar(&a, &b), is_similar(&b, &a));
    }

    /// Rule W7 asks who is similar: that must cover everybody who would be matched or reviewed.
    #[test]
    fn whoever_is_not_new_is_similar_whatever_the_sex(a in any_person(), b in any_person()) {
        let candidate = Candidate { id: Some("hf-1".into()), external_id: None, person: b.clone() };
        prop_assert_eq!(decide(&a, &[candidate], &OURS.into()) != Decision::New, is_similar(&a, &b));
        let unknown = Person { sex: None, ..a.clone() };
        prop_assert_eq!(is_similar(&a, &b), is_similar(&unknown, &b));
    }
}

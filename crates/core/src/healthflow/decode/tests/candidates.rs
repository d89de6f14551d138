//! What of a chart becomes a candidate, to be compared with who is booked.

use super::*;
use crate::booking::Sex;

#[test]
fn candidates_come_normalised_and_of_our_practice_only() {
    let body = r#"{"patients":[
        {"id":"hfp-1","practice_id":"p","external_id":"pat-1","given_name":" ANN ","family_name":"O’Brien",
         "date_of_birth":"1980-02-29","postal_code":"60601-1234","sex":"female"},
        {"id":"hfp-2","practice_id":"p","given_name":null,"date_of_birth":"unknown","sex":null},
        {"id":"hfp-3","practice_id":"q"}],"next_cursor":"c2"}"#;
    let Ok(Answer::Patients { found, next_cursor }) = decoded(Operation::SearchPatients, 200, body) else {
        panic!("a page of patients");
    };
    assert_eq!(next_cursor.as_deref(), Some("c2"));
    let ids: Vec<_> = found.iter().map(|candidate| candidate.id.as_ref().unwrap().as_str()).collect();
    assert_eq!(ids, ["hfp-1", "hfp-2"]);
    assert_eq!(found[0].external_id.as_deref(), Some("pat-1"));
    let person = &found[0].person;
    assert_eq!((person.given_name.exact(), person.family_name.exact()), ("ann", "obrien"));
    assert_eq!((&person.sex, &found[1].person.sex), (&Some(Private::new(Sex::Female)), &None));
    assert_eq!(person.date_of_birth, Some(Private::new(jiff::civil::date(1980, 2, 29))));
    assert_eq!(person.postal_code.reveal(), "60601");
    assert_eq!(found[1].person.date_of_birth, None);
}

/// Goal: a chart's sex is compared if the chart gives one, and a HealthFlow that spells it otherwise sends nobody to review.
#[test]
fn a_sex_that_the_contract_does_not_have_is_none_and_spoils_no_page() {
    let rows = [
        (r#""female""#, Some(Sex::Female)),
        (r#""MALE""#, Some(Sex::Male)),
        (r#""other""#, Some(Sex::Other)),
        (r#""unknown""#, None),
        (r#""F""#, None),
        ("1", None),
        ("null", None),
        (r#"{"code":"M"}"#, None),
    ];
    for (sex, expected) in rows {
        let body =
            format!(r#"{{"patients":[{{"id":"hfp-1","practice_id":"p","sex":{sex}}}],"next_cursor":null}}"#);
        let Ok(Answer::Patients { found, .. }) = decoded(Operation::SearchPatients, 200, &body) else {
            panic!("a page of patients: {sex}");
        };
        assert_eq!(found[0].person.sex, expected.map(Private::new), "{sex}");
    }
}

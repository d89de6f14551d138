//! Every text of a booking, held to the one table of limits; and instants that a producer spoils as a whole.

use crate::booking::texts::{self, Kind, Text};
use crate::booking::{PatientId, Source};
use crate::event::avro::contract;
use crate::event::requested::AppointmentRequested;
use crate::event::sample::{NOW, event};
use crate::time::{DAY_MS, Timestamp};
use crate::topics;

/// The sample with `text` in the field that `of` names.
fn with(of: &Text, text: &str) -> AppointmentRequested {
    let mut event = event();
    let (patient, visit) = (&mut event.patient, &mut event.visit);
    match of.field {
        "practice_id" => event.practice_id = text.into(),
        "booking_id" => event.booking_id = text.into(),
        "event_id" => event.event_id = text.into(),
        "location_id" => event.location_id = text.into(),
        "patient.patient_id" => patient.patient_id = PatientId::from(text).into(),
        "patient.healthflow_patient_id" => patient.healthflow_patient_id = Some(text.into()),
        "patient.given_name" => patient.given_name = text.into(),
        "patient.family_name" => patient.family_name = text.into(),
        "patient.postal_code" => patient.postal_code = text.into(),
        "patient.phone" => patient.phone = Some(text.into()),
        "patient.email" => patient.email = Some(text.into()),
        "visit.time_zone" => visit.time_zone = text.into(),
        "visit.provider_id" => visit.provider_id = text.into(),
        "visit.operatory_id" => visit.operatory_id = Some(text.into()),
        "visit.procedure_codes" => visit.procedure_codes = vec!["D0120".into(), text.into()],
        "visit.note" => visit.note = Some(text.into()),
        other => panic!("no test knows how to fill {other}"),
    }
    event
}

/// Why a booking with `text` in that field is refused; none if it is valid.
fn refused(of: &Text, text: &str) -> Option<String> {
    with(of, text).into_booking(NOW).err().map(|why| why.to_string())
}

#[test]
fn no_text_holds_a_nul_or_another_control_character() {
    for of in texts::ALL {
        for control in ['\0', '\u{1}', '\u{1b}', '\u{7f}', '\u{85}', '\n', '\t'] {
            let is_allowed = of.kind == Kind::Lines && matches!(control, '\n' | '\t');
            let expected = (!is_allowed).then(|| format!("{} must not contain control characters", of.field));
            assert_eq!(refused(of, &format!("Ma{control}ria")), expected.clone(), "{} {control:?}", of.field);
        }
    }
}

/// Goal: what HealthFlow takes is not refused here, and what it refuses never gets there. Method: characters of one, two
/// and four bytes, as many as there may be, and one more.
#[test]
fn texts_are_as_long_as_the_contract_counts_in_characters() {
    for of in texts::ALL.iter().filter(|of| of.field != "visit.time_zone") {
        for character in ["x", "ö", "𝔵"] {
            let longest = character.repeat(of.chars_max);
            assert_eq!(refused(of, &longest), None, "{}", of.field);
            let expected = format!("{} must not be longer than {} characters", of.field, of.chars_max);
            assert_eq!(refused(of, &format!("{longest}{character}")), Some(expected));
        }
    }
}

#[test]
fn a_text_that_must_be_there_is_not_left_blank_and_any_other_may_be() {
    for of in texts::ALL {
        for blank in ["", " ", "\u{2003}"] {
            let expected = (of.kind == Kind::Required).then(|| format!("{} must not be empty", of.field));
            assert_eq!(refused(of, blank), expected, "{} {blank:?}", of.field);
        }
    }
}

/// Goal: no text gets past the table. Method: the fields of the schema that are text, but those with a form of their own.
#[test]
fn every_text_of_the_schema_stands_in_the_table() {
    fn texts_of(record: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for field in record["fields"].as_array().expect("a record has fields") {
            let name = format!("{path}{}", field["name"].as_str().expect("a name"));
            let of = &field["type"];
            let is_text = *of == "string"
                || of["items"] == "string"
                || of.as_array().is_some_and(|either| either.iter().any(|one| *one == "string"));
            if of["type"] == "record" {
                texts_of(of, &format!("{name}."), found);
            } else if is_text {
                found.push(name);
            }
        }
    }
    let ours = contract(topics::REQUESTED).expect("one of ours");
    let mut found = Vec::new();
    texts_of(&serde_json::from_str(ours.json).expect("JSON"), "", &mut found);
    found.retain(|field| field != "patient.date_of_birth");
    found.sort_unstable();
    let mut table: Vec<&str> = texts::ALL.iter().map(|of| of.field).collect();
    table.sort_unstable();
    assert_eq!(found, table);
}

#[test]
fn what_says_that_the_zone_is_not_known_is_no_time_zone() {
    let zones = |zone| refused(&texts::TIME_ZONE, zone);
    for none in ["Etc/Unknown", "etc/unknown", "Factory", "Mars/Olympus", "+02:00", "CEST5"] {
        assert_eq!(zones(none), Some("visit.time_zone must be an IANA time zone".into()), "{none}");
    }
    for one in ["America/Chicago", "UTC", "Etc/UTC", "Etc/GMT+5", "Asia/Kolkata"] {
        assert_eq!(zones(one), None, "{one}");
    }
}

/// Goal: nobody is booked into January 1970. Method: instants in seconds where milliseconds are meant, one of them or all.
#[test]
fn a_live_visit_in_seconds_or_years_before_its_request_cannot_be_true() {
    let asked = |source, requested_at, start| {
        let mut event = AppointmentRequested { source, requested_at, ..event() };
        event.visit.start = start;
        event.into_booking(NOW).err().map(|why| why.to_string())
    };
    let in_seconds = |instant: Timestamp| Timestamp(instant.0 / 1000);
    let start = NOW.plus_ms(DAY_MS);
    let too_early = "visit.start must not lie before the year 2000; it is counted in milliseconds";
    for requested_at in [NOW, in_seconds(NOW)] {
        assert_eq!(asked(Source::Live, requested_at, in_seconds(start)), Some(too_early.into()));
    }
    assert_eq!(asked(Source::Live, in_seconds(NOW), start), None, "the visit is right");
    let long_ago = NOW.plus_ms(-732 * DAY_MS);
    let rule =
        "visit.start must not lie more than 731 days before requested_at; history has the source BACKFILL";
    assert_eq!(asked(Source::Live, NOW, long_ago), Some(rule.into()));
    assert_eq!(asked(Source::Live, long_ago, long_ago), None, "a record that has lain for long");
    assert_eq!(asked(Source::Live, NOW, NOW.plus_ms(-700 * DAY_MS)), None, "a correction");
    for start in [long_ago, in_seconds(start)] {
        assert_eq!(asked(Source::Backfill, NOW, start), None, "history");
    }
}

#[test]
fn an_id_of_blanks_that_is_sent_along_is_none_and_blanks_around_one_are_cut_off() {
    for (sent, known) in
        [("", None), (" ", None), ("\t\u{a0}\n", None), (" hf-1 ", Some("hf-1")), ("hf-1", Some("hf-1"))]
    {
        let mut event = event();
        event.patient.healthflow_patient_id = Some(sent.into());
        let read = event.into_booking(NOW).expect("the visit is not lost for it");
        assert_eq!(read.patient.healthflow_patient_id.as_deref(), known, "{sent:?}");
    }
}

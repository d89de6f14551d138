//! What is listed, and which decisions are written: a decision that a worker refuses costs a person another look.

use super::*;
use crate::kafka_admin::reviews::tests::{reviews, waiting};

const NOW: Timestamp = Timestamp(1_767_600_000_000 + 5 * HOUR_MS);

fn deciding(verdict: VerdictSymbol, patient: Option<&str>) -> DecideArguments {
    DecideArguments {
        which: Which { practice: "practice-1".into(), booking: "b-1".into(), version: None },
        verdict,
        healthflow_patient_id: patient.map(str::to_owned),
        healthflow_appointment_id: None,
        signed: Signed { by: "frontdesk-2".into(), why: "asked by phone".into() },
        no_wait: false,
    }
}

#[test]
fn a_list_holds_what_was_asked_for_the_nearest_visit_first() {
    let mut conflict = waiting("b-3", 1, None);
    (conflict.reason, conflict.since) = ("LINK_CONFLICT".into(), NOW);
    let all = reviews(vec![waiting("b-1", 2, None), waiting("b-2", 1, Some("b-1")), conflict]);
    let listed = |arguments: ListArguments| -> Vec<String> {
        arguments.select(&all, NOW).iter().map(|one| one.key.booking.to_string()).collect()
    };
    let any = ListArguments::default();
    assert_eq!(listed(any.clone()), ["b-3", "b-1"]);
    assert_eq!(listed(ListArguments { behind: true, ..any.clone() }), ["b-2", "b-3", "b-1"]);
    assert_eq!(listed(ListArguments { older_than_h: Some(5), ..any.clone() }), ["b-1"]);
    assert_eq!(listed(ListArguments { older_than_h: Some(6), ..any.clone() }), [""; 0]);
    assert_eq!(listed(ListArguments { reason: Some("LINK_CONFLICT".into()), ..any.clone() }), ["b-3"]);
    assert_eq!(listed(ListArguments { practice: Some("practice-2".into()), ..any }), [""; 0]);
}

#[test]
fn only_a_decision_that_the_worker_takes_is_written() {
    let question = waiting("b-1", 2, None);
    let decision = |arguments: DecideArguments| arguments.decision(&question, "d-1", NOW);
    let written = decision(deciding(VerdictSymbol::Link, Some("hf-1"))).expect("it is allowed");
    assert_eq!((written.version, written.generation, &*written.decision_id), (2, 1, "d-1"));
    let refused = |arguments| decision(arguments).expect_err("it is refused").to_string();
    let line = refused(deciding(VerdictSymbol::Adopt, None));
    assert!(
        line.contains("AMBIGUOUS_PATIENT, which ADOPT does not end; decide LINK or CREATE or REJECT"),
        "{line}"
    );
    assert!(
        refused(deciding(VerdictSymbol::Link, None)).contains("with healthflow_patient_id if it is LINK")
    );
    let nobody = DecideArguments {
        signed: Signed { by: String::new(), why: "asked by phone".into() },
        ..deciding(VerdictSymbol::Reject, None)
    };
    assert!(refused(nobody).contains("decided_by"));
}

#[test]
fn an_id_looks_like_a_uuid_and_comes_once() {
    let ids = [new_id(), new_id()];
    assert_ne!(ids[0], ids[1]);
    for id in ids {
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert!(id[14..].starts_with('4') && id[19..].starts_with(['8', '9', 'a', 'b']), "{id}");
    }
}

#[test]
fn a_verdict_is_one_of_five() {
    assert_eq!(verdict("link"), Ok(VerdictSymbol::Link));
    assert!(verdict("UNKNOWN").is_err_and(|why| why.contains("LINK, CREATE, ADOPT, RETRY, REJECT")));
}

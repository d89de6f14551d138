//! Whose word counts: every status, in the contract's words and in others, for every kind of request, has the meaning
//! in the table of `docs/answers.md`.

use healthflow_core::healthflow::wire::WireReply;
use healthflow_core::healthflow::{Operation, Request, decode};
use healthflow_core::patient::HealthFlowPatientId;
use healthflow_core::retry::WaitReason;

use crate::healthflow::{NOW, one_of_each};

const PAGE: &str = include_str!("../../../../docs/answers.md");
const CONTRACT: &str = include_str!("../../../../schemas/healthflow.openapi.yaml");

/// What a reply in other words than the contract's looks like.
const OTHER_WORDS: [&str; 6] = [
    "",
    "<html><h1>Bad Gateway</h1></html>",
    r#"{"message":"Forbidden"}"#,
    r#"{"code":"INVALID","message":"no list of fields"}"#,
    r#"{"code":"SOMETHING_ELSE","fields":[]}"#,
    "[1,2]",
];

/// A row: which statuses, what they mean by the code under which they come, and in any other words.
struct Row {
    statuses: std::ops::RangeInclusive<u16>,
    own: Vec<(Vec<&'static str>, &'static str)>,
    other: &'static str,
}

impl Row {
    /// What the status means with this code of the contract, if a request can get it.
    fn own(&self, code: &str) -> Option<&'static str> {
        let meant = self.own.iter().find(|(codes, _)| codes.is_empty() || codes.contains(&code));
        meant.map(|(_, class)| *class)
    }
}

fn quoted(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows under "Whose word counts", in order: the first one that fits counts.
fn rows() -> Vec<Row> {
    let section = PAGE.split_once("\n## Whose word counts\n").expect("the section").1;
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let cells: Vec<&'static str> = line.split('|').map(str::trim).collect();
        let [_, statuses, own, other, _] = cells[..] else { panic!("{line}") };
        let (first, last) = statuses.split_once(" to ").unwrap_or((statuses, statuses));
        let statuses = first.parse().expect("a status")..=last.parse().expect("a status");
        let meanings = own.split(';').filter_map(|meaning| {
            let (codes, class) = meaning.split_once(": ")?;
            Some((quoted(codes), quoted(class)[0]))
        });
        Row { statuses, own: meanings.collect(), other: quoted(other)[0] }
    })
    .collect()
}

/// The error codes that the contract names.
fn codes() -> Vec<&'static str> {
    let schema = CONTRACT.split_once("\n    Error:\n").expect("its schema").1;
    let description = schema.split_once("description: |\n").expect("the codes").1;
    quoted(description.split("\n        message:").next().expect("the codes"))
}

fn class(request: &Request, status: u16, body: &str) -> &'static str {
    let reply = WireReply::bare(status, body.as_bytes().to_vec());
    match decode(request, Ok(reply), NOW) {
        Ok(_) => "ok",
        Err(fault) => WaitReason::from(&fault).code(),
    }
}

fn requests() -> Vec<Request> {
    let mut requests = one_of_each(&HealthFlowPatientId::from("hfp-1"));
    let named = requests.iter().find_map(|request| match request {
        Request::UpdateAppointment { id, content, .. } => Some(Request::UpdateAppointment {
            id: id.clone(),
            content: content.clone(),
            if_match: Some("7".into()),
        }),
        _ => None,
    });
    requests.extend(named);
    requests
}

/// Whether such a request can get this answer: a search names nothing that could be gone.
fn is_possible(request: &Request, status: u16, code: &str) -> bool {
    use Operation::*;
    match (status, code) {
        (404 | 410, "PATIENT_NOT_FOUND") => {
            matches!(request.operation(), CreateAppointment | UpdateAppointment | ReadPatient)
        }
        (404 | 410, "APPOINTMENT_NOT_FOUND") => {
            matches!(request.operation(), UpdateAppointment | ReadAppointment)
        }
        (412, "CHANGED") => matches!(request, Request::UpdateAppointment { if_match: Some(_), .. }),
        _ => true,
    }
}

/// Goal: only HealthFlow's own words end a booking or drop what is known, whatever is in between. Method: every
/// status times every code of the contract, and bodies of others, against the documented table.
#[test]
fn every_status_in_every_words_means_what_the_page_says() {
    let (rows, codes) = (rows(), codes());
    assert_eq!(codes.len(), 13, "{codes:?}");
    for status in 300..=599_u16 {
        let row = rows.iter().find(|row| row.statuses.contains(&status));
        let row = row.unwrap_or_else(|| panic!("no row for {status}"));
        for request in requests() {
            let operation = request.operation();
            for body in OTHER_WORDS {
                assert_eq!(class(&request, status, body), row.other, "{status} {operation:?} {body}");
            }
            for code in &codes {
                let body = format!(r#"{{"code":"{code}","message":"","fields":[]}}"#);
                let own = row.own(code).filter(|_| is_possible(&request, status, code));
                assert_eq!(
                    class(&request, status, &body),
                    own.unwrap_or(row.other),
                    "{status} {operation:?} {code}"
                );
            }
        }
    }
}

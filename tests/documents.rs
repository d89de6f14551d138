//! The documents against the project: links resolve, paths, commands and tests that they name exist. A page that names what is
//! no longer there sends its reader astray in the middle of the night.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use healthflow_sync::event::requested::AppointmentRequested;
use healthflow_sync::time::Timestamp;
use serde_json::{Value, json};

/// Where a path in backticks begins if it is one of ours; `target/` and what is made at run time is not.
const ROOTS: [&str; 8] = ["src/", "tests/", "docs/", "schemas/", "stack/", "config/", "examples/", ".ci/"];
/// Documents that promise that the tests they name exist, and how many names each holds at least, so that a change of
/// their form does not leave this test with nothing to look at.
const NAMING_TESTS: [(&str, usize); 5] = [
    ("ARCHITECTURE.md", 30),
    ("CONTRIBUTING.md", 4),
    ("docs/guarantees.md", 30),
    ("docs/answers.md", 25),
    ("docs/testing.md", 5),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the project");
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable entry").path()) {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !is_hidden && !path.ends_with("target") {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a readable file")
}

/// What stands between one `open` and the next `close`, for every `open` in `text`.
fn between<'text>(text: &'text str, open: &str, close: &str) -> Vec<&'text str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inside, _)| inside).collect()
}

/// The prose of a document, without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// What stands in backticks, within a line.
fn quoted(text: &str) -> Vec<String> {
    let line = |line: &str| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    prose(text).lines().flat_map(line).collect()
}

/// Tests are sentences; one call of librdkafka is long enough to look like one.
fn is_test_name(text: &str) -> bool {
    text.matches('_').count() >= 3
        && text != "send_offsets_to_transaction"
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
}

/// A function is a test if `#[test]`, `#[tokio::test]` or a proptest block stands somewhere before it in its file; that is
/// near enough.
fn tests_of_the_project() -> BTreeSet<String> {
    let sources = [files(&root().join("src"), "rs"), files(&root().join("tests"), "rs")].concat();
    let mut names = BTreeSet::new();
    for text in sources.iter().map(|path| read(path)) {
        let begin = ["#[test]", "#[tokio::test", "proptest!"].iter().filter_map(|mark| text.find(mark)).min();
        if let Some(begin) = begin {
            names.extend(between(&text[begin..], "fn ", "(").into_iter().map(str::to_owned));
        }
    }
    names
}

fn refuse(problems: &[String]) {
    assert!(problems.is_empty(), "{} documents are wrong:\n{}", problems.len(), problems.join("\n"));
}

fn documents() -> Vec<(PathBuf, String)> {
    files(root(), "md").into_iter().map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn every_link_and_every_path_leads_somewhere() {
    let mut problems = Vec::new();
    for (document, text) in documents() {
        let folder = document.parent().expect("a file is in a folder");
        for link in between(&prose(&text), "](", ")") {
            let target = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !target.is_empty() && !folder.join(target).exists() {
                problems.push(format!("{}: the link {link} leads nowhere", document.display()));
            }
        }
        for path in quoted(&text) {
            let path = path.split(':').next().unwrap_or_default();
            let is_path =
                ROOTS.iter().any(|begin| path.starts_with(begin)) && !path.contains(['*', ' ', '{']);
            if is_path && !path.contains("TOPIC") && !root().join(path).exists() {
                problems.push(format!("{}: {path} does not exist", document.display()));
            }
        }
    }
    refuse(&problems);
}

#[test]
fn every_make_command_is_a_target() {
    let makefile = read(&root().join("Makefile"));
    let is_target = |name: &str| makefile.lines().any(|line| line.starts_with(&format!("{name}:")));
    let mut found = 0;
    for (document, text) in documents() {
        for block in between(&text, "```bash\n", "```") {
            let commands = block.lines().filter_map(|line| line.strip_prefix("make "));
            for name in commands.filter_map(|rest| rest.split_whitespace().next()) {
                found += 1;
                assert!(is_target(name), "{}: make {name} is no target", document.display());
            }
        }
    }
    assert!(found >= 4, "README names its commands in bash blocks");
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = tests_of_the_project();
    let mut problems = Vec::new();
    for (document, least) in NAMING_TESTS {
        let names: BTreeSet<String> =
            quoted(&read(&root().join(document))).into_iter().filter(|name| is_test_name(name)).collect();
        let known: Vec<&String> = names.iter().filter(|name| tests.contains(*name)).collect();
        assert!(known.len() >= least, "{document} names {} tests, not {least}", known.len());
        for name in names.iter().filter(|name| !tests.contains(*name)) {
            problems.push(format!("{document}: there is no test {name}"));
        }
    }
    refuse(&problems);
}

#[test]
fn the_example_booking_is_one() {
    let text = read(&root().join("docs/examples/booking.json"));
    let mut event: Value = serde_json::from_str(&text).expect("JSON");
    // What `healthflow-sync send` fills in and converts.
    event["event_id"] = json!("e-1");
    event["requested_at"] = json!(0);
    let start: jiff::Timestamp = event["visit"]["start"].as_str().expect("text").parse().expect("RFC 3339");
    event["visit"]["start"] = json!(start.as_millisecond());
    let event: AppointmentRequested = serde_json::from_value(event).expect("a booking of the schema");
    let booking = event.into_booking(Timestamp(1_795_521_600_000)).expect("it could be true");
    assert_eq!(booking.visit.start, Timestamp(start.as_millisecond()));
}

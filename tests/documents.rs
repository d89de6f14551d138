//! The documents against the project: links resolve; paths, functions, commands and tests that they name exist; each
//! rule has its page. A page that names what is no longer there sends its reader astray in the middle of the night.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use healthflow_core::booking::BookingKey;
use healthflow_core::event::decision::AppointmentDecision;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::Timestamp;
use healthflow_sync::kafka_admin::reviews::verdicts_of;
use serde_json::{Value, json};

/// Where a path in backticks begins if it is one of ours; `target/` and what is made at run time is not.
const ROOTS: [&str; 9] =
    ["src/", "crates/", "tests/", "docs/", "schemas/", "stack/", "config/", "ops/", ".ci/"];
/// Documents that promise that the tests they name exist, and how many names each holds at least, so that a change of
/// their form does not leave this test with nothing to look at.
const NAMING_TESTS: [(&str, usize); 5] = [
    ("ARCHITECTURE.md", 30),
    ("CONTRIBUTING.md", 4),
    ("docs/guarantees.md", 5),
    ("docs/answers.md", 25),
    ("docs/testing.md", 5),
];

/// What the page of a rule has, once or once a part.
const RULE_SECTIONS: [&str; 4] = ["Statement", "The hole without it", "Code", "Tests"];
/// The kinds of rules: of writing, of transactions, of tasks. A number follows.
const RULE_LETTERS: [char; 3] = ['W', 'T', 'K'];
/// What may precede the name of something that a file defines.
const DEFINING: [&str; 9] =
    ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "mod ", "macro_rules! "];

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

/// The text between one `open` and the next `close`, for every `open` in `text`.
fn between<'text>(text: &'text str, open: &str, close: &str) -> Vec<&'text str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inside, _)| inside).collect()
}

/// The prose of a document, without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The texts in backticks, within a line.
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

/// A function is a test if `#[test]`, `#[tokio::test]` or a proptest block comes anywhere before it in its file; that
/// is near enough.
fn tests_of_the_project() -> BTreeSet<String> {
    let sources = ["src", "tests", "crates"].map(|folder| files(&root().join(folder), "rs")).concat();
    let mut names = BTreeSet::new();
    for text in sources.iter().map(|path| read(path)) {
        let begin = ["#[test]", "#[tokio::test", "proptest!"].iter().filter_map(|mark| text.find(mark)).min();
        if let Some(begin) = begin {
            names.extend(between(&text[begin..], "fn ", "(").into_iter().map(str::to_owned));
        }
    }
    names
}

/// The pages of the rules, by name without ending.
fn rule_pages() -> Vec<(String, String)> {
    let name = |path: &Path| path.file_stem().expect("a page has a name").to_string_lossy().into_owned();
    files(&root().join("docs/rules"), "md").iter().map(|path| (name(path), read(path))).collect()
}

/// Whether `text` is the code of a rule, like W4 or K12.
fn is_rule_code(text: &str) -> bool {
    text.strip_prefix(RULE_LETTERS).is_some_and(|number| {
        (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The rules that a text cites. A range like K3–K5 cites its two ends.
fn rules_cited(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| is_rule_code(word)).collect()
}

/// The comments of a source file.
fn comments(text: &str) -> String {
    let comments = text.lines().filter_map(|line| line.split_once("//")).map(|(_, comment)| comment);
    comments.collect::<Vec<_>>().join("\n")
}

/// The names in backticks right beside a path to a Rust file, each with that path: "`path` (`name`, `name`)",
/// "`name` (`path`)" and "`name` in `path`".
fn names_beside_paths(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for paragraph in prose(text).split("\n\n") {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        // What is in backticks has the odd places.
        let pieces: Vec<&str> = paragraph.split('`').collect();
        let piece = |index: usize| pieces.get(index).copied().unwrap_or_default();
        for at in (1..pieces.len()).step_by(2).filter(|at| is_rust_path(piece(*at))) {
            let mut names = Vec::new();
            if at > 1 && [" (", " in "].contains(&piece(at - 1)) {
                names.push(piece(at - 2));
            }
            if piece(at + 1) == " (" {
                names.push(piece(at + 2));
                let more = (at + 4..pieces.len()).step_by(2).take_while(|next| piece(next - 1) == ", ");
                names.extend(more.map(piece));
            }
            // Tests may be named beside what they test; another test looks whether they exist.
            let names = names.into_iter().filter(|name| is_identifier(name) && !is_test_name(name));
            found.extend(names.map(|name| (name.to_owned(), piece(at).to_owned())));
        }
    }
    found
}

fn is_rust_path(text: &str) -> bool {
    text.ends_with(".rs") && ROOTS.iter().any(|begin| text.starts_with(begin))
}

/// Whether `text` can be the name of something in Rust, with or without what it belongs to: `cover_write`, `Task::end`.
fn is_identifier(text: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c == '_' || c.is_alphanumeric());
    text.split("::").all(is_name)
}

/// Whether a source file defines `name`: as an item, as a code in quotes or, for one that belongs to something, as a
/// variant of that.
fn defines(source: &str, name: &str) -> bool {
    let own = name.rsplit("::").next().unwrap_or(name);
    let ends = |rest: &str| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric());
    let is_item = DEFINING.iter().any(|keyword| {
        let definition = format!("{keyword}{own}");
        source.match_indices(&definition).any(|(at, _)| ends(&source[at + definition.len()..]))
    });
    let is_variant = |line: &str| {
        line.trim_start().strip_prefix(own).is_some_and(|rest| rest.starts_with([',', '(', ' ']))
    };
    let is_code = source.contains(&format!("\"{own}\""));
    is_item || is_code || (name.contains("::") && source.lines().any(is_variant))
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
    let pages = rule_pages().into_iter().map(|(code, _)| (format!("docs/rules/{code}.md"), 1));
    for (document, least) in
        NAMING_TESTS.map(|(page, least)| (page.to_owned(), least)).into_iter().chain(pages)
    {
        let names: BTreeSet<String> =
            quoted(&read(&root().join(&document))).into_iter().filter(|name| is_test_name(name)).collect();
        let known: Vec<&String> = names.iter().filter(|name| tests.contains(*name)).collect();
        assert!(known.len() >= least, "{document} names {} tests, not {least}", known.len());
        for name in names.iter().filter(|name| !tests.contains(*name)) {
            problems.push(format!("{document}: there is no test {name}"));
        }
    }
    refuse(&problems);
}

#[test]
fn every_rule_that_is_cited_has_its_page_and_every_page_is_linked() {
    let pages = rule_pages();
    let overview = read(&root().join("docs/guarantees.md"));
    let mut problems = Vec::new();
    let mut cited = 0;
    let sources = ["src", "tests", "crates"].map(|folder| files(&root().join(folder), "rs")).concat();
    let sources = sources.into_iter().map(|path| (comments(&read(&path)), path));
    for (text, path) in sources.chain(documents().into_iter().map(|(path, text)| (prose(&text), path))) {
        for rule in rules_cited(&text) {
            cited += 1;
            if !pages.iter().any(|(code, _)| code == rule) {
                problems.push(format!("{}: rule {rule} has no page in docs/rules/", path.display()));
            }
        }
    }
    for (code, text) in &pages {
        if is_rule_code(code) && !text.starts_with(&format!("# {code}: ")) {
            problems.push(format!("docs/rules/{code}.md: its title does not begin with its code"));
        }
        if !overview.contains(&format!("](rules/{code}.md)")) {
            problems.push(format!("docs/guarantees.md does not link rules/{code}.md"));
        }
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let times = RULE_SECTIONS.map(|section| {
            headings.iter().filter(|heading| heading.trim_start_matches('#').trim() == section).count()
        });
        if times[0] == 0 || times.iter().any(|count| *count != times[0]) {
            problems.push(format!("docs/rules/{code}.md: not every part has the sections {RULE_SECTIONS:?}"));
        }
    }
    refuse(&problems);
    assert!(pages.len() >= 29 && cited >= 100, "{} pages, cited in {cited} places", pages.len());
}

#[test]
fn every_name_beside_a_path_is_in_that_file() {
    let mut problems = Vec::new();
    let mut found = 0;
    for (document, text) in documents() {
        for (name, path) in names_beside_paths(&text) {
            found += 1;
            let source = fs::read_to_string(root().join(&path)).unwrap_or_default();
            if !defines(&source, &name) {
                problems.push(format!("{}: {path} defines no {name}", document.display()));
            }
        }
    }
    assert!(found >= 30, "the documents name {found} things beside their files");
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
    let booking = event.into_booking(Timestamp(1_795_521_600_000)).expect("a valid booking");
    assert_eq!(booking.visit.start, Timestamp(start.as_millisecond()));
}

/// Goal: a product team can copy the example. Method: it decides a review with every reason, by every verdict; what it prints is
/// a decision that a worker takes, and it refuses the rest.
#[test]
fn the_example_in_python_decides_as_the_page_says() {
    let event: Value = serde_json::from_str(&read(&root().join("docs/examples/booking.json"))).expect("JSON");
    for reason in ReviewReason::ALL {
        for (verdict, id) in [
            ("LINK", Some("hf-1")),
            ("CREATE", None),
            ("ADOPT", Some("hf-2")),
            ("RETRY", None),
            ("REJECT", None),
        ] {
            let review = json!({
                "result": {"practice_id": "practice-1", "booking_id": "b/1", "version": 3, "generation": 2, "reason": reason.code()},
                "event": event, "evidence": [], "waits_for": null, "order": 7,
            });
            let output = decide_by_example(&review, verdict, id);
            let allowed = verdicts_of(reason.code()).iter().any(|allowed| allowed.code() == verdict);
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), allowed, "{} {verdict}: {told}", reason.code());
            if allowed {
                let decision: AppointmentDecision =
                    serde_json::from_slice(&output.stdout).expect("a decision");
                let decision = decision.into_decision().expect("a valid one");
                let which = (decision.key.to_string(), decision.version, decision.generation);
                assert_eq!(
                    which,
                    (BookingKey { practice: "practice-1".into(), booking: "b/1".into() }.to_string(), 3, 2)
                );
                assert_eq!(decision.verdict.symbol().code(), verdict);
            }
        }
    }
}

/// Runs the example on a review, away from Kafka.
fn decide_by_example(review: &Value, verdict: &str, id: Option<&str>) -> Output {
    let mut python = Command::new("python3");
    python.arg(root().join("docs/examples/decide_review.py")).args([
        "--offline",
        "practice-1",
        "b/1",
        verdict,
    ]);
    python.args(["--by", "frontdesk-2", "--why", "asked by phone"]);
    python.args(id.map(|id| format!("--id={id}")));
    let mut child = python
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3, which docker-compose needs too");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(review.to_string().as_bytes()).expect("it reads");
    drop(input);
    child.wait_with_output().expect("it ends")
}

/// What the checks above find in a text: a check that finds nothing would pass for ever.
mod what_is_found {
    use super::*;

    #[test]
    fn names_are_found_in_each_place_beside_a_path() {
        let text = "`src/a.rs` (`one`,\n`two`), `Three::four` in `src/b.rs`; `Five` (`src/c.rs`), `six` and `src/d.rs`,\n\
                    `src/e.rs` (`a_test_is_a_sentence`, found elsewhere), `src/f.rs` (not `seven`)";
        let found = names_beside_paths(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(name, path)| (&**name, &**path)).collect();
        let expected =
            [("one", "src/a.rs"), ("two", "src/a.rs"), ("Three::four", "src/b.rs"), ("Five", "src/c.rs")];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_what_a_file_defines_counts() {
        let source = "pub fn one_more() {}\nenum Kind {\n    First,\n}\nlet two = call();\n";
        assert!(defines(source, "one_more") && defines(source, "Kind") && defines(source, "Kind::First"));
        assert!(!defines(source, "one") && !defines(source, "two") && !defines(source, "First"));
    }

    #[test]
    fn rules_are_cited_by_whole_words() {
        let cited = rules_cited("Waits (rules W1, K3–K12; T2's own), not KW4, W, W123 or T1_MS");
        assert_eq!(cited, BTreeSet::from(["W1", "K3", "K12", "T2"]));
    }
}

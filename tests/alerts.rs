//! The alerts as Prometheus sees them: their own tests pass, each leads to a section of the runbook and each section that is
//! for an alert has one, and no rule or panel asks for a metric that does not exist.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it should do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use healthflow_core::status::Status;
use healthflow_core::time::Timestamp;
use healthflow_sync::metrics::Catalogue;
use serde_json::Value;

/// How the names of alerts begin.
const ALERT: &str = "HealthflowSync";

fn ops(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rules() -> [PathBuf; 2] {
    ["recording.rules.yml", "alerts.rules.yml"].map(|name| ops("prometheus").join(name))
}

/// Runs a tool that `stack/setup.sh` installs; fails with all that it says.
fn accepted_by(tool: &str, arguments: &[&str], files: &[PathBuf]) {
    let ran = Command::new(tool).args(arguments).args(files).output();
    let output = ran.unwrap_or_else(|error| panic!("{tool}: {error}; `make setup` installs it"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {arguments:?} {files:?}:\n{out}{errors}");
}

/// The words of a text, as PromQL splits names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
}

fn alerts_in(text: &str) -> BTreeSet<&str> {
    words(text).filter(|word| word.starts_with(ALERT)).collect()
}

/// The text after `key` on each line that has it, quotes left out.
fn values<'text>(text: &'text str, key: &str) -> Vec<&'text str> {
    let lines = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
    lines.map(|value| value.trim().trim_matches('\'')).collect()
}

/// The heading of a section as a link names it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// What a rule or panel asks for that is neither a metric of ours nor recorded.
fn unknown_in(text: &str) -> Vec<String> {
    let catalogue = Catalogue::new("0").unwrap();
    let metrics: BTreeSet<&str> = catalogue.described().iter().map(|metric| metric.name).collect();
    let recording = read(&rules()[0]);
    let recorded: BTreeSet<&str> = values(&recording, "record:").into_iter().collect();
    let is_known = |word: &str| {
        let parts = ["_bucket", "_count", "_sum"].iter().filter_map(|part| word.strip_suffix(part));
        recorded.contains(word) || parts.chain([word]).any(|name| metrics.contains(name))
    };
    let ours = words(text).filter(|word| word.starts_with("healthflow_sync") || word.starts_with("kafka_"));
    ours.filter(|word| !is_known(word)).map(str::to_owned).collect()
}

#[test]
fn the_rules_pass_their_own_tests() {
    accepted_by("promtool", &["check", "rules"], &rules());
    accepted_by(
        "promtool",
        &["test", "rules"],
        &["alerts.test.yml", "alerts.days.test.yml"].map(|name| ops("prometheus").join(name)),
    );
}

/// Goal: an alert that nobody has seen fire, or that always fires, is none. Method: each has a test of both.
#[test]
fn every_alert_is_tried_both_ways() {
    let alerts = read(&rules()[1]);
    let tests =
        ["alerts.test.yml", "alerts.days.test.yml"].map(|name| read(&ops("prometheus").join(name))).concat();
    let tried: BTreeSet<&str> = values(&tests, "name:").into_iter().collect();
    let named = values(&alerts, "alert:");
    assert!(named.len() > 30, "{named:?}");
    for alert in named {
        for how in ["fires", "is quiet"] {
            assert!(tried.contains(&*format!("{alert} {how}")), "no test that {alert} {how}");
        }
    }
}

/// Goal: whoever is woken finds what to do, and the runbook promises no alert that never comes. Method: each rule's link and
/// name are in one section, and each section that speaks of an alert has a rule.
#[test]
fn every_alert_has_its_section_and_every_section_its_alert() {
    let (rules, runbook) =
        (read(&rules()[1]), read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")));
    let links = values(&rules, "runbook_url:");
    let by_link: BTreeMap<&str, &str> =
        values(&rules, "alert:").into_iter().zip(links.iter().copied()).collect();
    assert_eq!(by_link.len(), links.len(), "each alert has a link");
    let mut explained = BTreeMap::new();
    for section in runbook.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap();
        let named = alerts_in(section);
        assert_eq!(
            section.contains("\nAlert: "),
            !named.is_empty(),
            "{heading}: an alert has the name of its rule"
        );
        let link = format!("docs/runbook.md#{}", anchor(heading));
        explained.extend(named.into_iter().map(|alert| (alert, link.clone())));
    }
    let explained: BTreeMap<&str, &str> = explained.iter().map(|(alert, link)| (*alert, &**link)).collect();
    assert_eq!(by_link, explained);
}

#[test]
fn rules_ask_only_for_metrics_that_exist() {
    for path in rules() {
        assert_eq!(unknown_in(&read(&path)), Vec::<String>::new(), "{}", path.display());
    }
    assert_eq!(
        unknown_in("healthflow_sync_nothing_total + healthflow_sync:nothing").len(),
        2,
        "it can say no"
    );
}

#[test]
fn panels_ask_only_for_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&read(&ops("grafana/healthflow-sync.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let asked: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(asked.len() > 20, "{asked:?}");
    for query in asked {
        assert_eq!(unknown_in(query), Vec::<String>::new(), "{query}");
    }
}

/// Goal: the example works as it is. Method: Alertmanager's own tool reads it, and routes a page and a ticket by it.
#[test]
fn alertmanager_takes_the_example() {
    let example = ops("prometheus/alertmanager.example.yml");
    accepted_by("amtool", &["check-config"], std::slice::from_ref(&example));
    let config = format!("--config.file={}", example.display());
    for (severity, receiver) in [("page", "on-call"), ("ticket", "tickets")] {
        let label = format!("severity={severity}");
        let verify = format!("--verify.receivers={receiver}");
        accepted_by("amtool", &["config", "routes", "test", &config, &verify, &label], &[]);
    }
}

#[test]
fn alerts_that_are_held_back_exist() {
    let alerts = read(&rules()[1]);
    let known: BTreeSet<&str> = values(&alerts, "alert:").into_iter().collect();
    let example = read(&ops("prometheus/alertmanager.example.yml"));
    let named = alerts_in(&example);
    assert!(named.len() > 10 && named.is_subset(&known), "{:?}", named.difference(&known));
}

/// Goal: an alert sees the first event of a worker's life, too: a series that begins at 1 has not increased. Method: whatever a
/// rule takes the increase or rate of is on the page of a worker that has just begun, under the labels that the rule names.
#[test]
fn what_is_counted_for_an_alert_is_there_from_the_start() {
    let page = Catalogue::new("0").unwrap().page(&Status::default(), Timestamp(0)).unwrap();
    let mut counted = 0;
    for path in rules() {
        let text = read(&path);
        let calls = ["increase(", "rate("].iter().flat_map(|call| text.match_indices(call));
        for (at, call) in calls {
            let selector = text[at + call.len()..].split('[').next().unwrap();
            let (name, labels) = selector.trim_end_matches('}').split_once('{').unwrap_or((selector, ""));
            // A label as a rule names it stands on the page in the same letters.
            let labels: Vec<&str> =
                labels.split(',').filter(|label| !label.contains("!=") && !label.contains("=~")).collect();
            let is_it =
                |line: &str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
            assert!(page.lines().any(is_it), "{selector} is not on the page of a new worker");
            counted += 1;
        }
    }
    assert!(counted > 20, "{counted}");
}

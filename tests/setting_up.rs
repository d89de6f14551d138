//! What a new user reads and runs first: the README up to its reference needs no glossary, and the unit for systemd starts a worker.

#![allow(clippy::unwrap_used, reason = "a test that panics fails, which is what it should do")]

use std::process::Command;

/// Words of the glossary that mean something else, or nothing, to a reader who has not met them.
const OURS: [&str; 17] = [
    "task",
    "tasks",
    "lane",
    "lanes",
    "doubt",
    "doubts",
    "intent",
    "intents",
    "incarnation",
    "parked",
    "redriven",
    "quiet",
    "settles",
    "placement",
    "fleet",
    "fleets",
    "lease",
];

/// Goal: whoever has not read the glossary can set up a pair of workers. Method: none of our own words is in the running text of
/// the README above its reference, code left out.
#[test]
fn the_readme_needs_no_glossary_before_its_reference() {
    let readme = include_str!("../README.md");
    let (guide, _) = readme.split_once("\n# Reference").unwrap();
    // Between two fences or backticks is code.
    let prose: String = guide.split("```").step_by(2).flat_map(|text| text.split('`').step_by(2)).collect();
    let words: Vec<&str> = prose.split(|c: char| !c.is_alphanumeric()).collect();
    assert!(words.len() > 800, "the guide is not found");
    for word in words {
        assert!(!OURS.contains(&&*word.to_lowercase()), "README uses `{word}` before its reference");
    }
}

#[test]
fn the_unit_for_systemd_sets_keys_that_exist() {
    let unit = include_str!("../ops/systemd/healthflow-sync@.service");
    let variables: Vec<(&str, String)> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
        .map(|(name, value)| (name, value.replace("%i", "2").replace("%H", "host")))
        .collect();
    assert!(variables.len() >= 3, "{variables:?}");
    let mut shown = Command::new(env!("CARGO_BIN_EXE_healthflow-sync"));
    let shown = shown.args(["config", "show"]).envs(variables.clone()).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success(), "{errors}");
    for (_, value) in variables {
        assert!(text.contains(&format!("\"{value}\"")), "{value} is not in:\n{text}");
    }
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(command, "/usr/local/bin/healthflow-sync run --config /etc/healthflow-sync/sync.toml");
}

//! How the program ends before it reaches any server: the exit codes that the README promises, and the one line that says
//! why.

use std::process::{Command, Output};

fn ends(line: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthflow-sync"));
    command.args(line).output().expect("the program starts")
}

/// The exit code and the lines on standard error.
fn told(output: &Output) -> (Option<i32>, Vec<String>) {
    let lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    (output.status.code(), lines)
}

/// Goal: scripts can rely on the exit codes that the README promises. Method: one command for each that needs no server.
#[test]
fn commands_end_with_the_documented_codes() {
    for line in [
        &["config", "show"][..],
        &["config", "show", "--defaults", "--output", "json"],
        &["completions", "bash"],
        &["man"],
        &["--version"],
        &["review", "--help"],
    ] {
        let (code, lines) = told(&ends(line));
        assert_eq!((code, lines.len()), (Some(0), 0), "{line:?}: {lines:?}");
    }
    for line in [
        &["run", "--set=worker.lease=1"][..],
        &["run", "--config=/nowhere/sync.toml"],
        &["topics", "--set=log.format=xml"],
        &["send", "/nowhere/booking.json"],
        &["tail", "appointments.unknown"],
        &["redrive"],
        &["config", "show", "--set=kafka.brokers="],
    ] {
        let (code, lines) = told(&ends(line));
        assert_eq!((code, lines.len()), (Some(1), 1), "{line:?}: {lines:?}");
        assert!(lines[0].starts_with("healthflow-sync: "), "{lines:?}");
    }
    for line in [
        &[][..],
        &["walk"],
        &["--set=a.b=c", "run"],
        &["redrive", "--reason", "BAD_LUCK"],
        &["redrive", "--since", "yesterday"],
        &["review", "list", "--reason", "BAD_LUCK"],
        &["topics", "--partitions", "0"],
        &["tail"],
    ] {
        assert_eq!(told(&ends(line)).0, Some(2), "{line:?}");
    }
}

/// Goal: the README lists every code, once. Method: its table against the codes of the program, and clap's.
#[test]
fn the_readme_lists_the_exit_codes() {
    let readme = include_str!("../README.md");
    let (_, table) = readme.split_once("## Exit codes").expect("a section");
    let (table, _) = table.split_once("\n## ").expect("another section follows");
    let rows =
        table.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|row| row.split_once(" | "));
    let codes: Vec<u8> =
        rows.flat_map(|(codes, _)| codes.split(", ")).filter_map(|code| code.parse().ok()).collect();
    assert_eq!(codes, [0, 1, 2, 70, 101, 130, 143]);
}

/// Goal: a worker without a token never starts, and says so in one line. Method: files that hold none, in each way.
#[test]
fn a_file_without_a_token_stops_the_start_with_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    for (content, expected) in [
        (Some(&b""[..]), "is empty"),
        (Some(b" \n\n"), "is empty"),
        (Some(b"two words\n"), "does not hold exactly one token"),
        (Some(b"\xff\xfet\0"), "is not UTF-8 text"),
        (None, "cannot be read"),
    ] {
        let file = folder.path().join("token");
        match content {
            Some(content) => std::fs::write(&file, content).expect("written"),
            None => std::fs::remove_file(&file).expect("removed"),
        }
        let set = format!("--set=healthflow.token_file={}", file.display());
        let (code, lines) = told(&ends(&["run", &set]));
        assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
        assert!(
            lines[0].starts_with("healthflow-sync: the token file ") && lines[0].contains(expected),
            "{lines:?}"
        );
        assert!(lines[0].ends_with("correct it, or `healthflow.token_file`"), "{lines:?}");
    }
}

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

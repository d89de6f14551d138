//! The simulator as a process: how its owner starts it, finds it and ends it, and that its page names every knob.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use healthflow_simulator::answer::Faults;

/// How long the process may take for anything, in a test.
const LIMIT: Duration = Duration::from_secs(20);

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(flags: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthflow-simulator"));
    command.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().expect("the simulator starts"))
}

/// The first line on standard output.
fn first_line(running: &mut Running) -> String {
    let output = running.0.stdout.take().expect("its output is a pipe");
    let (line, first) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = BufReader::new(output).read_line(&mut text);
        line.send(read.map(|_| text))
    });
    first.recv_timeout(LIMIT).expect("a line in time").expect("a readable line")
}

/// The exit code; the test fails if the process lives on.
fn exit_code(mut running: Running) -> Option<i32> {
    drop(running.0.stdin.take());
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(running.0.wait().map(|status| status.code())));
    end.recv_timeout(LIMIT).expect("an end in time").expect("an exit status")
}

#[test]
fn it_says_where_it_is_and_ends_with_its_owner() {
    let mut running =
        start(&["--stop-with-stdin", "--latency-ms", "5", "--faults", r#"{"drop_after": 0.5}"#]);
    let line = first_line(&mut running);
    let url = line.strip_prefix("ready healthflow=").unwrap().trim_end();
    let address = url.strip_prefix("http://").unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok(), "{line}");
    assert_eq!(exit_code(running), Some(0));
    assert!(std::net::TcpStream::connect(address).is_err(), "still there");
}

#[test]
fn a_wrong_flag_stops_it_at_once() {
    for flags in [
        ["--faults", r#"{"no_such_knob": 1}"#],
        ["--faults", "no JSON"],
        ["--latency-ms", "99999999999"],
        ["--token-file", "/no/such/file"],
        ["--listen", "nowhere"],
    ] {
        assert!(matches!(exit_code(start(&flags)), Some(1 | 2)), "{flags:?}");
    }
}

#[test]
fn every_knob_is_in_the_docs_with_its_default() {
    let docs = include_str!("../../../../docs/simulator.md");
    let knobs = serde_json::to_value(Faults::default()).unwrap();
    for (knob, default) in knobs.as_object().unwrap() {
        assert!(docs.contains(&format!("| `{knob}` | `{default}` |")), "{knob} = {default}");
    }
}

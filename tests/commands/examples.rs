//! The examples in Python that publishers and readers copy, as they stand in docs/examples/.

use std::process::Command;

use healthflow_core::event::home::partition_of;
use healthflow_testkit::project;
use serde_json::json;

use crate::{Person, lines};

/// Records that are in appointments.requested by now.
const REQUESTED: usize = 8;
/// Longer, and nobody reads an example.
const LINES_MAX: usize = 60;

/// Goal: what the example publishes lies where the workers look for it, and is a booking. Method: the example booking, then the
/// reader on dead letters.
pub fn what_the_examples_publish_and_read_is_as_documented(person: &Person<'_>) {
    let booking = project("docs/examples/booking.json");
    let published = person.python("publish_booking.py", &[booking.to_str().expect("UTF-8")]);
    assert!(published[0].starts_with("published b-by-hand-1 version 1 as "), "{published:?}");
    let records = person.tails("appointments.requested", REQUESTED + 1);
    let record = records.iter().find(|record| record["key"] == "practice-by-hand").expect("it is there");
    assert_eq!(record["partition"], json!(partition_of(b"practice-by-hand", 6)));
    let value = &record["value"];
    assert_eq!((&value["patient"]["given_name"], &value["source"]), (&json!("Maria"), &json!("LIVE")));
    assert_eq!(value["visit"]["start"], json!(1_898_868_600_000_i64));

    let told = person.python("read_results.py", &["appointments.failed", "4"]);
    assert_eq!(told, ["a record, not a version: UNDECODABLE, event None, booking None"; 4]);
}

/// Goal: a reader who copies the example handles what it rarely meets: another order, copies, what is not final, a version that is
/// tried again, a record without a value. Method: its function on such results, as the deserialiser gives them.
pub fn the_reader_of_results_handles_what_is_rare(person: &Person<'_>) {
    let result = |version: i64, generation: i32, outcome: &str| {
        json!({ "result": {
            "practice_id": "p", "booking_id": "b", "version": version, "generation": generation, "outcome": outcome,
            "final": outcome != "REVIEW", "reason": null, "event_id": "e",
        }})
    };
    let values = json!([
        result(1, 0, "REVIEW"),
        result(3, 0, "FAILED"),
        result(2, 0, "SUPERSEDED"),
        result(3, 0, "FAILED"),
        result(3, 1, "UPDATED"),
        null,
    ]);
    let script = "import json, sys; sys.path.insert(0, sys.argv[1]); from read_results import told\n\
                  seen = {}\n\
                  for value in json.loads(sys.argv[2]): print(told(value, seen))";
    let folder = project("docs/examples");
    let said = person.run_python(
        Command::new(project("stack/python.sh")).arg("-c").arg(script).arg(folder).arg(values.to_string()),
    );
    assert_eq!(
        said,
        [
            "b version 1: REVIEW, not its end",
            "b version 3: FAILED",
            "b version 2: SUPERSEDED, an older version",
            "b version 3: FAILED, a copy",
            "b version 3: UPDATED",
            "nobody is asked about a version any more",
        ]
    );
}

impl Person<'_> {
    /// The lines that an example prints; its first arguments are the servers.
    fn python(&self, example: &str, arguments: &[&str]) -> Vec<String> {
        let path = project("docs/examples").join(example);
        let text = std::fs::read_to_string(&path).expect("an example");
        assert!(text.lines().count() < LINES_MAX, "{example} is too long");
        let mut command = Command::new(project("stack/python.sh"));
        command.arg(path).args([&self.0.brokers, &self.0.registry_url]).args(arguments);
        self.run_python(&mut command)
    }

    fn run_python(&self, command: &mut Command) -> Vec<String> {
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        lines(&output.stdout)
    }
}

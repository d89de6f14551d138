//! The house rules that a machine can hold: sizes, arrows, bans. A rule that no test sees is a wish. To break one,
//! change it here in the same commit and say why.

use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer than this, tests included.
const LINES_MAX: usize = 400;

/// Modules in the order of the story: each may use only itself and what stands before it.
const ORDER: [&str; 29] = [
    "coded",
    "time",
    "private",
    "unordered",
    "panic_guard",
    "topics",
    "booking",
    "patient",
    "appointment",
    "healthflow",
    "sync",
    "state",
    "event",
    "limits",
    "retry",
    "life",
    "fact",
    "status",
    "defects",
    "settings",
    "partition",
    "processor",
    "kafka",
    "http",
    "metrics",
    "admin",
    "config",
    "worker",
    "cli",
];

/// What is above the order: the crate itself, its programs, and HealthFlow's double.
const APART: [&str; 4] = ["lib", "main", "bin", "simulator"];

/// Folders that are pure: they decide, and touch nothing.
const PURE: [&str; 21] = [
    "coded.rs",
    "time.rs",
    "private.rs",
    "unordered.rs",
    "topics.rs",
    "life.rs",
    "fact.rs",
    "status.rs",
    "defects.rs",
    "settings.rs",
    "booking",
    "patient",
    "appointment",
    "healthflow",
    "sync",
    "event",
    "state",
    "limits",
    "retry",
    "partition",
    "processor",
];

/// What a pure file must not name, and why.
const IMPURE: [(&str, &str); 10] = [
    (".await", "nothing pure waits"),
    ("tokio::", "nothing pure waits"),
    ("rdkafka::", "topics are reached through effects"),
    ("reqwest::", "HealthFlow is reached through effects"),
    ("tracing::", "what happened is told as a Fact"),
    ("prometheus::", "what happened is told as a Fact"),
    ("std::env", "settings are arguments"),
    ("std::fs", "files are read at the edge"),
    ("std::thread", "threads belong to the worker"),
    ("Timestamp::now", "time is an argument"),
];

/// What no source file may hold.
const BANNED: [(&str, &str); 6] = [
    ("TODO", "do it, or file an issue"),
    ("FIXME", "mend it, or file an issue"),
    ("dbg!(", "tell a Fact"),
    ("#[ignore", "a test that is not run is a wish"),
    ("thread::sleep", "wait for a condition with a limit"),
    ("unimplemented!", "leave no pretence"),
];

struct Source {
    path: PathBuf,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a readable source file");
            let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("inside the project").to_owned();
            found.push(Source { path, text });
        }
    }
}

fn all() -> Vec<Source> {
    [sources("src"), sources("tests")].into_iter().flatten().collect()
}

/// The part of a file before its tests.
fn shipped(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |end| &text[..end])
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// Whether `text` holds `word` as a whole, not as the beginning of a longer one.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        !text[at + word.len()..].starts_with(|c: char| c == '_' || c.is_alphanumeric())
            || word.ends_with("::")
    })
}

fn refuse(problems: &[String]) {
    assert!(problems.is_empty(), "{} house rules are broken:\n{}", problems.len(), problems.join("\n"));
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > LINES_MAX).then(|| format!("{}: {lines} lines, at most {LINES_MAX}", source.path.display()))
}

fn module_of(path: &Path) -> Option<String> {
    let mut parts = path.components().skip(1);
    let first = parts.next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let Some(own) = ORDER.iter().position(|name| *name == module) else {
        let is_apart = APART.contains(&module.as_str()) || source.path.starts_with("tests");
        let problem = format!("{}: {module} has no place in the order", source.path.display());
        return if is_apart { Vec::new() } else { vec![problem] };
    };
    let text = shipped(&source.text);
    ORDER[own + 1..]
        .iter()
        .filter(|name| ["::", ";"].iter().any(|end| text.contains(&format!("crate::{name}{end}"))))
        .map(|name| format!("{}: {module} may not use {name}", source.path.display()))
        .collect()
}

fn impurities(source: &Source) -> Vec<String> {
    let Some(module) = source.path.components().nth(1) else { return Vec::new() };
    let pure = PURE.iter().any(|name| module.as_os_str() == *name)
        || source.path.starts_with("src/simulator/answer");
    if !pure || is_test_file(&source.path) {
        return Vec::new();
    }
    IMPURE
        .iter()
        .filter(|(word, _)| names(shipped(&source.text), word))
        .map(|(word, why)| format!("{}: names {word}: {why}", source.path.display()))
        .collect()
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    refuse(&all().iter().filter_map(too_long).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |source: &Source| !source.text.starts_with("//!");
    refuse(
        &all()
            .iter()
            .filter(|source| silent(source))
            .map(|s| format!("{}: no //!", s.path.display()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn arrows_point_one_way() {
    refuse(&sources("src").iter().flat_map(wrong_arrows).collect::<Vec<_>>());
}

#[test]
fn what_decides_touches_nothing() {
    refuse(&sources("src").iter().flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn nothing_banned_is_left() {
    let here = Path::new("tests/tidy.rs");
    let mut problems = Vec::new();
    for source in all().iter().filter(|source| source.path != here) {
        // Waiting for a condition with a limit needs a pause between two looks; so do Kafka's blocking threads.
        let waits =
            ["tests/support", "src/kafka", "src/bin"].iter().any(|path| source.path.starts_with(path));
        for (word, instead) in BANNED {
            if source.text.contains(word) && !(waits && word == "thread::sleep") {
                problems.push(format!("{}: holds {word}: {instead}", source.path.display()));
            }
        }
    }
    refuse(&problems);
}

#[test]
fn one_file_reads_the_clock() {
    // How long a thread of Kafka's waits for a broker is measured there, and decides nothing.
    let may = ["src/worker/clock.rs", "src/kafka", "src/simulator/server", "src/bin"];
    let reads = |text: &str| ["Instant::now", "SystemTime::now"].iter().any(|call| text.contains(call));
    refuse(
        &sources("src")
            .iter()
            .filter(|source| {
                !may.iter().any(|path| source.path.starts_with(path)) && !is_test_file(&source.path)
            })
            .filter(|source| reads(shipped(&source.text)))
            .map(|source| format!("{}: reads a clock", source.path.display()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn only_its_own_files_name_the_simulator() {
    let outside = |source: &&Source| {
        !source.path.starts_with("src/simulator")
            && !source.path.starts_with("src/bin")
            && source.path != Path::new("src/lib.rs")
    };
    refuse(
        &sources("src")
            .iter()
            .filter(outside)
            .filter(|source| shipped(&source.text).contains("simulator::"))
            .map(|source| format!("{}: names the simulator", source.path.display()))
            .collect::<Vec<_>>(),
    );
}

/// The rules themselves are tested: each refuses what it is there to refuse.
mod rules {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_long_file_is_refused() {
        assert!(too_long(&file("src/x.rs", &"line\n".repeat(LINES_MAX + 1))).is_some());
        assert!(too_long(&file("src/x.rs", &"line\n".repeat(LINES_MAX))).is_none());
    }

    #[test]
    fn an_arrow_backwards_is_refused() {
        assert_eq!(wrong_arrows(&file("src/booking/mod.rs", "use crate::partition::Task;")).len(), 1);
        assert!(wrong_arrows(&file("src/partition/task.rs", "use crate::booking::Booking;")).is_empty());
    }

    #[test]
    fn a_clock_in_a_pure_folder_is_refused() {
        assert_eq!(impurities(&file("src/retry/schedule.rs", "jiff::Timestamp::now()")).len(), 1);
        assert!(impurities(&file("src/worker/clock.rs", "jiff::Timestamp::now()")).is_empty());
    }
}

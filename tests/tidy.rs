//! The house rules that a machine can check: sizes, dependencies, bans. A rule without a test is a wish. To break one,
//! change it here in the same commit and say why.

use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer than this, tests included.
const LINES_MAX: usize = 400;

/// The core's modules in the order in which a booking passes them: each may use only itself and those before it.
const CORE_ORDER: [&str; 24] = [
    "coded",
    "time",
    "repeats",
    "private",
    "hash",
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
];

/// The product's, likewise; all of them may use the core.
const PRODUCT_ORDER: [&str; 10] = [
    "http",
    "registry",
    "shared_counter",
    "kafka",
    "kafka_admin",
    "metrics",
    "admin",
    "config",
    "worker",
    "cli",
];

/// What is above the order: the crates themselves and the program.
const APART: [&str; 2] = ["lib", "main"];

/// What decides, and touches nothing. That the core has no runtime, no Kafka, no HTTP and no log is up to its
/// Cargo.toml.
const PURE: [&str; 3] = ["crates/core/src", "crates/proof/src", "crates/simulator/src/answer"];

/// What a pure file must not name, and why.
const IMPURE: [(&str, &str); 7] = [
    (".await", "nothing pure waits"),
    ("tokio::", "nothing pure waits"),
    ("std::env", "settings are arguments"),
    ("std::fs", "files are read at the edge"),
    ("std::net", "sockets belong to the edge"),
    ("std::thread", "threads belong to the worker"),
    ("Timestamp::now", "time is an argument"),
];

/// What the core's Cargo.toml must not name: then the compiler refuses it.
const NOT_IN_THE_CORE: [&str; 8] =
    ["tokio", "rdkafka", "reqwest", "axum", "tracing", "prometheus", "schema_registry_converter", "clap"];

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
    [sources("src"), sources("tests"), sources("crates")].into_iter().flatten().collect()
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

/// The modules of the crate that this file belongs to, in their order, and its own; none where there is no order.
fn order_of(path: &Path) -> Option<(&'static [&'static str], String)> {
    let (order, inside): (&[&str], _) = match path.strip_prefix("crates/core/src") {
        Ok(inside) => (&CORE_ORDER, inside),
        Err(_) => (&PRODUCT_ORDER, path.strip_prefix("src").ok()?),
    };
    let module = inside.components().next()?.as_os_str().to_str()?;
    Some((order, module.trim_end_matches(".rs").to_owned()))
}

fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some((order, module)) = order_of(&source.path) else { return Vec::new() };
    let Some(own) = order.iter().position(|name| *name == module) else {
        let problem = format!("{}: {module} has no place in the order", source.path.display());
        return if APART.contains(&module.as_str()) { Vec::new() } else { vec![problem] };
    };
    let text = shipped(&source.text);
    order[own + 1..]
        .iter()
        .filter(|name| ["::", ";"].iter().any(|end| text.contains(&format!("crate::{name}{end}"))))
        .map(|name| format!("{}: {module} may not use {name}", source.path.display()))
        .collect()
}

fn impurities(source: &Source) -> Vec<String> {
    let pure = PURE.iter().any(|folder| source.path.starts_with(folder));
    // What a panic leaves is noted by thread.
    if !pure || is_test_file(&source.path) || source.path.ends_with("panic_guard.rs") {
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
    refuse(&all().iter().flat_map(wrong_arrows).collect::<Vec<_>>());
}

#[test]
fn what_decides_touches_nothing() {
    refuse(&all().iter().flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn the_core_can_reach_nothing_outside() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/core/Cargo.toml");
    let manifest = fs::read_to_string(path).expect("the core has a manifest");
    let (_, dependencies) = manifest.split_once("[dependencies]").expect("it has dependencies");
    let (dependencies, _) = dependencies.split_once("[dev-dependencies]").expect("and some for its tests");
    let named = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    let outside = |name: &&str| NOT_IN_THE_CORE.contains(name);
    refuse(&named.filter(outside).map(|name| format!("the core depends on {name}")).collect::<Vec<_>>());
}

/// A new lane must answer what its records are: a comparison with one lane is a question that nobody asks again.
#[test]
fn lanes_are_asked_what_they_bring() {
    let sources = [sources("src"), sources("crates/core/src")].into_iter().flatten();
    let compares = |source: &Source| {
        let text = shipped(&source.text);
        !is_test_file(&source.path) && (text.contains("== Lane::") || text.contains("!= Lane::"))
    };
    let wrong = sources.filter(compares);
    refuse(&wrong.map(|s| format!("{}: ask a predicate of `Lane`", s.path.display())).collect::<Vec<_>>());
}

/// With the macro in the middle of the flow it would be hard to read what a shipped build does.
#[test]
fn defects_are_planted_behind_named_rules() {
    let sources =
        [sources("crates/core/src/partition"), sources("crates/core/src/processor")].into_iter().flatten();
    let plants = |source: &Source| {
        !source.path.to_string_lossy().contains("/rules") && source.text.contains("planted!(")
    };
    let wrong = sources.filter(plants);
    refuse(&wrong.map(|s| format!("{}: name the rule in rules.rs", s.path.display())).collect::<Vec<_>>());
}

/// Another match on effects would be a second list of what they mean (`crates/core/src/processor/perform.rs`).
#[test]
fn effects_are_performed_in_one_place() {
    let performs = ["src", "crates/core/tests/simulation", "crates/core/tests/exhaust", "crates/proof"];
    let tells_apart = |source: &Source| {
        performs.iter().any(|path| source.path.starts_with(path))
            && !is_test_file(source.path.strip_prefix("crates/core/tests").unwrap_or(&source.path))
            && shipped(&source.text).contains("Effect::")
    };
    refuse(
        &all()
            .iter()
            .filter(|source| tells_apart(source))
            .map(|source| format!("{}: performs effects by itself", source.path.display()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_banned_is_left() {
    let here = Path::new("tests/tidy.rs");
    let mut problems = Vec::new();
    for source in all().iter().filter(|source| source.path != here) {
        // Waiting for a condition with a limit needs a pause between two looks; so do Kafka's blocking threads.
        let waits = ["src/kafka", "src/kafka_admin", "crates/testkit", "crates/lab"]
            .iter()
            .any(|path| source.path.starts_with(path));
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
    // How long a thread waits for a broker or the registry is measured there, and decides nothing about a booking.
    let may = [
        "src/worker/clock.rs",
        "src/registry",
        "src/kafka",
        "crates/simulator/src/server",
        "crates/testkit",
        "crates/lab",
        "crates/core/examples",
        "tests",
    ];
    let reads = |text: &str| ["Instant::now", "SystemTime::now"].iter().any(|call| text.contains(call));
    refuse(
        &all()
            .iter()
            .filter(|source| {
                !may.iter().any(|path| source.path.starts_with(path)) && !is_test_file(&source.path)
            })
            .filter(|source| reads(shipped(&source.text)))
            .map(|source| format!("{}: reads a clock", source.path.display()))
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
        assert_eq!(
            wrong_arrows(&file("crates/core/src/booking/mod.rs", "use crate::partition::Task;")).len(),
            1
        );
        assert!(
            wrong_arrows(&file("crates/core/src/partition/task.rs", "use crate::booking::Booking;"))
                .is_empty()
        );
    }

    #[test]
    fn a_clock_in_a_pure_folder_is_refused() {
        assert_eq!(impurities(&file("crates/core/src/retry/schedule.rs", "jiff::Timestamp::now()")).len(), 1);
        assert!(impurities(&file("src/worker/clock.rs", "jiff::Timestamp::now()")).is_empty());
    }
}

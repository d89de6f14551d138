//! How many instructions the way of one booking through the pure code takes: it arrives, is admitted, its intent is
//! committed, its call is sent and answered, its result is committed. Instructions, not time: they are the same on a busy
//! machine, so a change that makes the hot path longer fails in CI and not on a customer's bill.
//!
//! `cargo bench -p healthflow-proof --bench instructions` runs itself under Valgrind's callgrind, which needs no hardware
//! counters, twice for each way: with few bookings and with many. The difference is what the bookings between cost, without
//! the start of the program and the making of the bookings.

mod way;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use way::{Plan, Way};

/// Bookings that a run makes, of which it lives `FEW` or all.
const MADE: usize = 2_500;
const FEW: usize = 500;

/// The most instructions that a booking may take, each 2 to 8 % above what we counted (x86_64, Rust 1.95).
/// Decisions while bookings come one by one, 120 a second: a booking has most turns for itself.
const STEADY_MAX: u64 = 278_000;
/// Decisions while 64 calls are under way and thousands of bookings wait: many share a turn.
const BACKLOG_MAX: u64 = 170_000;
/// Decoding the booking's record and HealthFlow's answer, encoding the request and the records of both commits.
const CODECS_MAX: u64 = 106_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "live", way, count] => live(way, count),
        _ => guard(),
    }
}

/// Lives some bookings: this is what is counted.
fn live(way: &str, count: &str) -> ExitCode {
    let plan = Way::ALL.into_iter().find(|one| one.name() == way).map(|way| Plan::new(way, MADE));
    let (Some(plan), Ok(count)) = (plan, count.parse()) else { return ExitCode::FAILURE };
    let finished = plan.live(count);
    if finished == count { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn guard() -> ExitCode {
    let counted = Way::ALL.map(|way| per_booking(way).map_err(|why| format!("{}: {why}", way.name())));
    let [Ok(steady), Ok(backlog), Ok(with_codecs)] = counted else {
        for why in counted.into_iter().filter_map(Result::err) {
            eprintln!("instructions: {why}");
        }
        return ExitCode::FAILURE;
    };
    let lived = MADE - FEW;
    println!("instructions a booking, of {lived} bookings, on {}:", std::env::consts::ARCH);
    let limits = [
        ("decisions, 120 a second", steady, "STEADY_MAX", STEADY_MAX, Way::Steady),
        ("decisions, a backlog", backlog, "BACKLOG_MAX", BACKLOG_MAX, Way::Backlog),
        ("decoding and encoding", with_codecs.saturating_sub(backlog), "CODECS_MAX", CODECS_MAX, Way::Codecs),
    ];
    let mut within = true;
    for (what, count, name, most, way) in limits {
        println!("  {what:<24} {count:>9}, at most {most} ({name})");
        if count > most {
            within = false;
            eprintln!(
                "instructions: {what}: a booking takes {count} instructions, more than {most}. Find what made it \
                 longer: callgrind_annotate --auto=no --inclusive=yes {} | head -60. If that is worth it, raise {name} in \
                 crates/proof/benches/instructions/main.rs in the same commit and say why.",
                out_file(way, MADE).display()
            );
        }
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Instructions of a booking on this way.
fn per_booking(way: Way) -> Result<u64, String> {
    let (few, all) = (count(way, FEW)?, count(way, MADE)?);
    Ok(all.saturating_sub(few) / (MADE - FEW) as u64)
}

/// Instructions of a whole run that lives so many bookings.
fn count(way: Way, bookings: usize) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|why| format!("cannot find this program: {why}"))?;
    let (out, log) = (out_file(way, bookings), out_file(way, bookings).with_extension("log"));
    let ran = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(format!("--log-file={}", log.display()))
        .arg(this)
        .args(["live", way.name(), &bookings.to_string()])
        .stdin(Stdio::null())
        .status()
        .map_err(|why| format!("cannot start valgrind ({why}); `make setup` installs it"))?;
    if !ran.success() {
        return Err(format!("the run did not bring every booking to its end ({ran}); see {}", log.display()));
    }
    let text =
        std::fs::read_to_string(&out).map_err(|why| format!("cannot read {}: {why}", out.display()))?;
    let summary = text.lines().rev().find_map(|line| line.strip_prefix("summary:"));
    let instructions = summary.and_then(|rest| rest.trim().parse().ok());
    instructions.ok_or_else(|| format!("{} has no summary of instructions", out.display()))
}

fn out_file(way: Way, bookings: usize) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("instructions-{}-{bookings}.out", way.name()))
}

//! The report must count what it says that it counts.

use healthflow_core::booking::BookingKey;
use healthflow_core::event::result::ResultOutcome;

use super::*;
use crate::journal::{Asked, Notes, SeenResult};

fn arguments() -> Arguments {
    Arguments { per_second: 60, turn_s: 15, wait_limit_s: 1, seed: 1, out: None }
}

#[test]
fn each_turn_has_its_own_kind_of_bad_records_one_of_a_hundred() {
    let workload = plan(&arguments());
    let in_turn = |turn: usize, test: &dyn Fn(&Publication) -> bool| {
        let is_in = |one: &&Publication| (one.at_ms / 15_000) as usize == turn;
        workload.publications.iter().filter(is_in).filter(|one| test(one)).count()
    };
    let is_bad =
        |one: &Publication| matches!(one.expected, Expected::Poisoned(_)) || SingledOut::is_one(&one.event);
    for (turn, (name, kind)) in turns().iter().enumerate() {
        let wanted = match kind {
            None => 0,
            Some(Spoiled::Poison(Poison::Deadly)) => 1,
            Some(_) => 9,
        };
        assert_eq!(in_turn(turn, &is_bad), wanted, "{name}");
        assert!(in_turn(turn, &|one| one.expected == Expected::Synced) > 800, "{name}");
    }
}

#[test]
fn bad_records_count_in_no_turn_and_what_came_after_the_last_end_is_its_own() {
    let name = |booking: &str| Name::Version(BookingKey { practice: "p".into(), booking: booking.into() }, 1);
    let asked =
        |booking: &str, at| Asked { name: name(booking), expected: Expected::Synced, at: Timestamp(at) };
    let result = |booking: &str, at| SeenResult {
        version: Some((BookingKey { practice: "p".into(), booking: booking.into() }, 1)),
        record: None,
        outcome: ResultOutcome::Created,
        is_final: true,
        reason: None,
        generation: 0,
        attempts: 1,
        decision: None,
        at: Timestamp(at),
    };
    let notes = Notes {
        asked: vec![
            asked("a", 0),
            asked("b", 1_000),
            asked("bad", 0),
            asked("late", 9_000),
            asked("lost", 0),
        ],
        results: vec![result("a", 500), result("b", 8_000), result("bad", 90_000), result("late", 60_000)],
        ..Notes::default()
    };
    let turn_of = [("a", 0), ("b", 1), ("late", 1), ("lost", 0)].map(|(booking, turn)| (name(booking), turn));
    let ends = [End { worker: "worker-1".to_owned(), at: Timestamp(2_000) }];
    let report = Report::of(&TURNS[..2], &turn_of.into(), &notes, &ends);
    let counts: Vec<_> = report.turns.iter().map(|turn| (turn.asked, turn.confirmed)).collect();
    assert_eq!(counts, [(2, 1), (2, 2)]);
    assert_eq!(report.turns[0].seconds_p99, 0.5);
    assert_eq!(report.seconds_after_last_end, Some(6.0));
    assert!(report.text().contains("1 workers ended; 6.0 s"), "{}", report.text());
}

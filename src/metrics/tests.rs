//! Documents, numbers and lines: each is held to its source.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::log::{self, Format};
use super::sample::{CANARIES, facts};
use super::*;
use healthflow_core::event::ControlKind;
use healthflow_core::healthflow::Operation;
use healthflow_core::limits::breaker::BreakerState;
use healthflow_core::status::{
    BreakerStatus, ClassWaits, ControlScope, ControlStatus, CounterStatus, LaneStatus, OpenReviews,
    QuotaStatus, ReviewAge, SchemaStatus, SchemaTrouble, StartStep, StartWait, Status, StormStatus,
    TaskPhase, TaskStatus, WaitPlace, Waits,
};
use healthflow_core::sync::ReviewReason;
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_core::topics::Lane;

fn catalogue() -> Catalogue {
    Catalogue::new("1.2.3").expect("no name is taken twice")
}

/// Goal: the documented table is the registered one, in both directions and in order.
#[test]
fn the_documented_metrics_are_the_registered_ones() {
    let documented: Vec<&str> =
        include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with("| `")).collect();
    let row = |metric: &Described| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.help)
    };
    let registered: Vec<String> = catalogue().described().iter().map(row).collect();
    assert_eq!(documented, registered, "docs/metrics.md should have these rows:\n{}", registered.join("\n"));
}

#[test]
fn metric_names_follow_the_rule() {
    for metric in catalogue().described() {
        assert!(metric.name.starts_with("healthflow_sync_"), "{}", metric.name);
        assert_eq!(metric.kind == "counter", metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.kind != "histogram" || metric.name.ends_with("_seconds"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

/// Goal: the runbook names no metric that does not exist.
#[test]
fn the_runbook_names_only_metrics_that_exist() {
    let catalogue = catalogue();
    let known: BTreeSet<&str> = catalogue.described().iter().map(|metric| metric.name).collect();
    let runbook = include_str!("../../docs/runbook.md");
    let named = runbook.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let mut found = 0;
    for word in named.filter(|word| word.starts_with("healthflow_sync_")) {
        let metric = word.strip_suffix("_bucket").or_else(|| word.strip_suffix("_count")).unwrap_or(word);
        assert!(known.contains(metric), "{word} is not in the catalogue");
        found += 1;
    }
    assert!(found > 10, "only {found} metrics in the runbook");
}

/// The value of the series that is written exactly like `series` on a page.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_fact_is_counted_and_nothing_of_a_patient_with_it() {
    let catalogue = catalogue();
    let status = Status::default();
    let before = catalogue.page(&status, Timestamp(0)).unwrap();
    let created = r#"healthflow_sync_bookings_synced_total{outcome="created"}"#;
    assert_eq!(value(&before, created), Some(0.0));
    for fact in facts() {
        catalogue.count(&fact);
    }
    let page = catalogue.page(&status, Timestamp(0)).unwrap();
    for (series, expected) in [
        (created, 1.0),
        (r#"healthflow_sync_bookings_failed_total{disposition="POISON",reason="IMPOSSIBLE"}"#, 1.0),
        (r#"healthflow_sync_bookings_held_total{reason="AMBIGUOUS_PATIENT"}"#, 1.0),
        ("healthflow_sync_bookings_parked_total", 1.0),
        (r#"healthflow_sync_bookings_duplicates_total{content="differs"}"#, 1.0),
        (r#"healthflow_sync_bookings_confirmation_seconds_bucket{source="live",le="30"}"#, 1.0),
        (r#"healthflow_sync_bookings_confirmation_seconds_bucket{source="live",le="20"}"#, 0.0),
        ("healthflow_sync_bookings_reopened_total", 1.0),
        ("healthflow_sync_bookings_forgotten_total", 7.0),
        (r#"healthflow_sync_healthflow_calls_sent_total{operation="create_appointment"}"#, 1.0),
        (
            r#"healthflow_sync_healthflow_calls_answered_total{class="ok",operation="create_appointment"}"#,
            1.0,
        ),
        (r#"healthflow_sync_healthflow_call_seconds_bucket{operation="create_appointment",le="0.05"}"#, 1.0),
        (r#"healthflow_sync_healthflow_pauses_total{why="unauthorised"}"#, 1.0),
        (r#"healthflow_sync_controls_changed_total{kind="pause"}"#, 2.0),
        (r#"healthflow_sync_doubts_opened_total{operation="create_appointment"}"#, 1.0),
        (r#"healthflow_sync_doubts_settled_total{found="yes"}"#, 1.0),
        ("healthflow_sync_transactions_committed_total", 1.0),
        ("healthflow_sync_transactions_aborted_total", 1.0),
        ("healthflow_sync_transactions_records_total", 12.0),
        ("healthflow_sync_transactions_commit_seconds_count", 1.0),
        ("healthflow_sync_tasks_acquired_total", 1.0),
        ("healthflow_sync_tasks_released_total", 1.0),
        (r#"healthflow_sync_tasks_dropped_total{why="commit_lost"}"#, 1.0),
        (r#"healthflow_sync_healthflow_foreign_answers_total{status="4xx"}"#, 1.0),
        ("healthflow_sync_tasks_restored_records_total", 10.0),
        ("healthflow_sync_tasks_restore_seconds_sum", 1.5),
        (r#"healthflow_sync_build_info{version="1.2.3"}"#, 1.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}\n{page}");
    }
    assert_no_canary(&page);
}

fn waits() -> Vec<Waits> {
    let oldest_at = Some(Timestamp(1_000));
    vec![
        Waits { place: WaitPlace::Memory, why: "outage".into(), count: 7, oldest_at, late: 2 },
        Waits { place: WaitPlace::Unread, why: "a topic".into(), count: 3, oldest_at: None, late: 1 },
    ]
}

fn task() -> TaskStatus {
    let lane = LaneStatus {
        lane: Lane::Requested,
        next_offset: 90,
        read_offset: 95,
        unread_records: Some(5),
        end_offset: Some(100),
        read_ahead_records: 5,
        read_ahead_bytes: 500,
        waiting_records: 2,
        oldest_unfinished_at: Some(Timestamp(10_000)),
        stalled_since: None,
        paused: false,
    };
    TaskStatus {
        partition: 4,
        phase: TaskPhase::Live,
        incarnation: 1,
        lanes: vec![lane],
        jobs: 3,
        waiting_room: 2,
        oldest_due: Some(Timestamp(11_000)),
    }
}

fn status() -> Status {
    Status {
        taken_at: Timestamp(12_000),
        joined: true,
        tasks: vec![task()],
        in_flight: 6,
        in_flight_limit: 9,
        open_doubts: 1,
        oldest_doubt_since: Some(Timestamp(5_000)),
        paused_until: Some(Timestamp(14_000)),
        breaker: Some(BreakerStatus {
            state: BreakerState::Open,
            since: Timestamp(9_000),
            cause: "timeout".into(),
        }),
        counter: Some(CounterStatus {
            away: true,
            since: Some(Timestamp(8_000)),
            why: Some("no_answer".into()),
        }),
        rejection_storms: vec![StormStatus {
            scope: ControlScope::Practice,
            operation: Operation::CreateAppointment,
            rule: "slot_taken".into(),
            since: Timestamp(7_000),
        }],
        schemas: vec![SchemaStatus {
            id: 57,
            trouble: SchemaTrouble::Unknown,
            since: Timestamp(9_000),
            what: None,
        }],
        has_stale_token: true,
        waits: waits(),
        classes: vec![ClassWaits { class: "again".into(), count: 4, oldest_at: Some(Timestamp(1_000)) }],
        calls_per_second: 12.5,
        start_waits: Some(StartWait {
            step: StartStep::Topics,
            why: "no registry".into(),
            since: Timestamp(6_000),
        }),
        reviews: vec![OpenReviews {
            reason: ReviewReason::LinkConflict,
            age: ReviewAge::UnderADay,
            count: 4,
            urgent: 2,
        }],
        controls: vec![ControlStatus {
            kind: ControlKind::Pause,
            scope: ControlScope::Practice,
            per_second: None,
            weight: None,
            by: "ops-2".into(),
            why: "their import".into(),
            since: Timestamp(3_000),
            version: 1,
        }],
        controls_read_at: Some(Timestamp(11_500)),
        quotas: vec![QuotaStatus {
            limit: "day".into(),
            scope: ControlScope::Account,
            calls: 500,
            left: 120,
            reserve: 100,
            window_ends_at: Timestamp(90_000),
            backfill_ends_at: Some(Timestamp(12_000)),
            runs_out_at: Some(Timestamp(33_000)),
        }],
        ..Status::default()
    }
}

/// Goal: gauges are right at each scrape, even if the worker has stopped publishing its status.
#[test]
fn gauges_follow_the_status_and_ages_the_clock() {
    let catalogue = catalogue();
    let page = catalogue.page(&status(), Timestamp(13_000)).unwrap();
    let lane = r#"{partition="4",topic="appointments.requested"}"#;
    for (series, expected) in [
        (format!("healthflow_sync_input_lag_records{lane}"), 8.0),
        (format!("healthflow_sync_input_lag_seconds{lane}"), 3.0),
        (format!("healthflow_sync_input_read_ahead_records{lane}"), 5.0),
        (format!("healthflow_sync_input_read_ahead_bytes{lane}"), 500.0),
        ("healthflow_sync_retry_waiting_records".into(), 2.0),
        ("healthflow_sync_retry_oldest_due_seconds".into(), 2.0),
        ("healthflow_sync_bookings_in_work_records".into(), 3.0),
        ("healthflow_sync_healthflow_in_flight_calls".into(), 6.0),
        ("healthflow_sync_healthflow_in_flight_limit_calls".into(), 9.0),
        ("healthflow_sync_healthflow_paused_seconds".into(), 1.0),
        ("healthflow_sync_healthflow_stale_tokens".into(), 1.0),
        (r#"healthflow_sync_breaker_state{state="open"}"#.into(), 1.0),
        (r#"healthflow_sync_breaker_state{state="closed"}"#.into(), 0.0),
        ("healthflow_sync_breaker_open_seconds".into(), 4.0),
        ("healthflow_sync_shared_counter_away_seconds".into(), 5.0),
        (r#"healthflow_sync_rejection_storm_active_seconds{scope="account"}"#.into(), 0.0),
        (r#"healthflow_sync_rejection_storm_active_seconds{scope="practice"}"#.into(), 6.0),
        ("healthflow_sync_doubts_open_writes".into(), 1.0),
        (r#"healthflow_sync_reviews_open_versions{age="under_1d",reason="LINK_CONFLICT"}"#.into(), 4.0),
        ("healthflow_sync_reviews_urgent_versions".into(), 2.0),
        ("healthflow_sync_doubts_oldest_seconds".into(), 8.0),
        (r#"healthflow_sync_tasks_owned_partitions{phase="live"}"#.into(), 1.0),
        (r#"healthflow_sync_tasks_owned_partitions{phase="draining"}"#.into(), 0.0),
        (r#"healthflow_sync_input_schema_trouble_seconds{id="57",trouble="unknown"}"#.into(), 4.0),
        (
            r#"healthflow_sync_controls_in_force_seconds{by="ops-2",kind="pause",scope="practice",why="their import"}"#.into(),
            10.0,
        ),
        ("healthflow_sync_controls_unread_seconds".into(), 1.5),
        (r#"healthflow_sync_quota_left_calls{limit="day"}"#.into(), 120.0),
        (r#"healthflow_sync_quota_runs_out_seconds{limit="day",source="live"}"#.into(), 20.0),
        (r#"healthflow_sync_quota_runs_out_seconds{limit="day",source="backfill"}"#.into(), 0.0),
        ("healthflow_sync_worker_status_age_seconds".into(), 1.0),
        ("healthflow_sync_worker_ready".into(), 1.0),
        ("healthflow_sync_worker_joined".into(), 1.0),
        (r#"healthflow_sync_worker_start_waits_seconds{step="topics"}"#.into(), 7.0),
        ("healthflow_sync_healthflow_allowed_calls_per_second".into(), 12.5),
        (r#"healthflow_sync_waiting_versions{place="memory",why="outage"}"#.into(), 7.0),
        (r#"healthflow_sync_waiting_oldest_seconds{place="memory",why="outage"}"#.into(), 12.0),
        (r#"healthflow_sync_waiting_oldest_seconds{place="unread",why="a topic"}"#.into(), 0.0),
        ("healthflow_sync_waiting_late_versions".into(), 3.0),
        (r#"healthflow_sync_class_waiting_bookings{class="again"}"#.into(), 4.0),
        (r#"healthflow_sync_class_oldest_seconds{class="again"}"#.into(), 12.0),
    ] {
        assert_eq!(value(&page, &series), Some(expected), "{series}\n{page}");
    }
    let later = catalogue.page(&status(), Timestamp(15_000)).unwrap();
    assert_eq!(value(&later, "healthflow_sync_healthflow_paused_seconds"), Some(0.0));
    assert_eq!(value(&later, "healthflow_sync_worker_status_age_seconds"), Some(3.0));
    let without_tasks = catalogue.page(&Status::default(), Timestamp(15_000)).unwrap();
    for gone in [lane, r#"why="outage""#, r#"class="again""#, r#"step="topics""#, "ops-2", r#"id="57""#] {
        assert!(!without_tasks.contains(gone), "{gone} is gone and must not keep its value");
    }
    assert_eq!(value(&without_tasks, "healthflow_sync_worker_ready"), Some(0.0));
    let nonsense = |id| SchemaStatus { id, trouble: SchemaTrouble::Unknown, since: Timestamp(0), what: None };
    let many = Status { schemas: (0..1_000).map(nonsense).collect(), ..Status::default() };
    let series = catalogue.page(&many, Timestamp(0)).unwrap();
    assert_eq!(series.matches("schema_trouble_seconds{").count(), 20, "invented ids make no more series");
}

/// Goal: one producer that writes seconds for milliseconds does not spoil the measurement of all waits.
#[test]
fn a_request_of_1970_is_counted_and_not_measured() {
    let catalogue = catalogue();
    let waits =
        [4_000, -3_000, 30 * DAY_MS, 30 * DAY_MS + 1, 1_767_614_400_000, i64::MAX, i64::MIN, -2 * DAY_MS];
    for end_to_end_ms in waits {
        let (version, outcome, source) =
            (1, healthflow_core::sync::SyncedOutcome::Created, healthflow_core::booking::Source::Live);
        let key = sample::booking().key;
        catalogue.count(&healthflow_core::fact::Fact::BookingSynced {
            key,
            version,
            outcome,
            source,
            end_to_end_ms,
        });
    }
    let page = catalogue.page(&Status::default(), Timestamp(0)).unwrap();
    for (series, expected) in [
        (r#"healthflow_sync_bookings_confirmation_seconds_count{source="live"}"#, 3.0),
        (r#"healthflow_sync_bookings_confirmation_seconds_sum{source="live"}"#, 2_592_004.0),
        (r#"healthflow_sync_bookings_unmeasured_total{source="live"}"#, 5.0),
        (r#"healthflow_sync_bookings_synced_total{outcome="created"}"#, 8.0),
    ] {
        assert_eq!(value(&page, series), Some(expected), "{series}");
    }
}

/// A place to write lines to.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Paper {
    type Writer = Paper;

    fn make_writer(&'a self) -> Paper {
        self.clone()
    }
}

/// The lines that `facts` become at `level`.
fn lines(format: Format, level: &str) -> Vec<String> {
    let paper = Paper::default();
    let dispatch = log::dispatch(format, level, paper.clone(), false).unwrap();
    tracing::dispatcher::with_default(&dispatch, || facts().iter().for_each(log::report));
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn assert_no_canary(text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}

/// What a line says; the microseconds before it may look like a canary's postal code.
fn after_its_time(line: &str) -> &str {
    let (time, text) = line.split_once('Z').expect("a line begins with its time");
    let time = time.trim_start_matches("{\"timestamp\":\"");
    assert!(time.chars().all(|c| c.is_ascii_digit() || "-:.T".contains(c)), "{line}");
    text
}

/// Goal: one line per fact, quoted, without a patient. Method: facts of a booking made of canaries whose id tries to
/// forge a line.
#[test]
fn every_fact_is_one_line_without_a_patient() {
    for format in [Format::Human, Format::Json] {
        let lines = lines(format, "trace");
        assert_eq!(lines.len(), facts().len(), "{lines:#?}");
        lines.iter().for_each(|line| assert_no_canary(after_its_time(line)));
        assert!(lines.iter().any(|line| line.contains("p-1/b-1")), "{lines:#?}");
        for line in lines.iter().filter(|_| format == Format::Json) {
            let fields: serde_json::Value = serde_json::from_str(line).expect("one JSON object a line");
            assert!(fields["message"].is_string() && fields["level"].is_string(), "{line}");
        }
    }
}

#[test]
fn levels_show_what_a_person_should_look_at() {
    let count = |level: &str| lines(Format::Human, level).len();
    let errors = lines(Format::Human, "error");
    assert!(
        errors.len() == 8 && errors.iter().any(|line| line.contains("renew the token file")),
        "{errors:#?}"
    );
    let expected = ["more than one", "the account's rights", "does not exist any more", "was recreated"];
    for words in expected {
        assert!(errors.iter().any(|line| line.contains(words)), "{words}: {errors:#?}");
    }
    assert!(count("error") < count("warn") && count("warn") < count("info"));
    assert!(lines(Format::Human, "warn").iter().any(|line| line.contains("booking failed")));
    assert!(!lines(Format::Human, "info").iter().any(|line| line.contains("booking synced")));
    assert!(lines(Format::Human, "debug").iter().any(|line| line.contains("booking synced")));
}

//! The routes, over a real socket.

use super::*;
use healthflow_core::event::ControlKind;
use healthflow_core::status::{
    ClassWaits, ControlScope, ControlStatus, HealthFlowTrouble, LaneStatus, QuotaStatus, SchemaStatus,
    SchemaTrouble, StartStep, StartWait, TaskPhase, TaskStatus, WaitPlace, Waits,
};
use healthflow_core::topics::Lane;
use serde_json::Value;

const NOW: Timestamp = Timestamp(100_000);

fn status(phase: TaskPhase) -> Status {
    let lane = LaneStatus {
        lane: Lane::Requested,
        next_offset: 7,
        end_offset: Some(9),
        read_ahead_records: 2,
        read_ahead_bytes: 300,
        read_offset: 10,
        unread_records: Some(2),
        waiting_records: 2,
        oldest_unfinished_at: Some(Timestamp(99_000)),
        stalled_since: None,
        paused: false,
    };
    let task = TaskStatus {
        partition: 3,
        phase,
        incarnation: 1,
        lanes: vec![lane],
        jobs: 1,
        waiting_room: 0,
        oldest_due: None,
    };
    Status { taken_at: Timestamp(99_500), joined: true, tasks: vec![task], ..Status::default() }
}

/// Starts a server that sees `status`, and asks it for each of `paths`.
async fn ask(status: Status, paths: &[&str]) -> Vec<(u16, String)> {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (_publisher, receiver) = watch::channel(Arc::new(status));
    let catalogue = Arc::new(Catalogue::new("test").unwrap());
    let (worker, group) = (Some("worker-1".to_owned()), "healthflow-sync".to_owned());
    let clock = Arc::new(|| NOW);
    let seen = Seen { status: receiver, catalogue, clock, status_age_max_ms: 15_000, worker, group };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, seen, async move {
        let _ended = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answers = Vec::new();
    for path in paths {
        let answer = client.get(format!("{base}{path}")).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    drop((stop, client));
    server.await.unwrap().unwrap();
    answers
}

#[tokio::test]
async fn a_working_worker_is_live_and_ready_and_shows_itself() {
    let answers =
        ask(status(TaskPhase::Live), &["/health/live", "/health/ready", "/status", "/metrics", "/"]).await;
    let codes: Vec<u16> = answers.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [200, 200, 200, 200, 404]);
    let page: serde_json::Value = serde_json::from_str(&answers[2].1).unwrap();
    assert_eq!(page["ready"], true);
    assert_eq!(page["tasks"][0]["phase"], "live");
    assert_eq!(page["tasks"][0]["lanes"][0]["next_offset"], 7);
    let lag = r#"healthflow_sync_input_lag_records{partition="3",topic="appointments.requested"} 2"#;
    assert!(answers[3].1.contains(lag), "{}", answers[3].1);
}

/// Goal: readiness is refused for each of its reasons, while liveness is not.
#[tokio::test]
async fn a_worker_that_cannot_work_yet_is_live_but_not_ready() {
    let live = status(TaskPhase::Live);
    for unready in [
        status(TaskPhase::Acquiring),
        status(TaskPhase::Draining),
        Status { joined: false, ..live.clone() },
        Status { stopping: true, ..live },
    ] {
        let answers = ask(unready, &["/health/live", "/health/ready"]).await;
        assert_eq!((answers[0].0, answers[1].0), (200, 503));
    }
    let idle = Status { tasks: Vec::new(), ..status(TaskPhase::Live) };
    assert_eq!(ask(idle, &["/health/ready"]).await[0].0, 200, "a spare worker without tasks is ready");
}

/// Goal: whoever asks whether it is ready reads why not, and what goes wrong with HealthFlow, without looking elsewhere.
#[tokio::test]
async fn readiness_says_why() {
    let ready = async |status: Status| ask(status, &["/health/ready"]).await.remove(0).1;
    let live = status(TaskPhase::Live);
    assert_eq!(ready(live.clone()).await, "ready\n");
    let wait = StartWait { step: StartStep::Topics, why: "no registry answers".into(), since: NOW };
    let starts = Status { start_waits: Some(wait), ..Status { taken_at: NOW, ..Status::default() } };
    assert_eq!(ready(starts).await, "not ready: the start waits (topics): no registry answers\n");
    let acquiring = Status { joined: true, ..status(TaskPhase::Acquiring) };
    assert_eq!(ready(acquiring).await, "not ready: task 3 is acquiring\n");
    let mut stalled = live.clone();
    stalled.tasks[0].lanes[0].stalled_since = Some(NOW);
    let words = "not ready: appointments.requested of task 3 has records and does not move\n";
    assert_eq!(ready(stalled).await, words);
    let cause = "status 503 to POST /appointments".to_owned();
    let trouble = HealthFlowTrouble { cause, since: Timestamp(88_000), last_at: NOW, times: 9 };
    let troubled = Status { healthflow_trouble: Some(trouble), ..live };
    let words = "ready\nHealthFlow does not answer as it should for 12 s: status 503 to POST /appointments\n";
    assert_eq!(ready(troubled).await, words);
}

#[tokio::test]
async fn a_silent_worker_is_neither() {
    let silent = Status { taken_at: Timestamp(84_999), ..status(TaskPhase::Live) };
    let answers = ask(silent, &["/health/live", "/health/ready", "/status"]).await;
    assert_eq!((answers[0].0, answers[1].0, answers[2].0), (503, 503, 200));
    assert!(answers[2].1.contains(r#""live":false"#));
}

#[tokio::test]
async fn a_taken_port_says_what_to_set() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = bind(taken.local_addr().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("set another `admin.listen`"), "{error}");
}

/// What of `value` is not as `schema` says: fields that only one of them has, and values of another type.
fn differences(value: &Value, schema: &Value, place: &str) -> Vec<String> {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    let is_allowed = allowed == kind || allowed.as_array().is_some_and(|kinds| kinds.contains(&kind.into()));
    let is_named = schema["enum"].as_array().is_none_or(|names| names.contains(value));
    if !is_allowed || !is_named {
        return vec![format!("{place} is {value}, and {allowed} is allowed")];
    }
    match value {
        Value::Array(items) => {
            items.iter().flat_map(|item| differences(item, &schema["items"], place)).collect()
        }
        Value::Object(fields) => {
            let described = schema["properties"].as_object().unwrap();
            let required: Vec<&str> =
                schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let mut found: Vec<String> = described
                .keys()
                .filter(|name| !fields.contains_key(*name) || !required.contains(&name.as_str()))
                .map(|name| format!("{place}.{name} is described, and missing or not required"))
                .collect();
            for (name, field) in fields {
                let Some(of_field) = described.get(name) else {
                    found.push(format!("{place}.{name} is not described"));
                    continue;
                };
                found.extend(differences(field, of_field, &format!("{place}.{name}")));
            }
            found
        }
        _ => Vec::new(),
    }
}

/// Goal: readers of the status page may rely on its schema, and our own tools read it back unchanged.
#[tokio::test]
async fn the_status_page_is_as_its_schema_says_and_can_be_read_back() {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/status.schema.json")).unwrap();
    for phase in TaskPhase::ALL {
        let trouble = SchemaStatus { id: 7, trouble: SchemaTrouble::Unknown, since: NOW, what: None };
        let control = ControlStatus {
            kind: ControlKind::Limit,
            scope: ControlScope::Practice,
            per_second: Some(2.5),
            weight: Some(3),
            by: "ops-2".into(),
            why: "their import".into(),
            since: NOW,
            version: 4,
        };
        let shown = full(vec![trouble], vec![control], phase);
        let page = ask(shown.clone(), &["/status"]).await.pop().unwrap().1;
        let value: Value = serde_json::from_str(&page).unwrap();
        assert_eq!(differences(&value, &schema, "page"), Vec::<String>::new());
        let read: StatusPage = serde_json::from_str(&page).unwrap();
        assert_eq!((read.worker.as_deref(), &*read.group), (Some("worker-1"), "healthflow-sync"));
        assert_eq!(read.status, shown);
    }
    let wrong = serde_json::json!({ "version": 1, "more": true });
    assert!(differences(&wrong, &schema, "page").len() > 15, "the comparison can say no");
}

fn quota(backfill_ends_at: Option<Timestamp>, runs_out_at: Option<Timestamp>) -> QuotaStatus {
    QuotaStatus {
        limit: "day".into(),
        scope: ControlScope::Account,
        calls: 500,
        left: 120,
        reserve: 100,
        window_ends_at: NOW.plus_ms(3_600_000),
        backfill_ends_at,
        runs_out_at,
    }
}

/// A status with everything that is not always there.
fn full(schemas: Vec<SchemaStatus>, controls: Vec<ControlStatus>, phase: TaskPhase) -> Status {
    let why = "outage".into();
    Status {
        schemas,
        controls,
        waits: vec![Waits { place: WaitPlace::Doubt, why, count: 3, oldest_at: Some(NOW), late: 1 }],
        classes: vec![ClassWaits { class: "soon".into(), count: 3, oldest_at: Some(NOW) }],
        calls_per_second: 2.5,
        quotas: vec![quota(None, Some(NOW)), quota(Some(NOW), None)],
        start_waits: Some(StartWait { step: StartStep::Fleet, why: "no broker".into(), since: NOW }),
        healthflow_trouble: Some(HealthFlowTrouble {
            cause: "the connection is refused".into(),
            since: NOW,
            last_at: NOW,
            times: 2,
        }),
        ..status(phase)
    }
}

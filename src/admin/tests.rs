//! The routes, over a real socket.

use super::*;
use healthflow_core::status::{LaneStatus, TaskPhase, TaskStatus};

const NOW: Timestamp = Timestamp(100_000);

fn status(phase: TaskPhase) -> Status {
    let lane = LaneStatus {
        topic: "appointments.requested",
        next_offset: 7,
        end_offset: Some(9),
        read_ahead_records: 2,
        read_ahead_bytes: 300,
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
    let seen = Seen { status: receiver, catalogue, clock: Arc::new(|| NOW), status_age_max_ms: 15_000 };
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

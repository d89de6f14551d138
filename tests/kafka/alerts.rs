//! An outage as whoever is on call sees it: two workers, a HealthFlow that stops working, and a Prometheus with our rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::time::Timestamp;
use serde_json::{Value, json};

use crate::rig::{PARTITIONS, Rig};
use crate::strangers::of_stranger;
use crate::world::{LIMIT, world};
use healthflow_testkit::processes::{ChildProcess, StopBy, free_port};
use healthflow_testkit::project;
use healthflow_testkit::wait::wait_for;

/// How soon after the beginning of an outage somebody must be woken.
const WOKEN_WITHIN: Duration = Duration::from_secs(60);
/// Of what the panels show, what nobody needs to have in an outage of a minute.
const MAY_BE_EMPTY: [&str; 1] = ["healthflow_sync_reviews_open_versions"];

/// A Prometheus that reads the workers of a rig every 5 s. Dropping it ends it.
struct Prometheus {
    url: String,
    client: reqwest::Client,
    _process: ChildProcess,
}

impl Prometheus {
    fn start(rig: &Rig) -> Prometheus {
        let targets: Vec<&str> =
            rig.workers.iter().map(|worker| worker.admin_url.trim_start_matches("http://")).collect();
        let settings = json!({
            "global": { "scrape_interval": "5s", "evaluation_interval": "5s" },
            "rule_files": [project("ops/prometheus").join("*.rules.yml")],
            "scrape_configs": [{ "job_name": "healthflow-sync", "static_configs": [{ "targets": targets }] }],
        });
        // JSON is YAML.
        let file = rig.file("prometheus.yml", &settings.to_string());
        let listen = format!("127.0.0.1:{}", free_port().unwrap());
        let data = rig.folder().join("prometheus");
        let arguments = [
            format!("--config.file={file}"),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={listen}"),
        ];
        let log = rig.folder().join("prometheus.log");
        let process =
            ChildProcess::start("prometheus", Path::new("prometheus"), &arguments, &log, StopBy::Signal);
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        Prometheus { url: format!("http://{listen}/api/v1"), client, _process: process.unwrap() }
    }

    /// What it answers; none while it does not.
    fn ask(&self, what: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/{what}", self.url), query).unwrap();
        let request = self.client.get(url);
        let answer = async { request.send().await.ok()?.json::<Value>().await.ok() };
        world().runtime.block_on(answer).filter(|answer| answer["status"] == "success")
    }

    /// The first value of a query now.
    fn value(&self, query: &str) -> Option<f64> {
        let answer = self.ask("query", &[("query", query)])?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// The alerts that fire, by name, of this severity.
    fn firing(&self, severity: &str) -> BTreeSet<String> {
        let answer = self.ask("alerts", &[]).unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().into_iter().flatten();
        let fire =
            alerts.filter(|alert| alert["state"] == "firing" && alert["labels"]["severity"] == severity);
        fire.filter_map(|alert| alert["labels"]["alertname"].as_str()).map(str::to_owned).collect()
    }
}

/// Those of `firing` that are sent, by the example for Alertmanager.
fn sent(firing: &BTreeSet<String>) -> BTreeSet<&str> {
    let example = fs::read_to_string(project("ops/prometheus/alertmanager.example.yml")).unwrap();
    let names = |line: &str| -> Vec<String> {
        line.split(['"', '|']).filter(|word| word.starts_with("HealthflowSync")).map(str::to_owned).collect()
    };
    let mut held_back = BTreeSet::new();
    let mut source = Vec::new();
    for line in example.lines() {
        if line.contains("source_matchers") {
            source = names(line);
        } else if line.contains("target_matchers") && source.iter().any(|name| firing.contains(name)) {
            held_back.extend(names(line));
        }
    }
    firing.iter().map(String::as_str).filter(|name| !held_back.contains(*name)).collect()
}

/// Bookings of as many people in practices of every partition, asked for at this moment.
fn just_asked(rig: &Rig, bookings: std::ops::Range<usize>) -> Vec<AppointmentRequested> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let requested_at = Timestamp(i64::try_from(since_1970.as_millis()).unwrap());
    let of = |booking: usize| {
        let practice = rig.practice(i32::try_from(booking).unwrap() % PARTITIONS);
        let event = of_stranger(booking, rig.event(&practice, &format!("b-{booking}"), 1));
        AppointmentRequested { requested_at, ..event }
    };
    bookings.map(of).collect()
}

/// Every query of the dashboard, as Grafana would ask it.
fn queries() -> Vec<String> {
    let dashboard = fs::read_to_string(project("ops/grafana/healthflow-sync.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked = targets.map(|target| target["expr"].as_str().unwrap());
    asked.map(|query| query.replace("$job", "healthflow-sync").replace("$__rate_interval", "1m")).collect()
}

/// Goal: an outage wakes somebody within a minute, once, and every panel shows it. Method: bookings come in; HealthFlow answers
/// 503 to everything; the rules run as they would.
#[test]
fn an_outage_wakes_somebody_within_a_minute_and_once() {
    let mut rig = Rig::open("outage", &[]);
    (0..2).for_each(|_| rig.start_workers());
    let each = PARTITIONS as usize / 2;
    (0..2).for_each(|worker| rig.wait_live(worker, each));
    let prometheus = Prometheus::start(&rig);
    rig.publish(&just_asked(&rig, 0..30));
    let is_seen =
        || prometheus.value("sum(healthflow_sync_bookings_synced_total)").filter(|sum| *sum >= 30.0);
    wait_for(LIMIT, is_seen).expect("Prometheus sees what was confirmed");
    wait_for(LIMIT, || (prometheus.value("sum(up)")? >= 2.0).then_some(())).expect("it sees both workers");
    assert_eq!(prometheus.firing("page"), BTreeSet::new());

    rig.set_faults(&json!({"down": "unavailable"}));
    let events = just_asked(&rig, 30..630);
    rig.publish(&events);
    let woken =
        wait_for(WOKEN_WITHIN, || Some(prometheus.firing("page")).filter(|firing| !firing.is_empty()));
    let firing = woken.expect("an alert within a minute");
    assert_eq!(sent(&firing), ["HealthflowSyncHealthFlowDown"].into(), "{firing:?}");
    let oldest = prometheus.value("max(healthflow_sync_waiting_oldest_seconds)").unwrap();
    let waiting = prometheus.value("sum(healthflow_sync_waiting_versions)").unwrap();
    assert!(oldest > 15.0 && waiting > 500.0, "{waiting} wait, the oldest for {oldest} s");
    for query in queries() {
        let answer = prometheus.ask("query", &[("query", &query)]);
        let answer = answer.unwrap_or_else(|| panic!("Prometheus refuses {query}"));
        let is_empty = answer["data"]["result"].as_array().is_none_or(Vec::is_empty);
        assert!(!is_empty || MAY_BE_EMPTY.iter().any(|name| query.contains(name)), "{query} shows nothing");
    }

    rig.set_faults(&json!({"down": "no"}));
    let is_over = || prometheus.firing("page").is_empty().then_some(());
    wait_for(2 * LIMIT, is_over).expect("the alert ends with the outage");
    let nothing_waits =
        || (prometheus.value("sum(healthflow_sync_waiting_versions) or vector(0)")? < 0.5).then_some(());
    wait_for(2 * LIMIT, nothing_waits).expect("nothing waits any more");
    drop(prometheus);
    rig.close_after(630);
}

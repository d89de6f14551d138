//! The minimal rights of `docs/security.md`, by a broker with Kafka's authorizer: with them everything works, and without any
//! one of them one line names the right and the resource.

use std::fs;

use healthflow_core::booking::PatientId;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::guarded::{CASES, Grant, Guarded, guarded};
use crate::world::{LIMIT, requested, world};
use healthflow_testkit::processes::set;
use healthflow_testkit::processes::simulator::{Simulator, token_file};
use healthflow_testkit::project;
use healthflow_testkit::wait::wait_for;

const PREFIX: &str = "guarded.";
const HOUR_MS: i64 = 3_600_000;
/// Cases that run at the same time.
const AT_ONCE: usize = 4;

/// What the page grants to `user`, right by right.
fn grants(user: &str) -> Vec<Grant> {
    let page = fs::read_to_string(project("docs/security.md")).unwrap();
    let begin = format!("| {user} | ");
    let mut grants = Vec::new();
    for row in page.lines().filter_map(|line| line.strip_prefix(&begin)) {
        let [kind, name, rights, ..] = &row.split(" | ").collect::<Vec<_>>()[..] else { panic!("{row}") };
        let name = name.trim_matches('`');
        let one =
            |right: &str| Grant { kind: (*kind).to_owned(), name: name.to_owned(), right: right.to_owned() };
        grants.extend(rights.split(", ").map(one));
    }
    assert!(grants.len() > 10, "{grants:?}");
    grants
}

/// All grants but those that `is_taken` picks.
fn without(all: &[Grant], is_taken: impl Fn(&Grant) -> bool) -> Vec<Grant> {
    let rest: Vec<Grant> = all.iter().filter(|grant| !is_taken(grant)).cloned().collect();
    assert!(rest.len() < all.len(), "nothing is taken away");
    rest
}

fn worker_flags(guarded: &Guarded, user: &str, healthflow: &str) -> Vec<String> {
    let mut flags = guarded.flags_of(user, PREFIX);
    flags.extend(set(&[("healthflow.base_url", healthflow), ("healthflow.token_file", &token_file())]));
    flags
}

/// Goal: the page's rights are enough, and none of them is too many. Method: first the operator makes the topics; then a worker
/// that lacks one right for each right; then a worker with all of them, and commands; then an operator that lacks one kind of right
/// for each kind.
#[test]
fn with_exactly_these_rights_everything_works_and_without_any_one_a_line_names_it() {
    let guarded = guarded();
    let of_worker = grants("worker");
    let of_operator = [of_worker.clone(), grants("operator")].concat();
    let mut users =
        vec![("worker".to_owned(), of_worker.clone()), ("operator".to_owned(), of_operator.clone())];
    let asked: Vec<&Grant> = of_worker.iter().filter(|grant| grant.kind != "TransactionalId").collect();
    let mut case = 0;
    let mut user_with = |grants: Vec<Grant>| {
        let user = format!("case-{case}");
        case += 1;
        assert!(case <= CASES, "more cases than users");
        users.push((user.clone(), grants));
        user
    };
    let lacking: Vec<(String, &Grant)> =
        asked.into_iter().map(|taken| (user_with(without(&of_worker, |one| one == taken)), taken)).collect();
    let no_fleet = user_with(without(&of_worker, |grant| grant.name == "healthflow-sync.fleet"));
    let no_tasks = user_with(without(&of_worker, |grant| grant.name == "healthflow-sync-*"));
    let kinds = ["Create", "Alter", "AlterConfigs"];
    let operators = kinds.map(|kind| user_with(without(&of_operator, |grant| grant.right == kind)));
    let lacks = |name: &str, right: &str| without(&of_operator, |one| one.name == name && one.right == right);
    let no_letters = user_with(lacks("appointments.failed", "Read"));
    let no_synced = user_with(lacks("appointments.synced", "Read"));
    let no_tail = user_with(without(&of_operator, |grant| grant.name == "healthflow-sync-tail"));
    let no_requests = user_with(lacks("appointments.requested", "Write"));
    let no_notices = user_with(lacks("appointments.notices", "Read"));
    let no_controls = user_with(lacks("healthflow.controls", "Write"));
    let no_controls_id = user_with(lacks("healthflow-sync.controls", "Write"));
    let no_audit = user_with(lacks("appointments.audit", "Write"));
    guarded.grant(PREFIX, &users);
    guarded
        .grant("other.", &[(operators[0].clone(), without(&of_operator, |grant| grant.right == "Create"))]);

    let operator = guarded.flags_of("operator", PREFIX);
    let operate = |words: &[&str]| guarded.command(&operator, words).unwrap();
    operate(&["topics", "--partitions", "2"]);
    let simulator = world().runtime.block_on(Simulator::start(&guarded.logs(), &[])).unwrap();
    workers_that_lack_one(guarded, &lacking, &simulator.url);

    let line = guarded.refused_worker("no-fleet", &worker_flags(guarded, &no_fleet, &simulator.url));
    assert!(line.contains("transactional id guarded.healthflow-sync.fleet"), "{line}");
    assert!(line.contains("grant our Kafka user Write on that transactional id"), "{line}");

    let mut worker = guarded.worker("worker", &worker_flags(guarded, "worker", &simulator.url));
    worker.start().unwrap();
    world().runtime.block_on(worker.ready()).unwrap();
    let booking = the_commands_work(guarded, &operator);
    let log = fs::read_to_string(&worker.log).unwrap();
    assert!(!log.contains("uthorization"), "a right is missing: {log}");

    let [create, alter, alter_configs] = &operators;
    let kinds = [create, alter_configs].map(String::as_str);
    operators_that_lack_one(guarded, kinds, [&no_letters, &no_requests, &no_synced, &no_tail], &booking);
    assert!(operate(&["topics"]).contains("cleanup.policy set to delete"));
    the_rarer_rights_are_needed(guarded, [&no_notices, &no_controls, &no_controls_id]);
    nobody_looks_at_values_unrecorded(guarded, &no_audit, &simulator.url);
    drop(worker);
    let repartition = ["repartition", "--partitions", "3"];
    let flags = guarded.flags_of(alter, PREFIX);
    let refused = || {
        guarded.refused_command(&flags, &repartition).contains("lacks Alter on topic guarded.").then_some(())
    };
    wait_for(LIMIT, refused).expect("once no worker runs, the right is what is missing");
    wait_for(LIMIT, || guarded.command(&operator, &repartition).ok())
        .expect("the operator may, once no worker runs");

    let mut worker = guarded.worker("no-tasks", &worker_flags(guarded, &no_tasks, &simulator.url));
    worker.start().unwrap();
    let line = "transactional id guarded.healthflow-sync-0, cannot be fenced";
    let says = || fs::read_to_string(&worker.log).unwrap_or_default();
    wait_for(LIMIT, || says().contains(line).then_some(())).unwrap_or_else(|| panic!("{}", says()));
    assert!(says().contains("grant our Kafka user Write on that transactional id"), "{}", says());

    drop(worker);
    the_state_changes_hands(guarded, &operator);
}

/// An operator without Read on notices, Write on controls, or Write on their transactional id, is refused what needs it.
fn the_rarer_rights_are_needed(guarded: &Guarded, [no_notices, no_controls, no_controls_id]: [&String; 3]) {
    let tail_notices = ["tail", "appointments.notices", "--from-beginning", "--limit", "1"];
    let pause = ["pause", "--practice", "p", "--by", "ops", "--why", "a test"];
    for (user, words, expected) in [
        (no_notices, &tail_notices[..], "Read on topic guarded.appointments.notices"),
        (no_controls, &pause, "Write on topic guarded.healthflow.controls"),
        (no_controls_id, &pause, "transactional id guarded.healthflow-sync.controls"),
    ] {
        let line = guarded.refused_command(&guarded.flags_of(user, PREFIX), words);
        assert!(line.contains(expected), "{words:?}: {line}");
    }
}

/// Twins whom only a mark tells apart are a question to people. Whoever may not write the audit record of a look at their values sees
/// none of them; an operator does.
fn nobody_looks_at_values_unrecorded(guarded: &Guarded, no_audit: &str, healthflow: &str) {
    let flags_of = |user: &str| worker_flags(guarded, user, healthflow);
    for (number, name) in [(1, "たいき"), (2, "だいき")] {
        let mut booking = requested(&format!("twin-{number}"), 1);
        booking.patient.patient_id = PatientId::from(format!("twin-{number}").as_str()).into();
        booking.patient.given_name = name.into();
        booking.visit.start.0 += number * HOUR_MS;
        let file = guarded.file("twin.json", &serde_json::to_string(&booking).unwrap());
        guarded.command(&flags_of("operator"), &["send", &file]).unwrap();
    }
    let asks = || {
        let listed = guarded.command(&flags_of("operator"), &["review", "list"]).ok()?;
        ["twin-1", "twin-2"].into_iter().find(|twin| listed.contains(twin))
    };
    let twin = wait_for(LIMIT, asks).expect("one of the twins is a question");
    let show = ["review", "show", "practice-1", twin, "--reveal", "--by", "ops", "--why", "a test"];
    let line = guarded.refused_command(&flags_of(no_audit), &show);
    assert!(line.contains("nothing is revealed") && !line.contains("Lopez"), "{line}");
    assert!(line.contains("the Kafka user lacks Write on topic guarded.appointments.audit"), "{line}");
    let seen = guarded.command(&flags_of("operator"), &show).unwrap();
    assert!(seen.contains("Lopez") && seen.contains("revealed to ops"), "{seen}");
}

/// What an operator does once no worker runs any more.
fn the_state_changes_hands(guarded: &Guarded, operator: &[String]) {
    let accepts = || guarded.command(operator, &["accept-topics"]).ok();
    let said = wait_for(LIMIT, accepts).expect("the operator may, once no worker runs");
    assert!(said.contains("no topic was replaced"), "{said}");
    let next = [operator.to_vec(), set(&[("kafka.application", "next")])].concat();
    let takeover = ["takeover", "--from-application", "healthflow-sync", "--from-group", "healthflow-sync"];
    let said = guarded.command(&next, &takeover).expect("the operator of the old fleet may");
    assert!(said.contains("can commit any more"), "{said}");
}

/// Carries out what an operator does beside a worker; returns the file of a booking.
fn the_commands_work(guarded: &Guarded, operator: &[String]) -> String {
    let operate = |words: &[&str]| guarded.command(operator, words).unwrap();
    let booking = guarded.file("booking.json", &serde_json::to_string(&requested("b-1", 1)).unwrap());
    operate(&["send", &booking]);
    assert!(operate(&["tail", "appointments.synced", "--from-beginning", "--limit", "1"]).contains("b-1"));
    let mut invalid = serde_json::to_value(requested("b-2", 1)).unwrap();
    invalid["visit"]["duration_minutes"] = 0.into();
    let invalid = guarded.file("invalid.json", &invalid.to_string());
    assert!(operate(&["send", &invalid]).contains("will be dead-lettered"));
    assert!(operate(&["tail", "appointments.failed", "--from-beginning", "--limit", "1"]).contains("b-2"));
    assert!(operate(&["topics", "--check"]).contains("as required"));
    operate(&["review", "list"]);
    operate(&["pause", "--practice", "p", "--by", "ops", "--why", "a test"]);
    assert!(operate(&["limit", "list"]).contains("pause/practice/p"));
    operate(&["resume", "--practice", "p", "--by", "ops", "--why", "a test"]);
    operate(&["redrive", "--reason", "REJECTED"]);
    booking
}

/// Each is refused by a line that names what it lacks.
fn workers_that_lack_one(guarded: &Guarded, lacking: &[(String, &Grant)], healthflow: &str) {
    for some in lacking.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            for (user, taken) in some {
                scope.spawn(move || {
                    let line = guarded.refused_worker(user, &worker_flags(guarded, user, healthflow));
                    let Grant { kind, name, right } = taken;
                    let expected = format!("{right} on {} {PREFIX}{name}", kind.to_lowercase());
                    assert!(
                        line.contains("the Kafka user lacks ") && line.contains(&expected),
                        "{expected}: {line}"
                    );
                });
            }
        });
    }
}

fn operators_that_lack_one(
    guarded: &Guarded,
    [create, alter_configs]: [&str; 2],
    [no_letters, no_requests, no_synced, no_tail]: [&str; 4],
    booking: &str,
) {
    let refused = |user: &str, prefix: &str, words: &[&str], expected: &str| {
        let line = guarded.refused_command(&guarded.flags_of(user, prefix), words);
        assert!(line.contains("the Kafka user lacks ") && line.contains(expected), "{words:?}: {line}");
        assert!(line.contains("; grant"), "{words:?}: {line}");
    };
    let tail = ["tail", "appointments.synced", "--from-beginning", "--limit", "1"];
    refused(no_synced, PREFIX, &tail, "Read on topic guarded.appointments.synced");
    refused(no_tail, PREFIX, &tail, "Describe on group guarded.healthflow-sync-tail");
    refused(create, "other.", &["topics"], "Create on topic other.");
    refused(
        no_letters,
        PREFIX,
        &["redrive", "--reason", "REJECTED"],
        "Read on topic guarded.appointments.failed",
    );
    refused(no_requests, PREFIX, &["send", booking], "Write on topic guarded.appointments.requested");
    let synced = "guarded.appointments.synced";
    let change = AlterConfig::new(ResourceSpecifier::Topic(synced)).set("cleanup.policy", "compact");
    let changed = guarded.admin();
    let changed = world().runtime.block_on(changed.alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    // The broker answers before it shows the change.
    let flags = guarded.flags_of(alter_configs, PREFIX);
    let differs = || guarded.command(&flags, &["topics", "--check"]).is_err().then_some(());
    wait_for(LIMIT, differs).expect("the change shows");
    refused(alter_configs, PREFIX, &["topics"], &format!("AlterConfigs on topic {synced}"));
}

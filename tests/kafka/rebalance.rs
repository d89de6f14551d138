//! Who owns what, and how it changes hands (rule K2).

use std::time::{Duration, Instant};

use healthflow_core::processor::{CommitEnded, Input};
use healthflow_core::topics::Lane;
use healthflow_sync::kafka::KafkaSettings;

use crate::world::{Member, PARTITIONS, batch, settings};

fn revoked(member: &Member) -> Vec<i32> {
    member.inbox.wait("TaskRevoked", |inputs| {
        let revoked: Vec<i32> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::TaskRevoked { partition } => Some(*partition),
                _ => None,
            })
            .collect();
        (revoked.len() == PARTITIONS as usize / 2).then_some(revoked)
    })
}

fn assigned(member: &Member) -> usize {
    member.inbox.wait("anything", |inputs| {
        Some(inputs.iter().filter(|input| matches!(input, Input::TaskAssigned { .. })).count())
    })
}

/// Goal: a revoked task stays ours until it is released, however long that takes within the bounds, and its last
/// commits are good; then it changes hands. Method: a second member, and a first one that drains for longer than the
/// session time-out lasts.
#[test]
fn a_revoked_task_is_given_back_when_it_is_released() {
    give_back_when_released(&settings("deferred"));
}

/// Goal: the same where the brokers assign (KIP-848).
#[test]
fn under_the_consumer_protocol_a_revoked_task_is_given_back_when_it_is_released() {
    give_back_when_released(&KafkaSettings { consumer_protocol: true, ..settings("deferred-consumer") });
}

fn give_back_when_released(settings: &KafkaSettings) {
    let first = Member::join(settings);
    first.inbox.wait_assigned(PARTITIONS as usize);
    let second = Member::join(settings);
    let revoked = revoked(&first);

    let partition = *revoked.iter().max().unwrap();
    let drain = Duration::from_millis(settings.session_timeout_ms + 2_000);
    let (task, _) = first.acquire(partition, 1);
    let (started, mut sequence) = (Instant::now(), 0);
    while started.elapsed() < drain {
        sequence += 1;
        task.commit(sequence, Box::new(batch("b-1", &[Lane::Requested.at(0), Lane::Retry.at(0)])));
        assert!(
            matches!(first.inbox.wait_committed(sequence), CommitEnded::Good { .. }),
            "commit {sequence}"
        );
    }
    assert_eq!(assigned(&second), 0, "no other member has it meanwhile");

    drop(task);
    for (index, &partition) in revoked.iter().enumerate() {
        assert!(index > 0 || assigned(&second) == 0);
        first.group.release(partition);
    }
    second.inbox.wait_assigned(revoked.len());
    let (_task, acquired) = second.acquire(partition, 1);
    assert_eq!(acquired.state.bookings.len(), 1);
}

/// Goal: leaving gives everything to the others at once, also while a revocation is pending.
#[test]
fn who_leaves_holds_nobody_up() {
    let settings = settings("leaving");
    let first = Member::join(&settings);
    first.inbox.wait_assigned(PARTITIONS as usize);
    let second = Member::join(&settings);
    revoked(&first);
    drop(first);
    second.inbox.wait_assigned(PARTITIONS as usize);
}

/// Goal: two workers with one name do not both go on. Method: the newer one takes the place of the older one.
#[test]
fn a_second_worker_of_the_same_name_ends_the_first() {
    let settings = KafkaSettings { group_instance_id: Some("worker-1".into()), ..settings("static") };
    let first = Member::join(&settings);
    first.inbox.wait_assigned(PARTITIONS as usize);
    let second = Member::join(&settings);
    second.inbox.wait_assigned(PARTITIONS as usize);
    let reason = first.inbox.wait_for_failure();
    assert!(reason.contains("group_instance_id"), "{reason}");
}

/// Goal: no partition stays without an owner (rule K13). Method: of two workers with names the first has to give half
/// of its partitions back, and is replaced under its name before it does, as after a kill: the group gives the new one
/// the other half at once, without any rebalance, and no member asks for the round in which the first half would change
/// hands.
#[test]
fn what_a_killed_worker_was_giving_back_is_somebodys_again() {
    let settings = settings("unowned");
    let named = |name: &str| KafkaSettings { group_instance_id: Some(name.into()), ..settings.clone() };
    let killed = Member::join(&named("worker-1"));
    killed.inbox.wait_assigned(PARTITIONS as usize);
    let second = Member::join(&named("worker-2"));
    let given_back = revoked(&killed);
    let first = Member::join(&named("worker-1"));
    first.inbox.wait_assigned(PARTITIONS as usize - given_back.len());
    second.inbox.wait_assigned(given_back.len());
}

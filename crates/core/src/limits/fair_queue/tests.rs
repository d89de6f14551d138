//! Nobody is forgotten, nobody is served twice, and a burst delays only its own practice.

use super::*;
use proptest::prelude::*;

type Queue = FairQueue<(String, u32)>;

fn push(queue: &mut Queue, practice: &str, number: u32) {
    queue.push(&practice.into(), 0, (practice.to_owned(), number));
}

#[test]
fn a_burst_delays_its_own_practice_only() {
    let mut queue = Queue::default();
    (0..10_000).for_each(|number| push(&mut queue, "burst", number));
    (0..20).for_each(|number| push(&mut queue, &format!("other-{number}"), 0));
    let order: Vec<String> =
        (0..100).filter_map(|_| queue.pop(|_| 4 * CALL)).map(|(practice, _)| practice).collect();
    let last = order.iter().rposition(|practice| practice != "burst").expect("all of the others are there");
    assert_eq!(order.iter().filter(|practice| *practice != "burst").count(), 20);
    assert!(last < 22, "{last}: one job of the burst a round");
}

#[test]
fn whoever_costs_more_has_fewer_turns() {
    let mut queue = Queue::default();
    for number in 0..400 {
        push(&mut queue, "dear", number);
        push(&mut queue, "cheap", number);
    }
    let cost = |(practice, _): &(String, u32)| if practice == "dear" { 4 * CALL } else { CALL };
    let served: Vec<String> =
        (0..200).filter_map(|_| queue.pop(cost)).map(|(practice, _)| practice).collect();
    let dear = served.iter().filter(|practice| *practice == "dear").count();
    assert!((35..=45).contains(&dear), "{dear} of 200 are a fifth: four calls for each one of the other's");
}

#[test]
fn a_low_rank_goes_first_within_its_practice() {
    let mut queue = Queue::default();
    for (rank, number) in [(5, 1), (3, 2), (5, 3), (1, 4)] {
        queue.push(&"p".into(), rank, ("p".to_owned(), number));
    }
    queue.push_first(("p".to_owned(), 9));
    let order: Vec<u32> = queue.drain().into_iter().map(|(_, number)| number).collect();
    assert_eq!(order, [9, 4, 2, 1, 3]);
}

#[test]
fn who_is_not_allowed_is_passed_over_even_before_all_others() {
    let mut queue = Queue::default();
    queue.push_first(("held".to_owned(), 0));
    push(&mut queue, "held", 1);
    push(&mut queue, "free", 2);
    let free = |(practice, _): &(String, u32)| practice == "free";
    assert_eq!(queue.pop_where(free), Some(("free".to_owned(), 2)));
    assert_eq!(queue.pop_where(free), None);
    assert_eq!(queue.drain().len(), 2);
}

proptest! {
    /// Goal: whatever is pushed, taken and popped, everybody comes out once, and of one practice in order.
    #[test]
    fn everybody_comes_out_once_and_in_order(
        steps in proptest::collection::vec((0_u8..4, 0_u8..5, 1_u32..9), 1..200),
    ) {
        let (mut queue, mut pushed, mut out) = (Queue::default(), Vec::new(), Vec::new());
        for (number, (step, practice, cost)) in steps.into_iter().enumerate() {
            let practice = format!("p{practice}");
            match step {
                0 | 1 => {
                    push(&mut queue, &practice, number as u32);
                    pushed.push((practice, number as u32));
                }
                2 => out.extend(queue.pop(|_| cost * CALL)),
                _ => out.extend(queue.take(|(of, _)| *of == practice)),
            }
            prop_assert_eq!(queue.is_empty(), pushed.len() == out.len());
        }
        out.extend(queue.drain());
        for practice in 0..5 {
            let of = |all: &[(String, u32)]| -> Vec<u32> {
                all.iter().filter(|(one, _)| *one == format!("p{practice}")).map(|(_, number)| *number).collect()
            };
            prop_assert_eq!(of(&pushed), of(&out));
        }
    }
}

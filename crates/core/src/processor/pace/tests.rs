//! What a budget allows, and what is written ahead.

use super::*;
use proptest::prelude::*;

proptest! {
    /// Goal: however many records, no second sees more transactions than the budget and its burst; large ones are fewer.
    #[test]
    fn no_second_sees_more_than_the_budget(records in 0_usize..200, per_second in 10_u32..500) {
        let per_second = f64::from(per_second);
        let mut budget = CommitBudget::new(per_second, Timestamp(0));
        let mut begun = Vec::new();
        for ms in 0..3_000 {
            while budget.has_room(Timestamp(ms)) {
                budget.spend(records, Timestamp(ms));
                begun.push(ms);
            }
            prop_assert!(budget.next_at(Timestamp(ms)) > Timestamp(ms));
        }
        let cost = (1.0 + records as f64 / 8.0).min(4.5);
        let within = begun.iter().filter(|ms| (1_000..2_000).contains(*ms)).count() as f64;
        prop_assert!(within <= per_second / cost + 2.0, "{within}");
        prop_assert!(within >= per_second / cost - 2.0, "{within}");
    }
}

#[test]
fn credit_is_paid_back_and_bounded() {
    let mut budget = CommitBudget::new(10.0, Timestamp(0));
    (0..1_000).for_each(|_| budget.spend(1, Timestamp(0)));
    assert!(!budget.has_room(Timestamp(1_000)));
    assert!(budget.has_room(Timestamp(1_200)));
}

#[test]
fn as_many_are_ahead_as_end_during_a_commit_and_as_permits_allow() {
    let mut pace = Pace::new(100);
    assert_eq!(pace.ahead(64, f64::INFINITY), 960, "calls are thought to be quick");
    (0..200).for_each(|_| pace.call_ended(20));
    pace.committed(120);
    assert_eq!(pace.ahead(64, f64::INFINITY), 576, "64 calls end 6 times in 120 ms, half as many again");
    assert_eq!(pace.ahead(64, 12.5), 13, "100 permits a second are 12 in that time, and one is filling up");
    assert_eq!(pace.ahead(64, 0.0), 1);
}

#[test]
fn a_slow_commit_counts_at_once_and_is_forgotten_slowly() {
    let mut pace = Pace::new(10);
    pace.committed(500);
    assert_eq!(pace.commit_ms(), 500);
    (0..100).for_each(|_| pace.committed(20));
    assert_eq!(pace.commit_ms(), 21);
}

//! Controls as they are set, replaced and taken back, in whatever order their records are read.

use proptest::prelude::*;

use super::*;

fn signed() -> Signed {
    Signed { by: "ops-2".into(), why: "to see".into(), at: Timestamp(7) }
}

fn change(controls: &mut Controls, practice: Option<&str>, change: Change) -> Option<Control> {
    let next = controls.next(practice.map(PracticeId::from), change, signed())?;
    assert!(controls.take(next.clone()), "the next record is newer");
    Some(next)
}

#[test]
fn a_pause_ends_by_a_record_of_its_own() {
    let (mut controls, practice) = (Controls::default(), PracticeId::from("p"));
    assert_eq!(change(&mut controls, Some("p"), Change::Resume), None, "there is nothing to take back");
    let pause = change(&mut controls, Some("p"), Change::Pause).expect("a record");
    assert!(controls.is_practice_paused(&practice) && !controls.is_account_paused());
    let resume = change(&mut controls, Some("p"), Change::Resume).expect("a record");
    assert!(!controls.is_practice_paused(&practice));
    assert_eq!((pause.version, resume.version, controls.in_force().count()), (1, 2, 0));
    assert!(!controls.take(pause), "an older one changes nothing");
    assert!(!controls.is_practice_paused(&practice));
    change(&mut controls, None, Change::Pause);
    assert!(controls.is_account_paused() && !controls.is_practice_paused(&practice));
}

#[test]
fn a_control_whose_key_is_removed_was_never_set() {
    let (mut controls, practice) = (Controls::default(), PracticeId::from("p/q"));
    change(&mut controls, Some("p/q"), Change::Pause);
    change(&mut controls, None, Change::Pause);
    controls.forget(b"pause/practice/p%2Fq");
    assert!(!controls.is_practice_paused(&practice) && controls.is_account_paused());
    let again = change(&mut controls, Some("p/q"), Change::Pause).expect("a record");
    assert_eq!((again.version, controls.is_practice_paused(&practice)), (1, true));
}

#[test]
fn what_is_not_given_of_a_limit_stays() {
    let (mut controls, practice) = (Controls::default(), PracticeId::from("p"));
    assert_eq!((controls.per_second(Some(&practice)), controls.weight(&practice)), (None, WEIGHT_USUAL));
    change(&mut controls, Some("p"), Change::SetLimit { per_second: Some(2.0), weight: None });
    change(&mut controls, Some("p"), Change::SetLimit { per_second: None, weight: Some(3) });
    assert_eq!((controls.per_second(Some(&practice)), controls.weight(&practice)), (Some(2.0), 3));
    assert_eq!(controls.per_second(None), None, "the account's is another one");
    change(&mut controls, Some("p"), Change::ClearLimit);
    assert_eq!((controls.per_second(Some(&practice)), controls.weight(&practice)), (None, WEIGHT_USUAL));
    let again = change(&mut controls, Some("p"), Change::SetLimit { per_second: None, weight: Some(2) });
    let limited = Setting::Limited { per_second: None, weight: Some(2) };
    assert_eq!(
        again.and_then(|control| control.setting),
        Some(limited),
        "what was cleared does not come back"
    );
}

proptest! {
    /// Goal: every worker ends with the same controls, whichever part of the log compaction has left. Method: any changes,
    /// read in full, or only the last of each id, or with older ones once more at the end.
    #[test]
    fn the_newest_of_each_counts_however_the_log_is_read(
        steps in proptest::collection::vec((0_usize..3, 0_usize..4), 0..30),
    ) {
        let practices = [None, Some("p"), Some("q")];
        let limit = Change::SetLimit { per_second: Some(1.0), weight: None };
        let changes = [Change::Pause, Change::Resume, limit, Change::ClearLimit];
        let (mut controls, mut log) = (Controls::default(), Vec::new());
        for (practice, step) in steps {
            log.extend(change(&mut controls, practices[practice], changes[step]));
        }
        let mut compacted = Controls::default();
        for control in log.iter().filter(|one| controls.newest(&one.id) == Some(one)) {
            prop_assert!(compacted.take(control.clone()));
        }
        prop_assert_eq!(&compacted, &controls);
        let mut again = controls.clone();
        for control in log {
            prop_assert!(!again.take(control));
        }
        prop_assert_eq!(again.changed_since(&controls).count(), 0);
        prop_assert_eq!(again, controls);
    }
}

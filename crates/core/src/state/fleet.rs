//! Which fleet owns the state, and for how many partitions it is laid out (rules K8, K12): facts of the whole fleet, not of a
//! task. Without them a second fleet would write every booking once more, and a practice whose partition number changed would
//! meet a task that knows nothing of it. Pure: it decides who may go live.

use std::fmt;
use std::sync::Arc;

use crate::time::Timestamp;

/// Who owns the topics' state: the two names that all workers of a fleet share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// `kafka.application`: the transactional ids that fence.
    pub application: Arc<str>,
    /// `kafka.group_id`: the offsets that were read up to.
    pub group_id: Arc<str>,
}

/// What is on record of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FleetRecord {
    /// The owner of the state.
    pub owner: Owner,
    /// Partitions of every topic that the state is laid out for.
    pub partition_count: u32,
    /// Set while `repartition` moves the state to another number of partitions.
    pub moving_to: Option<u32>,
    /// Set while `takeover` hands the state over.
    pub handing_over_to: Option<Owner>,
    /// When this was written.
    pub written_at: Timestamp,
}

/// Why a task must not go live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now; later without a restart of this worker.
    Wait(String),
    /// Not in this process: its settings are not those of the fleet.
    End(String),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application {}, group {}", self.application, self.group_id)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refusal::Wait(why) | Refusal::End(why)) = self;
        f.write_str(why)
    }
}

impl FleetRecord {
    /// The record of a fleet without one.
    pub fn new(owner: Owner, partition_count: u32, now: Timestamp) -> FleetRecord {
        FleetRecord { owner, partition_count, moving_to: None, handing_over_to: None, written_at: now }
    }

    /// Checks that tasks of a worker of `owner` that counts `count` partitions may go live.
    ///
    /// # Errors
    /// It may not; one line gives the reason and the remedy.
    pub fn admits(&self, owner: &Owner, count: u32) -> Result<(), Refusal> {
        self.check_owner(owner)?;
        let has = self.partition_count;
        if let Some(to) = self.moving_to {
            return Err(Refusal::Wait(format!(
                "`healthflow-sync repartition` from {has} to {to} partitions is not finished; stop every worker and run it \
                 again if it was interrupted"
            )));
        }
        if has < count {
            return Err(Refusal::End(format!(
                "the state is laid out for {has} partitions, and appointments.requested has {count}; stop every worker and \
                 run `healthflow-sync repartition`"
            )));
        }
        if has > count {
            return Err(Refusal::End(format!(
                "the state is laid out for {has} partitions, and this worker counted {count} at its start; start it again, \
                 and if that does not help, check whether the topics were recreated"
            )));
        }
        Ok(())
    }

    /// The same for one task: partitions that were added while workers run have no state yet.
    ///
    /// # Errors
    /// See [`FleetRecord::admits`].
    pub fn admits_task(&self, owner: &Owner, count: u32, partition: i32) -> Result<(), Refusal> {
        self.admits(owner, count)?;
        if partition.unsigned_abs() < self.partition_count {
            return Ok(());
        }
        Err(Refusal::Wait(format!(
            "partitions were added to appointments.requested beside the {} that the state is laid out for; they wait until \
             every worker is stopped and `healthflow-sync repartition` has run",
            self.partition_count
        )))
    }

    /// Checks that the state belongs to `owner` and stays with it.
    ///
    /// # Errors
    /// It does not.
    pub fn check_owner(&self, owner: &Owner) -> Result<(), Refusal> {
        let has = &self.owner;
        match &self.handing_over_to {
            Some(to) => Err(Refusal::Wait(format!(
                "`healthflow-sync takeover` from {has} to {to} is not finished; run it again if it was interrupted"
            ))),
            None if has != owner => Err(Refusal::End(format!(
                "the state of these topics belongs to {has} (since {}), and this is {owner}; correct kafka.application and \
                 kafka.group_id, or stop the other fleet and run `healthflow-sync takeover --from-application {} --from-group {}`",
                self.written_at, has.application, has.group_id
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(application: &str, group_id: &str) -> Owner {
        Owner { application: application.into(), group_id: group_id.into() }
    }

    fn of_four() -> FleetRecord {
        FleetRecord::new(owner("a", "g"), 4, Timestamp(0))
    }

    #[test]
    fn a_fleet_goes_live_on_its_own_count_only() {
        let me = owner("a", "g");
        for partition in 0..4 {
            assert_eq!(of_four().admits_task(&me, 4, partition), Ok(()));
        }
        let Err(Refusal::Wait(added)) = of_four().admits_task(&me, 4, 4) else { panic!("it went live") };
        assert!(added.contains("`healthflow-sync repartition`"), "{added}");
        let Err(Refusal::End(grown)) = of_four().admits(&me, 8) else { panic!("it went live") };
        assert!(grown.contains("for 4 partitions, and appointments.requested has 8"), "{grown}");
        assert!(grown.contains("`healthflow-sync repartition`"), "{grown}");
        let Err(Refusal::End(old)) = of_four().admits(&me, 2) else { panic!("it went live") };
        assert!(old.contains("start it again"), "{old}");
    }

    #[test]
    fn while_state_moves_or_changes_hands_nobody_goes_live() {
        let moving = FleetRecord { moving_to: Some(8), ..of_four() };
        for count in [4, 8] {
            let refused = moving.admits(&owner("a", "g"), count);
            assert!(
                matches!(&refused, Err(Refusal::Wait(why)) if why.contains("from 4 to 8")),
                "{refused:?}"
            );
        }
        let changing = FleetRecord { handing_over_to: Some(owner("b", "h")), ..of_four() };
        for who in [owner("a", "g"), owner("b", "h")] {
            let refused = changing.admits(&who, 4);
            assert!(matches!(&refused, Err(Refusal::Wait(why)) if why.contains("takeover")), "{refused:?}");
        }
    }

    #[test]
    fn another_owner_is_refused_by_both_names_whichever_of_them_differs() {
        for (application, group) in [("b", "h"), ("a", "h"), ("b", "g")] {
            let Err(Refusal::End(why)) = of_four().admits(&owner(application, group), 4) else {
                panic!("{application} {group} went live");
            };
            assert!(why.contains("belongs to application a, group g"), "{why}");
            assert!(why.contains(&format!("this is application {application}, group {group}")), "{why}");
            assert!(
                why.contains("takeover --from-application a --from-group g`") && !why.contains('\n'),
                "{why}"
            );
        }
    }
}

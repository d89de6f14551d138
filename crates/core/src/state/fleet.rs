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

/// Why a task must not go live, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// State is on the move to another number of partitions.
    #[error(
        "`healthflow-sync repartition` from {from} to {to} partitions is not finished; stop every worker and run it again if it \
         was interrupted"
    )]
    Repartitioning {
        /// The count that it leaves.
        from: u32,
        /// The count that it moves to.
        to: u32,
    },
    /// State is changing hands.
    #[error(
        "`healthflow-sync takeover` from {from} to {to} is not finished; run it again if it was interrupted"
    )]
    HandingOver {
        /// Who has it.
        from: Owner,
        /// Who gets it.
        to: Owner,
    },
    /// Partitions were added while workers run, and the task's is one of them: it has no state yet.
    #[error(
        "partitions were added to appointments.requested beside the {laid_out} that the state is laid out for; they wait until \
         every worker is stopped and `healthflow-sync repartition` has run"
    )]
    Added {
        /// For how many the state is laid out.
        laid_out: u32,
    },
    /// The topics have more partitions than the state is laid out for.
    #[error(
        "the state is laid out for {laid_out} partitions, and appointments.requested has {counted}; stop every worker and run \
         `healthflow-sync repartition`"
    )]
    Grown {
        /// For how many the state is laid out.
        laid_out: u32,
        /// How many the worker counted at its start.
        counted: u32,
    },
    /// The state was laid out for more partitions since this worker started.
    #[error(
        "the state is laid out for {laid_out} partitions, and this worker counted {counted} at its start; start it again, and \
         if that does not help, check whether the topics were recreated"
    )]
    Outdated {
        /// For how many the state is laid out.
        laid_out: u32,
        /// How many the worker counted at its start.
        counted: u32,
    },
    /// The state is another fleet's.
    #[error(
        "the state of these topics belongs to {owner} (since {since}), and this is {this}; correct kafka.application and \
         kafka.group_id, or stop the other fleet and run `healthflow-sync takeover --from-application {} --from-group {}`",
        .owner.application, .owner.group_id
    )]
    OtherFleet {
        /// Whose it is.
        owner: Owner,
        /// Since when.
        since: Timestamp,
        /// Who asks.
        this: Owner,
    },
}

impl Refusal {
    /// Whether no task may go live in this process any more, since its settings are not those of the fleet. After any other
    /// refusal one may later, without a restart.
    pub const fn is_final(&self) -> bool {
        match self {
            Refusal::Grown { .. } | Refusal::Outdated { .. } | Refusal::OtherFleet { .. } => true,
            Refusal::Repartitioning { .. } | Refusal::HandingOver { .. } | Refusal::Added { .. } => false,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application {}, group {}", self.application, self.group_id)
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
        let (laid_out, counted) = (self.partition_count, count);
        match self.moving_to {
            Some(to) => Err(Refusal::Repartitioning { from: laid_out, to }),
            None if laid_out < counted => Err(Refusal::Grown { laid_out, counted }),
            None if laid_out > counted => Err(Refusal::Outdated { laid_out, counted }),
            None => Ok(()),
        }
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
        Err(Refusal::Added { laid_out: self.partition_count })
    }

    /// Checks that the state belongs to `owner` and stays with it.
    ///
    /// # Errors
    /// It does not.
    pub fn check_owner(&self, owner: &Owner) -> Result<(), Refusal> {
        match &self.handing_over_to {
            Some(to) => Err(Refusal::HandingOver { from: self.owner.clone(), to: to.clone() }),
            None if self.owner != *owner => Err(Refusal::OtherFleet {
                owner: self.owner.clone(),
                since: self.written_at,
                this: owner.clone(),
            }),
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
        let added = of_four().admits_task(&me, 4, 4).expect_err("it has no state");
        assert!(added == Refusal::Added { laid_out: 4 } && !added.is_final());
        let grown = of_four().admits(&me, 8).expect_err("state is laid out for fewer");
        assert!(grown == Refusal::Grown { laid_out: 4, counted: 8 } && grown.is_final());
        let outdated = of_four().admits(&me, 2).expect_err("state is laid out for more");
        assert!(outdated == Refusal::Outdated { laid_out: 4, counted: 2 } && outdated.is_final());
    }

    #[test]
    fn while_state_moves_or_changes_hands_nobody_goes_live() {
        let moving = FleetRecord { moving_to: Some(8), ..of_four() };
        for count in [4, 8] {
            let refused = moving.admits(&owner("a", "g"), count).expect_err("it moves");
            assert!(refused == Refusal::Repartitioning { from: 4, to: 8 } && !refused.is_final());
        }
        let changing = FleetRecord { handing_over_to: Some(owner("b", "h")), ..of_four() };
        for who in [owner("a", "g"), owner("b", "h")] {
            let refused = changing.admits(&who, 4).expect_err("it changes hands");
            let (from, to) = (owner("a", "g"), owner("b", "h"));
            assert!(!refused.is_final());
            assert_eq!(refused, Refusal::HandingOver { from, to });
        }
    }

    #[test]
    fn another_owner_is_refused_by_both_names_whichever_of_them_differs() {
        for (application, group) in [("b", "h"), ("a", "h"), ("b", "g")] {
            let refused = of_four().admits(&owner(application, group), 4).expect_err("it is another fleet");
            let why = refused.to_string();
            assert!(refused.is_final(), "{why}");
            assert!(why.contains("belongs to application a, group g"), "{why}");
            assert!(why.contains(&format!("this is application {application}, group {group}")), "{why}");
            assert!(
                why.contains("takeover --from-application a --from-group g`") && !why.contains('\n'),
                "{why}"
            );
        }
    }
}

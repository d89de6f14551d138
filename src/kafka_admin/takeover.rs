//! Hands a fleet's state over to another fleet (rule K12), on purpose: to another `kafka.application`, another
//! `kafka.group_id`, or both. Meanwhile no task goes live; afterwards no zombie of the old fleet can commit, and the
//! new fleet goes on where the old one stopped.

use crate::kafka::KafkaFault;
use crate::kafka::fleet::Fleet;
use crate::kafka::restore::Readers;
use crate::kafka::settings::KafkaSettings;
use crate::kafka_admin::repartition::{check_no_worker_runs, fence_all, known, or_beginning};
use crate::kafka_admin::{CommandFault, Report};
use crate::registry::Translator;
use healthflow_core::state::{FleetRecord, Owner};
use healthflow_core::time::Timestamp;

/// Hands the state of `from` over to the owner that `settings` name, of topics with `partitions` partitions. Reports
/// each step. To finish an interrupted run, run it again; to undo it, run it from `from` to `from`.
///
/// # Errors
/// A worker of either fleet runs, `from` does not own the state, a broker does not answer, or `report` fails.
pub fn take_over(
    settings: &KafkaSettings,
    translator: &Translator,
    from: &Owner,
    partitions: u32,
    now: Timestamp,
    report: &mut Report<'_>,
) -> Result<(), CommandFault> {
    let mut report = |line: String| report(line).map_err(CommandFault::Output);
    let to = settings.owner();
    let old = KafkaSettings {
        application: from.application.to_string(),
        group_id: from.group_id.to_string(),
        ..settings.clone()
    };
    check_no_worker_runs(&old)?;
    check_no_worker_runs(settings)?;
    let (fleet, readers) = (Fleet::new(to.clone()), Readers::new(settings)?);
    fleet.rewrite(settings, &readers, translator, |record| {
        let record = record.ok_or(CommandFault::NoFleet)?;
        begin(record, from, &to, now)
    })?;
    report(format!(
        "the state changes hands, from {from} to {to}; no worker of either starts until that is done"
    ))?;
    if *from != to {
        fence_all(&old, partitions.cast_signed())?;
        report(format!("no worker of {from} can commit any more"))?;
    }
    if from.group_id != to.group_id {
        copy_offsets(&Readers::new(&old)?, &readers, translator, partitions)?;
        report(format!("the offsets of group {} are those of group {} now", to.group_id, from.group_id))?;
    }
    fleet.rewrite(settings, &readers, translator, |record| match record {
        Some(record) if record.owner == *from && record.handing_over_to.as_ref() == Some(&to) => {
            Ok(FleetRecord { owner: to.clone(), handing_over_to: None, written_at: now, ..record })
        }
        _ => Err(CommandFault::ChangedMeanwhile),
    })?;
    Ok(())
}

/// The record while the state changes hands.
fn begin(record: FleetRecord, from: &Owner, to: &Owner, now: Timestamp) -> Result<FleetRecord, CommandFault> {
    if record.owner != *from {
        return Err(CommandFault::OwnedByAnother { owner: record.owner, from: from.clone() });
    }
    match &record.handing_over_to {
        None if from == to => Err(CommandFault::OwnedAlready(to.clone())),
        // No task of the other fleet has gone live: the owner may take the state back.
        Some(other) if other != to && from != to => {
            Err(CommandFault::HandedOverToAnother { other: other.clone(), from: from.clone() })
        }
        _ => Ok(FleetRecord { handing_over_to: Some(to.clone()), written_at: now, ..record }),
    }
}

/// Commits the old group's offsets for the new one. A group that never committed leaves nothing to copy.
fn copy_offsets(
    old: &Readers,
    new: &Readers,
    translator: &Translator,
    partitions: u32,
) -> Result<(), KafkaFault> {
    let all = (0..partitions.cast_signed()).map(|partition| known(old, translator, partition));
    let all: Vec<_> = all.collect::<Result<_, _>>()?;
    if all.iter().flatten().all(|lane| lane.next.is_none()) {
        return Ok(());
    }
    for (partition, known) in (0..).zip(all) {
        new.commit_offsets(partition, &or_beginning(new, partition, known)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { application: name.into(), group_id: name.into() }
    }

    #[test]
    fn only_who_has_the_state_hands_it_over_and_only_to_one() {
        let (a, b, c) = (owner("a"), owner("b"), owner("c"));
        let of_a = FleetRecord::new(a.clone(), 4, Timestamp(0));
        let now = Timestamp(1);
        assert!(begin(of_a.clone(), &b, &c, now).is_err(), "it is not b's");
        assert!(begin(of_a.clone(), &a, &a, now).is_err(), "it is a's already");
        let begun = begin(of_a, &a, &b, now).expect("a's");
        assert_eq!(begun.handing_over_to, Some(b.clone()));
        assert_eq!(begin(begun.clone(), &a, &b, now).expect("it was broken off"), begun);
        assert!(begin(begun.clone(), &a, &c, now).is_err(), "b is on the way to it");
        let back = begin(begun, &a, &a, now).expect("a takes it back");
        assert_eq!((back.owner, back.handing_over_to), (a.clone(), Some(a)));
    }
}

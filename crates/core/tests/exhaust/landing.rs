//! What takes effect: requests at HealthFlow, transactions at Kafka, and what their senders hear of it.

use healthflow_core::healthflow::{Reply, Request};
use healthflow_core::processor::{CommitEnded, Input};
use healthflow_core::time::Timestamp;

use crate::healthflow::Met;
use crate::judge;
use crate::moves::Fault;
use crate::owner::{CallStage, CommitStage, told};
use crate::scenario::Scenario;
use crate::situations::{self, Situation};
use crate::world::{Log, PARTITION, TRANSACTION_TIMEOUT_MS, World};

impl World {
    /// What must hold when the bytes of a request go out.
    pub fn judge_send(&mut self, request: &Request, epoch: Option<u64>, scenario: &Scenario, log: &mut Log) {
        if !request.operation().is_write() {
            return;
        }
        let asked = (&scenario.settings, &scenario.records[..]);
        let newest_sent = &mut self.healthflow.change().newest_sent;
        log.judge(judge::send(&self.kafka, newest_sent, (request, epoch), asked, self.now));
    }

    /// HealthFlow carries a request out.
    pub fn carry_out(&mut self, request: &Request, scenario: &Scenario, log: &mut Log) -> Reply {
        let (reply, met) = if request.operation().is_write() {
            self.healthflow.change().carry_out(request, &scenario.nature, self.now)
        } else {
            (self.healthflow.look(request, &scenario.nature, self.now), Met::Nothing)
        };
        if let Some(situation) = situations::of_request(met) {
            log.meet(situation);
        }
        log.tell(|| format!("    HealthFlow carries out {}: {reply:?} {met:?}", told(request)));
        reply
    }

    /// A late request is carried out.
    pub fn land(&mut self, index: u8, scenario: &Scenario, log: &mut Log) {
        let late = self.healthflow.change().late.remove(index as usize);
        log.meet(Situation::LandedLate);
        let _nobody_hears_it = self.carry_out(&late.request, scenario, log);
    }

    /// A call's end is heard.
    pub fn answer(&mut self, o: u8, index: u8, log: &mut Log) {
        let call = self.owners[o as usize].change().calls.remove(index as usize);
        let CallStage::Sent { reply, .. } = call.stage else { return };
        self.turn(o, Input::Answered { call: call.call.id, reply }, log);
    }

    /// A transaction ends; `fault` says if nobody is to know how.
    pub fn commit(&mut self, o: u8, fault: Option<Fault>, scenario: &Scenario, log: &mut Log) {
        let Some(commit) = self.owners[o as usize].commit.clone() else { return };
        let CommitStage::UnderWay { aborts, .. } = commit.stage else { return };
        let in_time = self.now < commit.started_at.plus_ms(TRANSACTION_TIMEOUT_MS).0;
        let is_fenced = commit.epoch != self.kafka.epoch;
        let is_good = in_time && !is_fenced && fault != Some(Fault::CommitLost);
        if is_fenced {
            log.meet(Situation::ZombieFenced);
        }
        log.tell(|| {
            format!("    commit #{} of owner {o}: {}", commit.sequence, told_batch(&commit, is_good))
        });
        if is_good {
            let before = self.kafka.offsets.clone();
            let kafka = self.kafka.change();
            for broken in kafka.apply(&commit.batch, self.now) {
                log.judge(Some(broken));
            }
            log.judge(judge::committed_offsets(&self.kafka, &before, &scenario.records));
        }
        // A transaction that was aborted was begun again: the lease runs from the one that is good.
        let started_at = if aborts > 0 { Timestamp(self.now) } else { commit.started_at };
        let ended = if is_good && fault.is_none() {
            CommitEnded::Good { started_at, aborts }
        } else {
            CommitEnded::TaskLost
        };
        if let Some(commit) = &mut self.owners[o as usize].change().commit {
            commit.stage = CommitStage::Ended(ended);
        }
    }

    /// An owner hears how its transaction ended.
    pub fn tell_commit(&mut self, o: u8, log: &mut Log) {
        let Some(commit) = self.owners[o as usize].change().commit.take() else { return };
        let CommitStage::Ended(ended) = commit.stage else { return };
        let (partition, incarnation, sequence) = (PARTITION, commit.incarnation, commit.sequence);
        self.turn(o, Input::CommitEnded { partition, incarnation, sequence, ended }, log);
    }
}

fn told_batch(commit: &crate::owner::Commit, is_good: bool) -> String {
    use healthflow_core::event::Outgoing;
    use healthflow_core::state::StateRecord;
    let mut text = if is_good { "good".to_owned() } else { "lost".to_owned() };
    for record in &commit.batch.records {
        text.push_str(&match record {
            Outgoing::Synced(done) => {
                format!(", {} v{} {:?}", done.identity.key, done.identity.version, done.outcome)
            }
            Outgoing::Retry(entry) => {
                format!(", {} v{} parked ({})", entry.booking.key, entry.booking.version, entry.generation)
            }
            Outgoing::State(state) => match &**state {
                StateRecord::Booking(key, state) => {
                    let intent = state.intent.as_ref().map(|intent| intent.operation);
                    format!(", [{key}: newest {}, intent {intent:?}]", state.newest)
                }
                StateRecord::Task(positions) => format!(", [{:?}]", positions.next_offsets),
                StateRecord::Quota(owner, counts) => format!(", {owner:?} {counts:?}"),
                StateRecord::Patient(_, state) => {
                    format!(", [a patient: link {}, intent {}]", state.link.is_some(), state.intent.is_some())
                }
            },
            other => format!(", {other:?}"),
        });
    }
    text
}

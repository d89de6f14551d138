//! A producer's new schema that the registry's followers learn late: every other record waits until it is known, and what lies
//! behind it passes. Whoever takes such a record for read loses its booking with the next restart.

use healthflow_core::event::Arrival;
use healthflow_core::life::TaskLife;
use healthflow_core::processor::Input;
use healthflow_core::topics::Lane;

use crate::coverage::Phase;
use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::plan::BEGIN_MS;
use crate::worker::Deed;
use crate::world::World;
use healthflow_proof::random::Random;

/// When nobody knows the new schema.
#[derive(Clone, Copy, Debug)]
pub struct NewSchema {
    pub from: i64,
    pub until: i64,
}

impl NewSchema {
    /// That of a life, if it has one. A chance of its own: other lives stay as they are.
    pub fn draw(seed: u64, faults_until: i64) -> Option<NewSchema> {
        let mut random = Random::new(seed.wrapping_mul(41) + 13);
        let from = random.between(BEGIN_MS, faults_until - 5_000);
        let until = (from + random.between(1_000, 60_000)).min(faults_until);
        random.chance(0.1).then_some(NewSchema { from, until })
    }
}

impl World {
    /// Keeps what cannot be read yet and says that it is there; gives the rest.
    pub fn wait_for_schema(
        &mut self,
        worker: usize,
        TaskLife { partition, incarnation }: TaskLife,
        lane: Lane,
        fetched: Vec<(i64, Arrival)>,
    ) -> Vec<(i64, Arrival)> {
        let is_unknown = |schema: &NewSchema| (schema.from..schema.until).contains(&self.now);
        let Some(schema) = self.plan.new_schema.filter(is_unknown).filter(|_| lane == Lane::Requested) else {
            return fetched;
        };
        let is_new =
            |(offset, arrival): &(i64, Arrival)| offset % 2 == 0 && !matches!(arrival, Arrival::Misrouted(_));
        let (waiting, known): (Vec<_>, Vec<_>) = fetched.into_iter().partition(is_new);
        for &(offset, _) in &waiting {
            self.coverage.strikes(FaultKind::SchemaUnknown);
            self.coverage.meets(FaultKind::SchemaUnknown, Phase::Any);
            self.story.tell(self.now, || format!("w{worker} cannot read p{partition}@{offset} yet"));
            if !self.plan.has(Defect::DelayUntold) {
                let (size_bytes, written_at) = (600, None);
                let input = Input::Delayed { partition, incarnation, lane, offset, size_bytes, written_at };
                self.workers[worker].inbox.push(input);
            }
        }
        if !waiting.is_empty() {
            let ms = schema.until - self.now + self.random.between(0, 2_000);
            self.worker_does(worker, ms, Deed::SchemaKnown { partition, incarnation, lane, waiting });
        }
        known
    }
}

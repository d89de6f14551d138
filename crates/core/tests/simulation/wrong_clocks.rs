//! Machines that boot with a clock that is days off, and are mended by the network's time a little later: whoever started in
//! between keeps the wrong idea of now for life. In some lives workers compare their clock with the brokers' at the start, and
//! do not start with such a one; in the others they do, and what they wrote down must do no harm.

use crate::faults::{FaultEvent, FaultKind};
use crate::worker::Running;
use crate::world::{Event, World};
use healthflow_core::time::DAY_MS;

/// How far such a clock is off: longer than the retry topic keeps what waits.
const FAR_MS: i64 = 20 * DAY_MS;
/// What a worker that looks refuses to start with; further than clocks differ in any life.
const REFUSED_MS: i64 = 3_600_000;

impl World {
    /// A machine crashes, and comes back with a wrong clock.
    pub fn boots_with_a_wrong_clock(&mut self) {
        let worker = self.random.below(self.workers.len());
        if self.workers[worker].running != Running::Up {
            return;
        }
        let far_ms = if self.random.chance(0.5) { FAR_MS } else { -FAR_MS };
        self.strike(worker, FaultKind::WrongClock);
        self.workers[worker].machine_skew_ms = far_ms;
        self.story
            .tell(self.now, || format!("the machine of w{worker} crashes; its clock is {far_ms} ms off"));
        self.is_killed(worker, 15_000);
        let ms = self.random.between(500, 30_000);
        self.after(ms, Event::Fault(FaultEvent::ClockMended(worker)));
    }

    /// The network's time arrives; a process that runs does not see it.
    pub fn clock_is_mended(&mut self, worker: usize) {
        let most_ms = self.plan.skew_max_ms;
        self.workers[worker].machine_skew_ms = self.random.between(-most_ms, most_ms);
    }

    /// Whether a worker that starts now is refused for its clock; then its supervisor tries again.
    pub fn refuses_its_clock(&mut self, worker: usize) -> bool {
        let is_far = self.workers[worker].machine_skew_ms.abs() > REFUSED_MS;
        let refuses = is_far && self.plan.clocks_are_compared;
        if refuses {
            self.story.tell(self.now, || format!("w{worker} does not start with its clock"));
            let ms = self.random.between(500, 5_000);
            self.after(ms, Event::Fault(FaultEvent::Restart(worker)));
        }
        refuses
    }
}

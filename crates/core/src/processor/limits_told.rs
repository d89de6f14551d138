//! What HealthFlow's answers tell of its limits, obeyed: where nothing is left all calls wait as after a 429, where little is
//! left they go out more slowly, and a limit that nobody configured is reported once. A limit that is configured for practices or
//! for some operations holds only those.

use crate::fact::{Fact, PauseCause};
use crate::healthflow::{LimitsTold, PolicyTold};
use crate::life::CallId;
use crate::limits::Asked;
use crate::processor::Processor;
use crate::processor::account_signal::whose;
use crate::time::Timestamp;

impl Processor {
    /// The answer to a call reports limits.
    pub(super) fn limits_told(&mut self, id: CallId, told: &LimitsTold, now: Timestamp) {
        let mut of_all = LimitsTold { asks_to_wait: told.asks_to_wait, ..LimitsTold::default() };
        for policy in &told.policies {
            let call = self.calls.get(&id);
            let asking = call.map(|call| call.job.asking(call.partition, call.operation));
            if asking.is_some_and(|asking| self.shared.limits.told(policy, asking, now)) {
                continue;
            }
            self.account.told(policy, now);
            self.report_unknown(policy);
            of_all.policies.push(policy.clone());
        }
        if let Some(wait_ms) = of_all.wait_ms().filter(|_| !told.asks_to_wait) {
            self.nothing_is_left(id, wait_ms, now);
        }
    }

    /// The rules for a 429 hold: the limit may be the account's, or one of an endpoint.
    fn nothing_is_left(&mut self, id: CallId, wait_ms: i64, now: Timestamp) {
        let Some(call) = self.calls.get(&id) else { return };
        let (practice, booking) = whose(&call.job);
        let was_sending = self.account.paused_until(now).is_none();
        let asked = self.account.throttled(id.0, &practice, None, Some(wait_ms), wait_ms, now);
        if let Asked::All(until) = asked
            && was_sending
        {
            self.facts.push_back(Fact::AccountPaused { until, why: PauseCause::UsedUp, practice, booking });
        }
    }

    fn report_unknown(&mut self, policy: &PolicyTold) {
        let PolicyTold { name, calls: Some(calls), window_s, .. } = policy else { return };
        if !self.shared.limits.is_known(policy) && self.account.is_news(name, *calls, *window_s) {
            let (name, calls, window_s) = (name.clone(), *calls, *window_s);
            self.facts.push_back(Fact::LimitUnknown { name, calls, window_s });
        }
    }
}

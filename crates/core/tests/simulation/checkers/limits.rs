//! Promise 6, for the limits that the operator states: over all workers no window of any of them sees more than it allows. The
//! exceptions are those of the requests a second (`rate_limit`): who does not know that its part went to others may use it on.
//! Workers whose clocks differ do not agree when a window begins; of them it is not asked.

use std::collections::BTreeMap;

use healthflow_core::booking::PracticeId;
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::limits::window::Window;
use healthflow_core::limits::{Policy, Scope};
use healthflow_proof::promises::limits::overfull;

use crate::checkers::shared_counter;
use crate::plan::Plan;

/// Until the message that a share is lost is heard.
const UNAWARE_MS: i64 = 1_700;

#[derive(Debug, Default)]
pub struct Limits {
    calls: Vec<(i64, Option<PracticeId>, Operation)>,
    /// When two workers may have used one part.
    unsure: Vec<(i64, i64)>,
}

impl Limits {
    /// A worker lets a call go.
    pub fn called(&mut self, request: &Request, now: i64) {
        self.calls.push((now, practice(request).cloned(), request.operation()));
    }

    /// A worker's share went to others; it is told at this time.
    pub fn shared_twice(&mut self, now: i64, until: i64) {
        self.unsure.push((now, until + UNAWARE_MS));
    }

    pub fn broken(&self, plan: &Plan) -> Option<String> {
        let is_asked = plan.skew_max_ms == 0;
        plan.settings.limits.iter().filter(|_| is_asked).find_map(|policy| self.broken_policy(policy, plan))
    }

    /// What is asked of workers that share a counter.
    pub fn overfull(&self, plan: &Plan) -> Option<String> {
        let calls: Vec<i64> = self.calls.iter().map(|(at, ..)| *at).collect();
        shared_counter::overfull(&calls, plan, |begin, end| self.is_unsure(begin, end))
    }

    /// A part that was used twice counts until its window is over.
    fn is_unsure(&self, begin: i64, end: i64) -> bool {
        let within = |(from, until): &(i64, i64)| *from < end && begin < *until + (end - begin);
        self.unsure.iter().any(within)
    }

    fn broken_policy(&self, policy: &Policy, plan: &Plan) -> Option<String> {
        let mut by_practice: BTreeMap<Option<&PracticeId>, Vec<i64>> = BTreeMap::new();
        for (at, practice, operation) in &self.calls {
            let of = if policy.scope == Scope::Practice { practice.as_ref() } else { None };
            let counts =
                policy.operations.has(*operation) && (of.is_some() || policy.scope == Scope::Account);
            if counts {
                by_practice.entry(of).or_default().push(*at);
            }
        }
        // The part of a worker in a rolling window of the account may be rounded up by one call.
        let rounded = if policy.scope == Scope::Account { plan.workers } else { 0 };
        let window_ms = i64::try_from(policy.window.length_s()?).ok()? * 1_000;
        let is_rolling = matches!(policy.window, Window::Rolling { .. });
        let most = policy.calls as usize + if is_rolling { policy.burst as usize + rounded } else { 0 };
        let window = (window_ms, !is_rolling);
        by_practice.into_iter().find_map(|(practice, calls)| {
            let (begin, within) = overfull(&calls, window, most, |begin, end| self.is_unsure(begin, end))?;
            Some(format!("{}: {within} calls of {practice:?} in the window from {begin}", policy.name))
        })
    }
}

fn practice(request: &Request) -> Option<&PracticeId> {
    match request {
        Request::SearchPatients { practice, .. }
        | Request::FindAppointment { practice, .. }
        | Request::ReadPatient { practice, .. } => Some(practice),
        Request::CreatePatient { content, .. } => Some(&content.practice),
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            Some(&content.practice)
        }
        Request::ReadAppointment { .. } => None,
    }
}

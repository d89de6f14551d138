//! Promise 6, for the limits that the operator states: over all workers no window of any of them sees more than it allows. The
//! exceptions are those of the requests a second (`rate_limit`): who does not know that its part went to others may use it on.
//! Workers whose clocks differ do not agree when a window begins; of them it is not asked.

use std::collections::BTreeMap;

use healthflow_core::booking::{PracticeId, Source};
use healthflow_core::healthflow::{Operation, Request};
use healthflow_core::limits::window::Window;
use healthflow_core::limits::{Policy, Scope};
use healthflow_core::state::{QuotaOwner, TaskState};
use healthflow_core::time::Timestamp;
use healthflow_proof::promises::limits::overfull;
use healthflow_proof::promises::sending::booking_of;

use crate::checkers::shared_counter;
use crate::lives::Lives;
use crate::plan::Plan;

/// Until the message that a share is lost is heard.
const UNAWARE_MS: i64 = 1_700;

#[derive(Debug, Default)]
pub struct Limits {
    calls: Vec<(i64, Option<PracticeId>, Operation)>,
    /// Writes of appointments that are history.
    history: Vec<(i64, Option<PracticeId>, Operation)>,
    /// When two workers may have used one part.
    unsure: Vec<(i64, i64)>,
    /// How many calls of a long limit went out in a window: by limit, practice and begin.
    in_window: BTreeMap<(Box<str>, QuotaOwner, Timestamp), u32>,
}

impl Limits {
    /// A worker lets a call go.
    pub fn called(&mut self, request: &Request, lives: &Lives, now: i64) {
        let call = (now, practice(request).cloned(), request.operation());
        if is_history(request, lives) {
            self.history.push(call.clone());
        }
        self.calls.push(call);
    }

    /// What state counts of a long window is never less than the calls that went out in it: so whoever takes over goes on from there.
    pub fn uncounted(
        &mut self,
        request: &Request,
        states: &[&TaskState],
        plan: &Plan,
        now: Timestamp,
    ) -> Option<String> {
        let counts = |policy: &&Policy| is_asked(policy, plan) && policy.operations.has(request.operation());
        for policy in plan.settings.limits.iter().filter(|policy| policy.is_long()).filter(counts) {
            let Window::Fixed(window) = &policy.window else { continue };
            let (begin, _) = window.around(now);
            let owner = if policy.scope == Scope::Practice { Some(practice(request)?.clone()) } else { None };
            let went_out = self.in_window.entry((policy.name.clone(), owner.clone(), begin)).or_default();
            *went_out += 1;
            let of_owner = states.iter().filter_map(|state| state.quotas.get(&owner)).flatten();
            let of_window = of_owner.filter(|count| *count.limit == *policy.name && count.begin == begin);
            let counted: u32 = of_window.map(|count| count.calls).sum();
            if *went_out > counted {
                return Some(format!(
                    "{}: call {went_out} of {owner:?} went out, {counted} are counted",
                    policy.name
                ));
            }
        }
        None
    }

    /// A worker's share went to others; it is told at this time.
    pub fn shared_twice(&mut self, now: i64, until: i64) {
        self.unsure.push((now, until + UNAWARE_MS));
    }

    pub fn broken(&self, plan: &Plan) -> Option<String> {
        let policies = || plan.settings.limits.iter().filter(|policy| is_asked(policy, plan));
        let too_many = || policies().find_map(|policy| self.broken_policy(policy, plan));
        let reserve = || policies().find_map(|policy| self.broken_reserve(policy, plan));
        too_many().or_else(reserve)
    }

    /// What is kept for live bookings of a long window is theirs, but for a booking of history that had begun.
    fn broken_reserve(&self, policy: &Policy, plan: &Plan) -> Option<String> {
        if !policy.is_long() || !matches!(policy.window, Window::Fixed(_)) {
            return None;
        }
        let for_history = (f64::from(policy.calls) * (1.0 - plan.settings.reserve_for_live) + 1e-6) as usize;
        let begun = if policy.scope == Scope::Account && plan.partitions > 1 { 4 * plan.workers } else { 0 };
        let window_ms = i64::try_from(policy.window.length_s()?).ok()? * 1_000;
        let found = counted(&self.history, policy).into_iter().find_map(|(practice, calls)| {
            let (begin, within) = overfull(&calls, (window_ms, true), for_history + begun, |_, _| false)?;
            Some((practice, begin, within))
        });
        let (practice, begin, within) = found?;
        Some(format!("{}: {within} calls of history of {practice:?} in the window from {begin}", policy.name))
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
        // The part of a worker in a rolling window of the account may be rounded up by one call; a long one is counted.
        let is_rounded = policy.scope == Scope::Account && !policy.is_long();
        let rounded = if is_rounded { plan.workers } else { 0 };
        let window_ms = i64::try_from(policy.window.length_s()?).ok()? * 1_000;
        let is_rolling = matches!(policy.window, Window::Rolling { .. });
        let most = policy.calls as usize + if is_rolling { policy.burst as usize + rounded } else { 0 };
        let window = (window_ms, !is_rolling);
        // Of a long window nothing is used twice.
        let is_unsure = |begin: i64, end: i64| !policy.is_long() && self.is_unsure(begin, end);
        counted(&self.calls, policy).into_iter().find_map(|(practice, calls)| {
            let (begin, within) = overfull(&calls, window, most, is_unsure)?;
            Some(format!("{}: {within} calls of {practice:?} in the window from {begin}", policy.name))
        })
    }
}

/// Workers whose clocks differ do not agree when a window begins, and whose clock jumps by weeks counts a long one in another window.
fn is_asked(policy: &Policy, plan: &Plan) -> bool {
    plan.skew_max_ms == 0 && !(policy.is_long() && plan.faults.wrong_clock_every_ms > 0)
}

type Calls = [(i64, Option<PracticeId>, Operation)];

/// The calls that count in a limit: of the account, or by practice.
fn counted<'a>(calls: &'a Calls, policy: &Policy) -> BTreeMap<Option<&'a PracticeId>, Vec<i64>> {
    let mut by_practice: BTreeMap<Option<&PracticeId>, Vec<i64>> = BTreeMap::new();
    for (at, practice, operation) in calls {
        let of = if policy.scope == Scope::Practice { practice.as_ref() } else { None };
        let counts = policy.operations.has(*operation) && (of.is_some() || policy.scope == Scope::Account);
        if counts {
            by_practice.entry(of).or_default().push(*at);
        }
    }
    by_practice
}

/// Whether an appointment is written of which every version is history.
fn is_history(request: &Request, lives: &Lives) -> bool {
    let (Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. }) = request
    else {
        return false;
    };
    let key = booking_of(content);
    let mut versions = lives.wanted.range(key.versions());
    versions.all(|(_, booking)| booking.source == Source::Backfill)
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

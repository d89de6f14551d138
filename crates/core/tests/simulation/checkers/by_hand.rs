//! What an operator stopped or limited stays so: a process lets no call go of whom it has read to be paused, be it in its first
//! moment, and of a limited practice no more than its limit and one burst in any second.

use std::collections::{BTreeMap, VecDeque};

use healthflow_core::booking::PracticeId;
use healthflow_core::healthflow::Request;
use healthflow_core::limits::Controls;

/// What one process has read, and what it let go since.
#[derive(Debug, Default)]
pub struct ObeysOperators {
    controls: Controls,
    within: BTreeMap<PracticeId, VecDeque<i64>>,
}

impl ObeysOperators {
    /// A process that starts has read everything.
    pub fn new(controls: Controls) -> Self {
        ObeysOperators { controls, within: BTreeMap::new() }
    }

    /// It has read this.
    pub fn reads(&mut self, controls: &Controls) {
        self.controls = controls.clone();
        self.within.clear();
    }

    /// It lets a call go; what that breaks.
    pub fn calls(&mut self, request: &Request, now: i64) -> Option<String> {
        if self.controls.is_account_paused() {
            return Some(format!("lets {} go although everything is paused", request.operation().code()));
        }
        let practice = practice_of(request)?;
        if self.controls.is_practice_paused(practice) {
            return Some(format!("lets {} of {practice} go, which is paused", request.operation().code()));
        }
        let rate = self.controls.per_second(Some(practice))?;
        let within = self.within.entry(practice.clone()).or_default();
        within.push_back(now);
        while within.front().is_some_and(|first| now - first >= 1_000) {
            within.pop_front();
        }
        let most = rate + (rate / 10.0).max(1.0);
        (within.len() as f64 > most)
            .then(|| format!("lets {} calls of {practice} go within a second, of {rate}", within.len()))
    }
}

fn practice_of(request: &Request) -> Option<&PracticeId> {
    match request {
        Request::CreateAppointment { content, .. } | Request::UpdateAppointment { content, .. } => {
            Some(&content.practice)
        }
        Request::CreatePatient { content, .. } => Some(&content.practice),
        Request::FindAppointment { practice, .. }
        | Request::SearchPatients { practice, .. }
        | Request::ReadPatient { practice, .. } => Some(practice),
        Request::ReadAppointment { .. } => None,
    }
}

//! Rule K5, which promise 5 rests on: no older version of a booking is sent after a newer one.

use std::collections::BTreeMap;

use healthflow_core::booking::{BookingKey, Version};
use healthflow_core::healthflow::Request;
use healthflow_core::settings::GuardMode;
use healthflow_proof::promises::sending;

use crate::lives::Lives;

#[derive(Debug, Default)]
pub struct NoStepBack(BTreeMap<BookingKey, Version>);

impl NoStepBack {
    /// A write goes out; what it breaks.
    pub fn sent(&mut self, request: &Request, lives: &Lives, guard: GuardMode) -> Option<String> {
        sending::no_step_back(&mut self.0, request, guard, lives.same_as(request))
    }
}

//! Rule W1, which promise 2 rests on: no write goes out unless a committed intent says that it may.

use healthflow_core::healthflow::Request;
use healthflow_core::settings::GuardMode;
use healthflow_core::state::TaskState;
use healthflow_proof::promises::sending;

use crate::lives::Lives;

/// What is wrong with sending `request` while `state` is what stands.
pub fn broken(state: &TaskState, request: &Request, guard: GuardMode, lives: &Lives) -> Option<String> {
    sending::intent_first(state, request, guard, lives.same_as(request))
}

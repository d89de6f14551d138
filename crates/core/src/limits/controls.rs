//! What operators set by hand, as it is in force: who is paused, how fast each may be served, and how much beside others.
//! Every worker has the same value, from the same topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::booking::PracticeId;
use crate::event::{Control, ControlId, ControlKind, Setting, key};
use crate::time::Timestamp;

/// The weight of a practice for which none is set.
pub const WEIGHT_USUAL: u32 = 1;

/// All controls, those included that were taken back: a newer record must be newer than those too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Controls {
    newest: BTreeMap<ControlId, Control>,
    /// Whether the whole account is paused.
    is_account_paused: bool,
    /// The practices that are paused, each by itself.
    paused: BTreeSet<PracticeId>,
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Nothing is sent any more.
    Pause,
    /// It is sent again.
    Resume,
    /// What is given is set, the rest stays as it is.
    SetLimit {
        /// Calls a second at most.
        per_second: Option<f64>,
        /// The share beside other practices.
        weight: Option<u32>,
    },
    /// No limit and no weight any more.
    ClearLimit,
}

/// Who wants it, why and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Who.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// When.
    pub at: Timestamp,
}

impl Controls {
    /// Takes a control; false, and nothing happens, if it is not newer than what is known of it.
    pub fn take(&mut self, control: Control) -> bool {
        if self.newest.get(&control.id).is_some_and(|known| known.version >= control.version) {
            return false;
        }
        if control.id.kind == ControlKind::Pause {
            let is_paused = control.setting.is_some();
            match &control.id.practice {
                None => self.is_account_paused = is_paused,
                Some(practice) if is_paused => drop(self.paused.insert(practice.clone())),
                Some(practice) => drop(self.paused.remove(practice)),
            }
        }
        self.newest.insert(control.id.clone(), control);
        true
    }

    /// Forgets a control whose record was removed under this key, as if it had never been set.
    pub fn forget(&mut self, key: &[u8]) {
        self.newest.retain(|id, _| key::control(id).as_bytes() != key);
        let is_paused = |practice: Option<&PracticeId>| {
            let id = ControlId { kind: ControlKind::Pause, practice: practice.cloned() };
            self.newest.get(&id).is_some_and(|control| control.setting.is_some())
        };
        self.paused.retain(|practice| is_paused(Some(practice)));
        self.is_account_paused = is_paused(None);
    }

    /// The newest record of a control, also if it was taken back.
    pub fn newest(&self, id: &ControlId) -> Option<&Control> {
        self.newest.get(id)
    }

    /// What is in force, in the order of the ids.
    pub fn in_force(&self) -> impl Iterator<Item = &Control> {
        self.newest.values().filter(|control| control.setting.is_some())
    }

    /// What is newer here than in `older`.
    pub fn changed_since<'all>(&'all self, older: &'all Controls) -> impl Iterator<Item = &'all Control> {
        self.newest.values().filter(|control| {
            older.newest.get(&control.id).is_none_or(|known| known.version < control.version)
        })
    }

    /// Whether the whole account is paused.
    pub fn is_account_paused(&self) -> bool {
        self.is_account_paused
    }

    /// Whether this practice is paused by itself.
    pub fn is_practice_paused(&self, practice: &PracticeId) -> bool {
        !self.paused.is_empty() && self.paused.contains(practice)
    }

    /// The practices that are paused, each by itself.
    pub fn paused_practices(&self) -> impl Iterator<Item = &PracticeId> {
        self.paused.iter()
    }

    /// The practices for which a rate is set.
    pub fn limited_practices(&self) -> impl Iterator<Item = &PracticeId> {
        let has_rate = |control: &&Control| {
            matches!(control.setting, Some(Setting::Limited { per_second: Some(_), .. }))
        };
        self.newest.values().filter(has_rate).filter_map(|control| control.id.practice.as_ref())
    }

    /// Calls a second at most for the account (none) or a practice, if that is set.
    pub fn per_second(&self, practice: Option<&PracticeId>) -> Option<f64> {
        self.limit(practice).and_then(|(per_second, _)| per_second)
    }

    /// How much of the rate a practice gets beside others.
    pub fn weight(&self, practice: &PracticeId) -> u32 {
        self.limit(Some(practice)).and_then(|(_, weight)| weight).unwrap_or(WEIGHT_USUAL)
    }

    fn limit(&self, practice: Option<&PracticeId>) -> Option<(Option<f64>, Option<u32>)> {
        if self.newest.is_empty() {
            return None;
        }
        let id = ControlId { kind: ControlKind::Limit, practice: practice.cloned() };
        match self.newest.get(&id)?.setting? {
            Setting::Limited { per_second, weight } => Some((per_second, weight)),
            Setting::Paused => None,
        }
    }

    /// The record that makes `change` so, for the account (none) or a practice; none if there is nothing to take back.
    pub fn next(&self, practice: Option<PracticeId>, change: Change, signed: Signed) -> Option<Control> {
        let kind = match change {
            Change::Pause | Change::Resume => ControlKind::Pause,
            Change::SetLimit { .. } | Change::ClearLimit => ControlKind::Limit,
        };
        let id = ControlId { kind, practice };
        let known = self.newest.get(&id);
        let was = known.and_then(|known| known.setting);
        let setting = match (change, was) {
            (Change::Pause, _) => Some(Setting::Paused),
            (
                Change::SetLimit { per_second, weight },
                Some(Setting::Limited { per_second: rate, weight: share }),
            ) => Some(Setting::Limited { per_second: per_second.or(rate), weight: weight.or(share) }),
            (Change::SetLimit { per_second, weight }, _) => Some(Setting::Limited { per_second, weight }),
            (Change::Resume | Change::ClearLimit, None) => return None,
            (Change::Resume | Change::ClearLimit, Some(_)) => None,
        };
        let version = known.map_or(0, |known| known.version).saturating_add(1);
        let Signed { by, why, at } = signed;
        Some(Control { id, version, setting, by, why, at })
    }
}

#[cfg(test)]
mod tests;

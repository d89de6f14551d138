//! `healthflow.controls`: what an operator set by hand while workers run. A pause or a limit that only one worker knew, or
//! that was gone with a restart, would be worse than none; so it is a record, and it says who set it and why.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::booking::check::{self, Invalid};
use crate::booking::{PracticeId, texts};
use crate::coded::coded;
use crate::event::key;
use crate::time::Timestamp;

/// The lowest rate that can be set by hand, in calls a second; less than that is a pause.
const PER_SECOND_MIN: f64 = 0.01;
/// The highest.
const PER_SECOND_MAX: f64 = 100_000.0;
/// The largest weight of a practice.
const WEIGHT_MAX: u32 = 100;

coded! {
    /// What can be set by hand; the code begins the control's id, and is the label of metrics.
    pub enum ControlKind {
        /// Nothing is sent.
        Pause = "pause",
        /// So many calls a second at most, and a weight beside other practices.
        Limit = "limit",
    }
}

/// Which control: what is set, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId {
    /// What.
    pub kind: ControlKind,
    /// For which practice; none for the whole account.
    pub practice: Option<PracticeId>,
}

/// One control as it was written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Which.
    pub id: ControlId,
    /// How often it was written.
    pub version: u32,
    /// What it sets; none if it is taken back.
    pub setting: Option<Setting>,
    /// Who set it or took it back.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// What a control sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Nothing is sent.
    Paused,
    /// At most one of both is none.
    Limited {
        /// Calls a second at most, of the whole fleet.
        per_second: Option<f64>,
        /// The share beside other practices.
        weight: Option<u32>,
    },
}

/// No rate is NaN: the check refuses it.
impl Eq for Setting {}

/// The version says what else is in it: no two records of a control share one.
impl Hash for Control {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.id, self.version, self.setting.is_some()).hash(hasher);
    }
}

/// The record, field by field as in `schemas/healthflow.controls.avsc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Control")]
pub struct ControlRecord {
    /// The id, as the key has it.
    pub control_id: Arc<str>,
    /// What is set.
    kind: KindSymbol,
    /// For whom.
    pub practice_id: Option<PracticeId>,
    /// How often this control was written.
    pub version: i64,
    /// The version that its writer found.
    pub replaces: i64,
    /// Whether it is taken back.
    pub cleared: bool,
    /// With `LIMIT`.
    pub per_second: Option<f64>,
    /// With `LIMIT` of a practice.
    pub weight: Option<i32>,
    /// Who.
    pub set_by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// When.
    pub set_at: Timestamp,
}

/// A kind as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "ControlKind", rename_all = "SCREAMING_SNAKE_CASE")]
enum KindSymbol {
    /// See [`ControlKind::Pause`].
    Pause,
    /// See [`ControlKind::Limit`].
    Limit,
    /// A kind that a newer schema knows.
    Unknown,
}

impl From<&Control> for ControlRecord {
    fn from(control: &Control) -> Self {
        let Control { id, version, setting, by, why, at } = control;
        let (per_second, weight) = match setting {
            Some(Setting::Limited { per_second, weight }) => (*per_second, *weight),
            Some(Setting::Paused) | None => (None, None),
        };
        ControlRecord {
            control_id: key::control(id).into(),
            kind: match id.kind {
                ControlKind::Pause => KindSymbol::Pause,
                ControlKind::Limit => KindSymbol::Limit,
            },
            practice_id: id.practice.clone(),
            version: i64::from(*version),
            replaces: i64::from(*version) - 1,
            cleared: setting.is_none(),
            per_second,
            weight: weight.and_then(|weight| i32::try_from(weight).ok()),
            set_by: by.clone(),
            why: why.clone(),
            set_at: *at,
        }
    }
}

fn broken(field: &'static str, rule: &'static str) -> Invalid {
    Invalid { field, rule }
}

impl ControlRecord {
    /// The control, if it is a valid one.
    ///
    /// # Errors
    /// The field and the rule that it breaks.
    pub fn into_control(self) -> Result<Control, Invalid> {
        let kind = match self.kind {
            KindSymbol::Pause => ControlKind::Pause,
            KindSymbol::Limit => ControlKind::Limit,
            KindSymbol::Unknown => return Err(broken("kind", "must be PAUSE or LIMIT")),
        };
        if let Some(practice) = &self.practice_id {
            texts::PRACTICE_ID.check(practice.as_str())?;
        }
        let texts = [("set_by", &self.set_by), ("why", &self.why)];
        texts.into_iter().try_for_each(|(field, text)| texts::EVENT_ID.named(field).check(text))?;
        check::instant("set_at", self.set_at)?;
        let id = ControlId { kind, practice: self.practice_id };
        if *key::control(&id) != *self.control_id {
            return Err(broken("control_id", "must name the kind and the practice"));
        }
        let version = u32::try_from(self.version).ok().filter(|version| *version > 0);
        let version = version.ok_or_else(|| broken("version", "must be 1 or more"))?;
        if self.replaces != self.version - 1 {
            return Err(broken("replaces", "must be the version before"));
        }
        let weight = self.weight.map(|weight| u32::try_from(weight).unwrap_or(0));
        let setting = match (self.cleared, id.kind) {
            (true, _) => None,
            (false, ControlKind::Pause) => Some(Setting::Paused),
            (false, ControlKind::Limit) => Some(limited(&id, self.per_second, weight)?),
        };
        Ok(Control { id, version, setting, by: self.set_by, why: self.why, at: self.set_at })
    }
}

/// A limit that may be set.
///
/// # Errors
/// The field and the rule that it breaks.
pub fn limited(id: &ControlId, per_second: Option<f64>, weight: Option<u32>) -> Result<Setting, Invalid> {
    if per_second.is_some_and(|rate| !(PER_SECOND_MIN..=PER_SECOND_MAX).contains(&rate)) {
        return Err(broken("per_second", "must be between 0.01 and 100000; to send nothing, pause"));
    }
    if weight.is_some_and(|weight| !(1..=WEIGHT_MAX).contains(&weight)) {
        return Err(broken("weight", "must be between 1 and 100"));
    }
    if weight.is_some() && id.practice.is_none() {
        return Err(broken("weight", "must be of a practice: the account has nobody beside it"));
    }
    if per_second.is_none() && weight.is_none() {
        return Err(broken("per_second", "must be there, or a weight"));
    }
    Ok(Setting::Limited { per_second, weight })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample::{NOW, decoder, encoder};
    use crate::topics::CONTROLS;

    fn limit(practice: Option<&str>, per_second: Option<f64>, weight: Option<u32>) -> Control {
        Control {
            id: ControlId { kind: ControlKind::Limit, practice: practice.map(PracticeId::from) },
            version: 3,
            setting: Some(Setting::Limited { per_second, weight }),
            by: "ops-2".into(),
            why: "their import runs twice".into(),
            at: NOW,
        }
    }

    fn pause(setting: Option<Setting>) -> Control {
        Control {
            id: ControlId { kind: ControlKind::Pause, practice: None },
            setting,
            ..limit(None, None, None)
        }
    }

    #[test]
    fn a_control_is_read_as_it_was_written() {
        let all = [
            limit(Some("a/b%"), Some(2.5), Some(3)),
            limit(None, Some(50.0), None),
            pause(Some(Setting::Paused)),
            pause(None),
        ];
        for control in all {
            let mut value = Vec::new();
            encoder(CONTROLS).encode(&ControlRecord::from(&control), &mut value).expect("fits its schema");
            let read: ControlRecord = decoder(CONTROLS).decode(&value).expect("is read");
            assert_eq!(read.into_control(), Ok(control));
        }
        assert_eq!(key::control(&limit(Some("a/b%"), None, None).id), "limit/practice/a%2Fb%25");
        assert_eq!(key::control(&pause(None).id), "pause/account");
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_by_its_field() {
        let record = || ControlRecord::from(&limit(Some("p"), Some(1.0), None));
        let refused = |record: ControlRecord| record.into_control().map_err(|why| why.field).err();
        assert_eq!(refused(record()), None);
        assert_eq!(refused(ControlRecord { kind: KindSymbol::Unknown, ..record() }), Some("kind"));
        assert_eq!(
            refused(ControlRecord { control_id: "limit/account".into(), ..record() }),
            Some("control_id")
        );
        assert_eq!(refused(ControlRecord { version: 0, replaces: -1, ..record() }), Some("version"));
        assert_eq!(refused(ControlRecord { replaces: 1, ..record() }), Some("replaces"));
        assert_eq!(refused(ControlRecord { why: " ".into(), ..record() }), Some("why"));
        for (per_second, weight) in [(Some(0.0), None), (Some(f64::NAN), None), (None, Some(0)), (None, None)]
        {
            assert!(
                refused(ControlRecord { per_second, weight, ..record() }).is_some(),
                "{per_second:?} {weight:?}"
            );
        }
        assert_eq!(refused(ControlRecord::from(&limit(None, None, Some(2)))), Some("weight"));
    }
}

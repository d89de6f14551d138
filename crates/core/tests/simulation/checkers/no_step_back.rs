//! Rule K5, which promise 5 rests on: no older version of a booking is sent after a newer one. Creates under a key
//! and updates of a revision are left out: HealthFlow refuses or replays the second one, whoever sends it.

use std::collections::BTreeMap;

use healthflow_core::booking::{BookingKey, Version};
use healthflow_core::healthflow::Request;
use healthflow_core::settings::GuardMode;

use crate::lives::Lives;

#[derive(Debug, Default)]
pub struct NoStepBack(BTreeMap<BookingKey, Version>);

impl NoStepBack {
    /// A write goes out; what it breaks. Versions that ask for the same are the same to us.
    pub fn sent(&mut self, request: &Request, lives: &Lives, guard: GuardMode) -> Option<String> {
        let content = match request {
            Request::UpdateAppointment { content, if_match: None, .. } => content,
            Request::CreateAppointment { content, .. }
                if matches!(guard, GuardMode::Reference | GuardMode::Search) =>
            {
                content
            }
            _ => return None,
        };
        let key = BookingKey { practice: content.practice.clone(), booking: content.booking.clone() };
        let mut same = lives.versions_of(content);
        let least = same.next()?;
        let most = same.last().unwrap_or(least);
        let newest = self.0.entry(key).or_default();
        let broken = most < *newest;
        let text = broken.then(|| format!("{} v{most} is sent after v{newest}", content.booking));
        *newest = least.max(*newest);
        text
    }
}

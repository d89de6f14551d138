//! What people are told of long limits: what is left, and until when that lasts.

use crate::limits::forecast::{QuotaView, Stock};
use crate::limits::policy::{Policy, Scope};
use crate::limits::quota_count::{Count, stretch};
use crate::time::Timestamp;

use super::{Place, Quotas};

impl Quotas {
    /// What is left of each limit, and when it will be used up.
    pub fn views(&self, now: Timestamp) -> Vec<QuotaView> {
        self.long().filter_map(|(index, policy)| self.view(index, policy, now)).collect()
    }

    fn view(&self, index: usize, policy: &Policy, now: Timestamp) -> Option<QuotaView> {
        let current = stretch(&policy.window, now).0;
        let mut of_account = Stock::default();
        let mut first: Option<QuotaView> = None;
        for (place, counts) in &self.counts {
            let stock = match (policy.scope, counts.get(&index)) {
                (Scope::Account, count) if place.1.is_none() => count,
                (Scope::Practice, Some(count)) if place.1.is_some() => Some(count),
                _ => continue,
            };
            let stock = self.stock(policy, place, stock, current);
            let (Scope::Practice, Some(practice)) = (policy.scope, &place.1) else {
                of_account.add(stock);
                continue;
            };
            let whose = (index, Some((place.0, practice.clone())));
            let view = self.forecasts.view(&whose, policy, &stock, now);
            if first.as_ref().is_none_or(|first| view.ends_before(first)) {
                first = Some(view);
            }
        }
        match policy.scope {
            Scope::Practice => first,
            Scope::Account => {
                of_account.come_back.sort_unstable();
                Some(self.forecasts.view(&(index, None), policy, &of_account, now))
            }
        }
    }

    fn stock(&self, policy: &Policy, place: &Place, count: Option<&Count>, current: Timestamp) -> Stock {
        let frame = self.frame(policy, place, current, current);
        let reserve = frame.most - self.usable(frame.most, false);
        match count {
            None => Stock { calls: frame.most, left: frame.most, reserve, come_back: Vec::new() },
            Some(count) => Stock {
                calls: frame.most,
                left: count.left(frame.most, frame),
                reserve,
                come_back: count.come_back(&policy.window, current).collect(),
            },
        }
    }

    /// The limits of which it is news, once in a window, that they will be used up before it ends; with whether that is for live
    /// bookings.
    pub fn forecast(&mut self, now: Timestamp) -> Vec<(QuotaView, bool)> {
        if self.counts.is_empty() || !self.forecasts.is_due(now) {
            return Vec::new();
        }
        let long: Vec<(usize, Policy)> = self.long().map(|(index, policy)| (index, policy.clone())).collect();
        let mut news = Vec::new();
        for (index, policy) in long {
            let Some(view) = self.view(index, &policy, now) else { continue };
            for (is_live, at) in [(true, view.runs_out_at), (false, view.backfill_ends_at)] {
                if at.is_some() && self.forecasts.is_news(index, is_live, view.window_ends_at, now) {
                    news.push((view.clone(), is_live));
                }
            }
        }
        news
    }
}

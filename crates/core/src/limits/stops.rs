//! When something was stopped, for how long: that time counts for no deadline.

use std::collections::VecDeque;

use crate::time::Timestamp;

/// So many stops are remembered; the oldest are forgotten.
const STOPS_MAX: usize = 64;

/// From when to when, the oldest first; the last one may not have ended.
#[derive(Clone, Debug, Default, Hash)]
pub struct Stops(VecDeque<(Timestamp, Option<Timestamp>)>);

impl Stops {
    /// It is stopped from now on; nothing changes if it is already.
    pub fn begin(&mut self, now: Timestamp) {
        if self.0.back().is_some_and(|(_, to)| to.is_none()) {
            return;
        }
        self.0.push_back((now, None));
        if self.0.len() > STOPS_MAX {
            self.0.pop_front();
        }
    }

    /// It goes on from now on; nothing changes if it does already.
    pub fn end(&mut self, now: Timestamp) {
        if let Some((_, to)) = self.0.back_mut() {
            to.get_or_insert(now);
        }
    }

    /// Every stop, until `now` where it lasts.
    pub fn until(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.0.iter().map(move |(from, to)| (*from, to.unwrap_or(now).min(now)))
    }
}

/// For how many milliseconds since `then` at least one of the stops lasted.
pub fn stopped_ms(stops: impl Iterator<Item = (Timestamp, Timestamp)>, then: Timestamp) -> i64 {
    let mut stops: Vec<(Timestamp, Timestamp)> = stops.filter(|(_, to)| *to > then).collect();
    stops.sort_unstable();
    let (mut counted_to, mut stopped_ms) = (then, 0);
    for (from, to) in stops {
        stopped_ms += to.since_ms(from.max(counted_to)).max(0);
        counted_to = counted_to.max(to);
    }
    stopped_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_lasts_counts_until_now_and_ends_once() {
        let mut stops = Stops::default();
        stops.end(Timestamp(1));
        stops.begin(Timestamp(10));
        stops.begin(Timestamp(20));
        let since = |stops: &Stops, then, now| stopped_ms(stops.until(Timestamp(now)), Timestamp(then));
        assert_eq!((since(&stops, 0, 40), since(&stops, 15, 40), since(&stops, 40, 40)), (30, 25, 0));
        stops.end(Timestamp(50));
        stops.end(Timestamp(60));
        assert_eq!(since(&stops, 0, 100), 40);
    }

    proptest! {
        /// Goal: time that was stopped for two reasons counts once. Method: each millisecond by itself.
        #[test]
        fn a_moment_counts_once(
            stops in proptest::collection::vec((0_i64..50, 0_i64..50), 0..6),
            then in 0_i64..50,
        ) {
            let stops: Vec<_> = stops.into_iter().map(|(from, ms)| (Timestamp(from), Timestamp(from + ms))).collect();
            let within = |ms: &i64| stops.iter().any(|(from, to)| from.0 <= *ms && *ms < to.0);
            let counted = (then..100).filter(within).count();
            prop_assert_eq!(stopped_ms(stops.iter().copied(), Timestamp(then)), i64::try_from(counted).unwrap_or(0));
        }
    }
}

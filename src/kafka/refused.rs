//! Records of one batch that Kafka refused for their size: which they are, and how each is sent next. The refusal may
//! concern another record of the same request, so a record is at fault only once it was refused alone.

use std::borrow::Cow;
use std::collections::BTreeMap;

use healthflow_core::event::Outgoing;
use healthflow_core::time::Timestamp;

/// How often each record was refused, by its index in the batch.
#[derive(Default)]
pub(super) struct Refused(BTreeMap<usize, u32>);

impl Refused {
    /// Records the refusals of the last attempt.
    pub(super) fn note(&mut self, places: impl IntoIterator<Item = usize>) {
        for place in places {
            *self.0.entry(place).or_default() += 1;
        }
    }

    /// Whether a record is sent alone.
    pub(super) fn goes_alone(&self, place: usize) -> bool {
        self.0.contains_key(&place)
    }

    /// What is sent for the record at `place`: the record itself, or a smaller form, if there is one, once it was
    /// refused alone.
    pub(super) fn form<'a>(&self, place: usize, record: &'a Outgoing, now: Timestamp) -> Cow<'a, Outgoing> {
        let smaller = match self.0.get(&place) {
            None | Some(0 | 1) => None,
            Some(2) => record.smaller(false, now).or_else(|| record.smaller(true, now)),
            Some(_) => record.smaller(true, now),
        };
        smaller.map_or(Cow::Borrowed(record), Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use healthflow_core::event::failed::{DeadContent, DeadLetter};
    use healthflow_core::event::{Misrouted, Origin};
    use healthflow_core::sync::FailureReason;
    use healthflow_core::topics::Lane;

    const NOW: Timestamp = Timestamp(1_767_614_400_000);

    fn bytes_of(record: &Outgoing) -> Option<usize> {
        let Outgoing::Failed(letter) = record else { return None };
        let DeadLetter { content: DeadContent::Record(record), reason: FailureReason::TooLarge, .. } =
            &**letter
        else {
            return None;
        };
        Some(record.raw_value.as_ref().map_or(0, Vec::len))
    }

    #[test]
    fn a_record_is_tried_alone_before_it_is_at_fault_and_shrinks_until_it_has_no_bytes() {
        let origin = Origin { lane: Lane::Requested, partition: 1, offset: 2 };
        let record = Misrouted { home: 3, key: b"practice-1".to_vec(), value: vec![7; 100_000] };
        let forwarded = Outgoing::Forwarded(Box::new(record), origin);
        let mut refused = Refused::default();
        let seen: Vec<(bool, Option<usize>)> = (0..4)
            .map(|_| {
                let form = bytes_of(&refused.form(5, &forwarded, NOW));
                let alone = refused.goes_alone(5);
                refused.note([5]);
                (alone, form)
            })
            .collect();
        assert_eq!(seen, [(false, None), (true, None), (true, Some(8192)), (true, Some(0))]);
        assert!(!refused.goes_alone(4));
    }
}

//! A request that is decided is kept until it goes out, with a stamp of what the decision read: a job is admitted, waits for its
//! intent to become durable, and is asked once more what it wants right before it sends. Whether it may ask is decided then; what
//! it asks need not be, unless something changed. Reading names, hashing and building twice cost every call a twentieth of its CPU.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::booking::{Booking, Version};
use crate::healthflow::Request;
use crate::partition::job::{Job, JobKey, Purpose};
use crate::partition::moves::{Asked, IntentFor};
use crate::partition::task::Task;
use crate::partition::view::View;
use crate::settings::Settings;
use crate::sync::Step;

/// What a job asks next. Its job forgets it when it sends, and whenever it learns or forgets something.
#[derive(Clone, Debug)]
pub struct KeptRequest {
    request: Arc<Request>,
    version: Version,
    /// Of the states of booking and patient.
    stamp: (u64, u64),
}

impl Hash for KeptRequest {
    /// It follows from the rest of the job and from state.
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Task {
    /// Keeps what `key` asks next, once the intent for it is noted in state.
    pub(super) fn keep_request(&self, key: &JobKey, job: &mut Job, asked: &Asked) {
        // A creation that is repeated is not what the flow would ask for.
        let is_of_flow =
            asked.purpose == Purpose::Flow && !matches!(asked.intent, Some(IntentFor::RepeatedCreation(_)));
        let at_work = job.at_work().filter(|_| is_of_flow).map(|at_work| &at_work.booking);
        let (JobKey::Booking(key), Some(booking)) = (key, at_work) else { return };
        let stamp = self.ledger.stamp(key, &booking.patient_key());
        let (version, request) = (booking.version, Arc::clone(&asked.request));
        job.kept_request = Some(KeptRequest { request, version, stamp });
    }
}

impl View<'_> {
    /// What `booking` asks next, if that is decided already and nothing has changed since.
    pub(super) fn kept_request(
        &self,
        booking: &Booking,
        job: &Job,
        settings: &Settings,
    ) -> Option<Arc<Request>> {
        let kept = job.kept_request.as_ref().filter(|kept| kept.version == booking.version)?;
        let request = (kept.stamp == self.ledger.stamp(&booking.key, &booking.patient_key()))
            .then(|| Arc::clone(&kept.request))?;
        debug_assert_eq!(
            self.step(booking, job, settings),
            Step::Ask((*request).clone()),
            "the stamp missed a change"
        );
        Some(request)
    }
}

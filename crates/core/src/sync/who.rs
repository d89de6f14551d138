//! Who a booking is for: by the link first, then by asking HealthFlow. A link is believed only for the person it was made
//! for, and an id that was sent along only after its chart was read.

use std::borrow::Cow;
use std::cell::LazyCell;

use crate::booking::Booking;
use crate::healthflow::Request;
use crate::patient::decide::{
    Agreement, Decision, Evidence, agrees_in_something, decide, evidence, may_be_chart_of,
};
use crate::patient::digests::{Likeness, PersonDigests};
use crate::patient::reference::under_reference;
use crate::patient::search::first_pass;
use crate::patient::{Candidate, HealthFlowPatientId, Link, LinkOrigin, Person, description};
use crate::sync::step::create_patient;
use crate::sync::{Knowledge, Outcome, ReviewReason, Step};

/// Who the booking is for, or what to do to find out.
pub(super) enum Who {
    /// This patient of HealthFlow.
    Known(HealthFlowPatientId),
    /// Not known yet.
    Next(Step),
}

/// Who `booking` is for, from what is known.
pub(super) fn who(booking: &Booking, known: &Knowledge<'_>) -> Who {
    let sent_along = booking
        .patient
        .healthflow_patient_id
        .as_ref()
        .map(|id| HealthFlowPatientId(id.clone()))
        .filter(|id| known.gone_patient != Some(id) && !known.rejected.contains(id));
    match (known.link, sent_along) {
        (Some(link), Some(id)) if link.healthflow_patient_id != id && link.outranks.as_ref() != Some(&id) => {
            Who::Next(conflicting(booking, known, link, id))
        }
        (Some(link), _) => linked(booking, known, link),
        (None, Some(id)) => Who::Next(sent(booking, known, id)),
        (None, None) => Who::Next(find_or_create(booking, known)),
    }
}

/// What we know of the chart under an id.
enum Chart<'a> {
    /// Nothing yet: read it.
    Unread(Box<Step>),
    /// It does not exist in this practice.
    Nobody,
    /// It may be this person's.
    Theirs,
    /// It is somebody else's.
    Stranger(&'a Candidate),
}

fn chart<'a>(booking: &Booking, known: &Knowledge<'a>, id: &HealthFlowPatientId) -> Chart<'a> {
    match known.charts.get(id) {
        None => Chart::Unread(Box::new(Step::Ask(Request::ReadPatient {
            practice: booking.key.practice.clone(),
            id: id.clone(),
        }))),
        Some(None) => Chart::Nobody,
        Some(Some(chart)) if may_be_chart_of(&Person::from(&booking.patient), &chart.person) => Chart::Theirs,
        Some(Some(chart)) => Chart::Stranger(chart),
    }
}

/// A link is there: is it this person's?
fn linked(booking: &Booking, known: &Knowledge<'_>, link: &Link) -> Who {
    let id = &link.healthflow_patient_id;
    let digests = PersonDigests::of_booking(booking);
    let remembered = |digests| Who::Next(Step::Remember(Link { digests: Some(digests), ..link.clone() }));
    match link.digests.as_ref().map(|made_for| made_for.compare(&digests)) {
        // Stored by an earlier release, which believed what was sent along.
        None if link.origin == LinkOrigin::Provided => match chart(booking, known, id) {
            Chart::Unread(read) => Who::Next(*read),
            Chart::Theirs => remembered(digests),
            Chart::Nobody | Chart::Stranger(_) => Who::Next(Step::Forget),
        },
        None | Some(Likeness::Renamed) => remembered(digests),
        Some(Likeness::Same | Likeness::OtherBirthday) => Who::Known(id.clone()),
        Some(Likeness::Stranger) => {
            Who::Next(review(ReviewReason::LinkMismatch, vec![agrees_in_nothing(link)]))
        }
    }
}

/// Only an id that was sent along leads to the patient: whose chart is it?
fn sent(booking: &Booking, known: &Knowledge<'_>, id: HealthFlowPatientId) -> Step {
    match chart(booking, known, &id) {
        Chart::Unread(read) => *read,
        Chart::Theirs => remember(booking, id, LinkOrigin::Provided),
        Chart::Nobody => review(ReviewReason::LinkUnknown, Vec::new()),
        Chart::Stranger(chart) => {
            review(ReviewReason::LinkMismatch, vec![evidence(&Person::from(&booking.patient), chart)])
        }
    }
}

/// The id that was sent along is not the one we know: we read both charts before we ask a person. If one is gone (usually
/// merged into the other) or somebody else's, the other is right.
fn conflicting(booking: &Booking, known: &Knowledge<'_>, link: &Link, sent: HealthFlowPatientId) -> Step {
    let digests = PersonDigests::of_booking(booking);
    let made_for = link.digests.as_ref().map(|made_for| made_for.compare(&digests));
    match (chart(booking, known, &sent), chart(booking, known, &link.healthflow_patient_id)) {
        (Chart::Unread(read), _) | (_, Chart::Unread(read)) => *read,
        (Chart::Theirs, Chart::Nobody | Chart::Stranger(_)) => remember(booking, sent, LinkOrigin::Provided),
        // A chart that may be theirs is not enough if a person gave it to somebody else under this id.
        (Chart::Nobody | Chart::Stranger(_), Chart::Theirs) if made_for != Some(Likeness::Stranger) => {
            Step::Remember(Link { digests: Some(digests), outranks: Some(sent), ..link.clone() })
        }
        (Chart::Nobody, Chart::Nobody) => Step::Forget,
        _ => {
            let person = Person::from(&booking.patient);
            let charts = [&sent, &link.healthflow_patient_id];
            let charts = charts.into_iter().filter_map(|id| known.charts.get(id)?.as_ref());
            review(ReviewReason::LinkConflict, charts.map(|chart| evidence(&person, chart)).collect())
        }
    }
}

/// How the link's person compares with somebody who agrees neither in birthday nor in any word of the name.
fn agrees_in_nothing(link: &Link) -> Evidence {
    Evidence {
        healthflow_patient_id: Some(link.healthflow_patient_id.as_str().to_owned()),
        given_name: Agreement::Differs,
        family_name: Agreement::Differs,
        date_of_birth: Agreement::Differs,
        postal_code: Agreement::Missing,
        given_name_without_marks: Agreement::Differs,
        family_name_without_marks: Agreement::Differs,
        sex: Agreement::Missing,
    }
}

fn find_or_create(booking: &Booking, known: &Knowledge<'_>) -> Step {
    let patient = under_reference(&booking.key.practice, &booking.patient, known.reference);
    let ask = |pass| {
        Step::Ask(Request::SearchPatients {
            practice: booking.key.practice.clone(),
            pass,
            cursor: known.cursor.map(str::to_owned),
        })
    };
    let Some(search) = known.search else { return ask(first_pass(&patient, known.has_references)) };
    let is_rejected =
        |candidate: &Candidate| candidate.id.as_ref().is_some_and(|id| known.rejected.contains(id));
    let candidates: Cow<'_, [Candidate]> = if known.rejected.is_empty() {
        Cow::Borrowed(&search.candidates)
    } else {
        search.candidates.iter().filter(|candidate| !is_rejected(candidate)).cloned().collect()
    };
    let (answered, candidates) = (search.answered, &candidates[..]);
    let person = LazyCell::new(|| search.person(&booking.patient));
    let decision = || decide(&person, candidates, &patient.id);
    let create = || Step::Ask(create_patient(booking, known.patient_incarnation, known.reference));

    // Our own reference is certain: no further pass can make it less so.
    if known.has_references
        && !known.is_unlinked
        && answered == 1
        && !candidates.is_empty()
        && let Decision::Match(id) = decision()
    {
        return found(booking, &person, id, candidates);
    }
    if let Some(next) = search.next_pass(&patient, known.has_references) {
        return ask(next);
    }
    match decision() {
        // The link was wrong, whatever led to it: this time a person decides.
        Decision::Match(_) if known.is_unlinked => {
            let is_equal = |one: &Evidence| one.is_all_equal();
            let found = candidates.iter().map(|one| evidence(&person, one)).filter(is_equal);
            review(ReviewReason::Unlinked, found.collect())
        }
        Decision::New if known.is_unlinked && !known.is_new => review(ReviewReason::Unlinked, Vec::new()),
        Decision::Match(id) => found(booking, &person, id, candidates),
        // A person has looked.
        Decision::New if known.is_new => create(),
        // The patient may be among the charts that were not read.
        Decision::New if search.is_incomplete => review(ReviewReason::AmbiguousPatient, Vec::new()),
        // The patient may exist already under another description: only a person can decide.
        Decision::New
            if known
                .unverified_creation
                .is_some_and(|sent| !sent.is_of(description::fingerprint(&booking.patient))) =>
        {
            review(ReviewReason::AmbiguousPatient, Vec::new())
        }
        Decision::New => create(),
        Decision::Review(evidence) => review(ReviewReason::AmbiguousPatient, evidence),
    }
}

/// Remembers the patient that the search found, unless only our reference leads there and the chart is somebody else's: the
/// patient id was reused.
fn found(booking: &Booking, person: &Person, id: HealthFlowPatientId, candidates: &[Candidate]) -> Step {
    let chart = candidates.iter().find(|candidate| candidate.id.as_ref() == Some(&id));
    match chart.filter(|chart| !agrees_in_something(person, &chart.person)) {
        Some(chart) => review(ReviewReason::LinkMismatch, vec![evidence(person, chart)]),
        None => remember(booking, id, LinkOrigin::Found),
    }
}

fn remember(booking: &Booking, healthflow_patient_id: HealthFlowPatientId, origin: LinkOrigin) -> Step {
    let digests = Some(PersonDigests::of_booking(booking));
    Step::Remember(Link { healthflow_patient_id, origin, digests, outranks: None, decided: None })
}

fn review(reason: ReviewReason, evidence: Vec<Evidence>) -> Step {
    Step::Finish(Outcome::Review { reason, evidence })
}

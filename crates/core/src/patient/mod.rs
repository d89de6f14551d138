//! Who a booking is for. From the answers of HealthFlow's search [`decide`](decide::decide) concludes match, new or review;
//! it never guesses. Pure; knows nothing of HealthFlow's wire format.

pub mod decide;
pub mod description;
pub mod digests;
mod link;
mod marks;
mod name;
pub mod placeholder;
mod postal_code;
pub mod reference;
mod rejected;
pub mod search;
mod unverified;

use std::sync::Arc;

use crate::booking::{Patient, Sex, identifier};
use crate::private::Private;

pub use link::{Decided, Link, LinkOrigin};
pub use name::Name;
pub use postal_code::postal_code;
pub use rejected::Rejected;
pub use unverified::UnverifiedCreation;

identifier! {
    /// A patient's id in HealthFlow.
    HealthFlowPatientId, private
}

/// A patient that HealthFlow's search returned, or one that we created a moment ago (rule W7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// HealthFlow's id; none for a creation of ours that is still under way.
    pub id: Option<HealthFlowPatientId>,
    /// Our reference (`external_id`), if this patient was created through us.
    pub external_id: Option<Arc<str>>,
    /// Who it is.
    pub person: Person,
}

/// What distinguishes one person from another, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// Given name.
    pub given_name: Name,
    /// Family name.
    pub family_name: Name,
    /// Date of birth; none if it is missing or a placeholder (see [`placeholder`]).
    pub date_of_birth: Option<Private<jiff::civil::Date>>,
    /// Postal code, see [`postal_code`].
    pub postal_code: Private<String>,
    /// Sex; none if unknown.
    pub sex: Option<Private<Sex>>,
}

impl From<&Patient> for Person {
    fn from(patient: &Patient) -> Self {
        Person {
            given_name: Name::new(patient.given_name.reveal()),
            family_name: Name::new(patient.family_name.reveal()),
            date_of_birth: placeholder::birthday(*patient.date_of_birth.reveal()),
            postal_code: postal_code(patient.postal_code.reveal()).into(),
            sex: patient.sex.filter(|sex| *sex != Sex::Unknown).map(Private::new),
        }
    }
}

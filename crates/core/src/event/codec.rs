//! Encoding: [`Outgoing`] in, topic, key, value and headers out. Apart from the producer, so that what other teams read can
//! be tested without one.

use std::sync::Arc;

use crate::event::avro::{Contract, Decoder, Encoder, Undecodable, Unencodable, contracts};
use crate::event::control::ControlRecord;
use crate::event::failed::AppointmentFailed;
use crate::event::headers::{self, Header};
use crate::event::notice::NoticeRecord;
use crate::event::retry::AppointmentRetry;
use crate::event::review::AppointmentReview;
use crate::event::state::{AppointmentStateRecord, PatientStateRecord};
use crate::event::synced::AppointmentSynced;
use crate::event::{Control, Outgoing, key};
use crate::state::{FleetRecord, Held, StateRecord};
use crate::time::Timestamp;
use crate::topics::{self, NamePrefix};

/// Encodes everything that a commit writes. One for the whole worker; shared between threads.
pub struct Codec {
    group: Arc<str>,
    prefix: NamePrefix,
    retry: Encoder,
    synced: Encoder,
    review: Encoder,
    failed: Encoder,
    notices: Encoder,
    patient_state: Encoder,
    appointment_state: Encoder,
    controls: Encoder,
}

/// A record, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Encoded<'buffer> {
    /// The topic.
    pub topic: &'static str,
    /// The partition, if it is not the task's: for a record that is forwarded.
    pub partition: Option<i32>,
    /// The key; none for a dead letter whose practice is unknown.
    pub key: Option<Vec<u8>>,
    /// The framed value; none for a tombstone.
    pub value: Option<&'buffer [u8]>,
    /// Headers; dead letters have some.
    pub headers: Vec<Header>,
}

impl Codec {
    /// `schema_id` returns the registry's id of a contract; `group` is the consumer group that dead letters name.
    pub fn new(group: &str, schema_id: impl Fn(&'static Contract) -> u32) -> Codec {
        let encoder = |topic| {
            let contract = contracts().iter().find(|contract| contract.topic == topic);
            let contract = contract.expect("every topic has a contract, and a test counts them");
            Encoder::new(contract, schema_id(contract))
        };
        Codec {
            group: group.into(),
            prefix: NamePrefix::default(),
            retry: encoder(topics::RETRY),
            synced: encoder(topics::SYNCED),
            review: encoder(topics::REVIEW),
            failed: encoder(topics::FAILED),
            notices: encoder(topics::NOTICES),
            patient_state: encoder(topics::PATIENT_STATE),
            appointment_state: encoder(topics::APPOINTMENT_STATE),
            controls: encoder(topics::CONTROLS),
        }
    }

    /// The same for topics whose names on the cluster have a prefix.
    pub fn under(self, prefix: NamePrefix) -> Codec {
        Codec { prefix, ..self }
    }

    /// Encodes `outgoing` into `buffer`, replacing its content; keep the buffer for the next one.
    pub fn encode<'buffer>(
        &self,
        outgoing: &Outgoing,
        buffer: &'buffer mut Vec<u8>,
    ) -> Result<Encoded<'buffer>, Unencodable> {
        let (mut headers, mut partition) = (Vec::new(), None);
        let (topic, key) = match outgoing {
            Outgoing::Synced(finished) => {
                self.synced.encode(&AppointmentSynced::from(finished), buffer)?;
                (topics::SYNCED, Some(finished.identity.key.practice.as_str().into()))
            }
            Outgoing::Retry(entry) => {
                self.retry.encode(&AppointmentRetry::from(&**entry), buffer)?;
                (topics::RETRY, Some(entry.booking.key.practice.as_str().into()))
            }
            Outgoing::Review(case) => {
                self.review.encode(&AppointmentReview::from(&**case), buffer)?;
                (topics::REVIEW, Some(key::review(&case.booking.key, case.booking.version).into_bytes()))
            }
            Outgoing::Failed(letter) => {
                self.failed.encode(&AppointmentFailed::from(&**letter), buffer)?;
                headers = headers::of_dead_letter(letter, &self.group, &self.prefix);
                (topics::FAILED, letter.booking().map(|booking| booking.practice.as_str().into()))
            }
            Outgoing::Notice(notice) => {
                self.notices.encode(&NoticeRecord::from(&**notice), buffer)?;
                (topics::NOTICES, notice.practice().map(|practice| practice.as_str().into()))
            }
            Outgoing::Forwarded(record, origin) => {
                buffer.clear();
                buffer.extend_from_slice(&record.value);
                partition = Some(record.home);
                headers = headers::of_forwarded(*origin, &self.prefix);
                (origin.lane.topic(), Some(record.key.clone()))
            }
            Outgoing::Forgotten(booking) => {
                return Ok(tombstone(topics::APPOINTMENT_STATE, key::booking(booking)));
            }
            Outgoing::Released(of) => {
                return Ok(tombstone(topics::REVIEW, key::review(&of.booking, of.version)));
            }
            Outgoing::ReleasedOfOld(booking) => return Ok(tombstone(topics::REVIEW, key::booking(booking))),
            Outgoing::State(record) => {
                let key = Some(key::state(record).into_bytes());
                match &**record {
                    StateRecord::Booking(booking, state) => {
                        let value = AppointmentStateRecord::of(booking, state);
                        self.appointment_state.encode(&value, buffer)?;
                        (topics::APPOINTMENT_STATE, key)
                    }
                    StateRecord::Task(positions) => {
                        self.appointment_state.encode(&AppointmentStateRecord::from(positions), buffer)?;
                        (topics::APPOINTMENT_STATE, key)
                    }
                    StateRecord::Quota(owner, counts) => {
                        let value = AppointmentStateRecord::from((owner, counts));
                        self.appointment_state.encode(&value, buffer)?;
                        (topics::APPOINTMENT_STATE, key)
                    }
                    StateRecord::Patient(patient, state) => {
                        self.patient_state.encode(&PatientStateRecord::of(patient, state), buffer)?;
                        (topics::PATIENT_STATE, key)
                    }
                }
            }
        };
        Ok(Encoded { topic, partition, key, value: Some(buffer), headers })
    }

    /// The same for the fleet's record, which no task writes.
    pub fn encode_fleet<'buffer>(
        &self,
        record: &FleetRecord,
        buffer: &'buffer mut Vec<u8>,
    ) -> Result<Encoded<'buffer>, Unencodable> {
        self.appointment_state.encode(&AppointmentStateRecord::from(record), buffer)?;
        Ok(Encoded {
            topic: topics::APPOINTMENT_STATE,
            partition: Some(0),
            key: Some(key::FLEET.into()),
            value: Some(buffer),
            headers: Vec::new(),
        })
    }

    /// The same for a control, which an operator's command writes.
    pub fn encode_control<'buffer>(
        &self,
        control: &Control,
        buffer: &'buffer mut Vec<u8>,
    ) -> Result<Encoded<'buffer>, Unencodable> {
        self.controls.encode(&ControlRecord::from(control), buffer)?;
        Ok(Encoded {
            topic: topics::CONTROLS,
            partition: Some(0),
            key: Some(key::control(&control.id).into_bytes()),
            value: Some(buffer),
            headers: Vec::new(),
        })
    }
}

/// A record without a value, to the task's partition.
fn tombstone(topic: &'static str, key: String) -> Encoded<'static> {
    Encoded { topic, partition: None, key: Some(key.into_bytes()), value: None, headers: Vec::new() }
}

/// Reads the value of a record of `appointments.review`. It is refused if its booking is not valid (any more).
pub fn restore_held(value: &[u8], decoder: &Decoder, now: Timestamp) -> Result<Held, Undecodable> {
    let record = decoder.decode::<AppointmentReview>(value)?;
    record.into_held(now).ok_or(Undecodable::Malformed)
}

/// Reads the value of a record of a state topic. A record without a value removes its key.
pub fn restore(topic: &'static str, value: &[u8], decoder: &Decoder) -> Result<StateRecord, Undecodable> {
    if topic == topics::PATIENT_STATE {
        decoder.decode::<PatientStateRecord>(value).map(StateRecord::from)
    } else {
        let record = decoder.decode::<AppointmentStateRecord>(value)?;
        StateRecord::try_from(record).map_err(|_| Undecodable::Malformed)
    }
}

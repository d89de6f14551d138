//! Records as a restore reads them: decoded once their schema is known, and believed only under their own key.

use std::sync::atomic::AtomicBool;

use super::{STABLE_PAUSE, check_cancelled};
use crate::kafka::fault::{Flaw, KafkaFault, RecordName};
use crate::registry::{DecodeFault, SchemaState, Translator};
use healthflow_core::event::avro::Undecodable;
use healthflow_core::event::key;
use healthflow_core::state::{Held, StateRecord};

/// Decodes a record with `read`, and waits for its schema if that is not known yet.
pub(crate) fn decode<R>(
    record: RecordName,
    translator: &Translator,
    cancelled: &AtomicBool,
    read: impl Fn() -> Result<R, DecodeFault>,
) -> Result<R, KafkaFault> {
    try_decode(translator, cancelled, read)?.map_err(|flaw| KafkaFault::Unreadable { record, flaw })
}

/// The same; the inner error says why it cannot be read.
pub(crate) fn try_decode<R>(
    translator: &Translator,
    cancelled: &AtomicBool,
    read: impl Fn() -> Result<R, DecodeFault>,
) -> Result<Result<R, Flaw>, KafkaFault> {
    loop {
        match read() {
            Ok(record) => return Ok(Ok(record)),
            Err(DecodeFault::UnknownSchema(id)) => {
                if let SchemaState::Denied { .. } = translator.schema_state(id) {
                    return Ok(Err(Flaw::Undecodable(Undecodable::UnknownSchema(id).to_string())));
                }
                std::thread::sleep(STABLE_PAUSE);
                check_cancelled(cancelled)?;
            }
            Err(DecodeFault::Unreadable(why)) => return Ok(Err(Flaw::Undecodable(why))),
        }
    }
}

/// A record of state, if it is under its own key.
pub(crate) fn usable(key: &[u8], record: StateRecord) -> Result<StateRecord, Flaw> {
    if key::state(&record).as_bytes() == key { Ok(record) } else { Err(Flaw::ForeignKey) }
}

/// The same of a held version. An earlier worker wrote one record for each booking, whatever its version.
pub(super) fn under_its_key(key: &[u8], held: Held) -> Result<Held, Flaw> {
    if key::review(&held.key, held.version).as_bytes() == key {
        return Ok(held);
    }
    let is_of_old = key::booking(&held.key).as_bytes() == key;
    if is_of_old { Ok(Held { is_of_old, ..held }) } else { Err(Flaw::ForeignKey) }
}

#[cfg(test)]
mod tests {
    use healthflow_core::event::sample;

    use super::*;

    /// Goal: an earlier worker's record is known for what it is, and one under a foreign key is not believed.
    #[test]
    fn a_held_version_lies_under_its_own_key_or_an_earlier_workers() {
        let held = sample::case(Vec::new()).held();
        let (booking, version) = (held.key.clone(), held.version);
        let found = |key: String| under_its_key(key.as_bytes(), held.clone()).map(|held| held.is_of_old);
        assert_eq!(found(key::review(&booking, version)).ok(), Some(false));
        assert_eq!(found(key::booking(&booking)).ok(), Some(true));
        assert!(found(key::review(&booking, version + 1)).is_err());
    }
}

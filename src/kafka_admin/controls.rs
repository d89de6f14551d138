//! Writes what an operator sets by hand. Every writer uses one transactional id: fence, read to the end, write the version
//! after the one that is there. So of two operators at once one is refused, and no older setting can be the last under its
//! key, where every worker would obey it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdkafka::producer::BaseRecord;

use crate::kafka::transaction::{fence, transact};
use crate::kafka::{CONTROLS_TRANSACTIONAL_ID, ControlsLog, KafkaFault, KafkaSettings};
use crate::registry::Translator;
use healthflow_core::booking::PracticeId;
use healthflow_core::event::Control;
use healthflow_core::limits::Controls;
use healthflow_core::limits::controls::{Change, Signed};

/// Makes `change` for the account (none) or a practice; none if there is nothing to take back.
///
/// # Errors
/// A broker or the registry does not answer, or another operator writes a control at the same time.
pub fn change(
    settings: &KafkaSettings,
    translator: &Arc<Translator>,
    practice: Option<PracticeId>,
    change: Change,
    signed: Signed,
) -> Result<Option<Control>, KafkaFault> {
    let producer = fence(&settings.producer_named(CONTROLS_TRANSACTIONAL_ID), "the controls")?;
    let mut log = ControlsLog::new(settings, translator.clone())?;
    let Some(control) = log.read(&AtomicBool::new(false))?.next(practice, change, signed) else {
        return Ok(None);
    };
    let mut buffer = Vec::new();
    let encoded = translator.encode_control(&control, &mut buffer)?;
    let topic = settings.on_cluster(encoded.topic);
    let (key, value) = (encoded.key.unwrap_or_default(), encoded.value.unwrap_or_default());
    transact(
        &producer,
        "the control was not written, perhaps because somebody else sets one; see `healthflow-sync limit list`, and try again",
        |send| {
            send(BaseRecord::to(&topic).partition(encoded.partition.unwrap_or(0)).key(&key).payload(value))
        },
    )
    .map_err(|fault| fault.of_writing_to(&topic))?;
    Ok(Some(control))
}

/// Everything that is set by hand now.
///
/// # Errors
/// A broker or the registry does not answer.
pub fn read(settings: &KafkaSettings, translator: &Arc<Translator>) -> Result<Controls, KafkaFault> {
    ControlsLog::new(settings, translator.clone())?.read(&AtomicBool::new(false)).cloned()
}

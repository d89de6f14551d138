//! A new practice on its first morning: hundreds of unknown people, all at once. They are different people, so no booking
//! waits for another, and the task keeps HealthFlow as busy as the limit allows (rule W7).

use std::collections::BTreeMap;

use healthflow_core::booking::Patient;
use healthflow_core::fact::Fact;
use healthflow_core::healthflow::{Operation, Reply};
use healthflow_core::processor::Input;
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::TaskState;

use crate::desk::*;

const PEOPLE: usize = 500;
const MAX_IN_FLIGHT: usize = 64;

/// How many waves of calls may not be full: at the beginning nobody is decided yet, at the end few are left.
const PARTIAL_WAVES_MAX: usize = 4;

fn person(number: usize) -> Patient {
    let born = jiff::civil::date(1950, 1, 1) + jiff::Span::new().days(37 * number as i64);
    Patient {
        date_of_birth: born.into(),
        ..a_patient(&format!("p-{number}"), &format!("Given{number}"), &format!("Family{number}"))
    }
}

fn answer_to(operation: Operation, number: usize) -> Reply {
    match operation {
        Operation::SearchPatients => nobody(),
        Operation::CreatePatient => patient_created(&format!("hf-{number}")),
        Operation::CreateAppointment => created(&format!("a-{number}")),
        other => panic!("{other:?} is not needed for anybody"),
    }
}

#[test]
fn five_hundred_new_people_of_one_new_practice_are_created_in_parallel() {
    for guard in
        [GuardMode::IdempotencyKey, GuardMode::UniqueReference, GuardMode::Reference, GuardMode::Search]
    {
        let settings = Settings {
            max_in_flight: MAX_IN_FLIGHT,
            ready_queue_max: 2 * MAX_IN_FLIGHT,
            requests_per_second: 1e6,
            ..settings(guard)
        };
        let mut desk = Desk::within(settings, TaskState::default(), BTreeMap::new(), START);
        desk.pass_ms(LAG_MS + 1);
        for number in 0..PEOPLE {
            desk.arrive(a_booking_of(&format!("b-{number}"), person(number)));
        }

        let (mut asked, mut waves, mut peak) = (BTreeMap::<Operation, usize>::new(), 0, 0);
        while !desk.calls.is_empty() {
            waves += 1;
            let mut wave = std::mem::take(&mut desk.calls);
            while let Some(call) = wave.pop() {
                peak = peak.max(wave.len() + 1 + desk.calls.len());
                let operation = call.request.operation();
                let number = asked.entry(operation).or_default();
                *number += 1;
                let reply = answer_to(operation, *number);
                desk.handle(Input::Answered { call: call.id, reply });
            }
            desk.pass_ms(100);
        }

        assert_eq!(peak, MAX_IN_FLIGHT, "{guard:?}: the limit is reached and kept");
        let passes = if guard.has_references() { 4 } else { 3 };
        let expected = [
            (Operation::SearchPatients, passes * PEOPLE),
            (Operation::CreatePatient, PEOPLE),
            (Operation::CreateAppointment, PEOPLE),
        ];
        assert_eq!(asked.into_iter().collect::<Vec<_>>(), expected, "{guard:?}");
        assert_eq!(desk.results().len(), PEOPLE);
        assert!(desk.results().iter().all(|(_, _, outcome)| *outcome == "CREATED"));
        assert!(!desk.facts.iter().any(|fact| matches!(fact, Fact::BookingParked { .. })));
        let full = ((passes + 2) * PEOPLE).div_ceil(MAX_IN_FLIGHT);
        assert!(waves <= full + PARTIAL_WAVES_MAX, "{guard:?}: {waves} waves of calls, {full} would do");
    }
}

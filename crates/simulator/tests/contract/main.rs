//! Tests of the contracts between us and the systems around us.

mod charts;
mod events;
mod fields;
mod healthflow;
mod people;
mod search_mode;
mod simulator;
mod versions;
mod words;

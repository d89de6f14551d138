//! What we and the world around us have agreed on, held by tests: a contract that nothing holds is a rumour.

mod charts;
mod events;
mod fields;
mod healthflow;
mod people;
mod search_mode;
mod simulator;
mod versions;
mod words;

//! HTTP, thin: [`transport`] sends a wire request once and returns what came back. What the bytes mean is decided in the
//! core's `healthflow`.

pub mod transport;
mod gate;
mod token;

pub use token::{TokenFault, check as check_token_file};
pub use transport::{Transport, TransportSettings};

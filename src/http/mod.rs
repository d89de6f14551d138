//! HTTP, thin: [`transport`] puts a wire request on a socket, once, and brings back what came of it. What the bytes mean
//! is `healthflow`'s to say.

pub mod transport;
mod gate;
mod token;

pub use token::check as check_token_file;
pub use transport::{Transport, TransportSettings};

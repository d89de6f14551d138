//! HTTP, thin: [`client`] makes connections, [`transport`] sends a wire request once and returns what came back. What the
//! bytes mean is decided in the core's `healthflow`.

pub mod client;
mod credentials;
mod gate;
pub mod trouble;
pub mod transport;

pub use client::{ClientFault, ClientSettings, IdentityFiles, certificate_remedy};
pub(crate) use credentials::{Credentials, password};
pub use credentials::{CredentialsFault, CredentialsFlaw, Scheme, check_token_file};
pub use transport::{Failed, Transport, TransportSettings};
pub use trouble::Troubles;

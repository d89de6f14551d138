//! How fast we may call HealthFlow: an account's rate, its pauses, the pace that its answers ask for, and the list
//! of limits that the operator states.

pub mod account;
pub mod breaker;
pub mod book;
mod counter;
pub mod pace;
pub mod policy;
mod reserved;
pub mod token_bucket;
pub mod window;

pub use account::{Account, Asked, FORBIDDEN_PRACTICES_MAX};
pub use book::{Asking, Book};
pub use breaker::{Breaker, BreakerLimits, CallEnd};
pub use policy::{Operations, Policy, Scope};
pub use token_bucket::TokenBucket;

//! How fast we may call HealthFlow: an account's rate, its pauses, and the pace that its answers ask for.

pub mod account;
pub mod breaker;
pub mod pace;
pub mod token_bucket;

pub use account::{Account, Asked, FORBIDDEN_PRACTICES_MAX};
pub use breaker::{Breaker, BreakerLimits, CallEnd};
pub use token_bucket::TokenBucket;

//! How fast we may call HealthFlow, and whose turn it is: an account's rate and its pauses, the circuit breaker, fairness between
//! practices.

pub mod account;
pub mod breaker;
pub mod fair_queue;
pub mod by_hand;
pub mod controls;
pub mod stops;
pub mod token_bucket;

pub use account::{Account, Asked, FORBIDDEN_PRACTICES_MAX};
pub use breaker::{Breaker, BreakerLimits, CallEnd};
pub use by_hand::ByHand;
pub use controls::Controls;
pub use token_bucket::TokenBucket;

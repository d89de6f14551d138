//! How fast we may call HealthFlow, and whose turn it is: an account's rate and its pauses, the pace that its answers ask for,
//! the list of limits that the operator states, what is set by hand, the circuit breaker, fairness between practices.

pub mod account;
pub mod breaker;
pub mod fair_queue;
pub mod book;
pub mod by_hand;
pub mod controls;
mod counter;
pub mod outlook;
pub mod pace;
pub mod policy;
pub mod rejection_storm;
mod reserved;
pub mod shared_counter;
pub mod stops;
pub mod token_bucket;
pub mod window;

pub use account::{Account, Asked, FORBIDDEN_PRACTICES_MAX};
pub use book::{Asking, Book};
pub use breaker::{Breaker, BreakerLimits, CallEnd};
pub use by_hand::ByHand;
pub use controls::Controls;
pub use outlook::Outlook;
pub use policy::{Operations, Policy, Scope};
pub use rejection_storm::{RejectionStormLimits, RejectionStorms};
pub use shared_counter::{SharedCounter, SharedCounterLimits};
pub use token_bucket::TokenBucket;

//! How fast we may call HealthFlow, and whose turn it is: an account's rate and its pauses, the pace that its answers ask for,
//! the list of limits that the operator states, what is set by hand, how many
//! calls may be under way, the circuit breaker, fairness between practices.

pub mod account;
pub mod breaker;
pub mod fair_queue;
pub mod book;
pub mod by_hand;
pub mod controls;
pub mod concurrency;
mod counter;
pub mod forecast;
pub mod hours;
pub mod outlook;
pub mod pace;
pub mod policy;
mod quota_count;
mod quotas;
pub mod rejection_storm;
mod reserved;
pub mod shared_counter;
pub mod stops;
pub mod token_bucket;
pub mod window;

pub use account::{Account, Asked, FORBIDDEN_PRACTICES_MAX};
pub use book::{Asking, Book, Claim, QuotaWait};
pub use breaker::{Breaker, BreakerCause, BreakerLimits, CallEnd};
pub use by_hand::ByHand;
pub use concurrency::Concurrency;
pub use controls::Controls;
pub use forecast::{QuotaEnd, QuotaView};
pub use outlook::Outlook;
pub use policy::{Operations, Policy, Scope};
pub use rejection_storm::{RejectionStormLimits, RejectionStorms};
pub use shared_counter::{SharedCounter, SharedCounterLimits};
pub use token_bucket::TokenBucket;

//! The messages of the exchange, one type for each shape on the wire: subscriptions and what they push
//! ([`subscription`], [`ws`]), requests to `POST /info` and their answers ([`info`]), and the statistics files
//! ([`stats`]).
//!
//! Names, nesting and optional fields are the exchange's. Unknown fields are passed over, since the exchange adds some
//! without notice. Every type writes back what it read: a simulated exchange speaks through the same types.
//!
//! What does not live here: the flat records that streams are made of ([`record`](crate::record)), and the way from
//! bytes to them ([`decode`](crate::decode)).

pub mod exact;
mod fast;
pub mod info;
pub mod market;
pub mod stats;
pub mod subscription;
#[cfg(test)]
mod tests;
pub mod user;
pub mod ws;

pub use exact::Exact;
pub use subscription::{Method, Request, Subscription};

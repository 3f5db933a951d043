//! What the exchange grants one address (PROTOCOL section 4.1), and how much of it is planned with.
//!
//! What is left free is for what cannot be planned: a socket that died and still counts, and other programs of the address.
//! What does not live here: who gets how much (`ws/plan.rs` and `rest/weights.rs` in `hl-collectors`, `capacity.rs` in
//! `hl-engine`).

/// Connections of WebSockets.
pub const CONNECTIONS: usize = 10;

/// Subscriptions on all of them.
pub const SUBSCRIPTIONS: usize = 1_000;

/// New connections a minute.
pub const CONNECTS: usize = 30;

/// Request weight a minute.
pub const WEIGHT: u32 = 1_200;

/// Up to this sum requests are sent that streams depend on.
pub const LIVE_WEIGHT: u32 = WEIGHT - 60;

/// Up to this sum questions are sent that decide who owns a stream.
pub const QUESTION_WEIGHT: u32 = 1_000;

/// Up to this sum accounts are asked for of which positions are not known.
pub const POSITIONS_WEIGHT: u32 = 900;

/// Up to this sum accounts are asked for whose positions are known, to prove them. Less than what the past is asked for with,
/// which would never have its turn otherwise.
pub const PROOF_WEIGHT: u32 = 500;

/// Up to this sum the past is asked for.
pub const BACKFILL_WEIGHT: u32 = 700;

/// Weight a minute that polls may plan with; what is left is for questions and backfills.
pub const POLLED_WEIGHT: u64 = 900;

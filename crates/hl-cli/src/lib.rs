//! The binaries `hl-daemon` and `hl-cli`: configuration, composition, commands.
//!
//! What lives here: what a user says ([`config`]) and what a process answers ([`exit`]). No decision about claims, joins or gaps is made here.

pub mod config;
pub mod exit;
mod nearest;

pub use nearest::nearest;

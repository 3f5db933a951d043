//! The binaries `hl-daemon` and `hl-cli`: configuration, composition, commands.
//!
//! What lives here: what a user says ([`config`]), what the commands answer ([`commands`]), and what a
//! running daemon shows ([`status`], [`view`]). No decision about claims, joins or gaps is made here.

// Those who read a process's words may go away: printing would end it with a panic; `say!` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod commands;
pub mod compose;
pub mod config;
mod dropped;
pub mod exit;
pub mod human;
mod nearest;
mod say;
pub mod status;
pub mod view;

pub use nearest::nearest;

//! The binaries `hl-daemon` and `hl-cli`: configuration, composition, commands.
//!
//! What lives here: what a user says ([`config`]), what the commands answer ([`commands`], [`verify`]), and what a
//! running daemon shows ([`status`], [`view`], [`http`]) and tells ([`webhook`]). No decision about claims, joins or gaps is made here.

pub mod commands;
pub mod compose;
pub mod config;
pub mod exit;
pub mod http;
pub mod human;
mod nearest;
pub mod status;
pub mod stores;
pub mod verify;
pub mod view;
pub mod webhook;

pub use nearest::nearest;

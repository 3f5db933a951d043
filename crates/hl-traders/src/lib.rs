//! Traders: who of the leaderboard is worth following, how each is scored, and what their positions say.
//!
//! [`score`] is a score and what it is made of, [`selection`] the choice of whom to track, [`tracker`] what each of them holds,
//! followed from public trades, [`refresh`] how often what only REST tells of them is read, and [`signals`] what all of that says of a coin. All are pure and usable alone: give them rows
//! of a leaderboard, trades, states and prices, from wherever these come. What does not live here: reading the leaderboard
//! ([`hl_core::decode::leaderboard`]), storing it and the choice (the jobs of `hl-scheduler`), and any request.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod refresh;
pub mod score;
pub mod selection;
mod setting;
pub mod signals;
pub mod tracker;

pub use refresh::{Plan, RefreshRules};
pub use score::{PositionRules, ScoreRules, Slope, Step, TAGS, TagRules};
pub use selection::{Rules, Selection};
pub use setting::{NAMES, RuleError};
pub use signals::SignalRules;
pub use tracker::Tracker;

//! The collector wired together: what the daemon runs, and what an application embeds.
//!
//! [`Engine`] composes sources, selector, pipeline, scheduler and store; `director` carries out what the selector
//! decides; [`capacity`] is the arithmetic of what fits; [`universe`] is what there is to collect, which [`markets`]
//! follows, [`Endpoints`] where, and [`network`] which exchange a store belongs to. `rounds` asks the store for leases, and `sharing` moves streams between its processes. [`events`] is what it tells its host, and [`sinks`] hands rows on once they are stored. `time` asks what time it is where that is in doubt, `tracked` is whose positions are followed. `watch` looks at all of it for `hl-monitor`, and tells.
//!
//! What does not live here: any decision about claims, joins or gaps, configuration, and the terminal.

// Those who read a process's words may go away: printing would end it with a panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod builder;
pub mod capacity;
mod director;
mod endpoints;
mod ends;
mod engine;
pub mod events;
pub mod markets;
mod moved;
pub mod network;
mod reception;
mod rounds;
mod sharing;
pub mod sinks;
mod spooled;
mod thinned;
mod time;
mod tracked;
pub mod universe;
mod wanted;
mod watch;

pub use builder::EngineBuilder;
pub use endpoints::{Endpoints, Target};
pub use engine::{Engine, EngineError, Parts, Snapshot, Tracking};
pub use events::{Event, EventSort, Events, Filter, Line};
pub use hl_collectors::tracker::TrackerView;
pub use sharing::{Sharing, assigned};
pub use sinks::{Sink, SinkBatch, SinkError, SinkName, SinkView};
pub use watch::Published;

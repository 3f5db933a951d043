//! The pipeline: inbox → time lines → batches → store, one way.
//!
//! The inbox is bounded and has a single reader, which holds every time line: gate and order are the same step. The
//! reader never waits for the store. While a commit is under way, changes gather; when too many have gathered,
//! states are conflated (the newest wins, counted) and events go to the spool on disk, which is drained in order.

mod batch;
mod committer;
mod inbox;
mod latency;
mod meter;
mod reader;
mod reports;

pub use inbox::{Inbox, InboxStats};
pub use latency::Latency;
pub use meter::{Meter, Meters, PipelineCounters};
pub use reader::Pipeline;
pub use reports::PipelineEvent;

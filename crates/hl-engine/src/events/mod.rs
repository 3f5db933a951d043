//! What a collector tells its host while it collects: rows as they were committed, gaps, handovers.
//!
//! Every commit of an engine passes one place, `telling`: a store around the store, and the only one that the parts of an
//! engine are given. So nothing that writes, now or later, can forget to tell; and what is told is what the store's own
//! answer says it took. `feed` hands the events out to the readers, each through a queue of its own that is bounded:
//! telling never waits, and costs a look at an empty list where there is no reader.
//!
//! What does not live here: anything that waits for a reader. A host that must have every row reads the store; an event is told
//! once, to the readers of that moment, and what other processes commit to the same store is not told at all.

mod event;
mod feed;
mod filter;
mod telling;

pub use event::{Event, Line};
pub use feed::Events;
pub(crate) use feed::Feed;
pub use filter::{EventSort, Filter};
pub(crate) use telling::TellingStore;

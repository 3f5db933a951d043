//! The tables of a store, and the views for people.
//!
//! Prices and sizes are the exchange's own decimals as text; the `*_num` views give them as floating point, and
//! times as ISO text, for charts. Small rows live in their primary key (`WITHOUT ROWID`), so that a coin's rows lie
//! together in time order. Books do not: a clustered row longer than a quarter of a page would spill.

use std::time::Duration;

use super::file;

/// Marks the file as a store: `HLdb`. A step that was released is never changed: what comes after it is a further one.
pub(super) const KIND: file::Kind = file::Kind {
    application_id: 0x484c_6462,
    steps: &[
        include_str!("rows.sql"),
        include_str!("jobs.sql"),
        include_str!("statistics.sql"),
        include_str!("alerts.sql"),
        include_str!("archive.sql"),
        include_str!("received.sql"),
    ],
    busy: Duration::from_secs(5),
};

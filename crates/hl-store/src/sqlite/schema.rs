//! The tables of a store, and the views for people.
//!
//! Prices and sizes are the exchange's own decimals as text; the `*_num` views give them as floating point, and
//! times as ISO text, for charts. Small rows live in their primary key (`WITHOUT ROWID`), so that a coin's rows lie
//! together in time order. Books do not: a clustered row longer than a quarter of a page would spill.

use std::time::Duration;

use super::file;

/// Marks the file as a store: `HLdb`. The schema is version 1.
pub(super) const KIND: file::Kind = file::Kind {
    application_id: 0x484c_6462,
    version: 1,
    tables: include_str!("schema.sql"),
    busy: Duration::from_secs(5),
};

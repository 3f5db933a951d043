//! The tables of a store, and the views for people.
//!
//! Prices and sizes are the exchange's own decimals as text; the `*_num` views give them as floating point, and
//! times as ISO text, for charts. Small rows live in their primary key (`WITHOUT ROWID`), so that a coin's rows lie
//! together in time order. Books do not: a clustered row longer than a quarter of a page would spill.

use std::time::Duration;

use hl_core::record::PredictedFunding;
use hl_core::row::Row as _;

use super::file::{
    self,
    SchemaStep::{Rows, Sql},
};

/// Marks the file as a store: `HLdb`.
pub(super) const KIND: file::Kind = file::Kind {
    application_id: 0x484c_6462,
    steps: &[
        Sql(include_str!("rows.sql")),
        Sql(include_str!("jobs.sql")),
        Sql(include_str!("statistics.sql")),
        Sql(include_str!("alerts.sql")),
        Sql(include_str!("archive.sql")),
        Sql(include_str!("received.sql")),
        Rows(&PredictedFunding::TABLE),
    ],
    busy: Duration::from_secs(5),
};

//! The tables of a store, and the views for people.
//!
//! Prices and sizes are the exchange's own decimals as text; the `*_num` views give them as floating point, and
//! times as ISO text, for charts. Small rows live in their primary key (`WITHOUT ROWID`), so that a coin's rows lie
//! together in time order. Books do not: a clustered row longer than a quarter of a page would spill.

use std::time::Duration;

use hl_core::record::{Market, PredictedFunding};
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
        Sql(include_str!("ended.sql")),
        Rows(&Market::TABLE),
    ],
    busy: Duration::from_secs(5),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::rows;

    /// What a step does may never change once it was released: another column is another step.
    #[test]
    fn a_step_that_makes_a_table_is_as_it_was_released() {
        let made = |table| rows::definition(table).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            made(&PredictedFunding::TABLE),
            "CREATE TABLE predicted_funding (coin TEXT NOT NULL, time INTEGER NOT NULL, venue TEXT NOT NULL, \
             rate TEXT NOT NULL, next_time INTEGER NOT NULL, interval_hours INTEGER, source TEXT NOT NULL, \
             epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, PRIMARY KEY (coin, time, venue)) STRICT, \
             WITHOUT ROWID; \
             CREATE VIEW predicted_funding_num AS SELECT coin, \
             strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, venue, \
             CAST(rate AS REAL) AS rate, \
             strftime('%Y-%m-%dT%H:%M:%fZ', next_time / 1000.0, 'unixepoch') AS next_time_iso, next_time, \
             interval_hours, source, epoch, received, seq FROM predicted_funding;"
        );
        assert_eq!(
            made(&Market::TABLE),
            "CREATE TABLE markets (coin TEXT NOT NULL, time INTEGER NOT NULL, name TEXT NOT NULL, \
             market_type TEXT NOT NULL, dex TEXT, status TEXT NOT NULL, sz_decimals INTEGER, \
             max_leverage INTEGER, margin_tiers TEXT, margin_mode TEXT, quote TEXT, settle_fraction TEXT, \
             description TEXT, source TEXT NOT NULL, epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, \
             PRIMARY KEY (coin, time)) STRICT, WITHOUT ROWID; \
             CREATE VIEW markets_num AS SELECT coin, \
             strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, name, market_type, dex, \
             status, sz_decimals, max_leverage, margin_tiers, margin_mode, quote, \
             CAST(settle_fraction AS REAL) AS settle_fraction, description, source, epoch, received, seq \
             FROM markets;"
        );
    }
}

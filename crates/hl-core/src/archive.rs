//! The archive's vocabulary: days, parts, and rows as they are stored, source and claim included.
//!
//! The archive owns a day of a stream while it works ([`DayClaims::claim_day`](crate::store::DayClaims::claim_day)), moves
//! settled rows into a *part*, and removes from the store exactly the rows that the part was verified to hold
//! ([`DayClaims::commit_part`](crate::store::DayClaims::commit_part)). What is not here: files and their format.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::ledger::Span;
pub use crate::row::RowKey;
use crate::store::Holder;
use crate::time::DAY_MS;
use crate::{Epoch, Origin, Records, StreamKey, TimeMs};

/// A day, UTC: so many days since 1970-01-01. Its text form is `2026-11-01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day that holds a time. Times before 1970 or far beyond any calendar give the first and the last day.
    #[must_use]
    pub fn of(time: TimeMs) -> Self {
        const LAST: i64 = 2_932_895;
        Self(i32::try_from(time.0.div_euclid(DAY_MS).clamp(0, LAST)).unwrap_or(0))
    }

    /// From its first to its last millisecond, both included.
    #[must_use]
    pub fn span(self) -> Span {
        let from = TimeMs(i64::from(self.0) * DAY_MS);
        Span { from, to: from + (DAY_MS - 1) }
    }

    /// Where the next day begins.
    #[must_use]
    pub fn end(self) -> TimeMs {
        self.span().to + 1
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.span().from.0) {
            Ok(midnight) => f.pad(&midnight.strftime("%Y-%m-%d").to_string()),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no day; days are written like 2026-11-01")]
pub struct DayError(String);

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let fail = || DayError(text.to_owned());
        let date: jiff::civil::Date = text.parse().map_err(|_| fail())?;
        let midnight = jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(|_| fail())?;
        let day = Self::of(TimeMs(midnight.as_millisecond()));
        if day.to_string() == text { Ok(day) } else { Err(fail()) }
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a row came from, and the claim that wrote it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Provenance {
    /// The `source` column.
    pub origin: Origin,
    /// The `epoch` column.
    pub epoch: Epoch,
}

/// Rows of one stream as they are stored. Of bars only final ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRows {
    /// What they say.
    pub records: Records,
    /// Where each came from, in the same order.
    pub provenance: Vec<Provenance>,
}

impl StoredRows {
    /// No rows of a stream.
    #[must_use]
    pub fn none(stream: StreamKey) -> Self {
        Self { records: Records::none(stream), provenance: Vec::new() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.provenance.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.provenance.is_empty()
    }

    /// The rows at these positions, in this order. A position beyond the end is left out.
    #[must_use]
    pub fn pick(&self, positions: &[usize]) -> Self {
        Self {
            records: self.records.pick(positions),
            provenance: positions.iter().filter_map(|&at| self.provenance.get(at).copied()).collect(),
        }
    }

    /// The union of both, in `order`; of two rows with one key the one of `self` stays.
    #[must_use]
    pub fn merged<K: Ord>(mut self, other: Self, order: impl Fn(RowKey) -> K) -> Self {
        if other.is_empty() && self.records.keys().is_sorted_by_key(|&key| order(key)) {
            return self;
        }
        let own = self.len();
        let _ = self.records.append(other.records);
        self.provenance.extend(other.provenance);
        let keys = self.records.keys();
        let mut positions: Vec<usize> = (0..keys.len()).collect();
        positions.sort_by(|&a, &b| {
            order(keys[a]).cmp(&order(keys[b])).then(keys[a].cmp(&keys[b])).then((a >= own).cmp(&(b >= own)))
        });
        positions.dedup_by_key(|at| keys[*at]);
        self.pick(&positions)
    }
}

/// A recorded piece of the archive. Only recorded parts count, whatever else lies in the folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Part {
    /// The stream.
    pub stream: StreamKey,
    /// The day of its rows.
    pub day: Day,
    /// The file, relative to the archive's folder, with `/` between its parts. None where the rows were deleted
    /// without being archived, as their retention said: then this is the record of it.
    pub path: Option<String>,
    /// Its rows.
    pub rows: u64,
    /// The oldest time in it, ms.
    pub first: TimeMs,
    /// The newest time in it, ms.
    pub last: TimeMs,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub checksum: String,
    /// The claim that wrote it.
    pub epoch: Epoch,
    /// When it was recorded, ms.
    pub written_at: TimeMs,
}

/// Whether a day of a stream could be claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// It is ours until we give it back, die, or claim it anew.
    Yes,
    /// A living process is at it.
    Elsewhere(Holder),
}

/// What became of rows that were to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// The part is recorded, and these rows are gone.
    Done {
        /// Rows removed.
        rows: u64,
        /// Rows that were changed meanwhile: they stay.
        changed: u64,
    },
    /// The claim no longer stands: nothing was done.
    ClaimLost,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Mid;
    use crate::row::Arrival;
    use crate::{Coin, Decimal};

    #[test]
    fn days_begin_at_midnight_and_survive_their_text() {
        let day: Day = "2026-11-01".parse().unwrap();
        assert_eq!(day.span(), Span::new(TimeMs(1_793_491_200_000), TimeMs(1_793_577_599_999)));
        assert_eq!((Day::of(day.span().to), Day::of(day.end())), (day, "2026-11-02".parse().unwrap()));
        assert_eq!(Day::of(TimeMs::MIN).to_string(), "1970-01-01");
        assert_eq!(Day::of(TimeMs::MAX).to_string(), "9999-12-30");
        for bad in ["", "2026-11", "2026-13-01", "2026-11-01T00:00", "1969-12-31"] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn of_two_rows_with_one_key_the_stored_one_stays() {
        let row = |coin: &str, time, px: i64| Mid {
            coin: Coin::new(coin).unwrap(),
            time: TimeMs(time),
            px: Decimal::from(px),
            arrival: Arrival::default(),
        };
        let rows = |rows: &[Mid], local| StoredRows {
            records: Records::Mids(rows.to_vec()),
            provenance: vec![
                Provenance { origin: Origin::Ws, epoch: Epoch { local, ..Epoch::default() } };
                rows.len()
            ],
        };
        let hot = rows(&[row("BTC", 5, 1), row("ETH", 2, 1)], 7);
        let archived = rows(&[row("BTC", 5, 2), row("BTC", 3, 2)], 3);
        let by_key = hot.clone().merged(archived.clone(), |key| key);
        assert_eq!(by_key.records, Records::Mids(vec![row("BTC", 3, 2), row("BTC", 5, 1), row("ETH", 2, 1)]));
        assert_eq!(by_key.provenance.iter().map(|p| p.epoch.local).collect::<Vec<_>>(), [3, 7, 7]);
        let by_time = hot.merged(archived, |key| (key.time, key.coin));
        assert_eq!(
            by_time.records,
            Records::Mids(vec![row("ETH", 2, 1), row("BTC", 3, 2), row("BTC", 5, 1)])
        );
    }
}

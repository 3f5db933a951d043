//! Every job there is, for people.

use super::{AuditBars, BackfillGaps, CollectDailyStats, CollectFunding};

/// A job that a collector can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its id.
    pub id: &'static str,
    /// What it does, in words.
    pub about: &'static str,
    /// Whether it runs by a plan, which can be changed, and by hand; the others run when a stream needs them.
    pub is_planned: bool,
}

const fn needed(id: &'static str, about: &'static str) -> Known {
    Known { id, about, is_planned: false }
}

const fn planned(id: &'static str, about: &'static str) -> Known {
    Known { id, about, is_planned: true }
}

/// The job that moves old rows out of the store. What it does is brought by the host: the archive is no part of a
/// collector that is embedded. Users of scheduled collectors know the id.
pub const ARCHIVE_ALL_COLLECTIONS: &str = "archive_all_collections";

/// All of them, by id.
pub const KNOWN: [Known; 10] = [
    planned(ARCHIVE_ALL_COLLECTIONS, "moves old rows to the archive, or deletes them"),
    needed(AuditBars::ID, "compares stored bars with the exchange's own"),
    needed(BackfillGaps::ID, "fills gaps from the exchange's past"),
    needed("collect_candles", "polls the bars that no socket brings"),
    planned(CollectDailyStats::ID, "reads the exchange's daily statistics"),
    planned(CollectFunding::ID, "reads settled funding"),
    needed("collect_mids", "polls the mids when no socket brings them"),
    needed("collect_orderbook", "polls the books that no socket brings"),
    needed("collect_trades", "polls the trades that no socket brings"),
    needed("update_ticker", "polls the contexts that no socket brings"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::FALLBACKS;

    #[test]
    fn the_list_is_sorted_and_has_the_fallbacks() {
        assert!(KNOWN.is_sorted_by(|a, b| a.id < b.id));
        for id in FALLBACKS {
            assert!(KNOWN.iter().any(|known| known.id == id && !known.is_planned), "{id}");
        }
    }
}

//! Every job there is, for people.

use hl_core::Kind;

use super::poll::fallbacks;
use super::{
    AuditBars, BackfillGaps, CollectDailyStats, CollectFunding, CollectTraderOrders, FetchLeaderboard,
    GenerateSignals, UpdateTrackedTraders,
};

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

/// The job that moves old rows out of the store. What it does is brought by the host: an engine knows no archive. Users of scheduled collectors know the id.
pub const ARCHIVE_ALL_COLLECTIONS: &str = "archive_all_collections";

/// All of them, by id.
#[must_use]
pub fn known() -> Vec<Known> {
    let mut all = vec![
        planned(ARCHIVE_ALL_COLLECTIONS, "moves old rows to the archive, or deletes them"),
        needed(AuditBars::ID, "compares stored bars with the exchange's own"),
        needed(BackfillGaps::ID, "fills gaps from the exchange's past"),
        planned(CollectDailyStats::ID, "reads the exchange's daily statistics"),
        planned(CollectFunding::ID, "reads settled funding"),
        planned(CollectTraderOrders::ID, Kind::Orders.spec().job_does),
        planned(FetchLeaderboard::ID, Kind::Leaderboard.spec().job_does),
        planned(GenerateSignals::ID, Kind::Signals.spec().job_does),
        planned(UpdateTrackedTraders::ID, Kind::Traders.spec().job_does),
    ];
    let kinds = Kind::ALL.into_iter().map(Kind::spec).filter(|spec| spec.live);
    all.extend(fallbacks().into_iter().filter_map(|id| {
        let spec = kinds.clone().find(|spec| spec.job == id)?;
        Some(needed(id, spec.job_does))
    }));
    all.sort_by_key(|known| known.id);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_told_once_and_the_fallbacks_are_among_them() {
        let known = known();
        assert!(known.is_sorted_by(|a, b| a.id < b.id));
        for id in ["collect_trades", "collect_candles", "collect_orderbook", "update_ticker", "collect_mids"]
        {
            assert!(known.iter().any(|known| known.id == id && !known.is_planned), "{id}");
        }
    }
}

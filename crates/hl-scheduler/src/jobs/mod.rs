//! The jobs, one a file.
//!
//! The fallbacks (`collect_trades`, `collect_candles`, `collect_orderbook`, `collect_mids`, `update_ticker`) poll the
//! streams that the selector gave to REST and are withdrawn while it gives them none. `backfill_gaps` fills what a
//! backfill still can, `audit_candles` compares stored bars with the exchange's own
//! history, `collect_funding` reads what was settled, and `collect_daily_stats` the exchange's own statistics.
//! `fetch_leaderboard` reads the leaderboard, `update_tracked_traders` chooses from it, `collect_trader_orders` reads what only REST
//! tells of those who were chosen, and `generate_signals` asks what their positions say. [`known`] lists them all.

mod audit_bars;
mod backfill_gaps;
mod catalog;
mod collect_daily_stats;
mod collect_funding;
mod collect_trader_orders;
mod fetch_leaderboard;
mod generate_signals;
mod poll;
mod snapshot;
mod tracked;
mod update_tracked_traders;

pub use audit_bars::{AuditBars, Told};
pub use backfill_gaps::{BackfillGaps, Collected, Committed, OwnerOf, RelivedFrom};
pub use catalog::{ARCHIVE_ALL_COLLECTIONS, Known, known};
pub use collect_daily_stats::CollectDailyStats;
pub use collect_funding::CollectFunding;
pub use collect_trader_orders::CollectTraderOrders;
pub use fetch_leaderboard::FetchLeaderboard;
pub use generate_signals::{Changes, Coins, Follow, GenerateSignals, Prices, Sight, TellAlert};
pub use poll::{Poll, fallbacks};
pub use snapshot::Snapshots;
pub use tracked::tracked_at;
pub use update_tracked_traders::UpdateTrackedTraders;

//! The tables of a store, and the views for people.
//!
//! Prices and sizes are the exchange's own decimals as text; the `*_num` views give them as floating point, and
//! times as ISO text, for charts. Small rows live in their primary key (`WITHOUT ROWID`), so that a coin's rows lie
//! together in time order. Books do not: a clustered row longer than a quarter of a page would spill.

use std::time::Duration;

use hl_core::record::{
    CoinSignal, Fill, Leader, Market, Movement, Order, Payment, Position, PredictedFunding, Trader,
};
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
        Sql(include_str!("dexes.sql")),
        Rows(&Leader::TABLE),
        Rows(&Trader::TABLE),
        Rows(&Fill::TABLE),
        Rows(&Position::TABLE),
        Sql(include_str!("positions_now.sql")),
        Rows(&Order::TABLE),
        Rows(&Payment::TABLE),
        Rows(&Movement::TABLE),
        Rows(&CoinSignal::TABLE),
    ],
    busy: Duration::from_secs(5),
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hl_core::ledger::{Batch, Change, Span};
    use hl_core::record::Mid;
    use hl_core::row::Arrival;
    use hl_core::store::prelude::*;
    use hl_core::{Coin, Decimal, Epoch, Origin, Records, StreamKey, TimeMs};
    use hl_runtime::SystemClock;
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::rows;
    use crate::{Inspect as _, SqliteOptions, SqliteStore, Writer};

    /// The steps of the release before streams of whole dexes.
    const BEFORE_DEXES: u8 = 9;

    #[tokio::test]
    async fn a_store_of_before_goes_on_and_has_streams_of_whole_dexes_beside_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut conn = Connection::open(&path).unwrap();
        let tx = conn.transaction().unwrap();
        KIND.steps[..usize::from(BEFORE_DEXES)].iter().for_each(|step| step.take(&tx).unwrap());
        tx.commit().unwrap();
        conn.pragma_update(None, "application_id", KIND.application_id).unwrap();
        conn.pragma_update(None, "user_version", BEFORE_DEXES).unwrap();
        conn.execute_batch(
            "INSERT INTO mids VALUES ('BTC', 4, '1.5', 'ws', 3, NULL, 0), ('PURR/USDC', 5, '2', 'ws', 3, NULL, 0);
             INSERT INTO streams (stream, edge) VALUES ('mids', 5), ('trades/xyz:NVDA', 5);
             INSERT INTO coverage VALUES ('mids', 4, 5, 'ws', 3, 2);
             INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at)
                 SELECT stream, 1, 3, 'outage', 'open', 0 FROM streams;",
        )
        .unwrap();
        let options = SqliteOptions {
            path: path.clone(),
            role: "test".to_owned(),
            host: "here".to_owned(),
            pid: std::process::id(),
            writer: Writer::Thread,
            clock: Arc::new(SystemClock),
        };
        let store = SqliteStore::open(options).await.unwrap();
        let (first, xyz) = (StreamKey::MIDS, "mids/xyz".parse().unwrap());
        let granted = store.lease(&[first, xyz]).await.unwrap().granted;
        let edges: Vec<_> = granted.iter().map(|start| (start.stream, start.edge)).collect();
        assert_eq!(edges, [(first, Some(TimeMs(5))), (xyz, None)]);
        let (epoch, origin) = (Epoch { token: store.token(), local: 1 }, Origin::Ws);
        let mid = |name: &str, time| Mid {
            coin: Coin::new(name).unwrap(),
            time: TimeMs(time),
            px: Decimal::ONE,
            arrival: Arrival::ALONE,
        };
        // One of them is of the other dex: it is written to neither.
        let rows = |records| Change::Rows { epoch, origin, records: Records::Mids(records) };
        let changes = vec![
            (first, rows(vec![mid("BTC", 7), mid("xyz:NVDA", 7)])),
            (xyz, rows(vec![mid("xyz:NVDA", 8), mid("ETH", 8)])),
        ];
        store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
        store.close().await.unwrap();
        let inspect = SqliteStore::inspect(&path).unwrap();
        let mut stored = Vec::new();
        for stream in [first, xyz] {
            let rows = inspect.rows(stream, Span::EVER).await.unwrap();
            let Records::Mids(rows) = rows else { panic!("other rows") };
            stored.push(rows.iter().map(|mid| format!("{} {}", mid.coin, mid.time.0)).collect::<Vec<_>>());
        }
        assert_eq!(stored, [vec!["BTC 4", "BTC 7", "PURR/USDC 5"], vec!["xyz:NVDA 8"]]);
        let counted: Vec<_> = inspect.streams().await.unwrap();
        let counted: Vec<_> = counted.iter().map(|row| (row.stream.to_string(), row.rows)).collect();
        assert_eq!(counted, [("mids".into(), 3), ("mids/xyz".into(), 1), ("trades/xyz:NVDA".into(), 0)]);
        let mut gaps = conn.prepare("SELECT kind, coin, dex FROM gaps_num ORDER BY stream").unwrap();
        let gaps = gaps.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        let gaps: Vec<(String, Option<String>, Option<String>)> = gaps.map(Result::unwrap).collect();
        let (nvda, dex) = (Some("xyz:NVDA".to_owned()), Some("xyz".to_owned()));
        assert_eq!(gaps, [("mids".to_owned(), None, None), ("trades".to_owned(), nvda, dex)]);
    }

    #[test]
    fn what_traders_hold_now_is_kept_beside_the_history() {
        let mut conn = Connection::open_in_memory().unwrap();
        let tx = conn.transaction().unwrap();
        KIND.steps.iter().for_each(|step| step.take(&tx).unwrap());
        tx.commit().unwrap();
        let put = |rows: &[(&str, &str, i64, i64)]| {
            for (user, coin, time, szi) in rows {
                conn.execute(
                    "INSERT OR IGNORE INTO positions (user, coin, time, change, szi, known_by, source, epoch)
                     VALUES (?1, ?2, ?3, 'snapshot', ?4, 'state', 'derived', 1)",
                    (user, coin, time, szi.to_string()),
                )
                .unwrap();
            }
        };
        let now = || -> Vec<(String, String, i64, String)> {
            let mut read =
                conn.prepare("SELECT user, coin, time, szi FROM positions_now ORDER BY user, coin").unwrap();
            let rows = read.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let row = |user: &str, coin: &str, time, szi: &str| (user.into(), coin.into(), time, szi.into());
        put(&[("a", "*", 10, 0), ("a", "BTC", 10, 5), ("a", "ETH", 10, 7), ("b", "*", 11, 0)]);
        put(&[("a", "BTC", 12, 0), ("b", "ETH", 13, -1), ("b", "ETH", 12, -9), ("a", "BTC", 12, 44)]);
        assert_eq!(
            now(),
            [
                row("a", "*", 10, "0"),
                row("a", "BTC", 12, "0"),
                row("a", "ETH", 10, "7"),
                row("b", "*", 11, "0"),
                row("b", "ETH", 13, "-1"),
            ]
        );
        // What a later snapshot lacks is flat; and what comes late was known better already.
        put(&[("a", "*", 20, 0), ("a", "SOL", 20, 1), ("a", "ETH", 19, 8)]);
        assert_eq!(now()[..2], [row("a", "*", 20, "0"), row("a", "SOL", 20, "1")]);
        assert_eq!(now().len(), 4);
    }

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
        assert_eq!(
            made(&Leader::TABLE),
            "CREATE TABLE leaderboard (time INTEGER NOT NULL, user TEXT NOT NULL, account_value TEXT NOT NULL, \
             day_pnl TEXT, day_roi TEXT, day_vlm TEXT, week_pnl TEXT, week_roi TEXT, week_vlm TEXT, \
             month_pnl TEXT, month_roi TEXT, month_vlm TEXT, all_time_pnl TEXT, all_time_roi TEXT, \
             all_time_vlm TEXT, display_name TEXT, source TEXT NOT NULL, \
             epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, PRIMARY KEY (time, user)) STRICT, \
             WITHOUT ROWID; \
             CREATE VIEW leaderboard_num AS SELECT strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS \
             iso, time, user, CAST(account_value AS REAL) AS account_value, CAST(day_pnl AS REAL) AS day_pnl, \
             CAST(day_roi AS REAL) AS day_roi, CAST(day_vlm AS REAL) AS day_vlm, \
             CAST(week_pnl AS REAL) AS week_pnl, CAST(week_roi AS REAL) AS week_roi, \
             CAST(week_vlm AS REAL) AS week_vlm, CAST(month_pnl AS REAL) AS month_pnl, \
             CAST(month_roi AS REAL) AS month_roi, CAST(month_vlm AS REAL) AS month_vlm, \
             CAST(all_time_pnl AS REAL) AS all_time_pnl, CAST(all_time_roi AS REAL) AS all_time_roi, \
             CAST(all_time_vlm AS REAL) AS all_time_vlm, display_name, source, epoch, received, seq \
             FROM leaderboard;"
        );
        assert_eq!(
            made(&Trader::TABLE),
            "CREATE TABLE traders (time INTEGER NOT NULL, user TEXT NOT NULL, status TEXT NOT NULL, \
             chosen_by TEXT NOT NULL, score TEXT, rank INTEGER, tags TEXT NOT NULL, position TEXT NOT NULL, \
             account_value TEXT, snapshot_time INTEGER NOT NULL, source TEXT NOT NULL, epoch INTEGER NOT NULL, \
             received INTEGER, seq INTEGER, PRIMARY KEY (time, user)) STRICT, WITHOUT ROWID; \
             CREATE VIEW traders_num AS SELECT strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, \
             time, user, status, chosen_by, CAST(score AS REAL) AS score, rank, tags, position, \
             CAST(account_value AS REAL) AS account_value, \
             strftime('%Y-%m-%dT%H:%M:%fZ', snapshot_time / 1000.0, 'unixepoch') AS snapshot_time_iso, \
             snapshot_time, source, epoch, received, seq FROM traders;"
        );
        assert_eq!(
            made(&Fill::TABLE),
            "CREATE TABLE fills (user TEXT NOT NULL, time INTEGER NOT NULL, tid INTEGER NOT NULL, \
             side TEXT NOT NULL, coin TEXT NOT NULL, px TEXT NOT NULL, sz TEXT NOT NULL, \
             start_position TEXT NOT NULL, dir TEXT NOT NULL, closed_pnl TEXT NOT NULL, liquidity TEXT NOT NULL, \
             fee TEXT NOT NULL, fee_token TEXT, builder_fee TEXT, oid INTEGER NOT NULL, cloid TEXT, \
             twap_id INTEGER, hash TEXT NOT NULL, liquidated_user TEXT, liquidation_mark_px TEXT, \
             liquidation_method TEXT, source TEXT NOT NULL, epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, \
             PRIMARY KEY (user, time, tid, side)) STRICT, WITHOUT ROWID; \
             CREATE VIEW fills_num AS SELECT user, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS \
             iso, time, tid, side, coin, CAST(px AS REAL) AS px, CAST(sz AS REAL) AS sz, \
             CAST(start_position AS REAL) AS start_position, dir, CAST(closed_pnl AS REAL) AS closed_pnl, liquidity, \
             CAST(fee AS REAL) AS fee, fee_token, CAST(builder_fee AS REAL) AS builder_fee, oid, cloid, twap_id, hash, \
             liquidated_user, CAST(liquidation_mark_px AS REAL) AS liquidation_mark_px, liquidation_method, source, \
             epoch, received, seq FROM fills;"
        );
        assert_eq!(
            made(&Position::TABLE),
            "CREATE TABLE positions (user TEXT NOT NULL, time INTEGER NOT NULL, coin TEXT NOT NULL, \
             change TEXT NOT NULL, szi TEXT NOT NULL, szi_before TEXT, known_by TEXT NOT NULL, px TEXT, \
             entry_px TEXT, source TEXT NOT NULL, epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, \
             PRIMARY KEY (user, time, coin)) STRICT, WITHOUT ROWID; \
             CREATE VIEW positions_num AS SELECT user, \
             strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, coin, change, \
             CAST(szi AS REAL) AS szi, CAST(szi_before AS REAL) AS szi_before, known_by, CAST(px AS REAL) AS px, \
             CAST(entry_px AS REAL) AS entry_px, source, epoch, received, seq FROM positions;"
        );
        assert_eq!(
            made(&Order::TABLE),
            "CREATE TABLE orders (user TEXT NOT NULL, time INTEGER NOT NULL, oid INTEGER NOT NULL, \
             status TEXT NOT NULL, coin TEXT NOT NULL, side TEXT NOT NULL, limit_px TEXT NOT NULL, sz TEXT NOT NULL, \
             orig_sz TEXT NOT NULL, order_type TEXT NOT NULL, tif TEXT, reduce_only TEXT NOT NULL, \
             is_position_tpsl TEXT NOT NULL, trigger_px TEXT, trigger_condition TEXT, children TEXT, cloid TEXT, \
             order_time INTEGER NOT NULL, source TEXT NOT NULL, epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, \
             PRIMARY KEY (user, time, oid, status)) STRICT, WITHOUT ROWID; \
             CREATE VIEW orders_num AS SELECT user, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS \
             iso, time, oid, status, coin, side, CAST(limit_px AS REAL) AS limit_px, CAST(sz AS REAL) AS sz, \
             CAST(orig_sz AS REAL) AS orig_sz, order_type, tif, reduce_only, is_position_tpsl, \
             CAST(trigger_px AS REAL) AS trigger_px, trigger_condition, children, cloid, \
             strftime('%Y-%m-%dT%H:%M:%fZ', order_time / 1000.0, 'unixepoch') AS order_time_iso, order_time, source, \
             epoch, received, seq FROM orders;"
        );
        assert_eq!(
            made(&Payment::TABLE),
            "CREATE TABLE payments (user TEXT NOT NULL, time INTEGER NOT NULL, coin TEXT NOT NULL, usdc TEXT NOT NULL, \
             szi TEXT NOT NULL, rate TEXT NOT NULL, samples INTEGER, hash TEXT NOT NULL, source TEXT NOT NULL, \
             epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, PRIMARY KEY (user, time, coin)) STRICT, \
             WITHOUT ROWID; \
             CREATE VIEW payments_num AS SELECT user, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS \
             iso, time, coin, CAST(usdc AS REAL) AS usdc, CAST(szi AS REAL) AS szi, CAST(rate AS REAL) AS rate, \
             samples, hash, source, epoch, received, seq FROM payments;"
        );
        assert_eq!(
            made(&Movement::TABLE),
            "CREATE TABLE movements (user TEXT NOT NULL, time INTEGER NOT NULL, id INTEGER NOT NULL, kind TEXT NOT NULL, \
             hash TEXT NOT NULL, direction TEXT NOT NULL, counterpart TEXT, usdc TEXT, token TEXT, amount TEXT, fee TEXT, \
             delta TEXT, source TEXT NOT NULL, epoch INTEGER NOT NULL, received INTEGER, seq INTEGER, \
             PRIMARY KEY (user, time, id)) STRICT, WITHOUT ROWID; \
             CREATE VIEW movements_num AS SELECT user, strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS \
             iso, time, id, kind, hash, direction, counterpart, CAST(usdc AS REAL) AS usdc, token, \
             CAST(amount AS REAL) AS amount, CAST(fee AS REAL) AS fee, delta, source, epoch, received, seq \
             FROM movements;"
        );
        assert_eq!(
            made(&CoinSignal::TABLE),
            "CREATE TABLE signals (time INTEGER NOT NULL, coin TEXT NOT NULL, strategy TEXT NOT NULL, \
             recommendation TEXT, withheld TEXT, confidence TEXT, long_bias TEXT NOT NULL, \
             short_bias TEXT NOT NULL, net_exposure TEXT, traders_long INTEGER NOT NULL, \
             traders_short INTEGER NOT NULL, traders_flat INTEGER NOT NULL, traders_unknown INTEGER NOT NULL, \
             total_weight TEXT NOT NULL, stale_ms INTEGER, source TEXT NOT NULL, epoch INTEGER NOT NULL, \
             received INTEGER, seq INTEGER, PRIMARY KEY (time, coin)) STRICT, WITHOUT ROWID; \
             CREATE VIEW signals_num AS SELECT \
             strftime('%Y-%m-%dT%H:%M:%fZ', time / 1000.0, 'unixepoch') AS iso, time, coin, strategy, \
             recommendation, withheld, CAST(confidence AS REAL) AS confidence, \
             CAST(long_bias AS REAL) AS long_bias, CAST(short_bias AS REAL) AS short_bias, \
             CAST(net_exposure AS REAL) AS net_exposure, traders_long, traders_short, traders_flat, \
             traders_unknown, CAST(total_weight AS REAL) AS total_weight, stale_ms, source, epoch, received, seq \
             FROM signals;"
        );
    }
}

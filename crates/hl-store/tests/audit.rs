//! Each check of the audit finds the defect that it is there for, and nothing in a store that is right.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;

use common::{bar, btc, commit, minutes, open, span, trade, trades};
use hl_core::ledger::{Cause, Change};
use hl_core::record::{Bbo, Book, Level, Mid};
use hl_core::row::Arrival;
use hl_core::store::prelude::*;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_store::{Inspect as _, Problem, SqliteStore};

const MINUTE: i64 = 60_000;

/// A store in which everything is right: one outage, filled by half, in the middle of seven minutes of trades, bars
/// of one and five minutes that agree with them, books, and mids of two coins.
async fn healthy() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).await.unwrap();
    let five = StreamKey::Candle(btc(), Interval::M5);
    let fast = StreamKey::Book(btc(), BookVariant::Fast);
    let bbo = StreamKey::Bbo(btc());
    store.lease(&[trades(), minutes(), five, fast, bbo, StreamKey::MIDS]).await.unwrap();
    let epoch = |local| Epoch { token: store.token(), local };
    let rows = |local, records| Change::Rows { epoch: epoch(local), origin: Origin::Ws, records };
    let covered =
        |local, from, to| Change::Covered { epoch: epoch(local), origin: Origin::Ws, span: span(from, to) };

    // Two trades a second into each minute; nothing between 2:30 and 3:30 but what a fill brings.
    let at = |n: i64| n * MINUTE + 1_000;
    let some = |minutes: &[i64]| {
        Records::Trades(minutes.iter().flat_map(|n| [trade(at(*n), 1), trade(at(*n), 2)]).collect())
    };
    let gap = |from, to| Change::GapOpened { span: span(from, to), cause: Cause::Outage };
    let fill = |from, to, records| Change::Filled {
        epoch: epoch(2),
        origin: Origin::Ws,
        span: span(from, to),
        records,
    };
    commit(
        &store,
        trades(),
        vec![
            rows(1, some(&[0, 1, 2])),
            covered(1, at(0), at(2)),
            gap(at(2), at(4)),
            rows(2, some(&[4, 5, 6])),
            covered(2, at(4), at(6)),
            fill(at(3), at(4), some(&[3])),
            Change::GapLost { span: span(at(2), at(3)) },
            Change::Edge(TimeMs(at(6))),
        ],
    )
    .await;
    let bars = |range: std::ops::Range<i64>| {
        Records::Candles(range.map(|n| bar(Interval::M1, n * MINUTE, 2)).collect())
    };
    commit(
        &store,
        minutes(),
        vec![
            rows(1, bars(0..4)),
            covered(1, 0, 2 * MINUTE),
            Change::Final { span: span(0, 2 * MINUTE) },
            // The claim moves while bars 2 and 3 are open; the next one proves them final.
            rows(2, bars(4..8)),
            covered(2, 2 * MINUTE, 7 * MINUTE),
            Change::Final { span: span(2 * MINUTE, 7 * MINUTE) },
            Change::Edge(TimeMs(7 * MINUTE)),
        ],
    )
    .await;
    commit(
        &store,
        five,
        vec![
            rows(1, Records::Candles(vec![bar(Interval::M5, 0, 10), bar(Interval::M5, 5 * MINUTE, 4)])),
            covered(1, 0, 5 * MINUTE),
            Change::Final { span: span(0, 5 * MINUTE) },
            Change::Edge(TimeMs(5 * MINUTE)),
        ],
    )
    .await;
    let level = |px| Level { px: Decimal::from(px), sz: Decimal::ONE, n: 1 };
    let (bids, asks) = ([level(9)], [level(10)]);
    let book = Book {
        coin: btc(),
        variant: BookVariant::Fast,
        time: TimeMs(5),
        bids: bids.into(),
        asks: asks.into(),
        arrival: Arrival::default(),
    };
    commit(
        &store,
        fast,
        vec![rows(1, Records::Books(vec![book])), covered(1, 5, 5), Change::Edge(TimeMs(5))],
    )
    .await;
    let best =
        Bbo { coin: btc(), time: TimeMs(5), bid: Some(bids[0]), ask: None, arrival: Arrival::default() };
    commit(&store, bbo, vec![rows(1, Records::Bbos(vec![best])), covered(1, 5, 5), Change::Edge(TimeMs(5))])
        .await;
    let mid = |name, time| Mid {
        coin: Coin::new(name).unwrap(),
        time: TimeMs(time),
        px: Decimal::ONE,
        arrival: Arrival::default(),
    };
    let mids = Records::Mids(vec![mid("BTC", 1), mid("ETH", 1), mid("BTC", 9)]);
    commit(&store, StreamKey::MIDS, vec![rows(1, mids), covered(1, 1, 9), Change::Edge(TimeMs(9))]).await;
    store.close().await.unwrap();
    (folder, path)
}

#[tokio::test]
async fn a_store_that_is_right_is_clean() {
    let (_folder, path) = healthy().await;
    let audit = SqliteStore::inspect(path).unwrap().audit().await.unwrap();
    assert_eq!(audit.problems, []);
    assert_eq!((audit.duplicates, audit.overlapping_claims), (0, 0));
    // Minutes 1, 4 and 5 lie whole inside a piece; 0, 2, 3 and 6 reach over a border.
    assert_eq!(audit.minutes_compared, 2);
}

/// Plants a defect and returns what the audit says.
async fn problems(defect: &str) -> Vec<Problem> {
    let (_folder, path) = healthy().await;
    rusqlite::Connection::open(&path).unwrap().execute_batch(defect).unwrap();
    SqliteStore::inspect(path).unwrap().audit().await.unwrap().problems
}

async fn found(defect: &str) -> Vec<(&'static str, String, u64)> {
    let problems = problems(defect).await;
    let words = problems.into_iter().map(|p| {
        assert!(!p.example.is_empty());
        (p.check, p.stream.unwrap().to_string(), p.count)
    });
    words.collect()
}

fn only(check: &'static str, stream: &str, count: u64) -> Vec<(&'static str, String, u64)> {
    vec![(check, stream.to_owned(), count)]
}

#[tokio::test]
async fn a_key_that_is_there_twice() {
    // The primary key has to go first.
    let twice = |table: &str, source: &str| {
        format!(
            "PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO old;
             CREATE TABLE {table} AS SELECT * FROM old; DROP TABLE old;
             INSERT INTO {table} SELECT * FROM {table} WHERE {source};"
        )
    };
    assert_eq!(found(&twice("mids", "coin = 'ETH'")).await, only("duplicate_keys", "mids", 1));
    let defect = twice("candles", "interval = '1m' AND time = 0");
    assert!(found(&defect).await.contains(&("duplicate_keys", "candle/BTC/1m".to_owned(), 1)));
    let defect = twice("trades", "time < 60000");
    assert!(found(&defect).await.contains(&("duplicate_keys", "trades/BTC".to_owned(), 2)));
}

#[tokio::test]
async fn pieces_that_overlap() {
    let defect = "INSERT INTO coverage VALUES ('trades/BTC', 50000, 62000, 'ws', 99, 0)";
    assert_eq!(found(defect).await, only("overlapping_claims", "trades/BTC", 1));
    let border = "INSERT INTO coverage VALUES ('trades/BTC', 0, 1000, 'ws', 99, 0)";
    assert_eq!(found(border).await, []);
}

#[tokio::test]
async fn an_epoch_that_was_used_twice() {
    let twice = "INSERT INTO coverage SELECT stream, 990000, 991000, 'rest', epoch, 0 FROM coverage
                 WHERE stream = 'mids' AND source = 'ws' LIMIT 1";
    assert!(found(twice).await.contains(&("reused_epoch", "mids".to_owned(), 1)));
    let once = "INSERT INTO coverage SELECT stream, 990000, 991000, source, epoch, 0 FROM coverage
                WHERE stream = 'mids' LIMIT 1";
    assert!(found(once).await.iter().all(|(check, ..)| *check != "reused_epoch"));
}

#[tokio::test]
async fn a_gap_over_what_is_covered() {
    let gap = |from: i64, to: i64| {
        format!(
            "INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at)
             VALUES ('candle/BTC/5m', {from}, {to}, 'outage', 'open', 0)"
        )
    };
    assert_eq!(found(&gap(100_000, 200_000)).await, only("covered_gap", "candle/BTC/5m", 1));
    assert_eq!(found(&gap(300_000, 400_000)).await, []);
}

#[tokio::test]
async fn a_hole_that_nobody_wrote_down() {
    assert_eq!(
        found("DELETE FROM gaps WHERE state = 'unrecoverable'").await,
        only("uncovered_hole", "trades/BTC", 1)
    );
    assert_eq!(
        found("UPDATE streams SET edge = edge + 1 WHERE stream = 'mids'").await,
        only("uncovered_hole", "mids", 1)
    );
}

#[tokio::test]
async fn a_row_outside_its_claim() {
    let stale = "UPDATE trades SET epoch = epoch + 7 WHERE time = 61000 AND tid = 1";
    assert_eq!(found(stale).await, only("rows_outside_claim", "trades/BTC", 1));
    let orphan = "INSERT INTO funding VALUES ('ETH', 5, '0', '0', 'rest', 1, NULL, NULL)";
    assert_eq!(found(orphan).await, only("rows_outside_claim", "funding/ETH", 1));
    let mid = "INSERT INTO mids VALUES ('ABC', 0, '1', 'ws', (SELECT max(epoch) FROM mids), NULL, NULL)";
    assert_eq!(found(mid).await, only("rows_outside_claim", "mids", 1));
    let bar = "UPDATE candles SET epoch = epoch + 7 WHERE interval = '1m' AND time = 0";
    assert_eq!(found(bar).await, only("rows_outside_claim", "candle/BTC/1m", 1));
    let settled = "UPDATE streams SET edge = edge + 9 WHERE stream = 'bbo/BTC';
        UPDATE coverage SET to_time = to_time + 9 WHERE stream = 'bbo/BTC'; ";
    for by in ["+ 7", "- 7"] {
        let state = format!("{settled} UPDATE bbo SET epoch = epoch {by}");
        assert_eq!(found(&state).await, [], "a state may come late, and its time may be proven once more");
    }
    let state = format!("{settled} UPDATE bbo SET time = 0");
    assert_eq!(found(&state).await, only("rows_outside_claim", "bbo/BTC", 1));
    let imported = "UPDATE trades SET epoch = 0, source = 'import' WHERE time = 61000";
    assert_eq!(found(imported).await, [], "what was imported proves nothing and breaks nothing");
    let above = "INSERT INTO trades SELECT coin, 990000, tid, px, sz, side, hash, buyer, seller, source, 1, received, seq
                 FROM trades WHERE time = 61000";
    assert_eq!(found(above).await, [], "above the edge nothing is settled");
}

#[tokio::test]
async fn a_row_inside_a_gap() {
    let row = |time: i64| {
        format!(
            "INSERT INTO trades SELECT coin, {time}, 77, px, sz, side, hash, buyer, seller, 'import', epoch, received, seq
             FROM trades WHERE time = 61000 AND tid = 1"
        )
    };
    // Rows of an import are looked at by no check of the ledger, so the row has to claim more.
    let inside = row(150_000) + "; UPDATE trades SET source = 'ws' WHERE tid = 77";
    let mut both = only("rows_outside_claim", "trades/BTC", 1);
    both.extend(only("rows_in_gap", "trades/BTC", 1));
    assert_eq!(found(&inside).await, both);
    let border = row(121_000) + "; UPDATE trades SET source = 'ws' WHERE tid = 77";
    assert_eq!(found(&border).await, [], "border blocks may hold rows");
    let bars = "UPDATE coverage SET to_time = 300000 WHERE stream = 'candle/BTC/1m' AND to_time = 420000;
        INSERT INTO gaps (stream, from_time, to_time, cause, state, opened_at)
        VALUES ('candle/BTC/1m', 300000, 420000, 'outage', 'open', 0)";
    assert!(found(bars).await.contains(&("rows_in_gap", "candle/BTC/1m".to_owned(), 2)));
}

#[tokio::test]
async fn a_book_that_is_crossed() {
    let book = r#"UPDATE books SET bids = '[["10.0","1",1]]'"#;
    assert_eq!(found(book).await, only("crossed_book", "book/BTC/fast", 1));
    let bbo = "UPDATE bbo SET bid_px = '100', ask_px = '99.5', ask_sz = '1', ask_n = 1";
    assert_eq!(found(bbo).await, only("crossed_book", "bbo/BTC", 1));
}

#[tokio::test]
async fn a_longer_bar_that_its_minutes_contradict() {
    for column in ["open", "high", "low", "close", "volume"] {
        let defect = format!("UPDATE candles SET {column} = '1' WHERE interval = '5m' AND time = 0");
        assert_eq!(found(&defect).await, only("candle_nesting", "candle/BTC/5m", 1), "{column}");
    }
    let defect = "UPDATE candles SET trades = 11 WHERE interval = '5m' AND time = 0";
    assert_eq!(found(defect).await, only("candle_nesting", "candle/BTC/5m", 1));
    let absent = "DELETE FROM candles WHERE interval = '1m' AND time = 0;
                  UPDATE candles SET trades = 11 WHERE interval = '5m' AND time = 0";
    let expected = only("minute_without_bar", "candle/BTC/1m", 1);
    assert_eq!(found(absent).await, expected, "without all of its minutes nothing is said of the longer bar");
}

#[tokio::test]
async fn a_minute_whose_trades_are_not_all_there() {
    let lost = "DELETE FROM trades WHERE time = 61000 AND tid = 1";
    assert_eq!(found(lost).await, only("candle_trades", "trades/BTC", 1));
    let size = "UPDATE trades SET sz = '0.6' WHERE time = 301000 AND tid = 1";
    assert_eq!(found(size).await, only("candle_trades", "trades/BTC", 1));
    let border = "DELETE FROM trades WHERE time = 1000 AND tid = 1";
    assert_eq!(found(border).await, [], "a minute that no piece holds whole proves nothing");
}

#[tokio::test]
async fn a_file_that_is_damaged() {
    // An index that lacks a row of its table.
    let defect = "CREATE INDEX planted ON books (time);
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE INDEX planted ON books (time) WHERE time > 5' WHERE name = 'planted';
        PRAGMA writable_schema = RESET;
        INSERT INTO books SELECT coin, variant, 4, bids, asks, source, epoch, received, seq FROM books;
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE INDEX planted ON books (time)' WHERE name = 'planted';";
    let problems = problems(defect).await;
    let damage = problems.iter().find(|p| p.check == "integrity").unwrap();
    assert_eq!(damage.stream, None);
    assert!(damage.example.contains("planted"), "{}", damage.example);
}

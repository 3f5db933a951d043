//! The checks that the server helps with find the defect that each is there for, and nothing in a store that is right.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::sync::Arc;

use hl_core::ledger::{Batch, Change, Span};
use hl_core::record::{Bbo, Candle, HexBytes, Level, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_mongo::{MongoOptions, MongoStore};
use hl_runtime::SystemClock;
use hl_store::{Audit, Inspect as _};
use mongodb::bson::{Document, doc};

const MINUTE: i64 = 60_000;
const MINUTES: i64 = 5;

fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

fn trade(time: i64) -> Trade {
    Trade {
        coin: btc(),
        time: TimeMs(time),
        tid: 1,
        px: Decimal::from(66_410),
        sz: Decimal::new(50, 2),
        side: Side::Buy,
        hash: HexBytes([1; 32]),
        buyer: HexBytes([2; 20]),
        seller: HexBytes([3; 20]),
        arrival: Arrival::default(),
    }
}

fn bar(interval: Interval, time: i64, trades: u64) -> Candle {
    let px = Decimal::from(66_410);
    let volume = Decimal::new(5, 1) * Decimal::from(trades);
    Candle {
        coin: btc(),
        interval,
        time: TimeMs(time),
        open: px,
        high: px,
        low: px,
        close: px,
        volume,
        trades,
        arrival: Arrival::default(),
    }
}

/// Five minutes of a trade each, their bars, the bar that these make, and a best bid.
async fn healthy() -> String {
    let uri = hl_mongod::fresh_database();
    let options = MongoOptions::of_this_process(&uri, "test", Arc::new(SystemClock));
    let store = MongoStore::open(options).await.unwrap();
    let epoch = Epoch { token: store.token(), local: 1 };
    let end = MINUTES * MINUTE;
    let bars = |interval, trades, times: Vec<i64>| {
        Records::Candles(times.into_iter().map(|time| bar(interval, time, trades)).collect())
    };
    let minutes: Vec<i64> = (0..MINUTES).map(|n| n * MINUTE).collect();
    let level = |px| Some(Level { px: Decimal::from(px), sz: Decimal::ONE, n: 1 });
    let best =
        Bbo { coin: btc(), time: TimeMs(5), bid: level(9), ask: level(10), arrival: Arrival::default() };
    let streams = [
        (StreamKey::Trades(btc()), Records::Trades(minutes.iter().map(|open| trade(open + 1_000)).collect())),
        (StreamKey::Candle(btc(), Interval::M1), bars(Interval::M1, 1, minutes)),
        (StreamKey::Candle(btc(), Interval::M5), bars(Interval::M5, MINUTES.unsigned_abs(), vec![0])),
        (StreamKey::Bbo(btc()), Records::Bbos(vec![best])),
    ];
    store.lease(&streams.each_ref().map(|(stream, _)| *stream)).await.unwrap();
    for (stream, records) in streams {
        let span = Span::new(TimeMs(0), TimeMs(end));
        let mut changes = vec![
            Change::Rows { epoch, origin: Origin::Ws, records },
            Change::Covered { epoch, origin: Origin::Ws, span },
            Change::Edge(span.to),
        ];
        if matches!(stream, StreamKey::Candle(..)) {
            changes.insert(2, Change::Final { span });
        }
        let changes = changes.into_iter().map(|change| (stream, change)).collect();
        let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
        assert_eq!(ack.refused, 0);
    }
    store.close().await.unwrap();
    uri
}

async fn audited(uri: &str) -> Audit {
    MongoStore::inspect(uri).await.unwrap().audit().await.unwrap()
}

/// What is found after a change behind the store's back.
async fn found(collection: &str, which: Document, change: Document) -> Vec<&'static str> {
    let uri = healthy().await;
    let client = mongodb::Client::with_uri_str(&uri).await.unwrap();
    let db = client.default_database().unwrap();
    let collection = db.collection::<Document>(collection);
    let updated = collection.update_one(which, vec![doc! { "$set": change }]).await.unwrap();
    assert_eq!(updated.modified_count, 1);
    audited(&uri).await.problems.into_iter().map(|problem| problem.check).collect()
}

#[tokio::test]
async fn a_store_that_is_right_is_clean() {
    let audit = audited(&healthy().await).await;
    // The first minute begins with the subscription.
    assert_eq!((audit.problems, audit.minutes_compared), (vec![], MINUTES.unsigned_abs() - 1));
}

#[tokio::test]
async fn a_best_bid_at_the_best_ask() {
    assert_eq!(found("bbo", doc! {}, doc! { "bid.px": "$ask.px" }).await, ["crossed_book"]);
}

#[tokio::test]
async fn a_minute_whose_trades_are_not_of_its_volume() {
    let third = doc! { "_id.time": { "$gt": mongodb::bson::DateTime::from_millis(2 * MINUTE) } };
    assert_eq!(found("trades", third, doc! { "sz": { "$add": ["$sz", "$px"] } }).await, ["candle_trades"]);
}

#[tokio::test]
async fn a_longer_bar_that_its_minutes_contradict() {
    let longer = doc! { "_id.interval": "5m" };
    assert_eq!(found("candles", longer, doc! { "trades": 4_i64 }).await, ["candle_nesting"]);
}

#[tokio::test]
async fn a_row_outside_its_claim() {
    assert_eq!(found("trades", doc! {}, doc! { "epoch": 7_i64 }).await, ["rows_outside_claim"]);
}

#[tokio::test]
async fn a_hole_that_nobody_wrote_down() {
    let hole = doc! { "to": { "$subtract": ["$to", MINUTE] } };
    let found = found("coverage", doc! { "stream": "bbo/BTC" }, hole).await;
    assert_eq!(found, ["uncovered_hole"]);
}

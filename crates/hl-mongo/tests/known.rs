//! What a session knows of its own streams saves it from reading, and deceives it never.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::sync::Arc;

use hl_core::ledger::{Ack, Batch, Change, Span};
use hl_core::record::{Candle, HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_mongo::{MongoInspect, MongoOptions, MongoStore};
use hl_runtime::SystemClock;
use hl_store::Inspect as _;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{Client, Database};

const MINUTE: i64 = 60_000;
const ROWS: u64 = 10;

fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

fn trades() -> StreamKey {
    StreamKey::Trades(btc())
}

fn bars() -> StreamKey {
    StreamKey::Candle(btc(), Interval::M1)
}

fn minute(n: i64) -> Span {
    Span { from: TimeMs(n * MINUTE), to: TimeMs((n + 1) * MINUTE) }
}

struct Subject {
    store: MongoStore,
    inspect: MongoInspect,
    db: Database,
}

impl Subject {
    /// A session that has collected two minutes.
    async fn warm() -> Self {
        let uri = hl_mongod::fresh_database();
        let options = MongoOptions::of_this_process(&uri, "test", Arc::new(SystemClock));
        let store = MongoStore::open(options).await.unwrap();
        store.lease(&[trades(), bars()]).await.unwrap();
        let db = Client::with_uri_str(&uri).await.unwrap().default_database().unwrap();
        let inspect = MongoStore::inspect(&uri).await.unwrap();
        let subject = Self { store, inspect, db };
        subject.collect(1, 5).await;
        subject.collect(2, 5).await;
        subject
    }

    /// The trades of a minute, the last version of its bar, which had so many trades, and the first of the next one.
    async fn collect(&self, n: i64, of_bar: u64) -> Ack {
        let token = self.store.token();
        let (epoch, origin) = (Epoch { token, local: 1 }, Origin::Ws);
        let span = minute(n);
        let trade = |n: u64| Trade {
            coin: btc(),
            time: span.from + n.cast_signed(),
            tid: n,
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([1; 32]),
            buyer: HexBytes([2; 20]),
            seller: HexBytes([3; 20]),
            arrival: Arrival::default(),
        };
        let px = Decimal::ONE;
        let bar = |time, trades| Candle {
            coin: btc(),
            interval: Interval::M1,
            time,
            open: px,
            high: px,
            low: px,
            close: px,
            volume: px,
            trades,
            arrival: Arrival::default(),
        };
        let rows = Records::Trades((0..ROWS).map(trade).collect());
        let versions = Records::Candles(vec![bar(span.from, of_bar), bar(span.to, 1)]);
        let changes = vec![
            (trades(), Change::Rows { epoch, origin, records: rows }),
            (trades(), Change::Covered { epoch, origin, span }),
            (trades(), Change::Edge(span.to)),
            (bars(), Change::Rows { epoch, origin, records: versions }),
            (bars(), Change::Final { span }),
            (bars(), Change::Covered { epoch, origin, span }),
            (bars(), Change::Edge(span.to)),
        ];
        self.store.commit(Arc::new(Batch { token, changes })).await.unwrap()
    }

    async fn by_hand(&self, collection: &str, filter: Document, change: Document) {
        let of = self.db.collection::<Document>(collection);
        assert_eq!(of.update_one(filter, change).await.unwrap().modified_count, 1);
    }

    /// How many rows are counted to each covered piece of a stream, after a check that nothing but the bars differs from the trades.
    async fn pieces(&self, stream: StreamKey) -> Vec<(Span, u64)> {
        let pieces = self.inspect.coverage(Some(stream)).await.unwrap();
        pieces.into_iter().map(|piece| (piece.span, piece.rows)).collect()
    }

    /// The trades of each final bar.
    async fn final_bars(&self) -> Vec<u64> {
        let ever = Span { from: TimeMs(0), to: TimeMs(i64::MAX) };
        match self.inspect.rows(bars(), ever).await.unwrap() {
            Records::Candles(bars) => bars.into_iter().map(|bar| bar.trades).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn key(n: i64) -> Document {
    doc! { "coin": "BTC", "interval": "1m", "time": DateTime::from_millis(n * MINUTE) }
}

/// All minutes up to the one that begins at `last`.
fn whole(last: i64) -> Span {
    Span { from: minute(1).from, to: minute(last).to }
}

#[tokio::test]
async fn a_batch_that_goes_on_where_the_last_one_ended_reads_nothing() {
    let subject = Subject::warm().await;
    // What a daemon does beside, all the time.
    subject.store.sessions("note").await.unwrap();
    subject.store.put_note("note", "text").await.unwrap();
    subject.store.reserve("address", TimeMs(0), 1, 1_200).await.unwrap();
    let of_transactions =
        doc! { "appName": "hyperliquid-collector", "command.txnNumber": { "$exists": true } };
    subject.db.run_command(doc! { "profile": 2, "filter": of_transactions }).await.unwrap();
    let ack = subject.collect(3, 5).await;
    subject.db.run_command(doc! { "profile": 0 }).await.unwrap();
    // The bar of the minute was there in its first version.
    assert_eq!((ack.inserted, ack.existing), (ROWS + 2, 0));
    let noted = subject.db.collection::<Document>("system.profile");
    let count = async |op: &str| noted.count_documents(doc! { "op": op }).await.unwrap();
    assert!(count("insert").await > 0 && count("update").await > 0);
    assert_eq!(count("query").await + count("getmore").await, 0);

    assert_eq!(subject.pieces(trades()).await, [(whole(3), 3 * ROWS)]);
    assert_eq!(subject.pieces(bars()).await, [(whole(3), 3)]);
    assert_eq!(subject.final_bars().await, [5, 5, 5]);
}

#[tokio::test]
async fn a_covered_piece_that_was_changed_goes_on_as_it_is_now() {
    let subject = Subject::warm().await;
    let of_trades = doc! { "stream": trades().to_string() };
    subject.by_hand("coverage", of_trades, doc! { "$inc": { "rows": 1_000_i64 } }).await;
    subject.collect(3, 5).await;
    assert_eq!(subject.pieces(trades()).await, [(whole(3), 3 * ROWS + 1_000)]);
}

#[tokio::test]
async fn a_bar_that_was_bettered_stays() {
    let subject = Subject::warm().await;
    subject.by_hand("candles", doc! { "_id": key(3) }, doc! { "$set": { "trades": 99_i64 } }).await;
    let ack = subject.collect(3, 5).await;
    assert_eq!((ack.inserted, ack.existing), (ROWS + 1, 1));
    assert_eq!(subject.final_bars().await, [5, 5, 99]);
    assert_eq!(subject.pieces(bars()).await, [(whole(3), 3)]);
}

#[tokio::test]
async fn a_better_bar_that_somebody_else_made_stays() {
    let subject = Subject::warm().await;
    let rows = subject.db.collection::<Document>("candles");
    let mut better = rows.find_one(doc! { "_id": key(3) }).await.unwrap().unwrap();
    better.extend(doc! { "_id": key(4), "trades": 99_i64 });
    rows.insert_one(better).await.unwrap();
    let ack = subject.collect(3, 5).await;
    assert_eq!((ack.inserted, ack.existing), (ROWS + 1, 1));
    subject.collect(4, 5).await;
    assert_eq!(subject.final_bars().await, [5, 5, 5, 99]);
    assert_eq!(subject.pieces(bars()).await, [(whole(4), 4)]);
}

#[tokio::test]
async fn a_lease_that_is_gone_is_missed() {
    let subject = Subject::warm().await;
    let of_trades = doc! { "_id": trades().to_string() };
    subject.by_hand("streams", of_trades, doc! { "$set": { "token": Bson::Null } }).await;
    let ack = subject.collect(3, 5).await;
    assert_eq!((ack.superseded, ack.inserted), (vec![trades()], 2));
    assert_eq!(subject.pieces(trades()).await, [(whole(2), 2 * ROWS)]);
    assert_eq!(subject.pieces(bars()).await, [(whole(3), 3)]);

    // Given back and taken again it is the session's own, and nothing of before counts.
    subject.store.lease(&[trades()]).await.unwrap();
    let ack = subject.collect(3, 5).await;
    assert_eq!((ack.superseded, ack.inserted), (vec![], ROWS));
}

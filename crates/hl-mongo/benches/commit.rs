//! How fast batches are committed, against plain `insert_many` of the same documents under the same write concern.
//!
//! `cargo bench -p hl-mongo --bench commit` prints rows a second of both and their ratio; `-- --json` the same as JSON. The
//! two take turns batch by batch on one server, in collections alike, since a machine's speed drifts; a ratio is the median
//! over the rounds. A commit does more: the lease, the ledger, the edges, and all of it or nothing. The plain
//! inserts have their documents ready made, and one command with its own acknowledgement for each collection.

#![allow(clippy::unwrap_used, reason = "a benchmark has nobody to report errors to")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hl_core::ledger::{Batch, Change, Span};
use hl_core::record::{Bbo, Book, Candle, HexBytes, Level, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::prelude::*;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs, Token};
use hl_mongo::{MongoOptions, MongoStore};
use hl_mongod::Server;
use hl_runtime::SystemClock;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::{Client, Database};
use tokio::time::Instant;

const COINS: i64 = 20;
const ROUNDS: usize = 5;
/// A batch holds a minute, so that each has a bar of its own.
const MINUTE: i64 = 60_000;
const FIRST: i64 = 1_790_000_000_000 / MINUTE * MINUTE;
const COLLECTIONS: [&str; 4] = ["trades", "books", "bbo", "candles"];

/// What a batch is made of, for each coin.
struct Load {
    name: &'static str,
    of_coin: fn(Coin, TimeMs, i64) -> Vec<(StreamKey, Records)>,
    rows: i64,
    batches: i64,
}

const LOADS: [Load; 6] = [
    Load { name: "trades", of_coin: trades, rows: 1_000, batches: 40 },
    Load { name: "trades", of_coin: trades, rows: 100, batches: 100 },
    Load { name: "books", of_coin: books, rows: 1_000, batches: 15 },
    Load { name: "books", of_coin: books, rows: 100, batches: 100 },
    Load { name: "mixed", of_coin: mixed, rows: 1_000, batches: 40 },
    Load { name: "mixed", of_coin: mixed, rows: 100, batches: 100 },
];

fn trades(coin: Coin, from: TimeMs, rows: i64) -> Vec<(StreamKey, Records)> {
    let trade = |n: i64| Trade {
        coin,
        time: from + n,
        tid: n.unsigned_abs() * 7_919,
        px: Decimal::new(664_100 + n, 1),
        sz: Decimal::new(199_792 + n, 5),
        side: Side::Buy,
        hash: HexBytes([7; 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    };
    vec![(StreamKey::Trades(coin), Records::Trades((0..rows).map(trade).collect()))]
}

fn level(n: i64) -> Level {
    Level { px: Decimal::new(664_100 + n, 1), sz: Decimal::new(199_792 + n, 5), n: 3 }
}

fn books(coin: Coin, from: TimeMs, rows: i64) -> Vec<(StreamKey, Records)> {
    let variant = BookVariant::Default;
    let book = |n: i64| Book {
        coin,
        variant,
        time: from + n,
        bids: (0..20).map(|deep| level(n - deep)).collect(),
        asks: (1..21).map(|deep| level(n + deep)).collect(),
        arrival: Arrival::default(),
    };
    vec![(StreamKey::Book(coin, variant), Records::Books((0..rows).map(book).collect()))]
}

/// A book, a quote and a bar; trades otherwise.
fn mixed(coin: Coin, from: TimeMs, rows: i64) -> Vec<(StreamKey, Records)> {
    let bbo = Bbo { coin, time: from, bid: Some(level(0)), ask: Some(level(1)), arrival: Arrival::default() };
    let px = Decimal::new(664_100, 1);
    let (interval, open, high, low, close) = (Interval::M1, px, px, px, px);
    let bar = Candle {
        coin,
        interval,
        time: from,
        open,
        high,
        low,
        close,
        volume: Decimal::ONE,
        trades: 9,
        arrival: Arrival::default(),
    };
    let mut of_coin = trades(coin, from, rows - 3);
    of_coin.extend(books(coin, from, 1));
    of_coin.push((StreamKey::Bbo(coin), Records::Bbos(vec![bbo])));
    of_coin.push((StreamKey::Candle(coin, interval), Records::Candles(vec![bar])));
    of_coin
}

impl Load {
    fn coins() -> impl Iterator<Item = Coin> {
        (0..COINS).map(|n| Coin::new(&format!("C{n}")).unwrap())
    }

    fn span(n: i64) -> Span {
        Span { from: TimeMs(FIRST + n * MINUTE), to: TimeMs(FIRST + (n + 1) * MINUTE) }
    }

    fn streams(&self) -> Vec<StreamKey> {
        let of_coins = Self::coins().flat_map(|coin| (self.of_coin)(coin, TimeMs(FIRST), self.rows / COINS));
        of_coins.map(|(stream, _)| stream).collect()
    }

    /// The batch of a minute, as a pipeline builds it.
    fn batch(&self, n: i64, token: Token) -> Arc<Batch> {
        let span = Self::span(n);
        let mut batch = Batch { token, changes: Vec::new() };
        let of_coins = Self::coins().flat_map(|coin| (self.of_coin)(coin, span.from, self.rows / COINS));
        for (local, (stream, records)) in (1..).zip(of_coins) {
            let (epoch, origin) = (Epoch { token, local }, Origin::Ws);
            batch.changes.push((stream, Change::Rows { epoch, origin, records }));
            batch.changes.push((stream, Change::Covered { epoch, origin, span }));
            batch.changes.push((stream, Change::Edge(span.to)));
        }
        Arc::new(batch)
    }
}

/// A server and its databases.
struct Bench {
    server: Server,
    databases: usize,
}

impl Bench {
    /// A new database with a session that has the streams.
    async fn open(&mut self, load: &Load) -> (MongoStore, Database) {
        self.databases += 1;
        let uri = self.server.uri(&format!("bench_{}", self.databases));
        let store = MongoStore::open(MongoOptions::of_this_process(&uri, "bench", Arc::new(SystemClock)))
            .await
            .unwrap();
        store.lease(&load.streams()).await.unwrap();
        let mut options = ClientOptions::parse(&uri).await.unwrap();
        options.write_concern =
            Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
        let db = Client::with_options(options).unwrap().default_database().unwrap();
        (store, db)
    }

    /// The documents of every batch, by collection.
    async fn documents(&mut self, load: &Load) -> Vec<Vec<(&'static str, Vec<Document>)>> {
        let (store, db) = self.open(load).await;
        let mut batches = Vec::new();
        for n in 0..load.batches {
            let ack = store.commit(load.batch(n, store.token())).await.unwrap();
            assert_eq!(ack.inserted, load.rows.unsigned_abs());
            let Span { from, to } = Load::span(n);
            let date = |time: TimeMs| DateTime::from_millis(time.0);
            let of_batch = doc! { "_id.time": { "$gte": date(from), "$lt": date(to) } };
            let mut batch = Vec::new();
            for collection in COLLECTIONS {
                let found = db.collection(collection).find(of_batch.clone()).await.unwrap();
                let found: Vec<Document> = found.try_collect().await.unwrap();
                if !found.is_empty() {
                    batch.push((collection, found));
                }
            }
            assert_eq!(batch.iter().map(|(_, rows)| rows.len() as i64).sum::<i64>(), load.rows);
            batches.push(batch);
        }
        store.close().await.unwrap();
        db.drop().await.unwrap();
        batches
    }

    /// How long all batches took: committed, and inserted plainly.
    async fn round(
        &mut self,
        load: &Load,
        documents: &[Vec<(&'static str, Vec<Document>)>],
    ) -> (Duration, Duration) {
        let (store, ours) = self.open(load).await;
        // The same collections, with the same checks of the server.
        let (other, plain) = self.open(load).await;
        other.close().await.unwrap();
        let (mut committing, mut inserting) = (Duration::ZERO, Duration::ZERO);
        for (n, documents) in (0..).zip(documents) {
            let batch = load.batch(n, store.token());
            let documents = documents.clone();
            let commit = async {
                let began = Instant::now();
                store.commit(batch).await.unwrap();
                committing += began.elapsed();
            };
            let insert = async {
                let began = Instant::now();
                for (collection, documents) in documents {
                    plain.collection::<Document>(collection).insert_many(documents).await.unwrap();
                }
                inserting += began.elapsed();
            };
            if n % 2 == 0 {
                commit.await;
                insert.await;
            } else {
                insert.await;
                commit.await;
            }
        }
        store.close().await.unwrap();
        ours.drop().await.unwrap();
        plain.drop().await.unwrap();
        (committing, inserting)
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::main]
async fn main() {
    let is_json = std::env::args().any(|word| word == "--json");
    let mut bench = Bench { server: Server::start().await.unwrap(), databases: 0 };
    let mut table = Vec::new();
    for load in LOADS {
        let documents = bench.documents(&load).await;
        let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (committing, inserting) = bench.round(&load, &documents).await;
            let rate = |took: Duration| (load.rows * load.batches) as f64 / took.as_secs_f64();
            ours.push(rate(committing));
            plain.push(rate(inserting));
            ratios.push(inserting.as_secs_f64() / committing.as_secs_f64());
        }
        table.push((load.name, load.rows, median(plain), median(ours), median(ratios)));
    }
    if is_json {
        let row = |(name, rows, plain, ours, ratio): &(&str, i64, f64, f64, f64)| {
            format!(
                r#"{{"load":"{name}","rows_a_batch":{rows},"plain_rows_s":{plain:.0},"commit_rows_s":{ours:.0},"ratio":{ratio:.3}}}"#
            )
        };
        println!("[{}]", table.iter().map(row).collect::<Vec<_>>().join(",\n "));
        return;
    }
    println!("medians of {ROUNDS} rounds, {COINS} coins");
    println!("{:8}{:>13}{:>18}{:>16}{:>8}", "load", "rows a batch", "insert_many, /s", "commit, /s", "ratio");
    for (name, rows, plain, ours, ratio) in table {
        println!("{name:8}{rows:>13}{plain:>18.0}{ours:>16.0}{ratio:>8.2}");
    }
}

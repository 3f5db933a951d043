//! How fast rows go from the inbox into the store, against plain inserts of the same rows into the same tables.
//!
//! `cargo bench --bench pipeline` prints rows a second of both and their ratio: medians over a few rounds, taken in
//! turn, since a machine's speed drifts. The pipeline does more: gate, joins, ledger and the check of the lease.

#![allow(clippy::unwrap_used, reason = "a benchmark has nobody to report errors to")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, Meters, Pipeline};
use hl_core::ledger::Cause;
use hl_core::record::{HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::source::{Content, Intake as _, Offer, Ticket};
use hl_core::store::prelude::*;
use hl_core::timeline::Grant;
use hl_core::{Coin, Decimal, Epoch, Origin, Records, RunId, SourceId, StreamKey, TimeMs};
use hl_runtime::SystemClock;
use hl_store::{Spool, SqliteOptions, SqliteStore, Writer};
use tokio::sync::mpsc;
use tokio::time::Instant;

const COINS: usize = 20;
const BLOCKS: i64 = 2_000;
const TRADES_A_BLOCK: usize = 3;
const ROUNDS: usize = 5;
const ROWS_A_TRANSACTION: usize = 2_000;

fn coins() -> Vec<Coin> {
    (0..COINS).map(|i| Coin::new(&format!("C{i}")).unwrap()).collect()
}

/// The trades of one coin in one block.
fn block(coin: Coin, n: i64) -> Vec<Trade> {
    let trade = |i: usize| Trade {
        coin,
        time: TimeMs(1_790_000_000_000 + n * 70),
        tid: n.unsigned_abs() * 7_919 + i as u64,
        px: Decimal::new(664_100 + n, 1),
        sz: Decimal::new(199_792 + n, 5),
        side: Side::Buy,
        hash: HexBytes([7; 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    };
    (0..TRADES_A_BLOCK).map(trade).collect()
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions {
        path: path.to_owned(),
        role: "bench".to_owned(),
        host: "bench".to_owned(),
        pid: std::process::id(),
        writer: Writer::Thread,
        clock: Arc::new(SystemClock),
    })
    .await
    .unwrap()
}

async fn through_the_pipeline(path: &Path) -> Duration {
    let store = Arc::new(open(path).await);
    let spool = Spool::open(Spool::beside(path, 0), Writer::Thread, 1 << 30).await.unwrap();
    let streams: Vec<_> = coins().into_iter().map(StreamKey::Trades).collect();
    let inbox = Arc::new(Inbox::new());
    let (events, _reports) = mpsc::channel(64);
    let mono = MonoClock::new(Arc::new(SystemClock));
    let meters = Arc::new(Meters::default());
    let pipeline = Pipeline::new(
        inbox.clone(),
        store.clone(),
        Arc::new(spool),
        meters.clone(),
        mono,
        events,
        fastrand::Rng::with_seed(1),
    );
    let began = Instant::now();
    let running = tokio::spawn(pipeline.run());
    for (i, start) in store.lease(&streams).await.unwrap().granted.into_iter().enumerate() {
        let stream = start.stream;
        inbox.start(start);
        let epoch = Epoch { token: store.token(), local: u32::try_from(i).unwrap() + 1 };
        let grant =
            Grant { epoch, source: SourceId::Ws, run: Some(RunId::first(1)), cause: Cause::DaemonDown };
        inbox.handover(stream, Some(grant));
    }
    for n in 0..BLOCKS {
        for coin in coins() {
            let content = Content::Frame(Records::Trades(block(coin, n)));
            let stream = StreamKey::Trades(coin);
            inbox.offer(Offer { stream, ticket: Ticket::Run(RunId::first(1)), content }).await;
        }
    }
    inbox.close();
    running.await.unwrap();
    let took = began.elapsed();
    assert_eq!(meters.counters().inserted, rows());
    took
}

async fn plain(path: &Path) -> Duration {
    // The tables as the store makes them.
    open(path).await.close().await.unwrap();
    let mut conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").unwrap();
    let trades: Vec<_> =
        (0..BLOCKS).flat_map(|n| coins().into_iter().flat_map(move |c| block(c, n))).collect();
    let sql = "INSERT OR IGNORE INTO trades
               (coin, time, tid, px, sz, side, hash, buyer, seller, source, epoch)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let began = Instant::now();
    for batch in trades.chunks(ROWS_A_TRANSACTION) {
        let tx = conn.transaction().unwrap();
        {
            let mut insert = tx.prepare_cached(sql).unwrap();
            for t in batch {
                insert
                    .execute(rusqlite::params![
                        t.coin.as_str(),
                        t.time.0,
                        t.tid.cast_signed(),
                        t.px.to_string(),
                        t.sz.to_string(),
                        t.side.as_str(),
                        t.hash.to_string(),
                        t.buyer.to_string(),
                        t.seller.to_string(),
                        Origin::Ws.as_str(),
                        1_i64
                    ])
                    .unwrap();
            }
        }
        tx.commit().unwrap();
    }
    began.elapsed()
}

fn rows() -> u64 {
    (COINS * TRADES_A_BLOCK) as u64 * BLOCKS.unsigned_abs()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        theirs.push(plain(&folder.path().join(format!("plain{round}.db"))).await);
        ours.push(through_the_pipeline(&folder.path().join(format!("ours{round}.db"))).await);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let rate = |time: Duration| u128::from(rows()) * 1_000 / time.as_millis().max(1);
    println!("{} trades in {ROUNDS} rounds, medians", rows());
    println!("plain inserts  {:>9} rows/s", rate(theirs));
    println!("pipeline       {:>9} rows/s", rate(ours));
    println!("ratio          {:>9.2}", theirs.as_secs_f64() / ours.as_secs_f64());
}

//! A server that accepts connections and answers nothing: what is asked of the store is refused soon, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::{HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::seam::BoxFuture;
use hl_core::store::StoreError;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Origin, Records, StreamKey, TimeMs};
use hl_mongo::{MongoOptions, MongoStore};
use hl_mongod::Server;
use hl_runtime::SystemClock;
use hl_store::Inspect as _;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use tokio::time::{Instant, sleep, timeout};

const ROWS: i64 = 50;

fn trades() -> StreamKey {
    StreamKey::Trades(Coin::new("BTC").unwrap())
}

/// Everything from `from` on, for so many rows of a millisecond each.
fn span(from: i64) -> Span {
    Span::new(TimeMs(from), TimeMs(from + ROWS - 1))
}

fn batch(store: &MongoStore, from: i64) -> Arc<Batch> {
    let (epoch, origin) = (Epoch { token: store.token(), local: 1 }, Origin::Ws);
    let trade = |time| Trade {
        coin: Coin::new("BTC").unwrap(),
        time: TimeMs(time),
        tid: 7,
        px: Decimal::ONE,
        sz: Decimal::ONE,
        side: Side::Buy,
        hash: HexBytes([1; 32]),
        buyer: HexBytes([2; 20]),
        seller: HexBytes([3; 20]),
        arrival: Arrival::default(),
    };
    let records = Records::Trades((from..from + ROWS).map(trade).collect());
    let changes = [
        Change::Rows { epoch, origin, records },
        Change::Covered { epoch, origin, span: span(from) },
        Change::Edge(span(from).to),
    ];
    Arc::new(Batch { token: epoch.token, changes: changes.map(|change| (trades(), change)).to_vec() })
}

/// A server that stands still, until it is let go on.
struct Frozen<'a>(&'a Server);

impl<'a> Frozen<'a> {
    fn freeze(server: &'a Server) -> Self {
        server.freeze().unwrap();
        Self(server)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.thaw().unwrap();
    }
}

fn assert_temporary(refused: Result<(), StoreError>) {
    let error = refused.expect_err("a server that stands still took it");
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn who_waits_behind_others_is_refused_as_soon_as_the_first() {
    let server = Server::start().await.unwrap();
    let uri = server.uri("frozen");
    let options = MongoOptions::of_this_process(&uri, "test", Arc::new(SystemClock));
    let store = MongoStore::open(options).await.unwrap();
    assert_eq!(store.lease(&[trades()]).await.unwrap().granted.len(), 1);
    store.commit(batch(&store, 1_000)).await.unwrap();
    let next = 1_000 + ROWS - 1;

    let frozen = Frozen::freeze(&server);
    let began = Instant::now();
    assert_temporary(store.commit(batch(&store, next)).await.map(drop));
    let one = began.elapsed();

    let streams = [trades()];
    let commit = |from| store.commit(batch(&store, from));
    let requests: Vec<BoxFuture<'_, Result<(), StoreError>>> = vec![
        Box::pin(async { commit(next).await.map(drop) }),
        Box::pin(async { commit(next).await.map(drop) }),
        Box::pin(async { store.lease(&streams).await.map(drop) }),
        Box::pin(async { store.put_note("note", "text").await }),
        Box::pin(async { store.request_backfill(trades(), span(500), Cause::NotCollected).await.map(drop) }),
        Box::pin(async { store.sessions("note").await.map(drop) }),
        Box::pin(async { commit(next).await.map(drop) }),
    ];
    let all = timeout(one * 2, join_all(requests)).await;
    all.expect("several at once take longer than one does, twice over")
        .into_iter()
        .for_each(assert_temporary);

    drop(frozen);
    let ack = loop {
        match commit(next).await {
            Ok(ack) => break ack,
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    // The one row that both batches have is there already; of the others nobody knows whether they were.
    assert_eq!(ack.inserted + ack.existing, ROWS as u64);
    commit(next + ROWS - 1).await.unwrap();
    store.close().await.unwrap();

    let inspect = MongoStore::inspect(&uri).await.unwrap();
    let audit = inspect.audit().await.unwrap();
    assert!(audit.problems.is_empty(), "{:?}", audit.problems);
    let ever = Span { from: TimeMs(0), to: TimeMs(i64::MAX) };
    let rows = inspect.stored_rows(trades(), ever).await.unwrap();
    assert_eq!(rows.len() as i64, 3 * (ROWS - 1) + 1);
}

#[tokio::test]
async fn who_reads_is_refused_too_and_the_server_works_for_nobody() {
    let server = Server::start().await.unwrap();
    let uri = server.uri("read");
    let options = MongoOptions::of_this_process(&uri, "test", Arc::new(SystemClock));
    let store = MongoStore::open(options).await.unwrap();
    store.lease(&[trades()]).await.unwrap();
    store.commit(batch(&store, 1_000)).await.unwrap();
    let inspect = MongoStore::inspect(&uri).await.unwrap();

    // What the server notes of every request, its limit among it.
    let client = Client::with_uri_str(&uri).await.unwrap();
    let db = client.default_database().unwrap();
    let reader = doc! { "appName": "hyperliquid-collector", "command.lsid": { "$exists": true }, "command.txnNumber": { "$exists": false } };
    db.run_command(doc! { "profile": 2, "filter": reader }).await.unwrap();
    inspect.streams().await.unwrap();
    inspect.audit().await.unwrap();
    inspect.unfilled().await.unwrap();
    inspect.parts(None, span(0)).await.unwrap();
    inspect.job_runs(None, 5).await.unwrap();
    inspect.note("note").await.unwrap();
    inspect.alerts(true, 5).await.unwrap();
    db.run_command(doc! { "profile": 0 }).await.unwrap();
    let noted = db.collection::<Document>("system.profile");
    let reading = doc! { "command.$db": "read", "op": { "$in": ["query", "command"] } };
    assert!(noted.count_documents(reading.clone()).await.unwrap() > 20);
    let mut unlimited = reading;
    unlimited.insert("command.maxTimeMS", doc! { "$exists": false });
    let unlimited = noted.find_one(unlimited).await.unwrap();
    assert!(unlimited.is_none(), "without a limit: {unlimited:?}");

    let frozen = Frozen::freeze(&server);
    // So long the longest limit is not, by far.
    let refused = timeout(Duration::from_secs(120), join(inspect.holders(), inspect.streams())).await;
    let (holders, streams) = refused.expect("somebody still waits for an answer");
    assert_temporary(holders.map(drop));
    assert_temporary(streams.map(drop));
    drop(frozen);
    while inspect.holders().await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
}

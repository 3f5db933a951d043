//! The server refuses a writer whose lease was taken away, at whatever moment that happens.
//!
//! A paused process is a session whose runtime nobody drives: it neither renews its lease nor goes on with what it was
//! doing, and finds everything as it left it when it is driven again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::sync::Arc;
use std::time::Duration;

use hl_core::ledger::{Ack, Batch, Change, Span};
use hl_core::record::{HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::prelude::*;
use hl_core::store::{StoreError, StreamStart};
use hl_core::{Coin, Decimal, Epoch, Origin, Records, StreamKey, TimeMs};
use hl_mongo::{MongoOptions, MongoStore};
use hl_runtime::SystemClock;
use hl_store::Inspect as _;
use mongodb::Client;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::error::{ErrorKind, WriteFailure};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

const LEASE: Duration = Duration::from_secs(1);
const ROWS: i64 = 200;
/// The server's word for a document of the wrong shape.
const DOCUMENT_VALIDATION_FAILURE: i32 = 121;

fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

fn trades() -> StreamKey {
    StreamKey::Trades(btc())
}

/// A process of its own, that stands still unless it is driven.
struct Process {
    runtime: Runtime,
    store: Arc<MongoStore>,
}

impl Process {
    fn start(uri: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let options = MongoOptions {
            lease: LEASE,
            ..MongoOptions::of_this_process(uri, "test", Arc::new(SystemClock))
        };
        let store = runtime.block_on(MongoStore::open(options)).unwrap();
        Self { runtime, store: Arc::new(store) }
    }

    /// Asks for the stream until it has it.
    fn take(&self) -> StreamStart {
        self.runtime.block_on(async {
            loop {
                let mut leases = self.store.lease(&[trades()]).await.unwrap();
                if let Some(start) = leases.granted.pop() {
                    return start;
                }
                tokio::time::sleep(LEASE / 20).await;
            }
        })
    }

    fn commit(&self, from: i64) -> Result<Ack, StoreError> {
        self.runtime.block_on(self.store.commit(self.batch(from)))
    }

    /// A trade every millisecond from `from` on, covered, with the edge at the last one.
    fn batch(&self, from: i64) -> Arc<Batch> {
        let token = self.store.token();
        let (epoch, origin) = (Epoch { token, local: 1 }, Origin::Ws);
        let trade = |time| Trade {
            coin: btc(),
            time: TimeMs(time),
            tid: 7,
            px: "66410.0".parse().unwrap(),
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([1; 32]),
            buyer: HexBytes([2; 20]),
            seller: HexBytes([3; 20]),
            arrival: Arrival::default(),
        };
        let span = Span::new(TimeMs(from), TimeMs(from + ROWS - 1));
        let records = Records::Trades((from..from + ROWS).map(trade).collect());
        let changes = [
            Change::Rows { epoch, origin, records },
            Change::Covered { epoch, origin, span },
            Change::Edge(span.to),
        ];
        Arc::new(Batch { token, changes: changes.map(|change| (trades(), change)).to_vec() })
    }
}

/// How many rows each session has in the store, and nothing is wrong with them.
fn rows_of(process: &Process, uri: &str, others: &Process) -> (usize, usize) {
    process.runtime.block_on(async {
        let inspect = MongoStore::inspect(uri).await.unwrap();
        let audit = inspect.audit().await.unwrap();
        assert!(audit.problems.is_empty(), "{:?}", audit.problems);
        let ever = Span { from: TimeMs(0), to: TimeMs(i64::MAX) };
        let rows = inspect.stored_rows(trades(), ever).await.unwrap();
        let of = |process: &Process| {
            rows.provenance.iter().filter(|from| from.epoch.token == process.store.token()).count()
        };
        (of(process), of(others))
    })
}

fn assert_superseded(error: &StoreError) {
    assert!(matches!(error, StoreError::Superseded), "{error}");
}

#[test]
fn a_paused_process_writes_nothing_once_another_has_its_streams() {
    let uri = hl_mongod::fresh_database();
    let paused = Process::start(&uri);
    assert_eq!(paused.take().edge, None);
    paused.commit(1_000).unwrap();

    let next = Process::start(&uri);
    assert_eq!(next.take().edge, Some(TimeMs(1_000 + ROWS - 1)));
    assert!(next.store.token() > paused.store.token());
    next.commit(1_000 + ROWS - 1).unwrap();

    assert_superseded(&paused.commit(2_000).unwrap_err());
    // The first row of the second batch was there already.
    assert_eq!(rows_of(&next, &uri, &paused), (ROWS as usize - 1, ROWS as usize));
}

#[test]
fn a_batch_that_was_cut_off_is_whole_and_before_the_take_over_or_not_there() {
    const FIRST: i64 = 1_000;
    const CUT: i64 = FIRST + ROWS - 1;
    let mut seen = [0, 0];
    for round in 0..16 {
        let uri = hl_mongod::fresh_database();
        let paused = Process::start(&uri);
        paused.take();
        // In every other round the session knows its streams by then, and has to look at nothing.
        let is_known = round % 2 == 1;
        if is_known {
            paused.commit(FIRST).unwrap();
        }
        let stored = if is_known { ROWS as usize } else { 0 };
        let store = Arc::clone(&paused.store);
        let batch = paused.batch(CUT);
        let committing = paused.runtime.spawn(async move { store.commit(batch).await });
        // Into the transaction, a little further each time, and then nobody drives it any more.
        let until = Instant::now() + Duration::from_micros(round * 900);
        paused.runtime.block_on(async {
            while Instant::now() < until {
                tokio::task::yield_now().await;
            }
        });

        let next = Process::start(&uri);
        let edge = next.take().edge;
        let was_committed = edge == Some(TimeMs(CUT + ROWS - 1));
        assert!(was_committed || edge == is_known.then_some(TimeMs(CUT)), "round {round}: {edge:?}");
        assert!(next.store.token() > paused.store.token());
        let from = edge.map_or(50_000, |edge| edge.0);
        next.commit(from).unwrap();
        // Its lease ran out: it is refused, or had committed before.
        let said = paused.runtime.block_on(committing).unwrap();
        assert!(was_committed || said.is_err(), "round {round}: acknowledged, and not there");
        // The block at the edge is in both batches.
        let second = ROWS as usize - usize::from(is_known);
        let of_paused = if was_committed { stored + second } else { stored };
        let of_next = ROWS as usize - usize::from(edge.is_some());
        assert_eq!(rows_of(&next, &uri, &paused), (of_next, of_paused), "round {round}: {said:?}");
        // Awake again it writes nothing more, of whatever time.
        assert_superseded(&paused.commit(90_000).unwrap_err());
        assert_superseded(&paused.commit(CUT).unwrap_err());
        assert_eq!(rows_of(&next, &uri, &paused), (of_next, of_paused), "round {round}");
        seen[usize::from(was_committed)] += 1;
    }
    assert!(seen[0] > 0, "no batch was cut off: {seen:?}");
}

#[test]
fn a_session_that_renews_its_lease_keeps_it() {
    let uri = hl_mongod::fresh_database();
    let holder = Process::start(&uri);
    holder.take();
    let other = Process::start(&uri);
    let asking = std::thread::spawn(move || {
        other.runtime.block_on(async {
            let until = Instant::now() + LEASE * 3;
            while Instant::now() < until {
                let leases = other.store.lease(&[trades()]).await.unwrap();
                assert_eq!((leases.granted.len(), leases.held.len()), (0, 1));
            }
        });
    });
    // Driven, it renews by itself.
    holder.runtime.block_on(async {
        while !asking.is_finished() {
            tokio::time::sleep(LEASE / 10).await;
        }
    });
    asking.join().unwrap();
    holder.commit(1_000).unwrap();
}

#[test]
fn people_find_rows_by_their_key_and_the_server_refuses_other_shapes() {
    let uri = hl_mongod::fresh_database();
    let process = Process::start(&uri);
    process.take();
    process.commit(1_000).unwrap();
    process.runtime.block_on(async {
        let client = Client::with_uri_str(&uri).await.unwrap();
        let rows = client.default_database().unwrap().collection::<Document>("trades");
        let key = doc! { "coin": "BTC", "time": DateTime::from_millis(1_005), "tid": 7_i64 };
        let mut row = rows.find_one(doc! { "_id": key }).await.unwrap().unwrap();
        let px = row.get("px").unwrap();
        assert!(matches!(px, Bson::Decimal128(px) if px.to_string() == "66410.0"), "{px:?}");
        row.insert("_id", doc! { "coin": "BTC", "time": DateTime::from_millis(1_005), "tid": 8_i64 });
        row.insert("px", "66410.0");
        let refused = rows.insert_one(row).await.unwrap_err();
        let ErrorKind::Write(WriteFailure::WriteError(error)) = refused.kind.as_ref() else {
            panic!("{refused}")
        };
        assert_eq!(error.code, DOCUMENT_VALIDATION_FAILURE, "{refused}");

        let meta = client.default_database().unwrap().collection::<Document>("meta");
        let schema = || meta.find_one(doc! { "_id": "schema" });
        // A store of an earlier release is read as it is, and brought to this one by a process that writes.
        meta.update_one(doc! { "_id": "schema" }, doc! { "$set": { "version": 1 } }).await.unwrap();
        drop(MongoStore::inspect(&uri).await.unwrap());
        assert_eq!(schema().await.unwrap().unwrap().get_i32("version").unwrap(), 1);
        let options = MongoOptions::of_this_process(&uri, "test", Arc::new(SystemClock));
        MongoStore::open(options).await.unwrap().close().await.unwrap();
        assert_eq!(schema().await.unwrap().unwrap().get_i32("version").unwrap(), 2);
        let later = doc! { "$set": { "version": 99 } };
        meta.update_one(doc! { "_id": "schema" }, later).await.unwrap();
        let options = MongoOptions::of_this_process(&uri, "test", Arc::new(SystemClock));
        let writer = MongoStore::open(options).await.err().unwrap();
        for newer in [writer, MongoStore::inspect(&uri).await.err().unwrap()] {
            assert!(!newer.is_temporary(), "{newer}");
            let said = newer.to_string();
            assert!(said.contains("version 99") && said.contains("update"), "{said}");
        }
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_named_without_the_password() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let uri = "mongodb://me:secret@127.0.0.1:9/x?serverSelectionTimeoutMS=200";
    let options = MongoOptions::of_this_process(uri, "test", Arc::new(SystemClock));
    let error = runtime.block_on(MongoStore::open(options)).err().unwrap();
    assert!(error.is_temporary(), "{error}");
    let said = format!("{error} {error:?}");
    assert!(said.contains("127.0.0.1:9") && !said.contains("secret"), "{said}");
}

//! The pipeline before a spool that misbehaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, Meters, Pipeline, PipelineEvent};
use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::{HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::seam::BoxFuture;
use hl_core::store::prelude::*;
use hl_core::store::{BatchQueue, StoreError};
use hl_core::{Coin, Decimal, Epoch, Origin, Records, StreamKey, TimeMs, Token};
use hl_runtime::{SystemClock, TokioClock};
use hl_store::{Inspect as _, Spool, SqliteOptions, SqliteStore, Writer};
use tokio::sync::mpsc;

const WRITER: Writer = Writer::Inline { delay_ms: 1 };

fn stream() -> StreamKey {
    of("BTC")
}

fn of(coin: &str) -> StreamKey {
    StreamKey::Trades(Coin::new(coin).unwrap())
}

/// One trade, at `time`, continuous with the one before.
fn batch(token: Token, time: i64) -> Batch {
    batch_of(stream(), token, time)
}

fn batch_of(stream: StreamKey, token: Token, time: i64) -> Batch {
    let trade = Trade {
        coin: stream.coin().unwrap(),
        time: TimeMs(time),
        tid: time.unsigned_abs(),
        px: Decimal::from(66_410),
        sz: Decimal::new(5, 1),
        side: Side::Buy,
        hash: HexBytes([1; 32]),
        buyer: HexBytes([2; 20]),
        seller: HexBytes([3; 20]),
        arrival: Arrival::default(),
    };
    let (epoch, origin) = (Epoch { token, local: 1 }, Origin::Ws);
    let span = Span::new(TimeMs(time - 1), TimeMs(time));
    let changes = [
        Change::Rows { epoch, origin, records: Records::Trades(vec![trade]) },
        Change::Covered { epoch, origin, span },
        Change::Edge(TimeMs(time)),
    ];
    Batch { token, changes: changes.into_iter().map(|change| (stream, change)).collect() }
}

/// A spool from which nothing can be taken off for a while, as on a full disk.
struct Stuck {
    spool: Spool,
    refusals: AtomicU32,
}

impl BatchQueue for Stuck {
    fn push<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.spool.push(batch)
    }

    fn peek(&self) -> BoxFuture<'_, Result<Option<(u64, Batch)>, StoreError>> {
        self.spool.peek()
    }

    fn pop(&self, number: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        let left =
            self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            let source = Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
            return Box::pin(async { Err(StoreError::Temporary { step: "taking a batch off", source }) });
        }
        self.spool.pop(number)
    }

    fn size(&self) -> (u64, u64) {
        self.spool.size()
    }
}

async fn open(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(SqliteOptions {
        path: path.to_owned(),
        role: "test".to_owned(),
        host: "here".to_owned(),
        pid: std::process::id(),
        writer: WRITER,
        clock: Arc::new(SystemClock),
    });
    store.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_cannot_be_emptied_for_a_while_is_emptied_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Arc::new(open(&path).await);
    store.lease(&[stream()]).await.unwrap();
    let spool = Spool::open_beside(&path, WRITER, 1 << 20).await.unwrap();
    for time in 1..=3 {
        assert!(spool.push(&batch(store.token(), time)).await.unwrap());
    }
    let spool = Arc::new(Stuck { spool, refusals: AtomicU32::new(4) });
    let inbox = Arc::new(Inbox::new());
    let mono = MonoClock::new(Arc::new(TokioClock::starting_at(TimeMs(1_790_000_000_000))));
    let (events, _reports) = mpsc::channel(8);
    let meters = Arc::new(Meters::default());
    // Something has to come in before the reader looks at the spool.
    inbox.start(store.lease(&[stream()]).await.unwrap().granted.remove(0));
    let pipeline = Pipeline::new(
        inbox.clone(),
        store.clone(),
        spool.clone(),
        meters,
        mono,
        events,
        fastrand::Rng::with_seed(1),
    );
    let pipeline = tokio::spawn(pipeline.run());

    let emptied = async {
        while spool.size().0 > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), emptied).await.unwrap();
    inbox.close();
    pipeline.await.unwrap();
    let row = SqliteStore::inspect(&path).unwrap().streams().await.unwrap().remove(0);
    assert_eq!((row.rows, row.edge), (3, Some(TimeMs(3))), "each batch once, in order");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_listen_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let streams: Vec<_> = (0..5).map(|i| of(&format!("C{i}"))).collect();
    // What a dead process left in the spool belongs to another by now: each batch is superseded.
    let dead = open(&path).await;
    dead.lease(&streams).await.unwrap();
    let token = dead.token();
    dead.close().await.unwrap();
    let other = open(&path).await;
    assert_eq!(other.lease(&streams).await.unwrap().granted.len(), 5);

    let store = Arc::new(open(&path).await);
    let start = store.lease(&[stream()]).await.unwrap().granted.remove(0);
    let spool = Arc::new(Spool::open_beside(&path, WRITER, 1 << 20).await.unwrap());
    for stream in &streams {
        assert!(spool.push(&batch_of(*stream, token, 1)).await.unwrap());
    }
    for time in 1..=3 {
        let mut batch = batch(store.token(), time * 10);
        let span = Span::new(TimeMs(time * 10 - 9), TimeMs(time * 10 - 1));
        batch.changes.insert(0, (stream(), Change::GapOpened { span, cause: Cause::Outage }));
        assert!(spool.push(&batch).await.unwrap());
    }
    let inbox = Arc::new(Inbox::new());
    let mono = MonoClock::new(Arc::new(TokioClock::starting_at(TimeMs(1_790_000_000_000))));
    // Nothing is taken from it until everything is committed.
    let (events, mut reports) = mpsc::channel(1);
    inbox.start(start);
    let meters = Arc::new(Meters::default());
    let pipeline = Pipeline::new(
        inbox.clone(),
        store.clone(),
        spool.clone(),
        meters,
        mono,
        events,
        fastrand::Rng::with_seed(1),
    );
    let pipeline = tokio::spawn(pipeline.run());
    let emptied = async {
        while spool.size().0 > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), emptied).await.unwrap();

    let mut superseded = Vec::new();
    while superseded.len() < 5 {
        match reports.recv().await.unwrap() {
            PipelineEvent::Superseded(stream) => superseded.push(stream),
            PipelineEvent::GapsOpened => {}
            other => panic!("{other:?}"),
        }
    }
    superseded.sort();
    assert_eq!(superseded, streams, "each is told of all the same");
    inbox.close();
    while let Some(report) = reports.recv().await {
        assert!(matches!(report, PipelineEvent::GapsOpened), "{report:?}");
    }
    pipeline.await.unwrap();
}

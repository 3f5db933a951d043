//! What was acknowledged is there, once, whatever becomes of the members of the set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hl_core::ledger::{Ack, Batch, Change, Span};
use hl_core::record::{HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::StoreError;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Origin, Records, StreamKey, TimeMs};
use hl_mongo::{MongoOptions, MongoStore};
use hl_mongod::ReplicaSet;
use hl_runtime::SystemClock;
use hl_store::Inspect as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const COMMIT: &str = "commitTransaction";
const ROWS: i64 = 100;
/// Far beyond what any wait takes on a busy machine: reaching it means "never".
const NEVER: Duration = Duration::from_secs(120);
/// What a writer waits before it sends a batch again.
const PAUSE: Duration = Duration::from_millis(50);

fn trades() -> StreamKey {
    StreamKey::Trades(Coin::new("BTC").unwrap())
}

async fn open(uri: &str) -> Arc<MongoStore> {
    let options = MongoOptions::of_this_process(uri, "test", Arc::new(SystemClock));
    let store = MongoStore::open(options).await.unwrap();
    let leases = store.lease(&[trades()]).await.unwrap();
    assert_eq!(leases.granted.len(), 1);
    Arc::new(store)
}

/// Batch `number`: a trade every millisecond, covered from the end of the batch before, with the edge at the last one.
fn batch(store: &MongoStore, number: i64) -> Arc<Batch> {
    let token = store.token();
    let (epoch, origin) = (Epoch { token, local: 1 }, Origin::Ws);
    let trade = |time| Trade {
        coin: Coin::new("BTC").unwrap(),
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
    let first = number * ROWS + 1;
    let span = Span::new(TimeMs(first - 1), TimeMs(first + ROWS - 1));
    let records = Records::Trades((first..first + ROWS).map(trade).collect());
    let changes = [
        Change::Rows { epoch, origin, records },
        Change::Covered { epoch, origin, span },
        Change::Edge(span.to),
    ];
    Arc::new(Batch { token, changes: changes.map(|change| (trades(), change)).to_vec() })
}

/// Sends the same batch until it is acknowledged, as the collector does. Returns how often that failed, too.
async fn committed(store: &MongoStore, number: i64) -> (Ack, u64) {
    let batch = batch(store, number);
    let mut failures = 0;
    loop {
        match store.commit(Arc::clone(&batch)).await {
            Ok(ack) => return (ack, failures),
            Err(error) => assert!(error.is_temporary(), "batch {number}: {error:?}"),
        }
        failures += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a writer has done.
#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    /// Batches that were acknowledged.
    batches: i64,
    /// Rows that the store called new.
    inserted: u64,
    /// Rows that the store said were there already.
    existing: u64,
    /// Batches that had to be sent again.
    repeated: u64,
}

/// Writes one batch after another until it is told to stop.
struct Writer {
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Writer {
    fn start(store: Arc<MongoStore>) -> Self {
        let (told, progress) = watch::channel(Progress::default());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut done = Progress::default();
            while !*stopped.borrow() {
                let (ack, failures) = committed(&store, done.batches).await;
                assert_eq!((ack.inserted + ack.existing, ack.refused), (ROWS as u64, 0));
                assert_eq!(ack.superseded, []);
                done.batches += 1;
                done.inserted += ack.inserted;
                done.existing += ack.existing;
                done.repeated += u64::from(failures > 0);
                told.send_replace(done);
            }
        });
        Self { progress, stop, task }
    }

    /// Waits until a batch that was begun after this call is acknowledged.
    async fn goes_on(&mut self, what: &str) {
        let before = self.progress.borrow().batches;
        let began_now = self.progress.wait_for(|now| now.batches >= before + 2);
        match timeout(NEVER, began_now).await {
            Ok(went_on) => drop(went_on.expect("the writer has ended")),
            Err(_) => panic!("never: a batch after {what}"),
        }
    }

    async fn stop(self) -> Progress {
        self.stop.send_replace(true);
        timeout(NEVER, self.task).await.unwrap().unwrap();
        *self.progress.borrow()
    }
}

/// The batches up to this one are there, each row once, and nothing else; and nothing is wrong with the ledger.
async fn assert_exactly(uri: &str, batches: i64) {
    let inspect = MongoStore::inspect(uri).await.unwrap();
    let audit = inspect.audit().await.unwrap();
    assert_eq!((audit.problems, audit.duplicates, audit.overlapping_claims), (vec![], 0, 0));
    let ever = Span { from: TimeMs(0), to: TimeMs(i64::MAX) };
    let stored = inspect.stored_rows(trades(), ever).await.unwrap();
    let Records::Trades(stored) = stored.records else { panic!("not trades") };
    let times: Vec<_> = stored.iter().map(|trade| trade.time.0).collect();
    assert_eq!(times, (1..=batches * ROWS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_there_once_whatever_becomes_of_the_members() {
    let mut set = ReplicaSet::start(3).await.unwrap();
    let uri = set.uri("faults");
    let store = open(&uri).await;
    let mut writer = Writer::start(Arc::clone(&store));
    writer.goes_on("the start").await;
    let mut primaries = BTreeSet::new();

    for _ in 0..3 {
        primaries.insert(set.step_down().await.unwrap());
        writer.goes_on("a step-down").await;
    }
    let killed = set.primary().await.unwrap();
    set.kill(killed);
    writer.goes_on("the primary was killed").await;
    set.restart(killed).await.unwrap();

    let frozen = set.primary().await.unwrap();
    set.freeze(frozen).unwrap();
    writer.goes_on("the primary stood still").await;
    set.thaw(frozen).unwrap();
    writer.goes_on("it went on").await;

    let alone = set.primary().await.unwrap();
    set.cut_off_member(alone);
    writer.goes_on("the primary was cut off").await;
    set.reconnect_all();
    writer.goes_on("it was let in again").await;

    let done = writer.stop().await;
    primaries.extend([killed, frozen, alone]);
    println!("{done:?}, primaries {primaries:?}");
    assert!(primaries.len() > 1, "nothing failed over");
    store.close().await.unwrap();
    assert_exactly(&uri, done.batches).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_nobody_knows_is_not_done_twice() {
    let set = ReplicaSet::start(3).await.unwrap();
    let uri = set.uri("unknown");
    let store = open(&uri).await;
    committed(&store, 0).await;
    let commit = |number| {
        let (store, batch) = (Arc::clone(&store), batch(&store, number));
        tokio::spawn(async move { store.commit(batch).await })
    };

    // Committed on a primary that is none any more when the client asks again: the next one knows of it.
    set.withhold_answers_to(COMMIT);
    let committing = commit(1);
    set.until_withheld().await;
    // The driver asks once more by itself.
    set.withhold_answers_to(COMMIT);
    set.until_withheld().await;
    set.step_down().await.unwrap();
    set.primary().await.unwrap();
    set.hang_up();
    let ack = committing.await.unwrap().unwrap();
    assert_eq!((ack.inserted, ack.existing), (ROWS as u64, 0));

    // Committed, and no answer until the client gives up. It starts over, and meets its own rows.
    set.withhold_answers_to(COMMIT);
    let late: Result<Ack, StoreError> = commit(2).await.unwrap();
    let error = late.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    set.hang_up();
    let (ack, _) = committed(&store, 2).await;
    assert_eq!((ack.inserted, ack.existing), (0, ROWS as u64));

    store.close().await.unwrap();
    assert_exactly(&uri, 3).await;
}

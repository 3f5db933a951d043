//! The pipeline where more comes than store and memory take: what waits is spooled, and what is dropped is written down.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::pipeline::{Inbox, Meters, Pipeline, PipelineCounters, PipelineEvent};
use hl_core::ledger::{Batch, Cause, Span};
use hl_core::record::{Book, Level};
use hl_core::row::Arrival;
use hl_core::seam::BoxFuture;
use hl_core::source::{Content, Intake as _, Offer, Ticket};
use hl_core::store::prelude::*;
use hl_core::store::{BatchQueue, StoreError};
use hl_core::stream::BookVariant;
use hl_core::timeline::Grant;
use hl_core::{Coin, Decimal, Epoch, Records, RunId, SourceId, StreamKey, TimeMs};
use hl_runtime::{SystemClock, TokioClock};
use hl_store::{Inspect as _, Spool, SqliteOptions, SqliteStore, Writer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const WRITER: Writer = Writer::Inline { delay_ms: 1 };
const START: i64 = 1_790_000_000_000;
const COINS: [&str; 3] = ["BTC", "ETH", "SOL"];
/// Time between two books of a coin, ms.
const EVERY: i64 = 100;
/// Levels a side: some tens of kilobytes a book, so that few are much.
const LEVELS: usize = 400;

fn of(coin: &str) -> StreamKey {
    StreamKey::Book(Coin::new(coin).unwrap(), BookVariant::Default)
}

fn book(coin: &str, n: i64) -> Offer {
    let level = Level { px: Decimal::from(n), sz: Decimal::ONE, n: 1 };
    let levels = || std::iter::repeat_n(level, LEVELS).collect();
    let (time, variant) = (TimeMs(START + n * EVERY), BookVariant::Default);
    let book = Book {
        coin: Coin::new(coin).unwrap(),
        variant,
        time,
        bids: levels(),
        asks: levels(),
        arrival: Arrival::default(),
    };
    let content = Content::Frame(Records::Books(vec![book]));
    Offer { stream: of(coin), ticket: Ticket::Run(RunId::first(1)), content }
}

/// What is wrong with the spool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// Nothing can be taken off it: what is newer waits behind, as behind a store that is locked.
    Full,
    /// The same, and it does not answer when something is put in: once memory is full the reader stands still.
    Hangs,
}

struct Rough {
    spool: Spool,
    trouble: watch::Receiver<Trouble>,
}

impl BatchQueue for Rough {
    fn push<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async {
            let mut trouble = self.trouble.clone();
            let over = trouble.wait_for(|trouble| *trouble != Trouble::Hangs).await;
            drop(over.map_err(|_| StoreError::Closed)?);
            self.spool.push(batch).await
        })
    }

    fn peek(&self) -> BoxFuture<'_, Result<Option<(u64, Batch)>, StoreError>> {
        self.spool.peek()
    }

    fn pop(&self, number: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        if *self.trouble.borrow() != Trouble::None {
            let source = Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
            return Box::pin(async { Err(StoreError::Temporary { step: "taking a batch off", source }) });
        }
        self.spool.pop(number)
    }

    fn size(&self) -> (u64, u64) {
        self.spool.size()
    }
}

struct World {
    folder: tempfile::TempDir,
    inbox: Arc<Inbox>,
    meters: Arc<Meters>,
    spool: Arc<Rough>,
    trouble: watch::Sender<Trouble>,
    pipeline: JoinHandle<()>,
    _events: mpsc::Receiver<PipelineEvent>,
}

impl World {
    /// A pipeline that owns the books of [`COINS`], behind a spool that holds something already.
    async fn new(spool_bytes: u64, trouble: Trouble) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        let options = SqliteOptions {
            path: path.clone(),
            role: "test".to_owned(),
            host: "here".to_owned(),
            pid: std::process::id(),
            writer: WRITER,
            clock: Arc::new(SystemClock),
        };
        let store = Arc::new(SqliteStore::open(options).await.unwrap());
        let spool = Spool::open_beside(&path, WRITER, spool_bytes).await.unwrap();
        assert!(spool.push(&Batch { token: store.token(), changes: Vec::new() }).await.unwrap());
        let (trouble, troubles) = watch::channel(trouble);
        let spool = Arc::new(Rough { spool, trouble: troubles });
        let (inbox, meters) = (Arc::new(Inbox::new()), Arc::new(Meters::default()));
        for (local, coin) in (1..).zip(COINS) {
            let stream = of(coin);
            inbox.start(store.lease(&[stream]).await.unwrap().granted.remove(0));
            let epoch = Epoch { token: store.token(), local };
            let run = Some(RunId::first(1));
            let grant = Grant { epoch, source: SourceId::Ws, run, cause: Cause::FirstStart };
            inbox.handover(stream, Some(grant));
        }
        let mono = MonoClock::new(Arc::new(TokioClock::starting_at(TimeMs(START))));
        let (events, reports) = mpsc::channel(8);
        let (rng, queue) = (fastrand::Rng::with_seed(1), spool.clone());
        let pipeline = Pipeline::new(inbox.clone(), store, queue, meters.clone(), mono, events, rng);
        let pipeline = tokio::spawn(pipeline.run());
        Self { folder, inbox, meters, spool, trouble, pipeline, _events: reports }
    }

    /// Pushes books of every coin, as fast as the exchange would.
    async fn push(&self, numbers: std::ops::Range<i64>) {
        for n in numbers {
            for coin in COINS {
                self.inbox.offer(book(coin, n)).await;
            }
            tokio::time::sleep(Duration::from_millis(EVERY.unsigned_abs())).await;
        }
    }

    /// The trouble is over: everything is stored that can be.
    async fn end(self) -> Ended {
        self.trouble.send_replace(Trouble::None);
        let (inbox, conflated) = (self.inbox.clone(), self.inbox.stats().conflated);
        let emptied = async {
            while inbox.stats().waiting > 0 || self.spool.size().0 > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), emptied).await.unwrap();
        self.inbox.close();
        self.pipeline.await.unwrap();
        Ended { counters: self.meters.counters(), conflated, folder: self.folder }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("store.db")
}

struct Ended {
    counters: PipelineCounters,
    conflated: u64,
    folder: tempfile::TempDir,
}

impl Ended {
    /// The gaps of a coin's books, and the numbers of the books that are stored.
    async fn stored(&self, coin: &str) -> (Vec<(Span, Cause)>, Vec<i64>) {
        let store = SqliteStore::inspect(path(self.folder.path())).unwrap();
        let ever = Span::EVER;
        let Records::Books(books) = store.rows(of(coin), ever).await.unwrap() else { panic!("books") };
        let gaps = store.gaps(Some(of(coin))).await.unwrap();
        let numbers = books.iter().map(|book| book.time.since(TimeMs(START)) / EVERY);
        (gaps.iter().map(|gap| (gap.span, gap.cause)).collect(), numbers.collect())
    }
}

#[tokio::test(start_paused = true)]
async fn states_wait_in_the_spool_like_events() {
    let world = World::new(1 << 30, Trouble::Full).await;
    world.push(0..500).await;
    let spooled = world.spool.size().1;
    assert!(spooled > 16 << 20, "more than memory may hold: {spooled} bytes are spooled");
    let ended = world.end().await;
    assert_eq!((ended.conflated, ended.counters.spool_full), (0, 0));
    for coin in COINS {
        let (gaps, numbers) = ended.stored(coin).await;
        assert_eq!((gaps, numbers), (vec![], (0..500).collect()), "every push, in covered time");
    }
}

#[tokio::test(start_paused = true)]
async fn states_that_find_no_room_in_the_spool_are_a_gap() {
    let world = World::new(1 << 20, Trouble::Full).await;
    world.push(0..500).await;
    let ended = world.end().await;
    assert!(ended.counters.spool_full > 0);
    let mut missing = 0;
    for coin in COINS {
        let (gaps, numbers) = ended.stored(coin).await;
        assert!(gaps.iter().all(|(_, cause)| *cause == Cause::StoreFull), "{gaps:?}");
        missing += said(&gaps, &numbers, 500);
    }
    assert_eq!(missing, ended.counters.spool_full);
}

#[tokio::test(start_paused = true)]
async fn states_that_are_replaced_in_the_inbox_are_a_gap_as_wide_as_what_is_missing() {
    let world = World::new(1 << 30, Trouble::Hangs).await;
    world.push(0..1_000).await;
    let ended = world.end().await;
    assert!(ended.conflated > 0);
    let mut missing = 0;
    for coin in COINS {
        let (gaps, numbers) = ended.stored(coin).await;
        let [(gap, Cause::Overload)] = gaps[..] else { panic!("{gaps:?}") };
        let lost = said(&gaps, &numbers, 1_000);
        assert_eq!(gap.ms(), EVERY * (i64::try_from(lost).unwrap() + 1), "from one stored book to the next");
        missing += lost;
    }
    assert_eq!(missing, ended.conflated);
}

/// How many of the first `count` books are not stored; each of them lies in a gap.
fn said(gaps: &[(Span, Cause)], numbers: &[i64], count: i64) -> u64 {
    let missing: Vec<_> = (0..count).filter(|n| !numbers.contains(n)).collect();
    for n in &missing {
        let time = TimeMs(START + n * EVERY);
        assert!(gaps.iter().any(|(span, _)| span.contains(time)), "{n} is missing silently: {gaps:?}");
    }
    missing.len() as u64
}

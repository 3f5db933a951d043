//! Filling gaps against a real store and a past that answers as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::record::Mid;
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Page, Past};
use hl_core::store::Store;
use hl_core::{Coin, Decimal, Epoch, Interval, Records, StreamKey, TimeMs};
use hl_runtime::TokioClock;
use hl_scheduler::backfill::{self, BackfillError, Filled};
use hl_store::{Inspect as _, SqliteOptions, SqliteStore, Writer};

const MINUTE: i64 = 60_000;

/// Gives the answers in order, and remembers what it was asked for.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Page, Cause>>>,
    asked: Mutex<Vec<Span>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<Page, Cause>>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<Span> {
        self.asked.lock().unwrap().clone()
    }
}

impl Past for Script {
    fn page(&self, _: StreamKey, piece: Span) -> BoxFuture<'_, Result<Page, FetchError>> {
        self.asked.lock().unwrap().push(piece);
        let answer = self.answers.lock().unwrap().pop_front().expect("an answer for every question");
        let failed = |cause| FetchError { step: "asking", reason: "told to".to_owned(), cause };
        Box::pin(async move { answer.map_err(failed) })
    }
}

fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(from * MINUTE), TimeMs(to * MINUTE))
}

fn coin() -> Coin {
    Coin::new("BTC").unwrap()
}

fn bars(proven: Span, next: Option<TimeMs>) -> Page {
    Page { records: Records::Candles(Vec::new()), proven: Some(proven), lost: None, next }
}

/// A store with these open gaps, and a daemon gone.
async fn store(folder: &tempfile::TempDir, stream: StreamKey, gaps: &[Span]) -> SqliteStore {
    let store = SqliteStore::open(SqliteOptions {
        path: folder.path().join("hl.db"),
        role: "test".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        writer: Writer::Inline { delay_ms: 1 },
        clock: Arc::new(TokioClock::starting_at(TimeMs(0))),
    })
    .await
    .unwrap();
    store.lease(&[stream]).await.unwrap();
    let opened = gaps.iter().map(|&span| Change::GapOpened { span, cause: Cause::Outage });
    let changes = opened.map(|change| (stream, change)).collect();
    store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    store
}

async fn fill(
    store: &SqliteStore,
    past: &Script,
    stream: StreamKey,
    within: Span,
) -> Result<Filled, BackfillError> {
    let epoch = Epoch { token: store.token(), local: 7 };
    backfill::fill(store, past, epoch, stream, within, &|_, _| ()).await
}

async fn states(folder: &tempfile::TempDir, stream: StreamKey) -> Vec<(Span, GapState)> {
    let inspect = SqliteStore::inspect(folder.path().join("hl.db")).unwrap();
    inspect.gaps(Some(stream)).await.unwrap().into_iter().map(|gap| (gap.span, gap.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_budget_without_room_is_tried_again_and_no_longer_than_that() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
    let store = store(&folder, stream, &[span(0, 10)]).await;
    let none = || Err(Cause::OverCapacity);
    let past = Script::of([none(), none(), none()]);
    let error = fill(&store, &past, stream, span(0, 10)).await.unwrap_err();
    assert_eq!(error.to_string(), "candle/BTC/1m: asking: told to");
    assert_eq!(past.asked(), [span(0, 10); 3]);

    // What failed gave its claim back; pages follow each other, and a refusal is final at once.
    let past = Script::of([none(), Ok(bars(span(0, 4), Some(TimeMs(4 * MINUTE)))), Err(Cause::Refused)]);
    fill(&store, &past, stream, span(0, 10)).await.unwrap_err();
    assert_eq!(past.asked(), [span(0, 10), span(0, 10), span(4, 10)]);
    assert_eq!(
        states(&folder, stream).await,
        [(span(0, 4), GapState::Backfilled), (span(4, 10), GapState::Open)]
    );

    let past = Script::of([Ok(bars(span(4, 9), None))]);
    let filled = fill(&store, &past, stream, span(0, 10)).await.unwrap();
    assert_eq!((filled.claimed, filled.filled_ms, filled.open_ms), (1, 5 * MINUTE, MINUTE));
}

#[tokio::test(start_paused = true)]
async fn where_only_the_newest_exists_one_question_answers_for_every_gap() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = store(&folder, stream, &[span(0, 1), span(2, 6), span(7, 8), span(9, 12)]).await;
    let past = Script::of([Ok(Page {
        records: Records::Trades(Vec::new()),
        proven: Some(span(4, 10)),
        lost: Some(span(0, 4)),
        next: None,
    })]);
    let filled = fill(&store, &past, stream, span(0, 12)).await.unwrap();
    assert_eq!(past.asked(), [span(0, 12)]);
    let minutes = [filled.filled_ms, filled.lost_ms, filled.open_ms].map(|ms| ms / MINUTE);
    assert_eq!((filled.claimed, filled.lost, minutes), (4, 2, [4, 3, 2]));
    use GapState::{Backfilled, Open, Unrecoverable};
    let expected = [
        (span(0, 1), Unrecoverable),
        (span(2, 4), Unrecoverable),
        (span(4, 6), Backfilled),
        (span(7, 8), Backfilled),
        (span(9, 10), Backfilled),
        (span(10, 12), Open),
    ];
    assert_eq!(states(&folder, stream).await, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_where_nothing_is_open() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Mids);
    let store = store(&folder, stream, &[span(0, 5)]).await;
    let past = Script::of([]);
    let filled = fill(&store, &past, stream, span(6, 9)).await.unwrap();
    assert_eq!((filled, past.asked()), (Filled::default(), vec![]));
    let mid = Mid { coin: coin(), time: TimeMs(1), px: Decimal::ONE };
    let page = Page { records: Records::Mids(vec![mid]), proven: None, lost: Some(span(0, 5)), next: None };
    let filled = fill(&store, &Script::of([Ok(page)]), stream, span(0, 5)).await.unwrap();
    assert_eq!((filled.rows, filled.lost_ms), (0, 5 * MINUTE), "what is not proven is not written");
}

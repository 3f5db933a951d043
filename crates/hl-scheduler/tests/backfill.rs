//! Filling gaps against a real store and a past that answers as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::past::{self, Page};
use hl_core::record::{Candle, HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::seam::BoxFuture;
use hl_core::source::{FetchError, Past};
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, SourceId, StreamKey, TimeMs};
use hl_runtime::TokioClock;
use hl_scheduler::Job as _;
use hl_scheduler::backfill::{self, BackfillError, Filled, Step};
use hl_scheduler::jobs::BackfillGaps;
use hl_store::{Inspect as _, SqliteStore};
use tokio::time::Instant;

const MINUTE: i64 = 60_000;

/// Gives the answers in order, and remembers what it was asked for.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Page, Cause>>>,
    asked: Mutex<Vec<(Span, u32)>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<Page, Cause>>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<Span> {
        self.asked.lock().unwrap().iter().map(|(piece, _)| *piece).collect()
    }

    fn efforts(&self) -> Vec<u32> {
        self.asked.lock().unwrap().iter().map(|(_, effort)| *effort).collect()
    }
}

impl Past for Script {
    fn page(&self, _: StreamKey, piece: Span, effort: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        self.asked.lock().unwrap().push((piece, effort));
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

/// An answer to a question about `about` that proves `proven`.
fn bars(about: Span, proven: Span) -> Page {
    let records = Records::Candles(Vec::new());
    Page { proven: vec![(proven, records)], reached: Some(proven), ..Page::nothing(Some(about)) }
}

/// A store with these open gaps, and a daemon gone.
async fn store(folder: &tempfile::TempDir, stream: StreamKey, gaps: &[Span]) -> SqliteStore {
    let store = common::open(folder, TokioClock::starting_at(TimeMs(0))).await;
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
    let past = Script::of([none(), Ok(bars(span(0, 10), span(0, 4))), Err(Cause::Refused)]);
    fill(&store, &past, stream, span(0, 10)).await.unwrap_err();
    assert_eq!(past.asked(), [span(0, 10), span(0, 10), span(4, 10)]);
    assert_eq!(
        states(&folder, stream).await,
        [(span(0, 4), GapState::Backfilled), (span(4, 10), GapState::Open)]
    );

    let past = Script::of([Ok(bars(span(4, 9), span(4, 9))), Ok(Page::nothing(None))]);
    let filled = fill(&store, &past, stream, span(0, 10)).await.unwrap();
    assert_eq!((filled.claimed, filled.filled_ms, filled.open_ms), (vec![span(4, 10)], 5 * MINUTE, MINUTE));
    assert_eq!(filled.stuck, [], "what is too young waits, and nothing more");
}

#[tokio::test(start_paused = true)]
async fn where_only_the_newest_exists_one_question_answers_for_every_gap() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = store(&folder, stream, &[span(0, 1), span(2, 6), span(7, 8), span(9, 12)]).await;
    let past = Script::of([Ok(Page {
        proven: vec![(span(4, 10), Records::Trades(Vec::new()))],
        lost: vec![span(0, 4)],
        ..Page::nothing(Some(span(0, 12)))
    })]);
    let filled = fill(&store, &past, stream, span(0, 12)).await.unwrap();
    assert_eq!(past.asked(), [span(0, 12)]);
    let minutes = [filled.filled_ms, filled.lost_ms, filled.open_ms].map(|ms| ms / MINUTE);
    assert_eq!((filled.claimed.len(), filled.lost, minutes), (4, 2, [4, 3, 2]));
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
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = store(&folder, stream, &[span(0, 5)]).await;
    let past = Script::of([]);
    let filled = fill(&store, &past, stream, span(6, 9)).await.unwrap();
    assert_eq!((filled, past.asked()), (Filled::default(), vec![]));
    let filled = fill(&store, &Script::of([Ok(Page::gone(span(0, 5)))]), stream, span(0, 5)).await.unwrap();
    assert_eq!((filled.rows, filled.lost_ms), (0, 5 * MINUTE));
}

fn trade(minute: i64) -> Trade {
    Trade {
        coin: coin(),
        time: TimeMs(minute * MINUTE),
        tid: 1,
        px: Decimal::ONE,
        sz: Decimal::ONE,
        side: Side::Buy,
        hash: HexBytes([0; 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    }
}

/// Flat bars of these minutes.
fn minutes(minutes: impl IntoIterator<Item = i64>) -> Records {
    let one = Decimal::ONE;
    let bar = |minute| Candle {
        coin: coin(),
        interval: Interval::M1,
        time: TimeMs(minute * MINUTE),
        open: one,
        high: one,
        low: one,
        close: one,
        volume: one,
        trades: 1,
        arrival: Arrival::default(),
    };
    Records::Candles(minutes.into_iter().map(bar).collect())
}

#[tokio::test(start_paused = true)]
async fn what_the_pages_of_a_piece_brought_adds_up() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
    let store = store(&folder, stream, &[span(0, 10)]).await;
    let page = |about, proven: Option<(Span, Records)>, lost: Option<Span>| {
        let reached = proven.as_ref().map(|(span, _)| *span);
        let (proven, lost) = (proven.into_iter().collect(), lost.into_iter().collect());
        Ok(Page { proven, lost, reached, ..Page::nothing(Some(about)) })
    };
    let past = Script::of([
        page(span(0, 9), None, Some(span(0, 1))),
        page(span(1, 9), Some((span(3, 5), minutes(3..5))), Some(span(1, 3))),
        page(span(5, 9), Some((span(5, 9), minutes([5, 8]))), None),
        Ok(Page::nothing(None)),
    ]);
    let steps = Mutex::new(Vec::new());
    let told = |_: StreamKey, step: Step<'_>| {
        if let Step::Page { done_ms, rows, .. } = step {
            steps.lock().unwrap().push((done_ms / MINUTE, rows));
        }
    };
    let epoch = Epoch { token: store.token(), local: 7 };
    let filled = backfill::fill(&store, &past, epoch, stream, span(0, 10), &told).await.unwrap();
    let expected = Filled {
        claimed: vec![span(0, 10)],
        rows: 4,
        filled_ms: 6 * MINUTE,
        lost_ms: 3 * MINUTE,
        lost: 2,
        unreadable: Vec::new(),
        open_ms: MINUTE,
        asked: vec![span(0, 10)],
        stuck: vec![],
    };
    assert_eq!(filled, expected);
    assert_eq!(*steps.lock().unwrap(), [(1, 0), (5, 2), (9, 4)]);
    assert_eq!(past.asked(), [span(0, 10), span(1, 10), span(5, 10), span(9, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_is_followed_by_a_question_for_the_rest() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
    let store = store(&folder, stream, &[span(0, 10)]).await;
    // It gives the oldest of what was asked for, then the newest, then nothing more.
    let past = Script::of([
        Ok(bars(span(0, 10), span(0, 2))),
        Ok(bars(span(2, 10), span(7, 10))),
        Ok(Page::nothing(Some(span(2, 7)))),
    ]);
    let filled = fill(&store, &past, stream, span(0, 10)).await.unwrap();
    assert_eq!(past.asked(), [span(0, 10), span(2, 10), span(2, 7)]);
    assert_eq!((filled.filled_ms, filled.open_ms, filled.stuck), (5 * MINUTE, 5 * MINUTE, vec![span(2, 7)]));
    assert_eq!(states(&folder, stream).await[1], (span(2, 7), GapState::Open));
}

#[tokio::test(start_paused = true)]
async fn what_no_answer_settles_is_asked_for_by_wider_questions_and_then_left() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
    let store = store(&folder, stream, &[span(0, 5), span(8, 10)]).await;
    let wider = |about| Page { wider: true, ..Page::nothing(Some(about)) };
    let past = Script::of([
        Ok(Page { wider: true, ..bars(span(0, 10), span(0, 4)) }),
        Ok(wider(span(4, 10))),
        Ok(wider(span(4, 10))),
        Ok(Page { wider: false, ..bars(span(4, 10), span(8, 10)) }),
        Ok(Page::nothing(Some(span(4, 5)))),
    ]);
    let filled = fill(&store, &past, stream, span(0, 10)).await.unwrap();
    assert_eq!(past.efforts(), [0, 0, 1, 2, 2]);
    assert_eq!(past.asked(), [span(0, 10), span(4, 10), span(4, 10), span(4, 10), span(4, 5)]);
    assert_eq!((filled.filled_ms, filled.stuck), (6 * MINUTE, vec![span(4, 5)]));
}

/// Rows on each side, and one missing between: the rest of the answer is taken, and the hole is not asked for at once again.
#[tokio::test(start_paused = true)]
async fn a_hole_inside_an_answer_stays_open() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Funding(coin()));
    let store = store(&folder, stream, &[span(0, 300)]).await;
    let records = || Records::Funding(Vec::new());
    let past = Script::of([Ok(Page {
        proven: vec![(span(0, 60), records()), (span(120, 300), records())],
        reached: Some(span(0, 300)),
        ..Page::nothing(Some(span(0, 300)))
    })]);
    let filled = fill(&store, &past, stream, span(0, 300)).await.unwrap();
    assert_eq!((filled.filled_ms, filled.stuck), (240 * MINUTE, vec![span(60, 120)]));
    use GapState::{Backfilled, Open};
    let expected = [(span(0, 60), Backfilled), (span(60, 120), Open), (span(120, 300), Backfilled)];
    assert_eq!(states(&folder, stream).await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_one_question_found_is_counted() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = store(&folder, stream, &[span(0, 2)]).await;
    let records = Records::Trades(vec![trade(0), trade(1), trade(2)]);
    let past =
        Script::of([Ok(Page { proven: vec![(span(0, 2), records)], ..Page::nothing(Some(span(0, 2))) })]);
    let filled = fill(&store, &past, stream, span(0, 2)).await.unwrap();
    assert_eq!((filled.rows, filled.filled_ms, filled.open_ms), (3, 2 * MINUTE, 0));
}

/// A promoted ring may bring what a young gap lacks, at any moment.
#[tokio::test(start_paused = true)]
async fn a_young_gap_is_not_claimed_while_old_ones_are_given_up() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = store(&folder, stream, &[span(0, 5), span(20, 30)]).await;
    let epoch = |local| Epoch { token: store.token(), local };
    let records = Records::Trades(vec![trade(20), trade(25), trade(30)]);
    let change = Change::Filled { epoch: epoch(1), origin: Origin::Ws, span: span(20, 30), records };
    let promoted = Arc::new(Batch { token: store.token(), changes: vec![(stream, change)] });
    // The store answers in turn: what was found has no chance to be given back before the promotion.
    let until = TimeMs(29 * MINUTE);
    let given_up = backfill::give_up(&store, epoch(7), stream, span(0, 30), until);
    let (stays, ack) = tokio::join!(biased; given_up, store.commit(promoted));
    assert_eq!(ack.unwrap().inserted, 3, "nothing is refused");
    assert!(stays.unwrap());
    use GapState::{Backfilled, Unrecoverable};
    assert_eq!(states(&folder, stream).await, [(span(0, 5), Unrecoverable), (span(20, 30), Backfilled)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_given_up_whole_and_nothing_stays_claimed() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = store(&folder, stream, &[span(0, 5), span(7, 9), span(20, 30)]).await;
    let until = |minute| TimeMs(minute * MINUTE);
    let epoch = Epoch { token: store.token(), local: 7 };
    assert!(!backfill::give_up(&store, epoch, stream, span(0, 9), until(9)).await.unwrap());
    assert!(!backfill::give_up(&store, epoch, stream, span(0, 9), until(9)).await.unwrap());
    assert!(
        backfill::give_up(&store, epoch, stream, span(0, 30), until(29)).await.unwrap(),
        "it stays, whole"
    );
    assert!(backfill::give_up(&store, epoch, stream, span(20, 30), until(19)).await.unwrap());
    use GapState::{Open, Unrecoverable};
    assert_eq!(
        states(&folder, stream).await,
        [(span(0, 5), Unrecoverable), (span(7, 9), Unrecoverable), (span(20, 30), Open)]
    );
    let other = Epoch { token: store.token(), local: 8 };
    assert_eq!(store.claim_gaps(stream, span(0, 40), other).await.unwrap(), [span(20, 30)]);
}

#[tokio::test(start_paused = true)]
async fn what_the_past_holds_and_cannot_be_read_is_a_gap_of_its_own_and_stays_open() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
    let store = store(&folder, stream, &[span(0, 10)]).await;
    let records = || Records::Candles(Vec::new());
    let page = Page {
        proven: vec![(span(0, 2), records()), (span(3, 6), records()), (span(8, 10), records())],
        unreadable: vec![span(2, 3), span(6, 8)],
        reached: Some(span(0, 10)),
        ..Page::nothing(Some(span(0, 10)))
    };
    let past = Script::of([Ok(page)]);
    let filled = fill(&store, &past, stream, span(0, 10)).await.unwrap();
    assert_eq!([filled.filled_ms, filled.open_ms].map(|ms| ms / MINUTE), [7, 3]);
    assert_eq!((&filled.unreadable, &filled.stuck), (&vec![span(2, 3), span(6, 8)], &filled.unreadable));
    assert_eq!(past.asked(), [span(0, 10)], "a wider question would bring the same");
    let inspect = SqliteStore::inspect(folder.path().join("hl.db")).unwrap();
    let gaps = inspect.gaps(Some(stream)).await.unwrap();
    let lost: Vec<_> = gaps
        .iter()
        .filter(|gap| gap.state != GapState::Backfilled)
        .map(|gap| (gap.span, gap.cause, gap.state))
        .collect();
    let unreadable = |from, to| (span(from, to), Cause::Undecodable, GapState::Open);
    assert_eq!(lost, [unreadable(2, 3), unreadable(6, 8)]);
    let covered: Vec<_> =
        inspect.coverage(Some(stream)).await.unwrap().into_iter().map(|piece| piece.span).collect();
    assert_eq!(covered, [span(0, 2), span(3, 6), span(8, 10)]);
    // The next answer may be whole.
    let past = Script::of([Ok(bars(span(2, 8), span(2, 8)))]);
    let filled = fill(&store, &past, stream, span(0, 10)).await.unwrap();
    assert_eq!(filled.claimed, [span(2, 3), span(6, 8)]);
    assert!(states(&folder, stream).await.iter().all(|(_, state)| *state == GapState::Backfilled));
}

/// One bad answer gives nothing up; a day of them does.
#[tokio::test(start_paused = true)]
async fn a_bar_that_cannot_be_read_is_given_up_when_no_answer_of_a_day_could_be() {
    for mended_after in [Some(1), Some(12), None] {
        let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
        let store = Arc::new(store(&folder, stream, &[span(0, 10)]).await);
        let past = Arc::new(Unreadable { bar: span(4, 5), mended_after, asked: Mutex::default() });
        let begun = Instant::now();
        let job = self::job(&store, &past, None, 90);
        let of_bar = async || {
            let states = states(&folder, stream).await;
            states.into_iter().find(|(piece, _)| piece.overlaps(span(4, 5))).unwrap()
        };
        let mut ended = None;
        while begun.elapsed() < Duration::from_secs(30 * 3_600) {
            tokio::time::sleep_until(job.next_due().unwrap()).await;
            job.run().await;
            if of_bar().await.1 != GapState::Open {
                ended.get_or_insert(begun.elapsed().as_secs() / 3_600);
            }
        }
        let asked = past.asked.lock().unwrap().len();
        assert!(asked < 40, "{mended_after:?}: asked {asked} times");
        match mended_after {
            Some(_) => assert_eq!(of_bar().await.1, GapState::Backfilled, "{mended_after:?}"),
            None => {
                assert_eq!(of_bar().await, (span(4, 5), GapState::Unrecoverable));
                assert_eq!(ended, Some(24));
            }
        }
    }
}

/// A past whose every answer holds one bar that cannot be read, up to one of them.
struct Unreadable {
    bar: Span,
    mended_after: Option<usize>,
    asked: Mutex<Vec<Span>>,
}

impl Past for Unreadable {
    fn page(&self, _: StreamKey, piece: Span, _: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(piece);
        let is_mended = self.mended_after.is_some_and(|after| after < asked.len());
        let unreadable = if is_mended { Vec::new() } else { past::inside(&[piece], self.bar) };
        let readable = unreadable.iter().fold(vec![piece], |left, bad| past::without(&left, *bad));
        let proven = readable.into_iter().map(|span| (span, Records::Candles(Vec::new()))).collect();
        let page = Page { proven, unreadable, reached: Some(piece), ..Page::nothing(Some(piece)) };
        Box::pin(async move { Ok(page) })
    }
}

/// A job over a store of which this process collects everything from `owner`, at the `minutes`-th minute and later.
fn job(
    store: &Arc<SqliteStore>,
    past: &Arc<impl Past>,
    owner: Option<SourceId>,
    minutes: i64,
) -> BackfillGaps {
    let epoch = Epoch { token: store.token(), local: 7 };
    let begun = Instant::now();
    let elapsed = move || i64::try_from(begun.elapsed().as_millis()).unwrap();
    let now = Box::new(move || TimeMs(minutes * MINUTE + elapsed()));
    BackfillGaps::new(store.clone(), past.clone(), epoch, now, Box::new(move |_| owner), Box::new(|_, _| ()))
}

async fn run_for(job: &BackfillGaps, length: Duration) {
    let begun = Instant::now();
    while job.next_due().unwrap() < begun + length {
        tokio::time::sleep_until(job.next_due().unwrap()).await;
        job.run().await;
    }
    tokio::time::sleep_until(begun + length).await;
}

/// An answer that holds the trades of these minutes, as many as the exchange gives.
fn newest(piece: Span, minutes: &[i64]) -> Result<Page, Cause> {
    let trades: Vec<_> = minutes.iter().map(|minute| trade(*minute)).collect();
    Ok(past::trades(coin(), piece, trades, minutes.len()))
}

#[tokio::test(start_paused = true)]
async fn the_newest_trades_close_a_young_gap_with_one_question() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = Arc::new(store(&folder, stream, &[span(80, 98)]).await);
    let past = Arc::new(Script::of([newest(span(80, 98), &[79, 80, 90, 98, 99])]));
    let job = job(&store, &past, Some(SourceId::Ws), 100);
    run_for(&job, Duration::from_secs(3_600)).await;
    assert_eq!(past.asked(), [span(80, 98)]);
    assert_eq!(states(&folder, stream).await, [(span(80, 98), GapState::Backfilled)]);
    let inspect = SqliteStore::inspect(folder.path().join("hl.db")).unwrap();
    assert_eq!(inspect.rows(stream, span(0, 200)).await.unwrap().len(), 3, "with both of its borders");
}

#[tokio::test(start_paused = true)]
async fn what_the_newest_trades_do_not_reach_is_given_up_once_no_ring_can_fill_it() {
    use GapState::{Backfilled, Open, Unrecoverable};
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = Arc::new(store(&folder, stream, &[span(10, 20), span(80, 100)]).await);
    let past = Arc::new(Script::of([newest(span(10, 100), &[98, 99, 100, 101])]));
    let job = job(&store, &past, Some(SourceId::Ws), 100);
    run_for(&job, Duration::from_secs(10)).await;
    let settled = [(span(10, 20), Unrecoverable), (span(80, 99), Open), (span(99, 100), Backfilled)];
    assert_eq!(states(&folder, stream).await, settled, "what is old is given up without an answer");
    let other = Epoch { token: store.token(), local: 8 };
    assert_eq!(store.claim_gaps(stream, span(0, 200), other).await.unwrap(), [span(80, 99)], "it is free");
    store.unclaim(other).await.unwrap();
    run_for(&job, Duration::from_secs(120)).await;
    assert_eq!(states(&folder, stream).await[1], (span(80, 99), Unrecoverable));
    assert_eq!(past.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_newest_trades_are_not_asked_for_where_that_is_vain() {
    for (owner, ended, given_up_s) in [
        (Some(SourceId::Ws), 90, 0..3),
        (Some(SourceId::Ws), 70, 0..3),
        // Its polls are the same answer.
        (Some(SourceId::Rest), 100, 90..125),
        // Another process may collect it.
        (None, 100, 600..625),
    ] {
        let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
        let store = Arc::new(store(&folder, stream, &[span(60, ended)]).await);
        let past = Arc::new(Script::of([]));
        let job = job(&store, &past, owner, 100);
        let begun = Instant::now();
        while states(&folder, stream).await[0].1 == GapState::Open {
            tokio::time::sleep_until(job.next_due().unwrap()).await;
            job.run().await;
        }
        let after = begun.elapsed().as_secs();
        assert!(given_up_s.contains(&after), "{owner:?} {ended}: {after} s");
        assert_eq!(past.asked(), []);
    }
}

/// However often a socket comes and goes, and leaves a gap each time.
#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_for_once_a_minute_at_most() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = Arc::new(store(&folder, stream, &[]).await);
    let past = Arc::new(Script::of((0..120).map(|_| Ok(Page::nothing(None)))));
    let job = job(&store, &past, Some(SourceId::Ws), 100);
    for second in (0..600_i64).step_by(5) {
        let at = |second: i64| TimeMs(100 * MINUTE + second * 1_000);
        let change =
            Change::GapOpened { span: Span::new(at(second - 2), at(second)), cause: Cause::Handover };
        let batch = Batch { token: store.token(), changes: vec![(stream, change)] };
        store.commit(Arc::new(batch)).await.unwrap();
        job.gaps_opened();
        run_for(&job, Duration::from_secs(5)).await;
    }
    let asked = past.asked().len();
    assert!((8..=11).contains(&asked), "{asked} times in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_hole_closes_nothing() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = Arc::new(store(&folder, stream, &[span(80, 98)]).await);
    // The trade of the block that ends the gap is stored, and not among them.
    let past = Arc::new(Script::of([newest(span(80, 98), &[79, 80, 90, 99, 100])]));
    let job = job(&store, &past, Some(SourceId::Ws), 100);
    run_for(&job, Duration::from_secs(300)).await;
    assert_eq!(states(&folder, stream).await, [(span(80, 98), GapState::Unrecoverable)]);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_is_asked_again_while_the_gap_is_young() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = Arc::new(store(&folder, stream, &[span(80, 98)]).await);
    let answers = [Err(Cause::Outage), Err(Cause::Outage), newest(span(80, 98), &[79, 80, 90, 98, 99])];
    let past = Arc::new(Script::of(answers));
    let job = job(&store, &past, Some(SourceId::Ws), 100);
    run_for(&job, Duration::from_secs(300)).await;
    assert_eq!(states(&folder, stream).await, [(span(80, 98), GapState::Backfilled)]);
    assert!(job.failing().is_none());
    // And given up as old where no answer ever comes.
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Trades(coin()));
    let store = Arc::new(self::store(&folder, stream, &[span(80, 98)]).await);
    let past = Arc::new(Script::of((0..60).map(|_| Err(Cause::Refused))));
    let job = self::job(&store, &past, Some(SourceId::Ws), 100);
    run_for(&job, Duration::from_secs(520)).await;
    assert_eq!(states(&folder, stream).await, [(span(80, 98), GapState::Unrecoverable)]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_ever_is_asked_for_ever_less_often_and_told() {
    for (cause, asked_in_a_day) in [(Cause::Undecodable, 20..60), (Cause::Outage, 1_400..3_000)] {
        let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Candle(coin(), Interval::M1));
        let store = Arc::new(store(&folder, stream, &[span(0, 10)]).await);
        let past = Arc::new(Failing { cause, asked: Mutex::default() });
        let epoch = Epoch { token: store.token(), local: 7 };
        let now = Box::new(|| TimeMs(MINUTE * 100));
        let job = BackfillGaps::new(
            store.clone(),
            past.clone(),
            epoch,
            now,
            Box::new(|_| None),
            Box::new(|_, _| ()),
        );
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(86_400) {
            tokio::time::sleep_until(job.next_due().unwrap()).await;
            job.run().await;
        }
        let asked = past.asked.lock().unwrap().len();
        assert!(asked_in_a_day.contains(&asked), "{cause:?}: {asked}");
        let failing = job.failing().unwrap();
        assert_eq!(failing.times as usize, asked);
        assert!(failing.words.contains("candle/BTC/1m") && failing.words.contains("no use"), "{failing:?}");
    }
}

/// Hours of which the exchange never has a row, one after the other.
#[tokio::test(start_paused = true)]
async fn settlements_that_never_come_are_given_up_after_a_day_also_where_hours_adjoin() {
    let (folder, stream) = (tempfile::tempdir().unwrap(), StreamKey::Funding(coin()));
    let store = Arc::new(store(&folder, stream, &[span(0, 120)]).await);
    let past = Arc::new(Empty::default());
    let begun = Instant::now();
    // The second hour is over half an hour after the job begins.
    let now = move || TimeMs(90 * MINUTE + i64::try_from(begun.elapsed().as_millis()).unwrap());
    past.now.set(Box::new(now)).ok().unwrap();
    let job = self::job(&store, &past, None, 90);
    let mut given_up = Vec::new();
    while begun.elapsed() < Duration::from_secs(30 * 3_600) {
        tokio::time::sleep_until(job.next_due().unwrap()).await;
        job.run().await;
        let lost = states(&folder, stream).await;
        let lost = lost.iter().filter(|(_, state)| *state == GapState::Unrecoverable).count();
        given_up.resize(lost, begun.elapsed().as_secs() / 3_600);
    }
    assert_eq!(given_up, [24, 24], "each a day after it was first asked for, or up to an hour later");
    let lost = [span(0, 60), span(60, 120)].map(|hour| (hour, GapState::Unrecoverable));
    assert_eq!(states(&folder, stream).await, lost);
    let asked = past.asked.lock().unwrap().len();
    assert!(asked < 100, "asked {asked} times");
}

type Now = Box<dyn Fn() -> TimeMs + Send + Sync>;

/// A past of settlements without a row.
#[derive(Default)]
struct Empty {
    now: std::sync::OnceLock<Now>,
    asked: Mutex<Vec<Span>>,
}

impl Past for Empty {
    fn page(&self, _: StreamKey, piece: Span, _: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        let over = TimeMs(self.now.get().unwrap()().0 / (60 * MINUTE) * (60 * MINUTE));
        let about = (piece.from < over).then(|| Span::new(piece.from, piece.to.min(over)));
        self.asked.lock().unwrap().extend(about);
        Box::pin(async move { Ok(Page::nothing(about)) })
    }
}

/// A past that fails in one way.
struct Failing {
    cause: Cause,
    asked: Mutex<Vec<Instant>>,
}

impl Past for Failing {
    fn page(&self, _: StreamKey, _: Span, _: u32) -> BoxFuture<'_, Result<Page, FetchError>> {
        self.asked.lock().unwrap().push(Instant::now());
        let error = FetchError { step: "asking", reason: "no use".to_owned(), cause: self.cause };
        Box::pin(async move { Err(error) })
    }
}

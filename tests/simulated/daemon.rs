//! The whole daemon in virtual time: real sources, selector, pipeline, scheduler and SQLite store against the simulated
//! exchange on an in-memory network. A seed is a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl_chaos::{Density, Market, Plan, Trace, Trouble, run};
use hl_core::archive::{Claimed, Day, Part as ArchivePart};
use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::record::{Market as MarketState, MarketStatus, Record};
use hl_core::row::{Arrival, RowKey};
use hl_core::seam::BoxFuture;
use hl_core::seam::Clock as _;
use hl_core::store::Reservation;
use hl_core::store::prelude::*;
use hl_core::thinning::Policy;
use hl_core::{Decimal, Epoch, Kind, Origin, Records, SourceId, StreamKey, TimeMs, for_records};
use hl_engine::markets::Wish;
use hl_engine::universe::Part;
use hl_engine::{Event, EventSort, Filter, Sink, SinkBatch, SinkError, Snapshot};
use hl_sim::{AnswerFault, Fault, FaultKind};
use hl_store::{GapRow, Inspect as _, SqliteStore, StreamRow};

use crate::support::{World, assert_clean, coin, streams, verified};

fn owned_by(source: SourceId) -> impl Fn(&hl_engine::Snapshot) -> bool {
    move |snapshot| !snapshot.streams.is_empty() && snapshot.streams.values().all(|m| m.owner == Some(source))
}

fn owner(stream: &str) -> impl Fn(&hl_engine::Snapshot) -> Option<SourceId> {
    let stream: StreamKey = stream.parse().unwrap();
    move |snapshot| snapshot.streams.get(&stream)?.owner
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_faults_is_complete() {
    let world = World::new(7).await.unwrap();
    let mut everything = Market::mixed().streams;
    // What only REST has, and a book that needs a socket of its own.
    everything.extend(streams(&["predicted_funding/BTC", "book/BTC/5", "book/BTC/3"]));
    let daemon = world.daemon(&everything).await.unwrap();
    let is_settled = |snapshot: &hl_engine::Snapshot| {
        let owner_of = |stream: &StreamKey| if stream.spec().ws { SourceId::Ws } else { SourceId::Rest };
        snapshot.streams.len() == everything.len()
            && snapshot.streams.iter().all(|(stream, m)| m.owner == Some(owner_of(stream)))
    };
    daemon.until("the socket owns what it carries", is_settled).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let snapshot = daemon.engine.snapshot();
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert_eq!(snapshot.rest.rate_limited, 0);
    let renewed: u64 = snapshot.sockets.iter().map(|s| s.counters.renewed).sum();
    assert_eq!(renewed, 0, "no subscription is doubted without a reason");
    assert_eq!(snapshot.handovers, everything.len() as u64, "and no stream changes hands");
    let lasting: Vec<_> = report.gaps.iter().filter(|gap| gap.state != GapState::Backfilled).collect();
    assert!(lasting.is_empty(), "a quiet hour leaves no gap: {lasting:?}");
    assert!(report.minutes_compared > 50, "{}", report.minutes_compared);
    let latency = |stream: &str| snapshot.streams[&stream.parse().unwrap()].latency;
    // A book is pushed up to half a second after its block.
    assert!(
        latency("book/BTC").is_some_and(|l| 0 < l.p50 && l.p50 <= l.p90 && l.p90 <= l.p99 && l.p99 < 1_000)
    );
    assert_eq!(latency("mids"), None, "its frames say nothing of when they were sent");
    // Received after it happened, and soon; what a subscription or a poll began with says nothing.
    let db = rusqlite::Connection::open(world.store_path()).unwrap();
    let polled =
        "SELECT count(*), count(received), count(seq), count(DISTINCT next_time) FROM predicted_funding";
    let polled: [i64; 4] =
        db.query_row(polled, [], |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?])).unwrap();
    assert!(polled[1..] == [0, polled[0], 2], "polled, not received, and on change: {polled:?}");
    let polls = snapshot.streams[&"predicted_funding/BTC".parse().unwrap()].tally.admitted;
    assert!((55..=65).contains(&polls), "one a minute: {polls}");
    let pushed = hl_core::Kind::ALL.into_iter().map(hl_core::Kind::spec).filter(|spec| spec.ws);
    for table in pushed.map(|spec| spec.table.name) {
        let sql = format!(
            "SELECT count(*), count(received), count(seq), min(received / 1000000 - time), max(received / 1000000 - time)
             FROM {table} WHERE source = 'ws'"
        );
        let [rows, received, placed] =
            db.query_row(&sql, [], |r| Ok([r.get::<_, i64>(0)?, r.get(1)?, r.get(2)?])).unwrap();
        assert!(
            rows > 0 && received > rows * 9 / 10 && placed > rows * 9 / 10,
            "{table}: {received} {placed} of {rows}"
        );
        let (least, most): (i64, i64) = db.query_row(&sql, [], |r| Ok((r.get(3)?, r.get(4)?))).unwrap();
        // A bar's time is that of its beginning.
        let longest = if table == "candles" { 310_000 } else { 10_000 };
        assert!(0 <= least && most < longest, "{table}: {least} to {most} ms");
    }
    let shared: i64 = db.query_row("SELECT count(*) FROM trades WHERE seq > 0", [], |r| r.get(0)).unwrap();
    assert!(shared > 100, "trades of one time have an order that was compared: {shared}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quietly_missing_in_a_storm() {
    for seed in crate::support::seeds(1..4) {
        println!("seed {seed}");
        let plan = Plan {
            seed,
            market: Market::mixed(),
            density: Density::DENSE,
            length_ms: 20 * 60_000,
            audited: true,
        };
        let outcome = run(&plan, Trace::new(false), &|_| {}).await.unwrap();
        assert!(outcome.problems.is_empty(), "seed {seed}: {:#?}", outcome.problems);
        assert!(outcome.compared > 1_000 && outcome.faults > 10, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_muted_stream_is_taken_over_and_given_back() {
    let world = World::new(3).await.unwrap();
    let daemon = world.daemon(&streams(&["trades/BTC", "book/BTC"])).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    let btc = owner("trades/BTC");
    let book = owner("book/BTC");
    world.sim.inject(Fault::lasting(FaultKind::Mute { stream: Some("trades/BTC".parse().unwrap()) }, 30_000));
    let seen = daemon.until("REST owns the muted stream", |s| btc(s) == Some(SourceId::Rest)).await.unwrap();
    assert_eq!(book(&seen), Some(SourceId::Ws), "the others stay where they are");
    daemon.until("the socket has it back", |s| btc(s) == Some(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert!(!report.gaps.is_empty(), "what the mute swallowed is recorded");
}

/// Ten minutes without the store, and without sockets: REST collects on, inside what the exchange grants, and rows and weight are
/// written afterwards.
#[tokio::test(start_paused = true)]
async fn without_the_store_rest_collects_on() {
    const AWAY_MS: u64 = 10 * 60_000;
    for trouble in [Trouble::Fails, Trouble::Slow { ms: 60_000 }] {
        let world = World::new(3).await.unwrap();
        let wanted = streams(&["trades/BTC", "trades/ETH", "book/BTC", "bbo/ETH", "candle/BTC/1m", "mids"]);
        let daemon = world.daemon(&wanted).await.unwrap();
        daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
        world.sim.inject(Fault::lasting(FaultKind::Refuse, 20 * 60_000));
        world.sim.inject(Fault::new(FaultKind::Drop));
        let before =
            daemon.until("REST owns everything", owned_by(SourceId::Rest)).await.unwrap().rest.answers;
        tokio::time::sleep(Duration::from_millis(AWAY_MS / 2)).await;
        let with = daemon.engine.snapshot().rest;
        world.troubles.strike(trouble, AWAY_MS);
        tokio::time::sleep(Duration::from_millis(AWAY_MS)).await;
        let without = daemon.engine.snapshot();
        let (usual, now) = ((with.answers - before) * 2, without.rest.answers - with.answers);
        assert!(
            now * 10 > usual * 9,
            "{now} answers without the store, {usual} in as long with it: {trouble:?}"
        );
        assert_eq!(without.rest.rate_limited, 0, "{trouble:?}");

        let committed = without.pipeline.inserted;
        let after = daemon
            .until("it commits again", |s| s.spool.0 == 0 && s.pipeline.inserted > committed)
            .await
            .unwrap();
        assert_eq!((after.pipeline.spool_full, after.rest.rate_limited), (0, 0), "{trouble:?}");
        // The ledger answers again within some seconds, and then it has all that the exchange counts.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let spent = daemon.engine.snapshot().rest.weight_used;
        let asked = daemon.store.reserve("sim", world.clock.now(), 1, u32::MAX).await.unwrap();
        let Reservation::Granted { booked } = asked else { panic!("everything fits below that") };
        assert!(spent > 0 && booked >= spent, "{booked} booked of {spent}: {trouble:?}");
        daemon.until("the socket owns everything again", owned_by(SourceId::Ws)).await.unwrap();
        daemon.stop().await.unwrap();
        assert_clean(&verified(&world).await, &world.store_path());
    }
}

/// Three requests bring the contexts of four kinds of markets: of the first dex, of a builder's, and of spot pairs and outcomes.
#[tokio::test(start_paused = true)]
async fn contexts_of_every_kind_of_market_come_over_rest() {
    let world = World::new(3).await.unwrap();
    let wanted = streams(&["context/BTC", "context/xyz:NVDA", "context/@107", "context/#12090"]);
    let daemon = world.daemon(&wanted).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    world.sim.inject(Fault::lasting(FaultKind::Refuse, 20 * 60_000));
    world.sim.inject(Fault::new(FaultKind::Drop));
    let from = daemon.until("REST owns everything", owned_by(SourceId::Rest)).await.unwrap().at;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let over_rest = Span { from, to: daemon.engine.snapshot().at };
    daemon.stop().await.unwrap();
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    for stream in wanted {
        let rows = store.rows(stream, over_rest).await.unwrap().len();
        assert!(rows > 10, "{rows} rows of {stream} in five minutes");
    }
}

/// What trades and bars lost together, neither of them can show: only the exchange's own bars do, read once more.
#[tokio::test(start_paused = true)]
async fn what_trades_and_bars_lost_together_is_found_by_the_audit() {
    let world = World::new(3).await.unwrap();
    let daemon = world.daemon(&streams(&["trades/BTC", "candle/BTC/1m"])).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(240)).await;
    let now = world.clock.now().0;
    let last_seconds = now - now % 60_000 + 60_000 + 56_500;
    tokio::time::sleep(Duration::from_millis((last_seconds - now).unsigned_abs())).await;
    world.sim.inject(Fault::lasting(FaultKind::Mute { stream: None }, 3_400));
    tokio::time::sleep(Duration::from_secs(1_500)).await;
    let snapshot = daemon.engine.snapshot();
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let holes: Vec<_> = report.gaps.iter().filter(|g| g.cause == hl_core::ledger::Cause::Silence).collect();
    assert!(
        holes.iter().any(|g| g.stream.kind() == hl_core::Kind::Candle),
        "the bar was read again: {holes:?}"
    );
    assert!(
        holes.iter().any(|g| g.stream.kind() == hl_core::Kind::Trades),
        "the trades are known to be missing"
    );
    assert_eq!(snapshot.rest.rate_limited, 0);
}

/// A collector that reads the past at its start, beside a socket that is up already, stores the same bars twice. Here what
/// happened while it was down is a gap, which a backfill claims, and everything from the start on is the socket's.
#[tokio::test(start_paused = true)]
async fn what_was_missed_while_down_is_fetched_at_the_start_and_what_the_socket_brings_is_not() {
    let world = World::new(5).await.unwrap();
    let wanted = streams(&["candle/BTC/1m", "trades/BTC"]);
    let daemon = world.daemon(&wanted).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    daemon.stop().await.unwrap();
    let down = world.clock.now();
    tokio::time::sleep(Duration::from_secs(1_800)).await;

    let up = world.clock.now();
    let daemon = world.daemon(&wanted).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(900)).await;
    let snapshot = daemon.engine.snapshot();
    daemon.stop().await.unwrap();

    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    assert_eq!((report.duplicates, report.overlapping_claims), (0, 0));
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let pieces = inspect.coverage(Some(wanted[0])).await.unwrap();
    let minute = 60_000;
    let by = |from: TimeMs, to: TimeMs| {
        let inside = pieces.iter().filter(move |piece| piece.span.from < to && from < piece.span.to);
        inside.map(|piece| piece.source).collect::<Vec<_>>()
    };
    let (down, up) = (down.floor(minute) + minute, up.floor(minute));
    assert!(by(down, up).iter().all(|source| *source == Origin::Backfill), "{pieces:#?}");
    assert!(by(up + 3 * minute, TimeMs::MAX).iter().all(|source| *source == Origin::Ws), "{pieces:#?}");
    // Half an hour of bars, and the two that the change of hands touched; nothing is asked for again until the audit.
    let filled: u64 =
        pieces.iter().filter(|piece| piece.source == Origin::Backfill).map(|piece| piece.rows).sum();
    assert!((30..=36).contains(&filled), "{filled} bars over REST: {pieces:#?}");
    assert_eq!(snapshot.pipeline.existing, 0, "no row came twice");
}

/// What is left out on purpose is told: neither the daemon, over a restart, nor anybody who checks takes it for a loss.
#[tokio::test(start_paused = true)]
async fn rows_that_are_left_out_on_purpose_are_no_loss() {
    let mut world = World::new(6).await.unwrap();
    world.policy = Policy {
        min_trade_usd: Some(Decimal::ONE_THOUSAND),
        book_move_percent: Some(Decimal::TEN),
        book_every_ms: Some(60_000),
    };
    let wanted = streams(&["trades/BTC", "candle/BTC/1m", "book/BTC"]);
    let mut left_out = 0;
    for _ in 0..2 {
        let daemon = world.daemon(&wanted).await.unwrap();
        daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(900)).await;
        // Shortly after a minute's end its bar is not final: the next daemon reads it, and has the trades of the store.
        let in_minute = world.clock.now().0.rem_euclid(60_000);
        tokio::time::sleep(Duration::from_millis((62_000 - in_minute).unsigned_abs())).await;
        left_out += daemon.engine.snapshot().pipeline.thinned;
        daemon.stop().await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let silent: Vec<_> =
        report.gaps.iter().filter(|gap| gap.cause == hl_core::ledger::Cause::Silence).collect();
    assert!(silent.is_empty(), "nobody doubts what was left out: {silent:?}");
    assert_eq!(report.minutes_compared, 0, "bars cannot be checked against trades");
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let all = Span::EVER;
    let Records::Trades(trades) = inspect.rows(wanted[0], all).await.unwrap() else { panic!("trades") };
    let Records::Books(books) = inspect.rows(wanted[2], all).await.unwrap() else { panic!("books") };
    assert!(trades.iter().all(|trade| trade.px * trade.sz >= Decimal::ONE_THOUSAND));
    assert!(trades.len() > 50 && left_out > 50, "{} stored, {left_out} left out", trades.len());
    assert!((25..=40).contains(&books.len()), "one a minute: {}", books.len());
}

/// Rows as text by key, those of a list over those before: of a bar the last version that was told is the one that is stored.
fn by_key(into: &mut BTreeMap<RowKey, String>, records: &Records) {
    for_records!(records, rows => rows.iter().for_each(|row| {
        into.insert(row.row_key(), format!("{row:?}"));
    }));
}

/// Pieces, joined where they touch.
fn joined(pieces: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut pieces: Vec<_> = pieces.collect();
    pieces.sort_unstable();
    Span::joined(pieces)
}

/// What a reader of the events hears while the exchange and the store do harm is what the store has in the end: every row
/// exactly as it is stored, and every gap. One that does not read hears how much it missed.
#[tokio::test(start_paused = true)]
async fn what_is_told_is_what_is_stored() {
    const WAITING: usize = 50;
    for trouble in [Trouble::Fails, Trouble::LosesAnswers] {
        let world = World::new(11).await.unwrap();
        let wanted = streams(&[
            "trades/BTC",
            "trades/ETH",
            "candle/BTC/1m",
            "bbo/BTC",
            "book/ETH",
            "mids",
            "context/BTC",
        ]);
        let daemon = world.daemon(&wanted).await.unwrap();
        let mut heard = daemon.engine.events(Filter::all().waiting(usize::MAX));
        let mut slow = daemon.engine.events(Filter::all().waiting(WAITING));
        let minutes = |n: u64| tokio::time::sleep(Duration::from_secs(60 * n));
        daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
        world.sim.inject(Fault::lasting(FaultKind::Mute { stream: Some(wanted[0]) }, 30_000));
        minutes(3).await;
        world.troubles.strike(trouble, 40_000);
        world.sim.inject(Fault::lasting(FaultKind::Refuse, 90_000));
        world.sim.inject(Fault::new(FaultKind::Drop));
        minutes(10).await;
        let handovers = daemon.engine.snapshot().handovers;
        daemon.stop().await.unwrap();

        let mut told = Vec::new();
        while let Some(event) = heard.recv().await {
            told.push(event);
        }
        let moved = told.iter().filter(|event| matches!(event, Event::Handover { .. })).count() as u64;
        assert!(moved >= handovers && handovers > 2 * wanted.len() as u64, "{moved} told of {handovers}");
        let resyncs = told.iter().filter(|event| matches!(event, Event::Resync { .. })).count();
        // Where nothing was written before the answer failed, what is told is exact without being read again.
        let exact = trouble == Trouble::Fails;
        assert!(exact || resyncs > 0, "{resyncs} after {trouble:?}");

        let filled = told.iter().filter(|event| matches!(event, Event::GapFilled { .. })).count();
        let opened = told.iter().filter(|event| matches!(event, Event::GapOpened { .. })).count();
        assert!(opened > 10 && filled > 2, "{opened} gaps opened, {filled} filled");
        let inspect = SqliteStore::inspect(world.store_path()).unwrap();
        for stream in wanted {
            let (mut rows, mut count) = (BTreeMap::new(), 0);
            let (mut opened, mut filled, mut lost) = (Vec::new(), Vec::new(), Vec::new());
            for event in told.iter().filter(|event| event.stream() == Some(stream)) {
                match event {
                    Event::Rows { records, .. } => {
                        count += records.len();
                        by_key(&mut rows, records);
                    }
                    Event::GapOpened { span, .. } => opened.push(*span),
                    Event::GapFilled { span, .. } => filled.push(*span),
                    Event::GapLost { span, .. } => lost.push(*span),
                    Event::Resync { span, .. } if !exact => {
                        by_key(&mut rows, &inspect.rows(stream, *span).await.unwrap());
                    }
                    _ => {}
                }
            }
            let mut stored = BTreeMap::new();
            by_key(&mut stored, &inspect.rows(stream, Span::EVER).await.unwrap());
            if stream.kind() == hl_core::Kind::Candle {
                // Only final bars are given out: the last ones are not.
                let last = stored.keys().next_back().unwrap().time;
                rows.retain(|key, _| key.time <= last);
            }
            assert!(stored == rows, "{stream}: {} rows stored, {} told", stored.len(), rows.len());
            assert!(stored.len() > 10, "{stream}: {}", stored.len());
            if stream.kind() != hl_core::Kind::Candle && exact {
                assert_eq!(count, stored.len(), "{stream}: each row once");
            }
            if exact {
                let gaps = inspect.gaps(Some(stream)).await.unwrap();
                assert_eq!(joined(opened.into_iter()), joined(gaps.iter().map(|gap| gap.span)), "{stream}");
                let of = |state| joined(gaps.iter().filter(|gap| gap.state == state).map(|gap| gap.span));
                assert_eq!(joined(filled.into_iter()), of(GapState::Backfilled), "{stream}");
                let given_up = of(GapState::Unrecoverable);
                assert!(
                    joined(lost.into_iter()).iter().all(|piece| given_up
                        .iter()
                        .any(|gap| gap.contains(piece.from) && gap.contains(piece.to))),
                    "{stream}"
                );
            }
        }

        for event in told.iter().take(WAITING) {
            assert_eq!(slow.recv().await.as_ref(), Some(event));
        }
        assert_eq!(slow.recv().await, Some(Event::Lagged((told.len() - WAITING) as u64)));
        assert_eq!(slow.recv().await, None);
    }
}

/// What is left and joined again was stored up to its end, and the time between is a gap.
#[tokio::test(start_paused = true)]
async fn a_stream_that_was_left_and_joined_again_lacks_what_its_gap_says() {
    let world = World::new(12).await.unwrap();
    let wanted = streams(&["trades/BTC", "candle/BTC/1m", "bbo/BTC", "trades/ETH"]);
    let daemon = world.daemon(&wanted).await.unwrap();
    let all = |snapshot: &hl_engine::Snapshot| {
        snapshot.streams.len() == wanted.len() && owned_by(SourceId::Ws)(snapshot)
    };
    daemon.until("the socket owns everything", all).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let goes = &wanted[..3];
    daemon.engine.leave(goes);
    daemon.until("they are given back", |s| s.streams.len() == 1).await.unwrap();
    let held = daemon.store.lease(goes).await.unwrap();
    assert_eq!(held.granted.len(), goes.len(), "free for others");
    daemon.store.release(goes).await.unwrap();
    let left = world.clock.now();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let back = world.clock.now();
    daemon.engine.join(goes, &Default::default()).unwrap();
    daemon.until("they are back", all).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    daemon.stop().await.unwrap();
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let between = |stream: StreamKey| {
        let is_between = |span: Span| span.from <= left && back <= span.to + 60_000;
        report.gaps.iter().any(|gap| gap.stream == stream && is_between(gap.span))
    };
    assert!(between(wanted[0]) && between(wanted[2]) && !between(wanted[3]), "{:#?}", report.gaps);
}

/// A sink that remembers what it was given, and fails where it is told to.
#[derive(Default)]
struct Remembering {
    rows: Mutex<BTreeMap<StreamKey, BTreeSet<String>>>,
    taken: AtomicU64,
    fails: AtomicBool,
}

impl Sink for Remembering {
    fn name(&self) -> &str {
        "remembering"
    }

    fn wants(&self, stream: StreamKey) -> bool {
        stream.kind() != hl_core::Kind::Bbo
    }

    fn write<'a>(&'a self, batch: &'a SinkBatch) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            if self.fails.load(Ordering::Relaxed) {
                return Err("told to".into());
            }
            let mut rows = self.rows.lock().unwrap();
            rows.entry(batch.stream).or_default().extend(in_words(&batch.rows));
            self.taken.fetch_add(batch.rows.len() as u64, Ordering::Relaxed);
            Ok(())
        })
    }
}

fn in_words(rows: &hl_core::archive::StoredRows) -> Vec<String> {
    let provenance = &rows.provenance;
    for_records!(&rows.records, records => {
        records.iter().zip(provenance).map(|(row, from)| format!("{row:?} {from:?}")).collect()
    })
}

/// A sink that fails for a while, and over a restart, has every row in the end, and those that fill gaps as well; nothing
/// waits for it.
#[tokio::test(start_paused = true)]
async fn a_sink_gets_every_row_however_long_it_fails() {
    let mut world = World::new(13).await.unwrap();
    let sink = Arc::new(Remembering::default());
    world.sinks.push(sink.clone());
    let wanted = streams(&["trades/BTC", "trades/ETH", "candle/BTC/1m", "bbo/BTC", "book/ETH", "mids"]);
    let minutes = |n: u64| tokio::time::sleep(Duration::from_secs(60 * n));
    let harm = |world: &World| {
        world.sim.inject(Fault::lasting(FaultKind::Refuse, 50_000));
        world.sim.inject(Fault::new(FaultKind::Drop));
    };
    let daemon = world.daemon(&wanted).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    minutes(3).await;
    harm(&world);
    sink.fails.store(true, Ordering::Relaxed);
    minutes(4).await;
    let snapshot = daemon.engine.snapshot();
    let view = &snapshot.sinks[0];
    assert!(view.failures > 3 && view.failing.is_some() && view.behind_ms > Some(180_000), "{view:?}");
    sink.fails.store(false, Ordering::Relaxed);
    let up = |s: &hl_engine::Snapshot| s.sinks[0].failing.is_none() && s.sinks[0].behind_ms < Some(70_000);
    daemon.until("the sink has caught up", up).await.unwrap();
    harm(&world);
    minutes(1).await;
    sink.fails.store(true, Ordering::Relaxed);
    minutes(3).await;
    daemon.stop().await.unwrap();
    let before = sink.taken.load(Ordering::Relaxed);
    minutes(10).await;

    let daemon = world.daemon(&wanted).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    minutes(2).await;
    assert_eq!(sink.taken.load(Ordering::Relaxed), before);
    sink.fails.store(false, Ordering::Relaxed);
    minutes(5).await;
    let view = daemon.engine.snapshot().sinks[0].clone();
    daemon.stop().await.unwrap();
    assert!(view.late > 0 && view.missed == 0, "bars of the past fill gaps: {view:?}");

    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let got = std::mem::take(&mut *sink.rows.lock().unwrap());
    let mut all = 0;
    for stream in wanted {
        let stored = inspect.stored_rows(stream, Span::EVER).await.unwrap();
        if !sink.wants(stream) {
            assert!(!got.contains_key(&stream) && !stored.is_empty());
            continue;
        }
        let stored: BTreeSet<_> = in_words(&stored).into_iter().collect();
        assert!(got[&stream] == stored, "{stream}: {} of {} rows", got[&stream].len(), stored.len());
        all += stored.len() as u64;
    }
    let taken = sink.taken.load(Ordering::Relaxed);
    assert!(all > 1_000 && taken < all * 2, "{all} rows, {taken} handed over");
}

/// A gap may open and be filled below where a sink has come to while its process is down, by another one or shortly before the
/// crash: its rows reach the sink all the same.
#[tokio::test(start_paused = true)]
async fn a_sink_gets_what_was_filled_while_its_process_was_down() {
    let mut world = World::new(15).await.unwrap();
    let sink = Arc::new(Remembering::default());
    world.sinks.push(sink.clone());
    let trades: StreamKey = "trades/BTC".parse().unwrap();
    let daemon = world.daemon(&[trades]).await.unwrap();
    let has_some = |s: &Snapshot| s.sinks[0].rows > 100 && s.sinks[0].behind_ms == Some(0);
    daemon.until("the sink has come along", has_some).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    daemon.crash().await;

    let store = world.open("another").await.unwrap();
    let start = store.lease(&[trades]).await.unwrap().granted.remove(0);
    let to = start.edge.unwrap() - 30_000;
    let span = Span::new(to - 10_000, to);
    let Records::Trades(stored) = store.rows_in(trades, span, None, 1_000).await.unwrap().records else {
        panic!("trades are trades")
    };
    let found = hl_core::record::Trade { tid: u64::MAX >> 1, time: to - 5_000, ..stored[0] };
    let epoch = Epoch { token: store.token(), local: 1 };
    let records = Records::Trades(vec![found]);
    let changes = [
        Change::Doubted { span, cause: Cause::Silence },
        Change::Filled { epoch, origin: Origin::Backfill, span, records },
    ];
    let changes = changes.into_iter().map(|change| (trades, change)).collect();
    let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    assert_eq!(ack.inserted, 1);
    store.close().await.unwrap();

    let daemon = world.daemon(&[trades]).await.unwrap();
    daemon.until("it goes on", has_some).await.unwrap();
    daemon.stop().await.unwrap();
    let inspect = SqliteStore::inspect(world.store_path()).unwrap();
    let stored = inspect.stored_rows(trades, Span::EVER).await.unwrap();
    let stored: BTreeSet<_> = in_words(&stored).into_iter().collect();
    let got = sink.rows.lock().unwrap()[&trades].clone();
    assert_eq!(stored.difference(&got).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// What the archive takes before a sink did is counted: it is in the archive, and does not reach the sink.
#[tokio::test(start_paused = true)]
async fn what_the_archive_took_before_the_sink_is_counted() {
    let mut world = World::new(14).await.unwrap();
    let sink = Arc::new(Remembering::default());
    sink.fails.store(true, Ordering::Relaxed);
    world.sinks.push(sink.clone());
    let trades: StreamKey = "trades/BTC".parse().unwrap();
    let store = world.open("before").await.unwrap();
    store.lease(&[trades]).await.unwrap();
    let epoch = Epoch { token: store.token(), local: 1 };
    let time = world.clock.now() - 3 * hl_core::time::DAY_MS;
    let trade =
        world.sim.truth_trades(crate::support::coin("BTC"), TimeMs::MIN, TimeMs::MAX).into_iter().next();
    let rows = (0..5).map(|n| hl_core::record::Trade { time: time + n, ..trade.unwrap() }).collect();
    let records = Records::Trades(rows);
    let (origin, span) = (Origin::Import, Span::new(time, time + 10));
    let changes = [
        Change::Rows { epoch, origin, records },
        Change::Covered { epoch, origin, span },
        Change::Edge(span.to),
    ];
    let changes = changes.into_iter().map(|change| (trades, change)).collect();
    store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    store.close().await.unwrap();

    let daemon = world.daemon(&[trades]).await.unwrap();
    // A day is over for the archive once the stream has gone on beyond it.
    let fails = |s: &hl_engine::Snapshot| s.sinks[0].failures > 1 && s.pipeline.inserted > 0;
    daemon.until("the sink does not take them", fails).await.unwrap();
    let day = Day::of(time);
    let claim = (trades, day, Epoch { token: daemon.store.token(), local: u32::MAX });
    assert_eq!(daemon.store.claim_day(trades, day, claim.2).await.unwrap(), Claimed::Yes);
    let rows = Arc::new(daemon.store.rows_in(trades, day.span(), None, 100).await.unwrap());
    assert_eq!(rows.len(), 5);
    let part = ArchivePart {
        stream: trades,
        day,
        path: Some("part.parquet".to_owned()),
        rows: 5,
        first: time,
        last: time + 4,
        bytes: 1,
        checksum: String::new(),
        epoch: claim.2,
        written_at: world.clock.now(),
    };
    daemon.store.commit_part(claim, Some(part), rows).await.unwrap();
    sink.fails.store(false, Ordering::Relaxed);
    let took = |s: &hl_engine::Snapshot| s.sinks[0].failing.is_none() && s.sinks[0].rows > 10;
    let view = daemon.until("the sink takes the others", took).await.unwrap().sinks.remove(0);
    assert_eq!(view.missed, 5, "{view:?}");
    daemon.stop().await.unwrap();
    // The count is kept with the position.
    let daemon = world.daemon(&[trades]).await.unwrap();
    let again = |s: &hl_engine::Snapshot| s.sinks[0].behind_ms.is_some();
    let view = daemon.until("it goes on", again).await.unwrap().sinks.remove(0);
    assert_eq!(view.missed, 5, "{view:?}");
    daemon.stop().await.unwrap();
}

/// What a daemon collects that follows the markets of these parts.
const FOLLOWED: [Kind; 5] = [Kind::Trades, Kind::Candle, Kind::Bbo, Kind::Book, Kind::Context];

fn every(parts: &[Part]) -> Wish {
    Wish { every: parts.iter().cloned().collect(), named: Vec::new() }
}

/// The streams of a coin that are followed, as the store has them.
async fn stored(world: &World, of: &str) -> Vec<StreamRow> {
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let rows = store.streams().await.unwrap();
    rows.into_iter().filter(|row| row.stream.coin() == Some(coin(of))).collect()
}

async fn gaps_of(world: &World, of: &str) -> Vec<GapRow> {
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let gaps = store.gaps(None).await.unwrap();
    let is_of = |gap: &GapRow| gap.stream.coin() == Some(coin(of)) && gap.is_missing();
    gaps.into_iter().filter(|gap| is_of(gap) && gap.cause != Cause::FirstStart).collect()
}

fn has(snapshot: &Snapshot, of: &str) -> bool {
    snapshot.streams.keys().any(|stream| stream.coin() == Some(coin(of)))
}

#[tokio::test(start_paused = true)]
async fn markets_come_and_go_while_it_collects() {
    let world = World::new(5).await.unwrap();
    world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin("xyz:TSLA") }, 300_000));
    let parts = [Part::EveryDex, Part::Spot, Part::Outcomes];
    let daemon = world.daemon_of(every(&parts), &FOLLOWED).await.unwrap();
    let first = daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    for (of, is_listed) in
        [("BTC", true), ("xyz:NVDA", true), ("@107", true), ("#12091", true), ("xyz:TSLA", false)]
    {
        assert_eq!(has(&first, of), is_listed, "{of}");
    }
    let tsla = owner("trades/xyz:TSLA");
    daemon.until("what is listed joins", |s| tsla(s) == Some(SourceId::Ws)).await.unwrap();

    let mut told = daemon.engine.events(Filter::all().sorts([EventSort::Ends]));
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("ETH") }));
    world.sim.inject(Fault::new(FaultKind::Settle { outcome: 1_209, hundredths: 100 }));
    let gone = ["ETH", "#12090", "#12091"];
    let since = world.sim.now();
    let last = daemon.until("what is gone ends", |s| !gone.iter().any(|of| has(s, of))).await.unwrap();
    // What is gone is subscribed on no socket any more: a new one lives.
    let opened = world.sim.status().counters.sockets_opened;
    world.sim.inject(Fault::new(FaultKind::Drop));
    daemon.until("the sockets are gone", |s| s.sockets.iter().all(|socket| !socket.up)).await.unwrap();
    daemon.until("the socket owns everything again", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let reopened = world.sim.status().counters.sockets_opened - opened;
    assert_eq!(reopened, first.sockets.len() as u64, "each once");
    assert_eq!(world.sim.status().counters.fatal_subscriptions, 0);
    let alerts = daemon.engine.health().borrow().health.alerts.clone();
    assert!(alerts.is_empty(), "{alerts:#?}");
    let now = daemon.engine.snapshot().at;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    let mut ends = BTreeMap::new();
    while let Some(event) = told.recv().await {
        let Event::Ended { stream, at } = event else { panic!("{event:?}") };
        assert_eq!(ends.insert(stream, at), None, "each once");
    }
    assert_eq!(ends.len(), gone.len() * FOLLOWED.len());
    for of in gone {
        let rows = stored(&world, of).await;
        assert_eq!(rows.len(), FOLLOWED.len(), "{of}");
        for row in rows {
            // What is pushed by a clock ends with its last record.
            let from = if row.stream.spec().steady { since - 10_000 } else { since };
            let ended = row.ended.unwrap_or_else(|| panic!("{} goes on", row.stream));
            assert_eq!(ends.get(&row.stream), Some(&ended));
            assert!(from <= ended && ended <= last.at && row.edge <= Some(ended), "{row:#?}");
        }
        assert!(gaps_of(&world, of).await.is_empty(), "{:#?}", gaps_of(&world, of).await);
    }
    assert!(stored(&world, "BTC").await.iter().all(|row| row.ended.is_none()));

    // They are not taken up again.
    let daemon = world.daemon_of(every(&parts), &FOLLOWED).await.unwrap();
    let again = daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    assert!(!gone.iter().any(|of| has(&again, of)) && has(&again, "xyz:TSLA"));
    tokio::time::sleep(Duration::from_secs(120)).await;
    daemon.stop().await.unwrap();
    assert!(stored(&world, "ETH").await.iter().all(|row| row.ended.is_some_and(|ended| ended < now)));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_a_market_ends_is_stored() {
    let world = World::new(5).await.unwrap();
    // What bears no time is stamped when it comes, however late.
    let timed = FOLLOWED.into_iter().filter(|kind| kind.spec().timed).collect::<Vec<_>>();
    let daemon = world.daemon_of(every(&[Part::Perpetuals]), &timed).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    world.sim.inject(Fault::lasting(FaultKind::Late { by_ms: 8_000 }, 150_000));
    let gone = ["ETH", "SOL", "HYPE"];
    for of in gone {
        tokio::time::sleep(Duration::from_secs(9)).await;
        world.sim.inject(Fault::new(FaultKind::Delist { coin: coin(of) }));
    }
    daemon.until("they end", |s| !gone.iter().any(|of| has(s, of))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    for of in gone {
        assert!(stored(&world, of).await.iter().all(|row| row.ended.is_some()), "{of}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_it_was_down_has_a_gap_up_to_its_end() {
    let world = World::new(5).await.unwrap();
    let wish = every(&[Part::Perpetuals]);
    let daemon = world.daemon_of(wish.clone(), &FOLLOWED).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    daemon.stop().await.unwrap();
    let down = world.clock.now();
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("ETH") }));
    tokio::time::sleep(Duration::from_secs(400)).await;
    let up = world.clock.now();
    let daemon = world.daemon_of(wish, &FOLLOWED).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    let rows = stored(&world, "ETH").await;
    assert!(rows.iter().all(|row| row.ended.is_some_and(|ended| up <= ended)), "{rows:#?}");
    let gaps = gaps_of(&world, "ETH").await;
    for row in rows {
        // Of bars the exchange still had those of before it was delisted.
        let from = if row.stream.kind() == Kind::Candle { down + 240_000 } else { down };
        let of =
            |gap: &&GapRow| gap.stream == row.stream && gap.span.from <= from && gap.span.to > up - 60_000;
        let gap = gaps.iter().find(of).unwrap_or_else(|| panic!("{}: {gaps:#?}", row.stream));
        assert_eq!(gap.cause, Cause::DaemonDown);
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_is_looked_for_until_the_store_answers() {
    let world = World::new(5).await.unwrap();
    let wish = every(&[Part::Perpetuals, Part::Outcomes]);
    let daemon = world.daemon_of(wish.clone(), &[Kind::Trades]).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    daemon.stop().await.unwrap();
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("ETH") }));
    // All lists are read only while the store is away.
    let unread =
        AnswerFault { request: Some("outcomeMeta".into()), status: Some(500), ..AnswerFault::default() };
    world.sim.inject(Fault::lasting(FaultKind::Answer(unread), 120_000));
    let daemon = world.daemon_of(wish, &[Kind::Trades]).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    world.troubles.strike(Trouble::Fails, 600_000);
    tokio::time::sleep(Duration::from_secs(1_800)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    let rows = stored(&world, "ETH").await;
    assert!(matches!(rows[..], [StreamRow { ended: Some(_), .. }]), "{rows:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_market_that_was_gone_and_comes_back_goes_on_with_a_gap() {
    let world = World::new(5).await.unwrap();
    let daemon = world.daemon_of(every(&[Part::Perpetuals]), &FOLLOWED).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    // Answers that lack it for five minutes end nothing; what is gone for longer ends.
    let short =
        AnswerFault { request: Some("meta".into()), without: Some("SOL".into()), ..AnswerFault::default() };
    world.sim.inject(Fault::lasting(FaultKind::Answer(short), 900_000));
    world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin("DOGE") }, 300_000));
    world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin("ETH") }, 1_500_000));
    daemon.until("what is gone for long ends", |s| !has(s, "ETH")).await.unwrap();
    let eth = owner("trades/ETH");
    let back = daemon.until("what comes back joins", |s| eth(s) == Some(SourceId::Ws)).await.unwrap();
    for of in ["SOL", "DOGE"] {
        assert!(has(&back, of), "{of}");
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    assert!(stored(&world, "ETH").await.iter().all(|row| row.ended.is_none()), "it goes on");
    let gaps = gaps_of(&world, "ETH").await;
    let trades: Vec<_> = gaps.iter().filter(|gap| gap.stream.kind() == Kind::Trades).collect();
    assert!(matches!(trades[..], [gap] if gap.cause == Cause::NotListed), "{trades:#?}");
}

/// Mids and markets are of every coin: the end of one neither ends them nor waits until they are silent.
#[tokio::test(start_paused = true)]
async fn what_markets_share_goes_on_when_one_of_them_ends() {
    let world = World::new(5).await.unwrap();
    let kinds = [Kind::Trades, Kind::Mids, Kind::Markets];
    let daemon = world.daemon_of(every(&[Part::Perpetuals]), &kinds).await.unwrap();
    let mids = owner("mids");
    daemon.until("the socket brings mids", |s| mids(s) == Some(SourceId::Ws)).await.unwrap();
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("ETH") }));
    world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin("SOL") }, 3_600_000));
    daemon.until("both end", |s| !has(s, "ETH") && !has(s, "SOL")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let last = daemon.engine.snapshot();
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    assert_eq!((mids(&last), owner("markets")(&last)), (Some(SourceId::Ws), Some(SourceId::Rest)));
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    for row in store.streams().await.unwrap().iter().filter(|row| row.stream.coin().is_none()) {
        assert_eq!(row.ended, None, "{}", row.stream);
    }
}

/// Mids by the way they go, with the truth beside them: those of each dex are a stream of their own.
#[tokio::test(start_paused = true)]
async fn mids_of_each_dex_are_a_stream_of_their_own() {
    let world = World::new(7).await.unwrap();
    let daemon = world.daemon_of(every(&[Part::EveryDex]), &[Kind::Bbo, Kind::Mids]).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let xyz: StreamKey = "mids/xyz".parse().unwrap();
    // One of them is silent alone.
    world.sim.inject(Fault::lasting(FaultKind::Mute { stream: Some(xyz) }, 120_000));
    daemon.until("REST takes it", |s| owner("mids/xyz")(s) == Some(SourceId::Rest)).await.unwrap();
    assert_eq!(owner("mids")(&daemon.engine.snapshot()), Some(SourceId::Ws));
    daemon.until("the socket owns everything again", owned_by(SourceId::Ws)).await.unwrap();
    world.sim.inject(Fault::lasting(FaultKind::Refuse, 300_000));
    world.sim.inject(Fault::new(FaultKind::Drop));
    let from = daemon.until("REST owns everything", owned_by(SourceId::Rest)).await.unwrap().at;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let over_rest = Span { from, to: daemon.engine.snapshot().at };
    daemon.until("the socket owns everything once more", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let unread = daemon.engine.snapshot().unreadable;
    daemon.stop().await.unwrap();
    assert!(unread.is_empty(), "{unread:?}");
    let report = verified(&world).await;
    assert_clean(&report, &world.store_path());
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    for (stream, coins) in [(StreamKey::MIDS, 5), (xyz, 2)] {
        let compared =
            report.streams.iter().find(|row| row.stream == stream).unwrap().compared.as_ref().unwrap();
        assert!(compared.truth > 20, "{stream}: {compared:?}");
        let Records::Mids(mids) = store.rows(stream, over_rest).await.unwrap() else { panic!("other rows") };
        assert!(mids.len() > 4, "{} rows of {stream} over REST", mids.len());
        let Records::Mids(mids) = store.rows(stream, Span::EVER).await.unwrap() else { panic!("other rows") };
        let of: BTreeSet<_> = mids.iter().map(|mid| mid.coin).collect();
        assert!(of.len() >= coins && of.iter().all(|coin| stream.has(*coin)), "{of:?}");
        let causes: BTreeSet<_> =
            store.gaps(Some(stream)).await.unwrap().iter().map(|gap| gap.cause).collect();
        assert_eq!(causes.contains(&Cause::Silence), stream == xyz, "{stream}: {causes:?}");
    }
}

async fn stream_row(world: &World, stream: &str) -> Option<StreamRow> {
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    store.streams().await.unwrap().into_iter().find(|row| row.stream.to_string() == stream)
}

#[tokio::test(start_paused = true)]
async fn what_a_dex_has_as_a_whole_begins_with_its_first_market_and_ends_with_its_last() {
    let world = World::new(5).await.unwrap();
    let parts = [Part::EveryDex];
    let kinds = [Kind::Trades, Kind::Mids];
    for of in ["xyz:NVDA", "xyz:TSLA"] {
        world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin(of) }, 200_000));
    }
    let daemon = world.daemon_of(every(&parts), &kinds).await.unwrap();
    let first = daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    let xyz: StreamKey = "mids/xyz".parse().unwrap();
    assert!(first.streams.contains_key(&StreamKey::MIDS) && !first.streams.contains_key(&xyz));
    daemon.until("the dex joins", |s| owner("mids/xyz")(s) == Some(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;

    let mut told = daemon.engine.events(Filter::all().sorts([EventSort::Ends]));
    for of in ["ETH", "xyz:NVDA"] {
        world.sim.inject(Fault::new(FaultKind::Delist { coin: coin(of) }));
    }
    let gone = |s: &Snapshot| !has(s, "ETH") && !has(s, "xyz:NVDA");
    let some = daemon.until("two markets end", gone).await.unwrap();
    for stream in [StreamKey::MIDS, xyz] {
        assert_eq!(some.streams[&stream].owner, Some(SourceId::Ws), "{stream} has other markets");
    }
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("xyz:TSLA") }));
    daemon.until("the dex ends", |s| !s.streams.contains_key(&xyz)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let last = daemon.engine.snapshot();
    daemon.stop().await.unwrap();
    assert_eq!(last.streams[&StreamKey::MIDS].owner, Some(SourceId::Ws), "the first dex goes on");
    assert_clean(&verified(&world).await, &world.store_path());
    let mut ended = Vec::new();
    while let Some(Event::Ended { stream, .. }) = told.recv().await {
        ended.push(stream.to_string());
    }
    ended.sort();
    assert_eq!(ended, ["mids/xyz", "trades/ETH", "trades/xyz:NVDA", "trades/xyz:TSLA"], "each once");
    assert!(stream_row(&world, "mids/xyz").await.unwrap().ended.is_some());
    assert_eq!(stream_row(&world, "mids").await.unwrap().ended, None);

    let daemon = world.daemon_of(every(&parts), &kinds).await.unwrap();
    let again = daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    assert!(!again.streams.contains_key(&xyz), "it is not taken up again");
    daemon.stop().await.unwrap();
}

/// The mids of a dex have all of its coins, whichever of them were asked for.
#[tokio::test(start_paused = true)]
async fn what_a_dex_has_as_a_whole_ends_with_a_market_that_is_not_collected() {
    let world = World::new(5).await.unwrap();
    let wish = Wish { every: BTreeSet::new(), named: vec![coin("xyz:NVDA")] };
    let daemon = world.daemon_of(wish, &[Kind::Trades, Kind::Mids]).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("xyz:NVDA") }));
    // Where nothing is missing the lists are read once an hour.
    tokio::time::sleep(Duration::from_secs(4_000)).await;
    let without = daemon.engine.snapshot();
    assert!(!has(&without, "xyz:NVDA"));
    assert_eq!(owner("mids/xyz")(&without), Some(SourceId::Ws));
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("xyz:TSLA") }));
    tokio::time::sleep(Duration::from_secs(4_000)).await;
    assert_eq!(daemon.engine.snapshot().streams.into_keys().collect::<Vec<_>>(), [StreamKey::MIDS]);
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    assert!(stream_row(&world, "mids/xyz").await.unwrap().ended.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dex_that_ended_while_it_was_down_has_a_gap_up_to_its_end() {
    let world = World::new(5).await.unwrap();
    let wish = every(&[Part::EveryDex]);
    let daemon = world.daemon_of(wish.clone(), &[Kind::Mids]).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    daemon.stop().await.unwrap();
    let down = world.clock.now();
    for of in ["xyz:NVDA", "xyz:TSLA"] {
        world.sim.inject(Fault::new(FaultKind::Delist { coin: coin(of) }));
    }
    tokio::time::sleep(Duration::from_secs(400)).await;
    let up = world.clock.now();
    let daemon = world.daemon_of(wish, &[Kind::Mids]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    let row = stream_row(&world, "mids/xyz").await.unwrap();
    assert!(row.ended.is_some_and(|ended| up <= ended), "{row:#?}");
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let gaps = store.gaps(Some(row.stream)).await.unwrap();
    let gap = gaps.last().unwrap();
    assert!(gap.cause == Cause::DaemonDown && gap.span.from <= down && up <= gap.span.to, "{gaps:#?}");
    assert_eq!(stream_row(&world, "mids").await.unwrap().ended, None);
}

#[tokio::test(start_paused = true)]
async fn a_dex_that_the_exchange_has_no_longer_ends_as_its_markets_do() {
    let world = World::new(5).await.unwrap();
    let wish = every(&[Part::Dex("xyz".to_owned())]);
    let daemon = world.daemon_of(wish, &[Kind::Trades, Kind::Mids]).await.unwrap();
    daemon.until("the socket owns everything", owned_by(SourceId::Ws)).await.unwrap();
    let answer = |request: &str| AnswerFault { request: Some(request.into()), ..AnswerFault::default() };
    let refused = AnswerFault { dex: Some("xyz".into()), status: Some(500), ..answer("meta") };
    let without = AnswerFault { without: Some("xyz".into()), ..answer("perpDexs") };
    for of in ["xyz:NVDA", "xyz:TSLA"] {
        world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin(of) }, 1_800_000));
    }
    for fault in [refused, without] {
        world.sim.inject(Fault::lasting(FaultKind::Answer(fault), 1_800_000));
    }
    let xyz: StreamKey = "mids/xyz".parse().unwrap();
    let left = |s: &Snapshot| s.streams.keys().copied().collect::<Vec<_>>();
    daemon.until("it ends as a whole", |s| left(s) == [StreamKey::MIDS]).await.unwrap();
    daemon.until("it is back", |s| owner("mids/xyz")(s) == Some(SourceId::Ws)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());
    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let gaps = store.gaps(Some(xyz)).await.unwrap();
    let gaps: Vec<_> = gaps.iter().filter(|gap| gap.cause == Cause::NotListed).collect();
    assert!(matches!(gaps[..], [_]), "{gaps:#?}");
}

/// What a market was called and how it stood, one after another, with what its coin was paid.
fn course<'a>(rows: impl IntoIterator<Item = &'a MarketState>) -> BTreeMap<&'a str, Vec<MarketState>> {
    let mut courses: BTreeMap<&str, Vec<MarketState>> = BTreeMap::new();
    for row in rows {
        let state = MarketState { time: TimeMs(0), arrival: Arrival::ALONE, ..row.clone() };
        courses.entry(row.coin.as_str()).or_default().push(state);
    }
    courses
}

#[tokio::test(start_paused = true)]
async fn what_the_exchange_says_of_markets_is_stored_as_it_changes() {
    use MarketStatus::{Delisted, Gone, Listed, Settled};
    let world = World::new(5).await.unwrap();
    let everything = streams(&["markets"]);
    let markets: StreamKey = "markets".parse().unwrap();
    let polled = |snapshot: &Snapshot| snapshot.streams.get(&markets).is_some_and(|m| m.tally.admitted > 0);
    let daemon = world.daemon(&everything).await.unwrap();
    daemon.until("the first poll", polled).await.unwrap();
    // Away for an hour and ten minutes, for good, and in one answer only.
    world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin("xyz:TSLA") }, 70 * 60_000));
    world.sim.inject(Fault::new(FaultKind::Delist { coin: coin("ETH") }));
    let short = AnswerFault {
        request: Some("spotMeta".into()),
        without: Some("@107".into()),
        ..AnswerFault::default()
    };
    world.sim.inject(Fault::lasting(FaultKind::Answer(short), 3_600_000 + 20_000));
    tokio::time::sleep(Duration::from_secs(65 * 60)).await;
    daemon.stop().await.unwrap();
    // While nothing runs.
    world.sim.inject(Fault::new(FaultKind::Settle { outcome: 1_209, hundredths: 42 }));
    world.sim.inject(Fault::lasting(FaultKind::Unlist { coin: coin("SOL") }, 3_600_000));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let daemon = world.daemon(&everything).await.unwrap();
    daemon.until("the poll after the restart", polled).await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    daemon.stop().await.unwrap();
    assert_clean(&verified(&world).await, &world.store_path());

    let store = SqliteStore::inspect(world.store_path()).unwrap();
    let ever = Span::EVER;
    let Records::Markets(rows) = store.rows(markets, ever).await.unwrap() else { panic!("other rows") };
    let truth = world.sim.truth_markets(TimeMs::MIN, TimeMs::MAX);
    assert_eq!(course(&rows), course(&truth), "each change once, as it was");
    let stood = |of: &str| course(&rows)[of].iter().map(|row| row.status).collect::<Vec<_>>();
    assert_eq!(stood("xyz:TSLA"), [Listed, Gone, Listed]);
    assert_eq!((stood("ETH"), stood("SOL")), (vec![Listed, Delisted], vec![Listed, Gone]));
    assert_eq!(
        (stood("@107"), stood("BTC")),
        (vec![Listed], vec![Listed]),
        "one short answer, and a restart"
    );
    assert_eq!(stood("#12091"), [Listed, Settled]);
    let paid = |of: &str| course(&rows)[of].last().and_then(|row| row.settle_fraction);
    let paid = [paid("#12090"), paid("#12091")].map(|paid| paid.unwrap().to_string());
    assert_eq!(paid, ["0.42", "0.58"]);
}

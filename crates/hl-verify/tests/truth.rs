//! A store against the truth of a simulated exchange, over HTTP: what was collected faithfully is clean, and every
//! planted defect is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use hl_archive::{Archiver, Due, Files, Rule, Whole};
use hl_core::archive::Day;
use hl_core::ledger::{Batch, Change, Span};
use hl_core::seam::Net as _;
use hl_core::store::prelude::*;
use hl_core::stream::BookVariant;
use hl_core::time::DAY_MS;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_runtime::{MemoryNet, TokioClock};
use hl_sim::{Sim, SimConfig};
use hl_store::{SqliteOptions, SqliteStore, Writer};
use hl_verify::{Compared, HttpTruth, Report, verify};

const START: TimeMs = TimeMs(1_790_000_000_000);

struct World {
    net: MemoryNet,
    sim: Sim,
    coin: Coin,
    begin: TimeMs,
    stop: TimeMs,
    folder: tempfile::TempDir,
}

impl World {
    /// An exchange that has been open for some minutes.
    async fn new() -> Self {
        Self::since(START).await
    }

    async fn since(start: TimeMs) -> Self {
        let net = MemoryNet::new();
        let config = SimConfig { seed: 11, coins: 2, traders: 50, start, ..SimConfig::default() };
        let sim = Sim::start(config, net.listen("exchange:80").await.unwrap()).unwrap();
        tokio::time::sleep(Duration::from_secs(200)).await;
        let (begin, stop) = (start + 5_000, sim.now() - 5_000);
        Self { net, sim, coin: Coin::new("BTC").unwrap(), begin, stop, folder: tempfile::tempdir().unwrap() }
    }

    /// What a faithful collector would have stored.
    fn collected(&self) -> Vec<(StreamKey, Records)> {
        let (coin, from, to) = (self.coin, self.begin, self.stop);
        let inside = |mut records: Records| {
            records.retain_time(|time| from <= time && time <= to);
            records
        };
        let fast = self.sim.truth_books(coin, from, to).into_iter().map(|mut book| {
            book.variant = BookVariant::Fast;
            book.bids = book.bids.iter().take(5).copied().collect();
            book.asks = book.asks.iter().take(5).copied().collect();
            book
        });
        let mut mids = self.sim.truth_mids(coin, from, to);
        // Frames bear no time: they are stamped on receipt, a little late.
        mids.iter_mut().for_each(|mid| mid.time = mid.time + 40);
        vec![
            (StreamKey::Trades(coin), Records::Trades(self.sim.truth_trades(coin, from, to))),
            (
                StreamKey::Book(coin, BookVariant::Default),
                Records::Books(self.sim.truth_books(coin, from, to)),
            ),
            (StreamKey::Book(coin, BookVariant::Fast), Records::Books(fast.collect())),
            (StreamKey::Bbo(coin), inside(Records::Bbos(self.sim.truth_bbos(coin, from, to)))),
            (StreamKey::Context(coin), inside(Records::Contexts(self.sim.truth_contexts(coin, from, to)))),
            (StreamKey::MIDS, inside(Records::Mids(mids))),
            (
                StreamKey::Candle(coin, Interval::M1),
                Records::Candles(self.sim.truth_candles(coin, Interval::M1, from, to)),
            ),
        ]
    }

    async fn report(&self, name: &str, collected: Vec<(StreamKey, Records)>) -> Report {
        self.report_of(name, collected, None).await
    }

    /// The report where the rows of one day were moved to the archive before.
    async fn report_of(
        &self,
        name: &str,
        collected: Vec<(StreamKey, Records)>,
        archived: Option<Day>,
    ) -> Report {
        let path = self.folder.path().join(name);
        let store = SqliteStore::open(SqliteOptions {
            path: path.clone(),
            role: "test".to_owned(),
            host: "here".to_owned(),
            pid: 1,
            writer: Writer::Inline { delay_ms: 0 },
            clock: Arc::new(TokioClock::starting_at(START)),
        })
        .await
        .unwrap();
        let streams: Vec<_> = collected.iter().map(|(stream, _)| *stream).collect();
        assert_eq!(store.lease(&streams).await.unwrap().granted.len(), streams.len());
        let token = store.token();
        let epoch = Epoch { token, local: 1 };
        let mut changes = Vec::new();
        for (stream, records) in collected {
            let (from, to) = match stream {
                StreamKey::Candle(..) => (self.begin.floor(60_000) + 60_000, self.stop.floor(60_000)),
                _ => (self.begin, self.stop),
            };
            let span = Span::new(from, to);
            changes.push((stream, Change::Rows { epoch, origin: Origin::Ws, records }));
            if matches!(stream, StreamKey::Candle(..)) {
                changes.push((stream, Change::Final { span }));
            }
            changes.push((stream, Change::Covered { epoch, origin: Origin::Ws, span }));
            changes.push((stream, Change::Edge(to)));
        }
        let ack = store.commit(Arc::new(Batch { token, changes })).await.unwrap();
        assert_eq!((ack.refused, ack.existing), (0, 0), "the test stores what it means to");
        let root = self.folder.path().join("archive");
        if let Some(day) = archived {
            let (files, writer) = (Files::new(&root), Writer::Inline { delay_ms: 0 });
            let clock = Arc::new(TokioClock::starting_at(START));
            let archiver = Archiver::new(&store, files, writer, clock).await.unwrap();
            for stream in streams {
                let due = Due { stream, day, rows: 0, rule: Rule::Archive { days: 1 } };
                let done = archiver.archive(due, &|_| ()).await.unwrap();
                assert!(done.archived > 0 && done.kept() == 0, "{stream}: {done:?}");
            }
        }
        store.close().await.unwrap();
        let truth = HttpTruth::new(Arc::new(self.net.clone()), self.sim.endpoint());
        let inspect = SqliteStore::inspect(&path).unwrap();
        verify(&Whole::new(Box::new(inspect), root), Some(&truth), None).await.unwrap()
    }
}

fn compared(report: &Report, stream: StreamKey) -> &Compared {
    let found = report.streams.iter().find(|s| s.stream == stream).unwrap();
    found.compared.as_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_collected_faithfully_is_clean() {
    let world = World::new().await;
    let collected = world.collected();
    let sizes: Vec<_> = collected.iter().map(|(stream, records)| (*stream, records.len() as u64)).collect();
    let report = world.report("clean.db", collected).await;
    assert!(report.clean, "{report:#?}");
    for (stream, rows) in sizes {
        assert!(rows > 0, "{stream}: nothing to compare");
        assert_eq!(compared(&report, stream).truth, rows, "{stream}: every stored row was compared");
    }
    world.sim.stop().await;
}

/// The collection runs over midnight, and the day before is in the archive.
#[tokio::test(start_paused = true)]
async fn half_of_it_in_the_archive_is_as_exact() {
    let midnight = START.floor(DAY_MS) + DAY_MS;
    let world = World::since(midnight - 130_000).await;
    let before = Day::of(midnight - 1);
    let collected = world.collected();
    let sizes: Vec<_> = collected.iter().map(|(stream, records)| (*stream, records.len() as u64)).collect();
    let report = world.report_of("half.db", collected.clone(), Some(before)).await;
    assert!(report.clean && report.unread == 0, "{report:#?}");
    for (stream, rows) in sizes {
        assert_eq!(compared(&report, stream).truth, rows, "{stream}: every row was compared");
        let counted = report.streams.iter().find(|row| row.stream == stream).unwrap().rows;
        assert_eq!(counted, rows, "{stream}: both places are counted");
    }
    let hot = world.report("hot.db", collected.clone()).await;
    assert_eq!(report.minutes_compared, hot.minutes_compared);
    assert!(report.minutes_compared > 1, "on both days");

    // A defect is found wherever it lies.
    let mut planted = collected;
    for (_, records) in &mut planted {
        match records {
            Records::Trades(rows) => {
                let _ = rows.remove(20);
                rows[9].sz += Decimal::ONE;
            }
            Records::Candles(rows) => rows[0].trades += 1,
            Records::Books(rows) => rows[0].bids[0].sz += Decimal::ONE,
            _ => {}
        }
    }
    let report = world.report_of("planted.db", planted, Some(before)).await;
    let trades = compared(&report, StreamKey::Trades(world.coin));
    assert_eq!((trades.missing, trades.different), (Some(1), 1));
    for check in ["missing", "different", "candle_trades"] {
        assert!(report.problems.iter().any(|found| found.check == check), "{check}: {report:#?}");
    }
    world.sim.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_planted_defect_is_found_where_it_was_planted() {
    let world = World::new().await;
    let mut collected = world.collected();
    for (_, records) in &mut collected {
        match records {
            Records::Trades(rows) => {
                // Of the second minute that has a bar; the bar of the first is altered below.
                rows.remove(rows.len() * 2 / 3);
                rows[7].tid += 1;
                rows[9].sz += Decimal::ONE;
            }
            Records::Books(rows) => rows[3].bids[0].sz += Decimal::ONE,
            Records::Bbos(rows) => rows[3].ask = None,
            Records::Contexts(rows) => rows[3].open_interest = None,
            Records::Mids(rows) => rows[3].px += Decimal::ONE_HUNDRED,
            Records::Candles(rows) => rows[0].trades += 1,
            Records::Funding(_)
            | Records::PredictedFunding(_)
            | Records::Markets(_)
            | Records::Leaderboard(_)
            | Records::Traders(_)
            | Records::Signals(_)
            | Records::Fills(_)
            | Records::Positions(_)
            | Records::Orders(_)
            | Records::Payments(_)
            | Records::Movements(_) => {}
        }
    }
    let streams: Vec<_> = collected.iter().map(|(stream, _)| *stream).collect();
    let report = world.report("planted.db", collected).await;
    assert!(!report.clean);
    for stream in streams {
        let c = compared(&report, stream);
        let expected =
            if stream == StreamKey::Trades(world.coin) { (Some(2), 1, 1) } else { (c.missing, 0, 1) };
        assert_eq!((c.missing, c.extra, c.different), expected, "{stream}");
        assert!(
            report.problems.iter().any(|p| p.stream == Some(stream) && p.check == "different"),
            "{stream}"
        );
    }
    // No bar agrees with the trades of its minute: nothing says which of the two is wrong.
    assert_eq!((report.minutes_compared, report.minutes_unknown), (0, 2), "{report:#?}");
    world.sim.stop().await;
}

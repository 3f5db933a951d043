//! Any rows of any kind, through store, part and export, come back equal.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroI64;
use std::path::PathBuf;
use std::sync::Arc;

use hl_archive::export::{Format, Numbers, Options, Selection, export};
use hl_archive::{ArchiveError, Archiver, Due, Files, Rule, Whole};
use hl_core::archive::{Day, StoredRows};
use hl_core::completeness::Completeness;
use hl_core::for_records;
use hl_core::ledger::{Batch, Change, Span};
use hl_core::record::{
    Bbo, Book, Candle, Context, Funding, HexBytes, Level, Market, MarketStatus, MarketType, Mid,
    PredictedFunding, Side, Trade,
};
use hl_core::row::Arrival;
use hl_core::seam::Seed;
use hl_core::store::prelude::*;
use hl_core::stream::BookVariant;
use hl_core::symbol::Word;
use hl_core::time::DAY_MS;
use hl_core::{Coin, Decimal, Dex, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_runtime::SystemClock;
use hl_store::{Inspect as _, SqliteOptions, SqliteStore, Writer};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// Whatever the format can hold: at most 12 places, and the digits of a decimal.
fn number() -> impl Strategy<Value = Decimal> {
    let small = (-1_000_000_000_000_i64..1_000_000_000_000, 0_u32..=12).prop_map(|(n, s)| Decimal::new(n, s));
    let large = (any::<i64>(), 0_u32..=12).prop_map(|(n, scale)| Decimal::new(n, scale));
    prop_oneof![4 => small, 1 => large]
}

fn level() -> impl Strategy<Value = Level> {
    (number(), number(), any::<u32>()).prop_map(|(px, sz, n)| Level { px, sz, n })
}

fn side() -> impl Strategy<Value = Box<[Level]>> {
    prop::collection::vec(level(), 0..6).prop_map(Vec::into)
}

fn maybe() -> impl Strategy<Value = Option<Decimal>> {
    prop::option::of(number())
}

fn coin() -> impl Strategy<Value = Coin> {
    prop::sample::select(vec!["BTC", "xyz:NVDA", "@107", "kPEPE", "PURR/USDC", "a\"b,c'%", "#12"])
        .prop_map(|name| Coin::new(name).unwrap())
}

type Made = (StreamKey, Records);

fn times() -> impl Strategy<Value = Vec<TimeMs>> {
    prop::collection::btree_set(0_i64..DAY_MS, 1..40).prop_map(|all| all.into_iter().map(TimeMs).collect())
}

/// Rows of one kind with times of the first day, in key order.
fn made() -> impl Strategy<Value = Made> {
    let numbers = || prop::collection::vec(number(), 40);
    let many = || prop::collection::vec(maybe(), 40);
    let trades = (coin(), times(), numbers(), numbers(), any::<[u8; 20]>(), any::<bool>()).prop_map(
        |(coin, times, px, sz, who, buys)| {
            let trade = |(i, time): (usize, TimeMs)| Trade {
                coin,
                time,
                tid: (i as u64) << 40,
                px: px[i],
                sz: sz[i],
                side: if buys { Side::Buy } else { Side::Sell },
                hash: HexBytes([u8::try_from(i).unwrap(); 32]),
                buyer: HexBytes(who),
                seller: HexBytes([0; 20]),
                arrival: Arrival::default(),
            };
            (StreamKey::Trades(coin), Records::Trades(times.into_iter().enumerate().map(trade).collect()))
        },
    );
    let books = (coin(), times(), prop::collection::vec((side(), side()), 40), any::<bool>()).prop_map(
        |(coin, times, sides, is_fast)| {
            let variant = if is_fast { BookVariant::Fast } else { BookVariant::Default };
            let book =
                |(time, (bids, asks))| Book { coin, variant, time, bids, asks, arrival: Arrival::default() };
            (StreamKey::Book(coin, variant), Records::Books(times.into_iter().zip(sides).map(book).collect()))
        },
    );
    let bbo =
        (coin(), times(), prop::collection::vec((prop::option::of(level()), prop::option::of(level())), 40))
            .prop_map(|(coin, times, sides)| {
                let bbo = |(time, (bid, ask))| Bbo { coin, time, bid, ask, arrival: Arrival::default() };
                (StreamKey::Bbo(coin), Records::Bbos(times.into_iter().zip(sides).map(bbo).collect()))
            });
    let candles = (coin(), times(), numbers(), numbers(), any::<u32>()).prop_map(
        |(coin, times, px, volume, trades)| {
            let bar = |(i, time): (usize, TimeMs)| Candle {
                coin,
                interval: Interval::Month,
                time,
                open: px[i],
                high: px[39 - i],
                low: px[0],
                close: px[39],
                volume: volume[i],
                trades: trades.into(),
                arrival: Arrival::default(),
            };
            let bars = times.into_iter().enumerate().map(bar).collect();
            (StreamKey::Candle(coin, Interval::Month), Records::Candles(bars))
        },
    );
    let mids = (prop::collection::btree_set((coin(), 0..DAY_MS), 1..40), numbers()).prop_map(|(keys, px)| {
        let mid = |((coin, time), px)| Mid { coin, time: TimeMs(time), px, arrival: Arrival::default() };
        let dex = keys.first().map_or(Dex::First, |(coin, _)| Dex::of(*coin));
        let keys = keys.into_iter().filter(|(coin, _)| dex.has(*coin));
        (StreamKey::Mids(dex), Records::Mids(keys.zip(px).map(mid).collect()))
    });
    let contexts = (coin(), times(), numbers(), many(), many()).prop_map(|(coin, times, px, a, b)| {
        let context = |(i, time): (usize, TimeMs)| Context {
            coin,
            time,
            mark_px: px[i],
            mid_px: a[i],
            oracle_px: b[i],
            prev_day_px: px[39 - i],
            funding: a[39 - i],
            open_interest: b[39 - i],
            premium: a[0],
            day_ntl_vlm: px[0],
            day_base_vlm: px[39],
            impact_bid: b[0],
            impact_ask: a[39],
            arrival: Arrival::default(),
        };
        (StreamKey::Context(coin), Records::Contexts(times.into_iter().enumerate().map(context).collect()))
    });
    let funding = (coin(), times(), numbers(), numbers()).prop_map(|(coin, times, rate, premium)| {
        let settled =
            |((time, rate), premium)| Funding { coin, time, rate, premium, arrival: Arrival::default() };
        let rows = times.into_iter().zip(rate).zip(premium).map(settled).collect();
        (StreamKey::Funding(coin), Records::Funding(rows))
    });
    let next =
        (coin(), times(), numbers(), any::<Option<u32>>()).prop_map(|(coin, times, rate, interval_hours)| {
            let of = |(time, rate): (TimeMs, Decimal)| {
                ["BinPerp", "HlPerp"].map(|venue| PredictedFunding {
                    coin,
                    time,
                    venue: Word::new(venue).unwrap(),
                    rate,
                    next_time: time,
                    interval_hours,
                    arrival: Arrival::default(),
                })
            };
            let rows = times.into_iter().zip(rate).flat_map(of).collect();
            (StreamKey::PredictedFunding(coin), Records::PredictedFunding(rows))
        });
    let texts = prop::collection::vec(any::<Option<Box<str>>>(), 40);
    let markets = (coin(), times(), texts, any::<Option<u32>>()).prop_map(|(coin, times, texts, number)| {
        let state = |(time, text): (TimeMs, Option<Box<str>>)| Market {
            coin,
            time,
            name: text.clone().unwrap_or_default(),
            market_type: MarketType::Outcome,
            dex: None,
            status: MarketStatus::Settled,
            sz_decimals: number,
            max_leverage: None,
            margin_tiers: text.clone(),
            margin_mode: text.clone(),
            quote: text.clone(),
            settle_fraction: number.map(Decimal::from),
            description: text,
            arrival: Arrival::default(),
        };
        (StreamKey::Markets, Records::Markets(times.into_iter().zip(texts).map(state).collect()))
    });
    let any_kind = prop_oneof![trades, books, bbo, candles, mids, contexts, funding, next, markets];
    (any_kind, prop::collection::vec(any::<(Option<i64>, Option<u32>)>(), 80)).prop_map(
        |((stream, mut records), came)| {
            for_records!(&mut records, rows => for (row, (received, seq)) in rows.iter_mut().zip(came) {
                row.arrival = Arrival { received: received.and_then(NonZeroI64::new), seq };
            });
            (stream, records)
        },
    )
}

/// A stream whose rows are stored below its edge, by a live claim.
async fn stored(path: &std::path::Path, (stream, records): Made) -> SqliteStore {
    let store = SqliteStore::open(SqliteOptions {
        writer: Writer::Inline { delay_ms: 0 },
        ..SqliteOptions::of_this_process(path, "test", Arc::new(SystemClock))
    })
    .await
    .unwrap();
    store.lease(&[stream]).await.unwrap();
    let epoch = Epoch { token: store.token(), local: 1 };
    let span = Span { from: TimeMs(0), to: TimeMs(3 * DAY_MS) };
    let mut changes = vec![Change::Rows { epoch, origin: Origin::Ws, records }];
    if matches!(stream, StreamKey::Candle(..)) {
        changes.push(Change::Final { span });
    }
    changes.extend([Change::Covered { epoch, origin: Origin::Ws, span }, Change::Edge(span.to)]);
    let changes = changes.into_iter().map(|change| (stream, change)).collect();
    let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    assert_eq!(ack.refused, 0);
    store
}

fn run(made: Made, most: usize) {
    let stream = made.0;
    let work = async {
        let folder = tempfile::tempdir().unwrap();
        let (path, root) = (folder.path().join("hl.db"), folder.path().join("archive"));
        let store = stored(&path, made).await;
        let whole = Whole::new(Box::new(SqliteStore::inspect(&path).unwrap()), &root);
        let before = whole.stored_rows(stream, Span::EVER).await.unwrap();
        let known = Completeness::of(Span::EVER, [], []);
        let selection = Selection { stream, source: stream, span: Span::EVER, known };
        let text = async |format, numbers| {
            let options = Options { format, numbers, complete_only: false };
            let out = export(&whole, std::slice::from_ref(&selection), options, Vec::new(), &|_, _| ())
                .await
                .unwrap();
            assert_eq!(out.0.rows, before.len() as u64);
            out.1
        };
        let all = async || {
            let mut all = Vec::new();
            for format in [Format::Csv, Format::Ndjson, Format::Parquet] {
                all.extend([text(format, Numbers::Exact).await, text(format, Numbers::Float).await]);
            }
            all
        };
        let hot = all().await;

        let writer = Writer::Inline { delay_ms: 0 };
        let archiver = Archiver::new(&store, Files::new(&root), writer, Arc::new(SystemClock)).await.unwrap();
        let archiver = archiver.with_rows_a_part(most);
        let due = Due { stream, day: Day::of(TimeMs(0)), rows: 0, rule: Rule::Archive { days: 1 } };
        let done = archiver.archive(due, &|_| ()).await.unwrap();
        assert_eq!((done.archived, done.kept()), (before.len() as u64, 0));
        let left = SqliteStore::inspect(&path).unwrap().rows(stream, Span::EVER).await.unwrap();
        assert!(left.is_empty());
        assert_eq!(whole.stored_rows(stream, Span::EVER).await.unwrap(), before);
        for row in before.records.keys().iter().step_by(7) {
            let only = Span { from: row.time, to: row.time };
            let mut expected = before.records.clone();
            expected.retain_time(|time| time == row.time);
            assert_eq!(whole.rows(stream, only).await.unwrap(), expected);
        }
        // Wherever the rows lie, an export of them is the same, byte by byte.
        assert!(all().await == hot);
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_rows_come_back_equal(made in made(), most in 1_usize..50) {
        run(made, most);
    }
}

/// A store whose rows lie in an archive, and what they are.
struct Archived {
    folder: tempfile::TempDir,
    stream: StreamKey,
    before: StoredRows,
    /// The files of its parts.
    files: Vec<PathBuf>,
}

impl Archived {
    async fn new(made: Made) -> Self {
        let stream = made.0;
        let folder = tempfile::tempdir().unwrap();
        let store = stored(&folder.path().join("hl.db"), made).await;
        let archived = Self { folder, stream, before: StoredRows::none(stream), files: Vec::new() };
        let before = archived.whole().stored_rows(stream, Span::EVER).await.unwrap();
        let writer = Writer::Inline { delay_ms: 0 };
        let files = Files::new(archived.root());
        let archiver = Archiver::new(&store, files, writer, Arc::new(SystemClock)).await.unwrap();
        let due = Due { stream, day: Day::of(TimeMs(0)), rows: 0, rule: Rule::Archive { days: 1 } };
        archiver.with_rows_a_part(10).archive(due, &|_| ()).await.unwrap();
        let parts = archived.whole().parts(Some(stream), Span::EVER).await.unwrap();
        let files = parts.into_iter().map(|part| archived.root().join(part.path.unwrap())).collect();
        Self { before, files, ..archived }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// As the next process sees it.
    fn whole(&self) -> Whole {
        let store = SqliteStore::inspect(self.folder.path().join("hl.db")).unwrap();
        Whole::new(Box::new(store), self.root())
    }

    async fn export(&self, format: Format) -> Result<Vec<u8>, ArchiveError> {
        let whole = self.whole();
        let (stream, known) = (self.stream, Completeness::of(Span::EVER, [], []));
        let selection = Selection { stream, source: stream, span: Span::EVER, known };
        let options = Options { format, numbers: Numbers::Exact, complete_only: false };
        Ok(export(&whole, &[selection], options, Vec::new(), &|_, _| ()).await?.1)
    }
}

#[tokio::test]
async fn a_bit_that_flips_is_never_a_wrong_row() {
    let mut runner = TestRunner::deterministic();
    let mut rng = Seed(12).rng("flips");
    let (mut tries, mut kinds) = (0, BTreeSet::new());
    while kinds.len() < 6 {
        let made = made().new_tree(&mut runner).unwrap().current();
        if !kinds.insert(made.0.kind()) {
            continue;
        }
        let archived = Archived::new(made).await;
        let formats = [Format::Csv, Format::Ndjson, Format::Parquet];
        let mut sound = Vec::new();
        for format in formats {
            sound.push(archived.export(format).await.unwrap());
        }
        for _ in 0..40 {
            tries += 1;
            let file = &archived.files[rng.usize(..archived.files.len())];
            let whole = fs::read(file).unwrap();
            let mut damaged = whole.clone();
            match rng.u8(..8) {
                // What a disk that is full or a copy that broke off leaves.
                0 => damaged.truncate(rng.usize(..whole.len())),
                _ => damaged[rng.usize(..whole.len())] ^= 1 << rng.u8(..8),
            }
            fs::write(file, &damaged).unwrap();

            let name = file.file_name().unwrap().to_str().unwrap();
            for (format, sound) in formats.iter().zip(&sound) {
                match archived.export(*format).await {
                    Ok(rows) => assert_eq!(rows, *sound),
                    Err(error) => {
                        let words = error.to_string();
                        assert!(words.contains(name) && words.contains("from a backup"), "{words}");
                    }
                }
            }
            let key = archived.before.records.keys()[rng.usize(..archived.before.len())];
            let only = Span { from: key.time, to: key.time };
            if let Ok(rows) = archived.whole().rows(archived.stream, only).await {
                let mut expected = archived.before.records.clone();
                expected.retain_time(|time| time == key.time);
                assert_eq!(rows, expected);
            }
            let parts = archived.whole().parts(Some(archived.stream), Span::EVER).await.unwrap();
            let checked = parts.iter().map(|part| Files::new(archived.root()).check(part));
            assert_eq!(checked.filter(Result::is_err).count(), 1, "{name} and no other");
            let problems = archived.whole().audit().await.unwrap().problems;
            assert!(problems.iter().any(|problem| problem.check == "archive_checksum"), "{problems:?}");
            fs::write(file, &whole).unwrap();
        }
        assert_eq!(archived.whole().stored_rows(archived.stream, Span::EVER).await.unwrap(), archived.before);
    }
    assert_eq!(tries, 240);
}

#[tokio::test]
async fn a_part_that_changes_under_a_reader_is_looked_at_again() {
    let mut runner = TestRunner::deterministic();
    let archived = Archived::new(made().new_tree(&mut runner).unwrap().current()).await;
    let whole = archived.whole();
    assert_eq!(whole.stored_rows(archived.stream, Span::EVER).await.unwrap(), archived.before);
    let file = &archived.files[0];
    let mut damaged = fs::read(file).unwrap();
    let half = damaged.len() / 2;
    damaged[half] ^= 1;
    let changed = || fs::metadata(file).unwrap().modified().unwrap();
    let before = changed();
    // The clock of a file system may stand still for some milliseconds.
    while changed() == before {
        fs::write(file, &damaged).unwrap();
    }
    let error = whole.stored_rows(archived.stream, Span::EVER).await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
}

//! The procedure over a real store and real files: whatever happens in between, a row is in exactly one place that
//! counts, and comes back as it was.

use std::path::Path;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::{HexBytes, Mid, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Dex, Origin, Records};
use hl_runtime::SystemClock;
use hl_store::{Inspect as _, SqliteOptions, SqliteStore};
use tempfile::TempDir;

use super::*;
use crate::files::LeftoverKind;
use crate::parquet_file::Reading;
use crate::{Whole, examine};

const DAY: i64 = hl_core::time::DAY_MS;

struct World {
    folder: TempDir,
}

fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

fn trades() -> StreamKey {
    StreamKey::Trades(btc())
}

fn trade(time: i64, tid: u64, px: &str) -> Trade {
    Trade {
        coin: btc(),
        time: TimeMs(time),
        tid,
        px: px.parse().unwrap(),
        sz: "0.00015".parse().unwrap(),
        side: Side::Sell,
        hash: HexBytes([7; 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    }
}

fn today() -> Day {
    Day::of(TimeMs(20_000 * DAY))
}

fn at(ms: i64) -> i64 {
    today().span().from.0 + ms
}

fn due_of(stream: StreamKey) -> Due {
    Due { stream, day: today(), rows: 0, rule: Rule::Archive { days: 1 } }
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("archive")
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("hl.db")
    }

    async fn session(&self) -> SqliteStore {
        SqliteStore::open(SqliteOptions {
            writer: Writer::Inline { delay_ms: 0 },
            ..SqliteOptions::of_this_process(self.path(), "test", Arc::new(SystemClock))
        })
        .await
        .unwrap()
    }

    async fn archiver<'a>(&self, store: &'a SqliteStore) -> Archiver<'a> {
        let writer = Writer::Inline { delay_ms: 0 };
        Archiver::new(store, Files::new(self.root()), writer, Arc::new(SystemClock)).await.unwrap()
    }

    /// Stores rows of a live claim that covers the day and two more.
    async fn collect(&self, stream: StreamKey, records: Records) {
        let store = self.session().await;
        store.lease(&[stream]).await.unwrap();
        let epoch = Epoch { token: store.token(), local: 1 };
        let span = Span { from: today().span().from, to: TimeMs(at(3 * DAY)) };
        let mut changes = vec![Change::Rows { epoch, origin: Origin::Ws, records }];
        if matches!(stream, StreamKey::Candle(..)) {
            changes.push(Change::Final { span });
        }
        changes.push(Change::Covered { epoch, origin: Origin::Ws, span });
        changes.push(Change::Edge(span.to));
        let changes = changes.into_iter().map(|change| (stream, change)).collect();
        let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
        assert_eq!((ack.refused, ack.superseded), (0, vec![]));
        store.close().await.unwrap();
    }

    /// A witness said that trades are missing in every other second of the first twenty; a backfill brings `records`.
    async fn backfill_between(&self, stream: StreamKey, records: Records) {
        let store = self.session().await;
        store.lease(&[stream]).await.unwrap();
        let epoch = Epoch { token: store.token(), local: 1 };
        let doubted = |n: i64| Change::Doubted {
            span: Span { from: TimeMs(at(n * 1_000)), to: TimeMs(at((n + 2) * 1_000)) },
            cause: Cause::Silence,
        };
        let mut changes: Vec<_> = (0..18).step_by(2).map(doubted).collect();
        let span = Span { from: TimeMs(at(0)), to: TimeMs(at(18_000)) };
        changes.push(Change::Filled { epoch, origin: Origin::Backfill, span, records });
        let changes = changes.into_iter().map(|change| (stream, change)).collect();
        let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
        assert_eq!((ack.inserted, ack.refused, ack.superseded), (19, 0, vec![]));
        store.close().await.unwrap();
    }

    fn whole(&self) -> Whole {
        Whole::new(Box::new(SqliteStore::inspect(self.path()).unwrap()), self.root())
    }

    async fn all(&self, stream: StreamKey) -> StoredRows {
        self.whole().stored_rows(stream, Span::EVER).await.unwrap()
    }

    async fn hot(&self, stream: StreamKey) -> usize {
        SqliteStore::inspect(self.path()).unwrap().rows(stream, Span::EVER).await.unwrap().len()
    }

    /// Everything that an audit finds wrong.
    async fn problems(&self) -> Vec<(&'static str, u64)> {
        let audit = self.whole().audit().await.unwrap();
        audit.problems.into_iter().map(|problem| (problem.check, problem.count)).collect()
    }

    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
                if entry.is_dir() {
                    walk(&entry, found);
                } else if layout::is_ours(&name) {
                    found.push(name);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.root(), &mut found);
        found.sort();
        found
    }

    async fn archive(&self, stream: StreamKey, most: usize) -> DayDone {
        let store = self.session().await;
        let archiver = self.archiver(&store).await.with_rows_a_part(most);
        let done = archiver.archive(due_of(stream), &|_| ()).await.unwrap();
        drop(archiver);
        store.close().await.unwrap();
        done
    }
}

fn some(range: std::ops::Range<i64>) -> Records {
    Records::Trades(range.map(|n| trade(at(n * 1_000), n.unsigned_abs(), "66410.5")).collect())
}

#[tokio::test]
async fn a_day_moves_in_parts_and_reads_as_before() {
    let world = World::new();
    world.collect(trades(), some(0..25)).await;
    let before = world.all(trades()).await;
    let done = world.archive(trades(), 10).await;
    assert_eq!((done.parts, done.archived, done.kept(), world.hot(trades()).await), (3, 25, 0, 0));
    assert_eq!(world.all(trades()).await, before);
    assert_eq!(world.problems().await, []);
    let whole = world.whole();
    let piece = Span { from: TimeMs(at(8_000)), to: TimeMs(at(11_000)) };
    assert_eq!(whole.rows(trades(), piece).await.unwrap(), some(8..12));
    let examined = examine(&whole, &|_| ()).await.unwrap();
    assert_eq!((examined.parts, examined.rows, examined.unread), (3, 25, 0));
    let row = whole.streams().await.unwrap().into_iter().next().unwrap();
    assert_eq!((row.rows, row.archived, row.newest), (25, 25, Some(TimeMs(at(24_000)))));
}

/// Stops after each step of the second of three pages, as a crash does, and goes on with another session.
#[tokio::test]
async fn a_crash_after_any_step_loses_nothing_and_doubles_nothing() {
    for step in 0..6 {
        let world = World::new();
        world.collect(trades(), some(0..25)).await;
        let before = world.all(trades()).await;
        let dying = world.session().await;
        {
            let archiver = world.archiver(&dying).await.with_rows_a_part(10);
            let work = archiver.claim(due_of(trades())).await.unwrap();
            let first = work.read(None).await.unwrap();
            let last = first.records.keys().last().copied();
            work.page(first, 1).await.unwrap();
            let second = if step >= 1 { Some(work.read(last).await.unwrap()) } else { None };
            if let Some(page) = second {
                let fresh = work.sort_out(page).await.unwrap().fresh;
                let path = layout::file(trades(), today(), work.epoch, 2);
                if step >= 2 {
                    work.write(&path, &fresh).await.unwrap();
                }
                if step >= 3 {
                    work.place(&path).await.unwrap();
                }
                if step >= 4 {
                    let sum = work.compare(&path, &fresh).await.unwrap();
                    if step >= 5 {
                        work.commit(Some(work.part(Some(path), sum, &fresh)), fresh).await.unwrap();
                    }
                }
            }
        }
        // Dropped, not closed: its claim dies with it.
        drop(dying);
        assert_eq!(world.all(trades()).await, before, "step {step}");
        assert_eq!(world.problems().await, [], "step {step}");
        let left = world.files().len() - if step >= 5 { 2 } else { 1 };
        assert_eq!(left, usize::from((2..5).contains(&step)), "step {step}");

        let done = world.archive(trades(), 10).await;
        assert_eq!(done.aside, u64::from((3..5).contains(&step)), "step {step}: a whole file is not deleted");
        assert_eq!((world.all(trades()).await, world.hot(trades()).await), (before, 0), "step {step}");
        assert_eq!(world.problems().await, [], "step {step}");
        let parts = world.whole().parts(None, Span::EVER).await.unwrap();
        let mut recorded: Vec<_> = parts
            .iter()
            .filter_map(|part| part.path.as_ref()?.rsplit('/').next().map(str::to_owned))
            .collect();
        recorded.sort();
        assert_eq!(world.files(), recorded, "step {step}: what the crash left is not taken for a part");
    }
}

#[tokio::test]
async fn a_living_session_keeps_its_day_and_a_lost_claim_does_nothing() {
    let world = World::new();
    world.collect(trades(), some(0..5)).await;
    let (first, second) = (world.session().await, world.session().await);
    let ours = world.archiver(&first).await;
    let work = ours.claim(due_of(trades())).await.unwrap();
    let others = world.archiver(&second).await;
    let held = others.archive(due_of(trades()), &|_| ()).await;
    assert!(matches!(held, Err(ArchiveError::Held { holder, .. }) if holder.token == first.token()));
    let again = ours.claim(due_of(trades())).await.unwrap();
    let page = work.read(None).await.unwrap();
    assert!(matches!(work.page(page, 1).await, Err(ArchiveError::ClaimLost { .. })));
    assert_eq!(world.hot(trades()).await, 5);
    again.give_back().await.unwrap();
    assert_eq!(others.archive(due_of(trades()), &|_| ()).await.unwrap().archived, 5);
    assert_eq!(world.problems().await, []);
}

#[tokio::test]
async fn a_backfill_into_an_archived_day_becomes_a_further_part_without_duplicates() {
    let world = World::new();
    let second_ones =
        |from: i64| (from..19).step_by(2).map(|n| trade(at(n * 1_000), 1, "5")).collect::<Vec<_>>();
    world.collect(trades(), Records::Trades(second_ones(0))).await;
    assert_eq!(world.archive(trades(), 4).await.parts, 3);
    // All of them again, those between, and one that says something else.
    let mut more = second_ones(0);
    more.extend(second_ones(1));
    more[3].px = Decimal::ONE;
    more.sort_by_key(Trade::key);
    world.backfill_between(trades(), Records::Trades(more.clone())).await;
    assert_eq!(world.all(trades()).await.records, Records::Trades(more.clone()), "the store's row counts");
    let done = world.archive(trades(), 1_000).await;
    assert_eq!((done.parts, done.archived, done.doubled, done.conflicting), (1, 9, 9, 1));
    assert_eq!(world.all(trades()).await.records, Records::Trades(more));
    assert_eq!(world.problems().await, [("archive_conflict", 1)]);
    assert_eq!(world.hot(trades()).await, 1);
}

#[tokio::test]
async fn what_cannot_be_held_exactly_stays() {
    let world = World::new();
    let small = trade(at(5), 1, "0.0000000000001");
    let large = trade(at(6), 1, "79228162514264337593543950335");
    world.collect(trades(), Records::Trades(vec![trade(at(4), 1, "1.000000000000"), small, large])).await;
    let done = world.archive(trades(), 10).await;
    assert_eq!((done.archived, done.unfit, world.hot(trades()).await), (1, 2, 2));
    assert_eq!(world.all(trades()).await.len(), 3);
    assert_eq!(world.archive(trades(), 10).await.unfit, 2, "told again");
    assert_eq!(world.problems().await, []);
}

#[tokio::test]
async fn what_is_only_kept_for_a_time_is_deleted_and_that_is_recorded() {
    let world = World::new();
    world.collect(trades(), some(0..25)).await;
    let store = world.session().await;
    let archiver = world.archiver(&store).await.with_rows_a_part(10);
    let due = Due { rule: Rule::Delete { days: 1 }, ..due_of(trades()) };
    assert_eq!(archiver.archive(due, &|_| ()).await.unwrap().deleted, 25);
    assert_eq!((world.hot(trades()).await, world.all(trades()).await.len()), (0, 0));
    let parts = world.whole().parts(None, Span::EVER).await.unwrap();
    assert_eq!(
        parts.iter().map(|part| (part.path.clone(), part.rows)).collect::<Vec<_>>(),
        [(None, 10), (None, 10), (None, 5)]
    );
    assert_eq!((world.problems().await, world.files()), (vec![], vec![]));
}

#[tokio::test]
async fn days_are_due_by_their_rule() {
    let world = World::new();
    world.collect(trades(), some(0..25)).await;
    let mid =
        |time| Mid { coin: btc(), time: TimeMs(at(time)), px: Decimal::ONE, arrival: Arrival::default() };
    world.collect(StreamKey::MIDS, Records::Mids(vec![mid(0), mid(DAY), mid(2 * DAY)])).await;
    let nvda = Coin::new("xyz:NVDA").unwrap();
    let of_dex = [0, 1, 2 * DAY].map(|time| Mid { coin: nvda, ..mid(time) });
    world.collect(StreamKey::Mids(Dex::of(nvda)), Records::Mids(of_dex.to_vec())).await;
    let store = world.session().await;
    let mut retention = Retention::default();
    let now = TimeMs(at(2 * DAY));
    assert_eq!(due(&store, &retention, now).await.unwrap(), []);
    retention.set("trades", Rule::Archive { days: 1 });
    retention.set("mids", Rule::Delete { days: 1 });
    let found = due(&store, &retention, now).await.unwrap();
    let of = |due: &Due| (due.stream.to_string(), due.day, due.rows, due.rule);
    assert_eq!(
        found.iter().map(of).collect::<Vec<_>>(),
        [
            ("mids".to_owned(), today(), 1, Rule::Delete { days: 1 }),
            ("mids/xyz".to_owned(), today(), 2, Rule::Delete { days: 1 }),
            ("trades/BTC".to_owned(), today(), 25, Rule::Archive { days: 1 }),
        ]
    );
    assert_eq!(due(&store, &retention, now - 1).await.unwrap(), [], "a day must be over for as long");
}

/// The rows of all dexes lie in one table: a day of one of them goes, and nothing of the others.
#[tokio::test]
async fn a_day_of_one_dex_is_not_a_day_of_another() {
    let world = World::new();
    let mid = |name: &str, ms| Mid {
        coin: Coin::new(name).unwrap(),
        time: TimeMs(at(ms)),
        px: Decimal::ONE,
        arrival: Arrival::default(),
    };
    let streams = ["mids", "mids/xyz", "mids/xy"].map(|name| name.parse::<StreamKey>().unwrap());
    let mids = [
        vec![mid("@107", 1), mid("BTC", 1), mid("zzz", 2)],
        vec![mid("xyz:NVDA", 1), mid("xyz:TSLA", 1), mid("xyz:TSLA", 2)],
        vec![mid("xy:A", 3)],
    ];
    for (stream, mids) in streams.iter().zip(&mids) {
        world.collect(*stream, Records::Mids(mids.clone())).await;
    }
    for (at, stream) in streams.into_iter().enumerate() {
        world.archive(stream, 10).await;
        for (other, stream) in streams.into_iter().enumerate() {
            assert_eq!(world.all(stream).await.records, Records::Mids(mids[other].clone()), "{stream}");
            let is_archived = other <= at;
            assert_eq!(world.hot(stream).await, if is_archived { 0 } else { mids[other].len() }, "{stream}");
        }
    }
    let parts = world.whole().parts(None, Span::EVER).await.unwrap();
    let mut paths: Vec<_> = parts.into_iter().filter_map(|part| part.path).collect();
    paths.sort();
    assert!(
        paths[0].starts_with("stream=mids%2Fxy/") && paths[1].starts_with("stream=mids%2Fxyz/"),
        "{paths:?}"
    );
    assert!(paths[2].starts_with("stream=mids/") && paths.len() == 3, "{paths:?}");
    assert_eq!(world.problems().await, []);
}

/// Damage of every sort is found, and named by its check.
#[tokio::test]
async fn damage_to_a_part_is_found() {
    let world = World::new();
    world.collect(trades(), some(0..25)).await;
    world.archive(trades(), 25).await;
    let part = world.whole().parts(None, Span::EVER).await.unwrap().remove(0);
    let file = world.root().join(part.path.unwrap());
    let sound = std::fs::read(&file).unwrap();
    for at in [4, sound.len() / 2, sound.len() - 3] {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&file, damaged).unwrap();
        assert_eq!(world.problems().await, [("archive_checksum", 1)]);
        let audit = world.whole().audit().await.unwrap();
        assert_eq!(audit.unread, 25);
    }
    std::fs::write(&file, &sound[..sound.len() / 2]).unwrap();
    assert_eq!(world.problems().await, [("archive_checksum", 1)]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(world.problems().await, [("archive_missing", 1)]);
    let error = world.whole().rows(trades(), Span::EVER).await.unwrap_err().to_string();
    assert!(error.contains("is not there"), "{error}");
    std::fs::write(&file, &sound).unwrap();
    assert_eq!(world.problems().await, []);
}

/// Going back to a backup makes parts that the lost store had recorded the only copy of their rows, and the run that comes
/// next mints the same names.
#[tokio::test]
async fn a_store_put_back_from_a_backup_loses_no_part() {
    let world = World::new();
    // Before the folder was taken, a store knows nothing of it, and is refused there.
    world.archive(trades(), 100).await;
    world.collect(trades(), some(0..25)).await;
    let backup = std::fs::read(world.path()).unwrap();
    world.collect(trades(), some(25..40)).await;
    let before = world.all(trades()).await;
    assert_eq!((before.len(), world.archive(trades(), 100).await.archived), (40, 40));
    let name = world.files();

    for again in 1..=2 {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(world.folder.path().join(format!("hl.db{end}")));
        }
        std::fs::write(world.path(), &backup).unwrap();
        world.session().await.close().await.unwrap();
        let leftovers = Files::new(world.root()).leftovers(&[]).unwrap();
        assert_eq!(leftovers.len(), again);
        assert!(leftovers.iter().any(|left| left.kind == LeftoverKind::Unrecorded), "{leftovers:?}");
        let done = world.archive(trades(), 100).await;
        assert_eq!((done.archived, done.aside), (25, 1));
        assert_eq!(world.files(), name, "the test is of a name that comes again");
    }

    let parts = world.whole().parts(None, Span::EVER).await.unwrap();
    let aside = world.whole().files().leftovers(&parts).unwrap();
    assert_eq!(aside.iter().map(|left| left.kind).collect::<Vec<_>>(), [LeftoverKind::Aside; 2]);
    let read = |path: &Path| -> Vec<usize> {
        let file = std::fs::File::open(path).unwrap();
        Reading::open(file, path.to_owned(), trades(), Span::EVER)
            .unwrap()
            .map(|read| read.unwrap().len())
            .collect()
    };
    assert_eq!(read(&aside[0].path), [40], "every row of before");
    assert_eq!(read(&aside[1].path), [25]);
    assert_eq!((world.all(trades()).await.len(), world.problems().await), (25, vec![]));
}

fn earlier_folder() -> String {
    layout::earlier_folder(trades(), today()).unwrap()
}

/// An earlier release laid its parts elsewhere, and may have been killed while it wrote.
#[tokio::test]
async fn what_an_earlier_release_left_is_set_aside_too() {
    let world = World::new();
    world.collect(trades(), some(0..5)).await;
    let folder = world.root().join(earlier_folder());
    let store = world.session().await;
    {
        let archiver = world.archiver(&store).await;
        let work = archiver.claim(due_of(trades())).await.unwrap();
        let rows = Arc::new(work.read(None).await.unwrap());
        let path = format!("{}/part-1-1-1.parquet", earlier_folder());
        work.write(&path, &rows).await.unwrap();
        work.place(&path).await.unwrap();
    }
    std::fs::write(folder.join("part-1-1-2.parquet.tmp"), "").unwrap();
    drop(store);
    let done = world.archive(trades(), 10).await;
    assert_eq!((done.aside, world.files().len()), (1, 1), "its rows are in a part of today's");
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["_part-1-1-1.parquet.unrecorded"]);
}

/// A file that lost a row before it was compared is never recorded.
#[tokio::test]
async fn what_does_not_come_back_equal_is_not_recorded() {
    let world = World::new();
    world.collect(trades(), some(0..5)).await;
    let store = world.session().await;
    let archiver = world.archiver(&store).await;
    let work = archiver.claim(due_of(trades())).await.unwrap();
    let rows = Arc::new(work.read(None).await.unwrap());
    let mut number = 0;
    for wrong in [rows.pick(&[0, 1, 2, 3]), rows.pick(&[0, 1, 2, 3, 3]), rows.pick(&[1, 0, 2, 3, 4])] {
        number += 1;
        let path = layout::file(trades(), today(), work.epoch, number);
        work.write(&path, &Arc::new(wrong)).await.unwrap();
        work.place(&path).await.unwrap();
        assert!(matches!(work.compare(&path, &rows).await, Err(ArchiveError::Differs(_))));
        work.write(&path, &rows).await.unwrap();
        assert!(matches!(work.place(&path).await, Err(ArchiveError::Taken(_))), "no part replaces another");
        assert!(matches!(work.compare(&path, &rows).await, Err(ArchiveError::Differs(_))));
    }
}

#[tokio::test]
async fn a_folder_is_the_archive_of_one_store_only() {
    let (one, other) = (World::new(), World::new());
    let rows = |tid| Records::Trades((0..10).map(|n| trade(at(n * 1_000), tid + n as u64, "1.5")).collect());
    one.collect(trades(), rows(1)).await;
    other.collect(trades(), rows(100)).await;
    let store = one.session().await;
    one.archiver(&store).await.archive(due_of(trades()), &|_| ()).await.unwrap();
    store.close().await.unwrap();

    // Its parts are none of the other's, which would set them aside.
    let store = other.session().await;
    let writer = Writer::Inline { delay_ms: 0 };
    let archiver =
        Archiver::new(&store, Files::new(one.root()), writer, Arc::new(SystemClock)).await.unwrap();
    let said = archiver.archive(due_of(trades()), &|_| ()).await.unwrap_err();
    assert!(matches!(said, ArchiveError::OtherStore(_)), "{said}");
    drop(archiver);
    store.close().await.unwrap();
    assert!(examine(&one.whole(), &|_| ()).await.unwrap().problems.is_empty());
    // The same store goes on.
    let store = one.session().await;
    one.archiver(&store).await.archive(due_of(trades()), &|_| ()).await.unwrap();
    store.close().await.unwrap();
}

//! The leaderboard from files that are as they are told to be, into a real store; and whom to track, from there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::record::{HexBytes, Leader, Trader};
use hl_core::store::Store;
use hl_core::time::DAY_MS;
use hl_core::{Decimal, Epoch, Origin, Records, StreamKey, TimeMs};
use hl_runtime::TokioClock;
use hl_scheduler::Task;
use hl_scheduler::jobs::{FetchLeaderboard, Snapshots, UpdateTrackedTraders};
use hl_store::{Inspect, SqliteStore};
use hl_traders::Rules;

use common::Published;

/// 2026-11-01, six in the morning.
const FIRST: i64 = 1_793_512_800_000;

struct Scene {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    published: Arc<Published>,
    /// Below 0 while it is not known.
    now: Arc<AtomicI64>,
    fetch: FetchLeaderboard,
    update: UpdateTrackedTraders,
}

impl Scene {
    async fn new(rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(common::open(&folder, TokioClock::starting_at(TimeMs(FIRST))).await);
        let (published, now) = (Arc::new(Published::default()), Arc::new(AtomicI64::new(-DAY_MS)));
        let time = || {
            let now = now.clone();
            Box::new(move || Some(TimeMs(now.load(Ordering::SeqCst))).filter(|now| now.0 > 0))
        };
        let (token, minted) = (store.token(), Arc::new(AtomicU32::new(0)));
        let mint = || {
            let minted = minted.clone();
            Box::new(move || Epoch { token, local: 1 + minted.fetch_add(1, Ordering::SeqCst) })
        };
        let snapshots = || Snapshots::new(store.clone(), mint(), time());
        let fetch = FetchLeaderboard::new(snapshots(), published.clone());
        let update = UpdateTrackedTraders::new(snapshots(), rules);
        Self { folder, store, published, now, fetch, update }
    }

    /// It is that day; the leaderboard has these traders, and each this return of the month, in percent.
    fn day(&self, day: i64, traders: &[(u8, i64)]) {
        self.now.store(FIRST + day * DAY_MS, Ordering::SeqCst);
        let row = |(user, percent): &(u8, i64)| {
            let roi = format!("{}.{:02}", percent / 100, percent % 100);
            format!(
                r#"{{"ethAddress":"{}","accountValue":"{user}.50","windowPerformances":[["month",{{"pnl":"1.0","roi":"{roi}","vlm":"0.0"}}]],"prize":0,"displayName":null}}"#,
                HexBytes([*user; 20])
            )
        };
        let rows: Vec<_> = traders.iter().map(row).collect();
        self.publish(format!(r#"{{"leaderboardRows":[{}]}}"#, rows.join(",")));
    }

    fn publish(&self, text: String) {
        self.published.files.lock().unwrap().insert("leaderboard".to_owned(), text);
    }

    /// How many rows are new, or what went wrong.
    async fn run(&self, task: &dyn Task) -> Result<u64, String> {
        self.now.fetch_add(1_000, Ordering::SeqCst);
        task.run(TimeMs(0)).await.map(|done| done.rows).map_err(|error| error.to_string())
    }

    async fn both(&self) -> (Result<u64, String>, Result<u64, String>) {
        (self.run(&self.fetch).await, self.run(&self.update).await)
    }

    fn inspect(&self) -> impl Inspect + use<> {
        SqliteStore::inspect(self.folder.path().join("hl.db")).unwrap()
    }

    async fn leaders(&self) -> Vec<Leader> {
        match self.inspect().rows(StreamKey::Leaderboard, Span::EVER).await.unwrap() {
            Records::Leaderboard(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    /// The choices: day, trader, what became of it.
    async fn choices(&self) -> Vec<(i64, u8, &'static str)> {
        let Records::Traders(rows) = self.inspect().rows(StreamKey::Traders, Span::EVER).await.unwrap()
        else {
            panic!("other rows")
        };
        let told = |row: &Trader| ((row.time.0 - FIRST) / DAY_MS, row.user.0[0], row.status.as_str());
        rows.iter().map(told).collect()
    }

    /// Gaps, with their causes, and whether the store is sound.
    async fn gaps(&self) -> Vec<(String, &'static str)> {
        let inspect = self.inspect();
        let problems = inspect.audit().await.unwrap().problems;
        assert!(problems.is_empty(), "{problems:?}");
        let gaps = inspect.gaps(None).await.unwrap();
        let gaps = gaps.iter().filter(|gap| gap.state != GapState::Backfilled);
        gaps.map(|gap| (gap.stream.to_string(), gap.cause.as_str())).collect()
    }
}

fn rules(track: usize) -> Rules {
    Rules { track, minimum_score: 5.into(), ..Rules::default() }
}

#[tokio::test(start_paused = true)]
async fn each_day_is_a_snapshot_and_a_choice() {
    let scene = Scene::new(rules(2)).await;
    scene.day(0, &[(1, 20), (2, 40), (3, 30), (4, 1)]);
    assert_eq!(scene.both().await, (Ok(4), Ok(2)));
    scene.day(1, &[(1, 50), (2, 40), (3, 30), (5, 2)]);
    assert_eq!(scene.both().await, (Ok(4), Ok(3)));
    let leaders = scene.leaders().await;
    assert_eq!(leaders.len(), 8);
    let times: Vec<_> = leaders.iter().map(|leader| (leader.time.0 - FIRST) / DAY_MS).collect();
    assert_eq!(times, [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(leaders[1].account_value.to_string(), "2.50");
    assert_eq!(
        scene.choices().await,
        [(0, 2, "added"), (0, 3, "added"), (1, 1, "added"), (1, 2, "kept"), (1, 3, "dropped")]
    );
    assert_eq!(scene.gaps().await, []);
    assert_eq!(
        scene.store.settled(StreamKey::Traders).await.unwrap().edge,
        Some(TimeMs(FIRST + DAY_MS + 2_000))
    );
}

#[tokio::test(start_paused = true)]
async fn a_day_that_was_missed_and_rows_that_cannot_be_read_are_gaps() {
    let scene = Scene::new(rules(2)).await;
    scene.day(0, &[(1, 20)]);
    assert_eq!(scene.run(&scene.fetch).await, Ok(1));
    scene.day(3, &[(1, 20), (2, 20)]);
    assert_eq!(scene.run(&scene.fetch).await, Ok(2));
    let gap = |cause| ("leaderboard".to_owned(), cause);
    assert_eq!(scene.gaps().await, [gap("not_collected")]);
    scene.day(4, &[(1, 20), (2, 20)]);
    let text = scene.published.files.lock().unwrap()["leaderboard"].replace("2.50", "much");
    scene.publish(text);
    assert_eq!(scene.both().await, (Ok(1), Ok(1)), "what can be read is stored, and serves");
    scene.day(5, &[(1, 20), (2, 20)]);
    assert_eq!(scene.both().await, (Ok(2), Ok(2)));
    scene.day(6, &[(1, 20), (2, 20)]);
    let text = scene.published.files.lock().unwrap()["leaderboard"].replace("2.50", "much");
    scene.publish(text);
    assert_eq!(scene.both().await, (Ok(1), Ok(2)));
    assert_eq!(scene.choices().await.last().unwrap(), &(6, 2, "kept"), "what cannot be read is not absent");
    assert_eq!(scene.gaps().await, [gap("not_collected"), gap("undecodable"), gap("undecodable")]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_of_what_is_not_a_whole_leaderboard() {
    let scene = Scene::new(rules(2)).await;
    let fails = async |says: &str| {
        let error = scene.run(&scene.fetch).await.unwrap_err();
        assert!(error.starts_with("reading the leaderboard: ") && error.contains(says), "{error}");
    };
    fails("not known yet").await;
    scene.now.store(FIRST, Ordering::SeqCst);
    fails("404").await;
    scene.day(0, &[(1, 20), (2, 30)]);
    let whole = scene.published.files.lock().unwrap()["leaderboard"].clone();
    scene.publish(format!("{}…", &whole[..whole.len() - 10]));
    fails("breaks off").await;
    scene.publish(whole[..whole.len() - 10].to_owned());
    fails("breaks off").await;
    scene.publish(r#"{"leaderboardRows":[]}"#.to_owned());
    fails("no rows").await;
    assert_eq!(
        scene.run(&scene.update).await.unwrap_err(),
        "choosing whom to track: no leaderboard is stored; fetch_leaderboard reads one"
    );
    assert_eq!((scene.leaders().await.len(), scene.gaps().await.len()), (0, 0));
    scene.publish(whole);
    assert_eq!(scene.both().await, (Ok(2), Ok(2)));
    scene.now.store(FIRST - DAY_MS, Ordering::SeqCst);
    fails("was the clock set back?").await;
}

#[tokio::test(start_paused = true)]
async fn a_large_leaderboard_counts_once_all_of_it_is_stored() {
    const MANY: u32 = 12_000;
    let scene = Scene::new(rules(3)).await;
    let publish = |day: i64| {
        scene.now.store(FIRST + day * DAY_MS, Ordering::SeqCst);
        let row = |n: u32| {
            format!(
                r#"{{"ethAddress":"0x{n:040x}","accountValue":"1.0","windowPerformances":[["month",{{"pnl":"1.0","roi":"0.{n:08}","vlm":"0.0"}}]],"displayName":null}}"#
            )
        };
        let rows: Vec<_> = (90_000_000..90_000_000 + MANY).map(row).collect();
        scene.publish(format!(r#"{{"leaderboardRows":[{}]}}"#, rows.join(",")));
    };
    publish(0);
    assert_eq!(scene.both().await, (Ok(u64::from(MANY)), Ok(3)));
    assert_eq!(scene.gaps().await, []);
    // A process died in the middle of the next one: what is there of it lies above the edge.
    let (stream, time) = (StreamKey::Leaderboard, TimeMs(FIRST + DAY_MS));
    let edge = scene.store.settled(stream).await.unwrap().edge.unwrap();
    scene.store.lease(&[stream]).await.unwrap();
    let records = Records::Leaderboard(vec![Leader::bare(HexBytes([7; 20]), time, Decimal::ONE)]);
    let epoch = Epoch { token: scene.store.token(), local: 900 };
    let begun = [
        Change::GapOpened { span: Span { from: edge, to: time }, cause: Cause::Outage },
        Change::Rows { epoch, origin: Origin::Rest, records },
    ];
    let changes = begun.into_iter().map(|change| (stream, change)).collect();
    scene.store.commit(Arc::new(Batch { token: scene.store.token(), changes })).await.unwrap();
    scene.store.release(&[stream]).await.unwrap();
    assert_eq!(scene.run(&scene.update).await, Ok(3), "the choice is made from the one that is whole");
    assert_eq!(scene.store.settled(stream).await.unwrap().edge, Some(edge));
    publish(2);
    assert_eq!(scene.both().await, (Ok(u64::from(MANY)), Ok(3)));
    assert_eq!(scene.gaps().await, [("leaderboard".to_owned(), "outage")], "of the one that was never ended");
    let last = scene.choices().await.into_iter().rev().take(3).map(|(_, _, what)| what).collect::<Vec<_>>();
    assert_eq!(last, ["kept"; 3]);
}

#[tokio::test(start_paused = true)]
async fn half_a_leaderboard_drops_no_trader_before_the_next_one_confirms_it() {
    let scene = Scene::new(rules(9)).await;
    let all: Vec<_> = (1..=9).map(|user| (user, 20)).collect();
    scene.day(0, &all);
    assert_eq!(scene.both().await, (Ok(9), Ok(9)));
    scene.day(1, &all[..3]);
    let (stored, refused) = scene.both().await;
    assert!(
        stored == Ok(3) && refused.clone().unwrap_err().contains("has 3 rows, and the one"),
        "{refused:?}"
    );
    assert!(scene.run(&scene.update).await.is_err(), "the same one does not confirm itself");
    assert_eq!(scene.run(&scene.fetch).await, Ok(3));
    assert!(scene.run(&scene.update).await.is_err(), "nor when it is read once more");
    scene.day(2, &all);
    assert_eq!(scene.both().await, (Ok(9), Ok(9)));
    scene.day(3, &all[..4]);
    assert!(scene.both().await.1.is_err(), "what was refused before the last choice confirms nothing");
    scene.day(4, &all[..4]);
    assert_eq!(scene.both().await, (Ok(4), Ok(9)), "the rest is dropped");
}

//! Daily statistics from files that are as they are told to be, into a real store.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hl_core::TimeMs;
use hl_core::statistics::{SERIES, Shape};
use hl_core::store::Store;
use hl_core::time::DAY_MS;
use hl_runtime::TokioClock;
use hl_scheduler::Task as _;
use hl_scheduler::jobs::CollectDailyStats;

use common::Published;

/// 2026-11-01.
const FIRST: i64 = 1_793_491_200_000;

struct Scene {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    published: Arc<Published>,
    now: Arc<AtomicI64>,
    task: CollectDailyStats,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(common::open(&folder, TokioClock::starting_at(TimeMs(FIRST))).await);
        let (published, now) = (Arc::new(Published::default()), Arc::new(AtomicI64::new(0)));
        let clock = now.clone();
        let now_of = Box::new(move || TimeMs(clock.load(Ordering::SeqCst)));
        let task = CollectDailyStats::new(store.clone(), published.clone(), now_of);
        Self { folder, store, published, now, task }
    }

    /// At noon of the day, the files reach that day, which goes on.
    fn day(&self, day: i64) {
        self.now.store(FIRST + day * DAY_MS + DAY_MS / 2, Ordering::SeqCst);
        for series in SERIES {
            let row = |d: i64| format!(r#"{{"time":"2026-11-{:02}T00:00:00","coin":"BTC","v":{d}}}"#, d + 1);
            let text = match series.shape {
                Shape::Days => {
                    format!(r#"{{"chart_data":[{}]}}"#, (0..=day).map(row).collect::<Vec<_>>().join(","))
                }
                Shape::Top => format!(r#"{{"table_data":[{{"name":"0xab","value":{day}}}]}}"#),
            };
            self.published.files.lock().unwrap().insert(series.name.to_owned(), text);
        }
    }

    fn change(&self, name: &str, change: impl FnOnce(String) -> String) {
        let mut files = self.published.files.lock().unwrap();
        let text = files.remove(name).unwrap();
        files.insert(name.to_owned(), change(text));
    }

    /// How many figures are new, or what went wrong.
    async fn run(&self) -> Result<u64, String> {
        let planned = TimeMs(self.now.load(Ordering::SeqCst));
        self.task.run(planned).await.map(|done| done.rows).map_err(|error| error.to_string())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.published.asked.lock().unwrap())
    }

    fn stored(&self, series: &str) -> Vec<(i64, f64)> {
        let conn = rusqlite::Connection::open(self.folder.path().join("hl.db")).unwrap();
        let mut rows =
            conn.prepare("SELECT day, value FROM statistics WHERE series = ?1 ORDER BY day").unwrap();
        let rows =
            rows.query_map([series], |row| Ok(((row.get::<_, i64>(0)? - FIRST) / DAY_MS, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn whole_days_are_stored_once() {
    let scene = Scene::new().await;
    let tables = SERIES.iter().filter(|series| series.shape == Shape::Top).count() as u64;
    let series = SERIES.len() as u64 - tables;
    scene.day(3);
    assert_eq!(
        scene.run().await,
        Ok(3 * series + tables),
        "three days that are over, and the tables of today"
    );
    assert_eq!(scene.asked().len(), SERIES.len());
    assert_eq!(scene.stored("daily_usd_volume"), [(0, 0.0), (1, 1.0), (2, 2.0)]);
    assert_eq!(scene.stored("largest_user_depositors"), [(3, 3.0)]);
    assert_eq!(scene.run().await, Ok(0));
    assert_eq!(scene.asked(), [""; 0], "nothing new can be in them");

    scene.day(5);
    scene.change("open_interest", |_| r#"{"chart_data":[{"time":"2026-11-04T00:00:00","v":3}]}"#.to_owned());
    assert_eq!(scene.run().await, Ok(2 * (series - 1) + 1 + tables));
    assert_eq!(scene.stored("liquidity_by_coin"), [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]);
    assert_eq!(scene.stored("largest_user_depositors"), [(3, 3.0), (5, 5.0)]);
    scene.asked();
    assert_eq!(scene.run().await, Ok(0));
    assert_eq!(scene.asked(), ["open_interest"], "its last day was not in the file yet");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_breaks_off_is_read_again_and_holds_nobody_up() {
    let scene = Scene::new().await;
    scene.day(4);
    scene.change("funding_rate", |text| text[..text.len() - 20].to_owned() + "…");
    scene.change("open_interest", |_| "<html>".to_owned());
    let error = scene.run().await.unwrap_err();
    let says = "reading daily statistics: open_interest: the file is not what it should be: byte 6: ";
    assert!(error.starts_with(says), "{error}");
    assert_eq!(scene.stored("liquidity_by_coin").len(), 4);
    assert_eq!(scene.store.statistics_through("funding_rate").await.unwrap(), None, "not read to its end");

    scene.asked();
    scene.day(4);
    assert_eq!(scene.run().await, Ok(8), "the days of both");
    assert_eq!(scene.asked(), ["funding_rate", "open_interest"]);
    for series in ["funding_rate", "open_interest"] {
        assert_eq!(scene.stored(series), [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]);
    }
}

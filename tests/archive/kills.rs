//! kill -9 of a run, again and again, at random moments.

use std::time::Duration;

use hl_archive::Whole;
use hl_core::StreamKey;
use hl_core::archive::StoredRows;
use hl_core::ledger::Span;
use hl_store::{Inspect as _, SqliteStore};

use crate::support::process::{Process, StoreFile, answer};
use crate::{ALL, coins, collected, days_ago};

/// A killed run had at most this long to live, ms: some die while they start, some in the middle.
const LONGEST_LIFE_MS: u64 = 250;

fn setting(name: &str, short: u64) -> u64 {
    std::env::var(name)
        .map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

async fn all(store: &StoreFile, streams: &[StreamKey]) -> Vec<StoredRows> {
    let inspect = SqliteStore::inspect(store.path()).unwrap();
    let whole = Whole::new(Box::new(inspect), store.folder().join("archive"));
    let mut all = Vec::new();
    for stream in streams {
        all.push(whole.stored_rows(*stream, Span::EVER).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_moment_loses_nothing_and_doubles_nothing() {
    let (kills, seed) = (setting("HL_TEST_KILLS", 12), setting("HL_TEST_SEED", 29));
    let mut random = fastrand::Rng::with_seed(seed);
    let store = StoreFile::new();
    let streams = collected(&store, &coins(&["BTC", "xyz:NVDA"]), days_ago(8), days_ago(0)).await;
    let before = all(&store, &streams).await;
    let words = [&["archive", "run", "--store", &store.uri, "--retention", "book=1d"][..], &ALL[..]].concat();
    let mut finished = 0;
    for _ in 0..kills {
        let mut run = Process::start("hl-cli", &words);
        let life = Duration::from_millis(random.u64(0..LONGEST_LIFE_MS));
        if tokio::time::timeout(life, run.ended()).await.is_ok() {
            finished += 1;
        }
        run.kill().await;
        assert_eq!(all(&store, &streams).await, before);
    }
    println!("{kills} runs were killed, {finished} of them had nothing left to do");
    let last = answer(&words).await;
    println!("the last run: {}", last["total"]);
    assert_eq!(all(&store, &streams).await, before);

    // Seven days are over for a day; the eighth is yesterday.
    let place = ["--store", store.uri.as_str()];
    let proof = answer(&[&["archive", "verify"], &place[..]].concat()).await;
    assert_eq!((&proof["clean"], &proof["doubled"], &proof["unread"]), (&true.into(), &0.into(), &0.into()));
    assert_eq!(proof["unrecorded"], serde_json::json!([]), "what crashes left was removed or set aside");
    let listed = answer(&[&["archive", "list"], &place[..]].concat()).await;
    let parts = listed["parts"].as_array().unwrap();
    let rows: u64 = parts.iter().map(|part| part["rows"].as_u64().unwrap()).sum();
    let due = |rows: &StoredRows| rows.records.keys().iter().filter(|key| key.time.0 < days_ago(1)).count();
    assert_eq!(rows, before.iter().map(due).sum::<usize>() as u64);
    let report = answer(&[&["verify"], &place[..]].concat()).await;
    assert_eq!((&report["clean"], &report["unread"]), (&true.into(), &0.into()), "{:#}", report["problems"]);
    // Of each day all minutes but those at the borders of the covered piece.
    assert_eq!(report["minutes_compared"], 2 * (8 * 1_440 - 1));
}

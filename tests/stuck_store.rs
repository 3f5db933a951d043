//! Another process holds the write lock of the store, as a backup or somebody's script does: the sockets are read on,
//! and nothing is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod support;

use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use support::process::{Exchange, StoreFile, all_over_ws, counter, until};

/// How long the lock is held: several times the 5 s that a request waits for it.
const HELD: Duration = Duration::from_secs(15);

fn lock(store: &StoreFile) -> Connection {
    let other = Connection::open(store.path()).unwrap();
    other.busy_timeout(HELD).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

fn unlock(other: Connection) {
    other.execute_batch("ROLLBACK").unwrap();
    other.close().unwrap();
}

/// Gaps that were not filled. Bars that a start touched may still wait for REST.
fn lasting(report: &Value) -> Vec<&Value> {
    // Bars in progress, and what the first replay of a slow coin does not prove: both are asked for.
    let is_asked_for =
        |gap: &Value| gap["cause"] == "first_start" || gap["stream"].as_str().unwrap().starts_with("candle/");
    let gaps = report["gaps"].as_array().unwrap();
    gaps.iter().filter(|&gap| gap["state"] != "backfilled" && !is_asked_for(gap)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_store_loses_nothing() {
    let exchange = Exchange::start(&["--coins", "20", "--seed", "3"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &["--coin", "all"]);
    let live = store.until_live("the sockets own everything", all_over_ws).await;
    let troubles = ["states_conflated", "rows_given_up"];
    let troubled = |live: &Value| troubles.map(|name| (name, counter(live, name)));
    let untroubled = troubled(&live);
    let committed = counter(&live, "rows_inserted");
    let sockets = exchange.status().await["counters"]["sockets_opened"].as_u64().unwrap();

    let other = lock(&store);
    let begun = exchange.now().await;
    let frames = async || exchange.status().await["counters"]["frames_sent"].as_u64().unwrap();
    let before = frames().await;
    let until_ms = begun + i64::try_from(HELD.as_millis()).unwrap();
    until("the lock was held long enough", async || (exchange.now().await >= until_ms).then_some(())).await;
    let sent = frames().await - before;
    unlock(other);

    let after = store
        .until_live("it commits again", |live| {
            live["at"].as_i64() > Some(until_ms.0) && counter(live, "rows_inserted") > committed
        })
        .await;
    println!(
        "{sent} frames were sent during the lock; {} commits failed",
        counter(&after, "commit_failures")
    );
    // Whose request met the lock first, a commit's or another's, is chance.
    assert!(daemon.log().contains("locked"), "the lock was felt: {}", daemon.log());
    assert_eq!(troubled(&after), untroubled, "no row was dropped");
    let counters = &exchange.status().await["counters"];
    assert_eq!(counters["not_reading"], 0, "the sockets were read all the time");
    assert_eq!(counters["sockets_opened"], sockets, "and none was lost");

    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let report = store.verified(&exchange).await;
    assert_eq!(lasting(&report), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_must_end_while_the_store_is_locked_loses_nothing_quietly() {
    let exchange = Exchange::start(&["--coins", "5", "--seed", "4"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &["--coin", "all"]);
    store.until_live("the sockets own everything", all_over_ws).await;

    let other = lock(&store);
    let begun = exchange.now().await;
    until("batches wait", async || (exchange.now().await >= begun + 3_000).then_some(())).await;
    daemon.terminate().await;
    unlock(other);

    let mut daemon = store.daemon(&exchange, &["--coin", "all"]);
    store.until_live("the next one owns everything", all_over_ws).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    store.verified(&exchange).await;
}

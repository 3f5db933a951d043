//! Daemons on one MongoDB, as real processes: each stream has one holder, a dead one is followed, and one that was paused
//! beyond its lease writes nothing when it wakes up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::process::{Exchange, StoreFile, all_over_ws, counter, until};

/// How many streams the process holds, and how many there are.
fn held(store: &Value, pid: u32) -> (usize, usize) {
    let streams = store["streams"].as_array().map(Vec::as_slice).unwrap_or_default();
    let held = streams.iter().filter(|stream| stream["holder"]["pid"] == pid).count();
    (held, streams.len())
}

/// Waits until one process holds everything that there is, and that is more than `before`.
async fn until_it_has_all(store: &StoreFile, pid: u32, before: usize) -> usize {
    until("one daemon has everything", async || {
        let (held, all) = held(&store.status().await, pid);
        (held == all && all > before).then_some(all)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_is_followed_and_one_that_was_paused_for_too_long_writes_nothing() {
    let exchange = Exchange::start(&["--coins", "3", "--seed", "5"]).await;
    let store = StoreFile::in_mongodb(hl_mongod::fresh_database());
    let first = store.daemon(&exchange, &["--coin", "BTC"]);
    store.until_live("the first collects", all_over_ws).await;
    let of_first = until_it_has_all(&store, first.pid(), 0).await;

    let mut second = store.daemon(&exchange, &["--coin", "BTC", "--coin", "ETH"]);
    until("the second collects", async || (held(&store.status().await, second.pid()).0 > 0).then_some(()))
        .await;
    first.kill().await;
    let of_second = until_it_has_all(&store, second.pid(), of_first).await;

    let mut third = store.daemon(&exchange, &["--coin", "BTC", "--coin", "ETH", "--coin", "SOL"]);
    until("the third collects", async || (held(&store.status().await, third.pid()).0 > 0).then_some(()))
        .await;
    second.signal(Signal::STOP);
    until_it_has_all(&store, third.pid(), of_second).await;
    second.signal(Signal::CONT);
    until("it begins anew", async || second.log().contains("a new session begins").then_some(())).await;
    assert_eq!(second.terminate().await.code(), Some(0), "{}", second.log());
    until_it_has_all(&store, third.pid(), of_second).await;

    store.until_live("the sockets own everything", all_over_ws).await;
    assert_eq!(third.terminate().await.code(), Some(0), "{}", third.log());
    store.verified(&exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_killed_goes_on_when_it_is_started_again_at_once() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "6"]).await;
    let store = StoreFile::in_mongodb(hl_mongod::fresh_database());
    let killed = store.daemon(&exchange, &["--coin", "BTC"]);
    store.until_live("it collects", all_over_ws).await;
    let all = until_it_has_all(&store, killed.pid(), 0).await;
    killed.kill().await;

    let mut again = store.daemon(&exchange, &["--coin", "BTC"]);
    assert_eq!(until_it_has_all(&store, again.pid(), 0).await, all);
    store.until_live("the sockets own everything", all_over_ws).await;
    assert_eq!(again.terminate().await.code(), Some(0), "{}", again.log());
    store.verified(&exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_loses_nothing() {
    let exchange = Exchange::start(&["--coins", "4", "--seed", "7"]).await;
    let server = hl_mongod::Server::start().await.unwrap();
    let store = StoreFile::in_mongodb(server.uri("frozen"));
    let mut daemon = store.daemon(&exchange, &["--coin", "all"]);
    let live = store.until_live("the sockets own everything", all_over_ws).await;
    let committed = counter(&live, "rows_inserted");
    server.freeze().unwrap();
    // Whichever request meets it first: each takes its time limit.
    let notices = |log: &str| log.contains("commit failed") || log.contains("could not be renewed");
    until("it notices", async || notices(&daemon.log()).then_some(())).await;
    server.thaw().unwrap();

    store.until_live("it commits again", |live| counter(live, "rows_inserted") > committed).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let report = store.verified(&exchange).await;
    // What the first subscriptions could not join was missing before the server stood still.
    let lasting = report["gaps"].as_array().unwrap().iter().filter(|gap| {
        gap["state"] != "backfilled"
            && gap["cause"] != "first_start"
            && !gap["stream"].as_str().unwrap().starts_with("candle/")
    });
    assert_eq!(lasting.count(), 0, "{:#}", report["gaps"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_leaderboard_is_stored_and_chosen_from() {
    // As many as the exchange has had: more than a small server takes in one transaction.
    let exchange = Exchange::start(&["--coins", "2", "--traders", "42000"]).await;
    let store = StoreFile::in_mongodb(hl_mongod::fresh_database());
    let mut daemon = store.daemon(&exchange, &["--track", "1000", "--track-rule", "minimum_score=1"]);
    until("the choice", async || daemon.log().contains("tracked traders chosen tracked=1000").then_some(()))
        .await;
    assert!(daemon.log().contains("leaderboard stored traders=42000"), "{}", daemon.log());
    store.until_live("the sockets own everything", all_over_ws).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    store.verified(&exchange).await;
}

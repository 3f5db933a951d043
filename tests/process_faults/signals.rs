//! SIGSTOP, SIGCONT and SIGTERM.

use std::collections::BTreeMap;
use std::path::Path;

use hl_core::TimeMs;
use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::process::{Exchange, StoreFile, all_over_ws, counter, until};
use crate::{lasting, passed, setting, setting_ms, show};

fn holder<'a>(status: &'a Value, stream: &str) -> &'a Value {
    let streams = status["streams"].as_array().unwrap();
    streams.iter().find(|s| s["stream"] == stream).map_or(&Value::Null, |s| &s["holder"]["pid"])
}

fn times(list: &Value, of: &str) -> BTreeMap<String, i64> {
    let streams = list["streams"].as_array().unwrap().iter();
    streams.filter_map(|s| Some((s["stream"].as_str()?.to_owned(), s[of].as_i64()?))).collect()
}

/// Where the settled past of each stream ends, in the store.
fn edges(status: &Value) -> BTreeMap<String, i64> {
    times(status, "edge")
}

/// The same, as the running daemon says.
fn taken_in(live: &Value) -> BTreeMap<String, i64> {
    times(live, "edge")
}

/// Batches in a spool whose process has ended.
fn spooled(database: &Path) -> i64 {
    let spool = hl_store::Spool::beside(database, 0);
    let spool = Connection::open_with_flags(spool, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    spool.query_row("SELECT count(*) FROM spool", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_daemon_keeps_its_streams_and_goes_on() {
    let lasts_ms = setting_ms("HL_TEST_STOP_S", 15);
    let exchange = Exchange::start(&["--coins", "2", "--seed", "21"]).await;
    let store = StoreFile::new();
    let mut first = store.daemon(&exchange, &["--coin", "BTC"]);
    store.until_live("the first collects", all_over_ws).await;
    let mut second = store.daemon(&exchange, &["--coin", "BTC", "--coin", "ETH"]);
    let of_second = Value::from(second.pid());
    let status = until("the second collects what the first does not", async || {
        let status = store.status().await;
        (*holder(&status, "trades/ETH") == of_second).then_some(status)
    })
    .await;
    let tokens = |pid: u32| {
        let holders = status["holders"].as_array().unwrap();
        holders.iter().find(|h| h["pid"] == pid).unwrap()["token"].clone()
    };
    let token = tokens(first.pid());

    let settled = edges(&store.status().await)["trades/BTC"];
    first.signal(Signal::STOP);
    let stopped = exchange.now().await;
    passed(&exchange, "it was stopped long enough", stopped, lasts_ms).await;
    let status = store.status().await;
    assert_eq!(*holder(&status, "trades/BTC"), first.pid(), "a stopped holder is not superseded: {status:#}");
    first.signal(Signal::CONT);

    let resumed = exchange.now().await;
    store
        .until_live("the first collects again", |live| {
            live["token"] == token && live["at"].as_i64() > Some(resumed.0 + 2_000) && all_over_ws(live)
        })
        .await;
    for daemon in [&mut first, &mut second] {
        assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
        assert!(!daemon.log().contains("another process holds"), "{}", daemon.log());
        assert_eq!(spooled(&store.path()), 0);
    }
    let report = store.verified(&exchange).await;
    show(&report);
    let gaps = lasting(&report, "trades/BTC");
    let mut outages = gaps.iter().filter(|gap| gap["cause"] == "outage");
    assert!(outages.all(|gap| gap["from"].as_i64() >= Some(settled)), "what was settled stays so: {gaps:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_under_load_it_loses_nothing_that_it_had_received() {
    let exchange = Exchange::start(&["--coins", "40", "--seed", "22"]).await;
    let store = StoreFile::new();
    let mut random = fastrand::Rng::with_seed(setting("HL_TEST_SEED", 22));
    for round in 0..setting("HL_TEST_TERMINATIONS", 2) {
        let mut daemon = store.daemon(&exchange, &["--coin", "all"]);
        let live = store.until_live("the sockets own everything", all_over_ws).await;
        let from = TimeMs(live["at"].as_i64().unwrap());
        passed(&exchange, "a moment", from, random.i64(0..1_500)).await;
        // How far each stream had been taken in, in memory or in the store.
        let taken_in = taken_in(&store.status().await["live"]);
        let status = daemon.terminate().await;
        let log = daemon.log();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("terminated; finishing what is in hand"), "{log}");
        assert_eq!(spooled(&store.path()), 0, "nothing was left to the next start");
        let stored = edges(&store.status().await);
        // Bars settle a minute later; before the first of them is final nothing of the stream is.
        for (stream, to) in taken_in.iter().filter(|(stream, _)| !stream.starts_with("candle/")) {
            assert!(stored.get(stream) >= Some(to), "{stream} was taken in up to {to}: {stored:?}");
        }
        println!(
            "round {round}: {} rows inserted, {} streams",
            counter(&live, "rows_inserted"),
            taken_in.len()
        );
    }
    store.verified(&exchange).await;
}

//! A set that is gone for minutes, on a busy market.

use std::path::Path;
use std::time::Duration;

use hl_core::seam::Clock as _;
use hl_mongod::ReplicaSet;
use hl_runtime::SystemClock;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::support::process::{Exchange, Process, StoreFile, all_over_ws, counter};
use crate::{Outcome, alone, lasting, memory_kb, setting};

const WARM_S: u64 = 20;
/// What the daemon may hold more than before while the server is away, kB.
const MOST_MORE_KB: u64 = 200 << 10;
const DRAINED: Duration = Duration::from_secs(900);

/// What lies in the spool, as the daemon said last.
fn spooled(daemon: &Process) -> (u64, u64) {
    let said = daemon.out();
    let last = said.iter().rev().find_map(|(_, line)| serde_json::from_str::<Value>(line).ok());
    let of = |name: &str| last.as_ref().and_then(|last| last["spool"][name].as_u64()).unwrap_or(0);
    (of("batches"), of("bytes"))
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(of) if of.is_dir() => size(&entry.path()),
            Ok(of) => of.len(),
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_for_minutes_costs_nothing() {
    let _alone = alone().await;
    let seconds = setting("HL_TEST_STOPPED_S", 15);
    let coins = setting("HL_TEST_STOPPED_COINS", 10).to_string();
    let activity = setting("HL_TEST_STOPPED_ACTIVITY", 5).to_string();
    let exchange = Exchange::start(&["--coins", &coins, "--activity", &activity, "--seed", "13"]).await;
    let mut set = ReplicaSet::start(3).await.unwrap();
    let store = StoreFile::in_mongodb(set.uri("stopped"));
    let mut daemon = store.daemon(&exchange, &["--coin", "all", "--json"]);
    store.until_live("the sockets own everything", all_over_ws).await;
    sleep_until(Instant::now() + Duration::from_secs(WARM_S.min(seconds))).await;
    let live = store.until_live("it says something", |_| true).await;
    let rate: f64 =
        live["streams"].as_array().unwrap().iter().filter_map(|of| of["records_per_s"].as_f64()).sum();
    let before = (memory_kb(&daemon, "VmRSS"), memory_kb(&daemon, "VmHWM"));

    for member in 0..set.size() {
        set.kill(member);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut next = Instant::now();
    let (mut during, mut batches, mut bytes, mut on_disk) = (0, 0, 0, 0);
    while next < end {
        next += Duration::from_secs(1);
        sleep_until(next).await;
        assert!(daemon.is_running(), "{}", daemon.log());
        during = during.max(memory_kb(&daemon, "VmRSS"));
        let spool = spooled(&daemon);
        (batches, bytes) = (batches.max(spool.0), bytes.max(spool.1));
        on_disk = on_disk.max(size(store.folder()));
    }
    for member in 0..set.size() {
        set.restart(member).await.unwrap();
    }
    set.primary().await.unwrap();
    let back = SystemClock.now();
    let draining = store.until_live_within("the spool is drained", DRAINED, |live| {
        live["at"].as_i64() > Some(back.0) && live["spool"]["batches"] == 0
    });
    let drained = draining.await;
    let drained_in = SystemClock.now().0 - back.0;
    let committed = counter(&drained, "rows_inserted");
    store.until_live("it goes on", |live| counter(live, "rows_inserted") > committed).await;
    let after = (memory_kb(&daemon, "VmRSS"), memory_kb(&daemon, "VmHWM"));
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());

    let mut outcome = Outcome::new("stopped", seconds);
    outcome.tell("rate", "rows a second before", rate.round() as u64);
    for (key, what, (rss, peak)) in [("before", "before", before), ("after", "afterwards", after)] {
        outcome.tell(&format!("rss_{key}_kb"), &format!("memory {what}, kB"), rss);
        outcome.tell(&format!("peak_{key}_kb"), &format!("most memory until then, {what}, kB"), peak);
    }
    outcome.tell("rss_during_kb", "most memory while the server was away, kB", during);
    outcome.tell("spool_batches", "most batches in the spool", batches);
    outcome.tell("spool_bytes", "most bytes in the spool", bytes);
    outcome.tell("disk_bytes", "its files, bytes", on_disk);
    outcome.tell("drained_ms", "drained after, ms", drained_in);
    let report = outcome.verify(&store, &exchange).await;
    outcome.tell_none("lasting", "gaps that stayed", lasting(&report));
    if during > before.0 + MOST_MORE_KB || after.1 > before.1 + MOST_MORE_KB {
        outcome.broken.push("memory grew while the server was away".to_owned());
    }
    outcome.end();
}

//! kill -9, again and again, at random moments.

use hl_core::TimeMs;

use crate::support::process::{Exchange, Process, StoreFile, all_over_ws, until};
use crate::{passed, setting, show};

/// A killed process had at most this long to live, ms: some die while they start, some in full swing.
const LONGEST_LIFE_MS: i64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_loses_nothing_quietly() {
    let (kills, seed) = (setting("HL_TEST_KILLS", 5), setting("HL_TEST_SEED", 23));
    let mut random = fastrand::Rng::with_seed(seed);
    let exchange = Exchange::start(&["--coins", "3", "--seed", "23"]).await;
    let store = StoreFile::new();
    let start = || store.daemon(&exchange, &["--coin", "BTC", "--coin", "ETH"]);
    let mut daemon = start();
    store.until_live("the sockets own everything", all_over_ws).await;
    for _ in 0..kills {
        passed(&exchange, "a moment", exchange.now().await, random.i64(0..LONGEST_LIFE_MS)).await;
        assert!(daemon.is_running(), "{}", daemon.log());
        let killed = std::mem::replace(&mut daemon, Process::start("hl-cli", &["--version"]));
        killed.kill().await;
        daemon = start();
    }
    let token = until("the last one has a token", async || {
        let status = store.status().await;
        status["holders"][0]["token"].as_u64()
    })
    .await;
    assert!(token <= kills + 1, "a start takes one token");
    let live = store.until_live("the sockets own everything", all_over_ws).await;
    let from = TimeMs(live["at"].as_i64().unwrap());
    passed(&exchange, "a quiet moment", from, 3_000).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());

    let report = store.verified(&exchange).await;
    show(&report);
    let left = std::fs::read_dir(store.folder().join("hl.db.locks")).unwrap().count();
    assert!(left <= 1, "{left} files of dead sessions were left");
}

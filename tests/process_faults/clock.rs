//! A system clock that steps while the daemon runs.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use hl_core::TimeMs;
use serde_json::Value;

use crate::support::process::{Exchange, StoreFile, all_over_ws, counter};
use crate::{lasting, passed, setting_ms, show};

const HOUR_MS: i64 = 3_600_000;

/// A wall clock that the programs started behind it see, and that the test steps.
struct SteppedClock {
    step: File,
    before: [String; 3],
}

impl SteppedClock {
    fn made_in(folder: &Path) -> Self {
        let (library, path) = (folder.join("stepped_clock.so"), folder.join("step"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process_faults/stepped_clock.c");
        let made = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .status();
        assert!(made.unwrap().success(), "the C compiler that the build needs makes this as well");
        let step = File::create(&path).unwrap();
        let before = [
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("STEPPED_CLOCK={}", path.display()),
        ];
        let clock = Self { step, before };
        clock.set(0);
        clock
    }

    /// Puts the clock so many ms before or behind the true one.
    fn set(&self, ms: i64) {
        self.step.write_all_at(&ms.to_ne_bytes(), 0).unwrap();
    }
}

/// When the daemon wrote its last line, by its own clock, as that line says.
fn says_hour(log: &str) -> &str {
    log.lines().last().and_then(|line| line.get(..13)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stepping_system_clock_moves_no_stamp() {
    let lasts_ms = setting_ms("HL_TEST_CLOCK_S", 3);
    let exchange = Exchange::start(&["--coins", "2", "--seed", "26"]).await;
    let store = StoreFile::new();
    let clock = SteppedClock::made_in(store.folder());
    let before: Vec<&str> = clock.before.iter().map(String::as_str).collect();
    let coins = ["--coin", "BTC", "--coin", "ETH"];
    let mut daemon = store.daemon_with(&exchange, &coins, &before);
    let mut live = store.until_live("the sockets own everything", all_over_ws).await;
    let true_hour = says_hour(&daemon.log()).to_owned();

    let mut ends = Vec::new();
    for step in [HOUR_MS, -HOUR_MS] {
        clock.set(step);
        // Asked for over REST, whose weight is booked by this clock.
        exchange.fault(&serde_json::json!({"kind": "drop"})).await;
        let from = exchange.now().await;
        passed(&exchange, "it ran under this clock", from, lasts_ms).await;
        let rows = counter(&live, "rows_inserted");
        live = store
            .until_live("it collects on", |live| {
                let said = live["at"].as_i64().unwrap_or(0);
                // By the exchange's clock, whatever the system's says.
                (from.0 + lasts_ms..from.0 + HOUR_MS / 2).contains(&said)
                    && counter(live, "rows_inserted") > rows
                    && all_over_ws(live)
            })
            .await;
        ends.push((from, TimeMs(live["at"].as_i64().unwrap())));
    }
    assert_eq!(counter(&live, "rest_429"), 0, "the weight that was booked still counts");
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    assert_ne!(says_hour(&daemon.log()), true_hour, "the clock did step: {}", daemon.log());

    // Started while the clock is wrong.
    let mut daemon = store.daemon_with(&exchange, &coins, &before);
    let from = exchange.now().await;
    store
        .until_live("the next one collects", |live| {
            let said = live["at"].as_i64().unwrap_or(0);
            (from.0..from.0 + HOUR_MS / 2).contains(&said) && all_over_ws(live)
        })
        .await;
    let held = store.status().await["holders"].as_array().map(Vec::len);
    assert_eq!(held, Some(1), "it has the lease");
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());

    let report = store.verified(&exchange).await;
    show(&report);
    for stream in ["trades/BTC", "mids"] {
        let longest = lasting(&report, stream).into_iter().map(length).max().unwrap_or(0);
        assert!(longest < HOUR_MS / 2, "{stream}: a step opened a gap of {longest} ms");
    }
}

fn length(gap: &Value) -> i64 {
    gap["to"].as_i64().unwrap() - gap["from"].as_i64().unwrap()
}

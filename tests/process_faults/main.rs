//! Faults of processes, disks and clocks, and visits of other programs, done to the real programs: stopped, terminated,
//! killed, without space, on a damaged file, under a clock that steps, with the database read, changed, moved or removed. Each test asserts what a user sees, that nothing is missing outside a
//! recorded gap, and how it recovers.
//!
//! `cargo test` runs the short forms; `cargo xtask faults` the long ones, by the variables that [`setting`] reads.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod clock;
mod disk;
mod files;
mod kills;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod visitors;

use hl_core::TimeMs;
use serde_json::Value;
use support::process::{Exchange, until};

/// A number that the long form sets by a variable.
fn setting(name: &str, short: u64) -> u64 {
    std::env::var(name)
        .map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

fn setting_ms(name: &str, short_s: u64) -> i64 {
    i64::try_from(setting(name, short_s) * 1_000).unwrap()
}

/// Waits until so much time has gone by at the exchange.
async fn passed(exchange: &Exchange, what: &str, since: TimeMs, ms: i64) {
    until(what, async || (exchange.now().await >= since + ms).then_some(())).await;
}

/// Gaps that were not filled. Bars that a start touched may still wait for REST.
fn lasting<'a>(report: &'a Value, stream: &str) -> Vec<&'a Value> {
    let gaps = report["gaps"].as_array().unwrap();
    gaps.iter().filter(|gap| gap["stream"] == stream && gap["state"] != "backfilled").collect()
}

/// One line a stream: what was stored, and what is missing inside gaps.
fn show(report: &Value) {
    for stream in report["streams"].as_array().unwrap() {
        let gaps = report["gaps"].as_array().unwrap();
        let gaps = gaps.iter().filter(|gap| gap["stream"] == stream["stream"]).count();
        println!(
            "{:16} rows {:6}, missing in gaps {:5}, gaps {gaps}",
            stream["stream"].as_str().unwrap(),
            stream["rows"],
            stream["missing_in_gaps"]
        );
    }
}

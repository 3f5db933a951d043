//! Daemons on a MongoDB replica set of three members, all of them real processes: primaries that step down, daemons that
//! are killed, stopped and cut off, and a set that is gone for minutes. Each test compares what is stored with the truth of
//! the exchange, and tells in a table how it went.
//!
//! `cargo test` runs the short forms, one after another; `cargo xtask mongo` the long ones, by the variables that
//! [`setting`] reads.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod history;
mod steps;
mod stopped;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use support::process::{Exchange, Process, StoreFile, command};
use tokio::sync::{Mutex, MutexGuard};

/// How long the comparison of a long run may take.
const COMPARISON: Duration = Duration::from_secs(900);

/// Waits until no other test of this file runs: three members and three daemons are enough for one machine.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// A number that the long form sets by a variable.
fn setting(name: &str, short: u64) -> u64 {
    std::env::var(name)
        .map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// A line of `/proc/PID/status`, kB.
fn memory_kb(process: &Process, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// What a run came to: lines of a table, the same as JSON, and the promises that did not hold.
struct Outcome {
    name: &'static str,
    lines: Vec<(String, String)>,
    json: Value,
    broken: Vec<String>,
}

impl Outcome {
    fn new(name: &'static str, seconds: u64) -> Self {
        let json = json!({ "name": name, "seconds": seconds });
        Self { name, lines: Vec::new(), json, broken: Vec::new() }
    }

    /// A figure.
    fn tell(&mut self, key: &str, what: &str, value: impl Into<Value>) {
        let value = value.into();
        self.lines.push((what.to_owned(), value.to_string().trim_matches('"').to_owned()));
        self.json[key] = value;
    }

    /// A figure that must be nothing.
    fn tell_none(&mut self, key: &str, what: &str, count: u64) {
        self.tell(key, what, count);
        if count > 0 {
            self.broken.push(format!("{what}: {count}"));
        }
    }

    /// Compares the store with the truth of the exchange.
    async fn verify(&mut self, store: &StoreFile, exchange: &Exchange) -> Value {
        let words = ["verify", "--store", &store.uri, "--truth", &exchange.base, "--json"];
        let mut verify = command(&[], "hl-cli", &words);
        let verified = tokio::time::timeout(COMPARISON, verify.output()).await.unwrap().unwrap();
        let report: Value = serde_json::from_slice(&verified.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&verified.stderr)));
        let streams = report["streams"].as_array().unwrap();
        let sum = |name: &str| streams.iter().map(|stream| stream[name].as_u64().unwrap_or(0)).sum::<u64>();
        let gaps = report["gaps"].as_array().unwrap();
        let filled = gaps.iter().filter(|gap| gap["state"] == "backfilled").count();
        self.tell("rows", "rows stored", sum("rows"));
        self.tell_none("missing", "rows lost, and nobody says so", sum("missing"));
        self.tell_none("duplicates", "rows stored twice", report["duplicates"].as_u64().unwrap());
        self.tell_none("different", "rows that say something else", sum("different"));
        self.tell_none("extra", "rows that never were", sum("extra"));
        let overlapping = report["overlapping_claims"].as_u64().unwrap();
        self.tell_none("overlapping_claims", "claims that overlap", overlapping);
        self.tell("gaps", "gaps written down", gaps.len());
        self.tell("gaps_backfilled", "… of them filled", filled);
        self.tell("missing_in_gaps", "rows missing inside of gaps", sum("missing_in_gaps"));
        for problem in report["problems"].as_array().unwrap() {
            self.broken.push(problem.to_string());
        }
        report
    }

    /// Shows it, keeps it where the long form asks for it, and fails where a promise did not hold.
    fn end(mut self) {
        let mut table = format!("{}\n", self.name);
        for (what, value) in &self.lines {
            let _ = writeln!(table, "  {what:44} {value}");
        }
        for broken in self.broken.iter().take(20) {
            let _ = writeln!(table, "  BROKEN: {broken}");
        }
        println!("{table}");
        self.json["held"] = self.broken.is_empty().into();
        self.json["broken"] = self.broken.clone().into();
        if let Some(path) = std::env::var_os("HL_TEST_REPORT") {
            let path = std::path::PathBuf::from(path);
            std::fs::write(path.with_extension("txt"), &table).unwrap();
            std::fs::write(path.with_extension("json"), self.json.to_string()).unwrap();
        }
        assert!(self.broken.is_empty(), "{table}");
    }
}

/// Median and worst, in seconds with one digit.
fn median_and_worst(mut times_ms: Vec<i64>) -> Option<(String, String)> {
    times_ms.sort_unstable();
    let seconds = |ms: i64| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    Some((seconds(*times_ms.get(times_ms.len() / 2)?), seconds(*times_ms.last()?)))
}

/// Gaps that were not filled. Bars that a start touched may still wait for REST, and so may what the first subscriptions could
/// not join.
fn lasting(report: &Value) -> u64 {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let lasting = gaps.filter(|gap| {
        gap["state"] != "backfilled"
            && gap["cause"] != "first_start"
            && !gap["stream"].as_str().unwrap().starts_with("candle/")
    });
    lasting.count() as u64
}

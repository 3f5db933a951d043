//! A minute of faults, with real processes: what the exchange and the machine do to a collector, one after another.
//! Afterwards everything is stored once, or inside a recorded gap, and the gaps lie where the faults were.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod support;

use hl_core::TimeMs;
use hl_core::ledger::{GapState, Span};
use serde_json::{Value, json};
use support::process::{Exchange, Process, StoreFile, all_over_ws, counter, until};

/// A busy coin, and one that trades less than once a minute.
// A settlement that is missing from before the start would be a gap outside of every fault.
const ARGUMENTS: [&str; 6] = ["--coin", "BTC", "--coin", "DOGE", "--job", "collect_funding=off"];
/// A state may be this old when a fault begins, since it comes this seldom: the default book, ms.
const CADENCE_MS: i64 = 6_000;
/// A bar is missing whole, ms.
const BAR_MS: i64 = 60_000;

/// A daemon under faults, and when each of them held it off the socket.
struct Story {
    exchange: Exchange,
    store: StoreFile,
    daemon: Process,
    windows: Vec<(&'static str, Span)>,
}

impl Story {
    /// Waits until the sockets own every stream and, since `from`, no stream has moved for a while.
    async fn settled(&mut self, name: &'static str, from: TimeMs, lasts_ms: i64) -> Value {
        let live = until("the sockets own everything again", async || {
            let now = self.exchange.now().await;
            let live = self.store.status().await["live"].take();
            let said = live["at"].as_i64().unwrap_or(0);
            // A word from after the fault, and after the last handover that the log shows.
            let moved = self.last_handover(from).unwrap_or(from);
            let fresh = said > from.0 + lasts_ms && said > moved.0 && now > from + lasts_ms;
            (fresh && all_over_ws(&live)).then_some(live)
        })
        .await;
        let until = self.last_handover(from).unwrap_or(from).max(from + lasts_ms);
        self.windows.push((name, Span::new(from, until)));
        live
    }

    fn last_handover(&self, from: TimeMs) -> Option<TimeMs> {
        let log = self.daemon.err();
        log.iter().rev().find(|(at, line)| *at >= from && line.contains("handover")).map(|(at, _)| *at)
    }

    async fn suffer(&mut self, name: &'static str, faults: &[Value]) -> Value {
        let from = self.exchange.now().await;
        for fault in faults {
            self.exchange.fault(fault).await;
        }
        let lasts_ms = faults.iter().filter_map(|fault| fault["for_ms"].as_i64()).max().unwrap_or(0);
        self.settled(name, from, lasts_ms).await
    }

    /// For how long, ms, each lasting gap of `stream` lies outside every window. A bar is missing whole: one that a window
    /// touches is inside.
    fn outside(&self, gaps: &[Value], stream: &str) -> Vec<i64> {
        let lasting = gaps.iter().filter(|gap| gap["stream"] == stream && gap["state"] != "backfilled");
        let time = |gap: &Value, end: &str| TimeMs(gap[end].as_i64().unwrap());
        let within = |piece: Span| {
            let inside = self.windows.iter().filter_map(move |(_, window)| window.intersect(piece));
            inside.map(Span::ms).sum::<i64>()
        };
        lasting
            .map(|gap| {
                let gap = Span::new(time(gap, "from"), time(gap, "to"));
                if !stream.starts_with("candle/") {
                    return gap.ms() - within(gap);
                }
                let bars = (gap.from.0..gap.to.0).step_by(usize::try_from(BAR_MS).unwrap());
                let bars = bars.map(|from| Span::new(TimeMs(from), TimeMs(from + BAR_MS)));
                bars.filter(|bar| within(*bar) == 0).map(Span::ms).sum()
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_faults() {
    let exchange = Exchange::start(&["--coins", "5", "--seed", "11"]).await;
    let store = StoreFile::new();
    let daemon = store.daemon(&exchange, &ARGUMENTS);
    store.until_live("the sockets own everything", all_over_ws).await;
    let mut story = Story { exchange, store, daemon, windows: Vec::new() };

    let live = story.suffer("dropped", &[json!({"kind": "drop"})]).await;
    assert!(counter(&live, "socket_losses") > 0);
    let lost = counter(&live, "socket_losses");

    let handovers = counter(&live, "handovers");
    let muted = json!({"kind": "mute", "stream": "trades/BTC", "for_ms": 15_000});
    let live = story.suffer("muted", &[muted]).await;
    assert!(counter(&live, "handovers") >= handovers + 2, "taken over, and given back");
    // Whether the ledger has a gap for it depends on how far back the taker's first answer reaches.
    let log = story.daemon.log();
    let mut handovers =
        log.lines().filter(|line| line.contains("handover") && line.contains("stream=trades/BTC"));
    assert!(handovers.any(|line| line.contains("cause=\"silence\"")), "the mute is noticed as one: {log}");

    let refused = [json!({"kind": "refuse", "for_ms": 12_000}), json!({"kind": "drop"})];
    let live = story.suffer("refused", &refused).await;
    assert!(counter(&live, "socket_losses") > lost);
    assert!(counter(&live, "rows_inserted") > 0);

    // REST is asked only where a socket cannot serve.
    let limited = [json!({"kind": "http", "status": 429, "for_ms": 5_000}), json!({"kind": "drop"})];
    let before = story.suffer("limited", &limited).await;
    assert!(counter(&before, "rest_429") > 0);

    let from = story.exchange.now().await;
    let killed = std::mem::replace(&mut story.daemon, Process::start("hl-cli", &["--version"]));
    killed.kill().await;
    story.daemon = story.store.daemon(&story.exchange, &ARGUMENTS);
    let live = story.settled("killed", from, 0).await;
    assert!(live["token"].as_u64() > before["token"].as_u64(), "the next process has a token of its own");

    // Quiet again, until a minute that no fault touched is final.
    let quiet = story.exchange.now().await;
    story
        .store
        .until_live("minutes pass", |live| {
            let streams = live["streams"].as_array().unwrap();
            let mut bars = streams.iter().filter(|s| s["stream"] == "candle/BTC/1m");
            bars.any(|bar| bar["edge"].as_i64().unwrap_or(0) > quiet.0)
        })
        .await;
    assert_eq!(story.daemon.terminate().await.code(), Some(0), "{}", story.daemon.log());

    let report = story.store.verified(&story.exchange).await;
    let applied = &story.exchange.status().await["faults_applied"];
    for kind in ["drop", "mute", "refuse", "http"] {
        assert!(applied[kind].as_u64().unwrap_or(0) > 0, "{kind} did no harm: {applied}");
    }

    for (name, window) in &story.windows {
        println!("{name:8} {:6} ms", window.ms());
    }
    let gaps = report["gaps"].as_array().unwrap();
    for stream in report["streams"].as_array().unwrap() {
        let name = stream["stream"].as_str().unwrap();
        let of = |state: GapState| {
            gaps.iter().filter(|gap| gap["stream"] == name && gap["state"] == state.as_str()).count()
        };
        let outside = story.outside(gaps, name);
        println!(
            "{name:14} rows {:5}, missing in gaps {:4}, gaps {} open, {} unrecoverable, {} backfilled; \
             {} ms of gaps outside the windows",
            stream["rows"],
            stream["missing_in_gaps"],
            of(GapState::Open),
            of(GapState::Unrecoverable),
            of(GapState::Backfilled),
            outside.iter().sum::<i64>(),
        );
        let most = if name.starts_with("candle/") { BAR_MS } else { CADENCE_MS };
        assert!(outside.iter().all(|&ms| ms <= most), "{name}: {outside:?}: {gaps:#?}");
    }
}

//! Playback of a recording: its frames, at its own pace, to whoever subscribes their coin.
//!
//! A line is `{"received_wall_ns","channel","data"}`. Playback starts half a second after the first subscription, so
//! that a client that subscribes one coin after the other misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use bytes::Bytes;
use hl_core::{Coin, Interval};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::config::SimError;
use crate::wire::BookOptions;
use crate::ws::hub::Hub;
use crate::ws::topic::Topic;

/// Time for a client's further subscriptions before the first frame.
const SETTLE: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Line<'a> {
    received_wall_ns: i64,
    channel: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What says which subscription a frame belongs to.
#[derive(Deserialize)]
struct Tag {
    #[serde(alias = "s")]
    coin: Option<Coin>,
    i: Option<Interval>,
    #[serde(default)]
    fast: bool,
    sz: Option<String>,
}

struct Recorded {
    after: Duration,
    topic: Topic,
    text: Bytes,
}

/// A recording and how far it was played.
pub(crate) struct Replay {
    frames: Vec<Recorded>,
    /// Coins of the recording and the most decimals seen in their sizes.
    coins: BTreeMap<Coin, usize>,
    skipped: usize,
    played: usize,
    begun: Option<Instant>,
    speed: f64,
}

/// How far a playback is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ReplayStatus {
    /// Whether every frame was played.
    pub replay_finished: bool,
    /// Frames of the recording that can be played.
    pub replay_frames: usize,
    /// Frames played so far, whether somebody was subscribed or not.
    pub replay_played: usize,
    /// Lines on channels that no subscription of the playback names.
    pub replay_skipped: usize,
}

impl Replay {
    /// Reads a whole recording.
    pub(crate) fn read(path: &Path, speed: f64) -> Result<Self, SimError> {
        let failed = |source: io::Error| SimError::Recording { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mut replay =
            Self { frames: Vec::new(), coins: BTreeMap::new(), skipped: 0, played: 0, begun: None, speed };
        let mut first = None;
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let wrong = |reason: String| SimError::Frame { path: path.to_owned(), line: i + 1, reason };
            let parsed: Line<'_> = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
            let first = *first.get_or_insert(parsed.received_wall_ns);
            let after = u64::try_from(parsed.received_wall_ns.saturating_sub(first)).unwrap_or(0);
            match replay.topic(&parsed).map_err(|e| wrong(e.to_string()))? {
                Some(topic) => {
                    let text = format!(r#"{{"channel":"{}","data":{}}}"#, parsed.channel, parsed.data.get());
                    let after = Duration::from_nanos(after);
                    replay.frames.push(Recorded { after, topic, text: Bytes::from(text) });
                }
                None => replay.skipped += 1,
            }
        }
        Ok(replay)
    }

    fn topic(&mut self, line: &Line<'_>) -> Result<Option<Topic>, serde_json::Error> {
        let tags: Vec<Tag> = match line.channel {
            "trades" => serde_json::from_str(line.data.get())?,
            "l2Book" | "bbo" | "candle" | "activeAssetCtx" | "activeSpotAssetCtx" => {
                vec![serde_json::from_str(line.data.get())?]
            }
            "allMids" => return Ok(Some(Topic::AllMids(None))),
            _ => return Ok(None),
        };
        let decimals = |t: &Tag| {
            let digits =
                t.sz.as_deref().and_then(|s| s.split_once('.')).map(|(_, d)| d.trim_end_matches('0'));
            digits.map_or(0, str::len)
        };
        let most = tags.iter().map(decimals).max().unwrap_or(0);
        let Some(Tag { coin: Some(coin), i, fast, .. }) = tags.into_iter().next() else { return Ok(None) };
        let known = self.coins.entry(coin).or_default();
        *known = (*known).max(most);
        Ok(match line.channel {
            "trades" => Some(Topic::Trades(coin)),
            "l2Book" => Some(Topic::Book(coin, BookOptions { fast, ..BookOptions::default() })),
            "bbo" => Some(Topic::Bbo(coin)),
            "candle" => i.map(|interval| Topic::Candle(coin, interval)),
            _ => Some(Topic::Context(coin)),
        })
    }

    pub(crate) fn lists(&self, coin: Coin) -> bool {
        self.coins.contains_key(&coin)
    }

    /// Starts the playback shortly, unless it runs already.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun.get_or_insert(now + SETTLE);
    }

    /// When the next frame is due. `None`: the playback has not begun, or is over.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        Some(self.begun? + self.frames.get(self.played)?.after.div_f64(self.speed))
    }

    /// Plays what is due.
    pub(crate) fn play(&mut self, hub: &mut Hub, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now) {
            if let Some(frame) = self.frames.get(self.played) {
                hub.publish(&frame.topic, &frame.text, now);
            }
            self.played += 1;
        }
    }

    pub(crate) fn status(&self) -> ReplayStatus {
        ReplayStatus {
            replay_finished: self.begun.is_some() && self.played == self.frames.len(),
            replay_frames: self.frames.len(),
            replay_played: self.played,
            replay_skipped: self.skipped,
        }
    }

    fn dexes(&self) -> BTreeSet<&'static str> {
        self.coins.keys().filter_map(|c| Some(c.as_str().split_once(':')?.0)).collect()
    }

    /// `perpDexs`, as far as the coins tell.
    pub(crate) fn perp_dexs(&self) -> Value {
        let builders = self.dexes().into_iter().map(|name| {
            json!({"name": name, "fullName": name, "deployer": "0x0000000000000000000000000000000000000000",
                   "oracleUpdater": null, "feeRecipient": null, "assetToStreamingOiCap": []})
        });
        std::iter::once(Value::Null).chain(builders).collect()
    }

    /// `meta` of a dex: the coins that the recording has of it.
    pub(crate) fn meta(&self, dex: &str) -> Option<Value> {
        if !dex.is_empty() && !self.dexes().contains(dex) {
            return None;
        }
        let of = |c: &Coin| c.as_str().split_once(':').map_or("", |(dex, _)| dex) == dex;
        let is_perp = |c: &Coin| !c.as_str().starts_with('@') && !c.as_str().contains('/');
        let listed = self.coins.iter().filter(|(c, _)| of(c) && is_perp(c));
        let universe: Vec<_> = listed
            .map(|(c, d)| json!({"name": c, "szDecimals": d, "maxLeverage": 10, "marginTableId": 10}))
            .collect();
        let tiers = json!([{"lowerBound": "0.0", "maxLeverage": 10}]);
        let tables = json!([[10, {"description": "", "marginTiers": tiers}]]);
        Some(json!({"universe": universe, "marginTables": tables, "collateralToken": 0}))
    }
}

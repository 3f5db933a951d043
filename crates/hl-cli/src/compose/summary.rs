//! What a run came to: said when it ends, however it ends.

use std::fmt::Write as _;

use hl_core::TimeMs;
use hl_engine::Snapshot;
use serde::Serialize;

use super::shutdown::Why;
use crate::config::{Config, ThisMachine};
use crate::human;

/// What was done in all sessions of the process on its store.
#[derive(Default)]
pub(super) struct Tally {
    streams: usize,
    records: u64,
    rows_written: u64,
    rows_differing: u64,
    gaps_opened: u64,
    spooled_batches: u64,
    /// Gaps that are not filled, of its streams; none where the store could not say.
    gaps_unfilled: Option<u64>,
    /// What was last seen to be in the way.
    pub(super) trouble: Option<String>,
    /// Why nothing could be written to the store at the end, in words.
    pub(super) store_gone: Option<String>,
}

impl Tally {
    /// Adds a session that has ended, with all it had taken in committed or in the spool.
    pub(super) fn add(&mut self, ended: &Snapshot, gaps_unfilled: Option<u64>) {
        self.streams = self.streams.max(ended.streams.len());
        self.records += ended.streams.values().map(|meter| meter.tally.admitted).sum::<u64>();
        self.rows_written += ended.pipeline.inserted;
        self.rows_differing += ended.pipeline.differing;
        self.gaps_opened += ended.streams.values().map(|meter| meter.gaps).sum::<u64>();
        self.spooled_batches = ended.spool.0;
        self.gaps_unfilled = gaps_unfilled;
        if self.is_empty() && self.trouble.is_none() {
            let broken = ended.sockets.iter().find_map(|socket| socket.trouble.clone());
            let young = ended.sockets.iter().any(|socket| socket.counters.connects > 0);
            let words = || "a new connection proves itself for some seconds first; give it longer".to_owned();
            self.trouble = broken.or_else(|| young.then(words));
        }
    }

    /// Whether nothing came from the exchange.
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// A run that has ended.
#[derive(Serialize)]
pub(super) struct Summary {
    /// `interrupted`, `terminated`, `hung_up`, `time_over`, `failed`.
    ended: &'static str,
    /// When, ms.
    at: TimeMs,
    /// How long it ran, ms.
    ran_ms: i64,
    network: String,
    store: String,
    /// Streams that it collected.
    streams: usize,
    /// Records that it took in.
    records: u64,
    /// Rows that it wrote: new ones, and bars that became more complete.
    rows_written: u64,
    /// Rows that said something else than the ones stored under their keys, which stay.
    rows_differing: u64,
    /// Gaps that it opened.
    gaps_opened: u64,
    /// Gaps of the streams in the store that are not filled; none where the store could not say.
    gaps_unfilled: Option<u64>,
    /// Batches that wait in the spool for the next start.
    spooled_batches: u64,
    /// Why nothing could be written to the store at the end, in words.
    store_gone: Option<String>,
    #[serde(skip)]
    words: &'static str,
    /// How to name the store to `hl-cli`.
    #[serde(skip)]
    flags: String,
}

impl Summary {
    pub(super) fn new(tally: &Tally, config: &Config, why: Option<Why>, at: TimeMs, ran_ms: i64) -> Self {
        Self {
            ended: why.map_or("failed", Why::as_str),
            words: why.map_or("failed", Why::words),
            at,
            ran_ms,
            network: config.network.name(),
            store: config.store.to_string(),
            streams: tally.streams,
            records: tally.records,
            rows_written: tally.rows_written,
            rows_differing: tally.rows_differing,
            gaps_opened: tally.gaps_opened,
            gaps_unfilled: tally.gaps_unfilled,
            spooled_batches: tally.spooled_batches,
            store_gone: tally.store_gone.clone(),
            flags: config.store_flags(&ThisMachine),
        }
    }

    /// One JSON object a line, or words.
    pub(super) fn text(&self, as_json: bool) -> String {
        if as_json {
            return serde_json::json!({ "summary": self }).to_string() + "\n";
        }
        let Self { words, store, flags, rows_written, gaps_opened, spooled_batches, .. } = self;
        let mut text = String::new();
        let ran = human::length(self.ran_ms);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words} after {ran}: {rows_written} rows written to {store}");
        if self.records == 0 {
            let _ = writeln!(text, "nothing was collected from {}", self.network);
        }
        if self.rows_differing > 0 {
            let _ = writeln!(
                text,
                "{} rows said something else than what is stored under their keys, which stays",
                self.rows_differing
            );
        }
        let unfilled = match self.gaps_unfilled {
            Some(gaps) => format!("{gaps} in the store are not filled"),
            None => "the store does not say how many are not filled".to_owned(),
        };
        let _ = writeln!(text, "gaps: {gaps_opened} opened in this run; {unfilled}");
        if let Some(gone) = &self.store_gone {
            let _ = writeln!(
                text,
                "{spooled_batches} batches wait in the spool; the next start stores them once the store is back"
            );
            let _ = writeln!(text, "next: {gone}");
            return text;
        }
        if *spooled_batches > 0 {
            let _ = writeln!(text, "{spooled_batches} batches wait in the spool; the next start stores them");
        }
        let _ = writeln!(text, "next: hl-cli coverage{flags}    what is missing, and why");
        let _ = writeln!(text, "      hl-cli verify{flags}      an audit of all that is stored");
        let _ = writeln!(
            text,
            "      the same command again goes on from here; what it misses meanwhile is recorded as a gap"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(records: u64, spooled_batches: u64) -> Summary {
        Summary {
            ended: Why::Interrupted.as_str(),
            store_gone: None,
            words: Why::Interrupted.words(),
            at: TimeMs(9),
            ran_ms: 78_000,
            network: "sim".to_owned(),
            store: "sqlite:./data/hyperliquid-sim.db".to_owned(),
            streams: 26,
            records,
            rows_written: 1_234,
            rows_differing: 0,
            gaps_opened: 1,
            gaps_unfilled: Some(2),
            spooled_batches,
            flags: " --network sim".to_owned(),
        }
    }

    #[test]
    fn a_run_ends_with_what_it_came_to_and_what_to_do_next() {
        let text = summary(5, 0).text(false);
        let lines: Vec<_> = text.lines().collect();
        let first = "stopped by Ctrl-C after 1m 18s: 1234 rows written to sqlite:./data/hyperliquid-sim.db";
        assert_eq!(lines[..2], [first, "gaps: 1 opened in this run; 2 in the store are not filled"]);
        assert!(lines[2].starts_with("next: hl-cli coverage --network sim "), "{text}");
        let text = Summary { rows_differing: 7, ..summary(5, 0) }.text(false);
        assert!(text.contains("7 rows said something else than what is stored under their keys"), "{text}");
        let text = summary(0, 3).text(false);
        assert!(
            text.contains("nothing was collected from sim\n") && text.contains("3 batches wait"),
            "{text}"
        );
    }

    #[test]
    fn where_the_store_is_gone_that_comes_first() {
        let gone = Some("the file is not there; put it back".to_owned());
        let text = Summary { store_gone: gone, ..summary(5, 2) }.text(false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[3..], ["next: the file is not there; put it back"], "{text}");
        assert!(lines[2].contains("once the store is back"), "{text}");
    }

    #[test]
    fn for_programs_it_is_one_object_on_one_line() {
        let text = summary(5, 0).text(true);
        assert_eq!(text.lines().count(), 1);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({ "summary": {
            "ended": "interrupted", "at": 9, "ran_ms": 78_000, "network": "sim",
            "store": "sqlite:./data/hyperliquid-sim.db", "streams": 26, "records": 5, "rows_written": 1_234, "rows_differing": 0,
            "gaps_opened": 1, "gaps_unfilled": 2, "spooled_batches": 0, "store_gone": null,
        }});
        assert_eq!(object, expected);
    }
}

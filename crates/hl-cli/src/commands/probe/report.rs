//! What the probe says at its end.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use hl_core::{Coin, TimeMs};
use serde::Serialize;

use super::assumption::{Finding, Verdict, all};
use super::evidence::Evidence;
use crate::exit::Exit;
use crate::human;

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Report {
    network: String,
    coin: Coin,
    /// When it began, ms.
    at: TimeMs,
    took_ms: i64,
    holds: usize,
    differs: usize,
    not_seen: usize,
    pub(super) assumptions: Vec<Line>,
}

/// One assumption.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) id: &'static str,
    assumed: &'static str,
    tried: &'static str,
    /// What was seen; where nothing was, why.
    seen: String,
    pub(super) verdict: Verdict,
    /// What the collector does where it is otherwise.
    otherwise: &'static str,
}

impl Report {
    /// Compares what was seen with every assumption.
    pub(super) fn new(network: String, at: TimeMs, took_ms: i64, users: bool, evidence: &Evidence) -> Self {
        let line = |a: &'static super::assumption::Assumption| {
            let (verdict, seen) = match (a.judge)(evidence) {
                Ok(Finding { holds: true, seen }) => (Verdict::Holds, seen),
                Ok(Finding { holds: false, seen }) => (Verdict::Differs, seen),
                Err(why) => (Verdict::NotSeen, why),
            };
            Line { id: a.id, assumed: a.assumed, tried: a.tried, seen, verdict, otherwise: a.otherwise }
        };
        let assumptions: Vec<Line> = all(users).map(line).collect();
        let count = |verdict| assumptions.iter().filter(|line| line.verdict == verdict).count();
        Self {
            network,
            coin: evidence.coin,
            at,
            took_ms,
            holds: count(Verdict::Holds),
            differs: count(Verdict::Differs),
            not_seen: count(Verdict::NotSeen),
            assumptions,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match (self.differs, self.not_seen) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Unseen,
            _ => Exit::Differs,
        }
    }

    /// The answer for people: a table, then what follows from each difference.
    pub(super) fn text(&self) -> String {
        let mut table = human::table(&["verdict", "assumption", "assumed", "seen"]);
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Left);
        }
        for line in &self.assumptions {
            table.add_row([line.verdict.words(), line.id, line.assumed, &line.seen]);
        }
        // Writing to a string cannot fail.
        let mut text = String::new();
        let _ = writeln!(text, "{}\n", table.trim_fmt());
        for line in self.assumptions.iter().filter(|line| line.verdict == Verdict::Differs) {
            let _ =
                writeln!(text, "{}: {}; seen: {}\n  {}\n", line.id, line.assumed, line.seen, line.otherwise);
        }
        let (network, coin) = (&self.network, self.coin);
        let (holds, differs, not_seen) = (self.holds, self.differs, self.not_seen);
        let took = human::length(self.took_ms);
        let _ = writeln!(
            text,
            "{network}, {coin}, {took}: {holds} hold, {differs} differ, {not_seen} were not seen"
        );
        text
    }
}

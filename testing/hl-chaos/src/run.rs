//! One run: a daemon in a storm, and what became of the data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_core::ledger::{Cause, Span};
use hl_core::row::Table;
use hl_core::seam::Seed;
use hl_core::stream::Conflation;
use hl_core::{Kind, Records, SourceId, StreamKey, TimeMs};
use hl_sim::FaultKind;
use hl_store::{Inspect as _, SqliteStore, StreamRow};
use hl_verify::{Finding, Tally, Truth as _, compare, every_row_counts};
use rusqlite::types::ValueRef;
use tokio::time::{Instant, sleep, sleep_until};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::beyond;
use crate::errs::{self, ARRIVED_MS};
use crate::storm::bars_show;
use crate::world::{Ended, Never};
use crate::{ChaosError, Daemon, Density, Market, Outcome, START, SimTruth, Step, Storm, Trace, World};

const HOUR_MS: i64 = 3_600_000;
/// Stored rows are compared with the truth once they are so old, ms: by then nothing changes them any more, since bars
/// are audited within half an hour.
const SETTLED_MS: i64 = HOUR_MS;
/// The exchange knows its past for so long, ms.
const RETENTION_MS: i64 = 3 * HOUR_MS;
/// Quiet time at the end: bars are audited every ten minutes or so, and what an audit finds is read again.
const CALM_MINUTES: u32 = 25;
/// A subscription that the exchange forgot without a word is made anew after so long at the latest, ms.
const FORGOTTEN_MS: u64 = 330_000;
/// What is older than this at the end is behind the edge of its stream, ms.
const BEHIND_MS: i64 = 180_000;
/// A daemon that ended by itself is started again after so long, as a service manager does.
const RESTART: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The market.
    pub market: Market,
    /// How dense the storm is.
    pub density: Density,
    /// How long it lasts, simulated ms.
    pub length_ms: u64,
    /// Whether final bars are audited, as the product does it. Without, what a storm did to them stays to be seen.
    pub audited: bool,
}

/// Runs a plan, and calls `progress` now and then with the simulated milliseconds of the storm done since the last call.
/// Must be called inside a runtime of one thread with a paused clock, alone in it.
///
/// # Errors
/// When no world could be made, or no verdict be reached. What is wrong with the daemon stands in the outcome.
pub async fn run(plan: &Plan, trace: Trace, progress: &dyn Fn(u64)) -> Result<Outcome, ChaosError> {
    // The daemon's log is a part of the trace.
    let logged = tracing_subscriber::registry().with(trace.layer());
    let _log = tracing::subscriber::set_default(logged);
    let mut config = plan.market.config(plan.seed);
    config.retention_ms = RETENTION_MS;
    let mut world = World::with(config, trace).await?;
    (world.audited, world.tracked) = (plan.audited, plan.market.tracked);
    let mut run = Run {
        plan,
        world,
        outcome: Outcome { seed: plan.seed, ..Outcome::default() },
        tallies: BTreeMap::new(),
        compared_to: START,
        held_up: Vec::new(),
        set_by_ms: 0,
        withheld: Vec::new(),
    };
    run.storm(progress).await?;
    run.judge().await?;
    run.outcome.hash = run.hash()?;
    Ok(run.outcome)
}

struct Run<'a> {
    plan: &'a Plan,
    world: World,
    outcome: Outcome,
    tallies: BTreeMap<StreamKey, Tally>,
    compared_to: TimeMs,
    /// When the network held frames up, in order. What bears no time of its own is stamped when it arrives, so there its
    /// stamps say little.
    held_up: Vec<Span>,
    /// By how much the exchange's clock was set in all: so much the system clock is wrong, ms.
    set_by_ms: i64,
    /// When the exchange did not send what it said it would, in order. Best bids and offers have no witness to that.
    withheld: Vec<Span>,
}

impl Run<'_> {
    fn problem(&mut self, text: String) {
        self.world.trace.line("problem", format_args!("{text}"));
        self.outcome.problems.push(text);
    }

    async fn storm(&mut self, progress: &dyn Fn(u64)) -> Result<(), ChaosError> {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let length_ms = self.plan.length_ms;
        let storm = Storm::of(self.plan.seed, self.plan.density, length_ms, &self.plan.market.streams);
        let mut steps = storm.steps.into_iter().peekable();
        let mut done_ms = 0;
        let mut daemon = self.world.daemon(&self.plan.market.streams).await?;
        loop {
            let hour_ms = (done_ms / HOUR_MS.unsigned_abs() + 1) * HOUR_MS.unsigned_abs();
            let step_ms = steps.peek().map_or(u64::MAX, |(at, _)| *at);
            let next_ms = hour_ms.min(step_ms).min(length_ms);
            tokio::select! {
                biased;
                ended = daemon.ended() => {
                    self.ended(ended);
                    drop(daemon);
                    sleep(RESTART).await;
                    daemon = self.world.daemon(&self.plan.market.streams).await?;
                    continue;
                }
                () = sleep_until(at(next_ms)) => {}
            }
            progress(next_ms - done_ms);
            done_ms = next_ms;
            if next_ms == step_ms
                && let Some((_, step)) = steps.next()
            {
                daemon = self.strike(step, daemon).await?;
            }
            if next_ms == hour_ms {
                self.compare(TimeMs(self.world.sim.now().0 - SETTLED_MS)).await?;
            }
            if next_ms == length_ms {
                break;
            }
        }
        self.world.sim.clear_faults();
        self.finish(daemon, progress).await;
        self.outcome.simulated_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// A daemon that ends by itself is wrong, unless its store failed under it.
    fn ended(&mut self, ended: Result<(), Ended>) {
        let how = ended.map_or_else(|e| e.to_string(), |()| "nobody told it to".to_owned());
        self.world.trace.line("ended", format_args!("{how}"));
        if !self.world.troubles.recent() {
            self.problem(format!("the daemon ended: {how}"));
        }
    }

    async fn strike(&mut self, step: Step, daemon: Daemon) -> Result<Daemon, ChaosError> {
        self.world.trace.line("strike", format_args!("{step:?}"));
        self.outcome.faults += 1;
        match step {
            Step::Exchange(fault) => {
                if let Some((before_ms, after_ms)) = errs::unsure_ms(&fault) {
                    let now = self.world.sim.now();
                    let span = Span { from: now - before_ms, to: now + after_ms };
                    self.hold_up(span);
                    // Where one time means two moments, only one of two states is kept.
                    if let FaultKind::Clock { by_ms } = fault.kind {
                        self.set_by_ms += by_ms;
                        self.withheld.push(span);
                        self.withheld.sort();
                    }
                }
                let withheld_ms = match fault.kind {
                    FaultKind::Mute { .. } | FaultKind::MuteOne { .. } | FaultKind::HalfOpen => fault.for_ms,
                    FaultKind::Forget { .. } => Some(FORGOTTEN_MS),
                    _ => None,
                };
                if let Some(ms) = withheld_ms {
                    let from = self.world.sim.now();
                    self.withheld.push(Span { from, to: from + ms.cast_signed() });
                }
                self.world.sim.inject(fault);
            }
            Step::Network { weather, for_ms } => {
                self.world.net.strike(weather, for_ms);
                let from = self.world.sim.now();
                self.hold_up(Span { from, to: from + for_ms.cast_signed() + ARRIVED_MS });
            }
            Step::Store { trouble, for_ms } => self.world.troubles.strike(trouble, for_ms),
            Step::ClockStep { by_ms } => self.world.clock.step(by_ms),
            Step::Crash { down_ms } => {
                self.outcome.crashes += 1;
                daemon.crash().await;
                sleep(Duration::from_millis(down_ms)).await;
                // A daemon that begins goes by the system clock until the exchange has said what time it is.
                // One that is wrong by more is not believed.
                if (1..10_000).contains(&self.set_by_ms.abs()) {
                    let (now, by_ms) = (self.world.sim.now(), self.set_by_ms.abs());
                    self.hold_up(Span { from: now - ARRIVED_MS, to: now + by_ms + ARRIVED_MS });
                }
                return Ok(self.world.daemon(&self.plan.market.streams).await?);
            }
        }
        Ok(daemon)
    }

    /// From there on, for so long, stamps of receipt say little.
    fn hold_up(&mut self, span: Span) {
        self.held_up.push(span);
        self.held_up.sort();
    }

    /// Fair weather until everything is in order again, then the end.
    async fn finish(&mut self, daemon: Daemon, progress: &dyn Fn(u64)) {
        // Bars of a coin that nobody trades stay with REST: a subscription that brings nothing proves nothing.
        let back = daemon
            .until("every socket is up again and every stream owned", |snapshot| {
                let owned = |m: &hl_collectors::pipeline::Meter| {
                    m.owner == Some(SourceId::Ws) || (m.owner.is_some() && m.last.is_none())
                };
                !snapshot.streams.is_empty()
                    && snapshot.streams.values().all(owned)
                    && snapshot.sockets.iter().all(|socket| socket.up)
            })
            .await;
        if let Err(never) = back {
            self.problem(match never {
                Never::Ended(_) => never.to_string(),
                Never::Stuck(what, snapshot) => format!("never: {what}; {:?}", snapshot.streams),
            });
        }
        for _ in 0..CALM_MINUTES {
            sleep(Duration::from_secs(60)).await;
            progress(0);
        }
        if let Err(error) = daemon.stop().await {
            self.problem(format!("the daemon did not end in good order: {error}"));
        }
    }

    /// Compares what is settled up to a time and was not compared yet.
    async fn compare(&mut self, to: TimeMs) -> Result<(), ChaosError> {
        if to <= self.compared_to {
            return Ok(());
        }
        let within = Span { from: self.compared_to, to };
        self.compared_to = to + 1;
        let inspect = SqliteStore::inspect(self.world.store_path())?;
        let gaps = inspect.gaps(None).await?;
        let truth = SimTruth(&self.world.sim);
        let oldest = truth.oldest().await.map_err(hl_verify::VerifyError::from)?;
        for row in inspect.streams().await? {
            let pieces = match row.stream.kind() {
                Kind::Candle | Kind::Funding => continue,
                kind if !kind.spec().timed => without(within, &self.held_up),
                Kind::Bbo => without(within, &self.withheld),
                _ => vec![within],
            };
            let tally = self.tallies.entry(row.stream).or_default();
            for piece in pieces {
                compare(&inspect, &truth, oldest, &row, &gaps, piece, tally).await?;
            }
        }
        Ok(())
    }

    /// The rest of the comparison, and the audit.
    async fn judge(&mut self) -> Result<(), ChaosError> {
        let now = self.world.sim.now();
        self.compare(now).await?;
        let inspect = SqliteStore::inspect(self.world.store_path())?;
        let gaps = inspect.gaps(None).await?;
        // No storm replaces files, so each session goes on where the last one ended.
        for gap in gaps.iter().filter(|gap| gap.cause == Cause::StoreLost) {
            self.problem(format!("{}: {:?} was stored, and a batch found it missing", gap.stream, gap.span));
        }
        let rows = inspect.streams().await?;
        for problem in beyond::now(&inspect, &rows, now).await? {
            self.problem(problem);
        }
        for row in &rows {
            if matches!(row.stream.kind(), Kind::Candle | Kind::Funding) {
                let tally = self.tallies.entry(row.stream).or_default();
                compare(&inspect, &SimTruth(&self.world.sim), START, row, &gaps, Span::EVER, tally).await?;
            }
        }
        for (stream, tally) in std::mem::take(&mut self.tallies) {
            self.count(stream, &tally);
        }
        for row in &rows {
            self.behind(row, now).await?;
        }
        for stream in self.plan.market.streams.iter().filter(|s| rows.iter().all(|row| row.stream != **s)) {
            self.outcome.problems.push(format!("{stream}: never collected"));
        }
        let audit = inspect.audit().await?;
        self.outcome.duplicates += audit.duplicates;
        self.outcome.overlapping_claims += audit.overlapping_claims;
        // Bars that the exchange showed otherwise neither nest nor count the trades; each of them, and each trade, is compared
        // with the truth by itself.
        let falsified = self.world.sim.falsified();
        let bars: BTreeSet<_> = falsified
            .iter()
            .filter_map(|row| row.stream.filter(|stream| stream.kind() == Kind::Candle)?.coin())
            .collect();
        let is_shown_otherwise = |stream: Option<StreamKey>| {
            stream.and_then(StreamKey::coin).is_some_and(|coin| bars.contains(&coin))
        };
        for p in audit.problems {
            if matches!(p.check, "candle_nesting" | "candle_trades") && is_shown_otherwise(p.stream) {
                continue;
            }
            let stream = p.stream.map_or("store".to_owned(), |stream| stream.to_string());
            self.problem(format!("{stream}: {}: {} ({})", p.check, p.count, p.example));
        }
        self.outcome.frames = self.world.sim.status().counters.frames_sent;
        Ok(())
    }

    fn count(&mut self, stream: StreamKey, tally: &Tally) {
        self.outcome.compared += tally.truth;
        // A bar that is lived twice changes after it was final, or after there was none: only the audit sees that.
        let is_lived_twice = self.set_by_ms != 0 && stream.kind() == Kind::Candle;
        if is_lived_twice && !bars_show(&self.plan.market.streams) {
            return;
        }
        if every_row_counts(stream) {
            self.outcome.lost += tally.count(Finding::Missing);
            self.outcome.unrecorded_gaps += tally.holes();
        }
        // Duplicate keys are counted by the audit, over all rows.
        for (what, finding) in [
            ("missing", Finding::Missing),
            ("extra", Finding::Extra),
            ("different", Finding::Different),
            ("stored twice", Finding::Duplicate),
            ("in another order", Finding::Misordered),
        ] {
            if let (count @ 1.., Some(first)) = (tally.count(finding), tally.first(finding)) {
                let at = first.since(START);
                self.problem(format!(
                    "{stream}: {what}: {count}, first at {first} ({at} ms after the start)"
                ));
            }
        }
    }

    /// What happened above the edge, long before the end: nothing says that it is missing.
    async fn behind(&mut self, row: &StreamRow, now: TimeMs) -> Result<(), ChaosError> {
        let stream = row.stream;
        let from = row.edge.unwrap_or(START) + 1;
        let to = TimeMs(now.0 - BEHIND_MS);
        if from >= to {
            return Ok(());
        }
        let truth = SimTruth(&self.world.sim);
        let later = truth.rows(stream, Span { from, to }).await;
        let ended = |interval: hl_core::Interval, open: TimeMs| open + interval.ms() <= to;
        let (begun, newest) = match later.map_err(hl_verify::VerifyError::from)? {
            Records::Trades(rows) => (rows.len(), rows.last().map(|r| r.time)),
            Records::Candles(rows) => {
                let old: Vec<_> = rows.iter().filter(|bar| ended(bar.interval, bar.time)).collect();
                (old.len(), old.last().map(|r| r.time))
            }
            Records::Funding(rows) => (rows.len(), rows.last().map(|r| r.time)),
            Records::Books(rows) => (rows.len(), rows.last().map(|r| r.time)),
            Records::Bbos(rows) => of_states(from, rows.iter().map(|r| r.time)),
            Records::Mids(rows) => of_states(from, rows.iter().map(|r| r.time)),
            Records::Contexts(rows) => of_states(from, rows.iter().map(|r| r.time)),
            Records::PredictedFunding(rows) => of_states(from, rows.iter().map(|r| r.time)),
            Records::Markets(rows) => of_states(from, rows.iter().map(|r| r.time)),
            // What was held when it begins is no change.
            Records::Positions(rows) => {
                let changes: Vec<_> = rows.iter().map(|row| row.time).filter(|time| from < *time).collect();
                (changes.len(), changes.last().copied())
            }
            // The exchange keeps no truth of them.
            Records::Leaderboard(_)
            | Records::Traders(_)
            | Records::Signals(_)
            | Records::Fills(_)
            | Records::Orders(_)
            | Records::Payments(_)
            | Records::Movements(_) => (0, None),
        };
        let Some(newest) = newest else { return Ok(()) };
        if stream.spec().conflation != Conflation::State {
            self.outcome.lost += begun as u64;
            self.outcome.unrecorded_gaps += 1;
        }
        let edge = from - 1;
        self.problem(format!("{stream}: {begun} rows above the edge {edge}, the newest at {newest}"));
        Ok(())
    }

    /// The hash of the trace and of everything that the store holds, in the order of its keys.
    fn hash(&self) -> Result<u64, ChaosError> {
        const LEDGER: [(&str, &str); 3] = [
            ("streams", "stream"),
            ("coverage", "stream, epoch, source, from_time"),
            ("gaps", "stream, from_time, to_time, id"),
        ];
        let conn = rusqlite::Connection::open(self.world.store_path())?;
        let mut all = Seed(self.world.trace.hash());
        let key_of = |table: &Table| {
            let key: Vec<_> = table.key().iter().map(|column| column.name).collect();
            (table.name, key.join(", "))
        };
        for (table, key) in Table::all().map(key_of).chain(LEDGER.map(|(name, key)| (name, key.to_owned()))) {
            let mut hash = Seed(0);
            let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY {key}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            let mut text = String::new();
            while let Some(row) = rows.next()? {
                text.clear();
                for column in 0..columns {
                    append(&mut text, row.get_ref(column)?);
                }
                hash = hash.derive(&text);
            }
            self.world.trace.line("table", format_args!("{table} {:016x}", hash.0));
            all = all.derive(&format!("{table} {:016x}", hash.0));
        }
        Ok(all.0)
    }
}

/// What is left of a piece without some others, which are in order of their beginnings.
fn without(piece: Span, others: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    let mut from = piece.from;
    for other in others.iter().filter(|other| other.touches(piece)) {
        if from < other.from {
            left.push(Span { from, to: other.from - 1 });
        }
        from = from.max(other.to + 1);
    }
    if from <= piece.to {
        left.push(Span { from, to: piece.to });
    }
    left
}

/// How many states began at or after a time, of those that the truth gives, and when the last did.
fn of_states(from: TimeMs, times: impl Iterator<Item = TimeMs>) -> (usize, Option<TimeMs>) {
    let begun: Vec<TimeMs> = times.filter(|at| *at >= from).collect();
    (begun.len(), begun.iter().max().copied())
}

fn append(text: &mut String, value: ValueRef<'_>) {
    use std::fmt::Write as _;
    // Writing to text cannot fail.
    let _ = match value {
        ValueRef::Null => write!(text, "-|"),
        ValueRef::Integer(n) => write!(text, "{n}|"),
        ValueRef::Real(x) => write!(text, "{x}|"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => write!(text, "{}|", String::from_utf8_lossy(bytes)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_without_others() {
        let span = |from, to| Span { from: TimeMs(from), to: TimeMs(to) };
        let others = [span(10, 20), span(15, 30), span(50, 60)];
        assert_eq!(without(span(0, 100), &others), [span(0, 9), span(31, 49), span(61, 100)]);
        assert_eq!(without(span(12, 55), &others), [span(31, 49)]);
        assert_eq!(without(span(12, 25), &others), []);
        assert_eq!(without(span(70, 80), &others), [span(70, 80)]);
        assert_eq!(without(span(0, 5), &others), [span(0, 5)]);
    }
}

//! Completeness of trades and bars, checked against each other.
//!
//! A bar carries a count of trades. Where trades and bars of a coin are both collected, a final bar that counts more
//! than was stored says that trades are missing, and roughly where: between two versions of the bar. A bar that
//! counts fewer is stale: its last version was lost. That a bar counts the public trades is an assumption, so it is
//! calibrated first: without enough bars that agreed, over all coins, nothing is doubted, and a coin of its own that
//! disagrees too often is left alone. Bars come from the live streams and from backfills; trades from before a restart are
//! known from the store.
//!
//! While a bar is open its count is also the cheapest witness: where it moves and no trade comes, the subscription of
//! the trades has missed one.
//!
//! Where the trades have a warm standby, the two subscriptions are each other's witnesses.
//!
//! Pure: it sees the changes of the time lines, in order, and the monotonic clock in ms.

use std::collections::{BTreeMap, BTreeSet};

use super::standby::{Compared, Key};
use crate::ledger::{Change, Span};
use crate::store::StreamStart;
use crate::{Coin, Interval, Origin, Records, RunId, StreamKey, TimeMs};

/// How long counts are remembered, ms: longer bars are not checked.
const MEMORY_MS: i64 = 75 * 60_000;
/// Trades of one coin that are remembered: ten times what a busy one has in that time.
const MAX_KEYS: usize = 1_000_000;
/// Versions of one bar that are remembered; a bar with more keeps every second one.
const VERSIONS: usize = 4_096;
/// The assumption is trusted after so many whole bars that agreed, with so many trades in them …
const TRUSTED_BARS: u64 = 2;
const TRUSTED_TRADES: u64 = 10;
/// … and while a coin has no more bars that disagreed than that agreed, and these.
const TOLERATED: u64 = 2;

/// How long a trade may be on its way after a bar has counted it, ms.
const ON_THE_WAY_MS: i64 = 2_000;

/// What the trades say of a bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing: trades are not collected here, or not whole in that time.
    Unknown,
    /// They do not contradict it.
    Plausible,
    /// More trades are stored than it counts, or trades are missing around it: its last version may have been lost.
    Stale,
}

/// Judges bars before they become final.
pub trait Witness {
    /// What is known of a bar of `stream` that counts `trades`.
    fn judge(&self, stream: StreamKey, bar: Span, trades: u64) -> Verdict;
}

/// A witness that knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWitness;

impl Witness for NoWitness {
    fn judge(&self, _: StreamKey, _: Span, _: u64) -> Verdict {
        Verdict::Unknown
    }
}

/// The trades of one coin, as far as they are remembered.
#[derive(Default)]
struct Coins {
    /// Continuously covered since then, gaps aside.
    since: Option<TimeMs>,
    /// What lies before is not remembered.
    forgotten: Option<TimeMs>,
    /// Up to where.
    edge: Option<TimeMs>,
    /// Whether a socket brings them now: then silence means that nothing happened.
    pushed: bool,
    keys: BTreeSet<(TimeMs, u64)>,
    gaps: Vec<Span>,
    bars: BTreeMap<Interval, BTreeMap<TimeMs, Bar>>,
    /// Final bars on which nothing could be said yet: the trades have not come so far, or nothing is calibrated.
    undecided: BTreeMap<(Interval, TimeMs), Bar>,
    open: BTreeMap<Interval, Open>,
    compared: Compared,
    agreed: u64,
    disagreed: u64,
}

/// The bar in progress, and whether it counts more than came.
#[derive(Clone, Copy)]
struct Open {
    time: TimeMs,
    trades: u64,
    /// Trades that it counts and that were known to be missing before.
    base: i64,
    /// Since when it counts more, on the monotonic clock.
    ahead_since: Option<i64>,
}

/// Bars that agreed, over all coins.
#[derive(Clone, Copy, Default)]
struct Calibration {
    bars: u64,
    trades: u64,
}

/// One bar: its newest count, and how the stored trades compared to its versions.
#[derive(Default)]
struct Bar {
    trades: u64,
    versions: Vec<Version>,
    /// It was counted among those that disagreed.
    disagreed: bool,
}

#[derive(Clone, Copy)]
struct Version {
    /// Trades that the version counts and that were not stored when it came.
    short: i64,
    /// The last stored block then.
    block: TimeMs,
}

/// Compares trades and bars of every coin, as the head of this file says.
#[derive(Default)]
pub struct Reconciler {
    coins: BTreeMap<Coin, Coins>,
    calibration: Calibration,
    doubts: Vec<(StreamKey, Span)>,
}

impl Reconciler {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stream begins where the store says: bars that are still to come may tell of trades from before a restart.
    pub fn start(&mut self, start: &StreamStart) {
        let StreamKey::Trades(coin) = start.stream else { return };
        if start.recent.since.is_none() {
            return;
        }
        let recent = &start.recent;
        let coins = Coins {
            since: recent.since,
            edge: start.edge,
            keys: recent.keys.iter().copied().collect(),
            gaps: recent.gaps.clone(),
            ..Coins::default()
        };
        self.coins.insert(coin, coins);
    }

    /// A change of a time line on its way to the store, or of a backfill that is there already.
    pub fn note(&mut self, now: i64, stream: StreamKey, change: &Change) {
        match stream {
            StreamKey::Trades(coin) => self.coins.entry(coin).or_default().trades(now, change),
            StreamKey::Candle(coin, interval) if interval.is_fixed() => {
                let Some(coins) = self.coins.get_mut(&coin) else { return };
                let doubts = coins.candles(now, interval, change, &mut self.calibration);
                self.doubts.extend(doubts.into_iter().map(|span| (StreamKey::Trades(coin), span)));
            }
            _ => {}
        }
    }

    /// The standby's run brought trades, which wait in its ring.
    pub fn standby(&mut self, now: i64, stream: StreamKey, run: RunId, keys: &[(TimeMs, u64)]) {
        if let StreamKey::Trades(coin) = stream
            && let Some(coins) = self.coins.get_mut(&coin)
        {
            coins.standby(now, run, keys);
        }
    }

    /// The stream is about to change hands. What the standby alone brought between blocks that are stored is among the
    /// doubts: its ring fills it.
    pub fn handover(&mut self, stream: StreamKey) {
        if let StreamKey::Trades(coin) = stream
            && let Some(coins) = self.coins.get_mut(&coin)
        {
            let missed: Vec<_> = coins.compared.end().collect();
            let doubts = coins.passed_over(&missed);
            self.doubts.extend(doubts.into_iter().map(|span| (stream, span)));
        }
    }

    /// Standbys that have missed something that the owner brought.
    pub fn take_mute_standbys(&mut self, now: i64) -> Vec<(StreamKey, RunId)> {
        let mute = |(coin, coins): (&Coin, &mut Coins)| {
            coins.compared.mute_standby(now).map(|run| (StreamKey::Trades(*coin), run))
        };
        self.coins.iter_mut().filter_map(mute).collect()
    }

    /// Streams of trades whose owning subscription has missed something: their bars went on counting, or the standby
    /// brought it. Said once each. What is missing between blocks that came is among the doubts.
    pub fn take_missed(&mut self, now: i64) -> Vec<StreamKey> {
        let mut missed = Vec::new();
        for (coin, coins) in &mut self.coins {
            let by_bars = coins.missed(now);
            let by_standby = coins.missed_by_owner(now);
            if by_bars.is_some() || by_standby.is_some() {
                coins.open.clear();
                missed.push(StreamKey::Trades(*coin));
                let doubts: BTreeSet<_> = by_bars.into_iter().chain(by_standby).flatten().collect();
                self.doubts.extend(doubts.into_iter().map(|span| (StreamKey::Trades(*coin), span)));
            }
        }
        missed
    }

    /// The stream is no longer ours.
    pub fn forget(&mut self, stream: StreamKey) {
        if let StreamKey::Trades(coin) = stream {
            self.coins.remove(&coin);
        }
    }

    /// Pieces between two stored blocks in which trades turned out to be missing.
    pub fn take_doubts(&mut self) -> Vec<(StreamKey, Span)> {
        std::mem::take(&mut self.doubts)
    }
}

impl Witness for Reconciler {
    fn judge(&self, stream: StreamKey, bar: Span, trades: u64) -> Verdict {
        let StreamKey::Candle(coin, interval) = stream else { return Verdict::Unknown };
        let Some(coins) = self.coins.get(&coin).filter(|_| interval.is_fixed()) else {
            return Verdict::Unknown;
        };
        match coins.stored(bar) {
            Stored::Unknown => Verdict::Unknown,
            // What made the hole in the trades may have swallowed the bar's last version too.
            Stored::Holed | Stored::NotYet => Verdict::Stale,
            Stored::Whole(stored) if stored > trades => Verdict::Stale,
            Stored::Whole(_) => Verdict::Plausible,
        }
    }
}

enum Stored {
    Unknown,
    /// The trades have not come so far.
    NotYet,
    Holed,
    Whole(u64),
}

impl Coins {
    fn trades(&mut self, now: i64, change: &Change) {
        match change {
            Change::Rows { origin, records: Records::Trades(trades), .. } => {
                if self.pushed != (*origin == Origin::Ws) {
                    self.pushed = *origin == Origin::Ws;
                    self.open.clear();
                }
                for key in trades.iter().map(crate::record::Trade::key) {
                    if self.keys.insert(key) {
                        self.compared.owner(now, key);
                    }
                }
                self.catch_up();
            }
            Change::Filled { span, records: Records::Trades(trades), .. } => {
                for key in trades.iter().map(crate::record::Trade::key) {
                    self.keys.insert(key);
                    self.compared.stored(key);
                }
                self.gaps.retain(|gap| !(span.from <= gap.from && gap.to <= span.to));
            }
            Change::Covered { span, .. } => {
                self.since.get_or_insert(span.from);
            }
            Change::GapOpened { span, .. } | Change::Doubted { span, .. } => {
                self.gaps.push(*span);
                self.open.clear();
            }
            Change::Edge(edge) => {
                self.edge = Some(*edge);
                let mut old = *edge - MEMORY_MS;
                if self.keys.len() > MAX_KEYS {
                    // A flood: half of the memory is given up at once, so that this is seldom done.
                    old = self.keys.iter().nth(MAX_KEYS / 2).map_or(old, |(time, _)| *time + 1);
                }
                self.keys = self.keys.split_off(&(old, 0));
                self.gaps.retain(|gap| gap.to >= old);
                self.forgotten = self.forgotten.max(Some(old));
                for bars in self.bars.values_mut() {
                    *bars = bars.split_off(&old);
                }
                self.undecided.retain(|(_, time), _| *time >= old);
            }
            _ => {}
        }
    }

    fn standby(&mut self, now: i64, run: RunId, keys: &[Key]) {
        for key in keys {
            let missing = self.is_whole_at(key.0) && !self.keys.contains(key);
            self.compared.standby(now, run, *key, missing);
        }
    }

    /// Whether every trade of the block was brought by a socket that we own the stream with, as far as is known.
    fn is_whole_at(&self, time: TimeMs) -> bool {
        self.pushed
            && self.since.is_some_and(|since| since < time)
            && self.forgotten.is_none_or(|forgotten| forgotten < time)
            && !self.gaps.iter().any(|gap| gap.contains(time))
    }

    /// What the standby has brought and the owner has not, although it has had the time; the pieces where it lies between
    /// blocks that came. None where the owner missed nothing.
    fn missed_by_owner(&mut self, now: i64) -> Option<Vec<Span>> {
        let mut missed = self.compared.missed_by_owner(now);
        missed.retain(|(time, _)| self.is_whole_at(*time));
        (!missed.is_empty()).then(|| self.passed_over(&missed))
    }

    /// The pieces between neighbouring stored blocks that hold trades which are not stored.
    fn passed_over(&self, missed: &[Key]) -> Vec<Span> {
        let piece = |(time, _): &Key| {
            let before = self.keys.range(..(*time, 0)).next_back().map(|(block, _)| *block).max(self.since);
            let after = self.keys.range((*time, 0)..).next().map(|(block, _)| *block);
            // Beyond the edge nothing is settled: the ring brings it at the promotion.
            let below = self.edge.is_some_and(|edge| *time < edge) && self.is_whole_at(*time);
            Some(Span::new(before?, after.filter(|_| below)?))
        };
        let mut pieces: Vec<_> = missed.iter().filter_map(piece).collect();
        pieces.dedup();
        pieces
    }

    /// A bar that only ran ahead of its own trades is level with them now; one that misses a trade never is.
    fn catch_up(&mut self) {
        let ahead = |open: &Open| open.ahead_since.is_some();
        let waiting: Vec<_> =
            self.open.iter().filter(|(_, open)| ahead(open)).map(|(i, open)| (*i, *open)).collect();
        for (interval, open) in waiting {
            let stored = self.count(Span::new(open.time, open.time + interval.ms()));
            if signed(open.trades).saturating_sub(signed(stored)) <= open.base
                && let Some(open) = self.open.get_mut(&interval)
            {
                open.ahead_since = None;
            }
        }
    }

    fn stored(&self, bar: Span) -> Stored {
        let remembered = self.forgotten.is_none_or(|forgotten| bar.from > forgotten);
        let Some(edge) = self.edge.filter(|_| remembered) else { return Stored::Unknown };
        match self.since {
            // The block where it began is a border: it may not be whole.
            Some(since) if since < bar.from => {}
            Some(since) if since < bar.to => return Stored::Holed,
            _ => return Stored::Unknown,
        }
        if self.gaps.iter().any(|gap| gap.touches(bar)) {
            return Stored::Holed;
        }
        if edge < bar.to && !self.pushed {
            return Stored::NotYet;
        }
        Stored::Whole(self.count(bar))
    }

    fn count(&self, bar: Span) -> u64 {
        self.keys.range((bar.from, 0)..(bar.to, 0)).count() as u64
    }

    fn candles(
        &mut self,
        now: i64,
        interval: Interval,
        change: &Change,
        calibration: &mut Calibration,
    ) -> Vec<Span> {
        match change {
            Change::Rows { origin: Origin::Ws, records: Records::Candles(bars), .. } => {
                for bar in bars {
                    self.version(interval, bar.time, bar.trades);
                    self.watch(now, interval, bar.time, bar.trades);
                }
                Vec::new()
            }
            // Polled bars have no versions that would tell when something went missing.
            Change::Rows { records: Records::Candles(bars), .. } => {
                for bar in bars {
                    let known = self.bars.entry(interval).or_default().entry(bar.time).or_default();
                    known.trades = known.trades.max(bar.trades);
                }
                Vec::new()
            }
            Change::Final { span } => {
                let bars = self.bars.entry(interval).or_default();
                let mut ended = bars.split_off(&span.from);
                let later = ended.split_off(&span.to);
                bars.extend(later);
                self.check(interval, ended, calibration)
            }
            Change::Filled { records: Records::Candles(filled), .. } => {
                let bars = self.bars.entry(interval).or_default();
                let ended = filled.iter().map(|filled| {
                    let mut bar = bars.remove(&filled.time).unwrap_or_default();
                    bar.trades = bar.trades.max(filled.trades);
                    (filled.time, bar)
                });
                let ended = ended.collect();
                self.check(interval, ended, calibration)
            }
            _ => Vec::new(),
        }
    }

    /// The bar in progress moved.
    fn watch(&mut self, now: i64, interval: Interval, time: TimeMs, trades: u64) {
        if !self.pushed || self.open.get(&interval).is_some_and(|open| open.time > time) {
            return;
        }
        let short = signed(trades).saturating_sub(signed(self.count(Span::new(time, time + interval.ms()))));
        let whole =
            self.since.is_some_and(|since| since < time) && self.gaps.iter().all(|gap| gap.to <= time);
        let fresh = Open { time, trades, base: if whole { 0 } else { short }, ahead_since: None };
        let open = self
            .open
            .entry(interval)
            .and_modify(|open| {
                if open.time < time {
                    *open = fresh
                }
            })
            .or_insert(fresh);
        open.trades = open.trades.max(trades);
        open.base = open.base.min(short);
        open.ahead_since = (short > open.base).then(|| open.ahead_since.unwrap_or(now));
    }

    /// Where trades are missing, when an open bar has been ahead of them for too long.
    fn missed(&mut self, now: i64) -> Option<Vec<Span>> {
        let overdue: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| open.ahead_since.is_some_and(|since| since + ON_THE_WAY_MS <= now))
            .map(|(interval, open)| (*interval, *open))
            .collect();
        let mut missed = None;
        for (interval, open) in overdue {
            // The trade may have come after the bar.
            let piece = Span::new(open.time, open.time + interval.ms());
            let ahead = signed(open.trades).saturating_sub(signed(self.count(piece))) > open.base;
            if ahead {
                let bar = self.bars.get(&interval).and_then(|bars| bars.get(&open.time));
                let doubts = bar.map(|bar| self.missing(piece, bar, open.base));
                missed.get_or_insert_with(Vec::new).extend(doubts.unwrap_or_default());
            } else if let Some(open) = self.open.get_mut(&interval) {
                open.ahead_since = None;
            }
        }
        missed
    }

    fn version(&mut self, interval: Interval, time: TimeMs, trades: u64) {
        let span = Span::new(time, time + interval.ms());
        let Some(block) = self.edge else { return };
        let short = signed(trades).saturating_sub(signed(self.count(span)));
        let bar = self.bars.entry(interval).or_default().entry(time).or_default();
        bar.trades = bar.trades.max(trades);
        if bar.versions.len() == VERSIONS {
            let mut keep = false;
            bar.versions.retain(|_| {
                keep = !keep;
                keep
            });
        }
        bar.versions.push(Version { short, block });
    }

    /// Bars became final: do they agree with the trades?
    fn check(
        &mut self,
        interval: Interval,
        ended: BTreeMap<TimeMs, Bar>,
        calibration: &mut Calibration,
    ) -> Vec<Span> {
        let mut doubts = Vec::new();
        self.undecided.extend(ended.into_iter().map(|(time, bar)| ((interval, time), bar)));
        // The newest first: what it adds to the calibration may decide older ones.
        for ((interval, time), mut bar) in std::mem::take(&mut self.undecided).into_iter().rev() {
            let piece = Span::new(time, time + interval.ms());
            let stored = match self.stored(piece) {
                Stored::Whole(stored) => stored,
                Stored::NotYet => {
                    self.undecided.insert((interval, time), bar);
                    continue;
                }
                Stored::Holed | Stored::Unknown => continue,
            };
            if bar.trades == stored {
                self.agreed += 1;
                calibration.bars += 1;
                calibration.trades += stored;
                continue;
            }
            self.disagreed += u64::from(!std::mem::replace(&mut bar.disagreed, true));
            if bar.trades < stored {
                continue;
            }
            // Without a block behind it nobody can say how far the loss reaches.
            let is_closed = self.edge.is_some_and(|edge| edge >= piece.to);
            if calibration.bars < TRUSTED_BARS || calibration.trades < TRUSTED_TRADES || !is_closed {
                self.undecided.insert((interval, time), bar);
            } else if self.disagreed <= self.agreed + TOLERATED {
                doubts.extend(self.missing(piece, &bar, 0));
            }
        }
        doubts
    }

    /// Where trades went missing: each piece between two stored blocks in which a version began to count more for good.
    /// `known`: so many were known to be missing before.
    fn missing(&self, piece: Span, bar: &Bar, known: i64) -> Vec<Span> {
        let mut blocks: Vec<_> = self.keys.iter().map(|(time, _)| *time).collect();
        blocks.dedup();
        let mut doubts = Vec::new();
        // From the last version back: what is short for good is the least that any later version was short of.
        let mut least = signed(bar.trades).saturating_sub(signed(self.count(piece)));
        // What it counts lies before its end, so the first block after that closes the search.
        let mut later = self.edge.map_or(piece.to, |edge| edge.min(piece.to));
        for version in bar.versions.iter().rev() {
            if least <= known {
                break;
            }
            if version.short < least {
                doubts.extend(between(&blocks, version.block, later));
                least = version.short;
            }
            later = version.block;
        }
        if least > known {
            // Missing before the first version was seen: since the last block before the bar.
            let before = blocks.partition_point(|b| *b < piece.from).checked_sub(1);
            doubts.extend(between(&blocks, before.map_or(piece.from, |i| blocks[i]), later));
        }
        doubts.sort_unstable();
        doubts.dedup();
        doubts
    }
}

/// A count from the wire may be anything.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The pieces between neighbouring blocks from the block at or before `from` to the first one after `to`: a version that
/// came when `to` was the last block may count what was lost after it.
fn between(blocks: &[TimeMs], from: TimeMs, to: TimeMs) -> Vec<Span> {
    let first = blocks.partition_point(|b| *b <= from).saturating_sub(1);
    let after = blocks.partition_point(|b| *b <= to);
    let end = (after + 1).min(blocks.len());
    blocks[first.min(end)..end].windows(2).map(|pair| Span::new(pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Cause;
    use crate::record::{Candle, HexBytes, Side, Trade};
    use crate::store::Recent;
    use crate::{Decimal, Epoch};

    fn coin() -> Coin {
        Coin::new("BTC").unwrap()
    }

    fn trades(times: &[i64]) -> Change {
        let trade = |(i, time): (usize, &i64)| Trade {
            coin: coin(),
            time: TimeMs(*time),
            tid: i as u64 + 1_000 * time.unsigned_abs(),
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
        };
        let records = Records::Trades(times.iter().enumerate().map(trade).collect());
        Change::Rows { epoch: Epoch::default(), origin: Origin::Ws, records }
    }

    fn bar(minute: i64, n: u64) -> Change {
        let one = Decimal::ONE;
        let bar = Candle {
            coin: coin(),
            interval: Interval::M1,
            time: TimeMs(minute * 60_000),
            open: one,
            high: one,
            low: one,
            close: one,
            volume: one,
            trades: n,
        };
        Change::Rows { epoch: Epoch::default(), origin: Origin::Ws, records: Records::Candles(vec![bar]) }
    }

    struct Run(Reconciler);

    impl Run {
        /// Two calibrated minutes, 1 and 2, of six trades each; trades are whole since 50 s.
        fn calibrated() -> Self {
            let mut run = Self(Reconciler::new());
            run.trade(&[50_000]);
            for minute in [1, 2] {
                for i in 1..=6_i64 {
                    run.trade(&[minute * 60_000 + i * 1_000]);
                    run.bar(minute, i.unsigned_abs());
                }
                assert_eq!(run.finish(minute), []);
            }
            run
        }

        fn trade(&mut self, times: &[i64]) {
            let stream = StreamKey::Trades(coin());
            self.0.note(0, stream, &trades(times));
            let span = Span::new(TimeMs(times[0]), TimeMs(times[times.len() - 1]));
            self.0.note(0, stream, &Change::Covered { epoch: Epoch::default(), origin: Origin::Ws, span });
            self.0.note(0, stream, &Change::Edge(span.to));
        }

        fn bar(&mut self, minute: i64, n: u64) {
            self.0.note(0, StreamKey::Candle(coin(), Interval::M1), &bar(minute, n));
        }

        fn finish(&mut self, minute: i64) -> Vec<(i64, i64)> {
            let span = Span::new(TimeMs(minute * 60_000), TimeMs(minute * 60_000 + 60_000));
            self.0.note(0, StreamKey::Candle(coin(), Interval::M1), &Change::Final { span });
            self.0.take_doubts().into_iter().map(|(_, s)| (s.from.0 % 60_000, s.to.0 % 60_000)).collect()
        }

        fn judge(&self, minute: i64, n: u64) -> Verdict {
            let span = Span::new(TimeMs(minute * 60_000), TimeMs(minute * 60_000 + 60_000));
            self.0.judge(StreamKey::Candle(coin(), Interval::M1), span, n)
        }
    }

    #[test]
    fn trades_lost_while_bars_went_on_are_found_between_two_blocks() {
        let mut run = Run::calibrated();
        run.trade(&[181_000]);
        run.bar(3, 1);
        run.trade(&[182_000]);
        run.bar(3, 2);
        // Muted: three trades are lost, the bar counts them.
        run.bar(3, 3);
        run.bar(3, 5);
        // The bar runs ahead of the frame of its trade: no loss of its own.
        run.bar(3, 6);
        run.trade(&[190_000]);
        run.bar(3, 7);
        run.trade(&[191_000]);
        run.trade(&[241_000]);
        assert_eq!(run.judge(3, 7), Verdict::Plausible, "the bar is right, it is the trades that are short");
        assert_eq!(run.finish(3), [(2_000, 10_000)]);
    }

    #[test]
    fn a_bar_that_moves_without_its_trade_is_a_witness() {
        let mut run = Run::calibrated();
        let candle = StreamKey::Candle(coin(), Interval::M1);
        run.trade(&[181_000]);
        run.0.note(1_000, candle, &bar(3, 1));
        run.0.note(1_000, candle, &bar(3, 2));
        assert_eq!(run.0.take_missed(2_999), []);
        run.trade(&[182_000]);
        assert_eq!(run.0.take_missed(3_000), [], "the trade was only on its way");
        run.0.note(4_000, candle, &bar(3, 3));
        assert_eq!(run.0.take_missed(6_000), [StreamKey::Trades(coin())]);
        assert_eq!(run.0.take_missed(9_000), [], "said once");
        let span = Span::new(TimeMs(181_000), TimeMs(182_000));
        let doubts = run.0.take_doubts();
        assert_eq!(
            doubts,
            [(StreamKey::Trades(coin()), span)],
            "late and lost cannot be told apart afterwards"
        );
    }

    #[test]
    fn bars_that_always_come_before_their_trades_are_no_witness() {
        let mut run = Run::calibrated();
        let candle = StreamKey::Candle(coin(), Interval::M1);
        run.trade(&[181_000]);
        for i in 1..=8 {
            run.0.note(i * 500, candle, &bar(3, i.unsigned_abs() + 1));
            assert_eq!(run.0.take_missed(i * 500), [], "version {i} is only ahead of its own trade");
            run.trade(&[181_000 + i * 500]);
        }
    }

    #[test]
    fn what_was_missed_between_blocks_that_came_is_doubted() {
        let mut run = Run::calibrated();
        let candle = StreamKey::Candle(coin(), Interval::M1);
        run.trade(&[181_000]);
        run.0.note(1_000, candle, &bar(3, 1));
        run.0.note(1_500, candle, &bar(3, 3));
        run.trade(&[184_000]);
        run.0.note(2_000, candle, &bar(3, 4));
        run.trade(&[185_000]);
        run.0.note(3_400, candle, &bar(3, 5));
        assert_eq!(run.0.take_missed(3_500), [StreamKey::Trades(coin())]);
        let span = Span::new(TimeMs(181_000), TimeMs(184_000));
        assert_eq!(run.0.take_doubts(), [(StreamKey::Trades(coin()), span)]);
    }

    #[test]
    fn a_version_may_count_what_was_lost_after_the_last_block() {
        let mut run = Run::calibrated();
        run.trade(&[181_000]);
        run.bar(3, 1);
        // The bar is pushed seldom: its next version comes after a block that arrived, and after one that did not.
        run.trade(&[183_000]);
        run.bar(3, 3);
        run.trade(&[187_000]);
        run.bar(3, 4);
        run.trade(&[241_000]);
        assert_eq!(run.finish(3), [(1_000, 3_000), (3_000, 7_000)]);
    }

    #[test]
    fn a_bar_that_counts_too_few_is_stale() {
        let mut run = Run::calibrated();
        run.trade(&[181_000]);
        run.bar(3, 1);
        run.trade(&[182_000, 183_000]);
        run.trade(&[241_000]);
        assert_eq!(run.judge(3, 1), Verdict::Stale);
        assert_eq!(run.judge(3, 3), Verdict::Plausible);
        assert_eq!(run.judge(7, 0), Verdict::Plausible, "pushed trades are whole up to now");
        assert_eq!(run.judge(0, 0), Verdict::Stale, "the minute in which it began is not whole");
    }

    #[test]
    fn nothing_is_doubted_before_the_assumption_held() {
        let mut run = Run(Reconciler::new());
        run.trade(&[50_000]);
        for minute in 1..6 {
            run.trade(&[minute * 60_000 + 1_000]);
            run.bar(minute, 5);
            assert_eq!(run.finish(minute), [], "a count that never agrees proves nothing");
        }
    }

    fn backfilled(run: &mut Run, minute: i64, n: u64) -> Vec<(i64, i64)> {
        let Change::Rows { epoch, records, .. } = bar(minute, n) else { unreachable!() };
        let span = Span::new(TimeMs(minute * 60_000), TimeMs(minute * 60_000 + 60_000));
        let filled = Change::Filled { epoch, origin: Origin::Backfill, span, records };
        run.0.note(0, StreamKey::Candle(coin(), Interval::M1), &filled);
        run.0.take_doubts().into_iter().map(|(_, s)| (s.from.0, s.to.0)).collect()
    }

    #[test]
    fn a_bar_that_a_backfill_brought_is_compared_as_well() {
        let mut run = Run::calibrated();
        run.trade(&[181_000, 183_000]);
        run.trade(&[238_000]);
        run.trade(&[245_000]);
        assert_eq!(backfilled(&mut run, 3, 3), [], "whole");
        run.trade(&[250_000]);
        run.trade(&[305_000]);
        let doubts = backfilled(&mut run, 4, 3);
        assert_eq!(
            doubts,
            [(238_000, 245_000), (245_000, 250_000), (250_000, 305_000)],
            "without versions it may be anywhere around the minute's blocks"
        );
        let doubted =
            Change::Doubted { span: Span::new(TimeMs(238_000), TimeMs(305_000)), cause: Cause::Silence };
        run.0.note(0, StreamKey::Trades(coin()), &doubted);
        assert_eq!(backfilled(&mut run, 4, 3), [], "said once");
    }

    #[test]
    fn a_loss_at_the_end_waits_for_the_block_that_closes_it() {
        let mut run = Run::calibrated();
        run.trade(&[181_000, 183_000]);
        assert_eq!(backfilled(&mut run, 3, 3), [], "nobody knows yet how far it reaches");
        run.trade(&[244_000]);
        assert_eq!(backfilled(&mut run, 4, 1), [(126_000, 181_000), (181_000, 183_000), (183_000, 244_000)]);
    }

    #[test]
    fn what_was_stored_before_a_restart_is_compared_with_bars_that_come_after_it() {
        let mut run = Run(Reconciler::new());
        let stream = StreamKey::Trades(coin());
        let keys = vec![(TimeMs(50_000), 1), (TimeMs(61_000), 2), (TimeMs(66_000), 3), (TimeMs(121_000), 4)];
        let recent = Recent { since: Some(TimeMs(50_000)), keys, gaps: vec![] };
        run.0.start(&StreamStart { stream, edge: Some(TimeMs(121_000)), recent });
        assert_eq!(backfilled(&mut run, 1, 3), [], "nothing is calibrated yet");
        let gap = Span::new(TimeMs(121_000), TimeMs(150_000));
        run.0.note(0, stream, &Change::GapOpened { span: gap, cause: Cause::DaemonDown });
        run.trade(&[150_000]);
        for minute in [3, 4] {
            for i in 1..=6_i64 {
                run.trade(&[minute * 60_000 + i * 1_000]);
            }
        }
        assert_eq!(backfilled(&mut run, 2, 9), [], "a minute with a gap");
        assert_eq!(backfilled(&mut run, 3, 6), []);
        assert_eq!(
            backfilled(&mut run, 4, 6),
            [(50_000, 61_000), (61_000, 66_000), (66_000, 121_000)],
            "two bars agreed, so the one from before the restart can be judged"
        );
    }

    #[test]
    fn a_flood_of_trades_is_forgotten_and_not_judged() {
        let mut run = Run::calibrated();
        let flood: Vec<i64> = (0..100_000).map(|i| 181_000 + i / 100).collect();
        for step in 0..=10 {
            run.trade(&flood.iter().map(|time| time + step * 1_000).collect::<Vec<_>>());
            let keys = run.0.coins[&coin()].keys.len();
            assert!(keys <= MAX_KEYS, "{keys}");
        }
        assert_eq!(run.judge(1, 5), Verdict::Unknown, "what is not remembered is not judged");
    }

    #[test]
    fn a_minute_with_a_gap_is_not_compared() {
        let mut run = Run::calibrated();
        let gap = Span::new(TimeMs(181_000), TimeMs(185_000));
        let opened = Change::GapOpened { span: gap, cause: Cause::Outage };
        run.trade(&[181_000, 185_000]);
        run.0.note(0, StreamKey::Trades(coin()), &opened);
        run.bar(3, 9);
        run.trade(&[241_000]);
        assert_eq!(run.judge(3, 9), Verdict::Stale, "what holed the trades may have holed the bar");
        assert_eq!(run.finish(3), []);
    }
}

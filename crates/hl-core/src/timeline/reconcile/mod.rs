//! Completeness of trades and bars, checked against each other.
//!
//! A bar carries a count of trades. Where trades and bars of a coin are both collected, a final bar that counts more
//! than was stored says that trades are missing, and roughly where: between two versions of the bar. A bar that
//! counts fewer is stale: its last version was lost. That a bar counts the public trades is an assumption, so it is
//! calibrated first, apart for each source of bars: without enough bars that agreed, over all coins, nothing is doubted,
//! and a coin that disagrees too often is left alone until it agrees again (`trust.rs`). Bars come from the live streams and
//! from backfills; trades from before a restart are known from the store.
//!
//! While a bar is open its count is also the cheapest witness (`open.rs`). Final bars are read once more over REST, and
//! what the exchange counts then is compared with what is stored (`audit.rs`).
//!
//! Where the trades have a warm standby, the two subscriptions are each other's witnesses.
//!
//! Pure: it sees the changes of the time lines, in order, and the monotonic clock in ms.

mod audit;
mod open;
mod trust;

use std::collections::{BTreeMap, BTreeSet};

pub use audit::Audited;
use audit::Audits;
use open::OpenBars;
use trust::{By, Foundations, Trust};

use super::standby::{Compared, Key};
use super::unfilled;
use crate::ledger::{Change, Span};
use crate::record::Candle;
use crate::store::StreamStart;
use crate::{Coin, Interval, Origin, Records, RunId, StreamKey, TimeMs};

/// How long counts are remembered, ms: longer bars are not checked.
const MEMORY_MS: i64 = 75 * 60_000;
/// Trades of one coin that are remembered: ten times what a busy one has in that time.
const MAX_KEYS: usize = 1_000_000;
/// Versions of one bar that are remembered; a bar with more keeps every second one.
const VERSIONS: usize = 4_096;
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

    /// How many trades are stored in the time of a bar of `stream`, at least.
    fn stored(&self, _stream: StreamKey, _bar: Span) -> u64 {
        0
    }
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
    /// Final bars on which nothing could be said yet: the trades have not come so far, or not all of them, or nothing is
    /// calibrated.
    undecided: BTreeMap<(Interval, TimeMs), Bar>,
    open: OpenBars,
    compared: Compared,
    /// How far its bars are believed, by who brought them.
    trust: [Trust; 2],
}

/// One bar: its counts, and how the stored trades compared to its versions.
#[derive(Default)]
struct Bar {
    /// What it counts at most, by who brought it.
    counts: [Option<u64>; 2],
    versions: Vec<Version>,
    /// Whose count was judged already.
    judged: [bool; 2],
}

impl Bar {
    fn count(&mut self, by: By, trades: u64) {
        let count = &mut self.counts[by.index()];
        *count = (*count).max(Some(trades));
    }
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
    foundations: Foundations,
    audits: Audits,
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
                let doubts = coins.candles(interval, change, &mut self.foundations);
                self.doubts.extend(doubts.into_iter().map(|span| (StreamKey::Trades(coin), span)));
            }
            _ => {}
        }
    }

    /// A socket brought versions of bars, whatever became of them: a bar that a handover touched is left to REST, and its
    /// count is a witness all the same. To be told before what these versions change.
    pub fn bars(&mut self, now: i64, stream: StreamKey, bars: &[Candle]) {
        let StreamKey::Candle(coin, interval) = stream else { return };
        let Some(coins) = self.coins.get_mut(&coin).filter(|_| interval.is_fixed()) else { return };
        for bar in bars.iter().filter(|bar| bar.coin == coin && bar.interval == interval) {
            coins.version(interval, bar.time, bar.trades);
            coins.watch(now, interval, bar.time, signed(bar.trades));
        }
    }

    /// What an audit says of the bars of REST.
    fn learn(&mut self, stream: StreamKey, bars: &[Audited]) {
        let StreamKey::Candle(coin, _) = stream else { return };
        let mut coins = self.coins.get_mut(&coin);
        for bar in bars {
            if bar.counted == bar.stored {
                self.foundations.audited(bar.stored);
            }
            let Some([socket, rest]) = coins.as_mut().map(|coins| &mut coins.trust) else { continue };
            if bar.counted > bar.stored {
                rest.differ();
            } else if bar.counted == bar.stored && socket.has_agreed() {
                rest.agree(bar.stored);
            }
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
        let founded = self.foundations.is_laid(By::Socket);
        for (coin, coins) in &mut self.coins {
            let by_bars = coins.missed(now, founded);
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
            Stored::Whole(stored) if stored <= signed(trades) => Verdict::Plausible,
            // To read it again would bring the same.
            Stored::Whole(_) if coins.trust[By::Socket.index()].is_refuted() => Verdict::Unknown,
            Stored::Whole(_) => Verdict::Stale,
        }
    }

    fn stored(&self, stream: StreamKey, bar: Span) -> u64 {
        match stream {
            StreamKey::Candle(coin, interval) if interval.is_fixed() => {
                let Some(coins) = self.coins.get(&coin) else { return 0 };
                let stored = coins.count(bar).unsigned_abs();
                // Bars that count otherwise say no more than whether anything was traded.
                if coins.trust[By::Socket.index()].is_refuted() { stored.min(1) } else { stored }
            }
            _ => 0,
        }
    }
}

enum Stored {
    Unknown,
    /// The trades have not come so far.
    NotYet,
    Holed,
    Whole(i64),
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
                // Piece by piece: a promoted ring goes on frame by frame.
                self.gaps = self.gaps.iter().flat_map(|gap| unfilled(*gap, *span)).collect();
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
                self.open.forget(old);
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

    fn count(&self, bar: Span) -> i64 {
        signed(self.keys.range((bar.from, 0)..(bar.to, 0)).count() as u64)
    }

    fn candles(&mut self, interval: Interval, change: &Change, foundations: &mut Foundations) -> Vec<Span> {
        match change {
            Change::Rows { origin, records: Records::Candles(bars), .. } => {
                let by = if *origin == Origin::Ws { By::Socket } else { By::Rest };
                for bar in bars {
                    self.bars.entry(interval).or_default().entry(bar.time).or_default().count(by, bar.trades);
                }
                Vec::new()
            }
            Change::Final { span } => {
                let bars = self.bars.entry(interval).or_default();
                let mut ended = bars.split_off(&span.from);
                let later = ended.split_off(&span.to);
                bars.extend(later);
                self.check(interval, ended, foundations)
            }
            Change::Filled { records: Records::Candles(filled), .. } => {
                let bars = self.bars.entry(interval).or_default();
                let ended = filled.iter().map(|filled| {
                    let mut bar = bars.remove(&filled.time).unwrap_or_default();
                    bar.count(By::Rest, filled.trades);
                    (filled.time, bar)
                });
                let ended = ended.collect();
                self.check(interval, ended, foundations)
            }
            _ => Vec::new(),
        }
    }

    /// A socket brought a version of a bar.
    fn version(&mut self, interval: Interval, time: TimeMs, trades: u64) {
        let span = Span::new(time, time + interval.ms());
        let Some(block) = self.edge else { return };
        let short = signed(trades).saturating_sub(self.count(span));
        let bar = self.bars.entry(interval).or_default().entry(time).or_default();
        bar.count(By::Socket, trades);
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
        foundations: &mut Foundations,
    ) -> Vec<Span> {
        let mut doubts = Vec::new();
        self.undecided.extend(ended.into_iter().map(|(time, bar)| ((interval, time), bar)));
        // The newest first: what it adds to the foundations may decide older ones.
        for ((interval, time), mut bar) in std::mem::take(&mut self.undecided).into_iter().rev() {
            let piece = Span::new(time, time + interval.ms());
            let stored = match self.stored(piece) {
                Stored::Whole(stored) => stored,
                // A hole may be filled yet.
                Stored::NotYet | Stored::Holed => {
                    self.undecided.insert((interval, time), bar);
                    continue;
                }
                Stored::Unknown => continue,
            };
            self.learn(interval, time, &mut bar, stored, foundations);
            // Without a block behind it nobody can say how far the loss reaches.
            let is_closed = self.edge.is_some_and(|edge| edge >= piece.to);
            let more = By::ALL.into_iter().filter_map(|by| {
                let count = bar.counts[by.index()].map(signed).filter(|count| *count > stored)?;
                (!self.trust[by.index()].is_refuted()).then_some((by, count))
            });
            let more: Vec<_> = more.collect();
            let founded = more.iter().filter(|(by, _)| foundations.is_laid(*by));
            match founded.map(|(_, count)| *count).max().filter(|_| is_closed) {
                Some(count) => doubts.extend(self.missing(piece, &bar, count, 0)),
                None if !more.is_empty() => _ = self.undecided.insert((interval, time), bar),
                None => {}
            }
        }
        let by_socket = self.trust[By::Socket.index()];
        if by_socket.is_refuted() {
            self.open.drop_suspicions();
        } else if by_socket.has_agreed() && foundations.is_laid(By::Socket) {
            doubts.extend(self.take_suspicions());
        }
        doubts
    }

    /// What a whole bar says of those who brought it. Each is judged once.
    fn learn(
        &mut self,
        interval: Interval,
        time: TimeMs,
        bar: &mut Bar,
        stored: i64,
        foundations: &mut Foundations,
    ) {
        let counts = bar.counts.map(|count| count.map(signed));
        let agrees = counts.contains(&Some(stored));
        for by in By::ALL {
            let Some(count) = counts[by.index()] else { continue };
            // A version that the socket lost is not a wrong count: the last one agrees.
            if count < stored && agrees || std::mem::replace(&mut bar.judged[by.index()], true) {
                continue;
            }
            let trust = &mut self.trust[by.index()];
            if count == stored {
                trust.agree(stored.unsigned_abs());
                foundations.agree(by, stored.unsigned_abs());
                if by == By::Socket && stored > 0 {
                    self.open.agree(interval, time);
                }
            } else {
                trust.differ();
            }
        }
    }

    /// Where trades went missing: each piece between two stored blocks in which a version began to count more for good.
    /// `count`: what it counts. `known`: so many were known to be missing before.
    fn missing(&self, piece: Span, bar: &Bar, count: i64, known: i64) -> Vec<Span> {
        let mut blocks: Vec<_> = self.keys.iter().map(|(time, _)| *time).collect();
        blocks.dedup();
        let mut doubts = Vec::new();
        // From the last version back: what is short for good is the least that any later version was short of.
        let mut least = count.saturating_sub(self.count(piece));
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
mod tests;

//! Bars: mutable until proven final.
//!
//! The edge is the oldest bar that is not final. A bar is final when a later bar has been seen, five seconds have
//! passed, and proof came that nothing is in flight: the pong to a ping sent after those seconds, on a subscription
//! older than the bar, or a REST answer asked for after them. Minutes absent under that proof are empty. Every bar
//! from the edge to a new run's first bar was touched by the handover: it becomes a gap, which REST fills.
//!
//! An answer proves only what it contains: the bars in it, and that a minute without one was empty where it has a bar on
//! each side of it. Nothing is final behind its last bar, and nothing before its first, unless the trades say that
//! there were none then. So it is asked for from some bars before the edge. A bar that counts fewer trades than are stored is not
//! final, whichever source brought it; and one that was final and turns out to count more is doubted.

use std::collections::BTreeMap;

use super::{Common, Live, Rest, Tally, Verdict, Witness};
use crate::ledger::{Cause, Change, Span};
use crate::record::Candle;
use crate::seeded::guard;
use crate::source::Content;
use crate::{Interval, Records, TimeMs};

/// How long after its end, and after a later bar was seen, a bar may still change.
pub(super) const SETTLE_MS: i64 = 5_000;
/// An acknowledgement's exchange time is a low estimate; a bar that opened this shortly after it is not trusted to
/// have been seen whole.
const START_MARGIN_MS: i64 = 2_000;
/// Bars before the newest that are judged: a week of minutes. A time from the wire may lie millions of years ahead, and
/// nothing is known of the trades of so many minutes anyway.
const MOST_JUDGED: i64 = 10_000;
/// Bars below the edge whose counts are remembered.
const MOST_FINALS: u8 = 64;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Candles {
    interval: Interval,
    /// First bar that the owning run saw from its beginning.
    whole_from: Option<TimeMs>,
    first: First,
    /// Why bars before `whole_from` may have been missed.
    cause: Cause,
    /// Open bars of the owning run.
    seen: BTreeMap<TimeMs, Seen>,
    /// The last bars below the edge, and what their best versions count: those that became final, and those that came
    /// although they lie in a gap.
    finals: BTreeMap<TimeMs, u64>,
    /// The newest proof: what was sent before it has been seen.
    now: TimeMs,
    /// The latest time that there was, under every owner of the stream: the exchange's clock may have been set back since.
    latest: TimeMs,
    guessed: Option<Guessed>,
}

/// When a run is said to have begun by a system clock, before the exchange has said what time it is. A gap up to there could
/// reach hours ahead, so nothing begins until something of the exchange agrees.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Guessed {
    at: TimeMs,
    /// The newest bar that has come since.
    newest: Option<TimeMs>,
}

/// The first bar that the owning run brought, and when the run is said to have begun. That time is a low estimate, and the
/// guess of a system clock where the exchange has not said yet what time it is: such a clock may be wrong by hours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum First {
    /// No bar has come yet.
    Awaited,
    /// It came after the bar that was to be the first: either nobody traded meanwhile, or the run began later than it is
    /// said to have, and was not there when the bars before this one ended.
    Late(TimeMs),
    /// The bars before it are left to REST, or none are in doubt.
    Settled,
}

/// An open bar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Seen {
    /// When it was first seen, ms (exchange time, low estimate).
    at: TimeMs,
    /// Trades in its best version.
    trades: u64,
}

impl Candles {
    pub(super) fn new(interval: Interval, edge: Option<TimeMs>) -> Self {
        Self {
            interval,
            whole_from: None,
            first: First::Awaited,
            cause: Cause::Handover,
            seen: BTreeMap::new(),
            finals: BTreeMap::new(),
            now: TimeMs::MIN,
            latest: edge.unwrap_or(TimeMs::MIN),
            guessed: None,
        }
    }

    /// The owning run is said to have begun at `at`, and the exchange has not said yet what time it is.
    pub(super) fn guess(&mut self, at: TimeMs) {
        self.guessed = Some(Guessed { at, newest: None });
    }

    pub(super) fn is_guessing(&self) -> bool {
        self.guessed.is_some()
    }

    /// It is `now`, as the exchange says: from here on bars are seen.
    pub(super) fn learn(&mut self, common: &mut Common, live: &mut Live, now: TimeMs, out: &mut Vec<Change>) {
        if self.guessed.take().is_some() {
            self.start(common, live, now, out);
        }
    }

    pub(super) fn release(&mut self) {
        self.whole_from = None;
        self.guessed = None;
        self.first = First::Awaited;
        self.seen.clear();
        self.latest = self.latest.max(self.now);
        self.now = TimeMs::MIN;
    }

    pub(super) fn admit(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        content: Content,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) -> Tally {
        if let Some(guessed) = self.guessed {
            let Some(at) = self.confirmed(guessed, &content) else {
                let late = content.records().map_or(0, Records::len) as u64;
                return Tally { late, ..Tally::default() };
            };
            self.learn(common, live, at, out);
        }
        match content {
            Content::Started { at } => {
                self.start(common, live, at, out);
                Tally::default()
            }
            Content::Broken { at } => {
                // Versions may have been lost: every bar that is open now, or was seen, needs REST.
                self.now = self.now.max(at);
                self.first = First::Awaited;
                let open = self.open_of(self.now + START_MARGIN_MS);
                let open = self.seen.keys().next_back().map_or(open, |newest| open.max(*newest));
                self.begin(common, live, self.next(open), out);
                Tally::default()
            }
            Content::Frame(Records::Candles(bars)) => {
                let ours = bars.iter().filter(|bar| bar.interval == self.interval);
                let first = ours.map(|bar| bar.time).min();
                if let (First::Awaited, Some(first), Some(whole)) = (self.first, first, self.whole_from) {
                    self.first = if whole < first { First::Late(first) } else { First::Settled };
                }
                let mut tally = Tally { admitted: bars.len() as u64, ..Tally::default() };
                let bars = self.cut(common, bars, &mut tally, out);
                for bar in &bars {
                    let at = self.now.max(bar.time);
                    let seen = self.seen.entry(bar.time).or_insert(Seen { at, trades: 0 });
                    seen.trades = seen.trades.max(bar.trades);
                }
                if !bars.is_empty() {
                    out.push(live.rows(Records::Candles(bars)));
                }
                tally
            }
            Content::Proof { sent } => {
                self.now = self.now.max(sent);
                self.finish(common, live, sent, witness, out);
                Tally::default()
            }
            Content::Answer { records: Records::Candles(bars), from, asked } => {
                self.answer(common, live, bars, from, asked, witness, out)
            }
            Content::Frame(_)
            | Content::Answer { .. }
            | Content::Refuted { .. }
            | Content::Ahead { .. }
            | Content::Dropped
            | Content::Unanswered { .. } => Tally::default(),
        }
    }

    /// When the run began, where a bar says so: it agrees with the guess, or one has begun since the run brought another.
    fn confirmed(&mut self, guessed: Guessed, content: &Content) -> Option<TimeMs> {
        let Content::Frame(Records::Candles(bars)) = content else { return None };
        let ours = bars.iter().filter(|bar| bar.interval == self.interval);
        let newest = ours.map(|bar| bar.time).max()?;
        let open = self.open_of(guessed.at);
        if newest <= open && open <= self.next(newest) {
            return Some(guessed.at);
        }
        let has_begun_since = guessed.newest.is_some_and(|before| before < newest);
        self.guessed = Some(Guessed { newest: Some(newest), ..guessed });
        has_begun_since.then_some(newest)
    }

    /// The owning run begins.
    fn start(&mut self, common: &mut Common, live: &mut Live, at: TimeMs, out: &mut Vec<Change>) {
        self.now = self.now.max(at);
        self.first = First::Awaited;
        let first_whole = self.next(self.open_of(at + START_MARGIN_MS));
        self.begin(common, live, first_whole, out);
    }

    /// A REST answer. `from`: it was asked for from there on, or from earlier.
    #[allow(clippy::too_many_arguments, reason = "what an answer has, and where it goes")]
    fn answer(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        mut bars: Vec<Candle>,
        from: Option<TimeMs>,
        asked: TimeMs,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) -> Tally {
        let offered = bars.len() as u64;
        // The time at which it was asked for is a low estimate. A bar that cannot have begun yet is not taken.
        let last = self.next(self.open_of(asked));
        bars.retain(|bar| bar.interval == self.interval && bar.time <= last);
        let mut tally = Tally { admitted: bars.len() as u64, ..Tally::default() };
        tally.late = offered - tally.admitted;
        let first = bars.iter().map(|bar| bar.time).min();
        let Some(from) = from.map(|from| self.at_or_after(from)).or(first) else { return tally };
        // Polls sample: each answer has to join anew.
        live.unproven.get_or_insert(Cause::Sampled);
        // Also where nothing was traded: what lies before it is left to a backfill.
        if common.edge.is_none() {
            common.advance(from, out);
        }
        self.begin(common, live, from, out);
        let newest = bars.iter().map(|bar| bar.time).max();
        let edge = common.edge.unwrap_or(from);
        tally.known = bars.iter().filter(|bar| bar.time < edge).count() as u64;
        let bars = self.cut(common, bars, &mut tally, out);
        tally.late -= tally.known;
        let counts: BTreeMap<_, _> = bars.iter().map(|bar| (bar.time, bar.trades)).collect();
        if !bars.is_empty() {
            out.push(live.rows(Records::Candles(bars)));
        }
        let (Some(first), Some(newest)) = (first, newest) else { return tally };
        let to = newest.min(self.open_of(asked - SETTLE_MS));
        let oldest = to - MOST_JUDGED * self.interval.ms();
        if edge < oldest {
            common.open_gap(Span::new(edge, oldest), self.cause, out);
            common.advance(oldest, out);
        }
        let mut bar = edge.max(oldest);
        while bar < to {
            let piece = Span::new(bar, self.next(bar));
            let count = counts.get(&bar).copied().unwrap_or_default();
            let is_answered = first <= bar
                || witness.judge(common.key, piece, 0) == Verdict::Plausible
                || !guard!(AnsweredBars);
            let is_short = witness.stored(common.key, piece) > count;
            if !is_answered || is_short {
                self.settle(common, live, bar, &counts, out);
                let cause = if is_short { Cause::Silence } else { self.cause };
                common.open_gap(piece, cause, out);
                common.advance(piece.to, out);
            }
            bar = piece.to;
        }
        self.settle(common, live, to, &counts, out);
        tally
    }

    /// The owner sees bars whole from `whole` on. What lies between the edge and there is a gap.
    fn begin(&mut self, common: &mut Common, live: &mut Live, whole: TimeMs, out: &mut Vec<Change>) {
        if let Some(cause) = live.unproven.take() {
            self.cause = cause;
        }
        // At the very first start the bar in progress is the border: wanted, and left to REST.
        let edge = *common.edge.get_or_insert_with(|| {
            self.cause = Cause::FirstStart;
            whole - self.interval.ms()
        });
        if edge < whole && guard!(WholeBars) {
            common.open_gap(Span::new(edge, whole), self.cause, out);
            common.advance(whole, out);
        }
        self.whole_from = Some(whole);
    }

    /// A backfill has filled gaps inside `span`, with these bars among others: they are over. By a clock of the exchange that was
    /// set back since they may not be, and go on counting.
    pub(super) fn filled(&mut self, span: Span, bars: &[Candle]) {
        self.latest = self.latest.max(span.to + SETTLE_MS);
        for bar in bars.iter().filter(|bar| bar.interval == self.interval) {
            let count = self.finals.entry(bar.time).or_insert(bar.trades);
            *count = bar.trades.max(*count);
        }
        self.forget_finals();
    }

    /// Drops bars that are final already or lie in a gap. One that was over and goes on counting is doubted, whichever claim proved
    /// it final: a gap that is still open stays as it is.
    fn cut(
        &mut self,
        common: &mut Common,
        mut bars: Vec<Candle>,
        tally: &mut Tally,
        out: &mut Vec<Change>,
    ) -> Vec<Candle> {
        let offered = tally.admitted;
        bars.retain(|bar| {
            let is_open = common.edge.is_none_or(|edge| bar.time >= edge);
            if bar.interval == self.interval && !is_open {
                let end = bar.time + self.interval.ms();
                // The first version that is seen of it says nothing of the one that is stored.
                let count = self.finals.entry(bar.time).or_insert(bar.trades);
                if *count < bar.trades && end + SETTLE_MS <= self.now.max(self.latest) {
                    let span = Span::new(bar.time, end);
                    out.push(Change::Doubted { span, cause: Cause::Silence });
                }
                *count = bar.trades.max(*count);
            }
            bar.interval == self.interval && is_open
        });
        self.forget_finals();
        tally.admitted = bars.len() as u64;
        tally.late += offered - tally.admitted;
        bars
    }

    /// Everything sent before `sent` was seen: bars before the last one that has stood long enough are final.
    fn finish(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        sent: TimeMs,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) {
        // A bar of the future says nothing of when the run began.
        if let First::Late(first) = self.first
            && first <= sent
        {
            self.first = First::Settled;
            self.begin(common, live, self.next(first), out);
        }
        let Some(whole) = self.whole_from else { return };
        let settled = |bar: TimeMs, seen: Seen| bar.max(seen.at) + SETTLE_MS <= sent || !guard!(FinalBars);
        let newest = self.seen.iter().rev().find(|&(&bar, &seen)| bar >= whole && settled(bar, seen));
        let Some((&newest, _)) = newest else { return };
        self.conclude(common, live, newest, witness, out);
    }

    /// What is known of the bars from the edge to an end: the run that saw them whole has seen their last versions. The bar in
    /// which the market ended stays as it is.
    pub(super) fn rest(&self, live: Live, edge: TimeMs) -> Rest {
        let is_whole =
            !matches!(self.first, First::Late(_)) && self.whole_from.is_some_and(|whole| whole <= edge);
        Rest::under(live, (!is_whole).then_some(self.cause))
    }

    /// Bars before `newest` are over.
    pub(super) fn conclude(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        newest: TimeMs,
        witness: &dyn Witness,
        out: &mut Vec<Change>,
    ) {
        let counts: BTreeMap<_, _> = self.seen.iter().map(|(bar, seen)| (*bar, seen.trades)).collect();
        // A bar that the trades contradict has lost its last version: it is left to REST.
        let oldest = newest - MOST_JUDGED * self.interval.ms();
        let mut bar = common.edge.unwrap_or(newest).max(oldest);
        while bar < newest {
            let next = self.next(bar);
            let trades = self.seen.get(&bar).map_or(0, |seen| seen.trades);
            let piece = Span::new(bar, next);
            let is_short = witness.stored(common.key, piece) > trades;
            if is_short || witness.judge(common.key, piece, trades) == Verdict::Stale {
                self.settle(common, live, bar, &counts, out);
                common.open_gap(piece, Cause::Silence, out);
                common.advance(next, out);
                self.seen.remove(&bar);
            }
            bar = next;
        }
        self.settle(common, live, newest, &counts, out);
    }

    /// Bars below `to` are final; minutes without a bar are empty. `counts`: the trades in bars.
    fn settle(
        &mut self,
        common: &mut Common,
        live: &Live,
        to: TimeMs,
        counts: &BTreeMap<TimeMs, u64>,
        out: &mut Vec<Change>,
    ) {
        let Some(edge) = common.edge else { return };
        if edge >= to {
            return;
        }
        let mut bar = edge.max(to - i64::from(MOST_FINALS) * self.interval.ms());
        while bar < to {
            self.finals.insert(bar, counts.get(&bar).copied().unwrap_or_default());
            bar = self.next(bar);
        }
        self.forget_finals();
        out.push(Change::Final { span: Span::new(edge, to) });
        out.push(live.covered(Span::new(edge, to)));
        common.advance(to, out);
        self.seen.retain(|bar, _| *bar >= to);
    }

    fn forget_finals(&mut self) {
        while self.finals.len() > usize::from(MOST_FINALS) {
            self.finals.pop_first();
        }
    }

    pub(super) fn open_of(&self, time: TimeMs) -> TimeMs {
        // Weeks and months are collected from the exchange's own bars; any boundary of their length is as good a
        // border for a gap.
        self.interval.open_of(time)
    }

    fn next(&self, bar: TimeMs) -> TimeMs {
        bar + self.interval.ms()
    }

    fn at_or_after(&self, time: TimeMs) -> TimeMs {
        let open = self.open_of(time);
        if open == time { open } else { self.next(open) }
    }
}

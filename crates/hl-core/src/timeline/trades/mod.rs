//! Trades: blocks that join by proof, or leave a gap from the edge block to the oldest new block.
//!
//! The edge is the last admitted block, inclusive, since that block may not be complete.
//!
//! What is offered proves only what it contains. A stretch of trades (an answer, a replay, what waited in a ring) joins
//! what is stored by a trade that both have: of the edge block, where it reaches behind that block or comes from the source
//! that wrote it. And it must not lack a stored trade between its first block and its last: if it does, nothing is proven
//! between any two of its blocks. However short it is, it joins by that; however long it is, it does not without. Where
//! no trade of the edge block is known, nothing joins.
//!
//! **A replay reaches as far as its newest trade.** The frames after it are continuous from the acknowledgement on.
//! Between the two lies nothing only where the newest trade is as young as the acknowledgement ([`YOUNG_MS`]), or where
//! both share a trade. Otherwise the piece between is a gap, also on a coin that is only quiet.
//!
//! **Trades that come below the claim's own piece** and are not stored were missed by the claim that covered that time: the
//! piece between the stored blocks beside them is doubted, and filled with them. So a frame that was overtaken by later
//! ones loses nothing.
//!
//! **The exchange's clock may be set back.** Then what comes lies below the edge, and is not stored yet. Inside one run
//! nothing is missing, and trades are added as above. Otherwise something may be missing on both sides: before the
//! first of them, by the new clock, and behind the edge, by the old one; both as far as the time that passed reaches.
//! Where it was set back to before all that was collected, the time line begins earlier from then on. The edge stays
//! where it is: it is the largest stamp that was admitted, and until stamps have passed it the newest of these blocks is
//! what the next answer has to join. What is proven of the time up to the edge is told in [`set_back`].

mod set_back;

use std::collections::{BTreeMap, BTreeSet};

use super::known::{Key, Known};
use super::relived::outside;
use super::states::LEAVES_LATE_MS;
use super::{Common, Live, OVERTAKEN_MS, Replay, Rest, SET_BACK_MS, Tally};
use crate::ledger::{Cause, Change, Span};
use crate::past;
use crate::record::Trade;
use crate::seeded::guard;
use crate::source::Content;
use crate::store::Recent;
use crate::{Records, SourceId, TimeMs};

/// A replay whose newest trade is no older than this when the subscription is acknowledged reaches up to the frames
/// that follow it, ms. The time of the acknowledgement is a low estimate, and the slower a trade arrives the older it is.
const YOUNG_MS: i64 = 1_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Trades {
    /// What is stored, by every source.
    known: Known,
    /// Who wrote the edge block. The order inside a block is only known to be the same within one source.
    edge_source: Option<SourceId>,
    /// The newest block that came since the exchange's stamps went back below the edge; none once they have passed it.
    back: Option<TimeMs>,
    /// Up to here nothing is proven between blocks above the edge, and why: the stamps went back, or what comes has a hole.
    doubtful: Option<(TimeMs, Cause)>,
    /// What was doubted of the time from there to the edge, since it is lived once more.
    relived: Vec<Span>,
    /// The time that was lived twice, the last of it: what shows one life says nothing of the other.
    twice: Option<Span>,
    /// Up to here an earlier process has given gaps up. They may be of a time that was lived twice.
    given_up: Option<TimeMs>,
    /// From where on the run that owns the stream has lost nothing, and up to where it is known to have brought everything.
    heard: Heard,
}

/// What a run says of itself, whether or not it joins what is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Heard {
    from: Option<TimeMs>,
    to: Option<TimeMs>,
}

impl Trades {
    pub(super) fn new(edge: Option<TimeMs>, recent: &Recent) -> Self {
        Self {
            known: Known::stored(edge, recent),
            edge_source: None,
            back: None,
            doubtful: None,
            relived: Vec::new(),
            twice: None,
            given_up: recent.given_up,
            heard: Heard::default(),
        }
    }

    /// The piece of which the run that owns the stream has brought every trade, as far as it says so itself.
    pub(super) fn heard(&self) -> Option<Span> {
        let (from, to) = self.heard.from.zip(self.heard.to)?;
        (from <= to).then_some(Span { from, to })
    }

    /// The claim ends.
    pub(super) fn release(&mut self) {
        self.heard = Heard::default();
    }

    pub(super) fn admit(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        content: Content,
        out: &mut Vec<Change>,
    ) -> Tally {
        match content {
            Content::Started { at } => {
                (live.heard_at, live.replay) = (Some(at), Replay::Awaited);
                self.heard = Heard { from: Some(at), to: None };
                Tally::default()
            }
            // What follows a break is not a replay, and goes on from nothing.
            Content::Broken { at } => {
                (live.heard_at, live.replay, live.reached) = (Some(at), Replay::Passed, None);
                self.heard = Heard { from: Some(at), to: None };
                Tally::default()
            }
            Content::Dropped => {
                self.heard = Heard::default();
                Tally::default()
            }
            Content::Proof { sent } => {
                self.heard.to = self.heard.to.max(Some(sent - LEAVES_LATE_MS));
                Tally::default()
            }
            Content::Ahead { at, newest } => {
                if live.replay == Replay::Awaited || live.grant.run.is_none() {
                    self.shows_first_life(common, live, Span::new(at.min(newest), newest), out);
                }
                Tally::default()
            }
            Content::Frame(Records::Trades(trades)) => {
                let Some(newest) = trades.iter().map(|t| t.time).max() else { return Tally::default() };
                // What was dropped before it is not known; what comes after it is. And of one coin frames come in their order.
                let from = *self.heard.from.get_or_insert(newest);
                self.heard.to = self.heard.to.max(Some(newest).filter(|newest| from <= *newest));
                // The newest trade of a replay may come once more by itself.
                let is_replay = match live.replay {
                    Replay::Awaited => true,
                    Replay::Stale => trades.iter().all(|trade| self.known.has(trade)),
                    Replay::Passed => false,
                };
                let tally = self.run(common, live, trades, out);
                // Where it is not known when the run began, nothing says that it reaches up to the frames.
                let is_young = live.heard_at.is_some_and(|at| at - YOUNG_MS <= newest);
                if is_replay && !is_young && guard!(Replay) {
                    live.replay = Replay::Stale;
                    live.unproven.get_or_insert(live.grant.cause);
                    live.reached = None;
                } else {
                    live.replay = Replay::Passed;
                }
                tally
            }
            Content::Answer { records: Records::Trades(trades), asked, .. } => {
                // Polls sample: each answer has to join anew.
                live.unproven.get_or_insert(Cause::Sampled);
                live.reached = None;
                live.heard_at = Some(asked);
                let tally = self.run(common, live, trades, out);
                live.unproven = None;
                tally
            }
            _ => Tally::default(),
        }
    }

    /// What is known of the time from the edge to an end. A run that is continuous has brought all that there was.
    pub(super) fn rest(&self, live: Live) -> Rest {
        let doubt = self.doubtful.map(|(_, cause)| cause);
        Rest::under(live, doubt.or(self.back.map(|_| live.grant.cause)))
    }

    /// One continuous stretch of trades.
    fn run(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        mut trades: Vec<Trade>,
        out: &mut Vec<Change>,
    ) -> Tally {
        trades.sort_by_key(|trade| trade.time);
        let (Some(first), Some(last)) = (trades.first().map(|t| t.time), trades.last().map(|t| t.time))
        else {
            return Tally::default();
        };
        let Some(edge) = common.edge else {
            self.known.begin(first);
            live.unproven = None;
            live.reached = Some(last);
            return self.append(common, live, trades, first, None, out);
        };
        // A run is continuous; what begins one, and an answer, prove nothing beyond their ends.
        let ends = live.reached.is_none().then(|| Span::new(first, last));
        // A run that passes over a stored block has missed it, and may have missed more.
        if live.reached.is_some_and(|reached| reached < edge) && edge < first && self.back.is_none() {
            live.unproven.get_or_insert(Cause::Silence);
        }
        // Below the edge, too, the run goes on from the block that it had reached.
        let from = live.reached.filter(|reached| *reached < first).unwrap_or(first);
        if self.known.is_before_all(last) && last < edge - OVERTAKEN_MS && guard!(Late) {
            self.reach_back(live, first, edge, out);
        }
        let shows_set_back = self.shows_set_back(live, &trades, edge);
        let joins = live.unproven.is_none() || self.joins(live, &trades, from, edge);
        if shows_set_back {
            self.set_back_to(first, last);
        }
        live.reached = Some(live.reached.map_or(last, |reached| reached.max(last)));
        match live.unproven.take() {
            // What comes is older than all that is remembered: the store knows whether it has it.
            cause if last < edge && self.known.has_forgotten(last) && !self.shares_any(&trades) => {
                live.unproven = Some(cause.unwrap_or(Cause::Silence));
                let late = trades.len() as u64;
                // Those that lie in a gap are missing there already.
                trades.retain(|trade| !common.is_missing(trade.time));
                if !trades.is_empty() {
                    out.push(live.rows(Records::Trades(trades)));
                }
                Tally { late, ..Tally::default() }
            }
            Some(cause) if !joins => {
                self.fill(common, live, &trades, from, out);
                self.apart(common, live, trades, cause, ends, out)
            }
            unproven => {
                self.fill(common, live, &trades, from, out);
                // What joins by the edge may have begun long after the block that stamps had come to.
                let goes_on = |back: &TimeMs| unproven.is_none() || self.joins_at(live, &trades, from, *back);
                let back = self.back.filter(goes_on);
                let tally = self.append(common, live, trades, edge, ends, out);
                self.relive(common, live, back, edge, out);
                tally
            }
        }
    }

    fn shares_any(&self, trades: &[Trade]) -> bool {
        trades.iter().any(|trade| self.known.has(trade))
    }

    /// Whether nothing lies between what is stored and a stretch, which goes on from the block `from`.
    fn joins(&self, live: &Live, trades: &[Trade], from: TimeMs, edge: TimeMs) -> bool {
        if !guard!(Join) {
            return true;
        }
        let joins = |from, block| self.joins_at(live, trades, from, block);
        if self.back.is_some_and(|back| joins(from, back)) {
            return true;
        }
        // Of the edge block nothing is stored where trades are left out on purpose.
        let Some(newest) = self.known.newest().filter(|block| *block <= edge) else { return false };
        let (Some(first), Some(last)) = (trades.first(), trades.last()) else { return false };
        // What came before it may have a hole, and it joins by itself.
        let whole_since = |from| self.has_all(trades, from, last.time.min(edge + 1));
        [from, first.time].into_iter().any(|from| joins(from, newest) && whole_since(from))
    }

    /// Whether a stretch, which goes on from the block `from`, has a trade of a stored block and reaches behind it, or comes
    /// from the source that wrote it.
    fn joins_at(&self, live: &Live, trades: &[Trade], from: TimeMs, block: TimeMs) -> bool {
        (from < block || self.edge_source == Some(live.grant.source))
            && trades.iter().any(|trade| trade.time == block && self.known.has(trade))
    }

    /// Whether the trades hold all that are stored strictly between two blocks.
    fn has_all(&self, trades: &[Trade], after: TimeMs, before: TimeMs) -> bool {
        let block = |time| {
            let from = trades.partition_point(|trade| trade.time < time);
            trades[from..].iter().take_while(move |trade| trade.time == time)
        };
        let has = |(time, tid): Key| block(time).any(|trade| trade.tid == tid);
        self.known.between(after, before).all(has) || !guard!(Contained)
    }

    /// A stretch that does not join.
    fn apart(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        trades: Vec<Trade>,
        cause: Cause,
        ends: Option<Span>,
        out: &mut Vec<Change>,
    ) -> Tally {
        let (Some(edge), Some(first)) = (common.edge, trades.first().map(|t| t.time)) else {
            return Tally::default();
        };
        let passed = live.missed_ms(edge);
        // Since then something may be missing, if the clock was set back.
        let before = match self.back {
            Some(back) if back < first => back,
            _ => first - passed.unwrap_or(SET_BACK_MS),
        };
        let above = trades.iter().map(|t| t.time).find(|time| edge < *time);
        let next = if first == edge { Some(first) } else { above };
        if let Some(next) = next {
            let mut is_doubtful = self.back.is_some();
            common.open_gap(Span::new(edge, next), cause, out);
            // One that lacks what is stored may lack as much of what is not.
            if let Some(last) = trades.last().map(|trade| trade.time)
                && !self.has_all(&trades, first, last.min(edge + 1))
            {
                self.doubtful = self.doubtful.max(Some((last, cause)));
                is_doubtful = true;
            }
            live.piece = None;
            let tally = self.append(common, live, trades, next, ends, out);
            // After them, since they are stored themselves.
            if is_doubtful && before < first.min(edge) {
                self.doubt(common, Span::new(before, first.min(edge)), cause, out);
            }
            return tally;
        }
        if !trades.iter().any(|trade| self.is_new(common, trade)) {
            // Older than what is stored: it proves nothing of what comes next.
            live.unproven = Some(cause);
            return self.late(common, live, trades, ends, out);
        }
        // After a restart nothing says for how long the old clock went on.
        let is_behind = trades.last().is_some_and(|trade| trade.time < edge - OVERTAKEN_MS);
        let passed = passed.or(is_behind.then_some(SET_BACK_MS));
        self.doubtful = self.doubtful.max(passed.map(|passed| (edge + passed, cause)));
        let tally = self.append(common, live, trades, edge, ends, out);
        self.relive(common, live, None, edge, out);
        if self.twice.is_some_and(|twice| twice.contains(edge)) {
            self.lose_first_life(common, Span::new(before, edge + passed.unwrap_or_default()), out);
        }
        self.doubt(common, Span::new(before, first), cause, out);
        tally
    }

    /// Stores a stretch that is continuous from `begin`, the edge or the block behind a gap.
    fn append(
        &mut self,
        common: &mut Common,
        live: &mut Live,
        mut trades: Vec<Trade>,
        begin: TimeMs,
        ends: Option<Span>,
        out: &mut Vec<Change>,
    ) -> Tally {
        // Those that lie in a gap are missing there already.
        let in_gap = |time| common.holes.iter().any(|hole| hole.from < time && time < hole.to);
        let is_of_second_life =
            |trade: &&Trade| self.is_new(common, trade) || self.back.is_some() && in_gap(trade.time);
        let set_back = trades.iter().rev().find(is_of_second_life).map(|trade| trade.time);
        // What is lived once more is not the claim's piece any more: each of its trades says what it proves.
        let piece = live.piece.filter(|_| self.relived.is_empty()).unwrap_or(begin);
        let mut own = trades.split_off(trades.partition_point(|trade| trade.time < piece));
        let below = own.partition_point(|trade| common.edge.is_some_and(|edge| trade.time < edge));
        trades.extend(own.extract_if(..below, |trade| in_gap(trade.time)));
        let last = own.last().map(|trade| trade.time);
        match common.edge {
            Some(edge) if last.is_none_or(|last| last <= edge) => self.back = set_back.or(self.back),
            _ => self.back = None,
        }
        let mut tally = self.late(common, live, trades, ends, out);
        tally.admitted += own.len() as u64;
        let Some(last) = last else { return tally };
        live.piece = Some(piece);
        self.known.add(&own);
        let mut blocks = Vec::new();
        if self.doubtful.is_some() {
            blocks.extend(own.iter().map(|trade| trade.time).filter(|time| begin < *time));
        }
        // Inside the piece a frame that comes out of order is still the claim's, and the store knows the keys it has.
        out.push(live.rows(Records::Trades(own)));
        if last < begin {
            return tally;
        }
        self.edge_source = Some(live.grant.source);
        let mut from = begin;
        if let Some((to, cause)) = self.doubtful {
            for block in blocks {
                if from < block && from < to {
                    out.push(live.covered(Span::new(from, from)));
                    let gap = Span::new(from, block);
                    common.open_gap(gap, cause, out);
                    out.extend(self.was_lived_twice(gap).then_some(Change::GapLost { span: gap }));
                    from = block;
                    live.piece = Some(block);
                }
            }
            self.doubtful = self.doubtful.filter(|_| from < to);
        }
        out.push(live.covered(Span::new(from, last)));
        common.advance(last, out);
        tally
    }

    /// A backfill has filled gaps inside `span`, with these trades among others.
    pub(super) fn filled(&mut self, common: &mut Common, span: Span, trades: &[Trade]) {
        common.fill(span);
        self.known.add(trades);
    }

    /// Whether a trade below the edge is not stored, although all that was traded then is said to be.
    fn is_new(&self, common: &Common, trade: &Trade) -> bool {
        self.is_unknown(common, trade) && common.forgotten.is_none_or(|forgotten| forgotten < trade.time)
    }

    /// Whether a trade below the edge is not stored, and lies in no gap that is remembered.
    fn is_unknown(&self, common: &Common, trade: &Trade) -> bool {
        common.edge.is_some_and(|edge| trade.time < edge)
            && self.known.reaches(trade.time)
            && !self.known.has(trade)
            && !common.is_missing(trade.time)
    }

    /// Trades below the claim's own piece. Most are stored; those that lie in a gap are missing there already. `ends`: what
    /// they prove at most.
    fn late(
        &mut self,
        common: &mut Common,
        live: &Live,
        trades: Vec<Trade>,
        ends: Option<Span>,
        out: &mut Vec<Change>,
    ) -> Tally {
        let mut tally = Tally::default();
        // What is behind them is still to come, where it is lived once more.
        let reached = self.back.filter(|back| Self::is_set_back(common, *back));
        let (mut missed, mut forgotten) = (BTreeMap::<Span, Vec<Trade>>::new(), BTreeSet::new());
        for trade in trades {
            if self.known.has(&trade) {
                tally.known += 1;
                continue;
            }
            tally.late += 1;
            if !self.is_unknown(common, &trade) || !guard!(Late) {
                continue;
            }
            if !self.is_new(common, &trade) {
                // It may lie in a gap that is forgotten, which stays one.
                forgotten.extend(self.known.around(trade.time));
            } else if let Some(span) = self.whole_around(common, trade.time) {
                missed.entry(span).or_default().push(trade);
            }
        }
        for span in forgotten {
            common.remember(span);
            out.push(Change::Doubted { span, cause: Cause::Silence });
        }
        for (span, trades) in missed {
            self.known.add(&trades);
            out.push(Change::Doubted { span, cause: Cause::Silence });
            let proven = ends.filter(|_| guard!(Contained)).map_or(Some(span), |ends| ends.intersect(span));
            let Some(mut proven) = proven else { continue };
            if let Some(reached) = reached.filter(|reached| proven.contains(*reached)) {
                proven.to = reached;
            }
            // The block at which the gap begins is not a part of it; a later block is one, with the moment before it.
            if proven.to == span.from {
                out.extend(live.block(proven.to, trades));
            } else {
                proven.from = proven.from.min(proven.to - 1);
                out.push(live.filled(proven, Records::Trades(trades)));
            }
            let mut rest = vec![Span::new(span.from, proven.from)];
            if reached.is_none() {
                rest.push(Span::new(proven.to, span.to));
            }
            rest.retain(|rest| rest.from < rest.to);
            self.lose(common, &rest);
        }
        tally
    }

    /// What was covered between stored blocks is not proven any more.
    fn doubt(&mut self, common: &mut Common, span: Span, cause: Cause, out: &mut Vec<Change>) {
        let pieces = self.whole_pieces(common, span);
        self.lose(common, &pieces);
        out.extend(pieces.into_iter().map(|span| Change::Doubted { span, cause }));
    }

    /// These pieces, oldest first, are gaps, and no time that passes proves them.
    pub(super) fn lose(&mut self, common: &mut Common, pieces: &[Span]) {
        pieces.iter().for_each(|piece| common.remember(*piece));
        if !self.relived.is_empty() {
            for lost in Span::joined(pieces.iter().copied()) {
                self.relived = past::without(&self.relived, lost);
            }
        }
    }

    /// The pieces between neighbouring stored blocks that a span reaches into and that lie in no gap.
    fn whole_pieces(&self, common: &Common, span: Span) -> Vec<Span> {
        self.known.pieces(span).into_iter().flat_map(|piece| outside(piece, &common.holes)).collect()
    }

    /// What of the piece between the stored blocks beside a time lies in no gap, around that time: a gap may end at a block that
    /// is not stored.
    fn whole_around(&self, common: &Common, time: TimeMs) -> Option<Span> {
        let pieces = outside(self.known.around(time)?, &common.holes);
        pieces.into_iter().find(|piece| piece.contains(time))
    }

    /// Gaps that a stretch reaches into are filled by it, from the block `from` on: blocks strictly inside are proven. It has
    /// to be anchored in what is stored, and to have all that is stored in between: a stretch that passes over a stored
    /// block, or over the border of a gap, has a hole of its own, and proves nothing.
    fn fill(
        &mut self,
        common: &mut Common,
        live: &Live,
        trades: &[Trade],
        from: TimeMs,
        out: &mut Vec<Change>,
    ) {
        let (Some(edge), Some(first), Some(last)) = (common.edge, trades.first(), trades.last()) else {
            return;
        };
        let to = last.time.min(edge);
        // It is still to be told whether the clock was set back.
        let is_doubtful = live.pause.is_some() && last.time < edge - OVERTAKEN_MS;
        if edge <= from || to <= from || self.back.is_some() || is_doubtful {
            return;
        }
        // The other life is not in it.
        let Some(proven) = self.lived_once(Span::new(from, to)) else { return };
        // A stretch may begin in the middle of its first block.
        let holes = || common.holes.iter().filter(|hole| hole.touches(proven) && proven.from < hole.to);
        let has_block = |time: TimeMs| trades.iter().any(|trade| trade.time == time);
        let is_missed = |border: TimeMs| proven.from < border && border <= proven.to && !has_block(border);
        let is_anchored = || from < first.time || self.shares_any(trades);
        if holes().next().is_none()
            || holes().any(|hole| is_missed(hole.from) || is_missed(hole.to))
            || !is_anchored()
            || !self.has_all(trades, from, last.time.min(edge + 1))
        {
            return;
        }
        let below: Vec<_> = trades.iter().copied().filter(|t| proven.contains(t.time)).collect();
        let mut stored = below.clone();
        stored.retain(|trade| holes().any(|hole| hole.contains(trade.time)));
        // The block at which a gap begins may have been cut by the answer before it. What ends there fills no part of the gap,
        // and what fills the gap later begins there.
        let begins = holes().any(|hole| hole.from == proven.to && hole.ms() > 0);
        let is_in_a_part = holes().any(|hole| hole.from < proven.to && proven.to <= hole.to);
        let mut cut = stored.clone();
        cut.retain(|trade| trade.time == proven.to && !self.known.has(trade));
        if begins && !is_in_a_part && !cut.is_empty() {
            out.extend(live.block(proven.to, cut));
        }
        self.known.add(&stored);
        out.push(live.filled(proven, Records::Trades(below)));
        common.fill(proven);
    }
}

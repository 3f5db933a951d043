//! Trades where the exchange's clock was set back: which stretches say so, and what is proven of a time that is lived twice.
//!
//! The time from the first stamp after it to the edge is lived once more: it is doubted at once, and proven bit by bit as it
//! passes, so that who dies meanwhile leaves a gap. What was missing of it the first time is given up: the exchange shows the
//! newest trades only, and those are of the second. It may be set back again before it has passed.
//!
//! What does not live here: what any stretch proves ([`super`]), and how a set-back is seen in a pause (`timeline/pause.rs`).

use super::Trades;
use crate::ledger::{Cause, Change, Span};
use crate::record::Trade;
use crate::seeded::guard;
use crate::timeline::{Common, Live, OVERTAKEN_MS, SET_BACK_MS, SetBack};
use crate::{Records, TimeMs};

impl Trades {
    /// Whether a stretch says that the clock was set back, also where all of it lies in a gap of the first time: a run goes on
    /// behind what it has brought, or what is asked for now does. What is stored may be old trades that come once more, and so may
    /// what replays and promoted runs bring.
    pub(super) fn shows_set_back(&self, live: &Live, trades: &[Trade], edge: TimeMs) -> bool {
        let (Some(last), true) = (trades.last().map(|trade| trade.time), guard!(Late)) else { return false };
        let is_behind = |time: TimeMs| last < time - OVERTAKEN_MS;
        let says_so = match live.grant.run {
            Some(_) => !live.promoting && live.reached.is_some_and(is_behind),
            None => is_behind(edge) && live.heard_at.is_some_and(|asked| asked < edge - OVERTAKEN_MS),
        };
        says_so && trades.iter().any(|trade| !self.known.has(trade))
    }

    /// A replay or an answer shows trades of a time that is still to come: the exchange has lived that time already. What comes of
    /// it now says nothing of the first time, and was not seen then.
    pub(super) fn shows_first_life(
        &mut self,
        common: &Common,
        live: &Live,
        lived: Span,
        out: &mut Vec<Change>,
    ) {
        if common.edge.is_none_or(|edge| lived.to <= edge) || !guard!(Late) {
            return;
        }
        let cause = live.unproven.unwrap_or(live.grant.cause);
        self.doubtful = self.doubtful.max(Some((lived.to, cause)));
        self.lose_first_life(common, lived, out);
    }

    /// The exchange lives the time since `first` once more. What is lived once more already may be set back again.
    pub(super) fn set_back_to(&mut self, first: TimeMs, last: TimeMs) {
        if self.back.is_none_or(|back| last < back - OVERTAKEN_MS) {
            self.back = Some(first);
            self.relived.clear();
        }
    }

    /// A stretch that begins at `first` lies before everything that was ever collected: the clock was set back further than
    /// that. The time from there on becomes a part of the time line, and nothing of it is proven yet.
    pub(super) fn reach_back(&mut self, live: &Live, first: TimeMs, edge: TimeMs, out: &mut Vec<Change>) {
        let missed_ms = match (live.unproven, live.heard_at) {
            // Nothing inside one run.
            (None, _) => 1,
            (Some(_), Some(at)) if edge < at => at.since(edge),
            (Some(_), _) => SET_BACK_MS,
        };
        let begun = self.known.reach_back(first - missed_ms);
        let span = Span::new(first - missed_ms, begun);
        out.push(Change::GapOpened { span, cause: live.unproven.unwrap_or(Cause::Silence) });
    }

    /// Where stamps went back below the edge, which was at `edge`, the time up to there is lived once more, and what was
    /// covered of it is not complete before it has passed. `before`: the newest block of it that this stretch goes on from.
    pub(super) fn relive(
        &mut self,
        common: &Common,
        live: &Live,
        before: Option<TimeMs>,
        edge: TimeMs,
        out: &mut Vec<Change>,
    ) {
        let to = self.back.unwrap_or(edge);
        if self.relived.is_empty() {
            self.doubt_relived(common, Span::new(to, edge), out);
            return;
        }
        if let Some(from) = before.filter(|from| *from < to) {
            // No more than what was doubted: between those pieces lie gaps of the first time.
            let passed = Span::new(from, to);
            let proven = self.relived.iter().filter(|span| span.overlaps(passed));
            let proven = proven.filter_map(|span| span.intersect(passed));
            out.extend(proven.map(|span| live.filled(span, Records::Trades(Vec::new()))));
        }
        self.relived.retain(|span| to < span.to && self.back.is_some());
    }

    /// What was covered of the time that is lived once more is doubted, where the clock was set back.
    pub(super) fn doubt_relived(&mut self, common: &Common, span: Span, out: &mut Vec<Change>) {
        if self.back.is_some_and(|back| Self::is_set_back(common, back)) && guard!(Late) {
            self.relived = self.whole_pieces(common, span);
            let doubted = |span: &Span| Change::Doubted { span: *span, cause: Cause::Silence };
            out.extend(self.relived.iter().map(doubted));
            // Of what lies before it is not known what is a gap, so nothing of it is stored.
            self.relived.retain(|piece| common.forgotten.is_none_or(|forgotten| forgotten <= piece.from));
            self.lose_first_life(common, span, out);
        }
    }

    /// A time is lived twice. The exchange shows the newest trades only, so what was missing of it the first time is lost.
    pub(super) fn lose_first_life(&mut self, common: &Common, span: Span, out: &mut Vec<Change>) {
        if self.twice.is_some_and(|twice| twice.from <= span.from && span.to <= twice.to) {
            return;
        }
        let holes = common.holes.iter().filter(|hole| hole.overlaps(span));
        out.extend(holes.filter_map(|hole| hole.intersect(span)).map(|span| Change::GapLost { span }));
        let before = self.twice.filter(|twice| twice.touches(span));
        self.twice = Some(before.map_or(span, |before| before.hull(span)));
    }

    /// The clock was set back in a pause.
    pub(in crate::timeline) fn pause(
        &mut self,
        common: &mut Common,
        set_back: SetBack,
        cause: Cause,
        out: &mut Vec<Change>,
    ) {
        let SetBack { new, old, now } = set_back;
        self.lose_first_life(common, new.hull(old), out);
        self.doubt(common, new, cause, out);
        self.doubt(common, old, cause, out);
        self.doubtful = self.doubtful.max(Some((old.to, cause)));
        if let Some(edge) = common.edge.filter(|edge| now < *edge - OVERTAKEN_MS) {
            self.set_back_to(now, now);
            if self.relived.is_empty() {
                self.doubt_relived(common, Span::new(now, edge), out);
            }
        }
    }

    /// From its beginning, and a while longer than it lasts: what proves it is still on its way to the store.
    pub(in crate::timeline) fn relived_from(&self, common: &Common) -> Option<TimeMs> {
        let back = self.back.filter(|back| Self::is_set_back(common, *back));
        let lasts = |twice: &Span| common.edge.is_some_and(|edge| edge < twice.to + OVERTAKEN_MS);
        let twice = self.twice.filter(lasts).map(|twice| twice.from);
        self.relived.first().map(|span| span.from).into_iter().chain(back).chain(twice).min()
    }

    /// Whether the clock was set back to this block: frames that overtake each other are nearer to the edge.
    pub(super) fn is_set_back(common: &Common, block: TimeMs) -> bool {
        common.edge.is_some_and(|edge| block < edge - OVERTAKEN_MS)
    }

    pub(super) fn was_lived_twice(&self, span: Span) -> bool {
        self.twice.is_some_and(|twice| twice.overlaps(span))
    }

    /// What of a span comes after the time that was lived twice, and after what an earlier process has given up.
    pub(super) fn lived_once(&self, span: Span) -> Option<Span> {
        let twice = self.twice.filter(|twice| twice.overlaps(span)).map(|twice| twice.to);
        let given_up = self.given_up.filter(|to| span.from < *to);
        match twice.max(given_up) {
            Some(from) => (from < span.to).then_some(Span { from, ..span }),
            None => Some(span),
        }
    }
}

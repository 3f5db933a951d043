//! The ledger of one stream near the pieces that are touched, in memory: what a change does to its gaps and covered pieces.
//!
//! Pure: a store loads what lies near, applies changes, and writes what changed of it, all inside one transaction. The rules
//! are those of [`Change`](super::Change). A gap never shrinks: filling or claiming a part of it splits it, and every piece
//! keeps its cause, but for what turns out to lie before the exchange's history, or cannot be read. One outage is one gap:
//! where a gap of half-open pieces begins at the end of one with the same cause, that one grows. With [`Borders::Shared`] the
//! pieces share their border blocks, and a gap of length zero is one border block. What was doubted piece by piece is one gap
//! too: the blocks between its pieces hold rows, and each is covered by itself.
//!
//! What does not live here: rows, and how gaps and pieces are stored.

use std::collections::{BTreeMap, BTreeSet};

use super::{Became, Cause, GapChange, GapState, Span};
use crate::stream::Borders;
use crate::{Epoch, Origin, StreamKey, TimeMs, Token};

/// A gap as it is stored. `Id` is the store's name of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Gap<Id> {
    /// The piece.
    pub span: Span,
    /// What became of it.
    pub state: GapState,
    /// The backfill that works on it.
    pub claim: Option<Epoch>,
    /// Why it was opened.
    pub cause: Cause,
    /// When it was found, ms.
    pub opened_at: TimeMs,
    /// When it was filled or given up, ms.
    pub closed_at: Option<TimeMs>,
    /// None before it is stored.
    pub id: Option<Id>,
}

impl<Id> Gap<Id> {
    /// Whether no other living session has claimed it.
    #[must_use]
    pub fn is_free(&self, epoch: Epoch, is_alive: impl Fn(Token) -> bool) -> bool {
        self.claim.is_none_or(|claim| claim == epoch || !is_alive(claim.token))
    }
}

/// What makes a covered piece the same piece: its claim, and where it begins.
pub type PieceKey = (Epoch, Origin, TimeMs);

/// A covered piece, without what is in its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Piece {
    /// Its end, ms.
    pub to: TimeMs,
    /// Rows that were inserted for it.
    pub rows: u64,
}

/// Under which claim something is written.
pub type Stamp = (Origin, Epoch);

/// Which parts of gaps a backfill takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parts {
    /// What lies inside: a gap that sticks out is split.
    Inside,
    /// Whole gaps only: one that sticks out is left alone.
    Whole,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Entry<Id> {
    gap: Gap<Id>,
    is_changed: bool,
    /// Part of another one now.
    is_gone: bool,
}

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sheet<Id> {
    stream: StreamKey,
    now: TimeMs,
    gaps: Vec<Entry<Id>>,
    pieces: BTreeMap<PieceKey, Piece>,
    touched: BTreeSet<PieceKey>,
    gap_changes: Vec<GapChange>,
}

impl<Id: Copy + Ord> Sheet<Id> {
    /// A sheet on which nothing is known. `now`: when what changes was opened, or closed.
    #[must_use]
    pub fn new(stream: StreamKey, now: TimeMs) -> Self {
        let (gaps, gap_changes) = (Vec::new(), Vec::new());
        Self { stream, now, gaps, pieces: BTreeMap::new(), touched: BTreeSet::new(), gap_changes }
    }

    /// A gap that is stored.
    pub fn know_gap(&mut self, gap: Gap<Id>) {
        self.gaps.push(Entry { gap, is_changed: false, is_gone: false });
    }

    /// A covered piece that is stored.
    pub fn know_piece(&mut self, key: PieceKey, piece: Piece) {
        self.pieces.insert(key, piece);
    }

    /// What changed is stored: it is known from now on.
    pub fn settle(&mut self) {
        self.gaps.retain(|entry| !entry.is_gone);
        self.gaps.iter_mut().for_each(|entry| entry.is_changed = false);
        self.gaps.sort_unstable_by_key(|entry| entry.gap);
        self.touched.clear();
        self.gap_changes.clear();
    }

    /// What happened to gaps, in that order. That two neighbours are one row now is not told, nor who works on a gap.
    #[must_use]
    pub fn gap_changes(&self) -> &[GapChange] {
        &self.gap_changes
    }

    fn tell(&mut self, span: Span, cause: Cause, became: Became) {
        self.gap_changes.push(GapChange { span, cause, became });
    }

    /// The gaps that are known.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap<Id>> {
        self.gaps.iter().filter(|entry| !entry.is_gone).map(|entry| &entry.gap)
    }

    /// The covered pieces that are known.
    pub fn pieces(&self) -> impl Iterator<Item = (PieceKey, Piece)> {
        self.pieces.iter().map(|(key, piece)| (*key, *piece))
    }

    /// The piece of a claim that begins at `from`, or the last one before.
    #[must_use]
    pub fn piece_before(&self, (origin, epoch): Stamp, from: TimeMs) -> Option<Span> {
        let of_claim = (epoch, origin, TimeMs::MIN)..=(epoch, origin, from);
        let before = self.pieces.range(of_claim).next_back();
        before.map(|((.., from), piece)| Span { from: *from, to: piece.to })
    }

    /// Gaps that are new or changed.
    pub fn changed_gaps(&self) -> impl Iterator<Item = &Gap<Id>> {
        self.gaps.iter().filter(|entry| entry.is_changed && !entry.is_gone).map(|entry| &entry.gap)
    }

    /// Stored gaps that are part of another one now.
    pub fn gone_gaps(&self) -> impl Iterator<Item = Id> {
        self.gaps.iter().filter(|entry| entry.is_gone).filter_map(|entry| entry.gap.id)
    }

    /// Covered pieces that are new, changed, or gone.
    pub fn changed_pieces(&self) -> impl Iterator<Item = (PieceKey, Option<Piece>)> {
        self.touched.iter().map(|key| (*key, self.pieces.get(key).copied()))
    }

    fn borders(&self) -> Borders {
        self.stream.spec().borders
    }

    /// Gaps that touch `span`, oldest first, each with its place.
    fn near(&self, span: Span) -> Vec<(usize, Gap<Id>)> {
        let entries = self.gaps.iter().enumerate();
        let near = entries.filter(|(_, entry)| !entry.is_gone && entry.gap.span.touches(span));
        let mut near: Vec<_> = near.map(|(at, entry)| (at, entry.gap)).collect();
        near.sort_by_key(|(at, gap)| (gap.span, *at));
        near
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut Gap<Id>)) {
        if let Some(entry) = self.gaps.get_mut(at) {
            entry.is_changed = true;
            change(&mut entry.gap);
        }
    }

    fn add(&mut self, gap: Gap<Id>) {
        self.gaps.push(Entry { gap, is_changed: true, is_gone: false });
    }

    /// Gives a part of a gap a new state and claim; what is left of the gap on either side stays as it is.
    fn carve(&mut self, (at, gap): (usize, Gap<Id>), part: Span, state: GapState, claim: Option<Epoch>) {
        let before = Span { from: gap.span.from, to: part.from };
        let after = Span { from: part.to, to: gap.span.to };
        for span in [before, after].into_iter().filter(|rest| rest.ms() > 0) {
            self.add(Gap { id: None, span, ..gap });
        }
        let closed_at = (state != GapState::Open).then_some(self.now);
        self.change(at, |gap| *gap = Gap { span: part, state, closed_at, claim, ..*gap });
    }

    /// Opens a gap, unless it, or what became of it, is there already.
    pub fn open_gap(&mut self, span: Span, cause: Cause) {
        let borders = self.borders();
        if span.ms() == 0 && borders == Borders::HalfOpen {
            return;
        }
        let mut near = self.near(span);
        near.retain(|(_, gap)| gap.cause.came_from(cause));
        // A repeated batch may find its gap split by now, or grown.
        if Span::joined(near.iter().filter_map(|(_, gap)| borders.part(gap.span, span))) == [span] {
            return;
        }
        // Where borders are shared a block with rows may lie between the two.
        let goes_on = |(_, gap): &(usize, Gap<Id>)| {
            borders == Borders::HalfOpen
                && gap.cause == cause
                && (gap.span.to, gap.state, gap.claim) == (span.from, GapState::Open, None)
        };
        match near.into_iter().find(goes_on) {
            Some((at, _)) => {
                self.change(at, |gap| gap.span.to = span.to);
                self.tell(span, cause, Became::Opened);
            }
            None => self.insert_gap(span, cause),
        }
    }

    fn insert_gap(&mut self, span: Span, cause: Cause) {
        let state = self.stream.spec().new_gap();
        let closed_at = (state != GapState::Open).then_some(self.now);
        self.add(Gap { id: None, span, cause, state, opened_at: self.now, closed_at, claim: None });
        self.tell(span, cause, Became::Opened);
    }

    /// Marks those parts of gaps inside `span` as filled that are not yet, and that no other living session has claimed.
    /// Returns the parts, joined where they touch.
    pub fn fill(&mut self, span: Span, epoch: Epoch, is_alive: impl Fn(Token) -> bool) -> Vec<Span> {
        let mut parts = Vec::new();
        for (at, gap) in self.near(span) {
            if gap.state == GapState::Backfilled || !gap.is_free(epoch, &is_alive) {
                continue;
            }
            if let Some(part) = self.borders().part(gap.span, span) {
                self.carve((at, gap), part, GapState::Backfilled, None);
                self.tell(part, gap.cause, Became::Filled);
                self.join_next(part, gap.cause, GapState::Backfilled);
                parts.push(part);
            }
        }
        Span::joined(parts)
    }

    /// Neighbours in `within` and beside it with the same cause and state, which no session has claimed, are one gap. Where
    /// borders are shared the block between two of them keeps its own covered piece.
    fn join_next(&mut self, within: Span, cause: Cause, state: GapState) {
        let mut before: Option<(usize, Gap<Id>)> = None;
        for (at, gap) in self.near(within) {
            // A gap of no length is a border block of its own.
            if (gap.cause, gap.state, gap.claim) != (cause, state, None) || gap.span.ms() == 0 {
                continue;
            }
            let Some((first, whole)) = before.as_mut().filter(|(_, before)| before.span.touches(gap.span))
            else {
                before = Some((at, gap));
                continue;
            };
            whole.span = whole.span.hull(gap.span);
            whole.opened_at = whole.opened_at.min(gap.opened_at);
            whole.closed_at = whole.closed_at.max(gap.closed_at);
            let (first, whole) = (*first, *whole);
            self.change(first, |gap| *gap = whole);
            if let Some(entry) = self.gaps.get_mut(at) {
                entry.is_gone = true;
            }
        }
    }

    /// Gives open gaps inside `span` up. `first`: where the first covered piece that is stored begins.
    pub fn lose(
        &mut self,
        span: Span,
        token: Token,
        first: Option<TimeMs>,
        is_alive: impl Fn(Token) -> bool,
    ) {
        let first = self.pieces.keys().map(|(.., from)| *from).chain(first).min();
        for (entry, part) in self.open_parts(span, token, is_alive) {
            let cause = entry.1.cause.given_up(part, first);
            self.carve(entry, part, GapState::Unrecoverable, None);
            self.change(entry.0, |gap| gap.cause = cause);
            self.tell(part, cause, Became::Lost);
        }
    }

    /// Calls open gaps inside `span` by a cause that was learnt meanwhile. They stay open, and each stays with the session that has
    /// claimed it.
    pub fn rename(&mut self, span: Span, token: Token, cause: Cause, is_alive: impl Fn(Token) -> bool) {
        for (entry, part) in self.open_parts(span, token, is_alive) {
            if entry.1.cause != cause {
                self.carve(entry, part, GapState::Open, entry.1.claim);
                self.change(entry.0, |gap| gap.cause = cause);
                self.tell(part, cause, Became::Renamed);
            }
        }
    }

    /// Open gaps, and what of each lies inside `span`, that no living session of another token has claimed.
    fn open_parts(
        &self,
        span: Span,
        token: Token,
        is_alive: impl Fn(Token) -> bool,
    ) -> Vec<((usize, Gap<Id>), Span)> {
        let mut gaps = self.near(span);
        gaps.retain(|(_, gap)| {
            let is_ours = gap.claim.is_none_or(|claim| claim.token == token || !is_alive(claim.token));
            gap.state == GapState::Open && is_ours
        });
        let part = |entry: (usize, Gap<Id>)| Some((entry, self.borders().part(entry.1.span, span)?));
        gaps.into_iter().filter_map(part).collect()
    }

    /// Claims the free open gaps inside `span`. Returns what was claimed, oldest first.
    pub fn claim(
        &mut self,
        span: Span,
        epoch: Epoch,
        wanted: Parts,
        is_alive: impl Fn(Token) -> bool,
    ) -> Vec<Span> {
        let mut claimed = Vec::new();
        for (at, gap) in self.near(span) {
            let part = self.borders().part(gap.span, span);
            let part = part.filter(|part| wanted == Parts::Inside || *part == gap.span);
            if gap.state == GapState::Open
                && gap.is_free(epoch, &is_alive)
                && let Some(part) = part
            {
                self.carve((at, gap), part, GapState::Open, Some(epoch));
                claimed.push(part);
            }
        }
        claimed
    }

    /// Gives the claims of a backfill back.
    pub fn unclaim(&mut self, epoch: Epoch) {
        for entry in self.gaps.iter_mut().filter(|entry| entry.gap.claim == Some(epoch)) {
            entry.gap.claim = None;
            entry.is_changed = true;
        }
    }

    /// Opens gaps over what of `span` is neither covered nor a gap.
    pub fn open_unknown(&mut self, span: Span, cause: Cause) {
        let pieces = self.pieces.iter().map(|((.., from), piece)| Span { from: *from, to: piece.to });
        let known = pieces.chain(self.gaps().map(|gap| gap.span));
        let mut known: Vec<_> = known.filter(|known| known.to > span.from && known.from < span.to).collect();
        known.sort_unstable_by_key(|known| known.from);
        self.open_rest(span, known, cause);
    }

    /// Opens gaps over what of `span` the `known` pieces, in order of their beginnings, leave.
    fn open_rest(&mut self, span: Span, known: Vec<Span>, cause: Cause) {
        let mut reached = span.from;
        for piece in known.into_iter().chain([Span { from: span.to, to: span.to }]) {
            if reached < piece.from {
                self.insert_gap(Span { from: reached, to: piece.from.min(span.to) }, cause);
            }
            reached = reached.max(piece.to);
        }
    }

    /// Cuts covered pieces where records turned out to be missing, and opens a gap there. `count`: how many bars are stored in
    /// a piece. Returns whether anything was covered there: bars in it are final no more then.
    ///
    /// # Errors
    /// Those of `count`.
    pub fn doubt<E>(
        &mut self,
        span: Span,
        cause: Cause,
        mut count: impl FnMut(Span) -> Result<u64, E>,
    ) -> Result<bool, E> {
        // A block between two pieces that were doubted before stays: its rows are its own.
        let is_cut =
            |(key, piece): &(PieceKey, Piece)| piece.to > span.from && key.2 < span.to && key.2 < piece.to;
        let cut: Vec<_> = self.pieces().filter(is_cut).collect();
        if cut.is_empty() {
            return Ok(false);
        }
        let borders = self.borders();
        for ((epoch, origin, from), piece) in cut {
            self.pieces.remove(&(epoch, origin, from));
            self.touched.insert((epoch, origin, from));
            let before = Span { from, to: span.from };
            let after = Span { from: span.to, to: piece.to };
            // A part may be one block long, where the piece began or ended at the gap: that block's rows are its own.
            let is_part = |part: &Span| match borders {
                Borders::Shared => part.from <= part.to,
                Borders::HalfOpen => part.from < part.to,
            };
            let parts: Vec<_> = [before, after].into_iter().filter(is_part).collect();
            // The rows are counted to the later part, which goes on growing; bars are counted anew.
            for (at, &part) in parts.iter().enumerate() {
                let rows = match self.stream {
                    StreamKey::Candle(..) => count(part)?,
                    _ if at + 1 == parts.len() => piece.rows,
                    _ => 0,
                };
                self.insert_piece(part, (origin, epoch), rows);
            }
        }
        // What was filled there is not proven any more either.
        let state = self.stream.spec().new_gap();
        let mut known = Vec::new();
        let mut causes = BTreeSet::from([cause]);
        for (at, gap) in self.near(span) {
            let Some(part) = borders.part(gap.span, span) else { continue };
            if gap.state == GapState::Backfilled {
                self.carve((at, gap), part, state, None);
                self.tell(part, gap.cause, Became::Opened);
                causes.insert(gap.cause);
            }
            known.push(part);
        }
        self.open_rest(span, known, cause);
        // One minute in doubt is one gap, however many pieces of it are named.
        for cause in causes {
            self.join_next(span, cause, state);
        }
        Ok(true)
    }

    /// Adds a piece to the coverage: the claim's piece that it continues grows, otherwise it stands by itself. `rows` were
    /// inserted for it; `count`: how many bars are stored in a piece.
    ///
    /// # Errors
    /// Those of `count`.
    pub fn cover<E>(
        &mut self,
        span: Span,
        stamp: Stamp,
        rows: u64,
        count: impl FnOnce(Span) -> Result<u64, E>,
    ) -> Result<(), E> {
        let piece = self.piece_before(stamp, span.from).filter(|before| before.to >= span.from);
        // A bar is written many times before the piece reaches it: its rows are the bars that the piece gains.
        let rows = match self.stream {
            StreamKey::Candle(..) if piece.is_some_and(|piece| piece.to >= span.to) => 0,
            StreamKey::Candle(..) => {
                count(Span { from: piece.map_or(span.from, |piece| piece.to), to: span.to })?
            }
            _ => rows,
        };
        let whole = piece.map_or(span, |piece| Span { from: piece.from, to: piece.to.max(span.to) });
        self.insert_piece(whole, stamp, rows);
        Ok(())
    }

    /// Writes a covered piece; one of the same claim that begins at the same time grows.
    pub fn insert_piece(&mut self, span: Span, (origin, epoch): Stamp, rows: u64) {
        let key = (epoch, origin, span.from);
        let piece = self.pieces.entry(key).or_insert(Piece { to: span.to, rows: 0 });
        piece.to = piece.to.max(span.to);
        piece.rows += rows;
        self.touched.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const NOW: TimeMs = TimeMs(1_000);

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    fn epoch(token: u32, local: u32) -> Epoch {
        Epoch { token: Token(token), local }
    }

    fn sheet(stream: &str) -> Sheet<u32> {
        Sheet::new(stream.parse().unwrap(), NOW)
    }

    fn none(_: Span) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn gaps(sheet: &Sheet<u32>) -> Vec<(Span, GapState)> {
        let mut gaps: Vec<_> = sheet.gaps().map(|gap| (gap.span, gap.state)).collect();
        gaps.sort_unstable();
        gaps
    }

    fn pieces(sheet: &Sheet<u32>) -> Vec<(u32, Span, u64)> {
        let row = |((epoch, _, from), piece): (PieceKey, Piece)| {
            (epoch.local, Span { from, to: piece.to }, piece.rows)
        };
        sheet.pieces().map(row).collect()
    }

    #[test]
    fn a_gap_is_opened_once_however_often_it_is_told_and_whatever_became_of_it() {
        let mut sheet = sheet("trades/BTC");
        for _ in 0..2 {
            sheet.open_gap(span(10, 30), Cause::Outage);
        }
        assert_eq!(gaps(&sheet), [(span(10, 30), GapState::Open)]);
        assert_eq!(sheet.fill(span(5, 20), epoch(1, 1), |_| true), [span(10, 20)]);
        sheet.open_gap(span(10, 30), Cause::Outage);
        assert_eq!(gaps(&sheet), [(span(10, 20), GapState::Backfilled), (span(20, 30), GapState::Open)]);
        let closed: Vec<_> = sheet.gaps().map(|gap| gap.closed_at).collect();
        assert!(closed.contains(&Some(NOW)) && closed.contains(&None));
    }

    #[test]
    fn one_outage_of_half_open_pieces_is_one_gap() {
        let mut sheet = sheet("candle/BTC/1m");
        sheet.open_gap(span(0, 60_000), Cause::Outage);
        sheet.open_gap(span(60_000, 120_000), Cause::Outage);
        sheet.open_gap(span(120_000, 180_000), Cause::Silence);
        sheet.open_gap(span(200_000, 200_000), Cause::Silence);
        assert_eq!(
            gaps(&sheet),
            [(span(0, 120_000), GapState::Open), (span(120_000, 180_000), GapState::Open)]
        );
    }

    #[test]
    fn what_a_living_session_has_claimed_is_left_to_it() {
        let mut sheet = sheet("trades/BTC");
        sheet.open_gap(span(0, 100), Cause::Outage);
        let mine = epoch(1, 1);
        assert_eq!(sheet.claim(span(0, 40), mine, Parts::Inside, |_| true), [span(0, 40)]);
        let other = epoch(2, 1);
        assert_eq!(sheet.claim(span(0, 100), other, Parts::Whole, |_| true), [span(40, 100)]);
        assert_eq!(sheet.fill(span(0, 100), mine, |_| true), [span(0, 40)]);
        sheet.lose(span(0, 100), Token(1), None, |_| true);
        assert!(gaps(&sheet).contains(&(span(40, 100), GapState::Open)), "the other one's");
        sheet.lose(span(0, 100), Token(1), None, |_| false);
        assert!(gaps(&sheet).contains(&(span(40, 100), GapState::Unrecoverable)), "who is dead");
        sheet.unclaim(other);
        assert!(sheet.gaps().all(|gap| gap.claim.is_none()));
    }

    #[test]
    fn what_is_doubted_is_cut_and_neighbours_in_doubt_are_one_gap() {
        let mut sheet = sheet("trades/BTC");
        let stamp = (Origin::Ws, epoch(1, 1));
        let Ok(()) = sheet.cover(span(0, 50), stamp, 5, none);
        let Ok(()) = sheet.cover(span(50, 100), stamp, 4, none);
        assert_eq!(pieces(&sheet), [(1, span(0, 100), 9)], "a piece grows");
        assert_eq!(sheet.doubt(span(20, 30), Cause::Silence, none), Ok(true));
        assert_eq!(pieces(&sheet), [(1, span(0, 20), 0), (1, span(30, 100), 9)]);
        assert_eq!(sheet.doubt(span(30, 40), Cause::Silence, none), Ok(true));
        assert_eq!(pieces(&sheet), [(1, span(0, 20), 0), (1, span(30, 30), 0), (1, span(40, 100), 9)]);
        assert_eq!(gaps(&sheet), [(span(20, 40), GapState::Open)]);
        assert_eq!(sheet.doubt(span(200, 300), Cause::Silence, none), Ok(false), "nothing is covered there");
        assert_eq!(sheet.doubt(span(22, 28), Cause::Silence, |_| Err("unread")), Ok(false));
    }

    #[test]
    fn what_is_unknown_lies_between_pieces_and_gaps() {
        let mut sheet = sheet("candle/BTC/1m");
        sheet.know_piece((epoch(1, 1), Origin::Ws, TimeMs(20)), Piece { to: TimeMs(40), rows: 1 });
        sheet.open_gap(span(50, 60), Cause::Outage);
        sheet.open_unknown(span(0, 100), Cause::NotCollected);
        let unknown: Vec<_> = gaps(&sheet).into_iter().map(|(span, _)| span).collect();
        assert_eq!(unknown, [span(0, 20), span(40, 50), span(50, 60), span(60, 100)]);
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut sheet = sheet("candle/BTC/1m");
        let gap = |id, from, to| Gap {
            span: span(from, to),
            state: GapState::Backfilled,
            claim: None,
            cause: Cause::Outage,
            opened_at: TimeMs(1),
            closed_at: Some(TimeMs(2)),
            id: Some(id),
        };
        sheet.know_gap(gap(7, 0, 10));
        sheet.know_gap(gap(8, 90, 99));
        sheet.open_gap(span(10, 20), Cause::Outage);
        assert_eq!(sheet.fill(span(10, 20), epoch(1, 1), |_| true), [span(10, 20)]);
        let changed: Vec<_> = sheet.changed_gaps().map(|gap| (gap.id, gap.span)).collect();
        assert_eq!(changed, [(Some(7), span(0, 20))], "it was filled too, and is one with it");
        assert_eq!(sheet.gone_gaps().count(), 0, "the other was not stored yet");
        sheet.settle();
        assert_eq!((sheet.changed_gaps().count(), sheet.gaps().count()), (0, 2));
    }
}

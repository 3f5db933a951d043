//! The ledger of one stream near the pieces that a batch touches, in memory: what a batch does to it.
//!
//! Pure: it is loaded, changed, and read out again, all inside one transaction. The rules are those of
//! [`Change`](hl_core::ledger::Change). A gap never shrinks: filling or claiming a part of it splits it, and every piece
//! keeps its cause, but for what turns out to lie before the exchange's history, or cannot be read. With [`Borders::Shared`] the pieces share
//! their border blocks, and a gap of length zero is one border block.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::{Cause, Change, GapState, Span};
use hl_core::record::Candle;
use hl_core::stream::Borders;
use hl_core::{Epoch, Origin, StreamKey, TimeMs, Token};
use hl_store::rules::Pieces;
use mongodb::bson::oid::ObjectId;

use crate::rows::Bar;

/// A gap as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) id: ObjectId,
    pub(crate) span: Span,
    pub(crate) cause: Cause,
    pub(crate) state: GapState,
    pub(crate) opened_at: TimeMs,
    pub(crate) closed_at: Option<TimeMs>,
    pub(crate) claim: Option<Epoch>,
}

/// What makes a covered piece the same piece.
pub(crate) type PieceKey = (Epoch, Origin, TimeMs);

/// A covered piece, without what is in its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) to: TimeMs,
    pub(crate) rows: u64,
}

/// Under which claim something is written.
pub(crate) type Stamp = (Origin, Epoch);

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// Written: its key is new, or it is better than what was there.
    New,
    /// What is there stays.
    Same,
    /// What is there stays, and says something else.
    Other,
}

/// How many of the newest bars are kept in mind.
const BARS_IN_MIND: usize = 3;

/// The ledger of a stream near some pieces, and what changed of it.
#[derive(Clone)]
pub(crate) struct Sheet {
    stream: StreamKey,
    now: TimeMs,
    gaps: Vec<Gap>,
    pieces: BTreeMap<PieceKey, Piece>,
    bars: BTreeMap<TimeMs, Bar>,
    touched_gaps: BTreeSet<ObjectId>,
    touched_pieces: BTreeSet<PieceKey>,
    touched_bars: BTreeSet<TimeMs>,
    /// From which time on every bar is here; none where only some are.
    bars_from: Option<TimeMs>,
    /// What is believed to be stored, where it was not read in this transaction.
    believed: Option<Believed>,
}

/// Pieces and bars as they were last written.
#[derive(Clone)]
struct Believed {
    pieces: BTreeMap<PieceKey, Piece>,
    bars: BTreeMap<TimeMs, Bar>,
}

/// What is stored under a key, as far as the one who writes there knows.
#[derive(Clone, Copy)]
pub(crate) enum Before<T> {
    /// Whatever it is: it was read in this transaction.
    Read,
    /// This, unless somebody else wrote there.
    Believed(T),
    /// Nothing, unless somebody else wrote there.
    New,
}

impl<T> Before<T> {
    fn of(believed: bool, before: Option<T>) -> Self {
        match before {
            _ if !believed => Self::Read,
            Some(before) => Self::Believed(before),
            None => Self::New,
        }
    }
}

impl Sheet {
    /// A sheet on which nothing is known.
    pub(crate) fn new(stream: StreamKey, now: TimeMs) -> Self {
        let (gaps, pieces, bars) = <_>::default();
        let (touched_gaps, touched_pieces, touched_bars) = <_>::default();
        let (bars_from, believed) = (None, None);
        Self {
            stream,
            now,
            gaps,
            pieces,
            bars,
            touched_gaps,
            touched_pieces,
            touched_bars,
            bars_from,
            believed,
        }
    }

    /// What is kept in mind of it once it is stored: the pieces that were just written under `own` claims, which are those
    /// that grow, and the newest bars.
    pub(crate) fn settled(mut self, own: Token) -> Self {
        if self.believed.is_none() || !self.touched_pieces.is_empty() {
            let touched = &self.touched_pieces;
            self.pieces.retain(|key, _| key.0.token == own && touched.contains(key));
        }
        while self.bars.len() > BARS_IN_MIND {
            self.bars.pop_first();
            self.bars_from = self.bars_from.and(self.bars.keys().next().copied());
        }
        let empty = Self::new(self.stream, self.now);
        Self { pieces: self.pieces, bars: self.bars, bars_from: self.bars_from, ..empty }
    }

    /// The sheet as it was kept in mind, to be changed at another time.
    pub(crate) fn recalled(&self, now: TimeMs) -> Self {
        let believed = Some(Believed { pieces: self.pieces.clone(), bars: self.bars.clone() });
        Self { now, believed, ..self.clone() }
    }

    /// Whether what was kept in mind is enough for a change. What looks at gaps has to read them.
    pub(crate) fn has_all_for(&self, change: &Change) -> bool {
        let is_bars = matches!(self.stream, StreamKey::Candle(..));
        let has_bars = |from| !is_bars || self.bars_from.is_some_and(|first| first <= from);
        match change {
            Change::Edge(_) => true,
            Change::Rows { records, .. } => records.extent().is_none_or(|(from, _)| has_bars(from)),
            Change::Final { span } => has_bars(span.from),
            Change::Covered { epoch, origin, span } => {
                let of_claim = (*epoch, *origin, TimeMs::MIN)..=(*epoch, *origin, span.from);
                has_bars(span.from)
                    && self.pieces.range(of_claim).next_back().is_some_and(|(_, piece)| piece.to >= span.from)
            }
            Change::GapOpened { .. }
            | Change::Doubted { .. }
            | Change::Filled { .. }
            | Change::GapLost { .. }
            | Change::GapUnreadable { .. } => false,
        }
    }

    /// A gap that is stored.
    pub(crate) fn know_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// A covered piece that is stored.
    pub(crate) fn know_piece(&mut self, key: PieceKey, piece: Piece) {
        self.pieces.insert(key, piece);
    }

    /// The bars that are stored, and from when on these are all.
    pub(crate) fn bring(&mut self, bars: BTreeMap<TimeMs, Bar>, from: Option<TimeMs>) {
        self.bars = bars;
        self.bars_from = from;
    }

    /// `span`, and every covered piece that is known.
    pub(crate) fn reach(&self, span: Span) -> Span {
        let pieces = self.pieces.iter().map(|((.., from), piece)| Span { from: *from, to: piece.to });
        pieces.fold(span, Span::hull)
    }

    fn borders(&self) -> Borders {
        self.stream.spec().borders
    }

    /// Gaps that touch `span`, oldest first.
    fn near(&self, span: Span) -> Vec<Gap> {
        let mut near: Vec<_> = self.gaps.iter().filter(|gap| gap.span.touches(span)).cloned().collect();
        near.sort_by_key(|gap| (gap.span.from, gap.span.to, gap.id));
        near
    }

    /// Gives a part of a gap a new state and claim; what is left of the gap on either side stays as it is.
    fn carve(&mut self, gap: &Gap, part: Span, state: GapState, claim: Option<Epoch>) {
        let before = Span { from: gap.span.from, to: part.from };
        let after = Span { from: part.to, to: gap.span.to };
        for span in [before, after].into_iter().filter(|rest| rest.ms() > 0) {
            let id = ObjectId::new();
            self.touched_gaps.insert(id);
            self.gaps.push(Gap { id, span, ..gap.clone() });
        }
        let closed_at = (state != GapState::Open).then_some(self.now);
        self.touched_gaps.insert(gap.id);
        for kept in self.gaps.iter_mut().filter(|kept| kept.id == gap.id) {
            *kept = Gap { span: part, state, closed_at, claim, ..kept.clone() };
        }
    }

    /// Opens a gap, unless it, or what became of it, is there already.
    pub(crate) fn open_gap(&mut self, span: Span, cause: Cause) {
        if span.ms() == 0 && self.borders() == Borders::HalfOpen {
            return;
        }
        let borders = self.borders();
        let mut near = self.near(span);
        near.retain(|gap| gap.cause.came_from(cause));
        // A repeated batch may find its gap split by now, or grown.
        if Span::joined(near.iter().filter_map(|gap| borders.part(gap.span, span))) == [span] {
            return;
        }
        // One outage is one gap. Where borders are shared a block with rows may lie between the two.
        let goes_on = |gap: &Gap| {
            borders == Borders::HalfOpen
                && gap.cause == cause
                && (gap.span.to, gap.state, gap.claim) == (span.from, GapState::Open, None)
        };
        let Some(before) = near.into_iter().find(goes_on) else { return self.insert_gap(span, cause) };
        self.touched_gaps.insert(before.id);
        for gap in self.gaps.iter_mut().filter(|gap| gap.id == before.id) {
            gap.span.to = span.to;
        }
    }

    fn insert_gap(&mut self, span: Span, cause: Cause) {
        let id = ObjectId::new();
        self.touched_gaps.insert(id);
        let (state, opened_at) = (self.stream.spec().new_gap(), self.now);
        let closed_at = (state != GapState::Open).then_some(self.now);
        self.gaps.push(Gap { id, span, cause, state, opened_at, closed_at, claim: None });
    }

    /// Marks those parts of gaps inside `span` as filled that are not yet, and that nobody else living has claimed.
    /// Returns the parts, joined where they touch.
    pub(crate) fn fill(&mut self, span: Span, epoch: Epoch, is_alive: impl Fn(Token) -> bool) -> Vec<Span> {
        let mut parts = Vec::new();
        for gap in self.near(span) {
            let is_free = gap.claim.is_none_or(|claim| claim == epoch || !is_alive(claim.token));
            if gap.state == GapState::Backfilled || !is_free {
                continue;
            }
            if let Some(part) = self.borders().part(gap.span, span) {
                self.carve(&gap, part, GapState::Backfilled, None);
                self.join_next(part, gap.cause, GapState::Backfilled);
                parts.push(part);
            }
        }
        Span::joined(parts)
    }

    /// Neighbours in `within` and beside it with the same cause and state, which no session has claimed, are one gap. Where
    /// borders are shared the block between two of them keeps its own covered piece.
    fn join_next(&mut self, within: Span, cause: Cause, state: GapState) {
        let mut before: Option<Gap> = None;
        for gap in self.near(within) {
            // A gap of no length is a border block of its own.
            if (gap.cause, gap.state, gap.claim) != (cause, state, None) || gap.span.ms() == 0 {
                continue;
            }
            let Some(whole) = before.as_mut().filter(|before| before.span.touches(gap.span)) else {
                before = Some(gap);
                continue;
            };
            whole.span = whole.span.hull(gap.span);
            whole.opened_at = whole.opened_at.min(gap.opened_at);
            whole.closed_at = whole.closed_at.max(gap.closed_at);
            self.touched_gaps.extend([whole.id, gap.id]);
            self.gaps.retain(|other| other.id != gap.id);
            for kept in self.gaps.iter_mut().filter(|kept| kept.id == whole.id) {
                *kept = whole.clone();
            }
        }
    }

    /// Gives open gaps inside `span` up; `first` is where the first covered piece that is stored begins.
    pub(crate) fn lose(
        &mut self,
        span: Span,
        token: Token,
        first: Option<TimeMs>,
        is_alive: impl Fn(Token) -> bool,
    ) {
        let first = self.pieces.keys().map(|(.., from)| *from).chain(first).min();
        for (gap, part) in self.open_parts(span, token, is_alive) {
            self.carve(&gap, part, GapState::Unrecoverable, None);
            self.set_cause(&gap, gap.cause.given_up(part, first));
        }
    }

    /// Calls open gaps inside `span` by a cause that was learnt meanwhile. They stay open, and claimed by whom they are.
    pub(crate) fn rename(
        &mut self,
        span: Span,
        token: Token,
        cause: Cause,
        is_alive: impl Fn(Token) -> bool,
    ) {
        for (gap, part) in self.open_parts(span, token, is_alive) {
            if gap.cause != cause {
                self.carve(&gap, part, GapState::Open, gap.claim);
                self.set_cause(&gap, cause);
            }
        }
    }

    /// Open gaps, and what of each lies inside `span`, that no living session of another token has claimed.
    fn open_parts(&self, span: Span, token: Token, is_alive: impl Fn(Token) -> bool) -> Vec<(Gap, Span)> {
        let mut gaps = self.near(span);
        gaps.retain(|gap| {
            let ours = gap.claim.is_none_or(|claim| claim.token == token || !is_alive(claim.token));
            gap.state == GapState::Open && ours
        });
        let part = |gap: Gap| self.borders().part(gap.span, span).map(|part| (gap, part));
        gaps.into_iter().filter_map(part).collect()
    }

    fn set_cause(&mut self, gap: &Gap, cause: Cause) {
        for kept in self.gaps.iter_mut().filter(|kept| kept.id == gap.id) {
            kept.cause = cause;
        }
    }

    /// Claims the free open gaps inside `span`.
    pub(crate) fn claim(
        &mut self,
        span: Span,
        epoch: Epoch,
        wanted: Pieces,
        is_alive: impl Fn(Token) -> bool,
    ) -> Vec<Span> {
        let mut claimed = Vec::new();
        for gap in self.near(span) {
            let is_free = gap.claim.is_none_or(|claim| claim == epoch || !is_alive(claim.token));
            if gap.state == GapState::Open
                && is_free
                && let Some(part) = wanted.of(self.borders(), gap.span, span)
            {
                self.carve(&gap, part, GapState::Open, Some(epoch));
                claimed.push(part);
            }
        }
        claimed
    }

    /// Opens gaps over what is unknown of `span`.
    pub(crate) fn ask(&mut self, span: Span, cause: Cause) {
        let pieces = self.pieces.iter().map(|((.., from), piece)| Span { from: *from, to: piece.to });
        let gaps = self.gaps.iter().map(|gap| gap.span);
        let mut known: Vec<_> =
            pieces.chain(gaps).filter(|known| known.to > span.from && known.from < span.to).collect();
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

    /// Cuts covered pieces where records turned out to be missing, and opens a gap there.
    pub(crate) fn doubt(&mut self, span: Span, cause: Cause) {
        let cut: Vec<_> = self
            .pieces
            .iter()
            // A block between two pieces that were doubted before stays: its rows are its own.
            .filter(|((.., from), piece)| piece.to > span.from && *from < span.to && *from < piece.to)
            .map(|(key, piece)| (*key, *piece))
            .collect();
        if cut.is_empty() {
            return;
        }
        self.set_final(span, false);
        let borders = self.borders();
        for ((epoch, origin, from), piece) in cut {
            self.pieces.remove(&(epoch, origin, from));
            self.touched_pieces.insert((epoch, origin, from));
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
                    StreamKey::Candle(..) => self.count_bars(part),
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
        for gap in self.near(span) {
            let Some(part) = borders.part(gap.span, span) else { continue };
            if gap.state == GapState::Backfilled {
                self.carve(&gap, part, state, None);
                causes.insert(gap.cause);
            }
            known.push(part);
        }
        self.open_rest(span, known, cause);
        // One minute in doubt is one gap, however many pieces of it are named.
        for cause in causes {
            self.join_next(span, cause, state);
        }
    }

    /// Adds a piece to the coverage: the epoch's piece that it continues grows, otherwise it stands by itself.
    /// `rows` were inserted for it.
    pub(crate) fn cover(&mut self, span: Span, stamp: Stamp, rows: u64) {
        let (origin, epoch) = stamp;
        let of_claim = (epoch, origin, TimeMs::MIN)..=(epoch, origin, span.from);
        let before = self.pieces.range(of_claim).next_back();
        let piece = before
            .map(|((.., from), piece)| Span { from: *from, to: piece.to })
            .filter(|before| before.to >= span.from);
        // A bar is written many times before the piece reaches it: its rows are the bars that the piece gains.
        let rows = match self.stream {
            StreamKey::Candle(..) if piece.is_some_and(|piece| piece.to >= span.to) => 0,
            StreamKey::Candle(..) => {
                self.count_bars(Span { from: piece.map_or(span.from, |piece| piece.to), to: span.to })
            }
            _ => rows,
        };
        let whole = piece.map_or(span, |piece| Span { from: piece.from, to: piece.to.max(span.to) });
        self.insert_piece(whole, stamp, rows);
    }

    /// Writes a covered piece; one of the same claim that begins at the same time grows.
    pub(crate) fn insert_piece(&mut self, span: Span, (origin, epoch): Stamp, rows: u64) {
        let key = (epoch, origin, span.from);
        let piece = self.pieces.entry(key).or_insert(Piece { to: span.to, rows: 0 });
        piece.to = piece.to.max(span.to);
        piece.rows += rows;
        self.touched_pieces.insert(key);
    }

    /// Writes a version of a bar, where it is better than what is there.
    pub(crate) fn put_bar(&mut self, candle: Candle, (origin, epoch): Stamp, is_final: bool) -> Put {
        if let Some(stored) = self.bars.get(&candle.time).filter(|stored| !stored.yields_to(&candle)) {
            // Versions of a bar that is not final compete.
            return if stored.is_final && candle.contradicts(&stored.candle) {
                Put::Other
            } else {
                Put::Same
            };
        }
        self.touched_bars.insert(candle.time);
        self.bars.insert(candle.time, Bar { candle, is_final, origin, epoch });
        Put::New
    }

    /// Whether the bars from `span.from` to before `span.to` can change no more.
    pub(crate) fn set_final(&mut self, span: Span, is_final: bool) {
        for (time, bar) in self.bars.range_mut(span.from..span.to) {
            if bar.is_final != is_final {
                bar.is_final = is_final;
                self.touched_bars.insert(*time);
            }
        }
    }

    /// How many bars are stored from `span.from` to before `span.to`.
    pub(crate) fn count_bars(&self, span: Span) -> u64 {
        self.bars.range(span.from..span.to).count() as u64
    }

    /// Gaps that are new or changed.
    pub(crate) fn changed_gaps(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| self.touched_gaps.contains(&gap.id))
    }

    /// Gaps that are part of another one now.
    pub(crate) fn gone_gaps(&self) -> impl Iterator<Item = ObjectId> {
        let is_there = |id: &ObjectId| self.gaps.iter().any(|gap| gap.id == *id);
        self.touched_gaps.iter().copied().filter(move |id| !is_there(id))
    }

    /// Pieces that are new, changed, or gone.
    pub(crate) fn changed_pieces(&self) -> impl Iterator<Item = (PieceKey, Before<Piece>, Option<Piece>)> {
        let believed = self.believed.as_ref();
        let before = move |key| {
            let piece = believed.and_then(|believed| believed.pieces.get(key));
            Before::of(believed.is_some(), piece.copied())
        };
        self.touched_pieces.iter().map(move |key| (*key, before(key), self.pieces.get(key).copied()))
    }

    /// Bars that are new or changed.
    pub(crate) fn changed_bars(&self) -> impl Iterator<Item = (Before<&Bar>, &Bar)> {
        let believed = self.believed.as_ref();
        let before = move |time| {
            let bar = believed.and_then(|believed| believed.bars.get(time));
            Before::of(believed.is_some(), bar)
        };
        self.touched_bars.iter().filter_map(move |time| Some((before(time), self.bars.get(time)?)))
    }
}

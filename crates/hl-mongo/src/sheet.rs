//! The [ledger](hl_core::ledger::sheet) of one stream near the pieces that a batch touches, with its bars, and what is believed
//! to be stored of both.
//!
//! Pure: it is loaded, changed, and read out again, all inside one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use hl_core::ledger::sheet::{self, Piece, PieceKey, Stamp};
use hl_core::ledger::{Cause, Change, Span};
use hl_core::record::{Candle, Record as _};
use hl_core::{StreamKey, TimeMs, Token};
use mongodb::bson::oid::ObjectId;

use crate::rows::Bar;

/// A gap as it is stored.
pub(crate) type Gap = sheet::Gap<ObjectId>;

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
    /// Its gaps and covered pieces.
    pub(crate) ledger: sheet::Sheet<ObjectId>,
    bars: BTreeMap<TimeMs, Bar>,
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
        let (bars, touched_bars) = <_>::default();
        let ledger = sheet::Sheet::new(stream, now);
        Self { stream, ledger, bars, touched_bars, bars_from: None, believed: None }
    }

    /// What is kept in mind of it once it is stored: the pieces that were just written under `own` claims, which are those
    /// that grow, and the newest bars.
    pub(crate) fn settled(mut self, own: Token, now: TimeMs) -> Self {
        let touched: BTreeSet<_> = self.ledger.changed_pieces().map(|(key, _)| key).collect();
        let keeps_all = self.believed.is_some() && touched.is_empty();
        let mut settled = Self::new(self.stream, now);
        for (key, piece) in self.ledger.pieces() {
            if keeps_all || key.0.token == own && touched.contains(&key) {
                settled.ledger.know_piece(key, piece);
            }
        }
        while self.bars.len() > BARS_IN_MIND {
            self.bars.pop_first();
            self.bars_from = self.bars_from.and(self.bars.keys().next().copied());
        }
        Self { bars: self.bars, bars_from: self.bars_from, ..settled }
    }

    /// The sheet as it was kept in mind, to be changed at another time.
    pub(crate) fn recalled(&self, now: TimeMs) -> Self {
        let pieces: BTreeMap<_, _> = self.ledger.pieces().collect();
        let mut ledger = sheet::Sheet::new(self.stream, now);
        pieces.iter().for_each(|(key, piece)| ledger.know_piece(*key, *piece));
        let believed = Some(Believed { pieces, bars: self.bars.clone() });
        Self { ledger, believed, ..self.clone() }
    }

    /// Whether what was kept in mind is enough for a change. What looks at gaps has to read them.
    pub(crate) fn has_all_for(&self, change: &Change) -> bool {
        let is_bars = matches!(self.stream, StreamKey::Candle(..));
        let has_bars = |from| !is_bars || self.bars_from.is_some_and(|first| first <= from);
        match change {
            Change::Edge(_) | Change::Ended(_) => true,
            Change::Rows { records, .. } => records.extent().is_none_or(|(from, _)| has_bars(from)),
            Change::Final { span } => has_bars(span.from),
            Change::Covered { epoch, origin, span } => {
                let before = self.ledger.piece_before((*origin, *epoch), span.from);
                has_bars(span.from) && before.is_some_and(|piece| piece.to >= span.from)
            }
            Change::GapOpened { .. }
            | Change::Doubted { .. }
            | Change::Filled { .. }
            | Change::GapLost { .. }
            | Change::GapUnreadable { .. } => false,
        }
    }

    /// The bars that are stored, and from when on these are all.
    pub(crate) fn bring(&mut self, bars: BTreeMap<TimeMs, Bar>, from: Option<TimeMs>) {
        self.bars = bars;
        self.bars_from = from;
    }

    /// `span`, and every covered piece that is known.
    pub(crate) fn reach(&self, span: Span) -> Span {
        let pieces = self.ledger.pieces().map(|((.., from), piece)| Span { from, to: piece.to });
        pieces.fold(span, Span::hull)
    }

    /// Cuts covered pieces, and counts their bars anew.
    pub(crate) fn doubt(&mut self, span: Span, cause: Cause) {
        let bars = &self.bars;
        let Ok(is_cut) = self.ledger.doubt(span, cause, |span| Ok::<_, Infallible>(count(bars, span)));
        if is_cut {
            self.set_final(span, false);
        }
    }

    /// Adds a piece to the coverage, with the bars that it gains.
    pub(crate) fn cover(&mut self, span: Span, stamp: Stamp, rows: u64) {
        let bars = &self.bars;
        let Ok(()) = self.ledger.cover(span, stamp, rows, |span| Ok::<_, Infallible>(count(bars, span)));
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
        count(&self.bars, span)
    }

    /// Pieces that are new, changed, or gone.
    pub(crate) fn changed_pieces(&self) -> impl Iterator<Item = (PieceKey, Before<Piece>, Option<Piece>)> {
        let believed = self.believed.as_ref();
        let before = move |key: &PieceKey| {
            let piece = believed.and_then(|believed| believed.pieces.get(key));
            Before::of(believed.is_some(), piece.copied())
        };
        self.ledger.changed_pieces().map(move |(key, piece)| (key, before(&key), piece))
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

fn count(bars: &BTreeMap<TimeMs, Bar>, span: Span) -> u64 {
    bars.range(span.from..span.to).count() as u64
}

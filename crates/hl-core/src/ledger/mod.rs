//! The coverage ledger: which ranges of a stream were covered, by whom, and what is missing; and the changes that a
//! batch makes to it.
//!
//! A [`Batch`] is everything that one transaction writes: rows, covered pieces, gaps and edges of some streams, in
//! order, under one lease token. The time lines produce batches; stores apply them, all or nothing.

pub mod sheet;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, Origin, Records, StreamKey, TimeMs, Token};

/// A piece of a time line. Whether its ends belong to it is said by the kind's
/// [`Borders`](crate::stream::Borders). Never inverted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First time, ms.
    pub from: TimeMs,
    /// Last time, ms; at or after `from`.
    pub to: TimeMs,
}

impl Span {
    /// All of time.
    pub const EVER: Self = Self { from: TimeMs::MIN, to: TimeMs::MAX };

    /// The piece between two times, whichever comes first.
    #[must_use]
    pub fn new(a: TimeMs, b: TimeMs) -> Self {
        Self { from: a.min(b), to: a.max(b) }
    }

    /// Length, ms.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.to.since(self.from)
    }

    /// Whether the interiors meet: a shared border is no overlap.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.from.max(other.from) < self.to.min(other.to)
    }

    /// Whether the closed pieces share a point at least.
    #[must_use]
    pub fn touches(self, other: Self) -> bool {
        self.from.max(other.from) <= self.to.min(other.to)
    }

    /// The common closed piece, where there is one.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        self.touches(other).then(|| Self { from: self.from.max(other.from), to: self.to.min(other.to) })
    }

    /// The smallest piece that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// The union of pieces in order of their beginnings, as far as they touch.
    #[must_use]
    pub fn joined(pieces: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut out: Vec<Self> = Vec::new();
        for piece in pieces {
            match out.last_mut() {
                Some(last) if last.touches(piece) => last.to = last.to.max(piece.to),
                _ => out.push(piece),
            }
        }
        out
    }

    /// Whether `time` lies in the closed piece.
    #[must_use]
    pub fn contains(self, time: TimeMs) -> bool {
        self.from <= time && time <= self.to
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from.0, self.to.0)
    }
}

/// Why a gap is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The connection was lost or could not be made.
    Outage,
    /// The stream fell silent on a healthy connection, and a witness said that something was missed.
    Silence,
    /// The exchange refused the subscription or the request.
    Refused,
    /// Neither sockets nor weight had room.
    OverCapacity,
    /// No process of ours was running.
    DaemonDown,
    /// REST sampled it: two polls did not join.
    Sampled,
    /// Ownership moved, and the piece between was not proven.
    Handover,
    /// A frame or a row could not be decoded or admitted.
    Undecodable,
    /// The store and the spool were full.
    StoreFull,
    /// More came than this process could take in: what waited in memory was replaced by what is newer, or dropped.
    Overload,
    /// Nobody had asked for it yet when a backfill did.
    NotCollected,
    /// The exchange did not list the market: it had ended, and came back.
    NotListed,
    /// It was stored, and the store has it no more: its files were replaced by another program.
    StoreLost,
    /// Collecting began here: the stream was never collected before.
    FirstStart,
    /// It lies before everything that is stored, and the exchange no longer had it when it was first asked for: nothing
    /// was lost there.
    BeforeHistory,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 15] = [
        Self::Outage,
        Self::Silence,
        Self::Refused,
        Self::OverCapacity,
        Self::DaemonDown,
        Self::Sampled,
        Self::Handover,
        Self::Undecodable,
        Self::StoreFull,
        Self::Overload,
        Self::NotCollected,
        Self::NotListed,
        Self::StoreLost,
        Self::FirstStart,
        Self::BeforeHistory,
    ];

    /// The word in the `cause` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Silence => "silence",
            Self::Refused => "refused",
            Self::OverCapacity => "over_capacity",
            Self::DaemonDown => "daemon_down",
            Self::Sampled => "sampled",
            Self::Handover => "handover",
            Self::Undecodable => "undecodable",
            Self::StoreFull => "store_full",
            Self::Overload => "overload",
            Self::NotCollected => "not_collected",
            Self::NotListed => "not_listed",
            Self::StoreLost => "store_lost",
            Self::FirstStart => "first_start",
            Self::BeforeHistory => "before_history",
        }
    }

    /// The cause of a gap once it is given up, in a stream whose first covered piece begins at `first`: what was
    /// not asked for before, and lies before everything that is stored, was never to be had.
    #[must_use]
    pub fn given_up(self, gap: Span, first: Option<TimeMs>) -> Self {
        match self {
            Self::NotCollected | Self::FirstStart if first.is_none_or(|first| gap.to <= first) => {
                Self::BeforeHistory
            }
            other => other,
        }
    }

    /// Whether a gap that was opened for `opened` may have this cause by now.
    #[must_use]
    pub fn came_from(self, opened: Self) -> bool {
        self == opened
            || self == Self::Undecodable
            || (self == Self::BeforeHistory && matches!(opened, Self::NotCollected | Self::FirstStart))
    }

    /// The inverse of [`Cause::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

/// What became of a gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapState {
    /// Not proven, and not yet given up.
    Open,
    /// Filled later, by a backfill or by a promoted ring. Kept for the record.
    Backfilled,
    /// The exchange no longer has it.
    Unrecoverable,
}

impl GapState {
    /// The word in the `state` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Backfilled => "backfilled",
            Self::Unrecoverable => "unrecoverable",
        }
    }

    /// The inverse of [`GapState::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Backfilled, Self::Unrecoverable].into_iter().find(|s| s.as_str() == text)
    }
}

/// One thing that a batch does to one stream. Applied in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Insert rows under the live claim. An existing key is left alone; for bars the version with more trades wins
    /// until the bar is final.
    Rows {
        /// The claim.
        epoch: Epoch,
        /// Where they came from.
        origin: Origin,
        /// The rows, oldest first.
        records: Records,
    },
    /// The piece is covered under this epoch: extends the epoch's last piece where they touch, otherwise starts a
    /// new one. Rows inserted since the last `Covered` of the batch are counted to it.
    Covered {
        /// The claim.
        epoch: Epoch,
        /// Where it came from.
        origin: Origin,
        /// The piece.
        span: Span,
    },
    /// The bars of the piece are final (`from <= t < to`).
    Final {
        /// The piece.
        span: Span,
    },
    /// A gap was found.
    GapOpened {
        /// The piece.
        span: Span,
        /// Why.
        cause: Cause,
    },
    /// What was covered is not complete: a witness found records missing between two neighbouring records, or a bar that
    /// is not the exchange's. Covered pieces are cut there, a gap is opened, and bars in it are final no more. Nothing
    /// happens where nothing is covered.
    Doubted {
        /// The piece, from the one record to the other.
        span: Span,
        /// Why.
        cause: Cause,
    },
    /// A piece below the edge is proven. Of the given records those are inserted that lie in pieces of gaps which
    /// are not backfilled yet, and which nobody else holds; those pieces become `backfilled`, covered under
    /// `epoch`, and the gaps are split around them. The rest is refused and counted.
    Filled {
        /// The claim of the backfill, or of the promoted ring.
        epoch: Epoch,
        /// Where the records came from.
        origin: Origin,
        /// What the answer proves, borders as the kind has them.
        span: Span,
        /// The rows, oldest first.
        records: Records,
    },
    /// Open gaps inside the piece cannot be filled any more; a gap that sticks out is split.
    GapLost {
        /// The piece.
        span: Span,
    },
    /// Open gaps inside the piece hold what the exchange has and what cannot be read. They are called `undecodable` from then
    /// on, and stay open: another answer may be whole. A gap that sticks out is split.
    GapUnreadable {
        /// The piece.
        span: Span,
    },
    /// The past below this time is settled.
    Edge(TimeMs),
    /// The exchange lists the market no longer, since this time at the latest: the time line ends there. The stream goes on
    /// where its lease is taken again.
    Ended(TimeMs),
}

impl Change {
    /// Whether only the holder of the stream's lease may make it. Fills and losses are fenced by the gaps themselves.
    #[must_use]
    pub fn needs_lease(&self) -> bool {
        !matches!(self, Self::Filled { .. } | Self::GapLost { .. } | Self::GapUnreadable { .. })
    }

    /// The claim under which it writes, where it names one.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Rows { epoch, .. } | Self::Covered { epoch, .. } | Self::Filled { epoch, .. } => {
                Some(*epoch)
            }
            Self::Final { .. }
            | Self::GapOpened { .. }
            | Self::Doubted { .. }
            | Self::GapLost { .. }
            | Self::GapUnreadable { .. }
            | Self::Edge(_)
            | Self::Ended(_) => None,
        }
    }
}

/// What one transaction writes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The lease token that every epoch in it has; the store refuses a stream whose lease has moved on.
    pub token: Token,
    /// The changes, in order.
    pub changes: Vec<(StreamKey, Change)>,
}

impl Batch {
    /// A token that is not the batch's own among those of its epochs: such a batch no store takes.
    #[must_use]
    pub fn foreign_token(&self) -> Option<Token> {
        let epochs = self.changes.iter().filter_map(|(_, change)| change.epoch());
        epochs.map(|epoch| epoch.token).find(|token| *token != self.token)
    }

    /// The streams of which it makes changes that need their lease.
    #[must_use]
    pub fn leased(&self) -> BTreeSet<StreamKey> {
        self.changes.iter().filter(|(_, change)| change.needs_lease()).map(|(stream, _)| *stream).collect()
    }

    /// What it says of the time line of a stream under its lease: covered pieces and gaps, oldest first.
    #[must_use]
    pub fn told_of(&self, stream: StreamKey) -> Vec<Span> {
        let of_stream = self.changes.iter().filter(|(of, _)| *of == stream);
        let mut spans: Vec<_> = of_stream
            .filter_map(|(_, change)| match change {
                Change::Covered { span, .. } | Change::GapOpened { span, .. } => Some(*span),
                _ => None,
            })
            .collect();
        spans.sort_unstable();
        spans
    }

    /// Whether there may be something to backfill once it is committed.
    #[must_use]
    pub fn opens_gaps(&self) -> bool {
        self.changes.iter().any(|(stream, change)| {
            stream.spec().new_gap() == GapState::Open
                && matches!(change, Change::GapOpened { .. } | Change::Doubted { .. })
        })
    }
}

/// What the store did with a batch.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ack {
    /// Rows inserted or, for bars, improved.
    pub inserted: u64,
    /// Rows whose key was there already.
    pub existing: u64,
    /// Rows whose key was there already, of a trade, a settlement or a final bar, and which say something else: what was
    /// stored first stays.
    pub differing: BTreeMap<StreamKey, u64>,
    /// Rows that lay outside what their claim may write.
    pub refused: u64,
    /// Streams whose lease belongs to somebody else by now: nothing of theirs was written.
    pub superseded: Vec<StreamKey>,
    /// Rows of streams that are not superseded and were not written, in their order: the number of their change in the batch,
    /// and their place among its records. So many as `existing`, `differing` and `refused` count.
    pub left_out: Vec<(usize, usize)>,
    /// What became of gaps, of each stream in the order in which it happened.
    pub gaps: Vec<(StreamKey, GapChange)>,
}

/// What happened to a gap, or to a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GapChange {
    /// The piece.
    pub span: Span,
    /// Its cause from then on.
    pub cause: Cause,
    /// What happened.
    pub became: Became,
}

/// What a gap became.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Became {
    /// It was opened, or opened again; of a kind without a past it is unrecoverable at once.
    Opened,
    /// It was filled.
    Filled,
    /// It was given up: the exchange no longer has it.
    Lost,
    /// It is still open, and its cause is another one.
    Renamed,
}

/// What [`LedgerWriter::request_backfill`](crate::store::LedgerWriter::request_backfill) opened.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Requested {
    /// Up to where that was; none where it cannot be said yet.
    pub up_to: Option<TimeMs>,
    /// The gaps that are new.
    pub gaps: Vec<GapChange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_borders_touch_but_do_not_overlap() {
        let span = |a, b| Span::new(TimeMs(a), TimeMs(b));
        assert!(!span(1, 5).overlaps(span(5, 9)) && span(1, 5).touches(span(5, 9)));
        assert!(span(1, 6).overlaps(span(5, 9)));
        assert_eq!(span(1, 6).intersect(span(5, 9)), Some(span(5, 6)));
        assert_eq!(span(1, 2).intersect(span(5, 9)), None);
        assert_eq!(span(1, 2).hull(span(5, 9)), span(1, 9));
        assert_eq!(span(1, 9).hull(span(5, 6)), span(1, 9));
    }

    #[test]
    fn pieces_that_touch_are_joined() {
        let span = |a, b| Span::new(TimeMs(a), TimeMs(b));
        let pieces = [span(0, 4), span(2, 3), span(4, 6), span(7, 9)];
        assert_eq!(Span::joined(pieces), [span(0, 6), span(7, 9)]);
    }

    #[test]
    fn a_span_has_both_of_its_ends() {
        let span = Span::new(TimeMs(7), TimeMs(3));
        assert_eq!((span.ms(), format!("{span:?}")), (4, "3..7".into()));
        let inside: Vec<_> = (0..10).filter(|t| span.contains(TimeMs(*t))).collect();
        assert_eq!(inside, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn only_what_nobody_asked_for_before_all_that_is_stored_is_before_history() {
        let gap = Span::new(TimeMs(3), TimeMs(7));
        assert_eq!(Cause::NotCollected.given_up(gap, None), Cause::BeforeHistory);
        assert_eq!(Cause::NotCollected.given_up(gap, Some(TimeMs(7))), Cause::BeforeHistory);
        assert_eq!(Cause::NotCollected.given_up(gap, Some(TimeMs(2))), Cause::NotCollected, "a hole between");
        assert_eq!(Cause::Outage.given_up(gap, None), Cause::Outage);
    }

    #[test]
    fn words_of_the_store_survive_the_round_trip() {
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        }
        for state in [GapState::Open, GapState::Backfilled, GapState::Unrecoverable] {
            assert_eq!(GapState::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn a_batch_says_whether_it_leaves_something_to_backfill() {
        let span = Span::new(TimeMs(3), TimeMs(7));
        for (change, opens) in [
            (Change::GapOpened { span, cause: Cause::Outage }, true),
            (Change::Doubted { span, cause: Cause::Silence }, true),
            (Change::GapLost { span }, false),
            (Change::GapUnreadable { span }, false),
            (Change::Edge(TimeMs(7)), false),
        ] {
            let bars = "candle/BTC/1m".parse().unwrap();
            let changes = vec![(bars, Change::Edge(TimeMs(3))), (bars, change.clone())];
            let batch = Batch { token: Token(1), changes };
            assert_eq!(batch.opens_gaps(), opens, "{:?}", batch.changes);
            let batch = Batch { token: Token(1), changes: vec![(StreamKey::MIDS, change)] };
            assert!(!batch.opens_gaps(), "the exchange has no past of it");
        }
    }
}

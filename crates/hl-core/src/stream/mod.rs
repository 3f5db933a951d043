//! Streams: what can be collected, one kind a file.
//!
//! A kind is its record, whose fields are the columns of its table, and a table of facts ([`KindSpec`]): its names, who may
//! collect it, how it is conflated, how long it may be silent, what a hole in it is, how it is polled and what that costs.
//! CONTRIBUTING.md says what adding one takes. No decision lives here: the selector, the time lines and the sources read
//! these tables. What rows are made of is in [`row`](crate::row).

mod bbo;
mod book;
mod candle;
mod context;
mod fills;
mod funding;
mod leaderboard;
mod markets;
mod mids;
mod movements;
mod orders;
mod payments;
mod positions;
mod predicted_funding;
mod records;
mod signals;
mod traders;
mod trades;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use bbo::Bbo;
pub use book::{Book, BookVariant};
pub use candle::Candle;
pub use context::Context;
pub use fills::{Fill, Liquidity};
pub use funding::Funding;
pub use leaderboard::Leader;
pub use markets::{Market, MarketStatus, MarketType};
pub use mids::Mid;
pub use movements::{Direction, Movement};
pub use orders::Order;
pub use payments::Payment;
pub use positions::{KnownBy, Position, PositionChange};
pub use predicted_funding::PredictedFunding;
pub use records::{Listed, Record, Records};
pub use signals::{CoinSignal, Recommendation, Withheld};
pub use traders::{ChosenBy, Likelihood, Trader, TraderStatus};
pub use trades::Trade;

use crate::exchange_time::Voice;
use crate::ledger::{GapState, Span};
use crate::row::{Column, Table};
use crate::symbol::User;
use crate::{Coin, Dex, Interval, SourceId, TimeMs};

/// One thing that can be collected, with one time line.
///
/// Its text form is used everywhere, in tables, options and metrics: `trades/BTC`, `book/BTC`, `book/BTC/fast`, `book/BTC/5`,
/// `bbo/BTC`, `candle/BTC/1m`, `mids`, `mids/xyz`, `context/BTC`, `funding/BTC`, `predicted_funding/BTC`, `markets`,
/// `leaderboard`, `traders`, `signals`, `fills/0x…`, `positions/0x…`, `orders/0x…`, `payments/0x…`, `movements/0x…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKey {
    /// Public trades of a coin.
    Trades(Coin),
    /// Book snapshots of a coin, in one variant.
    Book(Coin, BookVariant),
    /// Best bid and offer of a coin.
    Bbo(Coin),
    /// Bars of a coin.
    Candle(Coin, Interval),
    /// Mid prices of every coin of a dex; of the first one with spot and outcomes.
    Mids(Dex),
    /// Asset context of a coin.
    Context(Coin),
    /// Settled funding of a coin.
    Funding(Coin),
    /// Funding expected next of a coin, at every venue.
    PredictedFunding(Coin),
    /// What the exchange says of every market.
    Markets,
    /// Every trader of note.
    Leaderboard,
    /// Whom to track.
    Traders,
    /// What the positions of the tracked traders say of each coin.
    Signals,
    /// Fills of a trader.
    Fills(User),
    /// What a trader holds.
    Positions(User),
    /// What became of a trader's orders.
    Orders(User),
    /// Funding that a trader paid and received.
    Payments(User),
    /// What else moved a trader's money.
    Movements(User),
}

/// The kind of a stream: what its rows look like and which rules they follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "each variant is the kind of the stream key of that name")]
pub enum Kind {
    Trades,
    Book,
    BookFast,
    Book5,
    Book4,
    Book3,
    Bbo,
    Candle,
    Mids,
    Context,
    Funding,
    PredictedFunding,
    Markets,
    Leaderboard,
    Traders,
    Signals,
    Fills,
    Positions,
    Orders,
    Payments,
    Movements,
}

/// The job that reads what only the exchange's REST has of tracked traders, and what it does.
const OF_TRADERS: (&str, &str) =
    ("collect_trader_orders", "reads orders, fills, funding paid and movements of tracked traders");

/// What happens to records when the store falls behind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Conflation {
    /// Every record counts: never dropped, spooled to disk instead.
    Event,
    /// Only the newest state counts: an unwritten older one may be replaced, and that is counted.
    State,
    /// The newest version of each key counts: bars.
    PerKey,
}

/// Whose data one stream of a kind carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// One coin's.
    Coin,
    /// Every coin's of one dex. The coin of a row tells whose it is: the rows of all dexes lie in one table.
    Dex,
    /// One trader's.
    User,
    /// Every coin's, or every trader's.
    All,
}

/// How the pieces of a time line meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Borders {
    /// Pieces are closed and neighbours may share a border block; a gap's border blocks may hold rows, its open
    /// interior holds none.
    Shared,
    /// Pieces are half-open, `from <= t < to`: bars and settlements.
    HalfOpen,
}

impl Borders {
    /// Whether a time lies in a piece.
    #[must_use]
    pub fn contain(self, piece: Span, time: TimeMs) -> bool {
        match self {
            Self::Shared => piece.contains(time),
            Self::HalfOpen => piece.from <= time && time < piece.to,
        }
    }

    /// The part of a gap that lies in `span`; none where they meet in no more than a border.
    #[must_use]
    pub fn part(self, gap: Span, span: Span) -> Option<Span> {
        let block = self == Self::Shared && gap.ms() == 0 && span.contains(gap.from);
        if block { Some(gap) } else { gap.overlaps(span).then(|| gap.intersect(span)).flatten() }
    }
}

/// What the exchange still has of the past.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum History {
    /// Nothing: what was missed is gone.
    None,
    /// The most recent records only.
    Recent(u32),
    /// The most recent bars of an interval.
    Bars(u32),
    /// Everything.
    All,
}

/// The facts of one kind. Times are milliseconds, weights are REST request weight (1,200 a minute per IP).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KindSpec {
    /// The kind.
    pub kind: Kind,
    /// First word of the stream's name.
    pub name: &'static str,
    /// What options, retention and metrics call the kind: as its streams, without what each has of its own.
    pub word: &'static str,
    /// Whose data one stream of it carries.
    pub scope: Scope,
    /// Where its rows lie: the table, or the collection.
    pub table: &'static Table,
    /// The channels of the WebSocket on which its frames come.
    pub channels: &'static [&'static str],
    /// Whether the WebSocket can carry it. Preferred where it can.
    pub ws: bool,
    /// Who collects it where no socket does.
    pub fallback: SourceId,
    /// The scheduler's job that polls it where REST owns it.
    pub job: &'static str,
    /// What that job does, in words.
    pub job_does: &'static str,
    /// What the store may do with records under pressure.
    pub conflation: Conflation,
    /// How pieces of its time line meet.
    pub borders: Borders,
    /// What a backfill can still get.
    pub history: History,
    /// Silence that makes the session ask for a witness before a rhythm is learnt. 0: silence proves nothing.
    pub first_silence_ms: i64,
    /// The longest that a learnt or doubled limit may become.
    pub longest_silence_ms: i64,
    /// For states: a longer time between two records, across a change of run, is a hole.
    pub hole_ms: i64,
    /// Whether the socket pushes it by a clock, also where nothing changed.
    pub steady: bool,
    /// Whether its records bear a time of the exchange. Others are stamped when they come in.
    pub timed: bool,
    /// As whose word its frames' times tell what time it is at the exchange.
    pub voice: Option<Voice>,
    /// Default period of its job.
    pub poll_ms: i64,
    /// Shortest sensible period: where one REST poll alone carries the stream.
    pub fastest_poll_ms: i64,
    /// Weight of one poll, items included.
    pub poll_weight: u32,
    /// Whether one poll serves every stream of the kind and of a dex (`metaAndAssetCtxs`).
    pub poll_shared: bool,
    /// Who goes first when slots or weight are short: higher is more valuable.
    pub value: u8,
    /// Whether a source collects it as it comes. Otherwise a job reads it, from the exchange's past.
    pub live: bool,
    /// How many days rows stay in the store by default before they go to the archive, by the part of their stream; empty text
    /// for streams without a part. What is not here stays for ever: it is little.
    pub keep_days: &'static [(&'static str, u16)],
}

impl KindSpec {
    /// The state of a gap that has just been found. Where the exchange has no past, no request fills it; what waited in a
    /// ring or in the spool still may.
    #[must_use]
    pub const fn new_gap(&self) -> GapState {
        match self.history {
            History::None => GapState::Unrecoverable,
            History::Recent(_) | History::Bars(_) | History::All => GapState::Open,
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 21] = [
        Self::Trades,
        Self::Candle,
        Self::Bbo,
        Self::Book,
        Self::BookFast,
        Self::Book5,
        Self::Book4,
        Self::Book3,
        Self::Context,
        Self::Mids,
        Self::Funding,
        Self::PredictedFunding,
        Self::Markets,
        Self::Leaderboard,
        Self::Traders,
        Self::Signals,
        Self::Fills,
        Self::Positions,
        Self::Orders,
        Self::Payments,
        Self::Movements,
    ];

    /// The facts of the kind.
    #[must_use]
    pub const fn spec(self) -> &'static KindSpec {
        match self {
            Self::Trades => &trades::SPEC,
            Self::Book => &book::SPEC,
            Self::BookFast => &book::FAST_SPEC,
            Self::Book5 => &book::SPEC_5,
            Self::Book4 => &book::SPEC_4,
            Self::Book3 => &book::SPEC_3,
            Self::Bbo => &bbo::SPEC,
            Self::Candle => &candle::SPEC,
            Self::Mids => &mids::SPEC,
            Self::Context => &context::SPEC,
            Self::Funding => &funding::SPEC,
            Self::PredictedFunding => &predicted_funding::SPEC,
            Self::Markets => &markets::SPEC,
            Self::Leaderboard => &leaderboard::SPEC,
            Self::Traders => &traders::SPEC,
            Self::Signals => &signals::SPEC,
            Self::Fills => &fills::SPEC,
            Self::Positions => &positions::SPEC,
            Self::Orders => &orders::SPEC,
            Self::Payments => &payments::SPEC,
            Self::Movements => &movements::SPEC,
        }
    }
}

impl Kind {
    /// The kind of this word. Earlier releases called bars as their table is called.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let word = if word == "candles" { Self::Candle.spec().word } else { word };
        Self::ALL.into_iter().find(|kind| kind.spec().word == word)
    }

    /// Whether the exchange has it of a coin: funding is of perpetuals, and what is expected next of those of the first dex
    /// (PROTOCOL section 3).
    #[must_use]
    pub fn is_of(self, coin: Coin) -> bool {
        match self {
            Self::Funding => coin.is_perpetual(),
            Self::PredictedFunding => coin.is_perpetual() && coin.dex().is_none(),
            _ => true,
        }
    }

    /// The streams of a kind, of these coins and, of bars, these intervals. Of a kind with a stream a dex those of the dexes
    /// that have the coins, and the first dex's in any case.
    #[must_use]
    pub fn streams(self, coins: &[Coin], intervals: &[Interval]) -> Vec<StreamKey> {
        let part = self.spec().word.split_once('/').map(|(_, part)| part);
        match (self, self.spec().scope) {
            (_, Scope::All) => self.stream(None, None).into_iter().collect(),
            (_, Scope::User) => Vec::new(),
            (_, Scope::Dex) => {
                let dexes: BTreeSet<Dex> =
                    coins.iter().map(|coin| Dex::of(*coin)).chain([Dex::First]).collect();
                dexes.into_iter().filter_map(|dex| self.stream(dex.name(), None)).collect()
            }
            (Self::Candle, Scope::Coin) => {
                let of_coin =
                    |&coin| intervals.iter().map(move |&interval| StreamKey::Candle(coin, interval));
                coins.iter().flat_map(of_coin).collect()
            }
            (_, Scope::Coin) => {
                coins.iter().filter_map(|coin| self.stream(Some(coin.as_str()), part)).collect()
            }
        }
    }

    /// The stream of a kind: of the coin or the dex of this name, where the kind has one a coin or a dex, and of the interval
    /// or the variant of this name. The first dex has no name.
    #[must_use]
    pub fn stream(self, of: Option<&str>, part: Option<&str>) -> Option<StreamKey> {
        let coin = || Coin::new(of?).ok();
        let stream = match self {
            Self::Mids => StreamKey::Mids(Dex::named(of)?),
            Self::Markets => StreamKey::Markets,
            Self::Leaderboard => StreamKey::Leaderboard,
            Self::Traders => StreamKey::Traders,
            Self::Signals => StreamKey::Signals,
            Self::Fills => StreamKey::Fills(User::new(of?)?),
            Self::Positions => StreamKey::Positions(User::new(of?)?),
            Self::Orders => StreamKey::Orders(User::new(of?)?),
            Self::Payments => StreamKey::Payments(User::new(of?)?),
            Self::Movements => StreamKey::Movements(User::new(of?)?),
            Self::Trades => StreamKey::Trades(coin()?),
            Self::Bbo => StreamKey::Bbo(coin()?),
            Self::Context => StreamKey::Context(coin()?),
            Self::Funding => StreamKey::Funding(coin()?),
            Self::PredictedFunding => StreamKey::PredictedFunding(coin()?),
            Self::Candle => StreamKey::Candle(coin()?, part?.parse().ok()?),
            Self::Book | Self::BookFast | Self::Book5 | Self::Book4 | Self::Book3 => {
                StreamKey::Book(coin()?, part.map_or(Some(BookVariant::Default), BookVariant::parse)?)
            }
        };
        let named = match (of, stream.owner().name()) {
            // An address may be written in capital letters.
            (Some(of), Some(name)) if self.spec().scope == Scope::User => of.eq_ignore_ascii_case(name),
            (of, name) => of == name,
        };
        let is_whole = named && (part.is_none() || part == stream.part());
        (is_whole && stream.kind() == self).then_some(stream)
    }
}

impl Table {
    /// The tables of all kinds, each once.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        let of = |kind: &Kind| kind.spec().table;
        let is_first =
            move |(at, kind): &(usize, &Kind)| !Kind::ALL.iter().take(*at).any(|k| of(k) == of(kind));
        Kind::ALL.iter().enumerate().filter(is_first).map(move |(_, kind)| of(kind))
    }

    /// The kinds whose rows it holds.
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| kind.spec().table == self)
    }

    /// The first columns, which together tell of which stream a row is: those of [`Table::of_stream`], and the coin where
    /// that tells the dex. None where one stream has all rows.
    #[must_use]
    pub fn telling(&self) -> &'static [Column] {
        match self.kinds().any(|kind| kind.spec().scope == Scope::Dex) {
            true => self.columns.get(..1).unwrap_or_default(),
            false => self.of_stream(),
        }
    }

    /// The stream of the rows that have these values in the columns of [`Table::telling`].
    #[must_use]
    pub fn stream(&self, values: &[&str]) -> Option<StreamKey> {
        let (first, part) = (values.first().copied(), values.get(1).copied());
        let stream = |kind: Kind| match kind.spec().scope {
            Scope::Dex => kind.stream(Dex::of(Coin::new(first?).ok()?).name(), part),
            Scope::Coin | Scope::User | Scope::All => kind.stream(first, part),
        };
        self.kinds().filter_map(stream).next()
    }
}

/// Whose data a stream carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// One market.
    Coin(Coin),
    /// Every market of a dex.
    Dex(Dex),
    /// One trader.
    User(User),
    /// Every market, or every trader.
    All,
}

impl Owner {
    /// The dex that it is of, or the first one.
    #[must_use]
    pub fn dex(self) -> Dex {
        match self {
            Self::Coin(coin) => Dex::of(coin),
            Self::Dex(dex) => dex,
            Self::User(_) | Self::All => Dex::First,
        }
    }

    /// What it is called in the names of streams; nothing where that goes without saying.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Coin(coin) => Some(coin.as_str()),
            Self::Dex(dex) => dex.name(),
            Self::User(user) => Some(user.as_str()),
            Self::All => None,
        }
    }
}

impl StreamKey {
    /// Mid prices of the first dex, of spot and of outcomes.
    pub const MIDS: Self = Self::Mids(Dex::First);

    /// The kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Trades(_) => Kind::Trades,
            Self::Book(_, BookVariant::Default) => Kind::Book,
            Self::Book(_, BookVariant::Fast) => Kind::BookFast,
            Self::Book(_, BookVariant::Figures5) => Kind::Book5,
            Self::Book(_, BookVariant::Figures4) => Kind::Book4,
            Self::Book(_, BookVariant::Figures3) => Kind::Book3,
            Self::Bbo(_) => Kind::Bbo,
            Self::Candle(..) => Kind::Candle,
            Self::Mids(_) => Kind::Mids,
            Self::Context(_) => Kind::Context,
            Self::Funding(_) => Kind::Funding,
            Self::PredictedFunding(_) => Kind::PredictedFunding,
            Self::Markets => Kind::Markets,
            Self::Leaderboard => Kind::Leaderboard,
            Self::Traders => Kind::Traders,
            Self::Signals => Kind::Signals,
            Self::Fills(_) => Kind::Fills,
            Self::Positions(_) => Kind::Positions,
            Self::Orders(_) => Kind::Orders,
            Self::Payments(_) => Kind::Payments,
            Self::Movements(_) => Kind::Movements,
        }
    }

    /// The facts of its kind.
    #[must_use]
    pub const fn spec(self) -> &'static KindSpec {
        self.kind().spec()
    }

    /// Whose data it carries.
    #[must_use]
    pub const fn owner(self) -> Owner {
        match self {
            Self::Trades(c)
            | Self::Book(c, _)
            | Self::Bbo(c)
            | Self::Candle(c, _)
            | Self::Context(c)
            | Self::Funding(c)
            | Self::PredictedFunding(c) => Owner::Coin(c),
            Self::Mids(dex) => Owner::Dex(dex),
            Self::Fills(user)
            | Self::Positions(user)
            | Self::Orders(user)
            | Self::Payments(user)
            | Self::Movements(user) => Owner::User(user),
            Self::Markets | Self::Leaderboard | Self::Traders | Self::Signals => Owner::All,
        }
    }

    /// The coin, where it is of one.
    #[must_use]
    pub const fn coin(self) -> Option<Coin> {
        match self.owner() {
            Owner::Coin(coin) => Some(coin),
            Owner::Dex(_) | Owner::User(_) | Owner::All => None,
        }
    }

    /// The builder's dex that it is of as a whole.
    #[must_use]
    pub const fn whole_dex(self) -> Option<Dex> {
        match self.owner() {
            Owner::Dex(dex @ Dex::Builder(_)) => Some(dex),
            Owner::Coin(_) | Owner::Dex(Dex::First) | Owner::User(_) | Owner::All => None,
        }
    }

    /// Whether rows of a coin may be its own.
    #[must_use]
    pub fn has(self, coin: Coin) -> bool {
        match self.owner() {
            Owner::Coin(own) => own == coin,
            Owner::Dex(dex) => dex.has(coin),
            Owner::User(_) => false,
            Owner::All => self.spec().table.is_by_coin(),
        }
    }

    /// What tells it apart from the other streams of its table and coin: the variant of a book, the interval of bars.
    #[must_use]
    pub fn part(self) -> Option<&'static str> {
        match self {
            Self::Book(_, variant) => Some(variant.as_str()),
            Self::Candle(_, interval) => Some(interval.as_str()),
            _ => None,
        }
    }

    /// The dex that has the coins of all of its rows, where rows of other dexes lie in the same table, and the column of the
    /// coin.
    #[must_use]
    pub fn within(self) -> Option<(&'static Column, Dex)> {
        match self.owner() {
            Owner::Dex(dex) => self.spec().table.columns.first().map(|column| (column, dex)),
            Owner::Coin(_) | Owner::User(_) | Owner::All => None,
        }
    }

    /// The columns that have the same value in all of its rows, and that value.
    pub fn fixed(self) -> impl Iterator<Item = (&'static Column, &'static str)> {
        let owner = match self.owner() {
            Owner::Coin(coin) => Some(coin.as_str()),
            Owner::User(user) => Some(user.as_str()),
            Owner::Dex(_) | Owner::All => None,
        };
        let values = [owner, self.part()].into_iter().flatten();
        self.spec().table.of_stream().iter().zip(values)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)?;
        if let Some(name) = self.owner().name() {
            write!(f, "/{name}")?;
        }
        match self.part().filter(|_| self.kind() != Kind::Book) {
            Some(part) => write!(f, "/{part}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "{0:?} names no stream; streams are trades/BTC, book/BTC, book/BTC/fast, book/BTC/5, bbo/BTC, candle/BTC/1m, mids, \
     mids/xyz, context/BTC, funding/BTC, predicted_funding/BTC, markets, leaderboard, traders, signals, fills/0x…, \
     positions/0x…, orders/0x…, payments/0x…, movements/0x…"
)]
pub struct StreamKeyError(pub String);

impl FromStr for StreamKey {
    type Err = StreamKeyError;

    /// Coin names may hold a slash (`PURR/USDC`): what stands behind the last one is a part of the stream where its kind has
    /// such a part, and of the coin where it has not.
    fn from_str(text: &str) -> Result<Self, StreamKeyError> {
        let (name, rest) = text.split_once('/').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let of = |owner: Option<&str>, part: Option<&str>| {
            let kinds = Kind::ALL.into_iter().filter(|kind| kind.spec().name == name);
            kinds.filter_map(|kind| kind.stream(owner, part)).next()
        };
        let parted =
            rest.and_then(|rest| rest.rsplit_once('/')).and_then(|(owner, part)| of(Some(owner), Some(part)));
        let stream = parted.filter(|stream| stream.kind() != Kind::Book).or_else(|| of(rest, None));
        stream.ok_or_else(|| StreamKeyError(text.to_owned()))
    }
}

impl Serialize for StreamKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    #[test]
    fn a_border_is_no_part_of_a_gap_but_a_gap_of_one_block_is() {
        assert_eq!(Borders::Shared.part(span(0, 5), span(5, 9)), None);
        assert_eq!(Borders::Shared.part(span(0, 6), span(5, 9)), Some(span(5, 6)));
        assert_eq!(Borders::Shared.part(span(5, 5), span(5, 9)), Some(span(5, 5)));
        assert_eq!(Borders::HalfOpen.part(span(5, 5), span(5, 9)), None);
    }

    #[test]
    fn what_lies_at_the_end_is_inside_only_where_borders_are_shared() {
        let inside = |borders: Borders| [4, 5, 8, 9, 10].map(|t| borders.contain(span(5, 9), TimeMs(t)));
        assert_eq!(inside(Borders::Shared), [false, true, true, true, false]);
        assert_eq!(inside(Borders::HalfOpen), [false, true, true, false, false]);
    }

    #[test]
    fn names_survive_the_round_trip() {
        for text in [
            "trades/BTC",
            "trades/PURR/USDC",
            "book/BTC",
            "book/xyz:NVDA/fast",
            "book/PURR/USDC/5",
            "book/BTC/3",
            "bbo/@107",
            "candle/BTC/1m",
            "candle/PURR/USDC/1M",
            "mids",
            "mids/xyz",
            "mids/a/b",
            "context/BTC",
            "funding/kPEPE",
            "predicted_funding/BTC",
            "markets",
            "leaderboard",
            "traders",
            "signals",
            "fills/0x00000000000000000000000000000000000000ab",
            "positions/0x00000000000000000000000000000000000000ab",
            "orders/0x00000000000000000000000000000000000000ab",
            "payments/0x00000000000000000000000000000000000000ab",
            "movements/0x00000000000000000000000000000000000000ab",
        ] {
            assert_eq!(text.parse::<StreamKey>().unwrap().to_string(), text);
        }
        let bad = ["", "trades", "trades/", "candle/BTC", "candle/BTC/7m", "tades/BTC", "markets/BTC"];
        for bad in bad.into_iter().chain(["mids/", "mids/xyz:NVDA", "mids/x y"]) {
            assert!(bad.parse::<StreamKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_row_tells_of_which_stream_it_is() {
        let stream = |kind: Kind, values: &[&str]| {
            let table = kind.spec().table;
            assert_eq!(table.telling().len(), values.len(), "{kind:?}");
            table.stream(values).map(|stream| stream.to_string())
        };
        for (kind, values, name) in [
            (Kind::Trades, &["xyz:NVDA"][..], "trades/xyz:NVDA"),
            (Kind::Book5, &["BTC", "5"], "book/BTC/5"),
            (Kind::Mids, &["BTC"], "mids"),
            (Kind::Mids, &["@107"], "mids"),
            (Kind::Mids, &["xyz:NVDA"], "mids/xyz"),
            (Kind::Markets, &[], "markets"),
            (Kind::Leaderboard, &[], "leaderboard"),
            (
                Kind::Fills,
                &["0x00000000000000000000000000000000000000ab"],
                "fills/0x00000000000000000000000000000000000000ab",
            ),
        ] {
            assert_eq!(stream(kind, values).as_deref(), Some(name));
        }
        assert_eq!(stream(Kind::Mids, &[""]), None);
    }

    #[test]
    fn every_kind_has_its_own_table() {
        for kind in Kind::ALL {
            assert_eq!(kind.spec().kind, kind);
            assert!(kind.spec().fastest_poll_ms <= kind.spec().poll_ms);
            assert!(kind.spec().first_silence_ms <= kind.spec().longest_silence_ms);
        }
    }
}

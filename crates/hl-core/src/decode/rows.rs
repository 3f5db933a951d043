//! Row by row: in a list or a map, what cannot be read spoils its own row and no other.
//!
//! A text that is read as a whole takes the quick way, and costs nothing more than it did. Only one that is not is taken
//! apart. What is left out is said: where it lay between the others ([`Hole`]), or whose it was ([`Unread`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{DecodeError, Fault, locate};
use super::parser;
use crate::ledger::Span;
use crate::message::Exact;
use crate::message::info::fills::Fill as FillMessage;
use crate::message::info::ledger::{FundingDelta, LedgerUpdate};
use crate::message::info::market::FundingRate;
use crate::message::info::meta::{MarginTable, Meta, PerpAsset, SpotMeta, SpotPair, SpotToken};
use crate::message::info::orders::OrderStatus;
use crate::message::market::{Mids, WsCandle, WsTrade};
use crate::record::{Candle, Funding, Trade};
use crate::symbol::Word;
use crate::{Coin, Decimal, Dex, TimeMs};

/// Longer texts are not taken apart: each of their values would be noted down, and no list of the exchange whose rows are
/// looked at one by one is half as long.
const APART_BYTES: usize = 2 << 20;

/// Longest reason kept, characters.
const REASON_CHARS: usize = 300;

/// The rows of a list that could be read, and where the others lie between them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rows<T> {
    /// Those that could be read, oldest first.
    pub rows: Vec<T>,
    /// Where rows lie that could not, in order.
    pub holes: Vec<Hole>,
    /// Why the first of these could not; none where there are none.
    pub reason: Option<String>,
}

/// Neighbouring rows that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hole {
    /// How many of the readable rows are older.
    pub at: usize,
    /// How many rows it is.
    pub rows: u32,
    /// From the first to the last of their times; none where one of these cannot be read, or does not lie between those of
    /// the rows around them.
    pub times: Option<Span>,
}

/// A piece of a list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Part<T> {
    /// Rows that nothing is missing between.
    Rows(Vec<T>),
    /// What cannot be read.
    Hole(Hole),
}

impl<T> Rows<T> {
    /// How many rows the list has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() + usize::try_from(self.unreadable()).unwrap_or(usize::MAX)
    }

    /// Whether the list has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.holes.is_empty()
    }

    /// How many rows cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.holes.iter().map(|hole| u64::from(hole.rows)).sum()
    }

    /// The readable rows right before and right after a hole.
    #[must_use]
    pub fn neighbours(&self, hole: &Hole) -> (Option<&T>, Option<&T>) {
        (hole.at.checked_sub(1).and_then(|at| self.rows.get(at)), self.rows.get(hole.at))
    }

    /// The list as its pieces, oldest first.
    #[must_use]
    pub fn into_parts(self) -> Vec<Part<T>> {
        let mut parts = Vec::with_capacity(2 * self.holes.len() + 1);
        let (mut rows, mut taken) = (self.rows.into_iter(), 0);
        for hole in self.holes {
            let before: Vec<T> = rows.by_ref().take(hole.at - taken).collect();
            taken = hole.at;
            if !before.is_empty() {
                parts.push(Part::Rows(before));
            }
            parts.push(Part::Hole(hole));
        }
        let last: Vec<T> = rows.collect();
        if !last.is_empty() {
            parts.push(Part::Rows(last));
        }
        parts
    }
}

impl<T> From<Vec<T>> for Rows<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, holes: Vec::new(), reason: None }
    }
}

/// What could not be read of a listing or a map.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Unread {
    /// The coins whose rows it was.
    pub coins: BTreeSet<Coin>,
    /// Rows more, of which not even the coin can be read.
    pub others: u32,
    /// Why the first of them could not be read.
    pub reason: Option<String>,
}

impl Unread {
    /// Whether all was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coins.is_empty() && self.others == 0
    }

    /// How many rows it is.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.coins.len() as u64 + u64::from(self.others)
    }

    pub(super) fn note(&mut self, coin: Option<Coin>, reason: impl FnOnce() -> String) {
        match coin {
            Some(coin) => _ = self.coins.insert(coin),
            None => self.others += 1,
        }
        self.reason.get_or_insert_with(reason);
    }
}

/// An answer, but for what could not be read of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Read<T> {
    /// What could be read.
    pub value: T,
    /// What could not.
    pub unread: Unread,
}

impl<T> From<T> for Read<T> {
    fn from(value: T) -> Self {
        Self { value, unread: Unread::default() }
    }
}

/// A row of a list that is in order of time.
pub(super) trait Row: DeserializeOwned {
    type Record;

    fn time(record: &Self::Record) -> TimeMs;

    /// The record, where what the row says can be.
    fn record(self) -> Result<Self::Record, Fault>;
}

impl Row for WsTrade {
    type Record = Trade;

    fn time(trade: &Trade) -> TimeMs {
        trade.time
    }

    fn record(self) -> Result<Trade, Fault> {
        Ok(self.into())
    }
}

impl Row for WsCandle {
    type Record = Candle;

    fn time(bar: &Candle) -> TimeMs {
        bar.time
    }

    fn record(self) -> Result<Candle, Fault> {
        super::rest::bar(self)
    }
}

impl Row for FundingRate {
    type Record = Funding;

    fn time(rate: &Funding) -> TimeMs {
        rate.time
    }

    fn record(self) -> Result<Funding, Fault> {
        Ok(self.into())
    }
}

impl Row for FillMessage {
    type Record = Self;

    fn time(fill: &Self) -> TimeMs {
        fill.time
    }

    fn record(self) -> Result<Self, Fault> {
        match self.tid {
            Some(_) => Ok(self),
            None => Err(Fault::Rule("a fill without the number of its trade")),
        }
    }
}

/// The time of an order's row is when its status changed.
impl Row for OrderStatus {
    type Record = (Word, Self);

    fn time((_, order): &(Word, Self)) -> TimeMs {
        order.status_timestamp
    }

    fn record(self) -> Result<(Word, Self), Fault> {
        match Word::new(&self.status) {
            Ok(status) => Ok((status, self)),
            Err(_) => Err(Fault::Rule("an order whose status is no word")),
        }
    }
}

impl Row for LedgerUpdate<FundingDelta> {
    type Record = Self;

    fn time(payment: &Self) -> TimeMs {
        payment.time
    }

    fn record(self) -> Result<Self, Fault> {
        Ok(self)
    }
}

/// What is said of a movement of money, whatever kind it is of.
pub(super) type Delta = serde_json::Map<String, serde_json::Value>;

impl Row for LedgerUpdate<Delta> {
    type Record = Self;

    fn time(movement: &Self) -> TimeMs {
        movement.time
    }

    fn record(self) -> Result<Self, Fault> {
        Ok(self)
    }
}

/// What a row says of itself, as far as can be read.
#[derive(Deserialize)]
struct Label<'a> {
    #[serde(borrow, alias = "s", alias = "name")]
    coin: Option<&'a RawValue>,
    #[serde(borrow, alias = "t", alias = "statusTimestamp")]
    time: Option<&'a RawValue>,
}

impl Label<'_> {
    fn of(raw: &RawValue) -> (Option<Coin>, Option<TimeMs>) {
        let Ok(label) = serde_json::from_str::<Label<'_>>(raw.get()) else { return (None, None) };
        let coin = label.coin.and_then(|raw| serde_json::from_str(raw.get()).ok());
        (coin, label.time.and_then(|raw| serde_json::from_str(raw.get()).ok()))
    }
}

/// A row, taken out of its list.
pub(super) enum Item<R> {
    Read(R),
    Unreadable { coin: Option<Coin>, time: Option<TimeMs>, reason: String },
}

/// Reads a list: quickly where all of it can be read, else row by row.
pub(super) fn list<W: Row>(
    what: &str,
    body: &mut [u8],
    newest_first: bool,
) -> Result<Rows<W::Record>, DecodeError> {
    let whole = parser::typed::<Vec<W>>(body)
        .map(|wire| wire.into_iter().map(judged::<W>).collect::<Vec<Item<W::Record>>>());
    let is_read = |items: &[Item<W::Record>]| items.iter().all(|item| matches!(item, Item::Read(_)));
    let mut items = match whole {
        Ok(items) if is_read(&items) => items,
        // Taken apart, a row that was turned away says at least where it belongs.
        whole => {
            let text = lossy(body);
            let raw = text.as_deref().and_then(|text| serde_json::from_str::<Vec<&RawValue>>(text).ok());
            match (raw, whole) {
                (Some(rows), _) => items::<W>(what, &rows),
                (None, Ok(items)) => items,
                (None, Err(fault)) => return Err(locate::<Vec<W>>(Some(what.to_owned()), body, fault)),
            }
        }
    };
    if newest_first {
        items.reverse();
    }
    let rows = in_order::<W>(items);
    // Nothing in it says even where it belongs: this is not a list of such rows.
    let is_lost = rows.rows.is_empty() && rows.holes.iter().any(|hole| hole.times.is_none());
    match rows.reason {
        Some(ref reason) if is_lost => Err(super::rest::nothing(what, reason)),
        _ => Ok(rows),
    }
}

fn judged<W: Row>(row: W) -> Item<W::Record> {
    row.record().map_or_else(
        |fault| Item::Unreadable { coin: None, time: None, reason: fault.to_string() },
        Item::Read,
    )
}

/// Reads rows one by one.
pub(super) fn items<W: Row>(what: &str, rows: &[&RawValue]) -> Vec<Item<W::Record>> {
    let read = |(at, raw): (usize, &&RawValue)| match one::<W>(what, at, raw).map(judged::<W>) {
        Ok(item @ Item::Read(_)) => item,
        Ok(Item::Unreadable { reason, .. }) | Err(reason) => {
            let (coin, time) = Label::of(raw);
            Item::Unreadable { coin, time, reason }
        }
    };
    rows.iter().enumerate().map(read).collect()
}

/// One row, or why it cannot be read.
pub(super) fn one<W: DeserializeOwned>(what: &str, at: usize, raw: &RawValue) -> Result<W, String> {
    let text = raw.get();
    serde_json::from_str(text).map_err(|fault| {
        let error = locate::<W>(Some(format!("{what}[{at}]")), text.as_bytes(), Fault::Json(fault));
        short(&error.to_string())
    })
}

/// Puts rows that were sent oldest first in order of time; those of one time stay as they came. What cannot be read stays
/// behind the row that it followed: its own word about its time is not to be trusted further than that.
pub(super) fn in_order<W: Row>(items: Vec<Item<W::Record>>) -> Rows<W::Record> {
    let mut last = TimeMs::MIN;
    let mut keyed: Vec<_> = items
        .into_iter()
        .map(|item| {
            if let Item::Read(row) = &item {
                last = W::time(row);
            }
            (last, item)
        })
        .collect();
    if !keyed.is_sorted_by_key(|(time, _)| *time) {
        keyed.sort_by_key(|(time, _)| *time);
    }
    let mut rows: Rows<W::Record> = Vec::with_capacity(keyed.len()).into();
    for (_, item) in keyed {
        match item {
            Item::Read(row) => rows.rows.push(row),
            Item::Unreadable { time, reason, .. } => {
                rows.reason.get_or_insert(reason);
                let (at, times) = (rows.rows.len(), time.map(|time| Span::new(time, time)));
                match rows.holes.last_mut().filter(|hole| hole.at == at) {
                    Some(hole) => {
                        hole.rows = hole.rows.saturating_add(1);
                        hole.times = hole.times.zip(times).map(|(a, b)| a.hull(b));
                    }
                    None => rows.holes.push(Hole { at, rows: 1, times }),
                }
            }
        }
    }
    for hole in &mut rows.holes {
        let before = hole.at.checked_sub(1).and_then(|at| rows.rows.get(at)).map(W::time);
        let after = rows.rows.get(hole.at).map(W::time);
        hole.times.take_if(|times| {
            before.is_some_and(|before| times.from < before) || after.is_some_and(|after| after < times.to)
        });
    }
    rows
}

/// The text to take apart, where it is not too long. What in it is not Unicode is replaced by a character that neither numbers nor names hold.
pub(super) fn lossy(text: &[u8]) -> Option<Cow<'_, str>> {
    (text.len() <= APART_BYTES).then(|| String::from_utf8_lossy(text))
}

/// A map of prices by coin.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Prices {
    /// Those that could be read, by name.
    pub(super) read: BTreeMap<Coin, Decimal>,
    /// Coins that have none: null, or an empty text.
    pub(super) without: u32,
    pub(super) unread: Unread,
}

impl From<Mids> for Prices {
    fn from(mids: Mids) -> Self {
        Self { read: mids.0, ..Self::default() }
    }
}

impl Prices {
    /// Those of the coins that a dex has; the others are noted as what cannot be read. None where no price is left of some.
    pub(super) fn of_dex(mut self, dex: Dex) -> Option<Self> {
        let Self { read, unread, .. } = &mut self;
        read.retain(|coin, _| {
            let is_its = dex.has(*coin);
            if !is_its {
                unread.note(Some(*coin), || short(&format!("{coin} is of another dex")));
            }
            is_its
        });
        let is_lost = self.read.is_empty() && !self.unread.is_empty();
        (!is_lost).then_some(self)
    }
}

/// Reads prices one by one; none where `map` is not a map, or nothing of it can be read.
pub(super) fn prices(map: &str) -> Option<Prices> {
    let map: BTreeMap<String, &RawValue> = serde_json::from_str(map).ok()?;
    let mut prices = Prices::default();
    for (name, raw) in map {
        let coin = Coin::new(&name).ok();
        let text: Option<Cow<'_, str>> =
            serde_json::from_str::<Option<Text<'_>>>(raw.get()).ok().flatten().map(|t| t.0);
        match (coin, text) {
            (Some(_), None) if raw.get() == "null" => prices.without += 1,
            (Some(_), Some(text)) if text.is_empty() => prices.without += 1,
            (coin, text) => match (coin, text.and_then(|text| Exact::parse(&text).ok())) {
                (Some(coin), Some(px)) => _ = prices.read.insert(coin, px),
                (coin, _) => {
                    prices.unread.note(coin, || short(&format!("{name:?} has the price {}", raw.get())))
                }
            },
        }
    }
    let is_lost = prices.read.is_empty() && (prices.without > 0 || !prices.unread.is_empty());
    (!is_lost).then_some(prices)
}

/// A JSON text.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a list of which each row is whose its own words say, in its order; none in the place of a row that cannot be read.
pub(super) fn each<W: DeserializeOwned>(
    what: &str,
    rows: &[&RawValue],
    unread: &mut Unread,
) -> Vec<Option<W>> {
    let read = |(at, raw): (usize, &&RawValue)| match one::<W>(what, at, raw) {
        Ok(row) => Some(row),
        Err(reason) => {
            unread.note(Label::of(raw).0, || reason);
            None
        }
    };
    rows.iter().enumerate().map(read).collect()
}

/// The perpetuals of a dex, row by row.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaRows<'a> {
    #[serde(borrow)]
    universe: Vec<&'a RawValue>,
    #[serde(borrow)]
    margin_tables: Option<Vec<&'a RawValue>>,
    collateral_token: Option<u32>,
}

impl MetaRows<'_> {
    /// The perpetuals in their order, none in the place of one that cannot be read; and what else is said of the dex.
    pub(super) fn read(&self, what: &str, unread: &mut Unread) -> (Vec<Option<PerpAsset>>, Meta) {
        let universe = each::<PerpAsset>(what, &self.universe, unread);
        let tables = self.margin_tables.as_ref().map(|rows| each::<(u32, MarginTable)>(what, rows, unread));
        let meta = Meta {
            universe: universe.iter().flatten().cloned().collect(),
            margin_tables: tables.map(|tables| tables.into_iter().flatten().collect()),
            collateral_token: self.collateral_token,
        };
        (universe, meta)
    }
}

/// The spot pairs and their tokens, row by row.
#[derive(Deserialize)]
pub(super) struct SpotRows<'a> {
    #[serde(borrow)]
    universe: Vec<&'a RawValue>,
    #[serde(borrow)]
    tokens: Vec<&'a RawValue>,
}

impl SpotRows<'_> {
    pub(super) fn read(&self, what: &str, unread: &mut Unread) -> SpotMeta {
        let universe = each::<SpotPair>(what, &self.universe, unread);
        let tokens = each::<SpotToken>(what, &self.tokens, unread);
        SpotMeta {
            universe: universe.into_iter().flatten().collect(),
            tokens: tokens.into_iter().flatten().collect(),
        }
    }
}

fn short(words: &str) -> String {
    words.chars().take(REASON_CHARS).collect()
}

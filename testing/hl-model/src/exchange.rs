//! The exchange of the model: a script of what happens, and what it answers at any point of it.

use std::fmt;

use hl_core::ledger::Span;
use hl_core::past::{self, BarsQuestion, Page, WIDEST};
use hl_core::record::{Candle, HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::symbol::CoinError;
use hl_core::{Coin, Decimal, Interval, Records, StreamKey, TimeMs};

const INTERVAL: Interval = Interval::M1;

/// The minute in which a script of bars begins. Before it there were no trades, and polls ask for minutes before the first bar.
const FIRST_MINUTE: i64 = 10;

/// From one block to the next: so long that a ring's memory of what is stored runs out within a few of them.
const BLOCK_MS: i64 = 200_000;

/// One thing that happens at the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Happening {
    /// A trade of the block at this time.
    Trade(Trade),
    /// A new version of a bar, sent at this time.
    Bar(TimeMs, Candle),
    /// Time passes.
    Nothing(TimeMs),
}

impl Happening {
    fn at(self) -> TimeMs {
        match self {
            Self::Trade(trade) => trade.time,
            Self::Bar(at, _) | Self::Nothing(at) => at,
        }
    }
}

/// How an answer errs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Wrong {
    /// It has only the newest record.
    Newest,
    /// It has none.
    Empty,
    /// It lacks the newest two things that happened.
    Stale,
    /// It lacks every second record, the newest not, and something that is stored behind its oldest one among them: otherwise
    /// a collector cannot see it.
    Holed,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => "has only the newest record",
            Self::Empty => "is empty",
            Self::Stale => "is old",
            Self::Holed => "has holes",
        })
    }
}

/// What happens, in order, on one stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Script {
    pub(crate) stream: StreamKey,
    /// Exchange time before anything has happened.
    begin: TimeMs,
    pub(crate) happenings: Vec<Happening>,
    /// How many of them may happen while faults do; the others come when everything is calm again.
    pub(crate) eventful: usize,
    /// Trades that a new subscription replays.
    replay: usize,
    /// Trades that a REST answer gives.
    recent: usize,
}

impl Script {
    /// Trades in blocks: `blocks[i]` trades in the i-th one, then eight calm blocks of one trade.
    pub(crate) fn trades(blocks: &[u8], replay: usize, recent: usize) -> Result<Self, CoinError> {
        let coin = Coin::new("BTC")?;
        let calm = [1; 8];
        let mut happenings = Vec::new();
        for (block, count) in (1..).zip(blocks.iter().chain(&calm)) {
            for nth in 1..=u64::from(*count) {
                happenings.push(Happening::Trade(trade(coin, block * BLOCK_MS, nth)));
            }
        }
        let eventful = blocks.iter().map(|count| usize::from(*count)).sum();
        Ok(Self { stream: StreamKey::Trades(coin), begin: TimeMs(0), happenings, eventful, replay, recent })
    }

    /// Versions of bars: second of sending, minute of the bar (both since the script began), trades counted; a version of no
    /// trades says that only time passes. Then four calm minutes.
    pub(crate) fn bars(versions: &[(i64, i64, u64)]) -> Result<Self, CoinError> {
        let coin = Coin::new("BTC")?;
        let begin = TimeMs(FIRST_MINUTE * INTERVAL.ms());
        let last = versions.last().map_or(0, |(second, ..)| second / 60);
        let calm: Vec<_> = (last + 1..last + 5)
            .flat_map(|minute| [(minute * 60 + 1, minute, 1), (minute * 60 + 30, 0, 0)])
            .collect();
        let happening = |(second, minute, trades): &(i64, i64, u64)| {
            let at = begin + second * 1_000;
            match trades {
                0 => Happening::Nothing(at),
                _ => Happening::Bar(at, bar(coin, FIRST_MINUTE + minute, *trades)),
            }
        };
        Ok(Self {
            begin,
            stream: StreamKey::Candle(coin, INTERVAL),
            happenings: versions.iter().chain(&calm).map(happening).collect(),
            eventful: versions.len(),
            replay: 1,
            recent: 0,
        })
    }

    /// Exchange time when so much has happened.
    pub(crate) fn now(&self, happened: usize) -> TimeMs {
        match happened.checked_sub(1).and_then(|last| self.happenings.get(last)) {
            Some(happening) => happening.at(),
            None => self.begin,
        }
    }

    fn until(&self, happened: usize) -> &[Happening] {
        self.happenings.get(..happened).unwrap_or_default()
    }

    /// The trades that happened.
    pub(crate) fn traded(&self, happened: usize) -> impl DoubleEndedIterator<Item = Trade> + '_ {
        self.until(happened).iter().filter_map(|happening| match happening {
            Happening::Trade(trade) => Some(*trade),
            Happening::Bar(..) | Happening::Nothing(_) => None,
        })
    }

    /// The time of the newest record that a probe finds.
    pub(crate) fn newest(&self, happened: usize) -> Option<TimeMs> {
        self.until(happened).iter().rev().find_map(|happening| match happening {
            Happening::Trade(trade) => Some(trade.time),
            Happening::Bar(_, bar) => Some(bar.time),
            Happening::Nothing(_) => None,
        })
    }

    /// The newest version of each bar that was seen, oldest bar first.
    pub(crate) fn versions(&self, happened: usize) -> Vec<Candle> {
        let mut bars = std::collections::BTreeMap::new();
        for happening in self.until(happened) {
            if let Happening::Bar(_, bar) = happening {
                bars.insert(bar.time, *bar);
            }
        }
        bars.into_values().collect()
    }

    /// Where a new subscription begins to bring what happened.
    pub(crate) fn replay_from(&self, happened: usize) -> usize {
        happened.saturating_sub(self.replay)
    }

    /// What a subscription pushes from one point of the script to another; none where that is nothing.
    pub(crate) fn pushed(&self, from: usize, to: usize) -> Option<Records> {
        let piece = self.happenings.get(from..to)?;
        let records = match self.stream {
            StreamKey::Candle(..) => Records::Candles(
                piece
                    .iter()
                    .filter_map(|h| if let Happening::Bar(_, bar) = h { Some(*bar) } else { None })
                    .collect(),
            ),
            _ => Records::Trades(
                piece
                    .iter()
                    .filter_map(|h| if let Happening::Trade(trade) = h { Some(*trade) } else { None })
                    .collect(),
            ),
        };
        (!records.is_empty()).then_some(records)
    }

    /// The answer to a poll, and since when it is whole. Inside a block REST has an order of its own.
    pub(crate) fn answer(&self, happened: usize, edge: Option<TimeMs>) -> (Records, Option<TimeMs>) {
        match self.stream {
            StreamKey::Candle(_, interval) => {
                let asked = self.now(happened);
                let from = edge.unwrap_or_else(|| interval.open_of(asked) - 2 * interval.ms());
                // It is asked for from some bars earlier, as the REST source does.
                (Records::Candles(self.versions(happened)), Some(from))
            }
            _ => (Records::Trades(self.recent(happened)), None),
        }
    }

    /// The answer where the exchange errs. Its bars are never stale: an old version of a bar is not to be told from the last.
    pub(crate) fn answer_wrong(
        &self,
        happened: usize,
        edge: Option<TimeMs>,
        wrong: Wrong,
    ) -> (Records, Option<TimeMs>) {
        let as_of = if wrong == Wrong::Stale { happened.saturating_sub(2) } else { happened };
        let (records, from) = self.answer(as_of, edge);
        let records = match records {
            Records::Trades(trades) => {
                Records::Trades(wrong.leaves(trades, |trade| Some(trade.time) <= edge))
            }
            Records::Candles(bars) => Records::Candles(wrong.leaves(bars, |bar| Some(bar.time) < edge)),
            other => other,
        };
        (records, from)
    }

    /// REST shows a block once it is whole.
    fn recent(&self, happened: usize) -> Vec<Trade> {
        let growing = match self.happenings.get(happened) {
            Some(Happening::Trade(next)) => Some(next.time),
            _ => None,
        };
        let mut trades: Vec<_> = self.traded(happened).filter(|t| Some(t.time) != growing).collect();
        trades.sort_by_key(|trade| (trade.time, std::cmp::Reverse(trade.tid)));
        trades.split_off(trades.len().saturating_sub(self.recent))
    }

    /// The page of the past that a backfill of `piece` gets.
    pub(crate) fn page(&self, happened: usize, piece: Span, wrong: Option<Wrong>) -> Page {
        let asked = self.now(happened);
        let as_of = if wrong == Some(Wrong::Stale) { happened.saturating_sub(2) } else { happened };
        match self.stream {
            StreamKey::Candle(coin, interval) => {
                match BarsQuestion::new(coin, interval, piece, asked, WIDEST) {
                    Some(question) => question.page(left(wrong, self.versions(happened))),
                    None => Page::nothing(None),
                }
            }
            stream => match stream.coin() {
                Some(coin) => past::trades(coin, piece, left(wrong, self.recent(as_of)), self.recent),
                None => Page::gone(piece),
            },
        }
    }
}

impl Wrong {
    /// What is left of the records of an answer, oldest first.
    fn leaves<T>(self, mut records: Vec<T>, stored: impl Fn(&T) -> bool) -> Vec<T> {
        let len = records.len();
        match self {
            Self::Newest => drop(records.drain(..len.saturating_sub(1))),
            Self::Empty => records.clear(),
            Self::Stale => {}
            Self::Holed => {
                let lacks = |at: usize| (len - at).is_multiple_of(2);
                let mut between = records.iter().enumerate().skip(1);
                let seen = between.any(|(at, record)| lacks(at) && stored(record));
                let mut at = 0..;
                records.retain(|_| !seen || !at.next().is_some_and(lacks));
            }
        }
        records
    }
}

fn left<T>(wrong: Option<Wrong>, records: Vec<T>) -> Vec<T> {
    match wrong {
        Some(wrong) => wrong.leaves(records, |_| false),
        None => records,
    }
}

fn trade(coin: Coin, time: i64, tid: u64) -> Trade {
    Trade {
        coin,
        time: TimeMs(time),
        tid,
        px: Decimal::ONE,
        sz: Decimal::ONE,
        side: Side::Buy,
        hash: HexBytes([0; 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    }
}

fn bar(coin: Coin, minute: i64, trades: u64) -> Candle {
    Candle {
        coin,
        interval: INTERVAL,
        time: TimeMs(minute * INTERVAL.ms()),
        open: Decimal::ONE,
        high: Decimal::ONE,
        low: Decimal::ONE,
        close: Decimal::ONE,
        volume: Decimal::from(trades),
        trades,
        arrival: Arrival::default(),
    }
}

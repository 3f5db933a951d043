//! What was seen of the exchange: what the looks write down, and the assumptions are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use hl_collectors::ws::End;
use hl_core::ledger::Span;
use hl_core::message::Subscription;
use hl_core::message::info::fills::Fill;
use hl_core::record::{Address, Candle, Trade};
use hl_core::{Coin, TimeMs};

/// What a look brought, or in words why it brought nothing.
pub(super) type Look<T> = Result<T, String>;

fn untried<T>() -> Look<T> {
    Err("there was no time left for it".to_owned())
}

/// Everything that was seen. Points in time are ms on the monotonic clock, unless they are the exchange's.
pub(super) struct Evidence {
    /// The coin that was looked at.
    pub(super) coin: Coin,
    pub(super) listened: Listened,
    pub(super) shapes: Shapes,
    /// Fast books, from a socket of their own.
    pub(super) fast: Look<Vec<BookSeen>>,
    /// How long a pong took, ms; none where none came in time.
    pub(super) pong: Look<Option<i64>>,
    pub(super) duplicate: Look<Said>,
    pub(super) not_subscribed: Look<Said>,
    pub(super) unknown_channel: Look<Said>,
    pub(super) kill: Look<Ending>,
    pub(super) idle: Look<Ending>,
    pub(super) users: Look<Cap>,
    /// Answers of `recentTrades`, as they came: newest first.
    pub(super) recent: Vec<Vec<Trade>>,
    pub(super) samples: Vec<Sample>,
    /// Open times of the bars in an answer about three minutes, and those three.
    pub(super) range: Look<(Vec<TimeMs>, [TimeMs; 3])>,
    /// Open times of the bars in an answer about a long time, and that time.
    pub(super) page: Look<(Vec<TimeMs>, Span)>,
    /// The first whole minute that was listened to, as REST has it once it is final.
    pub(super) minute: Look<Option<Candle>>,
    /// Rows of a page of funding that begins far back.
    pub(super) funding: Look<usize>,
    /// HTTP status for an unknown coin.
    pub(super) unknown_coin: Look<u16>,
    /// What came for the book of an unknown coin: nothing is `null`.
    pub(super) unknown_book: Look<Option<String>>,
    /// Request weight that was booked, and over how many ms.
    pub(super) weight: (u32, i64),
    /// Answers that said 429.
    pub(super) rate_limited: u64,
    /// What the system clock shows at 0 of the monotonic one.
    pub(super) system_zero: TimeMs,
}

/// What the socket brought that was listened to all the time.
#[derive(Default)]
pub(super) struct Listened {
    /// What was asked for, and whether it was acknowledged.
    pub(super) asked: Vec<(Subscription, bool)>,
    /// Subscriptions whose data came before their acknowledgement.
    pub(super) early: BTreeSet<&'static str>,
    /// Trades in order of arrival, a frame each. The first is the replay.
    pub(super) trades: Vec<Vec<Trade>>,
    /// Exchange time when the replay came: newer trades are all heard.
    pub(super) whole_from: Option<TimeMs>,
    pub(super) books: Vec<BookSeen>,
    /// Arrivals of the best bid and offer, of mids, of contexts.
    pub(super) bbos: Vec<i64>,
    pub(super) mids: Vec<i64>,
    pub(super) contexts: Vec<i64>,
    /// The best version of each bar by its open time.
    pub(super) bars: BTreeMap<TimeMs, Candle>,
    /// Stamps of the exchange that were newer than all before, with their arrival.
    pub(super) stamps: Vec<(i64, TimeMs)>,
    /// Whose fills were followed, and the frames: mark and fills.
    pub(super) followed: Option<Address>,
    pub(super) fills: Vec<(Option<bool>, Vec<Fill>)>,
    /// Why the socket ended, if it did.
    pub(super) ended: Option<String>,
}

impl Listened {
    /// The trades in order of arrival, each once: a replay may be followed by its newest trade again.
    pub(super) fn distinct(&self) -> Vec<Trade> {
        let mut seen = BTreeMap::<_, Vec<Trade>>::new();
        let mut distinct = Vec::new();
        for trade in self.trades.iter().flatten() {
            let same_key = seen.entry(trade.key()).or_default();
            if !same_key.contains(trade) {
                same_key.push(*trade);
                distinct.push(*trade);
            }
        }
        distinct
    }

    /// Why something that this socket should have brought is missing.
    pub(super) fn missing(&self, what: &str) -> String {
        match &self.ended {
            Some(why) => format!("{what}; the socket ended: {why}"),
            None => what.to_owned(),
        }
    }

    pub(super) fn stamp(&mut self, at: i64, stamp: TimeMs) {
        if self.stamps.last().is_none_or(|(_, newest)| stamp > *newest) {
            self.stamps.push((at, stamp));
        }
    }
}

/// A book that came.
#[derive(Clone, Copy)]
pub(super) struct BookSeen {
    pub(super) at: i64,
    /// Levels of the deeper side.
    pub(super) levels: usize,
}

/// What a request over a socket was answered.
pub(super) struct Said {
    pub(super) answer: Answer,
    /// How the socket ended after it, if it did.
    pub(super) ended: Option<String>,
}

pub(super) enum Answer {
    Error(String),
    Acknowledged,
    Nothing,
}

/// How a socket ended that was to end.
pub(super) struct Ending {
    /// When, ms after the cause, and how; none where it was still open at the end.
    pub(super) end: Option<(i64, End)>,
    /// The first frame that came before.
    pub(super) said: Option<String>,
}

/// How many users could be followed.
pub(super) struct Cap {
    pub(super) taken: usize,
    pub(super) refusal: Option<String>,
}

/// A book over REST, and the exchange's clock right after it.
pub(super) struct Sample {
    pub(super) book: Option<TimeMs>,
    pub(super) status: TimeMs,
    /// When the clock's answer came.
    pub(super) at: i64,
}

/// How much of what came could be read.
#[derive(Default)]
pub(super) struct Shapes {
    pub(super) read: u64,
    pub(super) refused: u64,
    /// The first refusal.
    pub(super) first: Option<String>,
}

impl Shapes {
    pub(super) fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.first.get_or_insert(why);
    }
}

/// Evidence while it is gathered.
pub(super) struct Notes(Mutex<Evidence>);

impl Notes {
    pub(super) fn new(coin: Coin, system_zero: TimeMs) -> Self {
        Self(Mutex::new(Evidence {
            coin,
            listened: Listened::default(),
            shapes: Shapes::default(),
            fast: untried(),
            pong: untried(),
            duplicate: untried(),
            not_subscribed: untried(),
            unknown_channel: untried(),
            kill: untried(),
            idle: untried(),
            users: untried(),
            recent: Vec::new(),
            samples: Vec::new(),
            range: untried(),
            page: untried(),
            minute: untried(),
            funding: untried(),
            unknown_coin: untried(),
            unknown_book: untried(),
            weight: (0, 0),
            rate_limited: 0,
            system_zero,
        }))
    }

    /// The one way to it. Never held across an await.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Evidence) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! What is believed of the exchange, as far as it can be otherwise: one entry each, with what the simulation does
//! then. `hl-cli probe` tries the same list, under the same names, on any exchange.
//!
//! The defaults are the exchange as it was measured. What lives here: names, values, their text form. What does not:
//! the behaviour, which is where the frames and answers are made.

use std::num::NonZeroU32;
use std::str::FromStr;

use crate::config::SimConfig;

/// How the simulated exchange behaves where nobody can be sure that the real one still does. A `bool` is `true` where
/// it behaves as believed; the list of [`ASSUMPTIONS`] says what `false` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumptions {
    /// Trades replayed to a new subscription, as far as there are so many.
    pub replay: usize,
    /// Trades of `recentTrades`.
    pub recent_trades: usize,
    /// A replay is in the order of its times.
    pub trade_order: bool,
    /// `tid` tells the trades of a block apart.
    pub trade_keys: bool,
    /// REST has the trades of a block in the order of the WebSocket.
    pub block_order: bool,
    /// The first of a trade's two users is the buyer.
    pub buyer_first: bool,
    /// A bar counts the public trades.
    pub candle_count: bool,
    /// A bar's volume is their sum.
    pub candle_volume: bool,
    /// The WebSocket brings the last version of a bar.
    pub candle_final: bool,
    /// `candleSnapshot` has the bar that opens at its end time.
    pub candle_range: bool,
    /// Rows of a page of `candleSnapshot`, the oldest that were asked for.
    pub candle_page: usize,
    /// Between two pushes of a default book, ms.
    pub book_cadence: u32,
    /// Levels a side of a default book; the market shows 20 at most.
    pub book_levels: usize,
    /// Between two pushes of a fast book, ms.
    pub fast_cadence: u32,
    /// Levels a side of a fast book.
    pub fast_levels: usize,
    /// Between two pushes of a changing best bid and offer at least, ms.
    pub bbo_cadence: u32,
    /// Between two pushes of mids, ms.
    pub mids_cadence: u32,
    /// Between two pushes of a context, ms.
    pub context_cadence: u32,
    /// How much older a book over REST is than the newest there is, ms.
    pub rest_book: u32,
    /// A ping is answered.
    pub pong: bool,
    /// A subscription is acknowledged before its first frame.
    pub ack: bool,
    /// A second subscription to the same is answered with an error.
    pub duplicate: bool,
    /// The end of a subscription that never was is answered with an error.
    pub not_subscribed: bool,
    /// A channel that does not exist is answered with an error.
    pub unknown_channel: bool,
    /// A subscription to a coin that does not exist ends the socket without a word.
    pub silent_kill: bool,
    /// The first frame about a user is marked as a snapshot.
    pub snapshot_mark: bool,
    /// Frames have the fields that they are known by.
    pub shapes: bool,
    /// The status of `/info` for a coin that does not exist.
    pub unknown_coin: u16,
    /// `l2Book` of a coin that does not exist is `null`.
    pub unknown_book: bool,
    /// Rows of a page of `fundingHistory`.
    pub funding_page: usize,
    /// How far the time of `exchangeStatus` lies behind, ms.
    pub status_clock: u32,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            replay: 30,
            recent_trades: 10,
            trade_order: true,
            trade_keys: true,
            block_order: true,
            buyer_first: true,
            candle_count: true,
            candle_volume: true,
            candle_final: true,
            candle_range: true,
            candle_page: 5_000,
            book_cadence: 5_385,
            book_levels: 20,
            fast_cadence: 538,
            fast_levels: 5,
            bbo_cadence: 70,
            mids_cadence: 5_050,
            context_cadence: 1_000,
            rest_book: 0,
            pong: true,
            ack: true,
            duplicate: true,
            not_subscribed: true,
            unknown_channel: true,
            silent_kill: true,
            snapshot_mark: true,
            shapes: true,
            unknown_coin: 500,
            unknown_book: true,
            funding_page: 500,
            status_clock: 0,
        }
    }
}

/// One assumption, as `--assume NAME=VALUE` takes it.
#[derive(Debug, Clone, Copy)]
pub struct Assumption {
    /// Its name.
    pub name: &'static str,
    /// The value that is believed.
    pub believed: &'static str,
    /// Another one.
    pub other: &'static str,
    /// What the value is.
    pub means: &'static str,
    set: fn(&mut SimConfig, &str) -> Option<()>,
}

fn read<T: FromStr>(place: &mut T, text: &str) -> Option<()> {
    *place = text.parse().ok()?;
    Some(())
}

/// A period: a clock that ticks every 0 ms would never come to an end.
fn period(place: &mut u32, text: &str) -> Option<()> {
    *place = text.parse::<NonZeroU32>().ok()?.get();
    Some(())
}

macro_rules! assumptions {
    ($($name:literal, $believed:literal, $other:literal, $means:literal, $set:expr;)*) => {
        /// Every assumption that can be otherwise.
        pub const ASSUMPTIONS: &[Assumption] = &[$(Assumption {
            name: $name,
            believed: $believed,
            other: $other,
            means: $means,
            set: $set,
        }),*];
    };
}

assumptions! {
    "replay", "30", "10", "trades replayed to a new subscription", |c, v| read(&mut c.assumptions.replay, v);
    "recent-trades", "10", "25", "trades over REST", |c, v| read(&mut c.assumptions.recent_trades, v);
    "trade-order", "true", "false", "false: a replay comes newest block first",
        |c, v| read(&mut c.assumptions.trade_order, v);
    "trade-keys", "true", "false", "false: the trades of a block share one tid",
        |c, v| read(&mut c.assumptions.trade_keys, v);
    "block-order", "true", "false", "false: REST turns the trades of a block round",
        |c, v| read(&mut c.assumptions.block_order, v);
    "buyer-first", "true", "false", "false: a trade names the seller first",
        |c, v| read(&mut c.assumptions.buyer_first, v);
    "candle-count", "true", "false", "false: a bar counts one trade more",
        |c, v| read(&mut c.assumptions.candle_count, v);
    "candle-volume", "true", "false", "false: a bar's volume counts both sides",
        |c, v| read(&mut c.assumptions.candle_volume, v);
    "candle-final", "true", "false", "false: the WebSocket leaves out a bar's last five seconds",
        |c, v| read(&mut c.assumptions.candle_final, v);
    "candle-range", "true", "false", "false: bars over REST leave out the one at the end time",
        |c, v| read(&mut c.assumptions.candle_range, v);
    "candle-page", "5000", "500", "bars of an answer at most, the oldest that were asked for",
        |c, v| read(&mut c.assumptions.candle_page, v);
    "book-cadence", "5385", "600", "ms between two default books",
        |c, v| period(&mut c.assumptions.book_cadence, v);
    "book-levels", "20", "10", "levels a side of a default book",
        |c, v| read(&mut c.assumptions.book_levels, v);
    "fast-cadence", "538", "1500", "ms between two fast books",
        |c, v| period(&mut c.assumptions.fast_cadence, v);
    "fast-levels", "5", "8", "levels a side of a fast book", |c, v| read(&mut c.assumptions.fast_levels, v);
    "bbo-cadence", "70", "1500", "ms between two changes of the best bid and offer at least",
        |c, v| period(&mut c.assumptions.bbo_cadence, v);
    "mids-cadence", "5050", "1000", "ms between two frames of mids",
        |c, v| period(&mut c.assumptions.mids_cadence, v);
    "context-cadence", "1000", "3000", "ms between two contexts",
        |c, v| period(&mut c.assumptions.context_cadence, v);
    "rest-book", "0", "5000", "ms by which a book over REST is old",
        |c, v| read(&mut c.assumptions.rest_book, v);
    "pong", "true", "false", "false: a ping is not answered", |c, v| read(&mut c.assumptions.pong, v);
    "ack", "true", "false", "false: a subscription is acknowledged after its first frame",
        |c, v| read(&mut c.assumptions.ack, v);
    "duplicate", "true", "false", "false: a second subscription to the same is acknowledged",
        |c, v| read(&mut c.assumptions.duplicate, v);
    "not-subscribed", "true", "false", "false: the end of what was not subscribed is acknowledged",
        |c, v| read(&mut c.assumptions.not_subscribed, v);
    "unknown-channel", "true", "false", "false: a channel that does not exist gets no answer",
        |c, v| read(&mut c.assumptions.unknown_channel, v);
    "silent-kill", "true", "false", "false: an unknown coin gets an error frame, and the socket stays open",
        |c, v| read(&mut c.assumptions.silent_kill, v);
    "idle-close", "60000", "20000", "ms of silence after which a socket is closed",
        |c, v| read(&mut c.limits.idle_ms, v);
    "snapshot-mark", "true", "false", "false: the first frame about a user is not marked as a snapshot",
        |c, v| read(&mut c.assumptions.snapshot_mark, v);
    "user-cap", "15", "10", "different users followed at most", |c, v| read(&mut c.limits.users, v);
    "shapes", "true", "false", "false: contexts lack their volume in coins",
        |c, v| read(&mut c.assumptions.shapes, v);
    "unknown-coin", "500", "422", "HTTP status for a coin that does not exist",
        |c, v| read(&mut c.assumptions.unknown_coin, v);
    "unknown-book", "true", "false", "false: the book of an unknown coin is an error",
        |c, v| read(&mut c.assumptions.unknown_book, v);
    "funding-page", "500", "200", "rows of a page of funding", |c, v| read(&mut c.assumptions.funding_page, v);
    "weight", "1200", "100", "request weight granted in a minute", |c, v| read(&mut c.limits.weight, v);
    "clock", "0", "60000", "ms by which the exchange's clock is ahead", |c, v| {
        let ahead: i32 = v.parse().ok()?;
        c.start = c.start + i64::from(ahead);
        Some(())
    };
    "status-clock", "0", "20000", "ms by which the time of exchangeStatus lies behind",
        |c, v| read(&mut c.assumptions.status_clock, v);
}

/// `NAME=VALUE` changes nothing that there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssumeError {
    /// There is no `=` in it.
    #[error("{0:?} is not NAME=VALUE")]
    Form(String),
    /// No assumption has this name.
    #[error("there is no assumption {0:?}; --help lists them")]
    Name(String),
    /// The value is not of its kind.
    #[error("{name} cannot be {value:?}; it is {believed:?} by default, and may be {other:?}")]
    Value {
        /// The assumption.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is believed.
        believed: &'static str,
        /// Another value.
        other: &'static str,
    },
}

impl SimConfig {
    /// Changes one assumption, given as `NAME=VALUE`: a name of [`ASSUMPTIONS`].
    ///
    /// # Errors
    /// When there is no such assumption, or the value is not of its kind.
    pub fn assume(&mut self, text: &str) -> Result<(), AssumeError> {
        let (name, value) = text.split_once('=').ok_or_else(|| AssumeError::Form(text.to_owned()))?;
        let found = ASSUMPTIONS.iter().find(|a| a.name == name);
        let assumption = found.ok_or_else(|| AssumeError::Name(name.to_owned()))?;
        let Assumption { name, believed, other, .. } = *assumption;
        (assumption.set)(self, value).ok_or_else(|| AssumeError::Value {
            name,
            value: value.to_owned(),
            believed,
            other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_believed_is_the_default_and_the_other_is_not() {
        for a in ASSUMPTIONS {
            let mut config = SimConfig::default();
            config.assume(&format!("{}={}", a.name, a.believed)).unwrap();
            assert_eq!(config, SimConfig::default(), "{}", a.name);
            config.assume(&format!("{}={}", a.name, a.other)).unwrap();
            assert_ne!(config, SimConfig::default(), "{}", a.name);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let mut config = SimConfig::default();
        let mut said = |text: &str| config.assume(text).unwrap_err().to_string();
        assert_eq!(said("replay"), r#""replay" is not NAME=VALUE"#);
        assert_eq!(said("repaly=10"), r#"there is no assumption "repaly"; --help lists them"#);
        let expected = r#"book-cadence cannot be "0"; it is "5385" by default, and may be "600""#;
        assert_eq!(said("book-cadence=0"), expected);
        assert_eq!(config, SimConfig::default());
    }
}

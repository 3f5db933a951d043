//! From bytes to records: WebSocket frames ([`frame`]), answers of `POST /info` ([`rest`], [`account`], [`trader`]), bundles of
//! reads from the chain ([`chain`]), and statistics files
//! piece by piece ([`statistics`], [`leaderboard`]).
//!
//! Everything that comes in is hostile until it is decoded: no input panics, nesting is bounded, numbers are exact or
//! refused, and an error says where it happened. Which JSON parser does the work is decided in one place, `parser`.
//!
//! What does not live here: the shapes of messages ([`message`](crate::message)), and judging whether a record is
//! wanted, which is the gate's.

pub mod account;
pub mod chain;
mod error;
pub mod leaderboard;
mod parser;
pub mod rest;
mod rows;
#[cfg(test)]
mod rows_tests;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod trader;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub use error::{DecodeError, Fault};
#[cfg(test)]
pub(crate) use parser::may_hold_minus_zero;
pub use rows::{Hole, Part, Read, Rows, Unread};

use rows::{Item, Prices};

use crate::message::Method;
use crate::message::market::{Mids, WsTrade};
use crate::message::ws::{Ack, ActiveCtx, AllMids, Message};
use crate::record::{Bbo, Context, Mid, Record, Trade};
use crate::{Dex, Records, StreamKey, TimeMs};

/// A WebSocket text frame, decoded.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// Records of one stream, one at least, oldest first. A book is of the variant that the frame names.
    Data(StreamKey, Records),
    /// Trades of one coin, one at least, of which others in the same frame cannot be read.
    SomeTrades(Rows<Trade>),
    /// Mid prices of a dex that are not all of the frame: others are none, cannot be read, or are of coins that another dex
    /// has. There may be none.
    SomeMids {
        /// The dex.
        dex: Dex,
        /// Sorted by coin.
        mids: Vec<Mid>,
        /// How many coins have no price: null, or an empty text.
        without: u32,
        /// Coins whose price cannot be read, and those of another dex.
        unread: Unread,
    },
    /// A subscription was made or ended.
    Ack {
        /// What was asked for.
        method: Method,
        /// The subscription as echoed; compare with
        /// [`Subscription::matches_echo`](crate::message::Subscription::matches_echo).
        subscription: Value,
    },
    /// A refusal, in the exchange's words.
    Error(String),
    /// The answer to a ping.
    Pong,
    /// Any other typed channel; and data of no stream: mids of what can be no dex, a frame without trades.
    Message(Box<Message>),
    /// A channel that is not typed, for the caller to keep and count.
    Unknown {
        /// Its name.
        channel: String,
    },
}

/// Decodes one WebSocket text frame. `stamp` is the exchange's time as estimated at receipt, for the frames that bear
/// none (mids and contexts).
///
/// The text is left as it was.
///
/// # Errors
/// When the frame is not JSON, has no channel, or its data are not what the channel carries; of trades and mids, when none
/// of them can be read.
pub fn frame(text: &mut [u8], stamp: TimeMs) -> Result<Frame, DecodeError> {
    match parser::typed::<Message>(text) {
        Ok(message) => from_message(message, stamp).map_err(|fault| error::refused(text, fault)),
        Err(fault) => match error::channel(text) {
            Some(channel) if !Message::CHANNELS.contains(&channel.as_str()) && parser::is_json(text) => {
                Ok(Frame::Unknown { channel })
            }
            channel => match some_of(text, stamp) {
                Some(frame) => Ok(frame),
                None => Err(error::locate::<Message>(channel, text, fault)),
            },
        },
    }
}

/// What can be read of a frame that carries rows, where it is not all.
fn some_of(text: &[u8], stamp: TimeMs) -> Option<Frame> {
    #[derive(Deserialize)]
    struct Apart<'a> {
        channel: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct MidsApart<'a> {
        #[serde(borrow)]
        mids: &'a RawValue,
        dex: Option<String>,
    }
    let text = rows::lossy(text)?;
    let Apart { channel, data } = serde_json::from_str(&text).ok()?;
    match channel.as_str() {
        "trades" => {
            let raw: Vec<&RawValue> = serde_json::from_str(data.get()).ok()?;
            let items = rows::items::<WsTrade>(&channel, &raw);
            let mut coins = items.iter().filter_map(|item| match item {
                Item::Read(trade) => Some(trade.coin),
                Item::Unreadable { coin, .. } => *coin,
            });
            let first = coins.next()?;
            if coins.any(|coin| coin != first) {
                return None;
            }
            let rows = rows::in_order::<WsTrade>(items);
            (!rows.rows.is_empty()).then_some(Frame::SomeTrades(rows))
        }
        "allMids" => {
            let MidsApart { mids, dex } = serde_json::from_str(data.get()).ok()?;
            let dex = Dex::named(dex.as_deref())?;
            let Prices { read, without, unread } = rows::prices(mids.get())?.of_dex(dex)?;
            Some(Frame::SomeMids { dex, mids: rest::stamp_mids(Mids(read), stamp), without, unread })
        }
        _ => None,
    }
}

fn from_message(message: Message, stamp: TimeMs) -> Result<Frame, Fault> {
    Ok(match message {
        Message::Trades(trades) if !trades.is_empty() => {
            let mut trades: Vec<Trade> = trades.into_iter().map(Trade::from).collect();
            if trades.iter().any(|t| t.coin != trades[0].coin) {
                return Err(Fault::Rule("trades of two coins in one frame"));
            }
            oldest_first(&mut trades);
            Frame::Data(trades[0].stream(), Records::Trades(trades))
        }
        Message::L2Book(book) => {
            let variant = book.variant();
            one(rest::book(book, variant)?)
        }
        Message::Bbo(bbo) => one(Bbo::from(bbo)),
        Message::Candle(candle) => one(rest::bar(candle)?),
        Message::AllMids(AllMids { mids, dex }) => {
            let Some(dex) = Dex::named(dex.as_deref()) else {
                return Ok(Frame::Message(Box::new(Message::AllMids(AllMids { mids, dex }))));
            };
            let Prices { read, without, unread } =
                Prices::from(mids).of_dex(dex).ok_or(rest::MIDS_OF_ANOTHER_DEX)?;
            let mids = rest::stamp_mids(Mids(read), stamp);
            match unread.is_empty() && !mids.is_empty() {
                true => Frame::Data(StreamKey::Mids(dex), Records::Mids(mids)),
                false => Frame::SomeMids { dex, mids, without, unread },
            }
        }
        Message::ActiveAssetCtx(ActiveCtx { coin, ctx }) => {
            one(ctx.into_record(coin, stamp).ok_or(rest::NO_BASE_VOLUME)?)
        }
        Message::ActiveSpotAssetCtx(ActiveCtx { coin, ctx }) => {
            one(Context { coin, ..ctx.into_record(stamp) })
        }
        Message::SubscriptionResponse(Ack { method, subscription }) => Frame::Ack { method, subscription },
        Message::Error(words) => Frame::Error(words),
        Message::Pong => Frame::Pong,
        other => Frame::Message(Box::new(other)),
    })
}

fn one<T: Record>(record: T) -> Frame {
    Frame::Data(record.stream(), T::list(vec![record]))
}

/// Puts trades in order of time. Within a block the order of arrival stays.
fn oldest_first(trades: &mut [Trade]) {
    if !trades.is_sorted_by_key(|t| t.time) {
        trades.sort_by_key(|t| t.time);
    }
}

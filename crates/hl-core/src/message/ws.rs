//! What the exchange sends over the WebSocket: one [`Message`] a text frame.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::skip_serializing_none;

use super::info::meta::Outcome;
use super::info::orders::{OpenOrder, OrderStatus};
use super::info::positions::ActiveAssetData;
use super::market::{Mids, PerpCtx, SpotCtx, WsBbo, WsBook, WsCandle, WsTrade};
use super::{Method, user};
use crate::Coin;

pub use super::fast::{FastCtx, FastCtxs};

/// A text frame from the exchange: `{"channel": …, "data": …}`; a pong has no data.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "channel", content = "data", rename_all = "camelCase")]
pub enum Message {
    /// A subscription was made or ended.
    SubscriptionResponse(Ack),
    /// Something was refused, in words.
    Error(String),
    /// Answers a ping.
    Pong,
    /// Answers a posted request.
    Post(PostAnswer),
    /// Public trades of one coin, oldest first. Starts with a replay of the last 30, unmarked.
    Trades(Vec<WsTrade>),
    /// A book snapshot.
    L2Book(WsBook),
    /// Best bid and offer.
    Bbo(WsBbo),
    /// A version of a bar.
    Candle(WsCandle),
    /// Mid prices of a dex.
    AllMids(AllMids),
    /// The context of a perpetual.
    ActiveAssetCtx(ActiveCtx<PerpCtx>),
    /// The context of a spot pair.
    ActiveSpotAssetCtx(ActiveCtx<SpotCtx>),
    /// The contexts of a dex, in the order of its universe.
    AssetCtxs(AssetCtxs),
    /// The contexts of every dex, in the order of their universes; the first dex is `""`.
    AllDexsAssetCtxs(AllDexsAssetCtxs),
    /// The contexts of every spot pair and outcome.
    SpotAssetCtxs(Vec<SpotCtx>),
    /// Mark and mid prices that changed; everything in the first frame.
    FastAssetCtxs(FastCtxs),
    /// Outcome markets that appear, change and settle.
    OutcomeMetaUpdates(OutcomeMetaUpdates),
    /// Fills of a user.
    UserFills(user::UserFills),
    /// Funding payments of a user.
    UserFundings(user::UserFundings),
    /// Deposits, transfers, withdrawals of a user.
    UserNonFundingLedgerUpdates(user::UserLedger),
    /// Orders of a user and what became of them.
    UserHistoricalOrders(user::UserOrders),
    /// Fills of a user's TWAP orders.
    UserTwapSliceFills(user::UserTwapSliceFills),
    /// TWAP orders of a user.
    UserTwapHistory(user::UserTwapHistory),
    /// An event of a user, who is not named: the channel of `userEvents`.
    User(user::UserEvent),
    /// Orders that changed; no user is named.
    OrderUpdates(Vec<OrderStatus<OpenOrder>>),
    /// A notice.
    Notification(user::Notification),
    /// Open orders of a user.
    OpenOrders(user::UserOpenOrders),
    /// Margin and positions of a user on one dex.
    ClearinghouseState(user::UserClearinghouse),
    /// Margin and positions of a user on every dex.
    AllDexsClearinghouseState(user::UserClearinghouses),
    /// Spot balances of a user.
    SpotState(user::UserSpot),
    /// Running TWAP orders of a user.
    TwapStates(user::UserTwaps),
    /// What a user may trade in one perpetual.
    ActiveAssetData(ActiveAssetData),
    /// What the exchange's own page shows of a user.
    WebData3(user::WebData3),
}

impl Message {
    /// The channels that are typed here.
    pub const CHANNELS: [&str; 32] = [
        "subscriptionResponse",
        "error",
        "pong",
        "post",
        "trades",
        "l2Book",
        "bbo",
        "candle",
        "allMids",
        "activeAssetCtx",
        "activeSpotAssetCtx",
        "assetCtxs",
        "allDexsAssetCtxs",
        "spotAssetCtxs",
        "fastAssetCtxs",
        "outcomeMetaUpdates",
        "userFills",
        "userFundings",
        "userNonFundingLedgerUpdates",
        "userHistoricalOrders",
        "userTwapSliceFills",
        "userTwapHistory",
        "user",
        "orderUpdates",
        "notification",
        "openOrders",
        "clearinghouseState",
        "allDexsClearinghouseState",
        "spotState",
        "twapStates",
        "activeAssetData",
        "webData3",
    ];

    /// The text of the frame.
    ///
    /// # Errors
    /// Never for messages that were read; a [`Value`] inside may hold what JSON has no form for.
    pub fn to_text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// An acknowledgement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// What was asked for.
    pub method: Method,
    /// The subscription as the exchange understood it, defaults added.
    pub subscription: Value,
}

/// The answer to a posted request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PostAnswer {
    /// The number that the request bore.
    pub id: u64,
    /// The answer.
    pub response: PostResponse,
}

/// What a posted request was answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "camelCase")]
pub enum PostResponse {
    /// What `POST /info` would have answered.
    Info {
        /// The name of the request.
        #[serde(rename = "type")]
        request: String,
        /// The body.
        data: Value,
    },
    /// The answer to an action, which this library never posts.
    Action(Value),
    /// Status and description, as over HTTP.
    Error(String),
}

/// Mid prices of one dex.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AllMids {
    /// By coin.
    pub mids: Mids,
    /// The dex; absent for the first.
    pub dex: Option<String>,
}

/// The context of one coin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActiveCtx<C> {
    /// The market.
    pub coin: Coin,
    /// Its context.
    pub ctx: C,
}

/// The contexts of one dex, in the order of its universe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssetCtxs {
    /// The dex; `""` for the first.
    pub dex: String,
    /// The contexts.
    pub ctxs: Vec<PerpCtx>,
}

/// The contexts of every dex, each in the order of its universe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AllDexsAssetCtxs {
    /// By dex; `""` is the first.
    pub ctxs: Vec<(String, Vec<PerpCtx>)>,
}

/// What happened to outcome markets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutcomeMetaUpdates {
    /// The events, oldest first.
    pub updates: Vec<OutcomeMetaUpdate>,
}

/// One event of an outcome market.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OutcomeMetaUpdate {
    /// An outcome appeared.
    OutcomeCreated(Outcome),
    /// An outcome settled: its coins are gone.
    OutcomeSettled {
        /// Its number.
        outcome: u64,
    },
    /// A question appeared or changed.
    QuestionUpdated {
        /// Its number.
        question: u64,
        /// Its name.
        name: String,
        /// What is asked.
        description: String,
        /// The outcome that stands for none of the named ones.
        fallback_outcome: u64,
        /// The named outcomes.
        named_outcomes: Vec<u64>,
    },
    /// A question settled.
    QuestionSettled {
        /// Its number.
        question: u64,
    },
}

//! What a client sends over the WebSocket: subscriptions, pings and posted requests.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::info::InfoRequest;
use crate::record::Address;
use crate::stream::BookVariant;
use crate::{Coin, Interval, StreamKey};

fn is_false(flag: &bool) -> bool {
    !flag
}

/// One subscription. Its serde form is the exchange's: `{"type":"trades","coin":"SOL"}`.
///
/// Names must come from live metadata: the exchange closes the whole socket, without a word, on an unknown one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Subscription {
    /// Public trades; every subscription starts with a replay of the last 30.
    Trades {
        /// The market.
        coin: Coin,
    },
    /// Book snapshots. Frames do not repeat the options.
    L2Book {
        /// The market.
        coin: Coin,
        /// Groups levels by significant figures, 2 to 5.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        n_sig_figs: Option<u8>,
        /// 1, 2 or 5, and only with 5 significant figures.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mantissa: Option<u8>,
        /// 5 levels every 0.54 s instead of 20 levels every 5.4 s.
        #[serde(default, skip_serializing_if = "is_false")]
        fast: bool,
    },
    /// Best bid and offer, on change, each block.
    Bbo {
        /// The market.
        coin: Coin,
    },
    /// Versions of the open bar.
    Candle {
        /// The market.
        coin: Coin,
        /// The interval.
        interval: Interval,
    },
    /// Mid prices of every market of a dex.
    AllMids {
        /// The dex; none for the first, which brings spot and outcomes too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dex: Option<String>,
    },
    /// The asset context of one market; spot pairs answer on `activeSpotAssetCtx`.
    ActiveAssetCtx {
        /// The market.
        coin: Coin,
    },
    /// The contexts of a dex, in the order of its universe.
    AssetCtxs {
        /// The dex; none for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dex: Option<String>,
    },
    /// The contexts of every dex, in the order of their universes.
    AllDexsAssetCtxs,
    /// The contexts of every spot pair.
    SpotAssetCtxs,
    /// Mark and mid prices of every market, compressed, changes only.
    FastAssetCtxs,
    /// Outcome markets that appear, change and settle.
    OutcomeMetaUpdates,
    /// Fills of a user.
    UserFills {
        /// The user.
        user: Address,
        /// Joins the partial fills of one order in one block.
        #[serde(default, skip_serializing_if = "is_false")]
        aggregate_by_time: bool,
    },
    /// Funding payments of a user.
    UserFundings {
        /// The user.
        user: Address,
    },
    /// Deposits, transfers, withdrawals and the like of a user.
    UserNonFundingLedgerUpdates {
        /// The user.
        user: Address,
    },
    /// Orders of a user with their ends.
    UserHistoricalOrders {
        /// The user.
        user: Address,
    },
    /// Fills of a user's TWAP orders.
    UserTwapSliceFills {
        /// The user.
        user: Address,
    },
    /// TWAP orders of a user.
    UserTwapHistory {
        /// The user.
        user: Address,
    },
    /// Events of a user, on the channel `user`, which names no user: one user per socket.
    UserEvents {
        /// The user.
        user: Address,
    },
    /// Changes of orders; the frames name no user: one user per socket.
    OrderUpdates {
        /// The user.
        user: Address,
    },
    /// Notices to a user.
    Notification {
        /// The user.
        user: Address,
    },
    /// Open orders of a user, all of them each time.
    OpenOrders {
        /// The user.
        user: Address,
        /// The dex; none for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dex: Option<String>,
    },
    /// Margin and positions of a user on one dex.
    ClearinghouseState {
        /// The user.
        user: Address,
        /// The dex; none for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dex: Option<String>,
    },
    /// Margin and positions of a user on every dex, about every 5 s.
    AllDexsClearinghouseState {
        /// The user.
        user: Address,
    },
    /// Spot balances of a user.
    SpotState {
        /// The user.
        user: Address,
        /// Leaves portfolio margin out.
        #[serde(default, skip_serializing_if = "is_false")]
        ignore_portfolio_margin: bool,
    },
    /// Running TWAP orders of a user.
    TwapStates {
        /// The user.
        user: Address,
        /// The dex; none for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dex: Option<String>,
    },
    /// What a user may trade in one perpetual.
    ActiveAssetData {
        /// The user.
        user: Address,
        /// The perpetual.
        coin: Coin,
    },
    /// What the exchange's own page shows of a user.
    WebData3 {
        /// The user.
        user: Address,
    },
}

impl Subscription {
    /// The subscription that carries a stream; none where only REST has it.
    #[must_use]
    pub fn for_stream(stream: StreamKey) -> Option<Self> {
        Some(match stream {
            StreamKey::Trades(coin) => Self::Trades { coin },
            StreamKey::Book(coin, variant) => Self::L2Book {
                coin,
                n_sig_figs: variant.figures(),
                mantissa: None,
                fast: variant == BookVariant::Fast,
            },
            StreamKey::Bbo(coin) => Self::Bbo { coin },
            StreamKey::Candle(coin, interval) => Self::Candle { coin, interval },
            StreamKey::Mids(dex) => Self::AllMids { dex: dex.name().map(str::to_owned) },
            StreamKey::Context(coin) => Self::ActiveAssetCtx { coin },
            StreamKey::Funding(_)
            | StreamKey::PredictedFunding(_)
            | StreamKey::Markets
            | StreamKey::Leaderboard
            | StreamKey::Traders
            | StreamKey::Signals
            | StreamKey::Fills(_)
            | StreamKey::Positions(_)
            | StreamKey::Orders(_)
            | StreamKey::Payments(_)
            | StreamKey::Movements(_) => return None,
        })
    }

    /// Whether an acknowledgement, whose echo adds defaults, reorders keys and lowers addresses, is about this
    /// subscription: every key sent is echoed with its value, and the options that were not sent have their defaults.
    #[must_use]
    pub fn matches_echo(&self, echo: &Value) -> bool {
        const OPTIONS: [&str; 6] =
            ["nSigFigs", "mantissa", "fast", "dex", "aggregateByTime", "ignorePortfolioMargin"];
        let (Ok(Value::Object(sent)), Value::Object(echo)) = (serde_json::to_value(self), echo) else {
            return false;
        };
        let same = |key: &str, sent: &Value, echoed: &Value| match (key, sent, echoed) {
            ("user", Value::String(a), Value::String(b)) => a.eq_ignore_ascii_case(b),
            _ => sent == echoed,
        };
        let is_default = |value: &Value| match value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        sent.iter().all(|(key, value)| echo.get(key).is_some_and(|echoed| same(key, value, echoed)))
            && OPTIONS
                .iter()
                .filter(|key| !sent.contains_key(**key))
                .all(|key| echo.get(*key).is_none_or(is_default))
    }

    /// The user that the subscription counts against the limit of users, where there is one.
    #[must_use]
    pub fn user(&self) -> Option<Address> {
        match self {
            Self::UserFills { user, .. }
            | Self::UserFundings { user }
            | Self::UserNonFundingLedgerUpdates { user }
            | Self::UserHistoricalOrders { user }
            | Self::UserTwapSliceFills { user }
            | Self::UserTwapHistory { user }
            | Self::UserEvents { user }
            | Self::OrderUpdates { user }
            | Self::Notification { user }
            | Self::OpenOrders { user, .. }
            | Self::ClearinghouseState { user, .. }
            | Self::AllDexsClearinghouseState { user }
            | Self::SpotState { user, .. }
            | Self::TwapStates { user, .. }
            | Self::ActiveAssetData { user, .. }
            | Self::WebData3 { user } => Some(*user),
            Self::Trades { .. }
            | Self::L2Book { .. }
            | Self::Bbo { .. }
            | Self::Candle { .. }
            | Self::AllMids { .. }
            | Self::ActiveAssetCtx { .. }
            | Self::AssetCtxs { .. }
            | Self::AllDexsAssetCtxs
            | Self::SpotAssetCtxs
            | Self::FastAssetCtxs
            | Self::OutcomeMetaUpdates => None,
        }
    }
}

/// Which request an acknowledgement answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A subscription was made.
    Subscribe,
    /// A subscription was ended.
    Unsubscribe,
}

/// A text frame from client to server.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum Request<'a> {
    /// Starts a subscription.
    Subscribe {
        /// Which.
        subscription: &'a Subscription,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Which.
        subscription: &'a Subscription,
    },
    /// Asks for a pong.
    Ping,
    /// Asks what `POST /info` would answer.
    Post {
        /// Returned with the answer.
        id: u64,
        /// The question.
        request: Question<'a>,
    },
}

/// The question of a [`Request::Post`].
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "lowercase")]
pub enum Question<'a> {
    /// A request to `/info`.
    Info(&'a InfoRequest),
}

impl<'a> Request<'a> {
    /// A subscription to start.
    #[must_use]
    pub fn subscribe(subscription: &'a Subscription) -> Self {
        Self::Subscribe { subscription }
    }

    /// A subscription to end.
    #[must_use]
    pub fn unsubscribe(subscription: &'a Subscription) -> Self {
        Self::Unsubscribe { subscription }
    }

    /// A question to `/info`, over the socket.
    #[must_use]
    pub fn post(id: u64, request: &'a InfoRequest) -> Self {
        Self::Post { id, request: Question::Info(request) }
    }

    /// The text of the frame.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Strings, numbers and enums only: nothing here can fail to become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

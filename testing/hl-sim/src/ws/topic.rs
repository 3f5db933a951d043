//! What can be subscribed: parsed, normalised and echoed as the exchange does.

use std::fmt::Write as _;

use hl_core::record::Address;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Dex, Interval, StreamKey};
use serde_json::Value;

use crate::assumptions::Assumptions;
use crate::wire::BookOptions;
use crate::wire::metadata::DEXES;

/// One subscription.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Topic {
    Trades(Coin),
    Book(Coin, BookOptions),
    Bbo(Coin),
    Candle(Coin, Interval),
    /// The dex as it was given: the echo repeats it.
    AllMids(Option<&'static str>),
    Context(Coin),
    AssetCtxs(&'static str),
    AllDexsAssetCtxs,
    SpotAssetCtxs,
    FastAssetCtxs,
    OutcomeMetaUpdates,
    ExplorerBlock,
    User(UserTopic, Address, UserOptions),
}

/// The user channels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum UserTopic {
    Fills,
    Fundings,
    Ledger,
    HistoricalOrders,
    TwapSliceFills,
    TwapHistory,
    Events,
    OrderUpdates,
    Notification,
    OpenOrders,
    Clearinghouse,
    AllDexsClearinghouse,
    SpotState,
    TwapStates,
    ActiveAssetData,
    WebData,
}

/// What some of them take besides the user.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct UserOptions {
    pub(crate) aggregate: bool,
    pub(crate) dex: Option<&'static str>,
    pub(crate) coin: Option<Coin>,
}

/// Why a subscription is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// An error frame answers it.
    Parse,
    /// The socket is dropped without a word.
    Fatal,
}

/// Which push clock of a socket drives a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Clock {
    Book,
    Fast,
    Context,
    Mids,
    AllContexts,
    User,
}

impl Clock {
    pub(crate) const ALL: [Self; 6] =
        [Self::Book, Self::Fast, Self::Context, Self::Mids, Self::AllContexts, Self::User];

    /// Simulated milliseconds between two pushes: at least, and how many more at random.
    pub(crate) fn period(self, assumptions: &Assumptions) -> (i64, i64) {
        let around = |mean: u32, spread: i64| ((i64::from(mean) - spread / 2).max(1), spread);
        match self {
            Self::Book => around(assumptions.book_cadence, 50),
            Self::Fast => around(assumptions.fast_cadence, 8),
            Self::Context => around(assumptions.context_cadence, 4),
            Self::Mids => around(assumptions.mids_cadence, 40),
            Self::AllContexts => around(13_600, 100),
            Self::User => around(5_000, 100),
        }
    }
}

impl UserTopic {
    const NAMES: [(&'static str, Self); 16] = [
        ("userFills", Self::Fills),
        ("userFundings", Self::Fundings),
        ("userNonFundingLedgerUpdates", Self::Ledger),
        ("userHistoricalOrders", Self::HistoricalOrders),
        ("userTwapSliceFills", Self::TwapSliceFills),
        ("userTwapHistory", Self::TwapHistory),
        ("userEvents", Self::Events),
        ("orderUpdates", Self::OrderUpdates),
        ("notification", Self::Notification),
        ("openOrders", Self::OpenOrders),
        ("clearinghouseState", Self::Clearinghouse),
        ("allDexsClearinghouseState", Self::AllDexsClearinghouse),
        ("spotState", Self::SpotState),
        ("twapStates", Self::TwapStates),
        ("activeAssetData", Self::ActiveAssetData),
        ("webData3", Self::WebData),
    ];

    /// The name of the subscription.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, t)| *t == self).map_or("", |(name, _)| name)
    }

    /// The channel of its frames.
    pub(crate) fn channel(self) -> &'static str {
        if self == Self::Events { "user" } else { self.name() }
    }

    fn takes_dex(self) -> bool {
        matches!(self, Self::OpenOrders | Self::Clearinghouse | Self::TwapStates)
    }
}

impl Topic {
    /// Reads the `subscription` of a request. Whether its coin is listed is for the caller to know.
    pub(crate) fn parse(value: &Value) -> Result<Self, Bad> {
        let fields = value.as_object().ok_or(Bad::Parse)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).ok_or(Bad::Parse);
        let coin = || Coin::new(text("coin")?).map_err(|_| Bad::Fatal);
        let dex = || match fields.get("dex") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => DEXES.into_iter().find(|d| d == name).map(Some).ok_or(Bad::Fatal),
            Some(_) => Err(Bad::Parse),
        };
        let kind = text("type")?;
        Ok(match kind {
            "trades" => Self::Trades(coin()?),
            "bbo" => Self::Bbo(coin()?),
            "activeAssetCtx" => Self::Context(coin()?),
            "candle" => Self::Candle(coin()?, text("interval")?.parse().map_err(|_| Bad::Fatal)?),
            "l2Book" => Self::Book(coin()?, book_options(fields)?),
            "allMids" => Self::AllMids(dex()?),
            "assetCtxs" => Self::AssetCtxs(dex()?.unwrap_or_default()),
            "allDexsAssetCtxs" => Self::AllDexsAssetCtxs,
            "spotAssetCtxs" => Self::SpotAssetCtxs,
            "fastAssetCtxs" => Self::FastAssetCtxs,
            "outcomeMetaUpdates" => Self::OutcomeMetaUpdates,
            "explorerBlock" => Self::ExplorerBlock,
            _ => {
                let (_, topic) = UserTopic::NAMES.iter().find(|(name, _)| *name == kind).ok_or(Bad::Parse)?;
                let user = Address::parse(text("user")?).ok_or(Bad::Parse)?;
                let mut options = UserOptions::default();
                if topic.takes_dex() {
                    options.dex = dex()?;
                }
                if *topic == UserTopic::ActiveAssetData {
                    options.coin = Some(coin()?);
                }
                if *topic == UserTopic::Fills {
                    options.aggregate = match fields.get("aggregateByTime") {
                        None | Some(Value::Null) => false,
                        Some(v) => v.as_bool().ok_or(Bad::Parse)?,
                    };
                }
                Self::User(*topic, user, options)
            }
        })
    }

    /// The normalised subscription: defaults added, keys in the exchange's order, addresses in lower case.
    pub(crate) fn echo(&self) -> String {
        let with_dex = |name: &str, dex: Option<&str>| match dex {
            Some(dex) => format!(r#"{{"type":"{name}","dex":"{dex}"}}"#),
            None => format!(r#"{{"type":"{name}"}}"#),
        };
        match self {
            Self::Trades(c) => format!(r#"{{"type":"trades","coin":"{c}"}}"#),
            Self::Bbo(c) => format!(r#"{{"type":"bbo","coin":"{c}"}}"#),
            Self::Context(c) => format!(r#"{{"type":"activeAssetCtx","coin":"{c}"}}"#),
            Self::Candle(c, i) => format!(r#"{{"type":"candle","interval":"{i}","coin":"{c}"}}"#),
            Self::Book(c, o) => {
                let figure = |f: Option<u8>| f.map_or_else(|| "null".to_owned(), |n| n.to_string());
                format!(
                    r#"{{"type":"l2Book","coin":"{c}","nSigFigs":{},"mantissa":{},"fast":{}}}"#,
                    figure(o.n_sig_figs),
                    figure(o.mantissa),
                    o.fast
                )
            }
            Self::AllMids(dex) => with_dex("allMids", *dex),
            Self::AssetCtxs(dex) => with_dex("assetCtxs", Some(dex)),
            Self::AllDexsAssetCtxs => with_dex("allDexsAssetCtxs", None),
            Self::SpotAssetCtxs => with_dex("spotAssetCtxs", None),
            Self::FastAssetCtxs => with_dex("fastAssetCtxs", None),
            Self::OutcomeMetaUpdates => with_dex("outcomeMetaUpdates", None),
            Self::ExplorerBlock => with_dex("explorerBlock", None),
            Self::User(topic, user, o) => {
                let mut echo = format!(r#"{{"type":"{}","user":"{user}""#, topic.name());
                // Writing to text cannot fail.
                let _ = match (topic, o.dex, o.coin) {
                    (UserTopic::Fills, ..) => write!(echo, r#","aggregateByTime":{}"#, o.aggregate),
                    (_, Some(dex), _) => write!(echo, r#","dex":"{dex}""#),
                    (_, _, Some(coin)) => write!(echo, r#","coin":"{coin}""#),
                    _ => Ok(()),
                };
                echo.push('}');
                echo
            }
        }
    }

    /// The market that must be listed.
    pub(crate) fn coin(&self) -> Option<Coin> {
        match self {
            Self::Trades(c) | Self::Bbo(c) | Self::Context(c) | Self::Candle(c, _) | Self::Book(c, _) => {
                Some(*c)
            }
            Self::User(_, _, options) => options.coin,
            _ => None,
        }
    }

    pub(crate) fn user(&self) -> Option<Address> {
        match self {
            Self::User(_, user, _) => Some(*user),
            _ => None,
        }
    }

    /// The stream that faults name it by.
    pub(crate) fn stream(&self) -> Option<StreamKey> {
        match self {
            Self::Trades(c) => Some(StreamKey::Trades(*c)),
            Self::Bbo(c) => Some(StreamKey::Bbo(*c)),
            Self::Context(c) => Some(StreamKey::Context(*c)),
            Self::Candle(c, i) => Some(StreamKey::Candle(*c, *i)),
            Self::Book(c, o) => {
                let is = |variant: &BookVariant| {
                    (*variant == BookVariant::Fast, variant.figures()) == (o.fast, o.n_sig_figs)
                };
                BookVariant::ALL.into_iter().find(is).map(|variant| StreamKey::Book(*c, variant))
            }
            Self::AllMids(dex) => Dex::named(*dex).map(StreamKey::Mids),
            _ => None,
        }
    }

    /// `None`: pushed when something happens.
    pub(crate) fn clock(&self) -> Option<Clock> {
        match self {
            Self::Book(_, o) => Some(if o.fast { Clock::Fast } else { Clock::Book }),
            Self::Context(_) | Self::AssetCtxs(_) | Self::SpotAssetCtxs | Self::FastAssetCtxs => {
                Some(Clock::Context)
            }
            Self::AllMids(_) => Some(Clock::Mids),
            Self::AllDexsAssetCtxs => Some(Clock::AllContexts),
            Self::User(
                UserTopic::OpenOrders
                | UserTopic::Clearinghouse
                | UserTopic::AllDexsClearinghouse
                | UserTopic::SpotState
                | UserTopic::TwapStates
                | UserTopic::ActiveAssetData
                | UserTopic::WebData,
                ..,
            ) => Some(Clock::User),
            _ => None,
        }
    }
}

fn book_options(fields: &serde_json::Map<String, Value>) -> Result<BookOptions, Bad> {
    let figure = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(n)) => n.as_u64().and_then(|n| u8::try_from(n).ok()).map(Some).ok_or(Bad::Fatal),
        Some(_) => Err(Bad::Parse),
    };
    let fast = match fields.get("fast") {
        None | Some(Value::Null) => false,
        Some(v) => v.as_bool().ok_or(Bad::Parse)?,
    };
    let options = BookOptions { n_sig_figs: figure("nSigFigs")?, mantissa: figure("mantissa")?, fast };
    if options.are_legal() { Ok(options) } else { Err(Bad::Fatal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Topic, Bad> {
        Topic::parse(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn echoes_add_defaults_and_lower_case() {
        let book = parse(r#"{"coin":"SOL","type":"l2Book"}"#).unwrap();
        assert_eq!(
            book.echo(),
            r#"{"type":"l2Book","coin":"SOL","nSigFigs":null,"mantissa":null,"fast":false}"#
        );
        let candle = parse(r#"{"type":"candle","coin":"BTC","interval":"1d"}"#).unwrap();
        assert_eq!(candle.echo(), r#"{"type":"candle","interval":"1d","coin":"BTC"}"#);
        let user = format!("0x{}", "AB".repeat(20));
        let fills = parse(&format!(r#"{{"type":"userFills","user":"{user}"}}"#)).unwrap();
        let lower = user.to_lowercase();
        assert_eq!(
            fills.echo(),
            format!(r#"{{"type":"userFills","user":"{lower}","aggregateByTime":false}}"#)
        );
    }

    #[test]
    fn some_mistakes_are_answered_and_some_kill() {
        for (text, bad) in [
            (r#"{"type":"tades","coin":"BTC"}"#, Bad::Parse),
            (r#"{"type":"trades","coin":["BTC","ETH"]}"#, Bad::Parse),
            (r#"{"type":"trades"}"#, Bad::Parse),
            (r#"{"type":"l2Book","coin":"BTC","nSigFigs":7}"#, Bad::Fatal),
            (r#"{"type":"l2Book","coin":"BTC","nSigFigs":3,"mantissa":2}"#, Bad::Fatal),
            (r#"{"type":"candle","coin":"BTC","interval":"7m"}"#, Bad::Fatal),
        ] {
            assert_eq!(parse(text), Err(bad), "{text}");
        }
    }
}

//! `POST /info`: every request that the market can answer honestly, with the exchange's statuses and weights.
//!
//! What lives here: requests, answers, their weight and size. What does not: HTTP, faults and the ledger of weight.

mod account;
mod files;
mod market;

use bytes::Bytes;
use hl_core::record::Address;
use hl_core::stream::BookVariant;
use hl_core::{Coin, Dex, Interval, StreamKey};
use serde::Serialize;
use serde_json::Value;

use crate::market::Exchange;
use crate::wire;
use crate::wire::metadata::DEXES;

pub(crate) use files::{leaderboard, statistics, vaults};

/// Weight of a request that is no request.
const DEFAULT_WEIGHT: u32 = 20;

/// An answer: a status, a body, and what its items add to the weight.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) extra_weight: u32,
}

impl Reply {
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::new(200, "application/json", wire::json(value))
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, body: body.into(), extra_weight: 0 }
    }

    pub(crate) fn null(status: u16) -> Self {
        Self::new(status, "application/json", "null")
    }

    pub(crate) fn text(status: u16, text: &'static str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text)
    }

    /// One more weight for every `per` items.
    fn counted<T: Serialize>(items: &[T], per: usize) -> Self {
        Self { extra_weight: (items.len() / per) as u32, ..Self::json(&items) }
    }
}

/// Why a request is not answered.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A field is missing or of another type, or the type is unknown: 422.
    Malformed,
    /// Something named does not exist, and the exchange fails over it: 500 with `null`.
    Broken,
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::text(422, "Failed to deserialize the JSON body into the target type"),
            Refusal::Broken => Self::null(500),
        }
    }
}

type Answer = Result<Reply, Refusal>;

/// The fields of a request.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    pub(crate) fn text(self, name: &str) -> Result<&'a str, Refusal> {
        self.0.get(name).and_then(Value::as_str).ok_or(Refusal::Malformed)
    }

    fn present(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// The name, well-formed or not: `None` names no market for sure.
    fn coin(self) -> Result<Option<Coin>, Refusal> {
        Ok(Coin::new(self.text("coin")?).ok())
    }

    fn user(self) -> Result<Address, Refusal> {
        Address::parse(self.text("user")?).ok_or(Refusal::Malformed)
    }

    /// The dex by name; the first one where none is named.
    fn dex(self) -> Result<&'static str, Refusal> {
        let Some(name) = self.present("dex") else { return Ok("") };
        let name = name.as_str().ok_or(Refusal::Malformed)?;
        DEXES.into_iter().find(|d| *d == name).ok_or(Refusal::Broken)
    }

    /// A time in ms. The exchange's are unsigned: a negative one is malformed.
    fn time(self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.present(name) else { return Ok(None) };
        value.as_u64().map(|t| Some(i64::try_from(t).unwrap_or(i64::MAX))).ok_or(Refusal::Malformed)
    }

    /// `startTime` and `endTime`, both inclusive; the end may be missing.
    fn range(self) -> Result<(i64, i64), Refusal> {
        let (from, to) = self.open_range()?;
        Ok((from.ok_or(Refusal::Malformed)?, to))
    }

    /// The same, where the start may be missing too.
    fn open_range(self) -> Result<(Option<i64>, i64), Refusal> {
        Ok((self.time("startTime")?, self.time("endTime")?.unwrap_or(i64::MAX)))
    }

    fn flag(self, name: &str) -> Result<bool, Refusal> {
        self.present(name).map_or(Ok(false), |v| v.as_bool().ok_or(Refusal::Malformed))
    }

    fn interval(self) -> Result<Interval, Refusal> {
        self.text("interval")?.parse().map_err(|_| Refusal::Malformed)
    }
}

/// Base weight of a request (PROTOCOL 4.1): nearly everything costs 20.
pub(crate) fn weight(request: &Value) -> u32 {
    match request.get("type").and_then(Value::as_str) {
        Some(
            "l2Book"
            | "allMids"
            | "clearinghouseState"
            | "orderStatus"
            | "spotClearinghouseState"
            | "exchangeStatus",
        ) => 2,
        Some("userRole") => 60,
        _ => DEFAULT_WEIGHT,
    }
}

/// The stream of which an answer has rows, as faults name it.
pub(crate) fn stream(request: &Value) -> Option<StreamKey> {
    let inner = request.get("req").unwrap_or(request);
    let coin = || Coin::new(inner.get("coin")?.as_str()?).ok();
    Some(match request.get("type")?.as_str()? {
        "recentTrades" => StreamKey::Trades(coin()?),
        "candleSnapshot" => StreamKey::Candle(coin()?, inner.get("interval")?.as_str()?.parse().ok()?),
        "l2Book" => StreamKey::Book(coin()?, BookVariant::Default),
        "fundingHistory" => StreamKey::Funding(coin()?),
        "allMids" => StreamKey::Mids(Dex::named(inner.get("dex").and_then(Value::as_str))?),
        _ => return None,
    })
}

/// Answers a request.
pub(crate) fn answer(exchange: &mut Exchange, request: &Value) -> Reply {
    let fields = Fields(request);
    let answered = fields.text("type").and_then(|kind| match market::answer(exchange, kind, fields) {
        Some(answer) => answer,
        None => account::answer(exchange, kind, fields).unwrap_or(Err(Refusal::Malformed)),
    });
    match answered {
        Ok(reply) => reply,
        Err(Refusal::Broken) => Reply::null(exchange.assumptions.unknown_coin),
        Err(refusal) => refusal.into(),
    }
}

/// The answers of a recording: the universe of its coins, and nothing else known.
pub(crate) fn answer_replay(meta: impl Fn(&str) -> Option<Value>, dexes: &Value, request: &Value) -> Reply {
    let fields = Fields(request);
    let Ok(kind) = fields.text("type") else { return Refusal::Malformed.into() };
    let dex = fields.present("dex").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "meta" => meta(dex).map_or_else(|| Refusal::Broken.into(), |m| Reply::json(&m)),
        "perpDexs" => Reply::json(dexes),
        "allPerpMetas" => {
            let names = dexes.as_array().into_iter().flatten();
            let metas: Vec<_> = names.filter_map(|d| meta(d["name"].as_str().unwrap_or_default())).collect();
            Reply::json(&metas)
        }
        "spotMeta" => Reply::json(&serde_json::json!({"universe": [], "tokens": []})),
        "l2Book" => Reply::null(200),
        "allMids" => Reply::json(&serde_json::json!({})),
        "recentTrades" | "candleSnapshot" | "fundingHistory" | "userFills" | "userFillsByTime"
        | "openOrders" => Reply::json(&Value::Array(vec![])),
        _ => Refusal::Malformed.into(),
    }
}

//! Faults from JSON, strictly: an error names the field that is wrong.

use hl_core::{Coin, StreamKey};
use serde_json::{Map, Value};

use super::kind::{AnswerFault, Part, Way};
use super::{BodyFault, Fault, FaultKind, Struck};

/// Faults as `POST /sim/faults` takes them, and what they do. Each may have `for_ms`, how long it lasts, and `times`, how
/// often it strikes.
pub const FAULTS: &[(&str, &str)] = &[
    (r#"{"kind":"drop"}"#, "every socket is cut; with for_ms also each one that opens meanwhile"),
    (r#"{"kind":"drop_one","socket":0}"#, "one of them, by age"),
    (r#"{"kind":"expire"}"#, "every socket is closed with a frame that says so"),
    (r#"{"kind":"refuse"}"#, "no socket can be opened"),
    (r#"{"kind":"handshake","status":502}"#, "a handshake is answered with an error"),
    (r#"{"kind":"mute","stream":"trades/BTC"}"#, "data is lost"),
    (r#"{"kind":"mute_one","socket":0,"stream":"trades/BTC"}"#, "on one socket"),
    (r#"{"kind":"forget","stream":"trades/BTC"}"#, "a subscription ends without a word"),
    (r#"{"kind":"half_open"}"#, "nothing is sent on the sockets that are open"),
    (r#"{"kind":"slow_drip","every_ms":5}"#, "byte by byte"),
    (r#"{"kind":"late","by_ms":4000}"#, "frames come late"),
    (r#"{"kind":"duplicate"}"#, "frames come twice"),
    (r#"{"kind":"reorder"}"#, "frames change places"),
    (r#"{"kind":"garbage"}"#, "frames are cut in half"),
    (r#"{"kind":"giant_frame","bytes":20000000}"#, "one huge frame"),
    (
        r#"{"kind":"user_cap","users":10,"drop":false}"#,
        "so many users can be followed; drop: sockets with more are cut",
    ),
    (r#"{"kind":"no_pong"}"#, "pings are not answered"),
    (r#"{"kind":"no_ack"}"#, "subscriptions are not acknowledged"),
    (r#"{"kind":"kill_on_subscribe","stream":"trades/BTC"}"#, "who subscribes is cut off"),
    (r#"{"kind":"stale_replay","behind_ms":4000}"#, "a replay ends some time ago, then the stream goes on"),
    (
        r#"{"kind":"http","status":502,"delay_ms":500}"#,
        "every answer fails or is late; body: null or truncated",
    ),
    (r#"{"kind":"chain","status":404}"#, "the same of reads through the chain"),
    (r#"{"kind":"answer","request":"meta","dex":"xyz","status":500}"#, "the answer to one question fails"),
    (r#"{"kind":"answer","request":"recentTrades","newest":2}"#, "it has only so many rows; also oldest"),
    (
        r#"{"kind":"answer","request":"candleSnapshot","without_newest":3}"#,
        "it lacks rows; also without_oldest, _middle",
    ),
    (r#"{"kind":"answer","request":"meta","without":"ETH"}"#, "it lacks a market"),
    (r#"{"kind":"answer","behind_ms":5000}"#, "it is as old as that"),
    (r#"{"kind":"answer","request":"exchangeStatus","frozen":true}"#, "it stays the same"),
    (
        r#"{"kind":"stamp","stream":"book/BTC","by_ms":3600000,"times":1}"#,
        "wrong times; rows: newest only; on: ws, rest",
    ),
    (
        r#"{"kind":"value","field":"premium","value":"NaN","one_in":24}"#,
        "a field holds something else; on: ws, rest",
    ),
    (r#"{"kind":"exponent","stream":"trades/DOGE","field":"sz"}"#, "a number is written as in 12e-4"),
    (r#"{"kind":"same_tid"}"#, "another trade with the same tid and time"),
    (r#"{"kind":"bars","coin":"BTC","factor":2}"#, "bars count so often; more: so many more; on: ws, rest"),
    (
        r#"{"kind":"unlist","coin":"SOL","for_ms":20000}"#,
        "a coin is not listed; from the start: it is listed later",
    ),
    (r#"{"kind":"delist","coin":"SOL"}"#, "a perpetual is delisted for good"),
    (r#"{"kind":"settle","outcome":1209,"hundredths":100}"#, "an outcome settles, and its coins are gone"),
    (r#"{"kind":"clock","by_ms":-20000}"#, "the exchange's clock is set"),
    (r#"{"kind":"halt","for_ms":30000}"#, "the exchange stands still"),
];

/// Longest duration, delay or spacing: a day.
const MOST_MS: u64 = 86_400_000;
/// Largest giant frame.
const MOST_BYTES: u64 = 128 << 20;

/// Why a JSON value is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FaultError {
    /// The field that is wrong.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

fn wrong(field: &str, reason: impl Into<String>) -> FaultError {
    FaultError { field: field.to_owned(), reason: reason.into() }
}

pub(super) fn fault(value: &Value) -> Result<Fault, FaultError> {
    let fields = value.as_object().ok_or_else(|| wrong("body", "it must be a JSON object"))?;
    let kind = match fields.get("kind") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(_) => return Err(wrong("kind", "it must be text")),
        None => return Err(wrong("kind", "it is missing")),
    };
    let known: &[&str] = match kind {
        "drop" | "refuse" | "half_open" | "no_pong" | "no_ack" | "expire" | "halt" => &[],
        "mute" | "forget" | "duplicate" | "reorder" | "garbage" | "kill_on_subscribe" | "same_tid" => {
            &["stream"]
        }
        "answer" => &ANSWER,
        "stamp" => &["stream", "by_ms", "rows", "on"],
        "value" => &["stream", "field", "value", "one_in", "on"],
        "exponent" => &["stream", "field"],
        "bars" => &["coin", "factor", "more", "on"],
        "stale_replay" => &["stream", "behind_ms"],
        "handshake" => &["status"],
        "late" | "clock" => &["by_ms"],
        "unlist" | "delist" => &["coin"],
        "settle" => &["outcome", "hundredths"],
        "user_cap" => &["users", "drop"],
        "drop_one" => &["socket"],
        "mute_one" => &["socket", "stream"],
        "slow_drip" => &["every_ms"],
        "giant_frame" => &["bytes"],
        "http" | "chain" => &["status", "body", "delay_ms"],
        other => {
            let kinds = "drop, drop_one, refuse, mute, mute_one, forget, half_open, slow_drip, duplicate, reorder, \
                         garbage, giant_frame, kill_on_subscribe, http, chain, answer, stamp, value, exponent, \
                         same_tid, bars, stale_replay, no_pong, no_ack, handshake, expire, user_cap, late, unlist, delist, settle, clock, halt";
            return Err(wrong("kind", format!("{other:?} is unknown; kinds are {kinds}")));
        }
    };
    if let Some(odd) = fields
        .keys()
        .find(|f| !["kind", "for_ms", "times"].contains(&f.as_str()) && !known.contains(&f.as_str()))
    {
        return Err(wrong(
            odd,
            format!("{kind} has no such field; it takes for_ms times {}", known.join(" ")).trim_end(),
        ));
    }
    let kind = match kind {
        "drop" => FaultKind::Drop,
        "refuse" => FaultKind::Refuse,
        "half_open" => FaultKind::HalfOpen,
        "mute" => FaultKind::Mute { stream: stream(fields)? },
        "forget" => FaultKind::Forget { stream: stream(fields)? },
        "duplicate" => FaultKind::Duplicate { stream: stream(fields)? },
        "reorder" => FaultKind::Reorder { stream: stream(fields)? },
        "garbage" => FaultKind::Garbage { stream: stream(fields)? },
        "kill_on_subscribe" => FaultKind::KillOnSubscribe { stream: stream(fields)? },
        "drop_one" => FaultKind::DropOne { socket: required(fields, "socket", 0..=u64::MAX)? },
        "mute_one" => {
            FaultKind::MuteOne { socket: required(fields, "socket", 0..=u64::MAX)?, stream: stream(fields)? }
        }
        "slow_drip" => FaultKind::SlowDrip { every_ms: required(fields, "every_ms", 1..=MOST_MS)? },
        "giant_frame" => FaultKind::GiantFrame { bytes: required(fields, "bytes", 1..=MOST_BYTES)? as usize },
        "answer" => FaultKind::Answer(answer(fields)?),
        "stamp" => FaultKind::Stamp {
            stream: stream(fields)?,
            by_ms: signed(fields, "by_ms")?,
            rows: count(fields, "rows")?,
            on: way(fields)?,
        },
        "value" => FaultKind::Value {
            stream: stream(fields)?,
            field: required_text(fields, "field")?,
            value: fields.get("value").cloned().ok_or_else(|| wrong("value", "it is missing"))?,
            one_in: number(fields, "one_in", 1..=u64::MAX)?,
            on: way(fields)?,
        },
        "exponent" => FaultKind::Exponent { stream: stream(fields)?, field: required_text(fields, "field")? },
        "same_tid" => FaultKind::SameTid { stream: stream(fields)? },
        "bars" => FaultKind::Bars {
            coin: coin(fields)?,
            factor: number(fields, "factor", 0..=1_000)?.unwrap_or(1),
            more: number(fields, "more", 0..=1_000_000)?.unwrap_or(0),
            on: way(fields)?,
        },
        "stale_replay" => FaultKind::StaleReplay {
            stream: stream(fields)?,
            behind_ms: required(fields, "behind_ms", 1..=MOST_MS)?,
        },
        "no_pong" => FaultKind::NoPong,
        "no_ack" => FaultKind::NoAck,
        "handshake" => match status(fields)? {
            Some(status) => FaultKind::Handshake { status },
            None => return Err(wrong("status", "it is missing")),
        },
        "expire" => FaultKind::Expire,
        "user_cap" => FaultKind::UserCap {
            users: count(fields, "users")?.ok_or_else(|| wrong("users", "it is missing"))?,
            drop: flag(fields, "drop")?,
        },
        "late" => FaultKind::Late { by_ms: required(fields, "by_ms", 1..=MOST_MS)? },
        "unlist" => FaultKind::Unlist { coin: coin(fields)?.ok_or_else(|| wrong("coin", "it is missing"))? },
        "delist" => FaultKind::Delist { coin: coin(fields)?.ok_or_else(|| wrong("coin", "it is missing"))? },
        "settle" => FaultKind::Settle {
            outcome: required(fields, "outcome", 0..=u64::MAX)?,
            hundredths: required(fields, "hundredths", 0..=100)? as u8,
        },
        "clock" => FaultKind::Clock { by_ms: signed(fields, "by_ms")? },
        "halt" => FaultKind::Halt,
        "chain" => {
            let Struck { status, body, delay_ms } = struck(fields, "chain", &[404, 429, 500, 502])?;
            FaultKind::Chain { status, body, delay_ms }
        }
        _ => {
            let Struck { status, body, delay_ms } = struck(fields, "http", &[429, 500, 502])?;
            FaultKind::Http { status, body, delay_ms }
        }
    };
    let (for_ms, times) = (number(fields, "for_ms", 1..=MOST_MS)?, number(fields, "times", 1..=u64::MAX)?);
    Ok(Fault { kind, for_ms, times })
}

/// The fields of an `answer`.
const ANSWER: [&str; 12] = [
    "request",
    "coin",
    "dex",
    "status",
    "newest",
    "oldest",
    "without_newest",
    "without_oldest",
    "without_middle",
    "without",
    "behind_ms",
    "frozen",
];

fn answer(fields: &Map<String, Value>) -> Result<AnswerFault, FaultError> {
    let mut part = None;
    for name in ["newest", "oldest", "without_newest", "without_oldest", "without_middle"] {
        let Some(n) = count(fields, name)? else { continue };
        let this = match name {
            "newest" => Part::Newest(n),
            "oldest" => Part::Oldest(n),
            "without_newest" => Part::WithoutNewest(n),
            "without_oldest" => Part::WithoutOldest(n),
            _ => Part::WithoutMiddle(n),
        };
        if part.replace(this).is_some() {
            return Err(wrong(name, "only one part can be left"));
        }
    }
    let frozen = flag(fields, "frozen")?;
    let fault = AnswerFault {
        request: text(fields, "request")?,
        coin: coin(fields)?,
        dex: text(fields, "dex")?,
        status: status(fields)?,
        part,
        without: text(fields, "without")?,
        behind_ms: number(fields, "behind_ms", 1..=MOST_MS)?,
        frozen,
    };
    let AnswerFault { status, part, without, behind_ms, .. } = &fault;
    if status.is_none() && part.is_none() && without.is_none() && behind_ms.is_none() && !frozen {
        return Err(wrong("status", "answer takes at least one of what can be wrong with it"));
    }
    Ok(fault)
}

fn status(fields: &Map<String, Value>) -> Result<Option<u16>, FaultError> {
    match number(fields, "status", 0..=u64::MAX)? {
        None => Ok(None),
        Some(s @ (403 | 429 | 500 | 502 | 503)) => Ok(Some(s as u16)),
        Some(other) => Err(wrong("status", format!("{other} is not 403, 429, 500, 502 or 503"))),
    }
}

fn way(fields: &Map<String, Value>) -> Result<Option<Way>, FaultError> {
    match text(fields, "on")?.as_deref() {
        None => Ok(None),
        Some("ws") => Ok(Some(Way::Ws)),
        Some("rest") => Ok(Some(Way::Rest)),
        Some(other) => Err(wrong("on", format!("{other:?} is not \"ws\" or \"rest\""))),
    }
}

fn coin(fields: &Map<String, Value>) -> Result<Option<Coin>, FaultError> {
    let name = text(fields, "coin")?;
    name.map(|name| Coin::new(&name).map_err(|e| wrong("coin", e.to_string()))).transpose()
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, FaultError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(name, "it must be text")),
    }
}

fn required_text(fields: &Map<String, Value>, name: &str) -> Result<String, FaultError> {
    text(fields, name)?.ok_or_else(|| wrong(name, "it is missing"))
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, FaultError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| wrong(name, "it must be true or false")),
    }
}

fn count(fields: &Map<String, Value>, name: &str) -> Result<Option<usize>, FaultError> {
    Ok(number(fields, name, 0..=1_000_000)?.map(|n| n as usize))
}

fn signed(fields: &Map<String, Value>, name: &str) -> Result<i64, FaultError> {
    let most = MOST_MS.cast_signed();
    match fields.get(name) {
        None | Some(Value::Null) => Err(wrong(name, "it is missing")),
        Some(value) => value
            .as_i64()
            .filter(|ms| (-most..=most).contains(ms))
            .ok_or_else(|| wrong(name, format!("{value} is not a whole number from -{most} to {most}"))),
    }
}

fn struck(fields: &Map<String, Value>, kind: &str, statuses: &[u16]) -> Result<Struck, FaultError> {
    let status = match number(fields, "status", 0..=u64::MAX)? {
        None => None,
        Some(asked) => match statuses.iter().find(|status| u64::from(**status) == asked) {
            Some(status) => Some(*status),
            None => return Err(wrong("status", format!("{asked} is none of {statuses:?}"))),
        },
    };
    let body = match fields.get("body") {
        None | Some(Value::Null) => None,
        Some(Value::String(s)) if s == "null" => Some(BodyFault::Null),
        Some(Value::String(s)) if s == "truncated" => Some(BodyFault::Truncated),
        Some(other) => return Err(wrong("body", format!("{other} is not \"null\" or \"truncated\""))),
    };
    let delay_ms = number(fields, "delay_ms", 1..=MOST_MS)?;
    if status.is_none() && body.is_none() && delay_ms.is_none() {
        return Err(wrong("status", format!("{kind} takes at least one of status, body, delay_ms")));
    }
    Ok(Struck { status, body, delay_ms })
}

fn stream(fields: &Map<String, Value>) -> Result<Option<StreamKey>, FaultError> {
    match fields.get("stream") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text
            .parse()
            .map(Some)
            .map_err(|e: hl_core::stream::StreamKeyError| wrong("stream", e.to_string())),
        Some(_) => Err(wrong("stream", "it must be text, like trades/BTC")),
    }
}

fn number(
    fields: &Map<String, Value>,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, FaultError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().filter(|n| range.contains(n)) {
            Some(n) => Ok(Some(n)),
            None => Err(wrong(
                name,
                format!("{value} is not a whole number from {} to {}", range.start(), range.end()),
            )),
        },
    }
}

fn required(
    fields: &Map<String, Value>,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, FaultError> {
    number(fields, name, range)?.ok_or_else(|| wrong(name, "it is missing"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_every_kind() {
        for (json, expected) in [
            (json!({"kind": "drop"}), Fault::new(FaultKind::Drop)),
            (json!({"kind": "refuse", "for_ms": 12000}), Fault::lasting(FaultKind::Refuse, 12_000)),
            (
                json!({"kind": "mute", "stream": "trades/BTC", "for_ms": 15000}),
                Fault::lasting(FaultKind::Mute { stream: Some("trades/BTC".parse().unwrap()) }, 15_000),
            ),
            (json!({"kind": "drop_one", "socket": 1}), Fault::new(FaultKind::DropOne { socket: 1 })),
            (
                json!({"kind": "mute_one", "socket": 0, "stream": "trades/BTC"}),
                Fault::new(FaultKind::MuteOne { socket: 0, stream: Some("trades/BTC".parse().unwrap()) }),
            ),
            (
                json!({"kind": "user_cap", "users": 3, "drop": true}),
                Fault::new(FaultKind::UserCap { users: 3, drop: true }),
            ),
            (json!({"kind": "forget"}), Fault::new(FaultKind::Forget { stream: None })),
            (json!({"kind": "slow_drip", "every_ms": 5}), Fault::new(FaultKind::SlowDrip { every_ms: 5 })),
            (
                json!({"kind": "answer", "request": "recentTrades", "newest": 2, "times": 3}),
                Fault::times(
                    FaultKind::Answer(AnswerFault {
                        request: Some("recentTrades".into()),
                        part: Some(Part::Newest(2)),
                        ..AnswerFault::default()
                    }),
                    3,
                ),
            ),
            (
                json!({"kind": "stamp", "stream": "book/BTC", "by_ms": -5, "on": "ws", "times": 1}),
                Fault::times(
                    FaultKind::Stamp {
                        stream: Some("book/BTC".parse().unwrap()),
                        by_ms: -5,
                        rows: None,
                        on: Some(Way::Ws),
                    },
                    1,
                ),
            ),
            (
                json!({"kind": "value", "field": "premium", "value": "NaN", "one_in": 24}),
                Fault::new(FaultKind::Value {
                    stream: None,
                    field: "premium".into(),
                    value: json!("NaN"),
                    one_in: Some(24),
                    on: None,
                }),
            ),
            (
                json!({"kind": "unlist", "coin": "SOL"}),
                Fault::new(FaultKind::Unlist { coin: Coin::new("SOL").unwrap() }),
            ),
            (
                json!({"kind": "delist", "coin": "SOL"}),
                Fault::new(FaultKind::Delist { coin: Coin::new("SOL").unwrap() }),
            ),
            (
                json!({"kind": "settle", "outcome": 1209, "hundredths": 100}),
                Fault::new(FaultKind::Settle { outcome: 1_209, hundredths: 100 }),
            ),
            (json!({"kind": "clock", "by_ms": -20000}), Fault::new(FaultKind::Clock { by_ms: -20_000 })),
            (json!({"kind": "handshake", "status": 502}), Fault::new(FaultKind::Handshake { status: 502 })),
            (json!({"kind": "giant_frame", "bytes": 9}), Fault::new(FaultKind::GiantFrame { bytes: 9 })),
            (
                json!({"kind": "chain", "status": 404, "for_ms": 5000}),
                Fault::lasting(FaultKind::Chain { status: Some(404), body: None, delay_ms: None }, 5_000),
            ),
            (
                json!({"kind": "http", "body": "truncated"}),
                Fault::new(FaultKind::Http {
                    status: None,
                    body: Some(BodyFault::Truncated),
                    delay_ms: None,
                }),
            ),
        ] {
            assert_eq!(fault(&json).unwrap(), expected);
            // What is listed can be posted again.
            let mut listed = serde_json::to_value(&expected).unwrap();
            listed.as_object_mut().unwrap().retain(|_, v| !v.is_null());
            assert_eq!(fault(&listed).unwrap(), expected);
        }
    }

    #[test]
    fn every_listed_fault_is_one_and_every_kind_is_listed() {
        let kinds: std::collections::BTreeSet<_> = FAULTS
            .iter()
            .map(|(json, _)| {
                let read = fault(&serde_json::from_str(json).unwrap());
                super::super::kind::name(&read.unwrap_or_else(|e| panic!("{json}: {e}")).kind)
            })
            .collect();
        let known = fault(&json!({"kind": "?"})).unwrap_err().reason;
        let known = known.split_once("kinds are ").unwrap().1.split(", ");
        assert_eq!(known.collect::<std::collections::BTreeSet<_>>(), kinds);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (json, field) in [
            (json!([]), "body"),
            (json!({}), "kind"),
            (json!({"kind": "explode"}), "kind"),
            (json!({"kind": "drop", "stream": "trades/BTC"}), "stream"),
            (json!({"kind": "mute", "stream": "tades/BTC"}), "stream"),
            (json!({"kind": "mute", "for_ms": -1}), "for_ms"),
            (json!({"kind": "mute", "for_ms": "1s"}), "for_ms"),
            (json!({"kind": "drop_one"}), "socket"),
            (json!({"kind": "user_cap"}), "users"),
            (json!({"kind": "user_cap", "users": 3, "drop": 1}), "drop"),
            (json!({"kind": "slow_drip"}), "every_ms"),
            (json!({"kind": "http", "status": 404}), "status"),
            (json!({"kind": "http"}), "status"),
            (json!({"kind": "chain", "status": 403}), "status"),
            (json!({"kind": "chain"}), "status"),
            (json!({"kind": "http", "body": "odd"}), "body"),
            (json!({"kind": "answer", "request": "meta"}), "status"),
            (json!({"kind": "answer", "newest": 1, "oldest": 1}), "oldest"),
            (json!({"kind": "stamp"}), "by_ms"),
            (json!({"kind": "stamp", "by_ms": 1, "on": "tape"}), "on"),
            (json!({"kind": "value", "field": "px"}), "value"),
            (json!({"kind": "unlist"}), "coin"),
            (json!({"kind": "settle", "outcome": 1209, "hundredths": 101}), "hundredths"),
            (json!({"kind": "handshake", "status": 200}), "status"),
        ] {
            assert_eq!(fault(&json).unwrap_err().field, field, "{json}");
        }
    }
}

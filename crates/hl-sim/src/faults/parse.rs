//! Faults from JSON, strictly: an error names the field that is wrong.

use hl_core::StreamKey;
use serde_json::{Map, Value};

use super::{BodyFault, Fault, FaultKind};

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
        "drop" | "refuse" | "half_open" => &[],
        "mute" | "forget" | "duplicate" | "reorder" | "garbage" | "kill_on_subscribe" => &["stream"],
        "drop_one" => &["socket"],
        "mute_one" => &["socket", "stream"],
        "slow_drip" => &["every_ms"],
        "giant_frame" => &["bytes"],
        "http" => &["status", "body", "delay_ms"],
        other => {
            let kinds = "drop, drop_one, refuse, mute, mute_one, forget, half_open, slow_drip, duplicate, reorder, \
                         garbage, giant_frame, kill_on_subscribe, http";
            return Err(wrong("kind", format!("{other:?} is unknown; kinds are {kinds}")));
        }
    };
    if let Some(odd) =
        fields.keys().find(|f| !["kind", "for_ms"].contains(&f.as_str()) && !known.contains(&f.as_str()))
    {
        return Err(wrong(
            odd,
            format!("{kind} has no such field; it takes for_ms {}", known.join(" ")).trim_end(),
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
        _ => http(fields)?,
    };
    Ok(Fault { kind, for_ms: number(fields, "for_ms", 1..=MOST_MS)? })
}

fn http(fields: &Map<String, Value>) -> Result<FaultKind, FaultError> {
    let status = match number(fields, "status", 0..=u64::MAX)? {
        None => None,
        Some(s @ (429 | 500 | 502)) => Some(s as u16),
        Some(other) => return Err(wrong("status", format!("{other} is not 429, 500 or 502"))),
    };
    let body = match fields.get("body") {
        None | Some(Value::Null) => None,
        Some(Value::String(s)) if s == "null" => Some(BodyFault::Null),
        Some(Value::String(s)) if s == "truncated" => Some(BodyFault::Truncated),
        Some(other) => return Err(wrong("body", format!("{other} is not \"null\" or \"truncated\""))),
    };
    let delay_ms = number(fields, "delay_ms", 1..=MOST_MS)?;
    if status.is_none() && body.is_none() && delay_ms.is_none() {
        return Err(wrong("status", "http takes at least one of status, body, delay_ms"));
    }
    Ok(FaultKind::Http { status, body, delay_ms })
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
            (json!({"kind": "forget"}), Fault::new(FaultKind::Forget { stream: None })),
            (json!({"kind": "slow_drip", "every_ms": 5}), Fault::new(FaultKind::SlowDrip { every_ms: 5 })),
            (json!({"kind": "giant_frame", "bytes": 9}), Fault::new(FaultKind::GiantFrame { bytes: 9 })),
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
            (json!({"kind": "slow_drip"}), "every_ms"),
            (json!({"kind": "http", "status": 404}), "status"),
            (json!({"kind": "http"}), "status"),
            (json!({"kind": "http", "body": "odd"}), "body"),
        ] {
            assert_eq!(fault(&json).unwrap_err().field, field, "{json}");
        }
    }
}

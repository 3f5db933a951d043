//! What faults make of a frame or an answer: changes to its JSON, and a list of the rows that were changed.
//!
//! The truth does not follow: it says what happened. A check that compares a store with it is told here which rows the exchange
//! itself showed otherwise.

use std::collections::VecDeque;

use hl_core::StreamKey;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::kind::{AnswerFault, FaultKind, Part, Way, name};
use crate::market::num::mix;

/// So many changed rows are remembered.
const REMEMBERED: usize = 100_000;

/// A row that the exchange showed otherwise than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Falsified {
    /// Its stream, where it has a name.
    pub stream: Option<StreamKey>,
    /// Its time, ms: of bars when they open; 0 where it bears none.
    pub time: i64,
    /// The time that was shown, ms.
    pub shown: i64,
    /// The kind of the fault.
    pub fault: &'static str,
}

/// The changed rows, oldest first.
#[derive(Default)]
pub(crate) struct Memory(VecDeque<Falsified>);

impl Memory {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Falsified> {
        self.0.iter()
    }

    fn add(&mut self, row: Falsified) {
        // A bar is shown twice a second.
        if self.0.iter().rev().take(50).any(|known| *known == row) {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(row);
    }
}

/// Whether a fault may change what this says.
pub(super) fn concerns(kind: &FaultKind, way: Way, stream: Option<StreamKey>) -> bool {
    let here = |on: Option<Way>| on.is_none_or(|on| on == way);
    let named = |wanted: Option<StreamKey>| wanted.is_none() || wanted == stream;
    match kind {
        FaultKind::Stamp { stream, on, .. } | FaultKind::Value { stream, on, .. } => {
            here(*on) && named(*stream)
        }
        FaultKind::Exponent { stream, .. } => named(*stream),
        FaultKind::SameTid { stream: wanted } => {
            matches!(stream, Some(StreamKey::Trades(_))) && way == Way::Ws && named(*wanted)
        }
        FaultKind::Bars { coin, on, .. } => match stream {
            Some(StreamKey::Candle(of, _)) => here(*on) && coin.is_none_or(|coin| coin == of),
            _ => false,
        },
        _ => false,
    }
}

/// Changes the data of a frame or an answer as such a fault says. Whether it changed anything.
pub(super) fn falsify(
    kind: &FaultKind,
    stream: Option<StreamKey>,
    data: &mut Value,
    memory: &mut Memory,
) -> bool {
    let fault = name(kind);
    let mut changed = false;
    let mut remember = |time: i64, shown: i64| {
        changed = true;
        memory.add(Falsified { stream, time, shown, fault });
    };
    match kind {
        FaultKind::Stamp { by_ms, rows: most, .. } => {
            let mut rows = rows(data);
            rows.sort_by_key(|row| std::cmp::Reverse(time(row)));
            for row in rows.into_iter().take(most.unwrap_or(usize::MAX)) {
                if let Some(was) = time(row) {
                    shift(row, *by_ms);
                    remember(was, was.saturating_add(*by_ms));
                }
            }
        }
        FaultKind::Value { field, value, one_in, .. } => {
            for row in rows(data) {
                let at = time(row).unwrap_or(0);
                let is_one = one_in
                    .is_none_or(|n| mix(number(row, "tid").unwrap_or(at) as u64).is_multiple_of(n.max(1)));
                if is_one && set(row, field, &mut |_| Some(value.clone())) {
                    remember(at, at);
                }
            }
        }
        FaultKind::Exponent { field, .. } => {
            // The same number: nothing is falsified.
            return set(data, field, &mut |old| old.as_str().and_then(exponent).map(Value::from));
        }
        FaultKind::SameTid { .. } => {
            if let Some(all) = data.as_array_mut()
                && let Some(first) = all.first().cloned()
            {
                let mut twin = first;
                let at = time(&twin).unwrap_or(0);
                set(&mut twin, "sz", &mut |old| more(old));
                all.insert(1, twin);
                remember(at, at);
            }
        }
        FaultKind::Bars { factor, more: added, .. } => {
            for row in rows(data) {
                let (Some(n), at) = (number(row, "n"), time(row).unwrap_or(0)) else { continue };
                let counted = n.unsigned_abs().saturating_mul(*factor).saturating_add(*added);
                set(row, "n", &mut |_| Some(counted.into()));
                if *added > 0 {
                    set(row, "v", &mut |old| more(old));
                }
                remember(at, at);
            }
        }
        _ => {}
    }
    changed
}

impl AnswerFault {
    /// Whether a question is meant.
    pub(super) fn asked(&self, question: &Value) -> bool {
        let field = |name: &str| {
            let inner = question.get("req").unwrap_or(question);
            inner.get(name).or_else(|| question.get(name)).and_then(Value::as_str)
        };
        self.request.as_deref().is_none_or(|request| field("type") == Some(request))
            && self.coin.is_none_or(|coin| field("coin") == Some(coin.as_str()))
            && self.dex.as_deref().is_none_or(|dex| field("dex").unwrap_or_default() == dex)
    }

    /// Takes out of an answer what it is to lack. Whether it changed anything.
    pub(super) fn cut(&self, data: &mut Value) -> bool {
        let mut changed = false;
        if let Some(part) = self.part
            && let Some(all) = data.as_array_mut()
        {
            changed |= cut(all, part);
        }
        if let Some(name) = &self.without {
            changed |= leave_out(data, name);
        }
        changed
    }
}

/// Leaves a part of the rows, in the order in which they stand. Whether any went.
fn cut(all: &mut Vec<Value>, part: Part) -> bool {
    let len = all.len();
    let newest_first = match (all.first().and_then(time), all.last().and_then(time)) {
        (Some(first), Some(last)) => first > last,
        _ => false,
    };
    if newest_first {
        all.reverse();
    }
    match part {
        Part::Newest(n) => drop(all.drain(..len.saturating_sub(n))),
        Part::Oldest(n) => all.truncate(n),
        Part::WithoutNewest(n) => all.truncate(len.saturating_sub(n)),
        Part::WithoutOldest(n) => drop(all.drain(..n.min(len))),
        Part::WithoutMiddle(n) => {
            // What is first and last stays.
            let n = n.min(len.saturating_sub(2));
            let from = len.saturating_sub(n) / 2;
            drop(all.drain(from..from + n));
        }
    }
    if newest_first {
        all.reverse();
    }
    all.len() != len
}

/// Leaves a market out of a universe, with its context, or out of a list or a map of names. Whether there was one.
fn leave_out(data: &mut Value, gone: &str) -> bool {
    let named = |row: &Value| row.get("name").and_then(Value::as_str) == Some(gone);
    match data {
        Value::Object(map) => {
            if let Some(universe) = map.get_mut("universe").and_then(Value::as_array_mut) {
                let before = universe.len();
                universe.retain(|row| !named(row));
                return universe.len() != before;
            }
            map.remove(gone).is_some()
        }
        Value::Array(all) => {
            if let [meta, contexts] = all.as_mut_slice()
                && let Some(at) = meta["universe"].as_array().and_then(|rows| rows.iter().position(named))
            {
                if let Some(contexts) = contexts.as_array_mut()
                    && at < contexts.len()
                {
                    contexts.remove(at);
                }
                return leave_out(meta, gone);
            }
            let before = all.len();
            all.retain(|row| !named(row));
            all.len() != before
        }
        _ => false,
    }
}

fn rows(data: &mut Value) -> Vec<&mut Value> {
    match data {
        Value::Array(all) => all.iter_mut().collect(),
        other => vec![other],
    }
}

fn number(row: &Value, field: &str) -> Option<i64> {
    row.get(field).and_then(Value::as_i64)
}

fn time(row: &Value) -> Option<i64> {
    number(row, "time").or_else(|| number(row, "t"))
}

fn shift(row: &mut Value, by_ms: i64) {
    for field in ["time", "t", "T"] {
        if let Some(at) = number(row, field) {
            row[field] = json!(at.saturating_add(by_ms));
        }
    }
}

/// Sets a field wherever it stands. Whether it was anywhere.
fn set(value: &mut Value, field: &str, new: &mut dyn FnMut(&Value) -> Option<Value>) -> bool {
    let each = |map: &mut Map<String, Value>, new: &mut dyn FnMut(&Value) -> Option<Value>| {
        let mut found = false;
        for (name, inner) in map.iter_mut() {
            if name == field {
                if let Some(other) = new(inner) {
                    *inner = other;
                    found = true;
                }
            } else {
                found |= set(inner, field, new);
            }
        }
        found
    };
    match value {
        Value::Object(map) => each(map, new),
        Value::Array(all) => all.iter_mut().fold(false, |found, inner| set(inner, field, new) | found),
        _ => false,
    }
}

/// A decimal that is a little larger.
fn more(old: &Value) -> Option<Value> {
    let text = old.as_str()?;
    Some(Value::from(if text.contains('.') { format!("{text}1") } else { format!("{text}.1") }))
}

/// The same decimal with an exponent, as in `12e-4`.
fn exponent(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let mantissa = format!("{whole}{fraction}");
    let mantissa = mantissa.trim_start_matches('0');
    let mantissa = if mantissa.is_empty() { "0" } else { mantissa };
    Some(format!("{sign}{mantissa}e-{}", fraction.len()))
}

#[cfg(test)]
mod tests {
    use hl_core::Decimal;

    use super::*;

    #[test]
    fn an_exponent_changes_no_number() {
        for text in ["66410.0", "0.00123", "-1.5", "0.0", "7", "1000"] {
            let other = exponent(text).unwrap();
            assert!(other.contains('e'));
            let same = Decimal::from_scientific(&other).unwrap();
            assert_eq!(same, text.parse::<Decimal>().unwrap(), "{other}");
        }
        assert_eq!(exponent("NaN"), None);
    }

    #[test]
    fn parts_of_an_answer_go_by_time_and_keep_its_order() {
        let rows = |times: &[i64]| times.iter().map(|t| json!({"time": t})).collect::<Vec<_>>();
        for (part, left) in [
            (Part::Newest(2), &[5, 4][..]),
            (Part::Newest(0), &[]),
            (Part::Oldest(2), &[2, 1]),
            (Part::WithoutNewest(1), &[4, 3, 2, 1]),
            (Part::WithoutOldest(4), &[5]),
            (Part::WithoutMiddle(9), &[5, 1]),
            (Part::WithoutMiddle(1), &[5, 4, 2, 1]),
        ] {
            let mut all = rows(&[5, 4, 3, 2, 1]);
            assert!(cut(&mut all, part));
            assert_eq!(all, rows(left), "{part:?}");
            let mut turned = rows(&[1, 2, 3, 4, 5]);
            cut(&mut turned, part);
            turned.reverse();
            assert_eq!(turned, rows(left), "{part:?}");
        }
    }

    #[test]
    fn a_market_is_left_out_with_its_context() {
        let mut both = json!([{"universe": [{"name": "BTC"}, {"name": "ETH"}]}, [1, 2]]);
        assert!(leave_out(&mut both, "BTC"));
        assert_eq!(both, json!([{"universe": [{"name": "ETH"}]}, [2]]));
        let mut mids = json!({"BTC": "1.0", "ETH": "2.0"});
        assert!(leave_out(&mut mids, "ETH") && !leave_out(&mut mids, "ETH"));
        let mut dexes = json!([null, {"name": "xyz"}]);
        assert!(leave_out(&mut dexes, "xyz"));
        assert_eq!((mids, dexes), (json!({"BTC": "1.0"}), json!([null])));
    }
}

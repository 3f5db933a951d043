//! The decoder of WebSocket frames.
//!
//! Promised: no panic; the text stays as it was; what is accepted is JSON and says what the text says, every price and
//! size exactly; what is refused is named in a bounded error.

use hl_core::decode::{self, DecodeError, Frame, Rows};
use hl_core::record::{Level, Mid, Trade};
use hl_core::{Decimal, Records, TimeMs};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{Target, captures, market, text};

pub(crate) const TARGET: Target = Target {
    name: "frame",
    about: "WebSocket frames: decode::frame",
    seeds: || valid().iter().map(|frame| text::to_input(frame)).collect(),
    run,
    short: 6_000,
};

fn valid() -> &'static [String] {
    static VALID: std::sync::LazyLock<Vec<String>> =
        std::sync::LazyLock::new(|| [market::SAID.frames.clone(), captures::frames()].concat());
    &VALID
}

fn run(input: &[u8]) {
    let text = text::of_input(input, valid());
    let mut bytes = text.clone();
    let stamp = TimeMs(1_790_000_000_000);
    let decoded = decode::frame(&mut bytes, stamp);
    assert_eq!(bytes, text, "the text stays as it was");
    match &decoded {
        Ok(frame) => {
            if let Some(value) = read(&text) {
                says(frame, &value["data"], stamp);
            }
        }
        Err(error) => is_bounded(error, &text),
    }
    match (decoded, decode::frame(&mut bytes, stamp)) {
        (Ok(first), Ok(second)) => assert_eq!(first, second, "decoding twice"),
        (Err(first), Err(second)) => assert_eq!(first.to_string(), second.to_string(), "decoding twice"),
        (first, second) => panic!("decoded once so, once so: {first:?}, {second:?}"),
    }
}

/// What was accepted, read by somebody else. None where a text that nobody asks for is no Unicode.
pub(super) fn read(text: &[u8]) -> Option<Value> {
    serde_json::from_slice::<IgnoredAny>(text).expect("what is accepted is JSON");
    serde_json::from_slice(text).ok()
}

/// An error is short, whatever the text was.
pub(super) fn is_bounded(error: &DecodeError, text: &[u8]) {
    assert!(error.at <= text.len(), "the place lies in the text: {error}");
    assert!(error.excerpt.chars().count() <= 80, "a short excerpt: {error}");
    assert!(error.what.chars().count() <= 120 && error.path.iter().all(|path| path.chars().count() <= 120));
    assert!(!error.to_string().is_empty());
}

fn says(frame: &Frame, data: &Value, stamp: TimeMs) {
    if let Frame::Data(stream, records) = frame {
        assert!(records.are_of(*stream) && !records.is_empty());
    }
    match frame {
        Frame::Data(_, Records::Trades(trades)) => {
            say_trades(&trades.clone().into(), data.as_array().expect("a list").iter().collect());
        }
        Frame::SomeTrades(trades) => {
            assert!(!trades.rows.is_empty() && !trades.holes.is_empty() && trades.reason.is_some());
            say_trades(trades, data.as_array().expect("a list").iter().collect());
        }
        Frame::Data(_, Records::Books(books)) => {
            let book = &books[0];
            assert_eq!(Some(book.time.0), data["time"].as_i64());
            levels(&book.bids, &data["levels"][0]);
            levels(&book.asks, &data["levels"][1]);
        }
        Frame::Data(_, Records::Bbos(bbos)) => {
            let bbo = &bbos[0];
            assert_eq!(Some(bbo.time.0), data["time"].as_i64());
            for (level, text) in [(bbo.bid, &data["bbo"][0]), (bbo.ask, &data["bbo"][1])] {
                assert_eq!(level.is_none(), text.is_null());
                if let Some(level) = level {
                    is_level(&level, text);
                }
            }
        }
        Frame::Data(_, Records::Candles(bars)) => {
            let bar = &bars[0];
            assert_eq!(Some(bar.time.0), data["t"].as_i64());
            assert_eq!(Some(bar.trades), data["n"].as_u64());
            let prices =
                [(bar.open, "o"), (bar.high, "h"), (bar.low, "l"), (bar.close, "c"), (bar.volume, "v")];
            for (decimal, name) in prices {
                is_exact(decimal, &data[name]);
            }
        }
        Frame::Data(_, Records::Mids(mids)) => say_mids(mids, 0, data, stamp),
        Frame::SomeMids { mids, without, unread, .. } => {
            say_mids(mids, u64::from(*without) + unread.rows(), data, stamp);
        }
        Frame::Data(_, Records::Contexts(contexts)) => {
            let context = &contexts[0];
            assert_eq!(context.time, stamp);
            is_exact(context.mark_px, &data["ctx"]["markPx"]);
            is_exact(context.day_ntl_vlm, &data["ctx"]["dayNtlVlm"]);
        }
        Frame::Data(
            _,
            Records::Funding(_)
            | Records::PredictedFunding(_)
            | Records::Markets(_)
            | Records::Leaderboard(_)
            | Records::Traders(_)
            | Records::Signals(_)
            | Records::Fills(_)
            | Records::Positions(_)
            | Records::Orders(_)
            | Records::Payments(_)
            | Records::Movements(_),
        ) => panic!("no frame carries it"),
        Frame::Ack { .. } | Frame::Error(_) | Frame::Pong | Frame::Message(_) | Frame::Unknown { .. } => {}
    }
}

fn say_mids(mids: &[Mid], others: u64, data: &Value, stamp: TimeMs) {
    let texts = data["mids"].as_object().expect("a map");
    assert_eq!(mids.len() as u64 + others, texts.len() as u64, "every mid");
    assert!(mids.is_sorted_by_key(|mid| mid.coin));
    for mid in mids {
        assert_eq!(mid.time, stamp);
        is_exact(mid.px, &texts[mid.coin.as_str()]);
    }
}

/// Every trade says what its text says, in order of time; of the texts that are left over none is lost count of.
pub(super) fn say_trades(trades: &Rows<Trade>, mut texts: Vec<&Value>) {
    assert_eq!(trades.len(), texts.len(), "every trade");
    assert!(
        trades.rows.is_sorted_by_key(|trade| trade.time) && trades.holes.is_sorted_by_key(|hole| hole.at)
    );
    if trades.holes.is_empty() {
        texts.sort_by_key(|text| text["time"].as_i64());
    }
    let mut texts = texts.into_iter();
    for trade in &trades.rows {
        let is_its = |text: &&Value| {
            trades.holes.is_empty()
                || (text["tid"].as_u64(), text["time"].as_i64()) == (Some(trade.tid), Some(trade.time.0))
        };
        // Those out of order among some that cannot be read are not looked for.
        let Some(text) = texts.find(is_its) else { return };
        assert_eq!((Some(trade.time.0), Some(trade.tid)), (text["time"].as_i64(), text["tid"].as_u64()));
        if trades.holes.is_empty() {
            assert_eq!(Some(trade.coin.as_str()), text["coin"].as_str());
            assert_eq!(Some(trade.side.as_str()), text["side"].as_str());
            is_exact(trade.px, &text["px"]);
            is_exact(trade.sz, &text["sz"]);
        }
    }
}

fn levels(levels: &[Level], texts: &Value) {
    let texts = texts.as_array().expect("a list");
    assert_eq!(levels.len(), texts.len(), "every level");
    levels.iter().zip(texts).for_each(|(level, text)| is_level(level, text));
}

fn is_level(level: &Level, text: &Value) {
    is_exact(level.px, &text["px"]);
    is_exact(level.sz, &text["sz"]);
    assert_eq!(Some(u64::from(level.n)), text["n"].as_u64());
}

/// Compares as texts, without any arithmetic: signs, then digits without idle zeros.
pub(super) fn is_exact(decimal: Decimal, text: &Value) {
    let text = text.as_str().expect("a decimal is text");
    assert_eq!(plain(&decimal.to_string()), plain(text), "exact");
}

fn plain(text: &str) -> (bool, String, String) {
    let (digits, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, places) = digits.trim_start_matches('-').split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('-');
    // The point moves along the digits; what is farther than they reach is zeros.
    let power = power.trim_start_matches('+').parse::<i32>().expect("an exponent").clamp(-200, 200);
    let idle = "0".repeat(power.unsigned_abs() as usize);
    let digits = [&idle, whole, places, &idle].concat();
    let point = usize::try_from(idle.len() as i32 + whole.len() as i32 + power).expect("within the digits");
    let (whole, places) = digits.split_at(point);
    let (whole, places) = (whole.trim_start_matches('0'), places.trim_end_matches('0'));
    let is_zero = whole.is_empty() && places.is_empty();
    (text.starts_with('-') && !is_zero, whole.to_owned(), places.to_owned())
}

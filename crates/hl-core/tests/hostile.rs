//! Texts that no exchange sends: each is refused or taken without harm, and memory stays in proportion to the text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]
#![cfg(target_os = "linux")]

use hl_core::decode::{self, DecodeError, Frame, rest};
use hl_core::stream::BookVariant;
use hl_core::{Dex, TimeMs};

/// The longest frame and the longest body that the sources take, bytes.
const FRAME: usize = 4 << 20;
const BODY: usize = 32 << 20;
/// What decoding may need beside the text, bytes. A frame may need many times its length, a body about its own.
const BESIDE: usize = 3 * BODY;

/// The most memory that this process has held so far, bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// `start`, then `piece` as often as fits into `bytes`, then `end`.
fn long(start: &str, piece: &str, end: &str, bytes: usize) -> Vec<u8> {
    let times = (bytes - start.len() - end.len()) / piece.len();
    [start, &piece.repeat(times), end].concat().into_bytes()
}

fn frame(text: &str) -> Result<Frame, DecodeError> {
    decode::frame(&mut text.as_bytes().to_vec(), TimeMs(0))
}

type Decode = fn(&mut [u8]) -> Result<(), DecodeError>;

const AS_FRAME: Decode = |text| decode::frame(text, TimeMs(0)).map(drop);
const AS_TRADES: Decode = |text| rest::recent_trades(text).map(drop);
const AS_CANDLES: Decode = |text| rest::candles(text).map(drop);
const AS_MIDS: Decode = |text| rest::all_mids(text, Dex::First, TimeMs(0)).map(drop);
const AS_META: Decode = |text| rest::meta(text).map(drop);
const AS_CONTEXTS: Decode = |text| rest::meta_and_contexts(text, TimeMs(0)).map(drop);
const AS_BOOK: Decode = |text| rest::l2_book(text, BookVariant::Default).map(drop);

const LEVEL: &str = r#"{"px":"1","sz":"1","n":1},"#;
const LAST_LEVEL: &str = r#"{"px":"1","sz":"1","n":1}],[]]}"#;

/// Start, piece, end, longest text, how it is decoded, and whether it is taken.
const LONG: [(&str, &str, &str, usize, Decode, bool); 13] = [
    (r#"{"channel":"trades","data":["#, "0,", "0]}", FRAME, AS_FRAME, false),
    (r#"{"data":["#, "0,", r#"0],"channel":"trades"}"#, FRAME, AS_FRAME, false),
    (r#"{"channel":"trades","data":["#, "[],", "0]}", FRAME, AS_FRAME, false),
    (r#"{"channel":"new","data":["#, "{},", "0]}", FRAME, AS_FRAME, true),
    (
        r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":["#,
        "[],",
        "0]}}",
        FRAME,
        AS_FRAME,
        true,
    ),
    ("[", "0,", "0]", BODY, AS_TRADES, false),
    ("[", "[],", "0]", BODY, AS_CANDLES, false),
    (r#"{"BTC":["#, "0,", "0]}", BODY, AS_MIDS, false),
    (r#"{"universe":["#, "0,", "0]}", BODY, AS_META, false),
    // Fields that nobody knows are passed over.
    (r#"{"universe":[],"new":["#, "0,", "0]}", BODY, AS_META, true),
    (r#"[{"universe":[]},["#, "0,", "0]]", BODY, AS_CONTEXTS, false),
    (r#"{"coin":"BTC","time":1,"levels":[["#, LEVEL, LAST_LEVEL, FRAME, AS_BOOK, false),
    (r#"{"coin":"BTC","time":1,"levels":[["#, LEVEL, LAST_LEVEL, BODY, AS_BOOK, false),
];

#[test]
fn millions_of_values_in_the_longest_texts_cost_memory_in_proportion() {
    // Making such a text takes memory too.
    drop(long("", "0,", "", BODY));
    let before = peak();
    for (start, piece, end, bytes, decode, taken) in LONG {
        let mut text = long(start, piece, end, bytes);
        assert!(text.len() + piece.len() > bytes);
        let result = decode(&mut text);
        assert_eq!(result.is_ok(), taken, "{start}{piece}…: {result:?}");
        if let Err(error) = result {
            assert!(error.to_string().len() < 600, "an error is no copy of the text");
        }
        assert!(peak() < before + BESIDE, "{start}{piece}…: {} MB more", (peak() - before) >> 20);
    }
    println!("{} MB beside the longest text", (peak() - before) >> 20);
}

#[test]
fn nesting_is_bounded() {
    for deep in ["[".repeat(1 << 20), r#"{"a":"#.repeat(1 << 18)] {
        let error = frame(&format!(r#"{{"channel":"trades","data":{deep}"#)).unwrap_err();
        assert!(error.to_string().contains("recursion limit") || error.path.is_some(), "{error}");
        assert!(frame(&format!(r#"{{"channel":"new","data":{deep}"#)).is_err());
        assert!(frame(&deep).is_err());
    }
}

#[test]
fn numbers_are_exact_or_refused() {
    let mids = |px: &str| frame(&format!(r#"{{"channel":"allMids","data":{{"mids":{{"BTC":{px}}}}}}}"#));
    assert!(mids(r#""79228162514264337593543950335""#).is_ok(), "the largest that is exact");
    let digits = "9".repeat(1 << 20);
    for bad in ["1e400", "1", "NaN", r#""1e400""#, r#""NaN""#, r#""inf""#, r#""""#, &format!("{digits:?}")] {
        assert!(mids(bad).is_err(), "{}", &bad[..bad.len().min(20)]);
    }
    let bbo = |time: &str| {
        frame(&format!(r#"{{"channel":"bbo","data":{{"coin":"BTC","time":{time},"bbo":[null,null]}}}}"#))
    };
    assert!(bbo("9223372036854775807").is_ok());
    for bad in ["9223372036854775808", "1e400", "1.5", "-1e400", &digits] {
        assert!(bbo(bad).is_err(), "{}", &bad[..bad.len().min(20)]);
    }
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    for twice in [
        r#"{"channel":"bbo","channel":"trades","data":[]}"#,
        r#"{"channel":"bbo","data":{"coin":"BTC","coin":"ETH","time":1,"bbo":[null,null]}}"#,
        r#"{"channel":"trades","data":[],"data":[]}"#,
    ] {
        assert!(frame(twice).is_err(), "{twice}");
    }
}

#[test]
fn names_of_coins_are_bounded() {
    let long = format!(r#"{{"channel":"allMids","data":{{"mids":{{"{}":"1"}}}}}}"#, "A".repeat(1 << 20));
    assert!(frame(&long).is_err());
}

//! How fast messages decode, and which JSON parser is the faster for which: the figures behind `decode/parser.rs`.
//!
//! `cargo bench -p hl-core --bench decode`. Real frames are taken from `HL_CAPTURES_DIR` (by default
//! `../shared/captures` beside the checkout) where it is present; the rest is made here. Each line is the best of many
//! rounds, the two parsers in turn; the ratio is simd-json's time over serde_json's: below 1 simd-json is the faster.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::cell::RefCell;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use hl_core::TimeMs;
use hl_core::decode;
use hl_core::message::info::fills::Fill;
use hl_core::message::info::market::MetaAndCtxs;
use hl_core::message::market::WsCandle;
use hl_core::message::stats::Leaderboard;
use hl_core::message::ws::Message;
use serde::de::DeserializeOwned;

const ROUNDS: usize = 40;

fn main() {
    println!(
        "{:<34}{:>9}{:>12}{:>14}{:>12}{:>8}",
        "", "texts", "bytes each", "serde_json/s", "simd_json/s", "ratio"
    );
    let recorded = recorded();
    if recorded.is_empty() {
        println!("no recordings: only made messages are measured");
    }
    for (channel, name) in
        [("\"l2Book\"", "book frames, recorded"), ("\"trades\"", "trades frames, recorded")]
    {
        let texts: Vec<Vec<u8>> = recorded
            .iter()
            .filter(|line| line.contains(channel))
            .map(|line| line.clone().into_bytes())
            .collect();
        if !texts.is_empty() {
            compare::<Message>(name, &texts);
            value(&format!("{name}, as Value"), &texts);
            records(name, &texts);
        }
    }
    let made = [
        ("bbo frame", bbo()),
        ("candle frame", format!(r#"{{"channel":"candle","data":{}}}"#, candle(0))),
        ("fast book frame", book(5, true)),
        ("book frame", book(20, false)),
        (
            "context frame",
            format!(r#"{{"channel":"activeAssetCtx","data":{{"coin":"BTC","ctx":{}}}}}"#, ctx()),
        ),
        ("mids frame, 1100 coins", mids(1_100)),
    ];
    for (name, text) in made {
        let texts = vec![text.into_bytes(); 100];
        compare::<Message>(name, &texts);
        records(name, &texts);
    }
    compare::<Vec<WsCandle>>("candleSnapshot, 5000 bars", &[list(5_000, candle)]);
    compare::<Vec<Fill>>("userFills, 2000 fills", &[list(2_000, fill)]);
    compare::<MetaAndCtxs>("metaAndAssetCtxs, 230 coins", &[meta(230)]);
    compare::<Leaderboard>("leaderboard, 5000 rows", &[leaderboard(5_000)]);
    value("leaderboard, 5000 rows, as Value", &[leaderboard(5_000)]);
}

fn recorded() -> Vec<String> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let folder = std::env::var_os("HL_CAPTURES_DIR").map_or_else(default, Into::into);
    let file = folder.join("ws-books-5m/live_books_5m.jsonl");
    std::fs::read_to_string(file).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// The best time of one pass over the texts. Each pass has its own copies: simd-json overwrites them.
fn best(texts: &[Vec<u8>], mut pass: impl FnMut(&mut [Vec<u8>])) -> Duration {
    let mut copies = texts.to_vec();
    let start = Instant::now();
    pass(&mut copies);
    start.elapsed()
}

fn race(name: &str, texts: &[Vec<u8>], a: impl Fn(&mut Vec<u8>), b: impl Fn(&mut Vec<u8>)) {
    let (mut serde, mut simd) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        serde = serde.min(best(texts, |copies| copies.iter_mut().for_each(&a)));
        simd = simd.min(best(texts, |copies| copies.iter_mut().for_each(&b)));
    }
    let per_second = |time: Duration| texts.len() as f64 / time.as_secs_f64();
    let bytes = texts.iter().map(Vec::len).sum::<usize>() / texts.len();
    let ratio = simd.as_secs_f64() / serde.as_secs_f64();
    println!(
        "{name:<34}{:>9}{bytes:>12}{:>14.0}{:>12.0}{ratio:>8.2}",
        texts.len(),
        per_second(serde),
        per_second(simd)
    );
}

/// Both parsers into the same type; simd-json with its scratch kept from one text to the next, as the collector does.
fn compare<T: DeserializeOwned>(name: &str, texts: &[Vec<u8>]) {
    let buffers = RefCell::new(simd_json::Buffers::new(1 << 16));
    race(
        name,
        texts,
        |text| drop(black_box(serde_json::from_slice::<T>(text).unwrap())),
        |text| {
            let mut buffers = buffers.borrow_mut();
            drop(black_box(simd_json::serde::from_slice_with_buffers::<T>(text, &mut buffers).unwrap()));
        },
    );
}

/// Both parsers into their own untyped value, and from there nowhere.
fn value(name: &str, texts: &[Vec<u8>]) {
    race(
        name,
        texts,
        |text| drop(black_box(serde_json::from_slice::<serde_json::Value>(text).unwrap())),
        |text| drop(black_box(simd_json::to_borrowed_value(text).unwrap())),
    );
}

/// The whole way to records, as the collector takes it.
fn records(name: &str, texts: &[Vec<u8>]) {
    let mut time = Duration::MAX;
    for _ in 0..ROUNDS {
        time = time.min(best(texts, |copies| {
            for text in copies {
                black_box(decode::frame(text, TimeMs(1)).unwrap());
            }
        }));
    }
    println!("{:<34}{:>35.0}", format!("  {name}: to records"), texts.len() as f64 / time.as_secs_f64());
}

fn bbo() -> String {
    r#"{"channel":"bbo","data":{"coin":"BTC","time":1784683655994,"bbo":[{"px":"66410.0","sz":"1.99792","n":6},{"px":"66411.0","sz":"0.14527","n":2}]}}"#.to_owned()
}

fn book(levels: usize, fast: bool) -> String {
    let side = |sign: i64| {
        let mut text = String::new();
        for i in 1..=levels as i64 {
            let comma = if i > 1 { "," } else { "" };
            write!(
                text,
                r#"{comma}{{"px":"{}.0","sz":"{}.{:05}","n":{i}}}"#,
                66_410 + sign * i,
                i % 9,
                i * 7_919
            )
            .unwrap();
        }
        text
    };
    let fast = if fast { r#","fast":true"# } else { "" };
    format!(
        r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":1784683655994,"levels":[[{}],[{}]]{fast}}}}}"#,
        side(-1),
        side(1)
    )
}

fn candle(i: usize) -> String {
    let open = 1_784_683_620_000 + 60_000 * i as i64;
    format!(
        r#"{{"t":{open},"T":{},"s":"BTC","i":"1m","o":"66410.0","c":"66{:03}.0","h":"66999.0","l":"66000.0","v":"12.{i:05}","n":{i}}}"#,
        open + 59_999,
        i % 1_000
    )
}

fn ctx() -> String {
    r#"{"funding":"0.0000125","openInterest":"27345.12342","prevDayPx":"65912.0","dayNtlVlm":"1823746152.1273651123","premium":"-0.00031774","oraclePx":"66420.0","markPx":"66411.0","midPx":"66410.5","impactPxs":["66410.0","66411.0"],"dayBaseVlm":"27512.12345"}"#.to_owned()
}

fn mids(coins: usize) -> String {
    let mids: Vec<String> = (0..coins).map(|i| format!(r#""@{i}":"{i}.{:05}""#, i * 31)).collect();
    format!(r#"{{"channel":"allMids","data":{{"mids":{{{}}}}}}}"#, mids.join(","))
}

fn fill(i: usize) -> String {
    format!(
        r#"{{"coin":"BTC","px":"66410.0","sz":"0.{:05}","side":"B","time":{},"startPosition":"-1.5","dir":"Close Short","closedPnl":"1.25","hash":"0x{i:064x}","oid":{i},"crossed":true,"fee":"0.01234","tid":{i},"feeToken":"USDC","twapId":null}}"#,
        i + 1,
        1_784_683_655_994 + i
    )
}

fn meta(coins: usize) -> Vec<u8> {
    let assets: Vec<String> = (0..coins)
        .map(|i| format!(r#"{{"szDecimals":5,"name":"C{i}","maxLeverage":40,"marginTableId":56}}"#))
        .collect();
    let ctxs = vec![ctx(); coins];
    format!(
        r#"[{{"universe":[{}],"marginTables":[],"collateralToken":0}},[{}]]"#,
        assets.join(","),
        ctxs.join(",")
    )
    .into_bytes()
}

fn leaderboard(rows: usize) -> Vec<u8> {
    let row = |i: usize| {
        let windows: Vec<String> = ["day", "week", "month", "allTime"]
            .map(|w| format!(r#"["{w}",{{"pnl":"-{i}.123456","roi":"0.0123456789","vlm":"{i}000.98765"}}]"#))
            .to_vec();
        format!(
            r#"{{"ethAddress":"0x{i:040x}","accountValue":"{i}123.456789","windowPerformances":[{}],"prize":0,"displayName":null}}"#,
            windows.join(",")
        )
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(r#"{{"leaderboardRows":[{}]}}"#, rows.join(",")).into_bytes()
}

fn list(n: usize, item: impl Fn(usize) -> String) -> Vec<u8> {
    format!("[{}]", (0..n).map(item).collect::<Vec<_>>().join(",")).into_bytes()
}

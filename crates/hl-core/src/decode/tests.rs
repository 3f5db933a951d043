use super::*;
use crate::Coin;
use crate::record::Book;
use crate::stream::BookVariant;

const STAMP: TimeMs = TimeMs(1_784_683_656_000);

fn decode(text: &str) -> Result<Frame, DecodeError> {
    frame(&mut text.as_bytes().to_vec(), STAMP)
}

/// The records of a frame.
fn list<T: Record>(text: &str) -> Vec<T> {
    let Ok(Frame::Data(stream, records)) = decode(text) else { panic!("no data: {text}") };
    assert!(records.are_of(stream));
    T::taken(records).unwrap_or_else(|_| panic!("records of another kind: {text}"))
}

fn only<T: Record>(text: &str) -> T {
    list(text).pop().unwrap()
}

#[test]
fn a_pong_has_no_data() {
    assert_eq!(decode(r#"{"channel":"pong"}"#).unwrap(), Frame::Pong);
}

#[test]
fn the_fast_variant_is_named_by_the_frame() {
    let text = r#"{"channel":"l2Book","data":{"coin":"BTC","time":5,"levels":[[{"px":"1.0","sz":"2.50","n":3}],[]],"fast":true}}"#;
    let book: Book = only(text);
    assert_eq!((book.variant, book.time, book.bids.len()), (BookVariant::Fast, TimeMs(5), 1));
    assert_eq!(book.bids[0].sz.to_string(), "2.50", "trailing zeros stay");
    let book: Book = only(&text.replace(r#","fast":true"#, ""));
    assert_eq!(book.variant, BookVariant::Default);
}

#[test]
fn keys_may_come_in_any_order() {
    let text = r#"{"data":{"bbo":[null,{"px":"2","sz":"1","n":1}],"time":7,"coin":"ETH"},"channel":"bbo"}"#;
    let bbo: Bbo = only(text);
    assert_eq!((bbo.bid, bbo.ask.map(|l| l.n), bbo.time), (None, Some(1), TimeMs(7)));
}

#[test]
fn mids_come_sorted_and_stamped() {
    let text = r#"{"channel":"allMids","data":{"mids":{"ETH":"2.0","@1":"3","BTC":"1.5"}}}"#;
    let mids: Vec<Mid> = list(text);
    let of_a_dex = r#"{"channel":"allMids","data":{"mids":{"xyz:TSLA":"2.0","xyz:NVDA":"3"},"dex":"xyz"}}"#;
    assert_eq!(list::<Mid>(of_a_dex).len(), 2);
    let coins: Vec<&str> = mids.iter().map(|m| m.coin.as_str()).collect();
    assert_eq!(coins, ["@1", "BTC", "ETH"]);
    assert!(mids.iter().all(|m| m.time == STAMP));
}

#[test]
fn a_delisted_perpetual_has_nulls() {
    let text = r#"{"channel":"activeAssetCtx","data":{"coin":"MATIC","ctx":{"funding":"0.0","openInterest":"0.0",
        "prevDayPx":"0.3","dayNtlVlm":"0.0","premium":null,"oraclePx":"0.3","markPx":"0.3","midPx":null,
        "impactPxs":null,"dayBaseVlm":"0.0"}}}"#;
    let context: Context = only(text);
    assert_eq!((context.mid_px, context.premium, context.impact_bid), (None, None, None));
    assert_eq!((context.coin.as_str(), context.time), ("MATIC", STAMP));
}

#[test]
fn what_is_not_typed_is_kept_by_its_name() {
    let frame = decode(r#"{"channel":"webData2","data":{"deep":[1,{"a":null}]}}"#).unwrap();
    assert_eq!(frame, Frame::Unknown { channel: "webData2".into() });
    assert!(decode(r#"{"channel":"webData2","data":{"deep":[1,{"a":"#).is_err(), "cut short is not unknown");
}

#[test]
fn an_error_says_where() {
    let text = r#"{"channel":"bbo","data":{"coin":"BTC","time":1,"bbo":[{"px":"1_5","sz":"1","n":1},null]}}"#;
    let error = decode(text).unwrap_err();
    assert_eq!((error.what.as_str(), error.path.as_deref()), ("bbo", Some("data.bbo[0].px")));
    assert!(error.at > 50 && error.at < text.len() && error.excerpt.contains("1_5"), "{error:?}");
    let error = decode("<html>504 Gateway Time-out</html>").unwrap_err();
    assert!(error.to_string().contains("504 Gateway"), "{error}");
    assert!(decode("{}").is_err() && decode("").is_err() && decode("[]").is_err());
}

#[test]
fn numbers_are_exact_or_refused() {
    let bbo = |px: &str| {
        decode(&format!(
            r#"{{"channel":"bbo","data":{{"coin":"B","time":1,"bbo":[{{"px":{px},"sz":"1","n":1}},null]}}}}"#
        ))
    };
    assert!(bbo(r#""0.1""#).is_ok());
    for bad in [r#""NaN""#, r#""1e400""#, "1.5", "1", "null", r#""0.12345678901234567890123456789""#, r#""""#]
    {
        assert!(bbo(bad).is_err(), "{bad}");
    }
    let time = |time: &str| {
        decode(&format!(r#"{{"channel":"bbo","data":{{"coin":"B","time":{time},"bbo":[null,null]}}}}"#))
    };
    assert!(time("9223372036854775807").is_ok());
    for bad in ["9223372036854775808", "1e3", "1.0", r#""1""#, "null"] {
        assert!(time(bad).is_err(), "{bad}");
    }
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", r#"{"a":"#] {
        let text = format!(r#"{{"channel":"new","data":{}"#, open.repeat(1 << 20));
        assert!(decode(&text).is_err());
        let text = format!(
            r#"{{"channel":"subscriptionResponse","data":{{"method":"subscribe","subscription":{}"#,
            open.repeat(1 << 20)
        );
        assert!(decode(&text).is_err());
    }
}

fn trade(coin: &str, time: i64, tid: u64) -> String {
    format!(
        r#"{{"coin":"{coin}","side":"A","px":"1.0","sz":"2.0","time":{time},"hash":"0x{hash}","tid":{tid},"users":["0x{buyer}","0x{seller}"]}}"#,
        hash = "0".repeat(64),
        buyer = "a".repeat(40),
        seller = "b".repeat(40),
    )
}

#[test]
fn the_buyer_comes_first_whatever_the_side() {
    let text = format!(r#"{{"channel":"trades","data":[{}]}}"#, trade("BTC", 1, 2));
    let trades: Vec<Trade> = list(&text);
    assert_eq!(trades[0].buyer.to_string(), format!("0x{}", "a".repeat(40)));
    assert_eq!(trades[0].seller.to_string(), format!("0x{}", "b".repeat(40)));
    assert_eq!(
        decode(r#"{"channel":"trades","data":[]}"#).unwrap(),
        Frame::Message(Box::new(Message::Trades(vec![])))
    );
}

#[test]
fn two_coins_in_one_frame_are_refused() {
    let text = format!(r#"{{"channel":"trades","data":[{},{}]}}"#, trade("BTC", 1, 2), trade("ETH", 1, 3));
    assert!(matches!(decode(&text).unwrap_err().fault, Fault::Rule(_)));
}

#[test]
fn recent_trades_are_turned_round() {
    let body = format!("[{},{},{}]", trade("BTC", 9, 3), trade("BTC", 5, 2), trade("BTC", 5, 1));
    let trades = rest::recent_trades(&mut body.into_bytes()).unwrap();
    assert_eq!(trades.rows.iter().map(|t| (t.time.0, t.tid)).collect::<Vec<_>>(), [(5, 1), (5, 2), (9, 3)]);
}

#[test]
fn an_unknown_coin_has_no_book() {
    assert_eq!(rest::l2_book(&mut b"null".to_vec(), BookVariant::Default).unwrap(), None);
    let error = rest::recent_trades(&mut b"null".to_vec()).unwrap_err();
    assert_eq!(error.what, "recentTrades");
}

#[test]
fn contexts_of_perpetuals_are_joined_by_position_and_counted() {
    let ctx = r#"{"funding":"0","openInterest":"0","prevDayPx":"1","dayNtlVlm":"0","premium":null,"oraclePx":"1","markPx":"1","midPx":null,"impactPxs":["1","2"],"dayBaseVlm":"0"}"#;
    let asset = |name: &str| format!(r#"{{"name":"{name}","szDecimals":1,"maxLeverage":3}}"#);
    let body = format!(r#"[{{"universe":[{},{}]}},[{ctx},{ctx}]]"#, asset("B"), asset("A"));
    let (meta, contexts) = rest::meta_and_contexts(&mut body.clone().into_bytes(), STAMP).unwrap().value;
    assert_eq!(meta.universe.len(), 2);
    assert_eq!(
        contexts.iter().map(|c| c.coin).collect::<Vec<_>>(),
        ["B", "A"].map(|c| Coin::new(c).unwrap())
    );
    let short = body.replace(&format!("[{ctx},{ctx}]"), &format!("[{ctx}]"));
    assert!(rest::meta_and_contexts(&mut short.into_bytes(), STAMP).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    let bar = |t: i64| {
        format!(
            r#"{{"t":{t},"T":{},"s":"BTC","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}}"#,
            t + 59_999
        )
    };
    let framed = |t| format!(r#"{{"channel":"candle","data":{}}}"#, bar(t)).into_bytes();
    assert!(frame(&mut framed(60_000), TimeMs(0)).is_ok());
    let words = frame(&mut framed(60_001), TimeMs(0)).unwrap_err().to_string();
    assert!(words.contains("begins in the middle of another"), "{words}");
    assert!(rest::candles(&mut format!("[{}]", bar(120_000)).into_bytes()).is_ok());
    let bars = rest::candles(&mut format!("[{},{}]", bar(0), bar(1)).into_bytes()).unwrap();
    assert_eq!((bars.rows.len(), bars.unreadable()), (1, 1));

    let book = |levels: usize| {
        let levels = vec![r#"{"px":"1","sz":"1","n":1}"#; levels].join(",");
        format!(r#"{{"coin":"BTC","time":1,"levels":[[],[{levels}]]}}"#)
    };
    let read = |levels| rest::l2_book(&mut book(levels).into_bytes(), BookVariant::Default);
    assert!(read(100).is_ok() && read(101).is_err());
    let mut framed = format!(r#"{{"channel":"l2Book","data":{}}}"#, book(101)).into_bytes();
    assert!(frame(&mut framed, TimeMs(0)).is_err());

    let dexes = |n: usize| format!("[{}]", vec!["null"; n].join(",")).into_bytes();
    assert!(rest::perp_dexs(&mut dexes(1_000)).is_ok() && rest::perp_dexs(&mut dexes(1_001)).is_err());
}

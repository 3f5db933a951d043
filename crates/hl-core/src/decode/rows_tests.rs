//! One value that cannot be read, in every list and map that there is.

use super::*;
use crate::ledger::Span;
use crate::record::Record as _;
use crate::{Coin, Dex, StreamKey};

const STAMP: TimeMs = TimeMs(1_784_683_656_000);

fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

fn trade(coin: &str, time: i64, tid: u64, sz: &str) -> String {
    format!(
        r#"{{"coin":"{coin}","side":"A","px":"1.0","sz":{sz},"time":{time},"hash":"0x{hash}","tid":{tid},"users":["0x{user}","0x{user}"]}}"#,
        hash = "0".repeat(64),
        user = "a".repeat(40),
    )
}

const GOOD: &str = r#""2.0""#;

fn trades_frame(rows: &[String]) -> Result<Frame, DecodeError> {
    frame(&mut format!(r#"{{"channel":"trades","data":[{}]}}"#, rows.join(",")).into_bytes(), STAMP)
}

fn hole(at: usize, rows: u32, times: Option<(i64, i64)>) -> Hole {
    Hole { at, rows, times: times.map(|(from, to)| Span::new(TimeMs(from), TimeMs(to))) }
}

#[test]
fn of_a_frame_of_trades_those_that_can_be_read_are_taken() {
    for bad in [r#""abc""#, "null", "1.5", r#""NaN""#, "[]", r#""1e-99""#, "1e400", "{}"] {
        let rows = [trade("DUST", 1, 1, GOOD), trade("DUST", 2, 2, bad), trade("DUST", 3, 3, GOOD)];
        let Frame::SomeTrades(rows) = trades_frame(&rows).unwrap() else { panic!("{bad}") };
        assert_eq!(rows.rows.iter().map(|t| t.tid).collect::<Vec<_>>(), [1, 3], "{bad}");
        assert_eq!((rows.len(), rows.unreadable(), &rows.holes[..]), (3, 1, &[hole(1, 1, Some((2, 2)))][..]));
        let reason = rows.reason.clone().unwrap();
        assert!(reason.contains("trades[1]") && reason.len() < 400, "{reason}");
        let parts = rows.into_parts();
        let [Part::Rows(before), Part::Hole(_), Part::Rows(after)] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!((before[0].tid, after[0].tid), (1, 3));
    }
}

#[test]
fn neighbours_that_cannot_be_read_are_one_hole_and_those_at_the_ends_are_holes_too() {
    let bad = |time, tid| trade("DUST", time, tid, "null");
    let rows =
        [bad(1, 1), trade("DUST", 2, 2, GOOD), bad(3, 3), bad(4, 4), trade("DUST", 5, 5, GOOD), bad(6, 6)];
    let Frame::SomeTrades(rows) = trades_frame(&rows).unwrap() else { panic!() };
    assert_eq!(rows.holes, [hole(0, 1, Some((1, 1))), hole(1, 2, Some((3, 4))), hole(2, 1, Some((6, 6)))]);
    assert_eq!(rows.len(), 6);
    let shapes: String =
        rows.into_parts().iter().map(|part| if matches!(part, Part::Hole(_)) { 'h' } else { 'r' }).collect();
    assert_eq!(shapes, "hrhrh");
}

#[test]
fn the_time_of_a_row_that_cannot_be_read_is_believed_only_between_its_neighbours() {
    let rows = [
        trade("DUST", 5, 1, GOOD),
        trade("DUST", 90, 2, "0"),
        trade("DUST", 7, 3, GOOD),
        r#"{"x":1}"#.into(),
    ];
    let Frame::SomeTrades(rows) = trades_frame(&rows).unwrap() else { panic!() };
    assert_eq!(rows.holes, [hole(1, 1, None), hole(2, 1, None)]);
}

#[test]
fn a_frame_of_trades_of_which_nothing_can_be_read_is_an_error_of_its_coin() {
    let error = trades_frame(&[trade("DUST", 1, 1, "0"), trade("DUST", 2, 2, "0")]).unwrap_err();
    assert_eq!((error.what.as_str(), error.coin, error.well_formed), ("trades", Some(coin("DUST")), true));
    let mixed = [trade("DUST", 1, 1, "0"), trade("BTC", 2, 2, GOOD)];
    assert!(trades_frame(&mixed).is_err(), "trades of two coins");
    assert_eq!(trades_frame(&["5".into()]).unwrap_err().coin, None);
}

#[test]
fn an_error_names_the_coin_of_every_frame_that_has_one() {
    let of = |text: &str| frame(&mut text.as_bytes().to_vec(), STAMP).unwrap_err();
    for name in ["BTC", "xyz:NVDA", "PURR/USDC"] {
        let known = coin(name);
        for (text, well_formed) in [
            (r#"{"channel":"l2Book","data":{"coin":"BTC","time":1e400,"levels":[[],[]]}}"#, true),
            (r#"{"channel":"bbo","data":{"time":1,"bbo":[0,0],"coin" : "BTC"}}"#, true),
            (r#"{"channel":"candle","data":{"t":1,"T":2,"s":"BTC","i":"1m","o":null}}"#, true),
            (r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"NaN"}}}"#, true),
            (r#"{"channel":"activeSpotAssetCtx","data":{"coin":"BTC","ctx":{}}}"#, true),
            (r#"{"channel":"trades","data":[{"coin":"BTC","side":"#, false),
        ] {
            let error = of(&text.replace("BTC", name));
            assert_eq!((error.coin, error.well_formed), (Some(known), well_formed), "{text}: {error}");
        }
    }
    for text in [
        r#"{"channel":"bbo","data":{"coin":"never seen before","time":1,"bbo":[0,0]}}"#,
        r#"{"channel":"bbo","data":{"coin":7,"time":1,"bbo":[null,null]}}"#,
        r#"{"channel":"bbo","data":{"coin":"BTC"#,
        r#"{"channel":"subscriptionResponse","data":{"coin":"BTC"}}"#,
        r#"{"coin":"BTC"}"#,
        "",
    ] {
        assert_eq!(of(text).coin, None, "{text}");
    }
}

#[test]
fn a_coin_without_a_price_costs_no_other_its_mid() {
    let read = |values: &str| {
        let text = format!(r#"{{"channel":"allMids","data":{{"mids":{{"BTC":"1.5",{values},"ETH":"2"}}}}}}"#);
        let Frame::SomeMids { dex: Dex::First, mids, without, unread } =
            frame(&mut text.into_bytes(), STAMP).unwrap()
        else {
            panic!("{values}")
        };
        let mids: Vec<_> = mids.iter().map(|m| (m.coin.as_str(), m.px.to_string(), m.time)).collect();
        assert_eq!(mids, [("BTC", "1.5".into(), STAMP), ("ETH", "2".into(), STAMP)], "{values}");
        (without, unread)
    };
    let (without, unread) = read(r#""DEAD":null,"GONE":"""#);
    assert!((without, unread.is_empty()) == (2, true), "that is a state, and nothing unreadable");
    for bad in [r#""NaN""#, "1.5", "[1]", "{}", r#""0.5.5""#, "true"] {
        let (without, unread) = read(&format!(r#""DUST":{bad}"#));
        assert_eq!((without, unread.rows(), unread.coins.contains(&coin("DUST"))), (0, 1, true));
        assert!(unread.reason.unwrap().contains("DUST"));
    }
    let (_, unread) = read(r#""no coin":"1","":"2""#);
    assert_eq!((unread.coins.len(), unread.others), (0, 2));
    assert!(frame(&mut br#"{"channel":"allMids","data":{"mids":{"BTC":null}}}"#.to_vec(), STAMP).is_err());
    let of_no_dex = b"{\"channel\":\"allMids\",\"data\":{\"dex\":\"x\x80z\",\"mids\":{\"BTC\":\"1\"}}}";
    assert!(frame(&mut of_no_dex.to_vec(), STAMP).is_err());

    let answer = |text: &str| rest::all_mids(&mut text.as_bytes().to_vec(), Dex::First, STAMP);
    let read = answer(r#"{"BTC":"1.5","DUST":"NaN","DEAD":null}"#).unwrap();
    assert_eq!((read.value.len(), read.unread.rows()), (1, 1));
    assert!(answer(r#"{"DUST":"NaN"}"#).is_err());
}

#[test]
fn a_mid_of_another_dex_is_none_of_those_that_were_asked_for() {
    let xyz = Dex::named("xyz").unwrap();
    let mids = r#"{"xyz:NVDA":"170.5","BTC":"1.5","abc:X":"2"}"#;
    let decoded = |dex: Option<&str>, mids: &str| {
        let dex = dex.map(|dex| format!(r#","dex":"{dex}""#)).unwrap_or_default();
        frame(&mut format!(r#"{{"channel":"allMids","data":{{"mids":{mids}{dex}}}}}"#).into_bytes(), STAMP)
    };
    let answered = |dex: Dex, mids: &str| rest::all_mids(&mut mids.as_bytes().to_vec(), dex, STAMP);
    for (word, dex, own) in
        [(None, Dex::First, "BTC"), (Some(""), Dex::First, "BTC"), (Some("xyz"), xyz, "xyz:NVDA")]
    {
        // Another value that cannot be read changes nothing of that.
        for mids in [mids.to_owned(), mids.replace('}', r#","DUST":"NaN"}"#)] {
            let Ok(Frame::SomeMids { dex: of, mids: its, unread, .. }) = decoded(word, &mids) else {
                panic!("{mids}")
            };
            let read = answered(dex, &mids).unwrap();
            for (mids, unread) in [(&its, &unread), (&read.value, &read.unread)] {
                assert!(
                    matches!(mids[..], [mid] if mid.coin == coin(own) && mid.stream() == StreamKey::Mids(of))
                );
                assert!(unread.coins.contains(&coin("abc:X")) && !unread.coins.contains(&coin(own)));
                assert!(unread.reason.is_some());
            }
            assert_eq!(of, dex);
        }
    }
    let whole = decoded(Some("xyz"), r#"{"xyz:NVDA":"170.5"}"#).unwrap();
    assert!(matches!(whole, Frame::Data(stream, _) if stream == StreamKey::Mids(xyz)));
    let none = decoded(Some("xyz"), "{}").unwrap();
    assert!(matches!(none, Frame::SomeMids { mids, unread, .. } if mids.is_empty() && unread.is_empty()));
    let other = r#"{"BTC":"1.5"}"#;
    assert!(decoded(Some("xyz"), other).is_err() && answered(xyz, other).is_err());
    assert!(matches!(decoded(Some("x:y"), other), Ok(Frame::Message(_))), "that is the name of no dex");
}

#[test]
fn one_settlement_that_cannot_be_read_costs_no_other() {
    let row = |hour: i64, premium: &str| {
        format!(
            r#"{{"coin":"BTC","fundingRate":"0.00001","premium":"{premium}","time":{}}}"#,
            hour * 3_600_000 + 50
        )
    };
    let body = format!("[{},{},{}]", row(4, "0.1"), row(5, "NaN"), row(6, "1e-7"));
    let rows = rest::funding(&mut body.into_bytes()).unwrap();
    assert_eq!(rows.rows.iter().map(|r| r.time.0 / 3_600_000).collect::<Vec<_>>(), [4, 6]);
    assert_eq!(rows.rows[1].premium.to_string(), "0.0000001");
    let at = 5 * 3_600_000 + 50;
    assert_eq!(rows.holes, [hole(1, 1, Some((at, at)))]);

    // An answer may hold nothing else: its time says what is missing.
    let rows = rest::funding(&mut format!("[{}]", row(5, "NaN")).into_bytes()).unwrap();
    assert_eq!((rows.rows.len(), &rows.holes[..]), (0, &[hole(0, 1, Some((at, at)))][..]));
    assert!(rest::funding(&mut b"[1,2]".to_vec()).is_err() && rest::funding(&mut b"{}".to_vec()).is_err());
    assert!(rest::funding(&mut b"[]".to_vec()).unwrap().is_empty());
}

#[test]
fn one_bar_that_cannot_be_read_costs_no_other() {
    let bar = |minute: i64, open: &str| {
        let t = minute * 60_000;
        format!(
            r#"{{"t":{t},"T":{},"s":"BTC","i":"1m","o":"{open}","c":"1","h":"1","l":"1","v":"1","n":1}}"#,
            t + 59_999
        )
    };
    // The second begins where no bar can.
    let askew = bar(3, "1").replace(r#""t":180000"#, r#""t":180001"#);
    let body = format!("[{},{},{},{}]", bar(1, "1"), bar(2, "Infinity"), askew, bar(4, "1"));
    let rows = rest::candles(&mut body.into_bytes()).unwrap();
    assert_eq!(rows.rows.iter().map(|bar| bar.time.0 / 60_000).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(rows.holes, [hole(1, 2, Some((120_000, 180_001)))]);
}

#[test]
fn recent_trades_keep_their_order_and_their_holes() {
    let body = [
        trade("BTC", 9, 5, GOOD),
        trade("BTC", 8, 4, "null"),
        trade("BTC", 5, 2, GOOD),
        trade("BTC", 5, 1, GOOD),
    ];
    let rows = rest::recent_trades(&mut format!("[{}]", body.join(",")).into_bytes()).unwrap();
    assert_eq!(rows.rows.iter().map(|t| t.tid).collect::<Vec<_>>(), [1, 2, 5]);
    assert_eq!(rows.holes, [hole(2, 1, Some((8, 8)))]);
}

const CTX: &str = r#"{"funding":"0.0","openInterest":"0.0","prevDayPx":"0.3","dayNtlVlm":"0.0","premium":null,"oraclePx":"0.3","markPx":"0.3","midPx":null,"impactPxs":null,"dayBaseVlm":"0.0"}"#;

fn asset(name: &str) -> String {
    format!(r#"{{"name":"{name}","szDecimals":5,"maxLeverage":50}}"#)
}

#[test]
fn a_context_that_cannot_be_read_is_that_of_its_coin_alone() {
    let body = |assets: &[String], ctxs: &[String]| {
        let text =
            format!(r#"[{{"universe":[{}],"marginTables":[]}},[{}]]"#, assets.join(","), ctxs.join(","));
        rest::meta_and_contexts(&mut text.into_bytes(), STAMP)
    };
    let good = CTX.to_owned();
    let assets = ["A", "B", "C"].map(asset);
    for bad in [
        CTX.replace(r#""markPx":"0.3""#, r#""markPx":null"#),
        CTX.replace(r#","dayBaseVlm":"0.0""#, ""),
        "7".into(),
    ] {
        let read = body(&assets, &[good.clone(), bad.clone(), good.clone()]).unwrap();
        let names: Vec<_> = read.value.1.iter().map(|c| c.coin.as_str()).collect();
        assert_eq!((names, read.value.0.universe.len()), (vec!["A", "C"], 3), "{bad}");
        assert_eq!(read.unread.coins.iter().copied().collect::<Vec<_>>(), [coin("B")]);
    }
    // A perpetual without a readable name: its context is not taken for another's.
    let nameless = [asset("A"), r#"{"szDecimals":5}"#.into(), asset("C")];
    let read = body(&nameless, &[good.clone(), good.clone(), good.clone()]).unwrap();
    assert_eq!(read.value.1.iter().map(|c| c.coin.as_str()).collect::<Vec<_>>(), ["A", "C"]);
    assert_eq!(read.unread.others, 1);
    assert!(body(&assets, &[good.clone(), good.clone()]).is_err(), "one for each");
    assert!(body(&assets, &["1".into(), "2".into(), "3".into()]).is_err());
}

#[test]
fn a_market_that_cannot_be_read_hides_no_other() {
    let text = format!(
        r#"{{"universe":[{},{{"name":"ODD","szDecimals":-1,"maxLeverage":5}},{}],"marginTables":[[1,{{}}]],"collateralToken":0}}"#,
        asset("A"),
        asset("C")
    );
    let read = rest::meta(&mut text.into_bytes()).unwrap();
    assert_eq!(read.value.universe.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["A", "C"]);
    assert_eq!((read.unread.coins.contains(&coin("ODD")), read.unread.rows()), (true, 2));
    assert!(rest::meta(&mut br#"{"universe":[1,2]}"#.to_vec()).is_err());

    let pair = |name: &str| format!(r#"{{"tokens":[1,0],"name":"{name}","index":0,"isCanonical":false}}"#);
    let text = format!(r#"{{"universe":[{},{{"name":"@9"}}],"tokens":[5]}}"#, pair("@1"));
    let read = rest::spot_meta(&mut text.clone().into_bytes()).unwrap();
    assert_eq!((read.value.universe.len(), read.value.tokens.len(), read.unread.rows()), (1, 0, 2));
    let ctx = r#"{"prevDayPx":"1","dayNtlVlm":"1","markPx":"1","midPx":null,"circulatingSupply":"1","coin":"@1","totalSupply":"1","dayBaseVlm":"1"}"#;
    let bad = ctx.replace("@1", "@2").replace(r#""totalSupply":"1""#, r#""totalSupply":"""#);
    let body = format!("[{text},[{bad},{ctx}]]");
    let read = rest::spot_meta_and_contexts(&mut body.into_bytes(), STAMP).unwrap();
    assert_eq!(read.value.1.iter().map(|c| c.coin.as_str()).collect::<Vec<_>>(), ["@1"]);
    assert!(read.unread.coins.contains(&coin("@2")));

    let dex = format!(
        r#"{{"name":"xyz","fullName":"x","deployer":"0x{}","oracleUpdater":null,"feeRecipient":null,"assetToStreamingOiCap":[]}}"#,
        "1".repeat(40)
    );
    let read = rest::perp_dexs(&mut format!(r#"[null,{{"name":5}},{dex}]"#).into_bytes()).unwrap();
    assert_eq!(read.value.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true], "by index");
    assert_eq!(read.unread.rows(), 1);
}

#[test]
fn text_that_is_cut_or_no_unicode_is_told_from_text_that_is_whole() {
    let whole = format!("[{},{}]", trade("BTC", 9, 5, GOOD), trade("BTC", 8, 4, GOOD));
    let cut = rest::recent_trades(&mut whole.as_bytes()[..whole.len() - 9].to_vec()).unwrap_err();
    assert!(!cut.well_formed, "{cut}");
    let wrong = rest::recent_trades(&mut br#"{"error":"no"}"#.to_vec()).unwrap_err();
    assert!(wrong.well_formed, "{wrong}");
    assert!(!rest::meta(&mut b"<html>".to_vec()).unwrap_err().well_formed);

    // One row that is not Unicode spoils only itself.
    let mut rows = format!("[{},{}]", trade("BTC", 9, 5, GOOD), trade("BTC", 8, 4, r#""@""#)).into_bytes();
    let at = rows.iter().position(|b| *b == b'@').unwrap();
    rows[at] = 0xff;
    let rows = rest::recent_trades(&mut rows).unwrap();
    assert_eq!((rows.rows.len(), rows.unreadable()), (1, 1));
}

//! Real messages of the exchange, recorded by others, decode to their types, and writing them again loses nothing that
//! is modelled. What is left aside is named here, with its reason, and counted.
//!
//! The recordings are not part of the project. Their folder is `HL_CAPTURES_DIR`, by default `../shared/captures` beside
//! the checkout; where it is absent the test says that it was skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod check;
mod files;

use std::path::{Path, PathBuf};

use check::Tally;
use files::Direction;
use hl_core::Records;
use hl_core::decode::{self, Frame};
use hl_core::message::info::account::{ExtraAgent, Portfolio, SubAccount, UserFees, UserRateLimit, UserRole};
use hl_core::message::info::fills::{Fill, TwapSliceFill};
use hl_core::message::info::ledger::{FundingDelta, LedgerDelta, LedgerUpdate, StakingDelta};
use hl_core::message::info::market::{FundingRate, MetaAndCtxs, SpotMetaAndCtxs, TokenDetails};
use hl_core::message::info::meta::{Meta, PerpDex, SpotMeta};
use hl_core::message::info::orders::{FrontendOrder, OpenOrder, OrderStatus};
use hl_core::message::info::positions::{ClearinghouseState, SpotState};
use hl_core::message::info::vaults::VaultEquity;
use hl_core::message::info::{InfoRequest, fills, market};
use hl_core::message::market::{Mids, PerpCtx, SpotCtx, WsBook, WsCandle};
use hl_core::message::ws::{AllMids, Message};
use hl_core::message::{Method, Subscription};
use hl_core::record::Record as _;
use hl_core::{Coin, TimeMs};
use serde_json::Value;

const TRADING: &str = "replies to trading actions, which a collector never sends";
const NODE: &str = "lines of a node's own files, not messages of the API";
const REMOVED: &str = "a channel that the exchange has removed";
const ALTERED: &str =
    "shortened or made anonymous by who recorded it: what is left is not what the exchange sent";
const REPORT: &str = "a prober's report in its own words";

fn folder() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let folder = std::env::var_os("HL_CAPTURES_DIR").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no recordings at {}; set HL_CAPTURES_DIR to their folder", folder.display());
    None
}

#[test]
fn every_recorded_message_is_typed_or_named() {
    let Some(folder) = folder() else { return };
    let mut tally = Tally::default();
    for path in files::walk(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/");
        match name.split('/').next().unwrap() {
            "INDEX.md" => {}
            "ws-books-5m" => files::lines(&path).iter().for_each(|line| push(&mut tally, &name, line)),
            "user-fills" => user_fills(&mut tally, &files::json(&path)),
            "info-cassettes" | "info-cassettes-2" => {
                files::cassette(&path).iter().for_each(|(sent, answer)| info(&mut tally, sent, answer));
            }
            "account-frames" => account_frames(&mut tally, &name, &files::json(&path)),
            "transcripts" => transcripts(&mut tally, &name, &path),
            "probes" => probes(&mut tally, &name, &files::json(&path)),
            "node-output" => files::lines(&path).iter().for_each(|_| tally.aside(NODE, &name)),
            _ => panic!("{name} is not in the table"),
        }
    }
    report(&tally);
    assert!(tally.unmodelled.is_empty(), "fields that no type has: {:#?}", tally.unmodelled);
    // The recording of five minutes, and one of each in the transcripts.
    assert_eq!((tally.typed["l2Book frame"], tally.typed["trades frame"]), (285 + 1, 931 + 1));
    // Nothing slips from the typed into what is left aside.
    let aside = |reason| tally.aside.get(reason).map_or(0, |names| names.values().sum::<usize>());
    assert_eq!([TRADING, NODE, REMOVED, ALTERED, REPORT].map(aside), [2, 71, 3, 8, 4]);
}

fn report(tally: &Tally) {
    for (kind, count) in &tally.typed {
        eprintln!("{count:>6}  {kind}");
    }
    for (reason, names) in &tally.aside {
        eprintln!("left aside, {reason}:");
        names.iter().for_each(|(name, count)| eprintln!("{count:>6}  {name}"));
    }
}

/// A frame from the exchange: decodes on the fast way and as a message, and both say the same.
fn push(tally: &mut Tally, name: &str, text: &str) {
    let json: Value = serde_json::from_str(text).unwrap();
    let channel = json["channel"].as_str().unwrap().to_owned();
    let stamp = TimeMs(1);
    let frame =
        decode::frame(&mut text.to_owned().into_bytes(), stamp).unwrap_or_else(|e| panic!("{name}: {e}"));
    if let Frame::Unknown { channel } = &frame {
        assert_eq!(channel, "webData2", "{name}: not typed");
        return tally.aside(REMOVED, name);
    }
    let mut bare = json;
    // Stamped by the recorder.
    bare.as_object_mut().unwrap().remove("received_wall_ns");
    let message: Message = tally.typed(&format!("{channel} frame"), &bare);
    match (frame, message) {
        (Frame::Data(_, Records::Trades(trades)), Message::Trades(wire)) => {
            assert_eq!(
                trades,
                wire.into_iter().map(Into::into).collect::<Vec<_>>(),
                "oldest first on the wire"
            );
        }
        (Frame::Data(_, Records::Books(mut books)), Message::L2Book(wire)) => {
            let book = books.remove(0);
            assert!(!book.is_crossed());
            assert_eq!(WsBook::from(book), wire);
        }
        (Frame::Data(_, Records::Bbos(bbos)), Message::Bbo(wire)) => assert_eq!(bbos, [wire.into()]),
        (Frame::Data(_, Records::Candles(bars)), Message::Candle(wire)) => {
            assert_eq!(WsCandle::from(bars[0]), wire);
        }
        (Frame::Data(_, Records::Mids(mids)), Message::AllMids(wire)) => {
            assert_eq!(mids.len(), wire.mids.0.len());
        }
        (Frame::Ack { subscription, .. }, Message::SubscriptionResponse(ack)) => {
            assert_eq!(subscription, ack.subscription);
        }
        (Frame::Pong, Message::Pong) => {}
        (Frame::Message(boxed), message) => assert_eq!(*boxed, message),
        (frame, message) => panic!("{name}: {frame:?} is not {message:?}"),
    }
}

fn user_fills(tally: &mut Tally, file: &Value) {
    for query in file["queries"].as_array().unwrap() {
        let fills: Vec<Fill> = tally.typed("userFillsByTime", &query["fills"]);
        assert!(fills.iter().all(|f| f.tid.is_some()), "the tid is part of the key");
    }
}

/// A request and its answer.
fn info(tally: &mut Tally, sent: &Value, answer: &Value) {
    let request: InfoRequest = tally.typed("request", sent);
    let name = request.name();
    let name = name.as_str();
    match request {
        InfoRequest::Meta { .. } => drop(tally.typed::<Meta>(name, answer)),
        InfoRequest::MetaAndAssetCtxs { .. } => {
            let MetaAndCtxs(meta, ctxs) = tally.typed(name, answer);
            assert_eq!(meta.universe.len(), ctxs.len());
            let mut body = answer.to_string().into_bytes();
            let (_, contexts) = decode::rest::meta_and_contexts(&mut body, TimeMs(1)).unwrap().value;
            assert!(contexts.iter().zip(&meta.universe).all(|(c, a)| c.coin == a.name));
        }
        InfoRequest::PerpDexs => drop(tally.typed::<Vec<Option<PerpDex>>>(name, answer)),
        InfoRequest::SpotMeta => drop(tally.typed::<SpotMeta>(name, answer)),
        InfoRequest::AllMids { .. } => drop(tally.typed::<Mids>(name, answer)),
        InfoRequest::L2Book { .. } => drop(tally.typed::<Option<WsBook>>(name, answer)),
        InfoRequest::CandleSnapshot { .. } => drop(tally.typed::<Vec<WsCandle>>(name, answer)),
        InfoRequest::FundingHistory { .. } => drop(tally.typed::<Vec<FundingRate>>(name, answer)),
        InfoRequest::ClearinghouseState { .. } => drop(tally.typed::<ClearinghouseState>(name, answer)),
        InfoRequest::OpenOrders { .. } => drop(tally.typed::<Vec<OpenOrder>>(name, answer)),
        InfoRequest::FrontendOpenOrders { .. } => drop(tally.typed::<Vec<FrontendOrder>>(name, answer)),
        InfoRequest::HistoricalOrders { .. } => drop(tally.typed::<Vec<OrderStatus>>(name, answer)),
        InfoRequest::UserFills { .. } | InfoRequest::UserFillsByTime { .. } => {
            drop(tally.typed::<Vec<Fill>>(name, answer));
        }
        InfoRequest::UserTwapSliceFills { .. } => drop(tally.typed::<Vec<TwapSliceFill>>(name, answer)),
        InfoRequest::UserFunding { .. } => drop(tally.typed::<Vec<LedgerUpdate<FundingDelta>>>(name, answer)),
        InfoRequest::UserNonFundingLedgerUpdates { .. } => {
            let updates: Vec<LedgerUpdate<LedgerDelta>> = tally.typed(name, answer);
            assert!(updates.iter().all(|u| !matches!(u.delta, LedgerDelta::Other(_))), "{updates:?}");
        }
        InfoRequest::DelegatorHistory { .. } => {
            let updates: Vec<LedgerUpdate<StakingDelta>> = tally.typed(name, answer);
            assert!(updates.iter().all(|u| !matches!(u.delta, StakingDelta::Other(_))), "{updates:?}");
        }
        InfoRequest::ExtraAgents { .. } => drop(tally.typed::<Vec<ExtraAgent>>(name, answer)),
        InfoRequest::Portfolio { .. } => drop(tally.typed::<Portfolio>(name, answer)),
        InfoRequest::UserRateLimit { .. } => drop(tally.typed::<UserRateLimit>(name, answer)),
        InfoRequest::UserRole { .. } => drop(tally.typed::<UserRole>(name, answer)),
        InfoRequest::UserVaultEquities { .. } => drop(tally.typed::<Vec<VaultEquity>>(name, answer)),
        other => panic!("{other:?} is not in the table"),
    }
}

fn account_frames(tally: &mut Tally, name: &str, json: &Value) {
    match name.rsplit('/').next().unwrap() {
        "11-allMids.json" => drop(tally.typed::<AllMids>("allMids data", json)),
        "clearinghouseState.json" => drop(tally.typed::<ClearinghouseState>("clearinghouseState", json)),
        "meta.json" => drop(tally.typed::<Meta>("meta", json)),
        "spotMeta.json" => drop(tally.typed::<SpotMeta>("spotMeta", json)),
        "userFees.json" => drop(tally.typed::<UserFees>("userFees", json)),
        "webData2.json" => {
            tally.aside(REMOVED, name);
            web_data(tally, json);
        }
        _ => {
            for frame in json.as_array().unwrap() {
                push(tally, name, &frame.to_string());
                if frame["channel"] == "webData2" {
                    web_data(tally, &frame["data"]);
                }
            }
        }
    }
}

/// The parts of the removed channel that are still sent elsewhere.
fn web_data(tally: &mut Tally, data: &Value) {
    tally.typed::<ClearinghouseState>("clearinghouseState", &data["clearinghouseState"]);
    tally.typed::<SpotState>("spotClearinghouseState", &data["spotState"]);
    tally.typed::<Meta>("meta", &data["meta"]);
    tally.typed::<Vec<PerpCtx>>("contexts of perpetuals", &data["assetCtxs"]);
    if let Some(contexts) = data.get("spotAssetCtxs") {
        tally.typed::<Vec<SpotCtx>>("contexts of spot pairs", contexts);
    }
    tally.typed::<Vec<FrontendOrder>>("frontendOpenOrders", &data["openOrders"]);
    if let Some(coins) = data.get("perpsAtOpenInterestCap") {
        tally.typed::<Vec<Coin>>("perpsAtOpenInterestCap", coins);
    }
}

fn transcripts(tally: &mut Tally, name: &str, path: &Path) {
    let Some(rest) = name.strip_prefix("transcripts/Endpoints/") else {
        return match name {
            "transcripts/non-data-frames.jsonl" => {
                files::lines(path).iter().for_each(|line| push(tally, name, line));
            }
            _ => subscription(tally, name, path),
        };
    };
    let (endpoint, json) = files::endpoint(path);
    if endpoint == "/exchange" {
        return tally.aside(TRADING, name);
    }
    let json = &json;
    match rest {
        "Futures/Account/GetAccountInfo.txt" => {
            drop(tally.typed::<ClearinghouseState>("clearinghouseState", json))
        }
        "Futures/Account/GetFundingHistory.txt" => {
            drop(tally.typed::<Vec<LedgerUpdate<FundingDelta>>>("userFunding", json));
        }
        "Futures/ExchangeData/GetExchangeInfo.txt" => drop(tally.typed::<Meta>("meta", json)),
        "Futures/ExchangeData/GetExchangeInfoAndTickers.txt" => {
            drop(tally.typed::<MetaAndCtxs>("metaAndAssetCtxs", json));
        }
        "Futures/ExchangeData/GetFundingRateHistory.txt" => {
            drop(tally.typed::<Vec<FundingRate>>("fundingHistory", json));
        }
        "Futures/ExchangeData/GetSymbolsAtMaxOpenInterest.txt" => {
            drop(tally.typed::<Vec<Coin>>("perpsAtOpenInterestCap", json));
        }
        "Spot/Account/GetApprovedBuilderFee.txt" => drop(tally.typed::<u64>("maxBuilderFee", json)),
        "Spot/Account/GetBalances.txt" => drop(tally.typed::<SpotState>("spotClearinghouseState", json)),
        "Spot/Account/GetRateLimits.txt" => drop(tally.typed::<UserRateLimit>("userRateLimit", json)),
        "Spot/Account/GetSubAccounts.txt" => drop(tally.typed::<Vec<SubAccount>>("subAccounts", json)),
        "Spot/Account/GetSubAccounts2.txt" => {
            tally.aside(ALTERED, name);
            tally.typed::<SpotState>("spotClearinghouseState", &json[0]["spotState"]);
        }
        "Spot/Account/GetAccountLedger.txt" => {
            tally.aside(ALTERED, name);
            for update in json.as_array().unwrap() {
                let delta: LedgerDelta = tally.typed("delta of a ledger", &update["delta"]);
                assert!(!matches!(delta, LedgerDelta::Other(_)), "{delta:?}");
            }
        }
        "Spot/Account/GetExtraAgents.txt" => tally.aside(ALTERED, name),
        "Spot/ExchangeData/GetAssetInfo.txt" => drop(tally.typed::<TokenDetails>("tokenDetails", json)),
        "Spot/ExchangeData/GetExchangeInfo.txt" => drop(tally.typed::<SpotMeta>("spotMeta", json)),
        "Spot/ExchangeData/GetExchangeInfoAndTickers.txt" => {
            drop(tally.typed::<SpotMetaAndCtxs>("spotMetaAndAssetCtxs", json));
        }
        "Spot/ExchangeData/GetKlines.txt" => drop(tally.typed::<Vec<WsCandle>>("candleSnapshot", json)),
        "Spot/ExchangeData/GetOrderBook.txt" => drop(tally.typed::<Option<WsBook>>("l2Book", json)),
        "Spot/ExchangeData/GetPrices.txt" => drop(tally.typed::<Mids>("allMids", json)),
        "Spot/Trading/GetOpenOrders.txt" => drop(tally.typed::<Vec<OpenOrder>>("openOrders", json)),
        "Spot/Trading/GetOpenOrdersExtended.txt" => {
            drop(tally.typed::<Vec<FrontendOrder>>("frontendOpenOrders", json));
        }
        "Spot/Trading/GetUserTrades.txt" => drop(tally.typed::<Vec<fills::Fill>>("userFills", json)),
        _ => panic!("{name} is not in the table"),
    }
}

/// A conversation about subscriptions: what was sent is acknowledged, and then pushed.
fn subscription(tally: &mut Tally, name: &str, path: &Path) {
    let file = name.rsplit('/').next().unwrap();
    let mut sent: Vec<Subscription> = Vec::new();
    for (direction, json) in files::transcript(path) {
        match direction {
            // Users were given a short name.
            Direction::Client if json["subscription"]["user"] == "mtiz" => tally.aside(ALTERED, name),
            Direction::Client => sent.push(tally.typed("subscription", &json["subscription"])),
            Direction::Acknowledgement => {
                push(tally, name, &json.to_string());
                let echo = &json["data"]["subscription"];
                assert_eq!(json["data"]["method"], serde_json::to_value(Method::Subscribe).unwrap());
                if echo["user"] != "mtiz" {
                    assert_eq!(sent.iter().filter(|s| s.matches_echo(echo)).count(), 1, "{name}: {echo}");
                }
            }
            // Bars without prices; a hash of two digits.
            Direction::Push if ["Concurrent.txt", "UserEventTrade.txt"].contains(&file) => {
                tally.aside(ALTERED, name);
            }
            Direction::Push => push(tally, name, &json.to_string()),
        }
    }
}

fn probes(tally: &mut Tally, name: &str, json: &Value) {
    tally.aside(REPORT, name);
    if let Some(metadata) = json.get("metadata") {
        tally.typed::<market::MetaAndCtxs>("metaAndAssetCtxs", metadata);
    }
    // The errors that it quotes are frames, printed by Python.
    let quoted = json["websocket"]["errors"].as_array().map_or(&[][..], Vec::as_slice);
    for words in quoted.iter().filter_map(Value::as_str).filter(|w| w.contains("Error parsing JSON")) {
        let data = words.split("'data': '").nth(1).unwrap().trim_end_matches("'}");
        let frame = serde_json::json!({"channel": "error", "data": data});
        let decoded = decode::frame(&mut frame.to_string().into_bytes(), TimeMs(1)).unwrap();
        assert_eq!(decoded, Frame::Error(data.to_owned()));
    }
}

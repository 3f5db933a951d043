use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::info::account::{Referral, SubAccountAllDexs, UserRole};
use super::info::ledger::{LedgerDelta, LedgerUpdate, StakingDelta};
use super::info::market::{
    ConciseAnnotation, DeployAuction, ExchangeStatus, OutcomeTemplate, PerpAnnotation, PerpDexLimits,
    PerpDexStatus, PredictedFundings, SettledOutcome,
};
use super::info::meta::OutcomeMeta;
use super::info::orders::OrderLookup;
use super::info::positions::ActiveAssetData;
use super::info::vaults::{
    Delegation, DelegatorReward, DelegatorSummary, LeadingVault, VaultDetails, VaultSummary,
};
use super::info::{CandleRange, InfoRequest, OrderId};
use super::stats::{Leaderboard, VaultRow};
use super::ws::Message;
use super::{Request, Subscription};
use crate::decode::{self, Frame};
use crate::record::{Address, HexBytes};
use crate::stream::{BookVariant, Kind};
use crate::{Coin, Interval, StreamKey, TimeMs};

const USER: &str = "0x00000000000000000000000000000000000000aa";
const HASH: &str = "0x00000000000000000000000000000000000000000000000000000000000000ff";

/// What is written is what was read.
#[track_caller]
fn same<T: DeserializeOwned + Serialize + Debug>(json: Value) -> T {
    let value: T = decode::rest::answer("sample", &mut json.to_string().into_bytes()).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), json);
    value
}

fn perp_ctx() -> Value {
    json!({"funding": "0.0000125", "openInterest": "1.5", "prevDayPx": "2.0", "dayNtlVlm": "3.1234567891",
        "premium": null, "oraclePx": "4.0", "markPx": "5.0", "midPx": "6.0", "impactPxs": ["7.0", "8.0"],
        "dayBaseVlm": "9.0"})
}

fn spot_ctx(coin: &str) -> Value {
    json!({"prevDayPx": "1.0", "dayNtlVlm": "2.0", "markPx": "3.0", "midPx": null, "circulatingSupply": "4.0",
        "coin": coin, "totalSupply": "5.0", "dayBaseVlm": "6.0"})
}

fn fill() -> Value {
    json!({"coin": "xyz:NVDA", "px": "1.0", "sz": "2.0", "side": "B", "time": 1, "startPosition": "-2.0",
        "dir": "Close Short", "closedPnl": "0.5", "hash": HASH, "oid": 7, "crossed": true, "fee": "-0.01",
        "tid": 8, "feeToken": "USDC", "twapId": null, "builderFee": "0.001",
        "cloid": "0x000000000000000000000000000000ab",
        "liquidation": {"liquidatedUser": USER, "markPx": "1.1", "method": "market"}})
}

fn order() -> Value {
    json!({"coin": "BTC", "side": "A", "limitPx": "1.0", "sz": "2.0", "oid": 3, "timestamp": 4,
        "triggerCondition": "N/A", "isTrigger": false, "triggerPx": "0.0", "children": [], "isPositionTpsl": false,
        "reduceOnly": false, "orderType": "Limit", "origSz": "5.0", "tif": "Gtc", "cloid": null})
}

fn twap() -> Value {
    json!({"coin": "BTC", "user": USER, "side": "A", "sz": "1.0", "executedSz": "0.5", "executedNtl": "33.0",
        "minutes": 30, "reduceOnly": false, "randomize": true, "timestamp": 5})
}

fn clearinghouse() -> Value {
    let margin =
        json!({"accountValue": "1.0", "totalNtlPos": "2.0", "totalRawUsd": "-3.0", "totalMarginUsed": "4.0"});
    json!({"marginSummary": margin, "crossMarginSummary": margin, "crossMaintenanceMarginUsed": "5.0",
        "withdrawable": "6.0", "time": 9, "assetPositions": [{"type": "oneWay", "position": {
            "coin": "BTC", "szi": "-0.5", "leverage": {"type": "isolated", "value": 3, "rawUsd": "10.0"},
            "entryPx": "7.0", "positionValue": "8.0", "unrealizedPnl": "-1.0", "returnOnEquity": "-0.1",
            "liquidationPx": null, "marginUsed": "2.0", "maxLeverage": 40,
            "cumFunding": {"allTime": "1.0", "sinceOpen": "0.0", "sinceChange": "0.0"}}}]})
}

fn spot() -> Value {
    json!({"balances": [{"coin": "JPL ", "token": 3, "total": "1.0", "hold": "0.0", "entryNtl": "2.0"}]})
}

fn outcome() -> Value {
    json!({"outcome": 1209, "name": "BTC", "description": "class:priceBinary|underlying:BTC", "quoteToken": "USDC",
        "sideSpecs": [{"name": "Yes", "token": 5}, {"name": "No"}]})
}

fn frames() -> Vec<Value> {
    let level = json!({"px": "1.0", "sz": "2.0", "n": 3});
    let active = json!({"user": USER, "coin": "BTC", "leverage": {"type": "cross", "value": 20},
        "maxTradeSzs": ["1.0", "2.0"], "availableToTrade": ["3.0", "4.0"], "markPx": "5.0"});
    let frame = |channel: &str, data: Value| json!({"channel": channel, "data": data});
    let funding =
        json!({"coin": "BTC", "usdc": "-1.0", "szi": "2.0", "fundingRate": "0.1", "nSamples": null});
    let mut timed = funding.clone();
    timed["time"] = 5.into();
    vec![
        json!({"channel": "pong"}),
        frame(
            "subscriptionResponse",
            json!({"method": "unsubscribe", "subscription": {"type": "bbo", "coin": "BTC"}}),
        ),
        frame("error", json!("Already subscribed: {\"type\":\"l2Book\"}")),
        frame(
            "post",
            json!({"id": 1, "response": {"type": "info", "payload": {"type": "l2Book", "data": null}}}),
        ),
        frame("post", json!({"id": 2, "response": {"type": "error", "payload": "422 Unprocessable Entity"}})),
        frame(
            "trades",
            json!([{"coin": "@107", "side": "A", "px": "1.0", "sz": "2.0", "time": 3, "hash": HASH, "tid": 4,
                "users": [USER, USER]}]),
        ),
        frame("l2Book", json!({"coin": "BTC", "time": 1, "levels": [[level], []], "spread": "0.5"})),
        frame("bbo", json!({"coin": "BTC", "time": 1, "bbo": [null, level]})),
        frame(
            "candle",
            json!({"t": 0, "T": 59_999, "s": "BTC", "i": "1m", "o": "1.0", "c": "2.0", "h": "3.0", "l": "0.5",
                "v": "3495670.8399999999", "n": 9}),
        ),
        frame("allMids", json!({"mids": {"#12090": "0.5", "BTC": "1.0"}})),
        frame("allMids", json!({"mids": {"xyz:NVDA": "170.5", "xyz:TSLA": "1.0"}, "dex": "xyz"})),
        frame("activeAssetCtx", json!({"coin": "BTC", "ctx": perp_ctx()})),
        frame("activeSpotAssetCtx", json!({"coin": "@107", "ctx": spot_ctx("@107")})),
        frame("assetCtxs", json!({"dex": "", "ctxs": [perp_ctx()]})),
        frame("allDexsAssetCtxs", json!({"ctxs": [["", [perp_ctx()]], ["xyz", []]]})),
        frame("spotAssetCtxs", json!([spot_ctx("PURR/USDC")])),
        frame(
            "outcomeMetaUpdates",
            json!({"updates": [{"outcomeCreated": outcome()}, {"outcomeSettled": {"outcome": 1}},
                {"questionUpdated": {"question": 2, "name": "q", "description": "d", "fallbackOutcome": 3,
                    "namedOutcomes": [4, 5]}},
                {"questionSettled": {"question": 2}}]}),
        ),
        frame("userFills", json!({"isSnapshot": true, "user": USER, "fills": [fill()]})),
        frame("userFundings", json!({"user": USER, "fundings": [timed]})),
        frame(
            "userNonFundingLedgerUpdates",
            json!({"user": USER, "nonFundingLedgerUpdates": [
                {"time": 1, "hash": HASH, "delta": {"type": "deposit", "usdc": "1.0"}}]}),
        ),
        frame(
            "userHistoricalOrders",
            json!({"user": USER, "orderHistory": [{"order": order(), "status": "filled", "statusTimestamp": 6}]}),
        ),
        frame("userTwapSliceFills", json!({"user": USER, "twapSliceFills": [{"fill": fill(), "twapId": 3}]})),
        frame(
            "userTwapHistory",
            json!({"user": USER, "history": [{"time": 1, "state": twap(), "twapId": 3,
                "status": {"status": "error", "description": "no margin"}}]}),
        ),
        frame("user", json!({"fills": [fill()]})),
        frame("user", json!({"funding": funding})),
        frame(
            "user",
            json!({"liquidation": {"lid": 1, "liquidator": USER, "liquidated_user": USER,
                "liquidated_ntl_pos": "1.0", "liquidated_account_value": "2.0"}}),
        ),
        frame("user", json!({"nonUserCancel": [{"coin": "BTC", "oid": 1}]})),
        frame("user", json!({"twapSliceFills": [{"fill": fill(), "twapId": 3}]})),
        frame(
            "user",
            json!({"twapHistory": [{"time": 1, "state": twap(), "status": {"status": "activated"}}]}),
        ),
        frame(
            "orderUpdates",
            json!([{"order": {"coin": "BTC", "side": "B", "limitPx": "1.0", "sz": "0.5", "oid": 1, "timestamp": 2,
                "origSz": "1.0", "reduceOnly": true}, "status": "canceled", "statusTimestamp": 3}]),
        ),
        frame("notification", json!({"notification": "hello"})),
        frame("openOrders", json!({"dex": "", "user": USER, "orders": [order()]})),
        frame(
            "clearinghouseState",
            json!({"dex": "xyz", "user": USER, "clearinghouseState": clearinghouse()}),
        ),
        frame(
            "allDexsClearinghouseState",
            json!({"user": USER, "clearinghouseStates": [["", clearinghouse()], ["xyz", clearinghouse()]]}),
        ),
        frame("spotState", json!({"user": USER, "spotState": spot()})),
        frame("twapStates", json!({"dex": "", "user": USER, "states": [[3, twap()]]})),
        frame("activeAssetData", active),
        frame(
            "webData3",
            json!({"userState": {"agentAddress": null, "agentValidUntil": null, "cumLedger": "-1.0", "serverTime": 1,
                    "isVault": false, "user": USER, "abstraction": "dexAbstraction"},
                "perpDexStates": [{"totalVaultEquity": "0.0", "perpsAtOpenInterestCap": ["BTC"],
                    "leadingVaults": [{"address": USER, "name": "v"}]}]}),
        ),
    ]
}

#[test]
fn every_channel_is_written_as_it_is_read() {
    let mut seen = BTreeSet::from(["fastAssetCtxs".to_owned()]);
    for json in frames() {
        let message: Message = same(json.clone());
        let mut text = message.to_text().unwrap().into_bytes();
        let frame = decode::frame(&mut text, TimeMs(1)).unwrap();
        assert!(!matches!(frame, Frame::Unknown { .. }), "{frame:?}");
        seen.insert(json["channel"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        seen,
        Message::CHANNELS.map(str::to_owned).into(),
        "each has a sample here, and no other is typed"
    );
}

#[test]
fn market_answers_are_written_as_they_are_read() {
    same::<PredictedFundings>(json!([["BTC", [
        ["HlPerp", {"fundingRate": "0.0000125", "nextFundingTime": 1}],
        ["BinPerp", {"fundingRate": "-0.1", "nextFundingTime": 2, "fundingIntervalHours": 8}], ["BybitPerp", null]]]]));
    same::<Option<PerpDexLimits>>(
        json!({"totalOiCap": "1.0", "oiSzCapPerPerp": "2.0", "maxTransferNtl": "3.0",
        "coinToOiCap": [["xyz:NVDA", "4.0"]]}),
    );
    same::<PerpDexStatus>(json!({"totalNetDeposit": "1.0"}));
    same::<Option<PerpAnnotation>>(json!({"category": "stocks", "description": "d"}));
    same::<Vec<(Coin, ConciseAnnotation)>>(
        json!([["xyz:NVDA", {"category": "stocks", "keywords": ["chips"]}]]),
    );
    same::<Vec<(Coin, String)>>(json!([["xyz:NVDA", "stocks"]]));
    same::<ExchangeStatus>(json!({"time": 1, "specialStatuses": null}));
    same::<DeployAuction>(json!({"currentGas": null, "durationSeconds": 111_600, "endGas": "500.0",
        "startGas": "1000.0", "startTimeSeconds": 1_733_929_200}));
    same::<OutcomeMeta>(json!({"outcomes": [outcome()], "questions": [{"question": 1, "name": "q",
        "description": "d", "fallbackOutcome": 2, "namedOutcomes": [3], "settledNamedOutcomes": []}]}));
    same::<Option<SettledOutcome>>(json!({"spec": outcome(), "settleFraction": "1.0", "details": "d",
        "question": {"question": {"settled": 4}, "name": "q", "description": "d"}}));
    same::<Vec<OutcomeTemplate>>(
        json!([{"id": "t", "role": {"standaloneOutcome": {"sideNames": ["Yes", "No"]}},
        "name": "{asset}", "description": "d", "keywords": [["asset", "hlPerp"]]}]),
    );
}

#[test]
fn account_answers_are_written_as_they_are_read() {
    same::<OrderLookup>(json!({"status": "unknownOid"}));
    same::<OrderLookup>(json!({"status": "order",
        "order": {"order": order(), "status": "open", "statusTimestamp": 1}}));
    same::<ActiveAssetData>(json!({"user": USER, "coin": "BTC", "leverage": {"type": "cross", "value": 20},
        "maxTradeSzs": ["1.0", "2.0"], "availableToTrade": ["3.0", "4.0"], "markPx": "5.0"}));
    for role in [
        json!({"role": "missing"}),
        json!({"role": "agent", "data": {"user": USER}}),
        json!({"role": "subAccount", "data": {"master": USER}}),
    ] {
        same::<UserRole>(role);
    }
    same::<Referral>(json!({"referredBy": {"referrer": USER, "code": "X"}, "cumVlm": "1.0",
        "unclaimedRewards": "0.0", "claimedRewards": "0.0", "builderRewards": "0.0",
        "referrerState": {"stage": "needToTrade", "data": {"required": "10000.0"}}, "rewardHistory": [],
        "tokenToState": []}));
    same::<Vec<SubAccountAllDexs>>(json!([{"name": "s", "subAccountUser": USER, "master": USER,
        "dexToClearinghouseState": [["", clearinghouse()]], "spotState": spot()}]));
    let follower = json!({"user": "Leader", "vaultEquity": "1.0", "pnl": "-1.0", "allTimePnl": "2.0",
        "daysFollowing": 3, "vaultEntryTime": 4, "lockupUntil": 5});
    let period = json!({"accountValueHistory": [[1, "2.0"]], "pnlHistory": [], "vlm": "0.0"});
    same::<Option<VaultDetails>>(
        json!({"name": "v", "vaultAddress": USER, "leader": USER, "description": "d",
        "portfolio": [["day", period]], "apr": 0.123, "followerState": null, "leaderFraction": 0.05,
        "leaderCommission": 0.1, "followers": [follower], "maxDistributable": 1.5, "maxWithdrawable": 0.0,
        "isClosed": false, "relationship": {"type": "parent", "data": {"childAddresses": [USER]}},
        "allowDeposits": true, "alwaysCloseOnWithdraw": false}),
    );
    same::<Vec<LeadingVault>>(json!([{"address": USER, "name": "v"}]));
    same::<Vec<Delegation>>(json!([{"validator": USER, "amount": "1.0", "lockedUntilTimestamp": 2}]));
    same::<DelegatorSummary>(
        json!({"delegated": "1.0", "undelegated": "2.0", "totalPendingWithdrawal": "3.0",
        "nPendingWithdrawals": 1}),
    );
    same::<Vec<DelegatorReward>>(json!([{"time": 1, "source": "delegation", "totalAmount": "0.5"}]));
}

#[test]
fn every_entry_of_a_ledger_is_typed() {
    let transfer = |kind: &str| {
        json!({"type": kind, "user": USER, "destination": USER, "token": "USDC",
        "amount": "1.0", "usdcValue": "1.0", "fee": "0.0", "nativeTokenFee": "0.0", "nonce": null, "feeToken": ""})
    };
    let mut send = transfer("send");
    (send["sourceDex"], send["destinationDex"]) = ("".into(), "spot".into());
    for delta in [
        json!({"type": "accountClassTransfer", "usdc": "1.0", "toPerp": true}),
        json!({"type": "withdraw", "usdc": "1.0", "nonce": 5, "fee": "1.0"}),
        json!({"type": "internalTransfer", "usdc": "1.0", "user": USER, "destination": USER, "fee": "0.0"}),
        json!({"type": "subAccountTransfer", "usdc": "1.0", "user": USER, "destination": USER}),
        transfer("spotTransfer"),
        send,
        json!({"type": "liquidation", "liquidatedNtlPos": "1.0", "accountValue": "-1.0", "leverageType": "Cross",
            "liquidatedPositions": [{"coin": "BTC", "szi": "-1.0"}]}),
        json!({"type": "rewardsClaim", "amount": "1.0", "token": "USDC"}),
        json!({"type": "spotGenesis", "amount": "-1.0", "token": "PURR"}),
        json!({"type": "cStakingTransfer", "amount": "1.0", "token": "HYPE", "isDeposit": true}),
        json!({"type": "deployGasAuction", "amount": "1.0", "token": "HYPE"}),
        json!({"type": "borrowLend", "token": "USDC", "operation": "supply", "amount": "1.0",
            "interestAmount": "0.0"}),
        json!({"type": "activateDexAbstraction", "dex": "xyz", "token": "USDC", "amount": "1.0"}),
        json!({"type": "vaultCreate", "vault": USER, "usdc": "100.0", "fee": "100.0"}),
        json!({"type": "vaultDeposit", "vault": USER, "usdc": "1.0"}),
        json!({"type": "vaultDistribution", "vault": USER, "usdc": "1.0"}),
        json!({"type": "vaultWithdraw", "vault": USER, "user": USER, "requestedUsd": "1.0", "commission": "0.0",
            "closingCost": "0.0", "basis": "1.0", "netWithdrawnUsd": "1.0"}),
        json!({"type": "vaultLeaderCommission", "user": USER, "usdc": "1.0"}),
    ] {
        let delta: LedgerDelta = same(delta);
        assert!(!matches!(delta, LedgerDelta::Other(_)), "{delta:?}");
    }
    let staking: StakingDelta = same(json!({"withdrawal": {"amount": "1.0", "phase": "initiated"}}));
    assert!(!matches!(staking, StakingDelta::Other(_)));
    let page = json!([{"time": 1, "hash": HASH, "delta": {"type": "somethingNew", "amount": 1}}]);
    let page: Vec<LedgerUpdate<LedgerDelta>> = same(page);
    assert!(matches!(page[0].delta, LedgerDelta::Other(_)), "a new kind does not cost the page");
}

#[test]
fn leaderboard_and_vaults_are_written_as_they_are_read() {
    let performance = json!({"pnl": "-1.5", "roi": "0.1", "vlm": "0.0"});
    same::<Leaderboard>(json!({"leaderboardRows": [{"ethAddress": USER, "accountValue": "1.0", "prize": 0,
        "displayName": null, "windowPerformances": [["day", performance], ["allTime", performance]]}]}));
    let summary = json!({"name": "v", "vaultAddress": USER, "leader": USER, "tvl": "1.0", "isClosed": false,
        "relationship": {"type": "normal"}, "createTimeMillis": 1});
    same::<Vec<VaultSummary>>(json!([summary]));
    same::<Vec<VaultRow>>(json!([{"apr": -0.5, "pnls": [["day", ["1.0", "-2.0"]]], "summary": summary}]));
}

#[test]
fn requests_have_the_form_of_the_exchange() {
    let coin = Coin::new("kPEPE").unwrap();
    let req = CandleRange { coin, interval: Interval::H1, start_time: TimeMs(5), end_time: None };
    let user = Address::parse(USER).unwrap();
    for (request, body) in [
        (
            InfoRequest::CandleSnapshot { req },
            json!({"type": "candleSnapshot", "req": {"coin": "kPEPE", "interval": "1h", "startTime": 5}}),
        ),
        (
            InfoRequest::L2Book { coin, n_sig_figs: Some(5), mantissa: None },
            json!({"type": "l2Book", "coin": "kPEPE", "nSigFigs": 5}),
        ),
        (InfoRequest::MetaAndAssetCtxs { dex: None }, json!({"type": "metaAndAssetCtxs"})),
        (InfoRequest::SubAccounts2 { user }, json!({"type": "subAccounts2", "user": USER})),
        (
            InfoRequest::OrderStatus { user, oid: OrderId::Oid(7) },
            json!({"type": "orderStatus", "user": USER, "oid": 7}),
        ),
        (
            InfoRequest::OrderStatus { user, oid: OrderId::Cloid(HexBytes([0xab; 16])) },
            json!({"type": "orderStatus", "user": USER, "oid": format!("0x{}", "ab".repeat(16))}),
        ),
    ] {
        assert_eq!(serde_json::from_str::<Value>(&request.to_body()).unwrap(), body);
        assert_eq!(body["type"], request.name());
        same::<InfoRequest>(body);
    }
}

#[test]
fn weights_are_those_of_the_documents() {
    let coin = Coin::new("BTC").unwrap();
    let req = CandleRange { coin, interval: Interval::M1, start_time: TimeMs(0), end_time: None };
    let user = Address::parse(USER).unwrap();
    let of = |request: InfoRequest, items| (request.weight(), request.weight_of_items(items));
    assert_eq!(of(InfoRequest::CandleSnapshot { req }, 5_000), (20, 84));
    assert_eq!(of(InfoRequest::UserFills { user, aggregate_by_time: None }, 2_000), (20, 100));
    assert_eq!(of(InfoRequest::AllMids { dex: None }, 1_100), (2, 0));
    assert_eq!(of(InfoRequest::UserRole { user }, 1), (60, 0));
    // The tables of the kinds were written from the same documents.
    let trades = InfoRequest::RecentTrades { coin };
    assert_eq!(trades.weight() + trades.weight_of_items(10), Kind::Trades.spec().poll_weight);
    let book = InfoRequest::L2Book { coin, n_sig_figs: None, mantissa: None };
    assert_eq!(book.weight() + book.weight_of_items(40), Kind::Book.spec().poll_weight);
}

#[test]
fn every_socket_stream_has_its_subscription() {
    let coin = Coin::new("BTC").unwrap();
    let sent = |stream: StreamKey| {
        let subscription = Subscription::for_stream(stream)?;
        Some(serde_json::from_str::<Value>(&Request::subscribe(&subscription).to_text()).unwrap())
    };
    let subscribe = |subscription: Value| Some(json!({"method": "subscribe", "subscription": subscription}));
    assert_eq!(sent(StreamKey::Trades(coin)), subscribe(json!({"type": "trades", "coin": "BTC"})));
    assert_eq!(
        sent(StreamKey::Book(coin, BookVariant::Fast)),
        subscribe(json!({"type": "l2Book", "coin": "BTC", "fast": true}))
    );
    assert_eq!(
        sent(StreamKey::Candle(coin, Interval::Month)),
        subscribe(json!({"type": "candle", "coin": "BTC", "interval": "1M"}))
    );
    assert_eq!(sent(StreamKey::MIDS), subscribe(json!({"type": "allMids"})));
    assert_eq!(sent("mids/xyz".parse().unwrap()), subscribe(json!({"type": "allMids", "dex": "xyz"})));
    assert_eq!(sent(StreamKey::Context(coin)), subscribe(json!({"type": "activeAssetCtx", "coin": "BTC"})));
    assert_eq!(sent(StreamKey::Funding(coin)), None);
    assert_eq!(Request::Ping.to_text(), r#"{"method":"ping"}"#);
    let question = InfoRequest::ExchangeStatus;
    assert_eq!(
        serde_json::from_str::<Value>(&Request::post(7, &question).to_text()).unwrap(),
        json!({"method": "post", "id": 7, "request": {"type": "info", "payload": {"type": "exchangeStatus"}}})
    );
}

#[test]
fn an_echo_adds_defaults_and_changes_nothing_else() {
    let coin = Coin::new("SOL").unwrap();
    let book = |fast| Subscription::L2Book { coin, n_sig_figs: None, mantissa: None, fast };
    let echo = |fast: bool| json!({"type": "l2Book", "coin": "SOL", "nSigFigs": null, "mantissa": null, "fast": fast});
    assert!(book(false).matches_echo(&echo(false)) && book(true).matches_echo(&echo(true)));
    assert!(!book(false).matches_echo(&echo(true)) && !book(true).matches_echo(&echo(false)));
    let grouped = json!({"type": "l2Book", "coin": "SOL", "nSigFigs": 5, "mantissa": null, "fast": false});
    assert!(!book(false).matches_echo(&grouped));
    let fills = Subscription::UserFills { user: Address::parse(USER).unwrap(), aggregate_by_time: false };
    let upper = USER.replace("aa", "AA");
    assert!(fills.matches_echo(&json!({"aggregateByTime": false, "user": upper, "type": "userFills"})));
    assert!(!fills.matches_echo(&json!({"aggregateByTime": true, "user": USER, "type": "userFills"})));
    let trades = Subscription::Trades { coin };
    assert!(!trades.matches_echo(&json!({"type": "trades", "coin": "sol"})), "coins are case-sensitive");
    assert!(
        trades.matches_echo(&json!({"type": "trades", "coin": "SOL", "newOption": 3})),
        "unknown options are theirs"
    );
    for bad in [json!(null), json!("trades"), json!({}), json!({"type": "bbo", "coin": "SOL"})] {
        assert!(!trades.matches_echo(&bad), "{bad}");
    }
}

mod robust {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>) {
            let _ = decode::frame(&mut bytes, TimeMs(0));
            let _ = decode::rest::recent_trades(&mut bytes);
            let _ = decode::rest::meta_and_contexts(&mut bytes, TimeMs(0));
        }

        /// Bytes changed, inserted or cut: never a panic, and always what serde_json alone would say.
        #[test]
        fn no_damaged_frame_panics(
            which: prop::sample::Index,
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..5),
        ) {
            let frames = frames();
            let mut text = frames[which.index(frames.len())].to_string().into_bytes();
            for (at, kind, byte) in damage {
                let at = at.index(text.len());
                match kind {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    2 => text[at] = b"0123456789.-eE\"{}[],:"[usize::from(byte) % 21],
                    _ => text.truncate(at.max(1)),
                }
            }
            prop_assume!(!decode::may_hold_minus_zero(&text));
            let alone = serde_json::from_slice::<Message>(&text);
            let before = text.clone();
            let whole = decode::frame(&mut text, TimeMs(0));
            prop_assert_eq!(&text, &before);
            match (&alone, &whole) {
                (Err(_), Err(_) | Ok(Frame::Unknown { .. })) => {}
                // Some of its rows.
                (Err(_), Ok(Frame::SomeTrades(rows))) => prop_assert!(rows.unreadable() > 0),
                (Err(_), Ok(Frame::SomeMids { without, unread, .. })) => {
                    prop_assert!(*without > 0 || !unread.is_empty());
                }
                // Read, then refused for what it says.
                (Ok(_), Err(error)) => prop_assert!(matches!(error.fault, decode::Fault::Rule(_)), "{error}"),
                (Ok(_), Ok(Frame::Unknown { channel })) => prop_assert!(false, "{channel} is typed"),
                (Ok(_), Ok(_)) => {}
                (Err(error), Ok(frame)) => prop_assert!(false, "{error}, yet {frame:?}"),
            }
            if let Err(error) = whole {
                prop_assert!(error.to_string().len() < 2_000 && error.excerpt.len() <= 3 * 80 && error.at <= text.len());
            }
        }
    }
}

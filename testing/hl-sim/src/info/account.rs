//! Account requests: public by address. Somebody unknown has an empty account, not an error.

use serde_json::{Value, json};

use super::{Answer, Fields, Refusal, Reply};
use crate::market::Exchange;
use crate::market::num::text;
use crate::market::traders::Trader;
use crate::wire::account;

/// Fills and historical orders of a page.
const PAGE: usize = 2_000;
/// Rows of a page of funding payments, from a time on, oldest first.
const FUNDING_PAGE: usize = 500;
/// Rows of the newest funding payments, newest first: what is answered where no time is given.
const NEWEST_FUNDING: usize = 2_000;

/// `None`: no account request.
pub(super) fn answer(exchange: &Exchange, kind: &str, fields: Fields<'_>) -> Option<Answer> {
    Some(match kind {
        "vaultSummaries" => Ok(empty()),
        "vaultDetails" => fields.text("vaultAddress").map(|_| Reply::null(200)),
        "maxBuilderFee" => fields.user().map(|_| Reply::json(&0)),
        "clearinghouseState"
        | "spotClearinghouseState"
        | "openOrders"
        | "frontendOpenOrders"
        | "userFills"
        | "userFillsByTime"
        | "historicalOrders"
        | "orderStatus"
        | "userFunding"
        | "userNonFundingLedgerUpdates"
        | "userTwapSliceFills"
        | "userTwapSliceFillsByTime"
        | "twapHistory"
        | "userFees"
        | "portfolio"
        | "referral"
        | "userVaultEquities"
        | "leadingVaults"
        | "userRole"
        | "userRateLimit"
        | "userAbstraction"
        | "userDexAbstraction"
        | "userToMultiSigSigners"
        | "subAccounts"
        | "subAccounts2"
        | "delegations"
        | "delegatorSummary"
        | "delegatorHistory"
        | "delegatorRewards"
        | "extraAgents"
        | "activeAssetData" => of_user(exchange, kind, fields),
        _ => return None,
    })
}

fn empty() -> Reply {
    Reply::json(&Value::Array(vec![]))
}

fn of_user(exchange: &Exchange, kind: &str, fields: Fields<'_>) -> Answer {
    let user = fields.user()?;
    let found = exchange.trader(&user);
    let trader = found.map(|(_, t)| t);
    Ok(match kind {
        "clearinghouseState" => Reply::json(&account::clearinghouse(exchange, trader, fields.dex()?)),
        "spotClearinghouseState" => Reply::json(&account::spot_state(exchange, trader)),
        "openOrders" | "frontendOpenOrders" => {
            let dex = fields.dex()?;
            let mut orders = found.map_or_else(Vec::new, |(i, _)| account::open_orders(exchange, i, dex));
            if kind == "frontendOpenOrders" {
                orders = orders.into_iter().map(|o| account::with_details(o, "Alo")).collect();
            }
            Reply::json(&orders)
        }
        "userFills" => {
            let fills = found.map_or_else(Vec::new, |(i, t)| account::fills(exchange, i, t, PAGE));
            Reply::counted(&fills, 20)
        }
        "userFillsByTime" => fills_by_time(exchange, found, fields)?,
        "historicalOrders" => {
            let events = trader.iter().flat_map(|t| t.orders.iter().rev());
            let rows: Vec<_> =
                events.filter_map(|e| account::order_history(exchange, e)).take(PAGE).collect();
            Reply::counted(&rows, 20)
        }
        "orderStatus" => order_status(exchange, trader, fields)?,
        "userFunding" => {
            let (from, to) = fields.open_range()?;
            let payments = trader.iter().flat_map(|t| &t.payments);
            let mut payments: Vec<_> =
                payments.filter(|p| (from.unwrap_or(0)..=to).contains(&p.time)).collect();
            // The payments of a block lie in the order of its markets.
            payments.sort_by_key(|p| p.time);
            if from.is_none() {
                payments.reverse();
            }
            let page = if from.is_none() { NEWEST_FUNDING } else { FUNDING_PAGE };
            let rows: Vec<_> =
                payments.into_iter().take(page).filter_map(|p| account::payment_row(exchange, p)).collect();
            Reply::counted(&rows, 20)
        }
        "userNonFundingLedgerUpdates" => {
            let (from, to) = fields.open_range()?;
            let deposit = trader.map(|t| account::deposit_row(exchange, t));
            let within =
                |row: &Value| row["time"].as_i64().is_some_and(|t| (from.unwrap_or(0)..=to).contains(&t));
            let rows: Vec<_> = deposit.into_iter().filter(within).collect();
            Reply::counted(&rows, 20)
        }
        "userTwapSliceFills" | "userTwapSliceFillsByTime" => {
            let mut rows =
                found.map_or_else(Vec::new, |(i, t)| account::twap_slices(exchange, i, t, usize::MAX));
            if kind == "userTwapSliceFillsByTime" {
                let (from, to) = fields.range()?;
                rows.retain(|row| row["fill"]["time"].as_i64().is_some_and(|t| (from..=to).contains(&t)));
                rows.reverse();
            }
            rows.truncate(PAGE);
            Reply::counted(&rows, 20)
        }
        "portfolio" => Reply::json(&portfolio(exchange, trader)),
        "userFees" => Reply::json(&json!({
            "dailyUserVlm": [], "feeSchedule": {
                "cross": "0.00045", "add": "0.00015", "spotCross": "0.0007", "spotAdd": "0.0004",
                "tiers": {"vip": [], "mm": []}, "referralDiscount": "0.04", "stakingDiscountTiers": [],
            },
            "userCrossRate": "0.00045", "userAddRate": "0.00015", "userSpotCrossRate": "0.0007",
            "userSpotAddRate": "0.0004", "activeReferralDiscount": "0.0", "trial": null,
            "feeTrialEscrow": "0.0", "nextTrialAvailableTimestamp": null, "stakingLink": null,
            "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
        })),
        "userRole" => Reply::json(&json!({"role": if found.is_some() { "user" } else { "missing" }})),
        "userRateLimit" => {
            let volume =
                trader.map_or_else(|| "0.0".to_owned(), |t| text(account::performance(exchange, t).1));
            Reply::json(
                &json!({"cumVlm": volume, "nRequestsUsed": 0, "nRequestsCap": 10_000, "nRequestsSurplus": 0}),
            )
        }
        "referral" => Reply::json(&json!({
            "referredBy": null, "cumVlm": "0.0", "unclaimedRewards": "0.0", "claimedRewards": "0.0",
            "builderRewards": "0.0", "referrerState": {"stage": "needToTrade", "data": {"required": "10000.0"}},
            "rewardHistory": [], "tokenToState": [],
        })),
        "delegatorSummary" => Reply::json(&json!({
            "delegated": "0.0", "undelegated": "0.0", "totalPendingWithdrawal": "0.0", "nPendingWithdrawals": 0,
        })),
        "userAbstraction" => Reply::json(&"default"),
        "userDexAbstraction" | "userToMultiSigSigners" | "subAccounts" | "subAccounts2" => Reply::null(200),
        "activeAssetData" => {
            let market = fields.coin()?.and_then(|c| exchange.market(c)).filter(|m| !m.spec.is_spot());
            Reply::json(&account::active_asset_data(exchange, user, market.ok_or(Refusal::Broken)?))
        }
        _ => empty(),
    })
}

fn fills_by_time(exchange: &Exchange, found: Option<(usize, &Trader)>, fields: Fields<'_>) -> Answer {
    let (from, to) = fields.range()?;
    let newest_first = fields.flag("reversed")?;
    let Some((index, trader)) = found else { return Ok(empty()) };
    let within = |f: &account::Fill| (from..=to).contains(&f.time);
    let fills: Vec<_> = if newest_first {
        let all = trader.fills.iter().rev().filter_map(|f| account::fill(exchange, *f, index));
        all.filter(within).take(PAGE).collect()
    } else {
        let all = trader.fills.iter().filter_map(|f| account::fill(exchange, *f, index));
        all.filter(within).take(PAGE).collect()
    };
    Ok(Reply::counted(&fills, 20))
}

fn order_status(exchange: &Exchange, trader: Option<&Trader>, fields: Fields<'_>) -> Answer {
    let oid = fields.present("oid").ok_or(Refusal::Malformed)?;
    // Nobody in the simulation names his orders, so a client order id is never known.
    let wanted = match oid {
        Value::String(text) if text.starts_with("0x") => None,
        _ => Some(oid.as_u64().ok_or(Refusal::Malformed)?),
    };
    let event = trader.and_then(|t| t.orders.iter().rev().find(|e| Some(e.oid) == wanted));
    let found = event.and_then(|e| account::order_history(exchange, e));
    Ok(Reply::json(
        &found.map_or_else(
            || json!({"status": "unknownOid"}),
            |order| json!({"status": "order", "order": order}),
        ),
    ))
}

/// Value and profit now, and at the start.
fn portfolio(exchange: &Exchange, trader: Option<&Trader>) -> Value {
    let history = trader.map(|t| {
        let (pnl, volume) = account::performance(exchange, t);
        let (start, now) = (exchange.start, exchange.time());
        json!({
            "accountValueHistory": [
                [start, format!("{}.0", t.deposit)], [now, text(account::account_value(exchange, t))],
            ],
            "pnlHistory": [[start, "0.0"], [now, text(pnl)]], "vlm": text(volume),
        })
    });
    let history =
        history.unwrap_or_else(|| json!({"accountValueHistory": [], "pnlHistory": [], "vlm": "0.0"}));
    let names = ["day", "week", "month", "allTime", "perpDay", "perpWeek", "perpMonth", "perpAllTime"];
    names.iter().map(|name| json!([name, history])).collect()
}

//! The leaderboard, the vaults and the statistics files.

use hl_core::Interval;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};

use super::Reply;
use crate::market::Exchange;
use crate::market::bars::DAY;
use crate::market::num::{mix, text};
use crate::market::state::Market;
use crate::wire::account;

/// Rows of a `table_data` file.
const TOP: usize = 1_000;

/// What traders did before the market began, in a window: returns between two bounds, in permille, small ones oftener than
/// large ones, and volumes of so many deposits at most.
struct Past {
    window: &'static str,
    worst: i64,
    best: i64,
    most_traded: u64,
}

const PASTS: [Past; 4] = [
    Past { window: "day", worst: 0, best: 0, most_traded: 0 },
    Past { window: "week", worst: -150, best: 250, most_traded: 8 },
    Past { window: "month", worst: -300, best: 700, most_traded: 30 },
    Past { window: "allTime", worst: -500, best: 2_500, most_traded: 300 },
];

impl Past {
    /// Return and volume of a trader, as parts of the deposit.
    fn of(&self, deposit: i64) -> (hl_core::Decimal, hl_core::Decimal) {
        let drawn = mix(deposit as u64 ^ self.best as u64);
        let (one, other) = (drawn % 1_001, (drawn >> 32) % 1_001);
        let permille = self.worst + (self.best - self.worst) * (one * other) as i64 / 1_000_000;
        let traded = (drawn >> 16) % 1_001 * self.most_traded;
        (hl_core::Decimal::new(permille, 3), hl_core::Decimal::new(traded as i64, 3))
    }
}

/// `GET /Mainnet/leaderboard`: one row a trader, the richest first.
pub(crate) fn leaderboard(exchange: &Exchange) -> Reply {
    let mut traders: Vec<_> =
        exchange.traders.iter().map(|t| (account::account_value(exchange, t), t)).collect();
    traders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.address.cmp(&b.1.address)));
    let rows: Vec<_> = traders
        .iter()
        .map(|(value, t)| {
            let (pnl, volume) = account::performance(exchange, t);
            let deposit = hl_core::Decimal::from(t.deposit);
            let windows = PASTS.map(|past| {
                let (before, traded) = past.of(t.deposit);
                let (pnl, volume) = (pnl + deposit * before, volume + deposit * traded);
                json!([past.window, {"pnl": text(pnl), "roi": text(pnl / deposit), "vlm": text(volume)}])
            });
            let named = mix(t.deposit as u64).is_multiple_of(4);
            json!({
                "ethAddress": t.address, "accountValue": text(*value), "windowPerformances": windows, "prize": 0,
                "displayName": named.then(|| format!("trader {}", t.deposit % 1_000)),
            })
        })
        .collect();
    Reply::json(&json!({"leaderboardRows": rows}))
}

/// `GET /Mainnet/vaults`: two vaults that do nothing.
pub(crate) fn vaults(exchange: &Exchange) -> Reply {
    let leaders = exchange.traders.iter().take(2).enumerate();
    let rows: Vec<_> = leaders
        .map(|(i, t)| {
            let flat = ["day", "week", "month", "allTime"].map(|name| json!([name, ["0.0", "0.0"]]));
            let address = hl_core::record::HexBytes::<20>([0xa0 + i as u8; 20]);
            json!({
                "apr": 0.0, "pnls": flat, "summary": {
                    "name": format!("Vault {}", i + 1), "vaultAddress": address, "leader": t.address,
                    "tvl": "100000.0", "isClosed": i == 1, "relationship": {"type": "normal"},
                    "createTimeMillis": exchange.start - 90 * DAY,
                },
            })
        })
        .collect();
    Reply::json(&rows)
}

/// `GET /stats/NAME`: whole days of the market's past. `None`: no such file.
pub(crate) fn statistics(exchange: &mut Exchange, name: &str) -> Option<Reply> {
    let chart = |rows: Vec<Value>| Some(json!({ "chart_data": rows }));
    let body = match name {
        "daily_usd_volume" => chart(volumes(exchange, "daily_usd_volume", false)),
        "cumulative_usd_volume" => chart(volumes(exchange, "cumulative", true)),
        "cumulative_trades" => chart(trades(exchange)),
        "daily_unique_users" => {
            let users = exchange.traders.len();
            chart(days(exchange).map(|d| json!({"time": stamp(d), "daily_unique_users": users})).collect())
        }
        "cumulative_new_users" => {
            // All came before the first day.
            let row = |d| json!({"time": stamp(d), "daily_new_users": 0, "cumulative_new_users": exchange.traders.len()});
            chart(days(exchange).map(row).collect())
        }
        "daily_inflow" => chart(days(exchange).map(|d| json!({"time": stamp(d), "inflow": 0.0})).collect()),
        "open_interest" => chart(by_coin(exchange, |m, _| {
            let px = m.px(m.spec.base).float();
            json!({"open_interest": m.sz(m.open_interest).float() * px})
        })),
        "funding_rate" => chart(by_coin(exchange, |m, day| {
            let rows = m.funding.iter().flat_map(|f| f.range(day, day + DAY - 1));
            json!({"sum_funding": rows.map(|r| r.rate as f64 / 1e10).sum::<f64>()})
        })),
        "daily_notional_liquidated_by_coin" => chart(by_coin(exchange, |m, day| {
            let notional = m.liquidated.get(&day).copied().unwrap_or_default();
            json!({"daily_notional_liquidated": m.ntl(notional).float()})
        })),
        "liquidity_by_coin" => Some(json!({ "chart_data": liquidity(exchange) })),
        "largest_users_by_usd_volume" => table(exchange, |e, t| Some(account::performance(e, t).1)),
        "largest_user_depositors" => table(exchange, |_, t| Some(hl_core::Decimal::from(t.deposit))),
        "largest_user_trade_count" => table(exchange, |_, t| Some(hl_core::Decimal::from(t.fills.len()))),
        "largest_liquidated_notional_by_user" => {
            table(exchange, |e, t| Some(account::liquidated(e, t)).filter(|usd| !usd.is_zero()))
        }
        _ => None,
    }?;
    Some(Reply { content_type: "binary/octet-stream", ..Reply::json(&body) })
}

/// The whole days that the past reaches, oldest first.
fn days(exchange: &Exchange) -> impl Iterator<Item = i64> + use<> {
    let today = exchange.time().div_euclid(DAY) * DAY;
    (1..=30).rev().map(move |back| today - back * DAY)
}

/// `YYYY-MM-DDT00:00:00`.
fn stamp(day: i64) -> String {
    let date = jiff::Timestamp::from_millisecond(day).map(|t| jiff::tz::Offset::UTC.to_datetime(t).date());
    date.map(|d| format!("{d}T00:00:00")).unwrap_or_default()
}

fn volumes(exchange: &mut Exchange, field: &str, cumulative: bool) -> Vec<Value> {
    let mut total = 0.0;
    let mut rows = Vec::new();
    for day in days(exchange) {
        let bars = exchange.markets.iter_mut().flat_map(|m| {
            let bar = m.bars.range(Interval::D1, day, day).pop();
            bar.map(|b| m.ntl(b.q).float())
        });
        let volume: f64 = bars.sum();
        total = if cumulative { total + volume } else { volume };
        rows.push(json!({"time": stamp(day), field: total}));
    }
    rows
}

fn trades(exchange: &mut Exchange) -> Vec<Value> {
    let mut total = 0_u64;
    let mut rows = Vec::new();
    for day in days(exchange) {
        let bars = exchange.markets.iter_mut().filter_map(|m| m.bars.range(Interval::D1, day, day).pop());
        total += bars.map(|b| u64::from(b.n)).sum::<u64>();
        rows.push(json!({"time": stamp(day), "cumulative": total}));
    }
    rows
}

/// A row a day and coin of the first dex, with what `fields` adds.
fn by_coin(exchange: &Exchange, fields: impl Fn(&Market, i64) -> Value) -> Vec<Value> {
    let mut rows = Vec::new();
    for day in days(exchange) {
        for (_, market) in exchange.dex("") {
            let mut row = fields(market, day);
            row["time"] = json!(stamp(day));
            row["coin"] = json!(market.spec.coin);
            rows.push(row);
        }
    }
    rows
}

fn liquidity(exchange: &mut Exchange) -> Value {
    let days: Vec<_> = days(exchange).collect();
    let mut coins = serde_json::Map::new();
    for m in exchange.markets.iter_mut().filter(|m| m.spec.dex().is_empty() && !m.spec.is_spot()) {
        let bars = days.iter().filter_map(|day| m.bars.range(Interval::D1, *day, *day).pop());
        let bars: Vec<_> = bars.collect();
        let rows = bars.iter().map(|b| {
            json!({
                "time": stamp(b.t), "mid_price": m.px(b.c).float(), "median_liquidity": m.ntl(b.q).float() / 1e4,
                "median_slippage_0": 0.0001, "median_slippage_1000": 0.0001, "median_slippage_3000": 0.0002,
                "median_slippage_10000": 0.0003, "median_slippage_30000": null, "median_slippage_100000": null,
            })
        });
        coins.insert(m.spec.coin.to_string(), rows.collect());
    }
    Value::Object(coins)
}

/// A row a trader who has a value, the largest first.
fn table(
    exchange: &Exchange,
    value: impl Fn(&Exchange, &crate::market::traders::Trader) -> Option<hl_core::Decimal>,
) -> Option<Value> {
    let valued = exchange.traders.iter().filter_map(|t| Some((value(exchange, t)?, t.address)));
    let mut rows: Vec<_> = valued.collect();
    rows.sort_by(|a, b| b.cmp(a));
    let rows = rows.into_iter().take(TOP);
    let rows: Vec<_> = rows
        .map(|(value, name)| json!({"name": name, "value": value.to_f64().unwrap_or_default()}))
        .collect();
    Some(json!({ "table_data": rows }))
}

//! `GET /sim/truth/…`: the same truth as JSON, in the exchange's own shapes.

use std::collections::BTreeMap;

use hl_core::record::Address;
use hl_core::{Coin, Interval};
use serde::Serialize;
use serde_json::json;

use super::records::{
    LiquidationLeg, liquidations, markets as market_states, moved, positions, predicted_funding, states,
    within,
};
use crate::info::Reply;
use crate::market::Exchange;
use crate::market::bars::next_open;
use crate::market::funding::RATE_DECIMALS;
use crate::market::num::{Num, text};
use crate::market::state::Market;
use crate::wire::{self, BookOptions};

/// The parameters of a query.
struct Query<'a>(BTreeMap<&'a str, String>);

/// What is wrong with a query.
struct Wrong {
    status: u16,
    field: &'static str,
    reason: String,
}

impl Query<'_> {
    fn parse(query: &str) -> Query<'_> {
        let pairs = query.split('&').filter_map(|p| p.split_once('='));
        Query(pairs.map(|(name, value)| (name, unescape(value))).collect())
    }

    fn time(&self, field: &'static str, missing: i64) -> Result<i64, Wrong> {
        self.0.get(field).map_or(Ok(missing), |v| {
            v.parse().map_err(|_| Wrong {
                status: 400,
                field,
                reason: format!("{v:?} is not a time in milliseconds"),
            })
        })
    }

    fn range(&self) -> Result<(i64, i64), Wrong> {
        Ok((self.time("from", i64::MIN)?, self.time("to", i64::MAX)?))
    }

    /// The number of the market, where one is named.
    fn market(&self, exchange: &Exchange) -> Result<Option<usize>, Wrong> {
        let Some(name) = self.0.get("coin") else { return Ok(None) };
        let found = Coin::new(name).ok().and_then(|c| exchange.by_coin.get(&c).copied());
        let missing = || Wrong { status: 404, field: "coin", reason: format!("{name:?} is not traded here") };
        found.map(Some).ok_or_else(missing)
    }

    fn user(&self) -> Result<Option<Address>, Wrong> {
        let parsed = |text: &String| {
            Address::parse(text).ok_or_else(|| Wrong {
                status: 400,
                field: "user",
                reason: format!("{text:?} is not an address"),
            })
        };
        self.0.get("user").map(parsed).transpose()
    }

    fn interval(&self) -> Result<Interval, Wrong> {
        let name = self.0.get("interval").map_or("", String::as_str);
        name.parse().map_err(|e: hl_core::interval::IntervalError| Wrong {
            status: 400,
            field: "interval",
            reason: e.to_string(),
        })
    }
}

/// `%2F` and its like: coins may hold a slash or a colon.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let escaped = match (byte, ahead.next(), ahead.next()) {
            (b'%', Some(a), Some(b)) => {
                let digit = |d: u8| (d as char).to_digit(16);
                digit(a).zip(digit(b)).map(|(a, b)| (a * 16 + b) as u8)
            }
            _ => None,
        };
        match escaped {
            Some(decoded) => {
                out.push(decoded);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Answers `GET /sim/truth/NAME?QUERY`.
pub(crate) fn answer(exchange: &mut Exchange, name: &str, query: &str) -> Reply {
    let query = Query::parse(query);
    build(exchange, name, &query).unwrap_or_else(|wrong| {
        let body = json!({"error": wrong.reason, "field": wrong.field});
        Reply { status: wrong.status, ..Reply::json(&body) }
    })
}

#[derive(Serialize)]
struct Tagged<T> {
    coin: Coin,
    #[serde(flatten)]
    row: T,
}

fn build(exchange: &mut Exchange, name: &str, query: &Query<'_>) -> Result<Reply, Wrong> {
    let (from, to) = query.range()?;
    let chosen = query.market(exchange)?;
    let now = exchange.time();
    if name == "candles" {
        let interval = query.interval()?;
        let mut rows = Vec::new();
        for (i, market) in exchange.markets.iter_mut().enumerate() {
            if chosen.is_some_and(|c| c != i) {
                continue;
            }
            let bars = market.bars.range(interval, from, to);
            let finals = bars.iter().filter(|b| next_open(interval, b.t) <= now);
            rows.extend(
                finals.map(|b| Tagged { coin: market.spec.coin, row: wire::candle(market, interval, b) }),
            );
        }
        return Ok(Reply::json(&rows));
    }
    let exchange = &*exchange;
    let markets: Vec<&Market> = match chosen {
        Some(i) => exchange.markets.get(i).into_iter().collect(),
        None => exchange.markets.iter().collect(),
    };
    let each = markets.into_iter();
    Ok(match name {
        "trades" => {
            let rows = each.flat_map(|m| {
                within(m, &m.trades, from, to, |t| t.time)
                    .into_iter()
                    .map(move |t| wire::trade(exchange, m, &t))
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "funding" => {
            let rows = each.flat_map(|m| {
                let rows = m.funding.iter().flat_map(move |f| f.range(from, to.min(now)));
                rows.map(|r| {
                    json!({
                        "coin": m.spec.coin, "fundingRate": Num::new(r.rate, RATE_DECIMALS),
                        "premium": Num::new(r.premium, RATE_DECIMALS), "time": r.time,
                    })
                })
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "books" => {
            let figures = query.0.get("nSigFigs").and_then(|text| text.parse().ok());
            let options = BookOptions { n_sig_figs: figures, ..BookOptions::default() };
            let rows = each.flat_map(|m| {
                let books = within(m, &m.books, from, to, |b| b.0);
                books.into_iter().map(|(time, packed)| wire::book(m, time, &packed, options))
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "bbo" => {
            let rows = each
                .flat_map(|m| states(m, &m.bbos, from, to, |b| b.time).into_iter().map(|b| wire::bbo(m, &b)));
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "mids" => {
            let rows = each.flat_map(|m| {
                states(m, &m.mids, from, to, |s| s.0)
                    .into_iter()
                    .map(|(time, half)| json!({"coin": m.spec.coin, "time": time, "px": m.half_px(half)}))
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "contexts" => {
            let rows = each.flat_map(|m| {
                states(m, &m.contexts, from, to, |c| c.time)
                    .into_iter()
                    .map(|c| json!({"coin": m.spec.coin, "time": c.time, "ctx": wire::context(m, &c)}))
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "predicted_funding" => {
            let rows = each.flat_map(|m| {
                predicted_funding(m, from, to).into_iter().map(|next| {
                    json!({
                        "coin": next.coin, "time": next.time, "venue": next.venue, "rate": next.rate,
                        "nextTime": next.next_time, "intervalHours": next.interval_hours,
                    })
                })
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "markets" => {
            let coin = chosen.and_then(|i| exchange.markets.get(i)).map(|m| m.spec.coin);
            let rows = market_states(exchange, coin, from, to).into_iter().map(|market| {
                json!({
                    "coin": market.coin, "time": market.time, "name": market.name,
                    "marketType": market.market_type, "dex": market.dex, "status": market.status,
                    "szDecimals": market.sz_decimals, "maxLeverage": market.max_leverage,
                    "marginTiers": market.margin_tiers, "marginMode": market.margin_mode,
                    "quote": market.quote, "settleFraction": market.settle_fraction,
                    "description": market.description,
                })
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "liquidations" => {
            let rows = each.flat_map(|m| liquidations(exchange, m, from, to)).map(|row| {
                let leg =
                    |leg: &LiquidationLeg| json!({"tid": leg.tid, "px": text(leg.px), "sz": text(leg.sz)});
                json!({
                    "coin": row.coin, "time": row.time, "user": row.user, "markPx": text(row.mark_px),
                    "hash": row.hash, "side": row.side.as_str(),
                    "legs": row.legs.iter().map(leg).collect::<Vec<_>>(),
                })
            });
            Reply::json(&rows.collect::<Vec<_>>())
        }
        "positions" => holdings(exchange, query)?,
        "moved" => {
            let user = query.user()?.ok_or_else(|| Wrong {
                status: 400,
                field: "user",
                reason: "whose positions is not said".to_owned(),
            })?;
            let rows = moved(exchange, user, from, to);
            let rows =
                rows.iter().map(|row| json!({"coin": row.coin, "time": row.time, "szi": text(row.szi)}));
            Reply::json(&rows.collect::<Vec<_>>())
        }
        _ => {
            let known = "trades candles funding positions moved liquidations books bbo mids contexts \
                         predicted_funding markets falsified";
            let reason = format!("{name:?} is unknown; there are {known}");
            return Err(Wrong { status: 404, field: "path", reason });
        }
    })
}

fn holdings(exchange: &Exchange, query: &Query<'_>) -> Result<Reply, Wrong> {
    let user = query.user()?;
    let coin = query.0.get("coin");
    let rows: Vec<_> = positions(exchange)
        .iter()
        .filter(|h| user.is_none_or(|u| h.user == u) && coin.is_none_or(|c| h.coin.as_str() == c))
        .map(|h| {
            json!({
                "user": h.user, "coin": h.coin, "szi": text(h.szi), "entryPx": text(h.entry_px),
                "time": exchange.time(),
            })
        })
        .collect();
    Ok(Reply::json(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_what_needs_it() {
        assert_eq!(unescape("PURR%2FUSDC"), "PURR/USDC");
        assert_eq!(unescape("xyz:NVDA"), "xyz:NVDA");
        assert_eq!(unescape("50%"), "50%");
        assert_eq!(unescape("%zz%41"), "%zzA");
    }
}

//! Market requests.

use hl_core::TimeMs;
use serde_json::{Value, json};

use super::{Answer, Fields, Refusal, Reply};
use crate::assumptions::Assumptions;
use crate::market::Exchange;
use crate::market::bars::{Bar, MINUTE};
use crate::market::funding::{HOUR, RATE_DECIMALS, VENUE};
use crate::market::num::Num;
use crate::market::spec::BUILDER_DEX;
use crate::wire::metadata::{self, DEXES};
use crate::wire::{self, BookOptions};

/// `None`: no market request.
pub(super) fn answer(exchange: &mut Exchange, kind: &str, fields: Fields<'_>) -> Option<Answer> {
    Some(match kind {
        "meta" => fields.dex().map(|dex| Reply::json(&metadata::meta(exchange, dex))),
        "metaAndAssetCtxs" => fields
            .dex()
            .map(|dex| Reply::json(&(metadata::meta(exchange, dex), metadata::contexts(exchange, dex)))),
        "allPerpMetas" => Ok(Reply::json(&DEXES.map(|dex| metadata::meta(exchange, dex)))),
        "perpDexs" => Ok(Reply::json(&metadata::perp_dexs(exchange))),
        "spotMeta" => Ok(Reply::json(&metadata::spot_meta(exchange))),
        "spotMetaAndAssetCtxs" => {
            Ok(Reply::json(&(metadata::spot_meta(exchange), metadata::spot_contexts(exchange))))
        }
        "allMids" => fields.dex().map(|dex| Reply::json(&metadata::mids(exchange, dex))),
        "l2Book" => book(exchange, fields),
        "candleSnapshot" => candles(exchange, fields),
        "recentTrades" => recent_trades(exchange, fields),
        "fundingHistory" => funding(exchange, fields),
        "predictedFundings" => Ok(predicted(exchange)),
        "exchangeStatus" => {
            let time = exchange.answers_as_of() - i64::from(exchange.assumptions.status_clock);
            Ok(Reply::json(&json!({"time": time, "specialStatuses": null})))
        }
        "perpsAtOpenInterestCap" => fields.dex().map(|_| nothing()),
        "perpDexLimits" => dex_limits(exchange, fields),
        "perpDexStatus" => dex_status(exchange, fields),
        "marginTable" => margin_table(fields),
        "outcomeMeta" => Ok(Reply::json(&metadata::outcome_meta(exchange))),
        "settledOutcome" => match fields.present("outcome").and_then(Value::as_u64) {
            Some(number) => Ok(Reply::json(&metadata::settled_outcome(exchange, number))),
            None => Err(Refusal::Malformed),
        },
        _ => return None,
    })
}

/// What the delisted market has of the past.
fn nothing() -> Reply {
    Reply::json(&Value::Array(vec![]))
}

fn book(exchange: &Exchange, fields: Fields<'_>) -> Answer {
    let figure = |name: &str| match fields.present(name) {
        None => Ok(None),
        Some(v) => v.as_u64().and_then(|n| u8::try_from(n).ok()).map(Some).ok_or(Refusal::Malformed),
    };
    let options = BookOptions { n_sig_figs: figure("nSigFigs")?, mantissa: figure("mantissa")?, fast: false };
    if !options.are_legal() {
        return Err(Refusal::Broken);
    }
    let unknown = || match exchange.assumptions.unknown_book {
        true => Ok(Reply::null(200)),
        false => Err(Refusal::Broken),
    };
    let Some(coin) = fields.coin()? else { return unknown() };
    if coin == exchange.delisted {
        return Ok(Reply::json(&wire::empty_book(coin, exchange.book_time(), options)));
    }
    let by = exchange.answers_as_of() - i64::from(exchange.assumptions.rest_book);
    let found = exchange.market(coin).zip(exchange.book_by(coin, by));
    let Some((market, (time, packed))) = found else { return unknown() };
    Ok(Reply::json(&wire::book(market, time.0, &packed, options)))
}

fn candles(exchange: &mut Exchange, fields: Fields<'_>) -> Answer {
    let fields = Fields(fields.present("req").ok_or(Refusal::Malformed)?);
    let interval = fields.interval()?;
    let (from, to) = fields.range()?;
    let coin = fields.coin()?;
    if coin == Some(exchange.delisted) {
        return Ok(nothing());
    }
    let (by, behind_ms) = (exchange.answers_as_of(), exchange.behind_ms);
    let market = coin.and_then(|coin| exchange.market_mut(coin)).ok_or(Refusal::Broken)?;
    let to = if market.assumptions.candle_range { to } else { to.saturating_sub(1) };
    let bars = if behind_ms == 0 {
        market.bars.range(interval, from, to)
    } else {
        let minute = TimeMs(by).floor(MINUTE).0;
        let mut partial: Option<Bar> = None;
        for trade in market.trades.iter().filter(|t| (minute..=by).contains(&t.time)) {
            let one = Bar::of_trade(minute, trade.px, trade.sz);
            match &mut partial {
                Some(bar) => bar.absorb(&one),
                None => partial = Some(one),
            }
        }
        market.bars.range_as_of(interval, from, to, by, partial)
    };
    let page = market.assumptions.candle_page;
    let bars: Vec<_> = bars.iter().take(page).map(|b| wire::candle(market, interval, b)).collect();
    Ok(Reply::counted(&bars, 60))
}

fn recent_trades(exchange: &Exchange, fields: Fields<'_>) -> Answer {
    let coin = fields.coin()?;
    let market = match coin {
        Some(coin) if coin == exchange.delisted => return Ok(nothing()),
        _ => coin.and_then(|coin| exchange.market(coin)).ok_or(Refusal::Broken)?,
    };
    let Assumptions { recent_trades, block_order, .. } = exchange.assumptions;
    let by = if exchange.behind_ms == 0 { i64::MAX } else { exchange.answers_as_of() };
    let mut trades: Vec<_> = market.trades_by(by).rev().take(recent_trades).collect();
    if !block_order {
        trades.reverse();
        trades.sort_by_key(|t| std::cmp::Reverse(t.time));
    }
    let trades: Vec<_> = trades.into_iter().map(|t| wire::trade(exchange, market, t)).collect();
    Ok(Reply::counted(&trades, 20))
}

fn funding(exchange: &Exchange, fields: Fields<'_>) -> Answer {
    let (from, to) = fields.range()?;
    let coin = fields.coin()?;
    if coin == Some(exchange.delisted) {
        return Ok(nothing());
    }
    let market = coin.and_then(|coin| exchange.market(coin));
    let funding = market.and_then(|m| m.funding.as_ref()).ok_or(Refusal::Broken)?;
    let rows: Vec<_> = funding
        .range(from, to.min(exchange.answers_as_of()))
        .take(exchange.assumptions.funding_page)
        .map(|r| {
            json!({
                "coin": coin, "fundingRate": Num::new(r.rate, RATE_DECIMALS),
                "premium": Num::new(r.premium, RATE_DECIMALS), "time": r.time,
            })
        })
        .collect();
    Ok(Reply::counted(&rows, 20))
}

/// As on the exchange, `nextFundingTime` names the hour that is already settled.
fn predicted(exchange: &Exchange) -> Reply {
    let settled = exchange.time().div_euclid(HOUR) * HOUR;
    let rows: Vec<_> = exchange
        .dex("")
        .filter(|(_, m)| !m.closed)
        .filter_map(|(_, m)| {
            let rate = Num::new(m.funding.as_ref()?.estimate(), RATE_DECIMALS);
            let venue = json!({"fundingRate": rate, "nextFundingTime": settled, "fundingIntervalHours": 1});
            Some(json!([m.spec.coin, [[VENUE, venue], ["BinPerp", null]]]))
        })
        .collect();
    Reply::json(&rows)
}

fn builder(fields: Fields<'_>) -> Result<bool, Refusal> {
    fields.text("dex").map(|dex| dex == BUILDER_DEX)
}

fn dex_limits(exchange: &Exchange, fields: Fields<'_>) -> Answer {
    if !builder(fields)? {
        return Ok(Reply::null(200));
    }
    let caps: Vec<_> = exchange.dex(BUILDER_DEX).map(|(_, m)| json!([m.spec.coin, "50000000.0"])).collect();
    Ok(Reply::json(&json!({
        "totalOiCap": "500000000.0", "oiSzCapPerPerp": "10000000000.0", "maxTransferNtl": "100000000.0",
        "coinToOiCap": caps,
    })))
}

fn dex_status(exchange: &Exchange, fields: Fields<'_>) -> Answer {
    let dex = fields.dex()?;
    let deposits: i64 = exchange.traders.iter().map(|t| t.deposit).sum();
    let total = if dex.is_empty() { deposits } else { deposits / 10 };
    Ok(Reply::json(&json!({"totalNetDeposit": Num::new(total, 0)})))
}

fn margin_table(fields: Fields<'_>) -> Answer {
    let id = fields.present("id").and_then(Value::as_u64).ok_or(Refusal::Malformed)?;
    if !(1..=50).contains(&id) {
        return Err(Refusal::Broken);
    }
    Ok(Reply::json(&metadata::margin_table(id)))
}

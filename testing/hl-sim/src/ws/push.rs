//! Frames: the first ones after a subscription, and those that a block or a push clock brings.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use hl_core::Interval;
use serde_json::json;
use tokio::time::Instant;

use super::hub::{Hub, What};
use super::topic::Topic;
use super::user;
use crate::assumptions::Assumptions;
use crate::market::bars::{self, Bar};
use crate::market::spec::BLOCK_MS;
use crate::market::state::{Market, Trade};
use crate::market::{Block, Exchange};
use crate::wire::metadata::{self, DEXES};
use crate::wire::{self};

/// Blocks between two pushes of a market's bars.
const CANDLE_BLOCKS: u64 = 7;

/// What subscribing brings at once. `resend`: the newest replayed trade comes twice, as its first live message. `stale_ms`:
/// a replay ends so long ago.
pub(crate) fn first_frames(
    exchange: &mut Exchange,
    hub: &mut Hub,
    id: u64,
    topic: &Topic,
    resend: bool,
    stale_ms: Option<u64>,
) -> Vec<Bytes> {
    match topic {
        Topic::Trades(coin) => {
            let Some(market) = exchange.market(*coin) else { return Vec::new() };
            let Assumptions { replay, trade_order, .. } = exchange.assumptions;
            let shown = stale_ms.map(|ms| exchange.time().saturating_sub_unsigned(ms));
            let known = |t: &&Trade| shown.is_none_or(|by| t.time <= by);
            let end = market.trades.len() - market.trades.iter().rev().take_while(|t| !known(t)).count();
            let frames = [Some(end.saturating_sub(replay)), resend.then_some(end.saturating_sub(1))];
            let frame = |from: usize| {
                let mut trades: Vec<_> = market.trades.range(from..end).collect();
                if !trade_order {
                    trades.sort_by_key(|t| std::cmp::Reverse(t.time));
                }
                let trades: Vec<_> = trades.into_iter().map(|t| wire::trade(exchange, market, t)).collect();
                wire::frame("trades", trades)
            };
            frames.into_iter().flatten().map(frame).collect()
        }
        Topic::Bbo(coin) => {
            let newest = exchange.market(*coin).and_then(|m| m.bbos.back().map(|b| wire::bbo(m, b)));
            newest.map(|b| wire::frame("bbo", b)).into_iter().collect()
        }
        Topic::Candle(coin, interval) => {
            let now = exchange.time();
            let Some(market) = exchange.market_mut(*coin) else { return Vec::new() };
            let open = market.bars.newest(*interval).map(|(bar, _)| bar);
            let open = open.filter(|bar| bar.t == bars::open_of(*interval, now));
            open.map(|bar| wire::frame("candle", wire::candle(market, *interval, &bar))).into_iter().collect()
        }
        Topic::ExplorerBlock => vec![Bytes::from_static(b"[]")],
        Topic::User(kind, address, options) => user::first_frame(exchange, *kind, *address, options),
        Topic::FastAssetCtxs => {
            if let Some(socket) = hub.socket(id) {
                socket.fast_sent.clear();
            }
            fast_contexts(exchange, hub, id).into_iter().collect()
        }
        _ => state_frame(exchange, topic).into_iter().collect(),
    }
}

/// The present state of a topic that a clock pushes.
fn state_frame(exchange: &Exchange, topic: &Topic) -> Option<Bytes> {
    Some(match topic {
        Topic::Book(coin, options) => {
            if *coin == exchange.delisted {
                return Some(wire::frame("l2Book", wire::empty_book(*coin, exchange.book_time(), *options)));
            }
            let (time, packed) = exchange.newest_book(*coin)?;
            wire::frame("l2Book", wire::book(exchange.market(*coin)?, time.0, &packed, *options))
        }
        Topic::AllMids(dex) => {
            let mids = metadata::mids(exchange, dex.unwrap_or_default());
            match dex.filter(|d| !d.is_empty()) {
                Some(dex) => wire::frame("allMids", json!({"mids": mids, "dex": dex})),
                None => wire::frame("allMids", json!({"mids": mids})),
            }
        }
        Topic::Context(coin) => {
            let spot = exchange.market(*coin).is_some_and(|m| m.spec.is_spot());
            let channel = if spot { "activeSpotAssetCtx" } else { "activeAssetCtx" };
            wire::frame(channel, json!({"coin": coin, "ctx": metadata::context(exchange, *coin)?}))
        }
        Topic::AssetCtxs(dex) => {
            wire::frame("assetCtxs", json!({"dex": dex, "ctxs": metadata::contexts(exchange, dex)}))
        }
        Topic::AllDexsAssetCtxs => {
            let all = DEXES.map(|dex| (dex, metadata::contexts(exchange, dex)));
            wire::frame("allDexsAssetCtxs", json!({ "ctxs": all }))
        }
        Topic::SpotAssetCtxs => wire::frame("spotAssetCtxs", metadata::spot_contexts(exchange)),
        Topic::User(kind, address, options) => return user::state_frame(exchange, *kind, *address, options),
        _ => return None,
    })
}

/// What changed since the last push to this socket; everything at first.
fn fast_contexts(exchange: &Exchange, hub: &mut Hub, id: u64) -> Option<Bytes> {
    let socket = hub.socket(id)?;
    let mut changed = metadata::fast_contexts(exchange);
    changed.retain(|coin, ctx| socket.fast_sent.get(coin) != Some(ctx));
    socket.fast_sent.extend(changed.iter().map(|(coin, ctx)| (*coin, *ctx)));
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&wire::json(&changed)).ok()?;
    Some(wire::frame("fastAssetCtxs", STANDARD.encode(encoder.finish().ok()?)))
}

/// The pushes of bars: their own rhythm a market, and last versions that may come after the next bar has opened.
#[derive(Default)]
pub(crate) struct CandlePushes {
    /// Time of the first trade since the last push, by market.
    pending: Vec<Option<i64>>,
    /// Final versions that wait for the next push of their market.
    late: Vec<(usize, Interval, Bar)>,
}

/// How long before its end a bar is no longer sent where its last version does not come, ms.
const LEFT_OUT_MS: i64 = 5_000;

/// When something is pushed next though nothing happens in the market, simulated ms.
pub(crate) fn next(exchange: &Exchange, hub: &Hub, candles: &CandlePushes) -> i64 {
    let bars = |(i, pending): (usize, &Option<i64>)| {
        let owed = pending.is_some() || candles.late.iter().any(|(market, ..)| *market == i);
        let blocks = CANDLE_BLOCKS - (exchange.blocks + i as u64) % CANDLE_BLOCKS;
        owed.then(|| exchange.made() + blocks.cast_signed() * BLOCK_MS)
    };
    let bars = candles.pending.iter().enumerate().filter_map(bars).min();
    let (time, period) = (exchange.time(), i64::from(exchange.assumptions.bbo_cadence));
    let waits = |market: &Market| market.bbos.back().is_some_and(|bbo| bbo.time + period > time);
    let bbos = (period > BLOCK_MS && exchange.markets.iter().any(waits))
        .then(|| (time.div_euclid(period) + 1) * period - time + exchange.made());
    bars.into_iter().chain(bbos).chain([hub.next_push()]).min().unwrap_or(i64::MAX)
}

/// Sends what a block brought.
pub(crate) fn block(
    exchange: &mut Exchange,
    hub: &mut Hub,
    candles: &mut CandlePushes,
    block: &Block,
    now: Instant,
) {
    candles.pending.resize(exchange.markets.len(), None);
    for (i, first) in &block.trades {
        if let Some(pending) = candles.pending.get_mut(*i) {
            pending.get_or_insert(block.time);
        }
        let Some(market) = exchange.markets.get(*i) else { continue };
        let topic = Topic::Trades(market.spec.coin);
        if hub.subscribers(&topic).is_empty() {
            continue;
        }
        let from = usize::try_from(first - market.first_seq).unwrap_or(0);
        let trades: Vec<_> = market.trades.range(from..).map(|t| wire::trade(exchange, market, t)).collect();
        hub.publish(&topic, &wire::frame("trades", trades), now);
    }
    if !block.outcomes.is_empty() {
        let update = |(number, is_new): &(u64, bool)| match is_new {
            true => json!({"outcomeCreated": metadata::outcome(exchange, *number)}),
            false => json!({"outcomeSettled": {"outcome": number}}),
        };
        let updates: Vec<_> = block.outcomes.iter().map(update).collect();
        let frame = wire::frame("outcomeMetaUpdates", json!({"updates": updates}));
        hub.publish(&Topic::OutcomeMetaUpdates, &frame, now);
    }
    if !hub.has_topics() {
        candles.late.clear();
        candles.pending.fill(None);
        return;
    }
    push_bbos(exchange, hub, block, now);
    push_candles(exchange, hub, candles, now);
    user::block(exchange, hub, block, now);
    for id in hub.ids() {
        for topic in hub.due(id, exchange.made()) {
            let frame = match topic {
                Topic::FastAssetCtxs => fast_contexts(exchange, hub, id),
                _ => state_frame(exchange, &topic),
            };
            if let Some(frame) = frame {
                hub.send(id, What::Data(topic.stream()), &frame, now);
            }
        }
    }
}

/// Best bids and offers that changed since the last push: every block, unless they are assumed to come more slowly.
fn push_bbos(exchange: &Exchange, hub: &mut Hub, block: &Block, now: Instant) {
    if exchange.is_halted() {
        return;
    }
    let period = i64::from(exchange.assumptions.bbo_cadence);
    if block.time.div_euclid(period) == (block.time - BLOCK_MS).div_euclid(period) {
        return;
    }
    for market in &exchange.markets {
        let Some(bbo) = market.bbos.back().filter(|bbo| bbo.time > block.time - period) else { continue };
        let topic = Topic::Bbo(market.spec.coin);
        if !hub.subscribers(&topic).is_empty() {
            hub.publish(&topic, &wire::frame("bbo", wire::bbo(market, bbo)), now);
        }
    }
}

fn push_candles(exchange: &mut Exchange, hub: &mut Hub, candles: &mut CandlePushes, now: Instant) {
    let (blocks, time, candle_final) = (exchange.blocks, exchange.time(), exchange.assumptions.candle_final);
    for (i, market) in exchange.markets.iter_mut().enumerate() {
        if !(blocks + i as u64).is_multiple_of(CANDLE_BLOCKS) {
            continue;
        }
        let coin = market.spec.coin;
        let (due, later) = std::mem::take(&mut candles.late).into_iter().partition(|(m, ..)| *m == i);
        candles.late = later;
        let due: Vec<(usize, Interval, Bar)> = due;
        for (_, interval, bar) in due {
            let frame = wire::frame("candle", wire::candle(market, interval, &bar));
            hub.publish(&Topic::Candle(coin, interval), &frame, now);
        }
        let Some(first) = candles.pending.get_mut(i).and_then(Option::take) else { continue };
        for interval in Interval::ALL {
            let topic = Topic::Candle(coin, interval);
            if hub.subscribers(&topic).is_empty() {
                continue;
            }
            let Some((newest, before)) = market.bars.newest(interval) else { continue };
            let mut send = |bar: &Bar| {
                let frame = wire::frame("candle", wire::candle(market, interval, bar));
                hub.publish(&topic, &frame, now);
            };
            // Trades of the bar before came since the last push: its last version is still owed.
            let owed =
                before.filter(|b| candle_final && first < newest.t && b.t == bars::open_of(interval, first));
            match owed {
                // Every other last version comes only after the next bar's first.
                Some(bar) if bar.n % 2 == 0 => candles.late.push((i, interval, bar)),
                Some(bar) => send(&bar),
                None => {}
            }
            // After the clock was set back, what trades is an older bar.
            let trades = market.trades.back().is_some_and(|t| bars::open_of(interval, t.time) == newest.t);
            if trades && (candle_final || bars::next_open(interval, newest.t) - time > LEFT_OUT_MS) {
                send(&newest);
            }
        }
    }
}

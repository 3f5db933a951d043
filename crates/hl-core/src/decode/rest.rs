//! Answers of `POST /info`, decoded to records where they are market data.

use serde::de::DeserializeOwned;

use super::error::{DecodeError, Fault, locate};
use super::{oldest_first, parser};
use crate::TimeMs;
use crate::message::info::market::{FundingRate, MetaAndCtxs, SpotMetaAndCtxs};
use crate::message::info::meta::{Meta, PerpDex, SpotMeta};
use crate::message::market::{Mids, SpotCtx, WsBook, WsCandle, WsTrade};
use crate::record::{Book, Candle, Context, Funding, Mid, Trade};
use crate::stream::BookVariant;

/// Levels that one side of a book has at most. The exchange sends 20.
const MAX_LEVELS: usize = 100;
/// Dexes that there are at most. The exchange has fewer than ten.
const MAX_DEXES: usize = 1_000;

pub(super) const NO_BASE_VOLUME: Fault = Fault::Rule("a context without dayBaseVlm");

/// Decodes an answer to the type that the request's documentation names. `what` is said in the error.
///
/// # Errors
/// When the body is not JSON of that shape.
pub fn answer<T: DeserializeOwned>(what: &str, body: &mut [u8]) -> Result<T, DecodeError> {
    parser::typed(body).map_err(|fault| locate::<T>(Some(what.to_owned()), body, fault))
}

/// `recentTrades`, turned round: oldest first.
///
/// # Errors
/// When the body is not a list of trades.
pub fn recent_trades(body: &mut [u8]) -> Result<Vec<Trade>, DecodeError> {
    let mut trades: Vec<Trade> =
        answer::<Vec<WsTrade>>("recentTrades", body)?.into_iter().rev().map(Trade::from).collect();
    oldest_first(&mut trades);
    Ok(trades)
}

/// `l2Book`, in the variant of the stream that it is for; none where the exchange does not know the coin.
///
/// # Errors
/// When the body is neither a book nor null, or the book has more than 100 levels on one side.
pub fn l2_book(body: &mut [u8], variant: BookVariant) -> Result<Option<Book>, DecodeError> {
    const WHAT: &str = "l2Book";
    let found = answer::<Option<WsBook>>(WHAT, body)?;
    found.map(|found| book(found, variant)).transpose().map_err(|fault| unlike(WHAT, fault))
}

/// A book of a length that can be.
pub(super) fn book(book: WsBook, variant: BookVariant) -> Result<Book, Fault> {
    if book.levels.iter().any(|side| side.len() > MAX_LEVELS) {
        return Err(Fault::Rule("a book of more than 100 levels"));
    }
    Ok(book.into_record(variant))
}

/// `candleSnapshot`, oldest first. The last bar may still be open.
///
/// # Errors
/// When the body is not a list of bars, or one begins where none can.
pub fn candles(body: &mut [u8]) -> Result<Vec<Candle>, DecodeError> {
    const WHAT: &str = "candleSnapshot";
    let bars = answer::<Vec<WsCandle>>(WHAT, body)?.into_iter().map(bar);
    let mut candles: Vec<Candle> = bars.collect::<Result<_, _>>().map_err(|fault| unlike(WHAT, fault))?;
    candles.sort_by_key(|c| c.time);
    Ok(candles)
}

/// A bar that begins where one can: so a day has no more bars than minutes.
pub(super) fn bar(bar: WsCandle) -> Result<Candle, Fault> {
    if bar.interval.is_fixed() && bar.interval.open_of(bar.open_time) != bar.open_time {
        return Err(Fault::Rule("a bar that begins in the middle of another"));
    }
    Ok(bar.into())
}

/// `fundingHistory`, oldest first.
///
/// # Errors
/// When the body is not a list of funding rates.
pub fn funding(body: &mut [u8]) -> Result<Vec<Funding>, DecodeError> {
    let mut rates: Vec<Funding> =
        answer::<Vec<FundingRate>>("fundingHistory", body)?.into_iter().map(Funding::from).collect();
    rates.sort_by_key(|r| r.time);
    Ok(rates)
}

/// `allMids`, sorted by coin, stamped with the exchange's time as estimated at receipt.
///
/// # Errors
/// When the body is not a map of prices by coin.
pub fn all_mids(body: &mut [u8], stamp: TimeMs) -> Result<Vec<Mid>, DecodeError> {
    Ok(stamp_mids(answer::<Mids>("allMids", body)?, stamp))
}

pub(super) fn stamp_mids(mids: Mids, time: TimeMs) -> Vec<Mid> {
    mids.0.into_iter().map(|(coin, px)| Mid { coin, time, px }).collect()
}

/// `meta`: the perpetuals of a dex.
///
/// # Errors
/// When the body is not such a listing.
pub fn meta(body: &mut [u8]) -> Result<Meta, DecodeError> {
    answer("meta", body)
}

/// `metaAndAssetCtxs`: the perpetuals of a dex, and their contexts in the same order, stamped.
///
/// # Errors
/// When the body is not such a listing, or has not one context for each perpetual.
pub fn meta_and_contexts(body: &mut [u8], stamp: TimeMs) -> Result<(Meta, Vec<Context>), DecodeError> {
    const WHAT: &str = "metaAndAssetCtxs";
    let MetaAndCtxs(meta, ctxs) = answer(WHAT, body)?;
    if meta.universe.len() != ctxs.len() {
        return Err(unlike(WHAT, Fault::Rule("not one context for each perpetual")));
    }
    let contexts: Option<Vec<Context>> =
        meta.universe.iter().zip(ctxs).map(|(asset, ctx)| ctx.into_record(asset.name, stamp)).collect();
    Ok((meta, contexts.ok_or_else(|| unlike(WHAT, NO_BASE_VOLUME))?))
}

/// `spotMeta`: spot pairs and tokens.
///
/// # Errors
/// When the body is not such a listing.
pub fn spot_meta(body: &mut [u8]) -> Result<SpotMeta, DecodeError> {
    answer("spotMeta", body)
}

/// `spotMetaAndAssetCtxs`: spot pairs, and contexts by coin, stamped and sorted by coin. Outcomes have contexts too,
/// so there are more of these than pairs.
///
/// # Errors
/// When the body is not such a listing.
pub fn spot_meta_and_contexts(
    body: &mut [u8],
    stamp: TimeMs,
) -> Result<(SpotMeta, Vec<Context>), DecodeError> {
    let SpotMetaAndCtxs(meta, ctxs) = answer("spotMetaAndAssetCtxs", body)?;
    let mut contexts: Vec<Context> = ctxs.into_iter().map(|ctx: SpotCtx| ctx.into_record(stamp)).collect();
    contexts.sort_by_key(|c| c.coin);
    Ok((meta, contexts))
}

/// `perpDexs`: the dexes, by index; the first is null.
///
/// # Errors
/// When the body is not a list of dexes, or of more than 1,000: each costs a request.
pub fn perp_dexs(body: &mut [u8]) -> Result<Vec<Option<PerpDex>>, DecodeError> {
    const WHAT: &str = "perpDexs";
    let dexes: Vec<_> = answer(WHAT, body)?;
    if dexes.len() > MAX_DEXES {
        return Err(unlike(WHAT, Fault::Rule("more than 1,000 dexes")));
    }
    Ok(dexes)
}

fn unlike(what: &str, fault: Fault) -> DecodeError {
    DecodeError { what: what.to_owned(), path: None, at: 0, excerpt: String::new(), fault }
}

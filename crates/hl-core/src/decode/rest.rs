//! Answers of `POST /info`, decoded to records where they are market data.

use serde::de::DeserializeOwned;

use serde_json::value::RawValue;

use super::error::{DecodeError, Fault, locate};
use super::parser;
use super::rows::{self, MetaRows, Prices, Read, Rows, SpotRows, Unread};
use crate::message::info::fills::Fill as FillMessage;
use crate::message::info::market::{self, FundingRate, MetaAndCtxs, SpotMetaAndCtxs};
use crate::message::info::meta::{Meta, Outcome, OutcomeMeta, PerpDex, SpotMeta};
use crate::message::market::{Mids, PerpCtx, SpotCtx, WsBook, WsCandle, WsTrade};
use crate::record::{Book, Candle, Context, Fill, Funding, Liquidity, Mid, PredictedFunding, Trade};
use crate::row::Arrival;
use crate::stream::BookVariant;
use crate::symbol::{User, Word};
use crate::{Coin, Dex, TimeMs};

/// Levels that one side of a book has at most. The exchange sends 20.
const MAX_LEVELS: usize = 100;
/// Dexes that there are at most. The exchange has fewer than ten.
const MAX_DEXES: usize = 1_000;

/// Longest reason that an error repeats, characters.
const REASON_CHARS: usize = 80;

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
/// When the body is not a list of trades, or none of them can be read.
pub fn recent_trades(body: &mut [u8]) -> Result<Rows<Trade>, DecodeError> {
    rows::list::<WsTrade>("recentTrades", body, true)
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

/// `candleSnapshot`, oldest first. The last bar may still be open. A bar that begins where none can is none that can be
/// read.
///
/// # Errors
/// When the body is not a list of bars, or none of them can be read, nor when it begins.
pub fn candles(body: &mut [u8]) -> Result<Rows<Candle>, DecodeError> {
    rows::list::<WsCandle>("candleSnapshot", body, false)
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
/// When the body is not a list of funding rates, or none of them can be read, nor when it was settled.
pub fn funding(body: &mut [u8]) -> Result<Rows<Funding>, DecodeError> {
    rows::list::<FundingRate>("fundingHistory", body, false)
}

/// `userFillsByTime` of a trader, oldest first, or `userFills`, which comes newest first: the rows are oldest first.
///
/// # Errors
/// When the body is not a list of fills, or none of them can be read, nor when it was.
pub fn user_fills(body: &mut [u8], user: User, newest_first: bool) -> Result<Rows<Fill>, DecodeError> {
    let Rows { rows, holes, reason } = rows::list::<FillMessage>("userFills", body, newest_first)?;
    let rows = rows.into_iter().map(|fill| {
        let (liquidated_user, liquidation_mark_px, liquidation_method) = match fill.liquidation {
            Some(of) => (of.liquidated_user, Some(of.mark_px), Some(of.method.into())),
            None => (None, None, None),
        };
        Fill {
            user,
            time: fill.time,
            // Rows without one were turned away.
            tid: fill.tid.unwrap_or_default(),
            side: fill.side,
            coin: fill.coin,
            px: fill.px,
            sz: fill.sz,
            start_position: fill.start_position,
            dir: fill.dir.into(),
            closed_pnl: fill.closed_pnl,
            liquidity: if fill.crossed { Liquidity::Taker } else { Liquidity::Maker },
            fee: fill.fee,
            fee_token: fill.fee_token.map(Into::into),
            builder_fee: fill.builder_fee,
            oid: fill.oid,
            cloid: fill.cloid.map(|cloid| cloid.to_string().into()),
            twap_id: fill.twap_id,
            hash: fill.hash,
            liquidated_user,
            liquidation_mark_px,
            liquidation_method,
            arrival: Arrival::default(),
        }
    });
    Ok(Rows { rows: rows.collect(), holes, reason })
}

/// What is wrong where all mids of an answer or a frame are of coins that another dex has.
pub(super) const MIDS_OF_ANOTHER_DEX: Fault = Fault::Rule("mids of another dex");

/// `allMids` of a dex, sorted by coin, stamped with the exchange's time as estimated at receipt. A coin whose price is null or
/// empty has none; a coin of another dex counts as one that cannot be read.
///
/// # Errors
/// When the body is not a map of prices by coin, or none of them can be read.
pub fn all_mids(body: &mut [u8], dex: Dex, stamp: TimeMs) -> Result<Read<Vec<Mid>>, DecodeError> {
    const WHAT: &str = "allMids";
    let (prices, fault) = match parser::typed::<Mids>(body) {
        Ok(mids) => (Some(mids.into()), MIDS_OF_ANOTHER_DEX),
        Err(fault) => (rows::lossy(body).as_deref().and_then(rows::prices), fault),
    };
    match prices.and_then(|prices: Prices| prices.of_dex(dex)) {
        Some(Prices { read, unread, .. }) => Ok(Read { value: stamp_mids(Mids(read), stamp), unread }),
        None => Err(locate::<Mids>(Some(WHAT.to_owned()), body, fault)),
    }
}

pub(super) fn stamp_mids(mids: Mids, time: TimeMs) -> Vec<Mid> {
    mids.0.into_iter().map(|(coin, px)| Mid { coin, time, px, arrival: Arrival::ALONE }).collect()
}

/// `predictedFundings`: of each coin the rate at each venue that has one, stamped with the exchange's time as estimated at
/// receipt.
///
/// # Errors
/// When the body is not a list, or no coin of it can be read.
pub fn predicted_funding(body: &mut [u8], stamp: TimeMs) -> Result<Read<Vec<PredictedFunding>>, DecodeError> {
    type OfCoin = (Coin, Vec<(Word, Option<market::PredictedFunding>)>);
    const WHAT: &str = "predictedFundings";
    let records = |(coin, venues): OfCoin| {
        venues
            .into_iter()
            .filter_map(move |(venue, next)| next.map(|next| next.into_record(coin, venue, stamp)))
    };
    listing::<Vec<OfCoin>, _>(WHAT, body, |text| {
        let mut unread = Unread::default();
        let mut read = Vec::new();
        for (at, raw) in serde_json::from_str::<Vec<&RawValue>>(text).ok()?.into_iter().enumerate() {
            match rows::one::<OfCoin>(WHAT, at, raw) {
                Ok(of_coin) => read.push(of_coin),
                Err(reason) => {
                    let coin = serde_json::from_str::<(Coin, serde::de::IgnoredAny)>(raw.get()).ok();
                    unread.note(coin.map(|(coin, _)| coin), || reason);
                }
            }
        }
        (!read.is_empty()).then_some(Read { value: read, unread })
    })
    .map(|Read { value, unread }| Read { value: value.into_iter().flat_map(records).collect(), unread })
}

/// An answer as a whole where it can be read so, else as `apart` reads its rows.
fn listing<T: DeserializeOwned, R: From<T>>(
    what: &str,
    body: &mut [u8],
    apart: impl FnOnce(&str) -> Option<R>,
) -> Result<R, DecodeError> {
    match parser::typed::<T>(body) {
        Ok(whole) => Ok(whole.into()),
        Err(fault) => match rows::lossy(body).as_deref().and_then(apart) {
            Some(read) => Ok(read),
            None => Err(locate::<T>(Some(what.to_owned()), body, fault)),
        },
    }
}

/// `meta`: the perpetuals of a dex.
///
/// # Errors
/// When the body is not such a listing, or no perpetual of it can be read.
pub fn meta(body: &mut [u8]) -> Result<Read<Meta>, DecodeError> {
    const WHAT: &str = "meta";
    listing::<Meta, _>(WHAT, body, |text| {
        let rows: MetaRows<'_> = serde_json::from_str(text).ok()?;
        let mut unread = Unread::default();
        let (_, meta) = rows.read(WHAT, &mut unread);
        (!meta.universe.is_empty()).then_some(Read { value: meta, unread })
    })
}

/// `allPerpMetas`: the perpetuals of every dex, the first one's first. None in the place of a dex that cannot be read.
///
/// # Errors
/// When the body is not such a listing, or no perpetual of it can be read.
pub fn all_perp_metas(body: &mut [u8]) -> Result<Read<Vec<Option<Meta>>>, DecodeError> {
    const WHAT: &str = "allPerpMetas";
    let metas: Read<Vec<Option<Meta>>> = listing::<Vec<_>, _>(WHAT, body, |text| {
        let dexes: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let mut unread = Unread::default();
        let mut dex = |raw: &&RawValue| match serde_json::from_str::<MetaRows<'_>>(raw.get()) {
            Ok(rows) => Some(rows.read(WHAT, &mut unread).1),
            Err(error) => {
                unread.note(None, || error.to_string());
                None
            }
        };
        let metas: Vec<_> = dexes.iter().map(&mut dex).collect();
        let is_any = metas.iter().flatten().any(|meta| !meta.universe.is_empty());
        is_any.then_some(Read { value: metas, unread })
    })?;
    if metas.value.len() > MAX_DEXES {
        return Err(unlike(WHAT, Fault::Rule("more than 1,000 dexes")));
    }
    Ok(metas)
}

/// `outcomeMeta`: the outcomes that have not settled. Of an answer that cannot be read as a whole the questions are left out.
///
/// # Errors
/// When the body is not such a listing.
pub fn outcome_meta(body: &mut [u8]) -> Result<Read<OutcomeMeta>, DecodeError> {
    const WHAT: &str = "outcomeMeta";
    listing::<OutcomeMeta, _>(WHAT, body, |text| {
        #[derive(serde::Deserialize)]
        struct Outcomes<'a> {
            #[serde(borrow)]
            outcomes: Vec<&'a RawValue>,
        }
        let rows: Outcomes<'_> = serde_json::from_str(text).ok()?;
        let mut unread = Unread::default();
        let outcomes = rows::each::<Outcome>(WHAT, &rows.outcomes, &mut unread);
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        let meta = OutcomeMeta { outcomes, questions: Vec::new() };
        (!meta.outcomes.is_empty()).then_some(Read { value: meta, unread })
    })
}

/// `metaAndAssetCtxs`: the perpetuals of a dex, and their contexts in the same order, stamped. A perpetual that cannot be
/// read has no context either; one whose context cannot be read is among the perpetuals.
///
/// # Errors
/// When the body is not such a listing, has not one context for each perpetual, or no context of it can be read.
pub fn meta_and_contexts(body: &mut [u8], stamp: TimeMs) -> Result<Read<(Meta, Vec<Context>)>, DecodeError> {
    const WHAT: &str = "metaAndAssetCtxs";
    const NOT_ONE_EACH: Fault = Fault::Rule("not one context for each perpetual");
    let fault = match parser::typed::<MetaAndCtxs>(body) {
        Ok(MetaAndCtxs(meta, ctxs)) if meta.universe.len() != ctxs.len() => {
            return Err(unlike(WHAT, NOT_ONE_EACH));
        }
        Ok(MetaAndCtxs(meta, ctxs)) => {
            let contexts =
                meta.universe.iter().zip(&ctxs).map(|(asset, ctx)| ctx.into_record(asset.name, stamp));
            match contexts.collect() {
                Some(contexts) => return Ok((meta, contexts).into()),
                None => NO_BASE_VOLUME,
            }
        }
        Err(fault) => fault,
    };
    let text = rows::lossy(body);
    let apart =
        text.as_deref().and_then(|text| serde_json::from_str::<(MetaRows<'_>, Vec<&RawValue>)>(text).ok());
    let Some((meta, ctxs)) = apart else {
        return Err(locate::<MetaAndCtxs>(Some(WHAT.to_owned()), body, fault));
    };
    let mut unread = Unread::default();
    let (assets, meta) = meta.read(WHAT, &mut unread);
    if assets.len() != ctxs.len() {
        return Err(unlike(WHAT, NOT_ONE_EACH));
    }
    let mut contexts = Vec::with_capacity(assets.len());
    for ((at, asset), raw) in assets.into_iter().enumerate().zip(ctxs) {
        // Whose the context is nothing else says.
        let Some(asset) = asset else { continue };
        let ctx = rows::one::<PerpCtx>(WHAT, at, raw);
        match ctx.and_then(|ctx| ctx.into_record(asset.name, stamp).ok_or_else(|| NO_BASE_VOLUME.to_string()))
        {
            Ok(context) => contexts.push(context),
            Err(reason) => unread.note(Some(asset.name), || reason),
        }
    }
    match (contexts.is_empty(), unread.reason.clone()) {
        (true, Some(reason)) => Err(nothing(WHAT, &reason)),
        _ => Ok(Read { value: (meta, contexts), unread }),
    }
}

/// `spotMeta`: spot pairs and tokens.
///
/// # Errors
/// When the body is not such a listing, or no pair of it can be read.
pub fn spot_meta(body: &mut [u8]) -> Result<Read<SpotMeta>, DecodeError> {
    const WHAT: &str = "spotMeta";
    listing::<SpotMeta, _>(WHAT, body, |text| {
        let rows: SpotRows<'_> = serde_json::from_str(text).ok()?;
        let mut unread = Unread::default();
        let meta = rows.read(WHAT, &mut unread);
        (!meta.universe.is_empty()).then_some(Read { value: meta, unread })
    })
}

/// `spotMetaAndAssetCtxs`: spot pairs, and contexts by coin, stamped and sorted by coin. Outcomes have contexts too,
/// so there are more of these than pairs.
///
/// # Errors
/// When the body is not such a listing, or no context of it can be read.
pub fn spot_meta_and_contexts(
    body: &mut [u8],
    stamp: TimeMs,
) -> Result<Read<(SpotMeta, Vec<Context>)>, DecodeError> {
    const WHAT: &str = "spotMetaAndAssetCtxs";
    let Read { value: SpotMetaAndCtxs(meta, ctxs), unread } =
        listing::<SpotMetaAndCtxs, _>(WHAT, body, |text| {
            let (meta, ctxs): (SpotRows<'_>, Vec<&RawValue>) = serde_json::from_str(text).ok()?;
            let mut unread = Unread::default();
            let meta = meta.read(WHAT, &mut unread);
            let ctxs: Vec<SpotCtx> = rows::each(WHAT, &ctxs, &mut unread).into_iter().flatten().collect();
            (!ctxs.is_empty()).then_some(Read { value: SpotMetaAndCtxs(meta, ctxs), unread })
        })?;
    let mut contexts: Vec<Context> = ctxs.into_iter().map(|ctx: SpotCtx| ctx.into_record(stamp)).collect();
    contexts.sort_by_key(|c| c.coin);
    Ok(Read { value: (meta, contexts), unread })
}

/// `perpDexs`: the dexes, by index; the first is null, and so is one that cannot be read.
///
/// # Errors
/// When the body is not a list of dexes, or of more than 1,000: each costs a request.
pub fn perp_dexs(body: &mut [u8]) -> Result<Read<Vec<Option<PerpDex>>>, DecodeError> {
    const WHAT: &str = "perpDexs";
    let dexes: Read<Vec<Option<PerpDex>>> = listing::<Vec<_>, _>(WHAT, body, |text| {
        let rows: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let mut unread = Unread::default();
        let dexes: Vec<Option<Option<PerpDex>>> = rows::each(WHAT, &rows, &mut unread);
        let is_any = dexes.iter().any(Option::is_some);
        is_any.then(|| Read { value: dexes.into_iter().map(Option::flatten).collect(), unread })
    })?;
    if dexes.value.len() > MAX_DEXES {
        return Err(unlike(WHAT, Fault::Rule("more than 1,000 dexes")));
    }
    Ok(dexes)
}

/// The error of a text whose shape is right.
pub(super) fn unlike(what: &str, fault: Fault) -> DecodeError {
    DecodeError {
        what: what.to_owned(),
        path: None,
        at: 0,
        excerpt: Box::default(),
        fault,
        coin: None,
        well_formed: true,
    }
}

/// The error of a text of which no row can be read: why the first cannot.
pub(super) fn nothing(what: &str, reason: &str) -> DecodeError {
    let excerpt = reason.chars().take(REASON_CHARS).collect();
    DecodeError { excerpt, ..unlike(what, Fault::Rule("none of its rows can be read")) }
}

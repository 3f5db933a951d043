//! Leases and backfill claims.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hl_core::ledger::sheet::Parts;
use hl_core::ledger::{Cause, GapState, Requested, Span};
use hl_core::record::{Market, MarketStatus};
use hl_core::store::{Leases, RECENT_MS, Recent, StreamStart};
use hl_core::{Epoch, Records, StreamKey, TimeMs, Token};
use mongodb::bson::{Document, doc};

use crate::documents::{Read, date, date_or_null};
use crate::error::MongoError;
use crate::ledger::{self, Wanted};
use crate::rows;
use crate::schema::{COVERAGE, GAPS, STREAMS};
use crate::session::Work;
use crate::tx::Tx;

/// Takes leases.
pub(crate) struct Take(pub(crate) Vec<StreamKey>);

#[async_trait]
impl Work for Take {
    type Answer = Leases;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Leases, MongoError> {
        let names: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        let mut known = BTreeMap::new();
        for document in tx.find(STREAMS, doc! { "_id": { "$in": names } }, doc! {}).await? {
            known.insert(Read::of(STREAMS, &document).stream("_id")?, at_the_end(&document)?);
        }
        let mut leases = Leases::default();
        let mut taken = Vec::new();
        for &stream in &self.0 {
            let (edge, ended, former) = known.get(&stream).copied().unwrap_or_default();
            if let Some(former) = former.filter(|former| *former != tx.token)
                && let Some(holder) = tx.alive(former).await?
            {
                leases.held.push((stream, holder));
                continue;
            }
            let edge = match edge {
                Some(edge) => Some(edge),
                None => edge_of_ledger(tx, stream).await?,
            };
            let lease = doc! {
                "edge": date_or_null(edge), "token": i64::from(tx.token.0), "leased_at": date(tx.now),
                "ended": date_or_null(None),
            };
            taken.push(doc! { "q": { "_id": stream.to_string() }, "u": { "$set": lease }, "upsert": true });
            let recent = match edge.filter(|_| Recent::is_read_of(stream)) {
                Some(_) if stream == StreamKey::Markets => {
                    Recent { markets: markets(tx).await?, ..Recent::default() }
                }
                Some(edge) => recent(tx, stream, edge).await?,
                None => Recent::default(),
            };
            leases.granted.push(StreamStart { stream, edge, ended, recent });
        }
        tx.update(STREAMS, taken).await?;
        Ok(leases)
    }
}

/// The edge of a stream, when it ended, and the token that may write it.
#[allow(clippy::type_complexity, reason = "a name for the triple would say no more")]
fn at_the_end(stream: &Document) -> Result<(Option<TimeMs>, Option<TimeMs>, Option<Token>), MongoError> {
    let read = Read::of(STREAMS, stream);
    let token = read.int_or_null("token")?.and_then(|token| u32::try_from(token).ok()).map(Token);
    Ok((read.time_or_null("edge")?, read.time_or_null("ended")?, token))
}

/// A stream that only a backfill has touched so far begins where its ledger ends.
async fn edge_of_ledger(tx: &mut Tx<'_>, stream: StreamKey) -> Result<Option<TimeMs>, MongoError> {
    let mut edge = None;
    for collection in [COVERAGE, GAPS] {
        for last in tx.aggregate(collection, ledger::last_end(stream)).await? {
            edge = edge.max(Some(Read::of(collection, &last).time("to")?));
        }
    }
    Ok(edge)
}

/// What is stored of the last minutes before the edge.
async fn recent(tx: &mut Tx<'_>, stream: StreamKey, edge: TimeMs) -> Result<Recent, MongoError> {
    let oldest = edge - RECENT_MS;
    let since = doc! { "stream": stream.to_string(), "to": { "$gte": date(oldest) } };
    let mut pieces = Vec::new();
    for document in tx.find(COVERAGE, since.clone(), doc! {}).await? {
        pieces.push((Read::of(COVERAGE, &document).span()?, None));
    }
    let mut unfilled = since;
    unfilled.insert("state", doc! { "$ne": GapState::Backfilled.as_str() });
    for document in tx.find(GAPS, unfilled, doc! {}).await? {
        let gap = Read::of(GAPS, &document);
        pieces.push((gap.span()?, Some(gap.word("state", GapState::parse)?)));
    }
    let recent = Recent::before(edge, ledger::first_begin(tx, stream).await?, pieces);
    if !matches!(stream, StreamKey::Trades(_)) {
        return Ok(recent);
    }
    // The edge block itself is known also where no piece ends there.
    let span = Span { from: recent.since.unwrap_or(edge), to: edge };
    let pipeline = vec![
        doc! { "$match": rows::key_filter(stream, span) },
        doc! { "$sort": { "_id": 1 } },
        doc! { "$project": { "_id": 1 } },
    ];
    let collection = rows::collection(stream);
    let mut keys = Vec::new();
    for document in tx.aggregate(collection, pipeline).await? {
        let id = Read::of(collection, &document).inner("_id")?;
        keys.push((id.time("time")?, id.count("tid")?));
    }
    Ok(Recent { keys, ..recent })
}

/// The last row of each market, by coin, without those that have settled: each of their coins would be one more that this
/// process knows for ever.
async fn markets(tx: &mut Tx<'_>) -> Result<Vec<Market>, MongoError> {
    let pipeline = vec![
        doc! { "$sort": { "_id": 1 } },
        doc! { "$group": { "_id": "$_id.coin", "last": { "$last": "$$ROOT" } } },
        doc! { "$replaceRoot": { "newRoot": "$last" } },
        doc! { "$match": { "status": { "$ne": MarketStatus::Settled.as_str() } } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let documents = tx.aggregate(rows::collection(StreamKey::Markets), pipeline).await?;
    match rows::read(StreamKey::Markets, &documents)?.records {
        Records::Markets(markets) => Ok(markets),
        _ => Ok(Vec::new()),
    }
}

/// Gives leases back.
pub(crate) struct Release(pub(crate) Vec<StreamKey>);

#[async_trait]
impl Work for Release {
    type Answer = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        let names: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        let held = doc! { "_id": { "$in": names }, "token": i64::from(tx.token.0) };
        tx.clear(STREAMS, held, "token").await
    }
}

/// Opens a gap over what is unknown below the edge.
pub(crate) struct RequestBackfill {
    pub(crate) stream: StreamKey,
    pub(crate) span: Span,
    pub(crate) cause: Cause,
}

#[async_trait]
impl Work for RequestBackfill {
    type Answer = Requested;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Requested, MongoError> {
        let Self { stream, span, cause } = *self;
        let row = tx.find_one(STREAMS, doc! { "_id": stream.to_string() }).await?;
        let (edge, _, token) = row.as_ref().map(at_the_end).transpose()?.unwrap_or_default();
        let to = match (edge, token) {
            (Some(edge), _) => span.to.min(edge),
            // Its holder is about to say where its past ends.
            (None, Some(token)) if tx.alive(token).await?.is_some() => return Ok(Requested::default()),
            (None, _) => span.to,
        };
        let mut asked = Requested { up_to: Some(to), gaps: Vec::new() };
        if to <= span.from {
            return Ok(asked);
        }
        let span = Span { from: span.from, to };
        let mut sheets = one(tx, stream, span).await?;
        if let Some(sheet) = sheets.get_mut(&stream) {
            sheet.ledger.open_unknown(span, cause);
            asked.gaps = sheet.ledger.gap_changes().to_vec();
        }
        ledger::store(tx, &sheets).await?;
        Ok(asked)
    }
}

async fn one(
    tx: &mut Tx<'_>,
    stream: StreamKey,
    span: Span,
) -> Result<BTreeMap<StreamKey, crate::sheet::Sheet>, MongoError> {
    // Bars are nobody's business here.
    ledger::load_pieces(tx, &BTreeMap::from([(stream, Wanted { span, whole_pieces: false, gaps: true })]))
        .await
}

/// Claims open gaps.
pub(crate) struct Claim {
    pub(crate) stream: StreamKey,
    pub(crate) span: Span,
    pub(crate) epoch: Epoch,
    pub(crate) parts: Parts,
}

#[async_trait]
impl Work for Claim {
    type Answer = Vec<Span>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Span>, MongoError> {
        let living: Vec<_> = tx.living().await?.keys().copied().collect();
        let mut sheets = one(tx, self.stream, self.span).await?;
        let claimed = match sheets.get_mut(&self.stream) {
            Some(sheet) => {
                sheet.ledger.claim(self.span, self.epoch, self.parts, |token| living.contains(&token))
            }
            None => Vec::new(),
        };
        ledger::store(tx, &sheets).await?;
        Ok(claimed)
    }
}

/// Gives claims back.
pub(crate) struct Unclaim(pub(crate) Epoch);

#[async_trait]
impl Work for Unclaim {
    type Answer = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), MongoError> {
        tx.clear(GAPS, doc! { "claim": self.0.to_i64() }, "claim").await
    }
}

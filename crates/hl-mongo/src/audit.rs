//! What the audit asks of a MongoDB database ([`AuditSource`]).

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::{Day, Provenance, StoredRows};
use hl_core::ledger::Span;
use hl_core::{Coin, Interval, Origin, StreamKey, TimeMs};
use hl_store::Finding;
use hl_store::checks::{AuditSource, MINUTE_MS, StreamLedger, Sum};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::documents::Read;
use crate::error::MongoError;
use crate::inspect::{coverage, gaps, streams};
use crate::reading::AT_LENGTH;
use crate::{archive, notes, rows};

/// How many rows are read at a time.
const PAGE: i64 = 5_000;
/// How many pieces are looked at at a time.
const PIECES_AT_A_TIME: usize = 200;

/// A database.
pub(crate) struct Audited<'a>(pub(crate) &'a Database);

impl AuditSource for Audited<'_> {
    type Error = MongoError;

    async fn integrity(&self) -> Result<Option<Finding>, MongoError> {
        Ok(None)
    }

    async fn note(&self, name: &str) -> Result<Option<String>, MongoError> {
        notes::note(self.0, name).await
    }

    async fn streams(&self) -> Result<Vec<StreamKey>, MongoError> {
        streams(self.0).await
    }

    async fn ledger(&self, stream: StreamKey) -> Result<StreamLedger, MongoError> {
        Ok(StreamLedger {
            archived: archive::archived(self.0, stream).await?.0,
            edge: archive::edge(self.0, stream).await?,
            pieces: coverage(self.0, Some(stream)).await?,
            gaps: gaps(self.0, Some(stream)).await?,
        })
    }

    async fn touched_days(&self, stream: StreamKey) -> Result<BTreeSet<Day>, MongoError> {
        archive::touched_days(self.0, stream).await
    }

    /// There are none: the key is the document's `_id`.
    async fn duplicate_keys(&self, _: StreamKey) -> Result<Option<(u64, String)>, MongoError> {
        Ok(None)
    }

    async fn each_row(
        &self,
        stream: StreamKey,
        see: &mut (dyn FnMut(&str, TimeMs, Provenance) + Send),
    ) -> Result<(), MongoError> {
        let (collection, is_by_coin) = (rows::collection(stream), stream.spec().table.is_by_coin());
        // Bars that may still change do not prove anything: the filter leaves them out.
        let (filter, fields) = (rows::span_filter(stream, Span::EVER), doc! { "source": 1, "epoch": 1 });
        let mut found = AT_LENGTH.walk(self.0, collection, filter, doc! { "_id": 1 }, fields).await?;
        while let Some(row) = AT_LENGTH.next(&mut found).await? {
            let row = Read::of(collection, &row);
            let key = row.inner("_id")?;
            let origin = row.word("source", Origin::parse)?;
            let coin = if is_by_coin { key.text("coin")? } else { "" };
            see(coin, key.time("time")?, Provenance { origin, epoch: row.epoch("epoch")? });
        }
        Ok(())
    }

    async fn crossed_books(&self, stream: StreamKey) -> Result<(u64, String), MongoError> {
        let (mut count, mut example, mut after) = (0, String::new(), None);
        loop {
            let page =
                first(self.0, stream, rows::page_filter(stream, Span::EVER, after), PAGE).await?.records;
            let keys = page.keys();
            let Some(last) = keys.last().copied() else { return Ok((count, example)) };
            after = Some(last);
            for (_, key) in keys.iter().enumerate().filter(|(at, _)| page.is_crossed(*at)) {
                if count == 0 {
                    example = format!("at {}", key.time);
                }
                count += 1;
            }
        }
    }

    async fn bars(
        &self,
        coin: Coin,
        interval: Interval,
        span: Span,
        most: usize,
    ) -> Result<StoredRows, MongoError> {
        let stream = StreamKey::Candle(coin, interval);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        first(self.0, stream, rows::span_filter(stream, span), most).await
    }

    /// The server adds decimals exactly.
    async fn trades_by_minute(&self, coin: Coin, span: Span) -> Result<BTreeMap<TimeMs, Sum>, MongoError> {
        let stream = StreamKey::Trades(coin);
        let collection = rows::collection(stream);
        let pipeline = vec![
            doc! { "$match": rows::span_filter(stream, span) },
            doc! { "$group": { "_id": minute(), "trades": { "$sum": 1_i64 }, "volume": { "$sum": "$sz" } } },
        ];
        let mut sums = BTreeMap::new();
        for found in AT_LENGTH.aggregate(self.0, collection, pipeline).await? {
            let read = Read::of(collection, &found);
            let volume = match found.get("volume") {
                Some(Bson::Decimal128(sum)) => rows::decode(*sum).ok_or_else(|| read.wrong("sz"))?,
                _ => return Err(read.wrong("sz")),
            };
            sums.insert(read.time("_id")?, (read.count("trades")?, volume));
        }
        Ok(sums)
    }

    async fn traded_minutes(&self, coin: Coin, pieces: &[Span]) -> Result<Vec<(TimeMs, u64)>, MongoError> {
        let stream = StreamKey::Trades(coin);
        let collection = rows::collection(stream);
        let mut minutes = Vec::new();
        for pieces in pieces.chunks(PIECES_AT_A_TIME) {
            // The end of a filter's span belongs to it.
            let of_piece =
                |piece: &Span| rows::span_filter(stream, Span { from: piece.from, to: piece.to - 1 });
            let any: Vec<_> = pieces.iter().map(of_piece).collect();
            let pipeline = vec![
                doc! { "$match": { "$or": any, "source": { "$ne": Origin::Import.as_str() } } },
                doc! { "$group": { "_id": minute(), "trades": { "$sum": 1_i64 } } },
                doc! { "$sort": { "_id": 1 } },
            ];
            for found in AT_LENGTH.aggregate(self.0, collection, pipeline).await? {
                let read = Read::of(collection, &found);
                minutes.push((read.time("_id")?, read.count("trades")?));
            }
        }
        Ok(minutes)
    }
}

/// The first rows that a filter lets through.
async fn first(
    db: &Database,
    stream: StreamKey,
    filter: Document,
    most: i64,
) -> Result<StoredRows, MongoError> {
    let found = AT_LENGTH.first(db, rows::collection(stream), filter, doc! { "_id": 1 }, most).await?;
    rows::read(stream, &found)
}

/// The minute of a row, for the server.
fn minute() -> Bson {
    let beyond = doc! { "$mod": [{ "$toLong": "$_id.time" }, MINUTE_MS] };
    doc! { "$subtract": ["$_id.time", beyond] }.into()
}

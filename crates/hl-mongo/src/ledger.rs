//! Reading and writing the ledger of streams: gaps and covered pieces as documents.

use std::collections::BTreeMap;

use hl_core::ledger::sheet::{Piece, PieceKey};
use hl_core::ledger::{Cause, GapState, Span};
use hl_core::{Epoch, Origin, StreamKey, TimeMs};
use hl_store::rules;
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::archive;
use crate::documents::{Read, date, date_or_null};
use crate::error::MongoError;
use crate::reading::{AT_LENGTH, SOON};
use crate::rows::{self, Bar};
use crate::schema::{COVERAGE, GAPS};
use crate::sheet::{Before, Gap, Sheet};
use crate::tx::Tx;

/// What of a stream's ledger is needed.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Everything that touches it.
    pub(crate) span: Span,
    /// Whether bars may have to be counted in all of a covered piece.
    pub(crate) whole_pieces: bool,
    /// Whether somebody looks at gaps.
    pub(crate) gaps: bool,
}

/// What touches a piece, of one stream.
fn touching(stream: StreamKey, span: Span) -> Document {
    doc! { "stream": stream.to_string(), "to": { "$gte": date(span.from) }, "from": { "$lte": date(span.to) } }
}

/// The last end of a covered piece, or of a gap, of a stream.
pub(crate) fn last_end(stream: StreamKey) -> Vec<Document> {
    vec![
        doc! { "$match": { "stream": stream.to_string() } },
        doc! { "$sort": { "to": -1 } },
        doc! { "$limit": 1 },
        doc! { "$project": { "to": 1 } },
    ]
}

/// Where the first piece of a stream begins: one that is covered, or a gap.
pub(crate) async fn first_begin(tx: &mut Tx<'_>, stream: StreamKey) -> Result<Option<TimeMs>, MongoError> {
    let mut first = None;
    for collection in [COVERAGE, GAPS] {
        let begin = first_of(tx, collection, stream).await?;
        first = [first, begin].into_iter().flatten().min();
    }
    Ok(first)
}

/// Where the first covered piece of a stream begins.
pub(crate) async fn first_covered(tx: &mut Tx<'_>, stream: StreamKey) -> Result<Option<TimeMs>, MongoError> {
    first_of(tx, COVERAGE, stream).await
}

async fn first_of(
    tx: &mut Tx<'_>,
    collection: &'static str,
    stream: StreamKey,
) -> Result<Option<TimeMs>, MongoError> {
    let pipeline = vec![
        doc! { "$match": { "stream": stream.to_string() } },
        doc! { "$sort": { "to": 1 } },
        doc! { "$limit": 1 },
        doc! { "$project": { "from": 1 } },
    ];
    let found = tx.aggregate(collection, pipeline).await?;
    found.first().map(|first| Read::of(collection, first).time("from")).transpose()
}

/// Loads sheets, with the bars of streams of bars.
pub(crate) async fn load(
    tx: &mut Tx<'_>,
    wanted: &BTreeMap<StreamKey, Wanted>,
) -> Result<BTreeMap<StreamKey, Sheet>, MongoError> {
    let mut sheets = load_pieces(tx, wanted).await?;
    for (&stream, wanted) in wanted.iter().filter(|(stream, _)| matches!(stream, StreamKey::Candle(..))) {
        let Some(sheet) = sheets.get_mut(&stream) else { continue };
        // Who only collects wants the newest, and has all of them in mind from then on.
        let newest = Span { to: TimeMs::MAX, ..wanted.span };
        let (span, from) = match wanted {
            Wanted { whole_pieces: true, .. } => (sheet.reach(wanted.span), None),
            Wanted { gaps: true, .. } => (wanted.span, None),
            _ => (newest, Some(newest.from)),
        };
        sheet.bring(bars(tx, stream, span).await?, from);
    }
    Ok(sheets)
}

/// Loads sheets without bars.
pub(crate) async fn load_pieces(
    tx: &mut Tx<'_>,
    wanted: &BTreeMap<StreamKey, Wanted>,
) -> Result<BTreeMap<StreamKey, Sheet>, MongoError> {
    let touching = |(stream, wanted): (&StreamKey, &Wanted)| touching(*stream, wanted.span);
    let any: Vec<_> = wanted.iter().map(touching).collect();
    let with_gaps: Vec<_> = wanted.iter().filter(|(_, wanted)| wanted.gaps).map(touching).collect();
    let mut sheets: BTreeMap<_, _> =
        wanted.keys().map(|stream| (*stream, Sheet::new(*stream, tx.now))).collect();
    if any.is_empty() {
        return Ok(sheets);
    }
    if !with_gaps.is_empty() {
        for document in tx.find(GAPS, doc! { "$or": with_gaps }, doc! {}).await? {
            let (stream, gap) = gap(&document)?;
            if let Some(sheet) = sheets.get_mut(&stream) {
                sheet.ledger.know_gap(gap);
            }
        }
    }
    for document in tx.find(COVERAGE, doc! { "$or": any }, doc! {}).await? {
        let (stream, key, piece) = piece(&document)?;
        if let Some(sheet) = sheets.get_mut(&stream) {
            sheet.ledger.know_piece(key, piece);
        }
    }
    Ok(sheets)
}

async fn bars(tx: &mut Tx<'_>, stream: StreamKey, span: Span) -> Result<BTreeMap<TimeMs, Bar>, MongoError> {
    let found = tx.find(rows::collection(stream), rows::key_filter(stream, span), doc! {}).await?;
    let bars = found.iter().map(Bar::from_document).collect::<Result<Vec<_>, _>>()?;
    Ok(bars.into_iter().map(|bar| (bar.candle.time, bar)).collect())
}

/// Writes what changed of a sheet.
pub(crate) async fn store(tx: &mut Tx<'_>, sheets: &BTreeMap<StreamKey, Sheet>) -> Result<(), MongoError> {
    let (mut gaps, mut pieces, mut gone, mut bars) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut gone_gaps = Vec::new();
    for (stream, sheet) in sheets {
        gaps.extend(sheet.ledger.changed_gaps().map(|gap| {
            let id = gap.id.unwrap_or_default();
            put(doc! { "_id": id }, gap_document(*stream, id, gap))
        }));
        gone_gaps.extend(sheet.ledger.gone_gaps().map(|id| doc! { "q": { "_id": id }, "limit": 1 }));
        for ((epoch, origin, from), before, piece) in sheet.changed_pieces() {
            let id = piece_id(*stream, from, origin, epoch);
            match piece {
                Some(piece) => {
                    let span = Span { from, to: piece.to };
                    let document = piece_document(*stream, span, origin, epoch, piece.rows);
                    pieces.push(match before {
                        Before::Read => put(doc! { "_id": id }, document),
                        Before::New => put(doc! { "_id": id, "to": nothing() }, document),
                        Before::Believed(Piece { to, rows }) => {
                            let stored = doc! { "_id": id, "to": date(to), "rows": rows.cast_signed() };
                            let grown = doc! { "to": date(piece.to), "rows": piece.rows.cast_signed() };
                            doc! { "q": stored, "u": { "$set": grown } }
                        }
                    });
                }
                None => gone.push(doc! { "q": { "_id": id }, "limit": 1 }),
            }
        }
        for (before, bar) in sheet.changed_bars() {
            let document = bar.to_document();
            let id = document.get("_id").cloned().unwrap_or(Bson::Null);
            bars.push(match before {
                Before::Read => put(doc! { "_id": id }, document),
                Before::New => put(doc! { "_id": id, "trades": nothing() }, document),
                Before::Believed(stored) => doc! { "q": stored.to_document(), "u": document },
            });
        }
    }
    tx.update_each("candles", bars).await?;
    tx.update_each(GAPS, gaps).await?;
    tx.delete(GAPS, gone_gaps).await?;
    tx.delete(COVERAGE, gone).await?;
    tx.update_each(COVERAGE, pieces).await
}

/// Where a document is there it has the field: then this matches none, and a second one with its key is refused.
fn nothing() -> Document {
    doc! { "$exists": false }
}

/// An update that makes a document, or replaces it.
fn put(filter: Document, document: Document) -> Document {
    doc! { "q": filter, "u": document, "upsert": true }
}

fn piece_id(stream: StreamKey, from: TimeMs, origin: Origin, epoch: Epoch) -> Document {
    doc! {
        "stream": stream.to_string(), "epoch": epoch.to_i64(), "source": origin.as_str(), "from": date(from),
    }
}

/// A covered piece as it is stored.
pub(crate) fn piece_document(
    stream: StreamKey,
    span: Span,
    origin: Origin,
    epoch: Epoch,
    rows: u64,
) -> Document {
    doc! {
        "_id": piece_id(stream, span.from, origin, epoch), "stream": stream.to_string(),
        "from": date(span.from), "to": date(span.to), "source": origin.as_str(), "epoch": epoch.to_i64(),
        "rows": rows.cast_signed(),
    }
}

fn gap_document(stream: StreamKey, id: ObjectId, gap: &Gap) -> Document {
    doc! {
        "_id": id, "stream": stream.to_string(), "from": date(gap.span.from), "to": date(gap.span.to),
        "cause": gap.cause.as_str(), "state": gap.state.as_str(), "opened_at": date(gap.opened_at),
        "closed_at": date_or_null(gap.closed_at), "claim": gap.claim.map(hl_core::Epoch::to_i64),
    }
}

/// A gap, from its document.
pub(crate) fn gap(document: &Document) -> Result<(StreamKey, Gap), MongoError> {
    let read = Read::of(GAPS, document);
    let gap = Gap {
        id: Some(document.get_object_id("_id").map_err(|_| read.wrong("_id"))?),
        span: read.span()?,
        cause: read.word("cause", Cause::parse)?,
        state: read.word("state", GapState::parse)?,
        opened_at: read.time("opened_at")?,
        closed_at: read.time_or_null("closed_at")?,
        claim: read.int_or_null("claim")?.map(hl_core::Epoch::from_i64),
    };
    Ok((read.stream("stream")?, gap))
}

/// A covered piece, from its document.
pub(crate) fn piece(document: &Document) -> Result<(StreamKey, PieceKey, Piece), MongoError> {
    let read = Read::of(COVERAGE, document);
    let Span { from, to } = read.span()?;
    let key = (read.epoch("epoch")?, read.word("source", Origin::parse)?, from);
    Ok((read.stream("stream")?, key, Piece { to, rows: read.count("rows")? }))
}

/// The covered bars whose open time lies in `span`, with their trades.
pub(crate) async fn covered_bars(
    db: &Database,
    stream: StreamKey,
    span: Span,
) -> Result<Vec<(TimeMs, u64)>, MongoError> {
    let StreamKey::Candle(_, interval) = stream else { return Ok(Vec::new()) };
    if !interval.is_fixed() {
        return Ok(Vec::new());
    }
    let near = doc! { "stream": stream.to_string(), "to": { "$gt": date(span.from) }, "from": { "$lt": date(span.to) } };
    let pieces = SOON.find(db, COVERAGE, near, doc! { "from": 1 }).await?;
    let found = SOON.find(db, rows::collection(stream), rows::key_filter(stream, span), doc! {}).await?;
    let mut stored = BTreeMap::new();
    for document in &found {
        let bar = Bar::from_document(document)?;
        if bar.is_final {
            stored.insert(bar.candle.time, bar.candle.trades);
        }
    }
    let archived = archive::touched_days(db, stream).await?;
    let pieces = pieces.iter().map(|piece| Read::of(COVERAGE, piece).span());
    let pieces: Vec<_> = pieces.collect::<Result<_, _>>()?;
    Ok(rules::covered_bars(interval, span, pieces, &stored, &archived))
}

/// Streams with open gaps: how many, and from the first to the last.
pub(crate) async fn open_gaps(db: &Database) -> Result<Vec<(StreamKey, u64, Span)>, MongoError> {
    let pipeline = vec![
        doc! { "$match": { "state": GapState::Open.as_str() } },
        doc! { "$group": {
            "_id": "$stream", "count": { "$sum": 1_i64 }, "from": { "$min": "$from" }, "to": { "$max": "$to" },
        } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let groups = AT_LENGTH.aggregate(db, GAPS, pipeline).await?;
    let row = |document: &Document| {
        let read = Read::of(GAPS, document);
        Ok((read.stream("_id")?, read.count("count")?, read.span()?))
    };
    groups.iter().map(row).collect()
}

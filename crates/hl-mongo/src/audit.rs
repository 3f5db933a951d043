//! The audit: everything that a store promises, checked against what it holds.
//!
//! Each check reads rows in key order, and walks the ledger beside them; what a check means is said at
//! [`Problem::check`](hl_store::Problem::check). Two rows with one key cannot be: the key is the document's `_id`.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::{Day, Provenance, RowKey, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Candle, Record as _};
use hl_core::thinning::{self, BOOKS_NOTE, NOTE};
use hl_core::{Coin, Decimal, Interval, Origin, Records, StreamKey, TimeMs};
use hl_store::checks::{
    self, LeftOut, MINUTE_MS as MINUTE, MINUTE_WITHOUT_BAR, Minutes, Rhythm, derived, words,
};
use hl_store::{Audit, CoverageRow, Finding, GapRow, LedgerCheck};
use mongodb::Database;
use mongodb::bson::{Bson, doc};

use crate::documents::Read;
use crate::error::MongoError;
use crate::inspect::{EVER, coverage, gaps, stored, streams};
use crate::reading::AT_LENGTH;
use crate::{archive, notes, rows};

/// How many rows are read at a time.
const PAGE: i64 = 5_000;
/// How many minutes are looked at at a time.
const MOST_MINUTES: i64 = 24 * 60;
/// How many pieces without a bar are looked at at a time.
const PIECES_AT_A_TIME: usize = 200;

/// Checks the whole store.
pub(crate) async fn audit(db: &Database) -> Result<Audit, MongoError> {
    let mut findings = Vec::new();
    let mut compared = checks::Compared::default();
    // Where trades were left out on purpose, bars cannot be checked against them.
    let note = notes::note(db, NOTE).await?;
    let thinned = thinning::told(note.as_deref()).unwrap_or_default();
    let books = notes::note(db, BOOKS_NOTE).await?;
    let thinned_books = thinning::told_of_books(books.as_deref()).unwrap_or_default();
    let mut unread = 0;
    for stream in streams(db).await? {
        unread += archive::archived(db, stream).await?.0;
        let edge = archive::edge(db, stream).await?;
        let pieces = coverage(db, Some(stream)).await?;
        let gaps = gaps(db, Some(stream)).await?;
        findings.extend(checks::ledger(stream, &pieces, &gaps, edge));
        let archived = match stream {
            StreamKey::Candle(coin, _) => touched(db, [stream, StreamKey::Trades(coin)]).await?,
            _ => archive::touched_days(db, stream).await?,
        };
        let left_out = LeftOut::of(stream, archived, &thinned_books);
        let rhythm = Rhythm::new(stream, &pieces, &left_out);
        let (found, empty) = against_the_ledger(db, stream, (&pieces, &gaps, edge), rhythm).await?;
        findings.extend(found);
        if let StreamKey::Candle(coin, _) = stream {
            findings.push(without_bar(db, stream, coin, &empty).await?);
        }
        match stream {
            StreamKey::Book(..) | StreamKey::Bbo(_) => findings.push(crossed_book(db, stream).await?),
            StreamKey::Candle(coin, interval) => {
                let archived = touched(db, [stream, StreamKey::Candle(coin, Interval::M1)]).await?;
                findings.extend(nesting(db, coin, interval, &archived).await?);
            }
            StreamKey::Trades(coin) => {
                let archived = touched(db, [stream, StreamKey::Candle(coin, Interval::M1)]).await?;
                let mut minutes = Minutes::of(stream);
                let is_whole = |piece: &&CoverageRow| !thinning::touches(&thinned, piece.span);
                let lives = pieces.iter().filter(is_whole).filter(|piece| piece.source == Origin::Ws);
                for piece in lives {
                    against_trades(db, coin, piece.span, &archived, &mut minutes).await?;
                }
                let (finding, of_coin) = minutes.finish();
                findings.push(finding);
                compared += of_coin;
            }
            _ => {}
        }
    }
    Ok(checks::audit(findings, compared, unread))
}

/// The days of which something of either stream was archived.
async fn touched(db: &Database, streams: [StreamKey; 2]) -> Result<BTreeSet<Day>, MongoError> {
    let mut days = archive::touched_days(db, streams[0]).await?;
    days.extend(archive::touched_days(db, streams[1]).await?);
    Ok(days)
}

/// The ledger of a stream: covered pieces, gaps and edge.
type Ledger<'a> = (&'a [CoverageRow], &'a [GapRow], Option<TimeMs>);

/// Rows below the edge that lie in no covered piece of their claim, rows inside gaps that are not filled, and what is covered
/// against the rhythm of its kind; and covered pieces without a bar.
async fn against_the_ledger(
    db: &Database,
    stream: StreamKey,
    (pieces, gaps, edge): Ledger<'_>,
    mut rhythm: Rhythm<'_>,
) -> Result<([Finding; 3], Vec<Span>), MongoError> {
    let collection = rows::collection(stream);
    // Bars that may still change are nobody's proof: the filter leaves them out.
    let (filter, fields) = (rows::span_filter(stream, EVER), doc! { "source": 1, "epoch": 1 });
    let mut found = AT_LENGTH.walk(db, collection, filter, doc! { "_id": 1 }, fields).await?;
    let mut check = LedgerCheck::new(stream, pieces, gaps, edge);
    while let Some(row) = AT_LENGTH.next(&mut found).await? {
        let row = Read::of(collection, &row);
        let key = row.inner("_id")?;
        let origin = row.word("source", Origin::parse)?;
        let time = key.time("time")?;
        check.see(key.text("coin")?, time, Provenance { origin, epoch: row.epoch("epoch")? });
        rhythm.see(time);
    }
    let ([outside, in_gap], (silence, empty)) = (check.findings(), rhythm.finish());
    Ok(([outside, in_gap, silence], empty))
}

/// Minutes of the `empty` pieces, which are covered and have no bar, in which trades are stored.
async fn without_bar(
    db: &Database,
    stream: StreamKey,
    coin: Coin,
    empty: &[Span],
) -> Result<Finding, MongoError> {
    let mut finding = Finding::none(MINUTE_WITHOUT_BAR, stream);
    let trades = StreamKey::Trades(coin);
    let collection = rows::collection(trades);
    for pieces in empty.chunks(PIECES_AT_A_TIME) {
        // The end of a filter's span belongs to it.
        let of_piece = |piece: &Span| rows::span_filter(trades, Span { from: piece.from, to: piece.to - 1 });
        let any: Vec<_> = pieces.iter().map(of_piece).collect();
        let pipeline = vec![
            doc! { "$match": { "$or": any, "source": { "$ne": Origin::Import.as_str() } } },
            doc! { "$group": { "_id": minute(), "trades": { "$sum": 1_i64 } } },
            doc! { "$sort": { "_id": 1 } },
        ];
        for found in AT_LENGTH.aggregate(db, collection, pipeline).await? {
            let read = Read::of(collection, &found);
            let (minute, trades) = (read.time("_id")?, read.count("trades")?);
            finding.add(|| format!("minute {minute}: covered without a bar, and {trades} trades are stored"));
        }
    }
    Ok(finding)
}

/// The minute of a row, for the server.
fn minute() -> Bson {
    let beyond = doc! { "$mod": [{ "$toLong": "$_id.time" }, MINUTE] };
    doc! { "$subtract": ["$_id.time", beyond] }.into()
}

/// Books whose best bid is at or above their best ask.
async fn crossed_book(db: &Database, stream: StreamKey) -> Result<Finding, MongoError> {
    let mut finding = Finding::none("crossed_book", stream);
    let mut after = None;
    loop {
        let page = page(db, stream, EVER, after).await?;
        let keys = page.keys();
        let Some(last) = keys.last().copied() else { return Ok(finding) };
        after = Some(last);
        for (_, key) in keys.iter().enumerate().filter(|(at, _)| page.is_crossed(*at)) {
            finding.add(|| format!("at {}", key.time));
        }
    }
}

/// The first rows of a span after a key.
async fn page(
    db: &Database,
    stream: StreamKey,
    span: Span,
    after: Option<RowKey>,
) -> Result<Records, MongoError> {
    let filter = rows::page_filter(stream, span, after);
    let found = AT_LENGTH.first(db, rows::collection(stream), filter, doc! { "_id": 1 }, PAGE).await?;
    Ok(rows::read(stream, &found)?.records)
}

/// Final bars of a longer interval against the final one-minute bars of the same time, where all of these are there and
/// nothing of their days was archived.
async fn nesting(
    db: &Database,
    coin: Coin,
    interval: Interval,
    archived: &BTreeSet<Day>,
) -> Result<Option<Finding>, MongoError> {
    if interval == Interval::M1 || !interval.is_fixed() {
        return Ok(None);
    }
    let stream = StreamKey::Candle(coin, interval);
    let mut finding = Finding::none("candle_nesting", stream);
    let mut after = None;
    loop {
        let Records::Candles(mut longer) = page(db, stream, EVER, after).await? else { break };
        let Some(first) = longer.first().map(|bar| bar.time) else { break };
        // So many minutes at a time, and one bar at least.
        longer.retain(|bar| bar.time.since(first) <= MOST_MINUTES * MINUTE);
        let Some(last) = longer.last().map(|bar| bar.time) else { break };
        after = Some(RowKey::alone(coin, last));
        let minutes = bars(db, coin, Span { from: first, to: last + (interval.ms() - MINUTE) }).await?;
        for bar in longer {
            let piece = Span { from: bar.time, to: bar.time + (interval.ms() - MINUTE) };
            if archived.range(Day::of(piece.from)..=Day::of(piece.to)).next().is_some() {
                continue;
            }
            let begin = minutes.partition_point(|minute| minute.time < piece.from);
            let end = minutes.partition_point(|minute| minute.time <= piece.to);
            let Some(derived) = derived(&minutes[begin..end], interval) else { continue };
            if !bar.same_values(&derived) {
                let at = bar.time;
                finding.add(|| format!("at {at}: stored {}, from minutes {}", words(&bar), words(&derived)));
            }
        }
    }
    Ok(Some(finding))
}

/// Final one-minute bars.
async fn bars(db: &Database, coin: Coin, span: Span) -> Result<Vec<Candle>, MongoError> {
    match stored(db, StreamKey::Candle(coin, Interval::M1), span).await?.records {
        Records::Candles(bars) => Ok(bars),
        _ => Ok(Vec::new()),
    }
}

/// Final one-minute bars against the trades of minutes that one subscription covered whole, of days of which nothing was
/// archived.
async fn against_trades(
    db: &Database,
    coin: Coin,
    piece: Span,
    archived: &BTreeSet<Day>,
    compared: &mut Minutes,
) -> Result<(), MongoError> {
    // Neither border block may be whole: the minute begins after the first and ends before the last.
    let (mut from, last) = (piece.from + 1, piece.to - MINUTE);
    while from <= last {
        let to = last.min(from + (MOST_MINUTES * MINUTE - 1));
        let StoredRows { records, provenance } =
            stored(db, StreamKey::Candle(coin, Interval::M1), Span { from, to }).await?;
        from = to + 1;
        let Records::Candles(minutes) = records else { continue };
        let Some((first, newest)) = minutes.first().zip(minutes.last()) else { continue };
        let whole = Span { from: first.time, to: newest.time + (MINUTE - 1) };
        let sums = trades_by_minute(db, coin, whole).await?;
        for (Candle { time, trades, volume, .. }, from) in minutes.into_iter().zip(provenance) {
            if archived.contains(&Day::of(time)) {
                continue;
            }
            let stored = sums.get(&time).copied().unwrap_or_default();
            compared.see(time, from.origin, (trades, volume), stored);
        }
    }
    Ok(())
}

/// How many trades a minute has, and their sizes together. The server adds decimals exactly.
async fn trades_by_minute(
    db: &Database,
    coin: Coin,
    span: Span,
) -> Result<BTreeMap<TimeMs, (u64, Decimal)>, MongoError> {
    let stream = StreamKey::Trades(coin);
    let collection = rows::collection(stream);
    let pipeline = vec![
        doc! { "$match": rows::span_filter(stream, span) },
        doc! { "$group": { "_id": minute(), "trades": { "$sum": 1_i64 }, "volume": { "$sum": "$sz" } } },
    ];
    let mut sums = BTreeMap::new();
    for found in AT_LENGTH.aggregate(db, collection, pipeline).await? {
        let read = Read::of(collection, &found);
        let volume = match found.get("volume") {
            Some(Bson::Decimal128(sum)) => rows::decode(*sum).ok_or_else(|| read.wrong("sz"))?,
            _ => return Err(read.wrong("sz")),
        };
        sums.insert(read.time("_id")?, (read.count("trades")?, volume));
    }
    Ok(sums)
}

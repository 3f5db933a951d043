//! The audit: everything that a store promises, checked against what it holds.
//!
//! Which checks a stream gets, in which order, and how they are summed is said here, once; a store answers the queries of
//! [`AuditSource`]. What a check means is said at [`Problem::check`](crate::Problem::check).

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::{Day, Provenance, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Candle, Record as _};
use hl_core::thinning::{self, BOOKS_NOTE, NOTE};
use hl_core::{Coin, Interval, Origin, Records, StreamKey, TimeMs};

use super::{
    Compared, DUPLICATE_KEYS, Finding, LedgerCheck, LeftOut, MINUTE_MS, MINUTE_WITHOUT_BAR, Minutes, Rhythm,
    Sum, derived, ledger, words,
};
use crate::{Audit, CoverageRow, GapRow};

/// So much is looked at at a time where bars are compared, ms.
const AT_A_TIME_MS: i64 = 24 * 60 * MINUTE_MS;

/// What is known of a stream beside its rows.
pub struct StreamLedger {
    /// Covered pieces, in order of time.
    pub pieces: Vec<CoverageRow>,
    /// Gaps of every state, in order of time.
    pub gaps: Vec<GapRow>,
    /// The stored edge.
    pub edge: Option<TimeMs>,
    /// Rows that lie in parts of the archive.
    pub archived: u64,
}

/// What the audit asks of a store.
#[allow(async_fn_in_trait, reason = "a store knows for itself whether its answers can move between threads")]
pub trait AuditSource {
    /// A query failed.
    type Error;

    /// What the store says of itself as a whole; none where there is nothing to ask.
    async fn integrity(&self) -> Result<Option<Finding>, Self::Error>;

    /// A note of the store.
    async fn note(&self, name: &str) -> Result<Option<String>, Self::Error>;

    /// Every stream, by name.
    async fn streams(&self) -> Result<Vec<StreamKey>, Self::Error>;

    /// The ledger of a stream.
    async fn ledger(&self, stream: StreamKey) -> Result<StreamLedger, Self::Error>;

    /// The days of a stream of which the archive has taken or deleted something.
    async fn touched_days(&self, stream: StreamKey) -> Result<BTreeSet<Day>, Self::Error>;

    /// Keys that more than one row of a stream has: how many, and where the first is, in words. None where the store cannot
    /// hold two rows with one key.
    async fn duplicate_keys(&self, stream: StreamKey) -> Result<Option<(u64, String)>, Self::Error>;

    /// Shows each row of a stream, by coin and time; of bars the final ones.
    async fn each_row(
        &self,
        stream: StreamKey,
        see: &mut (dyn FnMut(&str, TimeMs, Provenance) + Send),
    ) -> Result<(), Self::Error>;

    /// Rows of a stream of books, or of best bid and offer, whose best bid is at or above their best ask: how many, and where
    /// the first is, in words.
    async fn crossed_books(&self, stream: StreamKey) -> Result<(u64, String), Self::Error>;

    /// The first `most` final bars that open in the closed `span`, in order of time.
    async fn bars(
        &self,
        coin: Coin,
        interval: Interval,
        span: Span,
        most: usize,
    ) -> Result<StoredRows, Self::Error>;

    /// The trades of each minute that has any, of those in the closed `span`.
    async fn trades_by_minute(&self, coin: Coin, span: Span) -> Result<BTreeMap<TimeMs, Sum>, Self::Error>;

    /// Minutes in which trades are stored that no other system brought, and how many: of those in the half-open `pieces`, which
    /// come in order of time and do not overlap.
    async fn traded_minutes(&self, coin: Coin, pieces: &[Span]) -> Result<Vec<(TimeMs, u64)>, Self::Error>;
}

/// Checks a whole store. Rows are read once each, in key order, and the ledger is walked beside them.
///
/// # Errors
/// When a query fails.
pub async fn audit<S: AuditSource>(source: &S) -> Result<Audit, S::Error> {
    let mut findings = Vec::from_iter(source.integrity().await?);
    let mut compared = Compared::default();
    // Where trades were left out on purpose, bars cannot be checked against them.
    let note = source.note(NOTE).await?;
    let thinned = thinning::told(note.as_deref()).unwrap_or_default();
    let books = source.note(BOOKS_NOTE).await?;
    let thinned_books = thinning::told_of_books(books.as_deref()).unwrap_or_default();
    let mut unread = 0;
    for stream in source.streams().await? {
        let StreamLedger { pieces, gaps, edge, archived } = source.ledger(stream).await?;
        unread += archived;
        findings.extend(ledger(stream, &pieces, &gaps, edge));
        if let Some((count, example)) = source.duplicate_keys(stream).await? {
            findings.push(Finding::none(DUPLICATE_KEYS, stream).with(count, example));
        }
        let archived = match stream {
            StreamKey::Candle(coin, _) => touched(source, [stream, StreamKey::Trades(coin)]).await?,
            _ => source.touched_days(stream).await?,
        };
        let left_out = LeftOut::of(stream, archived, &thinned_books);
        let mut check = LedgerCheck::new(stream, &pieces, &gaps, edge);
        let mut rhythm = Rhythm::new(stream, &pieces, &left_out);
        let mut see = |coin: &str, time, from| {
            check.see(coin, time, from);
            rhythm.see(time);
        };
        source.each_row(stream, &mut see).await?;
        let (silence, empty) = rhythm.finish();
        findings.extend(check.findings());
        findings.push(silence);
        match stream {
            StreamKey::Book(..) | StreamKey::Bbo(_) => {
                let (count, example) = source.crossed_books(stream).await?;
                findings.push(Finding::none("crossed_book", stream).with(count, example));
            }
            StreamKey::Candle(coin, interval) => {
                findings.push(without_bar(source, stream, coin, &empty).await?);
                let archived = touched(source, [stream, StreamKey::Candle(coin, Interval::M1)]).await?;
                findings.extend(nesting(source, coin, interval, &archived).await?);
            }
            StreamKey::Trades(coin) => {
                let archived = touched(source, [stream, StreamKey::Candle(coin, Interval::M1)]).await?;
                let mut minutes = Minutes::of(stream);
                let is_whole = |piece: &&CoverageRow| !thinning::touches(&thinned, piece.span);
                let lives = pieces.iter().filter(is_whole).filter(|piece| piece.source == Origin::Ws);
                for piece in lives {
                    against_trades(source, coin, piece.span, &archived, &mut minutes).await?;
                }
                let (finding, of_coin) = minutes.finish();
                findings.push(finding);
                compared += of_coin;
            }
            _ => {}
        }
    }
    Ok(summed(findings, compared, unread))
}

fn summed(findings: Vec<Finding>, minutes: Compared, unread: u64) -> Audit {
    let total = |check| findings.iter().filter(|f| f.check() == check).map(Finding::count).sum();
    Audit {
        duplicates: total(DUPLICATE_KEYS),
        overlapping_claims: total(super::ledger::OVERLAPPING_CLAIMS),
        minutes_compared: minutes.known,
        minutes_unknown: minutes.unknown,
        unread,
        problems: findings.into_iter().filter_map(Finding::into_problem).collect(),
    }
}

/// The days of which something of either stream was archived.
async fn touched<S: AuditSource>(source: &S, streams: [StreamKey; 2]) -> Result<BTreeSet<Day>, S::Error> {
    let mut days = source.touched_days(streams[0]).await?;
    days.extend(source.touched_days(streams[1]).await?);
    Ok(days)
}

/// Minutes of the `empty` pieces, which are covered and have no bar, in which trades are stored.
async fn without_bar<S: AuditSource>(
    source: &S,
    stream: StreamKey,
    coin: Coin,
    empty: &[Span],
) -> Result<Finding, S::Error> {
    let mut finding = Finding::none(MINUTE_WITHOUT_BAR, stream);
    for (minute, trades) in source.traded_minutes(coin, empty).await? {
        finding.add(|| format!("minute {minute}: covered without a bar, and {trades} trades are stored"));
    }
    Ok(finding)
}

/// Final bars of a longer interval against the final one-minute bars of the same time, where all of these are there and
/// nothing of their days was archived.
async fn nesting<S: AuditSource>(
    source: &S,
    coin: Coin,
    interval: Interval,
    archived: &BTreeSet<Day>,
) -> Result<Option<Finding>, S::Error> {
    if interval == Interval::M1 || !interval.is_fixed() {
        return Ok(None);
    }
    let mut finding = Finding::none("candle_nesting", StreamKey::Candle(coin, interval));
    let mut rest = Span::EVER;
    loop {
        let mut longer = bars(source, coin, interval, rest, most(AT_A_TIME_MS, interval)).await?;
        let Some(first) = longer.first().map(|bar| bar.time) else { break };
        longer.retain(|bar| bar.time.since(first) <= AT_A_TIME_MS);
        let Some(last) = longer.last().map(|bar| bar.time) else { break };
        rest.from = last + 1;
        let of_last = Span { from: first, to: last + (interval.ms() - MINUTE_MS) };
        let minutes = bars(source, coin, Interval::M1, of_last, most(of_last.ms(), Interval::M1)).await?;
        for bar in longer {
            let piece = Span { from: bar.time, to: bar.time + (interval.ms() - MINUTE_MS) };
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

/// How many bars open in a closed piece of so many ms, at most.
fn most(ms: i64, interval: Interval) -> usize {
    usize::try_from(ms / interval.ms()).unwrap_or(0) + 1
}

async fn bars<S: AuditSource>(
    source: &S,
    coin: Coin,
    interval: Interval,
    span: Span,
    most: usize,
) -> Result<Vec<Candle>, S::Error> {
    match source.bars(coin, interval, span, most).await?.records {
        Records::Candles(bars) => Ok(bars),
        _ => Ok(Vec::new()),
    }
}

/// Final one-minute bars against the trades of minutes that one subscription covered whole, of days of which nothing was
/// archived.
async fn against_trades<S: AuditSource>(
    source: &S,
    coin: Coin,
    piece: Span,
    archived: &BTreeSet<Day>,
    compared: &mut Minutes,
) -> Result<(), S::Error> {
    // Neither border block may be whole: the minute begins after the first and ends before the last.
    let (mut from, last) = (piece.from + 1, piece.to - MINUTE_MS);
    while from <= last {
        // From bar to bar: a piece of a damaged ledger may be as long as all of time.
        let of_rest = Span { from, to: last };
        let StoredRows { records, provenance } =
            source.bars(coin, Interval::M1, of_rest, most(AT_A_TIME_MS, Interval::M1)).await?;
        let Records::Candles(mut minutes) = records else { break };
        let Some(first) = minutes.first().copied() else { break };
        minutes.retain(|minute| minute.time.since(first.time) <= AT_A_TIME_MS);
        let Some(newest) = minutes.last() else { break };
        from = newest.time + 1;
        let whole = Span { from: first.time, to: newest.time + (MINUTE_MS - 1) };
        let sums = source.trades_by_minute(coin, whole).await?;
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

//! Bars against shorter bars and against trades, on days of which something was archived.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::archive::{Day, StoredRows};
use hl_core::ledger::Span;
use hl_core::record::{Candle, Trade};
use hl_core::thinning::{self, NOTE};
use hl_core::{Coin, Decimal, Interval, Origin, Records, StreamKey, TimeMs};
use hl_store::checks::{Compared, MINUTE_MS, Minutes, derived, words};
use hl_store::{Finding, Inspect as _};

use super::{Days, Examined, hours};
use crate::{ArchiveError, Whole};

/// Compares what the audit of the store alone leaves out.
pub(super) async fn compare(
    whole: &Whole,
    days: &BTreeMap<StreamKey, Days>,
    examined: &mut Examined,
) -> Result<(), ArchiveError> {
    let none = Days::default();
    let of = |stream: StreamKey| days.get(&stream).unwrap_or(&none);
    for row in whole.streams().await? {
        let minutes = |coin| StreamKey::Candle(coin, Interval::M1);
        match row.stream {
            StreamKey::Trades(coin) => {
                let touched = readable(of(row.stream), of(minutes(coin)));
                let (finding, compared) = against_trades(whole, coin, &touched).await?;
                examined.minutes_compared += compared.known;
                examined.minutes_unknown += compared.unknown;
                examined.problems.extend(finding.into_problem());
            }
            StreamKey::Candle(coin, interval) if interval != Interval::M1 && interval.is_fixed() => {
                let touched = readable(of(row.stream), of(minutes(coin)));
                examined.problems.extend(nesting(whole, coin, interval, &touched).await?.into_problem());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Days of which something of either was archived, and everything can be read.
fn readable(one: &Days, other: &Days) -> BTreeSet<Day> {
    let touched = one.touched.union(&other.touched).copied();
    touched.filter(|day| !one.incomplete.contains(day) && !other.incomplete.contains(day)).collect()
}

async fn bars(
    whole: &Whole,
    coin: Coin,
    interval: Interval,
    span: Span,
) -> Result<Vec<Candle>, ArchiveError> {
    match whole.ordered(StreamKey::Candle(coin, interval), span, |key| key).await?.records {
        Records::Candles(bars) => Ok(bars),
        _ => Ok(Vec::new()),
    }
}

async fn trades(whole: &Whole, coin: Coin, span: Span) -> Result<Vec<Trade>, ArchiveError> {
    match whole.ordered(StreamKey::Trades(coin), span, |key| key).await?.records {
        Records::Trades(trades) => Ok(trades),
        _ => Ok(Vec::new()),
    }
}

async fn nesting(
    whole: &Whole,
    coin: Coin,
    interval: Interval,
    touched: &BTreeSet<Day>,
) -> Result<Finding, ArchiveError> {
    let mut finding = Finding::none("candle_nesting", StreamKey::Candle(coin, interval));
    let mut reached = TimeMs::MIN;
    for day in touched {
        let from = interval.open_of(day.span().from).max(reached);
        let longer = bars(whole, coin, interval, Span { from, to: day.span().to }).await?;
        let Some(last) = longer.last() else { continue };
        reached = last.time + interval.ms();
        let minutes = bars(whole, coin, Interval::M1, Span { from, to: reached - 1 }).await?;
        for bar in longer {
            let begin = minutes.partition_point(|minute| minute.time < bar.time);
            let end = minutes.partition_point(|minute| minute.time < bar.time + interval.ms());
            if let Some(derived) = derived(&minutes[begin..end], interval)
                && bar != derived
            {
                finding.add(|| {
                    format!("at {}: stored {}, from minutes {}", bar.time, words(&bar), words(&derived))
                });
            }
        }
    }
    Ok(finding)
}

async fn against_trades(
    whole: &Whole,
    coin: Coin,
    touched: &BTreeSet<Day>,
) -> Result<(Finding, Compared), ArchiveError> {
    let stream = StreamKey::Trades(coin);
    let mut compared = Minutes::of(stream);
    if touched.is_empty() {
        return Ok(compared.finish());
    }
    let pieces = whole.coverage(Some(stream)).await?;
    // Where trades were left out on purpose, bars cannot be checked against them.
    let note = whole.note(NOTE).await?;
    let thinned = thinning::told(note.as_deref()).unwrap_or_default();
    // Neither border block may be whole: the minute begins after the first and ends before the last.
    let covered = |open: TimeMs| {
        let ws = pieces.iter().filter(|piece| piece.source == Origin::Ws).map(|piece| piece.span);
        let ws = ws.filter(|span| !thinning::touches(&thinned, *span));
        ws.filter(|span| span.from < open && open + MINUTE_MS <= span.to).count() > 0
    };
    for hour in touched.iter().flat_map(|day| hours(*day)) {
        let StoredRows { records, provenance } =
            whole.ordered(StreamKey::Candle(coin, Interval::M1), hour, |key| key).await?;
        let Records::Candles(minutes) = records else { continue };
        let minutes = minutes.into_iter().zip(provenance);
        let minutes: Vec<_> = minutes.filter(|(minute, _)| covered(minute.time)).collect();
        if minutes.is_empty() {
            continue;
        }
        let trades = trades(whole, coin, hour).await?;
        for (minute, from) in minutes {
            let open = minute.time;
            let begin = trades.partition_point(|trade| trade.time < open);
            let end = trades.partition_point(|trade| trade.time < open + MINUTE_MS);
            let (stored, sum) =
                ((end - begin) as u64, trades[begin..end].iter().map(|trade| trade.sz).sum::<Decimal>());
            compared.see(open, from.origin, (minute.trades, minute.volume), (stored, sum));
        }
    }
    Ok(compared.finish())
}

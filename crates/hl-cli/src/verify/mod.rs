//! The proof: what a store holds is consistent, and equals what a simulated exchange says it did.
//!
//! What lives here: the walk over streams and pages, the pure comparison of a page, and the [`Report`]. Two
//! witnesses stand against the store: its own audit, and a [`Truth`], where one is given. Nothing here writes.

mod compare;
mod report;
mod truth;
mod wire;

use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Kind, Records, StreamKey, TimeMs};
use hl_store::{GapRow, Inspect, StreamRow};

pub use compare::{Finding, Gaps, Piece, States, Tally};
pub use report::{Compared, Found, Gap, Report, Stream};
pub use truth::{HttpTruth, Truth, TruthError};

/// Trades, books and states are compared in pages of this length, ms: a day of them does not sit in memory.
const PAGE_MS: i64 = 600_000;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store could not be read.
    #[error("reading the store: {0}")]
    Store(#[from] StoreError),
    /// The truth could not be read.
    #[error("asking for the truth: {0}")]
    Truth(#[from] TruthError),
}

/// Audits a store and, where the truth is given, compares every stream with it from its first claim to its edge.
///
/// # Errors
/// When the store or the truth cannot be read.
pub async fn verify(store: &dyn Inspect, truth: Option<&dyn Truth>) -> Result<Report, VerifyError> {
    let audit = store.audit().await?;
    let streams = store.streams().await?;
    let gaps = store.gaps(None).await?;
    let oldest = match truth {
        Some(truth) => Some(truth.oldest().await?),
        None => None,
    };
    let mut compared = Vec::new();
    for row in &streams {
        let tally = match (truth, oldest) {
            (Some(truth), Some(oldest)) => compare_stream(store, truth, oldest, row, &gaps).await?,
            _ => None,
        };
        compared.push((row, tally));
    }
    Ok(Report::new(audit, &gaps, &compared))
}

/// Compares one stream with the truth; none where it has nothing below its edge that the truth still knows.
async fn compare_stream(
    store: &dyn Inspect,
    truth: &dyn Truth,
    oldest: TimeMs,
    row: &StreamRow,
    gaps: &[GapRow],
) -> Result<Option<(Span, Tally)>, VerifyError> {
    let stream = row.stream;
    let (Some(first), Some(stop)) = (row.first, row.edge) else { return Ok(None) };
    let from = match stream.kind() {
        // A stamp may name a state that held before: the truth has to know that one too.
        Kind::Mids | Kind::Context => first.max(oldest + compare::STAMP_MS),
        _ => first.max(oldest),
    };
    if stop < from {
        return Ok(None);
    }
    let gaps: Vec<GapRow> = gaps.iter().filter(|gap| gap.stream == stream).cloned().collect();
    let piece = Piece { span: Span { from, to: stop }, gaps: Gaps::of(&gaps) };
    let mut tally = Tally::default();
    match stream.kind() {
        Kind::Candle | Kind::Funding => {
            let later = Span { from, to: TimeMs::MAX };
            let below = Span { from, to: stop - 1 };
            match (truth.rows(stream, later).await?, store.rows(stream, below).await?) {
                (Records::Candles(mut truth), Records::Candles(stored)) => {
                    tally.candles(&piece, &mut truth, &stored);
                }
                (Records::Funding(mut truth), Records::Funding(stored)) => {
                    tally.funding(&piece, &mut truth, &stored);
                }
                _ => return Err(TruthError::OtherKind(stream).into()),
            }
        }
        _ => pages(store, truth, oldest, stream, &piece, &mut tally).await?,
    }
    Ok(Some((piece.span, tally)))
}

async fn pages(
    store: &dyn Inspect,
    truth: &dyn Truth,
    oldest: TimeMs,
    stream: StreamKey,
    piece: &Piece,
    tally: &mut Tally,
) -> Result<(), VerifyError> {
    let (mut bbos, mut mids, mut contexts) = (States::default(), States::default(), States::default());
    let mut from = piece.span.from;
    // What held when the first page begins became so earlier.
    let mut asked_from = (from - PAGE_MS).max(oldest);
    while from <= piece.span.to {
        let page = Span { from, to: (from + (PAGE_MS - 1)).min(piece.span.to) };
        let stored = store.rows(stream, page).await?;
        let states = Span { from: asked_from, to: page.to };
        match stored {
            Records::Trades(stored) => match truth.rows(stream, page).await? {
                Records::Trades(mut rows) => tally.trades(piece, &mut rows, &stored),
                _ => return Err(TruthError::OtherKind(stream).into()),
            },
            Records::Books(stored) => match truth.rows(stream, page).await? {
                Records::Books(mut rows) => tally.books(&mut rows, &stored),
                _ => return Err(TruthError::OtherKind(stream).into()),
            },
            Records::Bbos(stored) => match truth.rows(stream, states).await? {
                Records::Bbos(rows) => {
                    bbos.extend(rows, |row| (row.coin, row.time));
                    tally.bbos(&bbos, &stored);
                    bbos.forget_before(page.to);
                }
                _ => return Err(TruthError::OtherKind(stream).into()),
            },
            Records::Mids(stored) => match truth.rows(stream, states).await? {
                Records::Mids(rows) => {
                    mids.extend(rows, |row| (row.coin, row.time));
                    tally.mids(&mids, &stored);
                    mids.forget_before(page.to - compare::STAMP_MS);
                }
                _ => return Err(TruthError::OtherKind(stream).into()),
            },
            Records::Contexts(stored) => match truth.rows(stream, states).await? {
                Records::Contexts(rows) => {
                    contexts.extend(rows, |row| (row.coin, row.time));
                    tally.contexts(&contexts, &stored);
                    contexts.forget_before(page.to - compare::STAMP_MS);
                }
                _ => return Err(TruthError::OtherKind(stream).into()),
            },
            Records::Candles(_) | Records::Funding(_) => return Err(TruthError::OtherKind(stream).into()),
        }
        from = page.to + 1;
        asked_from = from;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

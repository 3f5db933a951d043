//! The proof: what a store holds is consistent, and equals what a simulated exchange says it did.
//!
//! What lives here: the walk over streams and pages, the pure comparison of a page, and the [`Report`]. Two
//! witnesses stand against the store: its own audit, and a [`Truth`], where one is given. Nothing here writes.

mod compare;
mod positions;
mod report;
mod truth;
mod wire;

use hl_core::ledger::Span;
use hl_core::record::Listed as _;
use hl_core::store::StoreError;
use hl_core::stream::{Borders, Conflation, Scope};
use hl_core::thinning::{self, NOTE};
use hl_core::{Kind, Origin, Records, StreamKey, TimeMs, for_kind};
use hl_store::{GapRow, Inspect, StreamRow, checks};

pub use compare::{Falsified, Finding, Gaps, Piece, States, Tally};
pub use positions::{Budget, Positions};
pub use report::{Compared, Found, Gap, Report, Stream};
pub use truth::{HttpTruth, Load, Truth, TruthError, falsified, position};

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

/// Whether every row that the exchange sent is promised in covered time: of the other states a row is what held then.
#[must_use]
pub fn every_row_counts(stream: StreamKey) -> bool {
    stream.spec().conflation != Conflation::State || stream.kind() == Kind::Bbo
}

/// Audits a store and, where the truth is given, compares every stream with it from its first claim to its edge. Where the
/// time is given, nothing may bear a later one.
///
/// # Errors
/// When the store or the truth cannot be read.
pub async fn verify(
    store: &dyn Inspect,
    truth: Option<&dyn Truth>,
    now: Option<TimeMs>,
) -> Result<Report, VerifyError> {
    // What holds now is asked for first: the rest takes a while.
    let known = match truth {
        Some(truth) => positions::now(store, truth, &store.streams().await?).await?,
        None => None,
    };
    let mut audit = store.audit().await?;
    let streams = store.streams().await?;
    if let Some(now) = now {
        let coverage = store.coverage(None).await?;
        audit.problems.extend(checks::beyond_now(&streams, &coverage, now));
    }
    let gaps = store.gaps(None).await?;
    let oldest = match truth {
        Some(truth) => Some(truth.oldest().await?),
        None => None,
    };
    let mut compared = Vec::new();
    for row in &streams {
        let mut tally = Tally::default();
        let span = match (truth, oldest) {
            (Some(truth), Some(oldest)) => {
                compare(store, truth, oldest, row, &gaps, Span::EVER, &mut tally).await?
            }
            _ => None,
        };
        compared.push((row, span.map(|span| (span, tally))));
    }
    Ok(Report::new(audit, &gaps, &compared, known))
}

/// Compares one stream with a truth that knows everything from `oldest` on, inside `within`, and adds what it found to
/// `tally`. Returns the piece that was compared; none where nothing of it lies below the stream's edge. Bars and
/// settlements are compared whole, whatever `within` says: compare them once.
///
/// # Errors
/// When the store or the truth cannot be read.
pub async fn compare(
    store: &dyn Inspect,
    truth: &dyn Truth,
    oldest: TimeMs,
    row: &StreamRow,
    gaps: &[GapRow],
    within: Span,
    tally: &mut Tally,
) -> Result<Option<Span>, VerifyError> {
    let stream = row.stream;
    // The exchange keeps no earlier leaderboard, whom to track and what that says is not its choice, and of what else traders did it tells no truth.
    let is_of_user = stream.spec().scope == Scope::User && stream.kind() != Kind::Positions;
    if matches!(stream.kind(), Kind::Leaderboard | Kind::Traders | Kind::Signals) || is_of_user {
        return Ok(None);
    }
    if stream.kind() == Kind::Positions {
        return positions::compare(store, truth, oldest, row, within, tally).await;
    }
    let (Some(first), Some(stop)) = (row.first, row.edge) else { return Ok(None) };
    let from = match stream.spec().timed {
        true => first.max(oldest),
        // A stamp may name a state that held before: the truth has to know that one too.
        false => first.max(oldest + compare::STAMP_MS),
    };
    if stop < from {
        return Ok(None);
    }
    tally.excuse(truth.falsified(stream).await?);
    let gaps: Vec<GapRow> = gaps.iter().filter(|gap| gap.stream == stream).cloned().collect();
    let thinned = match stream.kind() {
        Kind::Trades => thinning::told(store.note(NOTE).await?.as_deref()).unwrap_or_default(),
        _ => Vec::new(),
    };
    // What was deleted as its retention says is no more there than what lies in a gap.
    let deleted = store.parts(Some(stream), Span { from, to: stop }).await?;
    let deleted = deleted.into_iter().filter(|part| part.path.is_none());
    let deleted = deleted.map(|part| Span { from: part.first, to: part.last + 1 });
    let gaps = Gaps::of(&gaps).and(deleted);
    let pushed = match stream.kind() {
        Kind::Bbo => store.coverage(Some(stream)).await?,
        _ => Vec::new(),
    };
    let pushed = pushed.iter().filter(|piece| piece.source == Origin::Ws).map(|piece| piece.span);
    let pushed = Gaps::default().and(pushed);
    let piece = Piece { span: Span { from, to: stop }, gaps, thinned, pushed };
    match stream.spec().borders {
        Borders::HalfOpen => {
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
        Borders::Shared => {
            let stop = stop.min(within.to);
            let mut begin = from.max(within.from);
            while begin <= stop {
                let page = Span { from: begin, to: (begin + (PAGE_MS - 1)).min(stop) };
                compare_page(store, truth, stream, &piece, page, tally).await?;
                begin = page.to + 1;
            }
        }
    }
    Ok(Some(piece.span))
}

async fn compare_page(
    store: &dyn Inspect,
    truth: &dyn Truth,
    stream: StreamKey,
    piece: &Piece,
    page: Span,
    tally: &mut Tally,
) -> Result<(), VerifyError> {
    let stamped = Span { from: page.from - compare::STAMP_MS, to: page.to + compare::EARLY_MS };
    let asked = if stream.spec().timed { page } else { stamped };
    match (truth.rows(stream, asked).await?, store.rows(stream, page).await?) {
        (Records::Trades(mut truth), Records::Trades(stored)) => tally.trades(piece, &mut truth, &stored),
        (Records::Books(mut truth), Records::Books(stored)) => tally.books(&mut truth, &stored),
        (Records::Bbos(truth), Records::Bbos(stored)) => {
            tally.bbos(piece, page, States::of(truth), &stored);
        }
        (truth, stored) if !stream.spec().timed => for_kind!(stream.kind(), T => {
            match (T::taken(truth), T::taken(stored)) {
                (Ok(truth), Ok(stored)) => tally.stamped(States::of(truth), &stored),
                _ => return Err(TruthError::OtherKind(stream).into()),
            }
        }),
        _ => return Err(TruthError::OtherKind(stream).into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! Nothing that a store holds lies beyond now.

use hl_core::TimeMs;
use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_store::{Inspect, StreamRow};

/// An estimate of exchange time may be so early, ms.
const EARLY_MS: i64 = 1_000;

/// What lies there all the same, in words.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn now(
    store: &dyn Inspect,
    streams: &[StreamRow],
    now: TimeMs,
) -> Result<Vec<String>, StoreError> {
    let now = now + EARLY_MS;
    let mut problems = Vec::new();
    for row in streams {
        let later = Span { from: now + 1, to: TimeMs::MAX };
        let rows = store.rows(row.stream, later).await?.len();
        if rows > 0 {
            problems.push(format!("{}: {rows} rows beyond now", row.stream));
        }
        if let Some(edge) = row.edge.filter(|edge| *edge > now) {
            problems.push(format!("{}: the edge {edge} lies beyond now, {now}", row.stream));
        }
    }
    let covered = store.coverage(None).await?.into_iter().map(|piece| (piece.stream, piece.span, "covered"));
    let gaps = store.gaps(None).await?.into_iter().map(|gap| (gap.stream, gap.span, "a gap"));
    for (stream, span, what) in covered.chain(gaps).filter(|(_, span, _)| span.to > now) {
        problems.push(format!("{stream}: {what} beyond now: {span:?}, now {now}"));
    }
    Ok(problems)
}

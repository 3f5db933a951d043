use std::collections::BTreeMap;

use hl_core::ledger::Span;
use hl_core::stream::Kind;
use hl_core::{StreamKey, TimeMs};

use crate::{CoverageRow, Finding, Problem, StreamRow};

/// The clock of this machine may be so wrong, ms.
const TOLERANCE_MS: i64 = 60_000;

/// What the ledger and the rows say of a time that has not come yet, as this machine's clock says `now`. Where most streams
/// whose records bear the exchange's time are ahead of that, the clock is wrong: then theirs is the time.
#[must_use]
pub fn beyond_now(streams: &[StreamRow], coverage: &[CoverageRow], now: TimeMs) -> Vec<Problem> {
    let bears_time = |kind: Kind| kind.spec().voice.is_some();
    let mut edges: Vec<_> =
        streams.iter().filter(|row| bears_time(row.stream.kind())).filter_map(|row| row.edge).collect();
    edges.sort_unstable();
    let most = if edges.len() > 2 { edges[edges.len() / 2] } else { TimeMs::MIN };
    let latest = now.max(most) + TOLERANCE_MS;
    let mut ahead = BTreeMap::<StreamKey, Vec<Span>>::new();
    for piece in coverage.iter().filter(|piece| piece.span.to > latest) {
        ahead.entry(piece.stream).or_default().push(piece.span);
    }
    let mut problems = Vec::new();
    for row in streams {
        let mut finding = Finding::none("beyond_now", row.stream);
        if let Some(edge) = row.edge.filter(|edge| *edge > latest) {
            finding.add(|| format!("the edge is {edge}, and it is {now}"));
        }
        if let Some(newest) = row.newest.filter(|newest| *newest > latest) {
            finding.add(|| format!("a row bears the time {newest}, and it is {now}"));
        }
        for span in ahead.get(&row.stream).into_iter().flatten() {
            finding.add(|| format!("{span:?} is covered, and it is {now}"));
        }
        problems.extend(finding.into_problem());
    }
    problems
}

#[cfg(test)]
mod tests {
    use hl_core::{Epoch, Origin, Token};

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn row(stream: &str, edge: i64) -> StreamRow {
        StreamRow {
            stream: stream.parse().unwrap(),
            edge: Some(TimeMs(edge)),
            ended: None,
            first: Some(TimeMs(0)),
            rows: 1,
            archived: 0,
            oldest: None,
            newest: Some(TimeMs(edge)),
            holder: None,
        }
    }

    fn found(streams: &[StreamRow]) -> Vec<(String, u64)> {
        let piece = |row: &StreamRow| CoverageRow {
            stream: row.stream,
            span: Span::new(TimeMs(0), row.edge.unwrap()),
            source: Origin::Ws,
            epoch: Epoch { token: Token(1), local: 1 },
            rows: 1,
        };
        let coverage: Vec<_> = streams.iter().map(piece).collect();
        let problems = beyond_now(streams, &coverage, TimeMs(10 * HOUR));
        problems.into_iter().map(|problem| (problem.stream.unwrap().to_string(), problem.count)).collect()
    }

    #[test]
    fn what_lies_ahead_of_now_is_told() {
        let now = 10 * HOUR;
        let here = [row("trades/BTC", now), row("trades/ETH", now + 59_000), row("bbo/BTC", now - HOUR)];
        assert_eq!(found(&here), []);
        let book = [&here[..], &[row("book/BTC", now + HOUR), row("mids", now + HOUR)]].concat();
        assert_eq!(found(&book), [("book/BTC".to_owned(), 3), ("mids".to_owned(), 3)]);
    }

    #[test]
    fn where_most_streams_are_ahead_the_clock_is_wrong() {
        let later = 15 * HOUR;
        let streams = [
            row("trades/BTC", later),
            row("trades/ETH", later),
            row("book/BTC", later - 7),
            row("mids", later),
        ];
        assert_eq!(found(&streams), []);
        let further = [&streams[..], &[row("context/BTC", later + HOUR)]].concat();
        assert_eq!(found(&further), [("context/BTC".to_owned(), 3)]);
    }
}

//! Gathering changes until the store takes them: merged stream by stream. Where it falls behind, of each bar the best
//! version stays, which is all that the store would keep; everything else waits whole.

use std::collections::BTreeMap;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::stream::Conflation;
use hl_core::{Records, StreamKey, Token};

/// Changes that wait for the next transaction.
#[derive(Default)]
pub(super) struct Pending {
    streams: BTreeMap<StreamKey, Vec<Change>>,
    rows: usize,
    bytes: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Rows gathered.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What they take of memory, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has(&self, stream: StreamKey) -> bool {
        self.streams.contains_key(&stream)
    }

    pub(super) fn push(&mut self, stream: StreamKey, change: Change) {
        self.rows += rows(&change);
        self.bytes += records(&change).map_or(0, Records::bytes);
        let changes = self.streams.entry(stream).or_default();
        if let Some(change) = merge(changes, change) {
            changes.push(change);
            self.bytes += size_of::<Change>();
        }
    }

    pub(super) fn forget(&mut self, stream: StreamKey) {
        if self.streams.remove(&stream).is_some() {
            self.recount();
        }
    }

    /// Everything, as one batch.
    pub(super) fn take(&mut self, token: Token) -> Batch {
        (self.rows, self.bytes) = (0, 0);
        batch(token, std::mem::take(&mut self.streams))
    }

    /// Keeps of each bar the best version: what the store would keep of them.
    pub(super) fn conflate(&mut self) {
        for change in self.streams.values_mut().flatten() {
            let Change::Rows { records: Records::Candles(bars), .. } = change else { continue };
            let mut best = BTreeMap::new();
            for bar in bars.drain(..) {
                let is_better = |kept: &mut hl_core::record::Candle| {
                    if kept.trades <= bar.trades {
                        *kept = bar;
                    }
                };
                best.entry(bar.time).and_modify(is_better).or_insert(bar);
            }
            bars.extend(best.into_values());
        }
        self.recount();
    }

    /// Gives rows up: what they would have covered becomes a gap. Returns how many rows were given up.
    pub(super) fn give_up(&mut self, batch: Batch) -> u64 {
        let mut lost = 0;
        let covered: Vec<_> = batch
            .changes
            .iter()
            .filter_map(|(stream, change)| match change {
                Change::Covered { span, .. } => Some((*stream, *span)),
                _ => None,
            })
            .collect();
        for (stream, change) in batch.changes {
            match change {
                // Bars are conflated by key, so they stay small; what makes them final may be in a later batch.
                change @ Change::Rows { records: Records::Candles(_), .. } => self.push(stream, change),
                Change::Rows { records, .. } => {
                    lost += records.len() as u64;
                    // What came late lies in time that was covered before: it is said to be so no more.
                    let is_covered = |from, to| {
                        let contains = |span: Span| span.contains(from) && span.contains(to);
                        covered.iter().any(|(of, span)| *of == stream && contains(*span))
                    };
                    if let Some((from, to)) = records.extent().filter(|(from, to)| !is_covered(*from, *to)) {
                        let span = Span::new(from - 1, to + 1);
                        self.push(stream, Change::Doubted { span, cause: Cause::StoreFull });
                    }
                }
                change @ (Change::Covered { .. } | Change::Final { .. })
                    if stream.spec().conflation == Conflation::PerKey =>
                {
                    self.push(stream, change);
                }
                Change::Covered { span, .. } => {
                    self.push(stream, Change::GapOpened { span, cause: Cause::StoreFull });
                }
                Change::Filled { records, .. } => lost += records.len() as u64,
                Change::Final { .. } => {}
                change @ (Change::GapOpened { .. }
                | Change::Doubted { .. }
                | Change::GapLost { .. }
                | Change::GapUnreadable { .. }
                | Change::Edge(_)
                | Change::Ended(_)) => {
                    self.push(stream, change);
                }
            }
        }
        lost
    }

    fn recount(&mut self) {
        let changes = || self.streams.values().flatten();
        self.rows = changes().map(rows).sum();
        let records = changes().filter_map(records).map(Records::bytes).sum::<usize>();
        self.bytes = records + changes().count() * size_of::<Change>();
    }
}

fn records(change: &Change) -> Option<&Records> {
    match change {
        Change::Rows { records, .. } | Change::Filled { records, .. } => Some(records),
        _ => None,
    }
}

fn rows(change: &Change) -> usize {
    records(change).map_or(0, Records::len)
}

fn batch(token: Token, streams: BTreeMap<StreamKey, Vec<Change>>) -> Batch {
    let changes = streams
        .into_iter()
        .flat_map(|(stream, changes)| changes.into_iter().map(move |c| (stream, c)))
        .collect();
    Batch { token, changes }
}

/// Merges a change into those that wait, where the order allows it; gives it back where not. Gaps and fills are
/// barriers: nothing moves across them.
fn merge(waiting: &mut [Change], change: Change) -> Option<Change> {
    let barrier = |c: &Change| {
        matches!(
            c,
            Change::GapOpened { .. }
                | Change::Doubted { .. }
                | Change::Filled { .. }
                | Change::GapLost { .. }
                | Change::GapUnreadable { .. }
        )
    };
    let open = waiting.rsplit_mut(barrier).next().unwrap_or_default();
    match change {
        Change::Rows { epoch, origin, records } => {
            for earlier in open.iter_mut().rev() {
                if let Change::Rows { epoch: e, origin: o, records: r } = earlier
                    && (*e, *o) == (epoch, origin)
                {
                    return r.append(records).map(|records| Change::Rows { epoch, origin, records });
                }
            }
            Some(Change::Rows { epoch, origin, records })
        }
        Change::Covered { epoch, origin, span } => {
            for earlier in open.iter_mut().rev() {
                if let Change::Covered { epoch: e, origin: o, span: s } = earlier
                    && (*e, *o) == (epoch, origin)
                    && s.touches(span)
                {
                    *s = s.hull(span);
                    return None;
                }
            }
            Some(Change::Covered { epoch, origin, span })
        }
        Change::Final { span } => {
            for earlier in open.iter_mut().rev() {
                if let Change::Final { span: s } = earlier
                    && s.touches(span)
                {
                    *s = s.hull(span);
                    return None;
                }
            }
            Some(Change::Final { span })
        }
        Change::Edge(to) => {
            for earlier in open.iter_mut().rev() {
                if let Change::Edge(edge) = earlier {
                    *edge = to.max(*edge);
                    return None;
                }
            }
            Some(Change::Edge(to))
        }
        barrier => Some(barrier),
    }
}

#[cfg(test)]
mod tests {
    use hl_core::ledger::Span;
    use hl_core::record::{Bbo, Candle, Funding, HexBytes, Side, Trade};
    use hl_core::row::Arrival;
    use hl_core::{Coin, Decimal, Epoch, Interval, Origin, TimeMs};

    use super::*;

    const TOKEN: Token = Token(3);

    fn coin(name: &str) -> Coin {
        Coin::new(name).unwrap()
    }

    fn trades_of(name: &str) -> StreamKey {
        StreamKey::Trades(coin(name))
    }

    fn bars_of(name: &str) -> StreamKey {
        StreamKey::Candle(coin(name), Interval::M1)
    }

    fn trades(times: &[i64]) -> Records {
        let trade = |time: &i64| Trade {
            coin: coin("BTC"),
            time: TimeMs(*time),
            tid: time.unsigned_abs(),
            px: Decimal::ONE,
            sz: Decimal::ONE,
            side: Side::Buy,
            hash: HexBytes([0; 32]),
            buyer: HexBytes([1; 20]),
            seller: HexBytes([2; 20]),
            arrival: Arrival::default(),
        };
        Records::Trades(times.iter().map(trade).collect())
    }

    /// Bars by minute, number of trades and close.
    fn bars(versions: &[(i64, u64, i64)]) -> Records {
        let one = Decimal::ONE;
        let bar = |&(minute, trades, close): &(i64, u64, i64)| Candle {
            coin: coin("BTC"),
            interval: Interval::M1,
            time: TimeMs(minute * 60_000),
            open: one,
            high: one,
            low: one,
            close: close.into(),
            volume: one,
            trades,
            arrival: Arrival::default(),
        };
        Records::Candles(versions.iter().map(bar).collect())
    }

    fn bbos(times: &[i64]) -> Records {
        let bbo = |time: &i64| Bbo {
            coin: coin("BTC"),
            time: TimeMs(*time),
            bid: None,
            ask: None,
            arrival: Arrival::default(),
        };
        Records::Bbos(times.iter().map(bbo).collect())
    }

    fn rows_under(local: u32, records: Records) -> Change {
        Change::Rows { epoch: Epoch { token: TOKEN, local }, origin: Origin::Ws, records }
    }

    fn covered(local: u32, from: i64, to: i64) -> Change {
        Change::Covered { epoch: Epoch { token: TOKEN, local }, origin: Origin::Ws, span: span(from, to) }
    }

    fn span(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from), TimeMs(to))
    }

    fn gap(from: i64, to: i64, cause: Cause) -> Change {
        Change::GapOpened { span: span(from, to), cause }
    }

    fn filled(records: Records) -> Change {
        Change::Filled { epoch: Epoch::default(), origin: Origin::Ws, span: span(0, 9), records }
    }

    /// A stream of each conflation: 2 + 1 rows of trades, 3 of bars, 2 of a state.
    fn mixed() -> Pending {
        let mut pending = Pending::default();
        pending.push(trades_of("BTC"), rows_under(1, trades(&[1, 2])));
        pending.push(trades_of("BTC"), filled(trades(&[0])));
        pending.push(bars_of("BTC"), rows_under(1, bars(&[(1, 5, 1), (1, 7, 2), (2, 1, 3)])));
        pending.push(StreamKey::Bbo(coin("BTC")), rows_under(1, bbos(&[4, 5])));
        pending
    }

    #[test]
    fn it_knows_how_many_rows_wait() {
        let mut pending = Pending::default();
        assert!(pending.is_empty());
        pending.push(trades_of("ETH"), Change::Edge(TimeMs(4)));
        assert_eq!((pending.is_empty(), pending.rows()), (false, 0));
        let mut pending = mixed();
        assert_eq!(pending.rows(), 8);
        pending.forget(trades_of("ETH"));
        assert_eq!(pending.rows(), 8);
        pending.forget(trades_of("BTC"));
        assert_eq!(pending.rows(), 5);
        let records = 3 * size_of::<Candle>() + 2 * size_of::<Bbo>();
        assert_eq!(pending.bytes(), records + 2 * size_of::<Change>());
        assert_eq!(pending.take(TOKEN).changes.len(), 2);
        assert_eq!((pending.is_empty(), pending.rows(), pending.bytes()), (true, 0, 0));
    }

    #[test]
    fn of_bars_the_best_version_stays_and_of_everything_else_all() {
        let mut pending = mixed();
        // Of equals the last, and fewer trades never win.
        pending.push(bars_of("BTC"), rows_under(1, bars(&[(1, 7, 4), (1, 6, 5)])));
        let (rows, bytes) = (pending.rows(), pending.bytes());
        pending.conflate();
        assert_eq!(pending.rows(), rows - 3);
        assert_eq!(bytes - pending.bytes(), 3 * size_of::<Candle>());
        let batch: BTreeMap<_, _> = pending.take(TOKEN).changes.into_iter().rev().collect();
        assert_eq!(batch[&trades_of("BTC")], rows_under(1, trades(&[1, 2])));
        assert_eq!(batch[&bars_of("BTC")], rows_under(1, bars(&[(1, 7, 4), (2, 1, 3)])));
        assert_eq!(batch[&StreamKey::Bbo(coin("BTC"))], rows_under(1, bbos(&[4, 5])));
    }

    #[test]
    fn what_is_given_up_leaves_a_gap_and_bars_are_kept() {
        let funding = StreamKey::Funding(coin("BTC"));
        let settled = Funding {
            coin: coin("BTC"),
            time: TimeMs(5),
            rate: Decimal::ONE,
            premium: Decimal::ONE,
            arrival: Arrival::default(),
        };
        let own = [covered(1, 60_000, 120_000), Change::Final { span: span(60_000, 120_000) }];
        let [bars_covered, bars_final] = own.clone();
        let changes = vec![
            (trades_of("BTC"), rows_under(1, trades(&[1, 2]))),
            (trades_of("BTC"), covered(1, 1, 2)),
            (trades_of("BTC"), Change::Edge(TimeMs(2))),
            (trades_of("BTC"), filled(trades(&[0]))),
            (trades_of("BTC"), gap(3, 4, Cause::Outage)),
            (funding, rows_under(1, Records::Funding(vec![settled]))),
            (StreamKey::Bbo(coin("BTC")), rows_under(1, bbos(&[4, 5]))),
            (StreamKey::Bbo(coin("BTC")), covered(1, 4, 5)),
            (bars_of("BTC"), rows_under(1, bars(&[(1, 7, 2)]))),
            (bars_of("BTC"), bars_covered),
            (bars_of("BTC"), bars_final),
        ];
        let mut pending = Pending::default();
        assert_eq!(pending.give_up(Batch { token: TOKEN, changes }), 2 + 1 + 1 + 2);
        let kept = pending.take(TOKEN).changes;
        let of =
            |stream| kept.iter().filter(|(s, _)| *s == stream).map(|(_, c)| c.clone()).collect::<Vec<_>>();
        assert_eq!(
            of(trades_of("BTC")),
            [gap(1, 2, Cause::StoreFull), Change::Edge(TimeMs(2)), gap(3, 4, Cause::Outage)]
        );
        let late = Change::Doubted { span: span(4, 6), cause: Cause::StoreFull };
        assert_eq!(of(funding), [late], "what no piece of the batch covers was covered before");
        assert_eq!(of(StreamKey::Bbo(coin("BTC"))), [gap(4, 5, Cause::StoreFull)]);
        let mut whole = vec![rows_under(1, bars(&[(1, 7, 2)]))];
        whole.extend(own);
        assert_eq!(of(bars_of("BTC")), whole);
    }

    #[test]
    fn changes_of_one_claim_are_merged_and_nothing_moves_across_a_gap_or_a_fill() {
        for barrier in [
            gap(2, 3, Cause::Outage),
            Change::Doubted { span: span(2, 3), cause: Cause::Silence },
            filled(trades(&[2])),
            Change::GapLost { span: span(2, 3) },
        ] {
            let mut pending = Pending::default();
            let all = [
                (rows_under(1, trades(&[1])), covered(1, 1, 1)),
                (rows_under(1, trades(&[2])), covered(1, 1, 2)),
                (rows_under(2, trades(&[3])), covered(2, 2, 3)),
            ];
            for (rows, covered) in all {
                pending.push(trades_of("BTC"), rows);
                pending.push(trades_of("BTC"), covered);
            }
            pending.push(trades_of("BTC"), barrier.clone());
            pending.push(trades_of("BTC"), rows_under(2, trades(&[4])));
            pending.push(trades_of("BTC"), covered(2, 3, 4));
            let changes: Vec<_> = pending.take(TOKEN).changes.into_iter().map(|(_, change)| change).collect();
            assert_eq!(
                changes,
                [
                    rows_under(1, trades(&[1, 2])),
                    covered(1, 1, 2),
                    rows_under(2, trades(&[3])),
                    covered(2, 2, 3),
                    barrier,
                    rows_under(2, trades(&[4])),
                    covered(2, 3, 4)
                ]
            );
        }
    }
}

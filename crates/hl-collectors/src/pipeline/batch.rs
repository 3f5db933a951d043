//! Gathering changes until the store takes them: merged stream by stream, conflated by kind where it falls behind.

use std::collections::BTreeMap;

use hl_core::ledger::{Batch, Cause, Change};
use hl_core::stream::Conflation;
use hl_core::{Records, StreamKey, Token};

/// Changes that wait for the next transaction.
#[derive(Default)]
pub(super) struct Pending {
    streams: BTreeMap<StreamKey, Vec<Change>>,
    rows: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Rows gathered.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn has(&self, stream: StreamKey) -> bool {
        self.streams.contains_key(&stream)
    }

    pub(super) fn push(&mut self, stream: StreamKey, change: Change) {
        self.rows += rows(&change);
        let changes = self.streams.entry(stream).or_default();
        if let Some(change) = merge(changes, change) {
            changes.push(change);
        }
    }

    pub(super) fn forget(&mut self, stream: StreamKey) {
        if let Some(changes) = self.streams.remove(&stream) {
            self.rows -= changes.iter().map(rows).sum::<usize>();
        }
    }

    /// Everything, as one batch.
    pub(super) fn take(&mut self, token: Token) -> Batch {
        self.rows = 0;
        batch(token, std::mem::take(&mut self.streams))
    }

    /// The event streams and bars, as one batch; states stay.
    pub(super) fn take_events(&mut self, token: Token) -> Option<Batch> {
        let (states, events): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.streams)
            .into_iter()
            .partition(|(stream, _)| stream.spec().conflation == Conflation::State);
        self.streams = states;
        self.recount();
        (!events.is_empty()).then(|| batch(token, events))
    }

    /// Keeps the newest state only, and for bars the newest version of each; events stay whole. Returns how many
    /// rows were conflated.
    pub(super) fn conflate(&mut self) -> u64 {
        let before = self.rows;
        for (stream, changes) in &mut self.streams {
            for change in changes.iter_mut() {
                let Change::Rows { records, .. } = change else { continue };
                match (stream.spec().conflation, records) {
                    (Conflation::Event, _) => {}
                    (_, Records::Candles(bars)) => {
                        let mut newest = BTreeMap::new();
                        for bar in bars.drain(..) {
                            newest
                                .entry(bar.time)
                                .and_modify(|kept: &mut hl_core::record::Candle| {
                                    if kept.trades <= bar.trades {
                                        *kept = bar;
                                    }
                                })
                                .or_insert(bar);
                        }
                        bars.extend(newest.into_values());
                    }
                    (_, Records::Books(r)) => keep_last(r),
                    (_, Records::Bbos(r)) => keep_last(r),
                    (_, Records::Contexts(r)) => keep_last(r),
                    // Rows on change: another coin's older change is still its newest.
                    (_, Records::Mids(mids)) => {
                        let newest: BTreeMap<_, _> = mids.drain(..).map(|mid| (mid.coin, mid)).collect();
                        mids.extend(newest.into_values());
                    }
                    (_, Records::Trades(_) | Records::Funding(_)) => {}
                }
            }
        }
        self.recount();
        (before - self.rows) as u64
    }

    /// Gives events up: what they would have covered becomes a gap. Returns how many rows were given up.
    pub(super) fn give_up(&mut self, batch: Batch) -> u64 {
        let mut lost = 0;
        for (stream, change) in batch.changes {
            match change {
                // Bars are conflated by key, so they stay small; what makes them final may be in a later batch.
                change @ Change::Rows { records: Records::Candles(_), .. } => self.push(stream, change),
                Change::Rows { records, .. } => lost += records.len() as u64,
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
                | Change::Edge(_)) => {
                    self.push(stream, change);
                }
            }
        }
        lost
    }

    fn recount(&mut self) {
        self.rows = self.streams.values().flatten().map(rows).sum();
    }
}

fn keep_last<T>(records: &mut Vec<T>) {
    let older = records.len().saturating_sub(1);
    records.drain(..older);
}

fn rows(change: &Change) -> usize {
    match change {
        Change::Rows { records, .. } | Change::Filled { records, .. } => records.len(),
        _ => 0,
    }
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
    use hl_core::record::{Bbo, Candle, Funding, HexBytes, Mid, Side, Trade};
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
        };
        Records::Candles(versions.iter().map(bar).collect())
    }

    fn bbos(times: &[i64]) -> Records {
        let bbo = |time: &i64| Bbo { coin: coin("BTC"), time: TimeMs(*time), bid: None, ask: None };
        Records::Bbos(times.iter().map(bbo).collect())
    }

    fn mids(changes: &[(&str, i64)]) -> Records {
        let mid = |&(name, time): &(&str, i64)| Mid { coin: coin(name), time: TimeMs(time), px: time.into() };
        Records::Mids(changes.iter().map(mid).collect())
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
        assert_eq!(pending.take(TOKEN).changes.len(), 2);
        assert_eq!((pending.is_empty(), pending.rows()), (true, 0));
    }

    #[test]
    fn events_are_taken_and_states_stay() {
        let mut pending = mixed();
        let batch = pending.take_events(TOKEN).unwrap();
        let streams: Vec<_> = batch.changes.iter().map(|(stream, _)| *stream).collect();
        assert_eq!((batch.token, streams), (TOKEN, vec![trades_of("BTC"), trades_of("BTC"), bars_of("BTC")]));
        assert_eq!((pending.rows(), pending.take_events(TOKEN)), (2, None), "only states are left");
        assert_eq!(
            pending.take(TOKEN).changes,
            [(StreamKey::Bbo(coin("BTC")), rows_under(1, bbos(&[4, 5])))]
        );
    }

    #[test]
    fn of_states_the_newest_stays_of_bars_the_best_version_and_of_events_everything() {
        let mut pending = mixed();
        // Of equals the last, and fewer trades never win.
        pending.push(bars_of("BTC"), rows_under(1, bars(&[(1, 7, 4), (1, 6, 5)])));
        pending.push(StreamKey::Mids, rows_under(1, mids(&[("BTC", 1), ("ETH", 2), ("BTC", 3)])));
        assert_eq!(pending.conflate(), 3 + 1 + 1);
        assert_eq!(pending.rows(), 8);
        let batch: BTreeMap<_, _> = pending.take(TOKEN).changes.into_iter().rev().collect();
        assert_eq!(batch[&trades_of("BTC")], rows_under(1, trades(&[1, 2])));
        assert_eq!(batch[&bars_of("BTC")], rows_under(1, bars(&[(1, 7, 4), (2, 1, 3)])));
        assert_eq!(batch[&StreamKey::Bbo(coin("BTC"))], rows_under(1, bbos(&[5])));
        let Change::Rows { records: Records::Mids(mids), .. } = &batch[&StreamKey::Mids] else { panic!() };
        let mut newest: Vec<_> = mids.iter().map(|mid| (mid.coin.as_str().to_owned(), mid.time.0)).collect();
        newest.sort_unstable();
        assert_eq!(newest, [("BTC".to_owned(), 3), ("ETH".to_owned(), 2)]);
    }

    #[test]
    fn events_that_are_given_up_leave_a_gap_and_bars_are_kept() {
        let funding = StreamKey::Funding(coin("BTC"));
        let settled =
            Funding { coin: coin("BTC"), time: TimeMs(5), rate: Decimal::ONE, premium: Decimal::ONE };
        let own = [covered(1, 60_000, 120_000), Change::Final { span: span(60_000, 120_000) }];
        let [bars_covered, bars_final] = own.clone();
        let changes = vec![
            (trades_of("BTC"), rows_under(1, trades(&[1, 2]))),
            (trades_of("BTC"), covered(1, 1, 2)),
            (trades_of("BTC"), Change::Edge(TimeMs(2))),
            (trades_of("BTC"), filled(trades(&[0]))),
            (trades_of("BTC"), gap(3, 4, Cause::Outage)),
            (funding, rows_under(1, Records::Funding(vec![settled]))),
            (bars_of("BTC"), rows_under(1, bars(&[(1, 7, 2)]))),
            (bars_of("BTC"), bars_covered),
            (bars_of("BTC"), bars_final),
        ];
        let mut pending = Pending::default();
        assert_eq!(pending.give_up(Batch { token: TOKEN, changes }), 2 + 1 + 1);
        let kept = pending.take(TOKEN).changes;
        let of =
            |stream| kept.iter().filter(|(s, _)| *s == stream).map(|(_, c)| c.clone()).collect::<Vec<_>>();
        assert_eq!(
            of(trades_of("BTC")),
            [gap(1, 2, Cause::StoreFull), Change::Edge(TimeMs(2)), gap(3, 4, Cause::Outage)]
        );
        assert_eq!(of(funding), []);
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

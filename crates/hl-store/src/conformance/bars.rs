use hl_core::ledger::{Cause, Change};
use hl_core::{Origin, Records, TimeMs};
use proptest::prelude::{any, prop};
use proptest::test_runner::{Config, TestRunner};

use super::fixture::{bar, commit, epoch, filled, holder, live, minutes, rows, run, span, stored};
use super::{New, Subject};
use crate::Problem;

/// Whatever the order of versions and the batches they come in: the one with the most trades is kept, of equals the
/// last, and nothing after the bar was made final.
pub fn the_best_version_of_a_bar_wins(new: New<'_>) {
    let versions = prop::collection::vec((1_u64..6, 1_i64..4, any::<bool>()), 1..12);
    let input = (versions, prop::option::of(0_usize..12));
    TestRunner::new(Config::with_cases(24))
        .run(&input, |(versions, final_before)| {
            let subject = new();
            run(async {
                let stream = minutes("BTC");
                let store = holder(&*subject, &[stream]).await;
                let claim = epoch(store.token(), 1);
                let mut best: Option<(u64, i64)> = None;
                let (mut is_final, mut improved, mut batch) = (false, 0, Vec::new());
                let mut inserted = 0;
                for (at, &(trades, close, send)) in versions.iter().enumerate() {
                    if final_before == Some(at) && best.is_some() {
                        batch.push(Change::Final { span: span(0, 1) });
                        is_final = true;
                    }
                    batch.push(rows(claim, Records::Candles(vec![bar("BTC", 0, trades, close)])));
                    let wins = best.is_none_or(|old| trades > old.0 || trades == old.0 && close != old.1);
                    if wins && !is_final {
                        best = Some((trades, close));
                        improved += 1;
                    }
                    if send {
                        let changes = std::mem::take(&mut batch);
                        inserted += commit(&store, store.token(), stream, changes).await.unwrap().inserted;
                    }
                }
                batch.push(Change::Final { span: span(0, 1) });
                inserted += commit(&store, store.token(), stream, batch).await.unwrap().inserted;
                let (trades, close) = best.unwrap();
                assert_eq!(
                    stored(&*subject, stream).await,
                    Records::Candles(vec![bar("BTC", 0, trades, close)])
                );
                assert_eq!(inserted, improved);
            });
            Ok(())
        })
        .unwrap();
}

/// Only final bars are shown, `from <= t < to`, and they stay as they are.
pub fn a_final_bar_never_changes(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let bars = |trades| Records::Candles((0..3).map(|n| bar("BTC", n * 60_000, trades, 1)).collect());
        let changes = vec![rows(claim, bars(5)), Change::Final { span: span(0, 120_000) }];
        commit(&store, store.token(), stream, changes).await.unwrap();
        let shown = Records::Candles((0..2).map(|n| bar("BTC", n * 60_000, 5, 1)).collect());
        assert_eq!(stored(&*subject, stream).await, shown);
        let ack = commit(&store, store.token(), stream, vec![rows(claim, bars(8))]).await.unwrap();
        assert_eq!((ack.inserted, ack.existing, ack.differing.get(&stream)), (1, 0, Some(&2)));
        assert_eq!(stored(&*subject, stream).await, shown);
    });
}

/// A final bar that turns out not to be the exchange's is a gap until it has been read again.
pub fn a_doubted_bar_is_read_again(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let all = span(0, 180_000);
        let three = (0..3).map(|n| bar("BTC", n * 60_000, 5, 1)).collect();
        let mut changes = vec![rows(claim, Records::Candles(three)), Change::Final { span: all }];
        changes
            .extend([Change::Covered { epoch: claim, origin: Origin::Ws, span: all }, Change::Edge(all.to)]);
        let doubted = span(60_000, 120_000);
        changes.push(Change::Doubted { span: doubted, cause: Cause::Silence });
        commit(&store, store.token(), stream, changes).await.unwrap();
        assert_eq!(store.covered_bars(stream, all).await.unwrap(), [(TimeMs(0), 5), (TimeMs(120_000), 5)]);
        assert_eq!(inspected(&*subject).await, []);

        let again = epoch(store.token(), 2);
        assert_eq!(store.claim_gaps(stream, all, again).await.unwrap(), [doubted]);
        let right = Records::Candles(vec![bar("BTC", 60_000, 7, 1)]);
        commit(&store, store.token(), stream, vec![filled(again, doubted, right)]).await.unwrap();
        store.unclaim(again).await.unwrap();
        let bars = [(TimeMs(0), 5), (TimeMs(60_000), 7), (TimeMs(120_000), 5)];
        assert_eq!(store.covered_bars(stream, all).await.unwrap(), bars);
        assert_eq!(store.covered_bars(stream, span(0, 60_000)).await.unwrap(), bars[..1]);
        assert_eq!(inspected(&*subject).await, []);

        // Where nothing is covered there is nothing to doubt.
        let beyond = vec![Change::Doubted { span: span(180_000, 240_000), cause: Cause::Silence }];
        commit(&store, store.token(), stream, beyond).await.unwrap();
        assert!(store.open_gaps().await.unwrap().is_empty());
    });
}

/// However often a bar comes, and whether it is pushed, filled or cut off by a doubt: each piece counts its bars once.
pub fn pieces_count_each_of_their_bars_once(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let minute = |n: i64| n * 60_000;
        let bars = |range: std::ops::Range<i64>, trades| {
            Records::Candles(range.map(|n| bar("BTC", minute(n), trades, 1)).collect())
        };
        let counts = async || {
            let pieces = subject.inspect().await.unwrap().coverage(Some(stream)).await.unwrap();
            pieces.into_iter().map(|piece| (piece.span, piece.rows)).collect::<Vec<_>>()
        };
        for to in [1, 3] {
            let mut changes = vec![rows(claim, bars(0..to, 1)), rows(claim, bars(0..to, 2))];
            changes.extend(live(claim, bars(0..to, 3), span(0, minute(to))));
            commit(&store, store.token(), stream, changes).await.unwrap();
        }
        assert_eq!(counts().await, [(span(0, minute(3)), 3)]);

        // A bar that was pushed and not proven is the same when it is read again.
        let hole = span(minute(3), minute(5));
        let again = epoch(store.token(), 2);
        let changes = vec![
            rows(claim, bars(3..4, 3)),
            Change::GapOpened { span: hole, cause: Cause::Silence },
            Change::Edge(hole.to),
            filled(again, hole, bars(3..4, 3)),
        ];
        commit(&store, store.token(), stream, changes).await.unwrap();
        assert_eq!(counts().await, [(span(0, minute(3)), 3), (hole, 1)]);
        assert_eq!(store.covered_bars(stream, hole).await.unwrap(), [(hole.from, 3), (TimeMs(minute(4)), 0)]);

        let doubted =
            |from, to| Change::Doubted { span: span(minute(from), minute(to)), cause: Cause::Silence };
        commit(&store, store.token(), stream, vec![doubted(0, 2)]).await.unwrap();
        assert_eq!(counts().await, [(span(minute(2), minute(3)), 1), (hole, 1)], "nothing is left before it");
        commit(&store, store.token(), stream, vec![doubted(4, 5)]).await.unwrap();
        assert_eq!(
            counts().await,
            [(span(minute(2), minute(3)), 1), (span(minute(3), minute(4)), 1)],
            "nothing is left behind it"
        );
        assert_eq!(inspected(&*subject).await, []);
    });
}

/// A bar is covered where all of it is; and no more are told of than the exchange keeps.
pub fn covered_bars_are_whole_and_bounded(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let whole = span(0, 6_000 * 60_000);
        let changes = live(claim, Records::Candles(vec![bar("BTC", 60_000, 5, 1)]), whole);
        commit(&store, store.token(), stream, changes).await.unwrap();
        commit(&store, store.token(), stream, vec![Change::Final { span: whole }]).await.unwrap();
        let times = async |from, to| {
            let bars = store.covered_bars(stream, span(from, to)).await.unwrap();
            bars.into_iter().map(|(time, trades)| (time.0, trades)).collect::<Vec<_>>()
        };
        assert_eq!(times(60_000, 180_000).await, [(60_000, 5), (120_000, 0)]);
        assert_eq!(times(60_001, 180_001).await, [(120_000, 0), (180_000, 0)]);
        let all = times(0, whole.to.0).await;
        assert_eq!((all.len(), all[0], all[4_999]), (5_000, (0, 0), (4_999 * 60_000, 0)), "the oldest");
    });
}

async fn inspected(subject: &dyn Subject) -> Vec<Problem> {
    subject.inspect().await.unwrap().audit().await.unwrap().problems
}

use hl_core::Records;
use hl_core::ledger::Change;
use proptest::prelude::{any, prop};
use proptest::test_runner::{Config, TestRunner};

use super::New;
use super::fixture::{bar, commit, epoch, holder, minutes, rows, run, span, stored};

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
        assert_eq!((ack.inserted, ack.existing), (1, 2));
        assert_eq!(stored(&*subject, stream).await, shown);
    });
}

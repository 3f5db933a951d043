use std::sync::Arc;

use hl_core::ledger::{Batch, Became, Cause, Change, GapChange, GapState, Span};
use hl_core::record::{Book, Funding, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::{Settled, StoreError};
use hl_core::stream::BookVariant;
use hl_core::{Origin, Records, StreamKey, TimeMs};

use super::New;
use super::fixture::{
    bar, coin, commit, crash, decimal, epoch, every_kind, filled, holder, live, minutes, picture, rows, run,
    settlement, span, stored, times, trade, trades,
};

/// What a superseded session still sends is left out, whole, and named; other streams of the batch are written.
pub fn a_stale_token_writes_nothing(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, eth) = (trades("BTC"), trades("ETH"));
        let old = holder(&*subject, &[btc, eth]).await;
        let was = epoch(old.token(), 1);
        let rows_at = |name: &str, time| Records::Trades(vec![trade(name, time, 1)]);
        commit(&old, old.token(), btc, live(was, rows_at("BTC", 1), span(1, 1))).await.unwrap();
        old.release(&[btc]).await.unwrap();
        let new = holder(&*subject, &[btc]).await;
        let before = picture(&*subject, btc).await;

        let mut late = live(was, rows_at("BTC", 2), span(1, 2));
        late.push(Change::GapOpened { span: span(2, 3), cause: Cause::Outage });
        late.push(Change::Final { span: span(0, 9) });
        let mut changes: Vec<_> = late.into_iter().map(|change| (btc, change)).collect();
        changes.extend(live(was, rows_at("ETH", 2), span(2, 2)).into_iter().map(|change| (eth, change)));
        let ack = old.commit(Arc::new(Batch { token: old.token(), changes })).await.unwrap();
        assert_eq!((ack.superseded.as_slice(), ack.inserted, ack.refused), (&[btc][..], 1, 0));
        assert_eq!(picture(&*subject, btc).await, before);
        assert_eq!(times(&*subject, eth).await, [2]);

        let now = epoch(new.token(), 1);
        let ack = commit(&new, new.token(), btc, live(now, rows_at("BTC", 2), span(1, 2))).await.unwrap();
        assert_eq!((ack.superseded.len(), ack.inserted), (0, 1));
        let mixed = commit(&new, new.token(), btc, live(was, rows_at("BTC", 3), span(2, 3))).await;
        assert!(matches!(mixed, Err(StoreError::Permanent { .. })), "an epoch of another token is a mistake");
        assert_eq!(times(&*subject, btc).await, [1, 2]);
    });
}

/// Who hears of a commit hears of what was stored: the rows without those that were left out, and what became of gaps.
pub fn an_answer_says_what_was_written(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        let claim = epoch(store.token(), 1);
        let of = |times: &[i64]| Records::Trades(times.iter().map(|t| trade("BTC", *t, 1)).collect());
        let mut changes = live(claim, of(&[10, 12]), span(10, 12));
        changes.push(Change::GapOpened { span: span(12, 30), cause: Cause::Sampled });
        changes.extend(live(claim, of(&[30, 12, 31]), span(30, 31)));
        let ack = commit(&store, store.token(), btc, changes).await.unwrap();
        assert_eq!(ack.left_out, [(4, 1)], "the second row of the fifth change was there");
        let gap = |from, to, became| (btc, GapChange { span: span(from, to), cause: Cause::Sampled, became });
        assert_eq!(ack.gaps, [gap(12, 30, Became::Opened)]);

        let fill =
            [filled(claim, span(14, 20), of(&[11, 15, 20, 25])), Change::GapLost { span: span(20, 25) }];
        let ack = commit(&store, store.token(), btc, fill.to_vec()).await.unwrap();
        assert_eq!(ack.left_out, [(0, 0), (0, 3)], "what lies in no gap that the answer fills");
        assert_eq!(ack.gaps, [gap(14, 20, Became::Filled), gap(20, 25, Became::Lost)]);
        assert_eq!(times(&*subject, btc).await, [10, 12, 15, 20, 30, 31]);

        let unreadable = Change::GapUnreadable { span: span(25, 30) };
        let doubted = Change::Doubted { span: span(14, 20), cause: Cause::Silence };
        let ack = commit(&store, store.token(), btc, vec![unreadable, doubted]).await.unwrap();
        let renamed = GapChange { span: span(25, 30), cause: Cause::Undecodable, became: Became::Renamed };
        assert_eq!(ack.gaps, [(btc, renamed), gap(14, 20, Became::Opened)], "opened again");
    });
}

/// Who follows a stream is told how far its past is settled and what of it is missing, and reads any piece of it.
pub fn a_reader_learns_what_is_settled_and_reads_it_in_pages(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        assert_eq!(store.settled(btc).await.unwrap(), Settled::default());
        let claim = epoch(store.token(), 1);
        let of = |times: &[i64]| Records::Trades(times.iter().map(|t| trade("BTC", *t, 1)).collect());
        let mut changes = live(claim, of(&[10, 12]), span(10, 12));
        changes.push(Change::GapOpened { span: span(12, 30), cause: Cause::Sampled });
        changes.extend(live(claim, of(&[30, 31, 31 + 90_000_000]), span(30, 31)));
        changes.push(filled(claim, span(14, 20), of(&[15])));
        changes.push(Change::GapLost { span: span(20, 30) });
        commit(&store, store.token(), btc, changes).await.unwrap();
        let settled = store.settled(btc).await.unwrap();
        assert_eq!(settled.edge, Some(TimeMs(31)));
        assert_eq!(settled.unfilled, [span(12, 14), span(20, 30)], "given up or not");

        let (mut after, mut seen) = (None, Vec::new());
        for found in [2, 2, 0] {
            let page = store.rows_in(btc, span(12, 31), after, 2).await.unwrap();
            assert_eq!((page.len(), page.records.len()), (found, found));
            after = page.records.keys().last().copied().or(after);
            seen.extend(page.records.keys().iter().map(|key| key.time.0));
        }
        assert_eq!(seen, [12, 15, 30, 31], "both ends included");
        assert_eq!(store.rows_in(btc, Span::EVER, None, 100).await.unwrap().len(), 6, "more days than one");
    });
}

/// Who followed a stream and was away is told what was filled meanwhile, also what was no gap when it left.
pub fn a_reader_learns_what_was_filled_while_it_was_away(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, eth) = (trades("BTC"), trades("ETH"));
        let store = holder(&*subject, &[btc, eth]).await;
        let claim = epoch(store.token(), 1);
        let of = |times: &[i64]| Records::Trades(times.iter().map(|t| trade("BTC", *t, 1)).collect());
        let mut changes = live(claim, of(&[10, 12]), span(10, 12));
        changes.push(Change::GapOpened { span: span(12, 30), cause: Cause::Sampled });
        changes.extend(live(claim, of(&[30, 60]), span(30, 60)));
        changes.push(filled(claim, span(14, 20), of(&[15])));
        commit(&store, store.token(), btc, changes).await.unwrap();
        let filled_at = async |stream: StreamKey| {
            let page = store.filled_since(stream, TimeMs::MIN).await.unwrap();
            assert_eq!(store.filled_since(stream, TimeMs::MAX).await.unwrap(), []);
            page
        };
        assert_eq!(filled_at(btc).await, [span(14, 20)], "neither what is open nor what was never a gap");
        assert_eq!(filled_at(eth).await, []);

        let doubted = Change::Doubted { span: span(40, 50), cause: Cause::Silence };
        let changes =
            vec![Change::GapLost { span: span(20, 30) }, doubted, filled(claim, span(40, 50), of(&[45]))];
        commit(&store, store.token(), btc, changes).await.unwrap();
        assert_eq!(filled_at(btc).await, [span(14, 20), span(40, 50)]);
        let again = Change::Doubted { span: span(14, 20), cause: Cause::Silence };
        commit(&store, store.token(), btc, vec![again]).await.unwrap();
        assert_eq!(filled_at(btc).await, [span(40, 50)], "what is in doubt once more is a gap");
    });
}

/// What a dead process could not write any more is still its claim's, until somebody takes the stream.
pub fn a_spooled_batch_of_the_dead_is_taken_until_somebody_else_has_the_stream(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let dead = holder(&*subject, &[btc]).await;
        let (token, claim) = (dead.token(), epoch(dead.token(), 1));
        crash(&*subject, dead).await;
        let next = subject.open().await.unwrap();
        let spooled = |time| live(claim, Records::Trades(vec![trade("BTC", time, 1)]), span(time, time));
        let ack = commit(&next, token, btc, spooled(4)).await.unwrap();
        assert_eq!((ack.inserted, ack.superseded.len()), (1, 0));
        assert_eq!(next.lease(&[btc]).await.unwrap().granted[0].edge, Some(TimeMs(4)));
        let ack = commit(&next, token, btc, spooled(5)).await.unwrap();
        assert_eq!((ack.inserted, ack.superseded.as_slice()), (0, &[btc][..]));
        assert_eq!(times(&*subject, btc).await, [4]);
    });
}

/// A store that was put back to an earlier state has less than its sessions wrote: what is between becomes a gap.
pub fn what_the_store_lost_becomes_a_gap(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let dead = holder(&*subject, &[btc]).await;
        let (token, claim) = (dead.token(), epoch(dead.token(), 1));
        commit(&dead, token, btc, live(claim, Records::Trades(vec![trade("BTC", 10, 1)]), span(5, 10)))
            .await
            .unwrap();
        crash(&*subject, dead).await;
        // Its batch of 10 to 20 was stored, and is not any more; the one after it waited in the spool.
        let next = subject.open().await.unwrap();
        let waited = live(claim, Records::Trades(vec![trade("BTC", 30, 1)]), span(20, 30));
        let ack = commit(&next, token, btc, waited).await.unwrap();
        assert_eq!((ack.inserted, ack.superseded.len()), (1, 0));
        let inspect = subject.inspect().await.unwrap();
        let gaps = inspect.gaps(Some(btc)).await.unwrap();
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.span, gap.cause)).collect();
        assert_eq!(gaps, [(span(10, 20), Cause::StoreLost)]);
        assert_eq!(inspect.audit().await.unwrap().problems, []);
    });
}

/// An answer may get lost: the same batch again is harmless, even after its gaps were split.
pub fn a_repeated_batch_changes_nothing(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let minute = |n: i64| n * 60_000;
        let bars = |range: std::ops::Range<i64>| {
            Records::Candles(range.map(|n| bar("BTC", minute(n), 3, 5)).collect())
        };
        let mut changes = live(claim, bars(0..4), span(0, minute(3)));
        changes.push(Change::Final { span: span(0, minute(3)) });
        changes.push(Change::GapOpened { span: span(minute(3), minute(9)), cause: Cause::Outage });
        changes.push(filled(claim, span(minute(4), minute(6)), bars(4..6)));
        changes.push(Change::GapLost { span: span(minute(8), minute(20)) });
        changes.extend(live(claim, bars(9..11), span(minute(9), minute(10))));
        let ack = commit(&store, store.token(), stream, changes.clone()).await.unwrap();
        assert_eq!((ack.inserted, ack.existing, ack.refused), (8, 0, 0));
        let before = picture(&*subject, stream).await;
        let ack = commit(&store, store.token(), stream, changes.clone()).await.unwrap();
        assert_eq!(ack.inserted, 0);
        assert_eq!(picture(&*subject, stream).await, before);

        let other = subject.open().await.unwrap();
        let piece = span(minute(6), minute(7));
        other.claim_gaps(stream, piece, epoch(other.token(), 1)).await.unwrap();
        let before = picture(&*subject, stream).await;
        commit(&store, store.token(), stream, changes).await.unwrap();
        assert_eq!(picture(&*subject, stream).await, before);
    });
}

/// A row goes where its stream says, or nowhere.
pub fn rows_of_another_stream_are_refused(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, fast, slow) = (
            trades("BTC"),
            StreamKey::Book(coin("BTC"), BookVariant::Fast),
            StreamKey::Book(coin("BTC"), BookVariant::Default),
        );
        let store = holder(&*subject, &[btc, fast, minutes("BTC")]).await;
        let claim = epoch(store.token(), 1);
        let book = Book {
            coin: coin("BTC"),
            variant: BookVariant::Default,
            time: TimeMs(1),
            bids: [].into(),
            asks: [].into(),
            arrival: Arrival::default(),
        };
        let five = bar("BTC", 0, 1, 1);
        let five = hl_core::record::Candle { interval: hl_core::Interval::M5, ..five };
        for (stream, records, refused) in [
            (btc, Records::Trades(vec![trade("ETH", 1, 1), trade("BTC", 1, 1)]), 1),
            (btc, Records::Funding(vec![settlement("BTC", 1)]), 1),
            (btc, Records::Trades(vec![trade("BTC", 2, u64::MAX)]), 1),
            (fast, Records::Books(vec![book]), 1),
            (minutes("BTC"), Records::Candles(vec![five]), 1),
        ] {
            let ack = commit(&store, store.token(), stream, vec![rows(claim, records)]).await.unwrap();
            assert_eq!(ack.refused, refused, "{stream}");
        }
        assert_eq!(times(&*subject, btc).await, [1]);
        assert!(stored(&*subject, slow).await.is_empty() && stored(&*subject, fast).await.is_empty());
        assert!(stored(&*subject, StreamKey::Funding(coin("BTC"))).await.is_empty());
    });
}

/// Rows come back as they went in: decimals digit by digit, what is absent absent.
pub fn every_record_survives_the_round_trip(new: New<'_>) {
    let subject = new();
    run(async {
        let (name, everything) = every_kind();
        let streams: Vec<_> = everything.iter().map(|(stream, _)| *stream).collect();
        let store = holder(&*subject, &streams).await;
        let claim = epoch(store.token(), 1);
        let mut changes: Vec<_> =
            everything.iter().map(|(stream, records)| (*stream, rows(claim, records.clone()))).collect();
        changes.push((StreamKey::Candle(name, hl_core::Interval::M1), Change::Final { span: span(0, 1) }));
        let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
        let all: usize = everything.iter().map(|(_, records)| records.len()).sum();
        assert_eq!((ack.inserted, ack.refused), (all as u64, 0));
        let inspect = subject.inspect().await.unwrap();
        for (stream, records) in everything {
            let stored = stored(&*subject, stream).await;
            assert_eq!(stored, records, "{stream}");
            // Equal decimals may differ in their trailing zeros: the text has to be the same too.
            assert_eq!(format!("{stored:?}"), format!("{records:?}"), "{stream}");
            let later = inspect.rows(stream, span(4_000, 5_000)).await.unwrap();
            assert!(later.is_empty(), "{stream}");
        }
        let known: Vec<_> = inspect.streams().await.unwrap().iter().map(|row| row.stream).collect();
        assert!(streams.iter().all(|stream| known.contains(stream)));
    });
}

/// A claim's piece grows by what touches it; another claim's, and what does not touch, is a piece of its own.
pub fn covered_pieces_grow_and_count_their_rows(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        let (first, second) = (epoch(store.token(), 1), epoch(store.token(), 2));
        let some = |range: std::ops::RangeInclusive<i64>| {
            Records::Trades(range.map(|time| trade("BTC", time, 1)).collect())
        };
        for (claim, records, covered) in [
            (first, some(1..=5), span(1, 5)),
            (first, some(5..=8), span(5, 8)),
            (first, some(20..=22), span(20, 22)),
            (second, some(22..=25), span(22, 25)),
            (second, some(26..=26), span(24, 26)),
        ] {
            commit(&store, store.token(), btc, live(claim, records, covered)).await.unwrap();
        }
        let coverage = subject.inspect().await.unwrap().coverage(Some(btc)).await.unwrap();
        let pieces: Vec<_> = coverage.iter().map(|c| (c.span, c.epoch, c.source, c.rows)).collect();
        assert_eq!(
            pieces,
            [
                (span(1, 8), first, Origin::Ws, 8),
                (span(20, 22), first, Origin::Ws, 3),
                (span(22, 26), second, Origin::Ws, 4),
            ]
        );
        let row = subject.inspect().await.unwrap().streams().await.unwrap().remove(0);
        assert_eq!((row.stream, row.rows, row.edge), (btc, 15, Some(TimeMs(26))));
        assert_eq!((row.first, row.newest), (Some(TimeMs(1)), Some(TimeMs(26))));
        assert_eq!(row.holder.map(|holder| holder.token), Some(store.token()));
    });
}

/// Where a witness says that records are missing, the pieces are cut and a gap is opened; again changes nothing.
pub fn what_is_doubted_is_a_gap_and_no_longer_covered(new: New<'_>) {
    for (doubted, left) in [
        (span(3, 5), vec![span(1, 3), span(5, 8)]),
        (span(1, 2), vec![span(1, 1), span(2, 8)]),
        (span(7, 8), vec![span(1, 7), span(8, 8)]),
        (span(7, 9), vec![span(1, 7), span(9, 9)]),
    ] {
        let subject = new();
        run(async {
            let btc = trades("BTC");
            let store = holder(&*subject, &[btc]).await;
            let claim = epoch(store.token(), 1);
            // No row lies strictly between the two records that are named.
            let some = (1..=8).filter(|t| *t <= doubted.from.0 || *t >= doubted.to.0);
            let records = Records::Trades(some.map(|time| trade("BTC", time, 1)).collect());
            let count = records.len() as u64;
            let mut changes = live(claim, records, span(1, 8));
            changes.push(Change::Doubted { span: doubted, cause: Cause::Silence });
            if doubted.to > TimeMs(8) {
                changes.extend(live(claim, Records::Trades(vec![trade("BTC", 9, 1)]), span(9, 9)));
            }
            commit(&store, store.token(), btc, changes.clone()).await.unwrap();

            let inspect = subject.inspect().await.unwrap();
            let coverage = inspect.coverage(Some(btc)).await.unwrap();
            assert_eq!(coverage.iter().map(|piece| piece.span).collect::<Vec<_>>(), left);
            let later = u64::from(doubted.to > TimeMs(8));
            assert_eq!(coverage.iter().map(|piece| piece.rows).sum::<u64>(), count + later);
            let gaps = inspect.gaps(Some(btc)).await.unwrap();
            assert_eq!(
                gaps.iter().map(|gap| (gap.span, gap.cause)).collect::<Vec<_>>(),
                [(doubted, Cause::Silence)]
            );
            assert_eq!(inspect.audit().await.unwrap().problems, []);

            let before = picture(&*subject, btc).await;
            commit(&store, store.token(), btc, changes).await.unwrap();
            assert_eq!(picture(&*subject, btc).await, before);
        });
    }
}

/// What filled a doubted piece is doubted with it: the piece is open again, and a batch that holds both ends as it did.
pub fn what_was_filled_can_be_doubted_again(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        let [owner, ring] = [1, 2].map(|local| epoch(store.token(), local));
        let some = [1, 2, 7, 8].map(|time| trade("BTC", time, 1)).to_vec();
        let mut batch = live(owner, Records::Trades(some), span(1, 8));
        batch.push(Change::Doubted { span: span(2, 7), cause: Cause::Silence });
        batch.push(filled(ring, span(2, 7), Records::Trades(vec![trade("BTC", 4, 1)])));
        commit(&store, store.token(), btc, batch.clone()).await.unwrap();
        let inspect = subject.inspect().await.unwrap();
        let states = async || {
            let gaps = inspect.gaps(Some(btc)).await.unwrap();
            gaps.into_iter().map(|gap| (gap.span, gap.state)).collect::<Vec<_>>()
        };
        assert_eq!(states().await, [(span(2, 7), GapState::Backfilled)]);
        let before = stored(&*subject, btc).await;
        commit(&store, store.token(), btc, batch).await.unwrap();
        assert_eq!(states().await, [(span(2, 7), GapState::Backfilled)]);
        assert_eq!(stored(&*subject, btc).await, before);
        assert_eq!(inspect.audit().await.unwrap().problems, []);

        let again = vec![Change::Doubted { span: span(4, 7), cause: Cause::Silence }];
        commit(&store, store.token(), btc, again).await.unwrap();
        assert_eq!(states().await, [(span(2, 4), GapState::Backfilled), (span(4, 7), GapState::Open)]);
        let covered = inspect.coverage(Some(btc)).await.unwrap();
        assert!(covered.iter().all(|piece| !piece.span.overlaps(span(4, 7))), "{covered:?}");
        assert_eq!(inspect.audit().await.unwrap().problems, []);
    });
}

/// Rows need not come in order, and a key that exists is found wherever it stands among them.
pub fn rows_out_of_order_are_written_once(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, bars) = (trades("BTC"), minutes("BTC"));
        let store = holder(&*subject, &[btc, bars]).await;
        let write = async |stream, records| {
            let changes = vec![rows(epoch(store.token(), 1), records)];
            commit(&store, store.token(), stream, changes).await.unwrap()
        };
        let of = |times: &[i64]| Records::Trades(times.iter().map(|time| trade("BTC", *time, 1)).collect());
        assert_eq!(write(btc, of(&[7, 3, 5])).await.inserted, 3);
        let again = write(btc, of(&[5, 3, 9, 7, 9, 4])).await;
        assert_eq!((again.inserted, again.existing), (2, 4));
        assert_eq!(times(&*subject, btc).await, [3, 4, 5, 7, 9]);

        let of = |bars: [(i64, u64); 3]| {
            Records::Candles(bars.map(|(minute, n)| bar("BTC", minute * 60_000, n, 2)).to_vec())
        };
        assert_eq!(write(bars, of([(3, 5), (1, 5), (2, 5)])).await.inserted, 3);
        let worse = write(bars, of([(2, 4), (3, 4), (1, 4)])).await;
        assert_eq!((worse.inserted, worse.existing), (0, 3), "versions with fewer trades");
    });
}

/// A minute that is doubted piece by piece, again and again, is one gap; what is filled of it is one as well.
pub fn a_minute_in_doubt_is_one_gap(new: New<'_>) {
    let subject = new();
    run(async {
        let (deals, bars) = (trades("BTC"), minutes("BTC"));
        let store = holder(&*subject, &[deals, bars]).await;
        let claim = epoch(store.token(), 1);
        let at = |n: i64| Records::Trades((0..=n).map(|n| trade("BTC", 10 * n, 1)).collect());
        commit(&store, store.token(), deals, live(claim, at(20), span(0, 200))).await.unwrap();
        let doubt =
            |from: i64, to: i64| Change::Doubted { span: span(10 * from, 10 * to), cause: Cause::Silence };
        let pieces = |range: std::ops::Range<i64>| range.map(|n| doubt(n, n + 1)).collect::<Vec<_>>();
        let gaps = async |stream| {
            let gaps = subject.inspect().await.unwrap().gaps(Some(stream)).await.unwrap();
            gaps.into_iter().map(|gap| (gap.span, gap.state)).collect::<Vec<_>>()
        };
        let audit = async || subject.inspect().await.unwrap().audit().await.unwrap().problems;
        use GapState::{Backfilled, Open};
        // In one batch, in another one, the same once more, and as one piece.
        for changes in [pieces(3..7), pieces(7..9), pieces(4..8), vec![doubt(3, 9)]] {
            commit(&store, store.token(), deals, changes).await.unwrap();
        }
        assert_eq!(gaps(deals).await, [(span(30, 90), Open)]);
        assert_eq!(audit().await, []);
        // Another cause, and a piece apart.
        let handover = Change::Doubted { span: span(90, 100), cause: Cause::Handover };
        commit(&store, store.token(), deals, vec![handover, doubt(12, 13)]).await.unwrap();
        let apart = [(span(90, 100), Open), (span(120, 130), Open)];
        assert_eq!(gaps(deals).await, [&[(span(30, 90), Open)][..], &apart].concat());

        // What a ring brings of it, piece by piece.
        let ring = epoch(store.token(), 2);
        let fill = |from: i64, to: i64| filled(ring, span(10 * from, 10 * to), at(20));
        commit(&store, store.token(), deals, vec![fill(3, 4), fill(4, 6)]).await.unwrap();
        let expected = [(span(30, 60), Backfilled), (span(60, 90), Open)];
        assert_eq!(gaps(deals).await, [&expected[..], &apart].concat());
        commit(&store, store.token(), deals, pieces(4..6)).await.unwrap();
        let expected = [(span(30, 40), Backfilled), (span(40, 90), Open)];
        assert_eq!(gaps(deals).await, [&expected[..], &apart].concat());
        assert_eq!(audit().await, []);
        assert_eq!(times(&*subject, deals).await.len(), 21, "rows stay");

        let minute = |n: i64| n * 60_000;
        let of = |range: std::ops::Range<i64>| {
            Records::Candles(range.map(|n| bar("BTC", minute(n), 3, 5)).collect())
        };
        let mut changes = live(claim, of(0..9), span(0, minute(9)));
        changes.push(Change::Final { span: span(0, minute(9)) });
        let doubt = |n: i64| Change::Doubted { span: span(minute(n), minute(n + 1)), cause: Cause::Silence };
        changes.extend([doubt(4), doubt(2), doubt(3), doubt(2)]);
        commit(&store, store.token(), bars, changes).await.unwrap();
        assert_eq!(gaps(bars).await, [(span(minute(2), minute(5)), Open)]);
        assert_eq!(audit().await, []);
    });
}

/// A key that is there keeps what came first; what says something else is counted apart, and what says the same, however it is
/// written, is not.
pub fn what_says_something_else_under_a_known_key_is_counted_apart(new: New<'_>) {
    let subject = new();
    run(async {
        let (deals, bars, funding) = (trades("BTC"), minutes("BTC"), StreamKey::Funding(coin("BTC")));
        let store = holder(&*subject, &[deals, bars, funding]).await;
        let claim = epoch(store.token(), 1);
        let count = async |stream: StreamKey, change: Change| {
            let ack = commit(&store, store.token(), stream, vec![change]).await.unwrap();
            assert!(ack.differing.keys().all(|of| *of == stream));
            (ack.inserted, ack.existing, ack.differing.values().sum::<u64>())
        };
        let deal = |tid| trade("BTC", 5, tid);
        let write = |rows_of: Vec<_>| rows(claim, Records::Trades(rows_of));
        let other = Trade { sz: decimal("7"), ..deal(1) };
        assert_eq!(count(deals, write(vec![deal(1), other, deal(2)])).await, (2, 0, 1), "in one batch");
        assert_eq!(count(deals, write(vec![deal(1), deal(3)])).await, (1, 1, 0));
        let zero = Trade { px: decimal("66410.00"), ..deal(1) };
        assert_eq!(count(deals, write(vec![zero])).await, (0, 1, 0), "the same number");
        for other in [other, Trade { px: decimal("1"), ..deal(1) }, Trade { side: Side::Buy, ..deal(1) }] {
            assert_eq!(count(deals, write(vec![other])).await, (0, 0, 1));
        }
        let kept = Records::Trades(vec![deal(1), deal(2), deal(3)]);
        assert_eq!(stored(&*subject, deals).await, kept, "what came first stays");

        // Versions of a bar compete until it is final; then fewer trades are an older version.
        let version = |trades, close| rows(claim, Records::Candles(vec![bar("BTC", 0, trades, close)]));
        for (trades, close, expected) in [(3, 1, (1, 0, 0)), (5, 2, (1, 0, 0)), (4, 2, (0, 1, 0))] {
            assert_eq!(count(bars, version(trades, close)).await, expected);
        }
        count(bars, Change::Final { span: span(0, 60_000) }).await;
        for (trades, close, expected) in
            [(5, 2, (0, 1, 0)), (4, 1, (0, 1, 0)), (5, 3, (0, 0, 1)), (6, 2, (0, 0, 1))]
        {
            assert_eq!(count(bars, version(trades, close)).await, expected, "{trades} {close}");
        }
        let first = settlement("BTC", 59);
        let settled = |row| rows(claim, Records::Funding(vec![row]));
        assert_eq!(count(funding, settled(first)).await, (1, 0, 0));
        assert_eq!(count(funding, settled(first)).await, (0, 1, 0));
        let other = Funding { rate: decimal("0.5"), ..first };
        assert_eq!(count(funding, settled(other)).await, (0, 0, 1));
    });
}

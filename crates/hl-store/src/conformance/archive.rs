use std::sync::Arc;

use hl_core::archive::{Claimed, Day, Part, Removed, StoredRows};
use hl_core::ledger::{Change, Span};
use hl_core::store::{RECENT_MS, Store};
use hl_core::time::DAY_MS;
use hl_core::{Epoch, Interval, Records, StreamKey, TimeMs};

use super::fixture::{
    bar, coin, commit, crash, epoch, every_kind, holder, live, minutes, rows, run, settlement, span, stored,
    times, trade, trades,
};
use super::{New, Subject};

const FIRST: TimeMs = TimeMs(0);

fn day(number: i64) -> Day {
    Day::of(TimeMs(number * DAY_MS))
}

fn part(stream: StreamKey, epoch: Epoch, rows: &StoredRows) -> Part {
    Part {
        stream,
        day: day(0),
        path: Some("stream=x/part.parquet".to_owned()),
        rows: rows.len() as u64,
        first: TimeMs(1),
        last: TimeMs(59),
        bytes: 1_234,
        checksum: "ab".to_owned(),
        epoch,
        written_at: TimeMs(77),
    }
}

/// Everything that a store has of the first day.
async fn all(store: &dyn Store, stream: StreamKey) -> StoredRows {
    store.rows_in(stream, day(0).span(), None, 1_000).await.unwrap()
}

/// A day belongs to one living session; the dead and those who gave it back hold nothing, and an earlier claim of the
/// same session does nothing any more.
pub fn a_day_is_claimed_by_one_living_session(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let (first, second) = (subject.open().await.unwrap(), subject.open().await.unwrap());
        let (ours, theirs) = (epoch(first.token(), 1), epoch(second.token(), 1));
        assert_eq!(first.claim_day(btc, day(0), ours).await.unwrap(), Claimed::Yes);
        let elsewhere = second.claim_day(btc, day(0), theirs).await.unwrap();
        assert!(matches!(elsewhere, Claimed::Elsewhere(holder) if holder.token == first.token()));
        assert_eq!(second.claim_day(btc, day(1), theirs).await.unwrap(), Claimed::Yes, "another day");
        assert_eq!(second.claim_day(trades("ETH"), day(0), theirs).await.unwrap(), Claimed::Yes);

        let none = Arc::new(StoredRows::none(btc));
        let lost = second.commit_part((btc, day(0), theirs), None, none.clone()).await.unwrap();
        assert_eq!(lost, Removed::ClaimLost);
        let later = epoch(first.token(), 2);
        assert_eq!(first.claim_day(btc, day(0), later).await.unwrap(), Claimed::Yes, "again");
        let of = async |epoch| first.commit_part((btc, day(0), epoch), None, none.clone()).await.unwrap();
        assert_eq!(of(ours).await, Removed::ClaimLost, "the later claim counts");
        assert_eq!(of(later).await, Removed::Done { rows: 0, changed: 0 });
        first.unclaim_day(btc, day(0), ours).await.unwrap();
        assert_eq!(of(later).await, Removed::Done { rows: 0, changed: 0 });
        first.unclaim_day(btc, day(0), later).await.unwrap();
        assert_eq!(second.claim_day(btc, day(0), theirs).await.unwrap(), Claimed::Yes, "given back");
        crash(&*subject, second).await;
        assert_eq!(first.claim_day(btc, day(0), later).await.unwrap(), Claimed::Yes, "the dead hold nothing");
        first.close().await.unwrap();
        let third = subject.open().await.unwrap();
        let claim = epoch(third.token(), 1);
        assert_eq!(third.claim_day(btc, day(0), claim).await.unwrap(), Claimed::Yes, "closed");
    });
}

/// Whole days that are over, below the edge by as much as a live claim looks back, of bars the final ones; page by page.
pub fn settled_rows_of_whole_days_are_archived(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, bars, old) = (trades("BTC"), minutes("BTC"), StreamKey::Funding(coin("BTC")));
        let store = holder(&*subject, &[btc, bars, old]).await;
        let claim = epoch(store.token(), 1);
        let at = |n: i64, ms: i64| n * DAY_MS + ms;
        let some = vec![
            trade("BTC", at(0, 5), 9),
            trade("BTC", at(0, 5), 7),
            trade("BTC", at(0, 8), 1),
            trade("BTC", at(1, 0), 1),
            trade("BTC", at(2, RECENT_MS), 1),
        ];
        let changes = live(claim, Records::Trades(some), span(0, at(2, RECENT_MS - 1)));
        commit(&store, store.token(), btc, changes).await.unwrap();
        let days = async |stream, before| store.settled_days(stream, TimeMs(before)).await.unwrap();
        assert_eq!(days(btc, i64::MAX).await, [(day(0), 3)], "the second day is too near to the edge");
        commit(&store, store.token(), btc, vec![Change::Edge(TimeMs(at(2, RECENT_MS)))]).await.unwrap();
        assert_eq!(days(btc, i64::MAX).await, [(day(0), 3), (day(1), 1)]);
        assert_eq!(days(btc, at(2, 0)).await, [(day(0), 3), (day(1), 1)]);
        assert_eq!(days(btc, at(2, -1)).await, [(day(0), 3)], "a day that is not over");

        let two = vec![bar("BTC", 0, 2, 2), bar("BTC", 60_000, 2, 2)];
        let mut changes = live(claim, Records::Candles(two), span(0, at(3, 0)));
        changes.push(Change::Final { span: span(0, 60_000) });
        commit(&store, store.token(), bars, changes).await.unwrap();
        assert_eq!(days(bars, i64::MAX).await, [(day(0), 1)], "final ones");
        assert_eq!(all(&*store, bars).await.records, Records::Candles(vec![bar("BTC", 0, 2, 2)]));
        commit(&store, store.token(), old, vec![rows(claim, Records::Funding(vec![settlement("BTC", 7)]))])
            .await
            .unwrap();
        assert_eq!(days(old, i64::MAX).await, [(day(0), 1)], "without an edge age alone counts");

        let (mut after, mut paged) = (None, Vec::new());
        loop {
            let page = store.rows_in(btc, day(0).span(), after, 2).await.unwrap();
            let Some(last) = page.records.keys().last().copied() else { break };
            paged.extend(page.records.keys());
            after = Some(last);
        }
        assert_eq!(
            paged.iter().map(|key| (key.time.0, key.tid)).collect::<Vec<_>>(),
            [(5, 7), (5, 9), (8, 1)]
        );
        assert_eq!(store.known_streams().await.unwrap(), [bars, old, btc]);
    });
}

/// The part and the removal are one; streams count both.
pub fn a_part_is_recorded_with_the_rows_that_it_takes(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        let claim = epoch(store.token(), 1);
        let some = Records::Trades((0..5).map(|time| trade("BTC", time, 1)).collect());
        commit(&store, store.token(), btc, live(claim, some, span(0, 5))).await.unwrap();
        let own = epoch(store.token(), 2);
        assert_eq!(store.claim_day(btc, day(0), own).await.unwrap(), Claimed::Yes);
        let page = Arc::new(store.rows_in(btc, day(0).span(), None, 3).await.unwrap());
        let recorded = part(btc, own, &page);
        let done = store.commit_part((btc, day(0), own), Some(recorded.clone()), page.clone()).await.unwrap();
        assert_eq!(done, Removed::Done { rows: 3, changed: 0 });
        let deleted = Part { path: None, ..recorded.clone() };
        let rest = Arc::new(all(&*store, btc).await);
        assert_eq!(rest.len(), 2);
        let done = store.commit_part((btc, day(0), own), Some(deleted.clone()), rest).await.unwrap();
        assert_eq!(done, Removed::Done { rows: 2, changed: 0 });
        assert_eq!(store.day_parts(btc, day(0)).await.unwrap(), [recorded.clone(), deleted.clone()]);
        assert_eq!(store.day_parts(btc, day(1)).await.unwrap(), []);
        let inspect = subject.inspect().await.unwrap();
        assert_eq!(inspect.parts(None, Span::EVER).await.unwrap(), [recorded.clone(), deleted]);
        assert_eq!(inspect.parts(Some(trades("ETH")), Span::EVER).await.unwrap(), []);
        assert_eq!(inspect.parts(None, day(1).span()).await.unwrap(), []);
        let row = inspect.streams().await.unwrap().into_iter().find(|row| row.stream == btc).unwrap();
        assert_eq!(
            (row.rows, row.archived, row.newest),
            (3, 3, Some(recorded.last)),
            "deleted rows are gone"
        );
        assert!(stored(&*subject, btc).await.is_empty());
        // A later backfill brings a row again: it is a row like any other.
        let again = rows(claim, Records::Trades(vec![trade("BTC", 2, 1)]));
        commit(&store, store.token(), btc, vec![again]).await.unwrap();
        assert_eq!(times(&*subject, btc).await, [2]);
        let audit = inspect.audit().await.unwrap();
        assert_eq!((audit.problems, audit.unread), (vec![], 3));
    });
}

/// A row is removed only as it was read: what was improved, doubted or written by another claim meanwhile stays.
pub fn what_changed_meanwhile_stays(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let bars = [0, 1, 2].map(|n| bar("BTC", n * 60_000, 2, 2));
        let mut changes = live(claim, Records::Candles(bars.to_vec()), span(0, 180_000));
        changes.push(Change::Final { span: span(0, 180_000) });
        commit(&store, store.token(), stream, changes).await.unwrap();
        let own = epoch(store.token(), 2);
        store.claim_day(stream, day(0), own).await.unwrap();
        let page = Arc::new(all(&*store, stream).await);
        assert_eq!(page.len(), 3);
        let cause = hl_core::ledger::Cause::Undecodable;
        let doubted = Change::Doubted { span: span(60_000, 120_000), cause };
        commit(&store, store.token(), stream, vec![doubted]).await.unwrap();
        let done =
            store.commit_part((stream, day(0), own), Some(part(stream, own, &page)), page.clone()).await;
        assert_eq!(done.unwrap(), Removed::Done { rows: 2, changed: 1 });
        let done = store.commit_part((stream, day(0), own), None, page).await.unwrap();
        assert_eq!(done, Removed::Done { rows: 0, changed: 3 }, "what is gone is not there as it was either");
        assert!(times(&*subject, stream).await.is_empty(), "the doubted bar is not final");
        commit(&store, store.token(), stream, vec![Change::Final { span: span(0, 180_000) }]).await.unwrap();
        assert_eq!(times(&*subject, stream).await, [60_000]);
    });
}

/// Rows of every kind are read with their claims, and removed.
pub fn rows_of_every_kind_leave_as_they_came(new: New<'_>) {
    let subject = new();
    run(async {
        let (_, everything) = every_kind();
        let streams: Vec<_> = everything.iter().map(|(stream, _)| *stream).collect();
        let store = holder(&*subject, &streams).await;
        let claim = epoch(store.token(), 1);
        for (stream, records) in everything {
            let mut changes = vec![rows(claim, records.clone())];
            if matches!(stream, StreamKey::Candle(..)) {
                changes.push(Change::Final { span: span(0, 1) });
            }
            commit(&store, store.token(), stream, changes).await.unwrap();
            let all = all(&*store, stream).await;
            assert_eq!(all.records, records, "{stream}");
            assert!(all.provenance.iter().all(|from| from.epoch == claim), "{stream}");
            let inspect = subject.inspect().await.unwrap();
            assert_eq!(inspect.stored_rows(stream, span(0, 1_000)).await.unwrap(), all, "{stream}");
            for (at, key) in records.keys().into_iter().enumerate() {
                let rest = store.rows_in(stream, day(0).span(), Some(key), 100).await.unwrap();
                assert_eq!(rest.len(), records.len() - at - 1, "{stream} after {key:?}");
            }
            store.claim_day(stream, day(0), claim).await.unwrap();
            let done = store.commit_part((stream, day(0), claim), None, Arc::new(all)).await.unwrap();
            assert_eq!(done, Removed::Done { rows: records.len() as u64, changed: 0 }, "{stream}");
            assert!(stored(&*subject, stream).await.is_empty(), "{stream}");
        }
    });
}

/// Of a day of which something was archived the store does not know every bar: it says nothing of them.
pub fn archived_bars_are_not_audited(new: New<'_>) {
    let subject: Box<dyn Subject> = new();
    run(async {
        let stream = StreamKey::Candle(coin("BTC"), Interval::H1);
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let covered =
            Change::Covered { epoch: claim, origin: hl_core::Origin::Ws, span: span(0, 2 * DAY_MS) };
        commit(&store, store.token(), stream, vec![covered]).await.unwrap();
        let bars = async || store.covered_bars(stream, span(0, 2 * DAY_MS)).await.unwrap();
        assert_eq!(bars().await.len(), 48);
        store.claim_day(stream, day(0), claim).await.unwrap();
        let none = StoredRows::none(stream);
        let recorded = part(stream, claim, &none);
        store.commit_part((stream, day(0), claim), Some(recorded), Arc::new(none)).await.unwrap();
        assert_eq!(bars().await.first().map(|(bar, _)| *bar), Some(FIRST + DAY_MS));
    });
}

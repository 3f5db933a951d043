use hl_core::ledger::{Cause, Change};
use hl_core::record::MarketStatus;
use hl_core::store::{RECENT_MS, Recent, StoreError};
use hl_core::{Records, StreamKey, TimeMs};

use super::New;
use super::fixture::{
    coin, commit, crash, epoch, filled, holder, live, market, minutes, run, span, trade, trades,
};

/// A stream belongs to one session at a time; releasing, closing and dying free it, and tokens only grow.
pub fn a_lease_is_held_until_its_holder_lets_go_or_dies(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, eth) = (trades("BTC"), trades("ETH"));
        let first = holder(&*subject, &[btc, eth]).await;
        let second = subject.open().await.unwrap();
        assert!(first.token() < second.token());

        let leases = second.lease(&[btc, eth]).await.unwrap();
        assert!(leases.granted.is_empty());
        assert_eq!(
            leases.held.iter().map(|(s, h)| (*s, h.token)).collect::<Vec<_>>(),
            [(btc, first.token()), (eth, first.token())]
        );
        assert_eq!(first.lease(&[btc]).await.unwrap().granted.len(), 1, "a holder may ask again");

        first.release(&[btc]).await.unwrap();
        let leases = second.lease(&[btc, eth]).await.unwrap();
        assert_eq!(leases.granted.iter().map(|s| s.stream).collect::<Vec<_>>(), [btc]);
        assert_eq!(leases.held.len(), 1);
        let inspect = subject.inspect().await.unwrap();
        let living: Vec<_> = inspect.holders().await.unwrap().iter().map(|h| h.token).collect();
        assert_eq!(living, [first.token(), second.token()]);

        crash(&*subject, first).await;
        assert_eq!(second.lease(&[eth]).await.unwrap().granted.len(), 1, "the dead hold nothing");
        let living: Vec<_> = inspect.holders().await.unwrap().iter().map(|h| h.token).collect();
        assert_eq!(living, [second.token()]);

        second.close().await.unwrap();
        let third = holder(&*subject, &[btc, eth]).await;
        assert!(third.token() > second.token());
    });
}

/// An end stands until the lease is taken again, and is fenced as everything else.
pub fn a_stream_that_ended_goes_on_with_its_next_lease(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, eth) = (trades("BTC"), trades("ETH"));
        let store = holder(&*subject, &[btc, eth]).await;
        let rows = Records::Trades(vec![trade("BTC", 5, 9), trade("BTC", 7, 3)]);
        let mut changes = live(epoch(store.token(), 1), rows, span(5, 7));
        changes.push(Change::Ended(TimeMs(8)));
        commit(&store, store.token(), btc, changes).await.unwrap();
        let rows = Records::Trades(vec![trade("ETH", 5, 9)]);
        commit(&store, store.token(), eth, live(epoch(store.token(), 2), rows, span(5, 5))).await.unwrap();
        let inspect = subject.inspect().await.unwrap();
        let ended = async || {
            let rows = inspect.streams().await.unwrap();
            let leases = inspect.leases().await.unwrap();
            let of_rows: Vec<_> = rows.iter().map(|row| row.ended).collect();
            assert_eq!(of_rows, leases.iter().map(|lease| lease.ended).collect::<Vec<_>>());
            of_rows
        };
        assert_eq!(ended().await, [Some(TimeMs(8)), None]);
        assert_eq!(store.unended_streams().await.unwrap(), [eth]);
        store.release(&[btc]).await.unwrap();
        let late = commit(&store, store.token(), btc, vec![Change::Ended(TimeMs(9))]).await.unwrap();
        assert_eq!((late.superseded, ended().await), (vec![btc], vec![Some(TimeMs(8)), None]));

        let start = store.lease(&[btc]).await.unwrap().granted.remove(0);
        assert_eq!((start.edge, start.ended), (Some(TimeMs(7)), Some(TimeMs(8))));
        assert_eq!(ended().await, [None, None]);
        assert_eq!(store.unended_streams().await.unwrap(), [btc, eth]);
        assert_eq!(store.lease(&[btc]).await.unwrap().granted.remove(0).ended, None);
    });
}

/// Whoever takes over starts at the edge, and knows what is stored shortly before it.
pub fn a_lease_begins_at_the_stored_edge(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = subject.open().await.unwrap();
        let start = store.lease(&[btc]).await.unwrap().granted.remove(0);
        assert_eq!((start.edge, start.recent), (None, Recent::default()));
        let rows = Records::Trades(vec![trade("BTC", 5, 9), trade("BTC", 7, 3), trade("BTC", 7, 1 << 49)]);
        commit(&store, store.token(), btc, live(epoch(store.token(), 1), rows, span(5, 7))).await.unwrap();
        commit(&store, store.token(), btc, vec![Change::Edge(TimeMs(6))]).await.unwrap();
        crash(&*subject, store).await;

        let next = subject.open().await.unwrap();
        let start = next.lease(&[btc]).await.unwrap().granted.remove(0);
        assert_eq!(start.edge, Some(TimeMs(7)), "an edge never goes back");
        let keys = vec![(TimeMs(5), 9), (TimeMs(7), 3), (TimeMs(7), 1 << 49)];
        assert_eq!(start.recent, Recent { since: Some(TimeMs(5)), is_all: true, keys, ..Recent::default() });
    });
}

/// What was stored last of each market is read with the lease, however old it is; what has settled does not come back.
pub fn a_lease_brings_the_last_row_of_each_market(new: New<'_>) {
    use MarketStatus::{Delisted, Gone, Listed, Settled};
    let subject = new();
    run(async {
        let (btc, eth, old) = (coin("BTC"), coin("ETH"), coin("#12090"));
        let store = holder(&*subject, &[StreamKey::Markets]).await;
        let far = 9 * RECENT_MS;
        let rows = vec![
            market(btc, 5, Listed),
            market(eth, 5, Listed),
            market(old, 5, Listed),
            market(eth, 7, Gone),
            market(old, far, Settled),
            market(eth, far, Delisted),
        ];
        let last = vec![rows[0].clone(), rows[5].clone()];
        let changes = live(epoch(store.token(), 1), Records::Markets(rows), span(5, far));
        commit(&store, store.token(), StreamKey::Markets, changes).await.unwrap();
        crash(&*subject, store).await;

        let next = subject.open().await.unwrap();
        let start = next.lease(&[StreamKey::Markets]).await.unwrap().granted.remove(0);
        assert_eq!(start.edge, Some(TimeMs(far)));
        assert_eq!(start.recent, Recent { markets: last, ..Recent::default() });
    });
}

/// What is handed over of the past is known without a hole, and does not reach back for ever.
pub fn the_recent_past_is_continuous(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        let far = 2 * RECENT_MS;
        let write = async |claim: u32, times: &[i64], covered| {
            let rows = Records::Trades(times.iter().map(|time| trade("BTC", *time, 1)).collect());
            let changes = live(epoch(store.token(), claim), rows, covered);
            commit(&store, store.token(), btc, changes).await.unwrap();
        };
        let gap = async |span| {
            let opened = Change::GapOpened { span, cause: Cause::Outage };
            commit(&store, store.token(), btc, vec![opened]).await.unwrap();
        };
        write(1, &[10, far], span(10, far)).await;
        gap(span(far, far + 50)).await;
        write(2, &[far + 50, far + 60], span(far + 50, far + 60)).await;
        let start = store.lease(&[btc]).await.unwrap().granted.remove(0);
        let keys = vec![(TimeMs(far), 1), (TimeMs(far + 50), 1), (TimeMs(far + 60), 1)];
        let since = Some(TimeMs(far + 60 - RECENT_MS));
        assert_eq!(
            start.recent,
            Recent { since, is_all: false, keys, gaps: vec![span(far, far + 50)], ..Recent::default() }
        );
        // What is given up stays a gap, and is said to be.
        let lost = Change::GapLost { span: span(far, far + 20) };
        commit(&store, store.token(), btc, vec![lost]).await.unwrap();
        let start = store.lease(&[btc]).await.unwrap().granted.remove(0);
        assert_eq!(start.recent.gaps, [span(far, far + 20), span(far + 20, far + 50)]);
        assert_eq!(start.recent.given_up, Some(TimeMs(far + 20)));

        // Of states that bear the exchange's time, what is covered and what is not; of other kinds nothing.
        for (stream, is_read) in
            [("bbo/BTC", true), ("book/BTC", true), ("mids", false), ("context/BTC", false)]
        {
            let stream: StreamKey = stream.parse().unwrap();
            store.lease(&[stream]).await.unwrap();
            let mut changes = live(epoch(store.token(), 3), Records::Trades(Vec::new()), span(10, 40));
            changes.retain(|change| !matches!(change, Change::Rows { .. }));
            changes.push(Change::GapOpened { span: span(20, 30), cause: Cause::Outage });
            commit(&store, store.token(), stream, changes).await.unwrap();
            let start = store.lease(&[stream]).await.unwrap().granted.remove(0);
            let recent = Recent {
                since: Some(TimeMs(10)),
                is_all: true,
                gaps: vec![span(20, 30)],
                // The exchange has no past of them.
                given_up: Some(TimeMs(30)),
                ..Recent::default()
            };
            assert_eq!(start.recent, if is_read { recent } else { Recent::default() }, "{stream}");
        }
    });
}

/// A backfill may come before the first live claim.
pub fn a_stream_that_only_backfills_touched_begins_where_its_ledger_ends(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = minutes("BTC");
        let store = subject.open().await.unwrap();
        let claim = epoch(store.token(), 1);
        store.request_backfill(stream, span(0, 120_000), Cause::NotCollected).await.unwrap();
        assert_eq!(store.claim_gaps(stream, span(0, 60_000), claim).await.unwrap(), [span(0, 60_000)]);
        let proven = filled(claim, span(0, 60_000), Records::Candles(vec![]));
        commit(&store, store.token(), stream, vec![proven]).await.unwrap();
        let start = store.lease(&[stream]).await.unwrap().granted.remove(0);
        assert_eq!(start.edge, Some(TimeMs(120_000)));
    });
}

/// After closing nothing is written any more, and the session is gone.
pub fn a_closed_session_answers_nothing(new: New<'_>) {
    let subject = new();
    run(async {
        let store = holder(&*subject, &[trades("BTC")]).await;
        store.close().await.unwrap();
        assert!(matches!(store.lease(&[trades("BTC")]).await, Err(StoreError::Closed)));
        assert!(matches!(store.note("x").await, Err(StoreError::Closed)));
        assert!(matches!(store.close().await, Err(StoreError::Closed)));
        assert!(subject.inspect().await.unwrap().holders().await.unwrap().is_empty());
    });
}

/// A note is what was put last, for every session.
pub fn notes_are_kept(new: New<'_>) {
    let subject = new();
    run(async {
        let store = subject.open().await.unwrap();
        assert_eq!(store.note("universe").await.unwrap(), None);
        store.put_note("universe", "[\"BTC\"]").await.unwrap();
        store.put_note("universe", "[\"BTC\",\"ETH\"]").await.unwrap();
        let other = subject.open().await.unwrap();
        assert_eq!(other.note("universe").await.unwrap().as_deref(), Some("[\"BTC\",\"ETH\"]"));
        let inspect = subject.inspect().await.unwrap();
        assert_eq!(inspect.note("universe").await.unwrap().as_deref(), Some("[\"BTC\",\"ETH\"]"));
        assert_eq!(inspect.note("status").await.unwrap(), None);
    });
}

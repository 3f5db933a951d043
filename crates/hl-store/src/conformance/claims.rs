use std::sync::Arc;

use hl_core::ledger::{Batch, Became, Cause, Change, GapState, Requested};
use hl_core::record::Mid;
use hl_core::row::Arrival;
use hl_core::stream::History;
use hl_core::{Decimal, Records, StreamKey, TimeMs};

use super::New;
use super::fixture::{
    bar, coin, commit, crash, epoch, every_kind, filled, holder, live, minutes, run, settlement, span, times,
    trade, trades,
};

/// Below the edge, what is neither covered nor a gap becomes a gap; above it nothing does.
pub fn what_is_asked_for_is_what_is_unknown(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        assert_eq!(
            store.request_backfill(btc, span(0, 50), Cause::NotCollected).await.unwrap(),
            Requested::default()
        );
        let gaps = async || {
            let gaps = subject.inspect().await.unwrap().gaps(Some(btc)).await.unwrap();
            gaps.into_iter().map(|gap| (gap.span, gap.cause)).collect::<Vec<_>>()
        };
        assert_eq!(gaps().await, [], "a living holder is about to say where the past ends");
        let claim = epoch(store.token(), 1);
        let row = |time| Records::Trades(vec![trade("BTC", time, 1)]);
        let mut changes = live(claim, row(10), span(10, 20));
        changes.push(Change::GapOpened { span: span(20, 24), cause: Cause::Outage });
        changes.extend(live(claim, row(30), span(24, 30)));
        commit(&store, store.token(), btc, changes).await.unwrap();

        let other = subject.open().await.unwrap();
        other.request_backfill(btc, span(12, 99), Cause::NotCollected).await.unwrap();
        assert_eq!(gaps().await, [(span(20, 24), Cause::Outage)]);
        let asked = other.request_backfill(btc, span(5, 99), Cause::NotCollected).await.unwrap();
        let opened: Vec<_> = asked.gaps.iter().map(|gap| (gap.span, gap.cause, gap.became)).collect();
        assert_eq!(opened, [(span(5, 10), Cause::NotCollected, Became::Opened)]);
        other.request_backfill(btc, span(0, 15), Cause::NotCollected).await.unwrap();
        assert_eq!(
            gaps().await,
            [
                (span(0, 5), Cause::NotCollected),
                (span(5, 10), Cause::NotCollected),
                (span(20, 24), Cause::Outage)
            ]
        );
        let reached = other.request_backfill(btc, span(30, 40), Cause::NotCollected).await.unwrap();
        assert_eq!(gaps().await.len(), 3, "above the edge nothing is missing yet");
        assert_eq!(reached, Requested { up_to: Some(TimeMs(30)), gaps: Vec::new() }, "up to the edge");
    });
}

/// What nobody had asked for and the exchange no longer has is no loss where it lies before all that is stored.
pub fn what_lies_before_history_is_told_from_what_was_lost(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = StreamKey::Funding(coin("BTC"));
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let opened = |from, to, cause| Change::GapOpened { span: span(from, to), cause };
        let lost = |from, to| Change::GapLost { span: span(from, to) };
        let row = |time| Records::Funding(vec![settlement("BTC", time)]);
        let changes = vec![
            opened(0, 40, Cause::NotCollected),
            lost(0, 30),
            filled(claim, span(30, 40), row(30)),
            opened(40, 60, Cause::NotCollected),
            opened(60, 70, Cause::Outage),
            lost(40, 70),
            Change::Edge(TimeMs(70)),
        ];
        let gaps = async || {
            let inspect = subject.inspect().await.unwrap();
            let gaps = inspect.gaps(Some(stream)).await.unwrap();
            let lost = gaps.into_iter().filter(|gap| gap.state == GapState::Unrecoverable);
            (lost.map(|gap| (gap.span, gap.cause)).collect::<Vec<_>>(), inspect.unfilled().await.unwrap())
        };
        commit(&store, store.token(), stream, changes.clone()).await.unwrap();
        let expected = [
            (span(0, 30), Cause::BeforeHistory),
            (span(40, 60), Cause::NotCollected),
            (span(60, 70), Cause::Outage),
        ];
        assert_eq!(gaps().await, (expected.to_vec(), [(stream, 2)].into()), "a hole between is one");
        commit(&store, store.token(), stream, changes).await.unwrap();
        assert_eq!(gaps().await.0, expected, "the same batch again changes nothing");
        // More of the past is asked for, and is not there either.
        assert_eq!(
            store.request_backfill(stream, span(0, 99), Cause::NotCollected).await.unwrap().up_to,
            Some(TimeMs(70))
        );
        assert_eq!(gaps().await.0, expected);
    });
}

/// What the exchange has and the decoder cannot read is a gap of its own, between what is filled; it stays open.
pub fn what_cannot_be_read_is_a_gap_of_its_own(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = StreamKey::Funding(coin("BTC"));
        let store = holder(&*subject, &[stream]).await;
        let claim = epoch(store.token(), 1);
        let opened = |from, to, cause| Change::GapOpened { span: span(from, to), cause };
        let row = |time| Records::Funding(vec![settlement("BTC", time)]);
        let changes = vec![
            opened(0, 90, Cause::NotCollected),
            filled(claim, span(0, 30), row(10)),
            Change::GapUnreadable { span: span(30, 40) },
            filled(claim, span(40, 60), row(50)),
            Change::Edge(TimeMs(90)),
        ];
        let gaps = async || {
            let gaps = subject.inspect().await.unwrap().gaps(Some(stream)).await.unwrap();
            let gaps = gaps.into_iter().filter(|gap| gap.state != GapState::Backfilled);
            gaps.map(|gap| (gap.span, gap.cause, gap.state)).collect::<Vec<_>>()
        };
        let expected = [
            (span(30, 40), Cause::Undecodable, GapState::Open),
            (span(60, 90), Cause::NotCollected, GapState::Open),
        ];
        for _ in 0..2 {
            commit(&store, store.token(), stream, changes.clone()).await.unwrap();
            assert_eq!(gaps().await, expected, "the same batch again changes nothing");
        }
        assert_eq!(times(&*subject, stream).await, [10, 50]);
        // Another collector that could not read more of it has no say in what is claimed.
        let open = [span(30, 40), span(60, 90)];
        assert_eq!(store.claim_gaps(stream, span(0, 90), claim).await.unwrap(), open);
        let other = subject.open().await.unwrap();
        let unreadable = Change::GapUnreadable { span: span(60, 70) };
        commit(&other, other.token(), stream, vec![unreadable]).await.unwrap();
        assert_eq!(gaps().await, expected);
        assert_eq!(store.claim_gaps(stream, span(0, 90), claim).await.unwrap(), open);
        store.unclaim(claim).await.unwrap();

        // A gap that begins where one of another cause ends is another gap.
        let more =
            vec![opened(90, 95, Cause::Undecodable), opened(95, 99, Cause::Outage), Change::Edge(TimeMs(99))];
        commit(&store, store.token(), stream, more).await.unwrap();
        let more = [
            (span(90, 95), Cause::Undecodable, GapState::Open),
            (span(95, 99), Cause::Outage, GapState::Open),
        ];
        assert_eq!(gaps().await, [expected, more].concat());

        // Another answer may be whole; what never was is given up by the name that it has.
        let changes = vec![filled(claim, span(30, 35), row(33)), Change::GapLost { span: span(35, 40) }];
        commit(&store, store.token(), stream, changes).await.unwrap();
        assert_eq!(gaps().await[0], (span(35, 40), Cause::Undecodable, GapState::Unrecoverable));
        assert_eq!(times(&*subject, stream).await, [10, 33, 50]);
        assert_eq!(subject.inspect().await.unwrap().audit().await.unwrap().problems, []);
    });
}

/// Two sessions never hold the same piece; what the dead held is free again.
pub fn claims_are_disjoint(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = StreamKey::Funding(coin("BTC"));
        let first = subject.open().await.unwrap();
        let second = subject.open().await.unwrap();
        first.request_backfill(stream, span(0, 100), Cause::NotCollected).await.unwrap();
        let (ours, theirs) = (epoch(first.token(), 1), epoch(second.token(), 1));
        assert_eq!(first.claim_gaps(stream, span(20, 50), ours).await.unwrap(), [span(20, 50)]);
        assert_eq!(
            second.claim_gaps(stream, span(0, 60), theirs).await.unwrap(),
            [span(0, 20), span(50, 60)]
        );
        assert_eq!(first.claim_gaps(stream, span(20, 50), ours).await.unwrap(), [span(20, 50)], "again");
        let aside = epoch(first.token(), 2);
        assert_eq!(first.claim_gaps(stream, span(0, 70), aside).await.unwrap(), [span(60, 70)]);

        // Only what is one's own is filled.
        let answer = Records::Funding((0..100).map(|time| settlement("BTC", time)).collect());
        let ack = commit(&second, second.token(), stream, vec![filled(theirs, span(0, 100), answer.clone())]);
        assert_eq!(ack.await.unwrap().inserted, 20 + 10 + 30, "its own pieces, and what nobody holds");
        first.unclaim(aside).await.unwrap();
        let open = async |store: &dyn hl_core::store::Store| store.open_gaps().await.unwrap();
        assert_eq!(open(&*first).await, [(stream, 2, span(20, 70))]);
        assert_eq!(second.claim_gaps(stream, span(0, 100), theirs).await.unwrap(), [span(60, 70)]);

        crash(&*subject, first).await;
        assert_eq!(
            second.claim_gaps(stream, span(0, 100), theirs).await.unwrap(),
            [span(20, 50), span(60, 70)],
            "the dead hold nothing"
        );
        commit(&second, second.token(), stream, vec![filled(theirs, span(0, 100), answer)]).await.unwrap();
        assert_eq!(open(&*second).await, []);
    });
}

/// Whole gaps are claimed without those that stick out: what is too young stays free for a promotion.
pub fn what_sticks_out_is_not_claimed_with_whole_gaps(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = trades("BTC");
        let store = holder(&*subject, &[stream]).await;
        let other = subject.open().await.unwrap();
        let gap = |from, to| Change::GapOpened { span: span(from, to), cause: Cause::Outage };
        let gaps = [(0, 5), (7, 10), (12, 12), (20, 30)].map(|(from, to)| gap(from, to));
        commit(&store, store.token(), stream, gaps.to_vec()).await.unwrap();
        let theirs = epoch(other.token(), 1);
        let claimed = other.claim_whole_gaps(stream, span(2, 25), theirs).await.unwrap();
        assert_eq!(claimed, [span(7, 10), span(12, 12)]);

        let answer = || Records::Trades((0..=30).map(|time| trade("BTC", time, 1)).collect());
        let ours = epoch(store.token(), 1);
        let young = vec![filled(ours, span(20, 30), answer())];
        assert_eq!(commit(&store, store.token(), stream, young).await.unwrap().inserted, 11);
        let claimed = vec![filled(ours, span(6, 12), answer())];
        assert_eq!(commit(&store, store.token(), stream, claimed).await.unwrap().inserted, 0);
        let gaps = subject.inspect().await.unwrap().gaps(Some(stream)).await.unwrap();
        let spans: Vec<_> = gaps.into_iter().map(|gap| gap.span).collect();
        assert_eq!(spans, [span(0, 5), span(7, 10), span(12, 12), span(20, 30)], "none is split");
        assert_eq!(other.claim_whole_gaps(stream, span(0, 12), theirs).await.unwrap().len(), 3);
        other.unclaim(theirs).await.unwrap();
        assert_eq!(store.claim_whole_gaps(stream, span(0, 12), ours).await.unwrap().len(), 3);
    });
}

/// The list of what a backfill could do.
pub fn open_gaps_are_counted(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, eth) = (trades("BTC"), trades("ETH"));
        let store = holder(&*subject, &[btc, eth]).await;
        let gap = |from, to| Change::GapOpened { span: span(from, to), cause: Cause::Sampled };
        commit(&store, store.token(), btc, vec![gap(1, 1), gap(5, 9), gap(12, 14)]).await.unwrap();
        commit(&store, store.token(), eth, vec![gap(2, 3), Change::GapLost { span: span(0, 9) }])
            .await
            .unwrap();
        assert_eq!(store.open_gaps().await.unwrap(), [(btc, 3, span(1, 14))]);
        let claim = epoch(store.token(), 1);
        let empty = filled(claim, span(0, 7), Records::Trades(vec![]));
        commit(&store, store.token(), btc, vec![empty]).await.unwrap();
        assert_eq!(store.open_gaps().await.unwrap(), [(btc, 2, span(7, 14))]);
    });
}

/// Gaps that share a border, or a piece with another cause, are told apart: each is there once, however often it is sent.
pub fn neighbouring_gaps_are_opened_once_each(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        let gap = |from, to, cause| Change::GapOpened { span: span(from, to), cause };
        let opened = [(5, 10, Cause::Outage), (10, 20, Cause::Outage), (20, 30, Cause::Outage)];
        let changes: Vec<_> = opened.iter().map(|(from, to, cause)| gap(*from, *to, *cause)).collect();
        for _ in 0..2 {
            commit(&store, store.token(), btc, changes.clone()).await.unwrap();
            let gaps = subject.inspect().await.unwrap().gaps(Some(btc)).await.unwrap();
            let gaps: Vec<_> = gaps.iter().map(|gap| (gap.span.from.0, gap.span.to.0, gap.cause)).collect();
            assert_eq!(gaps, opened);
        }
        commit(&store, store.token(), btc, vec![gap(10, 20, Cause::Sampled)]).await.unwrap();
        assert_eq!(store.open_gaps().await.unwrap(), [(btc, 4, span(5, 30))], "another cause is another gap");
    });
}

/// What the exchange has no past of is never waited for, and what is found all the same fills it.
pub fn a_gap_that_nothing_can_fill_is_never_open(new: New<'_>) {
    let subject = new();
    run(async {
        let (_, everything) = every_kind();
        let streams: Vec<_> = everything.iter().map(|(stream, _)| *stream).collect();
        let store = holder(&*subject, &streams).await;
        let opened = Change::GapOpened { span: span(10, 20), cause: Cause::Outage };
        let changes = streams.iter().map(|stream| (*stream, opened.clone())).collect();
        store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
        let inspect = subject.inspect().await.unwrap();
        let states = async |stream| {
            let gaps = inspect.gaps(Some(stream)).await.unwrap();
            gaps.into_iter().map(|gap| (gap.span, gap.state)).collect::<Vec<_>>()
        };
        let open: Vec<_> = store.open_gaps().await.unwrap().into_iter().map(|(stream, ..)| stream).collect();
        for stream in &streams {
            let is_open = open.contains(stream);
            assert_eq!(is_open, stream.spec().history != History::None, "{stream}");
            let state = if is_open { GapState::Open } else { GapState::Unrecoverable };
            assert_eq!(states(*stream).await, [(span(10, 20), state)], "{stream}");
        }

        let mids = StreamKey::MIDS;
        let claim = epoch(store.token(), 1);
        assert_eq!(store.claim_gaps(mids, span(10, 20), claim).await.unwrap(), [], "nothing to ask for");
        let mid = Mid { coin: coin("BTC"), time: TimeMs(15), px: Decimal::ONE, arrival: Arrival::default() };
        let ring = filled(claim, span(10, 20), Records::Mids(vec![mid]));
        assert_eq!(commit(&store, store.token(), mids, vec![ring]).await.unwrap().inserted, 1);
        assert_eq!(states(mids).await, [(span(10, 20), GapState::Backfilled)]);
        let doubt = Change::Doubted { span: span(15, 20), cause: Cause::Silence };
        commit(&store, store.token(), mids, vec![doubt]).await.unwrap();
        let (filled, lost) = (GapState::Backfilled, GapState::Unrecoverable);
        assert_eq!(states(mids).await, [(span(10, 15), filled), (span(15, 20), lost)]);
        assert_eq!(inspect.audit().await.unwrap().problems, []);
    });
}

/// Where a gap of bars goes on, it is one gap for as long as nothing has happened to it; a border block may hold rows.
pub fn a_gap_that_goes_on_is_one_gap(new: New<'_>) {
    let subject = new();
    run(async {
        let (btc, bars) = (trades("BTC"), minutes("BTC"));
        let store = holder(&*subject, &[btc, bars]).await;
        let opened = |from: i64, to: i64, cause| Change::GapOpened { span: span(from, to), cause };
        let gaps = async |stream| {
            let gaps = subject.inspect().await.unwrap().gaps(Some(stream)).await.unwrap();
            gaps.into_iter().map(|gap| (gap.span, gap.cause)).collect::<Vec<_>>()
        };
        let minute = 60_000;
        let parts = vec![opened(0, 2 * minute, Cause::Outage), opened(2 * minute, 3 * minute, Cause::Outage)];
        for part in &parts {
            commit(&store, store.token(), bars, vec![part.clone()]).await.unwrap();
        }
        let whole = (span(0, 3 * minute), Cause::Outage);
        assert_eq!(gaps(bars).await, [whole]);
        commit(&store, store.token(), bars, parts).await.unwrap();
        assert_eq!(gaps(bars).await, [whole], "a repeated batch changes nothing");

        let silent = opened(3 * minute, 4 * minute, Cause::Silence);
        commit(&store, store.token(), bars, vec![silent]).await.unwrap();
        assert_eq!(gaps(bars).await, [whole, (span(3 * minute, 4 * minute), Cause::Silence)]);
        let claim = epoch(store.token(), 1);
        store.claim_gaps(bars, span(3 * minute, 4 * minute), claim).await.unwrap();
        let behind = opened(4 * minute, 5 * minute, Cause::Silence);
        commit(&store, store.token(), bars, vec![behind]).await.unwrap();
        assert_eq!(gaps(bars).await.len(), 3, "somebody is at work on what lies before it");

        let fill = |from: i64, to: i64| {
            let records = (from..to).map(|at| bar("BTC", at * minute, 1, 1)).collect();
            filled(claim, span(from * minute, to * minute), Records::Candles(records))
        };
        for (from, to) in [(0, 1), (2, 3), (1, 2), (3, 4)] {
            commit(&store, store.token(), bars, vec![fill(from, to)]).await.unwrap();
        }
        let filled = gaps(bars).await;
        assert_eq!(filled[..2], [whole, (span(3 * minute, 4 * minute), Cause::Silence)], "page by page");
        assert_eq!(subject.inspect().await.unwrap().audit().await.unwrap().problems, []);

        let parts = vec![opened(1, 5, Cause::Outage), opened(5, 9, Cause::Outage)];
        commit(&store, store.token(), btc, parts).await.unwrap();
        assert_eq!(gaps(btc).await.len(), 2, "trades of the block between them may be stored");
    });
}

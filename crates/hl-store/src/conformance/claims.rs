use hl_core::ledger::{Cause, Change, GapState};
use hl_core::{Records, StreamKey, TimeMs};

use super::New;
use super::fixture::{
    coin, commit, crash, epoch, filled, holder, live, run, settlement, span, trade, trades,
};

/// Below the edge, what is neither covered nor a gap becomes a gap; above it nothing does.
pub fn what_is_asked_for_is_what_is_unknown(new: New<'_>) {
    let subject = new();
    run(async {
        let btc = trades("BTC");
        let store = holder(&*subject, &[btc]).await;
        assert_eq!(store.ask(btc, span(0, 50), Cause::NotCollected).await.unwrap(), None);
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
        other.ask(btc, span(12, 99), Cause::NotCollected).await.unwrap();
        assert_eq!(gaps().await, [(span(20, 24), Cause::Outage)]);
        other.ask(btc, span(5, 99), Cause::NotCollected).await.unwrap();
        other.ask(btc, span(0, 15), Cause::NotCollected).await.unwrap();
        assert_eq!(
            gaps().await,
            [
                (span(0, 5), Cause::NotCollected),
                (span(5, 10), Cause::NotCollected),
                (span(20, 24), Cause::Outage)
            ]
        );
        let reached = other.ask(btc, span(30, 40), Cause::NotCollected).await.unwrap();
        assert_eq!(gaps().await.len(), 3, "above the edge nothing is missing yet");
        assert_eq!(reached, Some(TimeMs(30)), "up to the edge");
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
        assert_eq!(store.ask(stream, span(0, 99), Cause::NotCollected).await.unwrap(), Some(TimeMs(70)));
        assert_eq!(gaps().await.0, expected);
    });
}

/// Two sessions never hold the same piece; what the dead held is free again.
pub fn claims_are_disjoint(new: New<'_>) {
    let subject = new();
    run(async {
        let stream = StreamKey::Funding(coin("BTC"));
        let first = subject.open().await.unwrap();
        let second = subject.open().await.unwrap();
        first.ask(stream, span(0, 100), Cause::NotCollected).await.unwrap();
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

//! Which minutes can be compared at all, and when a count is believed.

use super::*;

const TRADES: fn() -> StreamKey = || StreamKey::Trades(coin());

fn edge_at(run: &mut Run, time: i64) {
    run.0.note(0, TRADES(), &Change::Edge(TimeMs(time)));
}

#[test]
fn only_what_lies_behind_the_first_block_is_whole() {
    for (since, expected) in [
        (179_999, Verdict::Plausible),
        (180_000, Verdict::Stale),
        (239_999, Verdict::Stale),
        (240_000, Verdict::Unknown),
        (300_000, Verdict::Unknown),
    ] {
        let mut run = Run(Reconciler::new());
        run.trade(&[since]);
        run.trade(&[400_000]);
        assert_eq!(run.judge(3, 1), expected, "since {since}");
    }
}

#[test]
fn polled_trades_are_whole_up_to_the_edge_and_no_farther() {
    let mut run = Run(Reconciler::new());
    run.polled(&[50_000]);
    for (edge, expected) in
        [(239_999, Verdict::Stale), (240_000, Verdict::Plausible), (240_001, Verdict::Plausible)]
    {
        edge_at(&mut run, edge);
        assert_eq!(run.judge(3, 0), expected, "polled up to {edge}");
    }
}

#[test]
fn what_is_older_than_the_memory_is_not_judged() {
    for (edge, expected) in [(60_000 - 1, Verdict::Plausible), (60_000, Verdict::Unknown)] {
        let mut run = Run::calibrated();
        edge_at(&mut run, MEMORY_MS + edge);
        assert_eq!(run.judge(1, 6), expected, "at {edge}");
    }
}

#[test]
fn gaps_of_before_a_restart_are_known() {
    let mut run = Run(Reconciler::new());
    let recent = Recent {
        since: Some(TimeMs(50_000)),
        keys: vec![(TimeMs(50_000), 1), (TimeMs(200_000), 2)],
        gaps: vec![Span::new(TimeMs(70_000), TimeMs(80_000))],
        ..Recent::default()
    };
    run.0.start(&StreamStart { stream: TRADES(), edge: Some(TimeMs(200_000)), ended: None, recent });
    assert_eq!((run.judge(1, 0), run.judge(2, 0)), (Verdict::Stale, Verdict::Plausible));
}

#[test]
fn a_stream_that_went_to_somebody_else_is_not_judged() {
    let mut run = Run::calibrated();
    assert_eq!(run.judge(1, 6), Verdict::Plausible);
    run.0.forget(TRADES());
    assert_eq!(run.judge(1, 6), Verdict::Unknown);
}

#[test]
fn a_gap_holes_its_minute_until_it_is_filled_whole() {
    for (from, to, expected) in [
        (181_000, 183_000, Verdict::Stale),
        (183_000, 185_000, Verdict::Stale),
        (181_001, 184_999, Verdict::Stale),
        (181_000, 185_000, Verdict::Plausible),
        (180_500, 186_000, Verdict::Plausible),
    ] {
        let mut run = Run::calibrated();
        run.trade(&[181_000]);
        let span = Span::new(TimeMs(181_000), TimeMs(185_000));
        run.0.note(0, TRADES(), &Change::GapOpened { span, cause: Cause::Outage });
        run.trade(&[185_000]);
        run.trade(&[241_000]);
        let filled = Change::Filled {
            epoch: Epoch::default(),
            origin: Origin::Backfill,
            span: Span::new(TimeMs(from), TimeMs(to)),
            records: Records::Trades(vec![trade(183_000, 1)]),
        };
        run.0.note(0, TRADES(), &filled);
        assert_eq!(run.judge(3, 3), expected, "filled from {from} to {to}");
        if expected == Verdict::Plausible {
            assert_eq!(run.judge(3, 2), Verdict::Stale, "what was filled counts");
        }
    }
}

/// Minutes of bars that agree with their trades: so many trades each.
fn agreed(counts: &[i64]) -> Run {
    let mut run = Run(Reconciler::new());
    run.trade(&[50_000]);
    for (minute, count) in (1..).zip(counts) {
        for i in 1..=*count {
            run.trade(&[minute * 60_000 + i * 1_000]);
            run.bar(minute, i.unsigned_abs());
        }
        assert_eq!(run.finish(minute), []);
    }
    run
}

/// A minute of one trade whose bar counts two. Whether that is believed.
fn is_doubted(run: &mut Run, minute: i64) -> bool {
    run.trade(&[minute * 60_000 + 1_000]);
    run.bar(minute, 2);
    run.trade(&[minute * 60_000 + 50_000]);
    run.trade(&[minute * 60_000 + 60_001]);
    run.bar(minute, 3);
    !run.finish(minute).is_empty()
}

#[test]
fn a_count_is_believed_after_enough_bars_with_enough_trades() {
    for (counts, expected) in
        [(&[5, 5][..], true), (&[6, 5], true), (&[5, 4], false), (&[30], false), (&[3, 3, 3, 1], true)]
    {
        assert_eq!(is_doubted(&mut agreed(counts), 9), expected, "{counts:?}");
    }
}

#[test]
fn a_coin_that_disagrees_too_often_is_left_alone() {
    for bars in [2, 3] {
        let mut run = agreed(&[6; 3][..bars]);
        let believed = (5..30).step_by(2).take_while(|minute| is_doubted(&mut run, *minute)).count();
        assert_eq!(believed, bars + 2, "{bars} bars agreed");
    }
}

#[test]
fn a_bar_that_is_not_decided_yet_disagrees_once() {
    let mut run = agreed(&[6, 6]);
    run.trade(&[541_000]);
    // Nobody knows how far the loss reaches, however often it is looked at.
    run.bar(9, 3);
    assert_eq!(run.finish(9), []);
    for _ in 0..10 {
        assert_eq!(run.finish(8), []);
    }
    run.trade(&[601_000]);
    assert!(!run.finish(8).is_empty(), "one bar of three disagreed");
}

#[test]
fn what_agreed_with_one_coin_is_believed_of_another() {
    let mut run = Run::calibrated();
    let other = crate::Coin::new("ETH").unwrap();
    let (stream, candle) = (StreamKey::Trades(other), StreamKey::Candle(other, Interval::M1));
    for time in [50_000, 181_000, 241_000] {
        run.0.note(0, stream, &trades(&[time]));
        let span = Span::new(TimeMs(time), TimeMs(time));
        run.0.note(0, stream, &Change::Covered { epoch: Epoch::default(), origin: Origin::Ws, span });
        run.0.note(0, stream, &Change::Edge(TimeMs(time)));
    }
    run.0.note(0, candle, &bar(3, 2));
    run.0.note(0, candle, &Change::Final { span: Span::new(TimeMs(180_000), TimeMs(240_000)) });
    assert!(!run.0.take_doubts().is_empty(), "its first bar disagrees, and every coin counts alike");
}

#[test]
fn polled_bars_are_compared_as_well() {
    let mut run = Run::calibrated();
    run.trade(&[181_000, 183_000]);
    run.trade(&[241_000]);
    let Change::Rows { epoch, records, .. } = bar(3, 3) else { unreachable!() };
    let rows = Change::Rows { epoch, origin: Origin::Rest, records };
    run.0.note(0, StreamKey::Candle(coin(), Interval::M1), &rows);
    assert_eq!(run.finish(3), [(6_000, 1_000), (1_000, 3_000), (3_000, 1_000)], "no version says where");
}

#[test]
fn a_loss_before_the_first_version_begins_at_the_block_before_the_bar() {
    let mut run = Run::calibrated();
    run.trade(&[170_000]);
    run.trade(&[180_000]);
    run.bar(3, 2);
    run.trade(&[190_000]);
    run.bar(3, 3);
    run.trade(&[241_000]);
    assert_eq!(run.finish(3), [(50_000, 0), (0, 10_000)], "around its first block");
}

#[test]
fn a_bar_of_very_many_versions_still_says_where() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    for _ in 0..20 {
        run.bar(3, 1);
    }
    for _ in 0..20 {
        run.bar(3, 2);
    }
    run.trade(&[190_000]);
    for _ in 0..VERSIONS {
        run.bar(3, 3);
    }
    run.trade(&[200_000]);
    run.bar(3, 4);
    run.trade(&[241_000]);
    assert_eq!(run.finish(3), [(1_000, 10_000)]);
}

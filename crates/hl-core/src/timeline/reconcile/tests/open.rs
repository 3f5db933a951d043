//! The bar in progress as a witness: what convicts the subscription of the trades, and what does not.

use super::*;

const TRADES: fn() -> StreamKey = || StreamKey::Trades(coin());

#[test]
fn the_first_version_of_a_bar_convicts_where_its_trades_should_be_whole() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar_at(1_000, 3, 2);
    assert_eq!(run.0.take_missed(2_999), []);
    assert_eq!(run.0.take_missed(3_000), [TRADES()]);
}

#[test]
fn what_was_missing_before_the_first_version_convicts_nobody_where_the_bar_was_never_whole() {
    // A gap that reaches into the bar, or ends where it begins.
    for (to, expected) in [(180_000, vec![TRADES()]), (180_500, vec![])] {
        let mut run = Run::calibrated();
        let span = Span::new(TimeMs(150_000), TimeMs(to));
        run.0.note(0, TRADES(), &Change::GapOpened { span, cause: Cause::Outage });
        run.trade(&[181_000]);
        run.bar_at(1_000, 3, 4);
        assert_eq!(run.0.take_missed(9_000), expected, "a gap until {to}");
        run.bar_at(10_000, 3, 5);
        assert_eq!(run.0.take_missed(12_000), [TRADES()], "but what is missed from then on does, {to}");
    }
}

/// Whole since the bar's own beginning, or since later: the block where it began may not be whole.
#[test]
fn a_coin_whose_bars_have_not_agreed_yet_is_doubted_once_they_have_and_is_not_moved() {
    for since in [180_000, 180_500] {
        let mut run = Run(Reconciler::new());
        run.trade(&[since]);
        run.bar_at(1_000, 3, 4);
        run.bar_at(2_000, 3, 5);
        assert_eq!((run.0.take_missed(60_000), run.0.take_doubts()), (vec![], vec![]), "{since}");
        run.trade(&[200_000]);
        run.bar(3, 6);
        assert_eq!(run.finish(3), []);
        for minute in [4, 5] {
            (1..=6).for_each(|second| run.trade(&[minute * 60_000 + second * 1_000]));
            run.bar(minute, 6);
            let expected = if minute == 4 { vec![] } else { vec![(since % 60_000, 20_000)] };
            assert_eq!(run.finish(minute), expected, "{since}");
        }
    }
}

#[test]
fn a_suspicion_that_the_final_bar_does_not_bear_out_is_dropped() {
    let mut run = Run(Reconciler::new());
    run.trade(&[50_000]);
    for minute in 1..=2 {
        run.trade(&[minute * 60_000 + 1_000]);
        // Each bar is three seconds ahead of its trades.
        run.bar_at(minute * 60_000, minute, 6);
        assert_eq!(run.0.take_missed(minute * 60_000 + 3_000), []);
        (2..=6).for_each(|second| run.trade(&[minute * 60_000 + second * 1_000]));
        assert_eq!(run.finish(minute), [], "{minute}");
    }
}

#[test]
fn a_witness_that_convicts_again_and_again_is_heard_no_more_until_it_counts_in_step() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    let mut n = 1;
    let mut convicted = |run: &mut Run, at: i64| {
        n += 1;
        run.bar_at(at, 3, n);
        run.bar_at(at, 3, n + 1);
        n += 1;
        !run.0.take_missed(at + 2_000).is_empty()
    };
    let times: Vec<_> = (1..=6).map(|i| convicted(&mut run, i * 10_000)).collect();
    assert_eq!(times, [true, true, true, false, false, false]);
    // Ten trades, each of which it counts as it comes.
    for i in 1..=12 {
        run.trade(&[190_000 + i]);
        n += 1;
        run.bar_at(70_000, 3, n);
    }
    n += 1;
    run.bar_at(80_000, 3, n);
    assert_eq!(run.0.take_missed(82_000), [TRADES()]);
}

#[test]
fn the_time_counts_from_when_the_bar_went_ahead() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar_at(1_000, 3, 1);
    run.bar_at(2_500, 3, 2);
    assert_eq!(run.0.take_missed(4_499), [], "it was level until then");
    assert_eq!(run.0.take_missed(4_500), [TRADES()]);
}

#[test]
fn a_trade_that_a_backfill_brought_is_not_missed() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar_at(1_000, 3, 2);
    let filled = Change::Filled {
        epoch: Epoch::default(),
        origin: Origin::Backfill,
        span: Span::new(TimeMs(181_000), TimeMs(182_000)),
        records: Records::Trades(vec![trade(181_500, 1)]),
    };
    run.0.note(0, TRADES(), &filled);
    assert_eq!(run.0.take_missed(3_000), []);
}

#[test]
fn bars_are_no_witness_against_polled_trades() {
    let mut run = Run::calibrated();
    run.polled(&[181_000]);
    run.bar_at(1_000, 3, 5);
    assert_eq!(run.0.take_missed(9_000), [], "polls sample, and everybody knows");
}

#[test]
fn weeks_and_months_are_no_witness() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    for n in [20, 25] {
        let week = crate::record::Candle { interval: Interval::W1, time: TimeMs(0), ..records::bar(0, n) };
        let rows = Change::Rows {
            epoch: Epoch::default(),
            origin: Origin::Ws,
            records: Records::Candles(vec![week]),
        };
        run.0.note(1_000, StreamKey::Candle(coin(), Interval::W1), &rows);
    }
    assert_eq!(run.0.take_missed(9_000), []);
}

//! Trades and bars, compared: what is doubted, and what is not.

mod open;
mod whole;
mod wrong;

use super::*;
use crate::Epoch;
use crate::ledger::Cause;
use crate::store::Recent;
use crate::timeline::tests::records::{self, coin, trade};

fn trades(times: &[i64]) -> Change {
    let trade = |(i, time): (usize, &i64)| trade(*time, i as u64 + 1_000 * time.unsigned_abs());
    let records = Records::Trades(times.iter().enumerate().map(trade).collect());
    Change::Rows { epoch: Epoch::default(), origin: Origin::Ws, records }
}

fn bar(minute: i64, n: u64) -> Change {
    let records = Records::Candles(vec![records::bar(minute, n)]);
    Change::Rows { epoch: Epoch::default(), origin: Origin::Ws, records }
}

struct Run(Reconciler);

impl Run {
    /// Two calibrated minutes, 1 and 2, of six trades each; trades are whole since 50 s, and REST counts as the socket does.
    fn calibrated() -> Self {
        let mut run = Self::of_the_socket();
        for minute in [1, 2] {
            assert_eq!(run.audited(minute, 6, 6), [] as [i64; 0]);
        }
        run
    }

    /// The same, and nothing is known of the bars of REST.
    fn of_the_socket() -> Self {
        let mut run = Self(Reconciler::new());
        run.trade(&[50_000]);
        for minute in [1, 2] {
            for i in 1..=6_i64 {
                run.trade(&[minute * 60_000 + i * 1_000]);
                run.bar(minute, i.unsigned_abs());
            }
            assert_eq!(run.finish(minute), []);
        }
        run
    }

    fn trade(&mut self, times: &[i64]) {
        let stream = StreamKey::Trades(coin());
        self.0.note(0, stream, &trades(times));
        let span = Span::new(TimeMs(times[0]), TimeMs(times[times.len() - 1]));
        self.0.note(0, stream, &Change::Covered { epoch: Epoch::default(), origin: Origin::Ws, span });
        self.0.note(0, stream, &Change::Edge(span.to));
    }

    /// A backfill or a ring brings what a piece held.
    fn fill(&mut self, from: i64, to: i64, times: &[i64]) {
        let Change::Rows { epoch, records, .. } = trades(times) else { unreachable!() };
        let span = Span::new(TimeMs(from), TimeMs(to));
        let filled = Change::Filled { epoch, origin: Origin::Ws, span, records };
        self.0.note(0, StreamKey::Trades(coin()), &filled);
    }

    /// Trades that a poll brought, and that join.
    fn polled(&mut self, times: &[i64]) {
        let Change::Rows { epoch, records, .. } = trades(times) else { unreachable!() };
        let (stream, origin) = (StreamKey::Trades(coin()), Origin::Rest);
        self.0.note(0, stream, &Change::Rows { epoch, origin, records });
        let span = Span::new(TimeMs(times[0]), TimeMs(times[times.len() - 1]));
        self.0.note(0, stream, &Change::Covered { epoch, origin, span });
        self.0.note(0, stream, &Change::Edge(span.to));
    }

    fn bar(&mut self, minute: i64, n: u64) {
        self.bar_at(0, minute, n);
    }

    /// The socket brings a version of a bar.
    fn bar_at(&mut self, now: i64, minute: i64, n: u64) {
        let stream = StreamKey::Candle(coin(), Interval::M1);
        self.0.bars(now, stream, &[records::bar(minute, n)]);
        self.0.note(now, stream, &bar(minute, n));
    }

    /// The audit read a bar once more.
    fn audited(&mut self, minute: i64, counted: u64, stored: u64) -> Vec<i64> {
        let bar = Audited { time: TimeMs(minute * 60_000), counted, stored };
        let wrong = self.0.audited(StreamKey::Candle(coin(), Interval::M1), &[bar]);
        wrong.into_iter().map(|(_, span)| span.from.0 / 60_000).collect()
    }

    fn finish(&mut self, minute: i64) -> Vec<(i64, i64)> {
        let span = Span::new(TimeMs(minute * 60_000), TimeMs(minute * 60_000 + 60_000));
        self.0.note(0, StreamKey::Candle(coin(), Interval::M1), &Change::Final { span });
        self.0.take_doubts().into_iter().map(|(_, s)| (s.from.0 % 60_000, s.to.0 % 60_000)).collect()
    }

    fn judge(&self, minute: i64, n: u64) -> Verdict {
        let span = Span::new(TimeMs(minute * 60_000), TimeMs(minute * 60_000 + 60_000));
        self.0.judge(StreamKey::Candle(coin(), Interval::M1), span, n)
    }
}

#[test]
fn trades_lost_while_bars_went_on_are_found_between_two_blocks() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar(3, 1);
    run.trade(&[182_000]);
    run.bar(3, 2);
    // Muted: three trades are lost, the bar counts them.
    run.bar(3, 3);
    run.bar(3, 5);
    // The bar runs ahead of the frame of its trade: no loss of its own.
    run.bar(3, 6);
    run.trade(&[190_000]);
    run.bar(3, 7);
    run.trade(&[191_000]);
    run.trade(&[241_000]);
    assert_eq!(run.judge(3, 7), Verdict::Plausible, "the bar is right, it is the trades that are short");
    assert_eq!(run.finish(3), [(2_000, 10_000)]);
}

#[test]
fn a_bar_that_moves_without_its_trade_is_a_witness() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar_at(1_000, 3, 1);
    run.bar_at(1_000, 3, 2);
    assert_eq!(run.0.take_missed(2_999), []);
    run.trade(&[182_000]);
    assert_eq!(run.0.take_missed(3_000), [], "the trade was only on its way");
    run.bar_at(4_000, 3, 3);
    assert_eq!(run.0.take_missed(6_000), [StreamKey::Trades(coin())]);
    assert_eq!(run.0.take_missed(9_000), [], "said once");
    let span = Span::new(TimeMs(181_000), TimeMs(182_000));
    let doubts = run.0.take_doubts();
    assert_eq!(doubts, [(StreamKey::Trades(coin()), span)], "late and lost cannot be told apart afterwards");
}

#[test]
fn bars_that_always_come_before_their_trades_are_no_witness() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    for i in 1..=8 {
        run.bar_at(i * 500, 3, i.unsigned_abs() + 1);
        assert_eq!(run.0.take_missed(i * 500), [], "version {i} is only ahead of its own trade");
        run.trade(&[181_000 + i * 500]);
    }
}

#[test]
fn what_was_missed_between_blocks_that_came_is_doubted() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar_at(1_000, 3, 1);
    run.bar_at(1_500, 3, 3);
    run.trade(&[184_000]);
    run.bar_at(2_000, 3, 4);
    run.trade(&[185_000]);
    run.bar_at(3_400, 3, 5);
    assert_eq!(run.0.take_missed(3_500), [StreamKey::Trades(coin())]);
    let span = Span::new(TimeMs(181_000), TimeMs(184_000));
    assert_eq!(run.0.take_doubts(), [(StreamKey::Trades(coin()), span)]);
}

#[test]
fn a_version_may_count_what_was_lost_after_the_last_block() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar(3, 1);
    // The bar is pushed seldom: its next version comes after a block that arrived, and after one that did not.
    run.trade(&[183_000]);
    run.bar(3, 3);
    run.trade(&[187_000]);
    run.bar(3, 4);
    run.trade(&[241_000]);
    assert_eq!(run.finish(3), [(1_000, 3_000), (3_000, 7_000)]);
}

#[test]
fn a_bar_that_counts_too_few_is_stale() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    run.bar(3, 1);
    run.trade(&[182_000, 183_000]);
    run.trade(&[241_000]);
    assert_eq!(run.judge(3, 1), Verdict::Stale);
    assert_eq!(run.judge(3, 3), Verdict::Plausible);
    assert_eq!(run.judge(7, 0), Verdict::Plausible, "pushed trades are whole up to now");
    assert_eq!(run.judge(0, 0), Verdict::Stale, "the minute in which it began is not whole");
}

#[test]
fn nothing_is_doubted_before_the_assumption_held() {
    let mut run = Run(Reconciler::new());
    run.trade(&[50_000]);
    for minute in 1..6 {
        run.trade(&[minute * 60_000 + 1_000]);
        run.bar(minute, 5);
        assert_eq!(run.finish(minute), [], "a count that never agrees proves nothing");
    }
}

fn backfilled(run: &mut Run, minute: i64, n: u64) -> Vec<(i64, i64)> {
    let Change::Rows { epoch, records, .. } = bar(minute, n) else { unreachable!() };
    let span = Span::new(TimeMs(minute * 60_000), TimeMs(minute * 60_000 + 60_000));
    let filled = Change::Filled { epoch, origin: Origin::Backfill, span, records };
    run.0.note(0, StreamKey::Candle(coin(), Interval::M1), &filled);
    run.0.take_doubts().into_iter().map(|(_, s)| (s.from.0, s.to.0)).collect()
}

#[test]
fn a_bar_that_a_backfill_brought_is_compared_as_well() {
    let mut run = Run::calibrated();
    run.trade(&[181_000, 183_000]);
    run.trade(&[238_000]);
    run.trade(&[245_000]);
    assert_eq!(backfilled(&mut run, 3, 3), [], "whole");
    run.trade(&[250_000]);
    run.trade(&[305_000]);
    let doubts = backfilled(&mut run, 4, 3);
    assert_eq!(
        doubts,
        [(238_000, 245_000), (245_000, 250_000), (250_000, 305_000)],
        "without versions it may be anywhere around the minute's blocks"
    );
    let doubted =
        Change::Doubted { span: Span::new(TimeMs(238_000), TimeMs(305_000)), cause: Cause::Silence };
    run.0.note(0, StreamKey::Trades(coin()), &doubted);
    assert_eq!(backfilled(&mut run, 4, 3), [], "said once");
}

#[test]
fn a_loss_at_the_end_waits_for_the_block_that_closes_it() {
    let mut run = Run::calibrated();
    run.trade(&[181_000, 183_000]);
    assert_eq!(backfilled(&mut run, 3, 3), [], "nobody knows yet how far it reaches");
    run.trade(&[244_000]);
    assert_eq!(backfilled(&mut run, 4, 1), [(126_000, 181_000), (181_000, 183_000), (183_000, 244_000)]);
}

#[test]
fn what_was_stored_before_a_restart_is_compared_with_bars_that_come_after_it() {
    let mut run = Run(Reconciler::new());
    let stream = StreamKey::Trades(coin());
    let keys = vec![(TimeMs(50_000), 1), (TimeMs(61_000), 2), (TimeMs(66_000), 3), (TimeMs(121_000), 4)];
    let recent = Recent { since: Some(TimeMs(50_000)), keys, ..Recent::default() };
    run.0.start(&StreamStart { stream, edge: Some(TimeMs(121_000)), ended: None, recent });
    assert_eq!(backfilled(&mut run, 1, 3), [], "nothing is calibrated yet");
    let gap = Span::new(TimeMs(121_000), TimeMs(150_000));
    run.0.note(0, stream, &Change::GapOpened { span: gap, cause: Cause::DaemonDown });
    run.trade(&[150_000]);
    for minute in [3, 4] {
        for i in 1..=6_i64 {
            run.trade(&[minute * 60_000 + i * 1_000]);
        }
    }
    assert_eq!(backfilled(&mut run, 2, 9), [], "a minute with a gap");
    assert_eq!(backfilled(&mut run, 3, 6), []);
    assert_eq!(
        backfilled(&mut run, 4, 6),
        [(50_000, 61_000), (61_000, 66_000), (66_000, 121_000)],
        "two bars agreed, so the one from before the restart can be judged"
    );
}

#[test]
fn a_flood_of_trades_is_forgotten_and_not_judged() {
    let mut run = Run::calibrated();
    let keys = |run: &Run| run.0.coins[&coin()].keys.len();
    // All of one block, which is forgotten as a whole.
    let flood = vec![181_000; MAX_KEYS - keys(&run)];
    run.trade(&flood);
    assert_eq!((keys(&run), run.judge(1, 5)), (MAX_KEYS, Verdict::Stale), "so much is remembered");
    run.trade(&[181_001]);
    assert!(keys(&run) <= MAX_KEYS / 2, "{}", keys(&run));
    assert_eq!(run.judge(1, 5), Verdict::Unknown, "what is not remembered is not judged");
}

#[test]
fn a_minute_with_a_gap_is_not_compared() {
    let mut run = Run::calibrated();
    let gap = Span::new(TimeMs(181_000), TimeMs(185_000));
    let opened = Change::GapOpened { span: gap, cause: Cause::Outage };
    run.trade(&[181_000, 185_000]);
    run.0.note(0, StreamKey::Trades(coin()), &opened);
    run.bar(3, 9);
    run.trade(&[241_000]);
    assert_eq!(run.judge(3, 9), Verdict::Stale, "what holed the trades may have holed the bar");
    assert_eq!(run.finish(3), []);
    run.fill(181_000, 185_000, &[]);
    run.trade(&[305_000]);
    run.bar(4, 1);
    assert_eq!(run.finish(4), [(6_000, 1_000), (1_000, 5_000), (5_000, 1_000)], "until the gap is filled");
}

/// A promoted ring goes on frame by frame: a gap that it fills is filled in pieces.
#[test]
fn a_gap_that_is_filled_in_pieces_holes_its_minute_no_longer() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    let gap = Span::new(TimeMs(181_000), TimeMs(185_000));
    run.0.note(0, StreamKey::Trades(coin()), &Change::GapOpened { span: gap, cause: Cause::Sampled });
    run.trade(&[185_000]);
    run.fill(180_000, 182_000, &[182_000]);
    run.fill(183_000, 184_000, &[183_000, 184_000]);
    assert_eq!(run.judge(3, 9), Verdict::Stale, "from 182 to 183 s and from 184 to 185 s nothing is proven");
    run.fill(184_000, 190_000, &[]);
    run.fill(182_000, 183_000, &[]);
    // What came after it was lost: the bar, which a handover left to REST, counts two more.
    run.trade(&[241_000]);
    run.trade(&[305_000]);
    assert_eq!(run.judge(3, 7), Verdict::Plausible);
    let doubts = backfilled(&mut run, 3, 7);
    assert_eq!((doubts[0], doubts[doubts.len() - 1]), ((126_000, 181_000), (185_000, 241_000)));
}

#[test]
fn a_bar_that_a_handover_left_to_rest_convicts_all_the_same() {
    let mut run = Run::calibrated();
    run.trade(&[181_000]);
    let stream = StreamKey::Candle(coin(), Interval::M1);
    for (now, n) in [(1_000, 1), (1_500, 2)] {
        // The time line does not admit it.
        run.0.bars(now, stream, &[records::bar(3, n)]);
    }
    assert_eq!(run.0.take_missed(3_500), [StreamKey::Trades(coin())]);
}

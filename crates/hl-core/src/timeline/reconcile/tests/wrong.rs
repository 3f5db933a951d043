//! Bars that count otherwise than the public trades: they convict no source, and what they make us doubt is bounded.

use super::*;

const TRADES: fn() -> StreamKey = || StreamKey::Trades(coin());
const M1: fn() -> StreamKey = || StreamKey::Candle(coin(), Interval::M1);
/// Trades a minute, one every two seconds.
const A_MINUTE: u64 = 30;

/// What bars have done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Done {
    /// How often the trades were moved to another source.
    moved: usize,
    /// Minutes with doubts.
    doubted: usize,
    /// Bars that were left to REST.
    read_again: usize,
}

impl Run {
    fn begun() -> Self {
        let mut run = Self(Reconciler::new());
        run.trade(&[50_000]);
        run
    }

    /// Minutes in which every trade comes, of bars that count so many where so many trades have come.
    fn minutes(&mut self, minutes: std::ops::Range<i64>, counts: impl Fn(i64, u64) -> u64) -> Done {
        let mut done = Done::default();
        for minute in minutes {
            let mut doubts = Vec::new();
            for i in 1..=A_MINUTE {
                let time = minute * 60_000 + 2_000 * i64::try_from(i).unwrap() - 1_000;
                self.trade(&[time]);
                self.bar_at(time, minute, counts(minute, i));
                for now in [time + 500, time + 1_500] {
                    done.moved += self.0.take_missed(now).len();
                    let new = self.0.take_doubts();
                    for (_, span) in &new {
                        let cause = Cause::Silence;
                        self.0.note(now, TRADES(), &Change::Doubted { span: *span, cause });
                    }
                    doubts.extend(new);
                }
            }
            self.trade(&[minute * 60_000 + 60_000]);
            let n = counts(minute, A_MINUTE);
            let of_final = match self.judge(minute, n) {
                Verdict::Stale => {
                    done.read_again += 1;
                    backfilled(self, minute, n)
                }
                Verdict::Unknown | Verdict::Plausible => self.finish(minute),
            };
            done.doubted += usize::from(!doubts.is_empty() || !of_final.is_empty());
        }
        done
    }
}

/// From the second minute on there is one trade more: the one that ended the minute before is the first of the next.
fn right(_: i64, came: u64) -> u64 {
    came
}

#[test]
fn bars_that_count_right_convict_nobody_and_are_read_once() {
    let mut run = Run::begun();
    assert_eq!(run.minutes(1..2, right), Done::default());
    assert_eq!(run.minutes(2..60, |_, came| came + 1), Done::default());
}

#[test]
fn bars_that_always_count_twice_the_trades_are_no_witness() {
    let mut run = Run::begun();
    assert_eq!(run.minutes(1..60, |_, came| 2 * came), Done::default());
    let mut run = Run::begun();
    assert_eq!(run.minutes(1..60, |_, came| came + 5), Done::default(), "nor those that count some more");
}

#[test]
fn bars_of_one_coin_that_count_twice_are_found_out_where_those_of_others_are_right() {
    let mut run = Run::calibrated();
    // This coin is new; the foundation was laid by another one.
    let foundations = run.0.foundations;
    run = Run::begun();
    run.0.foundations = foundations;
    let done = run.minutes(1..60, |_, came| 2 * came);
    assert!(done.moved == 0 && done.doubted <= 3, "{done:?}");
}

#[test]
fn bars_that_begin_to_count_twice_after_an_hour_are_found_out_in_minutes() {
    let mut run = Run::begun();
    run.minutes(1..2, right);
    run.minutes(2..60, |_, came| came + 1);
    let done = run.minutes(60..180, |_, came| 2 * came + 2);
    assert!(done.moved <= 3 && done.doubted <= 9, "{done:?}");
    // And they are believed again when they are right again.
    run.minutes(180..190, |_, came| came + 1);
    run.trade(&[190 * 60_000 + 1_000]);
    run.bar_at(1_000_000_000, 190, 4);
    assert_eq!(run.0.take_missed(1_000_002_000), [TRADES()]);
}

#[test]
fn bars_that_count_half_the_trades_are_not_read_again_for_ever() {
    let mut run = Run::begun();
    let done = run.minutes(1..120, |_, came| came / 2);
    let minute = Span::new(TimeMs(100 * 60_000), TimeMs(101 * 60_000));
    assert_eq!(run.0.stored(M1(), minute), 1, "but one that counts none has lost its trades");
    assert!(done.moved == 0 && done.doubted == 0 && done.read_again <= 3, "{done:?}");
}

#[test]
fn counts_that_jump_about_are_found_out() {
    let done = Run::begun().minutes(1..120, |minute, came| came * (minute.unsigned_abs() * 7 % 5) / 2);
    assert!(done.moved == 0 && done.doubted <= 6 && done.read_again <= 6, "{done:?}");
}

#[test]
fn bars_that_lag_are_read_again_where_that_helps_and_convict_nobody() {
    // Half a minute behind; the last version comes before the bar is final.
    let lagging = |_: i64, came: u64| if came == A_MINUTE { came + 1 } else { came.saturating_sub(15) };
    let mut run = Run::begun();
    run.minutes(1..3, right);
    assert_eq!(run.minutes(3..60, lagging), Done::default());
    // Also where something was missing before.
    let gap = Span::new(TimeMs(60 * 60_000 - 5_000), TimeMs(60 * 60_000 + 1_000));
    run.0.note(0, TRADES(), &Change::GapOpened { span: gap, cause: Cause::Outage });
    let done = run.minutes(60..61, |_, came| (came + 3).saturating_sub(10 + came % 7));
    assert_eq!((done.moved, done.doubted), (0, 0));
}

#[test]
fn a_history_that_counts_one_more_for_good_changes_nothing() {
    let mut run = Run::of_the_socket();
    for minute in 1..60 {
        assert_eq!(run.audited(minute, 7, 6), [] as [i64; 0], "{minute}");
    }
    // Nor does a bar that a backfill brings from there.
    run.trade(&[181_000, 183_000]);
    run.trade(&[245_000]);
    assert_eq!(backfilled(&mut run, 3, 3), []);
}

#[test]
fn a_history_that_begins_to_count_one_more_is_followed_for_a_few_bars() {
    let mut run = Run::calibrated();
    (3..30).for_each(|minute| assert_eq!(run.audited(minute, 6, 6), [] as [i64; 0]));
    let wrong = (30..90).flat_map(|minute| run.audited(minute, 7, 6)).count();
    assert!((1..=6).contains(&wrong), "{wrong}");
}

#[test]
fn many_bars_that_were_lost_in_a_row_are_read_again_once_the_history_agrees() {
    let mut run = Run::calibrated();
    let at_once: Vec<_> = (3..15).flat_map(|minute| run.audited(minute, 9, 0)).collect();
    let later: Vec<_> = (15..25).flat_map(|minute| run.audited(minute, 6, 6)).collect();
    let all: Vec<_> = at_once.iter().chain(&later).copied().collect();
    assert_eq!(all, (3..15).collect::<Vec<_>>());
}

#[test]
fn a_bar_in_which_the_history_counts_more_is_wrong_where_it_agreed_with_others() {
    let mut run = Run::of_the_socket();
    assert_eq!(run.audited(1, 9, 6), [] as [i64; 0], "which of them is right cannot be known");
    assert_eq!(run.audited(2, 6, 6), [] as [i64; 0]);
    assert_eq!(run.audited(3, 6, 6), [1], "a history that agrees is believed, about earlier bars too");
    assert_eq!(run.audited(3, 6, 6), [] as [i64; 0], "said once");
    assert_eq!(run.audited(4, 8, 6), [4]);
    // Bars that only another stream has agreed in are judged by that.
    let other = StreamKey::Candle(crate::Coin::new("ETH").unwrap(), Interval::M1);
    let bars = [1, 2, 3, 4].map(|minute| Audited { time: TimeMs(minute * 60_000), counted: 6, stored: 6 });
    let mut run = Run::of_the_socket();
    assert_eq!(run.0.audited(other, &bars), []);
    assert_eq!(run.audited(5, 8, 6), [5]);
    assert_eq!(run.0.audited(M1(), &[]), []);
}

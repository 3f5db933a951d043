//! Longer bars out of one-minute bars.
//!
//! Pure, and exact: a longer bar is made only where every minute of it is covered. What holds it together is the
//! coverage and not the rows: a minute in which nothing was traded has no row.

use crate::completeness::Completeness;
use crate::ledger::Span;
use crate::record::Candle;
use crate::row::Arrival;
use crate::{Interval, TimeMs};

/// What was made of the minutes of a piece.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Derived {
    /// The bars, oldest first, each with the position of its last minute among those that were given.
    pub bars: Vec<(Candle, usize)>,
    /// Bars that have minutes, and that were left out because not all of their minutes are covered.
    pub left_out: u64,
}

/// Whether bars of the interval can be made of one-minute bars: weeks and months follow the calendar.
#[must_use]
pub fn is_derivable(interval: Interval) -> bool {
    interval.is_fixed() && interval != Interval::M1
}

/// The bars of `interval` that the final one-minute bars `minutes` make, which are of one coin and in order of time, in
/// a stream of one-minute bars of which `known` is known.
#[must_use]
pub fn derive(minutes: &[Candle], interval: Interval, known: &Completeness) -> Derived {
    let mut derived = Derived::default();
    if !is_derivable(interval) {
        return derived;
    }
    let mut begin = 0;
    while let Some(first) = minutes.get(begin) {
        let open = interval.open_of(first.time);
        let span = Span::new(open, open + interval.ms());
        let count = minutes[begin..].partition_point(|minute| minute.time < span.to);
        let of_bar = &minutes[begin..begin + count];
        begin += count;
        if known.has_whole(span) {
            derived.bars.push((sum(of_bar, first, interval, open), begin - 1));
        } else {
            derived.left_out += 1;
        }
    }
    derived
}

fn sum(minutes: &[Candle], first: &Candle, interval: Interval, open: TimeMs) -> Candle {
    Candle {
        interval,
        time: open,
        high: minutes.iter().map(|minute| minute.high).max().unwrap_or(first.high),
        low: minutes.iter().map(|minute| minute.low).min().unwrap_or(first.low),
        close: minutes.last().unwrap_or(first).close,
        volume: minutes.iter().map(|minute| minute.volume).sum(),
        trades: minutes.iter().map(|minute| minute.trades).sum(),
        arrival: Arrival::ALONE,
        ..*first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Cause, GapState};
    use crate::{Coin, Decimal};

    const MINUTE: i64 = 60_000;

    fn minute(n: i64, px: [&str; 4], volume: &str, trades: u64) -> Candle {
        let [open, high, low, close] = px.map(|text| text.parse().unwrap());
        let (coin, time) = (Coin::new("BTC").unwrap(), TimeMs(n * MINUTE));
        let volume = volume.parse().unwrap();
        Candle {
            coin,
            interval: Interval::M1,
            time,
            open,
            high,
            low,
            close,
            volume,
            trades,
            arrival: Arrival::default(),
        }
    }

    fn minutes(from: i64, to: i64) -> Span {
        Span::new(TimeMs(from * MINUTE), TimeMs(to * MINUTE))
    }

    #[test]
    fn five_minutes_are_one_bar_and_what_is_not_whole_is_left_out() {
        let rows = [
            minute(5, ["10.1", "10.9", "10.0", "10.5"], "0.00000001", 3),
            // Nothing was traded in the seventh and eighth.
            minute(6, ["10.5", "11.25", "9.75", "10.2"], "1.5", 2),
            minute(9, ["10.2", "10.3", "10.2", "10.3"], "2", 1),
            // Of the next five minutes one is a gap, of those after them the last is not there yet.
            minute(11, ["1", "1", "1", "1"], "1", 1),
            minute(15, ["2", "2", "2", "2"], "1", 1),
        ];
        let gap = (minutes(12, 13), Cause::Outage, GapState::Unrecoverable);
        let covered = [minutes(3, 8), minutes(8, 12), minutes(13, 19)];
        let known = Completeness::of(minutes(0, 20), covered, [gap]);
        let derived = derive(&rows, Interval::M5, &known);
        let [(bar, 2)] = derived.bars.as_slice() else { panic!("{derived:?}") };
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!((bar.time, bar.interval), (TimeMs(5 * MINUTE), Interval::M5));
        let prices = [bar.open, bar.high, bar.low, bar.close].map(|px| px.to_string());
        assert_eq!(prices, ["10.1", "11.25", "9.75", "10.3"]);
        assert_eq!((bar.volume, bar.trades), (decimal("3.50000001"), 6));
        assert_eq!(derived.left_out, 2);
    }

    #[test]
    fn months_are_not_made_of_minutes() {
        let known = Completeness::of(minutes(0, 90_000), [minutes(0, 90_000)], []);
        let rows = [minute(5, ["1"; 4], "1", 1)];
        assert_eq!(derive(&rows, Interval::Month, &known), Derived::default());
        assert!(!is_derivable(Interval::M1) && !is_derivable(Interval::W1) && is_derivable(Interval::D3));
    }
}

//! Bars: one-minute bars are kept, longer ones are their sums, so that every interval nests by construction.
//!
//! Minutes before the first trade of the simulation are generated backwards from its price, a day at a time as far
//! as somebody asks, always in the same order from a generator of their own.

use std::collections::VecDeque;

use hl_core::{Interval, TimeMs};
use jiff::civil::Time;
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const DAY: i64 = 86_400_000;
/// How far the generated past reaches.
pub(crate) const PAST_DAYS: i64 = 31;
/// Minutes kept at most: the past and as much again.
const KEPT: usize = 2 * PAST_DAYS as usize * 1_440;
/// The exchange serves no more bars of an interval.
pub(crate) const MOST_BARS: usize = 5_000;

/// One bar: prices in ticks, volume in size units, `q` in notional units (ticks times size units).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bar {
    pub(crate) t: i64,
    pub(crate) o: i64,
    pub(crate) h: i64,
    pub(crate) l: i64,
    pub(crate) c: i64,
    pub(crate) n: u32,
    pub(crate) v: i64,
    pub(crate) q: i64,
}

impl Bar {
    pub(crate) fn of_trade(t: i64, px: i64, sz: i64) -> Self {
        Self { t, o: px, h: px, l: px, c: px, n: 1, v: sz, q: px * sz }
    }

    /// Appends what came later.
    pub(crate) fn absorb(&mut self, later: &Self) {
        self.h = self.h.max(later.h);
        self.l = self.l.min(later.l);
        self.c = later.c;
        self.n += later.n;
        self.v += later.v;
        self.q += later.q;
    }
}

/// Open time of the bar that holds `t`: weeks start on a Monday, months on the first.
pub(crate) fn open_of(interval: Interval, t: i64) -> i64 {
    match interval {
        Interval::W1 => TimeMs(t + 3 * DAY).floor(7 * DAY).0 - 3 * DAY,
        Interval::Month => month_start(t, 0),
        _ => interval.open_of(TimeMs(t)).0,
    }
}

/// Open time of the bar after the one that opens at `open`.
pub(crate) fn next_open(interval: Interval, open: i64) -> i64 {
    match interval {
        Interval::Month => month_start(open, 1),
        _ => open + interval.ms(),
    }
}

fn month_start(t: i64, months: i32) -> i64 {
    let shift = |t: i64| -> Option<i64> {
        let day = Offset::UTC.to_datetime(Timestamp::from_millisecond(t).ok()?).date();
        let first = day.first_of_month().checked_add(Span::new().try_months(months).ok()?).ok()?;
        Some(Offset::UTC.to_timestamp(first.to_datetime(Time::midnight())).ok()?.as_millisecond())
    };
    // Outside the calendar's ten thousand years nothing is ever asked for.
    shift(t).unwrap_or(t)
}

/// Where the generated past stands: the next minute to make lies before all that exist.
#[derive(Debug)]
struct Past {
    rng: fastrand::Rng,
    next: i64,
    oldest: i64,
    /// The open of the bar made last: the close of the next.
    close: i64,
    base: i64,
    lot: i64,
    take_gap_ms: i64,
}

/// The bars of one market.
#[derive(Debug)]
pub(crate) struct Bars {
    minutes: VecDeque<Bar>,
    past: Past,
    /// The newest bar of each interval and the one before it, kept from the first time somebody asks.
    newest: [Option<(Bar, Option<Bar>)>; 14],
    day_from: i64,
    day_v: i64,
    day_q: i64,
}

impl Bars {
    /// `first` is the price and `before` the time of the first trade to come; generated bars end before its minute.
    pub(crate) fn new(
        rng: fastrand::Rng,
        spec: &super::spec::Spec,
        first: i64,
        before: i64,
        oldest: i64,
    ) -> Self {
        let past = Past {
            rng,
            next: TimeMs(before).floor(MINUTE).0 - MINUTE,
            oldest: TimeMs(oldest).floor(MINUTE).0,
            close: first,
            base: spec.base,
            lot: spec.lot,
            take_gap_ms: spec.take_gap_ms,
        };
        Self { minutes: VecDeque::new(), past, newest: [None; 14], day_from: i64::MIN, day_v: 0, day_q: 0 }
    }

    pub(crate) fn on_trade(&mut self, time: i64, px: i64, sz: i64) {
        let minute = Bar::of_trade(TimeMs(time).floor(MINUTE).0, px, sz);
        match self.minutes.back_mut() {
            Some(last) if last.t == minute.t => last.absorb(&minute),
            // The clock was set back: an older minute goes on.
            Some(last) if last.t > minute.t => {
                let at = self.minutes.partition_point(|bar| bar.t < minute.t);
                match self.minutes.get_mut(at) {
                    Some(bar) if bar.t == minute.t => bar.absorb(&minute),
                    _ => self.minutes.insert(at, minute),
                }
            }
            _ => self.minutes.push_back(minute),
        }
        self.day_v += sz;
        self.day_q += px * sz;
        for (interval, newest) in Interval::ALL.into_iter().zip(&mut self.newest) {
            let Some((bar, before)) = newest else { continue };
            let open = open_of(interval, time);
            if bar.t == open {
                bar.absorb(&minute);
            } else if open < bar.t {
                *before = sum(&self.minutes, open, next_open(interval, open));
            } else {
                *before = Some(*bar);
                *bar = Bar { t: open, ..minute };
            }
        }
        if self.minutes.len() > KEPT {
            self.minutes.pop_front();
            self.past.next = i64::MIN;
        }
    }

    /// The newest bar of an interval, and the one before it where it was seen to end.
    pub(crate) fn newest(&mut self, interval: Interval) -> Option<(Bar, Option<Bar>)> {
        let slot = Interval::ALL.iter().position(|i| *i == interval)?;
        if self.newest[slot].is_none() {
            let open = open_of(interval, self.minutes.back()?.t);
            let bar = self.range(interval, open, i64::MAX).pop()?;
            self.newest[slot] = Some((bar, None));
        }
        self.newest[slot]
    }

    /// Bars whose open time lies in `from..=to`, of the most recent [`MOST_BARS`], oldest first.
    pub(crate) fn range(&mut self, interval: Interval, from: i64, to: i64) -> Vec<Bar> {
        let from = from.max(self.past.oldest);
        self.reach(open_of(interval, from));
        let mut bars: Vec<Bar> = Vec::new();
        let start = self.minutes.partition_point(|b| b.t < open_of(interval, from));
        let mut end = i64::MIN;
        for minute in self.minutes.range(start..) {
            match bars.last_mut() {
                Some(bar) if minute.t < end => bar.absorb(minute),
                _ => {
                    let open = open_of(interval, minute.t);
                    end = next_open(interval, open);
                    bars.push(Bar { t: open, ..*minute });
                }
            }
        }
        let skip = bars.len().saturating_sub(MOST_BARS);
        bars.drain(..skip);
        bars.retain(|b| (from..=to).contains(&b.t));
        bars
    }

    /// The bars that [`Self::range`] gave at the time `by`; `partial` is the minute that was open then, made of the trades
    /// that there were.
    pub(crate) fn range_as_of(
        &mut self,
        interval: Interval,
        from: i64,
        to: i64,
        by: i64,
        partial: Option<Bar>,
    ) -> Vec<Bar> {
        let minute = TimeMs(by).floor(MINUTE).0;
        let mut bars = self.range(interval, from, to.min(by));
        let open = open_of(interval, by);
        if let Some(at) = bars.iter().position(|bar| bar.t == open) {
            let whole = sum(&self.minutes, open, minute);
            bars.truncate(at);
            bars.extend(match (whole, partial) {
                (Some(mut bar), Some(partial)) => {
                    bar.absorb(&partial);
                    Some(bar)
                }
                (whole, partial) => whole.or(partial.map(|bar| Bar { t: open, ..bar })),
            });
        }
        bars
    }

    /// Volume of the last 24 hours in size and notional units: the minutes that lie in them whole, and the open one.
    pub(crate) fn day(&mut self, now: i64) -> (i64, i64) {
        let from = TimeMs(now).floor(MINUTE).0 - DAY + MINUTE;
        if self.day_from == i64::MIN {
            self.reach(from);
            let bars = self.minutes.range(self.minutes.partition_point(|b| b.t < from)..);
            (self.day_v, self.day_q) = bars.fold((0, 0), |(v, q), b| (v + b.v, q + b.q));
        } else if from > self.day_from {
            let first = self.minutes.partition_point(|b| b.t < self.day_from);
            for bar in self.minutes.range(first..).take_while(|b| b.t < from) {
                self.day_v -= bar.v;
                self.day_q -= bar.q;
            }
        }
        self.day_from = self.day_from.max(from);
        (self.day_v, self.day_q)
    }

    /// The last price that was 24 hours old or older.
    pub(crate) fn day_ago(&mut self, now: i64) -> Option<i64> {
        let limit = now - DAY;
        self.reach(TimeMs(limit).floor(MINUTE).0 - 10 * MINUTE);
        let after = self.minutes.partition_point(|b| b.t + MINUTE <= limit);
        match after.checked_sub(1) {
            Some(last) => self.minutes.get(last).map(|b| b.c),
            None => self.minutes.front().map(|b| b.o),
        }
    }

    /// Generates the past back to `to`, as far as it goes.
    fn reach(&mut self, to: i64) {
        let to = to.max(self.past.oldest);
        while self.past.next >= to {
            if let Some(bar) = self.past.minute() {
                self.minutes.push_front(bar);
            }
            self.past.next -= MINUTE;
        }
    }
}

/// The bar of the minutes in `from..to`, where they have trades.
fn sum(minutes: &VecDeque<Bar>, from: i64, to: i64) -> Option<Bar> {
    let first = minutes.partition_point(|bar| bar.t < from);
    let inside = minutes.range(first..).take_while(|bar| bar.t < to);
    inside.fold(None, |sum: Option<Bar>, minute| {
        let mut bar = sum.unwrap_or(Bar { t: from, n: 0, v: 0, q: 0, ..*minute });
        bar.absorb(minute);
        Some(bar)
    })
}

impl Past {
    /// The bar of the minute `next`, where it has trades.
    fn minute(&mut self) -> Option<Bar> {
        // A taker makes about 1.7 trades; in thousandths of a trade.
        let mean = MINUTE * 1_700 / self.take_gap_ms;
        let spread = mean * self.rng.i64(400..1_600) / 1_000;
        let n = spread / 1_000 + i64::from(self.rng.i64(0..1_000) < spread % 1_000);
        if n == 0 {
            return None;
        }
        let c = self.close;
        let swing = self.base / 900;
        let pull = (self.base - c) / 2_000;
        let low = self.base * 82 / 100;
        let high = self.base * 122 / 100;
        let o = if n == 1 { c } else { (c + pull + self.rng.i64(-swing..=swing)).clamp(low, high) };
        let wick = if n < 3 { 0 } else { swing / 2 };
        let h = (o.max(c) + self.rng.i64(0..=wick)).min(high.max(o.max(c)));
        let l = (o.min(c) - self.rng.i64(0..=wick)).max(low.min(o.min(c)));
        let v = (0..n.min(8)).map(|_| self.lot * self.rng.i64(100..1_500) / 1_000).sum::<i64>().max(1) * n
            / n.min(8);
        self.close = o;
        Some(Bar { t: self.next, o, h, l, c, n: n as u32, v, q: v * ((o + c) / 2) })
    }
}

//! What is drawn, whatever it is drawn on.

use hl_core::completeness::{Completeness, share};
use hl_core::ledger::Span;
use hl_core::record::Candle;
use hl_core::{Coin, Decimal, Interval, TimeMs};
use hl_store::GapRow;
use serde::Serialize;

use crate::human;

/// Bars of one coin, and what is missing between them.
#[derive(Serialize)]
pub(super) struct Picture {
    pub(super) coin: Coin,
    pub(super) interval: Interval,
    /// From the opening of the first bar's place to the end of the last one's, ms.
    #[serde(flatten)]
    pub(super) range: Span,
    /// How much of the range that was asked for is covered, 0 to 1.
    complete: Option<f64>,
    #[serde(skip)]
    share: Option<u32>,
    /// Whether the bars were made of one-minute bars.
    pub(super) derived: bool,
    /// Older bars that found no room.
    pub(super) left_out: i64,
    pub(super) bars: Vec<Candle>,
    pub(super) missing: Vec<Missing>,
    /// What was never collected.
    pub(super) never: Vec<Span>,
}

/// A piece of time without bars that can be trusted.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct Missing {
    /// The places of all bars that it touches, ms.
    #[serde(flatten)]
    pub(super) places: Span,
    /// The gap itself, ms.
    pub(super) gap: Span,
    pub(super) cause: &'static str,
    pub(super) state: &'static str,
}

impl Missing {
    /// Why, and how long.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.cause, human::length(self.gap.ms()))
    }

    /// Its name, and since when.
    pub(super) fn words(&self) -> String {
        format!("{} from {} ({})", self.name(), human::minute(self.gap.from), self.state)
    }
}

impl Picture {
    #[allow(clippy::too_many_arguments, reason = "all that is drawn")]
    pub(super) fn new(
        coin: Coin,
        interval: Interval,
        range: Span,
        bars: Vec<Candle>,
        holds: &Completeness,
        gaps: &[GapRow],
        derived: bool,
        left_out: i64,
    ) -> Self {
        let places = |span: Span| {
            let from = interval.open_of(span.from);
            let to = interval.open_of(span.to + (interval.ms() - 1)).max(from + interval.ms());
            Span::new(from, to).intersect(range).filter(|places| places.ms() > 0)
        };
        let missing = |gap: &GapRow| {
            let (cause, state) = (gap.cause.as_str(), gap.state.as_str());
            Some(Missing { places: places(gap.span)?, gap: gap.span, cause, state })
        };
        let share = share([holds]);
        Self {
            coin,
            interval,
            range,
            complete: share.map(|share| f64::from(share) / 10_000.0),
            share,
            derived,
            left_out,
            bars,
            missing: gaps.iter().filter_map(missing).collect(),
            never: holds.never.iter().filter_map(|span| span.intersect(range)).collect(),
        }
    }

    /// What it is a picture of.
    pub(super) fn title(&self) -> String {
        let (from, to) = (human::minute(self.range.from), human::minute(self.range.to));
        format!("{} {} · {from} to {to} UTC", self.coin, self.interval)
    }

    /// How complete it is.
    pub(super) fn sentence(&self) -> String {
        let gaps = human::count(self.missing.len() as u64, "gap");
        let mut text = format!("{} complete, {gaps}", human::percent(self.share));
        if !self.never.is_empty() {
            text += ", a part never collected";
        }
        if self.derived {
            text += "; made of final one-minute bars";
        }
        if self.left_out > 0 {
            text += &format!("; {} older bars have no room", self.left_out);
        }
        text
    }

    /// How many places for bars there are.
    pub(super) fn places(&self) -> i64 {
        (self.range.ms() / self.interval.ms()).max(1)
    }

    /// The place of a time, from 0.
    pub(super) fn place(&self, time: TimeMs) -> i64 {
        time.since(self.range.from) / self.interval.ms()
    }

    /// The lowest and the highest price.
    pub(super) fn prices(&self) -> (f64, f64) {
        let low = self.bars.iter().map(|bar| bar.low).min().unwrap_or_default();
        let high = self.bars.iter().map(|bar| bar.high).max().unwrap_or_default();
        (number(low), number(high))
    }

    /// The most that was traded in a bar.
    pub(super) fn most_volume(&self) -> f64 {
        number(self.bars.iter().map(|bar| bar.volume).max().unwrap_or_default())
    }
}

/// For drawing only.
pub(super) fn number(decimal: Decimal) -> f64 {
    f64::try_from(decimal).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use hl_core::StreamKey;
    use hl_core::ledger::{Cause, GapState};
    use hl_core::row::Arrival;

    use super::*;

    pub(in crate::commands::chart) const START: i64 = 1_795_500_000_000;
    const M5: i64 = 300_000;

    /// Twenty places of five minutes, with bars that rise and fall, a gap in the ninth to the eleventh, and the last two
    /// never collected.
    pub(in crate::commands::chart) fn picture() -> Picture {
        let coin = Coin::new("BTC").unwrap();
        let interval = Interval::M5;
        let at = |n: i64| TimeMs(START + n * M5);
        let bar = |n: i64| {
            let open = Decimal::from(66_400 + (n * 37) % 50);
            let close = Decimal::from(66_400 + (n * 53) % 50);
            let (high, low) = (open.max(close) + Decimal::TEN, open.min(close) - Decimal::from(7));
            Candle {
                coin,
                interval,
                time: at(n),
                open,
                high,
                low,
                close,
                volume: Decimal::from(n % 7 + 1),
                trades: 5,
                arrival: Arrival::default(),
            }
        };
        let gap = GapRow {
            stream: StreamKey::Candle(coin, Interval::M1),
            span: Span::new(at(8) + 60_000, at(10) + 60_000),
            cause: Cause::Outage,
            state: GapState::Unrecoverable,
        };
        let covered = [Span::new(at(0), gap.span.from), Span::new(gap.span.to, at(18))];
        let range = Span::new(at(0), at(20));
        let holds = Completeness::of(range, covered, [(gap.span, gap.cause, gap.state)]);
        let bars = (0..8).chain(11..18).map(bar).collect();
        Picture::new(coin, interval, range, bars, &holds, &[gap], true, 0)
    }

    #[test]
    fn what_is_missing_takes_the_places_of_all_bars_that_it_touches() {
        let picture = picture();
        let [missing] = picture.missing.as_slice() else { panic!("{:?}", picture.missing) };
        assert_eq!((picture.place(missing.places.from), picture.place(missing.places.to)), (8, 11));
        assert_eq!(missing.words(), "outage 10m 0s from 2026-11-24 06:41 (unrecoverable)");
        assert_eq!(picture.title(), "BTC 5m · 2026-11-24 06:00 to 2026-11-24 07:40 UTC");
        assert_eq!(
            picture.sentence(),
            "80.00 % complete, 1 gap, a part never collected; made of final one-minute bars"
        );
    }
}

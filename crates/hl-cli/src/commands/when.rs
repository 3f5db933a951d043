//! Times as people write them, and which part of a range is final.

use std::time::Duration;

use hl_core::ledger::Span;
use hl_core::{Interval, TimeMs};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use crate::config::{ConfigError, Place, ValueError, parse_duration};

/// A bar may change for this long after its end.
const BAR_LAG_MS: i64 = 5_000;
/// A funding row was seen up to 24 minutes after its hour.
const FUNDING_LAG_MS: i64 = 30 * 60_000;
/// Fewer digits are a year or a slip, not a time in milliseconds.
const LEAST_DIGITS: usize = 11;

/// A point in time, as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    At(TimeMs),
    Ago(Duration),
}

impl When {
    fn at(self, now: TimeMs) -> TimeMs {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// From when to when, as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    from: When,
    to: When,
}

impl Range {
    pub(super) fn parse(from: &str, to: &str) -> Result<Self, ConfigError> {
        let read = |flag, text| {
            parse(text).map_err(|problem| ConfigError::Value { place: Place::Flag(flag), problem })
        };
        Ok(Self { from: read("from", from)?, to: read("to", to)? })
    }

    /// Both ends, when it is `now`.
    pub(super) fn at(&self, now: TimeMs) -> (TimeMs, TimeMs) {
        (self.from.at(now), self.to.at(now))
    }
}

/// A range whose ends may be left open: then it begins where collecting began, and ends where it has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Bounds {
    from: Option<When>,
    to: Option<When>,
}

/// Nothing lies between the ends of a range.
#[derive(Debug, thiserror::Error)]
#[error("--from: {from} is not before {to}")]
pub(super) struct EmptyRange {
    from: String,
    to: String,
}

impl Bounds {
    /// `now` as the end says no more than nothing: collecting is always a little behind.
    pub(super) fn parse(from: Option<&str>, to: Option<&str>) -> Result<Self, ConfigError> {
        let read = |flag, text: Option<&str>| {
            let fail = |problem| ConfigError::Value { place: Place::Flag(flag), problem };
            text.map(|text| parse(text).map_err(fail)).transpose()
        };
        let to = read("to", to)?.filter(|to| *to != When::Ago(Duration::ZERO));
        Ok(Self { from: read("from", from)?, to })
    }

    /// Both ends, as far as they were said, when it is `now`.
    pub(super) fn at(&self, now: TimeMs) -> Result<(Option<TimeMs>, Option<TimeMs>), EmptyRange> {
        let ends = (self.from.map(|from| from.at(now)), self.to.map(|to| to.at(now)));
        match ends {
            (Some(from), to) if from >= to.unwrap_or(now) => {
                let words = crate::human::time;
                Err(EmptyRange { from: words(from), to: words(to.unwrap_or(now)) })
            }
            ends => Ok(ends),
        }
    }
}

fn parse(text: &str) -> Result<When, ValueError> {
    if text == "now" {
        return Ok(When::Ago(Duration::ZERO));
    }
    if let Some(length) = text.strip_suffix(" ago") {
        return parse_duration(length).map(When::Ago);
    }
    let digits = text.len() >= LEAST_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    let ms = if digits { text.parse().ok() } else { instant(text) };
    ms.map(|ms| When::At(TimeMs(ms))).ok_or_else(|| ValueError::Malformed {
        what: "a time",
        text: text.to_owned(),
        example: "2026-11-01, 2026-11-01T12:00, 2026-11-01T12:00:00Z, now, '24h ago' or 1793534400000"
            .to_owned(),
    })
}

/// What has an offset is taken by it; what has none is UTC.
fn instant(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let civil = match text.parse::<Date>() {
        Ok(date) if !text.contains(['T', ' ']) => date.to_datetime(Time::midnight()),
        _ => text.parse::<DateTime>().ok()?,
    };
    Some(Offset::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

/// The bars that open in `from..to` and are final at `now`, as a half-open piece; none where there is no such bar.
pub(super) fn bars(interval: Interval, from: TimeMs, to: TimeMs, now: TimeMs) -> Option<Span> {
    let last = now - BAR_LAG_MS;
    // Gaps end at multiples of the length, also where bars do not begin there.
    let settled = interval.open_of(last).min(open_of(interval, last));
    let next = |time| if interval.is_fixed() { interval.open_of(time + (interval.ms() - 1)) } else { time };
    half_open(next(from.max(TimeMs(0))), next(to).min(settled))
}

/// The settlements in `from..to` that have all come by `now`, as a half-open piece.
pub(super) fn settlements(from: TimeMs, to: TimeMs, now: TimeMs) -> Option<Span> {
    half_open(from.max(TimeMs(0)), to.min(now - FUNDING_LAG_MS))
}

fn half_open(from: TimeMs, to: TimeMs) -> Option<Span> {
    (from < to).then(|| Span::new(from, to))
}

/// Open time of the bar that holds `time`: weeks begin on a Monday, months on the first.
fn open_of(interval: Interval, time: TimeMs) -> TimeMs {
    const FIRST_MONDAY: i64 = 4 * 86_400_000;
    match interval {
        Interval::W1 => (time - FIRST_MONDAY).floor(Interval::W1.ms()) + FIRST_MONDAY,
        Interval::Month => month_of(time).unwrap_or(time),
        _ => interval.open_of(time),
    }
}

fn month_of(time: TimeMs) -> Option<TimeMs> {
    let day = Offset::UTC.to_datetime(Timestamp::from_millisecond(time.0).ok()?).date();
    let first = day.first_of_month().to_datetime(Time::midnight());
    Some(TimeMs(Offset::UTC.to_timestamp(first).ok()?.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_795_501_321_500);

    fn time(text: &str) -> TimeMs {
        Range::parse(text, "now").unwrap().at(NOW).0
    }

    fn span(from: &str, to: &str) -> Option<Span> {
        Some(Span::new(time(from), time(to)))
    }

    #[test]
    fn every_form_of_a_time() {
        let noon = TimeMs(1_793_534_400_000);
        for text in [
            "2026-11-01T12:00",
            "2026-11-01 12:00",
            "2026-11-01T12:00:00Z",
            "2026-11-01T13:00:00+01:00",
            "1793534400000",
        ] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!(time("2026-11-01"), noon - 12 * 3_600_000);
        assert_eq!((time("now"), time("1h30m ago")), (NOW, NOW - 5_400_000));
        for bad in
            ["", "2026", "20261131", "2026-13-01", "yesterday", "ago", "5 ago", "-1", "2026-11-01T25:00"]
        {
            let error = Range::parse("now", bad).unwrap_err().to_string();
            assert!(error.starts_with("--to: ") && error.contains("write it like"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_range_may_be_open_at_either_end() {
        let at = |from, to| Bounds::parse(from, to).unwrap().at(NOW);
        assert_eq!(at(None, None).unwrap(), (None, None));
        assert_eq!(at(Some("1h ago"), Some("now")).unwrap(), (Some(NOW - 3_600_000), None));
        assert_eq!(at(None, Some("1h ago")).unwrap(), (None, Some(NOW - 3_600_000)));
        let error = at(Some("1h ago"), Some("2h ago")).unwrap_err().to_string();
        assert!(error.starts_with("--from: 2026-11-24T05:22:01.500Z is not before "), "{error}");
        assert!(at(Some("2027-01-01"), None).is_err(), "what lies ahead");
    }

    #[test]
    fn only_whole_final_bars() {
        // It is 06:22:01.5 on a Tuesday.
        let bars = |interval, from, to| bars(interval, time(from), time(to), NOW);
        let minutes = |from, to| bars(Interval::M1, from, to);
        assert_eq!(minutes("2026-11-24T05:00", "now"), span("2026-11-24T05:00", "2026-11-24T06:21"));
        assert_eq!(
            minutes("2026-11-24T05:00:01", "2026-11-24T05:59:01"),
            span("2026-11-24T05:01", "2026-11-24T06:00"),
            "bars that open inside"
        );
        assert_eq!(minutes("2026-11-24T06:21:01", "now"), None);
        assert_eq!(bars(Interval::H1, "2026-11-23", "now"), span("2026-11-23", "2026-11-24T06:00"));
        // The week began yesterday and the month on the first: neither is over.
        let week = bars(Interval::W1, "2026-10-01", "now").unwrap();
        assert!(week.to <= time("2026-11-23") && week.to > time("2026-11-15"), "{week:?}");
        let month = bars(Interval::Month, "2026-01-01", "now").unwrap();
        assert!(month.to <= time("2026-11-01") && month.to > time("2026-09-01"), "{month:?}");
    }

    #[test]
    fn settlements_come_late() {
        let ends = settlements(time("2026-11-01"), NOW, NOW);
        assert_eq!(ends, Some(Span::new(time("2026-11-01"), NOW - FUNDING_LAG_MS)));
        assert_eq!(settlements(NOW - 60_000, NOW, NOW), None);
    }
}

//! Where the marks of an axis lie, and what they say.

use hl_core::TimeMs;

use crate::human;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Steps between marks of time.
const STEPS: [i64; 17] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
];

/// At most `most` marks between two times, each with what stands at it.
pub(super) fn times(from: TimeMs, to: TimeMs, most: i64) -> Vec<(TimeMs, String)> {
    let length = to.since(from).max(1);
    let fits = STEPS.into_iter().find(|step| length / step <= most.max(1));
    let step = fits.unwrap_or(length / most.max(1));
    let mut at = (from + (step - 1)).floor(step);
    let mut marks = Vec::new();
    while at <= to {
        let format = if at.0.rem_euclid(DAY) == 0 { "%m-%d" } else { "%H:%M" };
        marks.push((at, human::written(at, format)));
        at = at + step;
    }
    marks
}

/// At most about `most` round prices from `low` to `high`, each with what stands at it.
pub(super) fn prices(low: f64, high: f64, most: u32) -> Vec<(f64, String)> {
    let rough = (high - low) / f64::from(most.max(1));
    if !(rough.is_finite() && rough > 0.0) {
        return vec![(low, low.to_string())];
    }
    let power = rough.log10().floor();
    let step = [1.0, 2.0, 5.0, 10.0].map(|unit| unit * 10_f64.powf(power));
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    // As many places as the step has.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of places")]
    let places = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let mut marks = Vec::new();
    let mut price = (low / step).ceil() * step;
    while price <= high + step * 1e-9 {
        marks.push((price, format!("{price:.places$}")));
        price += step;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let words = |marks: Vec<(f64, String)>| marks.into_iter().map(|(_, word)| word).collect::<Vec<_>>();
        assert_eq!(words(prices(66_390.5, 66_512.0, 6)), ["66400", "66450", "66500"]);
        assert_eq!(words(prices(0.01234, 0.01251, 4)), ["0.01235", "0.01240", "0.01245", "0.01250"]);
        assert_eq!(words(prices(5.0, 5.0, 6)), ["5"], "a price that never moved");

        let begin = TimeMs(1_795_500_000_000 + 7 * MINUTE);
        let times = times(begin, begin + 19 * HOUR, 8);
        let words: Vec<_> = times.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(words, ["09:00", "12:00", "15:00", "18:00", "21:00", "11-25"]);
        assert!(times.iter().all(|(at, _)| at.0 % (3 * HOUR) == 0));
    }
}

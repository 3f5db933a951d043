//! Durations as people write them.

use std::time::Duration;

use super::ValueError;

/// Parses `90s`, `5m`, `2h`, `1h30m`, `250ms`, `7d`. Never zero.
///
/// # Errors
/// When the text has another form, a unit is missing, or the sum is zero or beyond counting.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let fail = || ValueError::Malformed {
        what: "a duration",
        text: text.to_owned(),
        example: "90s, 5m, 2h or 1h30m".to_owned(),
    };
    let mut sum = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fail()),
        };
        let number: u64 = number.parse().map_err(|_| fail())?;
        sum = number.checked_mul(unit_ms).and_then(|ms| sum.checked_add(ms)).ok_or_else(fail)?;
        rest = after;
    }
    if sum == 0 { Err(fail()) } else { Ok(Duration::from_millis(sum)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, ms) in [("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("7d", 604_800_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "0s", "90", "s", "-5s", "1.5h", "5 m", "5x", "99999999999999999999s", "300000000000d"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}

//! Signals: what the positions of the traders who are followed say of each coin.
//!
//! [`Known`] is what was known, taken row by row in the order of time. A [`Strategy`] sees it through a [`View`] and answers
//! with one [`Signal`] per coin; [`Consensus`] is the one of the Python collector that this project replaces, by
//! [`SignalRules`] that are all a user's to set. [`Change::judge`] tells what one trader did, [`Alerts`] what of all that is
//! worth telling, and [`Backtest`] what a strategy would have said of the past.
//!
//! - A position that is **unknown** is not flat: it counts on neither side, and how much of the weight it is is said.
//! - A signal says how old the oldest position is that it is built on, and is **withheld** where that is too old, or too much
//!   is unknown.
//! - Nobody can **look ahead**: a view is of rows that were taken, and none is given of a time before the last of these.
//!
//! Pure, and usable alone. What does not live here: following positions ([`tracker`](crate::tracker)), reading rows from a
//! store, storing signals, telling anyone of them, and any promise that they earn money.
//!
//! ```
//! use hl_core::{Coin, Decimal, TimeMs, record::HexBytes};
//! use hl_traders::signals::{Consensus, Held, Known, Position, Row, SignalRules, Strategy, What};
//!
//! let coin = Coin::new("BTC")?;
//! let mut known = Known::default();
//! for (n, score, size) in [(1, 90, 3), (2, 80, 1), (3, 60, -2)] {
//!     let (user, time) = (HexBytes([n; 20]), TimeMs(1_000));
//!     let position = Position::Exact(Held { size: Decimal::from(size), as_of: time });
//!     known.take(Row { time, what: What::Followed { user, score: Some(Decimal::from(score)) } })?;
//!     known.take(Row { time, what: What::Position { user, coin, position } })?;
//! }
//! known.take(Row { time: TimeMs(2_000), what: What::Price { coin, px: Decimal::from(60_000) } })?;
//!
//! let consensus = Consensus::new(SignalRules::default())?;
//! let signals = consensus.judge(&known.view(TimeMs(5_000))?);
//! // 1.7 of a weight of 2.3 is long, which is more than 0.6 of it.
//! assert_eq!(signals[0].to_string(), "BTC: long, confidence 0.5198");
//! assert_eq!(signals[0].basis.net_exposure, Some(Decimal::from(120_000)));
//! assert_eq!(signals[0].basis.oldest_ms, Some(4_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alert;
mod backtest;
mod basis;
mod change;
mod consensus;
#[cfg(test)]
mod fixture;
mod known;
mod now;
mod rules;
mod setting;
mod signal;
mod stored;

pub use alert::{Alert, Alerts};
pub use backtest::{Backtest, BacktestError, Bar, Run, Told};
pub use basis::Basis;
pub use change::{Action, Change, ChangeSignal};
pub use consensus::Consensus;
pub use hl_core::record::Recommendation;
pub use known::{Held, Known, Position, Price, Row, RowError, Trader, View, What};
pub use rules::{AlertRules, ChangeRules, ConfidenceRules, Part, SignalRules, WithholdRules};
pub use setting::NAMES;
pub use signal::{Signal, Strategy, Verdict, WithheldReason};
pub use stored::{StoredPositions, stored_rows};

use hl_core::Decimal;

/// To so many decimal places shares and confidences are told, halves to the even digit: as many as by the Python collector.
const PLACES: u32 = 4;

/// `part / whole`, 0 to 1, to 28 significant digits: 1 from the whole on, and 0 below nothing.
fn share(part: Decimal, whole: Decimal) -> Decimal {
    match part.checked_div(whole) {
        _ if part <= Decimal::ZERO => Decimal::ZERO,
        Some(share) if part < whole => share,
        _ => Decimal::ONE,
    }
}

/// A product; what is beyond a decimal is the largest one.
fn product(a: Decimal, b: Decimal) -> Decimal {
    a.checked_mul(b).unwrap_or(Decimal::MAX)
}

/// As it is told: to [`PLACES`], without zeros behind.
fn rounded(share: Decimal) -> Decimal {
    share.round_dp(PLACES).normalize()
}

#[cfg(test)]
mod tests {
    use super::fixture::decimal;
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_whole_and_never_more() {
        for (part, whole, expected) in [
            ("0", "4", "0"),
            ("1", "4", "0.25"),
            ("2", "3", "0.6667"),
            ("3.99", "4", "0.9975"),
            ("4", "4", "1"),
            ("5", "4", "1"),
            ("-1", "4", "0"),
            // Of nothing, everything is the whole; nothing is nothing.
            ("1", "0", "1"),
            ("0", "0", "0"),
            ("1", "-4", "1"),
            // Halves go to the even digit.
            ("0.00045", "1", "0.0004"),
            ("0.00055", "1", "0.0006"),
        ] {
            let share = rounded(share(decimal(part), decimal(whole)));
            assert_eq!(share.to_string(), expected, "{part} of {whole}");
        }
        assert_eq!(share(Decimal::ONE, Decimal::from(3)), decimal("0.3333333333333333333333333333"));
        assert_eq!(product(Decimal::MAX, decimal("2")), Decimal::MAX);
    }
}

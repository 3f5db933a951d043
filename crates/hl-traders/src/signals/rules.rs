//! The numbers behind signals. The defaults are those of the Python collector that this project replaces, where it has them.

use hl_core::Decimal;
use serde::Serialize;

/// A part of a confidence, in proportion to an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Part {
    /// The most that it brings, 0 to 1.
    pub most: Decimal,
    /// The amount, above 0, from which on it brings that.
    pub full: Decimal,
}

/// What a confidence is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ConfidenceRules {
    /// For the difference of long and short bias: 0.5 from 0.4 on.
    pub bias: Part,
    /// For the weight of all who are followed: 0.3 from 50 on.
    pub weight: Part,
    /// For how many hold a position: 0.2 from 100 on.
    pub traders: Part,
}

/// When a signal is withheld. The Python collector withholds none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct WithholdRules {
    /// The oldest position is of longer ago than this, ms: 900,000.
    pub age_ms: i64,
    /// More than this share of the weight is unknown, 0 to 1: 0.2.
    pub unknown_share: Decimal,
}

/// Which changes of one trader's position are signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ChangeRules {
    /// The weight of the trader is at least this, 0 to 1: 0.5.
    pub least_weight: Decimal,
    /// The size of the change at the last price is at least this, USD: 100,000.
    pub least_notional: Decimal,
}

/// Of what an alert is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct AlertRules {
    /// The confidence is so much higher or lower than when the last one was told, 0 to 1, above 0: 0.1.
    pub confidence_step: Decimal,
}

/// The numbers behind signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct SignalRules {
    /// The score, 0 to 100, of traders who have none: 50.
    pub unscored: Decimal,
    /// The share of the weight on one side above which that side is recommended, 0.5 to below 1: 0.6. At 0.6 exactly it is not.
    pub recommend_above: Decimal,
    /// What a confidence is made of.
    pub confidence: ConfidenceRules,
    /// When a signal is withheld.
    pub withhold: WithholdRules,
    /// Which changes of one trader's position are signals.
    pub change: ChangeRules,
    /// Of what an alert is told.
    pub alert: AlertRules,
}

impl Default for SignalRules {
    fn default() -> Self {
        let tenths = |tenths: i64| Decimal::new(tenths, 1);
        Self {
            unscored: 50.into(),
            recommend_above: tenths(6),
            confidence: ConfidenceRules {
                bias: Part { most: tenths(5), full: tenths(4) },
                weight: Part { most: tenths(3), full: 50.into() },
                traders: Part { most: tenths(2), full: 100.into() },
            },
            withhold: WithholdRules { age_ms: 900_000, unknown_share: tenths(2) },
            change: ChangeRules { least_weight: tenths(5), least_notional: 100_000.into() },
            alert: AlertRules { confidence_step: tenths(1) },
        }
    }
}

impl SignalRules {
    /// The weight of a trader, 0 to 1: a hundredth of the score. A score outside 0 to 100 is the nearer of both.
    #[must_use]
    pub fn weight(&self, score: Option<Decimal>) -> Decimal {
        let score = score.unwrap_or(self.unscored).clamp(Decimal::ZERO, Decimal::ONE_HUNDRED);
        score * Decimal::new(1, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::decimal;
    use super::*;

    #[test]
    fn a_weight_is_a_hundredth_of_the_score() {
        let rules = SignalRules { unscored: decimal("30"), ..SignalRules::default() };
        for (score, weight) in [
            (Some("0"), "0"),
            (Some("61.7301"), "0.617301"),
            (Some("100"), "1"),
            (Some("100.1"), "1"),
            (Some("-3"), "0"),
            (None, "0.3"),
        ] {
            assert_eq!(rules.weight(score.map(decimal)), decimal(weight), "{score:?}");
        }
        assert_eq!(SignalRules::default().weight(None), decimal("0.5"));
    }
}

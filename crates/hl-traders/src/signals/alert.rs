//! What of the signals is worth telling somebody.

use std::collections::BTreeMap;

use hl_core::{Coin, Decimal};

use super::{AlertRules, Recommendation, Signal, Verdict};

/// Something that is worth telling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alert {
    /// Another recommendation, or one where it was withheld, or it is withheld from now on.
    Verdict {
        /// Of which coin.
        coin: Coin,
        /// What was told last.
        from: Verdict,
        /// What is said now.
        to: Verdict,
    },
    /// The same recommendation, with another confidence.
    Confidence {
        /// Of which coin.
        coin: Coin,
        /// What is recommended, as before.
        recommendation: Recommendation,
        /// The confidence that was told last, 0 to 1.
        from: Decimal,
        /// The confidence now, 0 to 1.
        to: Decimal,
    },
}

/// Compares each signal with the last one of its coin that was told.
///
/// The first signal of a coin is told to nobody, and is what the next ones are compared with: after a restart, show it the last
/// ones that were told before.
#[derive(Clone, Debug)]
pub struct Alerts {
    rules: AlertRules,
    told: BTreeMap<Coin, Verdict>,
}

impl Alerts {
    /// Alerts by these rules, which [`SignalRules::check`](super::SignalRules::check) looks at.
    #[must_use]
    pub fn new(rules: AlertRules) -> Self {
        Self { rules, told: BTreeMap::new() }
    }

    /// Looks at the next signal of a coin.
    pub fn see(&mut self, signal: &Signal) -> Option<Alert> {
        let (coin, to) = (signal.coin, signal.verdict);
        let told = self.told.entry(coin).or_insert(to);
        let alert = match (*told, to) {
            (
                Verdict::Recommended { recommendation: before, confidence: from },
                Verdict::Recommended { recommendation, confidence },
            ) if before == recommendation => {
                let step = confidence.saturating_sub(from).abs();
                (step >= self.rules.confidence_step).then_some(Alert::Confidence {
                    coin,
                    recommendation,
                    from,
                    to: confidence,
                })
            }
            // Why it is withheld may be another reason each time; that it is, is told once.
            (Verdict::Withheld { .. }, Verdict::Withheld { .. }) => None,
            (from, _) => Some(Alert::Verdict { coin, from, to }),
        };
        if alert.is_some() {
            *told = to;
        }
        alert
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{coin, decimal};
    use super::super::{Basis, WithheldReason};
    use super::*;

    /// `long 0.5`, or `nobody` and `stale`, for which it is withheld.
    fn verdict(text: &str) -> Verdict {
        let withheld = |reason| Verdict::Withheld { reason };
        match text.split_once(' ') {
            None if text == "nobody" => withheld(WithheldReason::Nobody),
            None => withheld(WithheldReason::Stale { age_ms: 2, most_ms: 1 }),
            Some((word, confidence)) => {
                let all = [Recommendation::Long, Recommendation::Short, Recommendation::Neutral];
                let recommendation = all.into_iter().find(|of| of.as_str() == word).unwrap();
                Verdict::Recommended { recommendation, confidence: decimal(confidence) }
            }
        }
    }

    fn signal(name: &str, text: &str) -> Signal {
        Signal { coin: coin(name), verdict: verdict(text), basis: Basis::default() }
    }

    #[test]
    fn a_change_is_told_once_and_steps_count_from_the_last_that_was_told() {
        let mut alerts = Alerts::new(AlertRules { confidence_step: decimal("0.1") });
        let mut last = "long 0.5";
        for (text, expected) in [
            ("long 0.5", None),
            ("long 0.59", None),
            ("long 0.41", None),
            ("long 0.6", Some("confidence")),
            // Slowly is told as well, and counted from 0.6.
            ("long 0.55", None),
            ("long 0.51", None),
            ("long 0.5", Some("confidence")),
            ("short 0.5", Some("verdict")),
            ("short 0.5", None),
            ("neutral 0.59", Some("verdict")),
            ("neutral 0.68", None),
            ("nobody", Some("verdict")),
            ("nobody", None),
            ("stale", None),
            ("neutral 0.68", Some("verdict")),
            ("neutral 0.77", None),
            ("neutral 0.78", Some("confidence")),
        ] {
            let alert = alerts.see(&signal("BTC", text));
            let expected = expected.map(|kind| match (kind, verdict(last), verdict(text)) {
                (
                    "confidence",
                    Verdict::Recommended { confidence: from, .. },
                    Verdict::Recommended { recommendation, confidence: to },
                ) => Alert::Confidence { coin: coin("BTC"), recommendation, from, to },
                (_, from, to) => Alert::Verdict { coin: coin("BTC"), from, to },
            });
            assert_eq!(alert, expected, "{text}");
            if alert.is_some() {
                last = text;
            }
        }
    }

    #[test]
    fn the_first_of_a_coin_is_not_told_and_coins_are_apart() {
        let mut alerts = Alerts::new(AlertRules { confidence_step: decimal("0.1") });
        assert_eq!(alerts.see(&signal("BTC", "long 0.5")), None);
        assert_eq!(alerts.see(&signal("ETH", "short 0.9")), None);
        assert_eq!(alerts.see(&signal("BTC", "long 0.5")), None);
        assert!(alerts.see(&signal("ETH", "long 0.9")).is_some());
    }
}

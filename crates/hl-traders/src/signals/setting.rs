//! The rules of signals by name: `recommend_above=0.6`, `confidence.bias.full=0.4`, `withhold.age_ms=900000`.

use hl_core::Decimal;

use super::SignalRules;
use super::rules::Part;
use crate::setting::RuleError;

/// The names of all rules of signals.
pub const NAMES: [&str; 13] = [
    "unscored",
    "recommend_above",
    "confidence.bias.most",
    "confidence.bias.full",
    "confidence.weight.most",
    "confidence.weight.full",
    "confidence.traders.most",
    "confidence.traders.full",
    "withhold.age_ms",
    "withhold.unknown_share",
    "change.least_weight",
    "change.least_notional",
    "alert.confidence_step",
];

enum Number<'a> {
    Decimal(&'a mut Decimal),
    Ms(&'a mut i64),
}

fn of_part<'a>(part: &'a mut Part, name: &str) -> Option<&'a mut Decimal> {
    match name {
        "most" => Some(&mut part.most),
        "full" => Some(&mut part.full),
        _ => None,
    }
}

impl SignalRules {
    /// Sets a rule.
    ///
    /// # Errors
    /// When no rule has this name, or the rule does not take that text.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), RuleError> {
        let said = || (name.to_owned(), text.to_owned());
        match self.number(name).ok_or_else(|| RuleError::Unknown(name.to_owned()))? {
            Number::Decimal(rule) => {
                let (name, text) = said();
                *rule = text.trim().parse().map_err(|_| RuleError::Number { name, text })?;
            }
            Number::Ms(rule) => {
                let (name, text) = said();
                *rule = text.trim().parse().map_err(|_| RuleError::Milliseconds { name, text })?;
            }
        }
        Ok(())
    }

    /// What a rule is set to, as [`set`](Self::set) takes it. None where no rule has this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let mut rules = *self;
        Some(match rules.number(name)? {
            Number::Decimal(number) => number.to_string(),
            Number::Ms(ms) => ms.to_string(),
        })
    }

    /// Whether the rules go together.
    ///
    /// # Errors
    /// When both sides of a coin can be recommended at once or neither ever, a confidence can leave 0 to 1, an alert is told
    /// of no change at all, or a number is outside of its range.
    pub fn check(&self) -> Result<(), RuleError> {
        let (zero, one) = (Decimal::ZERO, Decimal::ONE);
        let parts = [
            ("bias", self.confidence.bias),
            ("weight", self.confidence.weight),
            ("traders", self.confidence.traders),
        ];
        let fails = |words: String| Err(RuleError::Contradiction(words));
        for (name, number, most) in [
            ("unscored", self.unscored, Decimal::ONE_HUNDRED),
            ("confidence.bias.most", self.confidence.bias.most, one),
            ("confidence.weight.most", self.confidence.weight.most, one),
            ("confidence.traders.most", self.confidence.traders.most, one),
            ("withhold.unknown_share", self.withhold.unknown_share, one),
            ("change.least_weight", self.change.least_weight, one),
            ("change.least_notional", self.change.least_notional, Decimal::MAX),
            ("alert.confidence_step", self.alert.confidence_step, one),
        ] {
            if number < zero {
                return fails(format!("{name} is not below 0, and {number} is"));
            }
            if number > most {
                return fails(format!("{name} is at most {most}, not {number}"));
            }
        }
        if self.recommend_above < Decimal::new(5, 1) || self.recommend_above >= one {
            return fails(format!("recommend_above is 0.5 to below 1, not {}", self.recommend_above));
        }
        if let Some((name, part)) = parts.iter().find(|(_, part)| part.full <= zero) {
            return fails(format!("confidence.{name}.full is above 0, not {}", part.full));
        }
        let sum: Decimal = parts.iter().map(|(_, part)| part.most).sum();
        if sum > one {
            return fails(format!("the parts of a confidence are 1 together at most, not {sum}"));
        }
        if self.withhold.age_ms < 0 {
            return fails(format!("withhold.age_ms is not below 0, and {} is", self.withhold.age_ms));
        }
        if self.alert.confidence_step.is_zero() {
            return fails("alert.confidence_step is above 0".to_owned());
        }
        Ok(())
    }

    fn number(&mut self, name: &str) -> Option<Number<'_>> {
        let number = match name {
            "unscored" => &mut self.unscored,
            "recommend_above" => &mut self.recommend_above,
            "withhold.age_ms" => return Some(Number::Ms(&mut self.withhold.age_ms)),
            "withhold.unknown_share" => &mut self.withhold.unknown_share,
            "change.least_weight" => &mut self.change.least_weight,
            "change.least_notional" => &mut self.change.least_notional,
            "alert.confidence_step" => &mut self.alert.confidence_step,
            _ => match name.strip_prefix("confidence.")?.split_once('.')? {
                ("bias", name) => of_part(&mut self.confidence.bias, name)?,
                ("weight", name) => of_part(&mut self.confidence.weight, name)?,
                ("traders", name) => of_part(&mut self.confidence.traders, name)?,
                _ => return None,
            },
        };
        Some(Number::Decimal(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_can_be_set_and_none_sets_another() {
        let mut seen = vec![SignalRules::default()];
        for name in NAMES {
            let text = if name.ends_with("_ms") { "777" } else { "0.777" };
            let mut rules = SignalRules::default();
            rules.set(name, &format!(" {text} ")).unwrap();
            assert_eq!(rules.get(name).unwrap(), text, "{name}");
            assert!(!seen.contains(&rules), "{name}");
            seen.push(rules);
        }
    }

    #[test]
    fn what_a_rule_does_not_take_is_said() {
        let said = |name: &str, text: &str| SignalRules::default().set(name, text).unwrap_err().to_string();
        assert_eq!(said("unscored", "much"), "unscored is a number, and \"much\" is not");
        assert_eq!(
            said("withhold.age_ms", "1.5"),
            "withhold.age_ms is a whole number of milliseconds, and \"1.5\" is not"
        );
        for name in
            ["score", "confidence.bias", "confidence.bias.least", "confidence.score.most", "bias.most"]
        {
            assert_eq!(said(name, "1"), format!("there is no rule {name:?}"));
            assert_eq!(SignalRules::default().get(name), None);
        }
    }

    #[test]
    fn rules_that_do_not_go_together_are_refused() {
        assert_eq!(SignalRules::default().check(), Ok(()));
        for (name, good, bad) in [
            ("unscored", &["0", "100"][..], &["-0.1", "100.1"][..]),
            ("recommend_above", &["0.5", "0.9999"], &["0.4999", "1", "-1"]),
            // The other parts are 0.5 by default.
            ("confidence.bias.most", &["0", "0.5"], &["-0.1", "0.5001", "1.1"]),
            ("confidence.weight.most", &["0", "0.3"], &["-0.1", "0.3001"]),
            ("confidence.traders.most", &["0", "0.2"], &["-0.1", "0.2001"]),
            ("confidence.bias.full", &["0.0001", "2"], &["0", "-1"]),
            ("confidence.weight.full", &["0.0001", "2"], &["0", "-1"]),
            ("confidence.traders.full", &["0.0001", "2"], &["0", "-1"]),
            ("withhold.age_ms", &["0", "1"], &["-1"]),
            ("withhold.unknown_share", &["0", "1"], &["-0.1", "1.1"]),
            ("change.least_weight", &["0", "1"], &["-0.1", "1.1"]),
            ("change.least_notional", &["0", "1000000000"], &["-0.1"]),
            ("alert.confidence_step", &["0.0001", "1"], &["0", "-0.1", "1.1"]),
        ] {
            let with = |text: &str| {
                let mut rules = SignalRules::default();
                rules.set(name, text).unwrap();
                rules.check()
            };
            for text in good {
                assert_eq!(with(text), Ok(()), "{name}={text}");
            }
            for text in bad {
                assert!(matches!(with(text), Err(RuleError::Contradiction(_))), "{name}={text}");
            }
        }
    }
}

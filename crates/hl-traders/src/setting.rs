//! Rules by name: `minimum_score=60`, `score.month_roi.most=30`, `always=0x…`.

use std::collections::BTreeSet;

use hl_core::Decimal;
use hl_core::record::Address;

use crate::score::{Slope, Step};
use crate::selection::Rules;

/// A rule that cannot be set so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No rule has this name.
    #[error("there is no rule {0:?}")]
    Unknown(String),
    /// Not a number.
    #[error("{name} is a number, and {text:?} is not")]
    Number {
        /// The rule.
        name: String,
        /// What was said.
        text: String,
    },
    /// Not a length of time.
    #[error("{name} is a whole number of milliseconds, and {text:?} is not")]
    Milliseconds {
        /// The rule.
        name: String,
        /// What was said.
        text: String,
    },
    /// Not the address of a trader.
    #[error("{name} takes addresses, 0x and 40 hexadecimal digits, and {text:?} is not one")]
    Address {
        /// The rule.
        name: String,
        /// What was said.
        text: String,
    },
    /// Rules that do not go together.
    #[error("{0}")]
    Contradiction(String),
    /// Not steps.
    #[error(
        "{name} takes steps, USD:POINTS with a comma between (10000000:15,5000000:12), and {text:?} is not that"
    )]
    Steps {
        /// The rule.
        name: String,
        /// What was said.
        text: String,
    },
}

/// The names of all rules.
pub const NAMES: [&str; 24] = [
    "always",
    "never",
    "minimum_score",
    "score.all_time_roi.points_per_one",
    "score.all_time_roi.most",
    "score.all_time_roi.least",
    "score.month_roi.points_per_one",
    "score.month_roi.most",
    "score.month_roi.least",
    "score.week_roi.points_per_one",
    "score.week_roi.most",
    "score.week_roi.least",
    "score.account_value",
    "score.month_volume",
    "score.consistent",
    "tags.whale",
    "tags.large",
    "tags.top_performer",
    "tags.good_performer",
    "tags.high_volume",
    "tags.medium_volume",
    "position.day_roi",
    "position.day_pnl_share",
    "position.day_volume",
];

impl Rules {
    /// Sets a rule. Addresses of `always` and `never` are added to those that are there.
    ///
    /// # Errors
    /// When no rule has this name, or the rule does not take that text.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), RuleError> {
        let named = || name.to_owned();
        let said = |text: &str| text.to_owned();
        let number = |text: &str| {
            text.trim().parse().map_err(|_| RuleError::Number { name: named(), text: said(text) })
        };
        let addresses = || {
            let address = |text: &str| {
                Address::parse(text.trim())
                    .ok_or_else(|| RuleError::Address { name: named(), text: said(text) })
            };
            text.split(',').map(address).collect::<Result<Vec<_>, _>>()
        };
        let steps = || {
            let step = |text: &str| {
                let (from, points) = text.split_once(':')?;
                Some(Step { from: from.trim().parse().ok()?, points: points.trim().parse().ok()? })
            };
            let steps: Option<Vec<_>> = text.split(',').map(step).collect();
            steps.ok_or_else(|| RuleError::Steps { name: named(), text: said(text) })
        };
        match name {
            "always" => self.always.extend(addresses()?),
            "never" => self.never.extend(addresses()?),
            "score.account_value" => self.score.account_value = steps()?,
            "score.month_volume" => self.score.month_volume = steps()?,
            _ => {
                let number: Decimal = number(text)?;
                let rule = self.number(name).ok_or_else(|| RuleError::Unknown(named()))?;
                match rule {
                    Number::One(rule) => *rule = number,
                    Number::Bound(rule) => *rule = Some(number),
                }
            }
        }
        Ok(())
    }

    /// Whether the rules go together.
    ///
    /// # Errors
    /// When a score of no trader can be good enough, bounds are turned round, or a trader is to be tracked always and never.
    pub fn check(&self) -> Result<(), RuleError> {
        let fails = |words: String| Err(RuleError::Contradiction(words));
        if !(Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(&self.minimum_score) {
            return fails(format!("minimum_score is 0 to 100, not {}", self.minimum_score));
        }
        let slopes = [
            ("all_time_roi", &self.score.all_time_roi),
            ("month_roi", &self.score.month_roi),
            ("week_roi", &self.score.week_roi),
        ];
        for (name, slope) in slopes {
            if slope.least.is_some_and(|least| least > slope.most) {
                return fails(format!("score.{name}.least is above score.{name}.most"));
            }
        }
        match self.always.intersection(&self.never).next() {
            Some(user) => fails(format!("{user} is named by always and by never")),
            None => Ok(()),
        }
    }

    /// What a rule is set to, as [`set`](Self::set) takes it; empty where nothing is set. None where no rule has this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let steps = |steps: &[Step]| {
            let words: Vec<_> =
                steps.iter().map(|Step { from, points }| format!("{from}:{points}")).collect();
            words.join(",")
        };
        let addresses =
            |users: &BTreeSet<Address>| users.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Some(match name {
            "always" => addresses(&self.always),
            "never" => addresses(&self.never),
            "score.account_value" => steps(&self.score.account_value),
            "score.month_volume" => steps(&self.score.month_volume),
            _ => match self.clone().number(name)? {
                Number::One(number) => number.to_string(),
                Number::Bound(number) => number.map(|number| number.to_string()).unwrap_or_default(),
            },
        })
    }

    fn number(&mut self, name: &str) -> Option<Number<'_>> {
        let (group, rest) = name.split_once('.').unwrap_or(("", name));
        let (score, tags, position) = (&mut self.score, &mut self.tags, &mut self.position);
        Some(match (group, rest.split_once('.').unwrap_or((rest, ""))) {
            ("", ("minimum_score", "")) => Number::One(&mut self.minimum_score),
            ("score", ("consistent", "")) => Number::One(&mut score.consistent),
            ("score", ("all_time_roi", part)) => of_slope(&mut score.all_time_roi, part)?,
            ("score", ("month_roi", part)) => of_slope(&mut score.month_roi, part)?,
            ("score", ("week_roi", part)) => of_slope(&mut score.week_roi, part)?,
            ("tags", ("whale", "")) => Number::One(&mut tags.whale),
            ("tags", ("large", "")) => Number::One(&mut tags.large),
            ("tags", ("top_performer", "")) => Number::One(&mut tags.top_performer),
            ("tags", ("good_performer", "")) => Number::One(&mut tags.good_performer),
            ("tags", ("high_volume", "")) => Number::One(&mut tags.high_volume),
            ("tags", ("medium_volume", "")) => Number::One(&mut tags.medium_volume),
            ("position", ("day_roi", "")) => Number::One(&mut position.day_roi),
            ("position", ("day_pnl_share", "")) => Number::One(&mut position.day_pnl_share),
            ("position", ("day_volume", "")) => Number::One(&mut position.day_volume),
            _ => return None,
        })
    }
}

enum Number<'a> {
    One(&'a mut Decimal),
    Bound(&'a mut Option<Decimal>),
}

fn of_slope<'a>(slope: &'a mut Slope, part: &str) -> Option<Number<'a>> {
    Some(match part {
        "points_per_one" => Number::One(&mut slope.points_per_one),
        "most" => Number::One(&mut slope.most),
        "least" => Number::Bound(&mut slope.least),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_can_be_set_and_none_sets_another() {
        let user = format!("0x{:040x}", 7);
        let mut seen = vec![Rules::default()];
        for name in NAMES {
            let text = match name {
                "always" | "never" => user.as_str(),
                "score.account_value" | "score.month_volume" => "7:1, 9:2",
                _ => "0.777",
            };
            let mut rules = Rules::default();
            rules.set(name, text).unwrap();
            assert_eq!(rules.get(name).unwrap(), text.replace(' ', ""), "{name}");
            assert!(!seen.contains(&rules), "{name}");
            seen.push(rules);
        }
    }

    #[test]
    fn what_a_rule_does_not_take_is_said() {
        let said = |name: &str, text: &str| Rules::default().set(name, text).unwrap_err().to_string();
        assert_eq!(said("minimum_scores", "5"), "there is no rule \"minimum_scores\"");
        assert_eq!(said("minimum_score", "much"), "minimum_score is a number, and \"much\" is not");
        assert!(said("always", "0x12").contains("40 hexadecimal digits"));
        assert!(said("score.account_value", "10").contains("USD:POINTS"));
        assert!(said("score.week_roi.top", "1").contains("no rule"));
    }
}

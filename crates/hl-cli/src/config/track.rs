//! Whom to track.

use hl_traders::{NAMES, RuleError, Rules};

use super::place::Sourced;
use super::{Place, ValueError};

/// The most traders that can be tracked: more than any leaderboard has.
pub(super) const MOST: usize = 100_000;

/// The rules where `most` traders are to be tracked, changed by what is said, in its order.
pub(super) fn rules(most: Option<usize>, words: &[Sourced]) -> Result<Option<Rules>, (Place, ValueError)> {
    let mut rules = Rules::default();
    for word in words {
        let fail = |problem| (word.place.clone(), problem);
        let Some((name, value)) = word.text.split_once('=') else {
            return Err(fail(ValueError::Malformed {
                what: "a rule",
                text: word.text.clone(),
                example: "minimum_score=60 or never=0x…".to_owned(),
            }));
        };
        if most.is_none() {
            return Err(fail(ValueError::RuleWithoutTrack));
        }
        rules.set(name.trim(), value).map_err(|error| match error {
            RuleError::Unknown(name) => fail(ValueError::unknown("rule", &name, NAMES)),
            error => fail(ValueError::Rule(error)),
        })?;
    }
    let last = words.last().map(|word| word.place.clone());
    match (rules.check(), last) {
        (Err(error), Some(place)) => Err((place, ValueError::Rule(error))),
        _ => Ok(most.map(|track| Rules { track, ..rules })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(most: Option<usize>, words: &[&str]) -> Result<Option<Rules>, String> {
        let place = Place::Flag("track-rule");
        let words: Vec<_> =
            words.iter().map(|&text| Sourced { text: text.to_owned(), place: place.clone() }).collect();
        rules(most, &words).map_err(|(place, problem)| format!("{place}: {problem}"))
    }

    #[test]
    fn rules_change_the_defaults_one_by_one() {
        assert_eq!(said(None, &[]), Ok(None));
        let user = format!("0x{:040x}", 5);
        let rules = said(Some(7), &["minimum_score = 60", &format!("always={user}")]).unwrap().unwrap();
        assert_eq!((rules.track, rules.minimum_score, rules.always.len()), (7, 60.into(), 1));
        assert_eq!(rules.score, Rules::default().score);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_would_be() {
        for (most, word, told) in [
            (
                Some(7),
                "minimum_score",
                "--track-rule: \"minimum_score\" is not a rule; write it like minimum_score=60",
            ),
            (Some(7), "minimum_scor=5", "did you mean \"minimum_score\"?"),
            (Some(7), "minimum_score=x", "minimum_score is a number"),
            (Some(7), "never=me", "40 hexadecimal digits"),
            (Some(7), "minimum_score=1000", "minimum_score is 0 to 100"),
            (Some(7), "score.week_roi.least=30", "score.week_roi.least is above score.week_roi.most"),
            (None, "minimum_score=60", "--track-rule needs --track N"),
        ] {
            let error = said(most, &[word]).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

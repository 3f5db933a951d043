//! Whom to track.

use hl_traders::{NAMES, RuleError, Rules, SignalRules, signals};

use super::place::Sourced;
use super::{Place, ValueError};

/// The most traders that can be tracked: more than any leaderboard has.
pub(super) const MOST: usize = 100_000;

/// What stands before the name of a rule of signals.
const OF_SIGNALS: &str = "signals.";

/// The rules where traders are tracked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackRules {
    /// Whom to track.
    pub rules: Rules,
    /// What their positions say.
    pub signals: SignalRules,
}

/// The rules where `most` traders are to be tracked, changed by what is said, in its order.
pub(super) fn rules(
    most: Option<usize>,
    words: &[Sourced],
) -> Result<Option<TrackRules>, (Place, ValueError)> {
    let (mut rules, mut signals) = (Rules::default(), SignalRules::default());
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
        let name = name.trim();
        let set = match name.strip_prefix(OF_SIGNALS) {
            Some(of_signals) => signals.set(of_signals, value),
            None => rules.set(name, value),
        };
        set.map_err(|error| match error {
            RuleError::Unknown(_) => {
                let names = names();
                fail(ValueError::unknown("rule", name, names.iter().map(String::as_str)))
            }
            error => fail(ValueError::Rule(error)),
        })?;
    }
    let last = words.last().map(|word| word.place.clone());
    match (rules.check().and_then(|()| signals.check()), last) {
        (Err(error), Some(place)) => Err((place, ValueError::Rule(error))),
        _ => Ok(most.map(|track| TrackRules { rules: Rules { track, ..rules }, signals })),
    }
}

/// The names of all rules.
fn names() -> Vec<String> {
    let of_signals = signals::NAMES.iter().map(|name| format!("{OF_SIGNALS}{name}"));
    NAMES.iter().map(|name| (*name).to_owned()).chain(of_signals).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(most: Option<usize>, words: &[&str]) -> Result<Option<TrackRules>, String> {
        let place = Place::Flag("track-rule");
        let words: Vec<_> =
            words.iter().map(|&text| Sourced { text: text.to_owned(), place: place.clone() }).collect();
        rules(most, &words).map_err(|(place, problem)| format!("{place}: {problem}"))
    }

    #[test]
    fn rules_change_the_defaults_one_by_one() {
        assert_eq!(said(None, &[]), Ok(None));
        let user = format!("0x{:040x}", 5);
        let words = ["minimum_score = 60", &format!("always={user}"), "signals.alert.confidence_step=0.2"];
        let TrackRules { rules, signals } = said(Some(7), &words).unwrap().unwrap();
        assert_eq!(signals.alert.confidence_step.to_string(), "0.2");
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
            (Some(7), "signals.recommend_abov=0.7", "did you mean \"signals.recommend_above\"?"),
            (Some(7), "signals.recommend_above=0.4", "recommend_above is 0.5 to below 1"),
            (None, "minimum_score=60", "--track-rule needs --track N"),
        ] {
            let error = said(most, &[word]).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

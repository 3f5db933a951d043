//! The strategy of the Python collector: what most of the weight does.

use hl_core::{Coin, Decimal};

use super::rules::Part;
use super::{
    Basis, Recommendation, Signal, SignalRules, Strategy, Verdict, View, WithheldReason, product, rounded,
    share,
};
use crate::setting::RuleError;

/// Recommends the side that has most of the weight, where that is clear. All numbers are [`SignalRules`]:
///
/// - The weight of a trader is `score / 100`.
/// - Long bias is the share of the weight of **all** who are followed, those that are flat or unknown too, that is long; short
///   bias the same of short.
/// - `long` where long bias `> 0.6`, otherwise `short` where short bias `> 0.6`, otherwise `neutral`. The comparison is that of
///   the Python collector: at 0.6 exactly neither side is recommended. It is made on the weights, before anything is rounded.
/// - Confidence, 0 to 1, is the sum of `0.5 * min(|long bias - short bias| / 0.4, 1)`, `0.3 * min(total weight / 50, 1)` and
///   `0.2 * min(traders with a position / 100, 1)`, to four places, halves to the even digit.
///
/// Otherwise than there, those of whom nothing is known are counted, and a signal is withheld, by the first reason that holds:
/// nobody with a weight is followed; more than the allowed share of the weight is unknown, or everything is; the oldest
/// position is older than allowed.
#[derive(Clone, Debug)]
pub struct Consensus {
    rules: SignalRules,
}

impl Consensus {
    /// The strategy by these rules.
    ///
    /// # Errors
    /// When the rules do not go together.
    pub fn new(rules: SignalRules) -> Result<Self, RuleError> {
        rules.check()?;
        Ok(Self { rules })
    }

    fn signal(&self, view: &View<'_>, coin: Coin) -> Signal {
        let basis = Basis::of(view, coin, |trader| self.rules.weight(trader.score));
        let verdict = match self.withheld(&basis) {
            Some(reason) => Verdict::Withheld { reason },
            None => Verdict::Recommended {
                recommendation: self.recommendation(&basis),
                confidence: self.confidence(&basis),
            },
        };
        Signal { coin, verdict, basis }
    }

    fn withheld(&self, basis: &Basis) -> Option<WithheldReason> {
        let rules = self.rules.withhold;
        if basis.total_weight.is_zero() {
            return Some(WithheldReason::Nobody);
        }
        let Some(age_ms) = basis
            .oldest_ms
            .filter(|_| basis.unknown_weight <= product(rules.unknown_share, basis.total_weight))
        else {
            return Some(WithheldReason::Unknown { share: basis.unknown_share(), most: rules.unknown_share });
        };
        (age_ms > rules.age_ms).then_some(WithheldReason::Stale { age_ms, most_ms: rules.age_ms })
    }

    fn recommendation(&self, basis: &Basis) -> Recommendation {
        let least = product(self.rules.recommend_above, basis.total_weight);
        if basis.long_weight > least {
            Recommendation::Long
        } else if basis.short_weight > least {
            Recommendation::Short
        } else {
            Recommendation::Neutral
        }
    }

    fn confidence(&self, basis: &Basis) -> Decimal {
        let rules = self.rules.confidence;
        let bring = |part: Part, amount, full| product(part.most, share(amount, full));
        // The difference of the biases is that of the weights, by the total weight.
        let difference = (basis.long_weight - basis.short_weight).abs();
        let parts = [
            bring(rules.bias, difference, product(rules.bias.full, basis.total_weight)),
            bring(rules.weight, basis.total_weight, rules.weight.full),
            bring(rules.traders, basis.traders_with_position().into(), rules.traders.full),
        ];
        rounded(parts.iter().sum())
    }
}

impl Strategy for Consensus {
    fn name(&self) -> &str {
        "consensus"
    }

    fn judge(&self, view: &View<'_>) -> Vec<Signal> {
        view.coins().into_iter().map(|coin| self.signal(view, coin)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{NOW, coin, decimal, scene};
    // Both globs have a trait of that name.
    use super::super::Strategy as _;
    use super::*;

    fn judged(rules: SignalRules, traders: &[(&str, &str)]) -> Signal {
        let known = scene(traders, Some("100"));
        let mut signals = Consensus::new(rules).unwrap().judge(&known.view(NOW).unwrap());
        assert_eq!((signals.len(), signals[0].coin), (1, coin("BTC")));
        signals.remove(0)
    }

    fn said(traders: &[(&str, &str)]) -> String {
        judged(SignalRules::default(), traders).verdict.to_string()
    }

    /// So many traders with one score and position.
    fn times<'a>(n: usize, score: &'a str, position: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![(score, position); n]
    }

    fn recommendation(traders: &[(&str, &str)]) -> &'static str {
        match judged(SignalRules::default(), traders).verdict {
            Verdict::Recommended { recommendation, .. } => recommendation.as_str(),
            Verdict::Withheld { .. } => "withheld",
        }
    }

    fn confidence(traders: &[(&str, &str)]) -> String {
        match judged(SignalRules::default(), traders).verdict {
            Verdict::Recommended { confidence, .. } => confidence.to_string(),
            Verdict::Withheld { .. } => "withheld".to_owned(),
        }
    }

    #[test]
    fn a_side_is_recommended_above_0_6_of_the_weight_of_all() {
        for (traders, expected) in [
            (&[("60", "1"), ("40", "0")][..], "neutral"),
            (&[("60.0001", "1"), ("39.9999", "0")], "long"),
            (&[("60", "-1"), ("40", "0")], "neutral"),
            (&[("60.0001", "-1"), ("39.9999", "0")], "short"),
            (&[("60", "1"), ("40", "-1")], "neutral"),
            (&[("60.0001", "1"), ("39.9999", "-1")], "long"),
            (&[("50", "1"), ("50", "-1")], "neutral"),
            (&[("90", "0"), ("90", "0")], "neutral"),
            // Weight decides, and neither heads nor sizes do.
            (&[("90", "0.001"), ("20", "-900"), ("20", "-900")], "long"),
            // A part of the weight that is unknown is on neither side, and in the whole.
            (&[("61", "1"), ("19", "0"), ("20", "?")], "long"),
            (&[("60", "1"), ("20", "0"), ("20", "?")], "neutral"),
            (&[("60", "1"), ("20", "0"), ("20", "")], "neutral"),
            // What is in doubt counts as far as it is known.
            (&[("61", "1~"), ("39", "0~")], "long"),
            // Who has no score weighs half.
            (&[("", "1"), ("33.3333", "0")], "long"),
            (&[("", "1"), ("33.3334", "0")], "neutral"),
        ] {
            assert_eq!(recommendation(traders), expected, "{traders:?}");
        }
    }

    #[test]
    fn confidence_is_full_from_a_difference_of_0_4_on() {
        // Two traders with a position, of a weight of 1: 0.006 and 0.004 are not of the difference.
        for (long, short, expected) in [
            ("50", "50", "0.01"),
            ("50.1", "49.9", "0.0125"),
            ("60", "40", "0.26"),
            ("69.9", "30.1", "0.5075"),
            ("70", "30", "0.51"),
            ("70.1", "29.9", "0.51"),
            ("30", "70", "0.51"),
            ("30.1", "69.9", "0.5075"),
        ] {
            assert_eq!(confidence(&[(long, "1"), (short, "-1")]), expected, "{long} {short}");
        }
        // It is a share of the weight: 0.2 of 4, and the rest is 0.024 and 0.008.
        let traders = [times(2, "80", "1"), times(2, "40", "-1"), times(2, "80", "0")].concat();
        assert_eq!(confidence(&traders), "0.282");
    }

    #[test]
    fn confidence_is_full_from_a_weight_of_50_on() {
        for (n, more, expected) in [
            (1, "100", "0.012"),
            (24, "100", "0.15"),
            (49, "99", "0.2999"),
            (49, "100", "0.3"),
            (50, "100", "0.3"),
        ] {
            let traders = [times(n, "100", "0"), times(1, more, "0")].concat();
            assert_eq!(confidence(&traders), expected, "{n} and {more}");
        }
        // 0.00045: halves go to the even digit.
        assert_eq!(confidence(&[("7.5", "0")]), "0.0004");
    }

    #[test]
    fn confidence_is_full_from_100_traders_with_a_position_on() {
        // A weight of 1 for 100 of them; flat ones bring nothing but their weight, of zero here.
        for (pairs, flat, expected) in
            [(1, 0, "0.0041"), (49, 0, "0.2019"), (49, 50, "0.2019"), (50, 0, "0.206"), (51, 0, "0.2061")]
        {
            let traders = [times(pairs, "1", "1"), times(pairs, "1", "-1"), times(flat, "0", "0")].concat();
            assert_eq!(confidence(&traders), expected, "{pairs} pairs, {flat} flat");
        }
        let everyone = times(100, "100", "1");
        assert_eq!(said(&everyone), "long, confidence 1");
    }

    #[test]
    fn too_little_is_known_to_say_anything() {
        let unknown = |share: &str| format!("withheld: {share} of the weight is unknown, at most 0.2 may be");
        let stale = "withheld: the oldest position is of 900001 ms ago, at most 900000 ms are allowed";
        for (traders, expected) in [
            (&[][..], "withheld: nobody with a weight is followed".to_owned()),
            (&[("0", "1")], "withheld: nobody with a weight is followed".to_owned()),
            (&[("50", "?"), ("60", "")], unknown("1")),
            (&[("80", "1"), ("20", "?")], "long, confidence 0.508".to_owned()),
            (&[("79.9", "1"), ("20.1", "?")], unknown("0.201")),
            (&[("80", "1@900000"), ("20", "0")], "long, confidence 0.508".to_owned()),
            (&[("80", "1@900001"), ("20", "0")], stale.to_owned()),
            (&[("80", "1"), ("20", "0@900001")], stale.to_owned()),
            // The first reason is told.
            (&[("70", "1@900001"), ("30", "?")], unknown("0.3")),
        ] {
            assert_eq!(said(traders), expected, "{traders:?}");
        }
    }

    #[test]
    fn where_everything_is_unknown_no_limit_lets_it_through() {
        let mut rules = SignalRules::default();
        rules.set("withhold.unknown_share", "1").unwrap();
        let most = Decimal::ONE;
        let reason = WithheldReason::Unknown { share: most, most };
        assert_eq!(judged(rules, &[("50", "?")]).verdict, Verdict::Withheld { reason });
        assert!(matches!(judged(rules, &[("99", "?"), ("1", "0")]).verdict, Verdict::Recommended { .. }));
    }

    #[test]
    fn each_rule_is_followed() {
        let traders = &[("70", "1"), ("30", "-1")];
        for (name, text, expected) in [
            ("recommend_above", "0.7", "neutral, confidence 0.51"),
            ("confidence.bias.most", "0.1", "long, confidence 0.11"),
            ("confidence.bias.full", "0.8", "long, confidence 0.26"),
            ("confidence.weight.most", "0.2", "long, confidence 0.508"),
            ("confidence.weight.full", "2", "long, confidence 0.654"),
            ("confidence.traders.most", "0.1", "long, confidence 0.508"),
            ("confidence.traders.full", "4", "long, confidence 0.606"),
        ] {
            let mut rules = SignalRules::default();
            rules.set(name, text).unwrap();
            assert_eq!(judged(rules, traders).verdict.to_string(), expected, "{name}={text}");
        }
        let mut rules = SignalRules::default();
        rules.set("unscored", "100").unwrap();
        assert_eq!(judged(rules, &[("", "1")]).basis.total_weight, Decimal::ONE);
        rules.set("recommend_above", "0.3").unwrap();
        assert!(Consensus::new(rules).is_err(), "rules are checked");
    }

    proptest! {
        #[test]
        fn what_is_said_stays_within_its_bounds_and_turns_with_the_sides(
            traders in prop::collection::vec((0_u32..=1_000_000, -2_i64..=2, 0_u8..5), 0..40),
        ) {
            let signal = |sign: i64| {
                let texts: Vec<_> = traders.iter().map(|(score, size, unknown)| {
                    let position = if *unknown == 0 { "?".to_owned() } else { (sign * size).to_string() };
                    (Decimal::new((*score).into(), 4).to_string(), position)
                }).collect();
                let of: Vec<_> = texts.iter().map(|(score, held)| (score.as_str(), held.as_str())).collect();
                judged(SignalRules::default(), &of)
            };
            let (there, back) = (signal(1), signal(-1));
            let basis = &there.basis;
            let known = basis.traders_with_position() + basis.traders_flat;
            prop_assert_eq!(known + basis.traders_unknown, traders.len());
            prop_assert!(basis.long_weight + basis.short_weight + basis.unknown_weight <= basis.total_weight);
            prop_assert_eq!(basis.long_bias(), back.basis.short_bias());
            prop_assert_eq!(basis.net_exposure, back.basis.net_exposure.map(|net| -net));
            match (there.verdict, back.verdict) {
                (
                    Verdict::Recommended { recommendation: there, confidence },
                    Verdict::Recommended { recommendation: back, confidence: same },
                ) => {
                    prop_assert!(confidence == same && confidence >= decimal("0") && confidence <= decimal("1"));
                    prop_assert_eq!(there == Recommendation::Long, back == Recommendation::Short);
                    prop_assert_eq!(there == Recommendation::Short, back == Recommendation::Long);
                }
                (there, back) => prop_assert_eq!(there, back),
            }
        }
    }
}

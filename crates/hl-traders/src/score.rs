//! The score of a trader, 0 to 100, what the trader is known for, and whether a position is likely: pure, by numbers that are
//! all a user's to set. The defaults are those of the Python collector that this project replaces.

use hl_core::Decimal;
use hl_core::record::Leader;
use serde::Serialize;

/// Points in proportion to a return, within bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Slope {
    /// Points for a return of 1, which is 100 %.
    pub points_per_one: Decimal,
    /// The most points.
    pub most: Decimal,
    /// The fewest points; none where they have no lower bound.
    pub least: Option<Decimal>,
}

impl Slope {
    fn points(&self, roi: Option<Decimal>) -> Decimal {
        let Some(roi) = roi else { return Decimal::ZERO };
        // Beyond what a decimal holds it is beyond the bounds as well.
        let is_below = roi.is_sign_negative() != self.points_per_one.is_sign_negative();
        let beyond = if is_below { Decimal::MIN } else { Decimal::MAX };
        let points = roi.checked_mul(self.points_per_one).unwrap_or(beyond).min(self.most);
        self.least.map_or(points, |least| points.max(least))
    }
}

/// Points for an amount: those of the first step that it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// From this amount on, USD.
    pub from: Decimal,
    /// So many points.
    pub points: Decimal,
}

fn points(steps: &[Step], amount: Option<Decimal>) -> Decimal {
    let reached = steps.iter().filter(|step| amount.is_some_and(|amount| amount >= step.from));
    reached.max_by_key(|step| step.from).map_or(Decimal::ZERO, |step| step.points)
}

/// What a score is made of. The sum is cut to 0 to 100.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ScoreRules {
    /// For the return since the account was opened: 30 points for 100 %, 30 at most.
    pub all_time_roi: Slope,
    /// For the return of the month: 50 points for 100 %, 25 at most.
    pub month_roi: Slope,
    /// For the return of the week: 100 points for 100 %, -10 to 20.
    pub week_roi: Slope,
    /// For the value of the account: 15 from 10 M USD, 12 from 5 M, 8 from 1 M, 4 from 100,000.
    pub account_value: Vec<Step>,
    /// For the volume of the month: 10 from 100 M USD, 7 from 50 M, 4 from 10 M, 2 from 1 M.
    pub month_volume: Vec<Step>,
    /// Where the returns of day, week and month are all above zero: 5.
    pub consistent: Decimal,
}

/// The tags, of size, performance and volume the higher one first.
pub const TAGS: [&str; 7] =
    ["whale", "large", "top_performer", "good_performer", "consistent", "high_volume", "medium_volume"];

/// What a trader has to have done for each tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TagRules {
    /// `whale`: value of the account, USD, 10 M.
    pub whale: Decimal,
    /// `large`: value of the account, USD, 1 M. No whale is large as well.
    pub large: Decimal,
    /// `top_performer`: return since the account was opened, a fraction, 1.
    pub top_performer: Decimal,
    /// `good_performer`: the same, 0.5. No top performer is a good one as well.
    pub good_performer: Decimal,
    /// `high_volume`: volume of the month, USD, 100 M.
    pub high_volume: Decimal,
    /// `medium_volume`: the same, 10 M. No high volume is a medium one as well.
    pub medium_volume: Decimal,
}

/// From when on a trader is likely to hold a position: one of these is enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PositionRules {
    /// The return of the day, a fraction, whatever its sign, is above this: 0.0001.
    pub day_roi: Decimal,
    /// The profit or loss of the day is above this part of the account's value: 0.001.
    pub day_pnl_share: Decimal,
    /// The volume of the day, USD, is above this: 100,000.
    pub day_volume: Decimal,
}

fn usd(amount: i64) -> Decimal {
    Decimal::from(amount)
}

fn steps(steps: [(i64, i64); 4]) -> Vec<Step> {
    steps.into_iter().map(|(from, points)| Step { from: usd(from), points: usd(points) }).collect()
}

impl Default for ScoreRules {
    fn default() -> Self {
        let slope = |points_per_one: i64, most: i64, least: Option<i64>| Slope {
            points_per_one: points_per_one.into(),
            most: most.into(),
            least: least.map(Decimal::from),
        };
        Self {
            all_time_roi: slope(30, 30, None),
            month_roi: slope(50, 25, None),
            week_roi: slope(100, 20, Some(-10)),
            account_value: steps([(10_000_000, 15), (5_000_000, 12), (1_000_000, 8), (100_000, 4)]),
            month_volume: steps([(100_000_000, 10), (50_000_000, 7), (10_000_000, 4), (1_000_000, 2)]),
            consistent: usd(5),
        }
    }
}

impl Default for TagRules {
    fn default() -> Self {
        Self {
            whale: usd(10_000_000),
            large: usd(1_000_000),
            top_performer: Decimal::ONE,
            good_performer: Decimal::new(5, 1),
            high_volume: usd(100_000_000),
            medium_volume: usd(10_000_000),
        }
    }
}

impl Default for PositionRules {
    fn default() -> Self {
        Self { day_roi: Decimal::new(1, 4), day_pnl_share: Decimal::new(1, 3), day_volume: usd(100_000) }
    }
}

/// Whether the returns of day, week and month are all above zero.
fn is_consistent(leader: &Leader) -> bool {
    [leader.day_roi, leader.week_roi, leader.month_roi]
        .iter()
        .all(|roi| roi.is_some_and(|roi| roi > Decimal::ZERO))
}

impl ScoreRules {
    /// The score, 0 to 100, to four decimal places. What the leaderboard does not say of a trader brings no points.
    #[must_use]
    pub fn score(&self, leader: &Leader) -> Decimal {
        let consistent = if is_consistent(leader) { self.consistent } else { Decimal::ZERO };
        let parts = [
            self.all_time_roi.points(leader.all_time_roi),
            self.month_roi.points(leader.month_roi),
            self.week_roi.points(leader.week_roi),
            points(&self.account_value, Some(leader.account_value)),
            points(&self.month_volume, leader.month_vlm),
            consistent,
        ];
        let sum = parts.into_iter().fold(Decimal::ZERO, Decimal::saturating_add);
        sum.clamp(Decimal::ZERO, Decimal::ONE_HUNDRED).round_dp(4).normalize()
    }
}

impl TagRules {
    /// What a trader is known for.
    #[must_use]
    pub fn tags(&self, leader: &Leader) -> Vec<&'static str> {
        let [whale, large, top, good, consistent, high, medium] = TAGS;
        let either = |value: Option<Decimal>, high: (Decimal, &'static str), low: (Decimal, &'static str)| {
            let value = value?;
            [high, low].into_iter().find(|(from, _)| value >= *from).map(|(_, tag)| tag)
        };
        let size = either(Some(leader.account_value), (self.whale, whale), (self.large, large));
        let performance = either(leader.all_time_roi, (self.top_performer, top), (self.good_performer, good));
        let consistent = is_consistent(leader).then_some(consistent);
        let volume = either(leader.month_vlm, (self.high_volume, high), (self.medium_volume, medium));
        [size, performance, consistent, volume].into_iter().flatten().collect()
    }
}

impl PositionRules {
    /// Whether a trader is likely to hold a position.
    #[must_use]
    pub fn is_likely(&self, leader: &Leader) -> bool {
        let moved = leader.day_roi.is_some_and(|roi| roi.abs() > self.day_roi);
        // Without a division: an account may be worth nothing.
        let least = leader.account_value.abs().checked_mul(self.day_pnl_share).unwrap_or(Decimal::MAX);
        let earned =
            leader.account_value > Decimal::ZERO && leader.day_pnl.is_some_and(|pnl| pnl.abs() > least);
        let traded = leader.day_vlm.is_some_and(|volume| volume > self.day_volume);
        moved || earned || traded
    }
}

#[cfg(test)]
mod tests {
    use hl_core::TimeMs;
    use hl_core::record::HexBytes;
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    /// `account value | returns of day, week, month, all time | volume of the month`.
    fn leader(account: &str, [day, week, month, all]: [&str; 4], volume: &str) -> Leader {
        Leader {
            day_roi: Some(decimal(day)),
            week_roi: Some(decimal(week)),
            month_roi: Some(decimal(month)),
            all_time_roi: Some(decimal(all)),
            month_vlm: Some(decimal(volume)),
            ..Leader::bare(HexBytes([1; 20]), TimeMs(1), decimal(account))
        }
    }

    #[test]
    fn points_are_given_as_the_rules_say() {
        let none = ["0", "0", "0", "0"];
        for (account, returns, volume, score) in [
            ("0", none, "0", "0"),
            // Returns, up to their bounds, and below zero.
            ("0", ["0", "0", "0", "0.5"], "0", "15"),
            ("0", ["0", "0", "0", "7"], "0", "30"),
            ("0", ["0", "0", "0.2", "0"], "0", "10"),
            ("0", ["0", "0", "3", "0"], "0", "25"),
            ("0", ["0", "0.05", "0", "0"], "0", "5"),
            ("0", ["0", "0.9", "0", "0"], "0", "20"),
            ("0", ["0", "-0.05", "0", "1"], "0", "25"),
            ("0", ["0", "-3", "0", "1"], "0", "20"),
            ("0", ["0", "0", "-0.1", "1"], "0", "25"),
            ("0", ["0", "0", "0", "-1"], "0", "0"),
            ("0", ["0", "0", "0.012345678", "0"], "0", "0.6173"),
            // Steps: their own amount counts, the next lower one does not.
            ("99999.99", none, "0", "0"),
            ("100000", none, "0", "4"),
            ("1000000", none, "0", "8"),
            ("5000000", none, "0", "12"),
            ("10000000", none, "0", "15"),
            ("0", none, "999999", "0"),
            ("0", none, "1000000", "2"),
            ("0", none, "10000000", "4"),
            ("0", none, "50000000", "7"),
            ("0", none, "100000000", "10"),
            // All three above zero.
            ("0", ["0.0001", "0.0001", "0.0001", "0"], "0", "5.015"),
            ("0", ["0", "0.0001", "0.0001", "0"], "0", "0.015"),
            ("20000000", ["0.1", "1", "1", "5"], "200000000", "100"),
        ] {
            let leader = leader(account, returns, volume);
            assert_eq!(
                ScoreRules::default().score(&leader),
                decimal(score),
                "{account} {returns:?} {volume}"
            );
        }
        assert_eq!(
            ScoreRules::default().score(&Leader::bare(HexBytes([1; 20]), TimeMs(1), usd(7_000_000))),
            usd(12)
        );
    }

    #[test]
    fn a_trader_is_known_for_what_it_did() {
        let tags = |leader: &Leader| TagRules::default().tags(leader).join(" ");
        let best = leader("10000000", ["0.1", "0.1", "0.1", "1"], "100000000");
        assert_eq!(tags(&best), "whale top_performer consistent high_volume");
        assert_eq!(
            tags(&leader("1000000", ["0", "1", "1", "0.5"], "10000000")),
            "large good_performer medium_volume"
        );
        assert_eq!(tags(&leader("999999", ["-1", "1", "1", "0.49"], "9999999")), "");
    }

    #[test]
    fn any_sign_of_a_day_makes_a_position_likely() {
        let quiet = Leader {
            day_roi: Some(decimal("-0.0001")),
            day_pnl: Some(decimal("-10")),
            day_vlm: Some(decimal("100000")),
            ..Leader::bare(HexBytes([1; 20]), TimeMs(1), decimal("10000"))
        };
        let is_likely = |leader: Leader| PositionRules::default().is_likely(&leader);
        assert!(!is_likely(quiet.clone()), "at the bounds it is not");
        assert!(is_likely(Leader { day_roi: Some(decimal("-0.00011")), ..quiet.clone() }));
        assert!(is_likely(Leader { day_pnl: Some(decimal("-10.01")), ..quiet.clone() }));
        assert!(is_likely(Leader { day_vlm: Some(decimal("100000.1")), ..quiet.clone() }));
        let empty = Leader { account_value: Decimal::ZERO, day_pnl: Some(decimal("5")), ..quiet };
        assert!(!is_likely(empty), "of nothing no part can be told");
    }

    fn any_decimal() -> impl Strategy<Value = Decimal> {
        prop_oneof![
            Just(Decimal::MAX),
            Just(Decimal::MIN),
            (any::<i64>(), 0_u32..28).prop_map(|(n, scale)| Decimal::new(n, scale))
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_leaderboard_says_the_score_lies_between_0_and_100(numbers in prop::collection::vec(any_decimal(), 8)) {
            let of = |at: usize| numbers.get(at).copied();
            let leader = Leader {
                day_roi: of(0), week_roi: of(1), month_roi: of(2), all_time_roi: of(3), month_vlm: of(4),
                day_pnl: of(5), day_vlm: of(6), ..Leader::bare(HexBytes([1; 20]), TimeMs(1), numbers[7])
            };
            let score = ScoreRules::default().score(&leader);
            prop_assert!(Decimal::ZERO <= score && score <= Decimal::ONE_HUNDRED);
            let _ = (TagRules::default().tags(&leader), PositionRules::default().is_likely(&leader));
        }
    }
}

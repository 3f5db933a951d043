//! Whom to track: the best of a leaderboard, those that the user names, and what that changes.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::record::{Address, ChosenBy, Leader, Likelihood, Trader, TraderStatus};
use hl_core::row::Arrival;
use hl_core::{Decimal, TimeMs};
use serde::Serialize;

use crate::score::{PositionRules, ScoreRules, TagRules};

/// How many are tracked where nothing else is said.
pub const MOST: usize = 500;
/// The least score where nothing else is said.
pub const MINIMUM_SCORE: i64 = 50;

/// Whom to track.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rules {
    /// How many at most: 500; those that the user names are tracked all the same.
    pub track: usize,
    /// The least score, 0 to 100, of those that the user does not name: 50.
    pub minimum_score: Decimal,
    /// Those that are tracked whatever their score. They take their places first.
    pub always: BTreeSet<Address>,
    /// Those that are never tracked.
    pub never: BTreeSet<Address>,
    /// What a score is made of.
    pub score: ScoreRules,
    /// What traders are known for.
    pub tags: TagRules,
    /// From when on a position is likely.
    pub position: PositionRules,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            track: MOST,
            minimum_score: MINIMUM_SCORE.into(),
            always: BTreeSet::new(),
            never: BTreeSet::new(),
            score: ScoreRules::default(),
            tags: TagRules::default(),
            position: PositionRules::default(),
        }
    }
}

/// What is kept of a trader: a place in the order, the best first, is score, value of the account, address.
#[derive(Clone, Debug)]
struct Candidate {
    score: Decimal,
    account_value: Decimal,
    tags: Box<str>,
    position: Likelihood,
}

type Place = (std::cmp::Reverse<(Decimal, Decimal)>, Address);

/// A choice in the making: sees one row of a snapshot after the other, and holds no more than those that it may choose.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    rules: &'a Rules,
    /// Who was tracked until now.
    before: BTreeSet<Address>,
    /// The best so far, of those that the user does not name.
    best: BTreeMap<Place, Candidate>,
    /// Those that the user names, and those that were tracked until now.
    known: BTreeMap<Address, Candidate>,
}

impl<'a> Selection<'a> {
    /// A choice by these rules, where `before` was tracked until now.
    #[must_use]
    pub fn new(rules: &'a Rules, before: BTreeSet<Address>) -> Self {
        Self { rules, before, best: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// How many places are left to the score.
    fn places(&self) -> usize {
        let named = self.rules.always.difference(&self.rules.never).count();
        self.rules.track.saturating_sub(named)
    }

    /// Looks at one row of the snapshot, which has one of each trader.
    pub fn see(&mut self, leader: &Leader) {
        let (rules, user) = (self.rules, leader.user);
        let (is_named, is_out) = (rules.always.contains(&user), rules.never.contains(&user));
        let score = rules.score.score(leader);
        let is_good = !is_named && !is_out && score >= rules.minimum_score;
        if !is_named && !self.before.contains(&user) && !is_good {
            return;
        }
        let is_likely = rules.position.is_likely(leader);
        let candidate = Candidate {
            score,
            account_value: leader.account_value,
            tags: rules.tags.tags(leader).join(" ").into(),
            position: if is_likely { Likelihood::Likely } else { Likelihood::Unlikely },
        };
        if is_named || self.before.contains(&user) {
            self.known.insert(user, candidate.clone());
        }
        if is_good {
            self.best.insert((std::cmp::Reverse((score, leader.account_value)), user), candidate);
            if self.best.len() > self.places() {
                self.best.pop_last();
            }
        }
    }

    /// The rows of the choice, by trader: those that are tracked from `time` on, and those that no longer are. `snapshot` is
    /// the time of the leaderboard that was seen. Where that is not whole, none is dropped for missing in it.
    #[must_use]
    pub fn finish(self, time: TimeMs, snapshot: TimeMs, is_whole: bool) -> Vec<Trader> {
        let Self { rules, before, best, mut known } = self;
        let named: Vec<_> = rules.always.difference(&rules.never).copied().collect();
        let missing: Vec<_> = before
            .iter()
            .filter(|user| !is_whole && !known.contains_key(*user))
            .filter(|user| !rules.never.contains(*user) && !rules.always.contains(*user))
            .copied()
            .collect();
        let mut ranked: Vec<(Address, Option<Candidate>, ChosenBy)> = best
            .into_iter()
            .map(|((_, user), candidate)| (user, Some(candidate), ChosenBy::Score))
            .chain(named.iter().map(|user| (*user, known.remove(user), ChosenBy::List)))
            .chain(missing.iter().map(|user| (*user, None, ChosenBy::Score)))
            .collect();
        // Those that the leaderboard does not have come last.
        let order = |candidate: &Option<Candidate>| candidate.as_ref().map(|c| (c.score, c.account_value));
        ranked.sort_by(|a, b| order(&b.1).cmp(&order(&a.1)).then(a.0.cmp(&b.0)));
        let row = |user, status, chosen_by, rank, candidate: Option<Candidate>| Trader {
            time,
            user,
            status,
            chosen_by,
            score: candidate.as_ref().map(|candidate| candidate.score),
            rank,
            account_value: candidate.as_ref().map(|candidate| candidate.account_value),
            position: candidate.as_ref().map_or(Likelihood::Unlikely, |candidate| candidate.position),
            tags: candidate.map(|candidate| candidate.tags).unwrap_or_default(),
            snapshot_time: snapshot,
            arrival: Arrival::default(),
        };
        let mut rows = Vec::with_capacity(ranked.len());
        let mut tracked = BTreeSet::new();
        for (rank, (user, candidate, chosen_by)) in (1_u32..).zip(ranked) {
            let status = if before.contains(&user) { TraderStatus::Kept } else { TraderStatus::Added };
            tracked.insert(user);
            rows.push(row(user, status, chosen_by, Some(rank), candidate));
        }
        rows.extend(
            before
                .difference(&tracked)
                .map(|user| row(*user, TraderStatus::Dropped, ChosenBy::Score, None, known.remove(user))),
        );
        rows.sort_by_key(|trader| trader.user);
        rows
    }
}

#[cfg(test)]
mod tests {
    use hl_core::record::HexBytes;
    use proptest::prelude::*;

    use super::*;

    fn user(n: u8) -> Address {
        HexBytes([n; 20])
    }

    /// One whose score is `points`, 0 to 30.
    fn leader(n: u8, points: i64) -> Leader {
        Leader {
            all_time_roi: Some(Decimal::from(points) / Decimal::from(30)),
            ..Leader::bare(user(n), TimeMs(5), Decimal::from(n))
        }
    }

    fn rules(track: usize, always: &[u8], never: &[u8]) -> Rules {
        let set = |users: &[u8]| users.iter().copied().map(user).collect();
        Rules { track, minimum_score: 10.into(), always: set(always), never: set(never), ..Rules::default() }
    }

    fn chosen(rules: &Rules, before: &[u8], leaders: &[(u8, i64)]) -> Vec<(u8, TraderStatus, Option<u32>)> {
        let mut selection = Selection::new(rules, before.iter().copied().map(user).collect());
        leaders.iter().for_each(|(n, points)| selection.see(&leader(*n, *points)));
        selection
            .finish(TimeMs(9), TimeMs(5), true)
            .iter()
            .map(|row| (row.user.0[0], row.status, row.rank))
            .collect()
    }

    #[test]
    fn the_best_are_chosen_and_every_change_is_told() {
        use TraderStatus::{Added, Dropped, Kept};
        let leaders = [(1, 12), (2, 30), (3, 9), (4, 20), (5, 25)];
        assert_eq!(
            chosen(&rules(3, &[], &[]), &[1, 2, 3, 9], &leaders),
            [
                (1, Dropped, None),
                (2, Kept, Some(1)),
                (3, Dropped, None),
                (4, Added, Some(3)),
                (5, Added, Some(2)),
                (9, Dropped, None)
            ]
        );
        assert_eq!(chosen(&rules(0, &[], &[]), &[], &leaders), []);
        assert_eq!(chosen(&rules(9, &[], &[]), &[], &[]), []);
    }

    #[test]
    fn who_is_named_takes_a_place_first_and_who_is_never_tracked_takes_none() {
        use TraderStatus::{Added, Dropped, Kept};
        let leaders = [(1, 12), (2, 30), (3, 1), (4, 20), (5, 25)];
        let rules = rules(3, &[3, 8, 6], &[2, 6]);
        assert_eq!(
            chosen(&rules, &[2, 3], &leaders),
            [(2, Dropped, None), (3, Kept, Some(2)), (5, Added, Some(1)), (8, Added, Some(3))],
            "what the leaderboard does not have comes last"
        );
        let few = self::rules(1, &[3, 8], &[]);
        assert_eq!(
            chosen(&few, &[], &leaders),
            [(3, Added, Some(1)), (8, Added, Some(2))],
            "all that are named"
        );
    }

    #[test]
    fn a_snapshot_that_is_not_whole_drops_none_of_those_that_it_lacks() {
        let rules = rules(2, &[], &[9]);
        let mut selection = Selection::new(&rules, [1, 2, 3, 9].map(user).into());
        [leader(1, 25), leader(2, 1), leader(4, 30)].iter().for_each(|leader| selection.see(leader));
        let rows = selection.finish(TimeMs(9), TimeMs(5), false);
        let tracked: Vec<_> = rows.iter().filter(|row| row.is_tracked()).map(|row| row.user.0[0]).collect();
        assert_eq!(tracked, [1, 3, 4], "2 is there and not good enough, 9 is never tracked");
    }

    #[test]
    fn a_row_says_what_it_was_chosen_by() {
        let rules = rules(5, &[7], &[]);
        let mut selection = Selection::new(&rules, BTreeSet::from([user(4)]));
        [leader(7, 3), leader(2, 15), leader(4, 2)].iter().for_each(|leader| selection.see(leader));
        let rows = selection.finish(TimeMs(9), TimeMs(5), true);
        let told: Vec<_> =
            rows.iter().map(|row| (row.user.0[0], row.chosen_by, row.score.map(|s| s.to_string()))).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                (2, ChosenBy::Score, text("15")),
                (4, ChosenBy::Score, text("2")),
                (7, ChosenBy::List, text("3"))
            ]
        );
        assert!(rows.iter().all(|row| row.time == TimeMs(9) && row.snapshot_time == TimeMs(5)));
    }

    proptest! {
        #[test]
        fn the_order_of_the_snapshot_makes_no_difference(
            mut leaders in prop::collection::btree_map(0_u8..40, 0_i64..31, 0..40).prop_map(|map| map.into_iter().collect::<Vec<_>>()),
            track in 0_usize..12, before in prop::collection::vec(0_u8..50, 0..10),
            always in prop::collection::vec(0_u8..50, 0..5), never in prop::collection::vec(0_u8..50, 0..5),
        ) {
            let rules = rules(track, &always, &never);
            let rows = chosen(&rules, &before, &leaders);
            leaders.reverse();
            prop_assert_eq!(&rows, &chosen(&rules, &before, &leaders));
            let tracked: Vec<_> = rows.iter().filter(|row| row.1 != TraderStatus::Dropped).collect();
            let named = rules.always.difference(&rules.never).count();
            prop_assert!(tracked.len() <= track.max(named) && tracked.iter().all(|row| !never.contains(&row.0)));
            // No trader outside is better than the last one that the score chose.
            let outside = leaders.iter().filter(|(n, points)| {
                *points >= 10 && !never.contains(n) && tracked.iter().all(|row| row.0 != *n)
            });
            let by_score = leaders.iter().filter(|(n, _)| !always.contains(n) && tracked.iter().any(|row| row.0 == *n));
            let worst = by_score.map(|(n, points)| (*points, *n)).min();
            if tracked.len() < track {
                prop_assert_eq!(outside.count(), 0);
            } else if let Some(worst) = worst {
                prop_assert!(outside.into_iter().all(|(n, points)| always.contains(n) || (*points, *n) < worst));
            }
        }
    }
}

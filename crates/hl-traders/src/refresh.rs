//! How often what only REST tells of tracked traders is read again, within a request weight a minute: their orders, fills,
//! funding payments and movements of money.
//!
//! Traders are sorted into tiers by what is to be expected of them: rank, and when they last traded. First everybody gets a place
//! once a day, the most valuable first; who gets none is counted. What weight is left then makes the periods of the tiers
//! shorter, in their order, down to what is wished of each.

use std::collections::BTreeMap;
use std::fmt;

use hl_core::message::info::InfoRequest;
use hl_core::past::{KEPT_ORDERS, PAGE_FILLS, PAGE_MOVEMENTS, PAGE_PAYMENTS};
use hl_core::symbol::User;
use hl_core::time::DAY_MS;
use hl_core::{StreamKey, TimeMs};
use serde::{Deserialize, Serialize};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const MINUTES_A_DAY: u64 = 1_440;
/// Nobody who has a place is read again later than after this time, ms.
const LONGEST_MS: i64 = DAY_MS;
/// So many of the best are in the first tier, while they trade.
const BEST: u32 = 20;
/// Who traded within this time is active, ms …
const ACTIVE_MS: i64 = DAY_MS;
/// … and who did not within this time is idle, ms.
const IDLE_MS: i64 = 7 * DAY_MS;

/// What weight there is, and how often it can be spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshRules {
    /// Request weight a minute, of the 1,200 that the exchange grants an address.
    pub weight_a_minute: u32,
    /// How often the job runs that reads, ms.
    pub every_ms: i64,
}

impl Default for RefreshRules {
    fn default() -> Self {
        Self { weight_a_minute: 200, every_ms: 5 * MINUTE_MS }
    }
}

impl RefreshRules {
    fn every_ms(self) -> i64 {
        self.every_ms.max(1)
    }

    fn weight_a_day(self) -> u64 {
        u64::from(self.weight_a_minute) * MINUTES_A_DAY
    }
}

/// What is read of a trader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the kind of that name")]
pub enum Thing {
    Orders,
    Fills,
    Payments,
    Movements,
}

impl Thing {
    /// Each.
    pub const ALL: [Self; 4] = [Self::Orders, Self::Fills, Self::Payments, Self::Movements];

    /// The stream of it.
    #[must_use]
    pub const fn stream(self, user: User) -> StreamKey {
        match self {
            Self::Orders => StreamKey::Orders(user),
            Self::Fills => StreamKey::Fills(user),
            Self::Payments => StreamKey::Payments(user),
            Self::Movements => StreamKey::Movements(user),
        }
    }

    /// What one request for it weighs at most, and is booked with: how long the answer is nobody knows before it is there.
    #[must_use]
    pub fn weight(self, user: User) -> u32 {
        let user = user.address();
        let (start_time, end_time) = (TimeMs(0), None);
        let (request, rows) = match self {
            Self::Orders => (InfoRequest::HistoricalOrders { user }, KEPT_ORDERS),
            Self::Fills => {
                let (aggregate_by_time, reversed) = (None, None);
                let request =
                    InfoRequest::UserFillsByTime { user, start_time, end_time, aggregate_by_time, reversed };
                (request, PAGE_FILLS)
            }
            Self::Payments => {
                (InfoRequest::UserFunding { user, start_time: Some(start_time), end_time }, PAGE_PAYMENTS)
            }
            Self::Movements => {
                let start_time = Some(start_time);
                (InfoRequest::UserNonFundingLedgerUpdates { user, start_time, end_time }, PAGE_MOVEMENTS)
            }
        };
        request.weight() + request.weight_of_items(rows)
    }

    /// More often than this it brings nothing that cannot wait, ms: funding is paid once an hour, and money moves rarely.
    const fn least_ms(self) -> i64 {
        match self {
            Self::Orders | Self::Fills => 0,
            Self::Payments => HOUR_MS,
            Self::Movements => 6 * HOUR_MS,
        }
    }
}

/// What is known of a trader's times.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The last trade that is known of, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traded: Option<TimeMs>,
    /// When each thing was last read, ms.
    #[serde(default)]
    pub read: BTreeMap<Thing, TimeMs>,
}

/// What weight there is to spend at a time. What is not spent is lost, but for that of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Allowance {
    /// When that was, ms.
    pub at: TimeMs,
    /// How much weight.
    pub left: u64,
}

impl Allowance {
    /// What there is `now`, after what there `was`.
    #[must_use]
    pub fn at(now: TimeMs, was: Option<Self>, rules: RefreshRules, least: u32) -> Self {
        let granted = |ms: i64| {
            u64::from(rules.weight_a_minute).saturating_mul(ms.max(0).unsigned_abs())
                / MINUTE_MS.unsigned_abs()
        };
        // One request has to fit, however short the runs.
        let most = granted(rules.every_ms()).max(u64::from(least));
        let left = was.map_or(most, |was| was.left.saturating_add(granted(now.since(was.at))));
        Self { at: now, left: left.min(most) }
    }
}

/// What is remembered from run to run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// How often the job ran that remembers it, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<i64>,
    /// What weight was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// Each trader.
    #[serde(default)]
    pub seen: BTreeMap<User, Seen>,
}

/// What is to be expected of a trader, the most valuable first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// One of the first 20 by rank, who traded within a day.
    Best,
    /// Traded within a day.
    Active,
    /// Traded within a week, or nobody knows when.
    Calm,
    /// Did not trade for a week.
    Idle,
}

impl Tier {
    /// Each.
    pub const ALL: [Self; 4] = [Self::Best, Self::Active, Self::Calm, Self::Idle];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Active => "active",
            Self::Calm => "calm",
            Self::Idle => "idle",
        }
    }

    /// How often its traders would be read if weight were no matter, ms.
    #[must_use]
    pub const fn wished_ms(self) -> i64 {
        match self {
            Self::Best => 5 * MINUTE_MS,
            Self::Active => 30 * MINUTE_MS,
            Self::Calm => 6 * HOUR_MS,
            Self::Idle => DAY_MS,
        }
    }

    fn of(rank: u32, traded: Option<TimeMs>, now: TimeMs) -> Self {
        match traded.map(|traded| now.since(traded)) {
            Some(..=ACTIVE_MS) if rank <= BEST => Self::Best,
            Some(..=ACTIVE_MS) => Self::Active,
            Some(ms) if ms > IDLE_MS => Self::Idle,
            _ => Self::Calm,
        }
    }
}

/// What a tier gets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TierPlan {
    /// The tier.
    pub tier: Tier,
    /// How many of its traders are read.
    pub traders: u64,
    /// How many are not: there is no weight for them.
    pub left_out: u64,
    /// How often each is to be read, ms.
    pub wished_ms: i64,
    /// How often each is read: orders and fills; payments no more often than once an hour, movements than every six. None where
    /// there is nobody to be read, ms.
    pub period_ms: Option<i64>,
    /// The weight of all of it, a day.
    pub weight_a_day: u64,
    #[serde(skip)]
    users: Vec<(User, u32)>,
}

/// Who is read how often.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Plan {
    /// The weight a minute that may be spent.
    pub weight_a_minute: u32,
    /// Each tier, the most valuable first.
    pub tiers: Vec<TierPlan>,
}

impl Plan {
    /// For these traders with their ranks, 1 the best.
    #[must_use]
    pub fn new(
        traders: impl IntoIterator<Item = (User, u32)>,
        seen: &BTreeMap<User, Seen>,
        rules: RefreshRules,
        now: TimeMs,
    ) -> Self {
        let mut of: BTreeMap<Tier, Vec<(u32, User)>> = BTreeMap::new();
        for (user, rank) in traders {
            let traded = seen.get(&user).and_then(|seen| seen.traded);
            of.entry(Tier::of(rank, traded, now)).or_default().push((rank, user));
        }
        let longest_ms = LONGEST_MS.max(rules.every_ms());
        let mut spare = rules.weight_a_day();
        let mut tiers = Vec::new();
        for tier in Tier::ALL {
            let mut users = of.remove(&tier).unwrap_or_default();
            users.sort_unstable();
            let each = users.first().map_or(0, |(_, user)| weight_a_day(*user, longest_ms));
            let fit = spare.checked_div(each).unwrap_or(0).min(users.len() as u64);
            let left_out = users.len() as u64 - fit;
            users.truncate(usize::try_from(fit).unwrap_or(usize::MAX));
            spare -= fit * each;
            tiers.push(TierPlan {
                tier,
                traders: fit,
                left_out,
                wished_ms: tier.wished_ms(),
                period_ms: (fit > 0).then_some(longest_ms),
                weight_a_day: fit * each,
                users: users.into_iter().map(|(rank, user)| (user, rank)).collect(),
            });
        }
        for plan in &mut tiers {
            plan.shorten(&mut spare, rules.every_ms());
        }
        Self { weight_a_minute: rules.weight_a_minute, tiers }
    }

    /// Everything that is to be read now, the most urgent first: by tier, then by how long it is due in its own periods, what was
    /// never read before all else.
    #[must_use]
    pub fn due(&self, seen: &BTreeMap<User, Seen>, rules: RefreshRules, now: TimeMs) -> Vec<(User, Thing)> {
        let mut due = Vec::new();
        for plan in &self.tiers {
            let Some(period_ms) = plan.period_ms else { continue };
            for ((user, rank), thing) in
                plan.users.iter().flat_map(|user| Thing::ALL.map(|thing| (*user, thing)))
            {
                let period_ms = period_ms.max(thing.least_ms());
                let age_ms = seen.get(&user).and_then(|seen| seen.read.get(&thing)).map(|at| now.since(*at));
                // A run is never at its time to the millisecond. What was read in a time that is still to come is due.
                let is_due = age_ms.is_none_or(|age| age < 0 || period_ms <= age + rules.every_ms() / 2);
                let late = age_ms.map_or(i64::MAX, |age| age.saturating_mul(1_000) / period_ms);
                if is_due {
                    due.push(((plan.tier, std::cmp::Reverse(late), rank, thing), (user, thing)));
                }
            }
        }
        due.sort_unstable_by_key(|(order, _)| *order);
        due.into_iter().map(|(_, what)| what).collect()
    }

    /// How many traders are read.
    #[must_use]
    pub fn traders(&self) -> u64 {
        self.tiers.iter().map(|plan| plan.traders).sum()
    }

    /// How many are not.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.tiers.iter().map(|plan| plan.left_out).sum()
    }

    /// The weight of all of it a minute, rounded up.
    #[must_use]
    pub fn planned_a_minute(&self) -> u64 {
        self.tiers.iter().map(|plan| plan.weight_a_day).sum::<u64>().div_ceil(MINUTES_A_DAY)
    }
}

/// In one line, for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for plan in self.tiers.iter().filter(|plan| plan.traders > 0) {
            let minutes = plan.period_ms.unwrap_or_default() / MINUTE_MS;
            write!(f, "{} {} every {minutes} min, ", plan.traders, plan.tier.as_str())?;
        }
        write!(f, "{} of {} weight a minute", self.planned_a_minute(), self.weight_a_minute)?;
        match self.left_out() {
            0 => Ok(()),
            left_out => write!(f, "; {left_out} traders do not fit and are not read"),
        }
    }
}

impl TierPlan {
    /// Makes the period as short as is wished, or as what is to spare allows. Periods are whole runs.
    fn shorten(&mut self, spare: &mut u64, every_ms: i64) {
        let (Some(longest_ms), Some((user, _))) = (self.period_ms, self.users.first()) else { return };
        let mut period_ms = self.wished_ms.max(1).saturating_add(every_ms - 1) / every_ms * every_ms;
        while period_ms < longest_ms {
            let all = self.traders * weight_a_day(*user, period_ms);
            let more = all.saturating_sub(self.weight_a_day);
            if more <= *spare {
                *spare -= more;
                (self.period_ms, self.weight_a_day) = (Some(period_ms), all);
                return;
            }
            period_ms += every_ms;
        }
    }
}

/// What reading everything of one trader weighs a day, rounded up.
fn weight_a_day(user: User, period_ms: i64) -> u64 {
    let of = |thing: Thing| {
        let period_ms = period_ms.max(thing.least_ms()).unsigned_abs();
        (u64::from(thing.weight(user)) * DAY_MS.unsigned_abs()).div_ceil(period_ms)
    };
    Thing::ALL.into_iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use hl_core::record::HexBytes;

    use super::*;

    const NOW: TimeMs = TimeMs(1_790_000_000_000);

    fn user(n: u32) -> User {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        User::new(&HexBytes(bytes).to_string()).unwrap()
    }

    /// So many traders by rank, and how long ago each last traded.
    fn traders(many: u32, ago_ms: impl Fn(u32) -> Option<i64>) -> (Vec<(User, u32)>, BTreeMap<User, Seen>) {
        let all: Vec<_> = (1..=many).map(|rank| (user(rank), rank)).collect();
        let seen = |&(user, rank): &(User, u32)| {
            let traded = ago_ms(rank).map(|ms| NOW - ms);
            (user, Seen { traded, ..Seen::default() })
        };
        let seen = all.iter().map(seen).collect();
        (all, seen)
    }

    /// Of each tier: how many are read, how many are not, and every how many minutes.
    fn told(plan: &Plan) -> Vec<(u64, u64, Option<i64>)> {
        plan.tiers.iter().map(|p| (p.traders, p.left_out, p.period_ms.map(|ms| ms / MINUTE_MS))).collect()
    }

    fn rules(weight_a_minute: u32) -> RefreshRules {
        RefreshRules { weight_a_minute, ..RefreshRules::default() }
    }

    #[test]
    fn a_request_weighs_what_its_longest_answer_does() {
        assert_eq!(Thing::ALL.map(|thing| thing.weight(user(1))), [120, 120, 45, 45]);
        assert_eq!(weight_a_day(user(1), DAY_MS), 330);
        assert_eq!(weight_a_day(user(1), 5 * MINUTE_MS), 240 * 288 + 45 * 24 + 45 * 4, "payments hourly");
    }

    #[test]
    fn value_and_activity_say_who_is_in_which_tier() {
        let tier = |rank, days: Option<i64>| Tier::of(rank, days.map(|days| NOW - days * DAY_MS), NOW);
        for (rank, days, is) in [
            (1, Some(0), Tier::Best),
            (20, Some(1), Tier::Best),
            (21, Some(1), Tier::Active),
            (1, Some(2), Tier::Calm),
            (1, Some(8), Tier::Idle),
            (1, None, Tier::Calm),
            (u32::MAX, Some(-1), Tier::Active),
        ] {
            assert_eq!(tier(rank, days), is, "{rank} {days:?}");
        }
    }

    #[test]
    fn few_are_read_as_often_as_is_wished() {
        let (all, seen) = traders(3, |rank| Some(i64::from(rank - 1) * 4 * DAY_MS));
        let plan = Plan::new(all, &seen, rules(200), NOW);
        assert_eq!(told(&plan), [(1, 0, Some(5)), (0, 0, None), (1, 0, Some(360)), (1, 0, Some(1_440))]);
        assert_eq!((plan.planned_a_minute(), plan.left_out()), (51, 0));
        assert_eq!(
            plan.to_string(),
            "1 best every 5 min, 1 calm every 360 min, 1 idle every 1440 min, 51 of 200 weight a minute"
        );
    }

    #[test]
    fn everybody_comes_once_a_day_before_anybody_comes_more_often() {
        let (all, seen) = traders(500, |rank| (rank <= 100).then_some(0));
        let plan = Plan::new(all, &seen, rules(200), NOW);
        assert_eq!(
            told(&plan),
            [(20, 0, Some(70)), (80, 0, Some(1_090)), (400, 0, Some(1_440)), (0, 0, None)]
        );
        assert!((190..=200).contains(&plan.planned_a_minute()), "{plan}");
    }

    #[test]
    fn what_does_not_fit_is_counted_the_least_valuable_first() {
        let (all, seen) = traders(500, |rank| (rank <= 5).then_some(0));
        let plan = Plan::new(all, &seen, rules(50), NOW);
        assert_eq!((plan.traders(), plan.left_out()), (218, 282), "72,000 a day, 330 each");
        assert_eq!(told(&plan)[2], (213, 282, Some(1_440)));
        assert!(
            plan.to_string().ends_with("50 of 50 weight a minute; 282 traders do not fit and are not read")
        );
        let due = plan.due(&seen, rules(50), NOW);
        assert!(due.len() == 4 * 218 && due.iter().all(|(of, _)| *of <= user(218)));
        let none = Plan::new([(user(1), 1)], &BTreeMap::new(), rules(0), NOW);
        assert_eq!((none.traders(), none.left_out(), none.planned_a_minute()), (0, 1, 0));
    }

    #[test]
    fn what_is_due_longest_in_its_own_periods_comes_first_in_its_tier() {
        let (all, mut seen) = traders(30, |rank| Some(if rank <= 2 { 0 } else { 3 * DAY_MS }));
        let plan = Plan::new(all, &seen, rules(400), NOW);
        assert_eq!(plan.tiers[0].period_ms, Some(5 * MINUTE_MS));
        let read = |seen: &mut BTreeMap<User, Seen>, n: u32, thing, minutes: i64| {
            seen.get_mut(&user(n)).unwrap().read.insert(thing, NOW - minutes * MINUTE_MS);
        };
        for n in 1..=30 {
            for thing in Thing::ALL {
                read(&mut seen, n, thing, 0);
            }
        }
        assert_eq!(plan.due(&seen, rules(400), NOW), []);
        read(&mut seen, 1, Thing::Orders, 5);
        read(&mut seen, 2, Thing::Orders, 20);
        read(&mut seen, 1, Thing::Payments, 30);
        read(&mut seen, 2, Thing::Payments, 61);
        read(&mut seen, 7, Thing::Fills, 10_000);
        seen.get_mut(&user(9)).unwrap().read.remove(&Thing::Movements);
        seen.get_mut(&user(2)).unwrap().read.insert(Thing::Movements, NOW + 1);
        assert_eq!(
            plan.due(&seen, rules(400), NOW),
            [
                (user(2), Thing::Orders),
                (user(2), Thing::Payments),
                (user(1), Thing::Orders),
                (user(2), Thing::Movements),
                (user(9), Thing::Movements),
                (user(7), Thing::Fills),
            ]
        );
    }

    #[test]
    fn weight_that_is_not_spent_is_kept_for_one_run() {
        let at = |ms: i64, was: Option<Allowance>| Allowance::at(NOW + ms, was, rules(200), 120);
        let first = at(0, None);
        assert_eq!(first.left, 1_000);
        let spent = Allowance { left: 40, ..first };
        assert_eq!(at(60_000, Some(spent)).left, 240);
        assert_eq!(at(3_600_000, Some(spent)).left, 1_000);
        assert_eq!(at(-5, Some(spent)).left, 40);
        let short = RefreshRules { every_ms: 1_000, ..rules(200) };
        assert_eq!(Allowance::at(NOW, None, short, 120).left, 120, "one request fits");
    }
}

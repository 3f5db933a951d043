//! `hl-cli traders plan`: how often what only REST tells of tracked traders is read, at what weight, and what does not fit.

use hl_core::TimeMs;
use hl_core::record::Trader;
use hl_core::symbol::User;
use hl_traders::refresh::{Plan, RefreshRules, State, Tier};
use serde::Serialize;

use crate::human;

const MINUTE_MS: i64 = 60_000;
const MINUTES_A_DAY: u64 = 1_440;

/// What is planned, and how far it is.
#[derive(Serialize)]
pub(super) struct Planned {
    #[serde(flatten)]
    plan: Plan,
    /// The weight a minute of all that is planned.
    planned_a_minute: u64,
    /// How many traders are read.
    traders: u64,
    /// How many are not.
    left_out: u64,
    /// Of how many of those that are tracked nothing was read yet.
    never_read: u64,
}

impl Planned {
    /// By what the job remembers, or by its defaults where it never ran.
    pub(super) fn new(tracked: &[Trader], state: &State, now: TimeMs) -> Self {
        let rules = RefreshRules::default();
        let rules = RefreshRules { every_ms: state.every_ms.unwrap_or(rules.every_ms), ..rules };
        let ranked =
            |trader: &Trader| Some((User::new(&trader.user.to_string())?, trader.rank.unwrap_or(u32::MAX)));
        let ranks: Vec<_> = tracked.iter().filter_map(ranked).collect();
        let is_read = |user: &User| state.seen.get(user).is_some_and(|seen| !seen.read.is_empty());
        let never_read = ranks.iter().filter(|(user, _)| !is_read(user)).count() as u64;
        let plan = Plan::new(ranks, &state.seen, rules, now);
        let (traders, left_out) = (plan.traders(), plan.left_out());
        Self { planned_a_minute: plan.planned_a_minute(), traders, left_out, never_read, plan }
    }

    pub(super) fn text(&self) -> String {
        if self.traders + self.left_out == 0 {
            return super::text::NOTHING.to_owned();
        }
        let every = |ms: i64| format!("{} min", ms / MINUTE_MS);
        let mut table = human::table_of_words(
            &["tier", "who", "every", "wished", "traders", "not read", "weight/min"],
            2,
        );
        for tier in self.plan.tiers.iter().filter(|tier| tier.traders + tier.left_out > 0) {
            table.add_row([
                tier.tier.as_str().to_owned(),
                who(tier.tier).to_owned(),
                tier.period_ms.map_or_else(|| "-".to_owned(), every),
                every(tier.wished_ms),
                tier.traders.to_string(),
                tier.left_out.to_string(),
                tier.weight_a_day.div_ceil(MINUTES_A_DAY).to_string(),
            ]);
        }
        let mut text = format!(
            "orders, fills, funding payments and movements of {}: {} of {} weight a minute\n{}\n",
            human::count(self.traders, "trader"),
            self.planned_a_minute,
            self.plan.weight_a_minute,
            table.trim_fmt()
        );
        text += "payments are read once an hour at most, movements every six hours\n";
        if self.left_out > 0 {
            text += &format!("{} do not fit and are not read\n", human::count(self.left_out, "trader"));
        }
        if self.never_read > 0 {
            text += &format!("of {} nothing was read yet\n", human::count(self.never_read, "trader"));
        }
        text
    }
}

const fn who(tier: Tier) -> &'static str {
    match tier {
        Tier::Best => "of the first 20, traded within a day",
        Tier::Active => "traded within a day",
        Tier::Calm => "traded within a week, or not known",
        Tier::Idle => "did not trade for a week",
    }
}

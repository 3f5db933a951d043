//! Traders as tables for people.

use std::fmt::Write as _;

use hl_core::TimeMs;
use hl_core::record::{Address, Leader, Trader};

use super::RuleLine;
use crate::commands::fields::{fields, plain};
use crate::human;

const NONE: &str = "-";
/// What to do where nothing is stored.
pub(super) const NOTHING: &str =
    "no traders are tracked: hl-daemon --track N reads the leaderboard and chooses from it\n";

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// `at`: when the last choice was made; `all`: how many are tracked.
pub(super) fn list(traders: &[Trader], all: usize, at: Option<TimeMs>, tag: Option<&str>) -> String {
    let Some(first) = traders.first() else {
        return match (at, tag) {
            (None, _) => NOTHING.to_owned(),
            (Some(at), None) => {
                format!("no trader was good enough for the choice of {}\n", human::minute(at))
            }
            (Some(_), Some(tag)) => {
                format!("{} tracked; none is known for {tag}\n", human::count(all as u64, "trader"))
            }
        };
    };
    let headings = ["trader", "position", "known for", "rank", "score", "account, USD"];
    let mut table = human::table_of_words(&headings, 3);
    for trader in traders {
        let named = if trader.chosen_by == hl_core::record::ChosenBy::List { " (named)" } else { "" };
        table.add_row([
            trader.user.to_string(),
            trader.position.as_str().to_owned(),
            plain(&trader.tags),
            or_none(trader.rank),
            format!("{}{named}", or_none(trader.score.map(|score| score.round_dp(1)))),
            or_none(trader.account_value.map(|value| value.round())),
        ]);
    }
    let shown = traders.len();
    let of_all = if shown < all { format!(" of {all}") } else { String::new() };
    let count = human::count(shown as u64, "trader");
    format!(
        "{count}{of_all}, chosen {} from the leaderboard of {}\n{}\n",
        human::minute(first.time),
        human::minute(first.snapshot_time),
        table.trim_fmt()
    )
}

pub(super) fn show(
    address: Address,
    trader: Option<&Trader>,
    leader: Option<&Leader>,
    history: &[Trader],
) -> String {
    let mut text = format!("{address}\n");
    let mut put = |fields: Vec<(&'static str, Option<String>)>| {
        for (name, value) in fields {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let _ = writeln!(text, "  {name:<16} {}", plain(&value));
            }
        }
    };
    let made = |name: &'static str, time: Option<TimeMs>| (name, time.map(human::second));
    put(vec![made("chosen", trader.map(|trader| trader.time))]);
    put(trader.map(fields).unwrap_or_default());
    put(vec![made("leaderboard", leader.map(|leader| leader.time))]);
    let mut of_leader = leader.map(fields).unwrap_or_default();
    of_leader.retain(|(name, _)| trader.is_none() || *name != "account_value");
    put(of_leader);
    if trader.is_none() {
        text += "  never tracked\n";
    }
    for row in history {
        let _ = writeln!(text, "  {:<16} {}", human::minute(row.time), row.status.as_str());
    }
    text
}

pub(super) fn history(rows: &[Trader]) -> String {
    if rows.is_empty() {
        return "no trader was added or dropped then\n".to_owned();
    }
    let headings = ["when", "trader", "what", "known for", "score"];
    let mut table = human::table_of_words(&headings, 4);
    for row in rows {
        table.add_row([
            human::minute(row.time),
            row.user.to_string(),
            row.status.as_str().to_owned(),
            plain(&row.tags),
            or_none(row.score.map(|score| score.round_dp(1))),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

pub(super) fn rules(lines: &[RuleLine]) -> String {
    let mut table = human::table_of_words(&["rule", "default"], 2);
    for RuleLine { name, default } in lines {
        let default = if default.is_empty() { NONE } else { default };
        table.add_row([name, default]);
    }
    format!("{}\n", table.trim_fmt())
}

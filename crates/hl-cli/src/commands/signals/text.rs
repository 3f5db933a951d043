//! Signals as tables for people.

use hl_core::record::{CoinSignal, Withheld};
use hl_core::{Coin, Decimal, TimeMs};

use super::backtest::{Answer, Summary};
use crate::commands::fields::plain;
use crate::human;

const NONE: &str = "-";

/// What is said, or why nothing is.
pub(super) fn said(recommendation: Option<&str>, withheld: Option<Withheld>) -> String {
    match (recommendation, withheld) {
        (Some(word), _) => word.to_owned(),
        (None, Some(Withheld::Nobody)) => "withheld: nobody is tracked".to_owned(),
        (None, Some(Withheld::Unknown)) => "withheld: too much is unknown".to_owned(),
        (None, Some(Withheld::Stale)) => "withheld: too old".to_owned(),
        (None, None) => NONE.to_owned(),
    }
}

fn number(value: Option<Decimal>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// What a signal says, and what it is built on.
fn cells(row: &CoinSignal) -> [String; 7] {
    let traders =
        format!("{}/{}/{}/{}", row.traders_long, row.traders_short, row.traders_flat, row.traders_unknown);
    [
        said(row.recommendation.map(|word| word.as_str()), row.withheld),
        number(row.confidence),
        row.long_bias.to_string(),
        row.short_bias.to_string(),
        number(row.net_exposure.map(|exposure| exposure.round())),
        traders,
        row.stale_ms
            .map_or_else(|| NONE.to_owned(), |stale| human::length(i64::try_from(stale).unwrap_or(i64::MAX))),
    ]
}

const HEADINGS: [&str; 7] = [
    "says",
    "confidence",
    "long",
    "short",
    "net exposure, USD",
    "long/short/flat/unknown",
    "oldest position",
];

fn table<'a>(first: &'a str, rows: impl Iterator<Item = (String, &'a CoinSignal)>) -> String {
    let headings: Vec<&str> = [first].into_iter().chain(HEADINGS).collect();
    let mut table = human::table_of_words(&headings, 2);
    for (name, row) in rows {
        table.add_row([name].into_iter().chain(cells(row)));
    }
    format!("{}\n", table.trim_fmt())
}

pub(super) fn list(rows: &[CoinSignal], now: TimeMs) -> String {
    let Some(first) = rows.first() else {
        return "no signals are stored: hl-daemon --track N says them every five minutes\n".to_owned();
    };
    let table = table("coin", rows.iter().map(|row| (row.coin.to_string(), row)));
    format!(
        "{} of {}, {} ago, by {}\n{table}",
        human::count(rows.len() as u64, "signal"),
        human::second(first.time),
        human::length(now.since(first.time).max(0)),
        plain(&first.strategy),
    )
}

pub(super) fn history(coin: Coin, rows: &[CoinSignal]) -> String {
    if rows.is_empty() {
        return format!("nothing was said of {coin} then\n");
    }
    table("when", rows.iter().map(|row| (human::second(row.time), row)))
}

pub(super) fn backtest(answer: &Answer) -> String {
    let Answer { strategy, from, to, every_ms, horizon_ms, signals, coins, .. } = answer;
    let mut text = format!(
        "{} of {} by {strategy}, asked every {} from {} to {}\n",
        human::count(signals.len() as u64, "signal"),
        human::count(*coins as u64, "coin"),
        human::length(*every_ms),
        human::minute(*from),
        human::minute(*to),
    );
    let after = format!("known {} later", human::length(*horizon_ms));
    let headings = ["said", "times", &after, "mean change", "up", "down"];
    let mut table = human::table_of_words(&headings, 1);
    for Summary { said, times, known, mean_change, up, down } in &answer.summary {
        let percent = mean_change.map(|change| format!("{} %", (change * Decimal::ONE_HUNDRED).normalize()));
        table.add_row([
            (*said).to_owned(),
            times.to_string(),
            known.to_string(),
            percent.unwrap_or_else(|| NONE.to_owned()),
            up.to_string(),
            down.to_string(),
        ]);
    }
    text += &format!("{}\n", table.trim_fmt());
    text += "what the price did after that is no profit: nobody trades at these prices at no cost\n";
    text
}

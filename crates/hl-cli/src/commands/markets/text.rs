//! Markets as tables for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Source;
use crate::commands::fields::{fields, plain};
use crate::human;
use hl_core::Coin;
use hl_core::record::{Market, MarketStatus};

const NONE: &str = "-";

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| plain(&value.to_string()))
}

pub(super) fn list(markets: &[&Market], all: bool) -> String {
    if markets.is_empty() {
        let hint = if all { "" } else { "; --all shows those as well that are delisted, settled or gone" };
        return format!("no such market{hint}\n");
    }
    let headings = ["coin", "name", "type", "status", "quote", "margin", "size decimals", "leverage"];
    let mut table = human::table_of_words(&headings, 6);
    for market in markets {
        let status = match market.settle_fraction {
            Some(paid) => format!("{}, paid {paid}", market.status.as_str()),
            None => market.status.as_str().to_owned(),
        };
        table.add_row([
            market.coin.to_string(),
            plain(&market.name),
            market.market_type.as_str().to_owned(),
            status,
            or_none(market.quote.as_deref()),
            or_none(market.margin_mode.as_deref()),
            or_none(market.sz_decimals),
            or_none(market.max_leverage),
        ]);
    }
    let count = human::count(markets.len() as u64, "market");
    format!("{count}\n{}\n", table.trim_fmt())
}

/// All that is known of one market, a line a field.
pub(super) fn show(market: &Market, rows: &[Market], from: Source) -> String {
    let mut text = format!("{}\n", market.coin);
    for (name, value) in fields(market) {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:<16} {}", plain(&value));
        }
    }
    let of_coin: Vec<_> = rows.iter().filter(|row| row.coin == market.coin).collect();
    let first = of_coin.iter().map(|row| row.time).min().unwrap_or(market.time);
    let _ = match (from, of_coin.len()) {
        (Source::Exchange, _) => {
            writeln!(text, "  {:<16} the exchange says so now; nothing is stored", "since")
        }
        (Source::Store, 1) => writeln!(text, "  {:<16} {}", "since", human::second(first)),
        (Source::Store, rows) => writeln!(
            text,
            "  {:<16} {}, first seen {}, {rows} rows: hl-cli markets history {}",
            "since",
            human::second(market.time),
            human::second(first),
            market.coin
        ),
    };
    text
}

/// Each row, oldest first, with what it says that the one before it did not.
pub(super) fn changes<'a>(rows: &'a [Market]) -> Vec<(&'a Market, String)> {
    let mut rows: Vec<&Market> = rows.iter().collect();
    rows.sort_by_key(|row| (row.time, row.coin));
    let mut before: BTreeMap<Coin, &'a Market> = BTreeMap::new();
    let changed = |row: &Market, before: &Market| {
        let pairs = fields(row).into_iter().zip(fields(before));
        let differing = pairs.filter(|((_, new), (_, old))| new != old);
        let words = differing.map(|((name, new), (_, old))| match (old, new) {
            (None, Some(new)) => format!("{name} {new}"),
            (old, new) => format!("{name} {} → {}", or_none(old), or_none(new)),
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let of = |row: &'a Market| {
        let words = match before.insert(row.coin, row) {
            Some(before) => changed(row, before),
            None if row.status == MarketStatus::Listed => "first seen".to_owned(),
            None => format!("first seen, {}", row.status.as_str()),
        };
        (row, plain(&words))
    };
    rows.into_iter().map(of).collect()
}

pub(super) fn history(changes: &[(&Market, String)]) -> String {
    if changes.is_empty() {
        return "nothing changed then\n".to_owned();
    }
    let headings = ["seen", "coin", "name", "what changed"];
    let mut table = human::table_of_words(&headings, headings.len());
    for (market, words) in changes {
        table.add_row([
            human::second(market.time),
            market.coin.to_string(),
            plain(&market.name),
            words.clone(),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

//! The effective configuration as a TOML file that says the same again.

use std::fmt::Write as _;

use super::layers::Layer;
use super::options::{OPTIONS, Takes};
use super::place::Sourced;
use super::{Place, alerts, mask};

pub(super) fn toml(settings: &Layer) -> String {
    let mut text = String::new();
    for opt in &OPTIONS {
        let line = match settings.get(opt.key).map(Vec::as_slice) {
            None | Some([]) => format!("# {} = {}  # default", opt.key, unset(opt.key, settings)),
            // Its path may be a key, and a masked one read again would be another webhook.
            Some([.., last]) if opt.key == "webhook" => {
                format!("# webhook = \"{}\"  # {}", alerts::masked(&last.text), origin(&last.place))
            }
            Some(values @ [first, ..]) => {
                format!("{} = {}  # {}", opt.key, value(opt.takes, values), origin(&first.place))
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// What saying nothing about an option means, in words: these are commented out, since no value says the same.
fn unset(key: &str, settings: &Layer) -> &'static str {
    let sim = settings.get("network").and_then(|v| v.last()).is_some_and(|network| network.text == "sim");
    match key {
        "coin" if sim => "every coin of the simulated market",
        "coin" => "BTC",
        "standby" | "webhook" | "backfill" => "none",
        "http" => "off",
        "min-trade" | "book-on-move" | "book-every" => "store all",
        "archive" => "archive beside the store",
        "retention" => "as the help of --retention says",
        "job" => "as `hl-cli jobs list` shows",
        _ => "until stopped",
    }
}

fn value(takes: Takes, values: &[Sourced]) -> String {
    let quoted = |v: &Sourced| toml::Value::String(mask(&v.text)).to_string();
    let last = values.last().map(|v| v.text.as_str()).unwrap_or_default();
    match takes {
        Takes::List | Takes::Texts => {
            format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        Takes::Switch => matches!(last, "true" | "1").to_string(),
        Takes::Number if last.parse::<i64>().is_ok() => last.to_owned(),
        Takes::Number | Takes::Word | Takes::Address => values.last().map(quoted).unwrap_or_default(),
    }
}

fn origin(place: &Place) -> String {
    match place {
        Place::Flag(_) => format!("flag {place}"),
        Place::Variable(_) => format!("variable {place}"),
        Place::File { .. } => place.to_string(),
        Place::Default => "default".to_owned(),
    }
}

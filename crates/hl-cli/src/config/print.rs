//! The effective configuration as a TOML file that says the same again.

use std::fmt::Write as _;

use hl_host::webhook::masked;

use super::layers::Layer;
use super::options::{OPTIONS, Opt, Takes};
use super::place::Sourced;
use super::{Place, mask};

pub(super) fn toml(settings: &Layer) -> String {
    let mut text = String::new();
    for opt in &OPTIONS {
        let line = match settings.get(opt.key).map(Vec::as_slice) {
            None | Some([]) => format!("# {} = {}  # default", opt.key, unsaid(opt, settings)),
            // Its path may be a key, and a masked one read again would be another webhook.
            Some([.., last]) if opt.key == "webhook" => {
                format!("# webhook = \"{}\"  # {}", masked(&last.text), origin(&last.place))
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

/// What saying nothing about an option comes to, in words: these are commented out, since no value says the same.
fn unsaid(opt: &Opt, settings: &Layer) -> &'static str {
    let said =
        |key| settings.get(key).and_then(|values| values.last()).map_or("", |value| value.text.as_str());
    match opt.key {
        "coin" if said("network") == "sim" => "every coin of the simulated market",
        "coin" => "BTC",
        "weight" if said("store").starts_with("mongodb") => "1",
        "weight" => "not shared: it collects what no other process holds",
        _ => opt.unsaid(),
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

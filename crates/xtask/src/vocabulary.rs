//! What the simulated exchange takes from the core: words, and nothing that decides or decodes.
//!
//! A mistake that both sides share would hide from every test between them. So the exchange has the core's names for coins,
//! times, prices and rows, and the seam to the network, and not its decoding, time lines, selector or ledger.

use std::fs;
use std::path::Path;

use crate::run::{Failed, root};

/// What may follow `hl_core::`.
const WORDS: [&str; 13] = [
    "Coin",
    "Decimal",
    "Dex",
    "Interval",
    "StreamKey",
    "TimeMs",
    "interval::",
    "record",
    "row::Arrival",
    "seam::",
    "stream::BookVariant",
    "stream::StreamKeyError",
    "symbol::",
];

pub(crate) fn vocabulary() -> Result<(), Failed> {
    let mut found = Vec::new();
    let folder = root().join("testing/hl-sim/src");
    look(&folder, &mut found).map_err(|error| Failed::Io(format!("reading {}", folder.display()), error))?;
    for place in &found {
        eprintln!("{place}: the simulated exchange shares the core's words alone");
    }
    match found.len() {
        0 => Ok(()),
        places => Err(Failed::Shares(places)),
    }
}

fn look(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            look(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path)?;
            found.extend(shared(&source).map(|path_of| format!("{}: hl_core::{path_of}", path.display())));
        }
    }
    Ok(())
}

/// The paths into the core that are more than words.
fn shared(source: &str) -> impl Iterator<Item = String> {
    let after = source.split("hl_core::").skip(1);
    let named = after.flat_map(|rest| {
        let (list, end) = match rest.strip_prefix('{') {
            Some(list) => (list, list.find('}').unwrap_or(list.len())),
            None => (rest, rest.find([';', ' ', '(', ')', '<', '\n', ',']).unwrap_or(rest.len())),
        };
        list[..end]
            .split(',')
            .map(|path| path.trim().to_owned())
            .filter(|path| !path.is_empty())
            .collect::<Vec<_>>()
    });
    named.filter(|path| !WORDS.iter().any(|word| path.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_is_told_from_words() {
        let source = "use hl_core::{Coin, decode, TimeMs};\nuse hl_core::seam::{Net, Clock};\nhl_core::timeline::Timeline";
        assert_eq!(shared(source).collect::<Vec<_>>(), ["decode", "timeline::Timeline"]);
    }

    #[test]
    fn the_simulated_exchange_decides_and_decodes_by_itself() {
        assert!(vocabulary().is_ok());
    }
}

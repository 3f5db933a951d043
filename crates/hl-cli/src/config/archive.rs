//! Where old rows go, and when.

use std::path::PathBuf;

use hl_archive::{Class, Retention};
use hl_host::stores;

use super::place::Sourced;
use super::{Place, StoreUri, ValueError};

/// The folder of the archive where nothing is said: beside the store. The usual store of each network has its own.
pub(super) fn beside(store: &StoreUri) -> PathBuf {
    let of_network = match store {
        StoreUri::Sqlite(path) => {
            path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix("hyperliquid-"))
        }
        StoreUri::Mongo(_) => None,
    };
    let folder = of_network.map_or_else(|| "archive".to_owned(), |network| format!("archive-{network}"));
    stores::folder(store).join(folder)
}

/// The defaults, changed by what is said, in its order.
pub(super) fn retention(words: &[Sourced]) -> Result<Retention, (Place, ValueError)> {
    let mut retention = Retention::default();
    for word in words {
        let fail = |problem| (word.place.clone(), problem);
        let (kind, rule) = word.text.split_once('=').ok_or_else(|| {
            fail(ValueError::Malformed {
                what: "a retention",
                text: word.text.clone(),
                example: "trades=90d, bbo=7d:delete or mids=off".to_owned(),
            })
        })?;
        let rule = rule.trim().parse().map_err(|problem| fail(ValueError::Retention(problem)))?;
        if !retention.set(kind.trim(), rule) {
            let words = Class::words();
            let known = words.iter().map(String::as_str);
            return Err(fail(ValueError::unknown("kind of rows", kind.trim(), known)));
        }
    }
    Ok(retention)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::OPTIONS;

    #[test]
    fn the_help_tells_the_defaults() {
        let told = OPTIONS.iter().find(|option| option.key == "retention").unwrap().help;
        let defaults = Retention::default().to_string().replace(',', ", ");
        assert!(told.ends_with(&format!("[default: {defaults}; the rest off]")), "{defaults}");
    }

    #[test]
    fn what_is_said_changes_the_defaults() {
        let said = |words: &[&str]| {
            let place = Place::Flag("retention");
            let words: Vec<_> =
                words.iter().map(|&text| Sourced { text: text.to_owned(), place: place.clone() }).collect();
            retention(&words).map_err(|(place, problem)| format!("{place}: {problem}"))
        };
        let rule = |words: &[&str], stream: &str| {
            said(words).map(|retention| retention.rule(stream.parse().unwrap()).to_string())
        };
        assert_eq!(rule(&[], "trades/BTC").as_deref(), Ok("90d"));
        assert_eq!(rule(&["trades = 5d", "trades=off"], "trades/BTC").as_deref(), Ok("off"));
        assert_eq!(rule(&["candle/1h=3d:delete"], "candle/BTC/1h").as_deref(), Ok("3d:delete"));
        for (word, told) in [
            ("trades", "--retention: \"trades\" is not a retention; write it like trades=90d"),
            ("tades=9d", "did you mean \"trades\"?"),
            ("trades=12h", "\"12h\" is not a retention; write it like 90d, 7d:delete, or off"),
        ] {
            let error = said(&[word]).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_archive_lies_beside_the_store() {
        for (store, folder) in [
            ("sqlite:./data/x.db", "./data/archive"),
            ("sqlite:x.db", "archive"),
            ("sqlite:./data/hyperliquid.db", "./data/archive"),
            ("sqlite:./data/hyperliquid-sim.db", "./data/archive-sim"),
            ("mongodb://h/hyperliquid-x", "data/archive"),
        ] {
            assert_eq!(beside(&store.parse().unwrap()), PathBuf::from(folder));
        }
    }
}

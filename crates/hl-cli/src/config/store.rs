//! Where rows and ledger are kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::ValueError;

/// A store, as `--store` names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreUri {
    /// `sqlite:PATH`: one file.
    Sqlite(PathBuf),
}

impl FromStr for StoreUri {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let malformed = |example: String| ValueError::Malformed { what: "store", text: mask(text), example };
        match text.split_once(':') {
            _ if text.is_empty() => Err(ValueError::Empty),
            Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(malformed("sqlite:./data/hyperliquid.db".to_owned())),
                path => Ok(Self::Sqlite(path.into())),
            },
            Some((kind, _)) => Err(ValueError::unknown("kind of store", kind, ["sqlite"])),
            None => Err(malformed(format!("sqlite:{text}"))),
        }
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// A URI with its user and password masked: fit for a log.
#[must_use]
pub fn mask(uri: &str) -> String {
    match (uri.find("://"), uri.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &uri[..scheme + 3], &uri[at..]),
        _ => uri.to_owned(),
    }
}

/// A text of several words, with each URI among them masked.
pub(crate) fn mask_words(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_absolute_and_relative() {
        for (text, path) in [
            ("sqlite:./data/x.db", "./data/x.db"),
            ("sqlite:/var/x.db", "/var/x.db"),
            ("sqlite:///var/x.db", "/var/x.db"),
        ] {
            assert_eq!(text.parse(), Ok(StoreUri::Sqlite(path.into())));
        }
    }

    #[test]
    fn what_is_no_store_says_how_to_write_one() {
        let error = |text: &str| text.parse::<StoreUri>().unwrap_err().to_string();
        assert_eq!(error("x.db"), r#""x.db" is no store; write it like sqlite:x.db"#);
        assert_eq!(error("sqlit:x.db"), r#"unknown kind of store "sqlit"; did you mean "sqlite"?"#);
        assert_eq!(error(""), "the value is empty");
    }

    #[test]
    fn no_part_of_a_password_survives_the_mask() {
        assert_eq!(mask("mongodb://me:se/cr@et@host/db"), "mongodb://***@host/db");
        assert_eq!(mask("sqlite:a@b"), "sqlite:a@b");
        assert_eq!(mask_words("no 'x://me:se@cret@host' here\nx"), "no 'x://***@host' here\nx");
    }
}

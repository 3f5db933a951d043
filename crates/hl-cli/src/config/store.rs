//! Where rows and ledger are kept.

pub use hl_host::{MongoUri, StoreUri, mask};

use hl_host::NotAStore;

use super::ValueError;

impl From<NotAStore> for ValueError {
    fn from(problem: NotAStore) -> Self {
        match problem {
            NotAStore::Empty => Self::Empty,
            NotAStore::Kind(kind) => Self::unknown("kind of store", &kind, StoreUri::KINDS.iter().copied()),
            NotAStore::Malformed { text, example } => Self::Malformed { what: "a store", text, example },
        }
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
    fn what_is_no_store_says_how_to_write_one() {
        let error = |text: &str| ValueError::from(text.parse::<StoreUri>().unwrap_err()).to_string();
        assert_eq!(error("x.db"), r#""x.db" is not a store; write it like sqlite:x.db"#);
        assert_eq!(error("sqlit:x.db"), r#"unknown kind of store "sqlit"; did you mean "sqlite"?"#);
        assert_eq!(error(""), "the value is empty");
    }

    #[test]
    fn no_part_of_a_password_survives_the_mask() {
        assert_eq!(mask_words("no 'x://me:se@cret@host' here\nx"), "no 'x://***@host' here\nx");
    }
}

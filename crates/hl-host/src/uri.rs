//! How a store is named.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A store, by its URI. Shown without credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreUri {
    /// `sqlite:PATH`: one file.
    Sqlite(PathBuf),
    /// `mongodb://…` or `mongodb+srv://…`: a database on a replica set.
    #[cfg(feature = "mongodb")]
    Mongo(MongoUri),
}

/// A text that names no store. It is shown without credentials.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAStore {
    /// There is no text.
    #[error("the name of the store is empty")]
    Empty,
    /// It begins with a word that is not among [`StoreUri::KINDS`].
    #[error("unknown kind of store {0:?}; it can be {kinds}", kinds = StoreUri::KINDS.join(", "))]
    Kind(String),
    /// It has not the form of a store of its kind.
    #[error("{text:?} is not a store; write it like {example}")]
    Malformed {
        /// The text, user and password masked.
        text: String,
        /// How it is written.
        example: String,
    },
}

impl StoreUri {
    /// The words that a URI of a store may begin with.
    pub const KINDS: &[&str] = &[
        "sqlite",
        #[cfg(feature = "mongodb")]
        "mongodb",
    ];

    /// Whether processes on several machines reach it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "mongodb")]
            Self::Mongo(_) => true,
        }
    }
}

/// A MongoDB connection string. Shown without its credentials.
#[cfg(feature = "mongodb")]
#[derive(Clone, PartialEq, Eq)]
pub struct MongoUri {
    uri: String,
    database: String,
}

#[cfg(feature = "mongodb")]
impl MongoUri {
    /// As the driver takes it, credentials included: for the driver alone.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }
}

#[cfg(feature = "mongodb")]
impl FromStr for MongoUri {
    type Err = NotAStore;

    fn from_str(uri: &str) -> Result<Self, NotAStore> {
        let named = || {
            let rest = uri.strip_prefix("mongodb://").or_else(|| uri.strip_prefix("mongodb+srv://"))?;
            let hosts_on = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
            let (hosts, path) = hosts_on.split_once('/').unwrap_or((hosts_on, ""));
            let hosts = hosts.split('?').next().unwrap_or_default();
            let database =
                path.split('?').next().filter(|name| !name.is_empty()).unwrap_or(hl_mongo::DATABASE);
            // It names files on this machine, too.
            let is_name = database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            (!hosts.is_empty() && is_name)
                .then(|| Self { uri: uri.to_owned(), database: database.to_owned() })
        };
        named().ok_or_else(|| NotAStore::Malformed {
            text: mask(uri),
            example: "mongodb://host:27017/hyperliquid?replicaSet=rs0".to_owned(),
        })
    }
}

#[cfg(feature = "mongodb")]
impl fmt::Debug for MongoUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", mask(&self.uri))
    }
}

impl FromStr for StoreUri {
    type Err = NotAStore;

    fn from_str(text: &str) -> Result<Self, NotAStore> {
        let malformed = |example: String| NotAStore::Malformed { text: mask(text), example };
        match text.split_once(':') {
            _ if text.is_empty() => Err(NotAStore::Empty),
            Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(malformed("sqlite:./data/hyperliquid.db".to_owned())),
                path => Ok(Self::Sqlite(path.into())),
            },
            #[cfg(feature = "mongodb")]
            Some(("mongodb" | "mongodb+srv", _)) => text.parse().map(Self::Mongo),
            Some((kind, _)) => Err(NotAStore::Kind(kind.to_owned())),
            None => Err(malformed(format!("sqlite:{text}"))),
        }
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            #[cfg(feature = "mongodb")]
            Self::Mongo(mongo) => f.write_str(&mask(&mongo.uri)),
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

    #[cfg(feature = "mongodb")]
    #[test]
    fn a_database_is_named_or_the_default_and_credentials_are_never_shown() {
        for (text, database, shown) in [
            ("mongodb://h", "hyperliquid", "mongodb://h"),
            ("mongodb://h:1,i:2/?replicaSet=rs0", "hyperliquid", "mongodb://h:1,i:2/?replicaSet=rs0"),
            ("mongodb+srv://me:secr%40t@h/prices?tls=true", "prices", "mongodb+srv://***@h/prices?tls=true"),
        ] {
            let uri: StoreUri = text.parse().unwrap();
            let StoreUri::Mongo(mongo) = &uri else { panic!("{uri:?}") };
            assert_eq!((mongo.uri(), mongo.database()), (text, database));
            assert_eq!(uri.to_string(), shown);
            assert!(!format!("{uri:?}").contains("secr"));
        }
        for text in ["mongodb://", "mongodb:///x", "mongodb://me:secret@h/no/name"] {
            let error = text.parse::<StoreUri>().unwrap_err().to_string();
            assert!(
                error.contains("mongodb://host:27017/hyperliquid") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_store_says_how_to_write_one() {
        let error = |text: &str| text.parse::<StoreUri>().unwrap_err().to_string();
        assert_eq!(error("x.db"), r#""x.db" is not a store; write it like sqlite:x.db"#);
        assert!(error("sqlit:x.db").starts_with(r#"unknown kind of store "sqlit"; it can be sqlite"#));
        assert_eq!(error(""), "the name of the store is empty");
    }

    #[test]
    fn no_part_of_a_password_survives_the_mask() {
        assert_eq!(mask("mongodb://me:se/cr@et@host/db"), "mongodb://***@host/db");
        assert_eq!(mask("sqlite:a@b"), "sqlite:a@b");
    }
}

//! What a command of `hl-cli` is told beside its own words: by the flags that it shares with the daemon, by variables,
//! and by the daemon's file. Options that only the daemon has are known, and left alone.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hl_archive::Retention;

use super::options::OPTIONS;
use super::place::Sourced;
use super::{ConfigError, Files, Network, Place, Settings, StoreUri, ValueError, defaults, layers};
use super::{local_address, name, usual};

/// The daemon's options, as far as a command asks for them.
pub struct Told<'a> {
    settings: Settings,
    files: &'a dyn Files,
}

/// A flag that a command shares with the daemon: the daemon's key, and what was said.
pub type Flag<'a> = (&'static str, Vec<&'a str>);

impl<'a> Told<'a> {
    /// Flags over variables over the file over defaults; the file is the one that `config` names, or else `HL_CONFIG`.
    ///
    /// # Errors
    /// When the file cannot be read, a key or a variable is unknown, or a value has not the form of its option.
    pub fn new(
        config: Option<&str>,
        flags: &[Flag<'_>],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        files: &'a dyn Files,
    ) -> Result<Self, ConfigError> {
        let environment = layers::environment(environment)?;
        let file = match config.or(environment.config.as_deref()) {
            Some(path) => layers::read(Path::new(path), files)?,
            None => layers::Layer::new(),
        };
        let mut settings = Settings(defaults());
        settings.0.extend(file);
        settings.0.extend(environment.layer);
        for (key, texts) in flags.iter().filter(|(_, texts)| !texts.is_empty()) {
            debug_assert!(OPTIONS.iter().any(|opt| opt.key == *key), "{key} is an option of the daemon");
            let said = |text: &&str| match text.trim() {
                "" => Err(ConfigError::Value { place: Place::Flag(key), problem: ValueError::Empty }),
                text => Ok(Sourced { text: text.to_owned(), place: Place::Flag(key) }),
            };
            settings.0.insert(key, texts.iter().map(said).collect::<Result<_, _>>()?);
        }
        Ok(Self { settings, files })
    }

    /// Whether an option was said anywhere.
    #[must_use]
    pub fn says(&self, key: &str) -> bool {
        let values = self.settings.0.get(key).and_then(|values| values.last());
        values.is_some_and(|value| value.place != Place::Default)
    }

    /// The network.
    ///
    /// # Errors
    /// When what was said is none.
    pub fn network(&self) -> Result<Network, ConfigError> {
        self.settings.one("network")
    }

    /// What this machine is called, where that was said.
    ///
    /// # Errors
    /// When what was said is none.
    pub fn name(&self) -> Result<Option<String>, ConfigError> {
        self.settings.said("name", name)
    }

    /// The store, else the usual one of the network.
    ///
    /// # Errors
    /// When what was said is none.
    pub fn store(&self) -> Result<StoreUri, ConfigError> {
        self.settings.store(self.files)
    }

    /// The store to look into: as [`Told::store`], but where neither store nor network was said it may be the only one
    /// that is there; then with a word about that.
    ///
    /// # Errors
    /// When what was said is none.
    pub fn store_to_look_into(&self) -> Result<(StoreUri, Option<String>), ConfigError> {
        if self.says("store") || self.says("network") {
            return Ok((self.store()?, None));
        }
        Ok(usual::to_look_into(self.files))
    }

    /// The folder of the archive of a store.
    #[must_use]
    pub fn archive(&self, store: &StoreUri) -> PathBuf {
        self.settings.archive(store)
    }

    /// When rows go to the archive.
    ///
    /// # Errors
    /// When what was said is no retention.
    pub fn retention(&self) -> Result<Retention, ConfigError> {
        self.settings.retention()
    }

    /// From where to reach the exchange; as the system routes where that was not said.
    ///
    /// # Errors
    /// When what was said is no address.
    pub fn local_address(&self) -> Result<Option<IpAddr>, ConfigError> {
        self.settings.said("local-address", local_address)
    }
}

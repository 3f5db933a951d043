//! A session on a store: who it is, who else has one, and how it ends.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::layer::Delegates;
use crate::seam::BoxFuture;
use crate::{TimeMs, Token};

/// Who holds a lease.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Its token.
    pub token: Token,
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// What it is: `hl-daemon`, `hl-cli backfill`.
    pub role: String,
    /// When it opened the store, ms.
    pub since: TimeMs,
}

/// `hl-daemon (pid 77 on here)`, and with `{:#}` `hl-daemon (pid 77 on here, token 9)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, pid, host, role, .. } = self;
        write!(f, "{role} (pid {pid} on {host}")?;
        if f.alternate() {
            write!(f, ", token {}", token.0)?;
        }
        f.write_str(")")
    }
}

/// A living session, and what it says of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LiveSession {
    /// Who it is.
    pub holder: Holder,
    /// Its note.
    pub note: Option<String>,
}

/// What a session knows of the place where its rows lie, beside what its calls answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreCondition {
    /// Why nothing can be written there, in words: the database was deleted or moved away. None while it is in place.
    pub gone: Option<String>,
    /// How often the database or its log was found replaced by another program, and was opened anew.
    pub replaced: u32,
    /// Size of the log, bytes: what was committed and is not in the database file yet, and room for it. 0 where the store
    /// keeps no log that its readers can hold.
    pub log_bytes: u64,
    /// Since when a reader keeps the log from being emptied, ms; none while none does.
    pub log_held_since: Option<TimeMs>,
    /// Who that is, `python3 (pid 4711)`, as far as the operating system says.
    pub log_held_by: Vec<String>,
}

/// The name of a note that each session has for itself, as [`StoreSession::sessions`] finds it: `<name>/<token>`.
#[must_use]
pub fn note_of(name: &str, token: Token) -> String {
    format!("{name}/{}", token.0)
}

/// One open session on a store. Opening it takes a new [`Token`]; dropping it, or dying, frees its leases and claims.
pub trait StoreSession: Send + Sync + 'static {
    /// The token of this session.
    fn token(&self) -> Token;

    /// What it knows of the place where its rows lie. Does not wait for anything.
    fn condition(&self) -> StoreCondition {
        StoreCondition::default()
    }

    /// How long the leases of a holder that has died may still stand. Zero where its end is seen at once.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Every living session, this one included, by token; and of each the note `<name>/<token>`, where it has kept one.
    /// Tidies up after those that have died meanwhile.
    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>>;

    /// Finishes what is queued, gives up every lease, and closes.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<L: Delegates<dyn StoreSession>> StoreSession for L {
    fn token(&self) -> Token {
        self.inner().token()
    }

    fn condition(&self) -> StoreCondition {
        self.inner().condition()
    }

    fn patience(&self) -> Duration {
        self.inner().patience()
    }

    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<LiveSession>, StoreError>> {
        self.around(self.inner().sessions(name))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner().close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_alike_everywhere() {
        let (host, role) = ("here".to_owned(), "hl-daemon".to_owned());
        let holder = Holder { token: Token(9), pid: 77, host, role, since: TimeMs(5) };
        assert_eq!(holder.to_string(), "hl-daemon (pid 77 on here)");
        assert_eq!(format!("{holder:#}"), "hl-daemon (pid 77 on here, token 9)");
    }
}

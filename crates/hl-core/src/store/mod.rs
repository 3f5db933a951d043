//! The contract of a store, in roles: a part of the program names the role that it needs, and a [`Store`] has all of them.
//!
//! | role | what it is for |
//! |---|---|
//! | [`StoreSession`] | the token of a session, which other sessions live, and its end |
//! | [`Leasing`] | which streams this session may write, and where each begins |
//! | [`LedgerWriter`] | rows, covered pieces and gaps, in one transaction |
//! | [`LedgerReader`] | the streams, how far they are settled, their rows, and what of them was archived |
//! | [`CoveredBars`] | what an audit of bars compares |
//! | [`GapClaims`], [`DayClaims`] | what one backfill or one archive run owns of the past |
//! | [`Runs`], [`Notes`], [`Statistics`], [`Alerts`] | what is kept beside the streams |
//! | [`WeightLedger`] | request weight that all processes spend together |
//!
//! Implementations live in `hl-store`. Everything that must be atomic is one call here: rows, edge, ledger and the
//! check of the lease token are [`LedgerWriter::commit`]; moving the token and reading the edge are [`Leasing::lease`].
//! A store that stands before another one, and changes some of it, is a [`Layer`].

mod claims;
mod kept;
mod layer;
mod leasing;
mod ledger;
mod session;
mod weight;

pub use claims::{DayClaims, GapClaims};
pub use kept::{Alerts, NETWORK, Notes, Runs, Statistics};
pub use layer::{Delegates, Layer};
pub use leasing::{Leases, Leasing, RECENT_MS, Recent, StreamStart};
pub use ledger::{CoveredBars, LedgerReader, LedgerWriter, Settled};
pub use session::{Holder, LiveSession, StoreCondition, StoreSession, note_of};
pub use weight::{Reservation, WeightLedger};

use crate::ledger::Batch;
use crate::seam::BoxFuture;

/// Says once which roles a store has: for the sum of them, and for their calls.
macro_rules! roles {
    ($($Role:ident),+ $(,)?) => {
        /// The calls of every role, where a store is at hand by its own type: `use hl_core::store::prelude::*;`. A `dyn Store` has
        /// them without that.
        pub mod prelude {
            pub use super::{$($Role as _),+};
        }

        /// A store: one session on it, in every role. Whatever has the roles is a store.
        pub trait Store: $($Role +)+ {}

        impl<S: $($Role +)+> Store for S {}
    };
}

roles! {
    StoreSession,
    Leasing,
    LedgerWriter,
    LedgerReader,
    CoveredBars,
    GapClaims,
    DayClaims,
    Runs,
    Notes,
    Statistics,
    Alerts,
    WeightLedger,
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Worth trying again with the same batch: busy, disk full, connection lost.
    #[error("{step}: {source}")]
    Temporary {
        /// The step that failed, in words.
        step: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Will not get better by itself: a corrupt or foreign file, a newer schema, no permission.
    #[error("{step}: {source}")]
    Permanent {
        /// The step that failed, in words.
        step: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has ended this session, because its lease had run out. A new one may be opened.
    #[error("this session was ended by another process, because its lease had run out")]
    Superseded,
    /// The store was closed by us.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. })
    }
}

/// A durable queue of batches on disk, before a store: what a slow or absent store could not take yet. Bounded, in
/// order, found again after a crash.
pub trait BatchQueue: Send + Sync + 'static {
    /// Appends a batch, durably. `false` when the queue is full.
    fn push<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The oldest batch and its number.
    fn peek(&self) -> BoxFuture<'_, Result<Option<(u64, Batch)>, StoreError>>;

    /// Removes the oldest batch after it was committed.
    fn pop(&self, number: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Batches and bytes on disk.
    fn size(&self) -> (u64, u64);
}

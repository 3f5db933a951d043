//! Guards that can be broken on purpose, so that whoever checks the rules can be checked.
//!
//! A guard is the one condition in this crate that keeps a rule. With the feature `seeded-bugs` one of them can be made
//! to stand aside at run time: the model check has to find every one, and a simulated storm has to show its damage.
//! Without the feature, which no program that collects has, nothing of this is compiled, and every guard stands.

/// Whether a guard stands. A constant unless this is built to be broken.
#[cfg(not(feature = "seeded-bugs"))]
macro_rules! guard {
    ($guard:ident) => {
        true
    };
}
#[cfg(feature = "seeded-bugs")]
macro_rules! guard {
    ($guard:ident) => {
        $crate::seeded::stands($crate::seeded::Guard::$guard)
    };
}
pub(crate) use guard;

#[cfg(feature = "seeded-bugs")]
pub use broken::{Guard, UnknownGuard, break_guard, mend};

#[cfg(feature = "seeded-bugs")]
mod broken {
    use std::fmt;
    use std::str::FromStr;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Nothing is broken.
    const NONE: u8 = u8::MAX;
    static BROKEN: AtomicU8 = AtomicU8::new(NONE);

    /// The conditions that keep the rules.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    #[repr(u8)]
    pub enum Guard {
        /// Only what comes under the standing claim is admitted (rule 1).
        Gate,
        /// No epoch is used twice (rule 1).
        Epoch,
        /// Where no socket serves a stream, REST does (rule 2).
        Fallback,
        /// A run that a witness convicts loses the stream (rule 3).
        Witness,
        /// What waits in a ring is admitted at promotion (rule 4).
        Ring,
        /// The first piece of a claim has to join what is stored (rule 5).
        Handover,
        /// An answer joins only by an older block, or by a shared key (rule 5).
        Join,
        /// A frame that could not be decoded ends the run (rule 5).
        Broken,
        /// What another process holds has no owner here (rule 8).
        Lease,
        /// A claim begins at the stored edge (rule 8).
        StoredEdge,
        /// Bars that a handover touched are left to REST.
        WholeBars,
        /// A bar is final only under proof that nothing is in flight.
        FinalBars,
        /// What lacks a stored trade inside itself proves nothing (rule 5).
        Contained,
        /// A replay reaches as far as its newest trade (rule 5).
        Replay,
        /// A trade that comes below the claim's own piece, and is not stored, is stored all the same (rule 6).
        Late,
        /// Nothing is final before the first bar of an answer (rule 5).
        AnsweredBars,
    }

    impl Guard {
        /// All of them.
        pub const ALL: [Self; 16] = [
            Self::Gate,
            Self::Epoch,
            Self::Fallback,
            Self::Witness,
            Self::Ring,
            Self::Handover,
            Self::Join,
            Self::Broken,
            Self::Lease,
            Self::StoredEdge,
            Self::WholeBars,
            Self::FinalBars,
            Self::Contained,
            Self::Replay,
            Self::Late,
            Self::AnsweredBars,
        ];

        /// Its name on a command line.
        #[must_use]
        pub fn name(self) -> &'static str {
            match self {
                Self::Gate => "gate",
                Self::Epoch => "epoch",
                Self::Fallback => "fallback",
                Self::Witness => "witness",
                Self::Ring => "ring",
                Self::Handover => "handover",
                Self::Join => "join",
                Self::Broken => "broken",
                Self::Lease => "lease",
                Self::StoredEdge => "stored-edge",
                Self::WholeBars => "whole-bars",
                Self::FinalBars => "final-bars",
                Self::Contained => "contained",
                Self::Replay => "replay",
                Self::Late => "late",
                Self::AnsweredBars => "answered-bars",
            }
        }
    }

    impl fmt::Display for Guard {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(self.name())
        }
    }

    /// No guard has this name.
    #[derive(Debug, thiserror::Error)]
    #[error("there is no guard {0:?}; there are: {known}", known = names())]
    pub struct UnknownGuard(String);

    fn names() -> String {
        Guard::ALL.map(Guard::name).join(", ")
    }

    impl FromStr for Guard {
        type Err = UnknownGuard;

        fn from_str(name: &str) -> Result<Self, UnknownGuard> {
            Self::ALL.into_iter().find(|g| g.name() == name).ok_or_else(|| UnknownGuard(name.to_owned()))
        }
    }

    /// Makes one guard stand aside, for the whole process, until [`mend`].
    pub fn break_guard(guard: Guard) {
        BROKEN.store(guard as u8, Ordering::Relaxed);
    }

    /// Every guard stands again.
    pub fn mend() {
        BROKEN.store(NONE, Ordering::Relaxed);
    }

    pub(crate) fn stands(guard: Guard) -> bool {
        BROKEN.load(Ordering::Relaxed) != guard as u8
    }
}
#[cfg(feature = "seeded-bugs")]
pub(crate) use broken::stands;

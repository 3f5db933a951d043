//! What a process says when it ends.

use std::process::ExitCode;

/// The exit codes of both binaries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, and clean.
    Done,
    /// Failed, or found to be unclean.
    Failed,
    /// The command line, a variable or the configuration file is wrong.
    Usage,
    /// Another living process holds what was asked for.
    Held,
    /// Done as far as possible; a part can never be recovered.
    Partial,
    /// The exchange behaves otherwise than it is believed to.
    Differs,
    /// Not everything that was to be looked at was seen; of a daemon: nothing came in the time that it was given.
    Unseen,
    /// Stopped by a signal; what was done is kept.
    Interrupted,
}

impl Exit {
    /// The number: 0 done, 1 failed, 2 usage, 3 held, 4 partial, 5 differs, 6 unseen, 130 interrupted.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Held => 3,
            Self::Partial => 4,
            Self::Differs => 5,
            Self::Unseen => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

//! The rules that are checked, by name.

use std::fmt;

/// A rule that must not break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Rule {
    /// Nothing is admitted without its claim (rule 1).
    Gate,
    /// Epochs only grow inside a session, and are never reused (rule 1).
    Epochs,
    /// At most one live claim a stream that the store accepts (rules 1 and 8).
    OneOwner,
    /// A socket owns a stream only while its run is up and has proved itself (rules 2 and 4).
    Proof,
    /// A proven owner is not moved without a reason (rules 3 and 4).
    Calm,
    /// What a run brought before it was promoted is admitted (rule 4).
    Ring,
    /// Every record below the edge is stored, or lies in a recorded gap (rules 5 and 6).
    Missing,
    /// No record is written by two claims, border blocks aside.
    Twice,
    /// Covered pieces of different claims, and gaps, have disjoint interiors (rules 1 and 5).
    Disjoint,
    /// Every row lies in a covered piece of its own claim (rule 1).
    OwnPiece,
    /// A final bar equals the exchange's.
    FinalBars,
    /// No write under a superseded token is accepted (rule 8).
    Token,
    /// The edge never goes back.
    Edge,
    /// After the last fault a stream that a healthy source serves gets an owner (rule 2).
    Owner,
    /// After the last fault what is queued is stored, and every gap is closed (rule 6).
    Settled,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Gate,
        Self::Epochs,
        Self::OneOwner,
        Self::Proof,
        Self::Calm,
        Self::Ring,
        Self::Missing,
        Self::Twice,
        Self::Disjoint,
        Self::OwnPiece,
        Self::FinalBars,
        Self::Token,
        Self::Edge,
        Self::Owner,
        Self::Settled,
    ];

    /// The rule in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gate => "nothing is admitted without its claim",
            Self::Epochs => "epochs only grow inside a session, and are never reused",
            Self::OneOwner => "at most one live claim a stream that the store accepts",
            Self::Proof => "a socket owns a stream only while its run is up and has proved itself",
            Self::Calm => "a proven owner is not moved without a reason",
            Self::Ring => "what a run brought before it was promoted is admitted",
            Self::Missing => "every record below the edge is stored, or lies in a recorded gap",
            Self::Twice => "no record is written by two claims, border blocks aside",
            Self::Disjoint => "covered pieces of different claims, and gaps, have disjoint interiors",
            Self::OwnPiece => "every row lies in a covered piece of its own claim",
            Self::FinalBars => "a final bar equals the exchange's",
            Self::Token => "no write under a superseded token is accepted",
            Self::Edge => "the edge never goes back",
            Self::Owner => "after the last fault a stream that a healthy source serves gets an owner",
            Self::Settled => "after the last fault what is queued is stored, and every gap is closed",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}

/// Whether nothing broke; the rule that broke otherwise.
pub(crate) type Held = Result<(), Rule>;

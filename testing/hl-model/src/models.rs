//! The models: what each looks at, and how far.

use hl_core::selector::Places;
use hl_core::symbol::CoinError;

use crate::exchange::{Script, Wrong};
use crate::world::{Faults, Left, Setup};

/// How far a check goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Seconds, also in a debug build.
    Short,
    /// Minutes.
    Full,
    /// As long as it takes.
    Deep,
}

/// A model by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// Trades of one stream with one subscription.
    Trades,
    /// The same, every state followed into calm.
    TradesCalm,
    /// Trades with a warm standby.
    Standby,
    /// The same, every state followed into calm.
    StandbyCalm,
    /// Bars with late last versions.
    Bars,
    /// The same, every state followed into calm.
    BarsCalm,
    /// Trades of an exchange that errs, with one subscription.
    ErringTrades,
    /// The same, polled only.
    ErringPolls,
    /// Bars of an exchange that errs.
    ErringBars,
    /// Two processes, leases and spools.
    Leases,
    /// The same, every state followed into calm.
    LeasesCalm,
    /// Two processes that give a stream to each other while it is collected.
    Moves,
    /// The same, every state followed into calm.
    MovesCalm,
    /// The selector alone, with two streams.
    Selector,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Trades,
        Self::TradesCalm,
        Self::Standby,
        Self::StandbyCalm,
        Self::Bars,
        Self::BarsCalm,
        Self::ErringTrades,
        Self::ErringPolls,
        Self::ErringBars,
        Self::Leases,
        Self::LeasesCalm,
        Self::Moves,
        Self::MovesCalm,
        Self::Selector,
    ];

    /// Its name on a command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trades => "trades",
            Self::TradesCalm => "trades-calm",
            Self::Standby => "standby",
            Self::StandbyCalm => "standby-calm",
            Self::Bars => "bars",
            Self::BarsCalm => "bars-calm",
            Self::ErringTrades => "erring-trades",
            Self::ErringPolls => "erring-polls",
            Self::ErringBars => "erring-bars",
            Self::Leases => "leases",
            Self::LeasesCalm => "leases-calm",
            Self::Moves => "moves",
            Self::MovesCalm => "moves-calm",
            Self::Selector => "selector",
        }
    }

    /// The world that it looks at; none for the selector alone.
    pub(crate) fn world(self, reach: Reach) -> Result<Option<Setup>, CoinError> {
        let (script, bounds) = match self {
            Self::Trades => match reach {
                Reach::Short => (Script::trades(&[1, 1, 1], 2, 1)?, bounds([1, 0, 1, 1, 2, 0])),
                Reach::Full => (Script::trades(&[1, 2, 1], 3, 2)?, bounds([2, 0, 2, 1, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2, 1, 1], 3, 2)?, bounds([2, 1, 2, 1, 3, 0])),
            },
            Self::TradesCalm => match reach {
                Reach::Short => (Script::trades(&[2], 3, 2)?, bounds([1, 1, 0, 0, 2, 0])),
                Reach::Full => (Script::trades(&[1, 2], 3, 2)?, bounds([1, 1, 1, 1, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2, 1], 3, 2)?, bounds([2, 1, 2, 1, 2, 0])),
            },
            Self::Standby => match reach {
                Reach::Short => (Script::trades(&[1, 1], 1, 1)?, bounds([1, 0, 1, 0, 2, 0])),
                Reach::Full => (Script::trades(&[1, 2], 2, 1)?, bounds([1, 0, 1, 0, 3, 0])),
                Reach::Deep => (Script::trades(&[1, 2, 1], 2, 1)?, bounds([2, 1, 1, 1, 3, 0])),
            },
            Self::StandbyCalm => match reach {
                Reach::Short => (Script::trades(&[1], 2, 1)?, bounds([0, 1, 0, 0, 2, 0])),
                Reach::Full => (Script::trades(&[2], 2, 1)?, bounds([1, 1, 0, 0, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2], 2, 1)?, bounds([1, 1, 1, 0, 3, 0])),
            },
            Self::Bars => match reach {
                Reach::Short => (Script::bars(LATE)?, bounds([1, 0, 0, 0, 1, 1])),
                Reach::Full => (Script::bars(LATE)?, bounds([1, 0, 1, 1, 2, 1])),
                Reach::Deep => (Script::bars(LATE_TWICE)?, bounds([2, 0, 2, 1, 2, 2])),
            },
            Self::BarsCalm => match reach {
                Reach::Short => (Script::bars(LATE)?, bounds([0, 0, 0, 0, 1, 1])),
                Reach::Full => (Script::bars(LATE)?, bounds([0, 0, 1, 1, 1, 1])),
                Reach::Deep => (Script::bars(LATE)?, bounds([1, 0, 1, 1, 2, 1])),
            },
            Self::ErringTrades => match reach {
                Reach::Short => (Script::trades(&[1, 1, 1], 2, 1)?, bounds([1, 0, 2, 0, 1, 0])),
                Reach::Full => (Script::trades(&[1, 1, 1, 1], 2, 4)?, bounds([2, 0, 2, 0, 1, 0])),
                Reach::Deep => (Script::trades(&[1, 2, 1, 1], 3, 4)?, bounds([3, 0, 3, 0, 2, 0])),
            },
            // Blocks of one trade: what is stored of a block that an answer cut cannot be known.
            Self::ErringPolls => match reach {
                Reach::Short => (Script::trades(&[1, 1, 1, 1, 1], 0, 5)?, bounds([1, 0, 2, 1, 0, 0])),
                Reach::Full => (Script::trades(&[1, 1, 1, 1, 1], 0, 5)?, bounds([2, 0, 4, 1, 0, 0])),
                Reach::Deep => (Script::trades(&[1, 1, 1, 1, 1, 1], 0, 6)?, bounds([2, 0, 5, 2, 0, 0])),
            },
            Self::ErringBars => match reach {
                Reach::Short => (Script::bars(LATE)?, bounds([1, 0, 1, 1, 1, 1])),
                Reach::Full => (Script::bars(LATE)?, bounds([2, 0, 2, 1, 1, 1])),
                Reach::Deep => (Script::bars(LATE_TWICE)?, bounds([2, 0, 3, 2, 2, 2])),
            },
            Self::Leases => match reach {
                Reach::Short => (Script::trades(&[1, 1], 2, 1)?, bounds([1, 0, 0, 0, 2, 0])),
                Reach::Full => (Script::trades(&[1, 2], 2, 1)?, bounds([2, 0, 1, 1, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2, 1], 2, 1)?, bounds([3, 0, 1, 1, 3, 0])),
            },
            Self::LeasesCalm => match reach {
                Reach::Short => (Script::trades(&[1, 1], 2, 1)?, bounds([1, 0, 0, 0, 1, 0])),
                Reach::Full => (Script::trades(&[1, 1], 2, 1)?, bounds([1, 0, 1, 0, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2], 2, 1)?, bounds([2, 0, 1, 0, 2, 0])),
            },
            Self::Moves => match reach {
                Reach::Short => (Script::trades(&[1, 1], 2, 1)?, moving(2, [0, 0, 0, 0, 2, 0])),
                Reach::Full => (Script::trades(&[1, 2], 2, 1)?, moving(3, [1, 0, 0, 1, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2, 1], 2, 1)?, moving(4, [2, 0, 1, 1, 3, 0])),
            },
            Self::MovesCalm => match reach {
                Reach::Short => (Script::trades(&[1], 2, 1)?, moving(2, [0, 0, 0, 0, 2, 0])),
                Reach::Full => (Script::trades(&[1, 1], 2, 1)?, moving(2, [1, 0, 0, 0, 2, 0])),
                Reach::Deep => (Script::trades(&[1, 2], 2, 1)?, moving(3, [2, 0, 1, 0, 2, 0])),
            },
            Self::Selector => return Ok(None),
        };
        let one = Faults { die: true, garble: true, crash: true, ..Faults::default() };
        let (places, processes, faults) = match self {
            Self::Standby | Self::StandbyCalm => (Places::Two, 1, Faults { deafen: true, ..one }),
            Self::Bars | Self::BarsCalm => (Places::One, 1, Faults { twice: true, ..one }),
            Self::ErringTrades => {
                let wrong = &[Wrong::Newest, Wrong::Empty, Wrong::Stale];
                (Places::One, 1, Faults { wrong, stale: true, turned: true, die: true, ..Faults::default() })
            }
            Self::ErringPolls => {
                // Behind an answer with only the newest record it cannot be seen what another lacks before it.
                let wrong = &[Wrong::Empty, Wrong::Stale, Wrong::Holed];
                (Places::None, 1, Faults { wrong, ..Faults::default() })
            }
            Self::ErringBars => {
                let wrong = &[Wrong::Newest, Wrong::Empty];
                (Places::One, 1, Faults { wrong, die: true, ..Faults::default() })
            }
            Self::Leases | Self::LeasesCalm | Self::Moves | Self::MovesCalm => {
                (Places::One, 2, Faults { crash: true, spool: true, steal: true, ..Faults::default() })
            }
            Self::Trades | Self::TradesCalm | Self::Selector => {
                (Places::One, 1, Faults { deafen: true, twice: true, ..one })
            }
        };
        let calm = matches!(
            self,
            Self::TradesCalm | Self::StandbyCalm | Self::BarsCalm | Self::LeasesCalm | Self::MovesCalm
        );
        Ok(Some(Setup { script, places, processes, faults, bounds, calm }))
    }
}

/// Bars whose first one gets its last version late, and a minute without trades.
const LATE: &[(i64, i64, u64)] =
    &[(62, 1, 1), (121, 2, 1), (123, 1, 3), (130, 0, 0), (242, 4, 1), (250, 0, 0)];
/// The same, and another late one after the empty minute.
const LATE_TWICE: &[(i64, i64, u64)] = &[
    (62, 1, 1),
    (121, 2, 1),
    (123, 1, 3),
    (130, 0, 0),
    (179, 2, 2),
    (241, 4, 1),
    (301, 5, 1),
    (304, 4, 2),
    (310, 0, 0),
];

fn bounds([faults, silences, asks, backfills, subscribes, pongs]: [u8; 6]) -> Left {
    Left { faults, silences, asks, backfills, subscribes, pongs, moves: 0 }
}

fn moving(moves: u8, others: [u8; 6]) -> Left {
    Left { moves, ..bounds(others) }
}

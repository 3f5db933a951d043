//! The models: what each looks at, and how far.

use hl_core::selector::Places;
use hl_core::symbol::CoinError;

use crate::exchange::Script;
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
    /// Two processes, leases and spools.
    Leases,
    /// The same, every state followed into calm.
    LeasesCalm,
    /// The selector alone, with two streams.
    Selector,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Trades,
        Self::TradesCalm,
        Self::Standby,
        Self::StandbyCalm,
        Self::Bars,
        Self::BarsCalm,
        Self::Leases,
        Self::LeasesCalm,
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
            Self::Leases => "leases",
            Self::LeasesCalm => "leases-calm",
            Self::Selector => "selector",
        }
    }

    /// The world that it looks at; none for the selector alone.
    pub(crate) fn world(self, reach: Reach) -> Result<Option<Setup>, CoinError> {
        let (short, deep) = (reach == Reach::Short, reach == Reach::Deep);
        let more = u8::from(deep);
        let less = u8::from(short);
        let one = Faults {
            die: true,
            deafen: true,
            garble: true,
            twice: true,
            crash: true,
            spool: false,
            steal: false,
        };
        Ok(Some(match self {
            Self::Trades => Setup {
                script: if short {
                    Script::trades(&[1, 1, 1], 2, 1)?
                } else {
                    Script::trades(&[1, 2, 1], 3, 2)?
                },
                places: Places::One,
                processes: 1,
                faults: one,
                bounds: Left {
                    faults: 1 + more,
                    silences: more,
                    asks: 2 + more - less,
                    backfills: 1,
                    subscribes: 2 + more,
                    pongs: 0,
                },
                calm: false,
            },
            Self::TradesCalm => Setup {
                script: Script::trades(if short { &[2] } else { &[1, 2] }, 3, 2)?,
                places: Places::One,
                processes: 1,
                faults: one,
                bounds: Left {
                    faults: 1 + more,
                    silences: 1,
                    asks: 1 + more,
                    backfills: 1,
                    subscribes: 2 + more - less,
                    pongs: 0,
                },
                calm: true,
            },
            Self::Standby => Setup {
                script: Script::trades(if short { &[1, 1] } else { &[1, 2, 1] }, 2 - usize::from(less), 1)?,
                places: Places::Two,
                processes: 1,
                faults: Faults { twice: false, garble: !short, ..one },
                bounds: Left {
                    faults: 1 + more,
                    silences: more,
                    asks: 1 + more,
                    backfills: more,
                    subscribes: 3 - less,
                    pongs: 0,
                },
                calm: false,
            },
            Self::StandbyCalm => Setup {
                script: Script::trades(if short { &[1] } else { &[2] }, 2, 1)?,
                places: Places::Two,
                processes: 1,
                faults: Faults { twice: false, garble: false, ..one },
                bounds: Left {
                    faults: 1 + more - less,
                    silences: 1,
                    asks: 1,
                    backfills: 0,
                    subscribes: 3 + more - less,
                    pongs: 0,
                },
                calm: true,
            },
            Self::Bars | Self::BarsCalm => Setup {
                script: Script::bars(if short || self == Self::BarsCalm && !deep {
                    &[(62, 1, 1), (121, 2, 1), (123, 1, 3), (130, 0, 0), (182, 3, 1), (190, 0, 0)]
                } else {
                    // The last version of the first bar comes late; the third minute is empty; the fourth bar is late too.
                    &[
                        (62, 1, 1),
                        (121, 2, 1),
                        (123, 1, 3),
                        (130, 0, 0),
                        (179, 2, 2),
                        (241, 4, 1),
                        (301, 5, 1),
                        (304, 4, 2),
                        (310, 0, 0),
                    ]
                })?,
                places: Places::One,
                processes: 1,
                faults: Faults { deafen: false, ..one },
                bounds: Left {
                    faults: 1 + more - less * u8::from(self == Self::BarsCalm),
                    silences: 0,
                    asks: 2 + more - less,
                    backfills: 1,
                    subscribes: 2 - less,
                    pongs: 2 + more - less,
                },
                calm: self == Self::BarsCalm,
            },
            Self::Leases => Setup {
                script: Script::trades(if short { &[1, 1] } else { &[1, 2, 1] }, 2, 1)?,
                places: Places::One,
                processes: 2,
                faults: Faults { crash: true, spool: true, steal: true, ..Faults::default() },
                bounds: Left {
                    faults: 2 + more - less,
                    silences: 0,
                    asks: 1 + more - less,
                    backfills: 1 - less,
                    subscribes: 2 + more,
                    pongs: 0,
                },
                calm: false,
            },
            Self::LeasesCalm => Setup {
                script: Script::trades(&[1, 1], 2, 1)?,
                places: Places::One,
                processes: 2,
                faults: Faults { crash: true, spool: true, steal: true, ..Faults::default() },
                bounds: Left {
                    faults: 1 + more,
                    silences: 0,
                    asks: 1 - less,
                    backfills: 0,
                    subscribes: 2 - less,
                    pongs: 0,
                },
                calm: true,
            },
            Self::Selector => return Ok(None),
        }))
    }
}

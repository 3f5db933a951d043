//! What may happen in the model, one step at a time.

use std::fmt;

use hl_core::Lane;

use crate::exchange::Wrong;

/// One step. The number is the process that takes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Act {
    /// The next thing of the script happens at the exchange.
    Happen,
    /// A process starts: it drains the spool and takes the lease where nobody living has it.
    Start(usize),
    /// It asks for the lease again.
    Lease(usize),
    /// It takes the lease of a living process: the lease ran out while its holder did not look, or a clock jumped.
    Steal(usize),
    /// Another process holds the lease, and is to give it to this one: it subscribes.
    Warm(usize),
    /// Another process is to have the stream: it stops collecting, or subscribing, it.
    Release(usize),
    /// Everything of what it released is committed: the lease goes back.
    GiveBack(usize),
    /// It crashes. The spool stays.
    Crash(usize),
    /// The oldest effect of the selector is carried out.
    CarryOut(usize),
    /// The next deadline of the selector falls.
    Deadline(usize),
    /// A subscription is acknowledged.
    Subscribe(usize, Lane),
    /// A subscription is acknowledged whose replay ends some time ago; then the stream goes on.
    SubscribeStale(usize, Lane),
    /// The subscription brings what it has not brought yet.
    Deliver(usize, Lane),
    /// It brings the newest of that first, and the rest afterwards.
    DeliverTurned(usize, Lane),
    /// A pong, behind everything that the exchange has sent.
    Pong(usize, Lane),
    /// What the subscription has not brought yet cannot be decoded.
    Garble(usize, Lane),
    /// The socket dies, with what it has not brought yet.
    Die(usize, Lane),
    /// The socket stays open and brings nothing more.
    Deafen(usize, Lane),
    /// The session finds the run silent.
    Silent(usize, Lane),
    /// The probe is answered.
    Probed(usize),
    /// REST is asked.
    Ask(usize),
    /// REST is asked, and the exchange errs.
    AskWrong(usize, Wrong),
    /// The n-th answer arrives.
    Answered(usize, usize),
    /// The n-th answer arrives, and will arrive once more.
    AnsweredTwice(usize, usize),
    /// The oldest batch is committed.
    Commit(usize),
    /// What is queued goes to disk.
    Spool(usize),
    /// A backfill claims the open gaps and is answered.
    Backfill(usize),
    /// A backfill claims the open gaps, and the exchange errs.
    BackfillWrong(usize, Wrong),
    /// What the backfill brought is committed.
    Filled(usize),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = |lane: &Lane| match lane {
            Lane::First => "first",
            Lane::Second => "second",
        };
        match self {
            Self::Happen => write!(f, "exchange: the next thing happens"),
            Self::Start(p) => write!(f, "process {p}: starts"),
            Self::Lease(p) => write!(f, "process {p}: asks for the lease again"),
            Self::Steal(p) => write!(f, "process {p}: takes the lease of a living process"),
            Self::Warm(p) => write!(f, "process {p}: subscribes what another is to give to it"),
            Self::Release(p) => write!(f, "process {p}: releases the stream"),
            Self::GiveBack(p) => write!(f, "process {p}: gives the lease back"),
            Self::Crash(p) => write!(f, "process {p}: crashes"),
            Self::CarryOut(p) => write!(f, "process {p}: carries out the selector's next effect"),
            Self::Deadline(p) => write!(f, "process {p}: a deadline falls"),
            Self::Subscribe(p, l) => write!(f, "process {p}: subscribed on the {} lane", lane(l)),
            Self::SubscribeStale(p, l) => {
                write!(f, "process {p}: subscribed on the {} lane, with a replay that is old", lane(l))
            }
            Self::DeliverTurned(p, l) => {
                write!(f, "process {p}: the {} lane brings what happened, the newest first", lane(l))
            }
            Self::Deliver(p, l) => write!(f, "process {p}: the {} lane brings what happened", lane(l)),
            Self::Pong(p, l) => {
                write!(f, "process {p}: the {} lane brings what happened, and a pong", lane(l))
            }
            Self::Garble(p, l) => write!(f, "process {p}: a frame of the {} lane cannot be decoded", lane(l)),
            Self::Die(p, l) => write!(f, "process {p}: the socket of the {} lane dies", lane(l)),
            Self::Deafen(p, l) => write!(f, "process {p}: the {} lane brings nothing more", lane(l)),
            Self::Silent(p, l) => write!(f, "process {p}: the {} lane is found silent", lane(l)),
            Self::Probed(p) => write!(f, "process {p}: the probe is answered"),
            Self::Ask(p) => write!(f, "process {p}: REST is asked"),
            Self::AskWrong(p, wrong) => write!(f, "process {p}: REST is asked, and the answer {wrong}"),
            Self::Answered(p, n) => write!(f, "process {p}: answer {n} arrives"),
            Self::AnsweredTwice(p, n) => write!(f, "process {p}: answer {n} arrives, and will arrive again"),
            Self::Commit(p) => write!(f, "process {p}: commits"),
            Self::Spool(p) => write!(f, "process {p}: spools"),
            Self::Backfill(p) => write!(f, "process {p}: a backfill claims the gaps and is answered"),
            Self::BackfillWrong(p, wrong) => {
                write!(f, "process {p}: a backfill claims the gaps, and the answer {wrong}")
            }
            Self::Filled(p) => write!(f, "process {p}: the backfill commits"),
        }
    }
}

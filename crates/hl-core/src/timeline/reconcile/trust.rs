//! How far the counts of bars are believed.
//!
//! That a bar counts the public trades is an assumption about the exchange. So a count is not a witness before it has agreed
//! with trades that are known to be whole, and it is none any more once it was wrong too often; until it agrees again.

/// An assumption about all coins is well-founded after so many whole bars that agreed …
pub(super) const FOUNDED_BARS: u64 = 2;
/// … with so many trades in them.
pub(super) const FOUNDED_TRADES: u64 = 10;

/// Counts that agreed in a row weigh no more than so many: what was right for an hour may be wrong from now on.
const MOST: i8 = 3;
/// So far below nought a count is not believed any more. A few bars that disagree may be a loss of trades.
const REFUTED: i8 = -3;
/// What was refuted is believed again here.
const BELIEVED: i8 = 2;

/// Who brought the count of a bar. Each is believed for its own sake: REST may count otherwise than the socket, for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum By {
    Socket,
    Rest,
}

impl By {
    pub(super) const ALL: [Self; 2] = [Self::Socket, Self::Rest];

    pub(super) fn index(self) -> usize {
        match self {
            Self::Socket => 0,
            Self::Rest => 1,
        }
    }
}

/// Bars that agreed, over all coins.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Foundation {
    bars: u64,
    trades: u64,
}

impl Foundation {
    /// A bar of so many trades agreed. One without trades says nothing.
    pub(super) fn agree(&mut self, trades: u64) {
        if trades > 0 {
            self.bars += 1;
            self.trades = self.trades.saturating_add(trades);
        }
    }

    pub(super) fn is_laid(self) -> bool {
        self.bars >= FOUNDED_BARS && self.trades >= FOUNDED_TRADES
    }
}

/// What is known of the bars of all coins.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Foundations {
    /// Whole bars that agreed with the trades, by who brought them.
    trades: [Foundation; 2],
    /// Bars of REST that agreed with those that are stored.
    audited: Foundation,
}

impl Foundations {
    /// A whole bar of so many trades agreed with them.
    pub(super) fn agree(&mut self, by: By, trades: u64) {
        self.trades[by.index()].agree(trades);
    }

    /// A bar of REST agreed with the stored one, of so many trades.
    pub(super) fn audited(&mut self, trades: u64) {
        self.audited.agree(trades);
    }

    /// Whether the exchange's history of bars is what was stored, in general.
    pub(super) fn is_history_known(self) -> bool {
        self.audited.is_laid()
    }

    /// Whether the bars of a source count the public trades, in general. Whole bars of REST are seldom; but it counts them
    /// where it agrees with bars that do.
    pub(super) fn is_laid(self, by: By) -> bool {
        let [socket, rest] = self.trades.map(Foundation::is_laid);
        match by {
            By::Socket => socket,
            By::Rest => rest || socket && self.audited.is_laid(),
        }
    }
}

/// How the bars of one coin and one source have done of late.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Trust {
    score: i8,
    refuted: bool,
}

impl Trust {
    /// A whole bar counted what is stored. One without trades says nothing.
    pub(super) fn agree(&mut self, trades: u64) {
        if trades == 0 {
            return;
        }
        self.score = (self.score + 1).min(MOST);
        self.refuted &= self.score < BELIEVED;
    }

    /// A whole bar counted something else.
    pub(super) fn differ(&mut self) {
        self.score = (self.score - 1).max(REFUTED);
        self.refuted |= self.score == REFUTED;
    }

    /// It was wrong too often.
    pub(super) fn is_refuted(self) -> bool {
        self.refuted
    }

    /// It agrees more often than not, of late.
    pub(super) fn has_agreed(self) -> bool {
        self.score > 0 && !self.refuted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_was_right_for_long_is_refuted_as_soon_as_one_that_was_right_for_a_while() {
        for agreed in [3, 60] {
            let mut trust = Trust::default();
            (0..agreed).for_each(|_| trust.agree(5));
            let wrong = (1..).find(|_| {
                trust.differ();
                trust.is_refuted()
            });
            assert_eq!(wrong, Some(6), "{agreed}");
        }
    }

    #[test]
    fn what_was_refuted_is_believed_again_after_it_agreed_for_a_while() {
        let mut trust = Trust::default();
        (0..100).for_each(|_| trust.differ());
        let agreed = (1..).find(|_| {
            trust.agree(5);
            !trust.is_refuted()
        });
        assert_eq!(agreed, Some(5));
    }

    #[test]
    fn bars_without_trades_prove_nothing() {
        let (mut trust, mut foundation) = (Trust::default(), Foundation::default());
        for _ in 0..50 {
            trust.agree(0);
            foundation.agree(0);
        }
        assert!(!trust.has_agreed() && !foundation.is_laid());
    }

    #[test]
    fn counts_that_jump_about_are_refuted_and_stay_so() {
        let mut trust = Trust::default();
        for n in 0..60 {
            if n % 3 == 0 {
                trust.agree(2)
            } else {
                trust.differ()
            }
            assert!(n < 12 || trust.is_refuted(), "{n}");
        }
    }
}

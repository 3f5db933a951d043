//! Which events a reader wants.

use std::collections::BTreeSet;

use hl_core::{Coin, Kind, StreamKey};

use super::Event;

/// How many events may wait for a reader, if nothing else is said.
const WAITING: usize = 4_096;

/// A sort of events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum EventSort {
    /// [`Event::Rows`].
    Rows,
    /// What becomes of gaps.
    Gaps,
    /// [`Event::Handover`].
    Handovers,
    /// [`Event::Ended`].
    Ends,
}

/// Which events a reader wants, and how many may wait for it. A stream passes that is named itself or by its kind; coins and
/// sorts narrow it down further: `Filter::all().kinds([Kind::Trades]).coins([btc, eth])` is the trades of both.
/// [`Event::Lagged`] always passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    streams: Option<BTreeSet<StreamKey>>,
    kinds: Option<BTreeSet<Kind>>,
    coins: Option<BTreeSet<Coin>>,
    sorts: Option<BTreeSet<EventSort>>,
    waiting: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self::all()
    }
}

impl Filter {
    /// Every event; up to 4,096 of them may wait.
    #[must_use]
    pub fn all() -> Self {
        Self { streams: None, kinds: None, coins: None, sorts: None, waiting: WAITING }
    }

    /// Only those of these streams, and of the kinds that are named.
    #[must_use]
    pub fn streams(self, streams: impl IntoIterator<Item = StreamKey>) -> Self {
        Self { streams: Some(streams.into_iter().collect()), ..self }
    }

    /// Only those of streams of these kinds, and of the streams that are named.
    #[must_use]
    pub fn kinds(self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { kinds: Some(kinds.into_iter().collect()), ..self }
    }

    /// Only those of streams of these coins. A stream of many coins, such as `mids`, is of none of them.
    #[must_use]
    pub fn coins(self, coins: impl IntoIterator<Item = Coin>) -> Self {
        Self { coins: Some(coins.into_iter().collect()), ..self }
    }

    /// Only these sorts.
    #[must_use]
    pub fn sorts(self, sorts: impl IntoIterator<Item = EventSort>) -> Self {
        Self { sorts: Some(sorts.into_iter().collect()), ..self }
    }

    /// How many events may wait for the reader, at least one. What comes while so many wait is dropped, and counted in
    /// [`Event::Lagged`].
    #[must_use]
    pub fn waiting(self, events: usize) -> Self {
        Self { waiting: events.max(1), ..self }
    }

    pub(super) fn most(&self) -> usize {
        self.waiting
    }

    /// Whether an event passes.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        let Some(stream) = event.stream() else { return true };
        let of_coin = |coins: &BTreeSet<Coin>| stream.coin().is_some_and(|coin| coins.contains(&coin));
        let is_named = match (&self.streams, &self.kinds) {
            (None, None) => true,
            (streams, kinds) => {
                streams.as_ref().is_some_and(|streams| streams.contains(&stream))
                    || kinds.as_ref().is_some_and(|kinds| kinds.contains(&stream.kind()))
            }
        };
        is_named
            && self.coins.as_ref().is_none_or(of_coin)
            && self.sorts.as_ref().is_none_or(|sorts| sorts.iter().any(|sort| event.is_a(*sort)))
    }
}

#[cfg(test)]
mod tests {
    use hl_core::TimeMs;
    use hl_core::ledger::{Cause, Span};

    use super::*;

    #[test]
    fn named_streams_and_kinds_pass_as_far_as_coins_and_sorts_let_them() {
        let lost = |stream: &str| {
            let span = Span::new(TimeMs(1), TimeMs(2));
            Event::GapLost { stream: stream.parse().unwrap(), span, cause: Cause::Outage }
        };
        let moved =
            Event::Handover { stream: StreamKey::MIDS, from: None, to: None, epoch: None, cause: None };
        let btc = Coin::new("BTC").unwrap();
        let trades = Filter::all().kinds([Kind::Trades, Kind::Bbo]).coins([btc]);
        let told = ["trades/BTC", "trades/ETH", "bbo/BTC", "candle/BTC/1m", "mids"].map(lost);
        let passing: Vec<_> = told.iter().filter(|event| trades.admits(event)).cloned().collect();
        assert_eq!(passing, ["trades/BTC", "bbo/BTC"].map(lost));

        let one = Filter::all().streams(["trades/ETH".parse().unwrap()]);
        assert_eq!(told.iter().filter(|event| one.admits(event)).count(), 1);
        let more = one.kinds([Kind::Mids]);
        assert_eq!(told.iter().filter(|event| more.admits(event)).count(), 2);
        let handovers = Filter::all().sorts([EventSort::Handovers]);
        assert!(handovers.admits(&moved) && !handovers.admits(&told[0]));
        assert!(!Filter::all().coins([btc]).admits(&moved), "mids are of no coin");
        let nothing = Filter::all().streams([]);
        assert!(!nothing.admits(&moved) && nothing.admits(&Event::Lagged(1)) && Filter::all().admits(&moved));
    }
}

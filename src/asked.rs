//! Which streams are asked for: those with a name, and those of every market of a part of the exchange.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use hl_core::{Coin, StreamKey};
use hl_engine::markets::Wish;
use hl_engine::universe::Part;

use crate::error::CollectError;

/// The streams of one market.
type StreamsOf = dyn Fn(Coin) -> Vec<StreamKey> + Send + Sync;

/// What is asked for.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    pub(crate) named: Vec<StreamKey>,
    every: Vec<(Part, Arc<StreamsOf>)>,
}

impl Asked {
    pub(crate) fn every(
        &mut self,
        part: Part,
        streams: impl Fn(Coin) -> Vec<StreamKey> + Send + Sync + 'static,
    ) {
        self.every.push((part, Arc::new(streams)));
    }

    /// The trades of every perpetual of the first dex beside the others: positions are followed by them.
    pub(crate) fn hears_trades(mut self) -> Self {
        self.every(Part::Perpetuals, |coin| vec![StreamKey::Trades(coin)]);
        self
    }

    /// These beside the others, by name.
    pub(crate) fn with(self, named: Vec<StreamKey>) -> Self {
        Self { named, ..self }
    }

    /// The same, if there is anything, and all of it can be collected live.
    pub(crate) fn checked(self) -> Result<Self, CollectError> {
        match self.named.iter().find(|stream| !stream.spec().live) {
            _ if self.named.is_empty() && self.every.is_empty() => Err(CollectError::NoStreams),
            Some(stream) => Err(CollectError::NotLive(*stream)),
            None => Ok(self),
        }
    }

    /// The markets that they are of: of a builder's dex as a whole all of its markets.
    pub(crate) fn wish(&self) -> Wish {
        let named: BTreeSet<Coin> = self.named.iter().filter_map(|stream| stream.coin()).collect();
        let whole = self.named.iter().filter_map(|stream| stream.whole_dex()?.name());
        let every = self.every.iter().map(|(part, _)| part.clone());
        let every = every.chain(whole.map(|dex| Part::Dex(dex.to_owned()))).collect();
        Wish { every, named: named.into_iter().collect() }
    }

    /// Those of these markets, which are listed, and those that are of no market; each once.
    pub(crate) fn of(&self, coins: &[Coin]) -> Vec<StreamKey> {
        let is_listed = |stream: &&StreamKey| match (stream.coin(), stream.whole_dex()) {
            (Some(coin), _) => coins.contains(&coin),
            (None, Some(dex)) => coins.iter().any(|coin| dex.has(*coin)),
            (None, None) => true,
        };
        let named = self.named.iter().filter(is_listed).copied();
        let every = self.every.iter().flat_map(|(part, streams)| {
            coins.iter().filter(|coin| part.has(&Part::of(**coin))).flat_map(|coin| streams(*coin))
        });
        let mut seen = BTreeSet::new();
        named.chain(every).filter(|stream| seen.insert(*stream)).collect()
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every: Vec<_> = self.every.iter().map(|(part, _)| part).collect();
        f.debug_struct("Asked").field("named", &self.named).field("every", &every).finish()
    }
}

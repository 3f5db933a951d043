//! Markets that end: when a market that is not listed any more is gone for good, and how its streams are ended.
//!
//! An exchange errs: an answer may be short for a moment. So a market ends only after several answers, one after another, lacked
//! it or called it delisted; where the exchange says itself that it is over, two are enough, and otherwise it must have been
//! gone for minutes, without any data of it. And whatever the exchange had sent of it must have come: pings prove that. A market that is listed again goes on, with a gap in between.
//! With the last market of a builder's dex the streams end that the dex has as a whole.
//!
//! What does not live here: the lists ([`universe`](crate::universe)), and what the end of a time line means (`hl-core`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hl_core::ledger::{Batch, Cause};
use hl_core::store::StoreError;
use hl_core::stream::Owner;
use hl_core::timeline::{NoWitness, Timeline};
use hl_core::{Coin, Dex, StreamKey, TimeMs};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Engine;
use crate::markets::{StreamsOf, Wish};
use crate::universe::{Part, Standing, Universe};

/// So many answers must lack a market of which the exchange says that it is over …
const ANSWERS_IF_SAID: u32 = 2;
/// … and so many one of which it says nothing …
const ANSWERS: u32 = 3;
/// … over this time.
const GONE_FOR: Duration = Duration::from_secs(600);
/// Nor may data of it have come for so long.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// For so long an end waits for the proof that nothing is on its way any more: pings are further apart than their answers take.
const PROOF_LIMIT: Duration = Duration::from_secs(90);
/// So many outcomes are asked for at a time, of which each costs 20 of the 1,200 weight a minute.
const ASKED_AT_ONCE: usize = 10;
/// How long the exchange may take to say how an outcome settled.
const PATIENCE: Duration = Duration::from_secs(5);

/// A market that was listed and is not now.
#[derive(Clone, Copy, Debug)]
struct Absence {
    since: Instant,
    /// Exchange time then. Nothing of it was sent afterwards.
    at: TimeMs,
    /// When it was first known to be gone for good.
    known: Option<Instant>,
    /// Answers that lacked it, one after another.
    answers: u32,
    /// Whether the exchange says that it is over.
    said: bool,
}

impl Absence {
    /// Whether it is gone for good. `silent`: no data of it have come of late.
    fn is_for_good(&self, now: Instant, silent: bool) -> bool {
        let gone = silent && now.duration_since(self.since) >= GONE_FOR;
        if self.said { self.answers >= ANSWERS_IF_SAID } else { gone && self.answers >= ANSWERS }
    }
}

/// The markets that may have ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    absent: BTreeMap<Coin, Absence>,
    /// Streams of an earlier process that go on as far as the store knows, though their market is not listed.
    stored: BTreeMap<Coin, BTreeSet<StreamKey>>,
    /// Those of them that a dex has as a whole.
    stored_of_dexes: BTreeSet<StreamKey>,
    /// Markets that have ended: they are not missing.
    pub(crate) ended: BTreeSet<Coin>,
}

impl Ends {
    /// Looks for streams of earlier processes whose market is gone by now, and for those that have ended.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn recall(
        &mut self,
        engine: &Engine,
        universe: &Universe,
        wish: &Wish,
        streams: StreamsOf<'_>,
    ) -> Result<(), StoreError> {
        let is_former = |coin: &Coin| universe.standing(*coin) == Standing::Former;
        let mut goes_on = BTreeSet::new();
        for stream in engine.store.unended_streams().await? {
            let is_its = |coin: &Coin| stream.has(*coin) && is_former(coin) && wish.has(*coin);
            match stream.owner() {
                Owner::Coin(coin) if is_its(&coin) => {
                    goes_on.insert(coin);
                    if streams(&[coin]).0.contains(&stream) {
                        self.stored.entry(coin).or_default().insert(stream);
                    }
                }
                Owner::Dex(dex) if stream.whole_dex().is_some() && !universe.trades(dex) => {
                    let its: Vec<Coin> = universe.former().filter(is_its).collect();
                    if streams(&its).0.contains(&stream) {
                        self.stored_of_dexes.insert(stream);
                        // Watched as if they had been collected.
                        its.iter().for_each(|coin| _ = self.stored.entry(*coin).or_default());
                    }
                }
                Owner::Coin(_) | Owner::Dex(_) | Owner::User(_) | Owner::All => {}
            }
        }
        // Only what was named is missed where it is not listed.
        let over: BTreeSet<Coin> =
            wish.named.iter().filter(|coin| is_former(coin) && !goes_on.contains(coin)).copied().collect();
        if !over.is_empty() {
            let known = engine.store.known_streams().await?;
            self.ended
                .extend(known.into_iter().filter_map(StreamKey::coin).filter(|coin| over.contains(coin)));
        }
        Ok(())
    }

    /// Takes in what the lists say by now, those in `failed` left out, of these coins and of those that an earlier process
    /// collected. Returns the markets that are gone, each reported once.
    pub(crate) async fn look(
        &mut self,
        engine: &Engine,
        universe: &Universe,
        collected: &BTreeSet<Coin>,
        failed: impl Fn(&Part) -> bool,
    ) -> Vec<Coin> {
        // A dex that is collected as a whole ends with markets that may not be collected themselves.
        let dexes: BTreeSet<Dex> =
            engine.wanted.order().into_iter().filter_map(StreamKey::whole_dex).collect();
        let of_dexes = dexes.into_iter().filter(|dex| !universe.trades(*dex));
        let of_dexes = of_dexes.flat_map(|dex| universe.former().filter(move |coin| dex.has(*coin)));
        let coins: BTreeSet<Coin> =
            collected.iter().chain(self.stored.keys()).copied().chain(of_dexes).collect();
        let mut newly = Vec::new();
        for coin in coins {
            if failed(&Part::of(coin)) {
                continue;
            }
            if universe.standing(coin) != Standing::Former {
                self.absent.remove(&coin);
                self.stored.remove(&coin);
                continue;
            }
            let has_ended = self.ended.contains(&coin);
            let absence = self.absent.entry(coin).or_insert_with(|| {
                newly.extend((!has_ended).then_some(coin));
                let at = engine.mono.exchange();
                Absence { since: Instant::now(), at, known: None, answers: 0, said: false }
            });
            absence.answers += 1;
            absence.said = absence.said || universe.is_delisted(coin);
        }
        self.stored_of_dexes.retain(|stream| !universe.trades(stream.owner().dex()));
        let unsaid = self.absent.iter().filter(|(_, absence)| !absence.said);
        let outcomes: BTreeSet<u64> = unsaid.filter_map(|(coin, _)| Some(coin.outcome()?.0)).collect();
        for number in outcomes.into_iter().take(ASKED_AT_ONCE) {
            match engine.client().settled_outcome(number, PATIENCE).await {
                Ok(Some(_)) => {
                    let is_its = |coin: &Coin| coin.outcome().is_some_and(|(of, _)| of == number);
                    let its = self.absent.iter_mut().filter(|(coin, _)| is_its(coin));
                    its.for_each(|(_, absence)| absence.said = true);
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(outcome = number, %error, "the exchange does not say whether it has settled");
                }
            }
        }
        newly
    }

    /// Ends what is gone for good. Returns those markets.
    pub(crate) async fn end(
        &mut self,
        engine: &Engine,
        universe: &Universe,
        collected: &BTreeSet<Coin>,
        streams: StreamsOf<'_>,
    ) -> Vec<Coin> {
        let now = Instant::now();
        let at = engine.mono.exchange();
        let wanted = engine.wanted.order();
        let mut over = Vec::new();
        // Of these it is still to be found out. Those that have ended are watched on only for what their dex has as a whole.
        let mut gone: BTreeSet<Coin> = self.absent.keys().copied().collect();
        gone.retain(|coin| !self.ended.contains(coin));
        for (coin, absence) in &mut self.absent {
            // What it shares with other markets goes on with them.
            let (own, shared): (Vec<_>, Vec<_>) =
                streams(&[*coin]).0.into_iter().partition(|stream| stream.coin() == Some(*coin));
            let mut live = if collected.contains(coin) { own } else { Vec::new() };
            if !absence.is_for_good(now, engine.is_silent(&live, SILENT_FOR)) {
                continue;
            }
            let dex = Dex::of(*coin);
            let is_last = !universe.trades(dex) && !gone.iter().any(|other| other != coin && dex.has(*other));
            let is_over = |stream: &StreamKey| is_last && stream.whole_dex() == Some(dex);
            live.extend(shared.into_iter().filter(|stream| is_over(stream) && wanted.contains(stream)));
            // Frames may still be on their way, on a slow network or in a process that is behind.
            let is_seen = live.iter().all(|stream| engine.pool.has_seen(*stream, absence.at));
            let known = *absence.known.get_or_insert(now);
            if !is_seen && now.duration_since(known) < PROOF_LIMIT {
                continue;
            }
            let doubt = (!is_seen).then_some(Cause::Outage);
            let of_dexes = self.stored_of_dexes.iter().filter(|stream| is_over(stream));
            let stored = self.stored.get(coin).into_iter().flatten().chain(of_dexes);
            let stored: Vec<_> = stored.filter(|stream| !live.contains(stream)).copied().collect();
            // What waits in the spool must not be overtaken.
            if !stored.is_empty() && engine.spool.size().0 > 0 {
                continue;
            }
            if let Err(error) = engine.end_stored(&stored, at).await {
                warn!(%coin, %error, "its streams could not be ended in the store");
                continue;
            }
            let streams = live.len() + stored.len();
            if streams > 0 || gone.contains(coin) {
                info!(%coin, streams, "no longer listed: its streams end");
            }
            engine.end(&live, at, doubt);
            self.stored_of_dexes.retain(|stream| !is_over(stream));
            gone.remove(coin);
            over.push(*coin);
        }
        for coin in &over {
            self.absent.remove(coin);
            self.stored.remove(coin);
            self.ended.insert(*coin);
        }
        over
    }

    /// Coins and dexes that cannot be subscribed: they are missing in the lists, and not only called delisted there.
    pub(crate) fn unlisted(&self, universe: &Universe) -> BTreeSet<Owner> {
        let coins = self.absent.keys().filter(|coin| !universe.is_delisted(**coin));
        let dexes = coins.clone().map(|coin| Dex::of(*coin)).filter(|dex| !universe.names_any(*dex));
        let dexes: BTreeSet<Owner> = dexes.filter(|dex| *dex != Dex::First).map(Owner::Dex).collect();
        coins.map(|coin| Owner::Coin(*coin)).chain(dexes).collect()
    }

    /// Whether there is a market that may have ended.
    pub(crate) fn is_any_absent(&self) -> bool {
        !self.absent.is_empty() || !self.stored.is_empty()
    }
}

impl Engine {
    /// Whether no data of these streams have come for so long.
    fn is_silent(&self, streams: &[StreamKey], for_long: Duration) -> bool {
        let after = self.mono.now() - i64::try_from(for_long.as_millis()).unwrap_or(i64::MAX);
        streams.iter().all(|stream| self.last_received(*stream).is_none_or(|last| last <= after))
    }

    /// Ends streams that no process collects. What lies behind their edge was not received, and is a gap.
    async fn end_stored(&self, streams: &[StreamKey], at: TimeMs) -> Result<(), StoreError> {
        if streams.is_empty() {
            return Ok(());
        }
        let leases = self.store.lease(streams).await?;
        let granted: Vec<_> = leases.granted.iter().map(|start| start.stream).collect();
        let mut changes = Vec::new();
        for start in leases.granted {
            let (stream, mut out) = (start.stream, Vec::new());
            Timeline::new(start).end(at, Some(Cause::DaemonDown), &NoWitness, &mut out);
            changes.extend(out.into_iter().map(|change| (stream, change)));
        }
        let batch = Batch { token: self.token(), changes };
        self.store.commit(std::sync::Arc::new(batch)).await?;
        self.store.release(&granted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_gone_after_as_many_answers_as_there_is_reason_to_doubt() {
        let since = Instant::now();
        let soon = since + Duration::from_secs(10);
        let late = since + GONE_FOR;
        for (said, answers, now, silent, gone) in [
            (true, 1, late, true, false),
            (true, 2, soon, false, true),
            (false, 99, soon, true, false),
            (false, 2, late, true, false),
            (false, 3, late, false, false),
            (false, 3, late, true, true),
        ] {
            let absence = Absence { since, at: TimeMs(0), known: None, answers, said };
            assert_eq!(absence.is_for_good(now, silent), gone, "{absence:?}");
        }
    }
}

//! Positions against the truth: in each covered piece every snapshot is what the trader held, and every change is there; and how
//! well the tracked traders are known now.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::Span;
use hl_core::record::Position;
use hl_core::symbol::User;
use hl_core::{Coin, Decimal, Records, StreamKey, TimeMs};
use hl_store::{Inspect, StreamRow};
use serde::Serialize;

use crate::compare::{Finding, Tally};
use crate::{Load, Truth, TruthError, VerifyError};

/// A trader whose last trade is younger than this may not be known yet, ms.
const SOON_MS: i64 = 5_000;

/// Sizes by coin; none is 0.
type Sizes = BTreeMap<Coin, Decimal>;

/// How well the traders of the last choice are known, at the moment of the verification.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Positions {
    /// Traders that are tracked.
    pub tracked: u64,
    /// Those of whom the store has exactly what they hold now.
    pub exact: u64,
    /// Those of whom it has what they hold now, or held at some moment of the last five seconds.
    pub exact_within_5s: u64,
    /// How old the oldest of the others is: since when the store says nothing of it, s.
    pub stale_max_s: u64,
    /// How long after the choice the last of those that are known was first known, s.
    pub bootstrap_s: u64,
}

/// What the collector asked of the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Budget {
    /// The most request weight in any minute since the exchange started.
    pub peak_weight_per_min: u64,
    /// Requests that it refused for their weight.
    pub rejected_429: u64,
}

impl From<Load> for Budget {
    fn from(load: Load) -> Self {
        Self { peak_weight_per_min: load.peak_weight, rejected_429: load.rate_limited }
    }
}

/// Compares the positions of a trader in each covered piece.
pub(crate) async fn compare(
    store: &dyn Inspect,
    truth: &dyn Truth,
    oldest: TimeMs,
    row: &StreamRow,
    within: Span,
    tally: &mut Tally,
) -> Result<Option<Span>, VerifyError> {
    let stream = row.stream;
    let covered = store.coverage(Some(stream)).await?;
    let mut compared: Option<Span> = None;
    for piece in Span::joined(covered.iter().map(|piece| piece.span)) {
        let known = Span { from: oldest.max(within.from), to: within.to };
        let Some(piece) = Span { to: piece.to - 1, ..piece }.intersect(known) else { continue };
        let (Records::Positions(truth), Records::Positions(stored)) =
            (truth.rows(stream, piece).await?, store.rows(stream, piece).await?)
        else {
            return Err(TruthError::OtherKind(stream).into());
        };
        tally.positions(piece, &truth, &stored);
        compared = Some(compared.map_or(piece, |span| span.hull(piece)));
    }
    Ok(compared)
}

impl Tally {
    /// Positions of a covered piece. `truth`: what was held at its beginning, with that time, and each change after it.
    pub fn positions(&mut self, piece: Span, truth: &[Position], stored: &[Position]) {
        let mut changes = BTreeMap::<TimeMs, BTreeMap<Coin, Decimal>>::new();
        for row in truth {
            changes.entry(row.time).or_default().insert(row.coin, row.szi);
        }
        let mut rows = BTreeMap::<TimeMs, BTreeMap<Coin, &Position>>::new();
        for row in stored {
            if rows.entry(row.time).or_default().insert(row.coin, row).is_some() {
                self.add(Finding::Duplicate, row.time);
            }
        }
        let times: BTreeSet<TimeMs> = changes.keys().chain(rows.keys()).copied().collect();
        let mut held = Sizes::new();
        for time in times {
            let none = BTreeMap::new();
            let changed = changes.get(&time).unwrap_or(&none);
            for (coin, szi) in changed {
                held.insert(*coin, *szi);
            }
            held.retain(|_, szi| !szi.is_zero());
            let none = BTreeMap::new();
            let said = rows.get(&time).unwrap_or(&none);
            let is_snapshot = said.keys().any(|coin| coin.as_str() == Position::NOTHING);
            // What was held at the beginning was no change then.
            let expected: BTreeSet<Coin> = match is_snapshot {
                true => held.keys().copied().collect(),
                false if time == piece.from => BTreeSet::new(),
                false => changed.keys().copied().collect(),
            };
            for coin in &expected {
                self.truth += 1;
                if !said.contains_key(coin) {
                    self.add(Finding::Missing, time);
                }
            }
            for (coin, row) in said.iter().filter(|(coin, _)| coin.as_str() != Position::NOTHING) {
                let szi = held.get(coin).copied().unwrap_or_default();
                if row.szi != szi {
                    self.add(Finding::Different, time);
                } else if !expected.contains(coin) && !changed.contains_key(coin) {
                    self.add(Finding::Extra, time);
                }
            }
        }
    }
}

/// What the rows of a trader say that it holds after the last of them; none where they have no snapshot.
fn last_held(rows: &[Position]) -> Option<Sizes> {
    let begin = rows.iter().filter(|row| row.coin.as_str() == Position::NOTHING).map(|row| row.time).max()?;
    let mut later: Vec<_> = rows.iter().filter(|row| begin <= row.time).collect();
    later.sort_by_key(|row| row.time);
    let mut held: Sizes = later.iter().map(|row| (row.coin, row.szi)).collect();
    held.retain(|_, szi| !szi.is_zero());
    Some(held)
}

/// How well the traders of the last choice are known now.
pub(crate) async fn now(
    store: &dyn Inspect,
    truth: &dyn Truth,
    streams: &[StreamRow],
) -> Result<Option<(Positions, Budget)>, VerifyError> {
    let Some(choice) = streams.iter().find(|row| row.stream == StreamKey::Traders).and_then(|row| row.edge)
    else {
        return Ok(None);
    };
    let Records::Traders(traders) = store.rows(StreamKey::Traders, Span { from: choice, to: choice }).await?
    else {
        return Ok(None);
    };
    let chosen = streams.iter().find(|row| row.stream == StreamKey::Traders).and_then(|row| row.first);
    let mut found = Positions::default();
    for trader in traders.iter().filter(|trader| trader.is_tracked()) {
        found.tracked += 1;
        let Some(user) = User::new(&trader.user.to_string()) else { continue };
        let stream = StreamKey::Positions(user);
        let now = truth.load().await?.now;
        let row = streams.iter().find(|row| row.stream == stream);
        let (Some(first), Some(edge)) = (row.and_then(|row| row.first), row.and_then(|row| row.edge)) else {
            found.stale_max_s = found.stale_max_s.max(seconds(chosen.map_or(0, |chosen| now.since(chosen))));
            continue;
        };
        found.bootstrap_s =
            found.bootstrap_s.max(seconds(chosen.map_or(0, |chosen| first.since(chosen).max(0))));
        let (Records::Positions(rows), Records::Positions(lately)) = (
            store.rows(stream, Span::EVER).await?,
            truth.rows(stream, Span { from: now - SOON_MS, to: now }).await?,
        ) else {
            return Err(TruthError::OtherKind(stream).into());
        };
        let mut moments = vec![Sizes::new()];
        let mut time = now - SOON_MS;
        for row in &lately {
            let mut sizes = moments.last().cloned().unwrap_or_default();
            sizes.insert(row.coin, row.szi);
            sizes.retain(|_, szi| !szi.is_zero());
            // What is of one moment was never seen in parts.
            match row.time == time {
                true => moments.last_mut().into_iter().for_each(|last| last.clone_from(&sizes)),
                false => moments.push(sizes),
            }
            time = row.time;
        }
        let held = last_held(&rows);
        let is_exact = held.is_some() && held.as_ref() == moments.last();
        found.exact += u64::from(is_exact);
        if held.is_some_and(|held| moments.contains(&held)) {
            found.exact_within_5s += 1;
        } else {
            found.stale_max_s = found.stale_max_s.max(seconds(now.since(edge)));
        }
    }
    Ok(Some((found, truth.load().await?.into())))
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1_000).unwrap_or(0)
}

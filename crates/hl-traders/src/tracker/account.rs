//! One account: what it holds, the trades that made it so, and the states that prove it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hl_core::{Coin, Decimal, TimeMs};

use super::{AROUND_MS, KEPT_MS, Sizes, Standing, State};

/// States that wait to be judged: a further one takes the place of the last.
const MOST_WAITING: usize = 4;

/// What the trades of one time did to one position.
#[derive(Clone, Copy, Debug)]
struct Fill {
    time: TimeMs,
    coin: Coin,
    size: Decimal,
}

/// What a judgement found.
pub(super) enum Found {
    Changed { coin: Coin, before: Option<Decimal>, after: Decimal },
    Drift { coin: Coin, derived: Decimal, found: Decimal },
    Proven { to: TimeMs },
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) rank: u32,
    /// What it holds now.
    sizes: Sizes,
    /// Everything up to here is in `sizes`, by a state; none while it is unknown.
    proven: Option<TimeMs>,
    /// The last state fitted nothing that was known.
    is_in_doubt: bool,
    /// Its trades are known from here on.
    heard_from: TimeMs,
    /// Those of the last minutes, by time.
    fills: VecDeque<Fill>,
    /// States to be judged, by their time.
    waiting: VecDeque<State>,
    /// The last state, where it did not say enough by itself.
    before: Option<State>,
    /// The last trade that no state has proved yet.
    traded: Option<TimeMs>,
    /// When the exchange was asked for a state that has not come yet.
    asked: Option<TimeMs>,
}

fn add(sizes: &mut Sizes, coin: Coin, size: Decimal) -> (Decimal, Decimal) {
    let before = sizes.get(&coin).copied().unwrap_or_default();
    let after = before.saturating_add(size);
    match after.is_zero() {
        true => sizes.remove(&coin),
        false => sizes.insert(coin, after),
    };
    (before, after)
}

impl Account {
    pub(super) fn new(now: TimeMs) -> Self {
        Self {
            rank: 0,
            sizes: Sizes::new(),
            proven: None,
            is_in_doubt: false,
            heard_from: now,
            fills: VecDeque::new(),
            waiting: VecDeque::new(),
            before: None,
            traded: None,
            asked: None,
        }
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// How well it is known where the last gap that concerns it ended at `gap`.
    pub(super) fn standing(&self, gap: Option<TimeMs>) -> Standing {
        match self.proven {
            None => Standing::Unknown,
            Some(proven) if self.is_in_doubt || gap.is_some_and(|gap| proven < gap) => Standing::Suspect,
            Some(_) => Standing::Exact,
        }
    }

    pub(super) fn proven(&self) -> Option<TimeMs> {
        self.proven
    }

    pub(super) fn traded(&self) -> Option<TimeMs> {
        self.traded
    }

    /// Whether the last state did not say enough.
    pub(super) fn wants_another(&self) -> bool {
        self.before.is_some()
    }

    pub(super) fn asked(&self) -> Option<TimeMs> {
        self.asked
    }

    pub(super) fn ask(&mut self, now: TimeMs) {
        self.asked = Some(now);
    }

    /// A trade changes a position by this size. Returns it before and after, where it is known.
    pub(super) fn trade(&mut self, coin: Coin, time: TimeMs, size: Decimal) -> Option<(Decimal, Decimal)> {
        let at = self.fills.partition_point(|fill| fill.time <= time);
        let same = |fill: &&mut Fill| fill.time == time && fill.coin == coin;
        match self.fills.range_mut(..at).rev().take_while(|fill| fill.time == time).find(same) {
            Some(fill) => fill.size = fill.size.saturating_add(size),
            None => self.fills.insert(at, Fill { time, coin, size }),
        }
        while self.fills.front().is_some_and(|fill| fill.time + KEPT_MS < time) {
            self.fills.pop_front();
        }
        self.traded = self.traded.max(Some(time));
        let change = add(&mut self.sizes, coin, size);
        if self.proven.is_none() {
            // What it held before is unknown, and so is what it holds now.
            self.sizes.clear();
            return None;
        }
        Some(change)
    }

    /// A state has come.
    pub(super) fn answered(&mut self, state: State) {
        self.asked = None;
        self.waiting.retain(|waiting| waiting.time != state.time);
        if self.waiting.len() == MOST_WAITING {
            self.waiting.pop_back();
        }
        let at = self.waiting.partition_point(|waiting| waiting.time <= state.time);
        self.waiting.insert(at, state);
    }

    /// The moments at which a state may have been true: behind each block with a trade of its own near its time, and before the
    /// first of these.
    fn moments(&self, state: &State) -> Vec<TimeMs> {
        let (from, to) = (state.time - AROUND_MS, state.time + AROUND_MS);
        let near = self.fills.iter().map(|fill| fill.time).filter(|time| from < *time && *time <= to);
        let mut moments: Vec<_> = std::iter::once(from).chain(near).collect();
        moments.dedup();
        moments
    }

    /// What the trades in `from < time <= to` did.
    fn done(&self, from: TimeMs, to: TimeMs) -> Sizes {
        let mut done = Sizes::new();
        for fill in self.fills.iter().filter(|fill| from < fill.time && fill.time <= to) {
            add(&mut done, fill.coin, fill.size);
        }
        done
    }

    /// These sizes with what the trades in `from < time <= to` did.
    fn with_done(&self, sizes: &Sizes, from: TimeMs, to: TimeMs) -> Sizes {
        let mut sizes = sizes.clone();
        self.done(from, to).into_iter().for_each(|(coin, size)| _ = add(&mut sizes, coin, size));
        sizes
    }

    /// These sizes, carried from a moment to now.
    fn carried(&self, sizes: &Sizes, from: TimeMs) -> Sizes {
        self.with_done(sizes, from, TimeMs::MAX)
    }

    /// Judges the waiting state of this time. `gaps`: where the last gap of each coin of the dex ended.
    pub(super) fn judge(
        &mut self,
        time: TimeMs,
        now: TimeMs,
        gaps: &BTreeMap<Coin, TimeMs>,
        tell: &mut dyn FnMut(Found),
    ) {
        let Some(at) = self.waiting.iter().position(|state| state.time == time) else { return };
        let Some(state) = self.waiting.remove(at) else { return };
        let begin = time - AROUND_MS;
        let oldest = self.heard_from.max(now - KEPT_MS);
        if begin < oldest || self.proven.is_some_and(|proven| begin < proven) {
            // It says nothing that is not known, or of a time of which the trades are not.
            return;
        }
        let is_known =
            |coin: &Coin| self.proven.is_some_and(|proven| gaps.get(coin).is_none_or(|gap| *gap <= proven));
        let fits = |moment: &TimeMs| {
            let later = self.done(*moment, TimeMs::MAX);
            let coins: BTreeSet<&Coin> =
                self.sizes.keys().chain(state.sizes.keys()).chain(later.keys()).collect();
            let of = |sizes: &Sizes, coin: &Coin| sizes.get(coin).copied().unwrap_or_default();
            coins
                .into_iter()
                .filter(|coin| is_known(coin))
                .all(|coin| of(&self.sizes, coin) == of(&state.sizes, coin).saturating_add(of(&later, coin)))
        };
        let moments = self.moments(&state);
        let mut fitting: Vec<Sizes> = moments
            .iter()
            .filter(|moment| fits(moment))
            .map(|moment| self.carried(&state.sizes, *moment))
            .collect();
        fitting.dedup();
        if let [sizes] = fitting.as_slice() {
            let sizes = sizes.clone();
            return self.adopt(sizes, begin, false, gaps, tell);
        }
        // What came before it says more, where no trade is missing since.
        let usable = |before: &State| {
            let from = before.time - AROUND_MS;
            oldest <= from && gaps.values().all(|gap| *gap <= from)
        };
        let Some(before) = self.before.take().filter(usable) else {
            self.is_in_doubt |= self.proven.is_some() && fitting.is_empty();
            self.before = Some(state);
            return;
        };
        let mut believed: Vec<Sizes> = Vec::new();
        for to in &moments {
            // Their times do not say which of two states that are near each other was true first.
            let has_come_from = |from: &TimeMs| match from <= to {
                true => self.with_done(&before.sizes, *from, *to) == state.sizes,
                false => self.with_done(&state.sizes, *to, *from) == before.sizes,
            };
            if self.moments(&before).iter().any(has_come_from) {
                believed.push(self.carried(&state.sizes, *to));
            }
        }
        believed.dedup();
        match believed.as_slice() {
            [sizes] => {
                let sizes = sizes.clone();
                self.adopt(sizes, begin, false, gaps, tell);
            }
            [] => {
                let sizes = self.carried(&state.sizes, time);
                self.adopt(sizes, begin, true, gaps, tell);
                self.before = Some(state);
            }
            // It may have been true at several moments, and what it holds now depends on which.
            _ => self.before = Some(state),
        }
    }

    fn adopt(
        &mut self,
        sizes: Sizes,
        proven: TimeMs,
        is_in_doubt: bool,
        gaps: &BTreeMap<Coin, TimeMs>,
        tell: &mut dyn FnMut(Found),
    ) {
        let was = self.proven;
        let before = std::mem::replace(&mut self.sizes, sizes);
        let coins: BTreeSet<&Coin> = before.keys().chain(self.sizes.keys()).collect();
        for coin in coins {
            let of = |sizes: &Sizes| sizes.get(coin).copied().unwrap_or_default();
            let (old, new) = (of(&before), of(&self.sizes));
            if old == new {
                continue;
            }
            if was.is_some_and(|was| gaps.get(coin).is_none_or(|gap| *gap <= was)) {
                tell(Found::Drift { coin: *coin, derived: old, found: new });
            }
            tell(Found::Changed { coin: *coin, before: was.map(|_| old), after: new });
        }
        (self.proven, self.is_in_doubt, self.before) = (Some(proven), is_in_doubt, None);
        if self.traded.is_some_and(|traded| traded <= proven) {
            self.traded = None;
        }
        if !is_in_doubt {
            tell(Found::Proven { to: proven });
        }
    }
}

//! One account: what it holds, the trades that made it so, and the states that prove it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hl_core::{Coin, Decimal, TimeMs};

use super::{AROUND_MS, Held, KEPT_MS, Sizes, Standing, State};

/// Where trades were last missing, by coin.
pub(super) type Gaps = BTreeMap<Coin, TimeMs>;

/// A trade that is so much older than the state that was judged without it is in it, ms.
const LATE_MS: i64 = 30_000;
/// States that wait to be judged: a further one takes the place of the last.
const MOST_WAITING: usize = 4;

/// What the trades of one time did to one position.
#[derive(Clone, Copy, Debug)]
struct Fill {
    time: TimeMs,
    coin: Coin,
    size: Decimal,
    /// Price of the last one, USD.
    px: Decimal,
}

/// What a judgement found.
pub(super) enum Found {
    Changed { coin: Coin, time: TimeMs, before: Decimal, after: Decimal, px: Decimal },
    Anchored { time: TimeMs, held: Vec<Held> },
    Drift { coin: Coin, since: TimeMs, derived: Decimal, found: Decimal },
    Proven { to: TimeMs },
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) rank: u32,
    /// What it holds now.
    sizes: Sizes,
    /// Everything up to here is in `sizes`, by a state; none while it is unknown.
    proven: Option<TimeMs>,
    /// From here on every change of it is known, unless trades were missing since.
    since: TimeMs,
    /// The last state fitted nothing that was known.
    is_in_doubt: bool,
    /// What is held was taken from a state that was in doubt, so that its history has to begin anew.
    is_lost: bool,
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
            since: now,
            is_in_doubt: false,
            is_lost: false,
            heard_from: now,
            fills: VecDeque::new(),
            waiting: VecDeque::new(),
            before: None,
            traded: None,
            asked: None,
        }
    }

    /// It is as if it were followed from now on.
    pub(super) fn forget(&mut self, now: TimeMs) {
        *self = Self { rank: self.rank, ..Self::new(now) };
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

    pub(super) fn since(&self) -> TimeMs {
        self.since
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

    /// Whether a state is here that is still to be judged.
    pub(super) fn is_answered(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a state of now could prove anything: its trades are known for long enough.
    pub(super) fn is_heard(&self, now: TimeMs) -> bool {
        self.heard_from + AROUND_MS <= now
    }

    pub(super) fn asked(&self) -> Option<TimeMs> {
        self.asked
    }

    pub(super) fn put_off(&mut self) {
        self.asked = None;
    }

    pub(super) fn ask(&mut self, now: TimeMs) {
        self.asked = Some(now);
    }

    /// A trade changes a position by this size. Returns it before and after, where that is known.
    pub(super) fn trade(
        &mut self,
        coin: Coin,
        time: TimeMs,
        size: Decimal,
        px: Decimal,
    ) -> Option<(Decimal, Decimal)> {
        if let Some(proven) = self.proven
            && time <= proven + 2 * AROUND_MS
        {
            // The state that proved it was judged without this trade. It has it where it is older; but where the exchange's clock was
            // set back by little it may only look so.
            self.is_in_doubt |= proven - LATE_MS < time;
            return None;
        }
        let at = self.fills.partition_point(|fill| fill.time <= time);
        let same = |fill: &&mut Fill| fill.time == time && fill.coin == coin;
        match self.fills.range_mut(..at).rev().take_while(|fill| fill.time == time).find(same) {
            Some(fill) => (fill.size, fill.px) = (fill.size.saturating_add(size), px),
            None => self.fills.insert(at, Fill { time, coin, size, px }),
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

    /// A trade of its own of this time may not have been counted.
    pub(super) fn may_lack(&mut self, time: TimeMs) {
        self.is_in_doubt |= self.proven.is_some_and(|proven| proven - LATE_MS < time);
    }

    /// What it held at a moment: what trades have done since is taken back.
    pub(super) fn sizes_at(&self, time: TimeMs) -> Sizes {
        let mut sizes = self.sizes.clone();
        for fill in self.fills.iter().filter(|fill| time < fill.time) {
            add(&mut sizes, fill.coin, -fill.size);
        }
        sizes
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
    pub(super) fn judge(&mut self, time: TimeMs, now: TimeMs, gaps: &Gaps, tell: &mut dyn FnMut(Found)) {
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
            return self.adopt(sizes, &state, false, gaps, tell);
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
                self.adopt(sizes, &state, false, gaps, tell);
            }
            [] => {
                let sizes = self.carried(&state.sizes, time);
                self.adopt(sizes, &state, true, gaps, tell);
                self.before = Some(state);
            }
            // It may have been true at several moments, and what it holds now depends on which.
            _ => self.before = Some(state),
        }
    }

    fn adopt(
        &mut self,
        sizes: Sizes,
        state: &State,
        is_in_doubt: bool,
        gaps: &Gaps,
        tell: &mut dyn FnMut(Found),
    ) {
        let was = self.proven;
        let proven = state.time - AROUND_MS;
        let is_known = |coin: &Coin| was.is_some_and(|was| gaps.get(coin).is_none_or(|gap| *gap <= was));
        let before = std::mem::replace(&mut self.sizes, sizes);
        let coins: BTreeSet<&Coin> = before.keys().chain(self.sizes.keys()).collect();
        let of = |sizes: &Sizes, coin: &Coin| sizes.get(coin).copied().unwrap_or_default();
        let mut has_drifted = false;
        for coin in coins.into_iter().filter(|coin| is_known(coin)) {
            let (derived, found) = (of(&before, coin), of(&self.sizes, coin));
            if let Some(since) = was.filter(|_| derived != found) {
                has_drifted = true;
                tell(Found::Drift { coin: *coin, since, derived, found });
            }
        }
        let goes_on = was.is_some() && !has_drifted && !self.is_lost && gaps.keys().all(is_known);
        (self.proven, self.is_in_doubt, self.before) = (Some(proven), is_in_doubt, None);
        self.is_lost = is_in_doubt;
        if self.traded.is_some_and(|traded| traded <= proven) {
            self.traded = None;
        }
        if !is_in_doubt && !goes_on {
            self.anchor(state, tell);
        }
        if !is_in_doubt {
            tell(Found::Proven { to: proven });
        }
    }

    /// Its history begins anew, where the trades that a state may or may not have end.
    fn anchor(&mut self, state: &State, tell: &mut dyn FnMut(Found)) {
        let time = state.time + AROUND_MS;
        self.since = time;
        let mut sizes = self.sizes_at(time);
        let held = sizes.iter().map(|(coin, size)| {
            let is_said = state.sizes.get(coin) == Some(size);
            let entry_px = state.entry_px.get(coin).copied().filter(|_| is_said);
            Held { coin: *coin, size: *size, entry_px }
        });
        tell(Found::Anchored { time, held: held.collect() });
        for fill in self.fills.iter().filter(|fill| time < fill.time) {
            let (before, after) = add(&mut sizes, fill.coin, fill.size);
            tell(Found::Changed { coin: fill.coin, time: fill.time, before, after, px: fill.px });
        }
    }
}

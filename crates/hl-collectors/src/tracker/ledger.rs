//! What is to be brought of each trader: changes that wait until everything before them is known, snapshots, and how far its stream
//! is covered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use hl_core::record::{Address, KnownBy, Position, PositionChange};
use hl_core::row::Arrival;
use hl_core::source::Content;
use hl_core::symbol::User;
use hl_core::{Coin, Decimal, Dex, Epoch, Records, TimeMs};
use hl_traders::tracker::{Event, Hearing, Held, Tracker};

/// A snapshot comes no sooner than this after the last one, ms. So often at most a stream is covered where nothing happens.
const SNAPSHOT_MS: i64 = 600_000;
/// Changes of one trader that may wait. With more it begins anew.
const MOST_ROWS: usize = 20_000;

#[derive(Debug)]
struct Followed {
    epoch: Epoch,
    /// What waits.
    rows: BTreeMap<TimeMs, BTreeMap<Coin, Position>>,
    waiting: usize,
    /// Up to where it was brought.
    brought: Option<TimeMs>,
    /// The time of the last snapshot, and whether positions have changed since.
    snapshot: Option<(TimeMs, bool)>,
    /// What was brought since then is wrong.
    refuted: Option<TimeMs>,
    /// What it holds begins anew with the next snapshot: what waits is not all.
    is_anew: bool,
    /// When it is brought where nothing happens.
    round: TimeMs,
}

/// The traders that are followed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    followed: BTreeMap<User, Followed>,
    /// Those of whom something waits.
    waiting: BTreeSet<User>,
    /// When each is brought where nothing happens.
    rounds: BTreeSet<(TimeMs, User)>,
    /// From where on time is lived once more, since nothing was brought.
    relived: Option<TimeMs>,
}

impl Ledger {
    /// Follows a trader under a claim. Under another one than before it begins anew: others may have had it meanwhile.
    pub(super) fn follow(&mut self, user: User, epoch: Epoch) {
        if let Some(followed) = self.followed.get_mut(&user) {
            if std::mem::replace(&mut followed.epoch, epoch) != epoch {
                followed.begin_anew();
                self.waiting.insert(user);
            }
            return;
        }
        let followed = Followed {
            epoch,
            rows: BTreeMap::new(),
            waiting: 0,
            brought: None,
            snapshot: None,
            refuted: None,
            is_anew: false,
            round: TimeMs::MIN,
        };
        self.rounds.insert((followed.round, user));
        self.followed.insert(user, followed);
    }

    pub(super) fn forget(&mut self, user: User) {
        if let Some(followed) = self.followed.remove(&user) {
            self.rounds.remove(&(followed.round, user));
        }
        self.waiting.remove(&user);
    }

    /// Nothing is known any more of anyone, nor of what was brought since then.
    pub(super) fn begin_anew(&mut self, since: TimeMs) {
        if self.relived.is_some_and(|relived| relived <= since) {
            return;
        }
        self.relived = Some(since);
        for (user, followed) in &mut self.followed {
            followed.refute(since);
            followed.begin_anew();
            self.waiting.insert(*user);
        }
    }

    /// Takes what the tracker found out.
    pub(super) fn take(&mut self, users: &BTreeMap<Address, User>, event: Event) {
        let (Event::Changed { user, .. }
        | Event::Anchored { user, .. }
        | Event::Drift { user, .. }
        | Event::Proven { user, .. }) = &event;
        let Some(user) = users.get(user).copied() else { return };
        let Some(followed) = self.followed.get_mut(&user) else { return };
        match event {
            Event::Changed { coin, time, before, after, px, .. } => {
                followed.change(user, coin, time, (before, after), px);
            }
            Event::Anchored { time, held, lost_from, .. } => {
                lost_from.into_iter().for_each(|from| followed.refute(from));
                followed.anchor(user, time, held);
            }
            Event::Drift { since, .. } => followed.refute(since),
            Event::Proven { .. } => return,
        }
        self.waiting.insert(user);
    }

    /// What is to be brought now: of those of whom something waits, and of those whose turn it is.
    pub(super) fn due(
        &mut self,
        tracker: &Tracker,
        dex: Dex,
        hearing: Hearing,
        now: TimeMs,
    ) -> Vec<(User, Content)> {
        let rounds = self.rounds.iter().take_while(|(round, _)| *round <= now).map(|(_, user)| *user);
        let users: BTreeSet<User> = self.waiting.iter().copied().chain(rounds).collect();
        let mut offers = Vec::new();
        for user in users {
            let Some(followed) = self.followed.get_mut(&user) else { continue };
            offers.extend(followed.refuted.take().map(|since| (user, Content::Refuted { since })));
            if let Some(content) = followed.answer(user, tracker, dex, hearing) {
                offers.push((user, content));
                self.relived = None;
                self.rounds.remove(&(followed.round, user));
                followed.round = now + SNAPSHOT_MS;
                self.rounds.insert((followed.round, user));
            }
            if followed.rows.is_empty() && !followed.is_anew {
                self.waiting.remove(&user);
            }
        }
        offers
    }
}

impl Followed {
    /// Changes of one block are one change.
    fn change(&mut self, user: User, coin: Coin, time: TimeMs, sizes: (Decimal, Decimal), px: Decimal) {
        if self.brought.is_some_and(|brought| time <= brought) {
            // A gap was filled of which nothing was known yet when this time was brought.
            self.refute(time - 1);
            return self.begin_anew();
        }
        if self.waiting >= MOST_ROWS {
            self.begin_anew();
        }
        let (mut before, size) = (sizes.0, sizes.1.saturating_sub(sizes.0));
        // One that comes late was before those of later times, whose sizes did not have it.
        let later = self.rows.range_mut((Excluded(time), Unbounded));
        let later = later.filter_map(|(_, rows)| rows.get_mut(&coin));
        for (at, row) in later.filter(|row| row.known_by == KnownBy::Trade).enumerate() {
            let was = row.szi_before.unwrap_or(row.szi);
            if at == 0 {
                before = was;
            }
            (row.szi_before, row.szi) = (Some(was.saturating_add(size)), row.szi.saturating_add(size));
            row.change = PositionChange::between(was.saturating_add(size), row.szi);
        }
        let rows = self.rows.entry(time).or_default();
        let row = rows.entry(coin).or_insert_with(|| {
            self.waiting += 1;
            Position { szi_before: Some(before), known_by: KnownBy::Trade, ..held(user, coin, time, before) }
        });
        (row.szi, row.px) = (row.szi.saturating_add(size), Some(px));
        row.change = PositionChange::between(row.szi_before.unwrap_or_default(), row.szi);
    }

    /// What was brought since then may be wrong.
    fn refute(&mut self, since: TimeMs) {
        if self.brought.is_some_and(|brought| since < brought) {
            self.refuted = Some(self.refuted.map_or(since, |refuted| refuted.min(since)));
        }
    }

    fn begin_anew(&mut self) {
        self.rows.clear();
        (self.waiting, self.snapshot, self.is_anew) = (0, None, true);
    }

    /// It is known anew from this time on.
    fn anchor(&mut self, user: User, time: TimeMs, all: Vec<Held>) {
        self.begin_anew();
        // What was brought already cannot be brought again: it begins where that ends.
        if self.brought.is_none_or(|brought| brought < time) {
            self.is_anew = false;
            self.snapshot(user, time, all);
        }
    }

    /// Everything that is held at one moment.
    fn snapshot(&mut self, user: User, time: TimeMs, all: Vec<Held>) {
        let rows = self.rows.entry(time).or_default();
        if let Ok(coin) = Coin::new(Position::NOTHING) {
            rows.insert(coin, held(user, coin, time, Decimal::ZERO));
        }
        for Held { coin, size, entry_px } in all {
            rows.entry(coin).or_insert(Position { entry_px, ..held(user, coin, time, size) });
        }
        self.snapshot = Some((time, false));
    }

    /// Everything up to where all coins are heard; none where nothing is new.
    fn answer(&mut self, user: User, tracker: &Tracker, dex: Dex, hearing: Hearing) -> Option<Content> {
        let known = tracker.known(user.address(), dex, hearing)?;
        let to = known.to;
        if self.brought.is_some_and(|brought| to <= brought) {
            return None;
        }
        let later = self.rows.split_off(&(to + 1));
        let mut due = std::mem::replace(&mut self.rows, later);
        due.retain(|time, _| known.from <= *time);
        let mut from = self.brought.map_or(known.from, |brought| known.from.max(brought + 1));
        if std::mem::take(&mut self.is_anew) {
            due.clear();
            from = to;
        }
        let mut rows: Vec<_> = due.into_values().flat_map(BTreeMap::into_values).collect();
        rows.retain(|row| row.szi_before != Some(row.szi));
        let has_changed = rows.iter().any(|row| row.known_by == KnownBy::Trade);
        let is_due = match self.snapshot {
            None => true,
            Some((time, changed)) => (changed || has_changed) && time + SNAPSHOT_MS <= to,
        };
        if is_due {
            let all = tracker.held_at(user.address(), dex, to)?;
            let all = all.into_iter().map(|(coin, size)| Held { coin, size, entry_px: None });
            // A change of that moment says more than that it is held.
            rows.retain(|row| row.time < to || row.known_by == KnownBy::Trade);
            let of_now: BTreeSet<Coin> =
                rows.iter().filter(|row| row.time == to).map(|row| row.coin).collect();
            let later = std::mem::take(&mut self.rows);
            self.snapshot(user, to, all.filter(|held| !of_now.contains(&held.coin)).collect());
            let snapshot = std::mem::replace(&mut self.rows, later);
            rows.extend(snapshot.into_values().flat_map(BTreeMap::into_values));
        } else if let Some((_, changed)) = &mut self.snapshot {
            *changed |= has_changed;
        }
        self.waiting = self.rows.values().map(BTreeMap::len).sum();
        self.brought = Some(to);
        Some(Content::Answer { records: Records::Positions(rows), from: Some(from), asked: to + 1 })
    }
}

/// That a trader holds so much at some moment.
fn held(user: User, coin: Coin, time: TimeMs, szi: Decimal) -> Position {
    Position {
        user,
        coin,
        time,
        change: PositionChange::Snapshot,
        szi,
        szi_before: None,
        known_by: KnownBy::State,
        px: None,
        entry_px: None,
        arrival: Arrival::default(),
    }
}

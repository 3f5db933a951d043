//! Two subscriptions of one stream, compared: what one of them brought and the other did not.
//!
//! The exchange sends the same records over both, so whichever has not brought a record some seconds after the other
//! one has missed it.

use std::collections::BTreeMap;

use crate::{RunId, TimeMs};

/// How long a record may still be on its way over the other subscription, ms.
const ON_THE_WAY_MS: i64 = 3_000;

/// Block and tid of a trade.
pub(super) type Key = (TimeMs, u64);

/// What only one of the two has brought, each with the monotonic time at which it did.
#[derive(Default)]
pub(super) struct Compared {
    /// The standby's run and the first block that it brought, which may not be whole; none where there is no standby.
    standby: Option<(RunId, TimeMs)>,
    by_standby: BTreeMap<Key, i64>,
    by_owner: BTreeMap<Key, i64>,
}

impl Compared {
    /// The standby brought a record; `missing`: the owner should have brought it as well, and has not yet.
    pub(super) fn standby(&mut self, now: i64, run: RunId, key: Key, missing: bool) {
        if self.standby.is_none_or(|(standby, _)| standby != run) {
            *self = Self { standby: Some((run, key.0)), ..Self::default() };
        }
        self.by_owner.remove(&key);
        if missing {
            self.by_standby.entry(key).or_insert(now);
        }
    }

    /// The owner brought a record for the first time.
    pub(super) fn owner(&mut self, now: i64, key: Key) {
        let by_both = self.by_standby.remove(&key).is_some();
        if !by_both && self.standby.is_some_and(|(_, from)| from < key.0) {
            self.by_owner.insert(key, now);
        }
    }

    /// It is stored, whoever brought it.
    pub(super) fn stored(&mut self, key: Key) {
        self.by_standby.remove(&key);
    }

    /// What the owner has missed. Said once each.
    pub(super) fn missed_by_owner(&mut self, now: i64) -> Vec<Key> {
        let is_late = |since: i64| since + ON_THE_WAY_MS <= now;
        let late: Vec<_> =
            self.by_standby.iter().filter(|(_, since)| is_late(**since)).map(|(key, _)| *key).collect();
        for key in &late {
            self.by_standby.remove(key);
        }
        late
    }

    /// The standby, where it has missed something. Said once: the comparison goes on when it brings something again.
    pub(super) fn mute_standby(&mut self, now: i64) -> Option<RunId> {
        let (run, _) = self.standby?;
        let is_late = self.by_owner.values().any(|since| since + ON_THE_WAY_MS <= now);
        if is_late {
            self.standby = None;
            self.by_owner.clear();
        }
        is_late.then_some(run)
    }

    /// The stream changes hands: what the standby alone has brought so far. The comparison begins anew.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Key> {
        std::mem::take(self).by_standby.into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Cause, Change, Span};
    use crate::timeline::Reconciler;
    use crate::timeline::tests::records::{coin, trade};
    use crate::{Epoch, Origin, Records, StreamKey};

    struct Run(Reconciler);

    const STREAM: fn() -> StreamKey = || StreamKey::Trades(coin());

    /// Trades at 100, 110 and 130 s that the owner brought, and a standby that brought the first of them.
    fn with_a_standby() -> Run {
        let mut run = Run(Reconciler::new());
        run.trade(&[90_000]);
        run.trade(&[100_000]);
        run.aside(0, 1, &[90_000, 100_000]);
        for time in [110_000, 130_000] {
            run.trade(&[time]);
            run.aside(0, 1, &[time]);
        }
        run
    }

    impl Run {
        /// The owner brings trades.
        fn trade(&mut self, times: &[i64]) {
            let records =
                Records::Trades(times.iter().map(|time| trade(*time, time.unsigned_abs())).collect());
            let (epoch, origin) = (Epoch::default(), Origin::Ws);
            let span = Span::new(TimeMs(times[0]), TimeMs(times[times.len() - 1]));
            for change in [
                Change::Rows { epoch, origin, records },
                Change::Covered { epoch, origin, span },
                Change::Edge(span.to),
            ] {
                self.0.note(0, STREAM(), &change);
            }
        }

        /// The standby's run `number` brings trades.
        fn aside(&mut self, now: i64, number: u64, times: &[i64]) {
            let keys: Vec<_> = times.iter().map(|time| trade(*time, time.unsigned_abs()).key()).collect();
            self.0.standby(now, STREAM(), RunId::second(number), &keys);
        }

        fn doubts(&mut self) -> Vec<(i64, i64)> {
            self.0.take_doubts().into_iter().map(|(_, span)| (span.from.0, span.to.0)).collect()
        }
    }

    #[test]
    fn what_the_standby_alone_brought_convicts_the_owner() {
        let mut run = with_a_standby();
        run.aside(1_000, 1, &[120_000]);
        assert_eq!(run.0.take_missed(3_999), [], "it may be on its way");
        assert_eq!(run.0.take_missed(4_000), [STREAM()]);
        assert_eq!(run.doubts(), [(110_000, 130_000)], "between the blocks that the owner did bring");
        assert_eq!(run.0.take_missed(9_000), [], "said once");
        assert_eq!(run.0.take_mute_standbys(9_000), [], "the standby missed nothing");
    }

    #[test]
    fn a_standby_that_is_only_faster_convicts_nobody() {
        let mut run = with_a_standby();
        run.aside(1_000, 1, &[140_000, 150_000]);
        run.trade(&[140_000]);
        run.trade(&[150_000]);
        assert_eq!((run.0.take_missed(60_000), run.0.take_mute_standbys(60_000)), (vec![], vec![]));
    }

    #[test]
    fn an_owner_that_has_stopped_is_convicted_without_a_doubt_about_what_it_brought() {
        let mut run = with_a_standby();
        run.aside(1_000, 1, &[140_000]);
        assert_eq!(run.0.take_missed(4_000), [STREAM()]);
        assert_eq!(run.doubts(), [], "beyond the edge nothing is settled");
    }

    #[test]
    fn what_was_never_whole_is_not_missed() {
        let mut run = with_a_standby();
        let opened =
            Change::GapOpened { span: Span::new(TimeMs(110_000), TimeMs(130_000)), cause: Cause::Outage };
        run.0.note(0, STREAM(), &opened);
        run.aside(0, 2, &[80_000, 90_000, 120_000]);
        assert_eq!(run.0.take_missed(60_000), [], "from before the beginning, at it, and in a gap");
    }

    #[test]
    fn a_standby_that_is_mute_is_told_of_once_and_judged_again_when_it_speaks() {
        let mut run = with_a_standby();
        run.trade(&[140_000]);
        assert_eq!(run.0.take_mute_standbys(2_999), []);
        assert_eq!(run.0.take_mute_standbys(3_000), [(STREAM(), RunId::second(1))]);
        run.trade(&[150_000]);
        assert_eq!(run.0.take_mute_standbys(9_000), [], "it may be dead, and a new run on its way");
        run.aside(9_000, 1, &[150_000]);
        run.trade(&[155_000]);
        assert_eq!(
            run.0.take_mute_standbys(12_000),
            [(STREAM(), RunId::second(1))],
            "it spoke, and missed more"
        );
        run.aside(9_000, 2, &[150_000, 155_000, 160_000]);
        run.trade(&[160_000]);
        assert_eq!(run.0.take_mute_standbys(60_000), [], "a new run is judged by what came since it began");
        assert_eq!(run.0.take_missed(60_000), []);
    }

    #[test]
    fn a_handover_finds_what_the_dead_owner_had_passed_over() {
        let mut run = with_a_standby();
        run.aside(1_000, 1, &[120_000, 140_000]);
        run.0.handover(STREAM());
        assert_eq!(run.doubts(), [(110_000, 130_000)], "before the ring is promoted, however short the time");
        assert_eq!((run.0.take_missed(60_000), run.0.take_mute_standbys(60_000)), (vec![], vec![]));
    }

    #[test]
    fn the_first_block_of_a_standby_may_not_be_whole() {
        let mut run = with_a_standby();
        run.aside(0, 2, &[140_000]);
        let same_block = Records::Trades(vec![trade(140_000, 1), trade(140_000, 140_000)]);
        let rows = Change::Rows { epoch: Epoch::default(), origin: Origin::Ws, records: same_block };
        run.0.note(0, STREAM(), &rows);
        assert_eq!(run.0.take_mute_standbys(60_000), [], "it began in the middle of the block");
        run.trade(&[150_000]);
        assert_eq!(run.0.take_mute_standbys(60_000), [(STREAM(), RunId::second(2))]);
    }

    #[test]
    fn what_was_filled_in_the_meantime_is_not_missed() {
        let mut run = with_a_standby();
        run.aside(1_000, 1, &[120_000]);
        let filled = Change::Filled {
            epoch: Epoch::default(),
            origin: Origin::Backfill,
            span: Span::new(TimeMs(110_000), TimeMs(130_000)),
            records: Records::Trades(vec![trade(120_000, 120_000)]),
        };
        run.0.note(0, STREAM(), &filled);
        assert_eq!((run.0.take_missed(60_000), run.doubts()), (vec![], vec![]));
    }

    #[test]
    fn a_trade_missing_from_a_border_block_convicts_nobody() {
        let other = [(TimeMs(90_000), 1)];
        let mut run = with_a_standby();
        run.0.standby(0, STREAM(), RunId::second(1), &other);
        assert_eq!(run.0.take_missed(60_000), [], "the block where it all began may not be whole");

        let hour = 3_600_000;
        run.trade(&[90_000 + 2 * hour]);
        let oldest = 90_000 + 2 * hour - 75 * 60_000;
        run.0.standby(0, STREAM(), RunId::second(1), &[(TimeMs(oldest), 1)]);
        assert_eq!(run.0.take_missed(60_000), [], "what lies before is not remembered");
        run.0.standby(0, STREAM(), RunId::second(1), &[(TimeMs(oldest + 1), 1)]);
        assert_eq!(run.0.take_missed(60_000), [STREAM()]);
    }

    #[test]
    fn a_trade_missing_from_the_edge_block_convicts_without_a_doubt() {
        let mut run = with_a_standby();
        run.0.standby(1_000, STREAM(), RunId::second(1), &[(TimeMs(130_000), 1)]);
        assert_eq!((run.0.take_missed(4_000), run.doubts()), (vec![STREAM()], vec![]));
    }

    #[test]
    fn what_became_a_gap_before_the_handover_is_not_doubted_again() {
        let mut run = with_a_standby();
        run.aside(1_000, 1, &[120_000]);
        let span = Span::new(TimeMs(110_000), TimeMs(130_000));
        run.0.note(0, STREAM(), &Change::GapOpened { span, cause: Cause::Outage });
        run.0.handover(STREAM());
        assert_eq!(run.doubts(), []);
    }
}

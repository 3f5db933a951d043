//! An exchange that errs: stale replays, old trades once more, frames out of order. Against a ledger, as the store keeps it: no
//! trade is missing that lies in no gap.

use super::*;

/// A time line of trades and its ledger, and what happened at the exchange, in order.
pub(super) struct Erring {
    pub(super) line: Timeline,
    pub(super) ledger: Ledger,
    local: u32,
    pub(super) happened: Vec<Trade>,
}

pub(super) const ONE: fn(u64) -> RunId = RunId::first;

impl Erring {
    /// A run that owns the stream and brought blocks every 100 ms until `last`.
    pub(super) fn live(last: i64) -> Self {
        let start = StreamStart {
            stream: StreamKey::Trades(coin()),
            edge: None,
            ended: None,
            recent: Recent::default(),
        };
        let (line, ledger) = (Timeline::new(start), Ledger::default());
        let mut erring = Self { line, ledger, local: 0, happened: Vec::new() };
        erring.give(Some(ONE(1)));
        erring.started(ONE(1), 1_000);
        for time in (1_000..=last).step_by(100) {
            let block = erring.happen(&[time]);
            erring.frame(ONE(1), &block);
        }
        erring
    }

    /// Blocks of one trade happen.
    pub(super) fn happen(&mut self, times: &[i64]) -> Vec<Trade> {
        let from = self.happened.len();
        for time in times {
            self.happened.push(trade(*time, self.happened.len() as u64));
        }
        self.happened[from..].to_vec()
    }

    pub(super) fn newest(&self, count: usize) -> Vec<Trade> {
        self.happened[self.happened.len().saturating_sub(count)..].to_vec()
    }

    pub(super) fn give(&mut self, run: Option<RunId>) {
        self.local += 1;
        let epoch = Epoch { token: Token(1), local: self.local };
        let source = if run.is_some() { SourceId::Ws } else { SourceId::Rest };
        let mut out = Vec::new();
        self.line.handover(Some(Grant { epoch, source, run, cause: Cause::Outage }), &NoWitness, &mut out);
        self.ledger.apply(out);
    }

    pub(super) fn offer(&mut self, ticket: Ticket, content: Content) -> Tally {
        let mut out = Vec::new();
        let tally = self.line.offer(ticket, content, &NoWitness, &mut out);
        self.ledger.apply(out);
        tally
    }

    pub(super) fn started(&mut self, run: RunId, at: i64) {
        self.offer(Ticket::Run(run), Content::Started { at: TimeMs(at) });
    }

    pub(super) fn frame(&mut self, run: RunId, trades: &[Trade]) -> Tally {
        self.offer(Ticket::Run(run), Content::Frame(Records::Trades(trades.to_vec())))
    }

    pub(super) fn answer(&mut self, asked: i64, trades: &[Trade]) {
        let epoch = self.line.claim().unwrap().epoch;
        let (records, asked) = (Records::Trades(trades.to_vec()), TimeMs(asked));
        self.offer(Ticket::Claim(epoch), Content::Answer { records, from: None, asked });
    }

    /// The trades that are stored nowhere; each has to lie in a gap or above the edge. And the ledger is one.
    pub(super) fn missing(&self) -> Vec<i64> {
        let edge = self.line.edge().unwrap();
        let stored = |t: &Trade| self.ledger.rows.contains(&(t.time.0, t.tid));
        let missing: Vec<_> = self.happened.iter().filter(|t| !stored(t)).collect();
        for t in &missing {
            let in_gap = self.ledger.gaps.iter().any(|gap| gap.contains(t.time));
            assert!(in_gap || edge <= t.time, "{} is missing, gaps {:?}", t.time, self.ledger.gaps);
        }
        for (i, (_, piece)) in self.ledger.covered.iter().enumerate() {
            let others = self.ledger.covered[i + 1..].iter().map(|(_, other)| other);
            for other in others.chain(&self.ledger.gaps) {
                assert!(!piece.overlaps(*other), "{piece:?} and {other:?}");
            }
        }
        for (time, _) in &self.ledger.rows {
            let time = TimeMs(*time);
            assert!(!self.ledger.gaps.iter().any(|gap| gap.from < time && time < gap.to), "{time} in a gap");
            assert!(self.ledger.covered.iter().any(|(_, piece)| piece.contains(time)), "{time} not covered");
        }
        missing.iter().map(|t| t.time.0).collect()
    }

    pub(super) fn gaps(&self) -> Vec<(i64, i64)> {
        let mut gaps: Vec<_> = self.ledger.gaps.iter().map(|gap| (gap.from.0, gap.to.0)).collect();
        gaps.sort_unstable();
        gaps
    }
}

#[test]
fn between_a_stale_replay_and_the_live_frames_lies_a_gap() {
    for (newest_of_replay, expected) in [(6_500, vec![(6_500, 9_000)]), (7_900, vec![])] {
        let mut erring = Erring::live(6_000);
        let during: Vec<_> = (6_100..=7_900).step_by(100).collect();
        erring.happen(&during);
        let replay: Vec<_> = erring.newest(30).into_iter().filter(|t| t.time.0 <= newest_of_replay).collect();
        erring.give(Some(ONE(2)));
        erring.started(ONE(2), 8_000);
        erring.frame(ONE(2), &replay);
        let live = erring.happen(&[9_000]);
        erring.frame(ONE(2), &live);
        assert_eq!(erring.gaps(), expected);
        assert_eq!(erring.missing().is_empty(), expected.is_empty());
    }
}

#[test]
fn a_replay_joins_the_live_frames_by_a_trade_that_both_have() {
    let mut erring = Erring::live(3_000);
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 60_000);
    // A coin that is only quiet: nothing happened for a minute.
    let replay = erring.newest(10);
    erring.frame(ONE(2), &replay);
    let mut live = erring.newest(1);
    live.extend(erring.happen(&[61_000]));
    erring.frame(ONE(2), &live);
    assert_eq!((erring.gaps(), erring.missing()), (vec![], vec![]));
    // Without it the piece is a gap.
    erring.give(Some(ONE(3)));
    erring.started(ONE(3), 90_000);
    let replay = erring.newest(10);
    erring.frame(ONE(3), &replay);
    let live = erring.happen(&[91_000]);
    erring.frame(ONE(3), &live);
    assert_eq!((erring.gaps(), erring.missing()), (vec![(61_000, 91_000)], vec![]));
}

#[test]
fn a_ring_with_a_stale_replay_is_continuous_only_from_its_live_frames_on() {
    let mut erring = Erring::live(3_000);
    erring.give(None);
    let polled = erring.newest(5);
    erring.answer(3_050, &polled);
    // The socket is back. Its replay ends at 3 s, and its frames begin at 5 s.
    let replay = erring.newest(10);
    erring.happen(&[4_000]);
    erring.started(ONE(2), 4_900);
    erring.frame(ONE(2), &replay);
    for time in [5_000, 5_100, 5_200] {
        let block = erring.happen(&[time]);
        erring.frame(ONE(2), &block);
    }
    let polled = erring.newest(2);
    erring.answer(5_250, &polled);
    assert_eq!(erring.gaps(), [(3_000, 5_100)]);
    erring.give(Some(ONE(2)));
    assert_eq!((erring.gaps(), erring.missing()), (vec![(3_000, 5_000)], vec![4_000]));
}

#[test]
fn a_ring_whose_frames_came_out_of_order_loses_nothing_and_proves_what_it_contains() {
    for order in [[0, 2, 1, 4, 3, 5], [0, 1, 2, 3, 4, 5], [1, 0, 2, 3, 5, 4], [0, 5, 4, 3, 2, 1]] {
        let mut erring = Erring::live(3_000);
        erring.give(None);
        let polled = erring.newest(5);
        erring.answer(3_050, &polled);
        let mut frames = vec![erring.newest(10)];
        for time in [3_100, 3_200, 3_300, 3_400, 3_500] {
            frames.push(erring.happen(&[time]));
        }
        erring.started(ONE(2), 3_050);
        for at in order {
            erring.frame(ONE(2), &frames[at].clone());
        }
        let polled = erring.newest(2);
        erring.answer(3_550, &polled);
        assert_eq!(erring.gaps(), [(3_000, 3_400)]);
        erring.give(Some(ONE(2)));
        assert_eq!((erring.gaps(), erring.missing()), (vec![], vec![]), "{order:?}");
    }
}

#[test]
fn a_frame_that_is_overtaken_by_the_promotion_is_stored() {
    for late in 1..=4 {
        let mut erring = Erring::live(3_000);
        erring.give(None);
        let mut frames = vec![erring.newest(10)];
        for time in [3_100, 3_200, 3_300, 3_400, 3_500] {
            frames.push(erring.happen(&[time]));
        }
        let polled = erring.newest(1);
        erring.answer(3_550, &polled);
        erring.started(ONE(2), 3_050);
        for (at, frame) in frames.iter().enumerate() {
            if at != late {
                erring.frame(ONE(2), frame);
            }
        }
        erring.give(Some(ONE(2)));
        erring.frame(ONE(2), &frames[late]);
        assert_eq!((erring.gaps(), erring.missing()), (vec![], vec![]), "{late}");
        erring.frame(ONE(2), &frames[late]);
        assert_eq!((erring.gaps(), erring.missing()), (vec![], vec![]), "and once more");
    }
}

#[test]
fn what_a_full_ring_dropped_is_not_proven_whatever_the_order() {
    let mut erring = Erring::live(3_000);
    erring.give(None);
    let replay = erring.newest(10);
    let (early, late, last) = (erring.happen(&[3_100]), erring.happen(&[3_200]), erring.happen(&[3_300]));
    let polled = erring.newest(1);
    erring.answer(3_350, &polled);
    assert_eq!(erring.gaps(), [(3_000, 3_300)]);
    erring.started(ONE(2), 3_050);
    erring.frame(ONE(2), &replay);
    erring.frame(ONE(2), &late);
    erring.frame(ONE(2), &early);
    // A flood of one block pushes out the replay, and the frame that had overtaken.
    let flood: Vec<_> = (0..9_999_u64).map(|nth| trade(3_300, 1_000_000 + nth)).collect();
    erring.frame(ONE(2), &last);
    erring.frame(ONE(2), &flood);
    let flood: Vec<_> = flood.iter().map(|t| Trade { tid: t.tid + 1_000_000, ..*t }).collect();
    assert!(erring.frame(ONE(2), &flood).overflowed > 0);
    erring.give(Some(ONE(2)));
    // Nor does it join by the middle of a block that REST brought.
    assert_eq!(erring.gaps(), [(3_000, 3_300), (3_300, 3_300)]);
    erring.missing();
}

#[test]
fn frames_whose_blocks_interleave_lose_nothing() {
    for promoted in [false, true] {
        let mut erring = Erring::live(3_000);
        let frames: Vec<_> = [&[3_100, 3_300][..], &[3_200, 3_400], &[3_050, 3_350]]
            .iter()
            .map(|times| erring.happen(times))
            .collect();
        let run = if promoted { RunId::second(1) } else { ONE(1) };
        if promoted {
            let before = erring.newest(12);
            erring.frame(run, &before[..6]);
        }
        for frame in &frames {
            erring.frame(run, frame);
        }
        if promoted {
            erring.give(Some(run));
        }
        let last = erring.happen(&[3_500]);
        erring.frame(run, &last);
        assert_eq!((erring.gaps(), erring.missing()), (vec![], vec![]), "{promoted}");
    }
}

#[test]
fn a_replay_that_shows_a_hole_proves_nothing_before_its_first_row() {
    let mut erring = Erring::live(6_000);
    // The owner's socket loses frames without a word, and stores what comes after them.
    erring.happen(&[6_110, 6_120, 6_130, 6_140]);
    let block = erring.happen(&[6_200]);
    erring.frame(ONE(1), &block);
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 6_250);
    let replay = erring.newest(3);
    assert_eq!(replay.iter().map(|t| t.time.0).collect::<Vec<_>>(), [6_130, 6_140, 6_200]);
    erring.frame(ONE(2), &replay);
    assert_eq!(erring.missing(), [6_110, 6_120], "each of them in a gap");
}

#[test]
fn the_newest_trade_of_a_stale_replay_that_comes_once_more_is_not_the_first_live_one() {
    for waits in [false, true] {
        let mut erring = Erring::live(6_000);
        erring.happen(&[7_000, 8_000, 15_000]);
        if !waits {
            erring.give(Some(ONE(2)));
        }
        erring.started(ONE(2), 16_000);
        let replay = erring.happened[erring.happened.len() - 5..erring.happened.len() - 1].to_vec();
        erring.frame(ONE(2), &replay);
        erring.frame(ONE(2), &replay[3..]);
        for time in [16_100, 16_200] {
            let block = erring.happen(&[time]);
            erring.frame(ONE(2), &block);
        }
        if waits {
            erring.give(Some(ONE(2)));
        }
        assert_eq!(erring.missing(), [15_000], "waits {waits}");
        assert_eq!(erring.gaps(), [(8_000, 16_100)]);
    }
}

#[test]
fn a_standby_that_was_mute_for_seconds_joins_over_no_hole_of_its_own() {
    let mut erring = Erring::live(30_000);
    let standby = RunId::second(1);
    let reading = |mono| ClockReading { mono, ahead: 0 };
    let replay = erring.newest(10);
    erring.started(standby, 30_050);
    erring.frame(standby, &replay);
    let both = erring.happen(&[30_500, 31_000]);
    erring.frame(standby, &both);
    erring.frame(ONE(1), &both);
    // The standby's frames are lost from here on, and then the owner's socket dies.
    for time in [34_000, 37_000] {
        let block = erring.happen(&[time]);
        erring.frame(ONE(1), &block);
    }
    erring.line.clock(reading(37_500), Some(reading(37_000)));
    erring.give(Some(standby));
    erring.happen(&[38_000, 39_000]);
    for time in [40_000, 41_000] {
        let block = erring.happen(&[time]);
        erring.frame(standby, &block);
    }
    assert_eq!(erring.missing(), [38_000, 39_000], "in a gap");
    assert_eq!(erring.gaps(), [(37_000, 40_000)]);
}

#[test]
fn old_trades_that_come_once_more_inside_a_run_are_no_clock_that_is_set_back() {
    let mut erring = Erring::live(30_000);
    let old: Vec<_> =
        erring.happened.iter().copied().filter(|t| (10_000..15_000).contains(&t.time.0)).collect();
    erring.frame(ONE(1), &old);
    assert_eq!((erring.gaps(), erring.line.relived_from()), (vec![], None));
    // The socket dies before anything else comes.
    erring.give(Some(ONE(2)));
    erring.started(ONE(2), 30_050);
    let replay = erring.newest(3);
    erring.frame(ONE(2), &replay);
    assert_eq!(erring.gaps(), []);
}

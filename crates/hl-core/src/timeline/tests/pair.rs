//! Two subscriptions of one stream: a run that owns it, and a standby.

use super::*;

/// A time line that the first lane owns, and what the store has.
struct Pair {
    line: Timeline,
    ledger: Ledger,
}

impl Pair {
    fn new() -> Self {
        let start = StreamStart {
            stream: StreamKey::Trades(coin()),
            edge: None,
            ended: None,
            recent: Recent::default(),
        };
        let mut pair = Self { line: Timeline::new(start), ledger: Ledger::default() };
        pair.grant(RunId::first(1), 1);
        pair
    }

    fn grant(&mut self, run: RunId, local: u32) {
        let epoch = Epoch { token: Token(1), local };
        let grant = Grant { epoch, source: SourceId::Ws, run: Some(run), cause: Cause::Outage };
        let mut out = Vec::new();
        self.line.handover(Some(grant), &NoWitness, &mut out);
        self.ledger.apply(out);
    }

    fn offer(&mut self, run: RunId, times: &[i64]) -> Tally {
        let mut out = Vec::new();
        let tally = self.line.offer(Ticket::Run(run), pushed(times), &NoWitness, &mut out);
        self.ledger.apply(out);
        tally
    }

    fn both(&mut self, times: &[i64]) {
        self.offer(RunId::first(1), times);
        self.offer(RunId::second(1), times);
    }

    fn gaps(&self) -> Vec<(i64, i64)> {
        self.ledger.gaps.iter().map(|gap| (gap.from.0, gap.to.0)).collect()
    }

    fn rows(&self) -> Vec<i64> {
        self.ledger.rows.iter().map(|(time, _)| *time).collect()
    }
}

#[test]
fn a_standby_that_takes_over_brings_what_the_owner_had_no_time_for() {
    let mut pair = Pair::new();
    pair.both(&[100, 110]);
    pair.both(&[120]);
    pair.offer(RunId::second(1), &[130, 140]);
    pair.grant(RunId::second(1), 2);
    pair.offer(RunId::second(1), &[150]);
    assert_eq!((pair.gaps(), pair.rows()), (vec![], vec![100, 110, 120, 130, 140, 150]));
}

#[test]
fn a_standby_fills_what_a_witness_says_the_owner_missed() {
    let mut pair = Pair::new();
    pair.both(&[100, 110]);
    pair.offer(RunId::second(1), &[120]);
    pair.both(&[130]);
    let span = Span::new(TimeMs(110), TimeMs(130));
    pair.line.doubted(span);
    pair.ledger.gaps.push(span);
    pair.grant(RunId::second(1), 2);
    assert_eq!((pair.gaps(), pair.rows()), (vec![], vec![100, 110, 120, 130]));
}

#[test]
fn a_standby_that_was_mute_does_not_join_over_its_own_hole() {
    let mut pair = Pair::new();
    pair.both(&[100, 110]);
    for time in [120, 130, 140] {
        pair.offer(RunId::first(1), &[time]);
    }
    pair.grant(RunId::second(1), 2);
    // It speaks again: nobody knows what it was not sent between the edge and now.
    pair.offer(RunId::second(1), &[170]);
    assert_eq!(pair.gaps(), [(140, 170)]);
    pair.offer(RunId::second(1), &[180]);
    assert_eq!(pair.gaps(), [(140, 170)], "from there on it is continuous");
}

#[test]
fn a_standby_that_is_only_late_joins() {
    let mut pair = Pair::new();
    pair.both(&[100, 110]);
    for time in [120, 130, 140] {
        pair.offer(RunId::first(1), &[time]);
    }
    pair.grant(RunId::second(1), 2);
    for time in [120, 130, 140, 150] {
        pair.offer(RunId::second(1), &[time]);
    }
    assert_eq!((pair.gaps(), pair.ledger.edge), (vec![], Some(TimeMs(150))));
}

#[test]
fn a_ring_with_a_hole_proves_nothing_about_a_gap_in_it() {
    let mut pair = Pair::new();
    pair.both(&[100, 110]);
    // The standby is mute from 120 to 150; at 130 the owner missed something too.
    for time in [120, 140, 150] {
        pair.offer(RunId::first(1), &[time]);
    }
    pair.both(&[160]);
    let span = Span::new(TimeMs(120), TimeMs(140));
    pair.line.doubted(span);
    pair.ledger.gaps.push(span);
    pair.grant(RunId::second(1), 2);
    assert_eq!(pair.gaps(), [(120, 140)], "it passed over both borders of the gap");
}

#[test]
fn a_ring_beside_an_owner_reaches_back_far_enough_and_no_farther() {
    let mut pair = Pair::new();
    pair.both(&[1_000, 2_000]);
    for minute in 1..=60 {
        pair.both(&[minute * 60_000]);
    }
    let run = RunId::second(1);
    let ring = pair.line.rings[run.lane.index()].clone().unwrap();
    let blocks: Vec<_> = ring
        .into_contents()
        .filter_map(|content| match content {
            Content::Frame(records) => records.ends(),
            _ => None,
        })
        .collect();
    let oldest = blocks.first().map(|(first, _)| first.0);
    assert_eq!(oldest, Some(60 * 60_000 - STANDBY_MS - 60_000), "one frame before the reach, to join by");
    pair.grant(run, 2);
    pair.offer(run, &[61 * 60_000]);
    assert_eq!(pair.gaps(), []);
}

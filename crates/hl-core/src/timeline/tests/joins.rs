//! Trades, join by join: what proves that nothing lies between two pieces, and what is remembered as filled.

use super::*;

/// A time line of trades, one change of hands or piece of data at a time.
struct Line {
    line: Timeline,
    local: u32,
}

fn keyed(trades: &[(i64, u64)]) -> Records {
    Records::Trades(trades.iter().map(|(time, tid)| trade(*time, *tid)).collect())
}

fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(from), TimeMs(to))
}

impl Line {
    fn new() -> Self {
        let start = StreamStart {
            stream: StreamKey::Trades(coin()),
            edge: None,
            ended: None,
            recent: Recent::default(),
        };
        Self { line: Timeline::new(start), local: 0 }
    }

    fn grant(&mut self, source: SourceId, run: Option<RunId>) -> Vec<Change> {
        self.local += 1;
        let epoch = Epoch { token: Token(1), local: self.local };
        let mut out = Vec::new();
        self.line.handover(Some(Grant { epoch, source, run, cause: Cause::Outage }), &NoWitness, &mut out);
        out
    }

    /// A run begins and owns the stream at once.
    fn own(&mut self, run: u64) {
        assert_eq!(self.grant(SourceId::Ws, Some(RunId::first(run))), []);
    }

    fn frame(&mut self, run: RunId, trades: &[(i64, u64)]) -> (Tally, Vec<Change>) {
        let mut out = Vec::new();
        let content = Content::Frame(keyed(trades));
        let tally = self.line.offer(Ticket::Run(run), content, &NoWitness, &mut out);
        (tally, out)
    }

    fn answer(&mut self, trades: &[(i64, u64)]) -> Vec<Change> {
        let mut out = Vec::new();
        let content = Content::Answer { records: keyed(trades), from: None, asked: TimeMs(10_000) };
        let epoch = self.line.claim().unwrap().epoch;
        self.line.offer(Ticket::Claim(epoch), content, &NoWitness, &mut out);
        out
    }
}

fn gaps(out: &[Change]) -> Vec<Span> {
    let opened = |change: &Change| match change {
        Change::GapOpened { span, .. } => Some(*span),
        _ => None,
    };
    out.iter().filter_map(opened).collect()
}

fn filled(out: &[Change]) -> Vec<Span> {
    let filled = |change: &Change| match change {
        Change::Filled { span, .. } => Some(*span),
        _ => None,
    };
    out.iter().filter_map(filled).collect()
}

const FIRST: fn(u64) -> RunId = RunId::first;

#[test]
fn a_block_that_both_have_joins_by_a_shared_trade_only() {
    for (seen, expected) in [(1, vec![]), (2, vec![]), (3, vec![span(100, 100)])] {
        let mut line = Line::new();
        line.own(1);
        line.frame(FIRST(1), &[(90, 9), (100, 1)]);
        // The block comes in two frames: both of its trades are known.
        line.frame(FIRST(1), &[(100, 2)]);
        line.own(2);
        let (_, out) = line.frame(FIRST(2), &[(100, seen), (110, 4)]);
        assert_eq!(gaps(&out), expected, "trade {seen} of the edge block");
    }
}

#[test]
fn a_trade_of_an_older_block_or_of_another_source_proves_no_join() {
    let mut line = Line::new();
    line.own(1);
    line.frame(FIRST(1), &[(90, 9), (100, 1)]);
    line.frame(FIRST(1), &[(110, 2)]);
    line.own(2);
    let (_, out) = line.frame(FIRST(2), &[(110, 1), (120, 3)]);
    assert_eq!(gaps(&out), [span(110, 110)], "the number was another block's");

    let mut line = Line::new();
    line.own(1);
    line.frame(FIRST(1), &[(100, 1)]);
    line.grant(SourceId::Rest, None);
    let out = line.answer(&[(100, 1), (110, 2)]);
    assert_eq!(gaps(&out), [span(100, 100)], "the order inside a block may differ between sources");
}

#[test]
fn an_answer_joins_by_a_trade_that_is_stored_however_short_or_long_it_is() {
    for (answer, expected) in [
        (&[(100, 1), (150, 2)][..], vec![]),
        (&[(90, 9), (100, 1), (150, 2)], vec![]),
        (&[(150, 2)], vec![span(100, 150)]),
        (&[(140, 3), (150, 2)], vec![span(100, 140)]),
        (&[(80, 8), (90, 9), (150, 2)], vec![span(100, 150)]),
        (&[(80, 8), (100, 1), (150, 2)], vec![span(100, 150)]),
        (&[(90, 9), (100, 7), (150, 2)], vec![span(100, 150)]),
        // What lacks a stored trade may lack others as well, between any two of its blocks.
        (&[(80, 8), (90, 9), (150, 2), (160, 3)], vec![span(100, 150), span(150, 160)]),
        (&[(90, 9), (150, 2), (160, 3)], vec![span(100, 150), span(150, 160)]),
        (&[(140, 2), (150, 3), (160, 4)], vec![span(100, 140)]),
    ] {
        let mut line = Line::new();
        line.grant(SourceId::Rest, None);
        line.answer(&[(80, 8), (90, 9), (100, 1)]);
        assert_eq!(gaps(&line.answer(answer)), expected, "{answer:?}");
    }
}

#[test]
fn an_answer_that_ends_before_the_edge_or_is_empty_proves_nothing() {
    for answer in [&[][..], &[(80, 8), (90, 9)]] {
        let mut line = Line::new();
        line.own(1);
        line.frame(FIRST(1), &[(80, 8), (90, 9), (100, 1)]);
        line.own(2);
        let (tally, out) = line.frame(FIRST(2), answer);
        assert_eq!((tally.known, out), (answer.len() as u64, vec![]), "nothing yet");
        assert_eq!(gaps(&line.frame(FIRST(2), &[(150, 2)]).1), [span(100, 150)]);
    }
}

#[test]
fn after_a_restart_an_answer_joins_by_what_the_store_has_and_by_nothing_else() {
    for (keys, expected) in [
        (vec![(90, 9), (100, 1)], vec![]),
        // Of the edge block nothing was kept, on purpose.
        (vec![(90, 9)], vec![]),
        (vec![(80, 8)], vec![span(100, 150)]),
        (vec![], vec![span(100, 150)]),
    ] {
        let recent = Recent {
            since: Some(TimeMs(100)),
            keys: keys.iter().map(|(time, tid)| (TimeMs(*time), *tid)).collect(),
            ..Recent::default()
        };
        let start =
            StreamStart { stream: StreamKey::Trades(coin()), edge: Some(TimeMs(100)), ended: None, recent };
        let mut line = Line { line: Timeline::new(start), local: 0 };
        line.own(1);
        let (_, out) = line.frame(FIRST(1), &[(85, 5), (90, 9), (100, 1), (150, 2)]);
        assert_eq!(gaps(&out), expected, "{keys:?}");
    }
}

#[test]
fn frames_that_follow_one_another_change_nothing_of_the_past() {
    let mut line = Line::new();
    line.own(1);
    line.frame(FIRST(1), &[(100, 1)]);
    line.own(2);
    let (_, out) = line.frame(FIRST(2), &[(200, 2)]);
    assert_eq!(gaps(&out), [span(100, 200)]);
    let (_, out) = line.frame(FIRST(2), &[(210, 3)]);
    assert_eq!((gaps(&out), filled(&out)), (vec![], vec![]), "{out:?}");
    let covered = out.iter().any(|c| matches!(c, Change::Covered { span: s, .. } if *s == span(200, 210)));
    assert!(covered && out.contains(&Change::Edge(TimeMs(210))), "{out:?}");
}

#[test]
fn a_frame_out_of_order_is_stored_where_it_lies_in_its_claims_piece() {
    let mut line = Line::new();
    line.own(1);
    line.frame(FIRST(1), &[(100, 1)]);
    line.frame(FIRST(1), &[(200, 2)]);
    let (tally, out) = line.frame(FIRST(1), &[(150, 3)]);
    assert_eq!((tally.admitted, tally.late), (1, 0));
    assert!(matches!(&out[..], [Change::Rows { records, .. }] if *records == keyed(&[(150, 3)])), "{out:?}");
    let (tally, out) = line.frame(FIRST(1), &[(50, 4), (60, 5), (140, 6)]);
    assert_eq!((tally.admitted, tally.late), (1, 2));
    assert!(matches!(&out[..], [Change::Rows { records, .. }] if *records == keyed(&[(140, 6)])), "{out:?}");
    let (tally, out) = line.frame(FIRST(1), &[(50, 4)]);
    assert_eq!((tally.admitted, tally.late, out), (0, 1, vec![]), "below its piece");
}

/// Trades at 100, 110, … 200, of which the second lane's ring holds `ringed`, and a hole that a witness found.
fn holed(hole: Span, ringed: &[&[i64]]) -> Line {
    let mut line = Line::new();
    line.own(1);
    for time in (100..=200).step_by(10) {
        line.frame(FIRST(1), &[(time, 1)]);
    }
    for times in ringed {
        let trades: Vec<_> = times.iter().map(|time| (*time, 1)).collect();
        line.frame(RunId::second(1), &trades);
    }
    line.line.doubted(hole);
    line
}

#[test]
fn a_stretch_that_passes_over_one_border_of_a_gap_fills_nothing() {
    for (ringed, expected) in [
        (&[110, 120, 130, 140, 150][..], vec![span(110, 150)]),
        (&[110, 130, 140, 150], vec![]),
        (&[110, 120, 130, 150], vec![]),
        (&[120, 121, 130, 140, 150], vec![span(120, 150)]),
    ] {
        let mut line = holed(span(120, 140), &[ringed]);
        assert_eq!(filled(&line.grant(SourceId::Ws, Some(RunId::second(1)))), expected, "{ringed:?}");
    }
}

#[test]
fn a_stretch_that_passes_over_the_edge_block_fills_no_gap_before_it() {
    for (ringed, expected) in [(&[180, 190, 200, 210][..], vec![span(180, 200)]), (&[180, 190, 210], vec![])]
    {
        let mut line = holed(span(180, 200), &[ringed]);
        assert_eq!(filled(&line.grant(SourceId::Ws, Some(RunId::second(1)))), expected, "{ringed:?}");
    }
}

#[test]
fn what_is_left_of_a_gap_is_filled_later_and_what_was_filled_is_not_filled_again() {
    let mut line = holed(span(120, 180), &[&[140, 150]]);
    line.line.doubted(span(100, 110));
    let second = RunId::second(1);
    assert_eq!(filled(&line.grant(SourceId::Ws, Some(second))), [span(140, 150)]);
    assert_eq!(filled(&line.frame(second, &[(160, 1)]).1), [span(150, 160)], "the run goes on");

    // The left part, and then nothing of it any more.
    line.own(2);
    assert_eq!(filled(&line.frame(FIRST(2), &[(120, 1), (130, 1), (140, 1)]).1), [span(120, 140)]);
    line.own(3);
    assert_eq!(filled(&line.frame(FIRST(3), &[(120, 1), (130, 1), (140, 1), (150, 1)]).1), []);
    // The right part, exactly, and then nothing of it any more.
    line.own(4);
    assert_eq!(filled(&line.frame(FIRST(4), &[(160, 1), (170, 1), (180, 1)]).1), [span(160, 180)]);
    line.own(5);
    assert_eq!(filled(&line.frame(FIRST(5), &[(150, 1), (160, 1), (170, 1), (180, 1), (190, 1)]).1), []);
    // The other gap was left alone all the time.
    line.own(6);
    assert_eq!(filled(&line.frame(FIRST(6), &[(100, 1), (105, 1), (110, 1)]).1), [span(100, 110)]);
}

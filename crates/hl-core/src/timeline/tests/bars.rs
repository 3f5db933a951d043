//! Bars: when they are final, and what is left to REST.

use super::*;

fn bars_line(edge: Option<i64>) -> Timeline {
    let edge = edge.map(|minute| TimeMs(minute * MINUTE));
    Timeline::new(StreamStart {
        stream: StreamKey::Candle(coin(), Interval::M1),
        edge,
        ended: None,
        recent: Recent::default(),
    })
}

fn frame(bars: Vec<Candle>) -> Content {
    Content::Frame(Records::Candles(bars))
}

fn minutes(from: i64, to: i64) -> Span {
    Span::new(TimeMs(from * MINUTE), TimeMs(to * MINUTE))
}

#[test]
fn a_bar_is_final_only_after_a_later_bar_five_seconds_and_a_pong() {
    let mut line = bars_line(None);
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE + 30_000) }, &NoWitness, &mut out);
    line.offer(run, frame(vec![bar(10, 5)]), &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    assert!(
        out.contains(&Change::GapOpened { span: minutes(10, 11), cause: Cause::FirstStart }),
        "the bar in progress at the start is left to REST: {out:?}"
    );
    out.clear();
    line.offer(run, frame(vec![bar(11, 7)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(12 * MINUTE + 1_000) }, &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(12 * MINUTE + 30_000) }, &NoWitness, &mut out);
    assert!(!out.iter().any(|c| matches!(c, Change::Final { .. })), "no later bar yet: {out:?}");
    line.offer(run, frame(vec![bar(12, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(12 * MINUTE + 31_000) }, &NoWitness, &mut out);
    assert!(!out.iter().any(|c| matches!(c, Change::Final { .. })), "not five seconds yet: {out:?}");
    line.offer(run, frame(vec![bar(11, 9)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(12 * MINUTE + 36_000) }, &NoWitness, &mut out);
    assert!(out.contains(&Change::Final { span: minutes(11, 12) }), "{out:?}");
    out.clear();
    let tally = line.offer(run, frame(vec![bar(11, 8)]), &NoWitness, &mut out);
    assert_eq!((tally.late, out.len()), (1, 0), "a late version never undoes a final bar");
}

#[test]
fn a_bar_that_was_over_and_goes_on_counting_is_doubted() {
    let mut line = bars_line(None);
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(run, frame(vec![bar(10, 1), bar(11, 9), bar(13, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(13 * MINUTE + 20_000) }, &NoWitness, &mut out);
    assert!(out.contains(&Change::Final { span: minutes(11, 13) }), "{out:?}");
    // The clock of the exchange was set back, and people go on trading in minutes that were over.
    for (late, doubted) in [(bar(11, 10), 11), (bar(12, 1), 12), (bar(11, 12), 11), (bar(10, 2), 10)] {
        out.clear();
        let tally = line.offer(run, frame(vec![late]), &NoWitness, &mut out);
        let doubt = Change::Doubted { span: minutes(doubted, doubted + 1), cause: Cause::Silence };
        assert_eq!((tally.late, &out[..]), (1, &[doubt][..]));
        out.clear();
        line.offer(run, frame(vec![late]), &NoWitness, &mut out);
        assert_eq!(out, [], "REST reads it again");
    }
}

#[test]
fn a_first_answer_without_bars_has_an_edge_all_the_same() {
    let mut line = bars_line(None);
    let mut out = Vec::new();
    let epoch = Epoch { token: Token(1), local: 1 };
    let grant = Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::DaemonDown };
    line.handover(Some(grant), &NoWitness, &mut out);
    let (from, asked) = (Some(TimeMs(8 * MINUTE)), TimeMs(10 * MINUTE + 30_000));
    let content = Content::Answer { records: Records::Candles(Vec::new()), from, asked };
    line.offer(Ticket::Claim(epoch), content, &NoWitness, &mut out);
    assert_eq!(out, [Change::Edge(TimeMs(8 * MINUTE))], "nothing was traded yet");
}

#[test]
fn minutes_without_trades_are_empty_and_let_the_edge_pass() {
    let mut line = bars_line(None);
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(run, frame(vec![bar(10, 1), bar(14, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(14 * MINUTE + 20_000) }, &NoWitness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(14 * MINUTE)));
    assert!(out.contains(&Change::Final { span: minutes(11, 14) }));
}

#[test]
fn a_run_that_began_by_a_wrong_clock_proves_no_bar_that_ended_before_it() {
    let mut line = bars_line(Some(54));
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    // An hour slow: bar 54 has ended long ago, and its last version was missed.
    line.offer(run, Content::Started { at: TimeMs(-5 * MINUTE + 30_000) }, &NoWitness, &mut out);
    line.offer(run, frame(vec![bar(55, 3)]), &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(-4 * MINUTE) }, &NoWitness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(54 * MINUTE)), "until the time is known nothing is settled: {out:?}");
    line.offer(run, frame(vec![bar(56, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(56 * MINUTE + 10_000) }, &NoWitness, &mut out);
    assert!(out.contains(&Change::GapOpened { span: minutes(54, 56), cause: Cause::Outage }), "{out:?}");
    line.offer(run, frame(vec![bar(58, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(58 * MINUTE + 10_000) }, &NoWitness, &mut out);
    assert!(out.contains(&Change::Final { span: minutes(56, 58) }), "said once: {out:?}");
}

#[test]
fn a_run_that_began_by_a_clock_that_is_fast_settles_nothing_that_is_still_to_come() {
    let mut line = bars_line(Some(7));
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    // An hour fast; by the time of the handover the exchange has said what time it is.
    line.offer(run, Content::Started { at: TimeMs(70 * MINUTE) }, &NoWitness, &mut out);
    line.clock(ClockReading { mono: 5_000, ahead: 10 * MINUTE }, None);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(11 * MINUTE)), "{out:?}");
}

#[test]
fn a_bar_millions_of_years_ahead_does_not_hold_up_the_reader() {
    struct Counting(std::cell::Cell<u64>);
    impl Witness for Counting {
        fn judge(&self, _: StreamKey, _: Span, _: u64) -> Verdict {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() <= 20_000, "every minute until then is looked at");
            Verdict::Plausible
        }
    }
    let mut line = bars_line(None);
    let run = Ticket::Run(RunId::first(1));
    let (mut out, witness) = (Vec::new(), Counting(std::cell::Cell::new(0)));
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &witness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &witness, &mut out);
    line.offer(run, frame(vec![bar(10, 1), bar(14, 1), bar(100_000_000_000, 1)]), &witness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs::MAX }, &witness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(100_000_000_000 * MINUTE)));
    assert!(out.contains(&Change::Final { span: minutes(11, 100_000_000_000) }));
}

#[test]
fn every_bar_that_a_handover_touched_is_a_gap_for_rest() {
    let mut line = bars_line(Some(7));
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    // One second before the minute: its bar may not have been seen whole.
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE - 1_000) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    assert_eq!(
        out,
        [Change::GapOpened { span: minutes(7, 11), cause: Cause::Outage }, Change::Edge(TimeMs(11 * MINUTE))]
    );
}

#[test]
fn a_rest_answer_proves_the_bars_that_ended_before_it_was_asked_for() {
    let mut line = bars_line(Some(7));
    let epoch = Epoch { token: Token(1), local: 1 };
    let mut out = Vec::new();
    line.handover(
        Some(Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::Outage }),
        &NoWitness,
        &mut out,
    );
    let records = Records::Candles(vec![bar(7, 3), bar(9, 2), bar(10, 1)]);
    let asked = TimeMs(10 * MINUTE + 3_000);
    let from = Some(TimeMs(7 * MINUTE));
    line.offer(
        Ticket::Claim(epoch),
        Content::Answer { records: records.clone(), from, asked },
        &NoWitness,
        &mut out,
    );
    assert_eq!(line.edge(), Some(TimeMs(9 * MINUTE)), "bar 9 ended less than five seconds before");
    line.offer(
        Ticket::Claim(epoch),
        Content::Answer { records, from, asked: asked + 2_000 },
        &NoWitness,
        &mut out,
    );
    assert_eq!(line.edge(), Some(TimeMs(10 * MINUTE)));
}

#[test]
fn a_break_in_a_ring_spoils_the_bars_that_were_open() {
    let mut line = bars_line(Some(9));
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.offer(run, Content::Started { at: TimeMs(9 * MINUTE + 50_000) }, &NoWitness, &mut out);
    line.offer(run, frame(vec![bar(10, 3)]), &NoWitness, &mut out);
    line.offer(run, Content::Broken { at: TimeMs(10 * MINUTE + 30_000) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    assert!(out.contains(&Change::GapOpened { span: minutes(9, 11), cause: Cause::Outage }), "{out:?}");
}

#[test]
fn another_markets_records_are_turned_away() {
    let mut line = bars_line(None);
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    out.clear();
    let other = Candle { coin: Coin::new("ETH").unwrap(), ..bar(14, 1) };
    let tally = line.offer(run, frame(vec![bar(14, 1), other]), &NoWitness, &mut out);
    assert_eq!((tally.fenced, tally.admitted, out.len()), (2, 0, 0));
    let tally = line.offer(run, frame(vec![bar(14, 1)]), &NoWitness, &mut out);
    assert_eq!((tally.fenced, tally.admitted), (0, 1));
}

/// A line of bars whose run saw everything since minute 11.
fn whole_since_11() -> (Timeline, Ticket) {
    let mut line = bars_line(Some(11));
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &NoWitness, &mut out);
    assert_eq!(out, [], "the edge is where whole bars begin: no gap");
    (line, run)
}

#[test]
fn a_run_that_began_before_the_edge_leaves_no_gap() {
    let mut line = bars_line(Some(13));
    let mut out = Vec::new();
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(
        Ticket::Run(RunId::first(1)),
        Content::Started { at: TimeMs(10 * MINUTE) },
        &NoWitness,
        &mut out,
    );
    assert_eq!((out, line.edge()), (vec![], Some(TimeMs(13 * MINUTE))));
}

#[test]
fn a_break_shortly_before_a_minute_spoils_its_bar_too() {
    for (at, whole) in [(57_000, 12), (59_000, 13)] {
        let (mut line, run) = whole_since_11();
        let mut out = Vec::new();
        line.offer(run, Content::Broken { at: TimeMs(11 * MINUTE + at) }, &NoWitness, &mut out);
        let opened = Change::GapOpened { span: minutes(11, whole), cause: Cause::Undecodable };
        assert_eq!(out, [opened, Change::Edge(TimeMs(whole * MINUTE))], "{at} ms into minute 11");
    }
}

#[test]
fn a_claim_proves_nothing_by_what_its_predecessor_saw() {
    let (mut line, run) = whole_since_11();
    let mut out = Vec::new();
    line.offer(run, frame(vec![bar(11, 5), bar(12, 1)]), &NoWitness, &mut out);
    line.handover(Some(ws_grant(2, 2)), &NoWitness, &mut out);
    out.clear();
    let run = Ticket::Run(RunId::first(2));
    line.offer(run, frame(vec![bar(13, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(14 * MINUTE) }, &NoWitness, &mut out);
    assert!(!out.iter().any(|c| matches!(c, Change::Final { .. })), "its beginning is not known: {out:?}");
    assert_eq!(line.edge(), Some(TimeMs(11 * MINUTE)));
}

#[test]
fn polls_leave_gaps_where_they_do_not_join_and_say_why() {
    let mut line = bars_line(Some(7));
    let epoch = Epoch { token: Token(1), local: 1 };
    let mut out = Vec::new();
    line.handover(
        Some(Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::Outage }),
        &NoWitness,
        &mut out,
    );
    let mut poll = |from: i64, first: i64, last: i64| {
        let mut out = Vec::new();
        let content = Content::Answer {
            records: Records::Candles((first..=last).map(|minute| bar(minute, 1)).collect()),
            from: Some(TimeMs(from)),
            asked: TimeMs(last * MINUTE + 30_000),
        };
        line.offer(Ticket::Claim(epoch), content, &NoWitness, &mut out);
        let rows = out.iter().filter(|c| matches!(c, Change::Rows { .. })).count();
        assert_eq!(rows, 1, "{out:?}");
        let opened = |change: &Change| match change {
            Change::GapOpened { span, cause } => Some((*span, *cause)),
            _ => None,
        };
        (out.iter().filter_map(opened).collect::<Vec<_>>(), line.edge().map(|edge| edge.0 / MINUTE))
    };
    // It begins in the middle of minute 7, so that bar is not among what it holds.
    let opened = (minutes(7, 8), Cause::Outage);
    assert_eq!(poll(7 * MINUTE + 1, 8, 10), (vec![opened], Some(10)));
    assert_eq!(poll(10 * MINUTE, 10, 11), (vec![], Some(11)), "from the edge on");
    assert_eq!(poll(5 * MINUTE, 5, 12), (vec![], Some(12)), "from before it");
    assert_eq!(poll(20 * MINUTE, 20, 21), (vec![(minutes(12, 20), Cause::Sampled)], Some(21)));
}

#[test]
fn late_versions_are_counted_apart() {
    let (mut line, run) = whole_since_11();
    let mut out = Vec::new();
    let tally = line.offer(run, frame(vec![bar(10, 5), bar(11, 1), bar(12, 1)]), &NoWitness, &mut out);
    assert_eq!((tally.admitted, tally.late), (2, 1));
}

#[test]
fn what_is_final_is_taken_off_and_open_bars_go_on() {
    let (mut line, run) = whole_since_11();
    let mut out = Vec::new();
    for (bars, proof) in [(vec![bar(11, 1), bar(12, 1)], 12), (vec![bar(13, 1)], 13)] {
        line.offer(run, frame(bars), &NoWitness, &mut out);
        // The newest bar has not stood long enough, and the proof after it says so.
        line.offer(run, Content::Proof { sent: TimeMs(proof * MINUTE + 3_000) }, &NoWitness, &mut out);
    }
    assert_eq!(line.edge(), Some(TimeMs(12 * MINUTE)));
    out.clear();
    line.offer(run, Content::Proof { sent: TimeMs(13 * MINUTE + 30_000) }, &NoWitness, &mut out);
    assert!(out.contains(&Change::Final { span: minutes(12, 13) }), "{out:?}");
}

#[test]
fn each_bar_that_becomes_final_is_judged_once_and_a_stale_one_is_left_to_rest() {
    /// Contradicts one bar, and notes what it was asked.
    struct Contradicts(i64, std::cell::RefCell<Vec<(i64, u64)>>);
    impl Witness for Contradicts {
        fn judge(&self, _: StreamKey, bar: Span, trades: u64) -> Verdict {
            assert_eq!(bar.ms(), MINUTE);
            self.1.borrow_mut().push((bar.from.0 / MINUTE, trades));
            if bar.from.0 == self.0 * MINUTE { Verdict::Stale } else { Verdict::Plausible }
        }
    }
    let (mut line, run) = whole_since_11();
    let witness = Contradicts(12, std::cell::RefCell::default());
    let mut out = Vec::new();
    line.offer(run, frame(vec![bar(11, 3), bar(12, 4), bar(14, 5)]), &witness, &mut out);
    out.clear();
    line.offer(run, Content::Proof { sent: TimeMs(14 * MINUTE + 10_000) }, &witness, &mut out);
    assert_eq!(*witness.1.borrow(), [(11, 3), (12, 4), (13, 0)], "the newest may still change");
    out.retain(|change| !matches!(change, Change::Covered { .. }));
    assert_eq!(
        out,
        [
            Change::Final { span: minutes(11, 12) },
            Change::Edge(TimeMs(12 * MINUTE)),
            Change::GapOpened { span: minutes(12, 13), cause: Cause::Silence },
            Change::Edge(TimeMs(13 * MINUTE)),
            Change::Final { span: minutes(13, 14) },
            Change::Edge(TimeMs(14 * MINUTE)),
        ]
    );
}

/// Knows how many trades are stored in some minutes, and that they are whole.
struct Stored(BTreeMap<i64, u64>);

impl Witness for Stored {
    fn judge(&self, _: StreamKey, bar: Span, trades: u64) -> Verdict {
        match self.0.get(&(bar.from.0 / MINUTE)) {
            None => Verdict::Unknown,
            Some(stored) if *stored > trades => Verdict::Stale,
            Some(_) => Verdict::Plausible,
        }
    }

    fn stored(&self, _: StreamKey, bar: Span) -> u64 {
        self.0.get(&(bar.from.0 / MINUTE)).copied().unwrap_or_default()
    }
}

/// Pieces, in minutes.
type Minutes = Vec<(i64, i64)>;

/// What an answer to the question for bars from minute 7 on, asked for in minute 10, does: minutes that become final, and
/// minutes that become a gap.
fn answered(bars: &[(i64, u64)], witness: &dyn Witness) -> (Minutes, Minutes) {
    let mut line = bars_line(Some(7));
    let epoch = Epoch { token: Token(1), local: 1 };
    let mut out = Vec::new();
    let grant = Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::Outage };
    line.handover(Some(grant), witness, &mut out);
    let content = Content::Answer {
        records: Records::Candles(bars.iter().map(|(minute, trades)| bar(*minute, *trades)).collect()),
        from: Some(TimeMs(7 * MINUTE)),
        asked: TimeMs(10 * MINUTE + 30_000),
    };
    let tally = line.offer(Ticket::Claim(epoch), content, witness, &mut out);
    assert_eq!((tally.admitted + tally.late + tally.known) as usize, bars.len());
    let minutes = |span: &Span| (span.from.0 / MINUTE, span.to.0 / MINUTE);
    let settled = out.iter().filter_map(|change| match change {
        Change::Final { span } => Some(minutes(span)),
        _ => None,
    });
    let opened = out.iter().filter_map(|change| match change {
        Change::GapOpened { span, .. } => Some(minutes(span)),
        _ => None,
    });
    (settled.collect(), opened.collect())
}

#[test]
fn an_answer_makes_final_what_it_contains_and_what_lies_between() {
    for (bars, settled, gaps) in [
        (&[(7, 1), (8, 1), (9, 1), (10, 1)][..], vec![(7, 10)], vec![]),
        // A minute without trades has a bar on each side of it.
        (&[(7, 1), (9, 1), (10, 1)], vec![(7, 10)], vec![]),
        (&[(5, 1), (10, 1)], vec![(7, 10)], vec![]),
        // Nothing behind the last bar …
        (&[(7, 1), (8, 1)], vec![(7, 8)], vec![]),
        (&[(5, 1)], vec![], vec![]),
        (&[], vec![], vec![]),
        // … and nothing before the first.
        (&[(9, 1), (10, 1)], vec![(9, 10)], vec![(7, 8), (8, 9)]),
        // A bar of the next hour is not on the other side of anything.
        (&[(7, 1), (8, 1), (70, 1)], vec![(7, 8)], vec![]),
        (&[(70, 1)], vec![], vec![]),
    ] {
        assert_eq!(answered(bars, &NoWitness), (settled, gaps), "{bars:?}");
    }
}

#[test]
fn bars_before_the_edge_that_an_answer_brings_along_are_not_doubted() {
    let mut line = bars_line(Some(7));
    let epoch = Epoch { token: Token(1), local: 1 };
    let grant = Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::Outage };
    let mut out = Vec::new();
    line.handover(Some(grant), &NoWitness, &mut out);
    for last in 8..10 {
        let content = Content::Answer {
            records: Records::Candles((3..=last).map(|minute| bar(minute, 5)).collect()),
            from: Some(TimeMs((last - 1) * MINUTE)),
            asked: TimeMs(last * MINUTE + 30_000),
        };
        line.offer(Ticket::Claim(epoch), content, &NoWitness, &mut out);
    }
    assert!(!out.iter().any(|change| matches!(change, Change::Doubted { .. })), "{out:?}");
    assert_eq!(line.edge(), Some(TimeMs(9 * MINUTE)));
}

#[test]
fn the_trades_say_what_an_answer_leaves_open_and_contradict_it() {
    let stored = Stored(BTreeMap::from([(7, 0), (8, 0)]));
    assert_eq!(answered(&[(9, 1), (10, 1)], &stored), (vec![(7, 10)], vec![]), "there were no trades then");
    let stored = Stored(BTreeMap::from([(7, 0), (8, 467)]));
    assert_eq!(answered(&[(9, 1), (10, 1)], &stored), (vec![(7, 8), (9, 10)], vec![(8, 9)]));
    assert_eq!(answered(&[(7, 1), (9, 1), (10, 1)], &stored), (vec![(7, 8), (9, 10)], vec![(8, 9)]));
    assert_eq!(answered(&[(7, 1), (8, 466), (10, 1)], &stored), (vec![(7, 8), (9, 10)], vec![(8, 9)]));
    assert_eq!(answered(&[(7, 1), (8, 467), (10, 1)], &stored), (vec![(7, 10)], vec![]));
}

#[test]
fn a_minute_without_a_bar_in_which_trades_are_stored_is_not_empty() {
    /// Of minute 12 some trades are stored; whether all are, is not known.
    struct SomeIn12;
    impl Witness for SomeIn12 {
        fn judge(&self, _: StreamKey, _: Span, _: u64) -> Verdict {
            Verdict::Unknown
        }
        fn stored(&self, _: StreamKey, bar: Span) -> u64 {
            u64::from(bar.from.0 == 12 * MINUTE)
        }
    }
    let (mut line, run) = whole_since_11();
    let mut out = Vec::new();
    line.offer(run, frame(vec![bar(11, 1), bar(13, 1)]), &SomeIn12, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(13 * MINUTE + 30_000) }, &SomeIn12, &mut out);
    let gap = Change::GapOpened { span: minutes(12, 13), cause: Cause::Silence };
    assert!(out.contains(&gap) && out.contains(&Change::Final { span: minutes(11, 12) }), "{out:?}");
}

#[test]
fn a_run_whose_beginning_a_system_clock_guessed_begins_where_the_exchange_says() {
    // How wrong the system clock is, minutes; what then says what time it is; and the first bar that is seen whole.
    let (bars, clock) = ([Some(10), Some(11)], [Some(10), None]);
    for (wrong, said, whole) in [
        (0, &bars[..1], 11),
        (120, &bars, 12),
        (-120, &bars, 12),
        (120, &clock, 11),
        (-120, &clock, 11),
        (120, &clock[1..], 11),
    ] {
        let mut line = bars_line(Some(8));
        let run = Ticket::Run(RunId::first(1));
        let at = TimeMs(10 * MINUTE + 30_000);
        let mut out = Vec::new();
        line.offer(run, Content::Started { at: at + wrong * MINUTE }, &NoWitness, &mut out);
        line.guessed(RunId::first(1), 0);
        line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
        line.offer(run, Content::Proof { sent: at + wrong * MINUTE }, &NoWitness, &mut out);
        assert_eq!(out, [], "{wrong} {said:?}: nothing is known yet");
        assert!(line.awaits_clock());
        for word in said {
            match word {
                Some(minute) => _ = line.offer(run, frame(vec![bar(*minute, 1)]), &NoWitness, &mut out),
                None => line.follow_clock(ClockReading { mono: 0, ahead: at.0 }, &mut out),
            }
        }
        assert!(!line.awaits_clock());
        let gap = Change::GapOpened { span: minutes(8, whole), cause: Cause::Outage };
        assert_eq!(out[..2], [gap, Change::Edge(TimeMs(whole * MINUTE))], "{wrong} {said:?}");
        // What was sent by the wrong clock proves nothing from now on.
        out.clear();
        for minute in [whole, whole + 1] {
            line.offer(run, frame(vec![bar(minute, 1)]), &NoWitness, &mut out);
        }
        let sent = TimeMs((whole + 1) * MINUTE + 30_000);
        line.offer(run, Content::Proof { sent }, &NoWitness, &mut out);
        assert!(
            out.contains(&Change::Final { span: minutes(whole, whole + 1) }),
            "{wrong} {said:?}: {out:?}"
        );
    }
}

#[test]
fn a_bar_that_was_over_by_the_old_clock_and_goes_on_counting_by_the_new_one_is_doubted() {
    // In one process, or in one that was started anew.
    for is_stored in [false, true] {
        let mut line = bars_line(is_stored.then_some(13));
        let mut out = Vec::new();
        if !is_stored {
            let run = Ticket::Run(RunId::first(1));
            line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &NoWitness, &mut out);
            line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
            line.offer(run, frame(vec![bar(11, 9), bar(12, 4), bar(13, 1)]), &NoWitness, &mut out);
            line.offer(run, Content::Proof { sent: TimeMs(13 * MINUTE + 20_000) }, &NoWitness, &mut out);
            assert!(out.contains(&Change::Final { span: minutes(11, 13) }), "{out:?}");
        }
        // The exchange goes on at the middle of a minute that was over, and another run begins.
        let run = Ticket::Run(RunId::first(2));
        let at = TimeMs(11 * MINUTE + 30_000);
        line.offer(run, Content::Started { at }, &NoWitness, &mut out);
        line.handover(Some(ws_grant(2, 2)), &NoWitness, &mut out);
        // Of what was stored before the start the first version says nothing.
        line.offer(run, frame(vec![bar(11, 10)]), &NoWitness, &mut out);
        out.clear();
        line.offer(run, frame(vec![bar(11, 11)]), &NoWitness, &mut out);
        assert_eq!(out, [Change::Doubted { span: minutes(11, 12), cause: Cause::Silence }], "{is_stored}");
    }
}

#[test]
fn a_bar_that_was_filled_while_it_was_not_over_yet_is_doubted_once_it_goes_on_counting() {
    let mut line = bars_line(Some(10));
    let mut out = Vec::new();
    let run = Ticket::Run(RunId::first(1));
    line.offer(run, Content::Started { at: TimeMs(11 * MINUTE + 40_000) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    assert!(out.contains(&Change::Edge(TimeMs(12 * MINUTE))), "{out:?}");
    // The clock of the exchange is set back into minute 11, and before that is known the minute is read as if it were over.
    let epoch = Epoch { token: Token(1), local: 9 };
    let records = Records::Candles(vec![bar(10, 7), bar(11, 5)]);
    line.backfilled(&Change::Filled { epoch, origin: Origin::Backfill, span: minutes(10, 12), records });
    for (trades, doubted) in [(5, false), (6, true), (7, true)] {
        out.clear();
        line.offer(run, frame(vec![bar(11, trades)]), &NoWitness, &mut out);
        let doubt = Change::Doubted { span: minutes(11, 12), cause: Cause::Silence };
        assert_eq!(out, if doubted { vec![doubt] } else { vec![] }, "{trades}");
    }
}

//! Bars: when they are final, and what is left to REST.

use super::*;

fn bars_line(edge: Option<i64>) -> Timeline {
    let edge = edge.map(|minute| TimeMs(minute * MINUTE));
    Timeline::new(StreamStart {
        stream: StreamKey::Candle(coin(), Interval::M1),
        edge,
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
        out.contains(&Change::GapOpened { span: minutes(10, 11), cause: Cause::NotCollected }),
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
    let tally = line.offer(run, frame(vec![bar(11, 10)]), &NoWitness, &mut out);
    assert_eq!((tally.late, out.len()), (1, 0), "a late version never undoes a final bar");
}

#[test]
fn minutes_without_trades_are_empty_and_let_the_edge_pass() {
    let mut line = bars_line(None);
    let run = Ticket::Run(RunId::first(1));
    let mut out = Vec::new();
    line.offer(run, Content::Started { at: TimeMs(10 * MINUTE) }, &NoWitness, &mut out);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    line.offer(run, frame(vec![bar(14, 1)]), &NoWitness, &mut out);
    line.offer(run, Content::Proof { sent: TimeMs(14 * MINUTE + 20_000) }, &NoWitness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(14 * MINUTE)));
    assert!(out.contains(&Change::Final { span: minutes(11, 14) }));
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
    line.offer(run, frame(vec![bar(14, 1), bar(100_000_000_000, 1)]), &witness, &mut out);
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

// States.
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

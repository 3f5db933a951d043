//! Positions: the source says from when on it has brought everything. And what a run of trades says of itself.

use super::*;
use crate::record::{HexBytes, KnownBy, Position, PositionChange};
use crate::row::Arrival;
use crate::symbol::User;

struct Line {
    line: Timeline,
    local: u32,
    epoch: Epoch,
}

fn positions(times: &[i64]) -> Records {
    let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
    let position = |time: &i64| Position {
        user,
        coin: coin(),
        time: TimeMs(*time),
        change: PositionChange::Open,
        szi: Decimal::ONE,
        szi_before: None,
        known_by: KnownBy::Trade,
        px: None,
        entry_px: None,
        arrival: Arrival::default(),
    };
    Records::Positions(times.iter().map(position).collect())
}

impl Line {
    fn new(edge: Option<i64>) -> Self {
        let user = User::new(&HexBytes::<20>([1; 20]).to_string()).unwrap();
        let (stream, edge) = (StreamKey::Positions(user), edge.map(TimeMs));
        let line = Timeline::new(StreamStart { stream, edge, ended: None, recent: Recent::default() });
        Self { line, local: 0, epoch: Epoch { token: Token(1), local: 0 } }
    }

    fn give(&mut self, cause: Cause) {
        self.local += 1;
        self.epoch = Epoch { token: Token(1), local: self.local };
        let grant = Grant { epoch: self.epoch, source: SourceId::Tracker, run: None, cause };
        self.line.handover(Some(grant), &NoWitness, &mut Vec::new());
    }

    fn offer(&mut self, content: Content) -> Vec<String> {
        let mut out = Vec::new();
        self.line.offer(Ticket::Claim(self.epoch), content, &NoWitness, &mut out);
        out.iter().map(words).collect()
    }

    fn answer(&mut self, from: i64, times: &[i64], to: i64) -> Vec<String> {
        let (records, from) = (positions(times), Some(TimeMs(from)));
        self.offer(Content::Answer { records, from, asked: TimeMs(to) })
    }
}

fn words(change: &Change) -> String {
    match change {
        Change::Rows { records, origin, .. } => format!("{} rows, {}", records.len(), origin.as_str()),
        Change::Covered { span, .. } => format!("covered {} to {}", span.from.0, span.to.0),
        Change::GapOpened { span, cause } => {
            format!("gap {} to {}, {}", span.from.0, span.to.0, cause.as_str())
        }
        Change::Doubted { span, .. } => format!("doubted {} to {}", span.from.0, span.to.0),
        Change::Edge(edge) => format!("edge {}", edge.0),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_begins_at_the_edge_goes_on_and_what_begins_later_leaves_a_gap() {
    let mut line = Line::new(None);
    line.give(Cause::FirstStart);
    assert_eq!(line.answer(10, &[10, 12], 20), ["2 rows, derived", "covered 10 to 20", "edge 20"]);
    // What was brought already is not brought again.
    assert_eq!(line.answer(10, &[12, 20, 25], 30), ["2 rows, derived", "covered 20 to 30", "edge 30"]);
    assert_eq!(line.answer(10, &[], 40), ["covered 30 to 40", "edge 40"]);
    assert_eq!(line.answer(10, &[], 40), Vec::<String>::new());
    assert_eq!(
        line.answer(50, &[50], 60),
        ["gap 40 to 50, outage", "1 rows, derived", "covered 50 to 60", "edge 60"]
    );
    // Nothing lies outside of the piece that it says is whole.
    assert_eq!(line.answer(60, &[61, 70, 99], 70), ["1 rows, derived", "covered 60 to 70", "edge 70"]);
}

#[test]
fn a_claim_goes_on_from_the_stored_edge_only_where_its_source_says_so() {
    let mut line = Line::new(Some(100));
    line.give(Cause::DaemonDown);
    assert_eq!(line.answer(150, &[], 160), ["gap 100 to 150, daemon_down", "covered 150 to 160", "edge 160"]);
    let old = line.epoch;
    line.give(Cause::Handover);
    let late = Content::Answer { records: positions(&[165]), from: Some(TimeMs(150)), asked: TimeMs(170) };
    let mut out = Vec::new();
    let tally = line.line.offer(Ticket::Claim(old), late, &NoWitness, &mut out);
    assert_eq!((tally.fenced, out), (1, vec![]));
    // What was fenced is missing, unless it is brought again.
    assert_eq!(line.answer(170, &[], 180), ["gap 160 to 170, handover", "covered 170 to 180", "edge 180"]);
    assert_eq!(line.answer(150, &[185], 190), ["1 rows, derived", "covered 180 to 190", "edge 190"]);
}

#[test]
fn what_turns_out_to_be_wrong_is_doubted_up_to_the_edge() {
    let mut line = Line::new(None);
    line.give(Cause::FirstStart);
    line.answer(10, &[15], 20);
    assert_eq!(line.offer(Content::Refuted { since: TimeMs(20) }), Vec::<String>::new());
    assert_eq!(line.offer(Content::Refuted { since: TimeMs(12) }), ["doubted 12 to 20"]);
    assert_eq!(line.answer(30, &[30], 30), Vec::<String>::new());
    assert_eq!(
        line.answer(30, &[30], 31),
        ["gap 20 to 30, silence", "1 rows, derived", "covered 30 to 31", "edge 31"]
    );
}

#[test]
fn a_run_of_trades_says_which_piece_it_has_brought() {
    let stream = StreamKey::Trades(coin());
    let mut line = Timeline::new(StreamStart { stream, edge: None, ended: None, recent: Recent::default() });
    let offer = |line: &mut Timeline, content: Content| {
        line.offer(Ticket::Run(RunId::first(1)), content, &NoWitness, &mut Vec::new());
        line.heard().map(|span| (span.from.0, span.to.0))
    };
    offer(&mut line, Content::Started { at: TimeMs(10_000) });
    let proof = |sent| Content::Proof { sent: TimeMs(sent) };
    offer(&mut line, proof(12_000));
    assert_eq!(line.heard(), None, "it owns nothing yet");
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut Vec::new());
    // A frame may leave the exchange a second later than another one.
    assert_eq!(line.heard(), Some(Span::new(TimeMs(10_000), TimeMs(11_000))));
    assert_eq!(offer(&mut line, proof(15_000)), Some((10_000, 14_000)));
    assert_eq!(offer(&mut line, Content::Broken { at: TimeMs(16_000) }), None);
    assert_eq!(offer(&mut line, proof(18_000)), Some((16_000, 17_000)));
    assert_eq!(offer(&mut line, Content::Dropped), None);
    assert_eq!(offer(&mut line, proof(20_000)), None, "what was dropped was of a time that is not known");
    line.handover(None, &NoWitness, &mut Vec::new());
    assert_eq!(line.heard(), None);
}

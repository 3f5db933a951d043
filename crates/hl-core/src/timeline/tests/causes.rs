//! Why a gap is there: what kept the data away, whichever source brings the next.

use super::*;
use crate::record::Book;
use crate::row::Arrival;
use crate::stream::BookVariant;

const ASKED: i64 = 60 * MINUTE;

/// A time line and what it said of gaps.
struct Line {
    line: Timeline,
    local: u32,
}

impl Line {
    fn new(stream: StreamKey) -> Self {
        let start = StreamStart { stream, edge: None, ended: None, recent: Recent::default() };
        Self { line: Timeline::new(start), local: 0 }
    }

    fn give(&mut self, source: SourceId, run: Option<u64>, cause: Cause) -> Vec<(Span, Cause)> {
        self.local += 1;
        let epoch = Epoch { token: Token(1), local: self.local };
        let mut out = Vec::new();
        let grant = Grant { epoch, source, run: run.map(RunId::first), cause };
        self.line.handover(Some(grant), &NoWitness, &mut out);
        gaps(&out)
    }

    fn offer(&mut self, ticket: Ticket, content: Content) -> Vec<(Span, Cause)> {
        let mut out = Vec::new();
        self.line.offer(ticket, content, &NoWitness, &mut out);
        gaps(&out)
    }

    /// A run brings what happens at a minute, and is whole from the minute before.
    fn run(&mut self, run: u64, minute: i64) -> Vec<(Span, Cause)> {
        let ticket = Ticket::Run(RunId::first(run));
        let mut gaps = self.offer(ticket, Content::Started { at: TimeMs((minute - 1) * MINUTE - 10_000) });
        gaps.extend(self.offer(ticket, Content::Frame(records(self.line.common.key, minute))));
        gaps
    }

    fn claim(&self) -> Ticket {
        Ticket::Claim(self.line.claim().unwrap().epoch)
    }

    fn answer(&mut self, minute: i64) -> Vec<(Span, Cause)> {
        let records = records(self.line.common.key, minute);
        self.offer(self.claim(), Content::Answer { records, from: None, asked: TimeMs(ASKED) })
    }

    fn unanswered(&mut self, cause: Cause) {
        assert_eq!(self.offer(self.claim(), Content::Unanswered { cause }), []);
    }
}

fn gaps(out: &[Change]) -> Vec<(Span, Cause)> {
    let opened = |change: &Change| match change {
        Change::GapOpened { span, cause } => Some((*span, *cause)),
        _ => None,
    };
    out.iter().filter_map(opened).collect()
}

fn records(stream: StreamKey, minute: i64) -> Records {
    let (variant, bids, asks) = (BookVariant::Default, Box::default(), Box::default());
    let time = TimeMs(minute * MINUTE);
    match stream {
        StreamKey::Candle(..) => Records::Candles(vec![bar(minute, 1)]),
        StreamKey::Book(..) => Records::Books(vec![Book {
            coin: coin(),
            variant,
            time,
            bids,
            asks,
            arrival: Arrival::default(),
        }]),
        _ => Records::Trades(vec![trade(time.0, minute.unsigned_abs())]),
    }
}

fn streams() -> [StreamKey; 3] {
    [
        StreamKey::Trades(coin()),
        StreamKey::Book(coin(), BookVariant::Default),
        StreamKey::Candle(coin(), Interval::M1),
    ]
}

/// A stream that its socket brought at minute 10, and that nobody has brought since.
fn lost(stream: StreamKey) -> Line {
    let mut line = Line::new(stream);
    line.run(1, 10);
    line.give(SourceId::Ws, Some(1), Cause::FirstStart);
    assert_eq!(line.give(SourceId::Rest, None, Cause::Outage), []);
    line
}

#[test]
fn what_no_source_brought_was_lost_to_the_outage_that_began_it() {
    for stream in streams() {
        let mut line = lost(stream);
        line.unanswered(Cause::OverCapacity);
        assert_eq!(line.run(2, 20), [], "it waits");
        let gaps = line.give(SourceId::Ws, Some(2), Cause::Handover);
        assert_eq!(gaps.iter().map(|(_, cause)| *cause).collect::<Vec<_>>(), [Cause::Outage], "{stream}");
        assert_eq!(line.give(SourceId::Rest, None, Cause::Silence), []);
        let gaps = line.answer(30);
        assert!(gaps.iter().all(|(_, cause)| *cause == Cause::Silence), "{stream}: it is over: {gaps:?}");
    }
}

#[test]
fn what_requests_did_not_answer_is_called_by_their_failure() {
    for stream in streams() {
        for cause in [Cause::Outage, Cause::OverCapacity, Cause::Refused] {
            let mut line = lost(stream);
            line.answer(11);
            line.unanswered(cause);
            line.unanswered(Cause::Silence);
            let causes =
                |gaps: Vec<(Span, Cause)>| gaps.into_iter().map(|(_, cause)| cause).collect::<Vec<_>>();
            let mut other = Line { line: line.line.clone(), ..line };
            assert_eq!(causes(line.answer(20)), [cause], "{stream}");
            assert_eq!(causes(line.answer(30)), [Cause::Sampled], "{stream}: it answers again");
            other.run(2, 20);
            assert_eq!(causes(other.give(SourceId::Ws, Some(2), Cause::Handover)), [cause], "{stream}");
        }
    }
}

#[test]
fn a_late_answer_that_failed_says_nothing_of_the_next_claim() {
    let mut line = lost(StreamKey::Trades(coin()));
    let late = line.claim();
    line.answer(11);
    line.run(2, 12);
    line.give(SourceId::Ws, Some(2), Cause::Handover);
    assert_eq!(line.offer(late, Content::Unanswered { cause: Cause::Outage }), []);
    line.give(SourceId::Rest, None, Cause::Silence);
    assert_eq!(line.answer(20).iter().map(|(_, cause)| *cause).collect::<Vec<_>>(), [Cause::Silence]);
}

#[test]
fn bars_that_a_quiet_market_leaves_in_doubt_belong_to_the_same_outage() {
    let mut line = lost(StreamKey::Candle(coin(), Interval::M1));
    let run = Ticket::Run(RunId::first(2));
    line.offer(run, Content::Started { at: TimeMs(19 * MINUTE + 10_000) });
    let (whole, cause) = line.give(SourceId::Ws, Some(2), Cause::Handover)[0];
    assert_eq!((whole.to, cause), (TimeMs(20 * MINUTE), Cause::Outage));
    line.offer(run, Content::Frame(Records::Candles(vec![bar(23, 1)])));
    let late = line.offer(run, Content::Proof { sent: TimeMs(23 * MINUTE + 30_000) });
    assert_eq!(late, [(Span::new(TimeMs(20 * MINUTE), TimeMs(24 * MINUTE)), Cause::Outage)]);
}

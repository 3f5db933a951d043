//! How time lines end: what a claim had not brought whole is a gap up to the end, and nothing is admitted afterwards.

use super::*;

const BTC: &str = "trades/BTC";

struct Line {
    line: Timeline,
    local: u32,
    doubt: Option<Cause>,
}

impl Line {
    fn of(name: &str, edge: Option<i64>, ended: Option<i64>) -> Self {
        let stream = name.parse().unwrap();
        let [edge, ended] = [edge, ended].map(|time| time.map(TimeMs));
        let start = StreamStart { stream, edge, ended, recent: Recent::default() };
        Self { line: Timeline::new(start), local: 0, doubt: None }
    }

    fn give(&mut self, source: SourceId, run: Option<u64>) -> Vec<Change> {
        self.local += 1;
        let epoch = Epoch { token: Token(1), local: self.local };
        let mut out = Vec::new();
        let grant = Grant { epoch, source, run: run.map(RunId::first), cause: Cause::Outage };
        self.line.handover(Some(grant), &NoWitness, &mut out);
        out
    }

    fn offer(&mut self, ticket: Ticket, content: Content) -> (Tally, Vec<Change>) {
        let mut out = Vec::new();
        let tally = self.line.offer(ticket, content, &NoWitness, &mut out);
        (tally, out)
    }

    /// The socket owns it, and has brought these records after the acknowledgement.
    fn pushed(&mut self, at: i64, records: Vec<Records>) {
        self.give(SourceId::Ws, Some(1));
        let run = Ticket::Run(RunId::first(1));
        self.offer(run, Content::Started { at: TimeMs(at) });
        for records in records {
            self.offer(run, Content::Frame(records));
        }
    }

    /// The covered pieces, the gaps, the edge and the end that ending it brings.
    #[allow(clippy::type_complexity, reason = "a name for it would say no more")]
    fn end(&mut self, at: i64) -> (Vec<Span>, Vec<(Span, Cause)>, Option<TimeMs>, TimeMs) {
        let mut out = Vec::new();
        self.line.end(TimeMs(at), self.doubt, &NoWitness, &mut out);
        let (mut covered, mut gaps, mut edge, mut ended) = (Vec::new(), Vec::new(), None, None);
        for change in out {
            match change {
                Change::Covered { span, .. } => covered.push(span),
                Change::GapOpened { span, cause } => gaps.push((span, cause)),
                Change::Edge(to) => edge = Some(to),
                Change::Ended(at) => ended = Some(at),
                Change::Final { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        (covered, gaps, edge, ended.unwrap())
    }
}

fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(from), TimeMs(to))
}

fn trades(times: &[i64]) -> Records {
    Records::Trades(times.iter().map(|time| trade(*time, time.unsigned_abs())).collect())
}

fn bbos(times: &[i64]) -> Records {
    let bbo = |time: &i64| Bbo {
        coin: coin(),
        time: TimeMs(*time),
        bid: None,
        ask: None,
        arrival: Arrival::default(),
    };
    Records::Bbos(times.iter().map(bbo).collect())
}

fn book(time: i64) -> Records {
    Records::Books(vec![crate::record::Book {
        coin: coin(),
        variant: crate::stream::BookVariant::Default,
        time: TimeMs(time),
        bids: Box::default(),
        asks: Box::default(),
        arrival: Arrival::default(),
    }])
}

#[test]
fn what_a_socket_brought_without_a_break_is_whole_up_to_the_end() {
    let mut line = Line::of(BTC, None, None);
    line.pushed(1_000, vec![trades(&[1_000, 1_070])]);
    assert_eq!(line.end(9_000), (vec![span(1_070, 9_000)], vec![], Some(TimeMs(9_000)), TimeMs(9_000)));
    let mut line = Line::of("bbo/BTC", None, None);
    line.pushed(1_000, vec![bbos(&[1_000]), bbos(&[1_070])]);
    assert_eq!(line.end(9_000), (vec![span(1_070, 9_000)], vec![], Some(TimeMs(9_000)), TimeMs(9_000)));
}

#[test]
fn what_is_pushed_by_a_clock_ends_with_its_last_record() {
    let mut line = Line::of("context/BTC", Some(1_000), None);
    // No claim: no source was there to see it end.
    let gap = (span(1_000, 9_000), Cause::Outage);
    assert_eq!(line.end(9_000), (vec![], vec![gap], Some(TimeMs(9_000)), TimeMs(9_000)));
    let mut line = Line::of("book/BTC", None, None);
    line.pushed(1_000, vec![book(1_000), book(6_000)]);
    assert_eq!(line.end(600_000), (vec![], vec![], None, TimeMs(6_000)));
}

#[test]
fn what_was_not_proven_is_a_gap_up_to_the_end() {
    // The stream was handed to REST, which brought nothing.
    let mut line = Line::of(BTC, None, None);
    line.pushed(1_000, vec![trades(&[1_000, 1_070])]);
    line.give(SourceId::Rest, None);
    let gap = |cause| vec![(span(1_070, 9_000), cause)];
    assert_eq!(line.end(9_000).1, gap(Cause::Outage));
    // A frame could not be read.
    let mut line = Line::of(BTC, None, None);
    line.pushed(1_000, vec![trades(&[1_000, 1_070])]);
    line.offer(Ticket::Run(RunId::first(1)), Content::Broken { at: TimeMs(2_000) });
    assert_eq!(line.end(9_000).1, gap(Cause::Undecodable));
    // Polls sample.
    let mut line = Line::of(BTC, None, None);
    line.give(SourceId::Rest, None);
    let claim = Ticket::Claim(line.line.claim().unwrap().epoch);
    let content = Content::Answer { records: trades(&[1_000, 1_070]), from: None, asked: TimeMs(1_100) };
    line.offer(claim, content);
    assert_eq!(line.end(9_000).1, gap(Cause::Sampled));
}

#[test]
fn where_frames_may_be_on_their_way_nothing_behind_the_edge_is_whole() {
    for name in [BTC, "bbo/BTC"] {
        let mut line = Line::of(name, None, None);
        let records = if name == BTC { trades(&[1_000, 1_070]) } else { bbos(&[1_000, 1_070]) };
        line.pushed(1_000, vec![records]);
        line.doubt = Some(Cause::Outage);
        assert_eq!(line.end(9_000).1, [(span(1_070, 9_000), Cause::Outage)]);
    }
    let mut line = Line::of("book/BTC", None, None);
    line.pushed(1_000, vec![book(1_000), book(6_000)]);
    line.doubt = Some(Cause::Outage);
    assert_eq!(line.end(9_000).1, [(span(6_000, 9_000), Cause::Outage)]);
}

#[test]
fn bars_are_final_up_to_the_one_in_which_the_market_ended() {
    let name = "candle/BTC/1m";
    let mut line = Line::of(name, None, None);
    let bars = |minutes: &[i64]| Records::Candles(minutes.iter().map(|minute| bar(*minute, 1)).collect());
    line.pushed(MINUTE - 10_000, vec![bars(&[0]), bars(&[1]), bars(&[2])]);
    // The first bar that was seen whole is the second.
    let (covered, gaps, edge, ended) = line.end(5 * MINUTE + 20_000);
    assert_eq!((covered, gaps), (vec![span(MINUTE, 5 * MINUTE)], vec![]));
    assert_eq!((edge, ended), (Some(TimeMs(5 * MINUTE)), TimeMs(5 * MINUTE + 20_000)));
    let mut line = Line::of(name, Some(MINUTE), None);
    assert_eq!(line.end(5 * MINUTE + 20_000).1, [(span(MINUTE, 5 * MINUTE), Cause::Outage)]);
}

#[test]
fn after_its_end_nothing_is_admitted() {
    let mut line = Line::of(BTC, None, None);
    line.pushed(1_000, vec![trades(&[1_000, 1_070])]);
    line.end(9_000);
    line.give(SourceId::Ws, Some(2));
    let (tally, out) = line.offer(Ticket::Run(RunId::first(2)), Content::Frame(trades(&[9_500])));
    assert_eq!((tally.fenced, out), (1, vec![]));
}

#[test]
fn a_stream_without_records_ends_at_once_and_one_that_is_ahead_at_its_edge() {
    assert_eq!(Line::of(BTC, None, None).end(9_000), (vec![], vec![], None, TimeMs(9_000)));
    assert_eq!(Line::of(BTC, Some(9_500), None).end(9_000), (vec![], vec![], None, TimeMs(9_500)));
}

#[test]
fn what_had_ended_goes_on_with_a_gap_of_its_own_cause() {
    let mut line = Line::of(BTC, Some(9_000), Some(9_000));
    line.give(SourceId::Ws, Some(1));
    let run = Ticket::Run(RunId::first(1));
    line.offer(run, Content::Started { at: TimeMs(20_000) });
    let (_, out) = line.offer(run, Content::Frame(trades(&[20_000])));
    let gap = Change::GapOpened { span: span(9_000, 20_000), cause: Cause::NotListed };
    assert!(out.contains(&gap), "{out:?}");
}

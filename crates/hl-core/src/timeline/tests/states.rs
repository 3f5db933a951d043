//! States: what is a hole, what is stored, what is late.

use super::gate::context;
use super::*;
use crate::record::Book;
use crate::row::Arrival;
use crate::stream::BookVariant;

#[derive(Clone)]
struct Owned {
    line: Timeline,
    out: Vec<Change>,
}

/// A time line that a run owns, and that may have an edge.
fn owned(stream: StreamKey, edge: Option<i64>) -> Owned {
    let start = StreamStart { stream, edge: edge.map(TimeMs), ended: None, recent: Recent::default() };
    let mut owned = Owned { line: Timeline::new(start), out: Vec::new() };
    owned.line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut owned.out);
    owned
}

fn rest_grant(local: u32) -> Grant {
    Grant { source: SourceId::Rest, run: None, ..ws_grant(local, 1) }
}

impl Owned {
    fn push(&mut self, records: Records) -> Tally {
        self.line.offer(Ticket::Run(RunId::first(1)), Content::Frame(records), &NoWitness, &mut self.out)
    }

    fn rows(&self) -> Vec<TimeMs> {
        let times = |change: &Change| match change {
            Change::Rows { records, .. } => records.ends().map(|(_, last)| last),
            _ => None,
        };
        self.out.iter().filter_map(times).collect()
    }

    fn filled(&self) -> Vec<Span> {
        let span = |change: &Change| match change {
            Change::Filled { span, .. } => Some(*span),
            _ => None,
        };
        self.out.iter().filter_map(span).collect()
    }
}

fn book(time: i64) -> Records {
    let (variant, bids, asks) = (BookVariant::Default, Box::default(), Box::default());
    Records::Books(vec![Book {
        coin: coin(),
        variant,
        time: TimeMs(time),
        bids,
        asks,
        arrival: Arrival::default(),
    }])
}

#[test]
fn a_kind_that_is_pushed_without_change_has_a_hole_where_it_was_silent() {
    let stream = StreamKey::Book(coin(), BookVariant::Default);
    let hole = stream.spec().hole_ms;
    let mut owned = owned(stream, None);
    owned.push(book(1_000));
    owned.push(book(1_000 + hole));
    let gaps = |out: &[Change]| -> Vec<_> {
        out.iter().filter(|c| matches!(c, Change::GapOpened { .. })).cloned().collect()
    };
    assert_eq!(gaps(&owned.out), [], "as slow as it may be");
    owned.push(book(2_001 + 2 * hole));
    let span = Span::new(TimeMs(1_000 + hole), TimeMs(2_001 + 2 * hole));
    assert_eq!(gaps(&owned.out), [Change::GapOpened { span, cause: Cause::Silence }]);
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

/// What became of what was offered: admitted, late, known.
fn counts(tally: Tally) -> (u64, u64, u64) {
    (tally.admitted, tally.late, tally.known)
}

#[test]
fn a_state_of_a_known_time_is_not_stored_again() {
    let mut owned = owned(StreamKey::Bbo(coin()), None);
    assert_eq!(counts(owned.push(bbos(&[1_000]))), (1, 0, 0));
    assert_eq!(counts(owned.push(bbos(&[1_000]))), (0, 0, 1));
    assert_eq!(counts(owned.push(bbos(&[900, 1_000, 1_100, 1_200]))), (2, 1, 1), "900 lies before the first");
    assert_eq!(counts(owned.push(bbos(&[1_200]))), (0, 0, 1));
    assert_eq!(owned.rows(), [TimeMs(1_000), TimeMs(1_200)]);
}

#[test]
fn a_state_that_comes_out_of_order_is_stored_under_its_own_time() {
    for stream in [StreamKey::Bbo(coin()), StreamKey::Book(coin(), BookVariant::Default)] {
        let state = |time| if stream.kind() == Kind::Bbo { bbos(&[time]) } else { book(time) };
        let mut owned = owned(stream, None);
        for time in [1_000, 3_000, 2_000, 4_000] {
            owned.push(state(time));
        }
        assert_eq!(owned.rows(), [1_000, 3_000, 2_000, 4_000].map(TimeMs), "{stream}");
        assert_eq!(owned.line.edge(), Some(TimeMs(4_000)));
    }
}

#[test]
fn states_that_waited_out_of_order_are_all_stored() {
    for stream in [StreamKey::Bbo(coin()), StreamKey::Book(coin(), BookVariant::Default)] {
        let state = |time| if stream.kind() == Kind::Bbo { bbos(&[time]) } else { book(time) };
        let start = StreamStart { stream, edge: Some(TimeMs(500)), ended: None, recent: Recent::default() };
        let mut owned = Owned { line: Timeline::new(start), out: Vec::new() };
        for time in [1_000, 3_000, 2_000, 400, 4_000] {
            owned.push(state(time));
        }
        owned.line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut owned.out);
        assert_eq!(owned.rows(), [1_000, 3_000, 2_000, 4_000].map(TimeMs), "{stream}");
    }
}

#[test]
fn a_clock_that_is_set_back_loses_no_state_and_moves_no_edge() {
    let mut owned = owned(StreamKey::Bbo(coin()), None);
    (0..100).for_each(|i| _ = owned.push(bbos(&[i * 500])));
    owned.out.clear();
    // 20 s back, and 30 s on.
    let again: Vec<_> = (0..60).map(|i| 29_600 + i * 500).collect();
    let late = again.iter().map(|time| owned.push(bbos(&[*time])).late).sum::<u64>();
    assert_eq!(late, 40);
    assert_eq!(
        owned.rows(),
        again.iter().copied().map(TimeMs).collect::<Vec<_>>(),
        "each under its own time"
    );
    // What was covered is doubted, and proven as it passes.
    let span = Span::new(TimeMs(29_600), TimeMs(49_500));
    let doubted = |change: &Change| matches!(change, Change::Doubted { .. } | Change::GapOpened { .. });
    let doubts: Vec<_> = owned.out.iter().filter(|change| doubted(change)).collect();
    assert_eq!(doubts, [&Change::Doubted { span, cause: Cause::Silence }]);
    assert_eq!(Span::joined(owned.filled()), [span]);
    assert_eq!(owned.line.edge(), again.last().copied().map(TimeMs));
}

#[test]
fn a_clock_that_is_set_back_to_before_the_first_state_loses_none() {
    for stream in [StreamKey::Bbo(coin()), StreamKey::Book(coin(), BookVariant::Default)] {
        let state = |time| if stream.kind() == Kind::Bbo { bbos(&[time]) } else { book(time) };
        let mut owned = owned(stream, None);
        (0..20).for_each(|i| _ = owned.push(state(30_000 + i * 500)));
        owned.out.clear();
        // 20 s back: the first ten seconds lie before all that was collected.
        let again: Vec<_> = (0..60).map(|i| TimeMs(19_700 + i * 500)).collect();
        let mut rows = Vec::new();
        let mut until = TimeMs(19_700);
        for time in &again {
            owned.push(state(time.0));
            for change in owned.out.drain(..) {
                match change {
                    Change::GapOpened { span, .. } => {
                        assert_eq!(span, Span::new(TimeMs(19_700), TimeMs(30_000)));
                    }
                    Change::Filled { span, .. } => {
                        assert!(span.from == until && span.to <= *time, "{span:?} after {until}");
                        until = span.to;
                    }
                    Change::Rows { records, .. } => records.each_time(|time| rows.push(time)),
                    _ => {}
                }
            }
        }
        assert_eq!((until, &rows), (TimeMs(39_500), &again), "{stream}");
    }
}

#[test]
fn after_a_restart_a_clock_that_is_set_back_loses_no_state_either() {
    let span = |from, to| Span::new(TimeMs(from), TimeMs(to));
    let stream = StreamKey::Bbo(coin());
    let recent = Recent {
        since: Some(TimeMs(10_000)),
        keys: Vec::new(),
        gaps: vec![span(20_000, 25_000)],
        ..Recent::default()
    };
    let start = StreamStart { stream, edge: Some(TimeMs(40_000)), ended: None, recent };
    let mut owned = Owned { line: Timeline::new(start), out: Vec::new() };
    owned.line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut owned.out);
    for time in [9_000, 15_000, 22_000, 30_000] {
        owned.push(bbos(&[time]));
    }
    assert_eq!(owned.rows(), [15_000, 30_000].map(TimeMs), "neither in a gap nor before what is known");
}

#[test]
fn what_an_earlier_claim_missed_is_stored_in_its_piece() {
    let mut owned = owned(StreamKey::Bbo(coin()), None);
    owned.push(bbos(&[1_000, 2_000, 3_000]));
    owned.line.handover(Some(rest_grant(2)), &NoWitness, &mut owned.out);
    owned.out.clear();
    let epoch = owned.line.claim().unwrap().epoch;
    let content = Content::Answer { records: bbos(&[2_500]), from: None, asked: TimeMs(3_000) };
    let tally = owned.line.offer(Ticket::Claim(epoch), content, &NoWitness, &mut owned.out);
    assert_eq!(counts(tally), (0, 1, 0));
    assert_eq!(owned.out, [Change::Rows { epoch, origin: Origin::Rest, records: bbos(&[2_500]) }]);
    assert_eq!(owned.line.edge(), Some(TimeMs(3_000)));
}

#[test]
fn a_state_of_a_recorded_gap_proves_nothing() {
    let stream = StreamKey::Book(coin(), BookVariant::Default);
    let mut owned = owned(stream, None);
    owned.push(book(1_000));
    owned.push(book(101_000));
    assert!(owned.out.iter().any(|c| matches!(c, Change::GapOpened { .. })));
    for edge in [None, Some(101_000)] {
        let mut owned = if edge.is_some() { super::states::owned(stream, edge) } else { owned.clone() };
        owned.out.clear();
        assert_eq!(counts(owned.push(book(50_000))), (0, 1, 0), "what is stored there is not known");
        assert_eq!(owned.rows(), []);
    }
}

#[test]
fn the_gaps_that_are_remembered_are_bounded() {
    let stream = StreamKey::Book(coin(), BookVariant::Default);
    let mut owned = owned(stream, None);
    (0..100).for_each(|i| _ = owned.push(book(i * 100_000)));
    owned.push(book(9_900_001));
    owned.out.clear();
    for (time, is_stored) in [(3_000_000, false), (3_500_000, false), (9_896_000, false), (9_900_000, true)] {
        let mut owned = owned.clone();
        owned.push(book(time));
        assert_eq!(owned.rows().len(), usize::from(is_stored), "{time}");
    }
}

#[test]
fn what_is_pushed_while_the_exchange_stands_still_covers_nothing() {
    let mut owned = owned(StreamKey::Context(coin()), None);
    let push = |owned: &mut Owned, time, mark| {
        owned.out.clear();
        let tally = owned.push(Records::Contexts(vec![context(coin(), time, mark)]));
        assert_eq!(counts(tally), (1, 0, 0));
    };
    (1..30).for_each(|i| push(&mut owned, i * 1_000, 1));
    owned.out.clear();
    owned.line.stands_still(TimeMs(10_000), &mut owned.out);
    owned.line.stands_still(TimeMs(10_000), &mut owned.out);
    let span = Span::new(TimeMs(10_000), TimeMs(29_000));
    assert_eq!(owned.out, [Change::Doubted { span, cause: Cause::Outage }]);
    push(&mut owned, 30_000, 1);
    assert_eq!((&owned.out[..], owned.line.edge()), (&[][..], Some(TimeMs(29_000))));
    owned.line.goes_on();
    push(&mut owned, 31_000, 1);
    let gap =
        |from, to| Change::GapOpened { span: Span::new(TimeMs(from), TimeMs(to)), cause: Cause::Outage };
    assert_eq!(owned.out[0], gap(29_000, 31_000), "however short");
    push(&mut owned, 32_000, 1);
    assert!(!owned.out.iter().any(|c| matches!(c, Change::GapOpened { .. })), "{:?}", owned.out);
    owned.line.stands_still(TimeMs(32_000), &mut owned.out);
    push(&mut owned, 33_000, 2);
    assert_eq!(owned.out[0], gap(32_000, 33_000), "a price that changes goes on");
    assert_eq!(owned.rows(), [TimeMs(33_000)]);
}

#[test]
fn a_kind_that_bears_times_needs_nobody_to_say_that_the_exchange_stands_still() {
    let mut owned = owned(StreamKey::Bbo(coin()), None);
    owned.push(bbos(&[1_000, 2_000]));
    owned.out.clear();
    owned.line.stands_still(TimeMs(1_500), &mut owned.out);
    owned.line.goes_on();
    owned.push(bbos(&[3_000]));
    assert!(!owned.out.iter().any(|c| matches!(c, Change::GapOpened { .. } | Change::Doubted { .. })));
}

#[test]
fn contexts_are_stored_on_change_and_stamps_never_go_back() {
    let mut owned = owned(StreamKey::Context(coin()), Some(9_000));
    for (time, mark) in [(5_000, 1), (6_000, 1), (20_000, 2), (21_000, 2), (22_000, 1)] {
        let tally = owned.push(Records::Contexts(vec![context(coin(), time, mark)]));
        assert_eq!((tally.admitted, tally.late), (1, 0), "{time}");
    }
    assert_eq!(owned.rows(), [TimeMs(9_001), TimeMs(20_000), TimeMs(22_000)]);
    assert_eq!(owned.line.edge(), Some(TimeMs(22_000)));
}

//! States: what is a hole, what is stored, what is late.

use super::gate::context;
use super::*;
use crate::record::Book;
use crate::stream::BookVariant;

struct Owned {
    line: Timeline,
    out: Vec<Change>,
}

/// A time line that a run owns, and that may have an edge.
fn owned(stream: StreamKey, edge: Option<i64>) -> Owned {
    let start = StreamStart { stream, edge: edge.map(TimeMs), recent: Recent::default() };
    let mut owned = Owned { line: Timeline::new(start), out: Vec::new() };
    owned.line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut owned.out);
    owned
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
}

fn book(time: i64) -> Records {
    let (variant, bids, asks) = (BookVariant::Default, Box::default(), Box::default());
    Records::Books(vec![Book { coin: coin(), variant, time: TimeMs(time), bids, asks }])
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

#[test]
fn a_state_that_is_not_newer_is_late_and_is_not_stored_again() {
    let mut owned = owned(StreamKey::Bbo(coin()), None);
    let bbos = |times: &[i64]| {
        let bbo = |time: &i64| Bbo { coin: coin(), time: TimeMs(*time), bid: None, ask: None };
        Records::Bbos(times.iter().map(bbo).collect())
    };
    let counts = |tally: Tally| (tally.admitted, tally.late);
    assert_eq!(counts(owned.push(bbos(&[1_000]))), (1, 0));
    assert_eq!(counts(owned.push(bbos(&[1_000]))), (0, 1));
    assert_eq!(counts(owned.push(bbos(&[900, 1_000, 1_100, 1_200]))), (2, 2));
    assert_eq!(owned.rows(), [TimeMs(1_000), TimeMs(1_200)]);
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

//! What a pause of a state stream is: a change of run, frames that were dropped, and what proves that nothing was missed.

use super::records::coin;
use super::*;
use crate::record::Mid;
use crate::row::Arrival;
use crate::stream::BookVariant;

const HOLE: i64 = Kind::Bbo.spec().hole_ms;

struct Line {
    line: Timeline,
    out: Vec<Change>,
    epochs: u32,
}

impl Line {
    fn of(stream: StreamKey, edge: i64) -> Self {
        let (edge, recent) = (Some(TimeMs(edge)), Recent::default());
        Self {
            line: Timeline::new(StreamStart { stream, edge, ended: None, recent }),
            out: Vec::new(),
            epochs: 0,
        }
    }

    fn bbo(edge: i64) -> Self {
        Self::of(StreamKey::Bbo(coin()), edge)
    }

    fn grant(&mut self, run: u64) {
        self.epochs += 1;
        self.line.handover(Some(ws_grant(self.epochs, run)), &NoWitness, &mut self.out);
    }

    fn grant_rest(&mut self) {
        self.epochs += 1;
        let epoch = Epoch { token: Token(1), local: self.epochs };
        let grant = Grant { epoch, source: SourceId::Rest, run: None, cause: Cause::Outage };
        self.line.handover(Some(grant), &NoWitness, &mut self.out);
    }

    fn push(&mut self, run: u64, content: Content) {
        self.line.offer(Ticket::Run(RunId::first(run)), content, &NoWitness, &mut self.out);
    }

    fn poll(&mut self, time: i64) {
        let epoch = Epoch { token: Token(1), local: self.epochs };
        let Content::Frame(records) = bbo(time) else { return };
        let content = Content::Answer { records, from: None, asked: TimeMs(time) };
        self.line.offer(Ticket::Claim(epoch), content, &NoWitness, &mut self.out);
    }

    fn gaps(&self) -> Vec<(i64, i64, Cause)> {
        let gaps = self.out.iter().filter_map(|change| match change {
            Change::GapOpened { span, cause } => Some((span.from.0, span.to.0, *cause)),
            _ => None,
        });
        gaps.collect()
    }

    fn covered(&self) -> Vec<(u32, i64, i64)> {
        let covered = self.out.iter().filter_map(|change| match change {
            Change::Covered { epoch, span, .. } => Some((epoch.local, span.from.0, span.to.0)),
            _ => None,
        });
        covered.collect()
    }
}

/// What a stream brings, by its time.
type Make = fn(i64) -> Content;

fn mids(time: i64) -> Content {
    Content::Frame(Records::Mids(vec![Mid {
        coin: coin(),
        time: TimeMs(time),
        px: time.into(),
        arrival: Arrival::default(),
    }]))
}

fn pong(sent: i64) -> Content {
    Content::Proof { sent: TimeMs(sent) }
}

#[test]
fn a_state_that_is_pushed_by_a_clock_joins_across_a_handover_within_its_cadence() {
    let hole = Kind::Mids.spec().hole_ms;
    for (pause, gaps) in [(hole, 0), (hole + 1, 1)] {
        let mut line = Line::of(StreamKey::MIDS, 1_000);
        line.grant(1);
        line.push(1, mids(1_000 + pause));
        assert_eq!(line.gaps().len(), gaps, "{pause}");
    }
}

#[test]
fn a_state_that_is_pushed_at_every_change_never_joins_across_a_handover() {
    for pause in [1, 1_000, HOLE] {
        let mut line = Line::bbo(1_000);
        line.grant(1);
        line.push(1, bbo(1_000 + pause));
        assert_eq!(line.gaps(), [(1_000, 1_000 + pause, Cause::Outage)]);
    }
}

#[test]
fn a_run_that_begins_with_the_state_of_the_edge_misses_nothing() {
    for waits in [false, true] {
        for begins in [500, 1_000] {
            let mut line = Line::bbo(1_000);
            if !waits {
                line.grant(1);
            }
            line.push(1, bbo(begins));
            line.push(1, bbo(1_300));
            if waits {
                line.grant(1);
            }
            line.push(1, bbo(90_000));
            assert_eq!((line.gaps(), line.line.edge()), (vec![], Some(TimeMs(90_000))));
        }
    }
}

#[test]
fn a_pause_of_a_quiet_coin_begins_where_its_run_was_last_proven() {
    let mut line = Line::bbo(1_000);
    line.grant(1);
    line.push(1, bbo(1_000));
    line.push(1, pong(60_000));
    line.push(1, pong(80_000));
    line.grant(2);
    line.push(2, bbo(90_000));
    let seen = 80_000 - 1_000;
    assert_eq!(line.gaps(), [(seen, 90_000, Cause::Outage)]);
    assert_eq!(line.covered(), [(1, 1_000, seen), (2, 90_000, 90_000)], "each claim has its own piece");
}

#[test]
fn a_state_that_a_proven_run_has_not_brought_refutes_the_proof() {
    for waits in [false, true] {
        let mut line = Line::bbo(500);
        line.grant(1);
        line.push(1, bbo(1_000));
        line.push(1, pong(60_000));
        let edge = 60_000 - 1_000;
        // The socket dies; what the next one says first happened while the dead one was said to bring everything.
        if !waits {
            line.grant(2);
        }
        line.push(2, bbo(30_000));
        if waits {
            line.grant(2);
        }
        let doubted: Vec<_> = line
            .out
            .iter()
            .filter_map(|change| match change {
                Change::Doubted { span, .. } => Some((span.from.0, span.to.0)),
                _ => None,
            })
            .collect();
        assert_eq!(doubted, [(1_000, 30_000), (30_000, edge)], "{waits}");
        line.push(2, bbo(90_000));
        assert_eq!(line.gaps().last().map(|gap| (gap.0, gap.1)), Some((edge, 90_000)), "{waits}");
    }
}

#[test]
fn a_poll_refutes_no_proof() {
    let mut line = Line::bbo(500);
    line.grant(1);
    line.push(1, bbo(1_000));
    line.push(1, pong(60_000));
    line.grant_rest();
    // A state of the time at which it was asked for: it may have been so for long.
    line.poll(30_000);
    assert!(!line.out.iter().any(|change| matches!(change, Change::Doubted { .. })), "{:?}", line.out);
}

#[test]
fn a_pong_proves_nothing_of_a_run_that_a_witness_convicted() {
    let mut line = Line::bbo(1_000);
    line.grant(1);
    line.push(1, bbo(1_000));
    line.push(1, pong(80_000));
    let grant = Grant { cause: Cause::Silence, ..ws_grant(2, 2) };
    line.line.handover(Some(grant), &NoWitness, &mut line.out);
    line.push(2, bbo(90_000));
    assert_eq!(line.gaps(), [(1_000, 90_000, Cause::Silence)]);
}

#[test]
fn a_pong_proves_nothing_of_a_run_that_has_not_joined() {
    let mut line = Line::bbo(1_000);
    line.grant(1);
    line.push(1, pong(60_000));
    line.push(1, bbo(70_000));
    line.push(1, Content::Broken { at: TimeMs(75_000) });
    line.push(1, pong(80_000));
    line.push(1, bbo(90_000));
    assert_eq!(line.gaps(), [(1_000, 70_000, Cause::Outage), (70_000, 90_000, Cause::Undecodable)]);
}

#[test]
fn polls_bring_a_state_now_and_then_and_the_first_push_after_them_joins_by_an_older_one() {
    let mut line = Line::bbo(1_000);
    line.grant_rest();
    for time in [1_500, 1_500 + HOLE, 1_501 + 2 * HOLE] {
        line.poll(time);
    }
    let expected = [(1_000, 1_500, Cause::Outage), (1_500 + HOLE, 1_501 + 2 * HOLE, Cause::Sampled)];
    assert_eq!(line.gaps(), expected);
    line.push(1, bbo(1_500 + 2 * HOLE));
    line.push(1, bbo(1_600 + 2 * HOLE));
    line.grant(1);
    assert_eq!(line.gaps(), expected);
    assert_eq!(line.line.edge(), Some(TimeMs(1_600 + 2 * HOLE)));
}

#[test]
fn what_was_dropped_is_a_gap_from_the_record_before_to_the_record_after() {
    let streams: [(StreamKey, Make); 2] = [(StreamKey::MIDS, mids), (StreamKey::Bbo(coin()), bbo)];
    for waits in [false, true] {
        for (stream, record) in streams {
            let mut line = Line::of(stream, 1_000);
            line.grant(1);
            for time in [1_000, 1_100] {
                line.push(1, record(time));
            }
            let mut gaps = line.gaps();
            let run = 1 + u64::from(waits);
            if waits {
                line.push(run, record(1_100));
            }
            for content in [record(1_200), Content::Dropped, record(1_500), record(1_600)] {
                line.push(run, content);
            }
            if waits {
                line.grant(run);
            }
            gaps.push((1_200, 1_500, Cause::Overload));
            assert_eq!(line.gaps(), gaps, "{stream} {waits}");
        }
    }
}

#[test]
fn what_was_dropped_from_a_ring_below_the_edge_is_no_loss() {
    let streams: [(StreamKey, Make); 2] = [(StreamKey::MIDS, mids), (StreamKey::Bbo(coin()), bbo)];
    for (stream, record) in streams {
        let mut line = Line::of(stream, 1_000);
        for content in [record(800), Content::Dropped, record(900), record(1_200)] {
            line.push(1, content);
        }
        line.grant(1);
        assert_eq!(line.gaps(), [], "{stream}");
    }
}

#[test]
fn a_full_ring_of_states_leaves_a_gap_where_it_dropped_some() {
    let book = |time: i64| {
        let level = crate::record::Level { px: Decimal::ONE, sz: Decimal::ONE, n: 1 };
        let levels = || std::iter::repeat_n(level, 20_000).collect();
        let (variant, time) = (BookVariant::Default, TimeMs(time));
        let book = crate::record::Book {
            coin: coin(),
            variant,
            time,
            bids: levels(),
            asks: levels(),
            arrival: Arrival::default(),
        };
        Content::Frame(Records::Books(vec![book]))
    };
    for (edge, gaps) in [(1_000, 1), (1_050, 0)] {
        let mut line = Line::of(StreamKey::Book(coin(), BookVariant::Default), edge);
        for time in 1_001..=1_050 {
            line.push(1, book(time));
        }
        line.grant(1);
        line.push(1, book(1_051));
        assert_eq!(line.gaps().len(), gaps, "{:?}", line.gaps());
        assert!(
            line.gaps()
                .iter()
                .all(|(from, to, cause)| { (*from, *cause) == (edge, Cause::Overload) && *to > edge + 1 })
        );
    }
}

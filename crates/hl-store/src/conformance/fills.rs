//! Filling, losing and claiming parts of gaps, against a model that knows nothing of pieces: a line of unit
//! intervals, each in one state.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::{Cause, Change, GapState, Span};
use hl_core::stream::Borders;
use hl_core::{Records, StreamKey};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::New;
use super::fixture::{coin, commit, epoch, filled, holder, run, settlement, span, times, trade, trades};

/// Length of the line.
const END: i64 = 14;

#[derive(Clone, Copy, Debug)]
enum Step {
    Fill(i64, i64),
    Lose(i64, i64),
    ClaimByUs(i64, i64),
    ClaimByOther(i64, i64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Nobody,
    Us,
    Other,
}

/// A piece that cannot be split further, by twice its middle: a unit interval, or a gap of one block.
type Atom = i64;

struct Model {
    borders: Borders,
    atoms: BTreeMap<Atom, (GapState, Owner)>,
    rows: BTreeSet<i64>,
    covered: BTreeSet<Atom>,
}

impl Model {
    fn new(borders: Borders, gaps: &[Span]) -> Self {
        let atoms = gaps.iter().flat_map(|gap| atoms(*gap)).map(|a| (a, (GapState::Open, Owner::Nobody)));
        Self { borders, atoms: atoms.collect(), rows: BTreeSet::new(), covered: BTreeSet::new() }
    }

    fn inside(&mut self, span: Span) -> impl Iterator<Item = (Atom, &mut (GapState, Owner))> {
        self.atoms.range_mut(2 * span.from.0..=2 * span.to.0).map(|(atom, state)| (*atom, state))
    }

    /// Returns how many of the records at every time of the line go in.
    fn fill(&mut self, span: Span) -> usize {
        let mut filled = Vec::new();
        for (atom, state) in self.inside(span) {
            if state.0 != GapState::Backfilled && state.1 != Owner::Other {
                *state = (GapState::Backfilled, Owner::Nobody);
                filled.push(atom);
            }
        }
        let before = self.rows.len();
        for atom in filled {
            self.covered.insert(atom);
            let ends = match self.borders {
                Borders::Shared => atom.div_euclid(2)..=(atom + 1).div_euclid(2),
                Borders::HalfOpen => atom.div_euclid(2)..=atom.div_euclid(2),
            };
            self.rows.extend(ends);
        }
        self.rows.len() - before
    }

    fn lose(&mut self, span: Span) {
        for (_, state) in self.inside(span) {
            if state.0 == GapState::Open && state.1 != Owner::Other {
                *state = (GapState::Unrecoverable, Owner::Nobody);
            }
        }
    }

    fn claim(&mut self, span: Span, owner: Owner) -> BTreeSet<Atom> {
        let mut claimed = BTreeSet::new();
        for (atom, state) in self.inside(span) {
            if state.0 == GapState::Open && (state.1 == Owner::Nobody || state.1 == owner) {
                state.1 = owner;
                claimed.insert(atom);
            }
        }
        claimed
    }
}

fn atoms(span: Span) -> Vec<Atom> {
    if span.ms() == 0 { vec![2 * span.from.0] } else { (span.from.0..span.to.0).map(|t| 2 * t + 1).collect() }
}

/// Gaps with disjoint interiors, some of them neighbours; with shared borders also gaps of one block.
fn gaps(borders: Borders) -> impl Strategy<Value = Vec<Span>> {
    let cuts = prop::collection::btree_set(0..=END, 2..7);
    (cuts, prop::collection::vec(any::<bool>(), 7), any::<bool>()).prop_map(move |(cuts, is_gap, block)| {
        let cuts: Vec<_> = cuts.into_iter().collect();
        let pieces = cuts.windows(2).zip(&is_gap).filter(|(_, gap)| **gap);
        let mut gaps: Vec<_> = pieces.map(|(ends, _)| span(ends[0], ends[1])).collect();
        if block && borders == Borders::Shared && gaps.first().is_none_or(|gap| gap.from.0 > 1) {
            gaps.insert(0, span(0, 0));
        }
        gaps
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let piece = || (0..=END, 0..=END).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let fill = piece().prop_map(|(a, b)| Step::Fill(a, b));
    let lose = piece().prop_map(|(a, b)| Step::Lose(a, b));
    let us = piece().prop_map(|(a, b)| Step::ClaimByUs(a, b));
    let other = piece().prop_map(|(a, b)| Step::ClaimByOther(a, b));
    prop::collection::vec(prop_oneof![fill, lose, us, other], 1..7)
}

/// Gaps split around what is filled, lost or claimed, and nothing else is written: for both kinds of borders.
pub fn fills_match_a_model(new: New<'_>) {
    let case = prop_oneof![Just(Borders::Shared), Just(Borders::HalfOpen)]
        .prop_flat_map(|borders| (Just(borders), gaps(borders), steps()));
    TestRunner::new(Config::with_cases(48))
        .run(&case, |(borders, gaps, steps)| {
            run(compare(new, borders, &gaps, &steps));
            Ok(())
        })
        .unwrap();
}

async fn compare(new: New<'_>, borders: Borders, gaps: &[Span], steps: &[Step]) {
    let subject = new();
    let stream = match borders {
        Borders::Shared => trades("BTC"),
        Borders::HalfOpen => StreamKey::Funding(coin("BTC")),
    };
    let answer = match borders {
        Borders::Shared => Records::Trades((0..=END).map(|time| trade("BTC", time, 1)).collect()),
        Borders::HalfOpen => Records::Funding((0..=END).map(|time| settlement("BTC", time)).collect()),
    };
    let store = holder(&*subject, &[stream]).await;
    let other = subject.open().await.unwrap();
    let (ours, theirs) = (epoch(store.token(), 1), epoch(other.token(), 1));
    let opened = gaps.iter().map(|&span| Change::GapOpened { span, cause: Cause::Outage }).collect();
    commit(&store, store.token(), stream, opened).await.unwrap();

    let mut model = Model::new(borders, gaps);
    for step in steps {
        match *step {
            Step::Fill(a, b) => {
                let change = filled(ours, span(a, b), answer.clone());
                let ack = commit(&store, store.token(), stream, vec![change]).await.unwrap();
                assert_eq!(ack.inserted, model.fill(span(a, b)) as u64, "{step:?}");
                assert_eq!(ack.inserted + ack.existing + ack.refused, answer.len() as u64);
            }
            Step::Lose(a, b) => {
                let change = Change::GapLost { span: span(a, b) };
                commit(&store, store.token(), stream, vec![change]).await.unwrap();
                model.lose(span(a, b));
            }
            Step::ClaimByUs(a, b) => {
                let pieces = store.claim_gaps(stream, span(a, b), ours).await.unwrap();
                let claimed: BTreeSet<_> = pieces.into_iter().flat_map(atoms).collect();
                assert_eq!(claimed, model.claim(span(a, b), Owner::Us), "{step:?}");
            }
            Step::ClaimByOther(a, b) => {
                let pieces = other.claim_gaps(stream, span(a, b), theirs).await.unwrap();
                let claimed: BTreeSet<_> = pieces.into_iter().flat_map(atoms).collect();
                assert_eq!(claimed, model.claim(span(a, b), Owner::Other), "{step:?}");
            }
        }
    }

    let inspect = subject.inspect().await.unwrap();
    let mut states = BTreeMap::new();
    for gap in inspect.gaps(Some(stream)).await.unwrap() {
        assert_eq!(gap.cause, Cause::Outage);
        for atom in atoms(gap.span) {
            assert_eq!(states.insert(atom, gap.state), None, "a piece is in one gap only");
        }
    }
    let expected: BTreeMap<_, _> = model.atoms.iter().map(|(atom, state)| (*atom, state.0)).collect();
    assert_eq!(states, expected);
    let coverage = inspect.coverage(Some(stream)).await.unwrap();
    let covered: BTreeSet<_> = coverage.iter().flat_map(|piece| atoms(piece.span)).collect();
    assert_eq!(covered, model.covered);
    assert_eq!(coverage.iter().map(|piece| piece.rows).sum::<u64>(), model.rows.len() as u64);
    assert_eq!(times(&*subject, stream).await, model.rows.into_iter().collect::<Vec<_>>());
}

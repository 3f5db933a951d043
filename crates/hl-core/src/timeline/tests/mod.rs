//! Properties of the time lines, against a simulated exchange that knows the truth and a model of the store.

mod bars;
mod causes;
mod ends;
mod errs;
mod gate;
mod joins;
mod pair;
mod pauses;
pub(super) mod records;
mod set_back;
mod states;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use self::records::{MINUTE, bar, coin, trade};
use super::*;
use crate::record::{Bbo, Candle, Trade};
use crate::row::Arrival;
use crate::store::Recent;
use crate::stream::Borders;
use crate::{Coin, Decimal, Interval, Token};

/// What a store holds after the changes, as its contract says.
#[derive(Default)]
struct Ledger {
    rows: BTreeSet<(i64, u64)>,
    twice: u64,
    covered: Vec<(Epoch, Span)>,
    gaps: Vec<Span>,
    /// What of the gaps is given up. Each stays a gap.
    lost: Vec<Span>,
    edge: Option<TimeMs>,
}

impl Ledger {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Rows { records: Records::Trades(trades), .. } => {
                    for t in trades {
                        if !self.rows.insert((t.time.0, t.tid)) {
                            self.twice += 1;
                        }
                    }
                }
                Change::Covered { epoch, span, .. } => match self.covered.last_mut() {
                    Some((e, last)) if *e == epoch && last.touches(span) => {
                        *last = last.hull(span);
                    }
                    _ => self.covered.push((epoch, span)),
                },
                Change::GapOpened { span, .. } => self.gaps.push(span),
                Change::Doubted { span, .. } => {
                    if !self.covered.iter().any(|(_, piece)| piece.overlaps(span)) {
                        continue;
                    }
                    let cut = |(epoch, piece): (Epoch, Span)| {
                        let before = Span { from: piece.from, to: piece.to.min(span.from) };
                        let after = Span { from: piece.from.max(span.to), to: piece.to };
                        [before, after].into_iter().filter(|p| p.from <= p.to).map(move |part| (epoch, part))
                    };
                    self.covered = std::mem::take(&mut self.covered).into_iter().flat_map(cut).collect();
                    self.gaps.push(span);
                }
                Change::Filled { epoch, span, records: Records::Trades(trades), .. } => {
                    let mut left = Vec::new();
                    for gap in self.gaps.drain(..) {
                        let Some(part) = Borders::Shared.part(gap, span) else {
                            left.push(gap);
                            continue;
                        };
                        self.covered.push((epoch, part));
                        self.rows.extend(
                            trades.iter().filter(|t| part.contains(t.time)).map(|t| (t.time.0, t.tid)),
                        );
                        if gap.from < part.from {
                            left.push(Span::new(gap.from, part.from));
                        }
                        if part.to < gap.to {
                            left.push(Span::new(part.to, gap.to));
                        }
                    }
                    self.gaps = left;
                }
                Change::GapLost { span } => self.lost.push(span),
                Change::Edge(edge) => {
                    assert!(self.edge.is_none_or(|old| old < edge), "the edge only advances");
                    self.edge = Some(edge);
                }
                other => panic!("a trades line never does {other:?}"),
            }
        }
    }
}

/// What may happen to `trades/BTC`.
#[derive(Clone, Debug)]
enum Act {
    /// The exchange makes a block of so many trades, so many ms later.
    Block(u8, u8),
    /// The socket subscribes (a new run): a replay, then live frames. `lost`: the replay is lost.
    Subscribe {
        lost: bool,
    },
    /// The socket dies.
    Die,
    /// The next frame of the socket is lost to an undecodable one.
    Garbage,
    /// The selector gives the stream to the socket's run, or to REST.
    GiveWs,
    GiveRest,
    /// REST asks; the answer arrives now, or is kept to arrive late.
    Poll {
        late: bool,
    },
    /// The late answers arrive.
    Arrive,
    /// The process dies and starts again from what is stored.
    Crash,
    /// Nothing happens for longer than frames overtake each other, or a pause is held against the clock.
    Quiet,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (1..4_u8, 0..3_u8).prop_map(|(n, dt)| Act::Block(n, dt)),
        2 => any::<bool>().prop_map(|lost| Act::Subscribe { lost }),
        1 => Just(Act::Die),
        1 => Just(Act::Garbage),
        2 => Just(Act::GiveWs),
        2 => Just(Act::GiveRest),
        3 => any::<bool>().prop_map(|late| Act::Poll { late }),
        1 => Just(Act::Arrive),
        1 => Just(Act::Crash),
        2 => Just(Act::Quiet),
    ]
}

/// The exchange, its clients, one time line and its ledger.
struct World {
    now: i64,
    truth: Vec<Trade>,
    line: Timeline,
    ledger: Ledger,
    token: u32,
    local: u32,
    run: u64,
    /// The run that is up, and the index of the first trade that it has not brought yet.
    socket: Option<(RunId, usize)>,
    late: Vec<(Epoch, Vec<Trade>, bool)>,
    /// When the stream was last received by this process.
    received: Option<i64>,
}

/// The exchange's clock is the monotonic one.
fn reading(mono: i64) -> ClockReading {
    ClockReading { mono, ahead: 0 }
}

const REPLAY: usize = 6;
const POLL: usize = 3;

impl World {
    fn new() -> Self {
        Self {
            now: 1_000,
            truth: Vec::new(),
            line: Timeline::new(StreamStart {
                stream: StreamKey::Trades(coin()),
                edge: None,
                ended: None,
                recent: Recent::default(),
            }),
            ledger: Ledger::default(),
            token: 1,
            local: 0,
            run: 0,
            socket: None,
            late: Vec::new(),
            received: None,
        }
    }

    /// As the reader does: a clock that goes on is looked at with everything that comes.
    fn offer(&mut self, ticket: Ticket, content: Content) {
        let mut out = Vec::new();
        let now = reading(self.now);
        if self.line.looks_at_clock(ticket, &content) {
            self.line.look_at_clock(&content, now, self.received.map(reading), &mut out);
        }
        if self.line.stands(ticket) && content.records().is_some_and(|records| !records.is_empty()) {
            self.received = Some(self.now);
        }
        self.line.offer(ticket, content, &NoWitness, &mut out);
        self.ledger.apply(out);
    }

    fn grant(&mut self, source: SourceId, run: Option<RunId>) {
        self.local += 1;
        let epoch = Epoch { token: Token(self.token), local: self.local };
        let mut out = Vec::new();
        self.line.clock(reading(self.now), self.received.map(reading));
        self.line.handover(Some(Grant { epoch, source, run, cause: Cause::Outage }), &NoWitness, &mut out);
        self.ledger.apply(out);
    }

    fn frame(&mut self) {
        let Some((run, next)) = self.socket else { return };
        let trades = self.truth[next..].to_vec();
        if trades.is_empty() {
            return;
        }
        self.socket = Some((run, self.truth.len()));
        self.offer(Ticket::Run(run), Content::Frame(Records::Trades(trades)));
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Block(n, dt) => {
                self.now += i64::from(*dt);
                for _ in 0..*n {
                    let tid = self.truth.len() as u64 * 7_919 % 1_009;
                    self.truth.push(trade(self.now, tid));
                }
                self.frame();
                self.now += 1;
            }
            Act::Subscribe { lost } => {
                self.run += 1;
                let run = RunId::first(self.run);
                let replay = if *lost { 0 } else { REPLAY };
                self.socket = Some((run, self.truth.len().saturating_sub(replay)));
                self.offer(Ticket::Run(run), Content::Started { at: TimeMs(self.now) });
                self.frame();
            }
            Act::Die => self.socket = None,
            Act::Garbage => {
                if let Some((run, _)) = self.socket {
                    self.socket = Some((run, self.truth.len()));
                    self.offer(Ticket::Run(run), Content::Broken { at: TimeMs(self.now) });
                }
            }
            Act::GiveWs => {
                if let Some((run, _)) = self.socket {
                    self.grant(SourceId::Ws, Some(run));
                }
            }
            Act::GiveRest => self.grant(SourceId::Rest, None),
            Act::Poll { late } => {
                let Some(claim) = self.line.claim().filter(|c| c.source == SourceId::Rest) else { return };
                let from = self.truth.len().saturating_sub(POLL);
                self.late.push((claim.epoch, self.truth[from..].to_vec(), from == 0));
                if !late {
                    self.act(&Act::Arrive);
                }
            }
            Act::Arrive => {
                for (epoch, trades, all) in std::mem::take(&mut self.late) {
                    let content = Content::Answer {
                        records: Records::Trades(trades),
                        from: all.then_some(TimeMs::MIN),
                        asked: TimeMs(self.now),
                    };
                    self.offer(Ticket::Claim(epoch), content);
                }
            }
            Act::Crash => {
                self.token += 1;
                (self.socket, self.received) = (None, None);
                let edge = self.ledger.edge;
                let at_edge = |r: &&(i64, u64)| Some(TimeMs(r.0)) == edge;
                let keys = self.ledger.rows.iter().filter(at_edge).map(|r| (TimeMs(r.0), r.1)).collect();
                let recent = Recent { since: edge, keys, ..Recent::default() };
                let stream = StreamKey::Trades(coin());
                self.line = Timeline::new(StreamStart { stream, edge, ended: None, recent });
            }
            Act::Quiet => self.now += 6_000,
        }
    }

    fn check(&self) {
        let Some(edge) = self.ledger.edge else { return };
        let first =
            self.ledger.covered.iter().map(|(_, s)| s.from).chain(self.ledger.gaps.iter().map(|g| g.from));
        let first = first.min().unwrap();
        for t in &self.truth {
            let stored = self.ledger.rows.contains(&(t.time.0, t.tid));
            let in_gap = self.ledger.gaps.iter().any(|g| g.contains(t.time));
            // The first block is a border, and so is the edge block.
            if t.time > first && t.time < edge {
                assert!(stored || in_gap, "{t:?} is neither stored nor in a gap {:?}", self.ledger.gaps);
            }
        }
        for (time, tid) in &self.ledger.rows {
            let time = TimeMs(*time);
            assert!(self.truth.iter().any(|t| (t.time, t.tid) == (time, *tid)), "a row that never was");
            let inside = |g: &Span| g.from < time && time < g.to;
            assert!(!self.ledger.gaps.iter().any(inside), "a row inside a gap");
            assert!(self.ledger.covered.iter().any(|(_, s)| s.contains(time)), "a row outside every claim");
        }
        for (i, (_, a)) in self.ledger.covered.iter().enumerate() {
            for (_, b) in &self.ledger.covered[i + 1..] {
                assert!(!a.overlaps(*b), "two claims cover the same time: {a:?} {b:?}");
            }
            for gap in &self.ledger.gaps {
                assert!(!a.overlaps(*gap), "a covered piece {a:?} reaches into a gap {gap:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_quietly_missing_from_trades(acts in prop::collection::vec(act(), 1..60)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            world.check();
        }
    }
}

#[test]
fn a_replay_that_reaches_the_edge_leaves_no_gap() {
    let mut world = World::new();
    world.act(&Act::Subscribe { lost: false });
    world.act(&Act::GiveWs);
    world.act(&Act::Block(3, 1));
    world.act(&Act::Die);
    world.act(&Act::Block(2, 1));
    world.act(&Act::Subscribe { lost: false });
    assert_eq!(world.ledger.rows.len(), 3, "what a settling run brings waits in its ring");
    world.act(&Act::GiveWs);
    world.act(&Act::Block(1, 1));
    assert_eq!((world.ledger.rows.len(), world.ledger.gaps.len()), (6, 0));
}

#[test]
fn a_promoted_ring_fills_the_holes_that_polls_left() {
    let mut world = World::new();
    world.act(&Act::GiveRest);
    world.act(&Act::Block(3, 1));
    world.act(&Act::Poll { late: false });
    for _ in 0..4 {
        world.act(&Act::Block(1, 1));
    }
    world.act(&Act::Poll { late: false });
    assert_eq!(world.ledger.gaps.len(), 1, "four trades between two polls of three do not join");
    assert_eq!(world.ledger.rows.len(), 6);
    world.act(&Act::Subscribe { lost: false });
    world.act(&Act::GiveWs);
    assert_eq!(world.ledger.gaps, [], "the replay of six reaches over the hole");
    assert_eq!(world.ledger.rows.len(), 7);
}

#[test]
fn a_late_answer_under_an_old_claim_is_fenced() {
    let mut world = World::new();
    world.act(&Act::GiveRest);
    world.act(&Act::Block(2, 1));
    world.act(&Act::Poll { late: true });
    world.act(&Act::Subscribe { lost: true });
    world.act(&Act::GiveWs);
    world.act(&Act::Arrive);
    assert_eq!(world.ledger.rows.len(), 0);
}

fn ws_grant(local: u32, run: u64) -> Grant {
    let epoch = Epoch { token: Token(1), local };
    Grant { epoch, source: SourceId::Ws, run: Some(RunId::first(run)), cause: Cause::Outage }
}

fn bbo_line(edge: Option<i64>) -> Timeline {
    Timeline::new(StreamStart {
        stream: StreamKey::Bbo(coin()),
        edge: edge.map(TimeMs),
        ended: None,
        recent: Recent::default(),
    })
}

fn bbo(time: i64) -> Content {
    Content::Frame(Records::Bbos(vec![Bbo {
        coin: coin(),
        time: TimeMs(time),
        bid: None,
        ask: None,
        arrival: Arrival::default(),
    }]))
}

#[test]
fn a_quiet_best_bid_inside_one_subscription_is_no_gap() {
    let mut line = bbo_line(None);
    let mut out = Vec::new();
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    for time in [1_000, 500_000, 500_000, 400_000] {
        line.offer(Ticket::Run(RunId::first(1)), bbo(time), &NoWitness, &mut out);
    }
    assert!(!out.iter().any(|c| matches!(c, Change::GapOpened { .. })));
    assert_eq!(line.edge(), Some(TimeMs(500_000)), "a state never goes back");
}

#[test]
fn mids_are_stored_on_change_and_stamps_never_go_back() {
    use crate::record::Mid;
    let mid = |time: i64, px: i64| Mid {
        coin: coin(),
        time: TimeMs(time),
        px: px.into(),
        arrival: Arrival::default(),
    };
    let mut line = Timeline::new(StreamStart {
        stream: StreamKey::MIDS,
        edge: Some(TimeMs(9_000)),
        ended: None,
        recent: Recent::default(),
    });
    let mut out = Vec::new();
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    for (time, px) in [(5_000, 1), (6_000, 1), (20_000, 2)] {
        line.offer(
            Ticket::Run(RunId::first(1)),
            Content::Frame(Records::Mids(vec![mid(time, px)])),
            &NoWitness,
            &mut out,
        );
    }
    let rows: BTreeMap<i64, Decimal> = out
        .iter()
        .filter_map(|c| match c {
            Change::Rows { records: Records::Mids(mids), .. } => Some(mids),
            _ => None,
        })
        .flatten()
        .map(|m| (m.time.0, m.px))
        .collect();
    assert_eq!(rows, BTreeMap::from([(9_001, 1.into()), (20_000, 2.into())]));
}

#[test]
fn a_mid_that_came_before_the_time_was_known_bears_no_time_that_is_to_come() {
    use crate::record::Mid;
    let mids = |time: i64| {
        Content::Frame(Records::Mids(vec![Mid {
            coin: coin(),
            time: TimeMs(time),
            px: time.into(),
            arrival: Arrival::default(),
        }]))
    };
    let hour = 3_600_000;
    let start = StreamStart {
        stream: StreamKey::MIDS,
        edge: Some(TimeMs(9_000)),
        ended: None,
        recent: Recent::default(),
    };
    let mut line = Timeline::new(start);
    let mut out = Vec::new();
    // The system clock is an hour fast, and the exchange says what time it is before the run has settled.
    line.offer(Ticket::Run(RunId::first(1)), mids(20_000 + hour), &NoWitness, &mut out);
    line.clock(reading(23_000), None);
    line.handover(Some(ws_grant(1, 1)), &NoWitness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(9_000)));
    line.offer(Ticket::Run(RunId::first(1)), mids(25_000), &NoWitness, &mut out);
    assert_eq!(line.edge(), Some(TimeMs(25_000)), "{out:?}");
}

#[test]
fn a_mid_that_waited_in_a_ring_is_not_stamped_anew() {
    use crate::record::Mid;
    let mids = |time: i64, px: i64| {
        Records::Mids(vec![Mid {
            coin: coin(),
            time: TimeMs(time),
            px: px.into(),
            arrival: Arrival::default(),
        }])
    };
    let mut line = Timeline::new(StreamStart {
        stream: StreamKey::MIDS,
        edge: Some(TimeMs(1_000)),
        ended: None,
        recent: Recent::default(),
    });
    let mut out = Vec::new();
    let rest = Epoch { token: Token(1), local: 1 };
    line.handover(
        Some(Grant { epoch: rest, source: SourceId::Rest, run: None, cause: Cause::Outage }),
        &NoWitness,
        &mut out,
    );
    line.offer(Ticket::Run(RunId::first(1)), Content::Frame(mids(5_000, 1)), &NoWitness, &mut out);
    let answer = Content::Answer { records: mids(8_000, 2), from: None, asked: TimeMs(8_000) };
    line.offer(Ticket::Claim(rest), answer, &NoWitness, &mut out);
    out.clear();
    line.handover(Some(ws_grant(2, 1)), &NoWitness, &mut out);
    assert_eq!(out, [], "the mid of 5 s was over at 8 s");
}

/// A time line of trades that REST owns in an outage, and what it has told the ledger.
struct Polled {
    line: Timeline,
    ledger: Ledger,
}

impl Polled {
    const CLAIM: Epoch = Epoch { token: Token(1), local: 1 };
    const RUN: Ticket = Ticket::Run(RunId::first(1));

    fn new() -> Self {
        let stream = StreamKey::Trades(coin());
        let mut line =
            Timeline::new(StreamStart { stream, edge: None, ended: None, recent: Recent::default() });
        let grant = Grant { epoch: Self::CLAIM, source: SourceId::Rest, run: None, cause: Cause::Outage };
        line.handover(Some(grant), &NoWitness, &mut Vec::new());
        Self { line, ledger: Ledger::default() }
    }

    fn poll(&mut self, trades: Vec<Trade>) {
        let records = Records::Trades(trades);
        let answer = Content::Answer { records, from: None, asked: TimeMs(200) };
        self.offer(Ticket::Claim(Self::CLAIM), answer);
    }

    fn offer(&mut self, ticket: Ticket, content: Content) {
        let mut out = Vec::new();
        self.line.offer(ticket, content, &NoWitness, &mut out);
        self.ledger.apply(out);
    }

    fn give_ws(&mut self) {
        let mut out = Vec::new();
        self.line.handover(Some(ws_grant(2, 1)), &NoWitness, &mut out);
        self.ledger.apply(out);
    }
}

#[test]
fn a_block_that_a_poll_has_cut_is_made_whole_by_the_frames_that_fill_the_gap_behind_it() {
    let trades = |tids: &[u64]| -> Vec<_> {
        tids.iter().map(|tid| trade(i64::try_from(*tid).unwrap() / 10, *tid)).collect()
    };
    let frame = |tids: &[u64]| Content::Frame(Records::Trades(trades(tids)));
    let mut polled = Polled::new();
    // Of the block at 110 the exchange answers one trade of three.
    polled.poll(trades(&[1_000, 1_100]));
    polled.poll(trades(&[1_500, 1_600]));
    // The socket is late: what it brings lies below the edge.
    polled.offer(Polled::RUN, frame(&[900, 1_000]));
    polled.give_ws();
    assert_eq!(polled.ledger.gaps, [Span::new(TimeMs(110), TimeMs(150))], "filled by its frames only");
    for tids in [&[1_100, 1_101, 1_102][..], &[1_200], &[1_500], &[1_600]] {
        polled.offer(Polled::RUN, frame(tids));
    }
    assert_eq!(polled.ledger.gaps, []);
    assert!([(110, 1_101), (110, 1_102), (120, 1_200)].iter().all(|row| polled.ledger.rows.contains(row)));
}

#[test]
fn every_frame_of_a_promoted_ring_fills_what_polls_left() {
    let trades = |times: &[i64]| -> Vec<_> { times.iter().map(|t| trade(*t, t.unsigned_abs())).collect() };
    let mut polled = Polled::new();
    polled.poll(trades(&[100, 110]));
    for times in [&[100, 110, 120][..], &[130], &[140], &[150], &[160]] {
        polled.offer(Polled::RUN, pushed(times));
    }
    polled.poll(trades(&[150, 160]));
    assert_eq!(polled.ledger.gaps, [Span::new(TimeMs(110), TimeMs(150))]);
    polled.give_ws();
    assert_eq!(polled.ledger.gaps, [], "the run is continuous, frame after frame");
    assert!([120, 130, 140].iter().all(|t| polled.ledger.rows.contains(&(*t, t.unsigned_abs()))));
}

fn pushed(times: &[i64]) -> Content {
    Content::Frame(Records::Trades(times.iter().map(|t| trade(*t, t.unsigned_abs())).collect()))
}

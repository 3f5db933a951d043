//! The time lines and the reconciler between them, under any order of offers and handovers.
//!
//! Promised: no panic; the edge never goes back; every record offered is accounted for; rows and pieces come under the
//! standing claim alone; below the edge each piece is covered once or a gap.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use hl_core::ledger::{Cause, Change};
use hl_core::source::{Content, Ticket};
use hl_core::store::{Recent, StreamStart};
use hl_core::timeline::{Audited, Grant, Reconciler, Tally, Timeline};
use hl_core::{Epoch, Lane, Records, RunId, SourceId, StreamKey, TimeMs, Token};

use crate::model::Ledger;
use crate::{Target, records};

pub(crate) const TARGET: Target = Target {
    name: "timeline",
    about: "time lines under any order of offers and handovers: hl_core::timeline",
    seeds: Vec::new,
    run: |input| crate::script(input, play),
    short: 6_000,
};

const STREAMS: [&str; 11] = [
    "trades/BTC",
    "candle/BTC/1m",
    "bbo/BTC",
    "trades/BTC",
    "candle/BTC/1m",
    "mids",
    "mids/xyz",
    "context/BTC",
    "book/BTC",
    "funding/BTC",
    "positions/0x00000000000000000000000000000000000000ab",
];

/// Exchange time at the start: close to the end of a minute.
const START: TimeMs = TimeMs(1_790_000_035_000);

struct World {
    now: TimeMs,
    lines: BTreeMap<StreamKey, (Timeline, Ledger)>,
    reconciler: Reconciler,
    local: u32,
}

fn play(u: &mut Unstructured<'_>) -> Result<()> {
    let mut world = World { now: START, lines: BTreeMap::new(), reconciler: Reconciler::new(), local: 0 };
    let edge = if u.arbitrary()? { Some(records::time(u, START)?) } else { None };
    for name in STREAMS {
        let stream: StreamKey = name.parse().expect("a stream");
        let mut recent = Recent::default();
        if let (StreamKey::Trades(_), Some(edge)) = (stream, edge) {
            recent.since = Some(edge - 60_000);
            recent.keys = vec![(edge - 1_000, 1), (edge, 2)];
        }
        let start = StreamStart { stream, edge, ended: None, recent };
        world.reconciler.start(&start);
        world.lines.insert(stream, (Timeline::new(start), Ledger::new(stream, edge)));
    }
    while !u.is_empty() {
        world.act(u)?;
    }
    Ok(())
}

impl World {
    fn act(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let stream: StreamKey = u.choose(&STREAMS)?.parse().expect("a stream");
        match u.int_in_range(0..=11)? {
            0 | 1 => self.now = self.now + i64::from(u.arbitrary::<u8>()?) * 100,
            2 => self.now = self.now + 60_000,
            3 | 4 => self.handover(u, stream)?,
            5 => self.audit(u, stream)?,
            _ => self.offer(u, stream)?,
        }
        Ok(())
    }

    fn audit(&mut self, u: &mut Unstructured<'_>, stream: StreamKey) -> Result<()> {
        let mut bars = Vec::new();
        for _ in 0..u.int_in_range(0..=3)? {
            let time = records::time(u, self.now)?;
            bars.push(Audited { time, counted: u.arbitrary()?, stored: u.arbitrary()? });
        }
        for (stream, span) in self.reconciler.audited(stream, &bars) {
            let Some((line, _)) = self.lines.get_mut(&stream) else { continue };
            line.doubted(span);
            self.tell(stream, &Change::Doubted { span, cause: Cause::Silence }, None);
        }
        Ok(())
    }

    fn handover(&mut self, u: &mut Unstructured<'_>, stream: StreamKey) -> Result<()> {
        self.local += 1;
        let epoch = Epoch { token: Token(1), local: self.local };
        let cause = *u.choose(&Cause::ALL)?;
        let grant = match u.int_in_range(0..=7)? {
            0 => None,
            1..=3 => Some(Grant { epoch, source: stream.spec().fallback, run: None, cause }),
            _ => Some(Grant { epoch, source: SourceId::Ws, run: Some(run(u)?), cause }),
        };
        self.change(stream, |line, reconciler, out| line.handover(grant, reconciler, out));
        Ok(())
    }

    fn offer(&mut self, u: &mut Unstructured<'_>, stream: StreamKey) -> Result<()> {
        let standing = self.lines[&stream].0.claim();
        let ticket = match (u.int_in_range(0..=7)?, standing) {
            // Mostly under the standing claim, so that something happens.
            (0..=5, Some(Grant { run: Some(run), .. })) => Ticket::Run(run),
            (0..=5, Some(Grant { epoch, .. })) => Ticket::Claim(epoch),
            (0..=6, _) => Ticket::Run(run(u)?),
            _ => Ticket::Claim(Epoch { token: Token(1), local: u32::from(u.arbitrary::<u8>()?) }),
        };
        let of = if u.ratio(1, 32)? { u.choose(&STREAMS)?.parse().expect("a stream") } else { stream };
        let content = match (u.int_in_range(0..=11)?, ticket) {
            (0, _) => Content::Started { at: records::time(u, self.now)? },
            (1, _) => Content::Broken { at: records::time(u, self.now)? },
            (2 | 3, _) => Content::Proof { sent: self.now },
            (10, _) => Content::Ahead { at: self.now, newest: records::time(u, self.now)? },
            (4, Ticket::Run(_)) => Content::Dropped,
            (_, Ticket::Run(_)) => Content::Frame(records::records(u, of, self.now)?),
            (11, Ticket::Claim(_)) => Content::Refuted { since: records::time(u, self.now)? },
            (4, Ticket::Claim(_)) => Content::Unanswered { cause: Cause::Outage },
            (_, Ticket::Claim(_)) => Content::Answer {
                records: records::records(u, of, self.now)?,
                from: if u.ratio(1, 3)? { Some(records::time(u, self.now)?) } else { None },
                asked: self.now,
            },
        };
        let offered = match &content {
            Content::Frame(records) | Content::Answer { records, .. } => records.len() as u64,
            Content::Started { .. }
            | Content::Broken { .. }
            | Content::Ahead { .. }
            | Content::Dropped
            | Content::Proof { .. }
            | Content::Refuted { .. }
            | Content::Unanswered { .. } => 0,
        };
        if let Content::Frame(Records::Candles(bars)) = &content {
            self.reconciler.bars(self.now.since(START), stream, bars);
        }
        let tally = self.change(stream, |line, reconciler, out| line.offer(ticket, content, reconciler, out));
        let counted = tally.admitted + tally.ringed + tally.fenced + tally.late + tally.known;
        assert_eq!(counted, offered, "{stream}: every record is accounted for: {tally:?}");
        Ok(())
    }

    fn change(
        &mut self,
        stream: StreamKey,
        step: impl FnOnce(&mut Timeline, &Reconciler, &mut Vec<Change>) -> Tally,
    ) -> Tally {
        let Some((line, _)) = self.lines.get_mut(&stream) else { return Tally::default() };
        let (before, claim) = (line.edge(), line.claim().map(|grant| grant.epoch));
        let mut out = Vec::new();
        let tally = step(line, &self.reconciler, &mut out);
        assert!(line.edge() >= before, "{stream}: the edge went from {before:?} to {:?}", line.edge());
        let now = line.claim().map(|grant| grant.epoch);
        for change in out {
            // A claim that ends says how far its run is known to be whole.
            let last_word = matches!(change, Change::Covered { epoch, .. } if Some(epoch) == claim);
            self.tell(stream, &change, if last_word { claim } else { now });
        }
        self.reconciler.take_missed(self.now.since(START));
        for (doubted, span) in self.reconciler.take_doubts() {
            let Some((line, _)) = self.lines.get_mut(&doubted) else { continue };
            line.doubted(span);
            self.tell(doubted, &Change::Doubted { span, cause: Cause::Silence }, None);
        }
        for (line, ledger) in self.lines.values() {
            ledger.check(line.edge());
        }
        tally
    }

    fn tell(&mut self, stream: StreamKey, change: &Change, standing: Option<Epoch>) {
        self.reconciler.note(self.now.since(START), stream, change);
        if let Some((_, ledger)) = self.lines.get_mut(&stream) {
            ledger.apply(change, standing);
        }
    }
}

fn run(u: &mut Unstructured<'_>) -> Result<RunId> {
    let lane = if u.ratio(1, 8)? { Lane::Second } else { Lane::First };
    Ok(RunId { lane, ..RunId::first(u64::from(u.arbitrary::<u8>()? % 4)) })
}

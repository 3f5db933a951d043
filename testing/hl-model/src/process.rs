//! One process of the model: the real selector and time line, and around them sockets, polls and the queue to the
//! store as the daemon has them.

use std::collections::VecDeque;

use hl_core::ledger::{Batch, Cause, Change};
use hl_core::selector::{Effect, Event, Mono, Places, Selector, Timing};
use hl_core::source::{Content, Ticket};
use hl_core::timeline::{NoWitness, Timeline};
use hl_core::{Epoch, Lane, Origin, Records, RunId, SourceId, StreamKey, TimeMs, Token};

use crate::exchange::{Script, Wrong};
use crate::ledger::Ledger;
use crate::rule::{Held, Rule};

/// Every wait of the selector is one step of the model's clock, and no run is ever young: how long settling becomes is
/// checked by the model of the selector alone.
const TIMING: Timing = Timing {
    settle_ms: 1,
    longest_settle_ms: 1,
    longest_convicted_ms: 1,
    stable_ms: 0,
    start_grace_ms: 1,
    probe_limit_ms: 1,
};

/// A subscription that was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Socket {
    pub(crate) run: RunId,
    /// The first happening since which it has brought everything.
    from: usize,
    /// The first happening that it has not brought yet.
    next: usize,
    /// Whether it has brought data, so that it was reported as up.
    reported: bool,
    /// It brings nothing more, and nobody closes it.
    pub(crate) deaf: bool,
}

/// Batches on disk, oldest first, each with the tenure that it was decided in.
pub(crate) type Spool = VecDeque<(u32, Batch)>;

/// A REST answer on its way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Answer {
    epoch: Epoch,
    records: Records,
    from: Option<TimeMs>,
    asked: TimeMs,
}

/// A process.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Process {
    token: Token,
    stream: StreamKey,
    now: Mono,
    selector: Selector,
    /// What the selector wants done and nobody has done yet.
    effects: VecDeque<Effect>,
    leased: bool,
    /// It subscribes what another is to give to it.
    warming: bool,
    /// It has released the stream, and something of it may not be committed yet.
    releasing: bool,
    tenure: u32,
    line: Option<Timeline>,
    sockets: [Option<Socket>; 2],
    next_run: u64,
    /// The claim that REST polls under.
    wanted: Option<Epoch>,
    answers: Vec<Answer>,
    /// The run that a probe was asked about.
    probe: Option<RunId>,
    /// Queued for the store.
    pending: Vec<Change>,
    /// The epoch of its backfills, and what a page brought that is not committed yet.
    fill_epoch: Epoch,
    fill: Option<Vec<Change>>,
    /// The newest epoch that was handed out.
    newest: Epoch,
}

impl Process {
    /// A process starts: a new session, then what an earlier one left in the spool. It has no lease yet.
    pub(crate) fn start(script: &Script, ledger: &mut Ledger, spool: &mut Spool) -> Result<Self, Rule> {
        let token = ledger.open();
        let mut process = Self {
            token,
            stream: script.stream,
            now: 0,
            selector: Selector::new(token, TIMING),
            effects: VecDeque::new(),
            leased: false,
            warming: false,
            releasing: false,
            tenure: 0,
            line: None,
            sockets: [None, None],
            next_run: 0,
            wanted: None,
            answers: Vec::new(),
            probe: None,
            pending: Vec::new(),
            fill_epoch: Epoch::default(),
            fill: None,
            newest: Epoch::default(),
        };
        for (tenure, batch) in std::mem::take(spool) {
            if ledger.commit(tenure, &batch)? {
                let epoch = process.mint()?;
                let changes = as_backfill(&batch, epoch);
                ledger.commit(0, &Batch { token, changes })?;
            }
        }
        process.fill_epoch = process.mint()?;
        Ok(process)
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.leased
    }

    pub(crate) fn socket(&self, lane: Lane) -> Option<Socket> {
        self.sockets[lane.index()]
    }

    pub(crate) fn has_effect(&self) -> bool {
        !self.effects.is_empty()
    }

    pub(crate) fn has_probe(&self) -> bool {
        self.probe.is_some()
    }

    pub(crate) fn has_deadline(&self) -> bool {
        self.selector.next_deadline().is_some()
    }

    pub(crate) fn may_ask(&self) -> bool {
        self.wanted.is_some_and(|epoch| self.answers.iter().all(|a| a.epoch != epoch))
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn is_filling(&self) -> bool {
        self.fill.is_some()
    }

    pub(crate) fn fill_epoch(&self) -> Epoch {
        self.fill_epoch
    }

    /// Whether a stream may be subscribed on the lane: it is ours, and there is no socket yet.
    pub(crate) fn may_subscribe(&self, lane: Lane) -> bool {
        (self.leased || self.warming) && !self.releasing && self.socket(lane).is_none()
    }

    /// Whether the lane's socket has something that it has not brought yet.
    pub(crate) fn has_unseen(&self, lane: Lane, script: &Script, happened: usize) -> bool {
        self.socket(lane).is_some_and(|s| !s.deaf && script.pushed(s.next, happened).is_some())
    }

    /// Whether the lane's socket has missed something for good, and is silent.
    pub(crate) fn is_deaf(&self, lane: Lane, script: &Script, happened: usize) -> bool {
        self.socket(lane).is_some_and(|s| s.deaf && script.pushed(s.next, happened).is_some())
    }

    /// Whether the lane's socket has never brought anything, and never will.
    pub(crate) fn is_deaf_from_the_start(&self, lane: Lane) -> bool {
        self.socket(lane).is_some_and(|s| s.deaf && !s.reported)
    }

    /// The source that owns the stream here, and its run.
    pub(crate) fn owner(&self) -> Option<(SourceId, Option<RunId>)> {
        let claim = self.line.as_ref().and_then(Timeline::claim)?;
        Some((claim.source, claim.run))
    }

    fn note_epoch(&mut self, epoch: Epoch) -> Held {
        let grows = epoch > self.newest && epoch.token == self.token;
        self.newest = epoch;
        if grows { Ok(()) } else { Err(Rule::Epochs) }
    }

    fn mint(&mut self) -> Result<Epoch, Rule> {
        let epoch = self.selector.mint();
        self.note_epoch(epoch).map(|()| epoch)
    }

    fn report(&mut self, event: Event) -> Held {
        self.selector.step(self.now, event);
        while let Some(effect) = self.selector.next_effect() {
            self.effects.push_back(effect);
            if let Effect::Handover { grant: Some(grant), .. } = effect {
                self.note_epoch(grant.epoch)?;
            }
        }
        Ok(())
    }

    fn offer(&mut self, ticket: Ticket, content: Content) -> Held {
        let Some(line) = self.line.as_mut() else { return Ok(()) };
        let (claim, edge, queued) = (line.claim(), line.edge(), self.pending.len());
        let stands = claim.is_some_and(|claim| match ticket {
            Ticket::Run(run) => claim.run == Some(run),
            Ticket::Claim(epoch) => claim.epoch == epoch,
        });
        let tally = line.offer(ticket, content, &NoWitness, &mut self.pending);
        if !stands && (tally.admitted > 0 || self.pending.len() > queued) {
            return Err(Rule::Gate);
        }
        if line.edge() < edge { Err(Rule::Edge) } else { Ok(()) }
    }

    /// Whether it may ask for the lease.
    pub(crate) fn may_lease(&self) -> bool {
        !self.leased && !self.releasing
    }

    pub(crate) fn may_warm(&self) -> bool {
        self.may_lease() && !self.warming
    }

    pub(crate) fn may_release(&self) -> bool {
        (self.leased || self.warming) && !self.releasing
    }

    /// Whether nothing of what it released is on its way any more.
    pub(crate) fn may_give_back(&self) -> bool {
        self.releasing && !self.has_pending() && !self.has_effect()
    }

    /// What another is to give to this process is subscribed, and waits.
    pub(crate) fn warm(&mut self, places: Places) -> Held {
        self.line = Some(Timeline::warm(self.stream));
        self.warming = true;
        self.report(Event::Warm { stream: self.stream, places })
    }

    pub(crate) fn release(&mut self) -> Held {
        self.releasing = true;
        self.report(Event::Released { stream: self.stream })
    }

    pub(crate) fn give_back(&mut self, ledger: &mut Ledger) {
        ledger.release(self.token);
        self.leased = false;
        self.releasing = false;
    }

    /// Takes the lease, whether or not somebody else has it.
    pub(crate) fn lease(&mut self, ledger: &mut Ledger, places: Places) -> Held {
        let start = ledger.take(self.token);
        let is_new = start.edge.is_none();
        let waited = self.line.take().filter(|_| std::mem::take(&mut self.warming));
        self.line = Some(match waited {
            Some(waited) => Timeline::warmed(start, waited),
            None => Timeline::new(start),
        });
        self.leased = true;
        self.tenure = ledger.tenure();
        self.report(Event::Leased { stream: self.stream, places, is_new })
    }

    /// Carries out the oldest effect, as the director does. The reader takes handovers and data from its inbox in the order
    /// in which they came, so they are read here at once.
    pub(crate) fn carry_out(&mut self, script: &Script) -> Held {
        match self.effects.pop_front() {
            Some(Effect::Handover { grant, .. }) => {
                self.wanted = grant.filter(|grant| grant.source == SourceId::Rest).map(|grant| grant.epoch);
                if let Some(line) = self.line.as_mut() {
                    let edge = line.edge();
                    line.handover(grant, &NoWitness, &mut self.pending);
                    if line.edge() < edge {
                        return Err(Rule::Edge);
                    }
                    let run = grant.and_then(|grant| grant.run);
                    let socket = self.sockets.iter().flatten().find(|socket| Some(socket.run) == run);
                    if let Some(socket) = socket
                        && !is_promoted(script.pushed(socket.from, socket.next), edge, &self.pending)
                    {
                        return Err(Rule::Ring);
                    }
                }
                if grant.is_none() {
                    self.line = None;
                    self.pending.clear();
                    self.sockets = [None, None];
                }
                Ok(())
            }
            Some(Effect::Probe { run, .. }) => {
                self.probe = Some(run);
                Ok(())
            }
            Some(Effect::Renew { run, .. }) => {
                let socket = &mut self.sockets[run.lane.index()];
                socket.take_if(|socket| socket.run == run);
                Ok(())
            }
            Some(Effect::Release { .. }) => {
                self.wanted = None;
                self.warming = false;
                self.line = None;
                self.sockets = [None, None];
                Ok(())
            }
            Some(Effect::Calm { .. }) | None => Ok(()),
        }
    }

    pub(crate) fn deadline(&mut self) -> Held {
        if let Some(deadline) = self.selector.next_deadline() {
            self.now = self.now.max(deadline);
            return self.report(Event::Tick);
        }
        Ok(())
    }

    pub(crate) fn subscribe(&mut self, lane: Lane, script: &Script, happened: usize) -> Held {
        self.next_run += 1;
        let run = RunId { lane, number: self.next_run };
        let next = script.replay_from(happened);
        self.sockets[lane.index()] = Some(Socket { run, from: next, next, reported: false, deaf: false });
        self.offer(Ticket::Run(run), Content::Started { at: script.now(happened) })
    }

    /// The replay of a new subscription lacks the newest that happened, and comes at once; then the stream goes on.
    pub(crate) fn subscribe_stale(&mut self, lane: Lane, script: &Script, happened: usize) -> Held {
        self.subscribe(lane, script, happened)?;
        let shown = happened.saturating_sub(1);
        let Some(socket) = self.sockets[lane.index()].as_mut() else { return Ok(()) };
        let replay = script.pushed(script.replay_from(shown), shown);
        (socket.from, socket.next, socket.reported) = (happened, happened, replay.is_some());
        let run = socket.run;
        let Some(replay) = replay else { return Ok(()) };
        self.offer(Ticket::Run(run), Content::Frame(replay))?;
        self.report(Event::Up { stream: self.stream, run })
    }

    /// The socket brings the newest of what it has not brought yet, and the rest behind it.
    pub(crate) fn deliver_turned(&mut self, lane: Lane, script: &Script, happened: usize) -> Held {
        let Some(socket) = self.sockets[lane.index()].as_mut().filter(|s| !s.deaf) else { return Ok(()) };
        let (run, next, first) = (socket.run, socket.next, !socket.reported);
        socket.next = happened;
        socket.reported = true;
        let last = happened.saturating_sub(1);
        for (from, to) in [(last, happened), (next, last)] {
            if let Some(records) = script.pushed(from, to) {
                self.offer(Ticket::Run(run), Content::Frame(records))?;
            }
        }
        if first { self.report(Event::Up { stream: self.stream, run }) } else { Ok(()) }
    }

    /// Whether the lane's socket has several things that it has not brought yet.
    pub(crate) fn has_several_unseen(&self, lane: Lane, script: &Script, happened: usize) -> bool {
        let unseen = |s: &Socket| script.pushed(s.next, happened.saturating_sub(1)).is_some();
        self.has_unseen(lane, script, happened) && self.socket(lane).as_ref().is_some_and(unseen)
    }

    /// The socket brings all that it has not brought yet.
    pub(crate) fn deliver(&mut self, lane: Lane, script: &Script, happened: usize) -> Held {
        let Some(socket) = self.sockets[lane.index()].as_mut().filter(|s| !s.deaf) else { return Ok(()) };
        let Some(records) = script.pushed(socket.next, happened) else { return Ok(()) };
        let (run, first) = (socket.run, !socket.reported);
        socket.next = happened;
        socket.reported = true;
        self.offer(Ticket::Run(run), Content::Frame(records))?;
        if first { self.report(Event::Up { stream: self.stream, run }) } else { Ok(()) }
    }

    /// The pong to a ping sent now, behind all that the exchange has sent until now.
    pub(crate) fn pong(&mut self, lane: Lane, script: &Script, happened: usize) -> Held {
        self.deliver(lane, script, happened)?;
        match self.socket(lane) {
            Some(s) if !s.deaf => {
                self.offer(Ticket::Run(s.run), Content::Proof { sent: script.now(happened) })
            }
            _ => Ok(()),
        }
    }

    /// What the socket has not brought yet cannot be decoded.
    pub(crate) fn garble(&mut self, lane: Lane, script: &Script, happened: usize) -> Held {
        let Some(socket) = self.sockets[lane.index()].as_mut() else { return Ok(()) };
        socket.next = happened;
        socket.from = happened;
        let run = socket.run;
        self.offer(Ticket::Run(run), Content::Broken { at: script.now(happened) })
    }

    pub(crate) fn deafen(&mut self, lane: Lane) {
        if let Some(socket) = self.sockets[lane.index()].as_mut() {
            socket.deaf = true;
        }
    }

    pub(crate) fn die(&mut self, lane: Lane) -> Held {
        let run = self.sockets[lane.index()].take().map(|socket| socket.run);
        self.report(Event::Down { stream: self.stream, lane, run, cause: Cause::Outage })
    }

    pub(crate) fn silent(&mut self, lane: Lane) -> Held {
        match self.socket(lane) {
            Some(socket) => self.report(Event::Silent { stream: self.stream, run: socket.run }),
            None => Ok(()),
        }
    }

    /// The probe is answered. What it found may have been on its way over the socket: that arrives first.
    pub(crate) fn probed(&mut self, script: &Script, happened: usize) -> Held {
        let Some(run) = self.probe.take() else { return Ok(()) };
        if self.socket(run.lane).is_some_and(|socket| socket.run == run) {
            self.deliver(run.lane, script, happened)?;
        }
        let newest = script.newest(happened);
        let seen = self.line.as_ref().and_then(Timeline::edge);
        self.report(Event::Probed { stream: self.stream, run, missed: newest > seen })
    }

    pub(crate) fn ask(&mut self, script: &Script, happened: usize, wrong: Option<Wrong>) {
        let edge = self.line.as_ref().and_then(Timeline::edge);
        if let Some(epoch) = self.wanted {
            let (records, from) = match wrong {
                None => script.answer(happened, edge),
                Some(wrong) => script.answer_wrong(happened, edge, wrong),
            };
            self.answers.push(Answer { epoch, records, from, asked: script.now(happened) });
        }
    }

    /// An answer arrives; `again` where it will arrive once more.
    pub(crate) fn answered(&mut self, nth: usize, again: bool) -> Held {
        let Some(Answer { epoch, records, from, asked }) = self.answers.get(nth).cloned() else {
            return Ok(());
        };
        if !again {
            self.answers.remove(nth);
        }
        self.offer(Ticket::Claim(epoch), Content::Answer { records, from, asked })
    }

    /// Commits what is oldest: of the spool, or what is queued.
    pub(crate) fn commit(&mut self, ledger: &mut Ledger, spool: &mut Spool) -> Held {
        let (tenure, batch) = spool.pop_front().unwrap_or_else(|| self.batch());
        if ledger.commit(tenure, &batch)? {
            self.leased = false;
            self.report(Event::Superseded { stream: self.stream })?;
        }
        Ok(())
    }

    /// What is queued goes to disk.
    pub(crate) fn spool(&mut self, spool: &mut Spool) {
        spool.push_back(self.batch());
    }

    fn batch(&mut self) -> (u32, Batch) {
        let stream = self.stream;
        let changes = std::mem::take(&mut self.pending).into_iter().map(|change| (stream, change)).collect();
        (self.tenure, Batch { token: self.token, changes })
    }

    /// A backfill claims the open gaps and is answered.
    pub(crate) fn backfill(
        &mut self,
        ledger: &mut Ledger,
        script: &Script,
        happened: usize,
        wrong: Option<Wrong>,
    ) {
        let pieces = ledger.claim_gaps(self.fill_epoch);
        let mut changes = Vec::new();
        let filled = |span, records| Change::Filled {
            epoch: self.fill_epoch,
            origin: Origin::Backfill,
            span,
            records,
        };
        match (self.stream, pieces.first(), pieces.last()) {
            (StreamKey::Candle(..), ..) => {
                for piece in pieces {
                    let page = script.page(happened, piece, wrong);
                    changes.extend(page.lost.into_iter().map(|span| Change::GapLost { span }));
                    changes.extend(page.proven.into_iter().map(|(span, records)| filled(span, records)));
                }
            }
            (_, Some(first), Some(last)) => {
                let hull = hl_core::ledger::Span::new(first.from, last.to);
                let page = script.page(happened, hull, wrong);
                changes.extend(page.proven.into_iter().map(|(span, records)| filled(span, records)));
                for lost in page.lost {
                    let parts = pieces.iter().filter_map(|piece| piece.intersect(lost));
                    changes.extend(parts.map(|span| Change::GapLost { span }));
                }
            }
            _ => {}
        }
        self.fill = Some(changes);
    }

    /// The backfill commits, and gives back what is left of its claims.
    pub(crate) fn filled(&mut self, ledger: &mut Ledger) -> Held {
        let stream = self.stream;
        let changes =
            self.fill.take().unwrap_or_default().into_iter().map(|change| (stream, change)).collect();
        ledger.commit(0, &Batch { token: self.token, changes })?;
        ledger.unclaim(self.fill_epoch);
        Ok(())
    }
}

/// Whether the trades above the edge that a promoted run had brought are queued.
fn is_promoted(brought: Option<Records>, edge: Option<TimeMs>, pending: &[Change]) -> bool {
    let Some(Records::Trades(brought)) = brought else { return true };
    let queued = |key| {
        pending.iter().any(|change| {
            matches!(change, Change::Rows { records: Records::Trades(rows), .. }
                if rows.iter().any(|row| row.key() == key))
        })
    };
    brought.iter().filter(|trade| Some(trade.time) > edge).all(|trade| queued(trade.key()))
}

/// A batch of a superseded token, as fillers of what is still a gap: as the daemon does it at its start.
fn as_backfill(batch: &Batch, epoch: Epoch) -> Vec<(StreamKey, Change)> {
    let mut changes = Vec::new();
    for (stream, covered) in &batch.changes {
        let Change::Covered { origin, span, .. } = covered else { continue };
        if matches!(stream, StreamKey::Candle(..)) {
            continue;
        }
        let mut inside = Vec::new();
        for (_, change) in &batch.changes {
            if let Change::Rows { records: Records::Trades(trades), .. } = change {
                inside.extend(trades.iter().filter(|trade| span.contains(trade.time)).copied());
            }
        }
        let records = Records::Trades(inside);
        changes.push((*stream, Change::Filled { epoch, origin: *origin, span: *span, records }));
    }
    changes
}

//! The store of the model: one stream's rows, covered pieces, gaps, edge and lease, changed as the real stores change
//! them, all or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use hl_core::ledger::sheet::{Gap, Parts, Sheet, Stamp};
use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::store::{RECENT_MS, Recent, StreamStart};
use hl_core::stream::Borders;
use hl_core::{Epoch, Kind, Records, StreamKey, TimeMs, Token};

use crate::exchange::Script;
use crate::rule::{Held, Rule};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row {
    epoch: Epoch,
    /// Of a bar.
    trades: u64,
    is_final: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Piece {
    span: Span,
    epoch: Epoch,
}

/// Why a gap was opened is not part of the model: all gaps have one cause.
const CAUSE: Cause = Cause::Outage;

/// Nor is how many rows a piece has.
fn uncounted(_: Span) -> Result<u64, Infallible> {
    Ok(0)
}

/// What is stored of the stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Ledger {
    stream: StreamKey,
    last_token: Token,
    living: BTreeSet<Token>,
    lease: Option<Token>,
    /// How often the lease has moved.
    tenure: u32,
    edge: Option<TimeMs>,
    rows: BTreeMap<(TimeMs, u64), Row>,
    sheet: Sheet<()>,
    /// Whether a batch was ever turned away because of its token.
    pub(crate) turned_away: bool,
}

impl Ledger {
    pub(crate) fn new(stream: StreamKey) -> Self {
        Self {
            stream,
            last_token: Token(0),
            living: BTreeSet::new(),
            lease: None,
            tenure: 0,
            edge: None,
            rows: BTreeMap::new(),
            sheet: Sheet::new(stream, TimeMs(0)),
            turned_away: false,
        }
    }

    fn borders(&self) -> Borders {
        self.stream.spec().borders
    }

    /// A session begins: the next token. What the dead had claimed is free.
    pub(crate) fn open(&mut self) -> Token {
        self.last_token.0 += 1;
        self.living.insert(self.last_token);
        let claims: BTreeSet<_> = self.sheet.gaps().filter_map(|gap| gap.claim).collect();
        for claim in claims.into_iter().filter(|claim| !self.living.contains(&claim.token)) {
            self.sheet.unclaim(claim);
        }
        self.sheet.settle();
        self.last_token
    }

    /// A session died.
    pub(crate) fn died(&mut self, token: Token) {
        self.living.remove(&token);
    }

    pub(crate) fn lease(&self) -> Option<Token> {
        self.lease
    }

    /// How often the lease has moved: what was decided before it did must not be written after.
    pub(crate) fn tenure(&self) -> u32 {
        self.tenure
    }

    pub(crate) fn edge(&self) -> Option<TimeMs> {
        self.edge
    }

    /// Whether the lease can be had: nobody living has it.
    pub(crate) fn is_free(&self, token: Token) -> bool {
        self.lease.is_none_or(|holder| holder == token || !self.living.contains(&holder))
    }

    /// Moves the lease, and reads where the stream begins. `is_free` was asked, or the lease had run out.
    pub(crate) fn take(&mut self, token: Token) -> StreamStart {
        let ends = self.covered().map(|p| p.span.to).chain(self.sheet.gaps().map(|g| g.span.to));
        self.edge = self.edge.or(ends.max());
        if self.lease.replace(token) != Some(token) {
            self.tenure += 1;
        }
        let mut recent = Recent::default();
        if let (StreamKey::Trades(_), Some(edge)) = (self.stream, self.edge) {
            let pieces = self.covered().map(|piece| (piece.span, None));
            let gaps = self.sheet.gaps().filter(|gap| gap.state != GapState::Backfilled);
            let gaps = gaps.map(|gap| (gap.span, Some(gap.state)));
            let is_recent = |(span, _): &(Span, Option<GapState>)| edge - RECENT_MS <= span.to;
            let pieces: Vec<_> = pieces.chain(gaps).collect();
            let first = pieces.iter().map(|(span, _)| span.from).min();
            recent = Recent::before(edge, first, pieces.into_iter().filter(is_recent).collect());
            let known = recent.since.unwrap_or(edge)..=edge;
            recent.keys = self.rows.keys().filter(|(time, _)| known.contains(time)).copied().collect();
        }
        StreamStart { stream: self.stream, edge: self.edge, ended: None, recent }
    }

    /// The holder gives the lease back.
    pub(crate) fn release(&mut self, token: Token) {
        self.lease = self.lease.filter(|holder| *holder != token);
    }

    /// Whether one living session's pieces went on where another's ended, and nothing is missing.
    pub(crate) fn has_moved_without_a_gap(&self) -> bool {
        let moved = self.in_order().windows(2).any(|two| {
            let tokens = two.iter().map(|piece| piece.epoch.token).collect::<BTreeSet<_>>();
            two[0].span.to == two[1].span.from && tokens.len() == 2 && tokens.is_subset(&self.living)
        });
        moved && self.sheet.gaps().next().is_none()
    }

    /// Commits a batch that was decided in a tenure. Whether its token had been superseded for what needs the lease.
    pub(crate) fn commit(&mut self, tenure: u32, batch: &Batch) -> Result<bool, Rule> {
        let mut superseded = false;
        for (_, change) in &batch.changes {
            let needs_lease = change.needs_lease();
            if needs_lease && self.lease != Some(batch.token) {
                superseded = true;
                self.turned_away = true;
                continue;
            }
            if needs_lease && tenure != self.tenure {
                return Err(Rule::Token);
            }
            self.apply(change, batch.token)?;
        }
        Ok(superseded)
    }

    fn apply(&mut self, change: &Change, token: Token) -> Held {
        match change {
            Change::Rows { epoch, records, .. } => self.insert(*epoch, records, false, |_| true)?,
            Change::Covered { epoch, origin, span } => {
                let Ok(()) = self.sheet.cover(*span, (*origin, *epoch), 0, uncounted);
            }
            Change::Final { span } => self.make_final(*span),
            Change::GapOpened { span, .. } => self.sheet.open_gap(*span, CAUSE),
            Change::Doubted { span, .. } => self.doubt(*span),
            Change::Filled { epoch, origin, span, records } => {
                self.fill((*origin, *epoch), *span, records)?;
            }
            Change::GapLost { span } => {
                self.sheet.lose(*span, token, None, |token| self.living.contains(&token));
            }
            Change::GapUnreadable { .. } => {}
            Change::Edge(to) => self.edge = self.edge.max(Some(*to)),
            // No market of the model ends.
            Change::Ended(_) => {}
        }
        self.sheet.settle();
        Ok(())
    }

    fn insert(
        &mut self,
        epoch: Epoch,
        records: &Records,
        is_final: bool,
        admit: impl Fn(TimeMs) -> bool,
    ) -> Held {
        match records {
            Records::Trades(trades) => {
                for trade in trades.iter().filter(|trade| admit(trade.time)) {
                    if self.rows.contains_key(&trade.key()) {
                        let inside = |p: &Piece| p.span.from < trade.time && trade.time < p.span.to;
                        if self.covered().any(|p| p.epoch != epoch && inside(&p)) {
                            return Err(Rule::Twice);
                        }
                        continue;
                    }
                    self.rows.insert(trade.key(), Row { epoch, trades: 0, is_final: true });
                }
            }
            Records::Candles(bars) => {
                for bar in bars.iter().filter(|bar| admit(bar.time)) {
                    let new = Row { epoch, trades: bar.trades, is_final };
                    let row = self.rows.entry((bar.time, 0)).or_insert(new);
                    if !row.is_final && row.trades < bar.trades {
                        *row = new;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn make_final(&mut self, span: Span) {
        for (_, row) in self.rows.range_mut((span.from, 0)..(span.to, 0)) {
            row.is_final = true;
        }
    }

    /// Covered pieces are cut there, and what was filled is a gap again.
    fn doubt(&mut self, span: Span) {
        let Ok(is_cut) = self.sheet.doubt(span, CAUSE, uncounted);
        if is_cut && self.stream.kind() != Kind::Trades {
            for (_, row) in self.rows.range_mut((span.from, 0)..(span.to, 0)) {
                row.is_final = false;
            }
        }
    }

    fn fill(&mut self, (origin, epoch): Stamp, span: Span, records: &Records) -> Held {
        let parts = self.sheet.fill(span, epoch, |token| self.living.contains(&token));
        let borders = self.borders();
        self.insert(epoch, records, true, |time| parts.iter().any(|part| borders.contain(*part, time)))?;
        for part in parts {
            if borders == Borders::HalfOpen {
                self.make_final(part);
            }
            self.sheet.insert_piece(part, (origin, epoch), 0);
        }
        Ok(())
    }

    /// Claims every free open gap for a backfill.
    pub(crate) fn claim_gaps(&mut self, epoch: Epoch) -> Vec<Span> {
        let all = Span::EVER;
        let claimed = self.sheet.claim(all, epoch, Parts::Inside, |token| self.living.contains(&token));
        self.sheet.settle();
        claimed
    }

    pub(crate) fn unclaim(&mut self, epoch: Epoch) {
        self.sheet.unclaim(epoch);
        self.sheet.settle();
    }

    fn covered(&self) -> impl Iterator<Item = Piece> {
        self.sheet
            .pieces()
            .map(|((epoch, _, from), piece)| Piece { span: Span { from, to: piece.to }, epoch })
    }

    /// The covered pieces in order of time.
    fn in_order(&self) -> Vec<Piece> {
        let mut covered: Vec<_> = self.covered().collect();
        covered.sort_by_key(|piece| (piece.span, piece.epoch));
        covered
    }

    /// Gaps that are not filled.
    fn unproven(&self) -> impl Iterator<Item = Span> + '_ {
        self.sheet.gaps().filter(|gap| gap.state != GapState::Backfilled).map(|gap| gap.span)
    }

    /// Gaps that nobody has closed.
    pub(crate) fn open_gaps(&self) -> impl Iterator<Item = Span> + '_ {
        self.sheet.gaps().filter(|gap| gap.state == GapState::Open).map(|gap| gap.span)
    }

    /// Whether a backfill would find something to claim.
    pub(crate) fn has_claimable(&self, epoch: Epoch) -> bool {
        self.sheet.gaps().any(|gap| {
            gap.state == GapState::Open && gap.is_free(epoch, |token| self.living.contains(&token))
        })
    }

    /// Whether a gap was ever filled.
    pub(crate) fn has_filled(&self) -> bool {
        self.sheet.gaps().any(|gap| gap.state == GapState::Backfilled)
    }

    /// Whether claims of more than one token have covered something.
    pub(crate) fn has_pieces_of_two_tokens(&self) -> bool {
        self.in_order().windows(2).any(|two| two[0].epoch.token != two[1].epoch.token)
    }

    /// Compares what is stored with what happened.
    pub(crate) fn check(&self, script: &Script, happened: usize) -> Held {
        let covered = self.in_order();
        for (i, piece) in covered.iter().enumerate() {
            let later = covered.iter().skip(i + 1).map(|p| p.span);
            if later.chain(self.unproven()).any(|other| piece.span.overlaps(other)) {
                return Err(Rule::Disjoint);
            }
        }
        let (Some(edge), Some(first)) = (
            self.edge,
            covered.iter().map(|p| p.span.from).chain(self.sheet.gaps().map(|g| g.span.from)).min(),
        ) else {
            return Ok(());
        };
        match self.borders() {
            Borders::Shared => {
                // The first block is a border, and so is the edge. Known limit: an answer may begin in the middle of the
                // block at which a gap begins or ends, and the gap is closed with that block all the same.
                let filled = |time| {
                    let is_border = |g: &Gap<()>| g.span.from == time || g.span.to == time;
                    self.sheet.gaps().any(|g| g.state == GapState::Backfilled && is_border(g))
                };
                let settled = script.traded(happened).filter(|t| first < t.time && t.time < edge);
                for trade in settled.filter(|t| !filled(t.time)) {
                    let in_gap = self.unproven().any(|gap| gap.contains(trade.time));
                    if !in_gap && !self.rows.contains_key(&trade.key()) {
                        return Err(Rule::Missing);
                    }
                }
                for ((time, _), row) in &self.rows {
                    // What was doubted on both sides of a block is one gap, and the block is covered by itself.
                    let block = Span { from: *time, to: *time };
                    let is_alone = covered.iter().any(|p| p.epoch == row.epoch && p.span == block);
                    if !is_alone && self.unproven().any(|gap| gap.from < *time && *time < gap.to) {
                        return Err(Rule::Disjoint);
                    }
                    // Known limit: trades that are not newer than the oldest block that a process has read of the store are
                    // written down all the same, since the exchange's clock may have been set back.
                    let is_own = |p: &Piece| p.epoch == row.epoch && p.span.contains(*time);
                    if first < *time && !covered.iter().any(is_own) {
                        return Err(Rule::OwnPiece);
                    }
                }
            }
            Borders::HalfOpen => {
                for bar in script.versions(script.happenings.len()) {
                    let in_gap = self.unproven().any(|gap| gap.from <= bar.time && bar.time < gap.to);
                    let row = self.rows.get(&(bar.time, 0));
                    if row.is_some_and(|row| row.is_final && row.trades != bar.trades) {
                        return Err(Rule::FinalBars);
                    }
                    let settled = first <= bar.time && bar.time < edge && !in_gap;
                    if settled && row.is_none_or(|row| !row.is_final) {
                        return Err(Rule::Missing);
                    }
                }
            }
        }
        Ok(())
    }
}

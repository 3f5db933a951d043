//! From what is asked for to gaps in the ledger, and from gaps to rows.

use std::sync::Arc;
use std::time::Duration;

use hl_collectors::rest::{Cost, cost};
use hl_core::ledger::{Batch, Cause, Change, GapState, Span};
use hl_core::store::{Holder, Store, StoreError};
use hl_core::stream::History;
use hl_core::{Epoch, Origin, StreamKey, TimeMs};
use hl_scheduler::backfill::{self, BackfillError, Step};
use hl_store::Inspect;
use tokio::time::Instant;

use super::super::exchange::Exchange;
use super::answer::{Answer, Measure, StreamAnswer};
use super::progress::Progress;
use super::{BackfillFailure, ROLE};
use crate::human;

/// Another backfill keeps a lease for a moment only: how often it is waited for, and how long.
const LEASE_TRIES: u32 = 20;
const LEASE_PAUSE: Duration = Duration::from_millis(100);
/// A daemon that has just taken a stream says within seconds where its past ends: how often it is looked for, and how
/// long.
const BEGIN_PAUSE: Duration = Duration::from_millis(200);
pub(super) const BEGIN_LIMIT: Duration = Duration::from_secs(120);
/// Until a gap of a stream without a past is this old, a daemon may still fill it from a ring.
const RING_LIMIT_MS: i64 = 90_000;

/// Every time that there is.
fn everything() -> Span {
    Span::new(TimeMs(0), TimeMs::MAX)
}

/// A stream, and what is wanted of it.
pub(super) struct Target {
    stream: StreamKey,
    wanted: Wanted,
}

enum Wanted {
    /// This piece; none where nothing of it is final yet.
    Range(Option<Span>),
    /// The exchange has nothing.
    Nothing,
    /// What the exchange still shows.
    Newest,
}

impl Target {
    pub(super) fn range(stream: StreamKey, span: Option<Span>) -> Self {
        Self { stream, wanted: Wanted::Range(span) }
    }

    /// All that the exchange has, which is this piece; none where it has nothing.
    pub(super) fn all(stream: StreamKey, span: Option<Span>) -> Self {
        Self { stream, wanted: span.map_or(Wanted::Nothing, |span| Wanted::Range(Some(span))) }
    }

    pub(super) fn newest(stream: StreamKey) -> Self {
        Self { stream, wanted: Wanted::Newest }
    }
}

/// A stream whose wishes are gaps by now.
struct Planned {
    stream: StreamKey,
    span: Span,
    /// Where its open gaps are to be filled; none where there is nothing to do.
    fill: Option<Span>,
    /// What was given up in the stream before, and is no news; none where the state of the piece is what counts.
    before: Option<Measure>,
    /// Whether it was filled, and how many gaps nobody else was at.
    claimed: Option<u64>,
}

pub(super) struct Work<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) exchange: &'a Exchange,
    inspect: &'a dyn Inspect,
    progress: &'a Progress,
    minted: u32,
    planned: Vec<Planned>,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        inspect: &'a dyn Inspect,
        exchange: &'a Exchange,
        progress: &'a Progress,
    ) -> Self {
        Self { store, exchange, inspect, progress, minted: 0, planned: Vec::new(), notes: Vec::new() }
    }

    fn mint(&mut self) -> Epoch {
        self.minted += 1;
        Epoch { token: self.store.token(), local: self.minted }
    }

    /// Up to where a stream is settled, by what is stored of its ledger.
    pub(super) async fn edge(&self, stream: StreamKey) -> Result<Option<TimeMs>, StoreError> {
        Ok(self.store.settled(stream).await?.edge)
    }

    /// Fills what `targets` ask for.
    pub(super) async fn fill(&mut self, targets: Vec<Target>) -> Result<(), BackfillFailure> {
        for Target { stream, wanted } in targets {
            match wanted {
                Wanted::Range(Some(span)) => self.plan_range(stream, span).await?,
                Wanted::Range(None) => self.notes.push(format!("{stream}: nothing of it is final yet")),
                Wanted::Nothing => self.notes.push(format!("{stream}: the exchange has nothing of it")),
                Wanted::Newest => self.plan_newest(stream).await?,
            }
        }
        self.fill_planned().await
    }

    /// Fills gaps that are in the ledger already.
    pub(super) async fn fill_gaps(
        &mut self,
        open: Vec<(StreamKey, u64, Span)>,
    ) -> Result<(), BackfillFailure> {
        let alone = self.others().await?.is_empty();
        for (stream, _, span) in open {
            self.plan_open(stream, span, alone).await?;
        }
        self.fill_planned().await
    }

    /// Opens gaps over what is not known of `span`, and where nobody collects the stream moves its edge to the end.
    async fn plan_range(&mut self, stream: StreamKey, mut span: Span) -> Result<(), BackfillFailure> {
        match self.lease(stream).await? {
            Ok(edge) => {
                // Up to the edge, so that no hole is left between the range and what is known.
                if let Some(edge) = edge {
                    self.store
                        .request_backfill(
                            stream,
                            Span::new(span.from, edge.max(span.from)),
                            Cause::NotCollected,
                        )
                        .await?;
                }
                let begin = edge.unwrap_or(span.from);
                if begin < span.to {
                    let beyond = Span::new(begin, span.to);
                    let opened = Change::GapOpened { span: beyond, cause: self.cause(stream).await? };
                    self.commit(stream, [opened, Change::Edge(span.to)]).await?;
                }
                self.store.release(&[stream]).await?;
            }
            Err(holder) => {
                let edge = self.ask_below_edge(stream, span, &holder).await?;
                if edge < span.to {
                    let at = human::time(edge.max(span.from));
                    self.notes.push(format!("{stream}: from {at} on it is collected by {holder}"));
                    span = Span::new(span.from, edge.max(span.from));
                }
            }
        }
        self.planned.push(Planned {
            stream,
            span,
            fill: (span.ms() > 0).then_some(span),
            before: None,
            claimed: None,
        });
        Ok(())
    }

    /// Opens gaps over what is not known from the beginning of `span` up to the edge of a stream that a process collects, so
    /// that no hole is left between the range and what is known, and tells that edge. One that has just begun is waited for: below an edge that is not there yet nothing can be asked for.
    async fn ask_below_edge(
        &self,
        stream: StreamKey,
        span: Span,
        holder: &Holder,
    ) -> Result<TimeMs, BackfillFailure> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            if let Some(reached) = self.store.request_backfill(stream, span, Cause::NotCollected).await?.up_to
            {
                let leases = self.inspect.leases().await?;
                let edge =
                    leases.into_iter().find(|lease| lease.stream == stream).and_then(|lease| lease.edge);
                let edge = edge.unwrap_or(reached);
                if edge > reached {
                    self.store
                        .request_backfill(stream, Span::new(span.from, edge), Cause::NotCollected)
                        .await?;
                }
                return Ok(edge);
            }
            if begun.elapsed() >= BEGIN_LIMIT {
                return Err(BackfillFailure::NotBegun { stream, holder: holder.to_string() });
            }
            if !told {
                told = true;
                self.progress.waits_for(&format!("waiting for {holder} to begin {stream}"));
            }
            tokio::time::sleep(BEGIN_PAUSE).await;
        }
    }

    /// Takes in what the exchange shows of the newest, where nobody collects the stream; then the open gaps.
    async fn plan_newest(&mut self, stream: StreamKey) -> Result<(), BackfillFailure> {
        let before = Some(self.measure(stream, everything()).await?);
        let (alone, newest) = match self.lease(stream).await? {
            Ok(edge) => {
                let newest = self.newest(stream, edge).await?;
                self.store.release(&[stream]).await?;
                (true, newest)
            }
            Err(holder) => {
                self.notes.push(format!("{stream}: the newest is collected by {holder}"));
                (false, None)
            }
        };
        let open = self.store.open_gaps().await?.into_iter().find(|(of, ..)| *of == stream);
        let gaps = open.map(|(_, _, hull)| hull);
        match (newest, gaps) {
            (None, None) => Ok(()),
            (Some(newest), None) => {
                self.planned.push(Planned { stream, span: newest, fill: None, before, claimed: None });
                Ok(())
            }
            (newest, Some(gaps)) => {
                self.plan_open(stream, gaps, alone).await?;
                if let Some(planned) = self.planned.last_mut() {
                    planned.before = before;
                    planned.span = newest.map_or(gaps, |newest| newest.hull(gaps));
                }
                Ok(())
            }
        }
    }

    async fn plan_open(&mut self, stream: StreamKey, span: Span, alone: bool) -> Result<(), BackfillFailure> {
        let before = Some(self.measure(stream, everything()).await?);
        let young = match stream.spec().history {
            History::None | History::Recent(_) if !alone => self.exchange.now() - RING_LIMIT_MS,
            _ => span.to,
        };
        let fill = (span.from <= young).then(|| Span::new(span.from, span.to.min(young)));
        self.planned.push(Planned { stream, span, fill, before, claimed: None });
        Ok(())
    }

    /// The last records, joined to the edge or not, in one transaction. Returns the piece that they reach over.
    async fn newest(
        &mut self,
        stream: StreamKey,
        edge: Option<TimeMs>,
    ) -> Result<Option<Span>, BackfillFailure> {
        let page = self.exchange.past().page(stream, everything(), 0).await;
        let page = page.map_err(|source| BackfillError::Fetch { stream, source })?;
        let is_full = !page.lost.is_empty();
        let Some(Span { from: first, to: last }) = page.proven_hull() else { return Ok(None) };
        if edge.is_some_and(|edge| last <= edge) {
            return Ok(None);
        }
        let cause = self.cause(stream).await?;
        let begin = edge.unwrap_or(first);
        let reach = Span::new(begin, last);
        let epoch = self.mint();
        let mut changes = vec![Change::GapOpened { span: reach, cause }];
        changes.extend(page.unreadable.iter().map(|span| Change::GapUnreadable { span: *span }));
        let filled = |(span, records)| Change::Filled { epoch, origin: Origin::Backfill, span, records };
        changes.extend(page.proven.into_iter().map(filled));
        if edge.is_some() && begin <= first {
            // Records of the edge's own block may be lost as well, where the answer begins in it.
            let span = Span::new(begin, first);
            if begin == first {
                changes.push(Change::GapOpened { span, cause });
            }
            // A short answer says nothing of what lies before it: that stays open.
            changes.extend(is_full.then_some(Change::GapLost { span }));
        }
        changes.push(Change::Edge(last));
        self.commit(stream, changes).await?;
        Ok(Some(reach))
    }

    async fn fill_planned(&mut self) -> Result<(), BackfillFailure> {
        let mut total = Cost::default();
        for planned in &self.planned {
            if let Some(fill) = planned.fill {
                total += self.cost(planned.stream, fill).await?;
            }
        }
        self.progress.begin(total);
        let mut refused = None;
        for at in 0..self.planned.len() {
            let Planned { stream, fill: Some(fill), .. } = self.planned[at] else { continue };
            let epoch = self.mint();
            let told = |stream: StreamKey, step: Step<'_>| match step {
                Step::Page { rows, .. } => self.progress.page(stream, rows),
                Step::Committed(_) => {}
            };
            let past = self.exchange.past();
            match backfill::fill(self.store, past, epoch, stream, fill, &told).await {
                Ok(filled) => self.planned[at].claimed = Some(filled.claimed.len() as u64),
                // It says so of this stream; the others may be had.
                Err(BackfillError::Fetch { stream, source }) if source.cause == Cause::Refused => {
                    refused.get_or_insert(BackfillError::Fetch { stream, source });
                }
                Err(error) => return Err(error.into()),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes the lease of a stream and tells its edge, or who has it.
    async fn lease(&self, stream: StreamKey) -> Result<Result<Option<TimeMs>, Holder>, StoreError> {
        let mut tries = 1;
        loop {
            let leases = self.store.lease(&[stream]).await?;
            match leases.held.into_iter().next() {
                None => return Ok(Ok(leases.granted.first().and_then(|start| start.edge))),
                Some((_, holder)) if holder.role == ROLE && tries < LEASE_TRIES => {
                    tries += 1;
                    tokio::time::sleep(LEASE_PAUSE).await;
                }
                Some((_, holder)) => return Ok(Err(holder)),
            }
        }
    }

    async fn commit(
        &self,
        stream: StreamKey,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), StoreError> {
        let changes = changes.into_iter().map(|change| (stream, change)).collect();
        self.store.commit(Arc::new(Batch { token: self.store.token(), changes })).await?;
        Ok(())
    }

    /// Why nothing is known above the edge of a stream that nobody holds.
    async fn cause(&self, stream: StreamKey) -> Result<Cause, StoreError> {
        let covered = self.inspect.coverage(Some(stream)).await?;
        let collected = covered.iter().any(|piece| matches!(piece.source, Origin::Ws | Origin::Rest));
        Ok(if collected { Cause::DaemonDown } else { Cause::NotCollected })
    }

    /// What it costs to fill the open gaps of a piece.
    async fn cost(&self, stream: StreamKey, fill: Span) -> Result<Cost, StoreError> {
        let gaps = self.inspect.gaps(Some(stream)).await?;
        let open = gaps.iter().filter(|gap| gap.state == GapState::Open);
        let open: Vec<_> = open.filter_map(|gap| stream.spec().borders.part(gap.span, fill)).collect();
        let now = self.exchange.now();
        let mut total = Cost::default();
        match stream.spec().history {
            History::Bars(_) | History::All => {
                open.iter().for_each(|piece| total += cost(stream, *piece, now))
            }
            // However many gaps there are, one answer is all there is.
            History::Recent(_) | History::None if open.is_empty() => {}
            History::Recent(_) | History::None => total += cost(stream, fill, now),
        }
        Ok(total)
    }

    /// What the ledger says of a piece.
    async fn measure(&self, stream: StreamKey, span: Span) -> Result<Measure, StoreError> {
        let mut measure = Measure::default();
        for gap in self.inspect.gaps(Some(stream)).await? {
            let block = gap.span.ms() == 0 && span.contains(gap.span.from);
            if !block && !gap.span.overlaps(span) {
                continue;
            }
            let ms = gap.span.intersect(span).map_or(0, Span::ms);
            match gap.state {
                GapState::Open => {
                    measure.open += 1;
                    measure.open_ms += ms;
                    if gap.cause == Cause::Undecodable {
                        measure.open_unreadable_ms += ms;
                    }
                }
                GapState::Unrecoverable if gap.cause == Cause::BeforeHistory => measure.before_ms += ms,
                GapState::Unrecoverable => {
                    measure.lost += 1;
                    measure.lost_ms += ms;
                    if gap.cause == Cause::Undecodable {
                        measure.unreadable_ms += ms;
                    }
                }
                GapState::Backfilled => {}
            }
        }
        Ok(measure)
    }

    /// Living processes on the store, this one aside.
    async fn others(&self) -> Result<Vec<Holder>, StoreError> {
        let holders = self.inspect.holders().await?;
        Ok(holders.into_iter().filter(|holder| holder.token != self.store.token()).collect())
    }

    /// What became of everything that was planned, as the ledger tells it. Call it when the store is closed: then
    /// nothing is on its way any more.
    pub(super) async fn answer(&self) -> Result<Answer, BackfillFailure> {
        let token = self.store.token();
        let mut streams = Vec::new();
        for Planned { stream, span, before, claimed, .. } in &self.planned {
            let ours: Vec<_> = self
                .inspect
                .coverage(Some(*stream))
                .await?
                .into_iter()
                .filter(|piece| piece.epoch.token == token)
                .collect();
            let now = self.measure(*stream, *span).await?;
            let lost = match before {
                Some(before) => self.measure(*stream, everything()).await? - *before,
                None => now,
            };
            streams.push(StreamAnswer {
                stream: *stream,
                from: span.from,
                to: span.to,
                rows: ours.iter().map(|piece| piece.rows).sum(),
                filled_ms: ours.iter().map(|piece| piece.span.ms()).sum(),
                unrecoverable_ms: lost.lost_ms,
                before_history_ms: lost.before_ms,
                open_ms: now.open_ms,
                measure: Measure {
                    open: now.open,
                    open_ms: now.open_ms,
                    open_unreadable_ms: now.open_unreadable_ms,
                    ..lost
                },
                held: *claimed == Some(0) && now.open > 0,
            });
        }
        let others = self.others().await?.iter().map(ToString::to_string).collect();
        Ok(Answer::new(streams, others, self.notes.clone()))
    }
}

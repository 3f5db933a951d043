//! The store that the parts of an engine are given: it tells what was committed, and leaves the rest to the store behind it.
//!
//! Every commit passes through here: what adds rows, or opens, fills or gives up gaps, is the one role that is not delegated.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

use hl_core::ledger::{Ack, Batch, Became, Cause, Change, GapChange, Requested, Span};
use hl_core::seam::BoxFuture;
use hl_core::store::{
    Alerts, CoveredBars, DayClaims, Delegates, GapClaims, Layer, Leasing, LedgerReader, LedgerWriter, Notes,
    Runs, Statistics, Store, StoreError, StoreSession, WeightLedger,
};
use hl_core::{Epoch, Origin, Records, StreamKey};

use super::{Event, Feed};
use crate::engine::lock;

/// So many batches without an answer are remembered. They are made again within seconds, or wait in the spool, one behind
/// the other.
const UNANSWERED: usize = 1_024;

/// See the [module](self).
pub(crate) struct TellingStore {
    inner: Arc<dyn Store>,
    feed: Arc<Feed>,
    /// One call after the other, where there are readers: what is told in another order than it was stored in tells of a
    /// gap that is filled before it is open.
    turn: tokio::sync::Mutex<()>,
    /// Batches whose commit failed: by what they hold, since one that comes out of the spool is not the same object.
    unanswered: Mutex<BTreeSet<u64>>,
}

impl TellingStore {
    pub(crate) fn new(inner: Arc<dyn Store>, feed: Arc<Feed>) -> Self {
        Self { inner, feed, turn: tokio::sync::Mutex::default(), unanswered: Mutex::default() }
    }

    /// The right to commit and to tell of it. Without a reader it is not needed.
    async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.feed.is_heard() {
            true => Some(self.turn.lock().await),
            false => None,
        }
    }

    fn remember(&self, batch: &Batch) {
        let mut unanswered = lock(&self.unanswered);
        if unanswered.len() < UNANSWERED {
            unanswered.insert(digest(batch));
        }
    }

    /// Whether it was sent before, and got no answer.
    fn is_repeated(&self, batch: &Batch) -> bool {
        let mut unanswered = lock(&self.unanswered);
        !unanswered.is_empty() && unanswered.remove(&digest(batch))
    }
}

fn digest(batch: &Batch) -> u64 {
    let mut hasher = DefaultHasher::new();
    batch.hash(&mut hasher);
    hasher.finish()
}

/// What a store took of a batch.
fn taken(batch: &Batch, ack: &Ack) -> Vec<Event> {
    let mut left_out = BTreeMap::<usize, BTreeSet<usize>>::new();
    for (change, row) in &ack.left_out {
        left_out.entry(*change).or_default().insert(*row);
    }
    let (mut events, mut ends) = (Vec::new(), Vec::new());
    for (at, (stream, change)) in batch.changes.iter().enumerate() {
        if change.needs_lease() && ack.superseded.contains(stream) {
            continue;
        }
        if let Change::Ended(at) = change {
            ends.push(Event::Ended { stream: *stream, at: *at });
        }
        if let Change::Rows { epoch, origin, records } | Change::Filled { epoch, origin, records, .. } =
            change
        {
            let records = match left_out.get(&at) {
                None => records.clone(),
                Some(left_out) => {
                    let written = (0..records.len()).filter(|row| !left_out.contains(row));
                    records.pick(&written.collect::<Vec<_>>())
                }
            };
            if !records.is_empty() {
                events.push(rows(*stream, *origin, *epoch, records));
            }
        }
    }
    events.extend(ack.gaps.iter().map(|(stream, change)| of_gap(*stream, *change)));
    events.extend(ends);
    events
}

fn rows(stream: StreamKey, origin: Origin, epoch: Epoch, records: Records) -> Event {
    Event::Rows { stream, origin, epoch, records: Arc::new(records) }
}

fn of_gap(stream: StreamKey, change: GapChange) -> Event {
    let GapChange { span, cause, became } = change;
    match became {
        Became::Opened => Event::GapOpened { stream, span, cause, state: stream.spec().new_gap() },
        Became::Renamed => Event::GapRenamed { stream, span, cause },
        Became::Filled => Event::GapFilled { stream, span, cause },
        Became::Lost => Event::GapLost { stream, span, cause },
    }
}

/// Of a batch that was sent before: the pieces of streams of which the first attempt may have stored something.
fn in_doubt(batch: &Batch, ack: &Ack) -> Vec<Event> {
    let mut pieces = BTreeMap::<StreamKey, Span>::new();
    for (at, (stream, change)) in batch.changes.iter().enumerate() {
        let rows_left = ack.left_out.iter().any(|(change, _)| *change == at);
        let gap_known = !ack.gaps.iter().any(|(of, _)| of == stream);
        let extent = |records: &Records| records.extent().map(|(from, to)| Span { from, to });
        let span = match change {
            Change::Rows { records, .. } if rows_left => extent(records),
            Change::Filled { span, .. } if rows_left || gap_known => Some(*span),
            Change::GapOpened { span, .. }
            | Change::Doubted { span, .. }
            | Change::GapLost { span }
            | Change::GapUnreadable { span }
                if gap_known =>
            {
                Some(*span)
            }
            _ => None,
        };
        if let Some(span) = span {
            pieces.entry(*stream).and_modify(|piece| *piece = piece.hull(span)).or_insert(span);
        }
    }
    pieces.into_iter().map(|(stream, span)| Event::Resync { stream, span }).collect()
}

impl LedgerWriter for TellingStore {
    fn commit(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<Ack, StoreError>> {
        Box::pin(async move {
            let _turn = self.turn().await;
            match self.inner.commit(batch.clone()).await {
                Ok(ack) => {
                    let repeated = self.is_repeated(&batch);
                    if self.feed.is_heard() {
                        self.feed.tell(&taken(&batch, &ack));
                        if repeated {
                            self.feed.tell(&in_doubt(&batch, &ack));
                        }
                    }
                    Ok(ack)
                }
                Err(error) => {
                    self.remember(&batch);
                    Err(error)
                }
            }
        })
    }

    fn request_backfill<'a>(
        &'a self,
        stream: StreamKey,
        span: Span,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Requested, StoreError>> {
        Box::pin(async move {
            let _turn = self.turn().await;
            let asked = self.inner.request_backfill(stream, span, cause).await?;
            let opened: Vec<_> = asked.gaps.iter().map(|change| of_gap(stream, *change)).collect();
            self.feed.tell(&opened);
            Ok(asked)
        })
    }
}

impl Layer for TellingStore {
    type Inner = dyn Store;

    fn inner(&self) -> &dyn Store {
        self.inner.as_ref()
    }
}

impl Delegates<dyn StoreSession> for TellingStore {}
impl Delegates<dyn Leasing> for TellingStore {}
impl Delegates<dyn LedgerReader> for TellingStore {}
impl Delegates<dyn CoveredBars> for TellingStore {}
impl Delegates<dyn GapClaims> for TellingStore {}
impl Delegates<dyn DayClaims> for TellingStore {}
impl Delegates<dyn Runs> for TellingStore {}
impl Delegates<dyn Notes> for TellingStore {}
impl Delegates<dyn Statistics> for TellingStore {}
impl Delegates<dyn Alerts> for TellingStore {}
impl Delegates<dyn WeightLedger> for TellingStore {}

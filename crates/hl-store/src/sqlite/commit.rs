//! One batch, one transaction: rows, covered pieces, gaps, edges, and the check of the token.

use std::collections::{BTreeMap, BTreeSet};

use hl_core::ledger::{Ack, Batch, Cause, Change};
use hl_core::store::StoreError;
use hl_core::{Epoch, StreamKey, TimeMs, Token};
use rusqlite::{OptionalExtension as _, params};

use super::error::{SqliteError, Step as _, permanent};
use super::rows::{self, Stamp, Written};
use super::session::Scope;
use crate::rules;

impl Scope<'_> {
    pub(super) fn commit(&self, batch: &Batch) -> Result<Ack, StoreError> {
        if let Some(token) = batch.foreign_token() {
            let mixed = SqliteError::MixedTokens { batch: batch.token.0, epoch: token.0 };
            return Err(permanent("checking a batch", mixed));
        }
        let mut ack = Ack::default();
        let (superseded, edges) = self.leases_of(batch)?;
        for (stream, edge) in edges {
            for hole in rules::holes(edge, &batch.told_of(stream)) {
                self.lost(stream, hole)?;
            }
        }
        // Rows inserted since the last covered piece of the same claim.
        let mut inserted = BTreeMap::<(StreamKey, Epoch), u64>::new();
        for (at, (stream, change)) in batch.changes.iter().enumerate() {
            if change.needs_lease() && superseded.contains(stream) {
                continue;
            }
            match change {
                Change::Rows { epoch, origin, records } => {
                    let stamp = Stamp { origin: *origin, epoch: *epoch, is_final: false };
                    let written = rows::insert(self.tx, *stream, records, stamp, |_| true, |_| ())?;
                    *inserted.entry((*stream, *epoch)).or_default() += written.inserted;
                    count(&mut ack, (at, *stream), written);
                }
                Change::Covered { epoch, origin, span } => {
                    let rows = inserted.remove(&(*stream, *epoch)).unwrap_or_default();
                    let stamp = Stamp { origin: *origin, epoch: *epoch, is_final: false };
                    self.cover(*stream, *span, stamp, rows)?;
                }
                Change::Final { span } => {
                    if let StreamKey::Candle(coin, interval) = *stream {
                        rows::set_final(self.tx, coin, interval, *span, true)?;
                    }
                }
                Change::GapOpened { span, cause } => self.open_gap(*stream, *span, *cause)?,
                Change::Doubted { span, cause } => self.doubt(*stream, *span, *cause)?,
                Change::Filled { epoch, origin, span, records } => {
                    let stamp = Stamp { origin: *origin, epoch: *epoch, is_final: true };
                    count(&mut ack, (at, *stream), self.fill(*stream, *span, records, stamp)?);
                }
                Change::GapLost { span } => self.lose(*stream, *span, batch.token)?,
                Change::GapUnreadable { span } => {
                    self.rename(*stream, *span, batch.token, Cause::Undecodable)?;
                }
                Change::Edge(to) => self.advance(*stream, *to)?,
                Change::Ended(at) => self.end(*stream, *at)?,
            }
        }
        ack.superseded = superseded.into_iter().collect();
        ack.gaps = self.gap_changes.take();
        Ok(ack)
    }

    /// The streams of the batch for which it needs a lease that its token does not have; and the edges of the others.
    #[allow(clippy::type_complexity, reason = "a name for the pair would say no more")]
    fn leases_of(
        &self,
        batch: &Batch,
    ) -> Result<(BTreeSet<StreamKey>, BTreeMap<StreamKey, Option<TimeMs>>), StoreError> {
        let (mut superseded, mut edges) = (BTreeSet::new(), BTreeMap::new());
        for stream in batch.leased() {
            let row: Option<(Option<u32>, Option<i64>)> = self
                .tx
                .prepare_cached("SELECT token, edge FROM streams WHERE stream = ?1")
                .and_then(|mut s| {
                    s.query_row([stream.to_string()], |r| Ok((r.get(0)?, r.get(1)?))).optional()
                })
                .step("checking a lease")?;
            match row {
                Some((token, edge)) if token.map(Token) == Some(batch.token) => {
                    edges.insert(stream, edge.map(TimeMs));
                }
                _ => {
                    superseded.insert(stream);
                }
            }
        }
        Ok((superseded, edges))
    }

    /// Moves an edge forward; never back.
    fn advance(&self, stream: StreamKey, to: TimeMs) -> Result<(), StoreError> {
        self.tx
            .prepare_cached("UPDATE streams SET edge = max(ifnull(edge, ?2), ?2) WHERE stream = ?1")
            .and_then(|mut s| s.execute(params![stream.to_string(), to.0]))
            .step("advancing an edge")?;
        Ok(())
    }

    fn end(&self, stream: StreamKey, at: TimeMs) -> Result<(), StoreError> {
        self.tx
            .prepare_cached("UPDATE streams SET ended = ?2 WHERE stream = ?1")
            .and_then(|mut s| s.execute(params![stream.to_string(), at.0]))
            .step("ending a stream")?;
        Ok(())
    }
}

fn count(ack: &mut Ack, (change, stream): (usize, StreamKey), written: Written) {
    ack.inserted += written.inserted;
    ack.existing += written.existing;
    ack.refused += written.refused;
    if written.differing > 0 {
        *ack.differing.entry(stream).or_default() += written.differing;
    }
    ack.left_out.extend(written.left_out.into_iter().map(|row| (change, row)));
}

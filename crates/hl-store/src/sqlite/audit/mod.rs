//! What the audit asks of a SQLite file ([`AuditSource`]).

mod candles;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hl_core::archive::{Day, Provenance, StoredRows};
use hl_core::ledger::Span;
use hl_core::store::StoreError;
use hl_core::{Coin, Interval, StreamKey, TimeMs};
use rusqlite::Connection;

use super::error::Step as _;
use super::inspect::{coverage, gaps, streams};
use super::{archive, session};
use crate::checks::{self, AuditSource, StreamLedger, Sum};
use crate::{Audit, Finding};

/// Checks the whole store, in place.
pub(super) fn audit(conn: &Connection) -> Result<Audit, StoreError> {
    // Each answer is there when it is asked for: one look sees the audit through.
    match pin!(checks::audit(&File(conn))).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(audit) => audit,
        Poll::Pending => {
            Err(StoreError::Permanent { step: "checking the store", source: "a query waited".into() })
        }
    }
}

/// A file, in one transaction.
struct File<'a>(&'a Connection);

impl AuditSource for File<'_> {
    type Error = StoreError;

    async fn integrity(&self) -> Result<Option<Finding>, StoreError> {
        const STEP: &str = "checking the file";
        let mut finding = Finding::of_the_store("integrity");
        let mut statement = self.0.prepare("PRAGMA integrity_check").step(STEP)?;
        let lines = statement.query_map([], |r| r.get::<_, String>(0)).step(STEP)?;
        for line in lines {
            let line = line.step(STEP)?;
            if line != "ok" {
                finding.add(|| line);
            }
        }
        Ok(Some(finding))
    }

    async fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        session::note(self.0, name)
    }

    async fn streams(&self) -> Result<Vec<StreamKey>, StoreError> {
        streams(self.0)
    }

    async fn ledger(&self, stream: StreamKey) -> Result<StreamLedger, StoreError> {
        Ok(StreamLedger {
            pieces: coverage(self.0, Some(stream))?,
            gaps: gaps(self.0, Some(stream))?,
            edge: session::edge(self.0, stream)?,
            archived: archive::archived(self.0, stream)?.0,
        })
    }

    async fn touched_days(&self, stream: StreamKey) -> Result<BTreeSet<Day>, StoreError> {
        archive::touched_days(self.0, stream)
    }

    async fn duplicate_keys(&self, stream: StreamKey) -> Result<Option<(u64, String)>, StoreError> {
        rows::duplicate_keys(self.0, stream).map(Some)
    }

    async fn each_row(
        &self,
        stream: StreamKey,
        see: &mut (dyn FnMut(&str, TimeMs, Provenance) + Send),
    ) -> Result<(), StoreError> {
        rows::each(self.0, stream, see)
    }

    async fn crossed_books(&self, stream: StreamKey) -> Result<(u64, String), StoreError> {
        rows::crossed_books(self.0, stream)
    }

    async fn bars(
        &self,
        coin: Coin,
        interval: Interval,
        span: Span,
        most: usize,
    ) -> Result<StoredRows, StoreError> {
        super::rows::page_of(self.0, StreamKey::Candle(coin, interval), span, None, most)
    }

    async fn trades_by_minute(&self, coin: Coin, span: Span) -> Result<BTreeMap<TimeMs, Sum>, StoreError> {
        candles::trades_by_minute(self.0, coin, span)
    }

    async fn traded_minutes(&self, coin: Coin, pieces: &[Span]) -> Result<Vec<(TimeMs, u64)>, StoreError> {
        candles::traded_minutes(self.0, coin, pieces)
    }
}

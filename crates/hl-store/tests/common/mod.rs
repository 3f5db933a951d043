//! What the tests of the SQLite store share.

#![allow(dead_code, reason = "each test uses a part")]

use std::path::Path;
use std::sync::Arc;

use hl_core::ledger::{Batch, Change, Span};
use hl_core::record::{Candle, HexBytes, Side, Trade};
use hl_core::row::Arrival;
use hl_core::store::StoreError;
use hl_core::store::prelude::*;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs, Token};
use hl_runtime::SystemClock;
use hl_store::{SqliteOptions, SqliteStore, Writer};

pub(crate) async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    open_with(path, Writer::Thread).await
}

pub(crate) async fn open_with(path: &Path, writer: Writer) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(SqliteOptions {
        path: path.to_owned(),
        role: "test".to_owned(),
        host: "here".to_owned(),
        pid: std::process::id(),
        writer,
        clock: Arc::new(SystemClock),
    })
    .await
}

pub(crate) fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

pub(crate) fn trades() -> StreamKey {
    StreamKey::Trades(btc())
}

pub(crate) fn minutes() -> StreamKey {
    StreamKey::Candle(btc(), Interval::M1)
}

pub(crate) fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(from), TimeMs(to))
}

pub(crate) fn trade(time: i64, tid: u64) -> Trade {
    Trade {
        coin: btc(),
        time: TimeMs(time),
        tid,
        px: Decimal::from(66_410),
        sz: Decimal::new(5, 1),
        side: Side::Buy,
        hash: HexBytes([1; 32]),
        buyer: HexBytes([2; 20]),
        seller: HexBytes([3; 20]),
        arrival: Arrival::default(),
    }
}

/// A flat bar: `n` trades of 0.5 each.
pub(crate) fn bar(interval: Interval, time: i64, n: u64) -> Candle {
    let px = Decimal::from(66_410);
    Candle {
        coin: btc(),
        interval,
        time: TimeMs(time),
        open: px,
        high: px,
        low: px,
        close: px,
        volume: Decimal::new(5, 1) * Decimal::from(n),
        trades: n,
        arrival: Arrival::default(),
    }
}

/// One block of three trades at `time`, covered from `from`, under claim 1.
pub(crate) fn block(token: Token, from: i64, time: i64) -> Batch {
    let epoch = Epoch { token, local: 1 };
    let records = Records::Trades((0..3).map(|tid| trade(time, tid)).collect());
    let changes = [
        Change::Rows { epoch, origin: Origin::Ws, records },
        Change::Covered { epoch, origin: Origin::Ws, span: span(from, time) },
        Change::Edge(TimeMs(time)),
    ];
    Batch { token, changes: changes.into_iter().map(|change| (trades(), change)).collect() }
}

pub(crate) async fn commit(store: &SqliteStore, stream: StreamKey, changes: Vec<Change>) {
    let changes = changes.into_iter().map(|change| (stream, change)).collect();
    let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    assert!(ack.superseded.is_empty() && ack.refused == 0, "{ack:?}");
}

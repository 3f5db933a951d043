//! The archive as a user has it: `hl-cli archive run` as a real process, killed at any moment, and its files in the
//! hands of other programs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod kills;
mod readers;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use hl_core::ledger::{Batch, Change, Span};
use hl_core::record::{Bbo, Book, Candle, HexBytes, Level, Mid, Side, Trade};
use hl_core::row::Arrival;
use hl_core::seam::Clock as _;
use hl_core::store::prelude::*;
use hl_core::stream::BookVariant;
use hl_core::thinning::BOOKS_NOTE;
use hl_core::time::DAY_MS;
use hl_core::{Coin, Decimal, Epoch, Interval, Kind, Origin, Records, StreamKey, TimeMs};
use hl_runtime::SystemClock;
use hl_store::{SqliteOptions, SqliteStore};
use support::process::StoreFile;

const MINUTE: i64 = 60_000;

/// Midnight, so many days ago.
fn days_ago(days: i64) -> i64 {
    SystemClock.now().floor(DAY_MS).0 - days * DAY_MS
}

fn number(mantissa: i64, places: u32) -> Decimal {
    Decimal::new(mantissa, places)
}

/// What one coin did between two times: two trades a minute, the bars that they make, books, and best bids and offers.
fn told(coin: Coin, from: i64, to: i64) -> Vec<(StreamKey, Records)> {
    let minutes = || (from..to).step_by(usize::try_from(MINUTE).unwrap());
    let px = |minute: i64| number(664_100 + minute / MINUTE % 977, 1);
    let trade = |time: i64, tid: u64, minute: i64| Trade {
        coin,
        time: TimeMs(time),
        tid,
        px: px(minute),
        sz: number(15 + minute / MINUTE % 7, 5),
        side: Side::Buy,
        hash: HexBytes([u8::try_from(minute / MINUTE % 251).unwrap(); 32]),
        buyer: HexBytes([1; 20]),
        seller: HexBytes([2; 20]),
        arrival: Arrival::default(),
    };
    let trades = minutes().flat_map(|m| [trade(m + 1_000, 7, m), trade(m + 1_000, 9, m)]);
    let bar = |m: i64| Candle {
        coin,
        interval: Interval::M1,
        time: TimeMs(m),
        open: px(m),
        high: px(m),
        low: px(m),
        close: px(m),
        volume: number(2 * (15 + m / MINUTE % 7), 5),
        trades: 2,
        arrival: Arrival::default(),
    };
    let level = |px, sz, n| Level { px, sz, n };
    let book = |m: i64| Book {
        coin,
        variant: BookVariant::Default,
        time: TimeMs(m),
        bids: (1..=3).map(|n| level(px(m) - Decimal::from(n), number(n, 2), 2)).collect(),
        asks: (1..=2).map(|n| level(px(m) + Decimal::from(n), number(n, 3), 1)).collect(),
        arrival: Arrival::default(),
    };
    let bbo = |m: i64| Bbo {
        coin,
        time: TimeMs(m),
        bid: (m % (3 * MINUTE) != 0).then(|| level(px(m), number(5, 1), 4)),
        ask: Some(level(px(m) + Decimal::ONE, number(7, 1), 1)),
        arrival: Arrival::default(),
    };
    vec![
        (StreamKey::Trades(coin), Records::Trades(trades.collect())),
        (StreamKey::Candle(coin, Interval::M1), Records::Candles(minutes().map(bar).collect())),
        (
            StreamKey::Book(coin, BookVariant::Default),
            Records::Books(minutes().step_by(20).map(book).collect()),
        ),
        (StreamKey::Bbo(coin), Records::Bbos(minutes().step_by(10).map(bbo).collect())),
    ]
}

/// A store in which all of it was collected by one live claim, and nothing is missing.
async fn collected(store: &StoreFile, coins: &[Coin], from: i64, to: i64) -> Vec<StreamKey> {
    let session =
        SqliteStore::open(SqliteOptions::of_this_process(store.path(), "test", Arc::new(SystemClock)))
            .await
            .unwrap();
    let mut all: Vec<_> = coins.iter().flat_map(|coin| told(*coin, from, to)).collect();
    let mid = |(coin, time): (Coin, i64)| Mid {
        coin,
        time: TimeMs(time),
        px: number(time / MINUTE, 3),
        arrival: Arrival::default(),
    };
    for stream in Kind::Mids.streams(coins, &[]) {
        let coins = coins.iter().filter(|coin| stream.has(**coin));
        let mids = coins.flat_map(|coin| (from..to).step_by(600_000).map(move |time| mid((*coin, time))));
        all.push((stream, Records::Mids(mids.collect())));
    }
    let streams: Vec<_> = all.iter().map(|(stream, _)| *stream).collect();
    session.lease(&streams).await.unwrap();
    let epoch = Epoch { token: session.token(), local: 1 };
    let span = Span::new(TimeMs(from), TimeMs(to));
    // A book every 20 minutes is what was asked for.
    let thinned = serde_json::json!([{ "from": from, "to": null }]);
    session.put_note(BOOKS_NOTE, &thinned.to_string()).await.unwrap();
    for (stream, records) in all {
        let mut changes = vec![Change::Rows { epoch, origin: Origin::Ws, records }];
        if matches!(stream, StreamKey::Candle(..)) {
            changes.push(Change::Final { span });
        }
        changes.extend([Change::Covered { epoch, origin: Origin::Ws, span }, Change::Edge(span.to)]);
        let changes = changes.into_iter().map(|change| (stream, change)).collect();
        let ack = session.commit(Arc::new(Batch { token: session.token(), changes })).await.unwrap();
        assert_eq!((ack.refused, ack.existing), (0, 0));
    }
    session.close().await.unwrap();
    streams
}

fn coins(names: &[&str]) -> Vec<Coin> {
    names.iter().map(|name| Coin::new(name).unwrap()).collect()
}

/// Whatever is older than a day goes to the archive.
const ALL: [&str; 8] = [
    "--retention",
    "trades=1d",
    "--retention",
    "candles=1d",
    "--retention",
    "mids=1d",
    "--retention",
    "bbo=1d",
];

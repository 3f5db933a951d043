//! A store with something of everything: what a copy has to bring along.

use std::num::NonZeroI64;
use std::path::Path;
use std::sync::Arc;

use hl_core::alert::{Alert, AlertKind};
use hl_core::archive::{Claimed, Day, Part, RowKey};
use hl_core::for_records;
use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::{Bbo, Book, Candle, Context, Funding, HexBytes, Level, Mid, Record as _, Side, Trade};
use hl_core::row::Arrival;
use hl_core::runs::{Outcome, Report};
use hl_core::statistics::Figure;
use hl_core::store::note_of;
use hl_core::store::prelude::*;
use hl_core::stream::BookVariant;
use hl_core::time::DAY_MS;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_runtime::SystemClock;
use hl_store::{SqliteOptions, SqliteStore};

/// The first day with rows, 2026-11-01.
pub(crate) const START: i64 = 1_793_491_200_000;
const MINUTE: i64 = 60_000;

fn btc() -> Coin {
    Coin::new("BTC").unwrap()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn at(ms: i64) -> TimeMs {
    TimeMs(START + ms)
}

fn span(from: i64, to: i64) -> Span {
    Span::new(at(from), at(to))
}

fn trade(ms: i64, tid: u64) -> Trade {
    Trade {
        coin: btc(),
        time: at(ms),
        tid,
        px: decimal("66410.0"),
        sz: decimal("0.00015"),
        side: if tid.is_multiple_of(2) { Side::Buy } else { Side::Sell },
        hash: HexBytes([7; 32]),
        buyer: HexBytes([0xab; 20]),
        seller: HexBytes([0xcd; 20]),
        arrival: Arrival::default(),
    }
}

fn bar(minute: i64, trades: u64, close: &str) -> Candle {
    Candle {
        coin: btc(),
        interval: Interval::M1,
        time: at(minute * MINUTE),
        open: decimal("1.0"),
        high: decimal("9"),
        low: decimal("1"),
        close: decimal(close),
        volume: Decimal::from(trades),
        trades,
        arrival: Arrival::default(),
    }
}

fn states() -> Vec<(StreamKey, Records)> {
    let level = |px: &str, n| Level { px: decimal(px), sz: decimal("1.50"), n };
    let book = |ms, px| Book {
        coin: btc(),
        variant: BookVariant::Default,
        time: at(ms),
        bids: [level(px, 3), level("1", 1)].into(),
        asks: [level("66500.00", 2)].into(),
        arrival: Arrival::default(),
    };
    let context = Context {
        coin: btc(),
        time: at(5),
        mark_px: decimal("0.00000001"),
        mid_px: None,
        oracle_px: Some(decimal("79228162514264337593543950335")),
        prev_day_px: decimal("1.0"),
        funding: Some(decimal("-0.0000125")),
        open_interest: None,
        premium: Some(decimal("0")),
        day_ntl_vlm: decimal("100.00"),
        day_base_vlm: decimal("5"),
        impact_bid: None,
        impact_ask: Some(decimal("2")),
        arrival: Arrival::default(),
    };
    let mid = |name: &str, ms| Mid {
        coin: Coin::new(name).unwrap(),
        time: at(ms),
        px: decimal("7.10"),
        arrival: Arrival::default(),
    };
    let settled = |ms| Funding {
        coin: btc(),
        time: at(ms),
        rate: decimal("0.0000125"),
        premium: Decimal::ZERO,
        arrival: Arrival::default(),
    };
    let best = |ms, bid, ask| Bbo { coin: btc(), time: at(ms), bid, ask, arrival: Arrival::default() };
    let odd = ["BTC", "it's;\"odd\"", "@107"];
    let of_dexes = ["it's:\"odd\"", "xyz:NVDA"].map(|name| mid(name, 10));
    let of_dex = |mid: Mid| (mid.stream(), Records::Mids(vec![mid]));
    vec![
        (
            StreamKey::Book(btc(), BookVariant::Default),
            Records::Books((0..40).map(|n| book(n * 100, "66400.0")).collect()),
        ),
        (
            StreamKey::Bbo(btc()),
            Records::Bbos(vec![
                best(1, Some(level("3.0", 1)), None),
                best(2, None, Some(level("4.0", 1))),
                best(3, Some(level("3.0", 1)), Some(level("4.0", 2))),
            ]),
        ),
        (
            StreamKey::MIDS,
            Records::Mids(odd.iter().flat_map(|name| (0..20).map(|n| mid(name, n * 10))).collect()),
        ),
        of_dex(of_dexes[0]),
        of_dex(of_dexes[1]),
        (StreamKey::Context(btc()), Records::Contexts(vec![context])),
        (StreamKey::Funding(btc()), Records::Funding((0..30).map(|n| settled(n * 3_600_000 + 59)).collect())),
    ]
}

async fn commit(store: &SqliteStore, stream: StreamKey, changes: Vec<Change>) {
    let changes = changes.into_iter().map(|change| (stream, change)).collect();
    let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    assert!(ack.superseded.is_empty() && ack.refused == 0, "{ack:?}");
}

async fn session(path: &Path, role: &str) -> SqliteStore {
    let options = SqliteOptions::of_this_process(path, role, Arc::new(SystemClock));
    SqliteStore::open(options).await.unwrap()
}

/// Says when the rows came, and in which order.
fn arrived(mut records: Records) -> Records {
    for_records!(&mut records, rows => for (at, row) in (0_u32..).zip(rows) {
        let received = NonZeroI64::new(i64::from(at) * 179_000_000_123);
        row.arrival = Arrival { received, seq: (at % 3 > 0).then_some(at) };
    });
    records
}

/// Makes the store; it has so many trades, and other rows. Nobody lives in it afterwards.
pub(crate) async fn furnish(path: &Path, trades: u64) {
    let first = session(path, "hl-daemon").await;
    let epoch = Epoch { token: first.token(), local: 1 };
    let (trades_of_btc, bars) = (StreamKey::Trades(btc()), StreamKey::Candle(btc(), Interval::M1));
    first.lease(&[trades_of_btc, bars]).await.unwrap();
    let rows = |records| Change::Rows { epoch, origin: Origin::Ws, records: arrived(records) };
    let covered = |span| Change::Covered { epoch, origin: Origin::Ws, span };

    // Two days of trades, with a hole that stays open, one that is filled later, and one that never can be.
    let step = DAY_MS / i64::try_from(trades).unwrap() * 3 / 2;
    let all = (0..trades).map(|n| trade(i64::try_from(n).unwrap() * step, n)).collect();
    let last = i64::try_from(trades - 1).unwrap() * step;
    commit(
        &first,
        trades_of_btc,
        vec![
            rows(Records::Trades(all)),
            covered(span(0, last)),
            Change::GapOpened { span: span(last, last + 1_000), cause: Cause::Outage },
            Change::GapOpened { span: span(last + 1_000, last + 2_000), cause: Cause::Sampled },
            Change::GapOpened { span: span(last + 2_000, last + 3_000), cause: Cause::Silence },
            rows(Records::Trades(vec![trade(last + 3_000, 1 << 49)])),
            covered(span(last + 3_000, last + 4_000)),
            Change::Edge(at(last + 4_000)),
        ],
    )
    .await;
    // Bars that changed, of which the last two still may.
    let versions = |trades, close| Records::Candles((0..6).map(|n| bar(n, trades, close)).collect());
    commit(
        &first,
        bars,
        vec![
            rows(versions(3, "2.0")),
            rows(versions(5, "2.50")),
            covered(span(0, 4 * MINUTE)),
            Change::Final { span: span(0, 4 * MINUTE) },
            Change::Edge(at(4 * MINUTE)),
            Change::Doubted { span: span(MINUTE, 2 * MINUTE), cause: Cause::Undecodable },
        ],
    )
    .await;

    let second = session(path, "hl-daemon").await;
    let owner = Epoch { token: second.token(), local: 4 };
    for (stream, records) in states() {
        second.lease(&[stream]).await.unwrap();
        let changes = vec![
            Change::Rows { epoch: owner, origin: Origin::Rest, records },
            Change::Covered { epoch: owner, origin: Origin::Rest, span: span(0, 2 * DAY_MS) },
            Change::Edge(at(2 * DAY_MS)),
        ];
        commit(&second, stream, changes).await;
    }
    let backfill = Epoch { token: second.token(), local: 9 };
    let hole = span(last + 1_000, last + 2_000);
    assert_eq!(second.claim_gaps(trades_of_btc, hole, backfill).await.unwrap(), [hole]);
    let records = Records::Trades(vec![trade(last + 1_500, 5)]);
    let filled = Change::Filled { epoch: backfill, origin: Origin::Backfill, span: hole, records };
    commit(&second, trades_of_btc, vec![filled]).await;
    let lost = Change::GapLost { span: span(last + 2_000, last + 3_000) };
    commit(&second, trades_of_btc, vec![lost]).await;

    archived(&second, trades_of_btc).await;
    history(&second).await;
    // The first crashes: what it spooled may still be written.
    drop(first);
    second.close().await.unwrap();
}

/// A part that is a file, and one that says that rows were deleted.
async fn archived(store: &SqliteStore, stream: StreamKey) {
    let day = Day::of(TimeMs(START));
    let epoch = Epoch { token: store.token(), local: 20 };
    assert_eq!(store.claim_day(stream, day, epoch).await.unwrap(), Claimed::Yes);
    for (path, most) in [(Some("trades/BTC/part.parquet"), 5), (None, 3)] {
        let rows = store.rows_in(stream, day.span(), None::<RowKey>, most).await.unwrap();
        let times: Vec<_> = rows.records.keys().iter().map(|key| key.time).collect();
        let part = Part {
            stream,
            day,
            path: path.map(str::to_owned),
            rows: rows.len() as u64,
            first: times[0],
            last: times[times.len() - 1],
            bytes: 1_234,
            checksum: "ab".to_owned(),
            epoch,
            written_at: TimeMs(77),
        };
        store.commit_part((stream, day, epoch), Some(part), Arc::new(rows)).await.unwrap();
    }
    store.unclaim_day(stream, day, epoch).await.unwrap();
}

async fn history(store: &SqliteStore) {
    let planned = at(0);
    for (job, outcome) in [("collect_funding", Outcome::Succeeded), ("audit_bars", Outcome::Failed)] {
        store.begin_run(job, planned).await.unwrap();
        let error = (outcome == Outcome::Failed).then(|| "no answer".to_owned());
        store.end_run(job, planned, Report { outcome, rows: 7, weight: 40, error }).await.unwrap();
    }
    store.begin_run("backfill_gaps", planned).await.unwrap();
    store.request_run("collect_funding").await.unwrap();

    let figure = |n: i64, value| Figure {
        day: TimeMs(START + n * DAY_MS),
        subject: "BTC".to_owned(),
        name: "daily_usd_volume".to_owned(),
        value,
    };
    let figures = vec![figure(0, 0.1), figure(1, 1e300), figure(2, -0.0), figure(3, 123_456_789.012_345_67)];
    store.put_statistics("daily_usd_volume", figures, Some(at(3 * DAY_MS))).await.unwrap();

    for (subject, resolved) in [("trades/BTC", Some(at(9))), ("ws", None)] {
        let alert = Alert {
            kind: AlertKind::NoProgress,
            subject: subject.to_owned(),
            severity: AlertKind::NoProgress.severity(),
            raised: at(3),
            last_seen: at(5),
            times: 2,
            resolved,
            words: "nothing comes".to_owned(),
        };
        store.put_alert(&alert).await.unwrap();
    }
    store.put_note("universe", "{\"coins\":[\"BTC\"]}").await.unwrap();
    store.put_note(&note_of("status", store.token()), "of a session").await.unwrap();
}

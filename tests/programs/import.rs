//! `hl-cli import`: a database as the original system leaves it, with each of its defects, into either kind of store.

use std::sync::Arc;

use hl_core::ledger::{Batch, Cause, Change, Span};
use hl_core::record::{Candle, Mid};
use hl_core::row::Arrival;
use hl_core::store::Store;
use hl_core::{Coin, Decimal, Epoch, Interval, Origin, Records, StreamKey, TimeMs};
use hl_mongo::{MongoOptions, MongoStore};
use hl_runtime::SystemClock;
use hl_store::{SqliteOptions, SqliteStore};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::{TimeseriesGranularity, TimeseriesOptions};
use serde_json::{Value, json};

use crate::support::process::{StoreFile, answer, run};

const MINUTE: i64 = 60_000;
/// Midnight, 2026-02-01.
const START: i64 = 1_769_904_000_000;

fn date(ms: i64) -> DateTime {
    DateTime::from_millis(START + ms)
}

/// An id of a document that was stored then.
fn stored(ms: i64) -> ObjectId {
    let mut bytes = ObjectId::new().bytes();
    let seconds = u32::try_from((START + ms) / 1_000).unwrap();
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

/// A bar as its REST jobs stored it.
fn polled(at: i64, stored_at: i64, interval: &str, close: f64, trades: i32) -> Document {
    doc! {
        "_id": stored(stored_at), "t": date(at), "interval": interval, "o": 70_000.5, "h": 70_100.0, "l": 69_000.0,
        "c": close, "v": 1.25, "n": trades,
    }
}

/// A bar as its socket stored it.
fn pushed(at: i64, ms: i64, stored_at: i64, interval: &str, trades: i64) -> Document {
    doc! {
        "_id": stored(stored_at), "t": date(at), "T": date(at + ms - 1), "coin": "BTC", "interval": interval,
        "open": 70_000.5, "high": 70_100.0, "low": 69_000.0, "close": 70_050.1, "volume": 3.5, "trades": trades,
        "source": "websocket",
    }
}

fn book(at: i64, bids: &[f64], asks: &[f64]) -> Document {
    let levels = |prices: &[f64]| -> Vec<Document> {
        prices.iter().map(|px| doc! { "px": *px, "sz": 0.123, "n": 2 }).collect()
    };
    doc! { "t": date(at), "bids": levels(bids), "asks": levels(asks), "spread": -1.0, "midPrice": 1.0 }
}

fn trade(at: i64, tid: i64, px: f64) -> Document {
    doc! {
        "tid": tid, "t": date(at), "px": px, "sz": 0.1, "side": "B", "hash": format!("0x{}", "ab".repeat(32)),
        "usdValue": px * 0.1,
    }
}

fn mid(at: i64, coin: &str, price: f64) -> Document {
    doc! { "t": date(at), "coin": coin, "price": price, "previousPrice": 1.0, "change": 0.1, "changePercent": 0.1 }
}

/// The database, time series where it had them.
async fn original() -> String {
    let uri = hl_mongod::fresh_database();
    let db = mongodb::Client::with_uri_str(&uri).await.unwrap().default_database().unwrap();
    for name in ["btc_candles", "btc_orderbook", "btc_trades"] {
        let series = TimeseriesOptions::builder()
            .time_field("t".to_owned())
            .meta_field((name == "btc_candles").then(|| "interval".to_owned()))
            .granularity(Some(TimeseriesGranularity::Seconds))
            .build();
        db.create_collection(name).timeseries(series).await.unwrap();
    }
    let insert = async |name: &str, documents: Vec<Document>| {
        db.collection(name).insert_many(documents).await.unwrap();
    };
    let over = 2 * MINUTE;
    insert(
        "btc_candles",
        vec![
            // Sound, then the same once more, and an earlier version that was still open.
            polled(0, over, "1m", 69_500.25, 7),
            polled(0, over, "1m", 69_500.25, 7),
            polled(0, MINUTE / 2, "1m", 69_400.0, 3),
            // Days before anything was collected here.
            polled(-72 * 60 * MINUTE, -71 * 60 * MINUTE, "1m", 69_300.0, 1),
            // Under the interval of another handler: it lasts five minutes.
            pushed(5 * MINUTE, 5 * MINUTE, 11 * MINUTE, "1m", 40),
            // Nothing but open versions.
            pushed(10 * MINUTE, MINUTE, 10 * MINUTE + 20_000, "1m", 5),
            pushed(10 * MINUTE, MINUTE, 10 * MINUTE + 40_000, "1m", 9),
            // Two versions after the end: the one with more trades.
            polled(20 * MINUTE, 22 * MINUTE, "1m", 69_100.0, 10),
            polled(20 * MINUTE, 23 * MINUTE, "1m", 69_200.0, 11),
            // No minute begins there, a high below the low, no number.
            polled(MINUTE + 1_000, 4 * MINUTE, "1m", 69_500.0, 7),
            {
                let mut bar = polled(3 * MINUTE, 5 * MINUTE, "1m", 69_500.0, 7);
                bar.insert("h", 1.0);
                bar
            },
            {
                let mut bar = polled(4 * MINUTE, 6 * MINUTE, "1m", 69_500.0, 7);
                bar.insert("c", f64::NAN);
                bar
            },
            // In a piece that was collected here, in a gap, and a longer one in a stream of which nothing is known.
            polled(60 * MINUTE, 62 * MINUTE, "1m", 69_999.0, 99),
            polled(61 * MINUTE, 63 * MINUTE, "1m", 69_888.0, 98),
            polled(0, 61 * MINUTE, "1h", 69_777.0, 97),
        ],
    )
    .await;
    insert(
        "btc_orderbook",
        vec![
            book(0, &[70_000.0, 69_999.5], &[70_001.0, 70_002.0]),
            book(0, &[70_000.0, 69_999.5], &[70_001.0, 70_002.0]),
            // Exchanged, as everything that came over its socket.
            book(1_000, &[70_001.0, 70_002.0], &[70_000.0, 69_999.5]),
            // Crossed whichever way round, and one side only.
            book(2_000, &[70_000.0], &[70_000.0]),
            book(3_000, &[70_000.0], &[]),
            // Not in order.
            book(4_000, &[69_999.0, 70_000.0], &[70_001.0]),
        ],
    )
    .await;
    insert(
        "btc_trades",
        vec![
            trade(5, 11, 97_123.45678901),
            trade(5, 11, 97_123.45678901),
            trade(5, 12, 97_123.5),
            trade(6, 11, 0.1),
            {
                let mut bad = trade(7, 13, 1.0);
                bad.insert("side", "?");
                bad
            },
        ],
    )
    .await;
    insert(
        "all_mids",
        vec![mid(0, "BTC", 70_000.5), mid(0, "@107", 0.00015), mid(0, "BTC", 70_000.5), mid(9, "", 1.0)],
    )
    .await;
    insert("btc_ticker", vec![doc! { "px": 70_000.0 }]).await;
    insert("btc_funding_history", vec![doc! { "t": date(0), "fundingRate": 0.0000125 }]).await;
    insert("trader_positions", vec![doc! { "t": date(0), "ethAddress": "0x00" }, doc! { "t": date(1) }])
        .await;
    uri
}

fn minutes() -> StreamKey {
    StreamKey::Candle(Coin::new("BTC").unwrap(), Interval::M1)
}

fn bar(ms: i64, trades: u64) -> Candle {
    let px = Decimal::from(5);
    let (coin, interval, time) = (Coin::new("BTC").unwrap(), Interval::M1, TimeMs(START + ms));
    Candle {
        coin,
        interval,
        time,
        open: px,
        high: px,
        low: px,
        close: px,
        volume: px,
        trades,
        arrival: Arrival::default(),
    }
}

fn span(from: i64, to: i64) -> Span {
    Span::new(TimeMs(START + from), TimeMs(START + to))
}

async fn open(target: &StoreFile) -> Arc<dyn Store> {
    let clock = Arc::new(SystemClock);
    match target.uri.starts_with("sqlite:") {
        true => {
            let options = SqliteOptions::of_this_process(target.path(), "test", clock);
            Arc::new(SqliteStore::open(options).await.unwrap())
        }
        false => {
            let options = MongoOptions::of_this_process(&target.uri, "test", clock);
            Arc::new(MongoStore::open(options).await.unwrap())
        }
    }
}

async fn commit(store: &Arc<dyn Store>, changes: Vec<(StreamKey, Change)>) {
    let ack = store.commit(Arc::new(Batch { token: store.token(), changes })).await.unwrap();
    assert!(ack.superseded.is_empty() && ack.refused == 0, "{ack:?}");
}

/// Collects two minutes, with a gap of a minute behind the first, and one mid.
async fn collect(target: &StoreFile) {
    let store = open(target).await;
    store.lease(&[minutes()]).await.unwrap();
    let epoch = Epoch { token: store.token(), local: 1 };
    let hour = 60 * MINUTE;
    let rows = |records| Change::Rows { epoch, origin: Origin::Ws, records };
    let changes = vec![
        rows(Records::Candles(vec![bar(hour, 1)])),
        Change::Covered { epoch, origin: Origin::Ws, span: span(hour, hour + MINUTE) },
        Change::GapOpened { span: span(hour + MINUTE, hour + 2 * MINUTE), cause: Cause::Outage },
        rows(Records::Candles(vec![bar(hour + 2 * MINUTE, 1)])),
        Change::Covered { epoch, origin: Origin::Ws, span: span(hour + 2 * MINUTE, hour + 3 * MINUTE) },
        Change::Final { span: span(hour, hour + 3 * MINUTE) },
        Change::Edge(TimeMs(START + hour + 3 * MINUTE)),
    ];
    commit(&store, changes.into_iter().map(|change| (minutes(), change)).collect()).await;
    store.close().await.unwrap();
}

async fn exported(target: &StoreFile, stream: &str) -> Vec<Value> {
    let words = ["export", "--stream", stream, "--format", "ndjson", "--store", &target.uri];
    let output = run("hl-cli", &words, &[]).await;
    // What was imported proves nothing: a range of it is not whole.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Of each row some fields, and where it came from.
async fn picture(target: &StoreFile, stream: &str, fields: &[&str]) -> Vec<Value> {
    let all = [&["time"], fields, &["source"]].concat();
    let rows = exported(target, stream).await;
    rows.iter()
        .map(|row| {
            let field = |name: &&str| match *name {
                "time" => (row["time"].as_i64().unwrap() - START).into(),
                name => row[name].clone(),
            };
            Value::Array(all.iter().map(field).collect())
        })
        .collect()
}

async fn import(from: &str, target: &StoreFile) -> Value {
    let said = answer(&["import", "--from", from, "--store", &target.uri]).await;
    let mut counts = json!({});
    for collection in said["collections"].as_array().unwrap() {
        let mut collection = collection.clone();
        let fields = collection.as_object_mut().unwrap();
        let name = fields["collection"].as_str().unwrap().to_owned();
        let of = |name: &str| fields[name].as_u64().unwrap();
        let somewhere = [
            "imported",
            "existing",
            "collected",
            "duplicates",
            "crossed",
            "open_bars",
            "malformed",
            "no_place",
        ];
        assert_eq!(
            somewhere.map(of).iter().sum::<u64>(),
            of("documents"),
            "each document is told of: {name}"
        );
        fields.retain(|_, count| count.as_u64().is_some_and(|count| count > 0));
        counts[name] = collection;
    }
    counts
}

async fn imported_into(target: &StoreFile) {
    let from = original().await;
    collect(target).await;
    let ledger = answer(&["coverage", "--store", &target.uri, "--stream", "candle/BTC/1m"]).await;
    let counts = import(&from, target).await;
    assert_eq!(
        counts,
        json!({
            "btc_candles": {
                "documents": 15, "imported": 6, "collected": 1, "duplicates": 2, "open_bars": 3, "malformed": 3,
                "mislabelled": 1,
            },
            "btc_orderbook": {
                "documents": 6, "imported": 2, "duplicates": 1, "crossed": 1, "malformed": 2, "exchanged": 1,
            },
            "btc_trades": { "documents": 5, "imported": 3, "duplicates": 1, "malformed": 1 },
            "all_mids": { "documents": 4, "imported": 2, "duplicates": 1, "malformed": 1 },
            "btc_funding_history": { "documents": 1, "no_place": 1 },
            "btc_ticker": { "documents": 1, "no_place": 1 },
            "trader_positions": { "documents": 2, "no_place": 2 },
        })
    );

    let hour = 60 * MINUTE;
    assert_eq!(
        picture(target, "candle/BTC/1m", &["close", "trades"]).await,
        [
            json!([-72 * 60 * MINUTE, "69300.0", 1, "import"]),
            json!([0, "69500.25", 7, "import"]),
            json!([20 * MINUTE, "69200.0", 11, "import"]),
            json!([hour, "5.0", 1, "ws"]),
            json!([hour + MINUTE, "69888.0", 98, "import"]),
            json!([hour + 2 * MINUTE, "5.0", 1, "ws"]),
        ]
    );
    let fives = picture(target, "candle/BTC/5m", &["close", "trades"]).await;
    assert_eq!(fives, [json!([5 * MINUTE, "70050.1", 40, "import"])]);
    assert_eq!(picture(target, "candle/BTC/1h", &["trades"]).await, [json!([0, 97, "import"])]);
    let books = exported(target, "book/BTC").await;
    let best = |book: &Value, side: &str| book[side][0]["px"].clone();
    assert_eq!(books.iter().map(|b| b["time"].as_i64().unwrap() - START).collect::<Vec<_>>(), [0, 1_000]);
    for book in &books {
        assert_eq!((best(book, "bids"), best(book, "asks")), (json!("70000.0"), json!("70001.0")), "{book}");
    }
    assert_eq!(
        picture(target, "trades/BTC", &["tid", "px", "side"]).await,
        [
            json!([5, 11, "97123.45678901", "B", "import"]),
            json!([5, 12, "97123.5", "B", "import"]),
            json!([6, 11, "0.1", "B", "import"]),
        ]
    );
    let mids = picture(target, "mids", &["coin", "px"]).await;
    assert_eq!(mids, [json!([0, "@107", "0.00015", "import"]), json!([0, "BTC", "70000.5", "import"])]);

    // Nothing became proven by it, and nothing is wrong with it.
    assert_eq!(answer(&["coverage", "--store", &target.uri, "--stream", "candle/BTC/1m"]).await, ledger);
    let audit = answer(&["verify", "--store", &target.uri]).await;
    assert_eq!((&audit["clean"], &audit["problems"]), (&true.into(), &json!([])));

    let again = import(&from, target).await;
    for (name, existing) in [("btc_candles", 6), ("btc_orderbook", 2), ("btc_trades", 3), ("all_mids", 2)] {
        assert_eq!(
            (&again[name]["imported"], &again[name]["existing"]),
            (&Value::Null, &existing.into()),
            "{name}"
        );
    }

    // What is collected or filled later takes its place, and says so in the ledger.
    let store = open(target).await;
    store.lease(&[minutes(), StreamKey::MIDS]).await.unwrap();
    let epoch = Epoch { token: store.token(), local: 1 };
    let hole = span(hour + MINUTE, hour + 2 * MINUTE);
    assert_eq!(store.claim_gaps(minutes(), hole, epoch).await.unwrap(), [hole]);
    let bars = Records::Candles(vec![bar(hour + MINUTE, 3)]);
    let filled = Change::Filled { epoch, origin: Origin::Backfill, span: hole, records: bars };
    let mid = |ms, px: i64| Mid {
        coin: Coin::new("BTC").unwrap(),
        time: TimeMs(START + ms),
        px: Decimal::from(px),
        arrival: Arrival::default(),
    };
    let mids = Records::Mids(vec![mid(0, 1), mid(3, 2)]);
    let rows = Change::Rows { epoch, origin: Origin::Rest, records: mids };
    let covered = Change::Covered { epoch, origin: Origin::Rest, span: span(0, 3) };
    let changes =
        vec![(minutes(), filled), (StreamKey::MIDS, rows.clone()), (StreamKey::MIDS, covered.clone())];
    commit(&store, changes).await;
    // Once more, as after a crash: now they are ours.
    commit(&store, vec![(StreamKey::MIDS, rows), (StreamKey::MIDS, covered)]).await;
    store.close().await.unwrap();
    let bars = picture(target, "candle/BTC/1m", &["close", "trades"]).await;
    assert_eq!(bars[4], json!([hour + MINUTE, "5.0", 3, "backfill"]));
    let mids = picture(target, "mids", &["coin", "px"]).await;
    assert_eq!(
        mids,
        [
            json!([0, "@107", "0.00015", "import"]),
            json!([0, "BTC", "1.0", "rest"]),
            json!([3, "BTC", "2.0", "rest"]),
        ]
    );
    let pieces = answer(&["coverage", "--store", &target.uri, "--stream", "mids"]).await;
    assert_eq!(pieces["streams"][0]["coverage"][0]["rows"], 2, "{pieces:#}");
    assert_eq!(import(&from, target).await["btc_candles"]["imported"], Value::Null);
    let audit = answer(&["verify", "--store", &target.uri]).await;
    assert_eq!((&audit["clean"], &audit["problems"]), (&true.into(), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn into_sqlite() {
    imported_into(&StoreFile::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn into_mongodb() {
    imported_into(&StoreFile::in_mongodb(hl_mongod::fresh_database())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_says_what_became_of_the_rest() {
    let (from, target) = (original().await, StoreFile::new());
    let output = run("hl-cli", &["import", "--from", &from, "--store", &target.uri], &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in [
        "btc_candles: 1 under another interval than they last",
        "btc_orderbook: 1 with bids and asks exchanged back",
        "btc_ticker: one document without a time",
        "btc_funding_history: the exchange has all of it, with the premium: hl-cli backfill funding",
        "14 rows imported into sqlite:",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_database_is_refused() {
    let target = StoreFile::new();
    let empty = hl_mongod::fresh_database();
    for (from, code, reason) in [
        (empty.as_str(), 1, "holds none of the collections of the original system, such as btc_candles"),
        ("sqlite:x.db", 2, "the original system keeps its data in MongoDB"),
        ("mongodb://me:secret@", 2, "write it like mongodb://host"),
    ] {
        let output = run("hl-cli", &["import", "--from", from, "--store", &target.uri], &[]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && said.contains(reason), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert!(!target.path().exists(), "no store is made for nothing");
}

//! A recording of the real exchange, played back to a real daemon: every row of it is stored, and nothing else. What
//! is in the recording is found out here, without the collector's own code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use hl_core::Decimal;
use serde_json::{Value, json};

use crate::support::process::{Exchange, StoreFile, until};

/// Simulated seconds in a second: no pause of the recording may look like a stamp of the future.
const SPEED: &str = "4";

fn recording() -> Option<PathBuf> {
    let folder = std::env::var_os("HL_CAPTURES_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"), PathBuf::from);
    let file = folder.join("ws-books-5m/live_books_5m.jsonl");
    file.exists().then_some(file)
}

/// Trades by (coin, time, tid), with price, size, side and both users.
type Trades = BTreeMap<(String, i64, i64), [String; 5]>;
/// Books by (coin, time): the best bid and ask, and the levels.
type Books = BTreeMap<(String, i64), ([String; 4], i64)>;

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Of each coin and time the trades in the order of the frames: tid, price, side and taker.
type Order = BTreeMap<(String, i64), Vec<(i64, Decimal, String, String)>>;

fn order(file: &PathBuf) -> Order {
    let mut order = Order::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        for t in frame["data"].as_array().filter(|_| frame["channel"] == "trades").into_iter().flatten() {
            let (side, tid) = (text(&t["side"]), t["tid"].as_i64().unwrap());
            let taker = text(&t["users"][usize::from(side == "A")]);
            let block = order.entry((text(&t["coin"]), t["time"].as_i64().unwrap())).or_default();
            if block.iter().all(|(known, ..)| *known != tid) {
                block.push((tid, text(&t["px"]).parse().unwrap(), side, taker));
            }
        }
    }
    order
}

/// The prices of each order that took more than one, whether it bought, by coin, time and taker.
fn sweeps(order: &Order) -> Vec<(bool, Vec<Decimal>)> {
    let mut sweeps = BTreeMap::new();
    for (block, trades) in order {
        for (_, px, side, taker) in trades {
            let prices: &mut Vec<Decimal> = sweeps.entry((block, taker, side)).or_default();
            prices.push(*px);
        }
    }
    let several = |prices: &[Decimal]| prices.iter().any(|px| *px != prices[0]);
    let of = |((_, _, side), prices): ((_, _, &String), Vec<Decimal>)| (side == "B", prices);
    sweeps.into_iter().filter(|(_, prices)| several(prices)).map(of).collect()
}

fn monotone(sweeps: &[(bool, Vec<Decimal>)]) -> usize {
    let is = |(buys, prices): &&(bool, Vec<Decimal>)| {
        if *buys { prices.is_sorted() } else { prices.iter().rev().is_sorted() }
    };
    sweeps.iter().filter(is).count()
}

/// What is stored, in this order.
fn stored_order(store: &StoreFile, by: &str) -> rusqlite::Result<Order> {
    let db = rusqlite::Connection::open_with_flags(store.path(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut rows =
        db.prepare(&format!("SELECT coin, time, tid, px, side, buyer, seller FROM trades ORDER BY {by}"))?;
    let mut order = Order::new();
    let rows = rows.query_map([], |r| {
        let (side, users): (String, [String; 2]) = (r.get(4)?, [r.get(5)?, r.get(6)?]);
        let taker = users[usize::from(side == "A")].clone();
        let px = r.get::<_, String>(3)?.parse().unwrap_or_default();
        Ok(((r.get(0)?, r.get(1)?), (r.get(2)?, px, side, taker)))
    })?;
    for row in rows {
        let (block, trade) = row?;
        order.entry(block).or_default().push(trade);
    }
    Ok(order)
}

/// The text of a decimal without the zeros that mean nothing: exchange and store write the same number differently.
fn plain(value: &Value) -> String {
    let text = value.as_str().unwrap();
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

fn recorded(file: &PathBuf) -> (Trades, Books) {
    let (mut trades, mut books) = (Trades::new(), Books::new());
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        let data = &frame["data"];
        match frame["channel"].as_str().unwrap() {
            "trades" => {
                for t in data.as_array().unwrap() {
                    let key = (text(&t["coin"]), t["time"].as_i64().unwrap(), t["tid"].as_i64().unwrap());
                    let users = [text(&t["users"][0]), text(&t["users"][1])];
                    let [buyer, seller] = users;
                    trades.insert(key, [plain(&t["px"]), plain(&t["sz"]), text(&t["side"]), buyer, seller]);
                }
            }
            "l2Book" => {
                let key = (text(&data["coin"]), data["time"].as_i64().unwrap());
                let [bids, asks] = [&data["levels"][0], &data["levels"][1]];
                let best = [&bids[0]["px"], &bids[0]["sz"], &asks[0]["px"], &asks[0]["sz"]].map(plain);
                let levels = bids.as_array().unwrap().len() + asks.as_array().unwrap().len();
                books.insert(key, (best, i64::try_from(levels).unwrap()));
            }
            _ => {}
        }
    }
    (trades, books)
}

fn stored(store: &StoreFile) -> rusqlite::Result<(Trades, Books)> {
    let db = rusqlite::Connection::open_with_flags(store.path(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let number = |text: String| plain(&Value::String(text));
    let mut rows = db.prepare("SELECT coin, time, tid, px, sz, side, buyer, seller FROM trades")?;
    let trades = rows.query_map([], |r| {
        let values = [number(r.get(3)?), number(r.get(4)?), r.get(5)?, r.get(6)?, r.get(7)?];
        Ok(((r.get(0)?, r.get(1)?, r.get(2)?), values))
    })?;
    let mut rows = db.prepare(
        "SELECT coin, time, bids ->> '$[0][0]', bids ->> '$[0][1]', asks ->> '$[0][0]', asks ->> '$[0][1]',
                json_array_length(bids) + json_array_length(asks)
         FROM books WHERE variant = 'default'",
    )?;
    let books = rows.query_map([], |r| {
        let best = [number(r.get(2)?), number(r.get(3)?), number(r.get(4)?), number(r.get(5)?)];
        Ok(((r.get(0)?, r.get(1)?), (best, r.get(6)?)))
    })?;
    Ok((trades.collect::<Result<_, _>>()?, books.collect::<Result<_, _>>()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_stored_whole_and_nothing_else() {
    let Some(file) = recording() else {
        println!("SKIPPED: there is no recording; set HL_CAPTURES_DIR");
        return;
    };
    let (trades, books) = recorded(&file);
    let exchange = Exchange::start(&["--replay", file.to_str().unwrap(), "--speed", SPEED]).await;
    let store = StoreFile::new();
    let coins: BTreeSet<_> = trades.keys().map(|key| &key.0).chain(books.keys().map(|key| &key.0)).collect();
    let coins = coins.into_iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let mut daemon = store.daemon(&exchange, &["--coin", &coins, "--streams", "trades,book"]);

    until("the recording was played", async || {
        exchange.status().await["replay_finished"].as_bool().filter(|&over| over)
    })
    .await;
    // The last frames are in when the daemon says the same twice.
    let mut before = Value::Null;
    store
        .until_live("nothing more arrives", |live| {
            let of =
                |name: &str| live["streams"].as_array().unwrap().iter().map(|s| s[name].clone()).collect();
            let now: (Vec<Value>, Value) = (of("records"), live["uptime_ms"].clone());
            let same = before["records"] == json!(now.0) && before["uptime_ms"] != now.1;
            before = json!({"records": now.0, "uptime_ms": now.1});
            same
        })
        .await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());

    let (stored_trades, stored_books) = stored(&store).unwrap();
    println!("{} trades and {} books of {coins}", trades.len(), books.len());
    assert!(!trades.is_empty() && !books.is_empty());
    let differ = |a: usize, b: usize| format!("{a} recorded, {b} stored\n{}", daemon.log());
    assert!(stored_trades == trades, "trades: {}", differ(trades.len(), stored_trades.len()));
    assert!(stored_books == books, "books: {}", differ(books.len(), stored_books.len()));

    // In which order the exchange executed them no other column says.
    let (sent, in_order) = (order(&file), stored_order(&store, "coin, time, seq").unwrap());
    let by_tid = sweeps(&stored_order(&store, "coin, time, tid").unwrap());
    let (swept, stored) = (sweeps(&sent), sweeps(&in_order));
    println!(
        "{} sweeps: monotone {} as sent, {} by seq, {} by tid",
        swept.len(),
        monotone(&swept),
        monotone(&stored),
        monotone(&by_tid)
    );
    assert_eq!((stored.len(), monotone(&stored)), (swept.len(), monotone(&swept)));
    assert!(monotone(&by_tid) < monotone(&stored), "the tid is not the order");
    assert!(in_order == sent, "as the frames had them");
}

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use hl_archive::{Retention, Rule, Whole};
use hl_core::seam::{BoxListener, Endpoint, Net as _};
use hl_sim::{Sim, SimConfig};

use hl_core::ledger::Span;
use hl_core::row::Arrival;
use hl_core::seam::Clock;
use hl_core::thinning::Policy;
use hl_core::{Coin, Decimal, Interval, Records, StreamKey};
use hl_engine::{EngineError, Snapshot};
use hl_runtime::{SystemClock, TcpNet};
use hl_scheduler::jobs::{ARCHIVE_ALL_COLLECTIONS, CollectFunding};
use hl_scheduler::plan::Spec;
use hl_store::{Inspect as _, Spool, SqliteOptions, SqliteStore, Writer};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{CollectError, Collector};

/// A simulated exchange on a free port of this machine, and a folder for a store.
async fn exchange() -> (Sim, tempfile::TempDir) {
    let listener = TcpNet::new().listen("127.0.0.1:0").await.unwrap();
    let config = SimConfig { start: SystemClock.now(), ..SimConfig::default() };
    (Sim::start(config, listener).unwrap(), tempfile::tempdir().unwrap())
}

async fn until(collector: &Collector, holds: impl Fn(&Snapshot) -> bool) {
    let mut every = tokio::time::interval(Duration::from_millis(20));
    while !holds(&collector.snapshot()) {
        every.tick().await;
    }
}

#[tokio::test]
async fn collects_into_a_file_and_gives_the_streams_back() {
    let (sim, folder) = exchange().await;
    let path = folder.path().join("new").join("market.db");
    let builder = Collector::at(&sim.endpoint())
        .streams(["trades/BTC", "bbo/BTC", "mids", "mids/xyz"])
        .store_sqlite(&path);
    let collector = builder.clone().start().await.unwrap();
    until(&collector, |s| s.streams.len() == 4 && s.pipeline.inserted > 20).await;
    let xyz: StreamKey = "mids/xyz".parse().unwrap();
    until(&collector, |s| s.streams[&xyz].tally.admitted > 0).await;
    collector.stop().await.unwrap();

    let store = SqliteStore::inspect(&path).unwrap();
    let trades = StreamKey::Trades(Coin::new("BTC").unwrap());
    let Records::Trades(mut rows) = store.rows(trades, Span::EVER).await.unwrap() else {
        panic!("trades are trades")
    };
    assert!(!rows.is_empty());
    rows.sort_by_key(|trade| (trade.time, trade.arrival.seq));
    rows.iter_mut().for_each(|trade| trade.arrival = Arrival::default());
    let truth = sim.truth_trades(Coin::new("BTC").unwrap(), rows[0].time, rows[rows.len() - 1].time);
    assert_eq!(rows, truth, "in the order in which the exchange sent them");
    assert!(store.holders().await.unwrap().is_empty(), "a stopped collector holds nothing");
    assert!(store.audit().await.unwrap().problems.is_empty());

    let again = builder.start().await.unwrap();
    until(&again, |s| s.streams.len() == 4).await;
    again.stop().await.unwrap();
    sim.stop().await;
}

#[tokio::test]
async fn two_collectors_never_share_a_stream() {
    let (sim, folder) = exchange().await;
    let path = folder.path().join("market.db");
    let builder = Collector::at(&sim.endpoint()).streams(["trades/BTC"]).store_sqlite(&path);
    let first = builder.clone().start().await.unwrap();
    until(&first, |s| s.streams.len() == 1).await;
    let mut second = builder.clone().start().await.unwrap();
    let error = second.ended().await.unwrap_err();
    assert!(
        matches!(error, CollectError::Engine(EngineError::Held(ref holders)) if holders.len() == 1),
        "{error}"
    );
    second.stop().await.unwrap();

    drop(first);
    let store = SqliteStore::inspect(&path).unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(20));
    while !store.holders().await.unwrap().is_empty() {
        every.tick().await;
    }
    let third = builder.start().await.unwrap();
    until(&third, |s| s.streams.len() == 1).await;
    third.stop().await.unwrap();
    sim.stop().await;
}

#[tokio::test]
async fn what_a_program_reads_beside_its_collector_leaves_the_file_in_order() {
    let (sim, folder) = exchange().await;
    let path = folder.path().join("market.db");
    let collector = Collector::at(&sim.endpoint())
        .streams(["trades/BTC", "mids"])
        .store_sqlite(&path)
        .start()
        .await
        .unwrap();
    until(&collector, |s| s.pipeline.inserted > 20).await;
    let log = format!("{}-wal", path.display());
    let before = std::fs::metadata(&log).unwrap().ino();
    let trades = || {
        let words = [path.to_str().unwrap(), "SELECT count(*) FROM trades"];
        let output = std::process::Command::new("sqlite3").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    };
    for _ in 0..3 {
        let store = SqliteStore::inspect(&path).unwrap();
        let seen = store.streams().await.unwrap();
        assert!(seen.iter().any(|stream| stream.rows > 0));
        drop(store);
        // Another program comes and goes; it would remove the log if it took itself for the last one.
        let found = trades();
        assert_eq!(std::fs::metadata(&log).unwrap().ino(), before);
        until(&collector, |s| s.pipeline.commits > 0 && trades() > found).await;
    }
    collector.stop().await.unwrap();
    assert!(SqliteStore::inspect(&path).unwrap().audit().await.unwrap().problems.is_empty());
    sim.stop().await;
}

#[tokio::test]
async fn what_cannot_be_collected_is_said_at_the_start() {
    let (sim, folder) = exchange().await;
    let builder = || Collector::at(&sim.endpoint()).store_sqlite(folder.path().join("market.db"));
    let error = builder().start().await.unwrap_err();
    assert!(matches!(error, CollectError::NoStreams), "{error}");
    let error = builder().streams(["tades/BTC"]).start().await.unwrap_err();
    assert!(matches!(error, CollectError::Stream(_)), "{error}");
    let error = builder().streams(["funding/BTC"]).start().await.unwrap_err();
    assert!(matches!(error, CollectError::NotLive(_)), "{error}");
    let error = builder().streams(["trades/BTC", "trades/btc"]).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the exchange has no coin btc, which trades/btc asks for");
    let error = builder().streams(["mids", "mids/abc"]).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the exchange has no dex abc, which mids/abc asks for");
    let error = builder().streams(["mids"]).standby(["BTC"]).start().await.unwrap_err();
    assert_eq!(error.to_string(), "BTC was to have a standby, and its trades are not collected");
    let error = builder().streams(["trades/BTC"]).standby([""]).start().await.unwrap_err();
    assert!(matches!(error, CollectError::Coin(_)), "{error}");
    let error = builder().streams(["mids"]).store_sqlite(folder.path()).start().await.unwrap_err();
    assert!(error.to_string().contains("is a folder"), "{error}");

    // The markets are remembered once they have been read.
    let remembered =
        Collector::at(&sim.endpoint()).streams(["mids"]).store_sqlite(folder.path().join("market.db"));
    sim.stop().await;
    remembered.start().await.unwrap().stop().await.unwrap();
}

/// A stream that is removed is stored up to its end and free for others; added again it goes on, and what was missed is a gap.
#[tokio::test]
async fn streams_come_and_go_while_it_collects() {
    let (sim, folder) = exchange().await;
    let path = folder.path().join("market.db");
    let collector = Collector::at(&sim.endpoint())
        .streams(["bbo/BTC", "mids"])
        .store_sqlite(&path)
        .start()
        .await
        .unwrap();
    let (bbo, trades): (StreamKey, StreamKey) = ("bbo/BTC".parse().unwrap(), "trades/ETH".parse().unwrap());
    let owned = |stream| move |s: &Snapshot| s.streams.get(&stream).is_some_and(|m| m.owner.is_some());
    until(&collector, owned(bbo)).await;
    let unknown = collector.add(["trades/ETH", "bbo/NONE"]).await.unwrap_err();
    assert!(matches!(unknown, CollectError::UnknownCoin { .. }), "{unknown}");
    let unknown = collector.add(["trades/ETH", "mids/abc"]).await.unwrap_err();
    assert!(matches!(unknown, CollectError::UnknownDex { .. }), "{unknown}");
    assert!(matches!(collector.add(["trade/BTC"]).await, Err(CollectError::Stream(_))));
    assert!(!collector.snapshot().streams.contains_key(&trades), "none of them was added");
    collector.add(["trades/ETH", "mids/xyz"]).await.unwrap();
    until(&collector, owned(trades)).await;
    until(&collector, owned("mids/xyz".parse().unwrap())).await;

    collector.remove([bbo]).unwrap();
    let store = SqliteStore::inspect(&path).unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(20));
    let held = async |store: &hl_store::SqliteInspect| {
        let leases = store.leases().await.unwrap();
        leases.iter().any(|lease| lease.stream == bbo && lease.holder.is_some())
    };
    while held(&store).await {
        every.tick().await;
    }
    assert!(!collector.snapshot().streams.contains_key(&bbo));
    assert!(collector.snapshot().streams.contains_key(&trades), "the others go on");
    let rows = store.rows(bbo, Span::EVER).await.unwrap().len();
    assert!(rows > 0);

    collector.add([bbo]).await.unwrap();
    until(&collector, owned(bbo)).await;
    until(&collector, |s| s.streams[&bbo].tally.admitted > 5).await;
    collector.stop().await.unwrap();
    assert!(store.rows(bbo, Span::EVER).await.unwrap().len() > rows);
    let gaps = store.gaps(Some(bbo)).await.unwrap();
    assert!(!gaps.is_empty(), "what was not collected is said");
    assert!(store.audit().await.unwrap().problems.is_empty());
    sim.stop().await;
}

/// A store that was given, and what else the daemon can be told: the local address, the share, what is left out.
#[tokio::test]
async fn what_the_daemon_can_do_the_builder_can() {
    let (sim, folder) = exchange().await;
    let path = folder.path().join("market.db");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqliteStore::open(SqliteOptions::of_this_process(&path, "test", clock)).await.unwrap();
    let spool = Spool::open_beside(&path, Writer::Thread, 1 << 20).await.unwrap();
    let least = Decimal::from(500);
    let collector = Collector::at(&sim.endpoint())
        .streams(["trades/BTC", "mids"])
        .store(Arc::new(store), Arc::new(spool))
        .local_address([127, 0, 0, 1].into())
        .weight(3)
        .thinned(Policy { min_trade_usd: Some(least), ..Policy::default() })
        .job(Spec::new(CollectFunding::ID, "every 8h".parse().unwrap()))
        .start()
        .await
        .unwrap();
    until(&collector, |s| s.streams.len() == 2 && s.pipeline.inserted > 20 && s.pipeline.thinned > 0).await;
    let snapshot = serde_json::to_value(collector.snapshot()).unwrap();
    assert_eq!(snapshot["streams"]["trades/BTC"]["owner"], "ws");
    let jobs: Vec<_> = snapshot["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
    assert!(jobs.contains(&CollectFunding::ID.into()), "{jobs:?}");
    let inspect = SqliteStore::inspect(&path).unwrap();
    let Records::Trades(trades) = inspect.rows("trades/BTC".parse().unwrap(), Span::EVER).await.unwrap()
    else {
        panic!("trades are trades")
    };
    assert!(trades.iter().all(|trade| trade.px * trade.sz >= least));
    collector.stop().await.unwrap();
    assert!(inspect.holders().await.unwrap().is_empty(), "the store that was given is closed");

    let nowhere = Collector::at(&sim.endpoint()).streams(["mids"]).local_address([192, 0, 2, 1].into());
    let error = nowhere.store_sqlite(&path).start().await.unwrap_err();
    assert!(matches!(error, CollectError::LocalAddress { .. }), "{error}");
    sim.stop().await;
}

/// What is past its retention moves to files beside the store, and both are read as one.
#[tokio::test]
async fn old_rows_move_to_the_archive_while_it_collects() {
    let (sim, folder) = exchange().await;
    let (path, archive) = (folder.path().join("market.db"), folder.path().join("archive"));
    let minutes: StreamKey = "candle/BTC/1m".parse().unwrap();
    let mut retention = Retention::default();
    assert!(retention.set("candle/1m", Rule::Archive { days: 1 }));
    let collector = Collector::at(&sim.endpoint())
        .streams([minutes])
        .store_sqlite(&path)
        .backfill(Duration::from_secs(3 * 86_400))
        .archive(&archive, retention.clone())
        .job(Spec::new(ARCHIVE_ALL_COLLECTIONS, "every 1s".parse().unwrap()))
        .start()
        .await
        .unwrap();
    let all = Span::EVER;
    let store = SqliteStore::inspect(&path).unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(20));
    let parts = loop {
        every.tick().await;
        let parts = store.parts(Some(minutes), all).await.unwrap();
        if parts.len() >= 2 {
            break parts;
        }
    };
    collector.stop().await.unwrap();

    let (first, last) = (parts[0].first, parts[1].last);
    assert_eq!(store.rows(minutes, Span::new(first, last)).await.unwrap().len(), 0, "they left the store");
    let whole = Whole::new(Box::new(store), &archive);
    let Records::Candles(mut bars) = whole.rows(minutes, Span::new(first, last)).await.unwrap() else {
        panic!("candles are candles")
    };
    let mut truth = sim.truth_candles(Coin::new("BTC").unwrap(), Interval::M1, first, last);
    bars.iter_mut().chain(&mut truth).for_each(|bar| bar.arrival = Arrival::default());
    assert_eq!(bars, truth);
    assert!(bars.len() > 24 * 60, "{} bars", bars.len());
    assert!(whole.audit().await.unwrap().problems.is_empty());

    let given = SqliteOptions::of_this_process(&path, "test", Arc::new(SystemClock));
    let given = Arc::new(SqliteStore::open(given).await.unwrap());
    let spool = Arc::new(Spool::open_beside(&path, Writer::Thread, 1 << 20).await.unwrap());
    let collector = Collector::at(&sim.endpoint()).streams([minutes]).store(given, spool);
    let error = collector.archive(&archive, retention).start().await.unwrap_err();
    assert!(matches!(error, CollectError::ArchiveOfGiven), "{error}");
    sim.stop().await;
}

/// What comes back for a request, until the end.
async fn asked(at: &Endpoint, path: &str) -> String {
    let mut stream = TcpNet::new().connect(at).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// What a webhook is told next; it is taken.
async fn told(hook: &mut BoxListener) -> String {
    let mut stream = hook.accept().await.unwrap();
    let mut message = Vec::new();
    while !message.ends_with(b"}}") {
        message.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    String::from_utf8(message).unwrap()
}

/// It answers over HTTP while it collects, and tells the webhook of alerts.
#[tokio::test]
async fn who_asks_is_answered_and_the_webhook_is_told() {
    let (sim, folder) = exchange().await;
    let mut hook = TcpNet::new().listen("127.0.0.1:0").await.unwrap();
    let builder = |path: &str| {
        let builder = Collector::at(&sim.endpoint()).streams(["bbo/BTC", "mids"]).name("box");
        builder.store_sqlite(folder.path().join(path)).http(([127, 0, 0, 1], 0))
    };
    let url = format!("{}/hooks/secret", hook.endpoint());
    let collector = builder("market.db").webhook(&url).start().await.unwrap();
    let at = collector.http().unwrap().clone();
    until(&collector, |s| s.streams.len() == 2 && s.pipeline.inserted > 20).await;
    let mut every = tokio::time::interval(Duration::from_millis(20));
    while !asked(&at, "/healthz").await.starts_with("HTTP/1.1 200 ") {
        every.tick().await;
    }
    let processes = asked(&at, "/v1/processes").await;
    let (role, host) = (r#""role":"hyperliquid-collector""#, r#""host":"box""#);
    assert!(processes.contains(role) && processes.contains(host), "{processes}");
    assert!(processes.contains(r#""name":"bbo/BTC""#), "{processes}");

    let taken = std::net::SocketAddr::from(([127, 0, 0, 1], at.port));
    let error = builder("other.db").http(taken).start().await.unwrap_err();
    assert!(matches!(error, CollectError::Http { .. }), "{error}");
    let error = builder("other.db").webhook("ftp://host/secret").start().await.unwrap_err().to_string();
    assert!(error.contains("not a URL of a webhook") && !error.contains("secret"), "{error}");

    let (path, away) = (folder.path().join("market.db"), folder.path().join("away.db"));
    std::fs::rename(&path, &away).unwrap();
    let message = told(&mut hook).await;
    assert!(message.starts_with("POST /hooks/secret HTTP/1.1\r\n"), "{message}");
    assert!(message.contains(r#"{"event":"raised","kind":"store_gone""#), "{message}");
    assert!(message.contains(host), "{message}");
    assert!(asked(&at, "/healthz").await.starts_with("HTTP/1.1 503 "));
    std::fs::rename(&away, &path).unwrap();
    let message = told(&mut hook).await;
    assert!(message.contains(r#"{"event":"resolved","kind":"store_gone""#), "{message}");
    collector.stop().await.unwrap();
    assert!(TcpNet::new().connect(&at).await.is_err(), "it answers no longer");
    sim.stop().await;
}

/// Collectors on one database share the streams, and one goes on with those of another that has ended.
#[tokio::test]
async fn collectors_on_one_mongodb_share_the_streams() {
    let (sim, folder) = exchange().await;
    let uri = hl_mongod::fresh_database();
    // What waits before a database lies under the working directory; no other test here looks at that.
    std::env::set_current_dir(folder.path()).unwrap();
    let all: Vec<StreamKey> = ["BTC", "ETH"]
        .iter()
        .flat_map(|coin| ["trades", "bbo", "context", "book"].map(|kind| format!("{kind}/{coin}")))
        .map(|name| name.parse().unwrap())
        .collect();
    let builder = |name| Collector::at(&sim.endpoint()).streams(&all).store_mongodb(&uri).name(name);
    let one = builder("one").start().await.unwrap();
    until(&one, |s| s.streams.len() == all.len()).await;
    let two = builder("two").start().await.unwrap();
    until(&two, |s| !s.streams.is_empty() && s.streams.len() + one.snapshot().streams.len() == all.len())
        .await;
    assert!(folder.path().join("data").read_dir().unwrap().count() >= 2, "each has a spool of its own");

    let store = hl_mongo::MongoStore::inspect(&uri).await.unwrap();
    let mut names: Vec<_> =
        store.holders().await.unwrap().into_iter().map(|holder| (holder.role, holder.host)).collect();
    names.sort();
    let role = "hyperliquid-collector".to_owned();
    assert_eq!(names, [(role.clone(), "one".to_owned()), (role, "two".to_owned())]);
    one.stop().await.unwrap();
    until(&two, |s| s.streams.len() == all.len() && s.streams.values().all(|meter| meter.tally.admitted > 0))
        .await;
    two.stop().await.unwrap();

    assert!(store.holders().await.unwrap().is_empty());
    assert!(store.audit().await.unwrap().problems.is_empty());
    let stored = store.streams().await.unwrap();
    assert_eq!(stored.iter().filter(|stream| stream.rows > 0).count(), all.len());
    sim.stop().await;
}

#[tokio::test]
async fn a_uri_of_no_mongodb_is_said_without_its_password() {
    let (sim, _folder) = exchange().await;
    for wrong in ["mongodb:///x", "postgres://me:secret@host/x", "mongodb://me:secret@host/no/name"] {
        let collector = Collector::at(&sim.endpoint()).streams(["mids"]).store_mongodb(wrong);
        let error = collector.start().await.unwrap_err().to_string();
        assert!(error.contains("mongodb://host:27017/hyperliquid") && !error.contains("secret"), "{error}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn collects_every_market_of_a_part() {
    let (sim, folder) = exchange().await;
    let builder = |name: &str| Collector::at(&sim.endpoint()).store_sqlite(folder.path().join(name));
    let trades = |coin| vec![StreamKey::Trades(coin)];
    let collector =
        builder("all.db").streams(["bbo/BTC"]).all(trades).dex("xyz", trades).start().await.unwrap();
    let expected: BTreeSet<StreamKey> = sim
        .coins()
        .into_iter()
        .filter(|coin| coin.is_perpetual() && coin.dex().is_none_or(|dex| dex == "xyz"))
        .map(StreamKey::Trades)
        .chain(["bbo/BTC".parse().unwrap()])
        .collect();
    assert!(expected.len() > 3, "{expected:?}");
    until(&collector, |s| s.streams.len() >= expected.len()).await;
    assert_eq!(collector.snapshot().streams.into_keys().collect::<BTreeSet<_>>(), expected);
    collector.stop().await.unwrap();
    let error = builder("none.db").dex("abc", trades).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the exchange has no dex abc");
    sim.stop().await;
}

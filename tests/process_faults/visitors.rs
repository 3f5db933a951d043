//! Other programs at the files of a running daemon: what they read, change, move and remove.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::support::process::{
    Exchange, Process, StoreFile, all_over_ws, answer, command, counter, http_get, http_of, output, until,
};
use crate::{passed, setting_ms, show};

const VISITED: [&str; 2] = ["--coin", "BTC"];

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Which files the names of the database and of its log lead to.
fn inodes(store: &StoreFile) -> [u64; 2] {
    [store.path(), beside(&store.path(), "-wal")].map(|path| std::fs::metadata(path).unwrap().ino())
}

/// The database, log and spool files that a process has open although they have no name any more.
fn deleted(daemon: &Process) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    open.flatten()
        .filter_map(|file| Some(std::fs::read_link(file.path()).ok()?.to_str()?.to_owned()))
        .filter(|path| path.contains("hl.db") && path.ends_with(" (deleted)"))
        .collect()
}

async fn said(program: &str, words: &[&str]) -> String {
    let output = output(Command::new(program).args(words)).await;
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

async fn sqlite3(path: &Path, sql: &str) -> String {
    said("sqlite3", &[path.to_str().unwrap(), sql]).await
}

/// The trades that another program finds in the database.
async fn trades(store: &StoreFile) -> u64 {
    let found = sqlite3(&store.path(), "SELECT count(*) FROM trades").await;
    found.trim().parse().unwrap_or_else(|_| panic!("{found}"))
}

/// Everything that users do to a database that they take for a file of their own.
async fn visit(store: &StoreFile, copy: &Path, what: &str) -> String {
    let path = store.path();
    let python = async |work: &str| {
        let script = format!("import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n{work}\nc.close()");
        said("python3", &["-c", &script, path.to_str().unwrap()]).await
    };
    let cli = async |words: &[&str]| {
        let output = output(&mut command(&[], "hl-cli", &[words, &["--store", &store.uri]].concat())).await;
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    match what {
        "sqlite3 reads" => sqlite3(&path, "SELECT * FROM trades LIMIT 3").await,
        "sqlite3 backs up" => sqlite3(&path, &format!(".backup {}", copy.display())).await,
        "sqlite3 vacuums" => sqlite3(&path, "VACUUM").await,
        "sqlite3 changes the journal" => sqlite3(&path, "PRAGMA journal_mode=DELETE").await,
        "sqlite3 reads the spool" => {
            sqlite3(&hl_store::Spool::beside(&path, 0), "SELECT count(*) FROM spool").await
        }
        "Python reads" => python("c.execute('SELECT * FROM trades').fetchall()").await,
        "Python writes" => python("c.execute('CREATE TABLE mine (x)'); c.commit()").await,
        "Python tidies up" => python("c.execute('DROP TABLE IF EXISTS mine'); c.commit()").await,
        "hl-cli looks" => cli(&["coverage"]).await,
        "hl-cli backs up" => cli(&["backup", "--force", "--to", copy.to_str().unwrap()]).await,
        what => panic!("{what}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_of_a_running_daemon_lose_no_row() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "51"]).await;
    let store = StoreFile::new();
    let copy = beside(&store.path(), ".copy");
    let daemon = store.daemon(&exchange, &VISITED);
    store.until_live("it collects", all_over_ws).await;
    let before = inodes(&store);
    for what in [
        "sqlite3 reads",
        "sqlite3 backs up",
        "sqlite3 vacuums",
        "sqlite3 changes the journal",
        "sqlite3 reads the spool",
        "Python reads",
        "Python writes",
        "Python tidies up",
        "hl-cli looks",
        "hl-cli backs up",
    ] {
        let said = visit(&store, &copy, what).await;
        assert_eq!((inodes(&store), deleted(&daemon)), (before, vec![]), "{what}: {said}");
        let rows = trades(&store).await;
        until("another program sees new rows", async || (trades(&store).await > rows).then_some(())).await;
    }
    // A writer beside it, and a daemon that waits for its streams.
    let words = ["backfill", "candles", "--store", &store.uri, "--network", &exchange.base];
    let words = [&words[..], &["--coin", "BTC", "--from", "30m ago"]].concat();
    let backfilled = output(&mut command(&[], "hl-cli", &words)).await;
    assert!(backfilled.status.success(), "{}", String::from_utf8_lossy(&backfilled.stderr));
    let mut second = store.daemon(&exchange, &["--coin", "BTC", "--coin", "ETH"]);
    until("the second collects the rest", async || {
        let rows = sqlite3(&store.path(), "SELECT count(*) FROM trades WHERE coin = 'ETH'").await;
        (rows.trim() != "0").then_some(())
    })
    .await;
    assert_eq!(second.terminate().await.code(), Some(0), "{}", second.log());
    assert_eq!((inodes(&store), deleted(&daemon)), (before, vec![]));
    let rows = trades(&store).await;
    daemon.kill().await;
    assert!(trades(&store).await >= rows, "what was seen is there after kill -9");

    let mut next = store.daemon(&exchange, &VISITED);
    store.until_live("it collects again", all_over_ws).await;
    visit(&store, &copy, "Python reads").await;
    assert_eq!(next.terminate().await.code(), Some(0), "{}", next.log());
    show(&store.verified(&exchange).await);
    // A backup is a store.
    let copied = answer(&["verify", "--store", &format!("sqlite:{}", copy.display())]).await;
    assert_eq!(copied["clean"], true, "{copied:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_keeps_the_right_to_write_holds_nothing_up() {
    let lasts_ms = setting_ms("HL_TEST_VISIT_S", 8);
    let exchange = Exchange::start(&["--coins", "2", "--seed", "52"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &VISITED);
    store.until_live("it collects", all_over_ws).await;
    let visitor = rusqlite::Connection::open(store.path()).unwrap();
    visitor.execute_batch("BEGIN IMMEDIATE; CREATE TABLE mine (x)").unwrap();
    passed(&exchange, "the visit", exchange.now().await, lasts_ms).await;
    visitor.execute_batch("ROLLBACK").unwrap();
    visitor.close().unwrap();
    let rows = trades(&store).await;
    until("it writes again", async || (trades(&store).await > rows).then_some(())).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    store.verified(&exchange).await;
}

/// The kinds of the open alerts.
async fn alerts(http: &str) -> Vec<String> {
    let (_, open) = http_get(http, "/v1/alerts").await.unwrap();
    let open = open["alerts"].as_array().unwrap();
    open.iter().map(|alert| alert["kind"].as_str().unwrap().to_owned()).collect()
}

async fn until_alert(http: &str, kind: &str) {
    until(kind, async || alerts(http).await.iter().any(|open| open == kind).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_deleted_is_told_and_what_went_with_it_is_a_gap() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "53"]).await;
    let store = StoreFile::new();
    let daemon = store.daemon(&exchange, &["--coin", "BTC", "--http", "127.0.0.1:0"]);
    let http = http_of(&daemon).await;
    store.until_live("it collects", all_over_ws).await;
    sqlite3(&store.path(), "PRAGMA wal_checkpoint(TRUNCATE)").await;
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(beside(&store.path(), suffix)).unwrap();
    }
    until_alert(&http, "store_replaced").await;
    until("the log is there", async || beside(&store.path(), "-wal").exists().then_some(())).await;
    let before = inodes(&store);
    let rows = trades(&store).await;
    until("another program sees new rows", async || (trades(&store).await > rows).then_some(())).await;
    assert_eq!((inodes(&store), deleted(&daemon)), (before, vec![]));
    daemon.kill().await;
    let mut next = store.daemon(&exchange, &VISITED);
    store.until_live("it collects again", all_over_ws).await;
    assert_eq!(next.terminate().await.code(), Some(0), "{}", next.log());
    show(&store.verified(&exchange).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_moved_away_is_told_and_goes_on_when_it_is_back() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "54"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &["--coin", "BTC", "--http", "127.0.0.1:0"]);
    let http = http_of(&daemon).await;
    store.until_live("it collects", all_over_ws).await;
    let away = beside(&store.path(), ".away");
    std::fs::rename(store.path(), &away).unwrap();
    until_alert(&http, "store_gone").await;
    let (status, health) = http_get(&http, "/healthz").await.unwrap();
    assert_eq!(status, 503, "{health}");
    assert!(health["reasons"].to_string().contains("deleted or moved"), "{health}");
    assert!(!store.path().exists(), "no new one is made");
    std::fs::rename(&away, store.path()).unwrap();
    let is_well = async || {
        let (status, _) = http_get(&http, "/healthz").await?;
        (status == 200 && !alerts(&http).await.contains(&"store_gone".to_owned())).then_some(())
    };
    until("it is well again", is_well).await;
    let rows = trades(&store).await;
    until("it writes again", async || (trades(&store).await > rows).then_some(())).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let report = store.verified(&exchange).await;
    let lost = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["cause"] == "store_lost");
    assert_eq!(lost.collect::<Vec<_>>(), Vec::<&Value>::new(), "all of it waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_database_is_told_to_the_end_and_what_came_since_waits_in_the_spool() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "55"]).await;
    let store = StoreFile::new();
    let copy = beside(&store.path(), ".copy");
    let mut daemon = store.daemon(&exchange, &VISITED);
    let live =
        store.until_live("it collects", |live| all_over_ws(live) && counter(live, "rows_inserted") > 40);
    live.await;
    sqlite3(&store.path(), &format!(".backup {}", copy.display())).await;
    std::fs::remove_file(store.path()).unwrap();
    until("it is told", async || daemon.log().contains("store_gone").then_some(())).await;
    assert_eq!(daemon.terminate().await.code(), Some(1), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.lines().last().unwrap().contains("was deleted or moved"), "{log}");

    // No new store is begun over what waits for the old one.
    let mut next = store.daemon(&exchange, &VISITED);
    assert_eq!(next.ended().await.code(), Some(1));
    assert!(
        next.log().contains(".spool-0") && next.log().contains("put the database back"),
        "{}",
        next.log()
    );
    std::fs::rename(&copy, store.path()).unwrap();
    let mut next = store.daemon(&exchange, &VISITED);
    store.until_live("it collects again", all_over_ws).await;
    assert_eq!(next.terminate().await.code(), Some(0), "{}", next.log());
    show(&store.verified(&exchange).await);
}

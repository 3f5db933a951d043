//! What a user gets who mistypes, or whose exchange or disk is not there: one clear line, and an exit code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod ends;
mod places;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use serde_json::Value;
use support::process::{Exchange, Process, StoreFile, run, until};
use tokio::net::TcpListener;

/// A daemon that must not start: its exit code, and what it says.
async fn refused(words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run("hl-daemon", words, variables).await;
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The last line, which is the reason.
fn reason(said: &str) -> &str {
    said.lines().last().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_coin_is_refused_with_the_nearest() {
    let exchange = Exchange::start(&["--coins", "5"]).await;
    let store = StoreFile::new();
    let words = ["--network", &exchange.base, "--store", &store.uri, "--coin", "BTC,DOGGE"];
    let (code, said) = refused(&words, &[]).await;
    assert_eq!(code, Some(2), "{said}");
    let expected = r#"hl-daemon: --coin: the exchange has no coin "DOGGE"; did you mean "DOGE"?"#;
    assert_eq!(reason(&said), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_is_refused_with_the_arithmetic() {
    let exchange = Exchange::start(&["--coins", "400"]).await;
    let store = StoreFile::new();
    let words = ["--network", &exchange.base, "--store", &store.uri, "--coin", "all"];
    let (code, said) = refused(&words, &[]).await;
    assert_eq!(code, Some(2), "{said}");
    // Six streams of each coin; the mids are one stream.
    let reason = reason(&said);
    assert!(reason.starts_with(&format!("hl-daemon: {} streams do not fit: ", 400 * 5 + 1)), "{reason}");
    let numbers: Vec<u64> =
        reason.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [asked, sockets, each, pushed, polled, weight, budget] = numbers[..] else { panic!("{reason}") };
    assert_eq!(pushed + polled, asked, "{reason}");
    assert!(pushed <= sockets * each && weight > budget, "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_file_and_environment_say_where() {
    let store = StoreFile::new();
    let file = store.folder().join("hl.toml");
    std::fs::write(&file, "coin = ['BTC']\n\nnetwrok = 'sim'\n").unwrap();
    let path = file.to_str().unwrap();
    for (words, variables, expected) in [
        (
            &["--config", path][..],
            &[][..],
            format!(r#"hl-daemon: {path}:3: unknown key "netwrok"; did you mean "network"?"#),
        ),
        (
            &[],
            &[("HL_STROE", "sqlite:x.db")],
            r#"hl-daemon: HL_STROE: unknown variable "HL_STROE"; did you mean "HL_STORE"?"#.to_owned(),
        ),
        (
            &["--streams", "trades,boook"],
            &[],
            r#"hl-daemon: --streams: unknown stream "boook"; did you mean "book"?"#.to_owned(),
        ),
    ] {
        let (code, said) = refused(words, variables).await;
        assert_eq!((code, reason(&said)), (Some(2), expected.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_says_what_to_do() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let folder = store.folder().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let text = store.folder().join("notes.txt");
    let words = "These are notes, and no database at all. They are long enough to be taken for one.\n";
    std::fs::write(&text, words.repeat(50)).unwrap();
    for (path, says) in [
        (folder.as_path(), "is a folder; give the path of a file in it"),
        (&text, "is not a SQLite database; choose another path, or move the file away"),
        (&nobody_may_write(&store), "cannot be written to; give this user write permission on the folder"),
    ] {
        let uri = format!("sqlite:{}", path.display());
        let (code, said) = refused(&["--network", &exchange.base, "--store", &uri], &[]).await;
        assert_eq!(code, Some(1), "{}: {said}", path.display());
        assert!(reason(&said).starts_with("hl-daemon: the store "), "{said}");
        assert!(reason(&said).contains(says), "{}: {said}", path.display());
    }
    assert_eq!(std::fs::read_to_string(&text).unwrap(), words.repeat(50), "what is no store is left alone");
}

/// A path for a store where this user may not write. The superuser may nearly everywhere.
fn nobody_may_write(store: &StoreFile) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = store.folder().join("read-only");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    let is_superuser = std::fs::write(folder.join("try"), "").is_ok();
    match is_superuser {
        true => Path::new("/proc/hl.db").to_owned(),
        false => folder.join("hl.db"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_which_nothing_was_received_is_no_success() {
    let base = nobody_there().await;
    let store = StoreFile::new();
    let (code, said) = refused(&["--network", &base, "--store", &store.uri, "--for", "2s"], &[]).await;
    assert_eq!(code, Some(6), "{said}");
    assert!(reason(&said).starts_with("hl-daemon: nothing was collected in 2."), "{said}");
    assert!(reason(&said).contains(&format!("cannot reach {base}: ")), "{said}");

    let exchange = Exchange::start(&["--coins", "1"]).await;
    let words = ["--network", &exchange.base, "--store", &store.uri, "--streams", "bbo", "--for", "1s"];
    let (code, said) = refused(&words, &[]).await;
    assert_eq!(code, Some(6), "{said}");
    assert!(
        reason(&said).ends_with(": a new connection proves itself for some seconds first; give it longer"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coin_beside_all_is_collected_or_refused() {
    let exchange = Exchange::start(&["--coins", "2"]).await;
    let store = StoreFile::new();
    let place = ["--network", &exchange.base, "--store", &store.uri];
    let unknown = r#"--coin: the exchange has no coin "BTCC"; did you mean "BTC"?"#;
    for coins in [["--coin", "all", "--coin", "BTCC"], ["--coin", "BTCC", "--coin", "all"]] {
        let (code, said) = refused(&[&place, &coins[..]].concat(), &[]).await;
        assert_eq!((code, reason(&said)), (Some(2), format!("hl-daemon: {unknown}").as_str()));
        let backfill = [&["backfill", "trades"], &place[..], &coins[..]].concat();
        let output = run("hl-cli", &backfill, &[]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), reason(&said)), (Some(2), format!("hl-cli: {unknown}").as_str()));
    }
    let words = ["--streams", "trades", "--coin", "all", "--coin", "xyz:NVDA"];
    let mut daemon = store.daemon(&exchange, &words);
    let live = store.until_live("it collects", |live| live["streams"].as_array().unwrap().len() == 3).await;
    let streams: Vec<_> = live["streams"].as_array().unwrap().iter().map(|of| of["stream"].clone()).collect();
    assert!(streams.contains(&"trades/xyz:NVDA".into()), "{streams:?}");
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
}

/// A loopback address at which nobody listens.
async fn nobody_there() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_not_there_is_said_and_tried_again() {
    let base = nobody_there().await;
    let store = StoreFile::new();
    let mut daemon = Process::start("hl-daemon", &["--network", &base, "--store", &store.uri]);
    let clear = format!("cannot reach {base}");
    until("it has tried three times", async || (daemon.log().matches(&clear).count() >= 3).then_some(()))
        .await;
    assert!(daemon.is_running());
    let (_, first) = daemon.err().into_iter().find(|(_, line)| line.contains(&clear)).unwrap();
    println!("{first}");
    assert!(first.contains("WARN") && first.contains("retry_in=") && first.contains("refused"), "{first}");
    let (_, first) = &daemon.err()[0];
    for word in
        ["starting", "version=", "store=sqlite:", "archive=", "retention=trades=90d", "config=\"none\""]
    {
        assert!(first.contains(word), "a start says what it works on: {word} is not in {first}");
    }
    let live = store.until_live("it says so where people look", |live| live["at"].is_i64()).await;
    assert_eq!((&live["reception"]["state"], &live["streams"]), (&"failing".into(), &serde_json::json!([])));
    assert!(daemon.out()[0].1.contains("not receiving for "), "on standard output: {:?}", daemon.out());
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_ends_when_its_time_is_over() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &["--for", "9s", "--json"]);
    let code = daemon.ended().await.code();
    assert!(daemon.log().contains("the time given is over"), "{}", daemon.log());
    assert!(!store.status().await["streams"].as_array().unwrap().is_empty());
    let summary: Value = serde_json::from_str(&daemon.out().last().unwrap().1).unwrap();
    let summary = &summary["summary"];
    assert_eq!((&summary["ended"], &summary["streams"]), (&"time_over".into(), &6.into()), "{summary}");
    // On a machine that is busy for so long nothing may have come.
    let expected = if summary["records"] == 0 { 6 } else { 0 };
    assert_eq!(code, Some(expected), "{summary}\n{}", daemon.log());
}

/// Who pipes events gets each stored row once, and nothing else stands between; who closes the pipe ends the lines alone.
#[tokio::test(flavor = "multi_thread")]
async fn events_on_standard_output_are_what_is_stored() {
    let exchange = Exchange::start(&["--coins", "2"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &["--coin", "BTC,ETH", "--stdout", "trades/BTC,bbo"]);
    let of = |lines: &[(hl_core::TimeMs, String)], event: &str, stream: &str| -> Vec<Value> {
        let values = lines.iter().map(|(_, line)| serde_json::from_str::<Value>(line).unwrap());
        values.filter(|value| value["event"] == event && value["stream"] == stream).collect()
    };
    until("trades came", async || (of(&daemon.out(), "row", "trades/BTC").len() > 20).then_some(())).await;
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    let lines = daemon.out();
    assert!(
        daemon.log().contains("starting") && daemon.log().contains("rows"),
        "the rest is on standard error"
    );
    assert_eq!(of(&lines, "handover", "trades/BTC")[0]["to"], "ws");
    assert!(of(&lines, "row", "bbo/ETH")[0]["bid_px"].is_string());
    assert!(of(&lines, "row", "trades/ETH").is_empty());
    let db = rusqlite::Connection::open(store.path()).unwrap();
    let mut stored: Vec<(i64, i64, String, i64)> = db
        .prepare("SELECT time, tid, px, epoch FROM trades WHERE coin = 'BTC'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let number = |row: &Value, name: &str| row[name].as_i64().unwrap();
    let mut told: Vec<_> = of(&lines, "row", "trades/BTC")
        .iter()
        .map(|row| {
            let px = row["px"].as_str().unwrap().to_owned();
            (number(row, "time"), number(row, "tid"), px, number(row, "epoch"))
        })
        .collect();
    let decimal = |text: &str| text.parse::<hl_core::Decimal>().unwrap().normalize().to_string();
    stored.iter_mut().chain(&mut told).for_each(|row| row.2 = decimal(&row.2));
    stored.sort();
    told.sort();
    assert_eq!(told, stored);
}

/// Reads so many lines of a socket, as a user's script does, and prints them.
const READER: &str = "import socket, sys
reader = socket.socket(socket.AF_UNIX)
reader.connect(sys.argv[1])
lines = reader.makefile()
for _ in range(int(sys.argv[2])):
    print(next(lines), end='')
";

/// Each program that connects is told what happens from then on; one that does not read holds up neither the others nor the
/// end. What a killed daemon left is replaced, and what another one listens on is not.
#[tokio::test(flavor = "multi_thread")]
async fn events_go_to_every_program_that_connects_to_the_socket() {
    let exchange = Exchange::start(&["--coins", "2"]).await;
    let store = StoreFile::new();
    let path = store.folder().join("events");
    let socket = path.to_str().unwrap();
    let daemon = store.daemon(&exchange, &["--coin", "all", "--socket", socket]);
    let _never_reads = until("it listens", async || tokio::net::UnixStream::connect(&path).await.ok()).await;
    let read = async |lines: &str| {
        let mut python = tokio::process::Command::new("python3");
        let output = python.args(["-c", READER, socket, lines]).kill_on_drop(true).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let (one, other) = tokio::join!(read("60"), read("90"));
    for (lines, wanted) in [(one, 60), (other, 90)] {
        assert!(lines.len() == wanted && lines.iter().any(|line| line["event"] == "row"));
    }
    let second = StoreFile::new();
    let mut refused = second.daemon(&exchange, &["--socket", socket]);
    assert_eq!(refused.ended().await.code(), Some(1), "{}", refused.log());
    assert!(refused.log().contains("--socket"), "{}", refused.log());

    daemon.kill().await;
    assert!(path.exists(), "it could not be removed");
    let mut daemon = store.daemon(&exchange, &["--coin", "all", "--socket", socket]);
    let _never_reads = until("it listens", async || tokio::net::UnixStream::connect(&path).await.ok()).await;
    assert_eq!(read("20").await.len(), 20);
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_the_events_and_not_the_daemon() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let words = ["--network", &exchange.base, "--store", &store.uri, "--stdout", "all"];
    let mut daemon = support::process::command(&[], "hl-daemon", &words).spawn().unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = lines.next_line().await.unwrap().unwrap();
        assert!(serde_json::from_str::<Value>(&line).unwrap()["event"].is_string(), "{line}");
    }
    drop(lines);
    let mut log = BufReader::new(daemon.stderr.take().unwrap()).lines();
    while !log.next_line().await.unwrap().unwrap().contains("standard output is not read any more") {}
    let rows = async || {
        let live = store.until_live("it collects", |live| live["streams"].is_array()).await;
        support::process::counter(&live, "rows_inserted")
    };
    let before = rows().await;
    until("it goes on", async || (rows().await > before + 20).then_some(())).await;
    let pid = rustix::process::Pid::from_raw(daemon.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    assert_eq!(daemon.wait().await.unwrap().code(), Some(0));
    rest.await.unwrap();
}

//! How a daemon and a command end: by a signal, by a second one, and when those who read their words have gone.

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::process::{Exchange, Line, Process, StoreFile, command, until};

/// Lines as one text.
pub(crate) fn words(lines: &[Line]) -> String {
    lines.iter().map(|(_, line)| line.clone() + "\n").collect()
}

fn collects(live: &Value) -> bool {
    live["counters"]["rows_inserted"].as_u64() > Some(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_that_asks_for_an_end_gets_a_clean_one_with_a_summary() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    for (signal, ended) in
        [(Signal::INT, "interrupted"), (Signal::TERM, "terminated"), (Signal::HUP, "hung_up")]
    {
        let mut daemon = store.daemon(&exchange, &["--json"]);
        let before = store.until_live("it collects", collects).await;
        daemon.signal(signal);
        assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
        let out = daemon.out();
        let last: Value = serde_json::from_str(&out.last().unwrap().1).unwrap();
        let summary = &last["summary"];
        assert_eq!((&summary["ended"], &summary["store"]), (&ended.into(), &store.uri.clone().into()));
        assert!(
            summary["rows_written"].as_u64() >= before["counters"]["rows_inserted"].as_u64(),
            "{summary}"
        );
        assert!(summary["gaps_unfilled"].is_u64() && summary["ran_ms"].as_i64() > Some(0), "{summary}");
    }
    let mut daemon = store.daemon(&exchange, &[]);
    store.until_live("it collects", collects).await;
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().await.code(), Some(0), "{}", daemon.log());
    let said = words(&daemon.out());
    let told = format!(" rows written to {}\n", store.uri);
    assert!(said.contains("stopped by Ctrl-C after ") && said.contains(&told), "{said}");
    assert!(
        said.contains("\ngaps: ") && said.contains(&format!("hl-cli coverage --store {}", store.uri)),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_to_outlive_its_terminal_does() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon_with(&exchange, &[], &["nohup"]);
    let live = store.until_live("it collects", collects).await;
    daemon.signal(Signal::HUP);
    store.until_live("it goes on", |now| now["uptime_ms"].as_i64() > live["uptime_ms"].as_i64()).await;
    assert!(daemon.is_running());
    assert_eq!(daemon.terminate().await.code(), Some(0), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_says_so() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &[]);
    store.until_live("it collects", collects).await;
    // It cannot finish while another program has the store to itself.
    let other = Connection::open(store.path()).unwrap();
    other.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    daemon.signal(Signal::INT);
    until("it finishes", async || daemon.log().contains("finishing what is in hand").then_some(())).await;
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().await.code(), Some(130), "{}", daemon.log());
    assert!(daemon.log().contains("hl-daemon: ended at once; "), "{}", daemon.log());
    other.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn collecting_goes_on_when_the_readers_of_its_words_have_gone() {
    let exchange = Exchange::start(&["--coins", "2"]).await;
    let store = StoreFile::new();
    let place = ["--network", &exchange.base, "--store", &store.uri];
    let mut child = command(&[], "hl-daemon", &[&place[..], &["--log", "debug"]].concat()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let first = store.until_live("it collects", collects).await;
    store
        .until_live("it goes on", |live| {
            live["uptime_ms"].as_i64() > first["uptime_ms"].as_i64().map(|ms| ms + 3_000)
        })
        .await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    store.verified(&exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_reader_has_gone_ends_as_it_would_have() {
    let exchange = Exchange::start(&["--coins", "1"]).await;
    let store = StoreFile::new();
    let mut daemon = store.daemon(&exchange, &[]);
    store.until_live("it collects", collects).await;
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let uri = store.uri.as_str();
    let broken = format!("{uri}.none");
    for (program, words, code) in [
        ("hl-cli", &["coverage", "--store", uri][..], 0),
        ("hl-cli", &["status", "--store", uri, "--json"], 0),
        ("hl-cli", &["verify", "--store", uri], 0),
        ("hl-cli", &["export", "--stream", "trades/BTC", "--format", "csv", "--store", uri], 0),
        ("hl-cli", &["coverage", "--store", &broken], 1),
        ("hl-cli", &["jobs", "run", "collect_funding", "--store", uri], 1),
        ("hl-cli", &["--help"], 0),
        ("hl-cli", &["nonsense"], 2),
        ("hl-daemon", &["--print-config"], 0),
        ("hl-daemon", &["--coin", ""], 2),
    ] {
        let mut child = command(&[], program, words).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        let ended = child.wait().await.unwrap();
        assert_eq!(ended.code(), Some(code), "{program} {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_whose_reader_has_gone_goes_on() {
    let mut child = command(&[], "hl-sim", &["--listen", "127.0.0.1:0"]).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let other = Process::start("hl-sim", &["--listen", "127.0.0.1:0"]);
    until("another has begun", async || (!other.out().is_empty()).then_some(())).await;
    assert_eq!(child.try_wait().unwrap(), None);
}

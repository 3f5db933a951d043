//! Daemons that share one MongoDB, as real processes, each with a local address of its own.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::process::{Exchange, Process, StoreFile, all_over_ws, run, until};

const WORDS: [&str; 4] = ["--coin", "all", "--streams", "trades,bbo,context,mids"];

fn join(store: &StoreFile, exchange: &Exchange, local: &str) -> Process {
    store.daemon(exchange, &[&WORDS[..], &["--local-address", local]].concat())
}

async fn cluster(store: &StoreFile) -> Value {
    let output = run("hl-cli", &["cluster", "--store", &store.uri, "--json"], &[]).await;
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn member(cluster: &Value, pid: u32) -> Option<&Value> {
    cluster["members"].as_array()?.iter().find(|member| member["pid"] == pid)
}

/// Waits until these processes, and no others, hold every stream, and nothing is on its way.
async fn settled(store: &StoreFile, pids: &[u32]) -> Value {
    until("they share everything", async || {
        let cluster = cluster(store).await;
        let leases = cluster["leases"].as_array()?.len();
        let holds = |pid: &u32| member(&cluster, *pid)?["holds"].as_u64().filter(|holds| *holds > 0);
        let rests = |pid: &u32| {
            let member = member(&cluster, *pid)?;
            (member["coming"] == 0 && member["going"] == 0 && member["state"] == "collecting").then_some(())
        };
        let held: u64 = pids.iter().map(holds).sum::<Option<u64>>()?;
        let rests = pids.iter().all(|pid| rests(pid).is_some());
        (leases > 0 && held == leases as u64 && rests).then_some(cluster)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_spread_and_move_when_a_daemon_comes_goes_dies_or_stands_still() {
    let exchange = Exchange::start(&["--coins", "5", "--seed", "8"]).await;
    let store = StoreFile::in_mongodb(hl_mongod::fresh_database());
    let mut first = join(&store, &exchange, "127.0.0.2");
    store.until_live("the first collects", all_over_ws).await;
    settled(&store, &[first.pid()]).await;

    let mut second = join(&store, &exchange, "127.0.0.3");
    let shared = settled(&store, &[first.pid(), second.pid()]).await;
    let address = member(&shared, second.pid()).unwrap()["address"].as_str().unwrap();
    assert!(address.ends_with("from 127.0.0.3"), "{address}");
    let shown = run("hl-cli", &["cluster", "--store", &store.uri, "--leases"], &[]).await;
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(0), "{text}");
    assert!(text.contains("trades/BTC") && text.contains(&format!("pid {}", first.pid())), "{text}");

    // Leaving, it hands over while it collects.
    assert_eq!(first.terminate().await.code(), Some(0), "{}", first.log());
    let log = first.log();
    let (_, leaving) = log.split_once("leaving").unwrap();
    assert!(leaving.contains("given to other processes"), "{log}");
    settled(&store, &[second.pid()]).await;

    let third = join(&store, &exchange, "127.0.0.4");
    settled(&store, &[second.pid(), third.pid()]).await;
    second.signal(Signal::STOP);
    settled(&store, &[third.pid()]).await;
    second.signal(Signal::CONT);
    // It cannot write any more; it begins anew, as another member.
    settled(&store, &[second.pid(), third.pid()]).await;
    assert!(second.log().contains("a new session begins"), "{}", second.log());
    third.kill().await;
    settled(&store, &[second.pid()]).await;
    store.until_live("the sockets own everything", all_over_ws).await;
    assert_eq!(second.terminate().await.code(), Some(0), "{}", second.log());
    store.verified(&exchange).await;
}

//! What runs and what somebody should look at, of real processes: `hl-cli ps` and `alerts`, HTTP, a webhook, and a second
//! daemon on the store.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::process::{Exchange, StoreFile, all_over_ws, answer, http_get, http_of, until};

/// A webhook, and what it was told.
async fn webhook(tasks: &mut JoinSet<()>) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/secret", listener.local_addr().unwrap());
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let keep = Arc::clone(&told);
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            let body = loop {
                seen.push(stream.read_u8().await.unwrap());
                let text = String::from_utf8_lossy(&seen);
                if let Some(body) =
                    text.split_once("\r\n\r\n").and_then(|(_, b)| serde_json::from_str(b).ok())
                {
                    break body;
                }
            };
            keep.lock().unwrap().push(body);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    (url, told)
}

fn names(of: &Value, kind: &str) -> Vec<String> {
    let rows = of.as_array().unwrap().iter().filter(|row| row["kind"] == kind);
    rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_that_plans_the_same_job_is_caught_everywhere() {
    let exchange = Exchange::start(&["--coins", "2", "--seed", "5"]).await;
    let store = StoreFile::new();
    let mut tasks = JoinSet::new();
    let (hook, told) = webhook(&mut tasks).await;
    let words = ["--coin", "BTC", "--http", "127.0.0.1:0", "--webhook", &hook];
    let first = store.daemon(&exchange, &words);
    let http = http_of(&first).await;
    store.until_live("the first collects", all_over_ws).await;

    until("it is healthy", async || http_get(&http, "/healthz").await.filter(|(status, _)| *status == 200))
        .await;
    let (_, healthy) = http_get(&http, "/healthz").await.unwrap();
    assert_eq!(healthy["reception"]["state"], "receiving", "{healthy:#}");
    until("the log says that the streams have begun", async || {
        first.log().contains("owner=ws cause=\"first_start\"").then_some(())
    })
    .await;
    assert!(!first.log().contains("daemon_down"), "nothing was down: {}", first.log());
    let (_, all) = http_get(&http, "/v1/processes").await.unwrap();
    assert_eq!(all["pid"], first.pid());
    assert_eq!(names(&all["processes"], "source"), ["rest", "ws"]);
    assert_eq!(names(&all["processes"], "writer"), ["writer"]);
    assert!(names(&all["processes"], "collector").contains(&"trades/BTC".to_owned()), "{all:#}");
    assert!(names(&all["processes"], "job").contains(&"collect_funding".to_owned()), "{all:#}");
    assert_eq!(http_get(&http, "/v1/orders").await.unwrap().0, 404);

    let second = store.daemon(&exchange, &["--coin", "ETH"]);
    let ps = ["ps", "--store", &store.uri];
    until("both are seen", async || {
        let processes = answer(&ps).await["processes"].take();
        let telling = processes.as_array()?.iter().filter(|process| process["told"].is_i64()).count();
        (telling == 2).then_some(())
    })
    .await;
    let alerts = ["alerts", "--store", &store.uri];
    until("both say so", async || {
        let open = answer(&alerts).await["alerts"].take();
        let open =
            open.as_array()?.iter().filter(|a| a["kind"] == "job_twice" && a["subject"] == "collect_funding");
        (open.count() == 2).then_some(())
    })
    .await;
    let (_, open) = http_get(&http, "/v1/alerts").await.unwrap();
    assert!(open["alerts"].to_string().contains(&format!("pid {}", second.pid())), "{open:#}");
    assert_eq!(http_get(&http, "/healthz").await.unwrap().0, 200, "a warning is no illness");

    second.kill().await;
    until("it is over", async || answer(&alerts).await["alerts"].as_array()?.is_empty().then_some(())).await;
    let of_job = |event: &'static str| {
        let told = told.lock().unwrap();
        told.iter().filter(|t| t["event"] == event && t["subject"] == "collect_funding").count()
    };
    until("the webhook heard of its end", async || (of_job("resolved") == 1).then_some(())).await;
    assert_eq!(of_job("raised"), 1, "{:#?}", told.lock().unwrap());
    assert_eq!(told.lock().unwrap()[0]["sender"]["pid"], first.pid());
    let log = first.log();
    assert_eq!(log.matches("kind=\"job_twice\" subject=\"collect_funding\" words=").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
    let mut first = first;
    assert_eq!(first.terminate().await.code(), Some(0), "{}", first.log());
    assert!(
        TcpStream::connect(http.strip_prefix("http://").unwrap()).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_said_at_once_and_leaves_nothing_behind() {
    let exchange = Exchange::start(&["--coins", "1", "--seed", "5"]).await;
    let store = StoreFile::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut daemon = store.daemon(&exchange, &["--coin", "BTC", "--http", &address]);
    assert_eq!(daemon.ended().await.code(), Some(1));
    let log = daemon.log();
    assert!(log.lines().last().unwrap().starts_with(&format!("hl-daemon: --http {address}: ")), "{log}");
}

//! The server through real sockets, hostile ones among them.

use hl_core::TimeMs;
use hl_core::alert::{Alert, AlertKind};
use hl_monitor::{Health, Process, ProcessKind, Reception, STALE_MS, State, TotalReception};
use hl_runtime::TcpNet;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

fn collecting() -> Health {
    let collector = Process {
        kind: ProcessKind::Collector,
        name: "trades/BTC".to_owned(),
        state: State::Running,
        owner: Some("ws".to_owned()),
        since: TimeMs(5),
        last_progress: Some(TimeMs(7)),
        restarts: 1,
        reception: Some(Reception::Receiving),
    };
    Health { at: TimeMs(9), processes: vec![collector], ..Health::default() }
}

fn stuck() -> Alert {
    Alert {
        kind: AlertKind::NoProgress,
        subject: "writer".to_owned(),
        severity: AlertKind::NoProgress.severity(),
        raised: TimeMs(1),
        last_seen: TimeMs(2),
        times: 1,
        resolved: None,
        words: "nothing was stored for 90 s".to_owned(),
    }
}

fn who() -> Who {
    Who { role: "collects".to_owned(), host: "here".to_owned() }
}

fn started(health: Health, taken: Instant) -> (Server, watch::Sender<Published>) {
    let published = watch::Sender::new(Published {
        health: Arc::new(health),
        taken,
        reception: TotalReception::default(),
    });
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    (Server::start(Arc::new(TcpNet::new()), address, who(), published.subscribe()).unwrap(), published)
}

async fn connected(server: &Server) -> TcpStream {
    TcpStream::connect((server.endpoint().host.as_str(), server.endpoint().port)).await.unwrap()
}

/// What comes back until the end.
async fn said(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connected(server).await;
    // A server that has seen enough may close before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn asked(server: &Server, method: &str, path: &str) -> (u16, Value) {
    let answer = said(server, format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn it_says_what_runs_and_whether_that_is_healthy() {
    let (server, published) = started(collecting(), Instant::now());
    let (status, health) = asked(&server, "GET", "/healthz").await;
    assert_eq!((status, &health["healthy"], &health["reasons"]), (200, &true.into(), &serde_json::json!([])));
    let (status, all) = asked(&server, "GET", "/v1/processes?x=1").await;
    let row = serde_json::json!({
        "kind": "collector", "name": "trades/BTC", "state": "running", "owner": "ws", "since": 5,
        "last_progress": 7, "restarts": 1, "reception": "receiving",
    });
    assert_eq!(
        (status, &all["processes"], &all["pid"], &all["role"]),
        (200, &serde_json::json!([row]), &std::process::id().into(), &"collects".into())
    );
    let alerts = asked(&server, "GET", "/v1/alerts").await.1;
    assert_eq!((&alerts["alerts"], &alerts["host"]), (&serde_json::json!([]), &"here".into()));

    let health = Health { alerts: vec![stuck()], ..collecting() };
    published.send_modify(|published| published.health = Arc::new(health));
    let (status, health) = asked(&server, "GET", "/healthz").await;
    assert_eq!((status, &health["healthy"]), (503, &false.into()));
    assert_eq!(health["reasons"][0], "writer: nothing was stored for 90 s");
    assert_eq!(asked(&server, "GET", "/v1/alerts").await.1["alerts"][0]["kind"], "no_progress");

    let (state, why) = (Reception::Failing, Some("ws: connection refused".to_owned()));
    let nothing = TotalReception { state, why, silent_ms: 77_000, failing: 1, ..TotalReception::default() };
    published.send_modify(|published| {
        (published.health, published.reception) = (Arc::new(collecting()), nothing);
    });
    let (status, health) = asked(&server, "GET", "/healthz").await;
    assert_eq!((status, &health["reception"]["state"]), (503, &"failing".into()), "{health}");
    assert_eq!(health["reasons"], serde_json::json!(["not receiving for 77 s: ws: connection refused"]));
    server.stop();
}

#[tokio::test]
async fn a_collector_of_which_nothing_is_heard_is_not_healthy() {
    let long_ago = Instant::now() - Duration::from_millis(STALE_MS.unsigned_abs() + 1_000);
    let (server, published) = started(collecting(), long_ago);
    let (status, health) = asked(&server, "GET", "/healthz").await;
    assert_eq!(status, 503, "{health}");
    assert!(
        health["reasons"][0].as_str().unwrap().starts_with("nothing was heard of the collector"),
        "{health}"
    );
    drop(published);
    assert_eq!(asked(&server, "GET", "/healthz").await.0, 503, "nor is one that is gone");
    server.stop();
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_json() {
    let (server, _published) = started(collecting(), Instant::now());
    for path in ["/", "/metrics", "/v1/processes/", "/../etc/passwd", "/healthz%00", "//healthz"] {
        assert_eq!(asked(&server, "GET", path).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let (status, said) = asked(&server, method, "/healthz").await;
        assert_eq!((status, &said["error"]), (405, &"only GET is understood".into()), "{method}");
    }
    let posted = b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\nabc";
    assert!(said(&server, posted).await.starts_with("HTTP/1.1 405 "), "a body is not waited for");
    server.stop();
}

#[tokio::test]
async fn what_is_no_request_ends_its_own_connection_only() {
    let (server, _published) = started(collecting(), Instant::now());
    let mut huge = b"GET /healthz HTTP/1.1\r\nx: ".to_vec();
    huge.resize(1 << 20, b'a');
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n", &huge]
    {
        let answer = said(&server, garbage).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // As many as may be at once, none of which says anything; whoever comes next is answered when they are given up.
    let mut silent = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = connected(&server).await;
        if n % 2 == 0 {
            stream.write_all(b"GET /healthz HT").await.unwrap();
        }
        silent.push(stream);
    }
    assert_eq!(asked(&server, "GET", "/healthz").await.0, 200);
    for mut stream in silent {
        let mut rest = Vec::new();
        // Closed by the server, in whichever way.
        let _ = stream.read_to_end(&mut rest).await;
    }
    server.stop();
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_and_a_stopped_server_is_gone() {
    let (server, published) = started(collecting(), Instant::now());
    let address = SocketAddr::from(([127, 0, 0, 1], server.endpoint().port));
    let second = Server::start(Arc::new(TcpNet::new()), address, who(), published.subscribe());
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let open = connected(&server).await;
    server.stop();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    drop(open);
}

//! Tells a webhook of alerts: a POST of JSON when one rises, and when it is over.
//!
//! One request at a time, each tried a few times with growing pauses; a webhook that is down holds nothing up, is told
//! of once in the log, and misses what did not fit into the queue meanwhile.

mod url;

use std::io;
use std::time::Duration;

use hl_core::alert::Alert;
use hl_core::seam::{Endpoint, Net, Seed};
use hl_monitor::AlertChange;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use self::url::{NotAWebhook, Webhook, masked};

/// One attempt, from connecting to the status.
const LIMIT: Duration = Duration::from_secs(10);
/// How often one message is tried, and the pause before the second time, which doubles.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Who speaks, in each message.
#[derive(Serialize)]
struct Sender {
    /// Which exchange.
    network: String,
    /// Process id.
    pid: u32,
    /// Name of the machine.
    host: String,
}

/// What is sent.
#[derive(Serialize)]
struct Message<'a> {
    /// `raised` or `resolved`.
    event: &'static str,
    #[serde(flatten)]
    alert: &'a Alert,
    sender: &'a Sender,
}

#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("connecting: {0}")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("it cannot be asked for: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("no answer within {} s", LIMIT.as_secs())]
    Late,
}

impl PostError {
    /// A refusal stays one; everything else may pass.
    fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::Request(_) => false,
            Self::Connect(_) | Self::Http(_) | Self::Late => true,
        }
    }
}

/// Tells the webhook, where there is one, of every change to the alerts of this process: that it collects from `network`, and the
/// name of its machine, stand in each message. Never ends by itself.
pub async fn tell(
    net: &dyn Net,
    to: Option<&Webhook>,
    network: &str,
    host: &str,
    changes: broadcast::Receiver<AlertChange>,
) {
    if let Some(to) = to {
        let sender = Sender { network: network.to_owned(), pid: std::process::id(), host: host.to_owned() };
        let rng = Seed(sender.pid.into()).rng("webhook");
        run(net, to, &sender, changes, rng).await;
    }
    std::future::pending().await
}

/// Tells `to` of every change, until none can come any more.
async fn run(
    net: &dyn Net,
    to: &Webhook,
    sender: &Sender,
    mut changes: broadcast::Receiver<AlertChange>,
    mut rng: fastrand::Rng,
) {
    let mut is_down = false;
    loop {
        let change = match changes.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(missed)) => {
                warn!(missed, webhook = %to, "the webhook is slow, and misses alerts");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let event = match change {
            AlertChange::Raised(_) => "raised",
            AlertChange::Resolved(_) => "resolved",
            AlertChange::Still(_) => continue,
        };
        let body = match serde_json::to_vec(&Message { event, alert: change.alert(), sender }) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                warn!(%error, "an alert cannot be written as JSON");
                continue;
            }
        };
        match deliver(net, to, &body, &mut rng).await {
            Ok(()) if is_down => {
                is_down = false;
                info!(webhook = %to, "the webhook takes alerts again");
            }
            Ok(()) => {}
            Err(error) if !is_down => {
                is_down = true;
                warn!(webhook = %to, %error, "the webhook does not take alerts; this is said once");
            }
            Err(_) => {}
        }
    }
}

async fn deliver(
    net: &dyn Net,
    to: &Webhook,
    body: &Bytes,
    rng: &mut fastrand::Rng,
) -> Result<(), PostError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt(net, to, body).await {
            Err(error) if error.is_worth_another_try() => {}
            done => return done,
        }
        tokio::time::sleep(pause.mul_f64(0.5 + rng.f64() / 2.0)).await;
        pause *= 2;
    }
    attempt(net, to, body).await
}

async fn attempt(net: &dyn Net, to: &Webhook, body: &Bytes) -> Result<(), PostError> {
    tokio::time::timeout(LIMIT, post(net, &to.endpoint, &to.path, body)).await.map_err(|_| PostError::Late)?
}

async fn post(net: &dyn Net, endpoint: &Endpoint, path: &str, body: &Bytes) -> Result<(), PostError> {
    let stream = net.connect(endpoint).await.map_err(PostError::Connect)?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(path)
        .header(HOST, endpoint.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, hl_collectors::USER_AGENT)
        .header(CONNECTION, "close")
        .body(Full::new(body.clone()))?;
    // The connection makes progress beside the request and ends with it.
    let mut connection = JoinSet::new();
    connection.spawn(driver);
    // Its body says nothing that is needed.
    let status = sender.send_request(request).await?.status();
    if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use hl_core::TimeMs;
    use hl_core::alert::AlertKind;
    use hl_core::seam::BoxListener;
    use hl_runtime::MemoryNet;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, sleep};

    use super::*;

    fn alert(subject: &str) -> Alert {
        let kind = AlertKind::NoProgress;
        let (raised, times) = (TimeMs(1_000), 1);
        let words = "no data came".to_owned();
        let (severity, subject) = (kind.severity(), subject.to_owned());
        Alert { kind, subject, severity, raised, last_seen: raised, times, resolved: None, words }
    }

    /// A webhook that gives these answers, one a connection, and keeps what it was told. An empty one is no answer.
    struct Hook {
        net: MemoryNet,
        to: Webhook,
        told: Arc<Mutex<Vec<(Instant, Value)>>>,
        tasks: JoinSet<()>,
        changes: broadcast::Sender<AlertChange>,
    }

    async fn serve(
        mut listener: BoxListener,
        answers: Vec<&'static str>,
        told: Arc<Mutex<Vec<(Instant, Value)>>>,
    ) {
        let mut silent = Vec::new();
        for answer in answers {
            let mut stream = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            let body = loop {
                seen.push(stream.read_u8().await.unwrap());
                let text = String::from_utf8(seen.clone()).unwrap();
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str::<Value>(body)
                {
                    assert!(head.starts_with("POST /hook?key=secret HTTP/1.1\r\n"), "{head}");
                    break body;
                }
            };
            told.lock().unwrap().push((Instant::now(), body));
            if answer.is_empty() {
                silent.push(stream);
            } else {
                stream
                    .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
            }
        }
        std::future::pending::<()>().await;
    }

    impl Hook {
        async fn new(answers: Vec<&'static str>) -> Self {
            let net = MemoryNet::default();
            let told = Arc::default();
            let mut tasks = JoinSet::new();
            let to: Webhook = "http://hook:80/hook?key=secret".parse().unwrap();
            if !answers.is_empty() {
                let listener = net.listen("hook:80").await.unwrap();
                tasks.spawn(serve(listener, answers, Arc::clone(&told)));
            }
            let changes = broadcast::Sender::new(4);
            let (running, target, receiver) = (net.clone(), to.clone(), changes.subscribe());
            tasks.spawn(async move {
                let sender = Sender { network: "sim".to_owned(), pid: 7, host: "here".to_owned() };
                run(&running, &target, &sender, receiver, Seed(1).rng("webhook")).await;
            });
            Self { net, to, told, tasks, changes }
        }

        fn told(&self) -> Vec<String> {
            let of = |body: &Value| {
                format!("{} {}", body["event"].as_str().unwrap(), body["subject"].as_str().unwrap())
            };
            self.told.lock().unwrap().iter().map(|(_, body)| of(body)).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rises_and_ends_are_told_and_what_lies_between_is_not() {
        let hook = Hook::new(vec!["200 OK", "204 No Content"]).await;
        let over = Alert { resolved: Some(TimeMs(9_000)), ..alert("ws") };
        for change in
            [AlertChange::Raised(alert("ws")), AlertChange::Still(alert("ws")), AlertChange::Resolved(over)]
        {
            hook.changes.send(change).unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(hook.told(), ["raised ws", "resolved ws"]);
        let first = hook.told.lock().unwrap()[0].1.clone();
        let expected = serde_json::json!({
            "event": "raised", "kind": "no_progress", "subject": "ws", "severity": "critical", "raised": 1_000,
            "last_seen": 1_000, "times": 1, "resolved": null, "words": "no data came",
            "sender": { "network": "sim", "pid": 7, "host": "here" },
        });
        assert_eq!(first, expected);
        assert_eq!(hook.to.to_string(), "http://hook/***", "its path may hold a key");
    }

    #[tokio::test(start_paused = true)]
    async fn broken_and_silent_answers_are_tried_again_and_a_refusal_is_not() {
        let hook =
            Hook::new(vec!["500 Internal Server Error", "", "200 OK", "403 Forbidden", "200 OK"]).await;
        hook.changes.send(AlertChange::Raised(alert("ws"))).unwrap();
        sleep(Duration::from_secs(30)).await;
        assert_eq!(hook.told(), ["raised ws"; 3]);
        let times: Vec<_> = hook.told.lock().unwrap().iter().map(|(at, _)| *at).collect();
        assert!(times[1] - times[0] >= FIRST_PAUSE / 2 && times[2] - times[1] > LIMIT, "{times:?}");
        hook.changes.send(AlertChange::Raised(alert("rest"))).unwrap();
        hook.changes.send(AlertChange::Raised(alert("writer"))).unwrap();
        sleep(Duration::from_secs(30)).await;
        assert_eq!(hook.told()[3..], ["raised rest", "raised writer"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_down_holds_nobody_up_and_hears_the_newest_when_it_is_back() {
        let mut hook = Hook::new(Vec::new()).await;
        for n in 0..100 {
            // Never waits, however long the other side takes.
            hook.changes.send(AlertChange::Raised(alert(&format!("session/{n}")))).unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let listener = hook.net.listen("hook:80").await.unwrap();
        hook.tasks.spawn(serve(listener, vec!["200 OK"; 10], Arc::clone(&hook.told)));
        sleep(Duration::from_secs(600)).await;
        assert_eq!(hook.told(), (96..100).map(|n| format!("raised session/{n}")).collect::<Vec<_>>());
    }
}

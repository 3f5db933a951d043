//! The client of `/info` against a scripted server, in virtual time: what is tried again, what is not, who waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![cfg(test)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::rest::{InfoClient, RestError, RestOptions, Urgency, Weights};
use hl_core::TimeMs;
use hl_core::decode::rest::answer;
use hl_core::ledger::{Cause, Span};
use hl_core::message::info::InfoRequest;
use hl_core::seam::{BoxStream, Clock, Endpoint, Net as _};
use hl_core::source::Past as _;
use hl_runtime::{MemoryNet, TokioClock};
use hl_store::{SqliteOptions, SqliteStore, Writer};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

const START: TimeMs = TimeMs(1_790_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);
/// The weight of the request that these tests make.
const WEIGHT: u32 = 20;

/// What the server does with a request.
#[derive(Clone, Debug)]
enum Answer {
    Says(u16, &'static str),
    /// Promises more than it sends, then closes.
    Breaks,
    /// A whole answer that is cut short all the same.
    Cuts,
    /// Reads and says nothing.
    Hangs,
}

/// A system clock that somebody sets.
#[derive(Clone)]
struct Stepping {
    steady: TokioClock,
    steps_ms: Arc<AtomicI64>,
}

impl Clock for Stepping {
    fn nanos(&self) -> i64 {
        self.steady.nanos() + self.steps_ms.load(Ordering::Relaxed) * 1_000_000
    }
}

#[derive(Default)]
struct Seen {
    connections: usize,
    /// When each request was read.
    requests: Vec<Instant>,
    /// What each asked for.
    types: Vec<String>,
    script: VecDeque<Answer>,
}

/// A server that follows a script, then answers `[1]` to everything.
struct Server {
    net: MemoryNet,
    endpoint: Endpoint,
    seen: Arc<Mutex<Seen>>,
    folder: tempfile::TempDir,
    clock: Stepping,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn new(script: &[Answer]) -> Self {
        let net = MemoryNet::new();
        let mut listener = net.listen("exchange:0").await.unwrap();
        let endpoint = listener.endpoint();
        let seen = Arc::new(Mutex::new(Seen { script: script.iter().cloned().collect(), ..Seen::default() }));
        let mut tasks = JoinSet::new();
        let shared = seen.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(stream) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        let clock = Stepping { steady: TokioClock::starting_at(START), steps_ms: Arc::default() };
        Self { net, endpoint, seen, folder: tempfile::tempdir().unwrap(), clock, _tasks: tasks }
    }

    /// A client in a process of its own, on the one store that all share.
    async fn client(&self) -> InfoClient {
        self.client_of(self.endpoint.clone()).await
    }

    async fn client_of(&self, endpoint: Endpoint) -> InfoClient {
        let store = SqliteStore::open(SqliteOptions {
            path: self.folder.path().join("weights.db"),
            role: "test".into(),
            host: "test".into(),
            pid: std::process::id(),
            writer: Writer::Inline { delay_ms: 1 },
            clock: Arc::new(self.clock.clone()),
        });
        let mono = MonoClock::new(Arc::new(self.clock.clone()));
        let store = Arc::new(store.await.unwrap());
        let weights = Weights::new(store, "sim".into(), mono.clone(), Arc::new(self.clock.clone()));
        let options = RestOptions { endpoint, path: "/info".into() };
        InfoClient::new(Arc::new(self.net.clone()), options, weights, mono, fastrand::Rng::with_seed(1))
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    fn last_request(&self) -> Instant {
        *self.seen.lock().unwrap().requests.last().unwrap()
    }
}

/// Requests of one connection, one after another.
async fn serve(mut stream: BoxStream, seen: Arc<Mutex<Seen>>) {
    let mut text = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = text.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read_buf(&mut text).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        };
        let words = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
        assert!(words.starts_with("post /info http/1.1\r\n"), "{words}");
        let length = words.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let end = head + length.parse::<usize>().unwrap();
        while text.len() < end {
            stream.read_buf(&mut text).await.unwrap();
        }
        let request: Value = serde_json::from_slice(&text[head..end]).unwrap();
        text.drain(..end);
        let answer = {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(Instant::now());
            seen.types.push(request["type"].as_str().unwrap().to_owned());
            seen.script.pop_front().unwrap_or(Answer::Says(200, "[1]"))
        };
        let (status, body, length) = match answer {
            Answer::Says(status, body) => (status, body, body.len()),
            Answer::Breaks => (200, "[1", 100),
            Answer::Cuts => (200, "[1,", 3),
            Answer::Hangs => std::future::pending().await,
        };
        let response = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(response.as_bytes()).await.unwrap();
        if length != body.len() {
            return;
        }
    }
}

async fn ask(client: &InfoClient, urgency: Urgency, limit: Duration) -> Result<Value, RestError> {
    let decode = |body: &mut [u8]| answer::<Value>("perpDexs", body);
    client.ask(&InfoRequest::PerpDexs, 0, urgency, limit, decode).await
}

async fn live(client: &InfoClient) -> Result<Value, RestError> {
    ask(client, Urgency::Live, MINUTE).await
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_many_requests() {
    let server = Server::new(&[]).await;
    let client = server.client().await;
    for _ in 0..5 {
        live(&client).await.unwrap();
    }
    assert_eq!((server.connections(), server.requests()), (1, 5));
    assert_eq!(server.seen.lock().unwrap().types, ["perpDexs"; 5]);
    let counters = client.counters();
    assert_eq!((counters.requests, counters.failures, counters.weight_used), (5, 0, 5 * WEIGHT));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again() {
    for trouble in [Answer::Breaks, Answer::Cuts, Answer::Says(502, "<html>"), Answer::Says(500, "oops")] {
        let server = Server::new(&[trouble.clone(), trouble.clone()]).await;
        let client = server.client().await;
        assert_eq!(live(&client).await.unwrap(), serde_json::json!([1]), "{trouble:?}");
        assert_eq!((server.requests(), client.counters().failures), (3, 2), "{trouble:?}");
        assert_eq!(client.counters().weight_used, 3 * WEIGHT, "every attempt costs weight");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_whole_and_wrong_is_not_asked_for_again() {
    for body in [r#"{"error":"no"}"#, "null", "[[1]]", r#"[{"name":7}]"#] {
        let server = Server::new(&[Answer::Says(200, body)]).await;
        let client = server.client().await;
        let decode = |body: &mut [u8]| answer::<Vec<u8>>("perpDexs", body);
        let asked = client.ask(&InfoRequest::PerpDexs, 0, Urgency::Live, MINUTE, decode).await;
        let error = asked.unwrap_err();
        assert!(matches!(&error, RestError::Decode(_)), "{error}");
        assert_eq!((server.requests(), error.cause()), (1, Cause::Undecodable), "{body}");
        assert_eq!(client.counters().weight_used, WEIGHT);
        let told = client.unreadables();
        assert_eq!(told["perpDexs"].count, 1);
        assert!(told["perpDexs"].reason.contains("perpDexs"), "{told:?}");
    }
}

const HOUR: i64 = 3_600_000;

/// `fundingHistory` of the hours before [`START`], and what is left of it when the third row has no premium.
const SETTLED: &str = r#"[
    {"coin":"BTC","fundingRate":"0.1","premium":"0.1","time":1789984800050},
    {"coin":"BTC","fundingRate":"0.1","premium":"1e-7","time":1789988400050},
    {"coin":"BTC","fundingRate":"0.1","premium":"NaN","time":1789992000050},
    {"coin":"BTC","fundingRate":"0.1","premium":"0.1","time":1789995600050}]"#;

#[tokio::test(start_paused = true)]
async fn a_row_of_the_past_that_cannot_be_read_is_a_hole_in_what_its_page_proves() {
    let status = Answer::Says(200, r#"{"time":1790000000000,"specialStatuses":null}"#);
    let server = Server::new(&[status, Answer::Says(200, SETTLED)]).await;
    let client = server.client().await;
    let stream = "funding/BTC".parse().unwrap();
    let hour = |n: i64| TimeMs(1_789_984_800_000 + n * HOUR);
    let piece = Span::new(hour(0), hour(4));
    let page = client.page(stream, piece, 0).await.unwrap();
    let proven: Vec<_> = page.proven.iter().map(|(span, records)| (*span, records.len())).collect();
    assert_eq!(proven, [(Span::new(hour(0), hour(2)), 2), (Span::new(hour(3), hour(4)), 1)]);
    assert_eq!((page.unreadable, page.lost), (vec![Span::new(hour(2), hour(3))], vec![]));
    assert_eq!(client.unreadables()["funding/BTC"].count, 1);
    assert_eq!(server.requests(), 2);

    // Without a time of its own it lies between its neighbours.
    let status = Answer::Says(200, r#"{"time":1790000000000,"specialStatuses":null}"#);
    let nameless: &'static str = SETTLED.replace("1789992000050", "null").leak();
    let server = Server::new(&[status, Answer::Says(200, nameless)]).await;
    let client = server.client().await;
    let page = client.page(stream, piece, 0).await.unwrap();
    assert_eq!(page.unreadable, [Span::new(hour(2), hour(3))]);
}

/// Counts the warnings of its thread.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicI64>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, line: &tracing::Metadata<'_>) -> bool {
        line.is_event() && *line.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_row_that_every_poll_brings_and_nobody_can_read_does_not_fill_the_log() {
    let warnings = Warnings::default();
    // With a single subscriber in the process, a thread of another test that is first at a line would switch it off for all.
    let _other = tracing::Dispatch::new(Warnings::default());
    let _log = tracing::subscriber::set_default(warnings.clone());
    let status = Answer::Says(200, r#"{"time":1790000000000,"specialStatuses":null}"#);
    let mut script = vec![Answer::Says(200, SETTLED); 31];
    script[0] = status;
    let server = Server::new(&script).await;
    let client = server.client().await;
    let piece = Span::new(TimeMs(1_789_984_800_000), TimeMs(1_789_984_800_000 + 4 * HOUR));
    let begun = Instant::now();
    for _ in 0..30 {
        client.page("funding/BTC".parse().unwrap(), piece, 0).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let most = begun.elapsed().as_secs() / 10 + 1;
    let told = warnings.0.load(Ordering::Relaxed);
    assert!((1..=i64::try_from(most).unwrap()).contains(&told) && told < 30, "{told} lines, at most {most}");
    assert_eq!(client.unreadables()["funding/BTC"].count, 30, "each is counted");
}

#[tokio::test(start_paused = true)]
async fn a_bar_of_the_past_that_cannot_be_read_is_a_hole_of_its_length() {
    let status = Answer::Says(200, r#"{"time":1790000000000,"specialStatuses":null}"#);
    let bar = |minute: i64, close: &str| {
        let t = 1_789_999_200_000 + minute * 60_000;
        format!(
            r#"{{"t":{t},"T":{},"s":"BTC","i":"1m","o":"1","c":{close},"h":"1","l":"1","v":"1","n":1}}"#,
            t + 59_999
        )
    };
    let bars = [bar(0, "\"1\""), bar(1, "\"Infinity\""), bar(2, "null"), bar(4, "\"1\""), bar(5, "7")];
    let body: &'static str = format!("[{}]", bars.join(",")).leak();
    let server = Server::new(&[status, Answer::Says(200, body)]).await;
    let client = server.client().await;
    let minute = |n: i64| TimeMs(1_789_999_200_000 + n * 60_000);
    let piece = Span::new(minute(0), minute(6));
    let page = client.page("candle/BTC/1m".parse().unwrap(), piece, 0).await.unwrap();
    let proven: Vec<_> = page.proven.iter().map(|(span, records)| (*span, records.len())).collect();
    assert_eq!(proven, [(Span::new(minute(0), minute(1)), 1), (Span::new(minute(3), minute(5)), 1)]);
    assert_eq!(page.unreadable, [Span::new(minute(1), minute(3)), Span::new(minute(5), minute(6))]);
}

#[tokio::test(start_paused = true)]
async fn three_attempts_with_pauses_between_them_and_no_more() {
    let server = Server::new(&vec![Answer::Says(503, ""); 9]).await;
    let client = server.client().await;
    let error = live(&client).await.unwrap_err();
    assert!(matches!(error, RestError::Server { status: 503, .. }), "{error}");
    assert_eq!(error.to_string(), "perpDexs: HTTP 503");
    assert_eq!(client.trouble(), Some(error.to_string()));
    let times = server.seen.lock().unwrap().requests.clone();
    let pauses: Vec<_> = times.windows(2).map(|w| (w[1] - w[0]).as_millis()).collect();
    assert_eq!(pauses.len(), 2);
    assert!((150..=310).contains(&pauses[0]) && (300..=610).contains(&pauses[1]), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final() {
    for (status, body) in [(500, "null"), (422, "Failed to deserialize the JSON body"), (403, "")] {
        let server = Server::new(&[Answer::Says(status, body)]).await;
        let client = server.client().await;
        let error = live(&client).await.unwrap_err();
        assert!(matches!(&error, RestError::Refused { status: s, .. } if *s == status), "{error}");
        assert_eq!((server.requests(), error.cause()), (1, Cause::Refused));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_has_a_limit() {
    let server = Server::new(&vec![Answer::Hangs; 3]).await;
    let client = server.client().await;
    let begun = Instant::now();
    let error = live(&client).await.unwrap_err();
    assert!(matches!(error, RestError::Limit { .. }), "{error}");
    let took = begun.elapsed().as_secs();
    assert!((30..=31).contains(&took), "three times ten seconds and two short pauses, not {took} s");
    live(&client).await.unwrap();
    assert_eq!(server.connections(), 4, "a connection that hung is not used again");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_listens_the_error_says_where() {
    let server = Server::new(&[]).await;
    let client = server.client_of("http://nowhere:7".parse().unwrap()).await;
    let error = live(&client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "perpDexs: connection to http://nowhere:7: nobody listens on http://nowhere:7"
    );
    assert_eq!(error.cause(), Cause::Outage);
}

#[tokio::test(start_paused = true)]
async fn a_429_silences_every_user_of_the_client() {
    let server = Server::new(&[Answer::Says(429, "null")]).await;
    let client = server.client().await;
    let error = live(&client).await.unwrap_err();
    let limited = Instant::now();
    assert!(matches!(error, RestError::RateLimited { wait_ms: 10_000, .. }), "{error}");
    assert_eq!(
        (server.requests(), error.cause()),
        (1, Cause::OverCapacity),
        "asking again would make it worse"
    );

    // Who cannot wait that long is told so, and nothing is sent.
    let error = ask(&client, Urgency::Question, Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, RestError::RateLimited { .. }), "{error}");
    assert_eq!(server.requests(), 1);

    let (a, b) = tokio::join!(live(&client), live(&client));
    assert!(a.is_ok() && b.is_ok());
    let times = server.seen.lock().unwrap().requests.clone();
    let waited: Vec<_> = times[1..].iter().map(|at| (*at - limited).as_secs_f64()).collect();
    assert!(waited.len() == 2 && waited.iter().all(|s| (9.9..11.0).contains(s)), "{waited:?}");
    assert_eq!(client.counters().rate_limited, 1);
}

#[tokio::test(start_paused = true)]
async fn repeated_429s_wait_longer_until_one_answer_is_good() {
    let limited = Answer::Says(429, "null");
    let good = Answer::Says(200, "[]");
    let server = Server::new(&[
        limited.clone(),
        limited.clone(),
        limited.clone(),
        limited.clone(),
        limited.clone(),
        good,
        limited,
    ])
    .await;
    let client = server.client().await;
    let mut waits = Vec::new();
    for _ in 0..7 {
        match ask(&client, Urgency::Live, 2 * MINUTE).await {
            Err(RestError::RateLimited { wait_ms, .. }) => waits.push(wait_ms),
            other => waits.extend(other.map(|_| 0).ok()),
        }
    }
    assert_eq!(waits, [10_000, 20_000, 40_000, 60_000, 60_000, 0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn all_processes_on_one_store_share_one_budget() {
    let server = Server::new(&[]).await;
    let (one, other) = (server.client().await, server.client().await);
    let begun = Instant::now();
    let (mut granted, mut sent) = (0, 0);
    for client in [&one, &other].into_iter().cycle() {
        match ask(client, Urgency::Question, Duration::ZERO).await {
            Ok(_) => granted += WEIGHT,
            Err(error) => {
                assert!(matches!(error, RestError::Budget { .. }), "{error}");
                assert_eq!(error.cause(), Cause::OverCapacity);
                break;
            }
        }
        sent += 1;
    }
    assert_eq!(granted, Urgency::Question.ceiling(), "both together");
    assert!(begun.elapsed() < MINUTE);
    assert_eq!(server.requests(), sent, "what has no room is not sent");
    assert_eq!([one.trouble(), other.trouble()], [None, None], "nor is that the exchange's fault");

    // The past and questions wait while what a stream lives on still has room.
    assert!(ask(&other, Urgency::Backfill, Duration::ZERO).await.is_err());
    ask(&other, Urgency::Live, Duration::ZERO).await.unwrap();

    // Room comes back as the window moves on, and whoever waits gets it then.
    ask(&one, Urgency::Backfill, 2 * MINUTE).await.unwrap();
    let waited = server.last_request() - begun;
    assert!(waited >= MINUTE && waited < MINUTE + MINUTE / 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_gives_no_second_budget() {
    for step in [3_600_000, -3_600_000] {
        let server = Server::new(&[]).await;
        let client = server.client().await;
        let begun = Instant::now();
        let whole = Urgency::Live.ceiling() / WEIGHT;
        for _ in 0..whole {
            live(&client).await.unwrap();
        }
        server.clock.steps_ms.fetch_add(step, Ordering::Relaxed);
        ask(&client, Urgency::Live, Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(server.requests(), usize::try_from(whole).unwrap(), "the minute's weight is spent");
        ask(&client, Urgency::Live, 2 * MINUTE).await.unwrap();
        assert!(server.last_request().duration_since(begun) >= MINUTE, "a step of {step} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fast_clock_does_not_make_a_bar_in_progress_final() {
    let bars = r#"[{"t":1789999920000,"T":1789999979999,"s":"BTC","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1},
        {"t":1789999980000,"T":1790000039999,"s":"BTC","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}]"#;
    let time = r#"{"time":1790000000000,"specialStatuses":null}"#;
    let server = Server::new(&[time, time, bars, bars].map(|body| Answer::Says(200, body))).await;
    server.clock.steps_ms.fetch_add(3_600_000, Ordering::Relaxed);
    let client = server.client().await;
    let piece = Span::new(TimeMs(1_789_999_920_000), TimeMs(1_790_003_580_000));
    let proven = Some(Span::new(piece.from, TimeMs(1_789_999_980_000)));
    for _ in 0..2 {
        let page = client.page("candle/BTC/1m".parse().unwrap(), piece, 0).await.unwrap();
        let [(span, records)] = page.proven.as_slice() else { panic!("{page:?}") };
        assert_eq!((Some(*span), records.len()), (proven, 1));
    }
    let types = server.seen.lock().unwrap().types.clone();
    let asked = ["exchangeStatus", "exchangeStatus", "candleSnapshot", "candleSnapshot"];
    assert_eq!(types, asked, "the time is asked for until two words agree");
}

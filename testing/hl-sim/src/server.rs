//! HTTP: accepts connections, routes requests, upgrades sockets. Faults of HTTP strike here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use hl_core::seam::{BoxListener, BoxStream};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::faults::{BodyFault, Fault, Faults, Struck};
use crate::info::{self, Reply};
use crate::sim::{Shared, Source};
use crate::truth;
use crate::ws::hub::Opened;
use crate::ws::session;

/// Largest body of a request.
const LARGEST_BODY: usize = 1 << 20;
/// Time for the head of a request, the pause between two on one connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(180);
/// Pause after a failed accept, so that a lasting failure does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that waits to become a socket.
type Upgrade = Arc<Mutex<Option<(UpgradeFut, Opened)>>>;

/// The connection is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is refused")]
struct Refused;

/// Accepts until told to stop, then ends every connection.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    mut listener: BoxListener,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection of the simulated exchange failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok(stream) => { connections.spawn(connection(Arc::clone(&shared), stream)); }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.abort_all();
    while connections.join_next().await.is_some() {}
}

async fn connection(shared: Arc<Shared>, stream: BoxStream) {
    let waiting: Upgrade = Arc::default();
    let service = service_fn(|request| {
        let (shared, waiting) = (Arc::clone(&shared), Arc::clone(&waiting));
        async move { route(&shared, request, &waiting).await }
    });
    let served = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
    let upgraded = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, opened)) = upgraded {
        let id = opened.id;
        match upgrade.await {
            Ok(socket) => session::run(socket.into_inner(), &shared, opened).await,
            Err(error) => {
                tracing::debug!(%error, "a socket was not upgraded");
                shared.close_socket(id, false);
            }
        }
    }
}

async fn route(
    shared: &Shared,
    request: Request<Incoming>,
    waiting: &Upgrade,
) -> Result<Response<Full<Bytes>>, Refused> {
    let path = request.uri().path().to_owned();
    let reply = match path.as_str() {
        "/ws" => return open_socket(shared, request, waiting),
        "/info" => {
            let request = read(request).await;
            faulted(shared, Faults::http, || post_info(shared, request)).await
        }
        "/evm" if shared.has_chain() => {
            let request = read(request).await;
            faulted(shared, Faults::chain, || post_evm(shared, request)).await
        }
        "/Mainnet/leaderboard" => faulted(shared, Faults::http, || file(shared, "leaderboard")).await,
        "/Mainnet/vaults" => faulted(shared, Faults::http, || file(shared, "vaults")).await,
        _ => match (path.strip_prefix("/stats/"), path.strip_prefix("/sim/")) {
            (Some(name), _) => faulted(shared, Faults::http, || statistics(shared, name)).await,
            (_, Some(name)) => control(shared, name, read(request).await),
            _ => not_found(),
        },
    };
    Ok(respond(reply))
}

fn respond(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response
}

fn open_socket(
    shared: &Shared,
    mut request: Request<Incoming>,
    waiting: &Upgrade,
) -> Result<Response<Full<Bytes>>, Refused> {
    if !is_upgrade_request(&request) {
        return Ok(respond(Reply::text(400, "Expected a WebSocket upgrade")));
    }
    let now = Instant::now();
    if let Some(status) = shared.with(|s| s.hub.faults.handshake(now)) {
        return Ok(respond(Reply::null(status)));
    }
    let admitted = shared.with(|s| {
        if s.hub.faults.refuses(now) {
            s.hub.counters.refused += 1;
            return Err(Refused);
        }
        let open = s.hub.len();
        let fits = s.hub.usage.take_connection(now, open);
        s.hub.counters.refused += u64::from(!fits);
        Ok(fits)
    })?;
    if !admitted {
        return Ok(respond(Reply::null(429)));
    }
    match upgrade(&mut request) {
        Ok((response, upgraded)) => {
            let opened = shared.open_socket();
            *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgraded, opened));
            Ok(response.map(|_| Full::default()))
        }
        Err(_) => Ok(respond(Reply::text(400, "The WebSocket handshake is wrong"))),
    }
}

/// A request whose body was read.
struct Read {
    method: Method,
    query: String,
    is_json: bool,
    /// `None`: it is too long, or the connection broke.
    body: Option<Bytes>,
}

async fn read(request: Request<Incoming>) -> Read {
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_json = content_type.trim().to_ascii_lowercase().starts_with("application/json");
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect().await.ok();
    Read { method, query, is_json, body: body.map(http_body_util::Collected::to_bytes) }
}

/// An answer, and what the faults make of it. A status by fault weighs nothing: nothing was asked.
async fn faulted(
    shared: &Shared,
    strikes: fn(&mut Faults, Instant) -> Struck,
    answer: impl FnOnce() -> Reply,
) -> Reply {
    let Struck { status, body, delay_ms } = shared.with(|s| strikes(&mut s.hub.faults, Instant::now()));
    if let Some(ms) = delay_ms {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let mut reply = match status {
        Some(502) => Reply::new(
            502,
            "text/html",
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>\
             </center>\r\n</body>\r\n</html>\r\n",
        ),
        Some(status) => Reply::null(status),
        None => answer(),
    };
    match body {
        Some(BodyFault::Null) => reply.body = Bytes::from_static(b"null"),
        Some(BodyFault::Truncated) => reply.body.truncate(reply.body.len() / 2),
        None => {}
    }
    reply
}

fn not_found() -> Reply {
    Reply::text(404, "Not Found")
}

/// The JSON that was posted, or why there is none.
fn posted(request: Read) -> Result<Bytes, Reply> {
    if request.method != Method::POST {
        return Err(Reply::new(405, "text/plain; charset=utf-8", ""));
    }
    if !request.is_json {
        return Err(Reply::text(415, "Expected request with `Content-Type: application/json`"));
    }
    request.body.ok_or_else(|| Reply::text(413, "length limit exceeded"))
}

fn post_evm(shared: &Shared, request: Read) -> Reply {
    match posted(request) {
        Ok(body) => shared.current(|s| s.answer_chain(&body, Instant::now())).unwrap_or_else(not_found),
        Err(refusal) => refusal,
    }
}

fn post_info(shared: &Shared, request: Read) -> Reply {
    let body = match posted(request) {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let now = Instant::now();
    let parsed: Result<Value, _> = serde_json::from_slice(&body);
    shared.current(|s| {
        s.info_requests += 1;
        let weight = parsed.as_ref().map_or(20, info::weight);
        if !s.hub.usage.take_weight(now, weight) {
            s.rate_limited += 1;
            return Reply::null(429);
        }
        let Ok(request) = &parsed else {
            return Reply::text(400, "Failed to parse the request body as JSON");
        };
        let reply = s.answer(request, now);
        s.hub.usage.add_weight(now, reply.extra_weight);
        reply
    })
}

fn file(shared: &Shared, name: &str) -> Reply {
    shared.current(|s| match &s.source {
        Source::Market(exchange) if name == "vaults" => info::vaults(exchange),
        Source::Market(exchange) => info::leaderboard(exchange),
        Source::Replay(_) if name == "vaults" => Reply::json(&json!([])),
        Source::Replay(_) => Reply::json(&json!({"leaderboardRows": []})),
    })
}

fn statistics(shared: &Shared, name: &str) -> Reply {
    let found = shared.current(|s| match &mut s.source {
        Source::Market(exchange) => info::statistics(exchange, name),
        Source::Replay(_) => None,
    });
    found.unwrap_or_else(|| Reply::new(403, "application/xml", "<Error><Code>AccessDenied</Code></Error>"))
}

/// `/sim/…`: never faulted, never limited.
fn control(shared: &Shared, name: &str, request: Read) -> Reply {
    match (name, &request.method) {
        ("status", &Method::GET) => Reply::json(&shared.status()),
        ("faults", &Method::GET) => Reply::json(&shared.faults()),
        ("faults", &Method::DELETE) => Reply::json(&json!({"cleared": shared.clear_faults()})),
        ("faults", &Method::POST) => post_fault(shared, &request),
        (_, &Method::GET) => match name.strip_prefix("truth/") {
            Some("falsified") => {
                Reply::json(&shared.with(|s| s.hub.faults.falsified().copied().collect::<Vec<_>>()))
            }
            Some(what) => shared.current(|s| match &mut s.source {
                Source::Market(exchange) => truth::answer(exchange, what, &request.query),
                Source::Replay(_) => Reply::json(&json!([])),
            }),
            None => Reply { status: 404, ..Reply::json(&json!({"error": "there is no such path"})) },
        },
        ("status" | "faults", _) => Reply { status: 405, ..Reply::json(&json!({"error": "wrong method"})) },
        _ => Reply { status: 404, ..Reply::json(&json!({"error": "there is no such path"})) },
    }
}

fn post_fault(shared: &Shared, request: &Read) -> Reply {
    let wrong = |field: &str, reason: String| Reply {
        status: 400,
        ..Reply::json(&json!({"error": format!("{field}: {reason}"), "field": field}))
    };
    let body = request.body.as_ref().map_or(&[][..], |b| &b[..]);
    match serde_json::from_slice::<Value>(body) {
        Err(error) => wrong("body", format!("it is no JSON: {error}")),
        Ok(value) => match Fault::from_json(&value) {
            Ok(fault) => Reply::json(&json!({"id": shared.inject(fault)})),
            Err(error) => wrong(&error.field, error.reason),
        },
    }
}

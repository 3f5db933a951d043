//! What is answered to what: pure.

use hl_engine::Published;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Who;

const PATHS: [&str; 3] = ["/healthz", "/v1/processes", "/v1/alerts"];

pub(super) fn to(method: &Method, path: &str, who: &Who, published: &Published) -> Response<Full<Bytes>> {
    if !PATHS.contains(&path) {
        return json_of(StatusCode::NOT_FOUND, &json!({ "error": "there is no such path", "paths": PATHS }));
    }
    if method != Method::GET {
        let mut refused =
            json_of(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "only GET is understood" }));
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    let health = &published.health;
    let age_ms = i64::try_from(published.taken.elapsed().as_millis()).unwrap_or(i64::MAX);
    let at = health.at;
    // Which process of those on the store it is that answers.
    let of_this_process = |name: &str, list: Value| {
        let (Who { role, host }, pid) = (who, std::process::id());
        json!({ "at": at, "age_ms": age_ms, "token": health.token, "role": role, "pid": pid, "host": host, name: list })
    };
    match path {
        "/v1/processes" => json_of(StatusCode::OK, &of_this_process("processes", json!(health.processes))),
        "/v1/alerts" => json_of(StatusCode::OK, &of_this_process("alerts", json!(health.alerts))),
        _ => {
            let reasons = health.reasons(&published.reception, age_ms);
            let healthy = reasons.is_empty();
            let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let reception = &published.reception;
            json_of(
                status,
                &json!({ "healthy": healthy, "at": at, "age_ms": age_ms, "reasons": reasons, "reception": reception }),
            )
        }
    }
}

fn json_of(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! A GET request over the [`Net`] seam, for the files that a verifier reads. The collector's REST client is another
//! one, with weights and retries.

use std::io;
use std::time::Duration;

use hl_core::seam::{Endpoint, Net};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;

/// The longest that a request may take, from connecting to the last byte.
const LIMIT: Duration = Duration::from_secs(30);

/// The longest answer, bytes.
const MAX_BODY: usize = 256 << 20;

/// A GET request failed.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// No connection.
    #[error("connecting to {to}: {source}")]
    Connect {
        /// Where to.
        to: Endpoint,
        /// Why not.
        source: io::Error,
    },
    /// The connection failed.
    #[error("GET {path}: {source}")]
    Http {
        /// The path.
        path: String,
        /// Why.
        source: hyper::Error,
    },
    /// The path cannot be asked for.
    #[error("GET {path}: {source}")]
    Path {
        /// The path.
        path: String,
        /// Why.
        source: hyper::http::Error,
    },
    /// The answer broke off, or is too long.
    #[error("GET {path}: reading the answer: {source}")]
    Body {
        /// The path.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server said no.
    #[error("GET {path}: {status}: {text}")]
    Status {
        /// The path.
        path: String,
        /// What it said.
        status: StatusCode,
        /// The beginning of its answer.
        text: String,
    },
    /// No answer in time.
    #[error("GET {path}: no answer within {} s", LIMIT.as_secs())]
    Late {
        /// The path.
        path: String,
    },
}

/// The body of `path` at `endpoint`, at most 256 MiB of it, within 30 s.
///
/// # Errors
/// When the connection, the status or the body is not as it should be.
pub async fn get(net: &dyn Net, endpoint: &Endpoint, path: &str) -> Result<Bytes, GetError> {
    match tokio::time::timeout(LIMIT, request(net, endpoint, path)).await {
        Ok(result) => result,
        Err(_) => Err(GetError::Late { path: path.to_owned() }),
    }
}

async fn request(net: &dyn Net, endpoint: &Endpoint, path: &str) -> Result<Bytes, GetError> {
    let http = |source| GetError::Http { path: path.to_owned(), source };
    let stream =
        net.connect(endpoint).await.map_err(|source| GetError::Connect { to: endpoint.clone(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let request = Request::get(path)
        .header(header::HOST, endpoint.authority())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|source| GetError::Path { path: path.to_owned(), source })?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(http)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|source| {
            let what = match source.downcast::<LengthLimitError>() {
                Ok(limit) => limit as Box<dyn std::error::Error + Send + Sync>,
                Err(other) => other,
            };
            GetError::Body { path: path.to_owned(), source: what }
        })?;
        let body = body.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body).chars().take(200).collect();
        Err(GetError::Status { path: path.to_owned(), status, text })
    };
    // The connection makes progress beside the exchange and ends with it, so that nothing is left running.
    tokio::pin!(connection);
    tokio::pin!(exchange);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            result = &mut exchange => return result,
            end = &mut connection, if open => {
                open = false;
                // A connection that breaks says so to the exchange as well, which then ends by itself.
                if let Err(error) = end {
                    tracing::debug!(%error, path, "the connection ended");
                }
            }
        }
    }
}

/// A value for a query: everything but letters, digits and `-._~` as `%XX`.
#[must_use]
pub fn encode(value: &str) -> String {
    value
        .bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use hl_runtime::MemoryNet;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn answered(answer: &'static [u8]) -> Result<Bytes, GetError> {
        let net = MemoryNet::default();
        let mut listener = net.listen("sim:80").await.unwrap();
        let endpoint = listener.endpoint();
        let server = async {
            let mut stream = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(stream.read_u8().await.unwrap());
            }
            assert!(seen.starts_with(b"GET /x?coin=PURR%2FUSDC HTTP/1.1\r\n"), "{seen:?}");
            stream.write_all(answer).await.unwrap();
        };
        let path = format!("/x?coin={}", encode("PURR/USDC"));
        let (result, ()) = tokio::join!(get(&net, &endpoint, &path), server);
        result
    }

    #[tokio::test]
    async fn a_body_a_refusal_and_a_broken_answer() {
        let body = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
        assert_eq!(body.unwrap(), "[]");
        let refused = answered(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope").await;
        assert_eq!(refused.unwrap_err().to_string(), "GET /x?coin=PURR%2FUSDC: 404 Not Found: nope");
        let torn = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[]").await;
        assert!(matches!(torn, Err(GetError::Body { .. })), "{torn:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let net = MemoryNet::default();
        let mut listener = net.listen("sim:80").await.unwrap();
        let endpoint = listener.endpoint();
        let server = async {
            let stream = listener.accept().await.unwrap();
            tokio::time::sleep(LIMIT * 2).await;
            drop(stream);
        };
        let (result, ()) = tokio::join!(get(&net, &endpoint, "/x"), server);
        assert!(matches!(result, Err(GetError::Late { .. })), "{result:?}");
    }
}

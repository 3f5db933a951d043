//! Files of the exchange by GET, over the [`Net`] seam: a short one at once ([`get`]), a long one piece by piece ([`Folder`]).
//!
//! What does not live here: `/info`, whose client has weights and retries ([`rest`](crate::rest)), and what is in a file.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hl_core::ledger::Cause;
use hl_core::seam::{BoxFuture, Endpoint, Net};
use hl_core::source::{FetchError, Files, Pieces};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tracing::debug;

/// The longest that may pass from connecting to the last byte of a short file, or to the next piece of a long one.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest file, bytes.
const MAX_BODY: usize = 256 << 20;
/// So much of a refusal is read, bytes.
const MAX_REFUSAL: usize = 64 << 10;

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
    let whole = async {
        let Download { body, path, connection: _connection } = request(net, endpoint, path).await?;
        let body = body.collect().await.map_err(|source| GetError::Body { path, source })?;
        Ok(body.to_bytes())
    };
    match tokio::time::timeout(LIMIT, whole).await {
        Ok(result) => result,
        Err(_) => Err(GetError::Late { path: path.to_owned() }),
    }
}

/// A file that is on its way.
struct Download {
    path: String,
    body: Limited<Incoming>,
    /// The connection makes progress beside the body and ends with it, so that nothing is left running.
    connection: JoinSet<()>,
}

async fn request(net: &dyn Net, endpoint: &Endpoint, path: &str) -> Result<Download, GetError> {
    let path = path.to_owned();
    let http = |source| GetError::Http { path: path.clone(), source };
    let stream =
        net.connect(endpoint).await.map_err(|source| GetError::Connect { to: endpoint.clone(), source })?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let request = Request::get(&path)
        .header(header::HOST, endpoint.authority())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|source| GetError::Path { path: path.clone(), source })?;
    let mut connection = JoinSet::new();
    let of_driver = path.clone();
    connection.spawn(async move {
        // A connection that breaks says so to whoever reads as well.
        if let Err(error) = driver.await {
            debug!(%error, path = of_driver, "the connection ended");
        }
    });
    let response = sender.send_request(request).await.map_err(http)?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(Download { body: Limited::new(response.into_body(), MAX_BODY), path, connection });
    }
    let body = Limited::new(response.into_body(), MAX_REFUSAL).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).chars().take(200).collect();
    Err(GetError::Status { path, status, text })
}

/// The files of one folder.
pub struct Folder {
    net: Arc<dyn Net>,
    endpoint: Endpoint,
    path: String,
}

impl Folder {
    /// The folder at this path, which has no slash at its end.
    #[must_use]
    pub fn new(net: Arc<dyn Net>, endpoint: Endpoint, path: String) -> Self {
        Self { net, endpoint, path }
    }

    /// The folder that holds the file at this path.
    #[must_use]
    pub fn holding(net: Arc<dyn Net>, endpoint: Endpoint, file: &str) -> Self {
        let path = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self::new(net, endpoint, path.to_owned())
    }
}

impl Files for Folder {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Box<dyn Pieces>, FetchError>> {
        Box::pin(async move {
            let path = format!("{}/{}", self.path, encode(name));
            let opened =
                match tokio::time::timeout(LIMIT, request(self.net.as_ref(), &self.endpoint, &path)).await {
                    Ok(opened) => opened,
                    Err(_) => Err(GetError::Late { path }),
                };
            match opened {
                Ok(download) => Ok(Box::new(download) as Box<dyn Pieces>),
                Err(error) => Err(failed(&error)),
            }
        })
    }
}

impl Pieces for Download {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, FetchError>> {
        Box::pin(async move {
            loop {
                let frame = match tokio::time::timeout(LIMIT, self.body.frame()).await {
                    Ok(None) => return Ok(None),
                    Ok(Some(Ok(frame))) => frame,
                    Ok(Some(Err(source))) => {
                        return Err(failed(&GetError::Body { path: self.path.clone(), source }));
                    }
                    Err(_) => return Err(failed(&GetError::Late { path: self.path.clone() })),
                };
                // Trailers are none of the file.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        })
    }
}

fn failed(error: &GetError) -> FetchError {
    FetchError { step: "reading a file of the exchange", reason: error.to_string(), cause: Cause::Outage }
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

    #[tokio::test]
    async fn a_long_file_comes_piece_by_piece() {
        let net = MemoryNet::default();
        let mut listener = net.listen("sim:80").await.unwrap();
        let folder = Folder::new(Arc::new(net.clone()), listener.endpoint(), "/stats".to_owned());
        let server = async {
            let mut stream = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(stream.read_u8().await.unwrap());
            }
            assert!(seen.starts_with(b"GET /stats/a%20b HTTP/1.1\r\n"), "{seen:?}");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
                .await
                .unwrap();
            stream
        };
        let (opened, mut stream) = tokio::join!(folder.open("a b"), server);
        let mut pieces = opened.unwrap();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "abc", "before the file ends");
        stream.write_all(b"2\r\nde\r\n").await.unwrap();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "de");
        drop(stream);
        let torn = pieces.next().await.unwrap_err();
        assert_eq!((torn.step, torn.cause), ("reading a file of the exchange", Cause::Outage));
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

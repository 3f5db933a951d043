//! Bodies of answers: bounded in length, and in how much of them is held at a time.

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_ENCODING;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The longest body accepted, bytes. The longest answer of `/info` has some MB.
pub(super) const MAX_BODY_BYTES: usize = 32 << 20;
/// Bodies above this length are taken one at a time: however many answers are floods, memory is spent once, bytes.
const LARGE_BODY_BYTES: usize = 1 << 20;

/// A body that is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It is, or says that it is, beyond the limit.
    #[error("the answer has more than {MAX_BODY_BYTES} bytes")]
    TooLong,
    /// Compressed. We ask for no such thing, so it would be somebody between us and the exchange.
    #[error("the answer is compressed ({0}), and that was not asked for")]
    Encoded(String),
    /// The connection broke.
    #[error("reading the answer: {0}")]
    Broken(#[source] hyper::Error),
}

/// A body, whole.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) bytes: Vec<u8>,
    /// Held while a long one is in memory.
    _large: Option<SemaphorePermit<'a>>,
}

/// Takes bodies.
pub(super) struct Bodies {
    large: Semaphore,
}

impl Bodies {
    pub(super) fn new() -> Self {
        Self { large: Semaphore::new(1) }
    }

    /// The body of an answer. The caller sets the time limit by dropping the future.
    pub(super) async fn read(&self, response: Response<Incoming>) -> Result<Body<'_>, BodyError> {
        if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            return Err(BodyError::Encoded(encoding.chars().take(20).collect()));
        }
        let mut incoming = response.into_body();
        if incoming.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(BodyError::TooLong);
        }
        let mut body = Body { bytes: Vec::new(), _large: None };
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
            let length = body.bytes.len() + data.len();
            if length > MAX_BODY_BYTES {
                return Err(BodyError::TooLong);
            }
            if length > LARGE_BODY_BYTES && body._large.is_none() {
                // It fails only where the semaphore is closed, which nobody does.
                body._large = self.large.acquire().await.ok();
            }
            body.bytes.extend_from_slice(&data);
        }
        Ok(body)
    }
}

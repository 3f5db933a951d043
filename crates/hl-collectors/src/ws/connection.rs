//! One socket: handshake, a task that reads, and writes under a time limit.
//!
//! Reading a frame is not cancel-safe in fastwebsockets, so the reading task is only ever aborted together with its
//! socket.

use std::future::Future;
use std::num::NonZeroI64;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use fastwebsockets::{CloseCode, Frame, OpCode, Payload, WebSocketError, WebSocketRead, WebSocketWrite};
use hl_core::seam::{Endpoint, Net};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::message::{Fragments, MAX_MESSAGE_BYTES};
use crate::mono::MonoClock;

/// Messages read ahead of the session …
const READ_AHEAD: usize = 64;
/// … and what they have together at most, bytes: one of the largest.
const READ_AHEAD_BYTES: usize = MAX_MESSAGE_BYTES;
/// A write that takes longer means that the other side no longer reads.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// The socket could not be opened, or broke.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// TCP or TLS.
    #[error("connecting to {endpoint}: {source}")]
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// The cause.
        source: std::io::Error,
    },
    /// The upgrade to WebSocket.
    #[error("WebSocket handshake: {0}")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A write.
    #[error("sending: {0}")]
    Send(#[source] WebSocketError),
    /// A write that took too long.
    #[error("sending took longer than {WRITE_LIMIT:?}")]
    SendLimit,
}

/// What the reading task brings.
pub enum Incoming {
    /// A text message.
    Text {
        /// What it says.
        text: Vec<u8>,
        /// When its last byte was read: ns, UTC.
        received: Option<NonZeroI64>,
    },
    /// A protocol-level ping, to be answered.
    Ping(Vec<u8>),
    /// The end; nothing comes after it.
    Closed(End),
}

/// How a socket ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Whether the other side said goodbye: with a close frame, rather than by breaking the connection.
    pub goodbye: bool,
    /// In words.
    pub words: String,
}

impl End {
    fn broken(words: impl ToString) -> Self {
        Self { goodbye: false, words: words.to_string() }
    }
}

/// A message that waits, and its part of [`READ_AHEAD_BYTES`].
type ReadAhead = (Incoming, Option<OwnedSemaphorePermit>);
type Stream = TokioIo<Upgraded>;

/// An open socket. Dropping it ends its tasks and closes it.
pub struct Connection {
    incoming: mpsc::Receiver<ReadAhead>,
    writer: WebSocketWrite<WriteHalf<Stream>>,
    rng: fastrand::Rng,
    _tasks: Tasks,
}

/// The tasks of one socket: hyper's connection, and the reader.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(future);
    }
}

impl hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for Tasks {
    fn execute(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.spawn(future);
    }
}

impl Connection {
    /// Connects and upgrades. The caller sets the time limit by dropping the future.
    ///
    /// # Errors
    /// When the connection or the handshake fails.
    pub async fn open(
        net: Arc<dyn Net>,
        endpoint: Endpoint,
        path: String,
        mono: MonoClock,
        mut rng: fastrand::Rng,
    ) -> Result<Self, ConnectionError> {
        let stream = net
            .connect(&endpoint)
            .await
            .map_err(|source| ConnectionError::Connect { endpoint: endpoint.clone(), source })?;
        let mut key = [0; 16];
        rng.fill(&mut key);
        let request = Request::builder()
            .uri(&path)
            .header(HOST, endpoint.authority())
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .header(SEC_WEBSOCKET_KEY, base64::engine::general_purpose::STANDARD.encode(key))
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(USER_AGENT, crate::USER_AGENT)
            .body(Empty::<Bytes>::new())
            .map_err(|e| ConnectionError::Handshake(e.into()))?;
        let tasks = Tasks::default();
        let (mut socket, _) = fastwebsockets::handshake::client(&tasks, request, stream)
            .await
            .map_err(|e| ConnectionError::Handshake(e.into()))?;
        socket.set_max_message_size(MAX_MESSAGE_BYTES);
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        let (reader, writer) = socket.split(tokio::io::split);
        let (read, incoming) = mpsc::channel(READ_AHEAD);
        tasks.spawn(read_on(reader, mono, read));
        Ok(Self { incoming, writer, rng, _tasks: tasks })
    }

    /// The next message. Safe to drop and call again.
    pub async fn next(&mut self) -> Incoming {
        match self.incoming.recv().await {
            Some((message, _)) => message,
            None => Incoming::Closed(End::broken("the reader ended")),
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When the socket is broken, or the other side no longer reads.
    pub async fn send_text(&mut self, text: String) -> Result<(), ConnectionError> {
        self.send(OpCode::Text, text.into_bytes()).await
    }

    /// Answers a ping of the protocol itself.
    ///
    /// # Errors
    /// As [`Connection::send_text`].
    pub async fn send_pong(&mut self, payload: Vec<u8>) -> Result<(), ConnectionError> {
        self.send(OpCode::Pong, payload).await
    }

    /// Says goodbye, best effort.
    pub async fn close(mut self) {
        let code = u16::from(CloseCode::Normal).to_be_bytes().to_vec();
        // It is dropped either way.
        let _ = self.send(OpCode::Close, code).await;
    }

    async fn send(&mut self, opcode: OpCode, payload: Vec<u8>) -> Result<(), ConnectionError> {
        let mask = self.rng.u32(..).to_be_bytes();
        let frame = Frame::new(true, opcode, Some(mask), Payload::Owned(payload));
        match tokio::time::timeout(WRITE_LIMIT, self.writer.write_frame(frame)).await {
            Ok(sent) => sent.map_err(ConnectionError::Send),
            Err(_) => Err(ConnectionError::SendLimit),
        }
    }
}

/// Reads until the end of the socket, or of its user.
async fn read_on(
    mut reader: WebSocketRead<ReadHalf<Stream>>,
    mono: MonoClock,
    read: mpsc::Sender<ReadAhead>,
) {
    let room = Arc::new(Semaphore::new(READ_AHEAD_BYTES));
    let mut fragments = Fragments::default();
    // Nothing is answered by itself, so nothing is ever handed to this.
    let mut unused = async |_: Frame<'_>| Ok::<(), WebSocketError>(());
    loop {
        let message = match reader.read_frame(&mut unused).await {
            Ok(frame) => match frame.opcode {
                OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                    match fragments.add(frame.opcode, frame.fin, frame.payload.into()) {
                        Ok(Some(text)) => Incoming::Text { text, received: mono.received() },
                        Ok(None) => continue,
                        Err(error) => Incoming::Closed(End::broken(error)),
                    }
                }
                OpCode::Ping => Incoming::Ping(frame.payload.into()),
                OpCode::Pong => continue,
                OpCode::Close => Incoming::Closed(goodbye(&frame.payload)),
            },
            Err(error) => Incoming::Closed(End::broken(words(&error))),
        };
        let last = matches!(message, Incoming::Closed(_));
        let bytes = match &message {
            Incoming::Text { text, .. } => u32::try_from(text.len()).unwrap_or(u32::MAX),
            Incoming::Ping(_) | Incoming::Closed(_) => 0,
        };
        // It fails only where the semaphore is closed, which nobody does.
        let part = room.clone().acquire_many_owned(bytes).await.ok();
        if read.send((message, part)).await.is_err() || last {
            return;
        }
    }
}

/// What went wrong, in words that say what the peer did.
fn words(error: &WebSocketError) -> String {
    match error {
        WebSocketError::FrameTooLarge => format!("a frame of {MAX_MESSAGE_BYTES} bytes or more"),
        WebSocketError::ReservedBitsNotZero => {
            "a frame with reserved bits, compressed perhaps, and no such thing was agreed on".to_owned()
        }
        WebSocketError::UnexpectedEOF => "the connection ended without a close frame".to_owned(),
        other => other.to_string(),
    }
}

fn goodbye(payload: &[u8]) -> End {
    let words = match payload {
        [a, b, reason @ ..] => {
            format!("close code {} {:?}", u16::from_be_bytes([*a, *b]), String::from_utf8_lossy(reason))
        }
        _ => "closed without a code".into(),
    };
    End { goodbye: true, words }
}

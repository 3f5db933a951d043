//! One socket as the looks use it: every wait has a limit, and whatever comes is also tried on the decoder.

use std::time::Duration;

use hl_collectors::mono::MonoClock;
use hl_collectors::ws::{Connection, End, Incoming};
use hl_core::decode::{self, Frame, Rows, Unread};
use hl_core::message::{Request, Subscription};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::Subject;
use super::evidence::{Answer, Look, Notes, Said};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Within this a socket shows that it is still open: the stream on it is much quicker.
const LIFE_LIMIT: Duration = Duration::from_secs(10);

/// An open socket.
pub(super) struct Wire<'a> {
    connection: Connection,
    mono: &'a MonoClock,
    notes: &'a Notes,
}

/// What came.
pub(super) enum Heard {
    Frame { at: i64, channel: String, data: Value, text: String },
    Nothing,
    Ended(End),
}

impl<'a> Wire<'a> {
    pub(super) async fn open(subject: &'a Subject, notes: &'a Notes, purpose: &str) -> Look<Self> {
        let ws = subject.ws.clone();
        let opening = Connection::open(
            subject.net.clone(),
            ws.endpoint,
            ws.path,
            subject.mono().clone(),
            subject.seed.rng(purpose),
        );
        let connection = match timeout(CONNECT_LIMIT, opening).await {
            Ok(opened) => opened.map_err(|error| error.to_string())?,
            Err(_) => return Err(format!("no connection within {CONNECT_LIMIT:?}")),
        };
        Ok(Self { connection, mono: subject.mono(), notes })
    }

    pub(super) async fn send(&mut self, request: &Request<'_>) -> Look<()> {
        self.send_text(request.to_text()).await
    }

    async fn send_text(&mut self, text: String) -> Look<()> {
        self.connection.send_text(text).await.map_err(|error| error.to_string())
    }

    pub(super) async fn subscribe(&mut self, subscription: &Subscription) -> Look<()> {
        self.send(&Request::subscribe(subscription)).await
    }

    /// The next frame. Safe to drop and call again.
    pub(super) async fn next(&mut self, until: Instant) -> Heard {
        loop {
            let mut bytes = match timeout_at(until, self.connection.next()).await {
                Err(_) => return Heard::Nothing,
                Ok(Incoming::Closed(end)) => return Heard::Ended(end),
                Ok(Incoming::Text { text, .. }) => text,
                Ok(Incoming::Ping(payload)) => match self.connection.send_pong(payload).await {
                    Ok(()) => continue,
                    Err(error) => return Heard::Ended(End { goodbye: false, words: error.to_string() }),
                },
            };
            let decoded = decode::frame(&mut bytes, self.mono.exchange());
            self.notes.with(|e| match decoded {
                Ok(Frame::Unknown { channel }) => e.shapes.refuse(format!("unknown channel {channel:?}")),
                Ok(
                    Frame::SomeTrades(Rows { reason: Some(reason), .. })
                    | Frame::SomeMids { unread: Unread { reason: Some(reason), .. }, .. },
                ) => e.shapes.refuse(reason),
                Ok(_) => e.shapes.read += 1,
                Err(error) => e.shapes.refuse(error.to_string()),
            });
            // What is no frame at all was refused just now.
            let Ok(Value::Object(mut frame)) = serde_json::from_slice(&bytes) else { continue };
            let Some(Value::String(channel)) = frame.remove("channel") else { continue };
            let data = frame.remove("data").unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Heard::Frame { at: self.mono.now(), channel, data, text };
        }
    }

    /// When the next frame of a channel came, others dropped; none where none came in time.
    pub(super) async fn next_on(&mut self, wanted: &str, limit: Duration) -> Look<Option<i64>> {
        let until = Instant::now() + limit;
        loop {
            match self.next(until).await {
                Heard::Frame { at, channel, .. } if channel == wanted => return Ok(Some(at)),
                Heard::Frame { .. } => {}
                Heard::Nothing => return Ok(None),
                Heard::Ended(end) => return Err(format!("the socket ended: {}", end.words)),
            }
        }
    }

    /// Sends a text and waits for its answer.
    pub(super) async fn answer(&mut self, text: String) -> Look<Answer> {
        self.send_text(text).await?;
        let until = Instant::now() + ANSWER_LIMIT;
        loop {
            match self.next(until).await {
                Heard::Frame { channel, data: Value::String(words), .. } if channel == "error" => {
                    return Ok(Answer::Error(words));
                }
                Heard::Frame { channel, .. } if channel == "subscriptionResponse" => {
                    return Ok(Answer::Acknowledged);
                }
                Heard::Frame { .. } => {}
                Heard::Nothing => return Ok(Answer::Nothing),
                Heard::Ended(end) => return Err(format!("the socket ended: {}", end.words)),
            }
        }
    }

    /// The same, then waits for one more frame of `alive` as a sign of life.
    pub(super) async fn ask(&mut self, text: String, alive: &str) -> Said {
        let answer = match self.answer(text).await {
            Ok(answer) => answer,
            Err(why) => return Said { answer: Answer::Nothing, ended: Some(why) },
        };
        let ended = match self.next_on(alive, LIFE_LIMIT).await {
            Ok(Some(_)) => None,
            Ok(None) => Some("nothing more came".to_owned()),
            Err(why) => Some(why),
        };
        Said { answer, ended }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        self.connection.close().await;
    }
}

//! Clients of the simulated exchange over an in-memory network.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError};
use hl_core::seam::Net as _;
use hl_core::{Coin, TimeMs};
use hl_runtime::MemoryNet;
use hl_sim::{Sim, SimConfig};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Every point in time.
pub(crate) const EVER: (TimeMs, TimeMs) = (TimeMs::MIN, TimeMs::MAX);

pub(crate) fn coin(name: &str) -> Coin {
    Coin::new(name).unwrap()
}

/// An exchange and the network it is on.
pub(crate) struct World {
    pub(crate) sim: Sim,
    net: MemoryNet,
}

struct Spawn;

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

impl World {
    pub(crate) async fn new(config: SimConfig) -> Self {
        let net = MemoryNet::new();
        let sim = Sim::start(config, net.listen("exchange:80").await.unwrap()).unwrap();
        Self { sim, net }
    }

    pub(crate) async fn small() -> Self {
        Self::new(SimConfig { traders: 40, ..SimConfig::default() }).await
    }

    /// A request: status and body.
    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> (u16, Bytes) {
        let stream = self.net.connect(&self.sim.endpoint()).await.unwrap();
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "exchange")
            .header("content-type", content_type)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let response = send.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        drop(send);
        connection.await.unwrap().unwrap();
        (status, body)
    }

    pub(crate) async fn info(&self, request: Value) -> (u16, Value) {
        let (status, body) = self.http("POST", "/info", "application/json", &request.to_string()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// A request that succeeds.
    pub(crate) async fn ask(&self, request: Value) -> Value {
        let (status, answer) = self.info(request.clone()).await;
        assert_eq!(status, 200, "{request}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.http("GET", path, "application/json", "").await;
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) async fn try_connect(&self) -> Result<Client, WebSocketError> {
        let stream = self.net.connect(&self.sim.endpoint()).await.unwrap();
        let request = Request::builder()
            .uri("/ws")
            .header("Host", "exchange")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Version", "13")
            .body(Full::<Bytes>::default())
            .unwrap();
        let (socket, _) = fastwebsockets::handshake::client(&Spawn, request, stream).await?;
        let (mut read, mut write) = socket.split(tokio::io::split);
        read.set_max_message_size(64 << 20);
        let mut read = FragmentCollectorRead::new(read);
        let (frames_tx, frames) = mpsc::channel(100_000);
        let (commands, mut outgoing) = mpsc::channel::<String>(4_096);
        let reader = tokio::spawn(async move {
            loop {
                let mut ignore = |_: Frame<'_>| std::future::ready(Ok::<(), WebSocketError>(()));
                let frame: Result<Frame<'_>, WebSocketError> = read.read_frame(&mut ignore).await;
                match frame {
                    Ok(frame) if frame.opcode == OpCode::Text => {
                        let text = String::from_utf8(frame.payload.to_vec()).unwrap();
                        if frames_tx.send(text).await.is_err() {
                            return Ended::Left;
                        }
                    }
                    Ok(frame) if frame.opcode == OpCode::Close => return Ended::CloseFrame,
                    Ok(_) => {}
                    Err(_) => return Ended::Cut,
                }
            }
        });
        let writer = tokio::spawn(async move {
            while let Some(text) = outgoing.recv().await {
                if write.write_frame(Frame::text(Payload::Owned(text.into_bytes()))).await.is_err() {
                    break;
                }
            }
        });
        Ok(Client { frames, commands, reader: Some(reader), writer })
    }

    pub(crate) async fn connect(&self) -> Client {
        self.try_connect().await.unwrap()
    }

    /// Runs until the exchange has made its blocks up to here.
    pub(crate) async fn wait(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// How a socket ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Without a close frame.
    Cut,
    CloseFrame,
    /// By the client.
    Left,
}

/// A socket whose frames are read as they come.
pub(crate) struct Client {
    frames: mpsc::Receiver<String>,
    commands: mpsc::Sender<String>,
    reader: Option<JoinHandle<Ended>>,
    writer: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
        self.writer.abort();
    }
}

impl Client {
    pub(crate) async fn send_text(&self, text: &str) {
        self.commands.send(text.to_owned()).await.unwrap();
    }

    pub(crate) async fn send(&self, request: Value) {
        self.send_text(&request.to_string()).await;
    }

    pub(crate) async fn subscribe(&self, subscription: Value) {
        self.send(json!({"method": "subscribe", "subscription": subscription})).await;
    }

    /// Subscribes, and waits for the acknowledgement: frames of others that come before it are dropped.
    pub(crate) async fn subscribed(&mut self, subscription: Value) {
        self.subscribe(subscription).await;
        loop {
            let frame = self.next().await;
            assert_ne!(frame["channel"], "error", "{frame}");
            if frame["channel"] == "subscriptionResponse" {
                return;
            }
        }
    }

    /// The next frame as text; `None` where the socket ended or nothing came for `ms`.
    pub(crate) async fn text_within(&mut self, ms: u64) -> Option<String> {
        tokio::time::timeout(Duration::from_millis(ms), self.frames.recv()).await.ok().flatten()
    }

    pub(crate) async fn next(&mut self) -> Value {
        let text = self.text_within(120_000).await.expect("a frame");
        serde_json::from_str(&text).unwrap()
    }

    /// The next frame of a channel, others dropped.
    pub(crate) async fn next_on(&mut self, channel: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["channel"] == channel {
                return frame;
            }
        }
    }

    /// Every frame of the next `ms`, with the exchange's time of arrival.
    pub(crate) async fn collect(&mut self, sim: &Sim, ms: i64) -> Vec<(i64, Value)> {
        let end = sim.now() + ms;
        let mut frames = Vec::new();
        while sim.now() < end {
            let left = u64::try_from(end.since(sim.now())).unwrap();
            let Some(text) = self.text_within(left).await else { break };
            frames.push((sim.now().0, serde_json::from_str(&text).unwrap()));
        }
        frames
    }

    /// Waits for the end of the socket; frames that still come are returned.
    pub(crate) async fn ended(mut self) -> (Ended, Vec<String>) {
        let mut frames = Vec::new();
        while let Some(text) = self.frames.recv().await {
            frames.push(text);
        }
        let ended = self.reader.take().unwrap().await.unwrap();
        (ended, frames)
    }
}

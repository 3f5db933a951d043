//! The bytes of a socket: the whole WebSocket source, against a server that sends what it likes.
//!
//! Promised: no panic, in no task; what is offered belongs to a wanted stream and to a run that has started, and runs
//! only grow; and the source ends when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use hl_collectors::mono::MonoClock;
use hl_collectors::ws::{WsOptions, WsPool};
use hl_core::message::Subscription;
use hl_core::seam::{BoxFuture, BoxListener, BoxStream, Clock, Net as _, Seed};
use hl_core::selector::{Selector, SharedSelector, Timing};
use hl_core::source::{Content, DataSource as _, Intake, Offer, Role, Ticket};
use hl_core::{Lane, RunId, StreamKey, Token};
use hl_runtime::MemoryNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::{Target, market, text};

pub(crate) const TARGET: Target = Target {
    name: "socket",
    about: "the bytes of a socket, through the WebSocket source: hl_collectors::ws",
    seeds: Vec::new,
    run,
    short: 400,
};

const STREAMS: [&str; 6] = ["trades/BTC", "book/BTC", "candle/BTC/1m", "mids", "mids/xyz", "context/BTC"];
/// Longest request for an upgrade that is read, bytes.
const LONGEST_REQUEST: usize = 4 << 10;

struct Standing;

impl Clock for Standing {
    fn nanos(&self) -> i64 {
        1_790_000_000_000_000_000
    }
}

/// Checks what is offered.
#[derive(Default)]
struct Checked {
    runs: Mutex<BTreeMap<(StreamKey, Lane), RunId>>,
    frames: AtomicU64,
}

impl Intake for Checked {
    fn offer(&self, offer: Offer) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            assert!(streams().contains(&offer.stream), "not wanted: {offer:?}");
            let Ticket::Run(run) = offer.ticket else { panic!("a subscription stamps its run: {offer:?}") };
            let mut runs = self.runs.lock().expect("nobody panicked");
            if matches!(offer.content, Content::Started { .. }) {
                let before = runs.insert((offer.stream, run.lane), run);
                assert!(before.is_none_or(|before| before < run), "a run is never used twice: {offer:?}");
            }
            assert_eq!(runs.get(&(offer.stream, run.lane)), Some(&run), "only inside its run: {offer:?}");
            if matches!(offer.content, Content::Frame(_)) {
                self.frames.fetch_add(1, Ordering::Relaxed);
            }
        })
    }
}

fn streams() -> BTreeSet<StreamKey> {
    STREAMS.iter().map(|name| name.parse().expect("a stream")).collect()
}

fn run(input: &[u8]) {
    frames(input);
}

/// How many frames the source took for data.
fn frames(input: &[u8]) -> u64 {
    market::paused().block_on(async {
        let net = MemoryNet::new();
        let listener = net.listen("exchange:80").await.expect("a listener");
        let options = WsOptions { endpoint: listener.endpoint(), path: "/ws".to_owned() };
        let guard = Arc::new(SharedSelector::new(Selector::new(Token(1), Timing::default())));
        let sink = Arc::new(Checked::default());
        let pool = Arc::new(WsPool::new(
            Arc::new(net),
            options,
            sink.clone(),
            guard,
            MonoClock::new(Arc::new(Standing)),
            Seed(1),
        ));
        for stream in streams() {
            pool.place(stream, matches!(stream, StreamKey::Trades(_)));
            pool.assign(stream, Role::Standby);
        }
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(pool.run(stopped));
        // An input that ends early ends the server.
        let _ = serve(listener, &mut Unstructured::new(input)).await;
        sleep(Duration::from_secs(3)).await;
        stop.send_replace(true);
        timeout(Duration::from_secs(60), running)
            .await
            .expect("it ends when it is told to")
            .expect("no panic");
        sink.frames.load(Ordering::Relaxed)
    })
}

async fn serve(mut listener: BoxListener, u: &mut Unstructured<'_>) -> Result<()> {
    while !u.is_empty() {
        let Ok(Ok(stream)) = timeout(Duration::from_secs(120), listener.accept()).await else {
            return Ok(());
        };
        answer(stream, u).await?;
    }
    Ok(())
}

/// One connection, until the input says that it ends.
async fn answer(mut stream: BoxStream, u: &mut Unstructured<'_>) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < LONGEST_REQUEST {
        match timeout(Duration::from_secs(5), stream.read_u8()).await {
            Ok(Ok(byte)) => request.push(byte),
            Ok(Err(_)) | Err(_) => return Ok(()),
        }
    }
    const UPGRADE: &str =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let head = match u.int_in_range(0..=15)? {
        0 => text::change(UPGRADE.as_bytes(), u),
        1 => b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nbad".to_vec(),
        2 => u.arbitrary::<[u8; 16]>()?.to_vec(),
        _ => UPGRADE.into(),
    };
    send(&mut stream, &head).await;
    if u.ratio(3, 4)? {
        // So that something lives: after a socket that did not, nothing is subscribed before the next one has said a word.
        send(&mut stream, &frame(true, 1, br#"{"channel":"pong"}"#)).await;
        sleep(Duration::from_millis(100)).await;
        for stream_key in streams() {
            send(&mut stream, &frame(true, 1, acknowledgement(stream_key).as_bytes())).await;
        }
    }
    while !u.is_empty() {
        // Most of what ends a connection is rare, so that others have something to live through.
        match u.int_in_range(0..=31)? {
            0 => return Ok(()),
            1 => sleep(Duration::from_millis(u64::from(u.arbitrary::<u16>()?) / 4)).await,
            2 => {
                let bytes = u.arbitrary::<[u8; 8]>()?;
                send(&mut stream, &bytes).await;
            }
            3 => {
                let head = lying_head(u)?;
                send(&mut stream, &head).await;
            }
            4 => {
                let payload = vec![u.arbitrary::<u8>()?; usize::from(u.arbitrary::<u8>()?)];
                send(&mut stream, &frame(u.arbitrary()?, u.arbitrary()?, &payload)).await;
            }
            5 | 8..=15 => {
                let stream_key = *u.choose(&STREAMS)?;
                let text = acknowledgement(stream_key.parse().expect("a stream"));
                send(&mut stream, &frame(true, 1, text.as_bytes())).await;
            }
            6 => {
                // One message in two fragments, a ping between them.
                let text = said(u)?;
                let (a, b) = text.split_at(usize::from(u.arbitrary::<u16>()?).min(text.len()));
                for part in [frame(false, 1, a), frame(true, 9, b"ping"), frame(true, 0, b)] {
                    send(&mut stream, &part).await;
                }
            }
            7 => send(&mut stream, &frame(true, 8, &u.arbitrary::<[u8; 4]>()?)).await,
            _ => {
                let text = said(u)?;
                send(&mut stream, &frame(true, if u.ratio(1, 8)? { 2 } else { 1 }, &text)).await;
            }
        }
    }
    Ok(())
}

/// A client that is gone or does not read is none of the server's troubles.
async fn send(stream: &mut BoxStream, bytes: &[u8]) {
    let _ = timeout(Duration::from_secs(5), stream.write_all(bytes)).await;
}

/// A frame of the exchange, changed.
fn said(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let frames = &market::SAID.frames;
    let text = &frames[usize::from(u.arbitrary::<u16>()?) % frames.len()];
    Ok(if u.ratio(1, 4)? { text::change(text.as_bytes(), u) } else { text.clone().into_bytes() })
}

fn acknowledgement(stream: StreamKey) -> String {
    let subscription = Subscription::for_stream(stream).expect("a stream of the socket");
    let data = serde_json::json!({"method": "subscribe", "subscription": subscription});
    serde_json::json!({"channel": "subscriptionResponse", "data": data}).to_string()
}

fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(fin) << 7 | opcode & 0x7f];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xffff => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// The head of a frame that is longer than anything that follows, or masked, or written the long way.
fn lying_head(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut head = vec![u.arbitrary()?, 0];
    let masked = if u.arbitrary()? { 0x80 } else { 0 };
    if u.arbitrary()? {
        head[1] = masked | 126;
        head.extend(u.arbitrary::<u16>()?.to_be_bytes());
    } else {
        head[1] = masked | 127;
        let lengths = [0, 1, 125, 4 << 20, (4 << 20) - 1, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX];
        head.extend(u.choose(&lengths)?.to_be_bytes());
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that nothing gets through to finds nothing.
    #[test]
    fn bytes_of_any_kind_reach_the_streams() {
        let mut rng = fastrand::Rng::with_seed(1);
        let heard = (0..50).filter(|_| {
            let input: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(4_000).collect();
            frames(&input) > 0
        });
        let heard = heard.count();
        assert!(heard > 10, "{heard} of 50");
    }
}

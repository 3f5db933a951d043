//! One socket: bytes in, bytes out. Frames leave in batches, since a write each is what costs.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, after_handshake_split,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Duration, Instant};

use super::hub::{Drip, Opened, Out};
use super::requests::{self, Next};
use crate::sim::Shared;

/// A batch is written when it has this many bytes, or nothing more is waiting.
const BATCH: usize = 64 * 1024;
/// Largest message that a client may send.
const LARGEST_REQUEST: usize = 256 * 1024;
/// How long a socket lives that a fault drops when it opens.
const DOOMED: Duration = Duration::from_millis(20);
/// How long a closing handshake may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves an upgraded stream until either side ends it.
pub(crate) async fn run<S>(stream: S, shared: &Shared, opened: Opened)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opened { id, queue, kill, drip, doomed } = opened;
    if doomed {
        // The answer to the handshake shall arrive before the end does.
        tokio::time::sleep(DOOMED).await;
        return shared.close_socket(id, false);
    }
    let (read, write) = tokio::io::split(stream);
    let polite = {
        let reader = read_loop(read, shared, id);
        let writer = write_loop(write, queue, drip);
        tokio::pin!(reader, writer);
        tokio::select! {
            biased;
            _ = kill => false,
            polite = &mut reader => {
                if polite {
                    // The answer to the close frame is still in the queue.
                    let _ = tokio::time::timeout(GOODBYE, &mut writer).await;
                }
                polite
            }
            () = &mut writer => false,
        }
    };
    shared.close_socket(id, polite);
}

/// Whether the client said goodbye.
async fn read_loop<S>(read: ReadHalf<S>, shared: &Shared, id: u64) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut read, _) = after_handshake_split(read, tokio::io::sink(), Role::Server);
    read.set_max_message_size(LARGEST_REQUEST);
    let mut read = FragmentCollectorRead::new(read);
    loop {
        let mut obligation = |frame: Frame<'_>| {
            let payload = frame.payload.to_vec();
            let out = if frame.opcode == OpCode::Close { Out::Close(payload) } else { Out::Pong(payload) };
            shared.with(|s| s.hub.send_raw(id, out));
            std::future::ready(Ok::<(), Infallible>(()))
        };
        let frame: Result<Frame<'_>, WebSocketError> = read.read_frame(&mut obligation).await;
        let Ok(frame) = frame else { return false };
        match frame.opcode {
            OpCode::Close => return true,
            OpCode::Text | OpCode::Binary => {
                let text = String::from_utf8_lossy(&frame.payload);
                let next = shared.current(|state| requests::on_text(state, id, &text, Instant::now()));
                if let Next::Drop(after) = next {
                    tokio::time::sleep(after).await;
                    return false;
                }
            }
            _ => {}
        }
    }
}

async fn write_loop<S>(mut write: WriteHalf<S>, mut queue: tokio::sync::mpsc::Receiver<Out>, drip: Arc<Drip>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut batch = Vec::with_capacity(BATCH);
    let mut next = queue.recv().await;
    while let Some(out) = next.take() {
        if let Out::Text(_, due) = &out {
            tokio::time::sleep_until(*due).await;
        }
        let mut closes = encode(&mut batch, out);
        while !closes && batch.len() < BATCH {
            match queue.try_recv() {
                Ok(Out::Text(text, due)) if due > Instant::now() => {
                    next = Some(Out::Text(text, due));
                    break;
                }
                Ok(out) => closes = encode(&mut batch, out),
                Err(_) => break,
            }
        }
        if send(&mut write, &batch, &drip).await.is_err() || closes {
            return;
        }
        batch.clear();
        if next.is_none() {
            next = queue.recv().await;
        }
    }
}

/// Appends a frame. Whether it is the last one.
fn encode(batch: &mut Vec<u8>, out: Out) -> bool {
    let mut head = [0; 16];
    let mut append = |mut frame: Frame<'_>| {
        let size = frame.fmt_head(&mut head);
        batch.extend_from_slice(&head[..size]);
        batch.extend_from_slice(&frame.payload);
    };
    match out {
        Out::Text(text, _) => append(Frame::text(Payload::Borrowed(&text))),
        Out::Pong(payload) => append(Frame::pong(Payload::Owned(payload))),
        Out::Close(payload) => {
            append(Frame::close_raw(Payload::Owned(payload)));
            return true;
        }
    }
    false
}

async fn send<S>(write: &mut WriteHalf<S>, batch: &[u8], drip: &Drip) -> std::io::Result<()>
where
    S: AsyncWrite,
{
    let mut rest = batch;
    while let Some((byte, after)) = rest.split_first() {
        let every_ms = drip.every_ms.load(Ordering::Relaxed);
        if every_ms == 0 {
            write.write_all(rest).await?;
            break;
        }
        write.write_all(&[*byte]).await?;
        write.flush().await?;
        drip.bytes.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(every_ms)).await;
        rest = after;
    }
    write.flush().await
}

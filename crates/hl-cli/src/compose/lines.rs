//! Events on standard output, one JSON object a line.
//!
//! A thread of its own writes them: a pipe that is not read holds up that thread, and nothing else. What waits is bounded,
//! and what does not fit is told as `lagged`. A pipe that is closed ends the lines, not the daemon.

use std::io::{self, Write};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt as _;
use hl_engine::{Event, Events};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// A piece that is written at once is not longer than this by more than one event, bytes.
const PIECE: usize = 64 << 10;
/// Pieces that may wait to be written.
const WAITING: usize = 4;
/// How long the reader may take for what is left at the end.
pub(super) const LAST_LIMIT: Duration = Duration::from_secs(3);

/// Where lines go; of the process, over all sessions on the store.
pub(super) struct Output {
    pieces: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (pieces, waiting) = mpsc::channel(WAITING);
        let (told, done) = oneshot::channel();
        let thread = std::thread::Builder::new().name("hl-stdout".into()).spawn(move || {
            write(out, waiting);
            let _ = told.send(());
        })?;
        Ok(Self { pieces, done, thread })
    }

    /// Waits for what is on its way to the reader; not for a reader that does not read.
    pub(super) async fn finish(self) {
        let Self { pieces, done, thread } = self;
        drop(pieces);
        match tokio::time::timeout(LAST_LIMIT, done).await {
            Ok(_) => _ = thread.join(),
            Err(_) => warn!("standard output is not read: the last lines are dropped"),
        }
    }
}

fn write(mut out: impl Write, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(piece) = waiting.blocking_recv() {
        if let Err(error) = out.write_all(&piece).and_then(|()| out.flush()) {
            return info!(%error, "standard output is not read any more: no more events are written, and collecting goes on");
        }
    }
}

/// The lines of one session.
pub(super) struct Lines {
    /// None once the reader is gone: nothing is kept for it then.
    events: Option<Events>,
    pieces: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Lines {
    pub(super) fn new(events: Events, output: &Output) -> Self {
        Self { events: Some(events), pieces: output.pieces.clone(), piece: Vec::new() }
    }

    /// Passes events on until they end, or the reader is gone. Safe to drop and call again.
    pub(super) async fn run(&mut self) {
        while let Some(events) = &mut self.events {
            if !next(events, &mut self.piece).await {
                return;
            }
            match self.pieces.reserve().await {
                Ok(place) => place.send(std::mem::take(&mut self.piece)),
                Err(_) => self.events = None,
            }
        }
    }

    /// What is left once collecting has ended.
    pub(super) async fn finish(mut self) {
        // Who does not read is told below, once.
        let _ = tokio::time::timeout(LAST_LIMIT, self.run()).await;
    }
}

/// Adds the events that are there to a piece, up to its length, and waits for one where the piece has none. Whether there was
/// one before they ended. Safe to drop and call again.
pub(super) async fn next(events: &mut Events, piece: &mut Vec<u8>) -> bool {
    if piece.is_empty() {
        let Some(event) = events.recv().await else { return false };
        put(piece, &event);
    }
    while piece.len() < PIECE
        && let Some(Some(event)) = events.recv().now_or_never()
    {
        put(piece, &event);
    }
    true
}

fn put(piece: &mut Vec<u8>, event: &Event) {
    for line in event.lines() {
        match serde_json::to_writer(&mut *piece, &line) {
            Ok(()) => piece.push(b'\n'),
            // Nothing but names and numbers is written.
            Err(error) => warn!(%error, "an event cannot be written as JSON"),
        }
    }
}

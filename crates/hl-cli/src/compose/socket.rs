//! Events on a Unix socket, one JSON object a line, for each program that connects.
//!
//! A reader has a task and a bounded queue of events of its own: one that is slow is told how many it missed, and holds up
//! neither the others nor the daemon.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hl_engine::{Engine, Events, Filter};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::unix::ReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::lines::{LAST_LIMIT, next};

/// Readers at a time; others wait for one of them to go.
const READERS: usize = 32;
/// A reader that takes nothing for so long is let go: its place may be needed.
const STUCK_LIMIT: Duration = Duration::from_secs(300);
/// Pause after a failed accept, so that a lasting failure does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is listened on. Its file is removed with it.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is: another process may listen at the path by the end.
    file: Option<(u64, u64)>,
    readers: JoinSet<()>,
}

impl Socket {
    /// Listens at `path`. A socket that a process left behind there is replaced; one that is listened on, or another file, is
    /// not.
    ///
    /// # Errors
    /// As the system says.
    pub(super) async fn bind(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(path).await => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        info!(path = %path.display(), "events are told to every program that connects");
        Ok(Self { listener, path: path.to_owned(), file: file_at(path), readers: JoinSet::new() })
    }

    /// Tells every reader what happens from when it connects. Never ends by itself.
    pub(super) async fn run(&mut self, engine: &Engine) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.readers.join_next() => {
                    if let Err(error) = ended {
                        warn!(%error, "a reader of events failed");
                    }
                }
                accepted = self.listener.accept(), if self.readers.len() < READERS => match accepted {
                    Ok((stream, _)) => _ = self.readers.spawn(serve(stream, engine.events(Filter::all()))),
                    Err(error) => {
                        warn!(%error, "a reader of events cannot be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// What is left once collecting has ended; not for a reader that does not read.
    pub(super) async fn finish(mut self) {
        let all = async { while self.readers.join_next().await.is_some() {} };
        if timeout(LAST_LIMIT, all).await.is_err() {
            warn!(readers = self.readers.len(), "events are not read: the last ones are dropped");
        }
        self.readers.shutdown().await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.file.is_none() || self.file != file_at(&self.path) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Device and number of the file at a path.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether a socket lies there that no process listens on.
async fn is_left_behind(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && UnixStream::connect(path).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Tells a reader until it has gone: its place is free then, also where nothing happens.
async fn serve(mut stream: UnixStream, events: Events) {
    let (read, write) = stream.split();
    tokio::select! {
        biased;
        () = gone(&read) => {}
        () = tell(write, events) => {}
    }
}

/// Ends once the other side has closed the socket. One that has only ended what it writes still reads.
async fn gone(reader: &ReadHalf<'_>) {
    let mut nothing = [0; 64];
    loop {
        match reader.ready(Interest::READABLE).await {
            Ok(ready) if ready.is_read_closed() => match reader.ready(Interest::WRITABLE).await {
                Ok(ready) if !ready.is_write_closed() => return pending().await,
                _ => return,
            },
            Ok(_) => match reader.try_read(&mut nothing) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

async fn tell(mut reader: impl AsyncWrite + Unpin, mut events: Events) {
    let mut piece = Vec::new();
    while next(&mut events, &mut piece).await {
        match timeout(STUCK_LIMIT, reader.write_all(&piece)).await {
            Ok(Ok(())) => piece.clear(),
            // It has gone.
            Ok(Err(_)) => return,
            Err(_) => return info!("a reader of events has read none for five minutes: it is let go"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use hl_core::TimeMs;
    use hl_core::seam::{Clock, Net as _};
    use hl_engine::Endpoints;
    use hl_runtime::{MemoryNet, TokioClock};
    use hl_sim::{Sim, SimConfig};
    use hl_store::{Spool, SqliteOptions, SqliteStore, Writer};
    use serde_json::Value;
    use tokio::io::{AsyncBufReadExt as _, BufReader, duplex};
    use tokio::sync::watch;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_told_what_it_missed_and_one_that_reads_nothing_is_let_go() {
        let start = TimeMs(1_790_000_000_000);
        let net = MemoryNet::new();
        let listener = net.listen("sim:0").await.unwrap();
        let sim = Sim::start(SimConfig { start, ..SimConfig::default() }, listener).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
        let (folder, writer) = (tempfile::tempdir().unwrap(), Writer::Inline { delay_ms: 3 });
        let path = folder.path().join("sim.db");
        let options = SqliteOptions::of_this_process(&path, "test", clock.clone());
        let store = SqliteStore::open(SqliteOptions { writer, ..options }).await.unwrap();
        let spool = Spool::open_beside(&path, writer, 1 << 20).await.unwrap();
        let engine = Engine::builder(Arc::new(net), clock, Arc::new(store), Arc::new(spool))
            .exchange(&Endpoints::at(&sim.endpoint()), "sim")
            .build();
        let (stop, stopped) = watch::channel(false);
        let running = engine.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let streams = ["bbo/BTC", "trades/BTC"].map(|name| name.parse().unwrap());
            running.run(&streams, &BTreeSet::new(), stopped).await.unwrap();
        });
        let (slow, never) = (duplex(256), duplex(256));
        tasks.spawn(tell(slow.0, engine.events(Filter::all().waiting(16))));
        let mut stuck = JoinSet::new();
        stuck.spawn(tell(never.0, engine.events(Filter::all().waiting(16))));

        sleep(STUCK_LIMIT / 2).await;
        assert!(stuck.try_join_next().is_none());
        let mut lines = BufReader::new(slow.1).lines();
        let mut line = async || serde_json::from_str::<Value>(&lines.next_line().await.unwrap()?).ok();
        let missed = loop {
            let line = line().await.unwrap();
            if line["event"] == "lagged" {
                break line["events"].as_u64().unwrap();
            }
        };
        assert!(missed > 16, "{missed}");
        while line().await.unwrap()["event"] != "row" {}
        sleep(STUCK_LIMIT).await;
        assert!(stuck.try_join_next().is_some());

        stop.send(true).unwrap();
        while line().await.is_some() {}
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        sim.stop().await;
    }
}

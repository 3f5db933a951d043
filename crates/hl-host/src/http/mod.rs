//! What a process answers over HTTP: whether it is healthy, what runs in it, what needs attention.
//!
//! The server has a thread and a runtime of its own, so that collecting, however busy, cannot keep it from answering; it
//! reads what the engine last published, and asks no other task. Connections are few, short and answered once; nothing but GET
//! is understood, and no body is read.

mod answer;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use hl_core::seam::{BoxListener, BoxStream, Endpoint, Net, stopped};
use hl_engine::Published;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Connections at a time; others wait for one of them to end.
const CONNECTIONS: usize = 32;
/// A connection, from its beginning to its end.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// The head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 * 1024;
/// Pause after a failed accept, so that a lasting failure does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. Dropped it ends as well; [`Server::stop`] waits until it has ended.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` and answers from then on: `/healthz`, `/v1/processes` and `/v1/alerts`.
    ///
    /// # Errors
    /// When there is no such address, it is taken, or no thread can be started.
    pub fn start(
        net: Arc<dyn Net>,
        address: SocketAddr,
        who: Who,
        published: watch::Receiver<Published>,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            warn!(%address, "every program that reaches this address sees what runs here; there is no password");
        }
        let answers = Answers { who: Arc::new(who), published };
        let (stop, stopped) = watch::channel(false);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("hl-http".to_owned())
            .spawn(move || run(net.as_ref(), address, &answers, stopped, &started))?;
        match start.recv() {
            Ok(Ok(endpoint)) => Ok(Self { endpoint, stop, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the thread of the HTTP server ended")),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends every connection and the thread.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            warn!("the thread of the HTTP server panicked");
        }
    }
}

/// Which process it is that answers, of those on a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// What its session is called in the store.
    pub role: String,
    /// What this machine is called.
    pub host: String,
}

/// What is answered from.
#[derive(Clone)]
struct Answers {
    who: Arc<Who>,
    published: watch::Receiver<Published>,
}

fn run(
    net: &dyn Net,
    address: SocketAddr,
    answers: &Answers,
    stopped: watch::Receiver<bool>,
    started: &SyncSender<io::Result<Endpoint>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        match net.listen(&address.to_string()).await {
            Ok(listener) => {
                // Whoever starts the server waits for this.
                let _ = started.send(Ok(listener.endpoint()));
                serve(listener, answers, stopped).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}

async fn serve(mut listener: BoxListener, answers: &Answers, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "an HTTP connection failed");
                }
            }
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok(stream) => {
                    connections.spawn(tokio::time::timeout(CONNECTION_LIMIT, connection(stream, answers.clone())));
                }
                Err(error) => {
                    warn!(%error, "an HTTP connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: BoxStream, answers: Answers) {
    let service = service_fn(|request| {
        let (who, published) = (answers.who.clone(), answers.published.borrow().clone());
        async move { Ok::<_, Infallible>(answer::to(request.method(), request.uri().path(), &who, &published)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "an HTTP connection ended");
    }
}

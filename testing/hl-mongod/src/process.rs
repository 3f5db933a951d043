//! One server process: its folder and its port outlive it, so that it can be started again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use crate::{ServerError, install, system};

/// Far beyond what any wait takes on a busy machine: reaching it means "never".
const NEVER: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The name of every replica set.
pub(crate) const SET: &str = "hl";

/// Makes a child stand still. Some of its threads may go on for a moment after the signal, and answer: this waits for the
/// last of them.
pub(crate) fn freeze(child: u32) -> Result<(), ServerError> {
    let stopped = |pid| {
        kill_process(pid, Signal::STOP)?;
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).map(drop)
    };
    signalled(child, stopped)
}

/// Lets a child go on.
pub(crate) fn thaw(child: u32) -> Result<(), ServerError> {
    signalled(child, |pid| kill_process(pid, Signal::CONT))
}

fn signalled(child: u32, signal: impl FnOnce(Pid) -> rustix::io::Result<()>) -> Result<(), ServerError> {
    let pid = Pid::from_raw(child.cast_signed()).ok_or(Errno::SRCH);
    pid.and_then(signal).map_err(std::io::Error::from).map_err(system("sending mongod a signal"))
}

/// A server process of a replica set. It ends with the value, and with the thread that started it.
pub(crate) struct Process {
    program: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Process {
    /// Starts it. It may take a moment until it answers.
    pub(crate) fn start() -> Result<Self, ServerError> {
        let program = install::program()?;
        let folder = data_folder().map_err(system("making a folder for the data"))?;
        let port = free_port().map_err(system("looking for a free port"))?;
        let mut process = Self { program, folder, port, child: None };
        process.spawn()?;
        Ok(process)
    }

    /// Starts it again where it has ended.
    pub(crate) fn spawn(&mut self) -> Result<(), ServerError> {
        if self.child.is_none() {
            let child = spawn(&self.program, self.folder.path(), self.port);
            self.child = Some(child.map_err(system("starting mongod"))?);
        }
        Ok(())
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A server that is gone already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Runs a command on this one process, whatever its part in the set. A new client each time: one that met a member
    /// before it was of a set has no sessions.
    pub(crate) async fn run(&self, command: Document) -> Result<Document, mongodb::error::Error> {
        let direct = format!(
            "mongodb://127.0.0.1:{}/?directConnection=true&serverSelectionTimeoutMS=1000&connectTimeoutMS=1000",
            self.port
        );
        let client = Client::with_options(ClientOptions::parse(direct).await?)?;
        client.database("admin").run_command(command).await
    }

    /// Makes a set of members at these addresses, of which this process is one.
    pub(crate) async fn initiate(
        &self,
        members: &[String],
        election: Duration,
        heartbeat: Duration,
    ) -> Result<(), ServerError> {
        let hosts = (0_i32..).zip(members);
        let hosts: Vec<_> = hosts.map(|(id, host)| doc! { "_id": id, "host": host }).collect();
        let ms = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let settings =
            doc! { "electionTimeoutMillis": ms(election), "heartbeatIntervalMillis": ms(heartbeat) };
        let command = doc! { "replSetInitiate": { "_id": SET, "members": hosts, "settings": settings } };
        until(async || self.run(command.clone()).await.map(drop)).await.map_err(self.silent())
    }

    pub(crate) fn silent(&self) -> impl Fn(mongodb::error::Error) -> ServerError + use<> {
        let port = self.port;
        move |source| ServerError::Silent { port, source: Box::new(source) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until a set takes writes.
pub(crate) async fn until_written(uri: &str) -> Result<(), mongodb::error::Error> {
    // A new client: one that met the member before has no sessions.
    until(async || {
        let client = Client::with_options(ClientOptions::parse(uri).await?)?;
        client.database("admin").collection("ready").insert_one(doc! { "ready": true }).await.map(drop)
    })
    .await
}

/// Tries until it succeeds.
pub(crate) async fn until<T, E>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let give_up = tokio::time::Instant::now() + NEVER;
    loop {
        match ask().await {
            Err(error) if tokio::time::Instant::now() >= give_up => return Err(error),
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
            Ok(answer) => return Ok(answer),
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
            "1000",
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

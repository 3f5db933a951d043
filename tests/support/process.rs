//! Daemon, exchange and command line as real processes, over TCP and in real time.
//!
//! Nothing here sleeps to wait for something: [`until`] asks again and again until it is so. Every process dies with
//! the value that owns it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hl_core::TimeMs;
use hl_core::seam::Clock as _;
use hl_runtime::SystemClock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// Far beyond what any wait takes on a busy machine: reaching it means "never".
const NEVER: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(what, NEVER, ask).await
}

/// As [`until`], of what may take long.
async fn until_within<T>(what: &str, never: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    match tokio::time::timeout(never, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("never: {what}"),
    }
}

/// A program of this workspace, built like this test and beside it. The build is done once a process, with the same
/// choice of packages as `cargo test`, after which it has nothing left to do.
fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap();
        let profile = match folder.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            name => name,
        };
        let mut cargo = std::process::Command::new(env!("CARGO"));
        // What cargo tells a test of its package would make build scripts that look at it run again, and with them
        // half of the dependencies.
        let of_this_package = |name: &str| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix))
        };
        for (variable, _) in std::env::vars().filter(|(name, _)| of_this_package(name)) {
            cargo.env_remove(variable);
        }
        let built = cargo
            .args(["build", "--quiet", "--workspace", "--test", "binaries", "--profile", profile])
            .args(["--bin", "hl-daemon", "--bin", "hl-cli", "--bin", "hl-sim"])
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success(), "the programs could not be built");
        folder.to_owned()
    });
    folder.join(name)
}

/// A program with its words, behind the words of another that starts it (`env …`, `nsenter …`), where there are any.
pub(crate) fn command(before: &[String], name: &str, words: &[&str]) -> Command {
    let mut command = match before {
        [] => Command::new(binary(name)),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary(name));
            command
        }
    };
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("HL_")) {
        command.env_remove(variable);
    }
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a program to its end.
pub(crate) async fn run(name: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    output(command(&[], name, words).envs(variables.iter().copied())).await
}

/// Runs a program to its end.
pub(crate) async fn output(command: &mut Command) -> Output {
    match tokio::time::timeout(NEVER, command.output()).await {
        Ok(output) => output.unwrap(),
        Err(_) => panic!("never: the end of {command:?}"),
    }
}

/// What `hl-cli` answers as JSON, whatever its exit code.
pub(crate) async fn answer(words: &[&str]) -> Value {
    answer_behind(&[], words).await
}

async fn answer_behind(before: &[String], words: &[&str]) -> Value {
    let output = output(&mut command(before, "hl-cli", &[words, &["--json"]].concat())).await;
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A line that a process wrote, and when it was read.
pub(crate) type Line = (TimeMs, String);

/// A running process. It is killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: [Arc<Mutex<Vec<Line>>>; 2],
    readers: JoinSet<()>,
}

impl Process {
    pub(crate) fn start(name: &str, words: &[&str]) -> Self {
        Self::spawn(format!("{name} {}", words.join(" ")), command(&[], name, words))
    }

    pub(crate) fn spawn(name: String, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines: [Arc<Mutex<Vec<Line>>>; 2] = Default::default();
        let mut readers = JoinSet::new();
        readers.spawn(read(child.stdout.take().unwrap(), lines[0].clone()));
        readers.spawn(read(child.stderr.take().unwrap(), lines[1].clone()));
        Self { name, child, lines, readers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Everything on standard output so far.
    pub(crate) fn out(&self) -> Vec<Line> {
        self.lines[0].lock().unwrap().clone()
    }

    /// Everything on standard error so far.
    pub(crate) fn err(&self) -> Vec<Line> {
        self.lines[1].lock().unwrap().clone()
    }

    /// Standard error so far, as one text.
    pub(crate) fn log(&self) -> String {
        self.err().into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// The most memory that it has held so far, kB.
    pub(crate) fn peak_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and for the last of its words.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = match tokio::time::timeout(NEVER, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("never: the end of {}; it said\n{}", self.name, self.log()),
        };
        while self.readers.join_next().await.is_some() {}
        status
    }

    /// Asks it to terminate.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends it with kill -9.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

async fn read(from: impl AsyncRead + Unpin, to: Arc<Mutex<Vec<Line>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        to.lock().unwrap().push((SystemClock.now(), line));
    }
}

/// A simulated exchange in a process of its own.
pub(crate) struct Exchange {
    pub(crate) process: Process,
    /// Its base URL.
    pub(crate) base: String,
}

impl Exchange {
    pub(crate) async fn start(words: &[&str]) -> Self {
        let process = Process::start("hl-sim", &[&["--listen", "127.0.0.1:0"], words].concat());
        let base = until("the exchange listens", async || {
            process
                .out()
                .iter()
                .find_map(|(_, line)| Some(line.strip_prefix("hl-sim listens on ")?.to_owned()))
        });
        let base = base.await;
        Self { process, base }
    }

    /// What it says about itself.
    pub(crate) async fn status(&self) -> Value {
        self.http("GET", "/sim/status", "").await
    }

    /// Simulated time.
    pub(crate) async fn now(&self) -> TimeMs {
        TimeMs(self.status().await["now"].as_i64().unwrap())
    }

    /// Does harm.
    pub(crate) async fn fault(&self, fault: &Value) {
        let done = self.http("POST", "/sim/faults", &fault.to_string()).await;
        assert!(done["id"].is_u64(), "{fault}: {done}");
    }

    async fn http(&self, method: &str, path: &str, body: &str) -> Value {
        let host = self.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

/// A file for a store, in a folder of its own.
pub(crate) struct StoreFile {
    folder: tempfile::TempDir,
    pub(crate) uri: String,
    /// The words before each program, through which alone it sees the file.
    reach: Vec<String>,
}

impl StoreFile {
    pub(crate) fn new() -> Self {
        Self::inside(tempfile::tempdir().unwrap(), Vec::new())
    }

    /// In a folder that programs see only where they are started behind the words of `reach`.
    pub(crate) fn inside(folder: tempfile::TempDir, reach: Vec<String>) -> Self {
        let uri = format!("sqlite:{}", folder.path().join("hl.db").display());
        Self { folder, uri, reach }
    }

    /// In a database of MongoDB. What programs keep beside it lies in a folder of its own.
    pub(crate) fn in_mongodb(uri: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let reach = ["env", "-C", folder.path().to_str().unwrap()].map(str::to_owned).to_vec();
        Self { folder, uri, reach }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("hl.db")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A daemon that collects from `exchange` into this file.
    pub(crate) fn daemon(&self, exchange: &Exchange, words: &[&str]) -> Process {
        self.daemon_with(exchange, words, &[])
    }

    /// A daemon that collects from whatever is at `base` into this file.
    pub(crate) fn daemon_at(&self, base: &str, words: &[&str]) -> Process {
        self.spawn(base, words, &[])
    }

    /// A daemon that collects from `exchange`, behind the words of another program that starts it.
    pub(crate) fn daemon_with(&self, exchange: &Exchange, words: &[&str], before: &[&str]) -> Process {
        self.spawn(&exchange.base, words, before)
    }

    fn spawn(&self, base: &str, words: &[&str], before: &[&str]) -> Process {
        let always = ["--network", base, "--store", &self.uri];
        let words = [&always, words].concat();
        let before: Vec<_> =
            self.reach.iter().cloned().chain(before.iter().map(|&word| word.to_owned())).collect();
        Process::spawn(format!("hl-daemon {}", words.join(" ")), command(&before, "hl-daemon", &words))
    }

    /// `hl-cli status`; null while there is no store yet.
    pub(crate) async fn status(&self) -> Value {
        let words = ["status", "--store", &self.uri, "--json"];
        let output = output(&mut command(&self.reach, "hl-cli", &words)).await;
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Waits until the daemon says of itself what is asked for.
    pub(crate) async fn until_live(&self, what: &str, holds: impl FnMut(&Value) -> bool) -> Value {
        self.until_live_within(what, NEVER, holds).await
    }

    /// As [`StoreFile::until_live`], of what may take long.
    pub(crate) async fn until_live_within(
        &self,
        what: &str,
        never: Duration,
        mut holds: impl FnMut(&Value) -> bool,
    ) -> Value {
        until_within(what, never, async || {
            let live = self.status().await["live"].take();
            (live.is_object() && holds(&live)).then_some(live)
        })
        .await
    }

    /// `hl-cli verify` against the truth. Fails with everything that was found where that is not clean.
    pub(crate) async fn verified(&self, exchange: &Exchange) -> Value {
        let words = ["verify", "--store", &self.uri, "--truth", &exchange.base];
        let report = answer_behind(&self.reach, &words).await;
        let found = serde_json::to_string_pretty(&report["problems"]).unwrap();
        assert_eq!(report["clean"], true, "{found}\n{:#}", report["gaps"]);
        for stream in report["streams"].as_array().unwrap() {
            let of = |name: &str| stream[name].as_u64().unwrap_or(0);
            assert_eq!(
                (of("duplicates"), of("different"), of("extra"), of("missing")),
                (0, 0, 0, 0),
                "{}",
                stream["stream"]
            );
            let is_trades = stream["stream"].as_str().unwrap().starts_with("trades/");
            assert!(of("rows") > 0 || !is_trades, "{}: nothing was collected", stream["stream"]);
        }
        assert_eq!((&report["duplicates"], &report["overlapping_claims"]), (&0.into(), &0.into()));
        report
    }
}

/// Whether the sockets own every stream, of a daemon's word about itself. The bars of a coin that does not trade may
/// stay with REST: nothing of them comes over a socket.
pub(crate) fn all_over_ws(live: &Value) -> bool {
    let streams = live["streams"].as_array().unwrap();
    let of_rest =
        |stream: &Value| stream["owner"] == "rest" && stream["stream"].to_string().contains("candle/");
    !streams.is_empty() && streams.iter().all(|stream| stream["owner"] == "ws" || of_rest(stream))
}

/// A counter, of a daemon's word about itself.
pub(crate) fn counter(live: &Value, name: &str) -> u64 {
    live["counters"][name].as_u64().unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// Status and body of a GET.
pub(crate) async fn http_get(base: &str, path: &str) -> Option<(u16, Value)> {
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

/// Where a daemon says that it answers over HTTP.
pub(crate) async fn http_of(daemon: &Process) -> String {
    until("it answers over HTTP", async || {
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("answering over HTTP"))?;
        Some(line.split_once("endpoint=")?.1.split_whitespace().next()?.to_owned())
    })
    .await
}

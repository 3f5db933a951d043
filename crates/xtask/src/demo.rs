//! A minute and a half of everything: a simulated exchange, the collector on it, some faults, and the comparison with
//! the truth.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::run::{Failed, cargo, no_words, root, run, show, target};

/// Where the simulated exchange of the demonstration listens.
const ADDRESS: &str = "127.0.0.1:4001";
/// How long the collector runs.
const LENGTH: &str = "90s";
/// What happens to it, and after how many of its lines; it writes one every ten seconds.
const FAULTS: [(usize, &str); 4] = [
    (2, r#"{"kind":"drop"}"#),
    (4, r#"{"kind":"mute","stream":"trades/BTC","for_ms":10000}"#),
    (6, r#"{"kind":"refuse","for_ms":5000}"#),
    (6, r#"{"kind":"drop"}"#),
];

pub(crate) fn demo(words: &[String]) -> Result<(), Failed> {
    no_words(words)?;
    let folder = target().join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|e| Failed::Io(format!("removing {}", folder.display()), e))?;
    }
    let store = format!("sqlite:{}", folder.join("demo.db").display());
    let base = format!("http://{ADDRESS}");
    run(cargo().args(["build", "--release", "--bin", "hl-sim", "--bin", "hl-daemon", "--bin", "hl-cli"]))?;
    let mut sim = Background::start(
        binary("hl-sim").args(["--listen", ADDRESS, "--seed", "7", "--coins", "5"]).stdout(Stdio::piped()),
    )?;
    // Its first line says that it listens.
    sim.lines()?.next();
    let mut daemon = Background::start(
        binary("hl-daemon")
            .args(["--network", &base, "--coin", "all", "--for", LENGTH, "--store", &store])
            .stdout(Stdio::piped()),
    )?;
    for (written, line) in daemon.lines()?.enumerate() {
        println!("{line}");
        for (_, fault) in FAULTS.iter().filter(|(after, _)| *after == written) {
            println!("== fault: {fault}");
            inject(fault)?;
        }
    }
    daemon.ended()?;
    run(binary("hl-cli").args(["coverage", "--store", &store]))?;
    run(binary("hl-cli").args(["verify", "--store", &store, "--truth", &base]))
}

fn binary(name: &str) -> Command {
    let mut command = Command::new(target().join("release").join(name));
    command.current_dir(root());
    command
}

/// Tells the simulated exchange to do harm.
fn inject(fault: &str) -> Result<(), Failed> {
    let failed = |error| Failed::Io(format!("POST {ADDRESS}/sim/faults {fault}"), error);
    let length = fault.len();
    let request = format!(
        "POST /sim/faults HTTP/1.1\r\nhost: {ADDRESS}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{fault}"
    );
    let mut stream = TcpStream::connect(ADDRESS).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(failed)?;
    match response.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(failed(io::Error::other(response))),
    }
}

/// A program that ends with the demonstration, however that ends.
struct Background {
    shown: String,
    child: Child,
}

impl Background {
    fn start(command: &mut Command) -> Result<Self, Failed> {
        let shown = show(command);
        eprintln!("\n== {shown} &");
        match command.spawn() {
            Ok(child) => Ok(Self { shown, child }),
            Err(error) => Err(Failed::Io(shown, error)),
        }
    }

    /// What it writes, until it ends.
    fn lines(&mut self) -> Result<impl Iterator<Item = String> + use<>, Failed> {
        let out = self.child.stdout.take();
        let out = out.ok_or_else(|| Failed::Io(self.shown.clone(), io::ErrorKind::BrokenPipe.into()))?;
        Ok(BufReader::new(out).lines().map_while(Result::ok))
    }

    fn ended(mut self) -> Result<(), Failed> {
        let status = self.child.wait().map_err(|e| Failed::Io(self.shown.clone(), e))?;
        if status.success() { Ok(()) } else { Err(Failed::Status(self.shown.clone(), status)) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Already gone, or gone now: both are what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

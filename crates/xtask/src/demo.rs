//! A minute of everything: a simulated exchange, the collector on it, and the comparison with the truth.

use std::process::{Child, Command, Stdio};

use crate::run::{Failed, cargo, root, run, show, target};

/// Where the simulated exchange of the demonstration listens.
const ADDRESS: &str = "127.0.0.1:4001";

pub(crate) fn demo() -> Result<(), Failed> {
    let folder = target().join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|e| Failed::Io(format!("removing {}", folder.display()), e))?;
    }
    let store = format!("sqlite:{}", folder.join("demo.db").display());
    let base = format!("http://{ADDRESS}");
    run(cargo().args(["build", "--release", "--bin", "hl-sim", "--bin", "hl-daemon", "--bin", "hl-cli"]))?;
    let _sim =
        Background::start(binary("hl-sim").args(["--listen", ADDRESS, "--seed", "7", "--coins", "5"]))?;
    run(binary("hl-daemon").args(["--network", &base, "--coin", "all", "--for", "60s", "--store", &store]))?;
    run(binary("hl-cli").args(["coverage", "--store", &store]))?;
    run(binary("hl-cli").args(["verify", "--store", &store, "--truth", &base]))
}

fn binary(name: &str) -> Command {
    let mut command = Command::new(target().join("release").join(name));
    command.current_dir(root());
    command
}

/// A program that ends with the demonstration, however that ends.
struct Background(Child);

impl Background {
    fn start(command: &mut Command) -> Result<Self, Failed> {
        let shown = show(command);
        eprintln!("\n== {shown} &");
        command.stdout(Stdio::null()).spawn().map(Self).map_err(|e| Failed::Io(shown, e))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Already gone, or gone now: both are what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

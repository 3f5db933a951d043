//! Development tasks of this repository: `cargo xtask` lists them. What follows the name of a task is the task's own.
//!
//! What lives here: running cargo and the project's own binaries with the right arguments. Nothing has to be
//! installed first; tools beyond cargo are fetched into `target/tools` where a task needs them. No product code lives
//! here, and the product knows nothing of it.

mod chaos;
mod demo;
mod descriptors;
mod faults;
mod fuzz;
mod lint;
mod mongo;
mod mutants;
mod quiet_week;
mod run;
mod vocabulary;

use std::process::ExitCode;

use run::{Failed, cargo};

/// A task: its word, what it does, and how. It is given the words that follow its own.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), Failed>,
}

const TASKS: &[Task] = &[
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
        about: "decoding, the pipeline and commits to MongoDB, each as a ratio against something plain",
        run: bench,
    },
    Task {
        name: "chaos",
        about: "seeded storms on the whole collector in virtual time; takes hl-chaos' words, such as --seeds 100 or --break all",
        run: chaos::chaos,
    },
    Task {
        name: "quiet-week",
        about: "the whole collector for a week of virtual time without faults: no alert may rise; takes hl-quiet's words",
        run: quiet_week::quiet_week,
    },
    Task {
        name: "faults",
        about: "breaks connections, processes, disks and clocks for real, at length; takes names, --list, --json",
        run: faults::faults,
    },
    Task {
        name: "mongo",
        about: "a MongoDB replica set in trouble for minutes, and daemons on it: [--steps|--storm|--stopped [MINUTES]]... [--seed N] [--json]",
        run: mongo::mongo,
    },
    Task {
        name: "mutants",
        about: "changes the rules' code on purpose and sees whether the tests notice; takes cargo-mutants' words",
        run: mutants::mutants,
    },
    Task {
        name: "model",
        about: "the rules of claims, selector and leases in every order of events within bounds; `--deep` goes on for hours",
        run: model,
    },
    Task {
        name: "fuzz",
        about: "hostile input, a minute a target, guided by coverage: [TARGET]... [--seconds N] [--json], or --list",
        run: fuzz::fuzz,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let task = words.split_first().and_then(|(word, rest)| {
        let task = TASKS.iter().find(|task| task.name == word)?;
        Some((task, rest))
    });
    let Some((task, rest)) = task else {
        eprintln!("usage: cargo xtask TASK [WORDS OF THE TASK]\n");
        for task in TASKS {
            eprintln!("  {:10} {}", task.name, task.about);
        }
        return ExitCode::from(if words.is_empty() { 0 } else { 2 });
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("\ncargo xtask {}: {failed}", task.name);
            ExitCode::FAILURE
        }
    }
}

fn test(words: &[String]) -> Result<(), Failed> {
    run::run(cargo().args(["test", "--workspace"]).args(words))
}

fn model(words: &[String]) -> Result<(), Failed> {
    let program = ["run", "--release", "--package", "hl-model", "--features", "seeded-bugs", "--"];
    run::run(cargo().args(program).args(words))
}

fn bench(words: &[String]) -> Result<(), Failed> {
    run::no_words(words)?;
    run::run(cargo().args(["bench", "--package", "hl-core", "--bench", "decode"]))?;
    run::run(cargo().args(["bench", "--bench", "pipeline"]))?;
    run::run(cargo().args(["bench", "--package", "hl-mongo", "--bench", "commit"]))
}

fn docs(words: &[String]) -> Result<(), Failed> {
    run::no_words(words)?;
    run::run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

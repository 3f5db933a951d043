//! Seeded storms, in a release build.

use std::process::Command;

use crate::run::{Failed, cargo, root, run, target};

/// Builds `hl-chaos` and runs it with the same words. A guard that is to be broken needs a build of its own.
pub(crate) fn chaos(words: &[String]) -> Result<(), Failed> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "hl-chaos"]);
    if words.iter().any(|word| word == "--break" || word.starts_with("--break=")) {
        build.args(["--features", "seeded-bugs"]);
    }
    run(&mut build)?;
    run(Command::new(target().join("release/hl-chaos")).current_dir(root()).args(words))
}

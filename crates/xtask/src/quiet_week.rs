//! A week without faults, in a release build.

use std::process::Command;

use crate::run::{Failed, cargo, root, run, target};

/// Builds `hl-quiet` and runs it with the same words.
pub(crate) fn quiet_week(words: &[String]) -> Result<(), Failed> {
    run(cargo().args(["build", "--release", "--package", "hl-chaos", "--bin", "hl-quiet"]))?;
    run(Command::new(target().join("release/hl-quiet")).current_dir(root()).args(words))
}

